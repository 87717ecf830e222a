/* world.c: see world.h. */
#include "world.h"

#include <string.h>

const struct mac_addr test_mac = {{0x02, 0, 0, 0, 0xaa, 0xaa}};

struct ip_addr addr(const char *text)
{
    struct ip_addr a;
    if (!ip_parse(text, &a))
        fail_msg("%s is no address", text);
    return a;
}

/* ---- the handler ---- */

static void on_segment(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct heard *h = ctx;
    (void)ip;
    h->segments++;
    assert_true(h->stream_bytes + seg->len <= sizeof(h->stream));
    h->flow = flow;
    h->seg = *seg;
    if (seg->len)
        memcpy(h->payload, seg->payload, seg->len);
    if (seg->len)
        memcpy(h->stream + h->stream_bytes, seg->payload, seg->len);
    h->stream_bytes += seg->len;
    h->ends += (seg->flags & (TCP_PSH | TCP_FIN)) != 0;
}

static bool on_syn(void *ctx, const struct flow_key *key, const struct tcp_segment *seg)
{
    struct heard *h = ctx;
    (void)seg;
    h->syns++;
    h->key = *key;
    return !h->refuse_syn;
}

static bool on_stray(void *ctx, const struct flow_key *key, const struct tcp_segment *seg)
{
    struct heard *h = ctx;
    (void)key;
    (void)seg;
    h->strays++;
    return h->take_stray;
}

static void on_icmp_error(void *ctx, uint32_t flow, const struct icmp *icmp)
{
    struct heard *h = ctx;
    h->icmp_errors++;
    h->flow = flow;
    h->icmp = *icmp;
}

static void on_unreachable(void *ctx, uint32_t flow)
{
    struct heard *h = ctx;
    h->unreachables++;
    h->flow = flow;
}

static bool on_handoff(void *ctx, uint32_t owner, struct pkt *pkt)
{
    struct heard *h = ctx;
    if (h->refuse_handoff)
        return false;
    h->handoffs++;
    h->owner = owner;
    pkt_frame_free(pkt);
    return true;
}

static void on_duplicate(void *ctx, const struct ip_addr *ours)
{
    struct heard *h = ctx;
    h->duplicates++;
    h->duplicate = *ours;
}

static void on_share_neighbour(void *ctx, const struct pkt *pkt)
{
    struct heard *h = ctx;
    (void)pkt;
    h->shared++;
}

/* ---- the world ---- */

static void open_net(struct world *w)
{
    struct error err;
    struct net_handler handler = {
        .ctx = &w->heard,
        .segment = on_segment,
        .syn = w->config.port_first == 1 ? NULL : on_syn,
        .stray = w->config.port_first == 1 ? NULL : on_stray,
        .icmp_error = on_icmp_error,
        .unreachable = on_unreachable,
        .handoff = on_handoff,
        .share_neighbour = on_share_neighbour,
        .duplicate = on_duplicate,
    };
    w->net = net_open(&w->config, w->port[0], &w->wheel, &w->stats, &handler, &err);
    if (!w->net)
        fail_msg("%s", err.text);
}

void world_open(struct world *w)
{
    struct error err;
    memset(w, 0, sizeof(*w));
    w->now_us = 5000000000u; /* a machine that has been up for a while */
    if (!port_sim_pair(w->port, 4096, 1500, &err))
        fail_msg("%s", err.text);
    wheel_init(&w->wheel, w->now_us);
    w->config = (struct net_config){
        .addresses = 1,
        .routes = 2,
        .flows_max = 1000,
        .neighbours_max = 64,
        .port_first = 1024,
        .port_last = 65535,
        .cores = 1,
        .seed = 7,
        .hash_key = {1, 2},
    };
    w->config.address[0] = addr("192.0.2.1");
    if (!ip_net_parse("192.0.2.0/24", &w->config.route[0].to) ||
        !ip_net_parse("0.0.0.0/0", &w->config.route[1].to))
        fail();
    w->config.route[0].on_link = true;
    w->config.route[1].gateway = addr("192.0.2.254");
    open_net(w);
}

