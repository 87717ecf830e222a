/* ecn.c: explicit congestion notification (RFC 3168): who speaks it, what leaves marked, what a mark that arrives is
 * answered with.  What an echo does to cwnd is recovery.c's business.
 */
#include "engine/tcp/tcb.h"

#define SETUP (TCP_ECE | TCP_CWR)

/* Section 6.1.1.1: a SYN that nobody answered may have been lost for these bits: it goes again without. */
uint8_t ecn_syn_flags(struct tcb *tcb)
{
    if (tcb->state == TCP_SYN_RECEIVED) /* section 6.1.1: ECE alone in a SYN-ACK */
        return tcb->ecn_on ? TCP_ECE : 0;
    if (tcb->config->ecn != TCP_ECN_ON)
        return 0;
    if (tcb->txq.head->tcp.sends == 0) {
        tcb->ecn_offered = tcb->ecn_may_mark = true;
        return SETUP;
    }
    tcb->ecn_may_mark = false; /* section 6.1.1: not after a SYN without the bits, whatever the answer says */
    return 0;
}

/* Section 6.1.1.  Both bits in a SYN-ACK are those of a host that sends back what it does not know. */
void ecn_accept_syn_ack(struct tcb *tcb, const struct tcp_segment *seg)
{
    tcb->ecn_on = tcb->ecn_offered && (seg->flags & SETUP) == TCP_ECE;
    tcb->ecn_may_mark = tcb->ecn_may_mark && tcb->ecn_on;
}

/* A SYN that comes again without the bits takes them back. */
void ecn_accept_syn(struct tcb *tcb, const struct tcp_segment *seg)
{
    tcb->ecn_on = tcb->ecn_may_mark = tcb->config->ecn != TCP_ECN_OFF && (seg->flags & SETUP) == SETUP;
}

/* Section 6.1.3: text inside the window tells of congestion by CE, and by CWR that the sender has heard our echo; the
 * sender's window may be one segment, so that neither waits for a delayed ACK.
 */
void ecn_take_text(struct tcb *tcb, const struct tcp_segment *seg)
{
    bool marked = seg->ip_ecn == IP_ECN_CE;
    if (!marked && !(seg->flags & TCP_CWR))
        return;
    if (seg->flags & TCP_CWR) {
        tcb->ecn_echo = false;
        tcb->ack_now = true;
    }
    if (!marked)
        return;
    stat_inc(tcb->stats, STAT_tcp_ecn_marked_in);
    tcb->ack_now |= !tcb->ecn_echo;
    tcb->ecn_echo = true;
}

/* Sections 6.1.2 to 6.1.6: ECT only on new data: a mark on an ACK would go unheard, one on what is sent again or on a probe
 * could be an attacker's.  CWR goes with the first new data after a reduction.
 */
void ecn_mark(const struct tcb *tcb, struct tcp_segment *seg, bool new_data)
{
    if (tcb->ecn_echo)
        seg->flags |= TCP_ECE;
    if (!new_data)
        return;
    if (tcb->ecn_may_mark)
        seg->ip_ecn = IP_ECN_ECT0;
    if (tcb->ecn_on && tcb->ecn_reduced)
        seg->flags |= TCP_CWR;
}

/* Something goes again and nothing that was marked has ever arrived: it may be that the path drops what is marked. */
void ecn_doubt_path(struct tcb *tcb)
{
    if (!tcb->ecn_may_mark || tcb->state < TCP_ESTABLISHED || tcb->bytes_acked || tcb->txq.sacked ||
        tcb->reno_sacked)
        return;
    tcb->ecn_may_mark = false;
    stat_inc(tcb->stats, STAT_tcp_ecn_given_up);
}

/* Section 6.1.2: until the segment that carries CWR has been acknowledged, echoes are of what was reduced for. */
bool ecn_echoed(const struct tcb *tcb, const struct tcp_segment *seg)
{
    return tcb->ecn_on && (seg->flags & TCP_ECE) && seq_gt(seg->ack, tcb->ecn_seq);
}

void ecn_note_reduction(struct tcb *tcb)
{
    tcb->ecn_reduced = true;
    tcb->ecn_seq = tcb->snd_nxt;
}
