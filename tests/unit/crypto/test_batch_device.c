/* Operations in flight to a device of the test's own, in virtual time. */
#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/crypto/exchanges.h"
#include "tests/unit/cmocka.h"

#define OPS     32u
#define LOST_US 1000u

/* ---- a device that answers when the test says so ---- */

struct toy {
    struct batch_backend libcrypto;
    struct list held, done;
    unsigned submitted;
    unsigned room;      /* jobs that it still takes */
    bool closed, keeps; /* keeps: it never gives back what it holds */
};

static struct toy toy;
static struct stats stats;

static bool toy_submit(void *self, struct asym_job *job)
{
    struct toy *t = self;
    if (t->room == 0)
        return false;
    t->room--;
    t->submitted++;
    list_push_tail(&t->held, &job->link);
    return true;
}

static struct asym_job *toy_poll(void *self)
{
    struct toy *t = self;
    struct list *it = list_pop(&t->done);
    return it ? list_entry(it, struct asym_job, link) : NULL;
}

static bool toy_close(void *self)
{
    struct toy *t = self;
    t->libcrypto.close(t->libcrypto.self);
    t->closed = true;
    return !t->keeps;
}

static void compute(struct asym_job *job)
{
    struct batch_op op = {.kind = BATCH_P256_DERIVE, .result = BATCH_WAITS}, *one = &op;
    assert_int_equal(job->kind, ASYM_P256_MULTIPLY);
    memcpy(op.exchange.own.secret, job->multiply.secret, 32);
    op.exchange.peer[0] = 4;
    memcpy(op.exchange.peer + 1, job->multiply.point, 64);
    toy.libcrypto.run(toy.libcrypto.self, BATCH_P256_DERIVE, &one, 1);
    memcpy(job->multiply.shared, op.exchange.shared, 32);
    job->result = op.result == BATCH_GOOD ? ASYM_DONE : ASYM_FAILED;
}

/* n of those that it holds, the last first: a device keeps no order. */
static void toy_answer(unsigned n, enum asym_result result)
{
    for (; n > 0; n--) {
        assert_false(list_empty(&toy.held));
        struct asym_job *job = list_entry(toy.held.prev, struct asym_job, link);
        list_remove(&job->link);
        job->result = result;
        if (result == ASYM_DONE)
            compute(job);
        list_push_tail(&toy.done, &job->link);
    }
}

static struct batch *toy_batch(void)
{
    struct error err;
    const struct asym_device device = {.name = "toy",
                                       .kinds = 1u << ASYM_P256_MULTIPLY,
                                       .submit = toy_submit,
                                       .poll = toy_poll,
                                       .close = toy_close,
                                       .self = &toy};
    const struct batch_config config = {.ops_max = OPS,
                                        .break_even = 1,
                                        .stats = &stats,
                                        .device = &device,
                                        .no_vectors = true,
                                        .lost_us = LOST_US};
    stats = (struct stats){0};
    toy = (struct toy){.room = 2 * OPS};
    list_init(&toy.held);
    list_init(&toy.done);
    assert_true(batch_openssl_open(&toy.libcrypto, NULL, &err));
    struct batch *b = batch_open(&config, &err);
    assert_non_null(b);
    assert_string_equal(batch_backend_name(b), "toy, then libcrypto");
    return b;
}

static uint64_t count(enum stat_id id)
{
    return stats.v[id];
}

/* ---- in flight ---- */

static void each_comes_back(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    for (unsigned i = 0; i < 5; i++)
        assert_non_null(exchanges_put(b, 100 + i));
    assert_int_equal(toy.submitted, 5); /* at once */
    assert_int_equal(batch_waiting(b), 5);
    assert_int_equal(count(STAT_tls_batch_device), 5);
    batch_run(b, 200);
    batch_flush(b);
    batch_idle(b);
    assert_int_equal(exchanges_take(b), 0);
    assert_int_equal(batch_deadline(b), 200 + BATCH_POLL_US); /* it is to be asked */
    toy_answer(2, ASYM_DONE);
    batch_run(b, 250);
    assert_int_equal(exchanges_take(b), 2);
    toy_answer(3, ASYM_DONE);
    batch_flush(b);
    assert_int_equal(exchanges_take(b), 3);
    assert_int_equal(batch_waiting(b), 0);
    assert_int_equal(batch_deadline(b), DEADLINE_NEVER);
    assert_int_equal(count(STAT_tls_batch_redone) + count(STAT_tls_batch_lost) + count(STAT_tls_batch_late),
                     0);
    assert_null(batch_complaint(b));
    batch_close(b);
    assert_true(toy.closed);
}

