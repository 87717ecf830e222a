/* port_dpdk.c: any DPDK ethdev as a port a queue.  The data path is here, the set-up in port_dpdk_open.c. */
#include "drivers/port_dpdk.h"
#include "drivers/pool_dpdk.h"

#include <rte_prefetch.h>

static uint16_t rx_flags(uint64_t ol_flags)
{
    uint64_t ip = ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK, l4 = ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    uint16_t flags = 0;
    /* "NONE" says: wrong in the packet, but the packet is intact (a sender that left it to its own port). */
    if (ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD || ip == RTE_MBUF_F_RX_IP_CKSUM_NONE)
        flags |= PKT_RX_IP_CSUM_OK;
    if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE)
        flags |= PKT_RX_L4_CSUM_OK;
    if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD || l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD)
        flags |= PKT_RX_CSUM_BAD;
    return flags;
}

/* net_ring, for one, gives the receiver the sender's own buffer: what the sender still holds must be copied.  A buffer
 * outside of the pool has not the place where a packet's fields are.
 */
static bool is_ours_alone(const struct rte_mbuf *m)
{
    for (; m; m = m->next)
        if (rte_mbuf_refcnt_read(m) > 1 || !RTE_MBUF_DIRECT(m))
            return false;
    return true;
}

static struct rte_mbuf *copy_of(struct port *port, struct rte_mbuf *m)
{
    struct rte_mbuf *copy = rte_pktmbuf_copy(m, pool_dpdk_mempool(port->rx_pool), 0, UINT32_MAX);
    rte_pktmbuf_free(m);
    return copy;
}

static struct pkt *pkt_of_part(struct rte_mbuf *m)
{
    struct pkt *p = pkt_of_mbuf(m);
    p->next = p->more = NULL;
    p->data = rte_pktmbuf_mtod(m, uint8_t *);
    p->len = m->data_len;
    p->flags = 0;
    return p;
}

/* From here on each part is a packet that can be kept or freed without the others. */
static struct pkt *take_apart(struct rte_mbuf *m)
{
    struct pkt *frame = NULL, **link = &frame;
    for (struct rte_mbuf *next; m; m = next) {
        next = m->next;
        m->next = NULL;
        m->nb_segs = 1;
        *link = pkt_of_part(m);
        link = &(*link)->more;
    }
    return frame;
}

/* NULL, and counted, for what we cannot take: a frame larger than our MTU without LRO, or no buffer for a copy. */
static noinline struct pkt *unusual(struct port *port, struct rte_mbuf *m)
{
    uint64_t ol_flags = m->ol_flags;
    bool too_large = m->nb_segs > 1 && !(port->offloads & PORT_OFFLOAD_LRO);
    if (too_large)
        rte_pktmbuf_free(m);
    else if (!is_ours_alone(m))
        m = copy_of(port, m);
    if (too_large || !m) {
        port->dropped++;
        return NULL;
    }
    struct pkt *frame = take_apart(m);
    frame->flags = rx_flags(ol_flags);
    return frame;
}

static struct pkt *pkt_received(struct port *port, struct rte_mbuf *m)
{
    if (unlikely(m->nb_segs > 1 || rte_mbuf_refcnt_read(m) > 1 || !RTE_MBUF_DIRECT(m)))
        return unusual(port, m);
    struct pkt *p = pkt_of_part(m);
    p->flags = rx_flags(m->ol_flags);
    return p;
}

static uint32_t dpdk_receive(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    (void)now_us;
    struct dpdk_port *dp = port_dpdk_of(port);
    struct rte_mbuf *m[PORT_BURST];
    uint16_t got = rte_eth_rx_burst(dp->device->id, port->queue, m, (uint16_t)min_u32(max, PORT_BURST));
    uint32_t n = 0;
    for (uint16_t i = 0; i < got; i++)
        rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
    for (uint16_t i = 0; i < got; i++) {
        struct pkt *p = pkt_received(port, m[i]);
        if (likely(p))
            pkt[n++] = p;
    }
    return n;
}

static uint64_t tx_flags(const struct pkt *p)
{
    if (!(p->flags & (PKT_TX_IP_CSUM | PKT_TX_TCP_CSUM)))
        return 0;
    assert(!p->segment_bytes || p->flags & PKT_TX_TCP_CSUM);
    bool v4 = p->data[p->l2_len] >> 4 == 4;
    uint64_t flags = v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
    if (p->flags & PKT_TX_IP_CSUM)
        flags |= RTE_MBUF_F_TX_IP_CKSUM;
    if (p->flags & PKT_TX_TCP_CSUM)
        flags |= RTE_MBUF_F_TX_TCP_CKSUM;
    if (p->segment_bytes)
        flags |= RTE_MBUF_F_TX_TCP_SEG;
    return flags;
}

/* The mbuf learns where the frame is only now: until here, all the world wrote to the pkt. */
static struct rte_mbuf *mbuf_to_send(const struct pkt *p)
{
    struct rte_mbuf *m = mbuf_of_pkt(p);
    m->data_off = (uint16_t)(p->data - p->buf);
    m->data_len = p->len;
    m->pkt_len = p->len;
    m->next = NULL; /* it may have left in a chain before */
    m->nb_segs = 1;
    m->ol_flags = tx_flags(p);
    m->tx_offload = rte_mbuf_tx_offload(p->l2_len, p->l3_len, p->l4_len, p->segment_bytes, 0, 0, 0);
    return m;
}

/* The other parts behind the first: stream bytes alone. */
static noinline void chain_parts(struct rte_mbuf *head, const struct pkt *frame)
{
    struct rte_mbuf *last = head;
    for (const struct pkt *p = frame->more; p; p = p->more) {
        struct rte_mbuf *m = mbuf_of_pkt(p);
        m->data_off = (uint16_t)(p->data - p->buf);
        m->data_len = p->len;
        m->next = NULL;
        m->ol_flags = 0;
        last->next = m;
        last = m;
        head->nb_segs++;
        head->pkt_len += p->len;
    }
}

static uint32_t dpdk_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    (void)now_us;
    struct dpdk_port *dp = port_dpdk_of(port);
    struct rte_mbuf *m[PORT_BURST];
    uint16_t n = (uint16_t)min_u32(count, PORT_BURST);
    for (uint16_t i = 0; i < n; i++) {
        m[i] = mbuf_to_send(pkt[i]);
        if (pkt[i]->more)
            chain_parts(m[i], pkt[i]);
    }
    if (port->offloads & (PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_TX_TCP_CSUM))
        n = rte_eth_tx_prepare(dp->device->id, port->queue, m, n);
    return rte_eth_tx_burst(dp->device->id, port->queue, m, n);
}

static void dpdk_close(struct port *port)
{
    port_dpdk_release(port_dpdk_of(port));
}

const struct port_ops port_dpdk_ops = {
    .receive = dpdk_receive,
    .transmit = dpdk_transmit,
    .next_deadline = NULL,
    .close = dpdk_close,
};
