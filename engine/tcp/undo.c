/* undo.c: a retransmission that was not needed means that cwnd was reduced for nothing: restore it (RFC 4015).
 *
 * Three witnesses.  Time stamps: the first ACK after the first retransmission echoes a stamp from before it, so
 * the original had arrived (Eifel, RFC 3522).  D-SACK: every retransmission is reported as a duplicate (RFC 3708).
 * F-RTO (RFC 5682), for time-outs where there are no time stamps: what was sent before it and never again arrives.
 */
#include "engine/tcp/tcb.h"

void undo_arm(struct tcb *tcb)
{
    tcb->undo = (struct undo){
        .cc = tcb->cc,
        .until_us = DEADLINE_NEVER,
        .start = tcb->snd_una,
        .armed = true,
        .first_ack = tcb->txq.head->tcp.sends == 1, /* else it may answer a retransmission from before */
    };
}

void undo_arm_frto(struct tcb *tcb)
{
    tcb->undo.frto = tcb->ts_on ? FRTO_OFF : FRTO_RESENT;
}

void undo_disarm(struct tcb *tcb)
{
    tcb->undo.armed = false;
    tcb->undo.frto = FRTO_OFF;
}

void undo_sent_again(struct tcb *tcb, uint64_t now_us)
{
    struct undo *u = &tcb->undo;
    if (!u->armed)
        return;
    u->retransmitted++;
    if (!u->first_us)
        u->first_us = now_us;
}

/* The reports of the last duplicates come a round trip after the recovery that caused them. */
void undo_left_recovery(struct tcb *tcb, uint64_t now_us)
{
    tcb->undo.until_us = now_us + 2 * (uint64_t)tcb->rtt.srtt_us;
}

/* RFC 3522 section 3.2: strictly earlier, to the millisecond of the stamps. */
static bool original_arrived(struct tcb *tcb, const struct tcp_segment *seg, const struct txq_report *report,
                             uint64_t now_us)
{
    struct undo *u = &tcb->undo;
    if (!report->acked || !u->first_us || !u->first_ack)
        return false;
    u->first_ack = false;
    uint64_t echoed_us = tcb_echoed_us(tcb, seg, now_us);
    return echoed_us && echoed_us < u->first_us / 1000 * 1000;
}

/* RFC 5682 sections 2.1 and 3.1, step 2: the ACK may answer the original or the retransmission.  If it does not cover all
 * that was out, new data asks again; without any, what may be lost goes again as ever.  A duplicate ends the basic variant.
 */
static uint8_t frto_first_ack(const struct tcb *tcb, const struct txq_report *report, bool duplicate)
{
    if (!report->acked)
        return duplicate && !tcb->sack_on ? FRTO_OFF : FRTO_RESENT;
    return seq_lt(tcb->snd_una, tcb->recover) && out_has_new(tcb) ? FRTO_NEW_DATA : FRTO_OFF;
}

/* Step 3: no time-out lost what was sent before it, never again, and arrives now; with SACK, not if the new data has arrived
 * as well: then it was a hole that the retransmission has filled.
 */
static bool frto_was_spurious(struct tcb *tcb, const struct txq_report *report, bool duplicate)
{
    struct undo *u = &tcb->undo;
    if (u->frto == FRTO_RESENT)
        u->frto = frto_first_ack(tcb, report, duplicate);
    else if (u->frto == FRTO_NEW_DATA && (report->acked || report->sacked || duplicate)) {
        bool new_too = tcb->sack_on && report->clean_us >= u->first_us;
        u->frto = FRTO_OFF;
        return report->first_us && report->first_us < u->first_us && !new_too;
    }
    return false;
}

static bool all_were_duplicates(struct tcb *tcb, const struct txq_report *report)
{
    struct undo *u = &tcb->undo;
    if (!report->dsack || !u->retransmitted || !seq_gt(report->dsack_end, u->start))
        return false;
    return --u->retransmitted == 0;
}

/* RFC 4015 section 3.2, RFC 9438 section 4.9. */
static void restore(struct tcb *tcb)
{
    struct cc *cc = &tcb->cc;
    uint32_t cwnd = cc->cwnd, mss = cc->mss;
    *cc = tcb->undo.cc;
    cc->mss = mss;
    cc->cwnd = max_u32(cc->cwnd, cwnd);
    for (struct pkt *p = tcb->txq.head; p != tcb->txq.unsent; p = p->next)
        if ((p->tcp.flags & (TXQ_LOST | TXQ_RETRANS)) == TXQ_LOST)
            txq_set_flags(&tcb->txq, p, (uint8_t)(p->tcp.flags & ~TXQ_LOST));
    tcb->rack.reordering_seen = true; /* it was late, so it was overtaken */
}

bool undo_on_ack(struct tcb *tcb, const struct tcp_segment *seg, const struct txq_report *report,
                 bool duplicate, uint64_t now_us)
{
    struct undo *u = &tcb->undo;
    if (!u->armed)
        return false;
    if (now_us > u->until_us) {
        undo_disarm(tcb);
        return false;
    }
    if (!original_arrived(tcb, seg, report, now_us) && !all_were_duplicates(tcb, report) &&
        !frto_was_spurious(tcb, report, duplicate))
        return false;
    undo_disarm(tcb);
    restore(tcb);
    stat_inc(tcb->stats, STAT_tcp_undone);
    return true;
}
