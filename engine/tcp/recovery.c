/* recovery.c: what losses do to a connection: fast recovery (RFC 6675, RFC 6582) and the time after a time-out.
 *
 * Losses are found by rack.c where the peer has SACK, else by duplicate ACKs here.  Both run on one notion of
 * what is in the network: RFC 6675's pipe.  Without SACK every duplicate ACK is taken as the arrival of one full segment
 * (reno_sacked); on the first two it lets new data out: limited transmit (RFC 3042).
 */
#include "engine/tcp/tcb.h"

#define DUP_THRESH 3u /* RFC 5681 section 3.2 */

/* reno_sacked may never claim more than is in the network. */
static void clamp_reno(struct tcb *tcb)
{
    tcb->reno_sacked = min_u32(tcb->reno_sacked, txq_pipe(&tcb->txq));
}

void recovery_mark_lost(struct tcb *tcb, struct pkt *p)
{
    txq_set_flags(&tcb->txq, p, (uint8_t)((p->tcp.flags & ~TXQ_RETRANS) | TXQ_LOST));
    pmtu_probe_lost(tcb, p);
    clamp_reno(tcb);
}

/* RFC 6582 section 3.2: the third duplicate, if the ACK covers more than what the last recovery covered. */
static bool find_lost_by_duplicates(struct tcb *tcb)
{
    if (tcb->dup_acks != DUP_THRESH || !recovery_is_quiet(tcb) || !seq_gt(tcb->snd_una, tcb->recover))
        return false;
    recovery_mark_lost(tcb, tcb->txq.head);
    return true;
}

/* Returns what has been delivered, DeliveredData in RFC 9937, by its reckoning without SACK. */
static uint32_t count_duplicates(struct tcb *tcb, const struct txq_report *report, bool duplicate)
{
    uint32_t before = tcb->reno_sacked;
    if (duplicate) {
        if (tcb->dup_acks < UINT8_MAX)
            tcb->dup_acks++;
        tcb->reno_sacked += tcb->snd_mss;
        clamp_reno(tcb);
        return tcb->reno_sacked - before;
    }
    if (report->acked) {
        /* the segment that was missing, and those behind it that the duplicates stood for */
        uint32_t stood_for = report->acked > tcb->snd_mss ? report->acked - tcb->snd_mss : 0;
        tcb->reno_sacked -= min_u32(tcb->reno_sacked, stood_for);
        tcb->dup_acks = 0;
    }
    clamp_reno(tcb);
    uint32_t known = before - tcb->reno_sacked;
    if (report->acked && recovery_is_quiet(tcb))
        tcb->reno_sacked = 0;
    return report->acked > known ? report->acked - known : 0;
}

/* RFC 6675 section 5 (4.1) and (4.2); data sent by limited transmit does not count (RFC 5681 section 3.2 (2)). */
static void reduce(struct tcb *tcb, uint32_t flight, uint64_t now_us)
{
    struct cc *cc = &tcb->cc;
    cc->ops->on_congestion(cc, min_u32(flight, cc->cwnd), now_us);
    ecn_note_reduction(tcb);
}

/* What was found lost may leave at the rate of what is delivered: at first one segment (RFC 9937).  RFC 3168 section 6.1.2:
 * a window that an ECN echo has reduced is not reduced again for what it has lost as well.
 */
static void enter_fast(struct tcb *tcb, uint64_t now_us)
{
    struct cc *cc = &tcb->cc;
    bool reduced = tcb->recovery == RECOVERY_CWR;
    if (reduced)
        cc->cwnd = cc->ssthresh;
    undo_arm(tcb);
    prr_start(tcb, tcb->txq.out);
    if (!reduced)
        reduce(tcb, tcb->txq.out, now_us);
    tcb->recover = tcb->snd_nxt;
    tcb->recovery = RECOVERY_FAST;
    tcb->rexmit_now = true; /* (4.3) */
    cc->cwnd = recovery_pipe(tcb) + cc->mss;
    timer_cancel(tcb, TIMER_PROBE);
}