void world_open6(struct world *w)
{
    world_open(w);
    w->config.addresses = 2;
    w->config.address[1] = addr("2001:db8::1");
    w->config.routes = 4;
    w->config.route[2] = (struct net_route){.on_link = true};
    w->config.route[3] = (struct net_route){.gateway = addr("fe80::fe")};
    if (!ip_net_parse("2001:db8::/64", &w->config.route[2].to) ||
        !ip_net_parse("::/0", &w->config.route[3].to))
        fail();
    world_restart(w);
}

void world_restart(struct world *w)
{
    net_close(w->net);
    memset(&w->stats, 0, sizeof(w->stats));
    memset(&w->heard, 0, sizeof(w->heard));
    open_net(w);
}

static void assert_all_back(struct port *port)
{
    pkt_pool_refresh(port->tx_pool);
    assert_int_equal(port->tx_pool->available, port->tx_pool->capacity);
}

void world_close(struct world *w)
{
    net_close(w->net);
    world_drain(w);
    assert_all_back(w->port[0]);
    assert_all_back(w->port[1]);
    port_close(w->port[0]);
    port_close(w->port[1]);
}

void world_give(struct world *w, const struct frame *frame)
{
    struct pkt *p = pkt_alloc(w->port[0]->rx_pool, PKT_CONTROL);
    assert_non_null(p);
    /* As close to the end of the buffer as it goes: a read behind the frame's end is a read behind the buffer. */
    p->data = p->buf + p->cap - frame->len;
    memcpy(p->data, frame->data, frame->len);
    p->len = (uint16_t)frame->len;
    p->flags = frame->rx_flags;
    net_receive(w->net, p, w->now_us);
}

/* Behind Ethernet and IPv6 a hop-by-hop header of eight bytes. */
static bool is_report(const struct frame *f)
{
    return f->len > 62 && f->data[12] == 0x86 && f->data[20] == IP_PROTO_HOP_BY_HOP && f->data[62] == 143;
}

static bool take_any(struct world *w, struct frame *frame)
{
    struct pkt *p;
    net_transmit_flush(w->net, w->now_us);
    if (port_receive(w->port[1], &p, 1, w->now_us) == 0)
        return false;
    assert_true(p->len <= sizeof(frame->data));
    memcpy(frame->data, p->data, p->len);
    frame->len = p->len;
    frame->rx_flags = 0;
    pkt_free(p);
    return true;
}

bool world_take(struct world *w, struct frame *frame)
{
    while (take_any(w, frame)) {
        if (!is_report(frame))
            return true;
        w->report = *frame;
        w->reports++;
    }
    return false;
}

unsigned world_drain(struct world *w)
{
    struct pkt *p;
    unsigned n = 0;
    for (; port_receive(w->port[1], &p, 1, w->now_us); n++)
        pkt_frame_free(p);
    return n;
}

void world_advance(struct world *w, uint64_t us)
{
    uint64_t end_us = w->now_us + us;
    do {
        uint64_t next_us = wheel_next(&w->wheel);
        w->now_us = min_u64(end_us, max_u64(next_us, w->now_us + 1));
        for (struct wheel_timer *t; (t = wheel_expire(&w->wheel, w->now_us));) {
            assert_int_equal(t->kind, NET_TIMER);
            net_timers(w->net, w->now_us);
        }
        net_transmit_flush(w->net, w->now_us);
    } while (w->now_us < end_us);
}

uint64_t world_stat(const struct world *w, enum stat_id which)
{
    return w->stats.v[which];
}

/* ---- frames ---- */

struct frame arp_frame(uint16_t op, const struct mac_addr *from, const char *sender, const char *target)
{
    static const struct mac_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct frame f = {.len = 60}; /* as short frames come: padded by the sender */
    struct eth_header eth = {.dst = broadcast, .src = *from, .type = ETH_TYPE_ARP};
    struct arp arp = {.op = op, .sender_mac = *from, .sender_ip = addr(sender), .target_ip = addr(target)};
    eth_emit(f.data, &eth);
    arp_emit(f.data + ETH_HEADER_BYTES, &arp);
    return f;
}

