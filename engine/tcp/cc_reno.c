/* cc_reno.c: Reno (RFC 5681) with appropriate byte counting (RFC 3465). */
#include "engine/tcp/cc.h"

static void reno_on_ack(struct cc *cc, const struct cc_ack *ack)
{
    uint32_t acked = ack->acked_bytes;
    if (cc_in_slow_start(cc))
        acked = cc_slow_start(cc, ack);
    if (acked)
        cc_avoid(cc, acked, cc->cwnd);
}

/* RFC 5681 section 3.1 (4): ssthresh = max(FlightSize / 2, 2 * SMSS) */
static void reno_on_congestion(struct cc *cc, uint32_t flight_bytes, uint64_t now_us)
{
    (void)now_us;
    cc->ssthresh = max_u32(flight_bytes / 2, 2 * cc->mss);
    cc->acked = 0;
}

static void reno_on_timeout(struct cc *cc)
{
    cc->acked = 0;
}

static void reno_on_idle(struct cc *cc, uint64_t idle_us)
{
    (void)idle_us;
    cc->acked = 0;
}

const struct tcp_cc tcp_cc_reno = {
    .name = "reno",
    .on_ack = reno_on_ack,
    .on_congestion = reno_on_congestion,
    .on_timeout = reno_on_timeout,
    .on_idle = reno_on_idle,
};
