/* world.h: a net on one end of a simulated wire, the test on the other: frames go in and come out, time is a number. */
#ifndef TESTS_UNIT_NET_WORLD_H
#define TESTS_UNIT_NET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/net/net.h"

#define WORLD_FRAME_MAX 1600u

/* What the handler was called with last, and how often. */
struct heard {
    unsigned segments, syns, strays, icmp_errors, unreachables, handoffs, shared, duplicates;
    uint32_t flow;          /* of segment, icmp_error or unreachable */
    uint32_t owner;         /* of handoff */
    struct tcp_segment seg; /* pkt and payload are gone */
    uint8_t payload[WORLD_FRAME_MAX];
    char stream[4 * WORLD_FRAME_MAX]; /* the payloads of all segments, one after the other */
    uint32_t stream_bytes;
    unsigned ends; /* segments with PSH or FIN */
    struct icmp icmp;
    struct flow_key key;      /* of syn */
    struct ip_addr duplicate; /* of duplicate */
    bool refuse_handoff, refuse_syn, take_stray;
};

/* One frame as the test sees it. */
struct frame {
    uint8_t data[WORLD_FRAME_MAX];
    size_t len;
    uint16_t rx_flags; /* enum pkt_flags: what the port says of it */
};

struct world {
    struct port *port[2]; /* 0: net's; 1: the test's */
    struct wheel wheel;
    struct stats stats;
    struct net_config config;
    struct net *net;
    struct heard heard;
    struct frame report; /* the last one of MLD that world_take has met, and how many: it gives the others */
    unsigned reports;
    uint64_t now_us;
};

extern const struct mac_addr test_mac; /* the test's own station */

struct ip_addr addr(const char *text);

/* world_open: 192.0.2.1/24 with a gateway at 192.0.2.254, one core; change config and call world_restart for others. */
void world_open(struct world *w);
void world_open6(struct world *w); /* the same and 2001:db8::1/64 with a gateway at fe80::fe; no DAD */
void world_restart(struct world *w);
void world_close(struct world *w); /* fails the test if a packet was lost or freed twice */

void world_give(struct world *w, const struct frame *frame); /* the frame arrives at net */
bool world_take(struct world *w, struct frame *frame);       /* the next frame that net has sent */
unsigned world_drain(struct world *w);                       /* throws away what net has sent; how many */
void world_advance(struct world *w, uint64_t us);            /* time passes, timers fire */
uint64_t world_stat(const struct world *w, enum stat_id which);

/* Frames from the test's station. */
struct frame arp_frame(uint16_t op, const struct mac_addr *from, const char *sender, const char *target);
struct frame tcp_frame(const struct world *w, const char *src, const char *dst, const struct tcp_segment *seg,
                       const void *payload);
struct frame icmp_frame(const struct world *w, const char *src, const char *dst, const uint8_t *icmp,
                        size_t len);
struct frame icmp6_frame(const struct world *w, const char *src, const char *dst, const uint8_t *icmp,
                         size_t len);
struct frame nd_frame(const struct world *w, const char *src, const char *dst, const struct nd *nd);
void frame_fix_ip_checksum(struct frame *frame);

/* The parts of a frame that net has sent; each fails the test when it is not that. */
struct arp take_arp(struct world *w, struct eth_header *eth);
struct nd take_nd(struct world *w, struct eth_header *eth, struct ip_header *ip);
struct tcp_segment take_tcp(struct world *w, struct eth_header *eth, struct ip_header *ip,
                            struct frame *frame);

struct ip_addr world_link_local(const struct world *w); /* net's */

/* world_resolve answers ARP or ND for an address, so that frames to it leave at once. */
void world_resolve(struct world *w, const char *address);

/* A flow opened by net towards address:25. */
struct flow_key world_flow(struct world *w, const char *address, uint32_t flow);

#endif