static uint8_t *ip_frame(const struct world *w, struct frame *f, const char *src, const char *dst,
                         uint8_t protocol, size_t len)
{
    struct eth_header eth = {.src = test_mac, .type = ETH_TYPE_IPV4};
    memcpy(eth.dst.b, w->port[0]->mac, 6);
    struct ip_header ip = {
        .src = addr(src), .dst = addr(dst), .protocol = protocol, .ttl = 64, .payload_len = (uint16_t)len};
    bool v4 = ip_is_v4(&ip.dst);
    size_t header_len = v4 ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES;
    if (!v4)
        eth.type = ETH_TYPE_IPV6;
    if (ip_is_multicast(&ip.dst))
        eth.dst = mac_of_group6(&ip.dst);
    eth_emit(f->data, &eth);
    f->len = ETH_HEADER_BYTES + header_len + len;
    assert_true(f->len <= sizeof(f->data));
    if (v4)
        ipv4_emit(f->data + ETH_HEADER_BYTES, &ip, false);
    else
        ipv6_emit(f->data + ETH_HEADER_BYTES, &ip);
    return f->data + ETH_HEADER_BYTES + header_len;
}

struct frame tcp_frame(const struct world *w, const char *src, const char *dst, const struct tcp_segment *seg,
                       const void *payload)
{
    struct frame f = {0};
    size_t header_len = tcp_header_bytes(seg), len = header_len + seg->len;
    uint8_t *tcp = ip_frame(w, &f, src, dst, IP_PROTO_TCP, len);
    tcp_header_emit(tcp, seg);
    if (seg->len)
        memcpy(tcp + header_len, payload, seg->len);
    struct ip_addr s = addr(src), d = addr(dst);
    uint16_t sum = checksum_finish(checksum_add(checksum_tcp_pseudo(&s, &d, (uint32_t)len), tcp, len));
    memcpy(tcp + 16, &sum, 2);
    return f;
}

struct frame icmp_frame(const struct world *w, const char *src, const char *dst, const uint8_t *icmp,
                        size_t len)
{
    struct frame f = {0};
    uint8_t *at = ip_frame(w, &f, src, dst, IP_PROTO_ICMP, len);
    memcpy(at, icmp, len);
    memset(at + 2, 0, 2);
    uint16_t sum = checksum_finish(checksum_add(0, at, len));
    memcpy(at + 2, &sum, 2);
    return f;
}

struct frame icmp6_frame(const struct world *w, const char *src, const char *dst, const uint8_t *icmp,
                         size_t len)
{
    struct frame f = {0};
    uint8_t *at = ip_frame(w, &f, src, dst, IP_PROTO_ICMP6, len);
    struct ip_addr s = addr(src), d = addr(dst);
    memcpy(at, icmp, len);
    icmp6_set_checksum(at, len, &s, &d);
    return f;
}

struct frame nd_frame(const struct world *w, const char *src, const char *dst, const struct nd *nd)
{
    uint8_t message[ND_BYTES];
    struct ip_addr s = addr(src), d = addr(dst);
    size_t len = nd_emit(message, nd, &s, &d);
    struct frame f = icmp6_frame(w, src, dst, message, len);
    f.data[ETH_HEADER_BYTES + 7] = ND_HOP_LIMIT;
    return f;
}

void frame_fix_ip_checksum(struct frame *frame)
{
    uint8_t *ip = frame->data + ETH_HEADER_BYTES;
    memset(ip + 10, 0, 2);
    uint16_t sum = checksum_finish(checksum_add(0, ip, (ip[0] & 0xfu) * 4));
    memcpy(ip + 10, &sum, 2);
}

struct arp take_arp(struct world *w, struct eth_header *eth)
{
    struct frame f;
    struct arp arp;
    struct eth_header unused;
    eth = eth ? eth : &unused;
    if (!world_take(w, &f))
        fail_msg("nothing was sent, an ARP packet was expected");
    assert_true(eth_parse(eth, f.data, f.len));
    assert_int_equal(eth->type, ETH_TYPE_ARP);
    assert_true(arp_parse(&arp, f.data + ETH_HEADER_BYTES, f.len - ETH_HEADER_BYTES));
    return arp;
}

