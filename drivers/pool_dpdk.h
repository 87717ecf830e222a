/* pool_dpdk.h: packets in DPDK mbufs: struct pkt is the mbuf's private area.  For drivers/ only. */
#ifndef DRIVERS_POOL_DPDK_H
#define DRIVERS_POOL_DPDK_H

#include "engine/base/error.h"
#include "engine/base/pkt.h"

#include <rte_mbuf.h>
#include <rte_mempool.h>

static_assert(PKT_HEADROOM == RTE_PKTMBUF_HEADROOM, "an mbuf's data starts where a packet's does");

/* Between mbuf and buffer; two cache lines, so that the buffer is aligned. */
#define POOL_DPDK_PRIVATE_BYTES (2 * CACHE_LINE)

static inline struct pkt *pkt_of_mbuf(struct rte_mbuf *m)
{
    return (struct pkt *)(m + 1);
}

static inline struct rte_mbuf *mbuf_of_pkt(const struct pkt *p)
{
    return (struct rte_mbuf *)p - 1;
}

/* pool_dpdk_open makes a mempool and our view of it.
 *   name        unique in the process, at most 25 characters
 *   data_bytes  per buffer, headroom not counted
 *   socket_id   NUMA node or SOCKET_ID_ANY
 *   thread      alloc: the core it belongs to; unref: any thread
 */
struct pkt_pool *pool_dpdk_open(const char *name, uint32_t capacity, uint32_t reserve, uint16_t data_bytes,
                                int socket_id, struct error *err) must_check;

/* pool_dpdk_close frees the memory if every buffer is back; a driver that kept some keeps the pool alive. */
void pool_dpdk_close(struct pkt_pool *pool);

struct rte_mempool *pool_dpdk_mempool(struct pkt_pool *pool);

#endif
