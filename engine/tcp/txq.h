/* txq.h: the send queue: packets in sequence order, and the scoreboard of what became of each.
 *
 *     head                      unsent                 tail
 *      |                          |                     |
 *      v   sent, unacknowledged   v     never sent      v
 *     [#####][#####][#####][#####][     ][     ][     ][  ]
 *
 * A packet is one segment: at most one MSS of payload, split only where a window or a smaller MSS needs it, and what was
 * split is put together again as far as that goes.
 * SYN and FIN take a sequence number each; a FIN rides on the last unsent packet or, like the SYN, on `ctl`,
 * a packet without payload that needs no pool.  The queue knows no time and no congestion.
 */
#ifndef ENGINE_TCP_TXQ_H
#define ENGINE_TCP_TXQ_H

#include "engine/base/bytes.h"
#include "engine/base/pkt.h"
#include "engine/tcp/seq.h"
#include "engine/wire/wire.h"

/* pkt->tcp.flags in the send queue.  SACKED excludes LOST and RETRANS. */
enum txq_flags {
    TXQ_SYN = 1 << 0,
    TXQ_FIN = 1 << 1,
    TXQ_SACKED = 1 << 2,  /* the receiver holds it (RFC 2018) */
    TXQ_LOST = 1 << 3,    /* taken for lost: not in flight unless RETRANS */
    TXQ_RETRANS = 1 << 4, /* a retransmission of it is in flight */
};

struct txq {
    struct pkt *head, *unsent, *tail; /* NULL: none */
    struct pkt *spare; /* for txq_reserve, linked; nothing committed yet, not in the list; PKT_MANY at most */
    struct pkt ctl;    /* carries SYN, later FIN; pool is NULL */
    uint32_t packets;  /* in the list */
    uint32_t bytes;    /* stream bytes in the list */
    uint32_t unsent_bytes; /* of these, never sent */
    /* The scoreboard's sums, in sequence numbers over the sent part. */
    uint32_t out;            /* sent and not acknowledged */
    uint32_t sacked;         /* in [0, out] */
    uint32_t lost;           /* in [0, out] */
    uint32_t retrans;        /* in [0, out] */
    uint32_t lost_waiting;   /* lost and no retransmission in flight; in [0, lost] */
    uint32_t sacked_packets; /* packets that `sacked` counts */
    uint32_t fack;           /* the highest number acknowledged or SACKed: RACK.fack */
    uint64_t order;          /* transmissions so far */
};

/* What one ACK changed; filled by txq_ack and txq_sack, which add to it. */
struct txq_report {
    /* Given: an ACK that answers nothing sent later than this is one of the original, not of a retransmission since
     * (RFC 8985 section 6.2, step 2).
     */
    uint64_t believed_us;

    uint32_t acked;        /* sequence numbers acknowledged cumulatively */
    uint32_t acked_bytes;  /* stream bytes among them */
    uint32_t acked_sacked; /* sequence numbers among them that had been SACKed before */
    uint32_t sacked;       /* sequence numbers newly SACKed */
    uint64_t clean_us;     /* send time of the newest newly acknowledged packet sent once; 0: none (Karn) */
    uint64_t first_us;     /* send time of the oldest of these */
    uint64_t newest_us;    /* of the newly acknowledged ones, the last that was sent (RACK) */
    uint64_t newest_order; /* its transmission order; 0: none */
    uint64_t last_us;      /* send time of the one that came last in the ACK (RACK.rtt) */
    bool retrans_acked;    /* some packet that had been retransmitted was among them */
    bool reordered;        /* one that was sent once came behind a later one (RFC 8985 section 6.2, step 3) */
    bool dsack;            /* the peer reported a duplicate (RFC 2883) */
    uint32_t dsack_end;    /* its end */
};

static inline uint32_t txq_seq_len(const struct pkt *p)
{
    return p->tcp.len + !!(p->tcp.flags & TXQ_SYN) + !!(p->tcp.flags & TXQ_FIN);
}

