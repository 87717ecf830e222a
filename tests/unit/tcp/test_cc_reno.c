#include "engine/tcp/cc.h"

#include "tests/unit/cmocka.h"

static struct cc fresh(uint32_t cwnd)
{
    struct cc cc;
    cc_init(&cc, &tcp_cc_reno, 1000, cwnd);
    return cc;
}

static void acked(struct cc *cc, uint32_t bytes, bool after_timeout)
{
    cc->ops->on_ack(cc, &(struct cc_ack){.now_us = 1, .acked_bytes = bytes, .after_timeout = after_timeout});
}

static void slow_start_adds_what_was_acknowledged(void **state)
{
    (void)state;
    struct cc cc = fresh(10000);
    acked(&cc, 2000, false);
    assert_int_equal(cc.cwnd, 12000);
    acked(&cc, 1, false);
    assert_int_equal(cc.cwnd, 12001);
}

static void one_ack_for_many_segments_counts_them_all(void **state)
{
    (void)state;
    struct cc cc = fresh(10000);
    acked(&cc, 50000, false);
    assert_int_equal(cc.cwnd, 60000);
}

static void after_a_timeout_one_ack_adds_one_segment(void **state)
{
    (void)state;
    struct cc cc = fresh(1000);
    acked(&cc, 50000, true);
    assert_int_equal(cc.cwnd, 2000);
}

static void slow_start_stops_at_ssthresh(void **state)
{
    (void)state;
    struct cc cc = fresh(4000);
    cc.ssthresh = 5000;
    acked(&cc, 4000, false);
    assert_int_equal(cc.cwnd, 5000);
    /* 3,000 are left over for avoidance: 2,000 more make a window */
    acked(&cc, 1999, false);
    assert_int_equal(cc.cwnd, 5000);
    acked(&cc, 1, false);
    assert_int_equal(cc.cwnd, 6000);
}

static void avoidance_adds_a_segment_a_window(void **state)
{
    (void)state;
    struct cc cc = fresh(10000);
    cc.ssthresh = 5000;
    for (unsigned i = 0; i < 10; i++)
        acked(&cc, 1000, false);
    assert_int_equal(cc.cwnd, 11000);
    for (unsigned i = 0; i < 11; i++)
        acked(&cc, 1000, false);
    assert_int_equal(cc.cwnd, 12000);
}

static void congestion_halves_what_is_in_flight(void **state)
{
    (void)state;
    struct cc cc = fresh(10000);
    cc.ops->on_congestion(&cc, 8000, 1);
    assert_int_equal(cc.ssthresh, 4000);
    cc.ops->on_congestion(&cc, 1000, 1);
    assert_int_equal(cc.ssthresh, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_start_adds_what_was_acknowledged),
        cmocka_unit_test(one_ack_for_many_segments_counts_them_all),
        cmocka_unit_test(after_a_timeout_one_ack_adds_one_segment),
        cmocka_unit_test(slow_start_stops_at_ssthresh),
        cmocka_unit_test(avoidance_adds_a_segment_a_window),
        cmocka_unit_test(congestion_halves_what_is_in_flight),
    };
    return cmocka_run_group_tests_name("tcp/cc_reno", tests, NULL, NULL);
}
