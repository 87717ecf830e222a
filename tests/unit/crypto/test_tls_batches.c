/* Handshakes of one core that wait for arithmetic together: when it is run, whom a failure concerns, and who leaves. */
#include "crypto/batch.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#define HOST "mx.example.org"
#define SAN  "DNS:" HOST

enum { MOST = 9 };

static struct pki_chain rsa, ec;
static struct talk talk[MOST];
static uint32_t places = MOST;

/* ---- a core and its sessions ---- */

static void open_core(const struct pki_chain *chain,
                      struct batch *(*open)(const struct batch_config *, struct error *))
{
    talk_open_config(&talk[0], chain->ca_file,
                     &(struct tls_core_config){.sessions_max = places, .batches = true, .batch_open = open});
    talk_several(talk, MOST);
}

static void close_core(void)
{
    talk_several_close(talk, MOST);
}

static uint64_t stat(enum stat_id id)
{
    return talk[0].stats.v[id];
}

static void meet(unsigned n, const struct pki_chain *chain, int version)
{
    struct talk_server server = {
        .leaf = &chain->leaf, .middle = &chain->middle, .version = version, .groups = "X25519"};
    struct tls_demand demand = talk_pkix(HOST);
    demand.trust = talk[0].trust;
    for (unsigned i = 0; i < n; i++)
        talk_meet(&talk[i], &server, &demand);
}

/* Bytes move until nothing does; nobody computes but who fills a batch. */
static void settle(unsigned n)
{
    bool moved = true;
    for (unsigned turn = 0; moved && turn < 100; turn++) {
        moved = false;
        for (unsigned i = 0; i < n; i++)
            moved |= talk_step(&talk[i]);
    }
}

static unsigned count(unsigned n, enum tls_status status)
{
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++)
        found += tls_status(talk[i].tls) == status;
    return found;
}

static unsigned resume_those_that_can(unsigned n)
{
    unsigned resumed = 0;
    for (unsigned i = 0; i < n; i++)
        if (tls_work_done(talk[i].tls)) {
            tls_resume(talk[i].tls);
            resumed++;
        }
    return resumed;
}

static void run_to_the_end(unsigned n)
{
    settle(n);
    for (unsigned turn = 0; turn < 10 && count(n, TLS_WANT_WORK) > 0; turn++) {
        tls_core_work(talk[0].core, 1);
        tls_core_idle(talk[0].core);
        resume_those_that_can(n);
        settle(n);
    }
}

/* ---- when it is run ---- */

static void when_all_wait(void **state)
{
    (void)state;
    open_core(&rsa, talk_in_lanes);
    meet(7, &rsa, TLS1_3_VERSION);
    settle(7);
    assert_int_equal(count(7, TLS_WANT_WORK), 7);
    assert_int_equal(resume_those_that_can(7), 0);
    for (unsigned round = 1; round <= 2; round++) { /* the key exchange; the peers' signatures */
        tls_core_work(talk[0].core, 1);
        assert_int_equal(stat(STAT_tls_batch_run_all_wait), round);
        assert_int_equal(resume_those_that_can(7), 7);
        settle(7);
    }
    assert_int_equal(count(7, TLS_OPEN), 7);
    close_core();
}

static void when_eight_wait(void **state)
{
    (void)state;
    open_core(&ec, talk_in_lanes);
    meet(8, &ec, TLS1_3_VERSION);
    settle(8);
    assert_int_equal(stat(STAT_tls_batch_run_full), 1);
    assert_int_equal(count(8, TLS_WANT_WORK), 8);  /* the eighth for its peer's signature already */
    assert_int_equal(resume_those_that_can(8), 7); /* and the last of them fills the next batch */
    run_to_the_end(8);
    assert_int_equal(stat(STAT_tls_batch_run_full), 2);
    assert_int_equal(count(8, TLS_OPEN), 8);
    close_core();
}

static void when_the_oldest_has_waited(void **state)
{
    (void)state;
    open_core(&rsa, talk_in_lanes);
    tls_core_work(talk[0].core, 1000);
    meet(2, &rsa, TLS1_3_VERSION);
    settle(1); /* the other's server has not answered */
    assert_int_equal(tls_core_deadline(talk[0].core), 1000 + BATCH_WAIT_US);
    tls_core_work(talk[0].core, 1000 + BATCH_WAIT_US - 1);
    assert_int_equal(resume_those_that_can(1), 0);
    tls_core_work(talk[0].core, 1000 + BATCH_WAIT_US);
    assert_int_equal(stat(STAT_tls_batch_run_old), 1);
    assert_int_equal(resume_those_that_can(1), 1);
    run_to_the_end(2);
    assert_int_equal(count(2, TLS_OPEN), 2);
    close_core();
}

static void when_there_is_nothing_else_to_do(void **state)
{
    (void)state;
    open_core(&rsa, talk_in_lanes);
    meet(2, &rsa, TLS1_2_VERSION);
    settle(1);
    tls_core_work(talk[0].core, 1);
    assert_int_equal(count(1, TLS_WANT_WORK), 1);
    assert_true(tls_core_idle(talk[0].core));
    assert_int_equal(stat(STAT_tls_batch_run_idle), 1);
    run_to_the_end(2);
    assert_int_equal(count(2, TLS_OPEN), 2);
    close_core();
}

