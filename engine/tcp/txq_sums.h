/* txq_sums.h: what the send queue's files share: its sums, and a packet's way back.  Nobody else includes it. */
#ifndef ENGINE_TCP_TXQ_SUMS_H
#define ENGINE_TCP_TXQ_SUMS_H

#include "engine/tcp/txq.h"

static inline void txq_give_back(struct pkt *p)
{
    if (p->pool) /* ctl has none */
        pkt_free(p);
}

/* Takes a packet out of the sums, or puts it in: every change of a packet stands between the two. */
static inline void txq_uncount(struct txq *q, const struct pkt *p)
{
    uint32_t n = txq_seq_len(p);
    uint8_t flags = p->tcp.flags;
    q->bytes -= p->tcp.len;
    if (!p->tcp.sends) {
        q->unsent_bytes -= p->tcp.len;
        return;
    }
    q->out -= n;
    if (flags & TXQ_SACKED) {
        q->sacked -= n;
        q->sacked_packets--;
    }
    if (flags & TXQ_RETRANS)
        q->retrans -= n;
    if (flags & TXQ_LOST)
        q->lost -= n;
    if ((flags & (TXQ_LOST | TXQ_RETRANS)) == TXQ_LOST)
        q->lost_waiting -= n;
}

static inline void txq_count(struct txq *q, const struct pkt *p)
{
    uint32_t n = txq_seq_len(p);
    uint8_t flags = p->tcp.flags;
    q->bytes += p->tcp.len;
    if (!p->tcp.sends) {
        q->unsent_bytes += p->tcp.len;
        return;
    }
    q->out += n;
    if (flags & TXQ_SACKED) {
        q->sacked += n;
        q->sacked_packets++;
    }
    if (flags & TXQ_RETRANS)
        q->retrans += n;
    if (flags & TXQ_LOST)
        q->lost += n;
    if ((flags & (TXQ_LOST | TXQ_RETRANS)) == TXQ_LOST)
        q->lost_waiting += n;
}

#endif
