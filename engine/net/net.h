/* net.h: frames to flows and back, for one core: Ethernet, ARP, ND, routes, flow table, source ports.
 *
 * What it is not: it holds no connection.  A flow is a 32-bit number that its owner (core/) chose; net maps the
 * 4-tuple of a segment to it and puts addresses around segments that leave.
 */
#ifndef ENGINE_NET_NET_H
#define ENGINE_NET_NET_H

#include "drivers/port.h"
#include "engine/base/error.h"
#include "engine/base/rand.h"
#include "engine/base/stat.h"
#include "engine/base/wheel.h"
#include "engine/tcp/tcp.h"
#include "engine/wire/wire.h"

#define NET_ADDRESSES_MAX 16u
#define NET_ROUTES_MAX    32u
#define NET_RANGES_MAX    8u
#define NET_NO_FLOW       UINT32_MAX
#define NET_TX_STALL_US   200000u /* as long as TCP waits at least before it sends again */

struct net_route {
    struct ip_net to;       /* 0.0.0.0/0, mapped 96 bits, is the IPv4 default route; ::/0 the IPv6 one */
    struct ip_addr gateway; /* of the same family, fe80::/10 possible; all zero: on link */
    bool on_link;
};

/* Consecutive addresses: the last 32 bits of first count up and do not wrap. */
struct net_range {
    struct ip_addr first;
    uint32_t count;
};

struct net_config {
    uint32_t addresses;
    struct ip_addr address[NET_ADDRESSES_MAX]; /* ours; source addresses in turn unless a flow asks for one */
    uint32_t ranges;
    struct net_range
        range[NET_RANGES_MAX]; /* ours, too, without detection; no source addresses, not announced */
    uint32_t routes;
    struct net_route route[NET_ROUTES_MAX];
    uint32_t flows_max;             /* connections of this core at the most */
    uint32_t neighbours_max;        /* 1024 */
    uint32_t dad_transmits;         /* RFC 4862 section 5.1; 0: IPv6 addresses are believed to be unique */
    uint16_t port_first, port_last; /* source ports, RFC 6056: 1024..65535 */
    uint32_t core, cores;           /* this core in [0, cores): ports with port % cores == core are its own */
    uint64_t seed;
    uint64_t hash_key[2]; /* flow hash secret */
};

struct flow_key {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
};

struct net;           /* one a core */
struct time_waits;    /* time_wait.h */
struct tcp_time_wait; /* engine/tcp/time_wait.h */

/* Who wants to hear of what arrived; called from net_receive. */
struct net_handler {
    void *ctx;
    /* A segment of a known flow; seg and ip are borrowed until return; take a packet reference to keep payload. */
    void (*segment)(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg);
    /* For listeners: a SYN, or an ACK without SYN and RST, that belongs to no flow (the ACK may acknowledge a SYN
     * cookie).  false: nobody wants it, a RST is sent.  NULL: nobody listens.  Either may call net_answer.
     */
    bool (*syn)(void *ctx, const struct flow_key *key, const struct tcp_segment *seg);
    bool (*stray)(void *ctx, const struct flow_key *key, const struct tcp_segment *seg);
    /* An ICMP error that quotes a segment of a known flow. */
    void (*icmp_error)(void *ctx, uint32_t flow, const struct icmp *icmp);
    /* The flow's next hop does not answer ARP or ND: packets were dropped. */
    void (*unreachable)(void *ctx, uint32_t flow);
    /* A frame whose flow belongs to another core: takes over pkt, or returns false when it cannot. */
    bool (*handoff)(void *ctx, uint32_t owner, struct pkt *pkt);
    /* An ARP or ND packet that told us something: cores other than this one want it too; pkt is borrowed. */
    void (*share_neighbour)(void *ctx, const struct pkt *pkt);
    /* Another station has this address of ours (RFC 4862 section 5.4.5): it is not used from now on; may be NULL. */
    void (*duplicate)(void *ctx, const struct ip_addr *addr);
};

struct net *net_open(const struct net_config *config, struct port *port, struct wheel *wheel,
                     struct stats *stats, const struct net_handler *handler, struct error *err) must_check;
void net_close(struct net *net);

/* net_receive takes over one frame, whatever it is.  The caller counts it (port_rx_*): what another core handed on
 * (PKT_RX_HANDED_OFF) was counted there.  Such a frame is never handed on or shared again.
 */
void net_receive(struct net *net, struct pkt *pkt, uint64_t now_us);

