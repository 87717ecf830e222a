/* txq.c: the send queue: writing, splitting, joining, and what has left. */
#include "engine/tcp/txq_sums.h"

#include <string.h>

void txq_init(struct txq *q)
{
    *q = (struct txq){0};
}

void txq_clear(struct txq *q)
{
    for (struct pkt *p = q->head, *next; p; p = next) {
        next = p->next;
        txq_give_back(p);
    }
    for (struct pkt *p = q->spare, *next; p; p = next) {
        next = p->next;
        pkt_free(p);
    }
    txq_init(q);
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

/* Takes the packets that are wanting together; as many as there are without waiting. */
static void provide_spares(struct txq *q, struct pkt_pool *pool, uint32_t packets)
{
    struct pkt *many[PKT_MANY];
    uint32_t spares = count_spares(q);
    if (packets < spares + 2)
        return;
    uint32_t n = pkt_alloc_many(pool, many, min_u32(packets - spares, PKT_MANY));
    while (n-- > 0) {
        many[n]->next = q->spare;
        q->spare = many[n];
    }
}

static uint32_t spare_room(struct pkt *p, uint32_t mss)
{
    p->tcp = (struct pkt_tcp){.payload = p->buf + PKT_HEADROOM};
    return min_u32(mss, tail_space(p));
}

uint8_t *txq_reserve(struct txq *q, struct pkt_pool *pool, uint32_t mss, size_t *room)
{
    struct pkt *p = open_tail(q, mss);
    if (p) {
        *room = min_u32(mss - p->tcp.len, tail_space(p));
        return p->tcp.payload + p->tcp.len;
    }
    if (!q->spare)
        q->spare = pkt_alloc(pool, PKT_DATA);
    if (!q->spare)
        return NULL;
    *room = spare_room(q->spare, mss);
    return q->spare->tcp.payload;
}

uint32_t txq_pieces(struct txq *q, struct pkt_pool *pool, uint32_t mss, uint32_t bytes,
                    struct byte_piece *piece, uint32_t max)
{
    const struct pkt *tail = open_tail(q, mss);
    uint32_t n = 0;
    if (tail) {
        uint32_t room = min_u32(min_u32(mss - tail->tcp.len, tail_space(tail)), bytes);
        piece[n++] = (struct byte_piece){tail->tcp.payload + tail->tcp.len, room};
        bytes -= room;
    }
    provide_spares(q, pool, (bytes + mss - 1) / mss);
    if (!q->spare && bytes > 0)
        q->spare = pkt_alloc(pool, PKT_DATA);
    for (struct pkt *p = q->spare; p && bytes > 0 && n < max; p = p->next) {
        uint32_t room = min_u32(spare_room(p, mss), bytes);
        piece[n++] = (struct byte_piece){p->tcp.payload, room};
        bytes -= room;
    }
    return n;
}

static uint32_t commit_to_tail(struct txq *q, uint32_t mss, uint32_t seq, uint32_t len)
{
    struct pkt *p = open_tail(q, mss);
    if (!p)
        return 0;
    uint32_t n = min_u32(len, min_u32(mss - p->tcp.len, tail_space(p)));
    assert(txq_end(p) == seq);
    (void)seq;
    p->tcp.len = (uint16_t)(p->tcp.len + n);
    count_written(q, n);
    return n;
}

void txq_commit(struct txq *q, uint32_t mss, uint32_t seq, uint32_t len)
{
    for (uint32_t n = commit_to_tail(q, mss, seq, len); n < len;) {
        struct pkt *p = q->spare;
        assert(p);
        uint32_t part = min_u32(len - n, min_u32(mss, tail_space(p)));
        q->spare = p->next;
        p->tcp.seq = seq + n;
        p->tcp.len = (uint16_t)part;
        append(q, p);
        n += part;
    }
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
    txq_uncount(q, p);
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
    txq_count(q, p);
    txq_count(q, rest);
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
    txq_uncount(q, p);
    txq_uncount(q, next);
    move_front(p, next, n);
    if (next->tcp.len > 0)
        txq_count(q, next);
    else
        unlink_next(q, p);
    txq_count(q, p);
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
    txq_uncount(q, p);
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
    txq_count(q, p);
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
    txq_uncount(q, p);
    p->tcp.flags = flags;
    txq_count(q, p);
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
        txq_count(&sum, p);
    }
    assert(unsent_seen || !q->unsent);
    assert(q->out == snd_nxt - snd_una);
    assert(sum.packets == q->packets && sum.bytes == q->bytes && sum.unsent_bytes == q->unsent_bytes);
    assert(sum.out == q->out && sum.sacked == q->sacked && sum.lost == q->lost);
    assert(sum.retrans == q->retrans && sum.lost_waiting == q->lost_waiting);
    assert(sum.sacked_packets == q->sacked_packets);
    (void)seq;
}
