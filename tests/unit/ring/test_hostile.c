/* A producer that writes what it likes into its region breaks its own feed: indices, slots, records that lie elsewhere. */
#include "engine/base/rand.h"
#include "tests/unit/ring/hostile.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void submission_index_jumps(void **state)
{
    (void)state;
    hostile_show(hostile_lane()->out.bytes + 8);
    hostile_broken("submission index jumped from 0 to");
}

static void submission_index_goes_back(void **state)
{
    (void)state;
    hostile_place();
    assert_int_equal(hostile_take(), FEED_TAKEN);
    hostile_show(0);
    hostile_broken("submission index jumped");
}

static void submission_index_is_not_aligned(void **state)
{
    (void)state;
    hostile_place();
    hostile_show(hostile_lane()->out.position + 4);
    hostile_broken("submission index jumped");
}

/* As many as find room, of which none is reaped. */
static void fill_with_results(void)
{
    struct lane *l = hostile_lane();
    for (unsigned i = 0; i < 1000; i++) {
        hostile_place();
        enum feed_take_result took = hostile_take();
        if (took == FEED_EMPTY)
            return;
        assert_int_equal(took, FEED_TAKEN);
        uint32_t slot = (uint32_t)hostile_memory->id & RING_SLOT_MASK;
        pair_deliver(hostile_memory);
        l->job[slot].message->left = 0; /* the producer thinks that it had the result */
        job_settle(hostile_pair.producer, 0, slot);
    }
    fail_msg("the results always find room");
}

static void completion_index_runs_ahead(void **state)
{
    (void)state;
    fill_with_results();
    atomic_store(&hostile_lane()->shared->complete_head,
                 atomic_load(&hostile_lane()->shared->complete_tail) + 8);
    hostile_broken("completion index jumped");
}

static void completion_index_goes_back(void **state)
{
    (void)state;
    fill_with_results();
    uint64_t tail = atomic_load(&hostile_lane()->shared->complete_tail);
    atomic_store(&hostile_lane()->shared->complete_head, tail);
    assert_int_equal(hostile_take(), FEED_TAKEN);
    pair_deliver(hostile_memory);
    fill_with_results();
    atomic_store(&hostile_lane()->shared->complete_head, tail - 8);
    hostile_broken("completion index jumped");
}

/* The flags of a descriptor that both ends have are the producer's to change: the engine must not wait in a wake-up for all that. */
static void a_wake_up_cannot_hold_the_core(void **state)
{
    (void)state;
    struct hl_result r;
    const uint64_t most = UINT64_MAX - 1;
    int fd = hostile_pair.producer->region.wake_producer;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
    ssize_t n = write(fd, &most, sizeof(most));
    (void)n; /* one that cannot be filled is as well */
    alarm(20);
    for (unsigned i = 0; i < 1000; i++) {
        hostile_place();
        atomic_store(&hostile_pair.producer->region.shared->producer_sleeping, 1);
        assert_int_equal(hostile_take(), FEED_TAKEN);
        pair_deliver(hostile_memory);
        assert_int_equal(hl_reap(hostile_pair.producer, &r, 1, &hostile_pair.error), 1);
    }
    alarm(0);
    assert_false(feed_broken(hostile_pair.engine));
}

static void slot_number_outside(void **state)
{
    (void)state;
    struct ring_job *job = hostile_place();
    job->id = (job->id & ~(uint64_t)RING_SLOT_MASK) | 8;
    hostile_broken("submitted slot 8, which is not its own");
}

static void slot_submitted_twice(void **state)
{
    (void)state;
    struct ring_job *first = hostile_place();
    assert_int_equal(hostile_take(), FEED_TAKEN);
    struct ring_job *second = hostile_place();
    second->id = first->id;
    hostile_broken("which is not its own");
}

static void spoil_bytes(uint32_t bytes)
{
    hostile_place()->bytes = bytes;
    hostile_broken("outside of its stream");
}

static void record_is_longer_than_what_is_published(void **state)
{
    (void)state;
    spoil_bytes((uint32_t)hostile_lane()->out.position + 512);
}

