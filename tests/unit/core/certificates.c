#include "tests/unit/core/certificates.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/crypto/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CERTIFICATES_MAX 32u

static struct {
    struct pki root, middle;
    char ca_file[64];
    const char *keys;
    struct tls_trust *trust;
    unsigned count;
    struct {
        char name[64];
        SSL_CTX *ctx;
    } made[CERTIFICATES_MAX];
} pki;

void certificates_keys(const char *type)
{
    pki.keys = type;
}

static void remove_ca_file(void)
{
    unlink(pki.ca_file);
}

static void make_authority(void)
{
    struct error err;
    if (pki.trust)
        return;
    pki.root = pki_make(NULL, &(struct pki_spec){.cn = "Test Root", .key = pki.keys, .ca = true});
    pki.middle =
        pki_make(&pki.root, &(struct pki_spec){.cn = "Test Intermediate", .key = pki.keys, .ca = true});
    pki_write(pki.ca_file, (const struct pki *const[]){&pki.root}, 1);
    atexit(remove_ca_file);
    pki.trust = tls_trust_load(pki.ca_file, 1, &err);
    if (!pki.trust)
        fail_msg("%s", err.text);
}

struct tls_trust *certificates_trust(void)
{
    make_authority();
    return pki.trust;
}

struct tls_trust *certificates_other_trust(void)
{
    struct error err;
    make_authority();
    struct tls_trust *trust = tls_trust_load(pki.ca_file, 2, &err);
    assert_non_null(trust);
    return trust;
}

SSL_CTX *certificates_for(const char *name)
{
    char san[80];
    for (unsigned i = 0; i < pki.count; i++)
        if (strcmp(pki.made[i].name, name) == 0)
            return pki.made[i].ctx;
    assert_true(pki.count < CERTIFICATES_MAX);
    make_authority();
    snprintf(san, sizeof(san), "DNS:%s", name);
    struct pki leaf = pki_make(&pki.middle, &(struct pki_spec){.cn = "leaf", .san = san, .key = pki.keys});
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_true(ctx && SSL_CTX_use_certificate(ctx, leaf.cert) == 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, leaf.key), 1);
    assert_int_equal(SSL_CTX_add1_chain_cert(ctx, pki.middle.cert), 1);
    pki_free(&leaf);
    snprintf(pki.made[pki.count].name, sizeof(pki.made[0].name), "%s", name);
    return pki.made[pki.count++].ctx = ctx;
}
