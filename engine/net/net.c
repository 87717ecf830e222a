/* net.c: opening a core's network, the way of a received frame, and flows. */
#include "engine/net/private.h"

#include <stdlib.h>

/* ---- opening and closing ---- */

static bool check_config(const struct net_config *c, struct error *err)
{
    if (c->addresses == 0 || c->addresses > NET_ADDRESSES_MAX)
        return error_set(err, "network: %u addresses: between 1 and %u are needed", c->addresses,
                         NET_ADDRESSES_MAX);
    if (c->ranges > NET_RANGES_MAX)
        return error_set(err, "network: %u ranges of addresses: %u are the most", c->ranges, NET_RANGES_MAX);
    if (c->routes > NET_ROUTES_MAX)
        return error_set(err, "network: %u routes: %u are the most", c->routes, NET_ROUTES_MAX);
    if (c->cores == 0 || c->core >= c->cores || c->port_first == 0 || c->port_first > c->port_last)
        return error_set(err, "network: core %u of %u with ports %u to %u is no sensible set-up", c->core,
                         c->cores, c->port_first, c->port_last);
    return true;
}

static bool check_mtu(const struct net_config *c, uint16_t mtu, struct error *err)
{
    for (uint32_t i = 0; i < c->addresses; i++)
        if (!ip_is_v4(&c->address[i]) && mtu < IPV6_MTU_MIN)
            return error_set(
                err, "network: IPv6 takes an MTU of %u at least (RFC 8200 section 5), the port has %u",
                IPV6_MTU_MIN, mtu);
    return true;
}

static struct hash_key derived_key(struct rand_source *rand, const uint64_t secret[2])
{
    return (struct hash_key){{secret[0] ^ rand_u64(rand), secret[1] ^ rand_u64(rand)}};
}

static bool open_tables(struct net *net, struct error *err)
{
    const struct net_config *c = &net->config;
    struct rand_source rand;
    rand_seed(&rand, c->seed);
    struct hash_key flow_key = derived_key(&rand, c->hash_key);
    struct hash_key neigh_key = derived_key(&rand, c->hash_key);
    struct hash_key ports_key = derived_key(&rand, c->hash_key);
    struct ports_range range = {c->port_first, c->port_last, c->core, c->cores,
                                c->cores > 1 ? net->port->steering : NULL};
    ports_init(&net->ports, &range, &ports_key, &rand);
    struct hash_key paths_key = derived_key(&rand, c->hash_key);
    paths_init(&net->paths, &paths_key);
    net->ip_id = (uint16_t)rand_u64(&rand);
    net->label_key = rand_u64(&rand) | 1;
    route_table_init(&net->routes, c->route, c->routes);
    return flow_table_open(&net->flows, c->flows_max, &flow_key, err) &&
           neigh_table_open(&net->neigh, c->neighbours_max, &neigh_key, err);
}

struct net *net_open(const struct net_config *config, struct port *port, struct wheel *wheel,
                     struct stats *stats, const struct net_handler *handler, struct error *err)
{
    if (!check_config(config, err) || !check_mtu(config, port->mtu, err))
        return NULL;
    struct net *net = calloc(1, sizeof(*net));
    if (!net) {
        error_set(err, "network: no memory");
        return NULL;
    }
    net->port = port;
    net->stats = stats;
    net->wheel = wheel;
    net->handler = *handler;
    net->config = *config;
    net->tx.refused_us = net->tx.stalled_us = net->tx.retry_us = DEADLINE_NEVER;
    memcpy(net->mac.b, port->mac, sizeof(net->mac.b));
    net->mld.due_us = DEADLINE_NEVER;
    wheel_timer_init(&net->timer, NET_TIMER);
    own_open(net);
    if (!open_tables(net, err)) {
        net_close(net);
        return NULL;
    }
    return net;
}

