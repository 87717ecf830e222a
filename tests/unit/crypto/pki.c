#include "tests/unit/crypto/pki.h"

#include <assert.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef NDEBUG
#include <assert.h>

static EVP_PKEY *shared_rsa(unsigned bits)
{
    static EVP_PKEY *made[8];
    unsigned at = bits / 1024;
    assert(at < 8);
    if (!made[at])
        made[at] = EVP_RSA_gen(bits);
    assert(made[at]);
    EVP_PKEY_up_ref(made[at]);
    return made[at];
}

/* An RSA key of 2048 bits with the exponent 2^127 - 1. */
static EVP_PKEY *long_exponent_key(void)
{
    EVP_PKEY *key = NULL;
    BIGNUM *e = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    assert(BN_hex2bn(&e, "7fffffffffffffffffffffffffffffff") && EVP_PKEY_keygen_init(ctx) == 1);
    assert(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) == 1 && EVP_PKEY_generate(ctx, &key) == 1);
    BN_free(e);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *pss_key(int bits)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    assert(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits) == 1);
    EVP_PKEY_generate(ctx, &key);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *pki_key(const char *type)
{
    EVP_PKEY *key;
    unsigned bits = 0;
    if (strcmp(type, "rsa-long-exponent") == 0)
        return long_exponent_key();
    if (sscanf(type, "rsa%u", &bits) == 1)
        return bits > 2048 ? shared_rsa(bits) : EVP_RSA_gen(bits);
    if (sscanf(type, "pss%u", &bits) == 1)
        key = pss_key((int)bits);
    else if (strncmp(type, "ed", 2) == 0)
        key = EVP_PKEY_Q_keygen(NULL, NULL, strcmp(type, "ed25519") == 0 ? "ED25519" : "ED448");
    else
        key = EVP_EC_gen(type);
    assert(key);
    return key;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

static void set_names(X509 *cert, X509 *issuer, const struct pki_spec *spec)
{
    X509_NAME *name = X509_get_subject_name(cert);
    if (spec->cn)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)spec->cn, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
}

static void set_extensions(X509 *cert, X509 *issuer, const struct pki_spec *spec)
{
    if (spec->ca) {
        add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else {
        add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE");
        add_extension(cert, issuer, NID_ext_key_usage, spec->usage ? spec->usage : "serverAuth");
    }
    if (spec->constraints)
        add_extension(cert, issuer, NID_name_constraints, spec->constraints);
    if (spec->san)
        add_extension(cert, issuer, NID_subject_alt_name, spec->san);
}

struct pki pki_make(const struct pki *issuer, const struct pki_spec *spec)
{
    static long serial = 1000;
    struct pki made = {.cert = X509_new(), .key = pki_key(spec->key ? spec->key : "P-256")};
    const struct pki *signer = issuer ? issuer : &made;
    bool usual = spec->from_s == 0 && spec->until_s == 0;
    X509_set_version(made.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.cert), usual ? -PKI_DAY : spec->from_s);
    X509_gmtime_adj(X509_getm_notAfter(made.cert), usual ? 90 * PKI_DAY : spec->until_s);
    X509_set_pubkey(made.cert, made.key);
    set_names(made.cert, signer->cert, spec);
    set_extensions(made.cert, signer->cert, spec);
    bool edwards = EVP_PKEY_is_a(signer->key, "ED25519") || EVP_PKEY_is_a(signer->key, "ED448");
    const EVP_MD *digest = edwards ? NULL : EVP_get_digestbyname(spec->digest ? spec->digest : "SHA256");
    assert(X509_sign(made.cert, signer->key, digest) > 0);
    return made;
}

void pki_free(struct pki *pki)
{
    X509_free(pki->cert);
    EVP_PKEY_free(pki->key);
    *pki = (struct pki){0};
}

void pki_write(char path[64], const struct pki *const *list, unsigned count)
{
    snprintf(path, 64, "/tmp/hardline-test-XXXXXX");
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    assert(file);
    for (unsigned i = 0; i < count; i++)
        assert(PEM_write_X509(file, list[i]->cert) == 1);
    fclose(file);
}

struct pki_chain pki_chain(const char *key, const char *san)
{
    struct pki_chain c;
    c.root = pki_make(NULL, &(struct pki_spec){.cn = "Test Root", .key = key, .ca = true});
    c.middle = pki_make(&c.root, &(struct pki_spec){.cn = "Test Intermediate", .key = key, .ca = true});
    c.leaf = pki_make(&c.middle, &(struct pki_spec){.cn = "leaf", .san = san, .key = key});
    pki_write(c.ca_file, (const struct pki *const[]){&c.root}, 1);
    return c;
}

void pki_chain_free(struct pki_chain *chain)
{
    unlink(chain->ca_file);
    pki_free(&chain->root);
    pki_free(&chain->middle);
    pki_free(&chain->leaf);
}
