/* A core whose process has no algorithms at all: what its sessions need comes out of the core's own library context. */
#include "crypto/batch.h"
#include "crypto/session.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/err.h>
#include <openssl/provider.h>

#define HOST "mx.example.org"

static OSSL_LIB_CTX *servers;
static OSSL_PROVIDER *theirs;
static struct pki_chain chain[2];
static struct tls_trust *trust[2];

/* Again, in the servers' context. */
static void read_again(struct pki *pki)
{
    uint8_t *der = NULL;
    int len = i2d_X509(pki->cert, &der);
    const uint8_t *at = der;
    X509 *cert = X509_new_ex(servers, NULL);
    assert_true(len > 0 && d2i_X509(&cert, &at, len));
    OPENSSL_free(der);
    X509_free(pki->cert);
    pki->cert = cert;
}

/* Trust sets are the process's: made before. */
static int setup(void **state)
{
    (void)state;
    servers = OSSL_LIB_CTX_new();
    theirs = servers ? OSSL_PROVIDER_load(servers, "default") : NULL;
    if (!theirs)
        return 1;
    chain[0] = pki_chain("rsa2048", "DNS:" HOST);
    chain[1] = pki_chain("P-256", "DNS:" HOST);
    for (unsigned i = 0; i < ARRAY_LEN(chain); i++) {
        trust[i] = tls_trust_load(chain[i].ca_file, 1, &(struct error){0});
        read_again(&chain[i].leaf);
        read_again(&chain[i].middle);
    }
    return EVP_set_default_properties(NULL, "provider=nobody") != 1;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(chain); i++) {
        tls_trust_free(trust[i]);
        pki_chain_free(&chain[i]);
    }
    OSSL_PROVIDER_unload(theirs);
    OSSL_LIB_CTX_free(servers);
    return 0;
}

static void the_process_has_nothing(void **state)
{
    (void)state;
    assert_null(EVP_MD_fetch(NULL, "SHA2-256", NULL));
    ERR_clear_error();
}

/* Without one the handshake would do: OpenSSL checks the signature by itself. */
static void prepares_a_key(const struct talk *talk, const struct pki *leaf)
{
    struct batch_key *key = batch_key_make(talk->core->libctx, X509_get0_pubkey(leaf->cert));
    assert_non_null(key);
    assert_int_not_equal(batch_key_kind(key), BATCH_OTHER_VERIFY);
    batch_key_drop(key);
}

static void handshakes(unsigned which, const char *group)
{
    const struct pki_chain *with = &chain[which];
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    struct tls_scope scope = talk_scope();
    const struct talk_server server = {
        .leaf = &with->leaf, .middle = &with->middle, .groups = group, .libctx = servers};
    demand.scope = &scope;
    demand.trust = trust[which];
    talk_open_config(&talk, with->ca_file,
                     &(struct tls_core_config){.sessions_max = 2,
                                               .proven_chains = 16,
                                               .proven_lifetime_s = 3600,
                                               .tickets_max = 4,
                                               .tickets_per_destination = 2,
                                               .ticket_lifetime_s = 3600});
    prepares_a_key(&talk, &with->leaf);
    for (unsigned i = 0; i < 3; i++) { /* verified, resumed, resumed */
        const struct tls_verified *v = talk_accepted(&talk, &server, &demand);
        assert_true(tls_write(talk.tls, (const uint8_t *)"hello", 5));
        assert_int_equal(v->resumed, i > 0);
        talk_run(&talk);
    }
    scope.port++; /* no ticket is from there */
    assert_true(talk_accepted(&talk, &server, &demand)->remembered);
    talk_close(&talk);
}

static void a_core_needs_none_of_it(void **state)
{
    (void)state;
    static const char *const groups[] = {"X25519", "P-256", "P-384"};
    for (unsigned i = 0; i < ARRAY_LEN(chain); i++)
        for (unsigned k = 0; k < ARRAY_LEN(groups); k++)
            handshakes(i, groups[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_has_nothing),
        cmocka_unit_test(a_core_needs_none_of_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
