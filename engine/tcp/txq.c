/* txq.c: the send queue, splitting, and the SACK scoreboard. */
#include "engine/tcp/txq.h"

#include <string.h>

void txq_init(struct txq *q)
{
    *q = (struct txq){0};
}

static void give_back(struct pkt *p)
{
    if (p->pool) /* ctl has none */
        pkt_free(p);
}

void txq_clear(struct txq *q)
{
    for (struct pkt *p = q->head, *next; p; p = next) {
        next = p->next;
        give_back(p);
    }
    for (struct pkt *p = q->spare, *next; p; p = next) {
        next = p->next;
        pkt_free(p);
    }
    txq_init(q);
}

/* Takes a packet out of the sums, or puts it in: every change of a packet stands between the two. */
static void uncount(struct txq *q, const struct pkt *p)
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

static void count(struct txq *q, const struct pkt *p)
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

/* Of an unsent packet only stream bytes are counted. */
static void count_written(struct txq *q, uint32_t len)
{
    q->bytes += len;
    q->unsent_bytes += len;
}

static void append(struct txq *q, struct pkt *p)
{
    p->next = NULL;
    if (q->tail)
        q->tail->next = p;
    else
        q->head = p;
    q->tail = p;
    if (!q->unsent)
        q->unsent = p;
    q->packets++;
    count_written(q, p->tcp.len);
}

/* Bytes that fit behind the payload, counted from the buffer: data and len are the sender's below us. */
static uint32_t tail_space(const struct pkt *p)
{
    return (uint32_t)(p->buf + p->cap - (p->tcp.payload + p->tcp.len));
}

/* The last packet, if stream bytes may still join it. */
static struct pkt *open_tail(const struct txq *q, uint32_t mss)
{
    struct pkt *p = q->tail;
    if (!p || p->tcp.sends || !p->pool || (p->tcp.flags & TXQ_FIN))
        return NULL;
    return p->tcp.len < mss && tail_space(p) > 0 ? p : NULL;
}

static uint32_t count_spares(const struct txq *q)
{
    uint32_t n = 0;
    for (const struct pkt *p = q->spare; p; p = p->next)
        n++;
    return n;
}

void txq_expect(struct txq *q, struct pkt_pool *pool, uint32_t mss, uint32_t bytes)
{
    const struct pkt *tail = open_tail(q, mss);
    uint32_t open = tail ? min_u32(mss - tail->tcp.len, tail_space(tail)) : 0;
    uint32_t packets = bytes > open ? (bytes - open + mss - 1) / mss : 0, spares = count_spares(q);
    if (packets < spares + 2)
        return;
    struct pkt *many[PKT_MANY];
    uint32_t n = pkt_alloc_many(pool, many, min_u32(packets - spares, PKT_MANY));
    while (n-- > 0) {
        many[n]->next = q->spare;
        q->spare = many[n];
    }
}

uint8_t *txq_reserve(struct txq *q, struct pkt_pool *pool, uint32_t mss, size_t *room)
{
    struct pkt *p = open_tail(q, mss);
    if (!p) {
        if (!q->spare)
            q->spare = pkt_alloc(pool, PKT_DATA);
        if (!q->spare)
            return NULL;
        p = q->spare;
        p->tcp = (struct pkt_tcp){.payload = p->buf + PKT_HEADROOM};
    }
    *room = min_u32(mss - p->tcp.len, tail_space(p));
    return p->tcp.payload + p->tcp.len;
}

void txq_commit(struct txq *q, uint32_t mss, uint32_t seq, uint32_t len)
{
    struct pkt *p = open_tail(q, mss);
    if (p) {
        assert(len <= mss - p->tcp.len && len <= tail_space(p) && txq_end(p) == seq);
        p->tcp.len = (uint16_t)(p->tcp.len + len);
        count_written(q, len);
        return;
    }
    p = q->spare;
    assert(p && len > 0 && len <= mss && len <= tail_space(p));
    q->spare = p->next;
    p->tcp.seq = seq;
    p->tcp.len = (uint16_t)len;
    append(q, p);
}

static void append_ctl(struct txq *q, uint32_t seq, uint8_t flag)
{
    q->ctl = (struct pkt){.tcp = {.seq = seq, .flags = flag}};
    append(q, &q->ctl);
}

void txq_append_syn(struct txq *q, uint32_t seq)
{
    assert(!q->head);
    q->fack = seq;
    append_ctl(q, seq, TXQ_SYN);
}

