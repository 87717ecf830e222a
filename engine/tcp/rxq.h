/* rxq.h: what was received: bytes in order that nobody has read yet, and segments that came too early.
 *
 * Packets are kept by reference, as they came from the port.  A peer chooses how small its segments are, so
 * packets are bounded as well as bytes: bytes by the window, packets by max_packets in each list, and early
 * segments, which are a favour, also by what is left in the port's pool.
 */
#ifndef ENGINE_TCP_RXQ_H
#define ENGINE_TCP_RXQ_H

#include "engine/base/pkt.h"
#include "engine/tcp/seq.h"
#include "engine/wire/wire.h"

struct rxq {
    struct pkt *head, *tail;        /* in order, sequence numbers without a gap; NULL: none */
    struct pkt *early, *early_tail; /* beyond a gap: ascending, no overlap */
    uint32_t bytes;                 /* stream bytes in order */
    uint32_t early_bytes;
    uint16_t packets;       /* in [0, 2 * max_packets]: what was early is never refused when its turn comes */
    uint16_t early_packets; /* in [0, max_packets] */
    uint16_t max_packets;
    uint32_t arrivals; /* early segments so far: the newest block is reported first (RFC 2018) */
};

enum rxq_result {
    RXQ_KEPT,      /* all of it or a part was new */
    RXQ_DUPLICATE, /* nothing was new */
    RXQ_NO_ROOM,   /* not kept: it must be sent again */
};

void rxq_init(struct rxq *q, uint16_t max_packets);
void rxq_clear(struct rxq *q);

/* rxq_append queues len bytes at rcv_nxt; payload lies in pkt, of which a reference is taken if it is kept. */
enum rxq_result rxq_append(struct rxq *q, struct pkt *pkt, uint8_t *payload, uint32_t seq, uint32_t len);

/* rxq_insert keeps bytes that are beyond rcv_nxt. */
enum rxq_result rxq_insert(struct rxq *q, struct pkt *pkt, uint8_t *payload, uint32_t seq, uint32_t len);

/* rxq_join moves early segments that rcv_nxt has reached into the order; returns the new rcv_nxt. */
uint32_t rxq_join(struct rxq *q, uint32_t rcv_nxt);

/* rxq_sack_blocks writes up to max blocks, the one with the newest arrival first; returns how many. */
unsigned rxq_sack_blocks(const struct rxq *q, struct tcp_sack_block *blocks, unsigned max);

/* rxq_cut_early forgets what is early and at or behind end: the peer's FIN is there. */
void rxq_cut_early(struct rxq *q, uint32_t end);

uint8_t *rxq_peek(const struct rxq *q, size_t *len);

/* rxq_consume forgets the first len bytes; len <= bytes. */
void rxq_consume(struct rxq *q, size_t len);

void rxq_check(const struct rxq *q, uint32_t rcv_nxt);

#endif