/* RFC 3168 section 6.1.2: as if a segment had been lost, but none was. */
static void enter_cwr(struct tcb *tcb, uint32_t delivered, uint64_t now_us)
{
    stat_inc(tcb->stats, STAT_tcp_ecn_reductions);
    uint32_t flight = recovery_pipe(tcb) + delivered; /* before this ACK */
    prr_start(tcb, flight);
    reduce(tcb, flight, now_us);
    tcb->recovery = RECOVERY_CWR;
}

static void leave_cwr(struct tcb *tcb)
{
    tcb->cc.cwnd = tcb->cc.ssthresh;
    tcb->recovery = RECOVERY_OPEN;
}

static void leave(struct tcb *tcb, uint64_t now_us)
{
    struct cc *cc = &tcb->cc;
    if (tcb->recovery == RECOVERY_FAST)
        cc->cwnd = cc->ssthresh;
    if (tcb->recovery == RECOVERY_FAST &&
        !tcb->sack_on) /* RFC 6582 section 3.2 (3), full acknowledgment (1) */
        cc->cwnd = min_u32(cc->cwnd, max_u32(recovery_pipe(tcb), cc->mss) + cc->mss);
    tcb->recovery = RECOVERY_OPEN;
    tcb->rexmit_now = false;
    tcb->reno_sacked = 0;
    tcb->dup_acks = 0;
    undo_left_recovery(tcb, now_us);
    rack_left_recovery(tcb);
}

/* Nothing was lost: windows are as they were, and what was thought to be lost is in flight. */
static void leave_undone(struct tcb *tcb)
{
    tcb->recovery = RECOVERY_OPEN;
    tcb->rexmit_now = false;
    tcb->reno_sacked = 0;
    tcb->dup_acks = 0;
    rack_left_recovery(tcb);
}

/* RFC 6582 section 3.2 (3), partial acknowledgment: the next segment is missing as well. */
static void partial_ack(struct tcb *tcb)
{
    struct pkt *p = tcb->txq.head;
    if (p && p != tcb->txq.unsent && !(p->tcp.flags & TXQ_LOST)) {
        recovery_mark_lost(tcb, p);
        tcb->rexmit_now = true;
    }
}

/* RFC 4821 section 7.5: a probe that is lost alone was too big; it is repaired at once, and cwnd stays. */
static bool spares_a_probe(struct tcb *tcb)
{
    uint32_t probe = tcb->pmtu.probe_lost;
    tcb->pmtu.probe_lost = 0;
    if (!probe || !recovery_is_quiet(tcb) || tcb->txq.lost != probe)
        return false;
    tcb->rexmit_now = true;
    return true;
}

static void move_on(struct tcb *tcb, const struct txq_report *report, bool found, uint64_t now_us)
{
    if (recovery_is_quiet(tcb)) {
        if (found)
            enter_fast(tcb, now_us);
    } else if (seq_ge(tcb->snd_una, tcb->recover)) {
        leave(tcb, now_us);
    } else if (!tcb->sack_on && report->acked) {
        partial_ack(tcb);
    }
}

/* Numbers that lie behind snd_una have done their work; 2 GiB later they would seem to lie ahead. */
static void keep_near(struct tcb *tcb)
{
    if (seq_gt(tcb->snd_una, tcb->recover))
        tcb->recover = tcb->snd_una - 1;
    if (seq_gt(tcb->snd_una, tcb->ecn_seq))
        tcb->ecn_seq = tcb->snd_una - 1;
}