static void record_across_the_end(void **state)
{
    (void)state;
    struct lane *l = hostile_lane();
    while (stream_rest(&l->out) > 256) {
        hostile_place();
        pair_deliver(pair_take(&hostile_pair, 0));
        struct hl_result r;
        assert_int_equal(hl_reap(hostile_pair.producer, &r, 1, NULL), 1);
    }
    struct ring_job *job = hostile_place();
    uint32_t rest = (uint32_t)(l->out.bytes - (size_t)((uint8_t *)job - l->out.base));
    job->bytes = rest + 8;
    hostile_show(l->out.position + 512);
    hostile_broken("outside of its stream");
}

static void record_is_not_aligned(void **state)
{
    (void)state;
    struct ring_job *job = hostile_place();
    job->bytes -= 4;
    hostile_broken("outside of its stream");
}

static void record_is_shorter_than_its_head(void **state)
{
    (void)state;
    spoil_bytes(sizeof(struct ring_job) - 8);
}

static void record_of_no_bytes(void **state)
{
    (void)state;
    spoil_bytes(0);
}

static void record_is_longer_than_allowed(void **state)
{
    (void)state;
    hostile_place();
    struct ring_job *job = hostile_place();
    assert_int_equal(hostile_take(), FEED_TAKEN);
    job->bytes = 4104;
    hostile_show(hostile_lane()->out.position + 8192);
    hostile_broken("outside of its stream");
}

/* An end that is skipped though nothing says that there is more. */
static void an_end_that_is_not_published(void **state)
{
    (void)state;
    hostile_place();
    struct ring_job *job = hostile_place();
    assert_int_equal(hostile_take(), FEED_TAKEN);
    job->bytes = RING_SKIP;
    hostile_broken("ends behind its index");
}

static void a_stream_of_ends(void **state)
{
    (void)state;
    hostile_place()->bytes = RING_SKIP;
    hostile_show(hostile_lane()->out.bytes);
    hostile_broken("ends behind its index");
}

static void no_recipients(void **state)
{
    (void)state;
    hostile_place()->recipients = 0;
    hostile_broken("0 recipients");
}

static void too_many_recipients(void **state)
{
    (void)state;
    hostile_place()->recipients = 5;
    hostile_broken("5 recipients");
}

/* Random bytes over a sound record: taken, refused or broken, and never anything outside (the sanitizers watch). */
static void random_records(void **state)
{
    (void)state;
    struct rand_source r;
    unsigned count[4] = {0};
    rand_seed(&r, 5);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t *record = (uint8_t *)hostile_place();
        uint32_t bytes = ((struct ring_job *)record)->bytes;
        for (unsigned k = rand_below(&r, 4); k > 0; k--)
            record[rand_below(&r, bytes)] = (uint8_t)rand_u64(&r);
        enum feed_take_result took = hostile_take();
        count[took]++;
        if (took == FEED_BROKEN) {
            pair_close(&hostile_pair);
            hostile_pair.rights.body_bytes_max = 100000;
            pair_open(&hostile_pair, NULL);
            continue;
        }
        assert_int_not_equal(took, FEED_EMPTY);
        struct hl_result results[4];
        pair_deliver(hostile_memory);
        hl_reap(hostile_pair.producer, results, 4, NULL);
        if (hostile_pair.producer->gone) { /* a job whose recipients the producer itself forged */
            pair_close(&hostile_pair);
            hostile_pair.rights.body_bytes_max = 100000;
            pair_open(&hostile_pair, NULL);
        }
    }
    assert_true(count[FEED_TAKEN] > 100 && count[FEED_REFUSED] > 100 && count[FEED_BROKEN] > 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, hostile_open, hostile_close)
    const struct CMUnitTest tests[] = {
        T(submission_index_jumps),
        T(submission_index_goes_back),
        T(submission_index_is_not_aligned),
        T(completion_index_goes_back),
        T(completion_index_runs_ahead),
        T(a_wake_up_cannot_hold_the_core),
        T(slot_number_outside),
        T(slot_submitted_twice),
        T(record_is_longer_than_what_is_published),
        T(record_across_the_end),
        T(record_of_no_bytes),
        T(an_end_that_is_not_published),
        T(a_stream_of_ends),
        T(record_is_not_aligned),
        T(record_is_shorter_than_its_head),
        T(record_is_longer_than_allowed),
        T(no_recipients),
        T(too_many_recipients),
        T(random_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
