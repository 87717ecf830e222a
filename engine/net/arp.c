/* arp.c: ARP packets in and out (RFC 826, RFC 5227). */
#include "engine/net/private.h"

static bool mac_equal(const struct mac_addr *a, const struct mac_addr *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static bool is_group(const struct mac_addr *mac)
{
    return mac->b[0] & 1;
}

static void arp_send(struct net *net, uint16_t op, const struct ip_addr *sender, const struct mac_addr *to,
                     const struct ip_addr *target, uint64_t now_us)
{
    struct pkt *pkt = pkt_alloc(net->port->tx_pool, PKT_CONTROL);
    if (!pkt) {
        stat_inc(net->stats, STAT_net_drop_no_buffer);
        return;
    }
    struct eth_header eth = {.dst = *to, .src = net->mac, .type = ETH_TYPE_ARP};
    struct arp arp = {.op = op, .sender_mac = net->mac, .sender_ip = *sender, .target_ip = *target};
    if (op == ARP_REPLY)
        arp.target_mac = *to;
    eth_emit(pkt->data, &eth);
    arp_emit(pkt->data + ETH_HEADER_BYTES, &arp);
    pkt->len = ETH_HEADER_BYTES + ARP_BYTES;
    tx_push(net, pkt, now_us);
}

static const struct mac_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/* The first IPv4 address of ours asks; the neighbour does not mind which. */
void arp_ask(struct net *net, const struct ip_addr *ip, const struct mac_addr *to, uint64_t now_us)
{
    for (uint32_t i = 0; i < net->config.addresses; i++) {
        const struct ip_addr *ours = &net->config.address[i];
        if (!ip_is_v4(ours))
            continue;
        arp_send(net, ARP_REQUEST, ours, to ? to : &broadcast, ip, now_us);
        stat_inc(net->stats, STAT_net_arp_requests);
        return;
    }
}

/* Whether the sender is somebody who can be: the frame comes from whom it tells of, and that is one station. */
static bool is_plausible(const struct eth_header *eth, const struct arp *arp)
{
    static const struct mac_addr zero;
    return mac_equal(&eth->src, &arp->sender_mac) && !is_group(&arp->sender_mac) &&
           !mac_equal(&arp->sender_mac, &zero);
}

/* RFC 5227 section 3: an announcement is a request that asks for its own sender. */
static void announce(struct net *net, const struct ip_addr *ours, uint64_t now_us)
{
    arp_send(net, ARP_REQUEST, ours, &broadcast, ours, now_us);
}

/* RFC 5227 section 2.4 (c): a host that cannot give up its address defends it. */
static void defend(struct net *net, const struct ip_addr *ours, uint64_t now_us)
{
    stat_inc(net->stats, STAT_net_arp_conflicts);
    if (defence_allowed(net, now_us))
        announce(net, ours, now_us);
}

/* RFC 5227 section 1.1: a probe has no sender address, it asks whether somebody has the target's. */
static bool is_probe(const struct arp *arp)
{
    static const uint8_t none[4];
    return memcmp(arp->sender_ip.b + 12, none, sizeof(none)) == 0;
}

void arp_receive(struct net *net, const struct eth_header *eth, const struct pkt *pkt, uint64_t now_us)
{
    struct arp arp;
    if (!arp_parse(&arp, pkt->data + ETH_HEADER_BYTES, pkt->len - ETH_HEADER_BYTES) ||
        !is_plausible(eth, &arp)) {
        stat_inc(net->stats, STAT_net_drop_arp);
        return;
    }
    bool passed_on = pkt->flags & PKT_RX_HANDED_OFF;
    if (net_is_ours(net, &arp.sender_ip)) {
        defend(net, &arp.sender_ip, now_us);
        return;
    }
    bool for_us = net_is_ours(net, &arp.target_ip);
    if (arp.op == ARP_REQUEST && for_us && !passed_on)
        arp_send(net, ARP_REPLY, &arp.target_ip, &arp.sender_mac, &arp.sender_ip, now_us);
    if (is_probe(&arp))
        return;
    bool answer = arp.op == ARP_REPLY && for_us;
    bool announcement = ip_equal(&arp.sender_ip, &arp.target_ip);
    enum neigh_word word = answer ? NEIGH_ANSWERS : NEIGH_MENTIONS;
    neigh_learn(net, &arp.sender_ip, &arp.sender_mac, word, now_us);
    if ((answer || announcement) && !passed_on && net->handler.share_neighbour)
        net->handler.share_neighbour(net->handler.ctx, pkt);
}

void net_announce(struct net *net, uint64_t now_us)
{
    for (uint32_t i = 0; i < net->config.addresses; i++) {
        const struct ip_addr *ours = &net->config.address[i];
        if (ip_is_v4(ours))
            announce(net, ours, now_us);
        else if (net_is_ours(net, ours))
            nd_announce(net, ours, now_us);
    }
    mld_join(net, now_us);
    own_begin(net, now_us);
    net_rearm(net);
}
