/* port_rss.c: receive side scaling in software: what arrives on any queue is given to the queue that the hash names.
 *
 * Each upper queue belongs to one thread, which polls the queue below it, keeps what is its own, and passes the rest
 * through one bounded queue a pair of threads.
 */
#include "drivers/steering.h"
#include "engine/base/spsc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASS_SLOTS 2048u /* a power of two */

struct passage {
    struct spsc queue;
    void *slot[PASS_SLOTS];
};

struct rss_port {
    struct port port;
    struct port *below;
    struct rss_group *group;
    uint64_t lost; /* frames whose passage was full */
};

struct rss_group {
    struct steering steering;
    uint32_t queues;
    _Atomic uint32_t open; /* ports not closed yet */
    struct passage *pass;  /* [from * queues + to] */
    struct rss_port port[];
};

static struct rss_port *rss_of(const struct port *port)
{
    return container_of(port, struct rss_port, port);
}

static struct passage *passage(const struct rss_group *group, uint32_t from, uint32_t to)
{
    return &group->pass[from * group->queues + to];
}

/* The frame's queue; frames that are not hashed stay where they arrived. */
static uint32_t queue_of(const struct rss_port *rp, const struct pkt *pkt)
{
    uint8_t addresses[2][16];
    struct port_flow flow;
    if (!steering_of_frame(pkt->data, pkt->len, addresses, &flow))
        return rp->port.queue;
    const struct port_steering *steering = &rp->group->steering.port;
    return steering->queue(steering, &flow);
}

static uint32_t take_passed(struct rss_port *rp, struct pkt **pkt, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t from = 0; from < rp->group->queues; from++) {
        struct passage *p = passage(rp->group, from, rp->port.queue);
        while (count < max && (pkt[count] = spsc_pop(&p->queue)))
            count++;
    }
    return count;
}

static uint32_t rss_receive(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    struct rss_port *rp = rss_of(port);
    struct pkt *burst[PORT_BURST];
    uint32_t count = take_passed(rp, pkt, max);
    uint32_t arrived = port_receive(rp->below, burst, min_u32(max - count, PORT_BURST), now_us);
    for (uint32_t i = 0; i < arrived; i++) {
        uint32_t queue = queue_of(rp, burst[i]);
        if (queue == port->queue) {
            pkt[count++] = burst[i];
        } else if (!spsc_push(&passage(rp->group, port->queue, queue)->queue, burst[i])) {
            pkt_frame_free(burst[i]);
            rp->lost++;
        }
    }
    port->dropped = rp->below->dropped + rp->lost;
    return count;
}

static uint32_t rss_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    return port_transmit(rss_of(port)->below, pkt, count, now_us);
}

static uint64_t rss_next_deadline(struct port *port)
{
    return port_next_deadline(rss_of(port)->below);
}

static void free_group(struct rss_group *group)
{
    free(group->pass);
    free(group);
}

static void rss_close(struct port *port)
{
    struct rss_port *rp = rss_of(port);
    struct rss_group *group = rp->group;
    for (uint32_t from = 0; from < group->queues; from++) {
        struct passage *p = passage(group, from, port->queue);
        for (struct pkt *pkt; (pkt = spsc_pop(&p->queue));)
            pkt_frame_free(pkt);
    }
    port_close(rp->below);
    if (atomic_fetch_sub(&group->open, 1) == 1)
        free_group(group);
}

static const struct port_ops rss_ops = {
    .receive = rss_receive,
    .transmit = rss_transmit,
    .next_deadline = rss_next_deadline,
    .close = rss_close,
};

static bool make_passages(struct rss_group *group)
{
    uint32_t count = group->queues * group->queues;
    group->pass = aligned_alloc(CACHE_LINE, count * sizeof(struct passage));
    for (uint32_t i = 0; group->pass && i < count; i++)
        spsc_init(&group->pass[i].queue, group->pass[i].slot, PASS_SLOTS);
    return group->pass != NULL;
}

bool port_rss_open(struct port **ports, uint32_t queues, const uint8_t *key, struct error *err)
{
    if (!steering_self_test(err))
        return false;
    struct rss_group *group = calloc(1, sizeof(*group) + queues * sizeof(struct rss_port));
    if (!group)
        return error_set(err, "no memory for software RSS over %u queues", queues);
    group->queues = queues;
    atomic_init(&group->open, queues);
    steering_init(&group->steering, key, PORT_RSS_KEY_BYTES, queues);
    if (!make_passages(group)) {
        free_group(group);
        return error_set(err, "no memory for software RSS over %u queues", queues);
    }
    for (uint32_t i = 0; i < queues; i++) {
        struct rss_port *rp = &group->port[i];
        rp->below = ports[i];
        rp->group = group;
        rp->port = *ports[i];
        rp->port.ops = &rss_ops;
        rp->port.queue = (uint16_t)i;
        rp->port.queues = (uint16_t)queues;
        rp->port.steering = &group->steering.port;
        ports[i] = &rp->port;
    }
    return true;
}