void net_close(struct net *net)
{
    wheel_cancel(net->wheel, &net->timer);
    while (net->tx.head != net->tx.tail)
        pkt_frame_free(net->tx.frame[net->tx.head++ % NET_TX_QUEUE]);
    neigh_table_close(&net->neigh);
    flow_table_close(&net->flows);
    free(net);
}

/* ---- time ---- */

void net_rearm(struct net *net)
{
    uint64_t due_us = min_u64(min_u64(net->tx.retry_us, net->own.due_us), net->mld.due_us);
    wheel_arm(net->wheel, &net->timer, min_u64(wheel_next(&net->neigh.wheel), due_us));
}

void net_timers(struct net *net, uint64_t now_us)
{
    own_timers(net, now_us);
    mld_timers(net, now_us);
    neigh_timers(net, now_us);
    if (net->tx.retry_us <= now_us)
        net_transmit_flush(net, now_us);
    net_rearm(net);
}

bool reply_allowed(struct net *net, uint64_t now_us)
{
    struct reply_limit *limit = &net->replies;
    uint64_t earned = (now_us - limit->refilled_us) * NET_REPLIES_PER_SECOND / 1000000u;
    if (earned > 0) {
        limit->tokens = (uint32_t)min_u64(limit->tokens + earned, NET_REPLIES_PER_SECOND);
        limit->refilled_us = now_us;
    }
    if (limit->tokens == 0)
        return false;
    limit->tokens--;
    return true;
}

/* ---- receiving ---- */

uint32_t net_owner(const struct net *net, const struct flow_key *key)
{
    const struct net_config *c = &net->config;
    if (key->local_port < c->port_first || key->local_port > c->port_last)
        return c->core;
    return ports_owner(net->port->steering, c->cores, key);
}

bool net_hand_on(struct net *net, const struct flow_key *key, struct pkt *pkt)
{
    uint32_t owner = net_owner(net, key);
    if (likely(owner == net->config.core || pkt->flags & PKT_RX_HANDED_OFF))
        return false;
    if (net->handler.handoff && net->handler.handoff(net->handler.ctx, owner, pkt))
        stat_inc(net->stats, STAT_net_handoff_out);
    else
        drop(net, STAT_net_drop_handoff_full, pkt);
    return true;
}

/* Addresses that no packet can come from: RFC 1122 section 3.2.1.3, RFC 4291 sections 2.5.2, 2.5.3 and 2.7. */
static bool is_possible_source(const struct net *net, const struct rx_frame *frame)
{
    static const struct ip_addr loopback6 = {{[15] = 1}};
    const struct ip_addr *src = &frame->ip.src;
    if (ip_is_v4(src))
        return src->b[12] != 0 && src->b[12] != 127 && src->b[12] < 224 && !net_is_ours(net, src);
    if (ip_is_unspecified(src)) /* who has none yet asks whether somebody has the one that it wants */
        return frame->ip.protocol == IP_PROTO_ICMP6 && ip_is_multicast(&frame->ip.dst);
    if (net_is_ours(net, src)) /* who has our address, too, is ND's to deal with */
        return frame->ip.protocol == IP_PROTO_ICMP6;
    return !ip_is_multicast(src) && !ip_equal(src, &loopback6);
}

/* Frames for a group hold nothing for one host (RFC 1122 section 3.3.6); of IPv6's groups ND's alone concern us, and
 * ND looks for itself whom it is about.
 */
static bool is_our_destination(const struct net *net, const struct rx_frame *frame)
{
    const struct ip_addr *dst = &frame->ip.dst;
    if (ip_is_multicast(dst))
        return !ip_is_v4(dst) && frame->ip.protocol == IP_PROTO_ICMP6;
    return !frame->to_group && net_is_ours(net, dst);
}

