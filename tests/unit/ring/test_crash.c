/* The engine dies: each recipient has exactly one verdict, and what was untouched moves to the next engine. */
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/one_pair.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

static struct feed_job *memory[8];

static int open_pair(void **state)
{
    struct feed_shape shape = pair_shape();
    for (unsigned i = 0; i < 8; i++)
        memory[i] = pair_job_memory(&shape);
    return one_pair_open(state);
}

static int close_pair(void **state)
{
    for (unsigned i = 0; i < 8; i++)
        free(memory[i]);
    return one_pair_close(state);
}

static void submit(uint64_t cookie)
{
    struct hl_job job = pair_job(cookie);
    one_pair_submit(&job);
}

static void take_at(unsigned i, enum stage stage)
{
    struct outcome why;
    assert_int_equal(feed_take(pair.engine, 0, memory[i], &why), FEED_TAKEN);
    feed_stage(memory[i], stage);
}

/* Reaps until the library says that the engine is gone. */
static int reap_all(struct hl_result *r, int max)
{
    int count = 0, n = 0;
    for (int i = 0; i < 10 && n >= 0; i++) {
        assert_int_equal(hl_wait(pair.producer, 1000, &pair.error), 1);
        n = hl_reap(pair.producer, r + count, (size_t)(max - count), &pair.error);
        count += n > 0 ? n : 0;
    }
    assert_int_equal(n, -EPIPE);
    return count;
}

static void verdicts_follow_the_stage(void **state)
{
    (void)state;
    static const enum stage stage[] = {STAGE_SUBMIT, STAGE_CONNECT, STAGE_RCPT,
                                       STAGE_DATA,   STAGE_DOT,     STAGE_QUIT};
    struct hl_result r[16];
    for (unsigned i = 0; i < 6; i++)
        submit(i);
    for (unsigned i = 0; i < 6; i++)
        take_at(i, stage[i]);
    pair_kill_engine(&pair);
    assert_int_equal(reap_all(r, 16), 6);
    uint32_t seen = 0;
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(r[i].verdict, r[i].cookie < 4 ? HL_NOT_SENT : HL_IN_DOUBT);
        assert_int_equal(r[i].stage, stage[r[i].cookie]);
        assert_int_equal(r[i].fault, HL_FAULT_LOCAL);
        assert_true(r[i].last);
        assert_true(r[i].text[0]);
        seen |= 1u << r[i].cookie;
    }
    assert_int_equal(seen, 0x3f);
}

static void what_was_reported_before_the_death_counts(void **state)
{
    (void)state;
    struct hl_result r[16];
    submit(1);
    submit(2);
    take_at(0, STAGE_DOT);
    pair_deliver(memory[0]);
    take_at(1, STAGE_DOT);
    struct outcome late;
    outcome_set(&late, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "never published");
    feed_report(memory[1], 0, &late, NULL);
    pair_kill_engine(&pair);
    assert_int_equal(reap_all(r, 16), 2);
    assert_int_equal(r[0].cookie, 1);
    assert_int_equal(r[0].verdict, HL_DELIVERED);
    assert_int_equal(r[1].cookie, 2);
    assert_int_equal(r[1].verdict, HL_IN_DOUBT);
}

static void only_recipients_without_result_get_a_verdict(void **state)
{
    (void)state;
    struct hl_result r[16];
    struct hl_recipient to[] = {{hl_str("a@example.org"), hl_none()},
                                {hl_str("b@example.org"), hl_none()},
                                {hl_str("c@example.org"), hl_none()}};
    struct hl_job job = pair_job(1);
    job.recipients = to;
    job.recipients_count = 3;
    assert_int_equal(hl_submit(pair.producer, &job, NULL), 0);
    take_at(0, STAGE_DOT);
    struct outcome no;
    outcome_set(&no, VERDICT_FAILED, STAGE_RCPT, FAULT_REMOTE, REASON_REPLY, "no such user");
    feed_report(memory[0], 1, &no, NULL);
    feed_flush(pair.engine, 0);
    pair_kill_engine(&pair);
    assert_int_equal(reap_all(r, 16), 3);
    assert_int_equal(r[0].recipient, 1);
    assert_int_equal(r[0].verdict, HL_FAILED);
    assert_false(r[0].last || r[1].last);
    assert_true(r[2].last);
    assert_int_equal(r[1].recipient + r[2].recipient, 2);
    assert_int_equal(r[1].verdict, HL_IN_DOUBT);
}

