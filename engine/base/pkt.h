/* pkt.h: one packet buffer and the pool it comes from.
 *
 * A packet is a descriptor beside a fixed buffer.  DPDK ports keep the descriptor in the mbuf's private
 * area, so that nothing above drivers/ sees an mbuf and nothing is copied.
 *
 * Ownership.  Whoever holds a pointer holds one reference.  port transmit takes over one reference a packet;
 * TCP keeps another until the bytes are acknowledged.  pkt_free gives one up; the last one returns the buffer.
 * A packet with more than one holder may be read only; pkt_shared tells.
 *
 * Layout of a packet that TCP queues: PKT_HEADROOM free bytes, then the payload; headers are written into
 * the headroom when it leaves, so payload is never copied on its way out.
 *
 * A frame is one packet or several, linked by `more`: segments that leave as one (TSO), or what a port has put together
 * (LRO).  Each part is a packet of its own with its own references; whoever has a frame has one on each part.
 */
#ifndef ENGINE_BASE_PKT_H
#define ENGINE_BASE_PKT_H

#include "engine/base/base.h"

#define PKT_HEADROOM 128 /* bytes: Ethernet 14 + VLAN 4 + IPv6 40 + TCP 60, rounded up */

enum pkt_flags {
    PKT_RX_IP_CSUM_OK = 1 << 0, /* the port has checked the IP header checksum */
    PKT_RX_L4_CSUM_OK = 1 << 1, /* the port has checked the TCP checksum */
    PKT_RX_CSUM_BAD = 1 << 2,   /* the port has found one wrong */
    PKT_TX_IP_CSUM = 1 << 3,    /* the port is to fill the IPv4 header checksum */
    PKT_TX_TCP_CSUM = 1 << 4,   /* the port is to fill the TCP checksum; the pseudo header sum is in place */
    PKT_RX_HANDED_OFF = 1 << 5, /* another core received it: it is not handed on or shared again */
};

/* Ordinary data leaves a reserve in the pool, so that ACKs, closes and alerts can always be sent. */
enum pkt_class { PKT_DATA, PKT_CONTROL };

struct pkt_pool;

/* What TCP remembers of a packet in its send or reassembly queue; nobody else touches it. */
struct pkt_tcp {
    uint8_t *payload; /* where the stream bytes start */
    uint32_t seq;     /* sequence number of the first one */
    uint16_t len;     /* stream bytes */
    uint8_t flags;    /* TCP's own: SYN, FIN, SACKed, lost, retransmitted */
    uint8_t sends;    /* how often it has left, saturating */
    uint64_t sent_us; /* when it left last */
    uint64_t order;   /* transmission order of that (RACK), or TCP's own use */
    struct pkt
        *run; /* of a SACKed one: itself or a later one, all between them SACKed; else a hint (txq.c) */
};

struct pkt {
    /* All that giving back what was acknowledged looks at: a line a packet, which has left the caches by then. */
    struct pkt *next; /* the holder's list link */
    struct pkt_tcp tcp;
    struct pkt_pool *pool; /* where it returns to */
    uint8_t *buf;          /* start of the buffer */

    struct pkt *more; /* the frame's next part, NULL: none; of a frame's holder, meaningless to others */
    uint8_t *data;    /* first byte of the frame; in [buf, buf + cap] */
    uint16_t cap;     /* bytes from buf */
    uint16_t len;     /* bytes from data; data + len <= buf + cap */
    uint16_t flags;   /* enum pkt_flags */
    uint16_t
        segment_bytes; /* TSO: stream bytes of each segment that the port cuts the frame into; 0: it goes whole */
    uint8_t l2_len; /* for checksum offload: Ethernet header, bytes */
    uint8_t l3_len; /* IP header, bytes */
    uint8_t l4_len; /* for TSO: TCP header, bytes */
};

static_assert(sizeof(struct pkt) <= 2 * CACHE_LINE, "a packet descriptor is two cache lines at the most");
static_assert(offsetof(struct pkt, buf) < CACHE_LINE, "the pool is in the first one");

struct pkt_pool_ops {
    struct pkt *(*alloc)(struct pkt_pool *pool);
    uint32_t (*alloc_many)(struct pkt_pool *pool, struct pkt **pkt,
                           uint32_t count); /* so many, fewer or none */
    void (*ref)(struct pkt *pkt);
    void (*unref)(struct pkt *pkt);
    void (*unref_many)(struct pkt_pool *pool, struct pkt **pkt, uint32_t count); /* all of them this pool's */
    bool (*shared)(const struct pkt *pkt);
    uint32_t (*available)(struct pkt_pool *pool); /* buffers; may cost some hundred cycles */
};