void txq_append_fin(struct txq *q, uint32_t seq)
{
    struct pkt *p = q->tail;
    if (p && !p->tcp.sends && p->pool)
        p->tcp.flags |= TXQ_FIN; /* unsent: only stream bytes are counted yet */
    else
        append_ctl(q, seq, TXQ_FIN);
}

void txq_detach_fin(struct txq *q)
{
    struct pkt *p = q->tail;
    assert(!p->tcp.sends && p->tcp.len > 0 && (p->tcp.flags & TXQ_FIN));
    p->tcp.flags &= (uint8_t)~TXQ_FIN;
    append_ctl(q, p->tcp.seq + p->tcp.len, TXQ_FIN);
}

bool txq_split(struct txq *q, struct pkt *p, struct pkt_pool *pool, uint32_t len)
{
    assert(len > 0 && len < p->tcp.len);
    /* Whatever cannot be cut cannot leave and so blocks its own buffers: the reserve is for that. */
    struct pkt *rest = pkt_alloc(pool, PKT_CONTROL);
    if (!rest)
        return false;
    uint32_t rest_len = p->tcp.len - len;
    assert(rest_len <= (uint32_t)(rest->cap - PKT_HEADROOM));
    uncount(q, p);
    rest->tcp = p->tcp;
    rest->tcp.payload = rest->buf + PKT_HEADROOM;
    rest->tcp.seq = p->tcp.seq + len;
    rest->tcp.len = (uint16_t)rest_len;
    rest->tcp.run = rest;
    memcpy(rest->tcp.payload, p->tcp.payload + len, rest_len);
    p->tcp.len = (uint16_t)len;
    p->tcp.flags &= (uint8_t)~TXQ_FIN;
    rest->next = p->next;
    p->next = rest;
    if (q->tail == p)
        q->tail = rest;
    q->packets++;
    count(q, p);
    count(q, rest);
    return true;
}

/* Payload that is unsent, or lost and waiting: nothing of it is on its way. */
static bool is_idle(const struct pkt *p)
{
    return (!p->tcp.sends || (p->tcp.flags & (TXQ_LOST | TXQ_RETRANS)) == TXQ_LOST) && p->tcp.len > 0;
}

/* Payload whose front was acknowledged or drawn away goes back to where it began: there is room behind it then. */
static void make_tail_space(struct pkt *p)
{
    uint8_t *start = p->buf + PKT_HEADROOM;
    if (p->tcp.payload > start)
        memmove(start, p->tcp.payload, p->tcp.len);
    p->tcp.payload = start;
}

/* Takes an emptied packet out of the list, behind p; its FIN stays with the last byte. */
static void unlink_next(struct txq *q, struct pkt *p)
{
    struct pkt *next = p->next;
    p->next = next->next;
    if (q->tail == next)
        q->tail = p;
    if (q->unsent == next)
        q->unsent = p->next;
    q->packets--;
    p->tcp.flags |= next->tcp.flags & TXQ_FIN;
    pkt_free(next);
}

static void move_front(struct pkt *to, struct pkt *from, uint32_t n)
{
    memcpy(to->tcp.payload + to->tcp.len, from->tcp.payload, n);
    to->tcp.len = (uint16_t)(to->tcp.len + n);
    to->tcp.sends = (uint8_t)max_u32(to->tcp.sends, from->tcp.sends); /* Karn: some of it was sent so often */
    from->tcp.payload += n;
    from->tcp.seq += n;
    from->tcp.len = (uint16_t)(from->tcp.len - n);
}

static bool fill_from_next(struct txq *q, struct pkt *p, uint32_t len)
{
    struct pkt *next = p->next;
    if (!next || !next->tcp.sends != !p->tcp.sends || !is_idle(next))
        return false;
    if (tail_space(p) < len - p->tcp.len)
        make_tail_space(p);
    uint32_t n = min_u32(min_u32(len - p->tcp.len, next->tcp.len), tail_space(p));
    uncount(q, p);
    uncount(q, next);
    move_front(p, next, n);
    if (next->tcp.len > 0)
        count(q, next);
    else
        unlink_next(q, p);
    count(q, p);
    return n > 0;
}

void txq_fill(struct txq *q, struct pkt *p, uint32_t len)
{
    if (!p->pool || !is_idle(p) || pkt_shared(p))
        return;
    while (p->tcp.len < len && !(p->tcp.flags & TXQ_FIN) && fill_from_next(q, p, len))
        ;
}