static void submitting_to_the_dead_says_so(void **state)
{
    (void)state;
    struct hl_result r[4];
    pair_kill_engine(&pair);
    assert_int_equal(reap_all(r, 4), 0);
    struct hl_job job = pair_job(1);
    assert_int_equal(hl_submit(pair.producer, &job, &pair.error), -EPIPE);
    assert_non_null(strstr(pair.error.text, "is gone"));
    assert_int_equal(hl_feed_reattach(pair.producer, 100, &pair.error), -ENOENT);
    assert_int_equal(hl_submit(pair.producer, &job, &pair.error), -EPIPE);
}

static void untouched_jobs_move_to_the_next_engine(void **state)
{
    (void)state;
    struct hl_result r[16];
    struct feed_shape shape = pair_shape();
    hl_body *held, *shared;
    assert_int_equal(hl_body_reserve(pair.producer, 3000, &held, NULL), 0);
    memset(hl_body_data(held), 'h', 3000);
    assert_int_equal(hl_body_reserve(pair.producer, 2000, &shared, NULL), 0);
    memset(hl_body_data(shared), 's', 2000);
    submit(1);
    take_at(0, STAGE_MAIL);
    struct hl_part part[] = {hl_copy_of("a: b\r\n\r\n", 8), hl_part_of(shared, 500, 1000)};
    struct hl_job job = pair_job(2);
    job.parts = part;
    job.parts_count = 2;
    job.tag = hl_str("kept");
    assert_int_equal(hl_submit(pair.producer, &job, NULL), 0);
    hl_body_release(shared);
    submit(3);
    pair_kill_engine(&pair);
    assert_int_equal(hl_feed_reattach(pair.producer, 100, &pair.error), -EBUSY);
    assert_int_equal(reap_all(r, 16), 1);
    assert_int_equal(r[0].cookie, 1);
    assert_int_equal(r[0].verdict, HL_NOT_SENT);

    shape.engine_epoch++;
    shape.hash_seed = 77;
    shape.lanes = 3;
    pair_serve(&pair, &shape);
    int fd = hl_feed_fd(pair.producer);
    assert_int_equal(pair_reattach(&pair), 0);
    assert_int_equal(hl_feed_fd(pair.producer), fd);
    assert_int_equal(hl_feed_arm(pair.producer), 0);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(((uint8_t *)hl_body_data(held))[i], 'h');
    hl_body_release(held);

    uint32_t lane = 0;
    while (pair.producer->region.lane[lane].out.position == 0)
        lane++;
    struct feed_job *got = pair_take(&pair, lane);
    assert_string_equal(got->tag, "kept");
    assert_int_equal(got->extents, 2);
    assert_memory_equal(got->extent[0].data, "a: b\r\n\r\n", 8);
    assert_int_equal(got->extent[1].len, 1000);
    assert_int_equal(got->extent[1].data[999], 's');
    pair_deliver(got);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 1); /* the new engine rings */
    got = pair_take(&pair, lane);
    pair_deliver(got);
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 2);
    assert_int_equal(r[0].cookie, 2);
    assert_int_equal(r[1].cookie, 3);
    assert_int_equal(r[1].verdict, HL_DELIVERED);
    struct hl_limits limits;
    hl_feed_limits(pair.producer, &limits);
    assert_int_equal(limits.arena_free, limits.arena_bytes);
    assert_int_equal(limits.recipients_in_flight, 0);
    assert_int_equal(limits.engine_epoch, shape.engine_epoch);
}

