/* Wake-ups: no ring is lost, none is rung while the other side is awake, and a lane without room stops only itself. */
#include "engine/ring/feed_private.h"
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/one_pair.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static void submit(void)
{
    struct hl_job job = pair_job(1);
    one_pair_submit(&job);
}

static bool rung(int fd)
{
    uint64_t rings;
    return read(fd, &rings, sizeof(rings)) == sizeof(rings);
}

static void an_awake_engine_is_not_rung(void **state)
{
    (void)state;
    submit();
    assert_false(rung(feed_wake_engine_fd(pair.engine)));
    assert_false(feed_sleep(pair.engine, 0)); /* there is work */
    pair_deliver(pair_take(&pair, 0));
    assert_true(feed_sleep(pair.engine, 0));
    submit();
    assert_true(rung(feed_wake_engine_fd(pair.engine)));
    submit(); /* once is enough */
    assert_false(rung(feed_wake_engine_fd(pair.engine)));
    feed_awake(pair.engine, 0);
}

/* Looking before sleeping is for results that are nearly there; where they are not, it is not done each time. */
static void waits_in_vain_are_slept(void **state)
{
    (void)state;
    assert_int_equal(hl_wait(pair.producer, 1, NULL), 0);
    assert_int_equal(pair.producer->looks, 0); /* nothing is owed */
    submit();
    assert_int_equal(hl_wait(pair.producer, 0, NULL), 0);
    assert_int_equal(pair.producer->looks, 0); /* a caller that does not wait */
    for (unsigned i = 0; i < 65; i++)
        assert_int_equal(hl_wait(pair.producer, 1, NULL), 0);
    assert_int_equal(pair.producer->looks, 1);
    assert_int_equal(hl_wait(pair.producer, 1, NULL), 0);
    assert_int_equal(pair.producer->looks, 2);
    pair_deliver(pair_take(&pair, 0));
    assert_int_equal(hl_wait(pair.producer, 1, NULL), 1);
    assert_int_equal(pair.producer->looks, 2); /* what is there is not looked for */
}

static void an_awake_producer_is_not_rung(void **state)
{
    (void)state;
    struct hl_result r[8];
    submit();
    pair_deliver(pair_take(&pair, 0));
    assert_false(rung(feed_wake_producer_fd(pair.engine)));
    assert_int_equal(hl_feed_arm(pair.producer), 1); /* something is there */
    assert_int_equal(hl_reap(pair.producer, r, 8, NULL), 1);

    assert_int_equal(hl_feed_arm(pair.producer), 0);
    struct pollfd p = {.fd = hl_feed_fd(pair.producer), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    submit();
    pair_deliver(pair_take(&pair, 0));
    assert_int_equal(poll(&p, 1, 0), 1);
    assert_int_equal(hl_reap(pair.producer, r, 8, NULL), 1);
    assert_int_equal(poll(&p, 1, 0), 0); /* the ring was taken with it */
}

static void waiting_ends(void **state)
{
    (void)state;
    assert_int_equal(hl_wait(pair.producer, 10, &pair.error), 0);
    pair_kill_engine(&pair);
    assert_int_equal(hl_wait(pair.producer, 1000, &pair.error), 1);
    struct hl_result r;
    assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), -EPIPE);
    assert_int_equal(hl_wait(pair.producer, 1000, &pair.error), 1); /* and again */
}

