/* A job is taken only when all of its results have room, however long they become: none is lost, none overwrites another. */
#include "engine/base/rand.h"
#include "engine/ring/feed_private.h"
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/pair.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

#define STEPS      200000u
#define RECIPIENTS 4u
#define JOBS       64u /* at most in flight */

static struct pair pair;
static struct rand_source source;
static struct feed_job *taken[JOBS];
static unsigned taken_count;
static uint8_t owed[STEPS]; /* by cookie: bit r: recipient r has no result yet */

static const char filler[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* A text by which its result is known again: of no byte, or as long as can be, or between. */
static const char *text_of(uint64_t cookie, uint32_t recipient, size_t max, char *out)
{
    uint64_t n = cookie * RECIPIENTS + recipient;
    size_t bytes = n % 3 == 0 ? max : n % 3 == 1 ? 0 : n % max;
    for (size_t i = 0; i < bytes; i++)
        out[i] = filler[(n + i) % (sizeof(filler) - 1)];
    out[bytes] = 0;
    return out;
}

static void submit(uint64_t cookie)
{
    static const char *const address[RECIPIENTS] = {"a@example.org", "b@example.org", "c@example.org",
                                                    "d@example.org"};
    struct hl_recipient to[RECIPIENTS];
    struct hl_job job = pair_job(cookie);
    job.recipients = to;
    job.recipients_count = 1 + rand_below(&source, RECIPIENTS);
    for (size_t i = 0; i < job.recipients_count; i++)
        to[i] = (struct hl_recipient){hl_str(address[i]), hl_none()};
    if (hl_submit(pair.producer, &job, NULL) == 0)
        owed[cookie] = (uint8_t)((1u << job.recipients_count) - 1);
}

static void check_room(void)
{
    const struct feed_lane *lane = &pair.engine->lane[0];
    assert_in_range(lane->out.position - lane->complete_head, 0, lane->out.bytes);
    assert_in_range(lane->owed * RING_RESULT_MAX, 0,
                    lane->out.bytes - (lane->out.position - lane->complete_head));
}

static void take(const struct feed_shape *shape)
{
    struct outcome why;
    if (taken_count == JOBS)
        return;
    struct feed_job *job = pair_job_memory(shape);
    enum feed_take_result took = feed_take(pair.engine, 0, job, &why);
    check_room();
    if (took == FEED_TAKEN) {
        taken[taken_count++] = job;
        return;
    }
    assert_int_equal(took, FEED_EMPTY);
    free(job);
}

static void report(struct feed_job *job, uint32_t r)
{
    static const uint8_t addr[16], digest[32];
    char host[RING_HOST_MAX + 1], text[RING_TEXT_MAX + 1], word[RING_POLICY_SOURCE_MAX + 1];
    struct outcome outcome;
    text_of(job->cookie, r, RING_POLICY_SOURCE_MAX, word);
    const struct feed_evidence evidence = {
        .tls = true,
        .cipher = word,
        .group = word,
        .signature = word,
        .matched_name = text_of(job->cookie, r, RING_HOST_MAX, host),
        .policy_source = word,
        .cert_sha256 = digest,
        .spki_sha256 = digest,
    };
    const struct feed_delivery delivery = {.mx_host = host, .mx_addr = addr, .evidence = &evidence};
    outcome_set(&outcome, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "%s",
                text_of(job->cookie, r, RING_TEXT_MAX, text));
    feed_report(job, r, &outcome, &delivery);
    check_room();
}

/* Any job of those that are taken: they end in no order. */
static void end_one(void)
{
    if (taken_count == 0)
        return;
    unsigned at = rand_below(&source, taken_count);
    struct feed_job *job = taken[at];
    for (uint32_t r = job->recipients; r-- > 0;)
        report(job, r);
    free(job);
    taken[at] = taken[--taken_count];
    feed_flush(pair.engine, 0);
}

static unsigned reap(unsigned max)
{
    static struct hl_result result[64];
    char host[RING_HOST_MAX + 1];
    int n = hl_reap(pair.producer, result, max, &pair.error);
    assert_in_range(n, 0, max);
    for (int i = 0; i < n; i++) {
        const struct hl_result *r = &result[i];
        uint64_t job = r->cookie + 1; /* the library counts its jobs from 1, as the messages are from 0 */
        assert_in_range(r->cookie, 0, STEPS - 1);
        assert_true(owed[r->cookie] >> r->recipient & 1);
        owed[r->cookie] = (uint8_t)(owed[r->cookie] & ~(1u << r->recipient));
        assert_string_equal(r->mx_host, text_of(job, r->recipient, RING_HOST_MAX, host));
        assert_string_equal(r->tls.matched_name, host);
        assert_int_equal(r->verdict, HL_DELIVERED);
    }
    return (unsigned)n;
}

static void finish(const struct feed_shape *shape)
{
    for (unsigned i = 0; i < 10000; i++) {
        take(shape);
        end_one();
        reap(64);
    }
    for (uint64_t i = 0; i < STEPS; i++)
        assert_int_equal(owed[i], 0);
    assert_int_equal(feed_in_flight(pair.engine, 0), 0);
    assert_int_equal(pair.engine->lane[0].owed, 0);
}

/* In runs of any length, so that the stream is empty at times, and at times full. */
static void run(uint32_t complete_slots)
{
    struct feed_shape shape = pair_shape();
    uint64_t sent = 0;
    memset(&pair, 0, sizeof(pair));
    memset(owed, 0, sizeof(owed));
    shape.submit_slots = 128;
    shape.complete_slots = complete_slots;
    pair_open(&pair, &shape);
    rand_seed(&source, complete_slots);
    for (unsigned step = 0; step < STEPS;) {
        unsigned what = rand_below(&source, 4);
        for (unsigned n = rand_below(&source, 1u << rand_below(&source, 8)); n > 0 && step < STEPS;
             n--, step++) {
            if (what == 0 && (submit(sent), owed[sent]))
                sent++;
            else if (what == 1)
                take(&shape);
            else if (what == 2)
                end_one();
            else
                reap(1);
        }
    }
    finish(&shape);
    assert_in_range(sent, 2000, STEPS);
    pair_close(&pair);
}

static void results_of_all_lengths_find_room_in_a_short_stream(void **state)
{
    (void)state;
    run(8);
}

static void and_in_one_that_is_begun_anew_before_its_end(void **state)
{
    (void)state;
    run(1024);
}

/* One call takes HL_REAP_MAX, whatever is asked for: its strings find room however long they are. */
static void one_reap_takes_no_more_than_its_strings_have_room_for(void **state)
{
    (void)state;
    static struct hl_result result[4 * HL_REAP_MAX];
    char host[RING_HOST_MAX + 1], text[RING_TEXT_MAX + 1];
    struct feed_shape shape = pair_shape();
    struct outcome why;
    shape.submit_slots = shape.complete_slots = 512;
    memset(&pair, 0, sizeof(pair));
    pair_open(&pair, &shape);
    struct feed_job *memory = pair_job_memory(&shape);
    for (uint64_t i = 0; i < HL_REAP_MAX + 44; i++) {
        struct hl_job job = pair_job(3 * i); /* of these all texts are as long as can be */
        assert_int_equal(hl_submit(pair.producer, &job, &pair.error), 0);
        assert_int_equal(feed_take(pair.engine, 0, memory, &why), FEED_TAKEN);
        memory->cookie = 3 * i;
        report(memory, 0);
    }
    feed_flush(pair.engine, 0);
    assert_int_equal(hl_reap(pair.producer, result, ARRAY_LEN(result), &pair.error), HL_REAP_MAX);
    for (uint64_t i = 0; i < HL_REAP_MAX; i++) {
        assert_int_equal(result[i].cookie, 3 * i);
        assert_string_equal(result[i].text, text_of(3 * i, 0, RING_TEXT_MAX, text));
        assert_string_equal(result[i].mx_host, text_of(3 * i, 0, RING_HOST_MAX, host));
        assert_string_equal(result[i].tls.matched_name, host);
    }
    assert_int_equal(hl_reap(pair.producer, result, SIZE_MAX, &pair.error), 44);
    assert_int_equal(result[43].cookie, 3 * (HL_REAP_MAX + 43));
    assert_int_equal(hl_reap(pair.producer, result, SIZE_MAX, &pair.error), 0);
    free(memory);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_of_all_lengths_find_room_in_a_short_stream),
        cmocka_unit_test(and_in_one_that_is_begun_anew_before_its_end),
        cmocka_unit_test(one_reap_takes_no_more_than_its_strings_have_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
