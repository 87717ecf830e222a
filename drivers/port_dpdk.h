/* port_dpdk.h: what the set-up and the data path of a DPDK port share.  For drivers/ only. */
#ifndef DRIVERS_PORT_DPDK_H
#define DRIVERS_PORT_DPDK_H

#include "drivers/port.h"
#include "drivers/steering.h"

#include <rte_ethdev.h>

struct dpdk_device;

/* One queue pair. */
struct dpdk_port {
    cache_aligned struct port port;
    struct dpdk_device *device;
};

/* One device; its queue pairs are ports.  It is stopped and removed when the last of them is closed, and only then
 * are their pools freed: until then the device may hold buffers of all of them.
 */
struct dpdk_device {
    uint16_t id;     /* DPDK's port id */
    uint16_t queues; /* pairs */
    uint16_t open;   /* ports not closed yet, in [0, queues] */
    uint16_t rx_descriptors, tx_descriptors;
    uint16_t mtu;
    int socket_id;
    uint32_t offloads;        /* in use: enum port_offload */
    uint64_t rss;             /* hash types in use, 0: none */
    struct steering steering; /* as read back from the device */
    bool steers;              /* it could be read, and foretells what it ought to */
    struct error steer_fault; /* why not; "" */
    char devargs[256];
    struct rte_eth_dev_info info;
    struct dpdk_port port[];
};

static inline struct dpdk_port *port_dpdk_of(const struct port *port)
{
    return container_of(port, struct dpdk_port, port);
}

extern const struct port_ops port_dpdk_ops;

void port_dpdk_release(struct dpdk_port *dp);

#endif
