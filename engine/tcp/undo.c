/* undo.c: a retransmission that was not needed means that cwnd was reduced for nothing: restore it (RFC 4015).
 *
 * Two witnesses.  Time stamps: the first ACK after the first retransmission echoes a stamp from before it, so
 * the original had arrived (Eifel, RFC 3522).  D-SACK: every retransmission is reported as a duplicate (RFC 3708).
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
                 uint64_t now_us)
{
    struct undo *u = &tcb->undo;
    if (!u->armed)
        return false;
    if (now_us > u->until_us) {
        u->armed = false;
        return false;
    }
    if (!original_arrived(tcb, seg, report, now_us) && !all_were_duplicates(tcb, report))
        return false;
    u->armed = false;
    restore(tcb);
    stat_inc(tcb->stats, STAT_tcp_undone);
    return true;
}
