/* pkt_heap.c: a packet pool in ordinary memory. */
#include "engine/base/pkt.h"

#include <stdlib.h>

struct heap_pkt {
    struct pkt pkt;
    uint32_t refs;
};

struct heap_pool {
    struct pkt_pool pool;
    struct heap_pkt *pkts;
    uint8_t *bufs;
    uint16_t buf_bytes;
    struct pkt *free; /* linked by next */
    uint32_t free_count;
};

static struct pkt *heap_alloc(struct pkt_pool *pool)
{
    struct heap_pool *hp = container_of(pool, struct heap_pool, pool);
    struct pkt *p = hp->free;
    if (!p)
        return NULL;
    hp->free = p->next;
    hp->free_count--;
    container_of(p, struct heap_pkt, pkt)->refs = 1;
    pkt_reset(p);
    return p;
}

static uint32_t heap_alloc_many(struct pkt_pool *pool, struct pkt **pkt, uint32_t count)
{
    uint32_t n = 0;
    while (n < count && (pkt[n] = heap_alloc(pool)) != NULL)
        n++;
    return n;
}

static void heap_ref(struct pkt *p)
{
    struct heap_pkt *h = container_of(p, struct heap_pkt, pkt);
    assert(h->refs > 0);
    h->refs++;
}

static void heap_unref(struct pkt *p)
{
    struct heap_pkt *h = container_of(p, struct heap_pkt, pkt);
    assert(h->refs > 0);
    if (--h->refs > 0)
        return;
    struct heap_pool *hp = container_of(p->pool, struct heap_pool, pool);
    p->next = hp->free;
    hp->free = p;
    hp->free_count++;
}

static void heap_unref_many(struct pkt_pool *pool, struct pkt **pkt, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert(pkt[i]->pool == pool);
        heap_unref(pkt[i]);
    }
    (void)pool;
}

static bool heap_shared(const struct pkt *p)
{
    return container_of(p, struct heap_pkt, pkt)->refs > 1;
}

static uint32_t heap_available(struct pkt_pool *pool)
{
    return container_of(pool, struct heap_pool, pool)->free_count;
}

static const struct pkt_pool_ops heap_ops = {
    .alloc = heap_alloc,
    .alloc_many = heap_alloc_many,
    .ref = heap_ref,
    .unref = heap_unref,
    .unref_many = heap_unref_many,
    .shared = heap_shared,
    .available = heap_available,
};

struct pkt_pool *pkt_heap_pool_open(uint32_t capacity, uint32_t reserve, uint16_t buf_bytes)
{
    assert(buf_bytes > PKT_HEADROOM && reserve <= capacity);
    struct heap_pool *hp = calloc(1, sizeof(*hp));
    if (!hp)
        return NULL;
    hp->pkts = calloc(capacity, sizeof(*hp->pkts));
    hp->bufs = calloc(capacity, buf_bytes);
    if (!hp->pkts || !hp->bufs) {
        free(hp->pkts);
        free(hp->bufs);
        free(hp);
        return NULL;
    }
    hp->pool =
        (struct pkt_pool){.ops = &heap_ops, .capacity = capacity, .reserve = reserve, .available = capacity};
    hp->buf_bytes = buf_bytes;
    for (uint32_t i = 0; i < capacity; i++) {
        struct pkt *p = &hp->pkts[i].pkt;
        p->pool = &hp->pool;
        p->buf = hp->bufs + (size_t)i * buf_bytes;
        p->cap = buf_bytes;
        p->next = hp->free;
        hp->free = p;
    }
    hp->free_count = capacity;
    return &hp->pool;
}

void pkt_heap_pool_close(struct pkt_pool *pool)
{
    struct heap_pool *hp = container_of(pool, struct heap_pool, pool);
    assert(hp->free_count == pool->capacity);
    free(hp->pkts);
    free(hp->bufs);
    free(hp);
}
