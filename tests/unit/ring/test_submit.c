/* What hl_submit refuses, with what words, and how it cuts a message into ring jobs. */
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/one_pair.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int open_pair(void **state)
{
    pair.rights.body_bytes_max = 100000;
    return one_pair_open(state);
}

static uint64_t arena_free(void)
{
    struct hl_limits limits;
    hl_feed_limits(pair.producer, &limits);
    return limits.arena_free;
}

/* A refused job leaves nothing behind. */
static void refused(const struct hl_job *job, int code, const char *why)
{
    uint64_t free_before = arena_free();
    uint32_t slots_before = pair.producer->region.lane[0].free_count;
    pair.error.text[0] = 0;
    assert_int_equal(hl_submit(pair.producer, job, &pair.error), -code);
    assert_int_equal(pair.error.code, code);
    if (!strstr(pair.error.text, why))
        fail_msg("\"%s\" does not say \"%s\"", pair.error.text, why);
    assert_int_equal(arena_free(), free_before);
    assert_int_equal(pair.producer->region.lane[0].free_count, slots_before);
    assert_int_equal(pair.producer->recipients_in_flight, 0);
    struct outcome o;
    struct feed_job *memory =
        pair_job_memory(&(struct feed_shape){.recipients_max = 4, .envelope_bytes_max = 4096});
    assert_int_equal(feed_take(pair.engine, 0, memory, &o), FEED_EMPTY);
    free(memory);
}

static void bad_envelopes(void **state)
{
    (void)state;
    struct hl_job job = pair_job(1);
    job.recipients_count = 0;
    refused(&job, EINVAL, "no recipients");

    job = pair_job(1);
    struct hl_recipient to[2] = {{hl_str("good@example.org"), hl_none()},
                                 {{"b\0b@example.org", 15}, hl_none()}};
    job.recipients = to;
    job.recipients_count = 2;
    refused(&job, EINVAL, "recipient 2, \"b?b@example.org\", has a NUL in it");
    to[1].address = hl_str("b\rb@example.org");
    refused(&job, EINVAL, "has a CR or LF");
    to[1].address = hl_str("");
    refused(&job, EINVAL, "recipient 2, \"\", is empty");
    to[1] = (struct hl_recipient){hl_str("b@example.org"), hl_str("NOTIFY=NEVER\r\nDATA")};
    refused(&job, EINVAL, "DSN parameters have a character");

    job = pair_job(1);
    job.sender = hl_str("alice");
    refused(&job, EINVAL, "the sender's address has no @");
    job.sender = hl_str("<alice@example.com>");
    refused(&job, EINVAL, "angle bracket");
    job = pair_job(1);
    job.next_hop = hl_str("mx example.org");
    refused(&job, EINVAL, "the next hop \"mx example.org\" has a space");
    job = pair_job(1);
    job.tag = hl_str("a\nb");
    refused(&job, EINVAL, "the tag has a character");
    job = pair_job(1);
    job.flags = 1u << 20;
    refused(&job, EINVAL, "flags");
    job = pair_job(1);
    job.tls_floor = HL_TLS_SECURE + 1;
    refused(&job, EINVAL, "TLS floor");
    job = pair_job(1);
    job.size = 0;
    refused(&job, EINVAL, "hl_job_init");
}

static void bad_body(const char *text, size_t bytes, uint32_t flags, uint8_t type, int code, const char *why)
{
    struct hl_part part = hl_copy_of(text, bytes);
    struct hl_job job = pair_job(1);
    job.parts = &part;
    job.flags = flags;
    job.body_type = type;
    refused(&job, code, why);
}

