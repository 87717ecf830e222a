/* private.h: what the files of engine/net share: the struct and the steps of the two paths.  Nobody else includes it. */
#ifndef ENGINE_NET_PRIVATE_H
#define ENGINE_NET_PRIVATE_H

#include "engine/net/flow.h"
#include "engine/net/neigh.h"
#include "engine/net/net.h"
#include "engine/net/paths.h"
#include "engine/net/ports.h"
#include "engine/net/route.h"
#include "engine/net/tap.h"

#define NET_TX_QUEUE           512u /* frames that wait for the port; a power of two */
#define NET_TX_RETRY_US        500u /* a port that was full is offered the rest, if the core is idle meanwhile */
#define NET_REPLIES_PER_SECOND 1000u /* RST and echo replies together: what strangers can make us send */

/* Frames on their way to the port. */
struct tx_queue {
    struct pkt *frame[NET_TX_QUEUE];
    uint32_t head, tail; /* free-running; tail - head in [0, NET_TX_QUEUE] */
    uint64_t refused_us; /* the turn in which the port last left something */
    uint64_t stalled_us; /* since when the port has taken nothing; DEADLINE_NEVER: it takes */
    uint64_t retry_us;   /* when an idle core offers it the rest again; DEADLINE_NEVER: there is none */
};

/* The frame at the queue's end, while segments of its flow may still join it (run.c). */
struct tx_run {
    struct pkt *frame, *last; /* its first and last part; frame is NULL: there is none */
    uint32_t parts;           /* 0 without a frame */
    uint32_t frame_bytes;     /* in [0, PORT_TSO_FRAME_BYTES] */
    uint32_t next_seq;
    uint16_t segment_bytes;   /* payload of the first part: no other one's is larger */
    uint8_t end_flags;        /* PSH and FIN of the last part */
    struct tcp_segment first; /* its header */
    struct flow_key key;
};

/* Tokens, refilled as time goes by, for what is sent in answer to strangers. */
struct reply_limit {
    uint32_t tokens; /* in [0, NET_REPLIES_PER_SECOND] */
    uint64_t refilled_us;
};

/* RFC 4862 section 5.4: an IPv6 address is asked for before it is used. */
enum own_state { OWN_VALID, OWN_TENTATIVE, OWN_DUPLICATE };

struct own {
    struct ip_addr ip;
    uint8_t state; /* enum own_state */
};

/* Our addresses: those of the configuration, in its order, then the link-local one if any of them is IPv6. */
struct own_table {
    struct own own[NET_ADDRESSES_MAX + 1];
    uint32_t count;
    uint32_t unusable; /* that are not OWN_VALID */
    uint32_t probes;   /* rounds of questions sent */
    uint64_t due_us;   /* of the next round, or of the end; DEADLINE_NEVER: not running */
};

/* RFC 3810: the groups that we listen to are told of to switches that watch for it. */
struct mld {
    uint64_t due_us; /* of the next report; DEADLINE_NEVER: none */
    uint8_t record;  /* enum mld_record of that */
};

struct net {
    struct port *port;
    struct stats *stats;
    struct wheel *wheel;
    struct wheel_timer timer; /* for neigh.wheel, tx and own */
    struct net_handler handler;
    struct net_config config;
    struct mac_addr mac;
    uint16_t ip_id;        /* of the next packet */
    uint64_t label_key;    /* for IPv6 flow labels; odd */
    uint32_t next_address; /* whose turn it is to be a source address */
    uint64_t defended_us;  /* when we last defended an address of ours; 0: never */
    struct reply_limit replies;
    struct own_table own;
    struct mld mld;
    const struct mac_addr *answer_to; /* in a handler for listeners: where the segment came from */
    struct tx_queue tx;
    struct tx_run run;
    struct tap *tap; /* NULL: nobody looks on */
    struct route_table routes;
    struct neigh_table neigh;
    struct flow_table flows;
    struct ports ports;
    struct time_waits *time_waits;    /* NULL: no port is recycled */
    struct tcp_time_wait predecessor; /* of the flow opened last */
    bool has_predecessor;
    struct paths paths;
};

/* A received frame that has passed Ethernet and IP. */
struct rx_frame {
    struct pkt *pkt;
    struct eth_header eth;
    struct ip_header ip;
    uint8_t *
        payload; /* of IP; ip.payload_len bytes, of which payload_here are in pkt, the others in its further parts */
    uint32_t payload_here;
    bool to_group; /* the frame is for a group of stations */
};

