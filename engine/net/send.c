/* send.c: a segment becomes a frame. */
#include "engine/net/private.h"

#define TTL 64u /* RFC 1700, as every common stack */

static void put_u16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, sizeof(v));
}

/* The TCP checksum field is 16 bytes into the header (RFC 9293 section 3.1). */
static void write_tcp_checksum(struct net *net, struct pkt *pkt, const struct flow_key *key)
{
    uint32_t sum = checksum_tcp_pseudo(&key->local, &key->remote, pkt->len);
    if (net->port->offloads & PORT_OFFLOAD_TX_TCP_CSUM) {
        pkt->flags |= PKT_TX_TCP_CSUM;
        put_u16(pkt->data + 16, checksum_fold(sum));
        return;
    }
    put_u16(pkt->data + 16, checksum_finish(checksum_add(sum, pkt->data, pkt->len)));
}

static uint8_t *push(struct pkt *pkt, size_t bytes)
{
    pkt->data -= bytes;
    pkt->len = (uint16_t)(pkt->len + bytes);
    assert(pkt->data >= pkt->buf);
    return pkt->data;
}

static void push_ipv4(struct net *net, struct pkt *pkt, const struct flow_key *key, uint8_t ecn)
{
    bool by_port = net->port->offloads & PORT_OFFLOAD_TX_IP_CSUM;
    struct ip_header ip = {
        .src = key->local,
        .dst = key->remote,
        .protocol = IP_PROTO_TCP,
        .ttl = TTL,
        .ecn = ecn,
        .dont_fragment = true, /* RFC 1191 section 3; RFC 6864 section 4.1: the ID may then be anything */
        .id = net->ip_id++,
        .payload_len = pkt->len,
    };
    ipv4_emit(push(pkt, IPV4_HEADER_MIN), &ip, by_port);
    pkt->l3_len = IPV4_HEADER_MIN;
    if (by_port)
        pkt->flags |= PKT_TX_IP_CSUM;
}

void frame_push_tcp(struct net *net, struct pkt *pkt, const struct flow_key *key,
                    const struct tcp_segment *seg)
{
    pkt->flags = 0;
    tcp_header_emit(push(pkt, tcp_header_bytes(seg)), seg);
    write_tcp_checksum(net, pkt, key);
    push_ipv4(net, pkt, key, seg->ip_ecn);
    assert(pkt->len <= net->port->mtu); /* TCP was told by net_mss */
    struct eth_header eth = {.src = net->mac, .type = ETH_TYPE_IPV4};
    eth_emit(push(pkt, ETH_HEADER_BYTES), &eth);
    pkt->l2_len = ETH_HEADER_BYTES;
}

void frame_set_destination(struct pkt *frame, const struct mac_addr *mac)
{
    memcpy(frame->data, mac->b, sizeof(mac->b));
}

/* A packet that nobody else writes to or reads, with the segment's payload at its data; NULL: no buffer. */
static struct pkt *packet_for(struct net *net, const struct tcp_segment *seg)
{
    if (seg->len > 0 && likely(!pkt_shared(seg->pkt))) {
        pkt_ref(seg->pkt); /* one reference for the port */
        seg->pkt->data = seg->payload;
        seg->pkt->len = (uint16_t)seg->len;
        return seg->pkt;
    }
    /* What is sent again frees memory in the end, so it may take from the reserve like an ACK. */
    struct pkt *pkt = pkt_alloc(net->port->tx_pool, PKT_CONTROL);
    if (!pkt) {
        stat_inc(net->stats, STAT_net_drop_no_buffer);
        return NULL;
    }
    assert(seg->len <= pkt_tailroom(pkt));
    if (seg->len > 0)
        memcpy(pkt->data, seg->payload, seg->len);
    pkt->len = (uint16_t)seg->len;
    return pkt;
}

bool net_send_segment(struct net *net, const struct flow_key *key, uint32_t flow,
                      const struct tcp_segment *seg, uint64_t now_us)
{
    if (!tx_has_room(net, now_us))
        return false;
    struct ip_addr next_hop;
    if (!route_next_hop(&net->routes, &key->remote, &next_hop)) {
        stat_inc(net->stats, STAT_net_drop_no_route);
        return true; /* as lost as on any other broken path; TCP's timers deal with that */
    }
    struct pkt *pkt = packet_for(net, seg);
    if (!pkt)
        return false;
    frame_push_tcp(net, pkt, key, seg);
    neigh_output(net, &next_hop, pkt, flow, now_us);
    return true;
}

uint32_t net_mss(const struct net *net, const struct ip_addr *remote)
{
    return net->port->mtu - (ip_is_v4(remote) ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES) - TCP_HEADER_MIN;
}
