/* cc_cubic.c: CUBIC (RFC 9438), in integers: bytes and milliseconds. */
#include "engine/tcp/cc.h"

#define BETA_NUM 7u /* beta_cubic = 0.7 (section 4.6) */
#define BETA_DEN 10u
#define T_MAX_MS 100000 /* bounds (t - K)^3 so that 2 * mss * (t - K)^3 fits in 64 bits */

/* The integer cube root, bit by bit. */
static uint32_t cube_root(uint64_t x)
{
    uint64_t y = 0;
    for (int shift = 63; shift >= 0; shift -= 3) {
        y <<= 1;
        uint64_t b = 3 * y * (y + 1) + 1;
        if (x >> shift >= b) {
            x -= b << shift;
            y++;
        }
    }
    return (uint32_t)y;
}

/* Figure 2: K = cbrt((W_max - cwnd_epoch) / C) with C = 0.4 segments/s^3: in ms^3, 2.5e9 a segment. */
static uint32_t time_to_w_max_ms(uint32_t w_max, uint32_t cwnd, uint32_t mss)
{
    if (cwnd >= w_max)
        return 0;
    uint64_t gap = min_u32(w_max - cwnd, 1u << 30);
    return cube_root(gap * 2500000000u / mss);
}

/* Figure 1: W_cubic(t) = C * (t - K)^3 + W_max, never below 0. */
static uint64_t w_cubic(const struct cc *cc, uint64_t t_ms)
{
    int64_t d = (int64_t)min_u64(t_ms, T_MAX_MS) - (int64_t)cc->cubic.k_ms;
    if (d < -T_MAX_MS)
        d = -T_MAX_MS;
    int64_t w = (int64_t)cc->cubic.w_max + d * d * d / 1000000 * 2 * (int64_t)cc->mss / 5000;
    return w > 0 ? (uint64_t)w : 0;
}

static void begin_epoch(struct cc *cc, uint64_t now_us)
{
    struct cc_cubic *c = &cc->cubic;
    c->epoch_us = now_us;
    if (c->w_max < cc->cwnd) /* left slow start without a loss (section 4.8), or overtook w_max */
        c->w_max = cc->cwnd;
    c->k_ms = time_to_w_max_ms(c->w_max, cc->cwnd, cc->mss);
    c->w_est = cc->cwnd;
    c->est_acked = 0;
    cc->acked = 0;
}

/* acked * num / den bytes; what does not make a byte stays in acked.  One ACK counts for a window at the most. */
static uint32_t take_share(uint32_t *acked, uint32_t acked_bytes, uint32_t cwnd, uint64_t num, uint64_t den)
{
    *acked = (uint32_t)min_u64((uint64_t)*acked + acked_bytes, cwnd);
    uint64_t share = *acked * num;
    *acked = (uint32_t)(share % den / num);
    return (uint32_t)(share / den);
}

/* Section 4.3, Reno-friendly region: W_est += alpha_cubic * acked / cwnd with alpha = 3 (1 - beta) / (1 + beta),
 * 9/17, until W_est has come to cwnd_prior, then 1.  By the byte: a window of five segments and a half that grew by whole
 * ones would have room for the sixth half a dozen round trips later.
 */
static void grow_w_est(struct cc *cc, uint32_t acked_bytes)
{
    struct cc_cubic *c = &cc->cubic;
    bool caught_up = c->w_est >= c->cwnd_prior;
    uint64_t num = caught_up ? cc->mss : 9 * (uint64_t)cc->mss;
    uint64_t den = caught_up ? cc->cwnd : 17 * (uint64_t)cc->cwnd;
    c->w_est += take_share(&c->est_acked, acked_bytes, cc->cwnd, num, den);
}

/* Sections 4.4 and 4.5: reach `target`, the curve one RTT ahead but at most 1.5 cwnd, within one RTT: for what is
 * acknowledged as much of the gap as that is of cwnd.  On the plateau a hundredth of a segment an RTT.
 */
static void follow_curve(struct cc *cc, uint64_t t_ms, uint32_t srtt_us, uint32_t acked_bytes)
{
    uint64_t target = w_cubic(cc, t_ms + srtt_us / 1000);
    target = max_u64(min_u64(target, (uint64_t)cc->cwnd + cc->cwnd / 2), cc->cwnd);
    uint64_t gap = max_u64(target - cc->cwnd, max_u32(cc->mss / 100, 1));
    cc->cwnd += take_share(&cc->acked, acked_bytes, cc->cwnd, gap, cc->cwnd);
}

static void cubic_on_ack(struct cc *cc, const struct cc_ack *ack)
{
    struct cc_cubic *c = &cc->cubic;
    uint32_t acked = ack->acked_bytes;
    if (cc_in_slow_start(cc))
        acked = cc_slow_start(cc, ack);
    if (!acked)
        return;
    if (!c->epoch_us)
        begin_epoch(cc, ack->now_us);
    uint64_t t_ms = (ack->now_us - c->epoch_us) / 1000;
    grow_w_est(cc, acked);
    if (w_cubic(cc, t_ms) < c->w_est)
        cc->cwnd = max_u32(cc->cwnd, c->w_est);
    else
        follow_curve(cc, t_ms, ack->srtt_us, acked);
}

/* Sections 4.6 and 4.7: multiplicative decrease, fast convergence.  ssthresh comes from cwnd, which 4.6 allows where cwnd
 * grows only while it is used: the loss of a lone command must not leave a window of two segments for the message behind.
 */
static void cubic_on_congestion(struct cc *cc, uint32_t flight_bytes, uint64_t now_us)
{
    struct cc_cubic *c = &cc->cubic;
    (void)flight_bytes;
    (void)now_us;
    c->cwnd_prior = cc->cwnd;
    if (cc->cwnd < c->w_max)
        c->w_max = (uint32_t)((uint64_t)cc->cwnd * (BETA_DEN + BETA_NUM) / (2 * BETA_DEN));
    else
        c->w_max = cc->cwnd;
    cc->ssthresh = max_u32((uint32_t)((uint64_t)cc->cwnd * BETA_NUM / BETA_DEN), 2 * cc->mss);
    c->epoch_us = 0;
    cc->acked = 0;
}

/* Section 4.8: the curve after a time-out begins where slow start ends: W_max is cwnd then, K is 0. */
static void cubic_on_timeout(struct cc *cc)
{
    cc->cubic.w_max = 0;
    cc->cubic.epoch_us = 0;
    cc->acked = 0;
}

/* Section 5.8: time without data to send is no time of growth: the curve moves on by it. */
static void cubic_on_idle(struct cc *cc, uint64_t idle_us)
{
    if (cc->cubic.epoch_us)
        cc->cubic.epoch_us += idle_us;
}

const struct tcp_cc tcp_cc_cubic = {
    .name = "cubic",
    .on_ack = cubic_on_ack,
    .on_congestion = cubic_on_congestion,
    .on_timeout = cubic_on_timeout,
    .on_idle = cubic_on_idle,
};
