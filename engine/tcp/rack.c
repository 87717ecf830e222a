/* rack.c: RACK-TLP (RFC 8985): what was sent before something that has been delivered, and is older than a round
 * trip and a little, is lost; a tail that nobody answers is probed before the time-out.
 */
#include "engine/tcp/tcb.h"

#define DUP_THRESH       3u
#define REO_WND_PERSIST  16u
#define MAX_ACK_DELAY_US 200000u /* TLP.max_ack_delay: what peers take for a lone segment */
#define PTO_INITIAL_US   1000000u
#define PTO_MIN_US       4000u /* over a path of microseconds the peer's processor is what takes its time */

void rack_init(struct tcb *tcb)
{
    tcb->rack = (struct rack){.reo_wnd_mult = 1, .pto_min_us = PTO_MIN_US};
}

/* ---- RACK ---- */

/* Section 6.2, step 4: a duplicate says that we were too eager: once a round trip, wait a little longer. */
static void widen_on_dsack(struct tcb *tcb, const struct txq_report *report)
{
    struct rack *r = &tcb->rack;
    if (r->dsack_round_on && seq_ge(tcb->snd_una, r->dsack_round))
        r->dsack_round_on = false;
    if (!report->dsack || r->dsack_round_on)
        return;
    r->dsack_round_on = true;
    r->dsack_round = tcb->snd_nxt;
    if (r->reo_wnd_mult < UINT8_MAX)
        r->reo_wnd_mult++;
    r->reo_wnd_persist = REO_WND_PERSIST;
}

void rack_left_recovery(struct tcb *tcb)
{
    struct rack *r = &tcb->rack;
    if (r->reo_wnd_persist > 0)
        r->reo_wnd_persist--;
    if (r->reo_wnd_persist == 0)
        r->reo_wnd_mult = 1;
}

/* Section 6.2, steps 2 and 3.  RACK.rtt is that of the last one that the ACK delivers, also if another left later: an
 * original that was overtaken says how long its fellows may take.
 */
void rack_on_ack(struct tcb *tcb, const struct txq_report *report, uint64_t now_us)
{
    struct rack *r = &tcb->rack;
    r->reordering_seen |= report->reordered;
    widen_on_dsack(tcb, report);
    if (!report->newest_order)
        return;
    r->rtt_us = (uint32_t)min_u64(now_us - report->last_us, UINT32_MAX / 2);
    if (report->newest_order <= r->order)
        return;
    r->order = report->newest_order;
    r->sent_us = report->newest_us;
}

/* Section 6.2, step 4: as long as no reordering was seen, three SACKed segments are as good as time (RFC 6675). */
static uint32_t reordering_window_us(const struct tcb *tcb)
{
    const struct rack *r = &tcb->rack;
    if (!r->reordering_seen && (!recovery_is_quiet(tcb) || tcb->txq.sacked_packets >= DUP_THRESH))
        return 0;
    if (tcb->rtt.min_us == UINT32_MAX)
        return 0;
    return (uint32_t)min_u64((uint64_t)r->reo_wnd_mult * tcb->rtt.min_us / 4, tcb->rtt.srtt_us);
}

static uint64_t lost_at_us(const struct tcb *tcb, const struct pkt *p)
{
    return p->tcp.sent_us + tcb->rack.rtt_us + reordering_window_us(tcb);
}

bool rack_is_recent(const struct tcb *tcb, const struct pkt *p, uint64_t now_us)
{
    return lost_at_us(tcb, p) > now_us;
}

/* Section 6.2, step 5.  Packets that were sent once lie in the order in which they left, so the first of them that
 * left after the newest delivered one ends the search.
 */
bool rack_find_lost(struct tcb *tcb, uint64_t now_us)
{
    const struct rack *r = &tcb->rack;
    uint64_t wake_us = 0;
    bool found = false;
    for (struct pkt *p = txq_skip_sacked(tcb->txq.head); p != tcb->txq.unsent; p = txq_skip_sacked(p->next)) {
        bool waiting = (p->tcp.flags & (TXQ_LOST | TXQ_RETRANS)) == TXQ_LOST;
        bool sent_before = p->tcp.order < r->order;
        if (!sent_before && p->tcp.sends == 1)
            break;
        if (!sent_before || waiting)
            continue;
        if (rack_is_recent(tcb, p, now_us)) {
            wake_us = max_u64(wake_us, lost_at_us(tcb, p));
        } else {
            recovery_mark_lost(tcb, p);
            found = true;
        }
    }
    timer_set(tcb, TIMER_REORDER, wake_us ? wake_us : DEADLINE_NEVER);
    return found;
}

/* ---- TLP ---- */

/* Section 7.2: two round trips of silence, and what the peer may delay its ACK of a lone segment.  RFC 5681, section 4.2,
 * lets it delay that of anything less than two full-sized ones; and there are peers that delay any ACK while their application
 * has not read: where a probe was not needed the next one waits twice as long at the least.
 */
static uint64_t probe_timeout_us(const struct tcb *tcb)
{
    if (!tcb->rtt.srtt_us)
        return PTO_INITIAL_US;
    bool may_wait = txq_pipe(&tcb->txq) < 2 * (uint32_t)tcb->snd_mss;
    uint64_t pto = 2 * (uint64_t)tcb->rtt.srtt_us;
    return may_wait ? pto + MAX_ACK_DELAY_US : max_u64(pto, tcb->rack.pto_min_us);
}

/* Section 7.2: only where nothing says already that something is lost. */
bool tlp_is_silent(const struct tcb *tcb)
{
    return recovery_is_quiet(tcb) && tcb->txq.out && !tcb->txq.sacked && !tcb->txq.lost;
}

/* Section 7.2: one probe a flight. */
void tlp_schedule(struct tcb *tcb, uint64_t now_us)
{
    if (!tcb->sack_on || !tlp_is_silent(tcb) || tcb->rack.tlp_out || tcb->state < TCP_ESTABLISHED) {
        timer_cancel(tcb, TIMER_PROBE);
        return;
    }
    timer_set(tcb, TIMER_PROBE, min_u64(now_us + probe_timeout_us(tcb), tcb->timer[TIMER_RTX]));
}

/* Section 7.3. */
void tlp_sent(struct tcb *tcb, bool is_retrans, uint64_t now_us)
{
    tcb->rack.tlp_out = true;
    tcb->rack.tlp_is_retrans = is_retrans;
    tcb->rack.tlp_end_seq = tcb->snd_nxt;
    timer_cancel(tcb, TIMER_PROBE);
    timer_set(tcb, TIMER_RTX, now_us + tcb_rto(tcb));
    stat_inc(tcb->stats, STAT_tcp_tail_probes);
}

/* Section 7.4.2. */
bool tlp_on_ack(struct tcb *tcb, const struct tcp_segment *seg, const struct txq_report *report,
                bool duplicate)
{
    struct rack *r = &tcb->rack;
    if (!r->tlp_out || seq_lt(seg->ack, r->tlp_end_seq))
        return false;
    bool needless = r->tlp_is_retrans && report->dsack && report->dsack_end == r->tlp_end_seq;
    if (needless)
        r->pto_min_us = min_u32(2 * r->pto_min_us, MAX_ACK_DELAY_US);
    if (needless || !r->tlp_is_retrans) {
        r->tlp_out = false;
        return false;
    }
    if (seq_gt(seg->ack, r->tlp_end_seq)) {
        r->tlp_out = false;
        return true;
    }
    if (duplicate && !seg->opt.sack_blocks)
        r->tlp_out = false;
    return false;
}
