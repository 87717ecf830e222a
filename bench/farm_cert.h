/* bench/farm_cert.h: the farm's certificates: for each name a leaf, signed by an intermediate, signed by a root, made anew in
 * memory at every start.
 *
 * A root, an intermediate and one leaf key a kind of key: leaves share it, for making thousands of RSA keys takes minutes.
 * What a client does with them costs the same; this is for benchmarks and tests, and nothing else.
 */
#ifndef BENCH_FARM_CERT_H
#define BENCH_FARM_CERT_H

#include "engine/base/error.h"

#include <openssl/x509.h>

enum farm_key { FARM_RSA2048, FARM_RSA3072, FARM_P256, FARM_P384, FARM_ED25519, FARM_KEYS };

struct farm_issuer {
    EVP_PKEY *leaf_key; /* NULL: nobody needs this kind */
    EVP_PKEY *key;      /* the intermediate's */
    X509 *intermediate, *root;
    STACK_OF(X509) * chain; /* what is sent behind the leaf: the intermediate */
};

struct farm_certs {
    struct farm_issuer issuer[FARM_KEYS];
    const char *domain; /* name i, from 0, is mx<i+1>.<domain> */
    uint32_t names;
    X509 **leaf;   /* names of them */
    uint8_t *kind; /* enum farm_key of each */
};

#define FARM_NAME_MAX 128u

/* farm_key_kinds reads "rsa2048", "p256" and so on, or "mixed" (RSA 2048 and P-256 in turn), into a cycle of kinds. */
bool farm_key_kinds(const char *text, enum farm_key kinds[2], struct error *err) must_check;

bool farm_certs_open(struct farm_certs *certs, const char *domain, uint32_t names,
                     const enum farm_key kinds[2], struct error *err) must_check;
void farm_certs_close(struct farm_certs *certs);

/* farm_certs_write_roots writes the roots, PEM, for the client to trust. */
bool farm_certs_write_roots(const struct farm_certs *certs, const char *path, struct error *err) must_check;

const char *farm_name(char *out, const char *domain, uint32_t index); /* FARM_NAME_MAX bytes; returns out */

/* farm_name_index finds a name's index; false: it is none of ours.  name comes from the peer. */
bool farm_name_index(const char *name, const char *domain, uint32_t names, uint32_t *index) must_check;

#endif