/* Each of these leaves the packet to the caller or takes it over as its name says. */
void arp_receive(struct net *net, const struct eth_header *eth, const struct pkt *pkt, uint64_t now_us);
void nd_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us);
void icmp_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us); /* takes over frame->pkt */
void tcp_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us);  /* takes over frame->pkt */

/* Questions to a neighbour's last known station, or to everybody: NULL. */
void arp_ask(struct net *net, const struct ip_addr *ip, const struct mac_addr *to, uint64_t now_us);
void nd_ask(struct net *net, const struct ip_addr *ip, const struct mac_addr *to, uint64_t now_us);

void nd_probe(struct net *net, const struct ip_addr *ours, uint64_t now_us);    /* RFC 4862 section 5.4.2 */
void nd_announce(struct net *net, const struct ip_addr *ours, uint64_t now_us); /* RFC 4861 section 7.2.6 */

/* own_open: what the configuration gives.  own_begin starts duplicate address detection if it is due and has not run. */
void own_open(struct net *net);
void own_begin(struct net *net, uint64_t now_us);
void own_timers(struct net *net, uint64_t now_us);
struct own *own_find(struct net *net, const struct ip_addr *addr); /* in any state; NULL: it is none */
void own_is_duplicate(struct net *net, struct own *own);
bool own_in_range(const struct net *net, const struct ip_addr *addr); /* of the configuration's ranges */

/* own_asks: the address to ask other IPv6 stations from, NULL when there is none: the link-local one where it is valid. */
const struct ip_addr *own_asks(const struct net *net);

/* defence_allowed: RFC 5227 section 2.4 (c): an address is defended not more often than every ten seconds. */
bool defence_allowed(struct net *net, uint64_t now_us);

/* tx_push takes over a frame that is ready for the port; counts and drops it when there is no room even then. */
void tx_push(struct net *net, struct pkt *frame, uint64_t now_us);
bool tx_has_room(struct net *net, uint64_t now_us);

/* tx_room: how many frames the queue takes, the port asked if it was none.  tx_append takes over one of them. */
uint32_t tx_room(struct net *net, uint64_t now_us);

static inline void tx_append(struct net *net, struct pkt *frame)
{
    net->tx.frame[net->tx.tail++ % NET_TX_QUEUE] = frame;
}

/* frame_push_ip puts Ethernet (the destination is left open) and IP in front of what is at pkt->data: payload_len and
 * id are filled in.  frame_push_tcp the same and TCP.  Checksums are the port's work where it does that, done here where
 * not.  The caller alone may write to pkt.
 */
#define NET_TTL 64u /* RFC 1700, RFC 4861's default, as every common stack */
void frame_push_ip(struct net *net, struct pkt *pkt, struct ip_header *ip);
void frame_push_tcp(struct net *net, struct pkt *pkt, const struct flow_key *key,
                    const struct tcp_segment *seg);
void frame_set_destination(struct pkt *frame, const struct mac_addr *mac);

/* mld_join tells of our groups, and arranges for the second time that RFC 3810 section 6.1 asks for; mld_receive
 * answers a query later, mld_timers sends what is due.
 */
void mld_join(struct net *net, uint64_t now_us);
void mld_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us);
void mld_timers(struct net *net, uint64_t now_us);

/* frame_grow makes the headers of a TCP frame say that it has so many bytes now, and these flags besides. */
void frame_grow(struct net *net, struct pkt *frame, uint32_t frame_bytes, uint8_t flags);

/* run_open: a frame of seg was queued, further segments may join it.  run_join: seg has joined, with a reference to its
 * packet.  run_close: nothing joins any more, the frame can leave.
 */
void run_open(struct net *net, const struct flow_key *key, const struct tcp_segment *seg, struct pkt *frame);
bool run_join(struct net *net, const struct flow_key *key, const struct tcp_segment *seg);
void run_close(struct net *net);

bool net_is_ours(const struct net *net, const struct ip_addr *addr); /* and valid */
bool reply_allowed(struct net *net, uint64_t now_us);
void net_rearm(struct net *net);

/* net_hand_on gives the frame of a flow that is not here to the core that owns it, if that is another one; true: the
 * packet is gone.
 */
bool net_hand_on(struct net *net, const struct flow_key *key, struct pkt *pkt);

static inline void count_handed_on(struct net *net, const struct rx_frame *frame)
{
    if (frame->pkt->flags & PKT_RX_HANDED_OFF)
        stat_inc(net->stats, STAT_net_handoff_in);
}

static inline void drop(struct net *net, enum stat_id why, struct pkt *pkt)
{
    stat_inc(net->stats, why);
    pkt_frame_free(pkt);
}

#endif
