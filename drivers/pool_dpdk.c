/* pool_dpdk.c: the packet pool over an rte_mempool of mbufs.
 *
 * References are the mbuf's own count: a driver frees what it has sent with rte_pktmbuf_free, which lowers the count
 * and returns the buffer only when TCP has let go as well.  RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE skips the count and so is
 * never asked for.
 */
#include "drivers/pool_dpdk.h"

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf_pool_ops.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_OBJECTS 256u /* a registered thread's own stock of free buffers */

static_assert(sizeof(struct pkt) <= POOL_DPDK_PRIVATE_BYTES, "the descriptor fits beside the mbuf");
static_assert(POOL_DPDK_PRIVATE_BYTES % RTE_MBUF_PRIV_ALIGN == 0, "as rte_pktmbuf_pool_create demands");
static_assert(CACHE_OBJECTS <= RTE_MEMPOOL_CACHE_MAX_SIZE, "as rte_mempool_create demands");

struct dpdk_pool {
    struct pkt_pool pool;
    struct rte_mempool *mempool;
};

static struct dpdk_pool *dpdk_of(struct pkt_pool *pool)
{
    return container_of(pool, struct dpdk_pool, pool);
}

/* With many packets on their way the one that will be given out next has long left the caches: it is fetched while the one
 * before is being filled.
 */
static void prefetch_next(struct rte_mempool *mp)
{
    const struct rte_mempool_cache *cache = rte_mempool_default_cache(mp, rte_lcore_id());
    if (!cache || cache->len == 0)
        return;
    struct rte_mbuf *next = cache->objs[cache->len - 1];
    struct pkt *p = pkt_of_mbuf(next);
    rte_prefetch0(next);
    rte_prefetch0((const void *)&next->next);
    rte_prefetch0(p);
    rte_prefetch0(&p->tcp);
}

static struct pkt *dpdk_alloc(struct pkt_pool *pool)
{
    struct rte_mempool *mp = dpdk_of(pool)->mempool;
    struct rte_mbuf *m = rte_mbuf_raw_alloc(mp); /* what else it says is written when it leaves */
    if (unlikely(!m))
        return NULL;
    prefetch_next(mp);
    struct pkt *p = pkt_of_mbuf(m);
    pkt_reset(p);
    return p;
}

/* All or none, in one piece; every descriptor is fetched before the first is written. */
static uint32_t dpdk_alloc_many(struct pkt_pool *pool, struct pkt **pkt, uint32_t count)
{
    struct rte_mbuf *m[PKT_MANY];
    assert(count <= PKT_MANY);
    if (rte_mempool_get_bulk(dpdk_of(pool)->mempool, (void **)m, count) != 0)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        pkt[i] = pkt_of_mbuf(m[i]);
        rte_prefetch0(pkt[i]);
        rte_prefetch0((const void *)&pkt[i]->buf);
    }
    for (uint32_t i = 0; i < count; i++)
        pkt_reset(pkt[i]);
    return count;
}

static void dpdk_ref(struct pkt *p)
{
    rte_mbuf_refcnt_update(mbuf_of_pkt(p), 1);
}

/* This mbuf alone: one that has left in a chain points to its neighbours still, which are their holders' business. */
static void dpdk_unref(struct pkt *p)
{
    rte_pktmbuf_free_seg(mbuf_of_pkt(p));
}

/* Those that a driver has still are its own to give back; the others go into the pool's cache in one piece. */
static void dpdk_unref_many(struct pkt_pool *pool, struct pkt **pkt, uint32_t count)
{
    void *free[PKT_MANY];
    uint32_t n = 0;
    assert(count <= PKT_MANY);
    for (uint32_t i = 0; i < count; i++) {
        struct rte_mbuf *m = rte_pktmbuf_prefree_seg(mbuf_of_pkt(pkt[i]));
        if (likely(m != NULL))
            free[n++] = m;
    }
    rte_mempool_put_bulk(dpdk_of(pool)->mempool, free, n);
}

