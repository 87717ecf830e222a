/* Handshakes whose RSA and EC work goes through Debian's qatengine: hardware where there is some, else AVX-512 (QAT_SW). */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/engine.h>
#include <openssl/err.h>

#define HOST       "mx.example.org"
#define HANDSHAKES 5

/* qatengine never frees the digests that it makes while it is loaded. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:EVP_MD_meth_new\n";
}

static bool is_installed(void)
{
    ENGINE *engine = ENGINE_by_id("qatengine");
    ERR_clear_error();
    ENGINE_free(engine);
    return engine != NULL;
}

static void handshakes(const char *key, bool async)
{
    if (!is_installed()) {
        print_message("# qatengine is not installed\n");
        skip();
    }
    struct talk talk;
    struct pki_chain chain = pki_chain(key, "DNS:" HOST);
    talk_without_batches = true; /* the engine is to have it all */
    struct tls_core_config config = {.sessions_max = 2, .engine = "qatengine", .async = async};
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = {.leaf = &chain.leaf, .middle = &chain.middle};
    talk_open_config(&talk, chain.ca_file, &config);
    for (unsigned i = 0; i < HANDSHAKES; i++) {
        talk_accepted(&talk, &server, &demand);
        assert_true(tls_write(talk.tls, (const uint8_t *)"hello", 5));
    }
    print_message("# %s: resumed %u times in %d handshakes\n", key, talk.resumes, HANDSHAKES);
    assert_true(async || talk.resumes == 0);
    talk_close(&talk);
    pki_chain_free(&chain);
}

static void rsa_suspended(void **state)
{
    (void)state;
    handshakes("rsa2048", true);
}

static void ec_suspended(void **state)
{
    (void)state;
    handshakes("P-256", true);
}

static void rsa_in_one_go(void **state)
{
    (void)state;
    handshakes("rsa2048", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_suspended),
        cmocka_unit_test(ec_suspended),
        cmocka_unit_test(rsa_in_one_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
