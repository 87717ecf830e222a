/* port.h: a port: a burst of frames in, a burst of frames out.
 *
 * A port belongs to one core: one receive queue and one transmit queue of a device, with the packet pools that go
 * with them.  Decorators (faults, capture) are ports over a port.  All entries: the owning core only.
 */
#ifndef DRIVERS_PORT_H
#define DRIVERS_PORT_H

#include "engine/base/error.h"
#include "engine/base/pkt.h"

#define PORT_BURST 32u /* frames a call, at the most */

enum port_offload {
    PORT_OFFLOAD_TX_IP_CSUM = 1 << 0,
    PORT_OFFLOAD_TX_TCP_CSUM = 1 << 1,
    PORT_OFFLOAD_RX_CSUM = 1 << 2,
    PORT_OFFLOAD_TSO = 1 << 3, /* cuts a frame of several segments, for IPv4 and IPv6; includes TX_TCP_CSUM */
    PORT_OFFLOAD_LRO = 1 << 4, /* frames larger than the MTU may arrive, in several parts */
};

#define PORT_OFFLOAD_ALL UINT32_MAX

#define PORT_TSO_FRAME_BYTES 65535u /* of a frame with segment_bytes set, Ethernet header included */

struct port;

struct port_ops {
    /* Up to max frames into pkt; returns how many.  The caller owns them, every part.  The checksums that the first part's
     * flags do not vouch for are to be verified.
     */
    uint32_t (*receive)(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us);
    /* Takes the first n frames, returns n <= count; the caller keeps the rest.  Frames of several parts only where there is
     * PORT_OFFLOAD_TSO, tso_parts at the most.
     */
    uint32_t (*transmit)(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us);
    /* When a decorator wants to be polled again although nothing has arrived (delayed frames); may be NULL. */
    uint64_t (*next_deadline)(struct port *port);
    void (*close)(struct port *port);
};

#define PORT_NO_QUEUE UINT32_MAX

/* A TCP flow as it arrives: addresses of 16 bytes, IPv4-mapped where IPv4. */
struct port_flow {
    const uint8_t *local, *remote;
    uint16_t local_port, remote_port;
};

/* How a port spreads flows over its queues, so that a flow's queue can be known before its first segment arrives. */
struct port_steering {
    /* The queue on which the flow's segments arrive; PORT_NO_QUEUE: not steered. */
    uint32_t (*queue)(const struct port_steering *steering, const struct port_flow *flow);
};

struct port {
    const struct port_ops *ops;
    char name[64]; /* for messages: "net_af_packet0 queue 1" */
    uint8_t mac[6];
    uint16_t mtu;   /* bytes of IP packet: 1500 */
    uint16_t queue; /* in [0, queues) */
    uint16_t queues;
    uint32_t offloads;                    /* enum port_offload */
    uint16_t tso_parts;                   /* of a frame, at the most; > 1 with PORT_OFFLOAD_TSO */
    struct pkt_pool *tx_pool;             /* for what the core makes */
    struct pkt_pool *rx_pool;             /* for what arrives; may be the same */
    const struct port_steering *steering; /* NULL: it cannot be foretold; lives as long as the port */
    uint64_t dropped; /* frames that the port itself lost for want of a buffer or of room */
};

static inline uint32_t port_receive(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    return port->ops->receive(port, pkt, max, now_us);
}

static inline uint32_t port_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    return port->ops->transmit(port, pkt, count, now_us);
}

static inline uint64_t port_next_deadline(struct port *port)
{
    return port->ops->next_deadline ? port->ops->next_deadline(port) : DEADLINE_NEVER;
}

static inline void port_close(struct port *port)
{
    port->ops->close(port);
}

/* ---- an in-memory pair, for tests and the simulator (port_sim.c) ---- */

/* port_sim_pair gives two ports, joined; each with a heap pool of buffers packets.  Frames sent on one are copied
 * into the other's pool and arrive at its next receive; 1,024 frames wait at the most, more are dropped, as are
 * frames for which the other's pool has no buffer (port->dropped of the receiving end).  Both ends: one thread.
 */
bool port_sim_pair(struct port *pair[2], uint32_t buffers, uint16_t mtu, struct error *err) must_check;

/* ---- decorators (port_fault.c, port_pcap.c); closing one closes what is below ---- */

/* Rates are for each frame, in parts per million.  A corrupted frame has one bit flipped behind its Ethernet header, IP
 * frames only: what Ethernet's own checksum would have let through.
 */