struct nd take_nd(struct world *w, struct eth_header *eth, struct ip_header *ip)
{
    struct frame f;
    struct nd nd;
    struct eth_header unused_eth;
    struct ip_header unused_ip;
    eth = eth ? eth : &unused_eth;
    ip = ip ? ip : &unused_ip;
    if (!world_take(w, &f))
        fail_msg("nothing was sent, neighbour discovery was expected");
    assert_true(eth_parse(eth, f.data, f.len));
    assert_int_equal(eth->type, ETH_TYPE_IPV6);
    assert_int_equal(ip_header_parse(ip, f.data + ETH_HEADER_BYTES, f.len - ETH_HEADER_BYTES, true), IP_OK);
    assert_int_equal(ip->protocol, IP_PROTO_ICMP6);
    assert_int_equal(ip->header_len, IPV6_HEADER_BYTES);
    assert_true(nd_parse(&nd, ip, f.data + ETH_HEADER_BYTES + IPV6_HEADER_BYTES, ip->payload_len));
    return nd;
}

struct tcp_segment take_tcp(struct world *w, struct eth_header *eth, struct ip_header *ip,
                            struct frame *frame)
{
    struct tcp_segment seg;
    struct eth_header unused_eth;
    struct ip_header unused_ip;
    eth = eth ? eth : &unused_eth;
    ip = ip ? ip : &unused_ip;
    if (!world_take(w, frame))
        fail_msg("nothing was sent, a segment was expected");
    assert_true(eth_parse(eth, frame->data, frame->len));
    uint8_t *packet = frame->data + ETH_HEADER_BYTES;
    assert_int_equal(ip_header_parse(ip, packet, frame->len - ETH_HEADER_BYTES, true), IP_OK);
    assert_int_equal(eth->type, ip_is_v4(&ip->dst) ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6);
    assert_int_equal(ip->protocol, IP_PROTO_TCP);
    uint8_t *tcp = packet + ip->header_len;
    uint32_t sum = checksum_tcp_pseudo(&ip->src, &ip->dst, ip->payload_len);
    assert_int_equal(checksum_finish(checksum_add(sum, tcp, ip->payload_len)), 0);
    assert_true(tcp_segment_parse(&seg, tcp, ip->payload_len));
    return seg;
}

struct ip_addr world_link_local(const struct world *w)
{
    struct mac_addr mac;
    memcpy(mac.b, w->port[0]->mac, sizeof(mac.b));
    return ip_link_local6(&mac);
}

static void resolve6(struct world *w)
{
    struct nd nd = take_nd(w, NULL, NULL);
    struct ip_addr ours = world_link_local(w);
    char asked[IP_ADDR_TEXT_MAX], asking[IP_ADDR_TEXT_MAX];
    nd = (struct nd){ND_ADVERTISE, true, true, true, test_mac, nd.target};
    struct frame f = nd_frame(w, ip_format(&nd.target, asked), ip_format(&ours, asking), &nd);
    world_give(w, &f);
}

static void resolve4(struct world *w)
{
    struct arp arp = take_arp(w, NULL);
    char asked[IP_ADDR_TEXT_MAX], asking[IP_ADDR_TEXT_MAX];
    struct frame f =
        arp_frame(ARP_REPLY, &test_mac, ip_format(&arp.target_ip, asked), ip_format(&arp.sender_ip, asking));
    world_give(w, &f);
}

void world_resolve(struct world *w, const char *address)
{
    static const struct tcp_segment ack = {.flags = TCP_ACK};
    struct flow_key key = {.remote = addr(address)};
    bool v4 = ip_is_v4(&key.remote);
    struct frame f;
    key.local = w->config.address[v4 ? 0 : 1];
    assert_true(net_send_segment(w->net, &key, NET_NO_FLOW, &ack, w->now_us));
    if (v4)
        resolve4(w);
    else
        resolve6(w);
    take_tcp(w, NULL, NULL, &f);
    memset(&w->heard, 0, sizeof(w->heard));
}

struct flow_key world_flow(struct world *w, const char *address, uint32_t flow)
{
    struct error err;
    struct flow_key key;
    struct ip_addr remote = addr(address);
    if (!net_flow_open(w->net, NULL, &remote, 25, flow, &key, &err))
        fail_msg("%s", err.text);
    return key;
}
