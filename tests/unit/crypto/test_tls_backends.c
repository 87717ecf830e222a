/* Whole handshakes whose public-key work an engine computes in the core's batch: well, badly, not at all. */
#include "tests/unit/crypto/talk.h"
#include "tests/unit/crypto/toy_engine.h"
#include "tests/unit/cmocka.h"

#include <openssl/err.h>

#define HOST       "mx.example.org"
#define HANDSHAKES 4

static struct talk talk;

static void handshakes(const char *key, const char *group)
{
    struct pki_chain chain = pki_chain(key, "DNS:" HOST);
    struct tls_core_config config = {
        .sessions_max = 2, .batches = true, .backend = "engine:" TOY_ENGINE, .backend_require = true};
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = {.leaf = &chain.leaf, .middle = &chain.middle, .groups = group};
    talk_open_config(&talk, chain.ca_file, &config);
    for (unsigned i = 0; i < HANDSHAKES; i++) {
        talk_accepted(&talk, &server, &demand);
        assert_true(tls_write(talk.tls, (const uint8_t *)"hello", 5));
    }
    pki_chain_free(&chain);
}

static uint64_t count(enum stat_id id)
{
    return talk.stats.v[id];
}

static void by_an_engine(void **state)
{
    (void)state;
    static const char *const keys[] = {"rsa2048", "P-256"};
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        toy_engine_reset();
        handshakes(keys[i], "P-256");
        print_message("# %s: %u operations\n", keys[i], toy_engine.ended);
        assert_true(toy_engine.ended >= HANDSHAKES);
        assert_int_equal(count(STAT_tls_batch_redone), 0);
        talk_close(&talk);
    }
}

static void by_an_engine_that_breaks(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.good = 2;
    handshakes("rsa2048", "P-256");
    assert_true(count(STAT_tls_batch_redone) > 0);
    talk_close(&talk);
}

static void a_refusal_stays_one(void **state)
{
    (void)state;
    toy_engine_reset();
    struct outcome why;
    struct pki_chain chain = pki_chain("rsa2048", "DNS:" HOST);
    struct tls_core_config config = {
        .sessions_max = 2, .batches = true, .backend = "engine:" TOY_ENGINE, .backend_require = true};
    struct tls_demand demand = talk_pkix("other.example");
    struct talk_server server = {.leaf = &chain.leaf, .middle = &chain.middle};
    talk_open_config(&talk, chain.ca_file, &config);
    talk_refused(&talk, &server, &demand, REASON_CERTIFICATE_HOST_MISMATCH, &why);
    talk_close(&talk);
    pki_chain_free(&chain);
}

static void a_backend_that_is_not_there(void **state)
{
    (void)state;
    struct stats stats = {0};
    struct error err = {0};
    struct tls_core_config config = {.sessions_max = 1,
                                     .batches = true,
                                     .backend = "engine:no-such-engine",
                                     .backend_require = true,
                                     .stats = &stats};
    assert_null(tls_core_open(&config, &err));
    assert_non_null(strstr(err.text, "\"no-such-engine\" is not there"));
    config.backend_require = false;
    struct tls_core *core = tls_core_open(&config, &err);
    assert_non_null(core);
    tls_core_close(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_an_engine),
        cmocka_unit_test(by_an_engine_that_breaks),
        cmocka_unit_test(a_refusal_stays_one),
        cmocka_unit_test(a_backend_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, toy_engine_setup, toy_engine_teardown);
}
