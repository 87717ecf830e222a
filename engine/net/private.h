/* private.h: what the files of engine/net share: the struct and the steps of the two paths.  Nobody else includes it. */
#ifndef ENGINE_NET_PRIVATE_H
#define ENGINE_NET_PRIVATE_H

#include "engine/net/flow.h"
#include "engine/net/neigh.h"
#include "engine/net/net.h"
#include "engine/net/ports.h"
#include "engine/net/route.h"

#define NET_TX_QUEUE           512u /* frames that wait for the port; a power of two */
#define NET_TX_RETRY_US        500u /* a port that was full is offered the rest, if the core is idle meanwhile */
#define NET_REPLIES_PER_SECOND 1000u /* RST and echo replies together: what strangers can make us send */

/* Frames on their way to the port. */
struct tx_queue {
    struct pkt *frame[NET_TX_QUEUE];
    uint32_t head, tail; /* free-running; tail - head in [0, NET_TX_QUEUE] */
    uint64_t stalled_us; /* since when the port has taken nothing; DEADLINE_NEVER: it takes */
    uint64_t retry_us;   /* when an idle core offers it the rest again; DEADLINE_NEVER: there is none */
};

/* Tokens, refilled as time goes by, for what is sent in answer to strangers. */
struct reply_limit {
    uint32_t tokens; /* in [0, NET_REPLIES_PER_SECOND] */
    uint64_t refilled_us;
};

struct net {
    struct port *port;
    struct stats *stats;
    struct wheel *wheel;
    struct wheel_timer timer; /* for neigh.wheel and tx */
    struct net_handler handler;
    struct net_config config;
    struct mac_addr mac;
    uint16_t ip_id;        /* of the next packet */
    uint32_t next_address; /* whose turn it is to be a source address */
    uint64_t defended_us;  /* when we last defended an address of ours; 0: never */
    struct reply_limit replies;
    struct tx_queue tx;
    struct route_table routes;
    struct neigh_table neigh;
    struct flow_table flows;
    struct ports ports;
};

/* A received frame that has passed Ethernet and IP. */
struct rx_frame {
    struct pkt *pkt;
    struct eth_header eth;
    struct ip_header ip;
    uint8_t *payload; /* of IP; ip.payload_len bytes */
};

/* Each of these leaves the packet to the caller or takes it over as its name says. */
void arp_receive(struct net *net, const struct eth_header *eth, const struct pkt *pkt, uint64_t now_us);
void arp_send(struct net *net, uint16_t op, const struct ip_addr *sender, const struct mac_addr *to,
              const struct ip_addr *target, uint64_t now_us);
void icmp_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us); /* takes over frame->pkt */
void tcp_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us);  /* takes over frame->pkt */

/* tx_push takes over a frame that is ready for the port; counts and drops it when there is no room even then. */
void tx_push(struct net *net, struct pkt *frame, uint64_t now_us);
bool tx_has_room(struct net *net, uint64_t now_us);

/* frame_push_tcp puts Ethernet (the destination is left open), IPv4 and TCP in front of the payload at pkt->data; the
 * checksums are the port's work where it does that, done here where not.  The caller alone may write to pkt.
 */
void frame_push_tcp(struct net *net, struct pkt *pkt, const struct flow_key *key,
                    const struct tcp_segment *seg);
void frame_set_destination(struct pkt *frame, const struct mac_addr *mac);

bool net_is_ours(const struct net *net, const struct ip_addr *addr);
bool reply_allowed(struct net *net, uint64_t now_us);
void net_rearm(struct net *net);

/* net_hand_on gives the frame to the core that owns a port of ours, if that is another one; true: the packet is gone. */
bool net_hand_on(struct net *net, uint16_t local_port, struct pkt *pkt);

static inline void drop(struct net *net, enum stat_id why, struct pkt *pkt)
{
    stat_inc(net->stats, why);
    pkt_free(pkt);
}

#endif
