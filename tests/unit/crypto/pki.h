/* pki.h: certificates for tests, made with libcrypto as a test needs them. */
#ifndef HARDLINE_TESTS_PKI_H
#define HARDLINE_TESTS_PKI_H

#include <openssl/x509.h>
#include <stdbool.h>

struct pki {
    X509 *cert;
    EVP_PKEY *key;
};

#define PKI_DAY 86400L

struct pki_spec {
    const char *cn;  /* subject CN */
    const char *san; /* subjectAltName as openssl.cnf writes it, "DNS:a.example,IP:192.0.2.1"; NULL: none */
    const char *key; /* "rsa2048", "P-256", "ed25519", ...; NULL: P-256 */
    const char *digest;      /* of the signature; NULL: SHA256 (none for Ed25519) */
    const char *usage;       /* extendedKeyUsage; NULL: serverAuth for a leaf */
    const char *constraints; /* nameConstraints; NULL: none */
    long from_s, until_s;    /* validity from now; both 0: since yesterday, for 90 days */
    bool ca;
};

/* pki_make gives a certificate signed by issuer, or by itself where issuer is NULL; pki_free it. */
struct pki pki_make(const struct pki *issuer, const struct pki_spec *spec);
void pki_free(struct pki *pki);

/* One key for each call; the RSA ones of more than 2048 bits are made once and shared. */
EVP_PKEY *pki_key(const char *type);

/* pki_write puts certificates as PEM into a new file under the temporary directory; its name in path. */
void pki_write(char path[64], const struct pki *const *list, unsigned count);

/* The usual chain: leaf <- intermediate <- root, all keys of one type. */
struct pki_chain {
    struct pki root, middle, leaf;
    char ca_file[64]; /* holds root */
};

struct pki_chain pki_chain(const char *key, const char *san);
void pki_chain_free(struct pki_chain *chain);

#endif