static bool dpdk_shared(const struct pkt *p)
{
    return rte_mbuf_refcnt_read(mbuf_of_pkt(p)) > 1;
}

/* rte_mempool_avail_count would read the cache of every thread there could be.  What lies in other threads' caches
 * is left out: an estimate that is too low by a bounded number.
 */
static uint32_t dpdk_available(struct pkt_pool *pool)
{
    struct rte_mempool *mp = dpdk_of(pool)->mempool;
    const struct rte_mempool_cache *cache = rte_mempool_default_cache(mp, rte_lcore_id());
    return rte_mempool_get_ops(mp->ops_index)->get_count(mp) + (cache ? cache->len : 0);
}

static const struct pkt_pool_ops dpdk_pool_ops = {
    .alloc = dpdk_alloc,
    .alloc_many = dpdk_alloc_many,
    .ref = dpdk_ref,
    .unref = dpdk_unref,
    .unref_many = dpdk_unref_many,
    .shared = dpdk_shared,
    .available = dpdk_available,
};

/* The fields that stay the same for the buffer's life. */
static void init_pkt(struct rte_mempool *mp, void *pool, void *object, unsigned index)
{
    (void)mp;
    (void)index;
    struct rte_mbuf *m = object;
    struct pkt *p = pkt_of_mbuf(m);
    *p = (struct pkt){.pool = pool, .buf = m->buf_addr, .cap = m->buf_len};
    pkt_reset(p);
}

/* DPDK demands that a cache is at most two thirds of the pool; a small pool must not vanish in one at all. */
static unsigned cache_objects(uint32_t capacity)
{
    return capacity >= 8 * CACHE_OBJECTS ? CACHE_OBJECTS : capacity / 8;
}

/* What was freed last is given out first, for it is in the caches still; DPDK's ring would go round all buffers.  Where
 * the platform or the command line of EAL has a say it stays as they want it.
 */
static const char *buffers_kept_by(void)
{
    const char *ops = rte_mbuf_best_mempool_ops();
    return strcmp(ops, RTE_MBUF_DEFAULT_MEMPOOL_OPS) == 0 ? "stack" : ops;
}

struct pkt_pool *pool_dpdk_open(const char *name, uint32_t capacity, uint32_t reserve, uint16_t data_bytes,
                                int socket_id, struct error *err)
{
    assert(reserve <= capacity);
    struct dpdk_pool *dp = calloc(1, sizeof(*dp));
    if (!dp) {
        error_set(err, "packet pool %s: no memory", name);
        return NULL;
    }
    dp->mempool =
        rte_pktmbuf_pool_create_by_ops(name, capacity, cache_objects(capacity), POOL_DPDK_PRIVATE_BYTES,
                                       (uint16_t)(PKT_HEADROOM + data_bytes), socket_id, buffers_kept_by());
    if (!dp->mempool) {
        unsigned mb = (unsigned)(((uint64_t)capacity * (data_bytes + 512u)) >> 20) + 1;
        error_set(
            err,
            "packet pool %s: %u buffers (about %u MB) cannot be had: %s; give the engine more memory or "
            "fewer buffers",
            name, capacity, mb, rte_strerror(rte_errno));
        free(dp);
        return NULL;
    }
    dp->pool = (struct pkt_pool){
        .ops = &dpdk_pool_ops, .capacity = capacity, .reserve = reserve, .available = capacity};
    rte_mempool_obj_iter(dp->mempool, init_pkt, &dp->pool);
    return &dp->pool;
}

void pool_dpdk_close(struct pkt_pool *pool)
{
    struct dpdk_pool *dp = dpdk_of(pool);
    if (!rte_mempool_full(dp->mempool))
        return;
    rte_mempool_free(dp->mempool);
    free(dp);
}

struct rte_mempool *pool_dpdk_mempool(struct pkt_pool *pool)
{
    return dpdk_of(pool)->mempool;
}