static inline uint32_t txq_end(const struct pkt *p)
{
    return p->tcp.seq + txq_seq_len(p);
}

/* RFC 6675 SetPipe(): what is believed to be in the network. */
static inline uint32_t txq_pipe(const struct txq *q)
{
    return q->out - q->sacked - q->lost + q->retrans;
}

void txq_init(struct txq *q);

/* txq_clear gives every packet back. */
void txq_clear(struct txq *q);

/* txq_reserve gives room for stream bytes: behind those of the last unsent packet while it has fewer than
 * mss, else in a new packet; NULL when the pool refuses.  *room is at least 1, mss is not 0.
 */
uint8_t *txq_reserve(struct txq *q, struct pkt_pool *pool, uint32_t mss, size_t *room);

/* txq_pieces gives room for up to bytes stream bytes at once: what txq_reserve would give if each piece were committed before
 * the next is asked for, max pieces at the most.  Their packets are taken from the pool together.
 */
uint32_t txq_pieces(struct txq *q, struct pkt_pool *pool, uint32_t mss, uint32_t bytes,
                    struct byte_piece *piece, uint32_t max);

/* txq_commit puts the first len bytes of that room, or of those pieces, into the queue; seq is that of the first byte. */
void txq_commit(struct txq *q, uint32_t mss, uint32_t seq, uint32_t len);

void txq_append_syn(struct txq *q, uint32_t seq);
void txq_append_fin(struct txq *q, uint32_t seq);

/* txq_detach_fin takes the FIN off the last packet, unsent and with payload, and lets it go alone. */
void txq_detach_fin(struct txq *q);

/* txq_split cuts a packet after len stream bytes, 0 < len < its own; false when the pool refuses. */
bool txq_split(struct txq *q, struct pkt *p, struct pkt_pool *pool, uint32_t len) must_check;

/* txq_fill draws bytes from the packets behind p into it until it has len of them: unsent ones into an unsent one, lost ones
 * that wait into such a one.  Bytes are moved, never changed.  It does less where the buffer is too small, and nothing
 * where somebody else still holds p.
 */
void txq_fill(struct txq *q, struct pkt *p, uint32_t len);

/* txq_sent notes that a packet has left: the first unsent one, or one that was sent before. */
void txq_sent(struct txq *q, struct pkt *p, uint64_t now_us);

/* txq_sent_first notes that the first count of the unsent packets, stream bytes alone, have left; returns their bytes. */
uint32_t txq_sent_first(struct txq *q, uint32_t count, uint64_t now_us);

/* txq_set_flags changes SACKED, LOST and RETRANS of a sent packet and the sums with it. */
void txq_set_flags(struct txq *q, struct pkt *p, uint8_t flags);

/* txq_ack releases what ack covers, also parts of packets. */
void txq_ack(struct txq *q, uint32_t ack, struct txq_report *report);

/* txq_sack marks packets that lie wholly in a block; blocks outside [snd_una, snd_nxt] are ignored, but for a
 * first one that reports a duplicate.
 */
void txq_sack(struct txq *q, const struct tcp_options *opt, uint32_t snd_una, uint32_t snd_nxt, uint32_t ack,
              struct txq_report *report);

/* txq_skip_sacked gives p, or the first packet behind it that is not SACKed; of NULL, NULL.  A run of SACKed ones costs a
 * step or two, however long it is.
 */
struct pkt *txq_skip_sacked(struct pkt *p);

/* txq_forget_sacks takes back every SACK: the receiver may renege (RFC 2018 section 8). */
void txq_forget_sacks(struct txq *q);

/* txq_next_lost gives the first lost packet without a retransmission in flight, or NULL. */
struct pkt *txq_next_lost(const struct txq *q);

/* txq_last_sent gives the sent packet with the highest numbers; linear; some packet has been sent. */
struct pkt *txq_last_sent(const struct txq *q);

/* txq_check asserts the invariants; linear in the queue. */
void txq_check(const struct txq *q, uint32_t snd_una, uint32_t snd_nxt);

#endif
