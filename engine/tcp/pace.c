/* pace.c: what cwnd lets out leaves spread over the round trip, not in bursts that a shallow queue cannot hold.
 *
 * The rate is Linux's: twice a window a round trip while cwnd may double, 1.2 windows afterwards, so that cwnd stays what
 * limits.  A window that may leave as one burst at the start (RFC 6928) is not paced later either: spread, its odd segments
 * would wait for the receiver's delayed ACK.  What is due within a quantum leaves at once: the loop sees no shorter times, and a path of a
 * millisecond is not paced at all.  A loop that comes late by less than that catches up.
 */
#include "engine/tcp/tcb.h"

#define QUANTUM_US     1000u
#define LONGEST_US     1000000u
#define BURST_SEGMENTS 2u /* a receiver acknowledges every second one */

/* After a time-out cwnd says little about the path. */
static uint32_t window(const struct tcb *tcb)
{
    return max_u32(tcb->cc.cwnd, tcb->txq.out);
}

static uint64_t per_round_trip(const struct tcb *tcb)
{
    const struct cc *cc = &tcb->cc;
    return cc->cwnd < cc->ssthresh / 2 ? 2 * (uint64_t)window(tcb) : (uint64_t)window(tcb) * 6 / 5;
}

static uint64_t takes_us(const struct tcb *tcb, uint32_t bytes)
{
    return (uint64_t)bytes * tcb->rtt.srtt_us / per_round_trip(tcb);
}

static uint64_t quantum_us(const struct tcb *tcb)
{
    return max_u64(QUANTUM_US, takes_us(tcb, BURST_SEGMENTS * tcb->snd_mss));
}

static uint64_t from_us(const struct tcb *tcb, uint64_t now_us)
{
    return max_u64(tcb->pace_us, now_us - min_u64(now_us, QUANTUM_US));
}

static bool is_paced(const struct tcb *tcb)
{
    return tcb->config->pacing && tcb->rtt.srtt_us && window(tcb) > tcb->initial_window;
}

bool pace_waits(const struct tcb *tcb, uint64_t now_us)
{
    uint64_t until_us = tcb->timer[TIMER_PACE];
    return until_us != DEADLINE_NEVER && now_us < until_us;
}

uint32_t pace_room(const struct tcb *tcb, uint64_t now_us)
{
    uint64_t srtt_us = tcb->rtt.srtt_us;
    if (!is_paced(tcb) || srtt_us < QUANTUM_US)
        return UINT32_MAX;
    uint64_t until_us = now_us + quantum_us(tcb), begin_us = from_us(tcb, now_us);
    uint64_t due =
        until_us > begin_us ? ((until_us - begin_us) * per_round_trip(tcb) + srtt_us - 1) / srtt_us : 0;
    uint32_t burst = tcb->txq.out ? tcb->pace_burst : tcb->initial_window;
    return (uint32_t)min_u64(due + burst, UINT32_MAX);
}

/* After silence the initial window may leave as one burst, as at the start (RFC 6928, RFC 5681 section 4.1). */
static uint32_t take_from_burst(struct tcb *tcb, uint32_t bytes)
{
    if (tcb->txq.out <= bytes) /* nothing else is in flight */
        tcb->pace_burst = tcb->initial_window;
    uint32_t unpaced = min_u32(bytes, tcb->pace_burst);
    tcb->pace_burst -= unpaced;
    return bytes - unpaced;
}

void pace_sent(struct tcb *tcb, uint32_t bytes, uint64_t now_us)
{
    if (!is_paced(tcb))
        return;
    uint64_t until_us = from_us(tcb, now_us) + takes_us(tcb, take_from_burst(tcb, bytes));
    /* What is sent again is charged at the rate of a window that has shrunk since, time and again: cwnd holds it back by
     * itself, and a segment a round trip may always leave.
     */
    tcb->pace_us = min_u64(until_us, now_us + min_u64(tcb->rtt.srtt_us, LONGEST_US));
    if (tcb->rtt.srtt_us >= QUANTUM_US && tcb->pace_us >= now_us + quantum_us(tcb))
        timer_set(tcb, TIMER_PACE, tcb->pace_us);
}