uint32_t recovery_on_ack(struct tcb *tcb, const struct tcp_segment *seg, const struct txq_report *report,
                         bool duplicate, uint64_t now_us)
{
    uint32_t delivered = report->acked - report->acked_sacked + report->sacked;
    bool found;
    keep_near(tcb);
    if (tcb->ecn_on && (seg->flags & TCP_ECE)) /* so a reduction was not for nothing, lost or not */
        undo_disarm(tcb);
    if (undo_on_ack(tcb, seg, report, duplicate, now_us))
        leave_undone(tcb);
    if (tcb->sack_on) {
        rack_on_ack(tcb, report, now_us);
        found = rack_find_lost(tcb, now_us) && !spares_a_probe(tcb);
        if (tlp_on_ack(tcb, seg, report, duplicate) && tcb->recovery == RECOVERY_OPEN && !found) {
            reduce(tcb, tcb->txq.out,
                   now_us); /* RFC 8985 section 7.4.2: the probe repaired it, but it was a loss */
            tcb->cc.cwnd = tcb->cc.ssthresh;
        }
    } else {
        delivered = count_duplicates(tcb, report, duplicate);
        found = find_lost_by_duplicates(tcb);
    }
    move_on(tcb, report, found, now_us);
    if (tcb->recovery == RECOVERY_OPEN && ecn_echoed(tcb, seg))
        enter_cwr(tcb, delivered, now_us);
    /* without SACK an ACK that does not end it is news of a further loss */
    if (tcb->recovery == RECOVERY_FAST)
        prr_on_ack(tcb, delivered, report->acked && !found && tcb->sack_on);
    else if (tcb->recovery == RECOVERY_CWR)
        prr_on_ack(tcb, delivered, report->acked && !(seg->flags & TCP_ECE));
    if (tcb->recovery == RECOVERY_CWR && seq_ge(tcb->snd_una, tcb->ecn_seq))
        leave_cwr(tcb);
    return delivered;
}

void recovery_on_reorder_timer(struct tcb *tcb, uint64_t now_us)
{
    if (rack_find_lost(tcb, now_us) && !spares_a_probe(tcb) && recovery_is_quiet(tcb))
        enter_fast(tcb, now_us);
}

void recovery_sent(struct tcb *tcb, uint32_t bytes, bool again, uint64_t now_us)
{
    if (recovery_is_reducing(tcb))
        tcb->prr.out += bytes;
    if (again)
        undo_sent_again(tcb, now_us);
}

/* RFC 8985 section 6.3: the first one, and what has been out for longer than a round trip. */
static void mark_timed_out(struct tcb *tcb, uint64_t now_us)
{
    struct txq *q = &tcb->txq;
    /* What was SACKed and comes to the front unacknowledged is no longer there (RFC 2018 section 8). */
    if (q->head->tcp.flags & TXQ_SACKED)
        txq_forget_sacks(q);
    for (struct pkt *p = q->head; p != q->unsent; p = p->next) {
        bool recent = tcb->sack_on && p != q->head && rack_is_recent(tcb, p, now_us);
        if (!recent && !(p->tcp.flags & TXQ_SACKED))
            recovery_mark_lost(tcb, p);
    }
}

/* RFC 5681 section 3.1: a time-out makes cwnd one segment; ssthresh falls once for each loss, so not again when
 * the same segment times out again, nor when recovery had reduced it for this window.
 */
void recovery_on_timeout(struct tcb *tcb, uint64_t now_us)
{
    struct cc *cc = &tcb->cc;
    assert(tcb->txq.out > 0);
    pmtu_on_timeout(tcb, now_us);
    bool same = recovery_is_reducing(tcb) || (tcb->recovery == RECOVERY_LOSS && tcb->rto_una == tcb->snd_una);
    if (same) {
        tcb->undo.frto = FRTO_OFF;
    } else {
        undo_arm(tcb);
        /* RFC 5682 section 2.1 (1): not while a time-out is being repaired */
        if (tcb->recovery == RECOVERY_OPEN)
            undo_arm_frto(tcb);
        reduce(tcb, tcb->txq.out, now_us);
    }
    cc->cwnd = cc->mss;
    cc->ops->on_timeout(cc);
    ecn_note_reduction(tcb);
    tcb->recover = tcb->snd_nxt;
    tcb->rto_una = tcb->snd_una;
    tcb->recovery = RECOVERY_LOSS;
    tcb->reno_sacked = 0;
    tcb->dup_acks = 0;
    tcb->rack.tlp_out = false;
    timer_cancel(tcb, TIMER_PROBE);
    mark_timed_out(tcb, now_us);
    tcb->pmtu.probe_lost = 0;
    tcb->rexmit_now = true;
}