static bool receive_ip_header(struct net *net, struct rx_frame *frame)
{
    struct pkt *pkt = frame->pkt;
    uint8_t *packet = pkt->data + ETH_HEADER_BYTES;
    bool verify = !(pkt->flags & PKT_RX_IP_CSUM_OK), v4 = frame->eth.type == ETH_TYPE_IPV4;
    size_t here = pkt->len - ETH_HEADER_BYTES, len = pkt_frame_bytes(pkt) - ETH_HEADER_BYTES;
    enum ip_parse_result result = ip_header_parse_part(&frame->ip, packet, here, len, verify);
    enum stat_id why;
    if (result == IP_BAD_CHECKSUM)
        why = STAT_net_drop_ip_checksum;
    else if (result != IP_OK || ip_is_v4(&frame->ip.src) != v4)
        why = STAT_net_drop_ip_header;
    else if (!is_possible_source(net, frame))
        why = STAT_net_drop_ip_source;
    else if (!is_our_destination(net, frame))
        why = STAT_net_drop_not_ours;
    else if (frame->ip.fragment)
        why = STAT_net_drop_fragment;
    else {
        frame->payload = packet + frame->ip.header_len;
        frame->payload_here = min_u32((uint32_t)here - frame->ip.header_len, frame->ip.payload_len);
        return true;
    }
    drop(net, why, pkt);
    return false;
}

static void receive_ip(struct net *net, struct rx_frame *frame, uint64_t now_us)
{
    if (!receive_ip_header(net, frame))
        return;
    if (likely(frame->ip.protocol == IP_PROTO_TCP))
        tcp_receive(net, frame, now_us);
    else if (frame->pkt->more) /* ports put nothing else together */
        drop(net, STAT_net_drop_short, frame->pkt);
    else if (frame->ip.protocol == (ip_is_v4(&frame->ip.dst) ? IP_PROTO_ICMP : IP_PROTO_ICMP6))
        icmp_receive(net, frame, now_us);
    else
        drop(net, STAT_net_drop_protocol, frame->pkt);
}

/* Frames to other stations arrive where a switch floods them; our own come back where a port hears what it sends. */
static bool is_for_us(const struct net *net, const struct eth_header *eth, bool *to_group)
{
    *to_group = eth->dst.b[0] & 1;
    bool from_us = memcmp(eth->src.b, net->mac.b, sizeof(net->mac.b)) == 0;
    bool from_group = eth->src.b[0] & 1;
    return !from_us && !from_group && (*to_group || memcmp(eth->dst.b, net->mac.b, sizeof(net->mac.b)) == 0);
}

void net_receive(struct net *net, struct pkt *pkt, uint64_t now_us)
{
    struct rx_frame frame = {.pkt = pkt};
    if (unlikely(net->tap != NULL) && !(pkt->flags & PKT_RX_HANDED_OFF)) /* that core's tap has seen it */
        tap_take(net->tap, pkt, now_us);
    if (!eth_parse(&frame.eth, pkt->data, pkt->len)) {
        drop(net, STAT_net_drop_short, pkt);
        return;
    }
    if (!is_for_us(net, &frame.eth, &frame.to_group)) {
        drop(net, STAT_net_drop_not_ours, pkt);
        return;
    }
    if (likely(frame.eth.type == ETH_TYPE_IPV4 || frame.eth.type == ETH_TYPE_IPV6)) {
        receive_ip(net, &frame, now_us);
    } else if (frame.eth.type == ETH_TYPE_ARP) {
        arp_receive(net, &frame.eth, pkt, now_us);
        pkt_frame_free(pkt);
    } else {
        drop(net, STAT_net_drop_ethertype, pkt);
    }
}

/* ---- flows ---- */

/* One that is still tentative fits: what is sent meanwhile is lost, and sent again when it is ours. */
static bool source_address_fits(struct net *net, const struct ip_addr *local, const struct ip_addr *remote)
{
    if (ip_is_v4(local) != ip_is_v4(remote))
        return false;
    const struct own *own = own_find(net, local);
    return own && own->state != OWN_DUPLICATE;
}