static void what_it_does_not_take_goes_on(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    struct batch_pair own;
    toy.room = 1;
    exchanges_put(b, 0);
    exchanges_put(b, 0); /* full */
    assert_int_equal(exchanges_take(b), 1);
    assert_true(batch_pair_take(b, BATCH_X25519, &own)); /* of another kind */
    struct batch_op *op = batch_derive(b, BATCH_X25519, &own, (struct span){own.point, 32}, NULL, 0);
    assert_ptr_equal(batch_ready(b), op);
    batch_done(b, op);
    toy_answer(1, ASYM_DONE);
    batch_flush(b);
    assert_int_equal(exchanges_take(b), 1);
    assert_int_equal(toy.submitted, 1);
    batch_close(b);
}

static void what_fails_is_done_again(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    for (unsigned i = 0; i < 3; i++)
        exchanges_put(b, 0);
    toy_answer(1, ASYM_FAILED);
    toy_answer(1, ASYM_WORKING); /* given back without an answer */
    toy_answer(1, ASYM_DONE);
    batch_run(b, 10);
    assert_int_equal(exchanges_take(b), 3);
    assert_int_equal(count(STAT_tls_batch_redone), 2);
    const char *told = batch_complaint(b);
    assert_non_null(told);
    assert_non_null(strstr(told, "toy failed (P-256 derivations)"));
    exchanges_put(b, 20);
    toy_answer(1, ASYM_FAILED);
    batch_run(b, 30);
    assert_int_equal(exchanges_take(b), 1);
    assert_null(batch_complaint(b)); /* once */
    batch_close(b);
}

static void no_answer_in_time(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    exchanges_put(b, 100);
    exchanges_put(b, 300);
    batch_run(b, 100 + LOST_US - 1);
    assert_int_equal(exchanges_take(b), 0);
    batch_run(b, 100 + LOST_US);
    assert_int_equal(exchanges_take(b), 1);
    batch_run(b, 300 + LOST_US);
    assert_int_equal(exchanges_take(b), 1);
    assert_int_equal(count(STAT_tls_batch_lost), 2);
    assert_int_equal(count(STAT_tls_batch_redone), 2);
    assert_non_null(strstr(batch_complaint(b), "toy did not answer in time"));
    toy_answer(2, ASYM_DONE); /* late: nobody's any more */
    batch_run(b, 5000);
    assert_int_equal(exchanges_take(b), 0);
    assert_int_equal(count(STAT_tls_batch_late), 2);
    assert_int_equal(b->device.flights.in_use, 0);
    batch_close(b);
}

/* The place of an operation that was given up is another's when the answer comes. */
static void late_and_its_owner_gone(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    struct batch_op *gone = exchanges_put(b, 0);
    batch_done(b, gone);
    assert_int_equal(batch_waiting(b), 0);
    struct batch_op *next = exchanges_put(b, 10);
    assert_ptr_equal(next, gone);
    struct list *first = list_pop(&toy.held);
    list_push_tail(&toy.held, first);
    toy_answer(1, ASYM_DONE); /* that of the one that has gone */
    batch_run(b, 20);
    assert_int_equal(exchanges_take(b), 0);
    assert_int_equal(count(STAT_tls_batch_late), 1);
    toy_answer(1, ASYM_DONE);
    batch_run(b, 30);
    assert_int_equal(exchanges_take(b), 1);
    batch_close(b);
}

static void it_rests_and_is_tried_again(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    uint64_t now = 0;
    for (unsigned i = 0; i < DEVICE_STRIKES; i++, now += 10) {
        assert_int_equal(toy.submitted, i);
        exchanges_put(b, now);
        toy_answer(1, ASYM_FAILED);
        batch_run(b, now);
        assert_int_equal(exchanges_take(b), 1);
    }
    now -= 10;
    exchanges_put(b, now + DEVICE_REST_US - 1);
    assert_int_equal(exchanges_take(b), 1); /* by libcrypto, at once */
    assert_int_equal(toy.submitted, DEVICE_STRIKES);
    exchanges_put(b, now + DEVICE_REST_US);
    assert_int_equal(toy.submitted, DEVICE_STRIKES + 1);
    toy_answer(1, ASYM_FAILED);
    batch_run(b, now += DEVICE_REST_US);
    assert_int_equal(exchanges_take(b), 1);
    exchanges_put(b, now + 1); /* one failure after a rest is enough */
    assert_int_equal(toy.submitted, DEVICE_STRIKES + 1);
    exchanges_put(b, now + DEVICE_REST_US);
    toy_answer(1, ASYM_DONE); /* it is well again */
    batch_run(b, now += DEVICE_REST_US);
    for (unsigned i = 1; i < DEVICE_STRIKES; i++) {
        exchanges_put(b, now + i);
        toy_answer(1, ASYM_FAILED);
        batch_run(b, now + i);
    }
    assert_int_equal(toy.submitted, 2 * DEVICE_STRIKES + 1);
    exchanges_take(b);
    batch_close(b);
}