struct pkt_pool {
    const struct pkt_pool_ops *ops;
    uint32_t capacity;  /* buffers */
    uint32_t reserve;   /* buffers that only PKT_CONTROL may take; in [0, capacity] */
    uint32_t available; /* estimate: exact at pkt_pool_refresh, lowered by every alloc since */
    uint64_t exhausted; /* allocations refused, for the counters */
};

/* pkt_pool_refresh makes the estimate exact; the loop calls it once a turn. */
static inline void pkt_pool_refresh(struct pkt_pool *pool)
{
    pool->available = pool->ops->available(pool);
}

/* pkt_alloc gives an empty packet with PKT_HEADROOM, or NULL (counted): back-pressure, not a failure. */
static inline struct pkt *pkt_alloc(struct pkt_pool *pool, enum pkt_class class)
{
    if (unlikely(class == PKT_DATA && pool->available <= pool->reserve)) {
        pool->exhausted++;
        return NULL;
    }
    struct pkt *p = pool->ops->alloc(pool);
    if (unlikely(!p)) {
        pool->exhausted++;
        return NULL;
    }
    if (pool->available)
        pool->available--;
    return p;
}

#define PKT_MANY 32u

/* pkt_alloc_many gives up to count empty packets for data, count in [1, PKT_MANY], and returns their number.  None is no
 * refusal: whoever needs one asks pkt_alloc.
 */
static inline uint32_t pkt_alloc_many(struct pkt_pool *pool, struct pkt **pkt, uint32_t count)
{
    if (unlikely(pool->available < pool->reserve + count))
        return 0;
    uint32_t given = pool->ops->alloc_many(pool, pkt, count);
    pool->available -= given;
    return given;
}

static inline void pkt_ref(struct pkt *p)
{
    p->pool->ops->ref(p);
}

static inline void pkt_free(struct pkt *p)
{
    p->pool->ops->unref(p);
}

/* pkt_free_many gives up a reference to each; count in [1, PKT_MANY], all of one pool. */
static inline void pkt_free_many(struct pkt **pkt, uint32_t count)
{
    struct pkt_pool *pool = pkt[0]->pool;
    pool->ops->unref_many(pool, pkt, count);
}

static inline bool pkt_shared(const struct pkt *p)
{
    return p->pool->ops->shared(p);
}

/* Bytes that can still be appended behind data + len. */
static inline size_t pkt_tailroom(const struct pkt *p)
{
    return (size_t)(p->buf + p->cap - (p->data + p->len));
}

/* pkt_reset empties a packet that its caller alone holds. */
static inline void pkt_reset(struct pkt *p)
{
    p->next = NULL;
    p->data = p->buf + PKT_HEADROOM;
    p->len = 0;
    p->flags = 0;
    p->more = NULL;
    p->segment_bytes = 0;
    p->l2_len = p->l3_len = p->l4_len = 0;
}

/* ---- frames of one part or several ---- */

static inline uint32_t pkt_frame_bytes(const struct pkt *frame)
{
    uint32_t bytes = 0;
    for (const struct pkt *p = frame; p; p = p->more)
        bytes += p->len;
    return bytes;
}

static inline void pkt_frame_ref(struct pkt *frame)
{
    for (struct pkt *p = frame; p; p = p->more)
        pkt_ref(p);
}

static inline void pkt_frame_free(struct pkt *frame)
{
    for (struct pkt *p = frame, *more; p; p = more) {
        more = p->more;
        pkt_free(p);
    }
}

/* A pool on the heap for tests, the simulator and ports without DPDK.
 *   buf_bytes   size of each buffer, headroom included; in (PKT_HEADROOM, 65535]
 *   returns     NULL when there is no memory; all of it is taken here, none later
 *   thread      one; not shared
 */
struct pkt_pool *pkt_heap_pool_open(uint32_t capacity, uint32_t reserve, uint16_t buf_bytes);

/* pkt_heap_pool_close releases the memory; every packet must be back (asserted). */
void pkt_heap_pool_close(struct pkt_pool *pool);

#endif
