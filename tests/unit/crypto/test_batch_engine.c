/* An OpenSSL engine as the device of a batch: one that computes, breaks, is silent, or is not there. */
#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/crypto/exchanges.h"
#include "tests/unit/crypto/toy_engine.h"
#include "tests/unit/cmocka.h"

#define OPS     32u
#define LOST_US 1000u

static struct stats stats;

static uint64_t count(enum stat_id id)
{
    return stats.v[id];
}

static struct batch *engine_batch(uint32_t core)
{
    struct error err;
    const struct batch_config config = {.ops_max = OPS,
                                        .break_even = 1,
                                        .stats = &stats,
                                        .backend = "engine:" TOY_ENGINE,
                                        .require = true,
                                        .core = core,
                                        .no_vectors = true,
                                        .lost_us = LOST_US};
    stats = (struct stats){0};
    struct batch *b = batch_open(&config, &err);
    if (!b)
        print_message("# %s\n", err.text);
    return b;
}

static void an_engine_computes(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.from_elsewhere = toy_engine.twice = toy_engine.needs_room = true;
    struct batch *b = engine_batch(0);
    for (unsigned i = 0; i < OPS; i++)
        exchanges_put(b, 0);
    assert_int_equal(toy_engine.started,
                     0); /* nothing is computed inside batch_derive: who calls may be a job */
    for (unsigned i = 0; i < 4; i++)
        batch_run(b, 1);
    assert_int_equal(exchanges_take(b), OPS);
    assert_int_equal(toy_engine.ended, OPS);
    assert_int_equal(count(STAT_tls_batch_device), OPS);
    assert_int_equal(count(STAT_tls_batch_redone), 0);
    batch_close(b);
}

static void an_engine_that_breaks(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.good = 5;
    struct batch *b = engine_batch(0);
    for (unsigned i = 0; i < OPS; i++)
        exchanges_put(b, 0);
    for (unsigned i = 0; i < 4; i++)
        batch_run(b, 1);
    assert_int_equal(exchanges_take(b), OPS);
    assert_int_equal(count(STAT_tls_batch_redone), OPS - 5);
    assert_non_null(strstr(batch_complaint(b), "engine toy failed"));
    batch_close(b);
}

static void an_engine_that_is_silent(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.silent = true;
    struct batch *b = engine_batch(0);
    for (unsigned i = 0; i < 4; i++)
        exchanges_put(b, 0);
    batch_run(b, 1);
    batch_done(b, exchanges_put(b, 1)); /* its owner goes before it was started */
    batch_run(b, 2);
    assert_int_equal(toy_engine_suspended(), 5);
    batch_run(b, LOST_US);
    assert_int_equal(exchanges_take(b), 4);
    assert_int_equal(count(STAT_tls_batch_lost), 4);
    toy_engine.silent = false; /* late */
    batch_run(b, LOST_US + 1);
    assert_int_equal(count(STAT_tls_batch_late), 5);
    assert_int_equal(exchanges_take(b), 0);
    batch_close(b);
}

static void an_engine_silent_to_the_end(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.silent = true;
    struct batch *b = engine_batch(0);
    exchanges_put(b, 0);
    batch_run(b, 1);
    batch_close(b); /* what it holds stays */
    assert_int_equal(toy_engine_suspended(), 1);
    toy_engine.silent = false; /* its answer, when nobody is there */
    b = engine_batch(0);
    exchanges_put(b, 0);
    batch_run(b, 1);
    batch_run(b, 2);
    assert_int_equal(exchanges_take(b), 1);
    batch_close(b);
}

static void one_core_or_an_instance_each(void **state)
{
    (void)state;
    toy_engine_reset();
    struct batch *first = engine_batch(0);
    assert_null(engine_batch(1)); /* one queue for all, and none can be told from the other */
    batch_close(first);
    first = engine_batch(1);
    assert_non_null(first);
    batch_close(first);
}

static void what_is_not_there(void **state)
{
    (void)state;
    struct error err;
    static const char *const backend[] = {"engine:no-such-engine", "crypto_mb"};
    static const char *const told[] = {"\"no-such-engine\" is not there", "AVX-512"};
    for (unsigned i = 0; i < ARRAY_LEN(backend); i++) {
        struct batch_config config = {
            .ops_max = OPS, .stats = &stats, .backend = backend[i], .require = true, .no_vectors = true};
        assert_null(batch_open(&config, &err));
        print_message("# %s\n", err.text);
        assert_non_null(strstr(err.text, told[i]));
        config.require = false;
        struct batch *b = batch_open(&config, &err);
        assert_string_equal(batch_backend_name(b), "libcrypto");
        const char *complaint = batch_complaint(b);
        assert_non_null(strstr(complaint, told[i]));
        assert_non_null(strstr(complaint, "; libcrypto computes instead"));
        assert_null(batch_complaint(b));
        exchanges_put(b, 0);
        assert_int_equal(exchanges_take(b), 1);
        batch_close(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_computes),
        cmocka_unit_test(an_engine_that_breaks),
        cmocka_unit_test(an_engine_that_is_silent),
        cmocka_unit_test(one_core_or_an_instance_each),
        cmocka_unit_test(what_is_not_there),
        cmocka_unit_test(an_engine_silent_to_the_end), /* last: what it holds stays */
    };
    return cmocka_run_group_tests(tests, toy_engine_setup, toy_engine_teardown);
}
