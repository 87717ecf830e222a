/* The timer wheel against a plain list of deadlines. */
#include "engine/base/rand.h"
#include "engine/base/wheel.h"
#include "tests/unit/cmocka.h"

#define TIMERS  500
#define LATE_US (2 * WHEEL_TICK_US)

static struct wheel wheel;
static struct wheel_timer timer[TIMERS];
static uint64_t expected_us[TIMERS]; /* DEADLINE_NEVER: not armed */

static void reset(uint64_t now_us)
{
    wheel_init(&wheel, now_us);
    for (unsigned i = 0; i < TIMERS; i++) {
        wheel_timer_init(&timer[i], i);
        expected_us[i] = DEADLINE_NEVER;
    }
}

static unsigned expire_all(uint64_t now_us)
{
    unsigned fired = 0;
    for (struct wheel_timer *t; (t = wheel_expire(&wheel, now_us)); fired++) {
        assert_true(expected_us[t->kind] <= now_us); /* never early */
        expected_us[t->kind] = DEADLINE_NEVER;
    }
    for (unsigned i = 0; i < TIMERS; i++)
        assert_true(expected_us[i] == DEADLINE_NEVER || expected_us[i] + LATE_US > now_us); /* hardly late */
    return fired;
}

static void arm(unsigned i, uint64_t deadline_us)
{
    wheel_arm(&wheel, &timer[i], deadline_us);
    expected_us[i] = deadline_us;
}

static void fires_once_at_its_time(void **state)
{
    (void)state;
    reset(1000000);
    arm(0, 1005000);
    assert_int_equal(expire_all(1004999), 0);
    assert_int_equal(expire_all(1005000 + LATE_US), 1);
    assert_int_equal(expire_all(90000000), 0);
    assert_int_equal(wheel.armed, 0);
}

static void moved_and_cancelled(void **state)
{
    (void)state;
    reset(0);
    arm(0, 5000);
    arm(0, 900000);
    arm(1, 5000);
    arm(1, DEADLINE_NEVER);
    assert_int_equal(expire_all(800000), 0);
    assert_int_equal(expire_all(900000 + LATE_US), 1);
}

static void past_deadline_fires_next_not_in_a_loop(void **state)
{
    (void)state;
    reset(1000000);
    arm(0, 10);
    uint64_t now_us = 1000000 + LATE_US;
    struct wheel_timer *t = wheel_expire(&wheel, now_us);
    assert_ptr_equal(t, &timer[0]);
    wheel_arm(&wheel, t, 10);
    assert_null(wheel_expire(&wheel, now_us));
    assert_ptr_equal(wheel_expire(&wheel, now_us + LATE_US), t);
}

static void beyond_the_wheels_reach(void **state)
{
    (void)state;
    reset(0);
    uint64_t week_us = 7ull * 24 * 3600 * 1000000;
    arm(0, week_us);
    for (uint64_t now_us = 0; now_us < week_us; now_us += 86400ull * 1000000)
        assert_int_equal(expire_all(now_us), 0);
    assert_int_equal(expire_all(week_us + LATE_US), 1);
}

static void next_is_never_after_a_firing(void **state)
{
    (void)state;
    struct rand_source r;
    rand_seed(&r, 3);
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t now_us = rand_u64(&r) >> 20;
        reset(now_us);
        uint64_t deadline_us = now_us + (rand_u64(&r) >> (42 + rand_below(&r, 18)));
        arm(0, deadline_us);
        while (expected_us[0] != DEADLINE_NEVER) { /* an idle core: sleeps until wheel_next, no longer */
            uint64_t next_us = wheel_next(&wheel);
            assert_true(next_us <= deadline_us + LATE_US);
            now_us = max_u64(now_us + 1, next_us);
            expire_all(now_us);
        }
    }
    assert_true(wheel_next(&wheel) == DEADLINE_NEVER);
}

static void random_walk_against_a_list(void **state)
{
    (void)state;
    struct rand_source r;
    rand_seed(&r, 1);
    uint64_t now_us = 12345678;
    unsigned fired = 0;
    reset(now_us);
    for (unsigned step = 0; step < 20000; step++) {
        now_us += rand_below(&r, 4) == 0 ? rand_below(&r, 3000000) : rand_below(&r, 300);
        for (unsigned k = 0; k < 3; k++) {
            unsigned i = rand_below(&r, TIMERS);
            uint64_t ahead_us = rand_u64(&r) >> (24 + rand_below(&r, 36));
            arm(i, rand_below(&r, 10) == 0 ? DEADLINE_NEVER : now_us + ahead_us);
        }
        fired += expire_all(now_us);
    }
    assert_true(fired > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_once_at_its_time),
        cmocka_unit_test(moved_and_cancelled),
        cmocka_unit_test(past_deadline_fires_next_not_in_a_loop),
        cmocka_unit_test(beyond_the_wheels_reach),
        cmocka_unit_test(next_is_never_after_a_firing),
        cmocka_unit_test(random_walk_against_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
