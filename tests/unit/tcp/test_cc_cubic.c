#include "engine/tcp/cc.h"

#include "tests/unit/cmocka.h"

#include <math.h>

#define MSS    1000u
#define RTT_US 100000u

static struct cc after_loss(uint32_t cwnd)
{
    struct cc cc;
    cc_init(&cc, &tcp_cc_cubic, MSS, cwnd);
    cc.ops->on_congestion(&cc, cwnd, 1000);
    cc.cwnd = cc.ssthresh;
    return cc;
}

/* A whole window acknowledged, an ACK for each two segments, spread over one round trip. */
static uint64_t round_trip(struct cc *cc, uint64_t now_us, uint32_t rtt_us)
{
    uint32_t acks = max_u32(cc->cwnd / (2 * MSS), 1);
    for (uint32_t i = 0; i < acks; i++) {
        now_us += rtt_us / acks;
        cc->ops->on_ack(cc, &(struct cc_ack){.now_us = now_us, .acked_bytes = 2 * MSS, .srtt_us = rtt_us});
    }
    return now_us;
}

static void congestion_leaves_seven_tenths(void **state)
{
    (void)state;
    struct cc cc = after_loss(1000 * MSS);
    assert_int_equal(cc.ssthresh, 700 * MSS);
    assert_int_equal(cc.cubic.w_max, 1000 * MSS);
}

static void a_second_loss_below_w_max_converges_fast(void **state)
{
    (void)state;
    struct cc cc = after_loss(1000 * MSS);
    cc.ops->on_congestion(&cc, cc.cwnd, 2000);
    assert_int_equal(cc.cubic.w_max, 700 * MSS * 17 / 20); /* RFC 9438 section 4.7: cwnd * (1 + beta) / 2 */
    assert_int_equal(cc.ssthresh, 490 * MSS);
}

static void ssthresh_is_two_segments_at_least(void **state)
{
    (void)state;
    struct cc cc = after_loss(2 * MSS);
    assert_int_equal(cc.ssthresh, 2 * MSS);
}

/* RFC 9438 section 4.2: W_cubic(t) = C (t - K)^3 + W_max, K = cbrt(W_max (1 - beta) / C), in segments. */
static void growth_follows_the_curve(void **state)
{
    (void)state;
    struct cc cc = after_loss(1000 * MSS);
    double k = cbrt(300 / 0.4);
    uint64_t start_us = 1000000, now_us = start_us;
    for (double t = 0; t < 2 * k;) {
        now_us = round_trip(&cc, now_us, RTT_US);
        t = (double)(now_us - start_us) / 1e6;
        double want = 0.4 * pow(t - k, 3) + 1000;
        double got = (double)cc.cwnd / MSS;
        assert_true(fabs(got - want) < 0.04 * want);
    }
    assert_true(cc.cwnd > 1250 * MSS);
}

/* Section 4.3: on short paths it is never slower than Reno with the same average. */
static void short_paths_grow_like_reno(void **state)
{
    (void)state;
    struct cc cc = after_loss(20 * MSS);
    uint64_t now_us = 1000000;
    for (unsigned i = 0; i < 100; i++)
        now_us = round_trip(&cc, now_us, 1000);
    /* 9/17 of a segment a round trip up to 20, then one: 14 + 11 trips * 9/17 ... + 89 */
    assert_in_range(cc.cwnd, 85 * MSS, 110 * MSS);
}

/* Section 4.3, Figure 4, in real numbers: a small window is not held below W_est until that has grown by a whole segment. */
static void small_windows_grow_by_the_byte(void **state)
{
    (void)state;
    struct cc cc = after_loss(7 * MSS);
    double w_est = 4.9;
    for (unsigned i = 0; i < 40; i++) {
        w_est += (w_est < 7 ? 9.0 / 17 : 1) / w_est;
        cc.ops->on_ack(&cc,
                       &(struct cc_ack){.now_us = 1000000 + i * 200, .acked_bytes = MSS, .srtt_us = 1000});
        assert_true(fabs((double)cc.cwnd / MSS - w_est) < 0.02);
    }
    assert_true(cc.cwnd > 9 * MSS);
}

