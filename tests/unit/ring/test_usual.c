/* The short way of submitting writes what the whole way writes, takes nothing that the whole way refuses, and leaves nothing behind. */
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/one_pair.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

static int open_pair(void **state)
{
    pair.rights.body_bytes_max = 1000;
    return one_pair_open(state);
}

static struct lane *lane(void)
{
    return &pair.producer->region.lane[0];
}

/* The record that a job submitted now gets; what is the job's own in it is taken out. */
static uint32_t record_of(const struct hl_job *job, bool usual, uint8_t out[512])
{
    uint32_t at = lane()->out.at;
    if (usual)
        assert_true(submit_usual(pair.producer, job, 1));
    else
        assert_int_equal(hl_submit(pair.producer, job, &pair.error), 0);
    struct ring_job *head = (struct ring_job *)(lane()->out.base + at);
    struct ring_extent *extent = (struct ring_extent *)(head + 1);
    uint32_t bytes = head->bytes;
    assert_in_range(bytes, sizeof(*head), 512);
    assert_memory_equal(pair.producer->region.base + extent->offset, job->parts->copy, job->parts->bytes);
    head->id = extent->offset = 0;
    memcpy(out, head, bytes - 7); /* what rounds it up is nobody's */
    return bytes;
}

static void both_ways_write_the_same(void **state)
{
    (void)state;
    static const char *const text[] = {"Subject: a\r\n\r\n.\r\n", "x", "Subject: \xc3\xa9\r\n\r\n\xff\r\n"};
    for (unsigned i = 0; i < 24; i++) {
        uint8_t one[512], other[512];
        struct hl_job job = pair_job(i);
        struct hl_part part = hl_copy_of(text[i % 3], strlen(text[i % 3]));
        job.parts = &part;
        job.sender = i % 2 ? hl_str("carol@example.net") : hl_none();
        job.flags = i % 4 * HL_JOB_REQUIRETLS;
        job.body_type = i % 5 ? HL_BODY_AUTO : HL_BODY_8BIT;
        job.tls_floor = (uint8_t)(i % 4);
        job.priority = (uint8_t)i;
        job.source_pool = i;
        job.deadline_us = i % 7 * 1000;
        uint32_t bytes = record_of(&job, true, one);
        job.flags |= HL_JOB_NORMALISE; /* it has nothing to normalise, but goes the whole way */
        assert_int_equal(record_of(&job, false, other), bytes);
        assert_memory_equal(one, other, bytes - 7);
        hl_feed_detach(pair.producer);
        pair.producer = NULL;
        one_pair_close(NULL);
        open_pair(NULL);
    }
}

/* Nothing has changed where the short way says no. */
static void not_usual(const struct hl_job *job)
{
    uint64_t position = lane()->out.position;
    uint32_t slots = lane()->free_count, units = pair.producer->region.arena.free_units;
    assert_false(submit_usual(pair.producer, job, 1));
    assert_int_equal(lane()->out.position, position);
    assert_int_equal(lane()->free_count, slots);
    assert_int_equal(pair.producer->region.arena.free_units, units);
    assert_int_equal(pair.producer->recipients_in_flight, 0);
}

static void what_is_wrong_or_more_than_usual_goes_the_whole_way(void **state)
{
    (void)state;
    const struct hl_part two[2] = {hl_copy_of("a\r\n", 3), hl_copy_of("b\r\n", 3)};
    static char large[1001] = "x";
    const struct hl_part bare_lf = hl_copy_of("a\nb\r\n", 5), bare_cr = hl_copy_of("a\r", 2),
                         empty = hl_copy_of("", 0), nothing = {NULL, 0, 4, NULL},
                         long_one = hl_copy_of(large, sizeof(large));
    const struct hl_part *const wrong_part[] = {&bare_lf, &bare_cr, &empty, &nothing, &long_one};
    for (size_t i = 0; i < ARRAY_LEN(wrong_part); i++) {
        struct hl_job job = pair_job(1);
        job.parts = wrong_part[i];
        not_usual(&job);
    }
    struct hl_recipient to[2] = {{hl_str("bob@example.org"), hl_none()},
                                 {hl_str("eve@example.org"), hl_none()}};
    for (unsigned i = 0; i < 12; i++) {
        struct hl_job job = pair_job(1);
        job.recipients = to;
        to[0] = (struct hl_recipient){hl_str(i == 0   ? "bob"
                                             : i == 1 ? "b b@example.org"
                                                      : "bob@example.org"),
                                      hl_str(i == 2 ? "NOTIFY=NEVER" : NULL)};
        job.sender = hl_str(i == 3 ? "a <b@example.org>" : "alice@example.com");
        job.recipients_count = i == 4 ? 2 : i == 5 ? 0 : 1;
        job.parts = i == 6 ? two : job.parts;
        job.parts_count = i == 6 ? 2 : i == 7 ? 0 : 1;
        job.next_hop = hl_str(i == 8 ? "mx.example.org" : NULL);
        job.tag = hl_str(i == 9 ? "t" : NULL);
        job.tls_floor = i == 10 ? RING_TLS_FLOOR_MAX + 1 : 0;
        job.flags = i == 11 ? 1u << 20 : 0;
        not_usual(&job);
    }
    struct hl_job job = pair_job(1);
    job.body_type = HL_BODY_7BIT;
    not_usual(&job);
    job = pair_job(1);
    job.size--;
    not_usual(&job);
}

static void a_full_lane_or_arena_is_said_by_the_whole_way(void **state)
{
    (void)state;
    struct hl_job job = pair_job(1);
    uint32_t slots = lane()->free_count;
    lane()->free_count = 0;
    not_usual(&job);
    lane()->free_count = slots;
    uint32_t units = pair.producer->region.arena.free_units;
    pair.producer->region.arena.free_units = 0;
    not_usual(&job);
    pair.producer->region.arena.free_units = units;
    assert_true(submit_usual(pair.producer, &job, 1));
}

/* A body in the arena goes the short way once its lines have been looked at, and not after its holder may have written again. */
static void a_shared_body_is_looked_at_first(void **state)
{
    (void)state;
    hl_body *body;
    assert_int_equal(hl_body_reserve(pair.producer, 3, &body, &pair.error), 0);
    memcpy(hl_body_data(body), "a\r\n", 3);
    const struct hl_part whole = hl_part_of(body, 0, 3), less = hl_part_of(body, 0, 1);
    struct hl_job job = pair_job(1);
    job.parts = &whole;
    not_usual(&job);
    assert_int_equal(hl_submit(pair.producer, &job, &pair.error), 0);
    assert_true(submit_usual(pair.producer, &job, 1));
    assert_int_equal(body->claims, 3);
    job.parts = &less;
    assert_false(submit_usual(pair.producer, &job, 1));
    hl_body_release(body);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_pair, one_pair_close)
    const struct CMUnitTest tests[] = {
        T(both_ways_write_the_same),
        T(what_is_wrong_or_more_than_usual_goes_the_whole_way),
        T(a_full_lane_or_arena_is_said_by_the_whole_way),
        T(a_shared_body_is_looked_at_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