static void a_message_half_looked_at_moves_in_part(void **state)
{
    (void)state;
    struct hl_result r[16];
    struct feed_shape shape = pair_shape();
    struct hl_recipient to[] = {{hl_str("a@one.example"), hl_none()}, {hl_str("b@two.example"), hl_none()}};
    struct hl_job job = pair_job(5);
    job.recipients = to;
    job.recipients_count = 2;
    assert_int_equal(hl_submit(pair.producer, &job, NULL), 0);
    take_at(0, STAGE_DOT);
    pair_kill_engine(&pair);
    assert_int_equal(reap_all(r, 16), 1);
    assert_int_equal(r[0].verdict, HL_IN_DOUBT);
    assert_false(r[0].last);
    uint32_t first = r[0].recipient;

    shape.engine_epoch++;
    pair_serve(&pair, &shape);
    assert_int_equal(pair_reattach(&pair), 0);
    pair_deliver(pair_take(&pair, 0));
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 1);
    assert_int_equal(r[0].recipient, 1 - first);
    assert_true(r[0].last);
}

static void what_the_next_engine_has_no_room_for_is_not_sent(void **state)
{
    (void)state;
    static char big[50000];
    struct hl_result r[16];
    struct feed_shape shape = pair_shape();
    memset(big, 'a', sizeof(big));
    struct hl_part part = hl_copy_of(big, sizeof(big));
    struct hl_job job = pair_job(1);
    job.parts = &part;
    for (job.cookie = 1; job.cookie <= 3; job.cookie++)
        assert_int_equal(hl_submit(pair.producer, &job, NULL), 0);
    hl_body *held;
    assert_int_equal(hl_body_reserve(pair.producer, 70000, &held, NULL), 0);
    pair_kill_engine(&pair);
    assert_int_equal(reap_all(r, 16), 0);

    shape.engine_epoch++;
    shape.arena_bytes = 65536;
    pair_serve(&pair, &shape);
    assert_int_equal(pair_reattach(&pair), 0);
    assert_null(hl_body_data(held));
    assert_int_equal(hl_body_bytes(held), 0);
    hl_body_release(held);
    assert_int_equal(hl_wait(pair.producer, 0, NULL), 1);
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 2);
    assert_int_equal(r[0].verdict, HL_NOT_SENT);
    assert_int_equal(r[1].verdict, HL_NOT_SENT);
    assert_int_equal(r[0].cookie + r[1].cookie, 5); /* the oldest moved */
    pair_deliver(pair_take(&pair, 0));
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 1);
    assert_int_equal(r[0].cookie, 1);
}

/* The n-th record that lies in the producer's first stream. */
static struct ring_job *record(unsigned n)
{
    uint8_t *at = pair.producer->region.lane[0].out.base;
    while (n-- > 0)
        at += ((struct ring_job *)at)->bytes;
    return (struct ring_job *)at;
}

/* The dead engine's process may have written into its memory: a record is believed as far as it is one. */
static void what_the_dead_engine_spoilt_is_not_sent(void **state)
{
    (void)state;
    struct hl_result r[16];
    struct feed_shape shape = pair_shape();
    for (uint64_t i = 0; i < 6; i++)
        submit(i);
    pair_kill_engine(&pair);
    assert_int_equal(reap_all(r, 16), 0);
    record(0)->recipients = 2;
    record(1)->extents = 16;
    record(2)->next_hop_bytes = 255;
    struct ring_extent *extent = (struct ring_extent *)(record(3) + 1);
    ((struct ring_recipient *)(extent + 1))->address_bytes = UINT16_MAX;
    uint8_t *strings =
        (uint8_t *)(record(4) + 1) + sizeof(struct ring_extent) + sizeof(struct ring_recipient);
    strings[record(4)->sender_bytes] = ' '; /* in the recipient's address */

    shape.engine_epoch++;
    pair_serve(&pair, &shape);
    assert_int_equal(pair_reattach(&pair), 0);
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(r[i].verdict, HL_NOT_SENT);
        assert_in_range(r[i].cookie, 0, 4);
    }
    pair_deliver(pair_take(&pair, 0));
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 1);
    assert_int_equal(r[0].cookie, 5);
}

