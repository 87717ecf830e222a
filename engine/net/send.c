/* send.c: a segment becomes a frame. */
#include "engine/net/private.h"

static void put_u16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, sizeof(v));
}

/* The TCP checksum field is 16 bytes into the header (RFC 9293 section 3.1). */
static void write_tcp_checksum(struct net *net, struct pkt *pkt, const struct flow_key *key)
{
    pkt->l4_len = (uint8_t)((pkt->data[12] >> 4) * 4);
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

static void push_ipv4(struct net *net, struct pkt *pkt, struct ip_header *ip)
{
    bool by_port = net->port->offloads & PORT_OFFLOAD_TX_IP_CSUM;
    ip->id = net->ip_id++; /* RFC 6864 section 4.1: anything, where nothing is fragmented */
    ipv4_emit(push(pkt, IPV4_HEADER_MIN), ip, by_port);
    pkt->l3_len = IPV4_HEADER_MIN;
    if (by_port)
        pkt->flags |= PKT_TX_IP_CSUM;
}

void frame_push_ip(struct net *net, struct pkt *pkt, struct ip_header *ip)
{
    bool v4 = ip_is_v4(&ip->dst);
    ip->payload_len = pkt->len;
    if (v4) {
        push_ipv4(net, pkt, ip);
    } else {
        ipv6_emit(push(pkt, IPV6_HEADER_BYTES), ip);
        pkt->l3_len = IPV6_HEADER_BYTES;
    }
    struct eth_header eth = {.src = net->mac, .type = v4 ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6};
    eth_emit(push(pkt, ETH_HEADER_BYTES), &eth);
    pkt->l2_len = ETH_HEADER_BYTES;
}

/* RFC 6437 section 3: the same for all of a flow, spread evenly; the key keeps it from being foretold. */
static uint32_t flow_label(const struct net *net, const struct flow_key *key)
{
    uint64_t ports = (uint64_t)key->local_port << 16 | key->remote_port, host;
    memcpy(&host, key->remote.b + 8, sizeof(host));
    return (uint32_t)(((ports ^ host) * net->label_key) >> 44);
}

void frame_push_tcp(struct net *net, struct pkt *pkt, const struct flow_key *key,
                    const struct tcp_segment *seg)
{
    struct ip_header ip = {
        .src = key->local,
        .dst = key->remote,
        .protocol = IP_PROTO_TCP,
        .ttl = NET_TTL,
        .ecn = seg->ip_ecn,
        .dont_fragment = true, /* RFC 1191 section 3 */
        .flow_label = flow_label(net, key),
    };
    pkt->flags = 0;
    pkt->more = NULL;
    pkt->segment_bytes = 0;
    tcp_header_emit(push(pkt, tcp_header_bytes(seg)), seg);
    write_tcp_checksum(net, pkt, key);
    frame_push_ip(net, pkt, &ip);
    assert(pkt->len <= net->port->mtu + ETH_HEADER_BYTES); /* TCP was told by net_mss */
}

/* Ports that cut want the sum of the pseudo header without the length, which is each segment's own. */
void frame_grow(struct net *net, struct pkt *frame, uint32_t frame_bytes, uint8_t flags)
{
    uint8_t *ip = frame->data + frame->l2_len, *tcp = ip + frame->l3_len;
    const struct flow_key *key = &net->run.key;
    struct bytes_out length = bytes_out(ip_is_v4(&key->local) ? ip + 2 : ip + 4, 2);
    if (ip_is_v4(&key->local)) {
        bytes_put_be16(&length, (uint16_t)(frame_bytes - frame->l2_len));
        put_u16(ip + 10, 0);
        if (!(frame->flags & PKT_TX_IP_CSUM))
            put_u16(ip + 10, checksum_finish(checksum_add(0, ip, frame->l3_len)));
    } else {
        bytes_put_be16(&length, (uint16_t)(frame_bytes - frame->l2_len - frame->l3_len));
    }
    tcp[13] |= flags;
    put_u16(tcp + 16, checksum_fold(checksum_tcp_pseudo(&key->local, &key->remote, 0)));
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
    if (run_join(net, key, seg))
        return true;
    if (!tx_has_room(net, now_us))
        return false;
    if (unlikely(net->own.unusable > 0 && !net_is_ours(net, &key->local))) {
        stat_inc(net->stats, STAT_net_drop_source);
        return true;
    }
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
    if (net->port->offloads & PORT_OFFLOAD_TSO)
        run_open(net, key, seg, pkt);
    return true;
}

uint32_t net_mss(const struct net *net, const struct ip_addr *remote)
{
    return net->port->mtu - (ip_is_v4(remote) ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES) - TCP_HEADER_MIN;
}
