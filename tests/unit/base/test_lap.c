/* Where the cycles go: every one is counted once. */
#include "tests/unit/cmocka.h"

#include "engine/base/lap.h"

#include <unistd.h>

static const uint64_t *counted(const struct stats *stats)
{
    return &stats->v[STAT_core_cycles_receive];
}

static void a_busy_turn_counts_by_phase(void **state)
{
    (void)state;
    struct stats stats = {{0}};
    struct lap lap = {.since = lap_now(), .cycles = {0}};
    uint64_t from = lap.since, sum = 0;
    lap_enter(&lap, LAP_TLS);
    uint64_t entered = lap.since;
    usleep(1000);
    lap_enter(&lap, LAP_REPORT);
    uint64_t left = lap.since;
    lap_turn(&lap, &stats, true);
    assert_int_equal(stats.v[STAT_core_cycles_receive], entered - from);
    assert_int_equal(stats.v[STAT_core_cycles_tls], left - entered);
    assert_int_equal(stats.v[STAT_core_cycles_report], lap.since - left);
    for (unsigned i = 0; i < LAP_COUNT; i++)
        sum += counted(&stats)[i];
    assert_int_equal(sum, lap.since - from);
    assert_int_equal(stats.v[STAT_core_cycles_empty], 0);
    assert_int_equal(stats.v[STAT_core_phase_changes], 2);
    lap_enter(&lap, LAP_RECEIVE); /* it is in that phase */
    lap_turn(&lap, &stats, true);
    assert_int_equal(stats.v[STAT_core_phase_changes], 2);
}

static void an_empty_turn_counts_as_empty_alone(void **state)
{
    (void)state;
    struct stats stats = {{0}};
    struct lap lap = {.since = lap_now(), .cycles = {0}};
    uint64_t from = lap.since;
    lap_enter(&lap, LAP_TCP);
    lap_enter(&lap, LAP_INTAKE);
    lap_turn(&lap, &stats, false);
    for (unsigned i = 0; i < LAP_COUNT; i++)
        assert_int_equal(counted(&stats)[i], 0);
    assert_int_equal(stats.v[STAT_core_cycles_empty], lap.since - from);
    assert_int_equal(stats.v[STAT_core_phase_changes], 0);
    lap_turn(&lap, &stats, true);
    assert_int_equal(stats.v[STAT_core_cycles_intake], 0); /* nothing of the turn before */
}

static void a_sleep_is_no_turns(void **state)
{
    (void)state;
    struct stats stats = {{0}};
    struct lap lap = {.since = lap_now(), .cycles = {0}};
    uint64_t from = lap.since;
    lap_sleep(&lap, &stats, 20000);
    uint64_t woken = lap.since;
    assert_int_equal(stats.v[STAT_core_sleeps], 1);
    assert_in_range(stats.v[STAT_core_sleeps_ns], 1, 10000000); /* far from the 20 ms that went by */
    lap_turn(&lap, &stats, true);
    assert_int_equal(stats.v[STAT_core_cycles_slept], woken - from);
    assert_int_equal(stats.v[STAT_core_cycles_receive], lap.since - woken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_busy_turn_counts_by_phase),
        cmocka_unit_test(an_empty_turn_counts_as_empty_alone),
        cmocka_unit_test(a_sleep_is_no_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
