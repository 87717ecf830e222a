/* rxq.c: reassembly. */
#include "engine/tcp/rxq.h"

#include <string.h>

#define COPY_BYTES \
    256u /* a payload so small is copied behind the last one: it must not hold a whole buffer */

void rxq_init(struct rxq *q, uint16_t max_packets)
{
    *q = (struct rxq){.max_packets = max_packets};
}

static void free_list(struct pkt *p)
{
    for (struct pkt *next; p; p = next) {
        next = p->next;
        pkt_free(p);
    }
}

void rxq_clear(struct rxq *q)
{
    free_list(q->head);
    free_list(q->early);
    rxq_init(q, q->max_packets);
}

static uint32_t end_of(const struct pkt *p)
{
    return p->tcp.seq + p->tcp.len;
}

static void link_in_order(struct rxq *q, struct pkt *p)
{
    p->next = NULL;
    if (q->tail)
        q->tail->next = p;
    else
        q->head = p;
    q->tail = p;
    q->packets++;
    q->bytes += p->tcp.len;
}

/* Copies behind the last payload where that saves a buffer: small ones always, others when packets run short. */
static bool copy_behind(struct rxq *q, const uint8_t *payload, uint32_t len)
{
    struct pkt *t = q->tail;
    if (!t || (len > COPY_BYTES && q->packets <= q->max_packets / 2) || pkt_shared(t))
        return false;
    uint8_t *at = t->tcp.payload + t->tcp.len;
    if ((size_t)(t->buf + t->cap - at) < len || t->tcp.len + len > UINT16_MAX)
        return false;
    memcpy(at, payload, len);
    t->tcp.len = (uint16_t)(t->tcp.len + len);
    q->bytes += len;
    return true;
}

static struct pkt *hold(struct pkt *pkt, uint8_t *payload, uint32_t seq, uint32_t len)
{
    pkt_ref(pkt);
    pkt->tcp = (struct pkt_tcp){.payload = payload, .seq = seq, .len = (uint16_t)len};
    return pkt;
}

/* The port's receive pool serves every flow: who already holds something of it must not take the rest. */
static bool scarce(const struct pkt *pkt, uint32_t part)
{
    return pkt->pool->available <= pkt->pool->capacity / part;
}

enum rxq_result rxq_append(struct rxq *q, struct pkt *pkt, uint8_t *payload, uint32_t seq, uint32_t len)
{
    assert(len > 0 && len <= UINT16_MAX);
    if (q->packets >= q->max_packets && q->early) /* it might set free as many again as are held already */
        return RXQ_NO_ROOM;
    if (copy_behind(q, payload, len))
        return RXQ_KEPT;
    if (q->packets >= q->max_packets || (q->head && scarce(pkt, 8)))
        return RXQ_NO_ROOM;
    link_in_order(q, hold(pkt, payload, seq, len));
    return RXQ_KEPT;
}

static void drop_after(struct rxq *q, struct pkt *prev, struct pkt *p)
{
    if (prev)
        prev->next = p->next;
    else
        q->early = p->next;
    if (q->early_tail == p)
        q->early_tail = prev;
    q->early_packets--;
    q->early_bytes -= p->tcp.len;
    pkt_free(p);
}

/* Finds the last early packet that starts at or before seq; NULL: none does. */
static struct pkt *find_before(const struct rxq *q, uint32_t seq)
{
    if (q->early_tail && seq_le(q->early_tail->tcp.seq, seq))
        return q->early_tail;
    struct pkt *prev = NULL;
    for (struct pkt *p = q->early; p && seq_le(p->tcp.seq, seq); p = p->next)
        prev = p;
    return prev;
}

/* Where bytes overlap, those that came first stay, unless the new segment covers a whole packet: then it
 * replaces it, so that one segment never needs two places.
 */
enum rxq_result rxq_insert(struct rxq *q, struct pkt *pkt, uint8_t *payload, uint32_t seq, uint32_t len)
{
    assert(len > 0 && len <= UINT16_MAX);
    struct pkt *prev = find_before(q, seq);
    if (prev && seq_lt(seq, end_of(prev))) {
        uint32_t known = end_of(prev) - seq;
        if (known >= len) {
            prev->tcp.order = ++q->arrivals;
            return RXQ_DUPLICATE;
        }
        payload += known;
        seq += known;
        len -= known;
    }
    struct pkt *next = prev ? prev->next : q->early;
    if (next && next->tcp.seq == seq && seq_gt(end_of(next), seq + len)) {
        next->tcp.order = ++q->arrivals;
        return RXQ_DUPLICATE;
    }
    if (q->early_packets >= q->max_packets || scarce(pkt, 4))
        return RXQ_NO_ROOM;
    while (next && seq_le(end_of(next), seq + len)) {
        drop_after(q, prev, next);
        next = prev ? prev->next : q->early;
    }
    if (next && seq_lt(next->tcp.seq, seq + len))
        len = next->tcp.seq - seq;
    hold(pkt, payload, seq, len)->tcp.order = ++q->arrivals;
    pkt->next = next;
    if (prev)
        prev->next = pkt;
    else
        q->early = pkt;
    if (!next)
        q->early_tail = pkt;
    q->early_packets++;
    q->early_bytes += len;
    return RXQ_KEPT;
}