/* ---- whom a failure concerns ---- */

/* The last byte but nine of a TLS 1.2 server's first flight belongs to its signature. */
static void answer(struct talk *t, bool damaged)
{
    tls_output(t->tls);
    BIO_write(t->to_server, t->pipe, (int)t->pipe_used);
    t->pipe_used = 0;
    SSL_do_handshake(t->server);
    int n = BIO_read(t->from_server, t->held, TALK_PIPE_BYTES);
    assert_true(n > 500);
    t->held_len = (size_t)n;
    if (damaged)
        t->held[n - 10] ^= 1;
}

static void sentence(const struct talk *t, char text[256])
{
    struct outcome why;
    tls_failure(t->tls, &why);
    snprintf(text, 256, "%d %d %s", (int)why.reason, (int)why.fault, why.text);
}

static void a_bad_signature_is_its_own_affair(void **state)
{
    (void)state;
    const struct pki_chain *const chains[] = {&rsa, &ec};
    for (unsigned c = 0; c < ARRAY_LEN(chains); c++) {
        char with[256], without[256];
        for (unsigned lane = 0; lane < 8; lane++) {
            open_core(chains[c], talk_in_lanes);
            meet(8, chains[c], TLS1_2_VERSION);
            for (unsigned i = 0; i < 8; i++)
                answer(&talk[i], i == lane);
            run_to_the_end(8);
            assert_int_equal(stat(STAT_tls_batch_run_full) > 0, true);
            assert_int_equal(count(8, TLS_OPEN), 7);
            assert_int_equal(tls_status(talk[lane].tls), TLS_FAILED);
            sentence(&talk[lane], with);
            close_core();
        }
        talk_without_batches = true;
        talk_open(&talk[0], chains[c]->ca_file);
        meet(1, chains[c], TLS1_2_VERSION);
        answer(&talk[0], true);
        talk_run(&talk[0]);
        sentence(&talk[0], without);
        talk_close(&talk[0]);
        talk_without_batches = false;
        assert_string_equal(with, without);
    }
}

/* ---- a backend that fails in flight ---- */

static void what_a_backend_leaves_libcrypto_does(void **state)
{
    (void)state;
    open_core(&ec, talk_in_idle_lanes);
    meet(MOST, &ec, TLS1_3_VERSION);
    run_to_the_end(MOST);
    assert_int_equal(count(MOST, TLS_OPEN), MOST);
    assert_true(stat(STAT_tls_batch_redone) >= 2 * MOST);
    const char *complaint = tls_core_complaint(talk[0].core);
    assert_non_null(complaint);
    print_message("# %s\n", complaint);
    assert_null(tls_core_complaint(talk[0].core)); /* once */
    close_core();
}

/* ---- who leaves ---- */

static void freed_while_they_wait(void **state)
{
    (void)state;
    places = 5;
    open_core(&rsa, talk_in_lanes);
    for (unsigned leaver = 0; leaver < 5; leaver++) {
        meet(5, &rsa, TLS1_3_VERSION);
        settle(5);
        assert_int_equal(count(5, TLS_WANT_WORK), 5);
        talk_part(&talk[leaver]);
        struct talk_server server = {.leaf = &rsa.leaf, .middle = &rsa.middle};
        struct tls_demand demand = talk_pkix(HOST);
        demand.trust = talk[0].trust;
        talk_meet(&talk[leaver], &server, &demand); /* its place is free at once */
        run_to_the_end(5);
        assert_int_equal(count(5, TLS_OPEN), 5);
    }
    close_core();
    places = MOST;
}

static void the_core_closes_while_they_wait(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 7; n += 3) {
        open_core(&ec, talk_in_lanes);
        meet(n, &ec, TLS1_3_VERSION);
        settle(n);
        assert_int_equal(count(n, TLS_WANT_WORK), n);
        close_core();
    }
}

static int setup(void **state)
{
    (void)state;
    rsa = pki_chain("rsa2048", SAN);
    ec = pki_chain("P-256", SAN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_chain_free(&rsa);
    pki_chain_free(&ec);
    return 0;
}

static bool has_lanes(void)
{
    struct stats stats = {0};
    struct error err;
    struct batch *batch =
        batch_open(&(struct batch_config){.ops_max = 1, .break_even = 1, .stats = &stats}, &err);
    bool has = batch && batch_can_wait(batch);
    batch_close(batch);
    return has;
}

int main(void)
{
    const struct CMUnitTest anywhere[] = {
        cmocka_unit_test(what_a_backend_leaves_libcrypto_does),
    };
    const struct CMUnitTest with_lanes[] = {
        cmocka_unit_test(when_all_wait),
        cmocka_unit_test(when_eight_wait),
        cmocka_unit_test(when_the_oldest_has_waited),
        cmocka_unit_test(when_there_is_nothing_else_to_do),
        cmocka_unit_test(a_bad_signature_is_its_own_affair),
        cmocka_unit_test(what_a_backend_leaves_libcrypto_does),
        cmocka_unit_test(freed_while_they_wait),
        cmocka_unit_test(the_core_closes_while_they_wait),
    };
    return has_lanes() ? cmocka_run_group_tests(with_lanes, setup, teardown)
                       : cmocka_run_group_tests(anywhere, setup, teardown);
}
