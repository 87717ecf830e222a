#include "tests/unit/core/steer.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

struct device {
    struct port *below;
    unsigned open;
};

struct queue {
    struct port port;
    struct device *device;
};

static struct queue *queue_of(struct port *port)
{
    return container_of(port, struct queue, port);
}

static uint32_t steer_receive(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    return port->queue == 0 ? port_receive(queue_of(port)->device->below, pkt, max, now_us) : 0;
}

static uint32_t steer_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    return port_transmit(queue_of(port)->device->below, pkt, count, now_us);
}

static uint64_t steer_next_deadline(struct port *port)
{
    return port_next_deadline(queue_of(port)->device->below);
}

static void steer_close(struct port *port)
{
    struct device *device = queue_of(port)->device;
    free(queue_of(port));
    if (--device->open > 0)
        return;
    port_close(device->below);
    free(device);
}

static const struct port_ops steer_ops = {
    .receive = steer_receive,
    .transmit = steer_transmit,
    .next_deadline = steer_next_deadline,
    .close = steer_close,
};

void steer_open(struct port *below, struct port *queue[2])
{
    struct device *device = calloc(1, sizeof(*device));
    assert_non_null(device);
    *device = (struct device){.below = below, .open = 2};
    for (uint16_t i = 0; i < 2; i++) {
        struct queue *q = calloc(1, sizeof(*q));
        assert_non_null(q);
        q->device = device;
        q->port = *below;
        q->port.ops = &steer_ops;
        q->port.queue = i;
        q->port.queues = 2;
        queue[i] = &q->port;
    }
}