static void take_first_early(struct rxq *q)
{
    struct pkt *p = q->early;
    q->early = p->next;
    if (!q->early)
        q->early_tail = NULL;
    q->early_packets--;
    q->early_bytes -= p->tcp.len;
}

uint32_t rxq_join(struct rxq *q, uint32_t rcv_nxt)
{
    while (q->early && seq_le(q->early->tcp.seq, rcv_nxt)) {
        struct pkt *p = q->early;
        take_first_early(q);
        if (seq_le(end_of(p), rcv_nxt)) {
            pkt_free(p);
            continue;
        }
        uint32_t known = rcv_nxt - p->tcp.seq;
        p->tcp.payload += known;
        p->tcp.seq += known;
        p->tcp.len = (uint16_t)(p->tcp.len - known);
        rcv_nxt += p->tcp.len;
        if (copy_behind(q, p->tcp.payload, p->tcp.len))
            pkt_free(p);
        else
            link_in_order(q, p);
    }
    return rcv_nxt;
}

/* Where the block that starts with p ends, and when its newest part came. */
static const struct pkt *walk_block(const struct pkt *p, struct tcp_sack_block *block, uint32_t *newest)
{
    *block = (struct tcp_sack_block){.start = p->tcp.seq, .end = end_of(p)};
    *newest = (uint32_t)p->tcp.order;
    for (p = p->next; p && p->tcp.seq == block->end; p = p->next) {
        block->end = end_of(p);
        *newest = max_u32(*newest, (uint32_t)p->tcp.order);
    }
    return p;
}

unsigned rxq_sack_blocks(const struct rxq *q, struct tcp_sack_block *blocks, unsigned max)
{
    uint32_t when[TCP_SACK_BLOCKS_MAX];
    unsigned n = 0;
    assert(max <= TCP_SACK_BLOCKS_MAX);
    for (const struct pkt *p = q->early; p;) {
        struct tcp_sack_block block;
        uint32_t newest;
        p = walk_block(p, &block, &newest);
        unsigned at = n;
        while (at > 0 && when[at - 1] < newest)
            at--;
        if (at >= max)
            continue;
        if (n < max)
            n++;
        memmove(&blocks[at + 1], &blocks[at], (n - 1 - at) * sizeof(*blocks));
        memmove(&when[at + 1], &when[at], (n - 1 - at) * sizeof(*when));
        blocks[at] = block;
        when[at] = newest;
    }
    return n;
}

void rxq_cut_early(struct rxq *q, uint32_t end)
{
    struct pkt *last = NULL;
    for (struct pkt *p = q->early; p && seq_lt(p->tcp.seq, end); p = p->next)
        last = p;
    while ((last ? last->next : q->early))
        drop_after(q, last, last ? last->next : q->early);
    if (last && seq_gt(end_of(last), end)) {
        uint32_t over = end_of(last) - end;
        last->tcp.len = (uint16_t)(last->tcp.len - over);
        q->early_bytes -= over;
    }
}

uint8_t *rxq_peek(const struct rxq *q, size_t *len)
{
    if (!q->head)
        return NULL;
    *len = q->head->tcp.len;
    return q->head->tcp.payload;
}

void rxq_consume(struct rxq *q, size_t len)
{
    assert(len <= q->bytes);
    q->bytes -= (uint32_t)len;
    while (len > 0) {
        struct pkt *p = q->head;
        assert(p);
        uint16_t n = (uint16_t)min_size(len, p->tcp.len);
        p->tcp.payload += n;
        p->tcp.seq += n;
        p->tcp.len = (uint16_t)(p->tcp.len - n);
        len -= n;
        if (p->tcp.len > 0)
            return;
        q->head = p->next;
        if (!q->head)
            q->tail = NULL;
        q->packets--;
        pkt_free(p);
    }
}

void rxq_check(const struct rxq *q, uint32_t rcv_nxt)
{
    uint32_t bytes = 0, packets = 0, seq = rcv_nxt - q->bytes;
    for (const struct pkt *p = q->head; p; p = p->next) {
        assert(p->tcp.seq == seq && p->tcp.len > 0);
        assert(p->next || p == q->tail);
        seq = end_of(p);
        bytes += p->tcp.len;
        packets++;
    }
    assert(bytes == q->bytes && packets == q->packets && packets <= 2u * q->max_packets);
    bytes = packets = 0;
    seq = rcv_nxt;
    for (const struct pkt *p = q->early; p; p = p->next) {
        assert(seq_ge(p->tcp.seq, seq) && p->tcp.len > 0);
        assert(p->next || p == q->early_tail);
        seq = end_of(p);
        bytes += p->tcp.len;
        packets++;
    }
    assert(bytes == q->early_bytes && packets == q->early_packets && packets <= q->max_packets);
    assert(q->head || !q->tail);
    assert(q->early || !q->early_tail);
    (void)seq;
}
