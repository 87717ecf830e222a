/* txq_ack.c: what ACKs say of the packets in the send queue: acknowledged, in part, or SACKed. */
#include "engine/tcp/txq_sums.h"

/* RACK and RTT want to know which of the packets that an ACK covers left last. */
static void report_delivered(struct txq *q, const struct pkt *p, struct txq_report *report)
{
    if (p->tcp.sends > 1) {
        report->retrans_acked = true;
    } else {
        report->clean_us = max_u64(report->clean_us, p->tcp.sent_us);
        report->first_us = report->first_us ? min_u64(report->first_us, p->tcp.sent_us) : p->tcp.sent_us;
        report->reordered |= seq_lt(txq_end(p), q->fack);
    }
    q->fack = seq_max(q->fack, txq_end(p));
    if (p->tcp.sends > 1 && p->tcp.sent_us > report->believed_us)
        return;
    report->last_us = p->tcp.sent_us;
    if (p->tcp.order > report->newest_order) {
        report->newest_order = p->tcp.order;
        report->newest_us = p->tcp.sent_us;
    }
}

static void report_acked(struct txq *q, const struct pkt *p, uint32_t seqs, uint32_t bytes,
                         struct txq_report *report)
{
    report->acked += seqs;
    report->acked_bytes += bytes;
    if (p->tcp.flags & TXQ_SACKED)
        report->acked_sacked += seqs;
    else
        report_delivered(q, p, report);
}

/* The receiver has the first part of a packet: a middlebox cut it differently. */
static void trim_front(struct txq *q, struct pkt *p, uint32_t ack, struct txq_report *report)
{
    uint32_t n = ack - p->tcp.seq;
    report_acked(q, p, n, n, report);
    txq_uncount(q, p);
    p->tcp.payload += n;
    p->tcp.seq += n;
    p->tcp.len = (uint16_t)(p->tcp.len - n);
    txq_count(q, p);
}

/* What was sent a round trip ago has left the caches when it is acknowledged. */
static void prefetch(const struct pkt *p)
{
    __builtin_prefetch(p->next);
    __builtin_prefetch(p->tcp.run);
}

static void drop_head(struct txq *q, struct txq_report *report)
{
    struct pkt *p = q->head;
    prefetch(p);
    report_acked(q, p, txq_seq_len(p), p->tcp.len, report);
    txq_uncount(q, p);
    q->head = p->next;
    if (q->tail == p)
        q->tail = NULL;
    q->packets--;
    txq_give_back(p);
}

/* Sent once and nothing else known of it: what most packets of a healthy flow are. */
static bool is_ordinary(const struct pkt *p)
{
    return p->tcp.sends == 1 && !p->tcp.flags;
}

/* What report_delivered would say of each of them.  They left in the order of their numbers. */
static void report_ordinary(struct txq *q, const struct pkt_tcp *first, const struct pkt_tcp *last,
                            struct txq_report *report)
{
    report->reordered |= seq_lt(first->seq + first->len, q->fack);
    q->fack = seq_max(q->fack, last->seq + last->len);
    report->first_us = report->first_us ? min_u64(report->first_us, first->sent_us) : first->sent_us;
    report->clean_us = max_u64(report->clean_us, last->sent_us);
    report->last_us = last->sent_us;
    if (last->order > report->newest_order) {
        report->newest_order = last->order;
        report->newest_us = last->sent_us;
    }
}

/* Ordinary ones at the head that ack covers, so many at the most. */
static uint32_t collect_ordinary(const struct txq *q, uint32_t ack, struct pkt **pkt, uint32_t max)
{
    struct pkt *p = q->head;
    uint32_t n = 0;
    for (; n < max && p && is_ordinary(p) && seq_le(p->tcp.seq + p->tcp.len, ack); p = p->next) {
        prefetch(p);
        pkt[n++] = p;
    }
    return n;
}

static bool drop_ordinary(struct txq *q, uint32_t ack, struct txq_report *report)
{
    struct pkt *pkt[PKT_MANY];
    uint32_t n = collect_ordinary(q, ack, pkt, PKT_MANY);
    if (n == 0)
        return false;
    const struct pkt_tcp *first = &pkt[0]->tcp, *last = &pkt[n - 1]->tcp;
    uint32_t bytes = last->seq + last->len - first->seq;
    report_ordinary(q, first, last, report);
    report->acked += bytes;
    report->acked_bytes += bytes;
    q->bytes -= bytes;
    q->out -= bytes;
    q->packets -= n;
    q->head = pkt[n - 1]->next;
    if (!q->head)
        q->tail = NULL;
    pkt_free_many(pkt, n);
    return true;
}

void txq_ack(struct txq *q, uint32_t ack, struct txq_report *report)
{
    while (q->head && q->head->tcp.sends && seq_le(txq_end(q->head), ack))
        if (!drop_ordinary(q, ack, report))
            drop_head(q, report);
    struct pkt *p = q->head;
    if (p && p->tcp.sends && seq_lt(p->tcp.seq, ack))
        trim_front(q, p, ack, report);
}

/* RFC 2883 section 4: a first block below the ACK, or inside the second block, reports a duplicate. */
static bool is_dsack(const struct tcp_options *opt, uint32_t ack)
{
    const struct tcp_sack_block *b = opt->sack;
    if (seq_ge(b[0].start, b[0].end))
        return false;
    if (seq_le(b[0].end, ack))
        return true;
    return opt->sack_blocks > 1 && seq_ge(b[0].start, b[1].start) && seq_le(b[0].end, b[1].end);
}

static void mark_sacked(struct txq *q, struct pkt *p, struct txq_report *report)
{
    report->sacked += txq_seq_len(p);
    report_delivered(q, p, report);
    txq_set_flags(q, p, (uint8_t)((p->tcp.flags & ~(TXQ_LOST | TXQ_RETRANS)) | TXQ_SACKED));
    p->tcp.run = p;
}

static bool is_sacked(const struct pkt *p)
{
    return p->tcp.flags & TXQ_SACKED;
}

/* Where the run ends is kept at its first packet: the walks begin at the head and meet no other one of it.  What `run` names
 * leaves the queue after who names it: only the head is acknowledged, and what is SACKed is not joined with others.
 */
struct pkt *txq_skip_sacked(struct pkt *p)
{
    if (!p || !is_sacked(p))
        return p;
    struct pkt *last = p;
    for (;;) {
        if (last->tcp.run != last)
            last = last->tcp.run;
        else if (last->next && is_sacked(last->next))
            last = last->next;
        else
            break;
    }
    p->tcp.run = last;
    return last->next;
}

static void sack_block(struct txq *q, struct tcp_sack_block b, struct txq_report *report)
{
    for (struct pkt *p = txq_skip_sacked(q->head); p != q->unsent && seq_lt(p->tcp.seq, b.end);
         p = txq_skip_sacked(p->next))
        if (seq_ge(p->tcp.seq, b.start) && seq_le(txq_end(p), b.end))
            mark_sacked(q, p, report);
}

void txq_sack(struct txq *q, const struct tcp_options *opt, uint32_t snd_una, uint32_t snd_nxt, uint32_t ack,
              struct txq_report *report)
{
    if (opt->sack_blocks && is_dsack(opt, ack)) {
        report->dsack = true;
        report->dsack_end = opt->sack[0].end;
    }
    for (unsigned i = 0; i < opt->sack_blocks; i++) {
        struct tcp_sack_block b = opt->sack[i];
        bool inside = seq_lt(b.start, b.end) && seq_le(snd_una, b.start) && seq_le(b.end, snd_nxt);
        if (inside && q->sacked < q->out)
            sack_block(q, b, report);
    }
}
