/* What a caller gets wrong with the library itself: each mistake has a sentence of its own, and nothing has changed. */
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/one_pair.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdlib.h>

#define THREADS 3u
#define JOBS    20000u /* of each */

static void says(int code, int wanted, const char *words)
{
    assert_int_equal(code, -wanted);
    assert_int_equal(pair.error.code, wanted);
    if (!strstr(pair.error.text, words))
        fail_msg("%s: nothing of \"%s\"", pair.error.text, words);
}

static void a_job_of_another_size(void **state)
{
    (void)state;
    struct {
        struct hl_job job;
        uint64_t newer;
    } next = {pair_job(1), 0};
    next.job.size = 0;
    says(hl_submit(pair.producer, &next.job, &pair.error), EINVAL, "the job's size is 0");
    next.job.size = sizeof(struct hl_job) - 8;
    says(hl_submit(pair.producer, &next.job, &pair.error), EINVAL,
         "hl_job_init() of its own hardline/feed.h");
    next.job.size = SIZE_MAX;
    says(hl_submit(pair.producer, &next.job, &pair.error), EINVAL, "hl_job_init()");
    next.job.size = sizeof(next);
    next.newer = 1;
    says(hl_submit(pair.producer, &next.job, &pair.error), EINVAL, "does not know yet");
    next.newer = 0; /* it asks for nothing that is newer */
    assert_int_equal(hl_submit(pair.producer, &next.job, &pair.error), 0);
}

static void options_that_are_none(void **state)
{
    (void)state;
    hl_feed *feed;
    struct hl_attach options = hl_attach_init();
    options.size = 8;
    says(hl_feed_attach(&feed, &options, &pair.error), EINVAL, "the options' size is 8");
    options = hl_attach_init();
    options.socket_path = "";
    says(hl_feed_attach(&feed, &options, &pair.error), EINVAL, "the socket path is empty");
    options.socket_path = pair.path;
    options.timeout_ms = -1;
    says(hl_feed_attach(&feed, &options, &pair.error), EINVAL, "a time-out of -1 ms: 1 to");
    assert_null(feed);
}

static void lists_that_are_nowhere(void **state)
{
    (void)state;
    struct hl_job job = pair_job(1);
    job.recipients = NULL;
    says(hl_submit(pair.producer, &job, &pair.error), EINVAL, "1 recipients, and where they are is NULL");
    job.recipients_count = 9;
    says(hl_submit(pair.producer, &job, &pair.error), EINVAL, "9 recipients");
    job = pair_job(1);
    job.parts = NULL;
    says(hl_submit(pair.producer, &job, &pair.error), EINVAL,
         "1 parts of a body, and where they are is NULL");
}

/* Who is told to reap results and try again must be able to have what it asks for some day. */
static void a_body_that_no_reaping_makes_room_for(void **state)
{
    (void)state;
    hl_body *body;
    struct hl_limits limits;
    hl_feed_limits(pair.producer, &limits);
    pair_close(&pair);
    pair.rights.body_bytes_max = 2 * limits.arena_bytes;
    pair_open(&pair, NULL);
    says(hl_body_reserve(pair.producer, limits.arena_bytes + 1, &body, &pair.error), EMSGSIZE,
         "make the arena larger");
    assert_null(body);
    assert_int_equal(hl_body_reserve(pair.producer, limits.arena_bytes, &body, &pair.error), 0);
    hl_body *more;
    says(hl_body_reserve(pair.producer, 1, &more, &pair.error), EAGAIN, "reap results first");
    hl_body_release(body);
}

static void a_second_thread_is_told(void **state)
{
    (void)state;
    struct hl_job job = pair_job(1);
    struct hl_result r;
    hl_body *body;
    const char *why = "another thread is in a call with this feed";
    assert_int_equal(feed_enter(pair.producer, NULL), 0); /* the first is inside */
    says(hl_submit(pair.producer, &job, &pair.error), EBUSY, why);
    says(hl_submit_many(pair.producer, &job, 1, &pair.error), EBUSY, why);
    says(hl_reap(pair.producer, &r, 1, &pair.error), EBUSY, why);
    says(hl_body_reserve(pair.producer, 10, &body, &pair.error), EBUSY, why);
    says(hl_feed_reattach(pair.producer, 10, &pair.error), EBUSY, why);
    feed_leave(pair.producer);
    assert_int_equal(hl_submit(pair.producer, &job, &pair.error), 0);
}

static _Atomic uint32_t submitted, reaped, unexpected, working;

static void *share_the_feed(void *arg)
{
    struct hl_job job = *(struct hl_job *)arg;
    struct hl_result r[8];
    for (unsigned i = 0; i < JOBS; i++) {
        int code = hl_submit(pair.producer, &job, NULL), got = hl_reap(pair.producer, r, 8, NULL);
        atomic_fetch_add(&submitted, code == 0);
        atomic_fetch_add(&reaped, got > 0 ? (uint32_t)got : 0);
        atomic_fetch_add(&unexpected,
                         (code && code != -EBUSY && code != -EAGAIN) || (got < 0 && got != -EBUSY));
    }
    atomic_fetch_sub(&working, 1);
    return NULL;
}

static void deliver_all(struct feed_job *memory)
{
    struct outcome why;
    while (feed_take(pair.engine, 0, memory, &why) == FEED_TAKEN)
        pair_deliver(memory);
    assert_string_equal(feed_fault(pair.engine), "");
}

static void threads_that_share_a_feed_spoil_nothing(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    struct feed_job *memory = pair_job_memory(&shape);
    struct hl_job job = pair_job(1);
    struct hl_result r[8];
    pthread_t thread[THREADS];
    atomic_store(&working, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, share_the_feed, &job), 0);
    while (atomic_load(&working) > 0)
        deliver_all(memory);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    deliver_all(memory);
    for (int n; (n = hl_reap(pair.producer, r, 8, NULL)) != 0;) {
        assert_in_range(n, 1, 8);
        atomic_fetch_add(&reaped, (uint32_t)n);
    }
    assert_int_equal(unexpected, 0);
    assert_int_equal(reaped, submitted);
    assert_in_range(submitted, 1, THREADS * JOBS);
    free(memory);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, one_pair_open, one_pair_close)
    const struct CMUnitTest tests[] = {
        T(a_job_of_another_size),   T(options_that_are_none),
        T(lists_that_are_nowhere),  T(a_body_that_no_reaping_makes_room_for),
        T(a_second_thread_is_told), T(threads_that_share_a_feed_spoil_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
