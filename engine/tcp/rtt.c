/* rtt.c: RFC 6298 section 2. */
#include "engine/tcp/rtt.h"

#define SAMPLE_MAX_US 600000000u /* ten minutes: longer is no round trip */
#define BACKOFF_MAX   16u

void rtt_init(struct rtt *rtt, const struct rtt_limits *limits)
{
    *rtt = (struct rtt){.min_us = UINT32_MAX, .rto_us = limits->rto_initial_us}; /* (2.1) */
}

void rtt_sample(struct rtt *rtt, uint64_t sample_us, const struct rtt_limits *limits)
{
    uint32_t r = (uint32_t)max_u64(min_u64(sample_us, SAMPLE_MAX_US), 1);
    rtt->min_us = min_u32(rtt->min_us, r);
    if (!rtt->srtt_us || rtt->doubtful) { /* (2.2) */
        rtt->doubtful = false;
        rtt->srtt_us = r;
        rtt->rttvar_us = r / 2;
    } else { /* (2.3), alpha = 1/8, beta = 1/4 */
        uint32_t err = r > rtt->srtt_us ? r - rtt->srtt_us : rtt->srtt_us - r;
        rtt->rttvar_us = rtt->rttvar_us - rtt->rttvar_us / 4 + err / 4;
        rtt->srtt_us = max_u32(rtt->srtt_us - rtt->srtt_us / 8 + r / 8, 1);
    }
    /* The minimum is that of the variance term, as in Linux: SRTT + max(G, 4 * RTTVAR) with G = rto_min.
     * It is never less than (2.4) asks for and leaves room for the peer's delayed ACK.
     */
    uint64_t rto = (uint64_t)rtt->srtt_us + max_u64(limits->rto_min_us, 4 * (uint64_t)rtt->rttvar_us);
    rtt->rto_us = (uint32_t)min_u64(rto, limits->rto_max_us); /* (2.5) */
    rtt->backoff = 0;
}

void rtt_back_off(struct rtt *rtt)
{
    if (rtt->backoff < BACKOFF_MAX)
        rtt->backoff++;
}

uint32_t rtt_timeout_us(const struct rtt *rtt, const struct rtt_limits *limits)
{
    return (uint32_t)min_u64((uint64_t)rtt->rto_us << rtt->backoff, limits->rto_max_us);
}