static void bad_bodies(void **state)
{
    (void)state;
    bad_body("a: b\r\n\r\nx\ny\r\n", 14, 0, 0, EINVAL, "a bare LF in line 3 (byte 9)");
    bad_body("a: b\r\n\r\nx\r.\r\n", 14, 0, 0, EINVAL, "a bare CR in line 3 (byte 9)");
    bad_body("a: b\r\n\r\nx\r", 10, 0, 0, EINVAL, "a bare CR in line 3 (byte 9)");
    bad_body("", 0, 0, 0, EINVAL, "empty");
    bad_body("a: \xff\r\n", 6, 0, HL_BODY_7BIT, EINVAL, "7-bit");
    char *large = malloc(100001);
    memset(large, 'a', 100001);
    bad_body(large, 100001, 0, 0, EMSGSIZE, "100000 bytes");
    memset(large, '\n', 100001);
    bad_body(large, 60000, HL_JOB_NORMALISE, 0, EMSGSIZE, "has 120000 bytes with its line ends made CRLF");
    free(large);

    struct hl_job job = pair_job(1);
    job.parts_count = 0;
    refused(&job, EINVAL, "0 parts");
    struct hl_part part[17];
    for (unsigned i = 0; i < 17; i++)
        part[i] = hl_copy_of("a", 1);
    job.parts = part;
    job.parts_count = 17;
    refused(&job, EINVAL, "17 parts");
    part[0].copy = NULL;
    job.parts_count = 1;
    refused(&job, EINVAL, "neither a body nor bytes");
}

static void body_of(const struct feed_job *job, char *out)
{
    for (uint32_t i = 0; i < job->extents; i++) {
        memcpy(out, job->extent[i].data, job->extent[i].len);
        out += job->extent[i].len;
    }
    *out = 0;
}

static void normalising_crosses_parts(void **state)
{
    (void)state;
    char text[200];
    hl_body *fixed;
    assert_int_equal(hl_body_reserve(pair.producer, 4, &fixed, NULL), 0);
    memcpy(hl_body_data(fixed), "\nk\r\n", 4);
    struct hl_part part[] = {hl_copy_of("a\nb\r", 4), hl_copy_of("\nc\r", 3), hl_part_of(fixed, 0, 4),
                             hl_copy_of("d\r", 2)};
    struct hl_job job = pair_job(1);
    job.parts = part;
    job.parts_count = 4;
    job.flags = HL_JOB_NORMALISE;
    one_pair_submit(&job);
    struct feed_job *got = pair_take(&pair, 0);
    body_of(got, text);
    assert_string_equal(text, "a\r\nb\r\nc\r\nk\r\nd\r\n");
    assert_int_equal(got->body_bytes, strlen(text));
    hl_body_release(fixed);
}

static void bare_line_ends_in_bodies_are_refused_even_when_normalising(void **state)
{
    (void)state;
    hl_body *body;
    assert_int_equal(hl_body_reserve(pair.producer, 4, &body, NULL), 0);
    memcpy(hl_body_data(body), "x\nk\n", 4);
    struct hl_part part = hl_part_of(body, 0, 4);
    struct hl_job job = pair_job(1);
    job.parts = &part;
    job.flags = HL_JOB_NORMALISE;
    refused(&job, EINVAL, "bare LF in line 1 (byte 1)");
    part.bytes = 5;
    refused(&job, EINVAL, "ends behind the 4 bytes");
    part.offset = SIZE_MAX;
    refused(&job, EINVAL, "ends behind");
    hl_body_release(body);
}

static void a_body_is_shared_and_freed_once(void **state)
{
    (void)state;
    uint64_t all = arena_free();
    hl_body *body;
    assert_int_equal(hl_body_reserve(pair.producer, 5000, &body, &pair.error), 0);
    memset(hl_body_data(body), 'x', 5000);
    assert_int_equal(hl_body_bytes(body), 5000);
    for (uint64_t i = 0; i < 3; i++) {
        char head[64];
        struct hl_part part[] = {
            hl_copy_of(head, (size_t)snprintf(head, sizeof(head), "X: %d\r\n\r\n", (int)i)),
            hl_part_of(body, 0, 5000)};
        struct hl_job job = pair_job(i);
        job.parts = part;
        job.parts_count = 2;
        one_pair_submit(&job);
    }
    hl_body_release(body);
    assert_true(arena_free() < all - 5000);
    struct hl_result r;
    for (unsigned i = 0; i < 3; i++) {
        struct feed_job *job = pair_take(&pair, 0);
        assert_int_equal(job->extent[1].len, 5000);
        assert_int_equal(job->extent[1].data[4999], 'x');
        assert_int_equal(job->extent[0].data[3], '0' + (int)i);
        pair_deliver(job);
        assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
    }
    assert_int_equal(arena_free(), all);
}

