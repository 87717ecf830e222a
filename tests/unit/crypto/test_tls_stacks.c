/* Stacks of suspended handshakes: a rush takes many, and they are given back when it is over; not under who uses one. */
#include "crypto/session.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>
#include <unistd.h>

#define HOST    "mx.example.org"
#define SECOND  1000000u
#define PERIOD  (10 * SECOND) /* what async.c takes for a while */
#define TOUCHED (6u << 10)    /* of a stack, at the least */

enum { RUSH = 63 }; /* the next would fill the eighth batch of signatures, and be done */

static struct pki_chain chain;
static struct talk talk[RUSH];
static uint64_t now_us;

/* ---- a rush ---- */

static int setup(void **state)
{
    (void)state;
    now_us = 1;
    talk_open_config(
        &talk[0], chain.ca_file,
        &(struct tls_core_config){.sessions_max = RUSH, .batches = true, .batch_open = talk_in_idle_lanes});
    talk_several(talk, RUSH);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talk_several_close(talk, RUSH);
    return 0;
}

static void wait_all(unsigned n)
{
    struct talk_server server = {.leaf = &chain.leaf, .middle = &chain.middle, .groups = "X25519"};
    struct tls_demand demand = talk_pkix(HOST);
    demand.trust = talk[0].trust;
    for (unsigned i = 0; i < n; i++) {
        talk_meet(&talk[i], &server, &demand);
        while (talk_step(&talk[i])) {}
        assert_int_equal(tls_status(talk[i].tls), TLS_WANT_WORK);
    }
}

static void finish(unsigned from, unsigned to)
{
    tls_core_work(talk[0].core, now_us);
    tls_core_idle(talk[0].core);
    for (unsigned i = from; i < to; i++) {
        for (unsigned turn = 0; turn < 10 && tls_status(talk[i].tls) != TLS_OPEN; turn++) {
            tls_core_idle(talk[0].core);
            if (tls_work_done(talk[i].tls))
                tls_resume(talk[i].tls);
            while (talk_step(&talk[i])) {}
        }
        assert_int_equal(tls_status(talk[i].tls), TLS_OPEN);
    }
}

static void sweep(uint64_t later_us)
{
    now_us += later_us;
    tls_core_work(talk[0].core, now_us);
    tls_core_sweep(talk[0].core);
}

static size_t resident_bytes(void)
{
    unsigned long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void a_rush(void)
{
    sweep(PERIOD);
    wait_all(RUSH);
    assert_in_range(tls_async_stacks_now(), RUSH, RUSH + 1);
    finish(0, RUSH);
    assert_in_range(tls_async_stacks_now(), RUSH, RUSH + 1); /* kept for the next */
}

/* ---- given back, or not ---- */

static void given_back_when_it_is_over(void **state)
{
    (void)state;
    a_rush();
    sweep(PERIOD); /* there was a rush in this while */
    assert_in_range(tls_async_stacks_now(), RUSH, RUSH + 1);
    size_t before = resident_bytes();
    sweep(PERIOD - 1);
    assert_in_range(tls_async_stacks_now(), RUSH, RUSH + 1);
    sweep(1);
    assert_int_equal(tls_async_stacks_now(), 0);
    size_t after = resident_bytes();
    print_message("# %zu kB fewer for %u stacks\n", (before - after) / 1024, RUSH);
    assert_true(after + (size_t)RUSH * TOUCHED <= before);
    a_rush(); /* the next one has its stacks again */
}

static void not_while_one_is_suspended(void **state)
{
    (void)state;
    a_rush();
    sweep(PERIOD);
    wait_all(1);
    for (unsigned i = 0; i < 3; i++) {
        sweep(PERIOD);
        assert_in_range(tls_async_stacks_now(), RUSH, RUSH + 1);
    }
    finish(0, 1);
    sweep(SECOND); /* at once, when it has gone on */
    assert_int_equal(tls_async_stacks_now(), 0);
}

static void not_where_half_are_needed(void **state)
{
    (void)state;
    a_rush();
    for (unsigned i = 0; i < 3; i++) {
        wait_all(RUSH / 2 + 1);
        finish(0, RUSH / 2 + 1);
        sweep(PERIOD);
        assert_in_range(tls_async_stacks_now(), RUSH, RUSH + 1);
    }
}

static void a_few_are_kept(void **state)
{
    (void)state;
    wait_all(8);
    finish(0, 8);
    for (unsigned i = 0; i < 3; i++)
        sweep(PERIOD);
    assert_in_range(tls_async_stacks_now(), 8, 16);
}

static void freed_sessions_count_no_more(void **state)
{
    (void)state;
    wait_all(RUSH);
    for (unsigned i = 0; i < RUSH; i++)
        talk_part(&talk[i]);
    sweep(PERIOD);
    sweep(PERIOD);
    assert_int_equal(tls_async_stacks_now(), 0);
}

static int make_chain(void **state)
{
    (void)state;
    chain = pki_chain("P-256", "DNS:" HOST);
    return 0;
}

static int drop_chain(void **state)
{
    (void)state;
    pki_chain_free(&chain);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(given_back_when_it_is_over, setup, teardown),
        cmocka_unit_test_setup_teardown(not_while_one_is_suspended, setup, teardown),
        cmocka_unit_test_setup_teardown(not_where_half_are_needed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_few_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_sessions_count_no_more, setup, teardown),
    };
    return cmocka_run_group_tests(tests, make_chain, drop_chain);
}