static void a_full_completion_ring_stops_its_lane_alone(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    struct hl_result r[16];
    struct outcome why;
    hl_feed *other;
    pair_close(&pair);
    shape.submit_slots = 256;
    pair_open(&pair, &shape);
    struct feed *slow = pair.engine;
    struct feed_job *job = pair_job_memory(&shape);
    for (unsigned i = 0; i < 256; i++)
        submit();
    enum feed_take_result took;
    unsigned taken = 0;
    for (; (took = feed_take(slow, 0, job, &why)) == FEED_TAKEN; taken++)
        pair_deliver(job);
    assert_int_equal(took, FEED_EMPTY);
    const struct feed_lane *lane = &slow->lane[0];
    assert_in_range(taken, 8, 255); /* so many results lie there */
    assert_in_range(lane->out.position, lane->out.bytes - 2 * RING_RESULT_MAX + 1, lane->out.bytes);
    assert_false(feed_broken(slow));
    assert_true(feed_sleep(slow, 0)); /* nothing to do until the producer reads */

    assert_int_equal(pair_attach(&pair, &other, NULL), 0);
    struct hl_job plain = pair_job(2);
    assert_int_equal(hl_submit(other, &plain, NULL), 0);
    assert_int_equal(feed_take(pair.engine, 0, job, &why), FEED_TAKEN);
    pair_deliver(job);
    assert_int_equal(hl_reap(other, r, 16, NULL), 1);
    hl_feed_detach(other);

    assert_false(rung(feed_wake_engine_fd(slow)));
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 16);
    assert_true(rung(feed_wake_engine_fd(slow)));
    feed_awake(slow, 0);
    assert_int_equal(feed_take(slow, 0, job, &why), FEED_TAKEN);
    free(job);
}

static void a_job_waits_for_room_for_all_of_its_results(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    struct hl_recipient to[4];
    struct hl_result r[16];
    struct outcome why;
    struct feed_job *job[3];
    for (unsigned i = 0; i < 4; i++)
        to[i] = (struct hl_recipient){hl_str("bob@example.org"), hl_none()};
    for (unsigned i = 0; i < 3; i++) {
        struct hl_job four = pair_job(i);
        four.recipients = to;
        four.recipients_count = 4;
        assert_int_equal(hl_submit(pair.producer, &four, NULL), 0);
        job[i] = pair_job_memory(&shape);
    }
    assert_int_equal(feed_take(pair.engine, 0, job[0], &why), FEED_TAKEN);
    assert_int_equal(feed_take(pair.engine, 0, job[1], &why), FEED_TAKEN);
    assert_int_equal(feed_take(pair.engine, 0, job[2], &why), FEED_EMPTY); /* 8 are owed */
    assert_int_equal(feed_in_flight(pair.engine, 0), 2);
    pair_deliver(job[1]); /* in less room than was kept for it */
    assert_int_equal(feed_take(pair.engine, 0, job[2], &why), FEED_TAKEN);
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 4);
    pair_deliver(job[0]);
    pair_deliver(job[2]);
    assert_int_equal(hl_reap(pair.producer, r, 16, NULL), 8);
    assert_int_equal(feed_in_flight(pair.engine, 0), 0);
    for (unsigned i = 0; i < 3; i++)
        free(job[i]);
}

static void a_feed_takes_no_more_than_its_right(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    struct outcome why;
    struct feed_job *job[3];
    pair_close(&pair);
    pair.rights.jobs_in_flight_max = 2;
    pair_open(&pair, NULL);
    for (unsigned i = 0; i < 3; i++) {
        submit();
        job[i] = pair_job_memory(&shape);
    }
    assert_int_equal(feed_take(pair.engine, 0, job[0], &why), FEED_TAKEN);
    assert_int_equal(feed_take(pair.engine, 0, job[1], &why), FEED_TAKEN);
    assert_int_equal(feed_take(pair.engine, 0, job[2], &why), FEED_EMPTY);
    pair_deliver(job[0]);
    assert_int_equal(feed_take(pair.engine, 0, job[2], &why), FEED_TAKEN);
    for (unsigned i = 0; i < 3; i++)
        free(job[i]);
}

static void submit_to(const char *address)
{
    struct hl_job job = pair_job(1);
    struct hl_recipient to = {hl_str(address), hl_none()};
    job.recipients = &to;
    one_pair_submit(&job);
}

