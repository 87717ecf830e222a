/* recovery.c: finding losses and repairing them: RFC 6675 with SACK, RFC 6582 (NewReno) without.
 *
 * Both run on one notion of what is in the network: RFC 6675's pipe.  Without SACK every duplicate ACK is
 * taken as the arrival of one full segment (reno_sacked), which gives the window that RFC 6582 reaches by
 * inflating and deflating cwnd; on the first two it lets new data out: limited transmit (RFC 3042).
 */
#include "engine/tcp/tcb.h"

#define DUP_THRESH 3u /* RFC 6675 section 2, RFC 5681 section 3.2 */

/* reno_sacked may never claim more than is in the network. */
static void clamp_reno(struct tcb *tcb)
{
    tcb->reno_sacked = min_u32(tcb->reno_sacked, txq_pipe(&tcb->txq));
}

void recovery_mark_lost(struct tcb *tcb, struct pkt *p)
{
    txq_set_flags(&tcb->txq, p, (uint8_t)((p->tcp.flags & ~TXQ_RETRANS) | TXQ_LOST));
    clamp_reno(tcb);
}

/* RFC 6675 section 4, IsLost(): DupThresh packets, or more than DupThresh - 1 full segments in bytes, above it
 * have been SACKed.  One pass from the oldest: what is above is the total less what has been passed.
 */
static bool find_lost_by_sack(struct tcb *tcb)
{
    struct txq *q = &tcb->txq;
    uint32_t packets = q->sacked_packets, bytes = q->sacked;
    bool found = false;
    for (struct pkt *p = q->head; packets > 0; p = p->next) {
        if (p->tcp.flags & TXQ_SACKED) {
            packets--;
            bytes -= txq_seq_len(p);
            continue;
        }
        bool lost = packets >= DUP_THRESH || bytes > (DUP_THRESH - 1) * tcb->snd_mss;
        if (lost && !(p->tcp.flags & TXQ_LOST)) {
            recovery_mark_lost(tcb, p);
            found = true;
        }
    }
    return found;
}

/* RFC 6582 section 3.2: the third duplicate, if the ACK covers more than what the last recovery covered. */
static bool find_lost_by_duplicates(struct tcb *tcb)
{
    if (tcb->dup_acks != DUP_THRESH || tcb->recovery != RECOVERY_OPEN || !seq_gt(tcb->snd_una, tcb->recover))
        return false;
    recovery_mark_lost(tcb, tcb->txq.head);
    return true;
}

static void count_duplicates(struct tcb *tcb, const struct txq_report *report, bool duplicate)
{
    if (duplicate) {
        if (tcb->dup_acks < UINT8_MAX)
            tcb->dup_acks++;
        tcb->reno_sacked += tcb->snd_mss;
    } else if (report->acked) {
        /* the segment that was missing, and those behind it that the duplicates stood for */
        uint32_t stood_for = report->acked > tcb->snd_mss ? report->acked - tcb->snd_mss : 0;
        tcb->reno_sacked -= min_u32(tcb->reno_sacked, stood_for);
        tcb->dup_acks = 0;
        if (tcb->recovery == RECOVERY_OPEN)
            tcb->reno_sacked = 0;
    }
    clamp_reno(tcb);
}

/* RFC 6675 section 5 (4.1) and (4.2); data sent by limited transmit does not count (RFC 5681 section 3.2 (2)). */
static void enter_fast(struct tcb *tcb, uint64_t now_us)
{
    struct cc *cc = &tcb->cc;
    cc->ops->on_congestion(cc, min_u32(tcb->txq.out, cc->cwnd), now_us);
    cc->cwnd = cc->ssthresh;
    tcb->recover = tcb->snd_nxt;
    tcb->recovery = RECOVERY_FAST;
    tcb->rexmit_now = true; /* (4.3) */
}

static void leave(struct tcb *tcb)
{
    struct cc *cc = &tcb->cc;
    if (!tcb->sack_on &&
        tcb->recovery == RECOVERY_FAST) /* RFC 6582 section 3.2 (3), full acknowledgment (1) */
        cc->cwnd = min_u32(cc->cwnd, max_u32(recovery_pipe(tcb), cc->mss) + cc->mss);
    tcb->recovery = RECOVERY_OPEN;
    tcb->rexmit_now = false;
    tcb->reno_sacked = 0;
    tcb->dup_acks = 0;
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

void recovery_on_ack(struct tcb *tcb, const struct txq_report *report, bool duplicate, uint64_t now_us)
{
    bool found = false;
    if (!tcb->sack_on) {
        count_duplicates(tcb, report, duplicate);
        found = find_lost_by_duplicates(tcb);
    } else if (report->sacked) {
        found = find_lost_by_sack(tcb);
    }
    if (tcb->recovery == RECOVERY_OPEN) {
        if (found)
            enter_fast(tcb, now_us);
    } else if (seq_ge(tcb->snd_una, tcb->recover)) {
        leave(tcb);
    } else if (!tcb->sack_on && report->acked) {
        partial_ack(tcb);
    }
}

static void mark_all_lost(struct tcb *tcb)
{
    struct txq *q = &tcb->txq;
    /* What was SACKed and comes to the front unacknowledged is no longer there (RFC 2018 section 8). */
    if (q->head->tcp.flags & TXQ_SACKED)
        txq_forget_sacks(q);
    for (struct pkt *p = q->head; p != q->unsent; p = p->next)
        if (!(p->tcp.flags & TXQ_SACKED))
            recovery_mark_lost(tcb, p);
}

/* RFC 5681 section 3.1: a time-out makes cwnd one segment; ssthresh falls once for each loss, so not again when
 * the same segment times out again, nor when recovery had reduced it for this window.
 */
void recovery_on_timeout(struct tcb *tcb, uint64_t now_us)
{
    struct cc *cc = &tcb->cc;
    assert(tcb->txq.out > 0);
    bool same =
        tcb->recovery == RECOVERY_FAST || (tcb->recovery == RECOVERY_LOSS && tcb->rto_una == tcb->snd_una);
    if (!same)
        cc->ops->on_congestion(cc, min_u32(tcb->txq.out, cc->cwnd), now_us);
    cc->cwnd = cc->mss;
    cc->ops->on_timeout(cc);
    tcb->recover = tcb->snd_nxt;
    tcb->rto_una = tcb->snd_una;
    tcb->recovery = RECOVERY_LOSS;
    tcb->reno_sacked = 0;
    tcb->dup_acks = 0;
    mark_all_lost(tcb);
    tcb->rexmit_now = true;
}