/* A body is looked at again once nobody but its holder can have it. */
static void a_rewritten_body_is_judged_anew(void **state)
{
    (void)state;
    struct hl_result r;
    hl_body *body;
    assert_int_equal(hl_body_reserve(pair.producer, 4, &body, NULL), 0);
    memcpy(hl_body_data(body), "\xc3\xa4\r\n", 4);
    struct hl_part part = hl_part_of(body, 0, 4);
    struct hl_job job = pair_job(1);
    job.parts = &part;
    for (unsigned i = 0; i < 2; i++) { /* the second time it is known */
        one_pair_submit(&job);
        struct feed_job *got = pair_take(&pair, 0);
        assert_int_equal(got->flags, FEED_8BITMIME);
        pair_deliver(got);
    }
    assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
    assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
    memcpy(hl_body_data(body), "a\nb\n", 4);
    refused(&job, EINVAL, "bare LF in line 1 (byte 1)");

    memcpy(hl_body_data(body), "ab\r\n", 4);
    struct hl_job wrong = job;
    struct hl_recipient many[40];
    for (unsigned i = 0; i < 40; i++)
        many[i] = (struct hl_recipient){hl_str("a@example.org"), hl_none()};
    wrong.recipients = many;
    wrong.recipients_count = 33;
    refused(&wrong, EINVAL, "submit it in several jobs");
    memcpy(hl_body_data(body), "a\nb\n", 4);
    refused(&job, EINVAL, "bare LF in line 1 (byte 1)");
    hl_body_release(body);
}

static void full_arena_says_so_and_recovers(void **state)
{
    (void)state;
    static char big[90000];
    struct hl_result r[8];
    memset(big, 'a', sizeof(big));
    struct hl_part part = hl_copy_of(big, sizeof(big));
    struct hl_job job = pair_job(1);
    job.parts = &part;
    one_pair_submit(&job);
    one_pair_submit(&job);
    assert_int_equal(hl_submit(pair.producer, &job, &pair.error), -EAGAIN);
    assert_non_null(strstr(pair.error.text, "the arena is full"));
    hl_body *body;
    assert_int_equal(hl_body_reserve(pair.producer, 90000, &body, &pair.error), -EAGAIN);
    assert_int_equal(hl_body_reserve(pair.producer, 100001, &body, &pair.error), -EMSGSIZE);
    pair_deliver(pair_take(&pair, 0));
    assert_int_equal(hl_reap(pair.producer, r, 8, NULL), 1);
    one_pair_submit(&job);
}

static void full_lane_says_so_and_recovers(void **state)
{
    (void)state;
    struct hl_result r[8];
    struct hl_job job = pair_job(1);
    for (unsigned i = 0; i < 8; i++)
        one_pair_submit(&job);
    assert_int_equal(hl_submit(pair.producer, &job, &pair.error), -EAGAIN);
    assert_non_null(strstr(pair.error.text, "lane 0 is full, 8 jobs are unfinished"));
    pair_deliver(pair_take(&pair, 0));
    assert_int_equal(hl_submit(pair.producer, &job, &pair.error), -EAGAIN); /* not reaped yet */
    assert_int_equal(hl_reap(pair.producer, r, 8, NULL), 1);
    one_pair_submit(&job);
}

