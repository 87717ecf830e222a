#include "bench/farm_cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY_S 86400L

static const struct {
    const char *name, *algorithm, *curve;
    unsigned bits;
} kinds_known[FARM_KEYS] = {
    [FARM_RSA2048] = {"rsa2048", "RSA", NULL, 2048},  [FARM_RSA3072] = {"rsa3072", "RSA", NULL, 3072},
    [FARM_P256] = {"p256", "EC", "P-256", 0},         [FARM_P384] = {"p384", "EC", "P-384", 0},
    [FARM_ED25519] = {"ed25519", "ED25519", NULL, 0},
};

bool farm_key_kinds(const char *text, enum farm_key kinds[2], struct error *err)
{
    if (strcmp(text, "mixed") == 0) {
        kinds[0] = FARM_RSA2048;
        kinds[1] = FARM_P256;
        return true;
    }
    for (unsigned i = 0; i < FARM_KEYS; i++)
        if (strcmp(text, kinds_known[i].name) == 0) {
            kinds[0] = kinds[1] = (enum farm_key)i;
            return true;
        }
    return error_set(err, "key \"%s\" is not known: rsa2048, rsa3072, p256, p384, ed25519 or mixed", text);
}

static EVP_PKEY *make_key(enum farm_key kind)
{
    if (kinds_known[kind].bits)
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)kinds_known[kind].bits);
    if (kinds_known[kind].curve)
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds_known[kind].curve);
    return EVP_PKEY_Q_keygen(NULL, NULL, kinds_known[kind].algorithm);
}

/* ---- one certificate ---- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}

static bool add_common(X509 *cert, X509 *issuer, const char *name, EVP_PKEY *key, uint64_t serial)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    return X509_set_version(cert, X509_VERSION_3) &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0) &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), 30 * DAY_S) && X509_set_pubkey(cert, key) &&
           add_extension(cert, issuer ? issuer : cert, NID_subject_key_identifier, "hash");
}

static bool add_ca(X509 *cert, X509 *issuer)
{
    return add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE") &&
           add_extension(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
}

static bool add_leaf(X509 *cert, X509 *issuer, const char *name)
{
    char san[FARM_NAME_MAX + 8];
    snprintf(san, sizeof(san), "DNS:%s", name);
    return add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(cert, issuer, NID_ext_key_usage, "serverAuth") &&
           add_extension(cert, issuer, NID_subject_alt_name, san);
}

static const EVP_MD *digest_for(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256(); /* RFC 8410: none of its own */
}

/* issuer NULL: a root, which signs itself. */
static X509 *make_cert(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, bool ca,
                       uint64_t serial)
{
    X509 *cert = X509_new(), *above = issuer ? issuer : cert;
    bool ok = cert && add_common(cert, issuer, name, key, serial) &&
              (ca ? add_ca(cert, above) : add_leaf(cert, above, name)) &&
              (!issuer || add_extension(cert, issuer, NID_authority_key_identifier, "keyid")) &&
              X509_sign(cert, issuer_key, digest_for(issuer_key));
    if (ok)
        return cert;
    X509_free(cert);
    return NULL;
}

/* ---- all of them ---- */

static bool open_issuer(struct farm_issuer *issuer, enum farm_key kind)
{
    char name[64];
    EVP_PKEY *root_key = make_key(kind);
    issuer->key = make_key(kind);
    issuer->leaf_key = make_key(kind);
    if (root_key && issuer->key && issuer->leaf_key) {
        snprintf(name, sizeof(name), "hardline-bench root %s", kinds_known[kind].name);
        issuer->root = make_cert(name, root_key, NULL, root_key, true, 1);
        snprintf(name, sizeof(name), "hardline-bench intermediate %s", kinds_known[kind].name);
        if (issuer->root)
            issuer->intermediate = make_cert(name, issuer->key, issuer->root, root_key, true, 2);
    }
    EVP_PKEY_free(root_key);
    issuer->chain = sk_X509_new_null();
    return issuer->intermediate && issuer->chain && X509_up_ref(issuer->intermediate) &&
           sk_X509_push(issuer->chain, issuer->intermediate);
}

static bool open_leaf(struct farm_certs *certs, uint32_t index)
{
    char name[FARM_NAME_MAX];
    struct farm_issuer *issuer = &certs->issuer[certs->kind[index]];
    if (!issuer->leaf_key && !open_issuer(issuer, certs->kind[index]))
        return false;
    farm_name(name, certs->domain, index);
    certs->leaf[index] =
        make_cert(name, issuer->leaf_key, issuer->intermediate, issuer->key, false, index + 3ull);
    return certs->leaf[index] != NULL;
}

bool farm_certs_open(struct farm_certs *certs, const char *domain, uint32_t names,
                     const enum farm_key kinds[2], struct error *err)
{
    *certs = (struct farm_certs){.domain = domain, .names = names};
    certs->leaf = (X509 **)calloc(names, sizeof(*certs->leaf));
    certs->kind = calloc(names, sizeof(*certs->kind));
    if (!certs->leaf || !certs->kind)
        return error_set(err, "no memory for %u certificates", names);
    for (uint32_t i = 0; i < names; i++) {
        certs->kind[i] = (uint8_t)kinds[i % 2];
        if (!open_leaf(certs, i))
            return error_set(err, "certificate %u cannot be made: %s", i + 1,
                             ERR_reason_error_string(ERR_peek_last_error()));
    }
    return true;
}

void farm_certs_close(struct farm_certs *certs)
{
    for (uint32_t i = 0; certs->leaf && i < certs->names; i++)
        X509_free(certs->leaf[i]);
    for (unsigned k = 0; k < FARM_KEYS; k++) {
        struct farm_issuer *issuer = &certs->issuer[k];
        sk_X509_pop_free(issuer->chain, X509_free);
        X509_free(issuer->intermediate);
        X509_free(issuer->root);
        EVP_PKEY_free(issuer->key);
        EVP_PKEY_free(issuer->leaf_key);
    }
    free((void *)certs->leaf);
    free(certs->kind);
    memset(certs, 0, sizeof(*certs));
}

bool farm_certs_write_roots(const struct farm_certs *certs, const char *path, struct error *err)
{
    FILE *out = fopen(path, "w");
    bool ok = out != NULL;
    for (unsigned k = 0; ok && k < FARM_KEYS; k++)
        if (certs->issuer[k].root)
            ok = PEM_write_X509(out, certs->issuer[k].root);
    if (out && fclose(out) != 0)
        ok = false;
    return ok || error_set(err, "%s: the roots cannot be written there: %m", path);
}

/* ---- names ---- */

const char *farm_name(char *out, const char *domain, uint32_t index)
{
    snprintf(out, FARM_NAME_MAX, "mx%u.%s", index + 1, domain);
    return out;
}

bool farm_name_index(const char *name, const char *domain, uint32_t names, uint32_t *index)
{
    uint32_t number = 0;
    const char *at = name;
    if (strncasecmp(at, "mx", 2) != 0)
        return false;
    for (at += 2; *at >= '0' && *at <= '9' && number < 100000000; at++)
        number = number * 10 + (uint32_t)(*at - '0');
    if (number == 0 || number > names || *at != '.' || strcasecmp(at + 1, domain) != 0)
        return false;
    *index = number - 1;
    return true;
}