/* Tries one address of ours; false: all its ports towards that remote are taken. */
static bool open_from(struct net *net, const struct ip_addr *local, struct flow_key *key)
{
    uint32_t taken;
    key->local = *local;
    if (!ports_choose(&net->ports, &net->flows, net->time_waits, key, &taken))
        return false;
    net->has_predecessor = taken != NET_NO_FLOW;
    if (net->has_predecessor) {
        time_waits_recycle(net->time_waits, taken, &net->predecessor);
        stat_inc(net->stats, STAT_net_ports_recycled);
    }
    return true;
}

static bool open_from_any(struct net *net, struct flow_key *key, uint32_t *fitting)
{
    for (uint32_t i = 0; i < net->config.addresses; i++) {
        const struct ip_addr *local = &net->config.address[net->next_address];
        net->next_address = (net->next_address + 1) % net->config.addresses;
        if (!source_address_fits(net, local, &key->remote))
            continue;
        ++*fitting;
        if (open_from(net, local, key))
            return true;
    }
    return false;
}

static bool check_destination(const struct net *net, const struct ip_addr *remote, struct error *err)
{
    char text[IP_ADDR_TEXT_MAX];
    struct ip_addr next_hop;
    if (net_is_ours(net, remote))
        return error_set(err, "%s is an address of our own", ip_format(remote, text));
    if (!route_next_hop(&net->routes, remote, &next_hop))
        return error_set(err, "no route to %s", ip_format(remote, text));
    return true;
}

bool net_flow_open(struct net *net, const struct ip_addr *local, const struct ip_addr *remote,
                   uint16_t remote_port, uint32_t flow, struct flow_key *key, struct error *err)
{
    char text[IP_ADDR_TEXT_MAX];
    uint32_t fitting = 0;
    if (!check_destination(net, remote, err))
        return false;
    if (net->flows.used == net->flows.max)
        return error_set(err, "all %u connections of core %u are in use", net->flows.max, net->config.core);
    *key = (struct flow_key){.remote = *remote, .remote_port = remote_port};
    bool found;
    if (local && !ip_is_unspecified(local)) {
        fitting = source_address_fits(net, local, remote);
        found = fitting && open_from(net, local, key);
    } else {
        found = open_from_any(net, key, &fitting);
    }
    if (!fitting)
        return error_set(err, "no source address fits %s", ip_format(remote, text));
    if (!found)
        return error_set(err, "no source port is left towards %s port %u", ip_format(remote, text),
                         remote_port);
    return flow_add(&net->flows, key, flow);
}

bool net_flow_add(struct net *net, const struct flow_key *key, uint32_t flow)
{
    return flow_find(&net->flows, key) == NET_NO_FLOW && flow_add(&net->flows, key, flow);
}

void net_flow_close(struct net *net, const struct flow_key *key)
{
    if (flow_remove(&net->flows, key))
        ports_released(&net->ports, key);
}

void net_flow_move(struct net *net, const struct flow_key *key, uint32_t flow)
{
    bool known = flow_renumber(&net->flows, key, flow);
    assert(known);
    (void)known;
    ports_released(&net->ports, key);
}

void net_recycle_from(struct net *net, struct time_waits *time_waits)
{
    net->time_waits = time_waits;
    time_waits->net = net;
}

const struct tcp_time_wait *net_flow_predecessor(const struct net *net)
{
    return net->has_predecessor ? &net->predecessor : NULL;
}

/* ---- paths ---- */

uint32_t net_path_mss(const struct net *net, const struct ip_addr *remote, uint64_t now_us)
{
    return paths_mss(&net->paths, remote, now_us);
}

void net_learn_path(struct net *net, const struct ip_addr *remote, uint32_t mss, uint64_t now_us)
{
    paths_learn(&net->paths, remote, mss < net_mss(net, remote) ? mss : 0, now_us);
}