static void growth_is_half_a_window_a_round_trip_at_most(void **state)
{
    (void)state;
    struct cc cc = after_loss(100 * MSS);
    round_trip(&cc, 1000000, RTT_US);
    uint32_t before = cc.cwnd;
    round_trip(&cc, 90000000, RTT_US); /* far out on the curve */
    assert_in_range(cc.cwnd, before + 1, before + before / 2 + 2 * MSS);
}

static void idle_time_is_no_time_of_growth(void **state)
{
    (void)state;
    struct cc busy = after_loss(100 * MSS), idle = busy;
    uint64_t t = round_trip(&busy, 1000000, RTT_US);
    round_trip(&idle, 1000000, RTT_US);
    idle.ops->on_idle(&idle, 50000000);
    round_trip(&busy, t, RTT_US);
    round_trip(&idle, t + 50000000, RTT_US);
    assert_int_equal(busy.cwnd, idle.cwnd);
}

static void leaving_slow_start_without_a_loss(void **state)
{
    (void)state;
    struct cc cc;
    cc_init(&cc, &tcp_cc_cubic, MSS, 10 * MSS);
    cc.ssthresh = 12 * MSS;
    cc.ops->on_ack(&cc, &(struct cc_ack){.now_us = 1000000, .acked_bytes = 4 * MSS, .srtt_us = RTT_US});
    assert_int_equal(cc.cwnd, 12 * MSS + MSS * 2 / 12); /* two segments of four are left over: as Reno */
    assert_int_equal(cc.cubic.w_max, 12 * MSS);
    assert_int_equal(cc.cubic.k_ms, 0);
}

/* Section 4.8. */
static void after_a_time_out_the_curve_begins_at_ssthresh(void **state)
{
    (void)state;
    struct cc cc;
    cc_init(&cc, &tcp_cc_cubic, MSS, 100 * MSS);
    cc.ops->on_congestion(&cc, 100 * MSS, 1000);
    cc.cwnd = MSS;
    cc.ops->on_timeout(&cc);
    cc.cwnd = cc.ssthresh;
    uint64_t now_us = round_trip(&cc, 1000000, RTT_US);
    assert_int_equal(cc.cubic.w_max, 70 * MSS);
    assert_int_equal(cc.cubic.k_ms, 0);
    for (unsigned i = 0; i < 9; i++)
        now_us = round_trip(&cc, now_us, RTT_US);
    assert_in_range(cc.cwnd, 70 * MSS, 76 * MSS); /* as Reno at first, and not back towards 100 */
}

static void huge_windows_and_times_do_not_overflow(void **state)
{
    (void)state;
    struct cc cc;
    cc_init(&cc, &tcp_cc_cubic, 65000, 1u << 30);
    cc.ops->on_congestion(&cc, 1u << 30, 1);
    cc.cwnd = cc.ssthresh;
    uint64_t now_us = 1;
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t before = cc.cwnd;
        now_us += 1000000000;
        cc.ops->on_ack(&cc, &(struct cc_ack){.now_us = now_us, .acked_bytes = 65000, .srtt_us = 600000000});
        assert_true(cc.cwnd >= before);
        if (cc.cwnd > 3u << 29)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(congestion_leaves_seven_tenths),
        cmocka_unit_test(a_second_loss_below_w_max_converges_fast),
        cmocka_unit_test(ssthresh_is_two_segments_at_least),
        cmocka_unit_test(growth_follows_the_curve),
        cmocka_unit_test(short_paths_grow_like_reno),
        cmocka_unit_test(small_windows_grow_by_the_byte),
        cmocka_unit_test(growth_is_half_a_window_a_round_trip_at_most),
        cmocka_unit_test(idle_time_is_no_time_of_growth),
        cmocka_unit_test(leaving_slow_start_without_a_loss),
        cmocka_unit_test(after_a_time_out_the_curve_begins_at_ssthresh),
        cmocka_unit_test(huge_windows_and_times_do_not_overflow),
    };
    return cmocka_run_group_tests_name("tcp/cc_cubic", tests, NULL, NULL);
}