/* A slow job does not hold up the slots of those behind it. */
static void slots_come_back_in_any_order(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    struct feed_job *slow = pair_job_memory(&shape);
    struct outcome why;
    struct hl_result r;
    struct hl_job job = pair_job(1000);
    one_pair_submit(&job);
    assert_int_equal(feed_take(pair.engine, 0, slow, &why), FEED_TAKEN);
    for (uint64_t i = 0; i < 100; i++) {
        job = pair_job(i);
        one_pair_submit(&job);
        pair_deliver(pair_take(&pair, 0));
        assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
        assert_int_equal(r.cookie, i);
    }
    pair_deliver(slow);
    assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
    assert_int_equal(r.cookie, 1000);
    free(slow);
}

static const char *const split_to[] = {
    "a@one.example", "b@two.example", "c@ONE.example", "d@three.example",
    "e@one.example", "f@one.example", "g@one.example", "h@two.example",
};

static void recipients_are_split_by_domain_and_count(void **state)
{
    (void)state;
    struct hl_recipient to[8];
    for (unsigned i = 0; i < 8; i++)
        to[i] = (struct hl_recipient){hl_str(split_to[i]), hl_none()};
    struct hl_job job = pair_job(77);
    job.recipients = to;
    job.recipients_count = 8;
    one_pair_submit(&job);

    unsigned seen = 0, jobs = 0, last = 0;
    for (; seen < 8; jobs++) {
        struct feed_job *got = pair_take(&pair, 0);
        assert_in_range(got->recipients, 1, 4); /* recipients_max */
        for (uint32_t r = 0; r < got->recipients; r++)
            assert_non_null(memmem(got->recipient[r].address.data + 2, got->recipient[r].address.len - 2,
                                   got->domain + 3, strlen(got->domain) - 3));
        pair_deliver(got);
        struct hl_result r[8];
        int n = hl_reap(pair.producer, r, 8, NULL);
        assert_int_equal(n, got->recipients);
        for (int i = 0; i < n; i++, seen++) {
            assert_int_equal(r[i].cookie, 77);
            last += r[i].last;
        }
    }
    assert_int_equal(jobs, 4); /* one (5 recipients: 4 + 1), two, three */
    assert_int_equal(last, 1);
}

static void every_recipient_index_comes_back_once(void **state)
{
    (void)state;
    struct hl_recipient to[8];
    uint32_t seen = 0;
    for (unsigned i = 0; i < 8; i++)
        to[i] = (struct hl_recipient){hl_str(split_to[i]), hl_none()};
    struct hl_job job = pair_job(77);
    job.recipients = to;
    job.recipients_count = 8;
    one_pair_submit(&job);
    while (seen != 0xff) {
        struct feed_job *got = pair_take(&pair, 0);
        char address[8][64];
        uint32_t n = got->recipients;
        for (uint32_t r = 0; r < n; r++)
            snprintf(address[r], 64, "%.*s", (int)got->recipient[r].address.len,
                     got->recipient[r].address.data);
        pair_deliver(got);
        struct hl_result result[8];
        assert_int_equal(hl_reap(pair.producer, result, 8, NULL), n);
        for (uint32_t r = 0; r < n; r++) {
            assert_string_equal(address[r], split_to[result[r].recipient]);
            assert_false(seen >> result[r].recipient & 1);
            seen |= 1u << result[r].recipient;
        }
    }
}

static void long_envelopes_are_split_by_bytes(void **state)
{
    (void)state;
    static char dsn[4][501];
    struct hl_recipient to[4];
    char name[4][32];
    for (unsigned i = 0; i < 4; i++) {
        memset(dsn[i], 'o', 500);
        memcpy(dsn[i], "ORCPT=rfc822;", 13);
        snprintf(name[i], 32, "r%u@example.org", i);
        to[i] = (struct hl_recipient){hl_str(name[i]), {dsn[i], 500}};
    }
    struct hl_recipient eight[8];
    memcpy(eight, to, sizeof(to));
    memcpy(eight + 4, to, sizeof(to));
    struct hl_job job = pair_job(5);
    job.recipients = eight;
    job.recipients_count = 8;
    one_pair_submit(&job);
    for (unsigned left = 8; left > 0;) {
        struct feed_job *got = pair_take(&pair, 0);
        assert_true(got->recipients <= left);
        left -= got->recipients;
        pair_deliver(got);
        struct hl_result r[8];
        hl_reap(pair.producer, r, 8, NULL);
    }
}

