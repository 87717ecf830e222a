#include "engine/tcp/cc.h"

#include "tests/unit/cmocka.h"

#define MSS 1000u

static struct cc fresh(void)
{
    struct cc cc;
    cc_init(&cc, &tcp_cc_reno, MSS, 10 * MSS);
    return cc;
}

/* One round trip of `acks` ACKs for a segment each; returns the new snd_una. */
static uint32_t round_trip(struct cc *cc, uint32_t una, uint32_t acks, uint32_t rtt_us)
{
    uint32_t end = una + acks * MSS;
    for (uint32_t i = 1; i <= acks; i++)
        cc->ops->on_ack(cc, &(struct cc_ack){.now_us = 1,
                                             .acked_bytes = MSS,
                                             .rtt_us = rtt_us,
                                             .snd_una = una + i * MSS,
                                             .snd_nxt = end + i * MSS});
    return end;
}

static void steady_round_trips_double_the_window(void **state)
{
    (void)state;
    struct cc cc = fresh();
    uint32_t una = 0;
    for (uint32_t i = 0; i < 4; i++)
        una = round_trip(&cc, una, 10u << i, 50000);
    assert_int_equal(cc.cwnd, 160 * MSS);
    assert_false(cc.hystart.css);
}

static void growing_round_trips_slow_it_to_a_quarter_then_end_it(void **state)
{
    (void)state;
    struct cc cc = fresh();
    uint32_t una = round_trip(&cc, 0, 10, 50000);
    una = round_trip(&cc, una, 20, 50000);
    una = round_trip(&cc, una, 40, 57000); /* an eighth longer: 6.25 ms */
    assert_true(cc.hystart.css);
    for (unsigned i = 0; i < 6 && cc.ssthresh == UINT32_MAX; i++) {
        uint32_t before = cc.cwnd;
        una = round_trip(&cc, una, 40, 60000);
        assert_in_range(cc.cwnd, before, before + 12 * MSS);
    }
    assert_int_equal(cc.ssthresh == UINT32_MAX, false);
    assert_in_range(cc.cwnd, cc.ssthresh, cc.ssthresh + 2 * MSS);
}

static void jitter_that_goes_away_resumes_slow_start(void **state)
{
    (void)state;
    struct cc cc = fresh();
    uint32_t una = round_trip(&cc, 0, 10, 50000);
    una = round_trip(&cc, una, 20, 60000);
    assert_true(cc.hystart.css);
    una = round_trip(&cc, una, 20, 50000);
    assert_false(cc.hystart.css);
    assert_int_equal(cc.ssthresh, UINT32_MAX);
}

static void short_paths_need_four_milliseconds_more(void **state)
{
    (void)state;
    struct cc cc = fresh();
    uint32_t una = round_trip(&cc, 0, 10, 200);
    una = round_trip(&cc, una, 20, 3900);
    assert_false(cc.hystart.css);
    round_trip(&cc, una, 40, 8000);
    assert_true(cc.hystart.css);
}

/* The queue grows while a round goes on: its first segments left before. */
static void growth_within_a_round_counts(void **state)
{
    (void)state;
    struct cc cc = fresh();
    uint32_t una = round_trip(&cc, 0, 10, 50000), end = una + 40 * MSS;
    for (uint32_t i = 1; i <= 40; i++) {
        cc.ops->on_ack(&cc, &(struct cc_ack){.now_us = 1,
                                             .acked_bytes = MSS,
                                             .rtt_us = 50000 + i * 500,
                                             .snd_una = una + i * MSS,
                                             .snd_nxt = end + i * MSS});
        assert_true(i < 32 || cc.hystart.css); /* by the fourth eight */
    }
    assert_in_range(cc.cwnd, 45 * MSS, 54 * MSS);
}

static void few_samples_prove_nothing(void **state)
{
    (void)state;
    struct cc cc = fresh();
    uint32_t una = round_trip(&cc, 0, 10, 50000);
    round_trip(&cc, una, 7, 90000);
    assert_false(cc.hystart.css);
}

static void only_the_first_slow_start_is_watched(void **state)
{
    (void)state;
    struct cc cc = fresh();
    cc.ssthresh = 500 * MSS;
    uint32_t una = round_trip(&cc, 0, 10, 50000);
    round_trip(&cc, una, 20, 90000);
    assert_false(cc.hystart.css);
    assert_int_equal(cc.cwnd, 40 * MSS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady_round_trips_double_the_window),
        cmocka_unit_test(growing_round_trips_slow_it_to_a_quarter_then_end_it),
        cmocka_unit_test(jitter_that_goes_away_resumes_slow_start),
        cmocka_unit_test(short_paths_need_four_milliseconds_more),
        cmocka_unit_test(growth_within_a_round_counts),
        cmocka_unit_test(few_samples_prove_nothing),
        cmocka_unit_test(only_the_first_slow_start_is_watched),
    };
    return cmocka_run_group_tests_name("tcp/hystart", tests, NULL, NULL);
}
