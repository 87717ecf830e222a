/* nd.c: IPv6 neighbour discovery in and out (RFC 4861), and who claims an address of ours (RFC 4862). */
#include "engine/net/private.h"

static const struct ip_addr all_nodes = {{0xff, 0x02, [15] = 1}};
static const struct ip_addr unspecified;

/* ---- sending ---- */

/* To one station, or to the group that dst is: NULL. */
static void nd_send(struct net *net, struct nd *nd, const struct ip_addr *src, const struct ip_addr *dst,
                    const struct mac_addr *to, uint64_t now_us)
{
    struct pkt *pkt = pkt_alloc(net->port->tx_pool, PKT_CONTROL);
    if (!pkt) {
        stat_inc(net->stats, STAT_net_drop_no_buffer);
        return;
    }
    struct ip_header ip = {.src = *src, .dst = *dst, .protocol = IP_PROTO_ICMP6, .ttl = ND_HOP_LIMIT};
    struct mac_addr station = to ? *to : mac_of_group6(dst);
    nd->mac = net->mac;
    pkt->len = (uint16_t)nd_emit(pkt->data, nd, src, dst);
    frame_push_ip(net, pkt, &ip);
    frame_set_destination(pkt, &station);
    tx_push(net, pkt, now_us);
}

static void solicit(struct net *net, const struct ip_addr *target, const struct ip_addr *src,
                    const struct ip_addr *dst, const struct mac_addr *to, uint64_t now_us)
{
    /* RFC 4861 section 7.2.2: with our own station's address, unless nobody shall answer us alone */
    struct nd nd = {.type = ND_SOLICIT, .target = *target, .has_mac = src != &unspecified};
    nd_send(net, &nd, src, dst, to, now_us);
    stat_inc(net->stats, STAT_net_nd_solicits);
}

void nd_ask(struct net *net, const struct ip_addr *ip, const struct mac_addr *to, uint64_t now_us)
{
    struct ip_addr group = ip_solicited_node(ip);
    const struct ip_addr *ours = own_asks(net);
    if (ours)
        solicit(net, ip, ours, to ? ip : &group, to, now_us);
}

void nd_probe(struct net *net, const struct ip_addr *ours, uint64_t now_us)
{
    struct ip_addr group = ip_solicited_node(ours);
    solicit(net, ours, &unspecified, &group, NULL, now_us);
}

void nd_announce(struct net *net, const struct ip_addr *ours, uint64_t now_us)
{
    struct nd nd = {.type = ND_ADVERTISE, .override = true, .has_mac = true, .target = *ours};
    nd_send(net, &nd, ours, &all_nodes, NULL, now_us);
}

/* ---- receiving ---- */

/* A station's own address, if the packet gives one. */
static bool is_plausible(const struct net *net, const struct nd *nd)
{
    static const struct mac_addr zero;
    return !nd->has_mac || (!(nd->mac.b[0] & 1) && memcmp(&nd->mac, &zero, sizeof(zero)) != 0 &&
                            memcmp(&nd->mac, &net->mac, sizeof(net->mac)) != 0);
}

static void share(struct net *net, const struct pkt *pkt)
{
    if (!(pkt->flags & PKT_RX_HANDED_OFF) && net->handler.share_neighbour)
        net->handler.share_neighbour(net->handler.ctx, pkt);
}

/* Somebody else has an address of ours, or asks for it to have it.  One that is still being asked for is given up (RFC
 * 4862 section 5.4.5), here and, as the packet is passed on, on all cores; one that we have is defended like in IPv4.
 */
static void conflict(struct net *net, struct own *own, const struct pkt *pkt, uint64_t now_us)
{
    if (own->state == OWN_DUPLICATE)
        return;
    stat_inc(net->stats, STAT_net_nd_conflicts);
    if (own->state == OWN_TENTATIVE || pkt->flags & PKT_RX_HANDED_OFF) {
        own_is_duplicate(net, own);
        share(net, pkt);
    } else if (defence_allowed(net, now_us)) {
        nd_announce(net, &own->ip, now_us);
    }
}

/* RFC 4861 section 7.2.4.  The answer goes to the station that asked: a stranger does not make us ask. */
static void answer(struct net *net, const struct rx_frame *frame, const struct ip_addr *ours, uint64_t now_us)
{
    if (ip_is_unspecified(&frame->ip.src)) {
        nd_announce(net, ours, now_us);
        return;
    }
    struct nd nd = {
        .type = ND_ADVERTISE, .solicited = true, .override = true, .has_mac = true, .target = *ours};
    nd_send(net, &nd, ours, &frame->ip.src, &frame->eth.src, now_us);
}

static void receive_solicitation(struct net *net, const struct rx_frame *frame, const struct nd *nd,
                                 uint64_t now_us)
{
    bool anonymous = ip_is_unspecified(&frame->ip.src);
    struct own *own = own_find(net, &nd->target);
    if (!own && own_in_range(net, &nd->target))
        answer(net, frame, &nd->target, now_us);
    if (!own)
        return;
    /* RFC 4862 section 5.4.3: both of us are about to take it; another core may have been the one that was asked. */
    bool shared = (frame->pkt->flags & PKT_RX_HANDED_OFF) != 0;
    bool contested = own->state == OWN_TENTATIVE || (own->state == OWN_VALID && shared);
    if (anonymous && contested)
        conflict(net, own, frame->pkt, now_us);
    else if (own->state == OWN_VALID)
        answer(net, frame, &nd->target, now_us);
    if (!anonymous && nd->has_mac)
        neigh_learn(net, &frame->ip.src, &nd->mac, NEIGH_MENTIONS, now_us);
}

static enum neigh_word word_of(const struct nd *nd)
{
    if (!nd->solicited)
        return NEIGH_MENTIONS;
    return nd->override ? NEIGH_ANSWERS : NEIGH_CONFIRMS;
}

static void receive_advertisement(struct net *net, const struct rx_frame *frame, const struct nd *nd,
                                  uint64_t now_us)
{
    struct own *own = own_find(net, &nd->target);
    if (own) {
        conflict(net, own, frame->pkt, now_us);
        return;
    }
    neigh_learn(net, &nd->target, nd->has_mac ? &nd->mac : NULL, word_of(nd), now_us);
    share(net, frame->pkt);
}

void nd_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us)
{
    struct nd nd;
    struct own *claimed = own_find(net, &frame->ip.src);
    if (!nd_parse(&nd, &frame->ip, frame->payload, frame->ip.payload_len) || !is_plausible(net, &nd))
        stat_inc(net->stats, STAT_net_drop_nd);
    else if (claimed)
        conflict(net, claimed, frame->pkt, now_us);
    else if (nd.type == ND_SOLICIT)
        receive_solicitation(net, frame, &nd, now_us);
    else
        receive_advertisement(net, frame, &nd, now_us);
}