static void a_next_hop_keeps_recipients_together(void **state)
{
    (void)state;
    struct hl_recipient to[] = {{hl_str("a@one.example"), hl_none()}, {hl_str("b@two.example"), hl_none()}};
    struct hl_job job = pair_job(1);
    job.recipients = to;
    job.recipients_count = 2;
    job.next_hop = hl_str("Relay.Example:587");
    one_pair_submit(&job);
    struct feed_job *got = pair_take(&pair, 0);
    assert_int_equal(got->recipients, 2);
    assert_string_equal(got->domain, "relay.example");
    assert_string_equal(got->next_hop, "Relay.Example:587");
}

static void too_many_for_the_lane_is_final(void **state)
{
    (void)state;
    static struct hl_recipient to[40];
    for (unsigned i = 0; i < 40; i++)
        to[i] = (struct hl_recipient){hl_str("a@example.org"), hl_none()};
    struct hl_job job = pair_job(1);
    job.recipients = to;
    job.recipients_count = 40; /* 10 ring jobs of 4; there are 8 slots */
    refused(&job, EINVAL, "submit it in several jobs");
    job.recipients_count = 32;
    one_pair_submit(&job);
}

static void jobs_submitted_together_stop_at_the_first_bad_one(void **state)
{
    (void)state;
    struct hl_job job[4];
    struct hl_result result[4];
    for (unsigned i = 0; i < 4; i++)
        job[i] = pair_job(10 + i);
    assert_int_equal(hl_submit_many(pair.producer, job, 0, &pair.error), 0);
    job[2].parts_count = 0;
    assert_int_equal(hl_submit_many(pair.producer, job, 4, &pair.error), 2);
    assert_non_null(strstr(pair.error.text, "the body has 0 parts"));
    assert_int_equal(hl_submit_many(pair.producer, job + 2, 2, &pair.error), -EINVAL);
    for (unsigned i = 0; i < 2; i++)
        pair_deliver(pair_take(&pair, 0)); /* both are there, and no third */
    assert_int_equal(hl_reap(pair.producer, result, 4, NULL), 2);
    assert_int_equal(result[0].cookie, 10);
    assert_int_equal(result[1].cookie, 11);
    assert_int_equal(pair.producer->recipients_in_flight, 0);
}

static void jobs_submitted_together_stop_at_a_full_lane(void **state)
{
    (void)state;
    struct hl_job job[12];
    for (unsigned i = 0; i < 12; i++)
        job[i] = pair_job(i);
    assert_int_equal(hl_submit_many(pair.producer, job, 12, &pair.error), 8);
    assert_non_null(strstr(pair.error.text, "is full"));
    assert_int_equal(hl_submit_many(pair.producer, job + 8, 4, &pair.error), -EAGAIN);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_pair, one_pair_close)
    const struct CMUnitTest tests[] = {
        T(bad_envelopes),
        T(bad_bodies),
        T(bare_line_ends_in_bodies_are_refused_even_when_normalising),
        T(a_body_is_shared_and_freed_once),
        T(a_rewritten_body_is_judged_anew),
        T(full_arena_says_so_and_recovers),
        T(full_lane_says_so_and_recovers),
        T(slots_come_back_in_any_order),
        T(recipients_are_split_by_domain_and_count),
        T(every_recipient_index_comes_back_once),
        T(long_envelopes_are_split_by_bytes),
        T(a_next_hop_keeps_recipients_together),
        T(too_many_for_the_lane_is_final),
        T(jobs_submitted_together_stop_at_the_first_bad_one),
        T(jobs_submitted_together_stop_at_a_full_lane),
        T(normalising_crosses_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