struct port_faults {
    uint64_t seed;
    uint32_t drop_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm;
    uint32_t reorder_us;  /* how long a reordered frame is held back; 0: PORT_FAULT_REORDER_US */
    uint32_t delay_us;    /* every frame, in this direction */
    uint32_t jitter_us;   /* uniform in [0, jitter_us] on top, order kept */
    uint32_t rate_kbit;   /* a bottleneck: kilobits a second of whole frames; 0: none */
    uint32_t queue_bytes; /* what may wait before it; more is lost; 0: PORT_FAULT_QUEUE_BYTES */
};

#define PORT_FAULT_REORDER_US  5000u
#define PORT_FAULT_QUEUE_BYTES 65536u

/* What has been done to the frames of one direction. */
struct port_fault_counts {
    uint64_t frames, dropped, duplicated, reordered, corrupted;
    uint64_t squeezed;   /* lost because the queue before the bottleneck was full */
    uint64_t overflowed; /* lost because too many were waiting or the pool ran short; in port->dropped, too */
};

/* port_fault_open: faults for what is received and for what is transmitted; either may be all zero.  The same seed gives
 * the same faults to the same frames.  Waiting frames are bounded; the port's pools provide for them.
 */
struct port *port_fault_open(struct port *below, const struct port_faults *rx, const struct port_faults *tx,
                             struct error *err) must_check;

void port_fault_counts(const struct port *port, struct port_fault_counts *rx, struct port_fault_counts *tx);

/* port_fault_parse reads "drop=1%,reorder=0.5%,delay=20ms,seed=7"; further: duplicate, corrupt, jitter, rate and
 * queue (a bottleneck and the queue before it: "rate=50mbit,queue=128kB"), hold (how long
 * what is reordered is held back).  Rates in % or ppm, times in us, ms or s.  "" is no faults.
 */
bool port_fault_parse(const char *text, struct port_faults *faults, struct error *err) must_check;

/* port_pcap_open writes every frame of both directions into a pcap file (microseconds, Ethernet), flushed
 * at least once a second and at close.  A write error is told once and stops the capture, not the port.
 */
struct port *port_pcap_open(struct port *below, const char *path, struct error *err) must_check;

/* ---- software RSS (port_rss.c): for ports with several queues that cannot steer ---- */

#define PORT_RSS_KEY_BYTES 40u

/* port_rss_open puts a decorator over each of the queues' ports of one device, in place: TCP frames that arrive on any
 * of them are given to the queue that the Toeplitz hash names; all else stays where it arrived.  key: PORT_RSS_KEY_BYTES,
 * NULL for the usual one.  Each port is polled by a thread of its own.  The hash is tested before it is used (steering.h).
 * On failure the ports are as they were.
 */
bool port_rss_open(struct port **ports, uint32_t queues, const uint8_t *key, struct error *err) must_check;

/* ---- DPDK (port_dpdk.c; needs EAL, which engine/control/eal.c starts) ---- */

struct port_dpdk_config {
    const char *devargs;                     /* "net_af_packet0,iface=veth1,qpairs=2", "0000:01:00.0", ... */
    uint16_t queues;                         /* one a core */
    uint32_t rx_descriptors, tx_descriptors; /* wishes; adjusted to what the device takes */
    uint32_t buffers;                        /* packet buffers a core, receive and transmit together */
    uint32_t tx_reserve;                     /* of the transmit ones, for control packets */
    uint16_t mtu;                            /* 0: the device's */
    uint32_t
        offloads; /* those that may be used where the device has them: enum port_offload, or PORT_OFFLOAD_ALL */
    int socket_id; /* NUMA node, -1: the device's */
};

/* port_dpdk_open probes the device, sets it up with as many queue pairs, starts it, and gives one port a queue.
 * Messages name the device, what was refused and the remedy.
 */
bool port_dpdk_open(const struct port_dpdk_config *config, struct port **ports, struct error *err) must_check;

/* port_dpdk_steering: NULL where ports have a steering that was checked or the device has none to offer (one queue, no RSS);
 * else why its RSS is not relied upon.  Lives as long as the port.
 */
const char *port_dpdk_steering(const struct port *port);

/* port_dpdk_missed: frames that arrived at the device and could not be taken, since it was opened: no room in its queues
 * (imissed), or no buffer (rx_nombuf; some devices leave such a frame where it is and try again).  All queues together.
 */
uint64_t port_dpdk_missed(const struct port *port);

/* port_dpdk_describe: a line for status, doctor and the log: driver, queues, offloads in use, RSS, link. */
void port_dpdk_describe(const struct port *port, char *out, size_t cap);

#endif
