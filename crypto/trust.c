/* trust.c: sets of trust anchors, read once into memory: no core ever waits for a file. */
#include "crypto/session.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct tls_trust {
    _Atomic uint32_t refs;
    uint32_t count; /* certificates */
    uint64_t version;
    uint64_t id;
    X509_STORE *store;
    char name[];
};

static const char *system_file(void)
{
    const char *named = secure_getenv(X509_get_default_cert_file_env());
    return named ? named : X509_get_default_cert_file();
}

/* OpenSSL reads a certificate's extensions and key when they are first asked for, and keeps the result in it: a core that
 * ran out of memory then would spoil the anchor for all.  One that cannot be read stands for nothing and does no harm.
 */
static void read_through(X509 *cert)
{
    X509_check_purpose(cert, -1, 0);
    X509_get0_pubkey(cert);
}

static bool add_certificate(struct tls_trust *trust, X509 *cert)
{
    read_through(cert);
    bool ok = X509_STORE_add_cert(trust->store, cert) == 1;
    X509_free(cert);
    if (ok)
        trust->count++;
    return ok;
}

/* True when reading stopped because there is nothing more, false for a block that is damaged. */
static bool at_end_of_pem(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static bool read_certificates(struct tls_trust *trust, const char *path, struct error *err)
{
    errno = 0;
    ERR_clear_error();
    BIO *file = BIO_new_file(path, "r");
    if (!file)
        return error_set(err, "CA file %s cannot be read: %s", path, strerror(errno));
    X509 *cert;
    bool added = true;
    while (added && (cert = PEM_read_bio_X509_AUX(file, NULL, NULL, NULL)) != NULL)
        added = add_certificate(trust, cert);
    bool complete = added && at_end_of_pem();
    BIO_free(file);
    ERR_clear_error();
    if (!complete)
        return error_set(err, "CA file %s: certificate %u is damaged; repair or remove it", path,
                         trust->count + 1);
    if (trust->count == 0)
        return error_set(err, "CA file %s holds no certificate in PEM form", path);
    return true;
}

struct tls_trust *tls_trust_load(const char *ca_file, uint64_t version, struct error *err)
{
    const char *name = ca_file ? ca_file : "system";
    struct tls_trust *trust = calloc(1, sizeof(*trust) + strlen(name) + 1);
    if (!trust) {
        error_set(err, "no memory for CA file %s", name);
        return NULL;
    }
    static _Atomic uint64_t loaded;
    atomic_init(&trust->refs, 1);
    trust->id = atomic_fetch_add_explicit(&loaded, 1, memory_order_relaxed);
    trust->version = version;
    memcpy(trust->name, name, strlen(name) + 1);
    trust->store = X509_STORE_new();
    if (!trust->store || !read_certificates(trust, ca_file ? ca_file : system_file(), err)) {
        if (!trust->store)
            error_set(err, "no memory for CA file %s", name);
        tls_trust_free(trust);
        return NULL;
    }
    return trust;
}

void tls_trust_ref(struct tls_trust *trust)
{
    atomic_fetch_add_explicit(&trust->refs, 1, memory_order_relaxed);
}

void tls_trust_free(struct tls_trust *trust)
{
    if (!trust || atomic_fetch_sub_explicit(&trust->refs, 1, memory_order_acq_rel) != 1)
        return;
    X509_STORE_free(trust->store);
    free(trust);
}

const char *tls_trust_name(const struct tls_trust *trust)
{
    return trust->name;
}

uint32_t tls_trust_count(const struct tls_trust *trust)
{
    return trust->count;
}

uint64_t tls_trust_version(const struct tls_trust *trust)
{
    return trust->version;
}

uint64_t tls_trust_id(const struct tls_trust *trust)
{
    return trust->id;
}

X509_STORE *tls_trust_store(const struct tls_trust *trust)
{
    return trust->store;
}