void txq_sent(struct txq *q, struct pkt *p, uint64_t now_us)
{
    uncount(q, p);
    if (!p->tcp.sends) {
        assert(q->unsent == p);
        q->unsent = p->next;
    } else {
        p->tcp.flags |= TXQ_RETRANS;
    }
    if (p->tcp.sends < UINT8_MAX)
        p->tcp.sends++;
    p->tcp.sent_us = now_us;
    p->tcp.order = ++q->order;
    count(q, p);
}

/* What leaves together is acknowledged together, and each packet is a wait for memory then: one names another that comes
 * somewhat later, so that several are on their way at a time.
 */
#define AHEAD 4u

uint32_t txq_sent_first(struct txq *q, uint32_t count, uint64_t now_us)
{
    struct pkt *p = q->unsent, *before = p;
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i >= AHEAD) {
            before->tcp.run = p;
            before = before->next;
        }
        assert(!p->tcp.sends && !(p->tcp.flags & (TXQ_SYN | TXQ_FIN)));
        bytes += p->tcp.len;
        p->tcp.sends = 1;
        p->tcp.sent_us = now_us;
        p->tcp.order = ++q->order;
        p = p->next;
    }
    q->unsent = p;
    q->unsent_bytes -= bytes;
    q->out += bytes;
    return bytes;
}

void txq_set_flags(struct txq *q, struct pkt *p, uint8_t flags)
{
    uncount(q, p);
    p->tcp.flags = flags;
    count(q, p);
}

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
    uncount(q, p);
    p->tcp.payload += n;
    p->tcp.seq += n;
    p->tcp.len = (uint16_t)(p->tcp.len - n);
    count(q, p);
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
    uncount(q, p);
    q->head = p->next;
    if (q->tail == p)
        q->tail = NULL;
    q->packets--;
    give_back(p);
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

void txq_forget_sacks(struct txq *q)
{
    for (struct pkt *p = q->head; p != q->unsent; p = p->next)
        txq_set_flags(q, p, (uint8_t)(p->tcp.flags & ~TXQ_SACKED));
}

struct pkt *txq_next_lost(const struct txq *q)
{
    if (!q->lost_waiting)
        return NULL;
    struct pkt *p = txq_skip_sacked(q->head);
    while ((p->tcp.flags & (TXQ_LOST | TXQ_RETRANS)) != TXQ_LOST)
        p = txq_skip_sacked(p->next);
    return p;
}

struct pkt *txq_last_sent(const struct txq *q)
{
    struct pkt *p = q->head;
    assert(p != q->unsent);
    while (p->next != q->unsent)
        p = p->next;
    return p;
}

void txq_check(const struct txq *q, uint32_t snd_una, uint32_t snd_nxt)
{
    struct txq sum = {0};
    uint32_t seq = snd_una;
    bool unsent_seen = false;
    for (struct pkt *p = q->head; p; p = p->next) {
        uint8_t mark = p->tcp.flags & (TXQ_SACKED | TXQ_LOST | TXQ_RETRANS);
        unsent_seen |= p == q->unsent;
        assert(unsent_seen == !p->tcp.sends);
        assert(p->tcp.seq == seq && txq_seq_len(p) > 0);
        assert(!(mark & TXQ_SACKED) || (mark == TXQ_SACKED && seq_le(p->tcp.seq, p->tcp.run->tcp.seq)));
        assert(p->tcp.sends || !mark);
        assert(p->next || p == q->tail);
        assert(!p->pool ||
               (p->tcp.payload >= p->buf + PKT_HEADROOM && p->tcp.payload + p->tcp.len <= p->buf + p->cap));
        seq = txq_end(p);
        assert(p->tcp.sends == 0 || seq_le(seq, snd_nxt));
        sum.packets++;
        count(&sum, p);
    }
    assert(unsent_seen || !q->unsent);
    assert(q->out == snd_nxt - snd_una);
    assert(sum.packets == q->packets && sum.bytes == q->bytes && sum.unsent_bytes == q->unsent_bytes);
    assert(sum.out == q->out && sum.sacked == q->sacked && sum.lost == q->lost);
    assert(sum.retrans == q->retrans && sum.lost_waiting == q->lost_waiting);
    assert(sum.sacked_packets == q->sacked_packets);
    (void)seq;
}
