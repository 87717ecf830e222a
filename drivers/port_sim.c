/* port_sim.c: two ports joined in memory, for tests and the simulator.  Virtual time is welcome: it keeps no clock. */
#include "drivers/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_WAITING_MAX      1024u /* frames under way in one direction; a power of two */
#define SIM_ETH_HEADER_BYTES 14u

struct sim_port {
    struct port port;
    struct sim_port *peer;                /* NULL once the other end is closed */
    struct pkt *waiting[SIM_WAITING_MAX]; /* arrived and not received yet; from this port's own pool */
    uint32_t head, tail;                  /* free-running; tail - head in [0, SIM_WAITING_MAX] */
};

static struct sim_port *sim_of(struct port *port)
{
    return container_of(port, struct sim_port, port);
}

static uint32_t sim_receive(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    (void)now_us;
    struct sim_port *sim = sim_of(port);
    uint32_t n = 0;
    while (n < max && sim->head != sim->tail)
        pkt[n++] = sim->waiting[sim->head++ % SIM_WAITING_MAX];
    return n;
}

static struct pkt *copy_part(struct pkt_pool *pool, const struct pkt *from)
{
    struct pkt *p = pkt_alloc(pool, PKT_CONTROL);
    if (!p)
        return NULL;
    if (from->len > pkt_tailroom(p)) {
        pkt_free(p);
        return NULL;
    }
    memcpy(p->data, from->data, from->len);
    p->len = from->len;
    return p;
}

/* Checksums that were left to this port it vouches for, and what it was to cut arrives whole: as between two machines of
 * one host.
 */
static uint16_t flags_on_arrival(uint16_t flags)
{
    return (uint16_t)((flags & PKT_TX_IP_CSUM ? PKT_RX_IP_CSUM_OK : 0) |
                      (flags & PKT_TX_TCP_CSUM ? PKT_RX_L4_CSUM_OK : 0));
}

static struct pkt *copy_into(struct pkt_pool *pool, const struct pkt *frame)
{
    struct pkt *first = copy_part(pool, frame), *last = first;
    if (!first)
        return NULL;
    for (const struct pkt *from = frame->more; from; from = from->more) {
        last->more = copy_part(pool, from);
        if (!last->more) {
            pkt_frame_free(first);
            return NULL;
        }
        last = last->more;
    }
    first->flags = flags_on_arrival(frame->flags);
    return first;
}

/* What does not fit is lost, as on a wire whose far end is too slow. */
static void deliver(struct sim_port *to, const struct pkt *pkt)
{
    if (to->tail - to->head == SIM_WAITING_MAX) {
        to->port.dropped++;
        return;
    }
    struct pkt *p = copy_into(to->port.rx_pool, pkt);
    if (!p) {
        to->port.dropped++;
        return;
    }
    to->waiting[to->tail++ % SIM_WAITING_MAX] = p;
}

static uint32_t sim_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    (void)now_us;
    struct sim_port *sim = sim_of(port);
    for (uint32_t i = 0; i < count; i++) {
        if (sim->peer)
            deliver(sim->peer, pkt[i]);
        pkt_frame_free(pkt[i]);
    }
    return count;
}

static void sim_close(struct port *port)
{
    struct sim_port *sim = sim_of(port);
    while (sim->head != sim->tail)
        pkt_frame_free(sim->waiting[sim->head++ % SIM_WAITING_MAX]);
    if (sim->peer)
        sim->peer->peer = NULL;
    pkt_heap_pool_close(port->rx_pool);
    free(sim);
}

static const struct port_ops sim_ops = {
    .receive = sim_receive,
    .transmit = sim_transmit,
    .next_deadline = NULL,
    .close = sim_close,
};

static struct sim_port *open_end(unsigned end, uint32_t buffers, uint16_t mtu)
{
    struct sim_port *sim = calloc(1, sizeof(*sim));
    if (!sim)
        return NULL;
    uint16_t buf_bytes = (uint16_t)(PKT_HEADROOM + SIM_ETH_HEADER_BYTES + mtu);
    struct pkt_pool *pool = pkt_heap_pool_open(buffers, buffers / 16, buf_bytes);
    if (!pool) {
        free(sim);
        return NULL;
    }
    sim->port = (struct port){
        .ops = &sim_ops,
        .mac = {0x02, 0, 0, 0, 0, (uint8_t)(end + 1)}, /* locally administered */
        .mtu = mtu,
        .queues = 1,
        .tx_pool = pool,
        .rx_pool = pool,
    };
    snprintf(sim->port.name, sizeof(sim->port.name), "sim%u", end);
    return sim;
}

bool port_sim_pair(struct port *pair[2], uint32_t buffers, uint16_t mtu, struct error *err)
{
    struct sim_port *a = open_end(0, buffers, mtu);
    struct sim_port *b = open_end(1, buffers, mtu);
    if (!a || !b) {
        if (a)
            sim_close(&a->port);
        if (b)
            sim_close(&b->port);
        return error_set(err, "simulated ports: no memory for %u packet buffers", buffers);
    }
    a->peer = b;
    b->peer = a;
    pair[0] = &a->port;
    pair[1] = &b->port;
    return true;
}