static void no_peer_makes_it_rest(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    struct batch_op *off = exchanges_put_peer(b, 1, 0); /* off the curve: it never gets there */
    assert_ptr_equal(batch_ready(b), off);
    assert_int_equal(off->result, BATCH_BAD);
    batch_done(b, off);
    assert_int_equal(toy.submitted, 0);
    for (unsigned i = 0; i < 2 * DEVICE_STRIKES; i++) { /* all of a batch fails for the sake of one */
        struct batch_op *bad = exchanges_put(b, 0);
        exchanges_put(b, 0);
        bad->exchange.peer[64] ^= 1;
        toy_answer(2, ASYM_FAILED);
        batch_run(b, 1);
        for (unsigned j = 0; j < 2; j++) {
            struct batch_op *op = batch_ready(b);
            assert_int_equal(op->result, op == bad ? BATCH_BAD : BATCH_GOOD);
            batch_done(b, op);
        }
    }
    assert_int_equal(toy.submitted, 4 * DEVICE_STRIKES);
    assert_null(batch_complaint(b));
    batch_close(b);
}

static void more_lost_than_there_is_room(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    uint64_t now = 0;
    for (unsigned i = 0; i < 4 * OPS; i++) {
        assert_non_null(exchanges_put(b, now));
        batch_done(b, exchanges_put(b, now));
        unsigned answered = exchanges_take(b);
        now += 2 * LOST_US;
        batch_run(b, now);
        assert_int_equal(answered + exchanges_take(b), 1);
        now += DEVICE_REST_US;
    }
    assert_int_equal(toy.submitted, 2 * OPS);
    toy.keeps = true;
    batch_close(b); /* what it has is kept: a late answer harms nobody */
    assert_true(toy.closed);
    for (struct list *it; (it = list_pop(&toy.held));)
        memset(list_entry(it, struct asym_job, link)->multiply.shared, 1, 32);
}

static void closed_with_work_in_flight(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    for (unsigned i = 0; i < OPS; i++)
        assert_non_null(exchanges_put(b, 0));
    assert_null(exchanges_put(b, 0));
    toy_answer(3, ASYM_DONE);
    batch_flush(b);
    batch_close(b);
    assert_true(toy.closed);
}

static void who_cannot_wait(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    assert_int_equal(batch_break_even(b, BATCH_P256_DERIVE), 1);
    assert_int_equal(batch_break_even(b, BATCH_P384_DERIVE), BATCH_NEVER);
    exchanges_put(b, 0);
    batch_now(b, exchanges_put(b, 0));
    assert_int_equal(exchanges_take(b), 1);
    assert_int_equal(batch_waiting(b), 1);
    toy_answer(2, ASYM_DONE);
    batch_flush(b);
    assert_int_equal(exchanges_take(b), 1);
    assert_int_equal(count(STAT_tls_batch_late), 1);
    assert_int_equal(count(STAT_tls_batch_redone), 0);
    batch_close(b);
}

static void flights_are_wiped(void **state)
{
    (void)state;
    struct batch *b = toy_batch();
    exchanges_put(b, 0);
    const struct asym_job *job = list_entry(toy.held.next, struct asym_job, link);
    static const struct asym_multiply nothing;
    toy_answer(1, ASYM_DONE);
    batch_flush(b);
    exchanges_take(b);
    assert_memory_equal(&job->multiply, &nothing, sizeof(nothing));
    batch_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_comes_back),
        cmocka_unit_test(what_it_does_not_take_goes_on),
        cmocka_unit_test(what_fails_is_done_again),
        cmocka_unit_test(no_answer_in_time),
        cmocka_unit_test(late_and_its_owner_gone),
        cmocka_unit_test(it_rests_and_is_tried_again),
        cmocka_unit_test(no_peer_makes_it_rest),
        cmocka_unit_test(more_lost_than_there_is_room),
        cmocka_unit_test(closed_with_work_in_flight),
        cmocka_unit_test(who_cannot_wait),
        cmocka_unit_test(flights_are_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