/* Two lanes, of which each has jobs, and a feed that may have one in flight. */
static struct feed_shape open_limited(void)
{
    struct feed_shape shape = pair_shape();
    shape.lanes = 2;
    pair_close(&pair);
    pair.rights.jobs_in_flight_max = 1;
    pair_open(&pair, &shape);
    for (unsigned i = 0; i < 8; i++) {
        char address[] = "bob@x.example";
        address[4] = (char)('a' + i);
        submit_to(address);
    }
    return shape;
}

static void a_lane_that_the_limit_holds_sleeps_until_a_job_of_another_ends(void **state)
{
    (void)state;
    struct feed_shape shape = open_limited();
    struct feed_job *first = pair_job_memory(&shape), *second = pair_job_memory(&shape);
    struct outcome why;
    assert_int_equal(feed_take(pair.engine, 0, first, &why), FEED_TAKEN);
    assert_int_equal(feed_take(pair.engine, 1, second, &why), FEED_EMPTY);
    assert_true(feed_sleep(pair.engine, 1)); /* there are jobs, of which it may have none */
    assert_false(rung(feed_wake_held_fd(pair.engine)));
    pair_deliver(first);
    assert_true(rung(feed_wake_held_fd(pair.engine)));
    assert_false(feed_sleep(pair.engine, 1)); /* now it may */
    assert_int_equal(feed_take(pair.engine, 1, second, &why), FEED_TAKEN);

    pair_deliver(second); /* nobody slept */
    assert_false(rung(feed_wake_held_fd(pair.engine)));
    assert_int_equal(feed_take(pair.engine, 0, first, &why), FEED_TAKEN);
    assert_int_equal(feed_take(pair.engine, 1, second, &why), FEED_EMPTY);
    pair_deliver(first); /* between the look and the sleep */
    assert_false(feed_sleep(pair.engine, 1));
    free(first);
    free(second);
}

/* Two threads, both asleep most of the time: a lost ring would be a hang. */
#define ROUNDS 20000

static void *sleepy_core(void *arg)
{
    struct feed_shape shape = pair_shape();
    struct feed_job *job = pair_job_memory(&shape);
    struct outcome why;
    (void)arg;
    for (unsigned done = 0; done < ROUNDS;) {
        if (feed_take(pair.engine, 0, job, &why) == FEED_TAKEN) {
            pair_deliver(job);
            done++;
            continue;
        }
        if (!feed_sleep(pair.engine, 0))
            continue;
        struct pollfd p = {.fd = feed_wake_engine_fd(pair.engine), .events = POLLIN};
        if (poll(&p, 1, 5000) != 1)
            break;
        rung(p.fd);
        feed_awake(pair.engine, 0);
    }
    free(job);
    return NULL;
}

static void no_ring_is_lost(void **state)
{
    (void)state;
    pthread_t thread;
    struct hl_result r[8];
    assert_int_equal(pthread_create(&thread, NULL, sleepy_core, NULL), 0);
    for (unsigned sent = 0, got = 0; got < ROUNDS;) {
        struct hl_job job = pair_job(sent);
        unsigned burst = 1 + sent % 3;
        while (burst-- > 0 && sent < ROUNDS && hl_submit(pair.producer, &job, NULL) == 0)
            sent++;
        assert_int_equal(hl_wait(pair.producer, 5000, NULL), 1);
        int n;
        while ((n = hl_reap(pair.producer, r, 8, NULL)) > 0)
            got += (unsigned)n;
    }
    pthread_join(thread, NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, one_pair_open, one_pair_close)
    const struct CMUnitTest tests[] = {
        T(an_awake_engine_is_not_rung),
        T(waits_in_vain_are_slept),
        T(an_awake_producer_is_not_rung),
        T(waiting_ends),
        T(a_full_completion_ring_stops_its_lane_alone),
        T(a_job_waits_for_room_for_all_of_its_results),
        T(a_feed_takes_no_more_than_its_right),
        T(a_lane_that_the_limit_holds_sleeps_until_a_job_of_another_ends),
        T(no_ring_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