/* net_transmit_flush gives the port what has been queued, one burst or more; the loop calls it once a turn.  What
 * the port does not take stays for the next turn; a port that takes nothing for NET_TX_STALL_US loses what is queued.
 */
void net_transmit_flush(struct net *net, uint64_t now_us);

/* net_burst_waits: a whole burst is queued for a port that takes what it is given.  Flushed at once it finds its bytes in the
 * nearest caches.
 */
bool net_burst_waits(const struct net *net);

/* net_transmit_waiting: frames that the port has not taken yet. */
bool net_transmit_waiting(const struct net *net);

/* net_has_room: what is sent now is queued.  Without room net_send_segment refuses. */
bool net_has_room(const struct net *net);

/* net_announce sends gratuitous ARP for each IPv4 address, and an unsolicited advertisement for each IPv6 one (start,
 * failover).  Called first, it begins duplicate address detection: until that has ended, a second for each of
 * dad_transmits, flows from IPv6 addresses of ours may be opened, but what they send is lost.
 */
void net_announce(struct net *net, uint64_t now_us);

/* net_ready: duplicate address detection is not running; who can wait for it loses no segments. */
bool net_ready(const struct net *net);

/* ---- flows ---- */

/* net_flow_open chooses a source address (unless local is given) and a source port of this core that is free for
 * remote, and enters the flow.  false: no route, no address of the family, no port left or table full (err says which).
 */
bool net_flow_open(struct net *net, const struct ip_addr *local, const struct ip_addr *remote,
                   uint16_t remote_port, uint32_t flow, struct flow_key *key, struct error *err) must_check;

/* net_flow_add enters a flow whose key is known (passive opens). */
bool net_flow_add(struct net *net, const struct flow_key *key, uint32_t flow) must_check;
void net_flow_close(struct net *net, const struct flow_key *key);

/* net_recycle_from: where no port is free, one of these may be taken (time_wait.h); they outlive net, or net_close is next.
 * net_flow_predecessor: the record whose port the last net_flow_open took, until the next; NULL: the port was free.  The
 * new connection has to follow it (tcp_time_wait_follow).
 */
void net_recycle_from(struct net *net, struct time_waits *time_waits);
const struct tcp_time_wait *net_flow_predecessor(const struct net *net);

/* net_flow_move gives an existing flow another number (TIME-WAIT records). */
void net_flow_move(struct net *net, const struct flow_key *key, uint32_t flow);

/* net_send_segment puts Ethernet and IP around a segment and queues it for the next flush; this is what a struct
 * tcp_emit calls.  false: no buffer, or the port does not keep up.  A packet whose neighbour is not known yet is held
 * (a few a neighbour) while ARP or ND asks.
 */
bool net_send_segment(struct net *net, const struct flow_key *key, uint32_t flow,
                      const struct tcp_segment *seg, uint64_t now_us);

/* net_send_train does the same for each segment of a train, and is what tcp_emit's train calls: returns how many. */
uint32_t net_send_train(struct net *net, const struct flow_key *key, uint32_t flow,
                        const struct tcp_train *train, uint64_t now_us);

/* net_answer, from the handlers for listeners alone: sends a segment without payload to the station that the one in hand
 * came from, without a flow and without a question to ARP or ND: strangers' addresses take no neighbour entries.
 * false: no buffer.
 */
bool net_answer(struct net *net, const struct flow_key *key, const struct tcp_segment *seg, uint64_t now_us);

/* The payload bytes a segment to remote may have by our MTU: on Ethernet 1460, over IPv6 1440. */
uint32_t net_mss(const struct net *net, const struct ip_addr *remote);

/* net_path_mss: the same by what the path is known to take; 0: not known, or all.  net_learn_path keeps what a connection has
 * found, for ten minutes (RFC 1191 section 6.3) and 1,024 hosts.
 */
uint32_t net_path_mss(const struct net *net, const struct ip_addr *remote, uint64_t now_us);
void net_learn_path(struct net *net, const struct ip_addr *remote, uint32_t mss, uint64_t now_us);

/* net_owner: the core that owns a flow (ports.h).  Ports outside [port_first, port_last] belong to every core: a listener is
 * one on all of them.
 */
uint32_t net_owner(const struct net *net, const struct flow_key *key);

/* Retries and expiry of ARP and ND use the wheel given at open, through one timer of kind NET_TIMER: call net_timers when it
 * fires.
 */
#define NET_TIMER 1u
void net_timers(struct net *net, uint64_t now_us);

#endif