static void giving_up_gives_every_verdict(void **state)
{
    (void)state;
    struct hl_result r[16];
    assert_int_equal(hl_feed_give_up(pair.producer, &pair.error), -EINVAL);
    for (unsigned i = 0; i < 5; i++)
        submit(i);
    take_at(0, STAGE_DOT);
    pair_kill_engine(&pair);
    assert_int_equal(reap_all(r, 16), 1);
    assert_int_equal(hl_feed_give_up(pair.producer, &pair.error), 0);
    assert_int_equal(reap_all(r, 16), 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(r[i].verdict, HL_NOT_SENT);
    assert_int_equal(hl_feed_detach(pair.producer), 0);
    pair.producer = NULL;
}

static void verdicts_come_in_pieces(void **state)
{
    (void)state;
    struct hl_result r;
    uint32_t seen = 0;
    for (unsigned i = 0; i < 8; i++)
        submit(i);
    for (unsigned i = 0; i < 8; i++)
        take_at(i, STAGE_DATA);
    pair_kill_engine(&pair);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(hl_wait(pair.producer, 1000, NULL), 1);
        assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
        assert_false(seen >> r.cookie & 1);
        seen |= 1u << r.cookie;
    }
    assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), -EPIPE);
}

static void detaching_counts_what_is_unresolved(void **state)
{
    (void)state;
    hl_body *held;
    assert_int_equal(hl_body_reserve(pair.producer, 100, &held, NULL), 0);
    submit(1);
    submit(2);
    assert_int_equal(hl_feed_detach(pair.producer), 2);
    pair.producer = NULL;
    assert_null(hl_body_data(held));
    hl_body_release(held);
}

/* The engine lets go of a broken feed only when its cores have: until then nothing is judged. */
static void no_verdict_before_the_cores_let_go(void **state)
{
    (void)state;
    struct hl_result r;
    submit(1);
    take_at(0, STAGE_DATA);
    pair.hold_detach = true;
    feed_server_stop(pair.server);
    assert_int_equal(pair.detaches, 1);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(hl_reap(pair.producer, &r, 1, &pair.error), 0);
    pair_deliver(memory[0]);
    assert_int_equal(hl_reap(pair.producer, &r, 1, &pair.error), 1);
    assert_int_equal(r.verdict, HL_DELIVERED);
    struct feed *feed = pair.engine;
    pair.engine = NULL;
    feed_server_detached(pair.server, feed);
    assert_int_equal(reap_all(&r, 1), 0);
    assert_non_null(strstr(pair.error.text, "the engine stops"));
}

static void a_forged_result_makes_all_doubtful(void **state)
{
    (void)state;
    struct hl_result r[4];
    submit(1);
    submit(2);
    take_at(0, STAGE_MAIL);
    struct outcome o;
    outcome_set(&o, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "x");
    memory[0]->id += 1000ull << RING_SLOT_BITS;
    feed_report(memory[0], 0, &o, NULL);
    feed_flush(pair.engine, 0);
    assert_int_equal(hl_reap(pair.producer, r, 4, &pair.error), 2);
    assert_int_equal(r[0].verdict, HL_IN_DOUBT);
    assert_int_equal(r[1].verdict, HL_IN_DOUBT);
    assert_int_equal(hl_reap(pair.producer, r, 4, &pair.error), -EPROTO);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        T(verdicts_follow_the_stage),
        T(what_was_reported_before_the_death_counts),
        T(only_recipients_without_result_get_a_verdict),
        T(submitting_to_the_dead_says_so),
        T(untouched_jobs_move_to_the_next_engine),
        T(a_message_half_looked_at_moves_in_part),
        T(what_the_next_engine_has_no_room_for_is_not_sent),
        T(what_the_dead_engine_spoilt_is_not_sent),
        T(giving_up_gives_every_verdict),
        T(verdicts_come_in_pieces),
        T(detaching_counts_what_is_unresolved),
        T(no_verdict_before_the_cores_let_go),
        T(a_forged_result_makes_all_doubtful),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
