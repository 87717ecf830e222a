#include "engine/tcp/rtt.h"

#include "tests/unit/cmocka.h"

static const struct rtt_limits limits = {
    .rto_initial_us = 1000000, .rto_min_us = 200000, .rto_max_us = 60000000};

static struct rtt fresh(void)
{
    struct rtt rtt;
    rtt_init(&rtt, &limits);
    return rtt;
}

static void first_sample_sets_srtt_and_half_of_it_as_variance(void **state)
{
    (void)state;
    struct rtt rtt = fresh();
    assert_int_equal(rtt_timeout_us(&rtt, &limits), 1000000);
    rtt_sample(&rtt, 400000, &limits);
    assert_int_equal(rtt.srtt_us, 400000);
    assert_int_equal(rtt.rttvar_us, 200000);
    assert_int_equal(rtt_timeout_us(&rtt, &limits), 400000 + 4 * 200000);
}

static void later_samples_move_by_an_eighth_and_a_quarter(void **state)
{
    (void)state;
    struct rtt rtt = fresh();
    rtt_sample(&rtt, 800000, &limits);
    rtt_sample(&rtt, 1600000, &limits);
    assert_int_equal(rtt.rttvar_us, 400000 - 100000 + 200000);
    assert_int_equal(rtt.srtt_us, 800000 - 100000 + 200000);
}

static void variance_is_computed_before_srtt(void **state)
{
    (void)state;
    struct rtt rtt = fresh();
    rtt_sample(&rtt, 100000, &limits);
    rtt_sample(&rtt, 200000, &limits);
    /* |SRTT - R'| with the old SRTT: 100 ms, not 87.5 (RFC 6298 section 2.3) */
    assert_int_equal(rtt.rttvar_us, 37500 + 25000);
}

static void short_trips_keep_the_minimum_above_srtt(void **state)
{
    (void)state;
    struct rtt rtt = fresh();
    for (int i = 0; i < 100; i++)
        rtt_sample(&rtt, 50, &limits);
    assert_in_range(rtt_timeout_us(&rtt, &limits), 200050, 200051);
}

static void back_off_doubles_up_to_the_maximum_and_a_sample_ends_it(void **state)
{
    (void)state;
    struct rtt rtt = fresh();
    uint32_t expected = 1000000;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rtt_timeout_us(&rtt, &limits), expected);
        rtt_back_off(&rtt);
        expected = min_u32(2 * expected, 60000000);
    }
    rtt_sample(&rtt, 100000, &limits);
    assert_int_equal(rtt_timeout_us(&rtt, &limits), 300000);
}

static void absurd_samples_stay_in_bounds(void **state)
{
    (void)state;
    struct rtt rtt = fresh();
    rtt_sample(&rtt, UINT64_MAX, &limits);
    assert_int_equal(rtt_timeout_us(&rtt, &limits), 60000000);
    rtt_sample(&rtt, 0, &limits);
    assert_in_range(rtt_timeout_us(&rtt, &limits), 200000, 60000000);
    assert_int_equal(rtt.min_us, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_sample_sets_srtt_and_half_of_it_as_variance),
        cmocka_unit_test(later_samples_move_by_an_eighth_and_a_quarter),
        cmocka_unit_test(variance_is_computed_before_srtt),
        cmocka_unit_test(short_trips_keep_the_minimum_above_srtt),
        cmocka_unit_test(back_off_doubles_up_to_the_maximum_and_a_sample_ends_it),
        cmocka_unit_test(absurd_samples_stay_in_bounds),
    };
    return cmocka_run_group_tests_name("tcp/rtt", tests, NULL, NULL);
}
