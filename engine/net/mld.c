/* mld.c: the solicited-node groups of our addresses, told of so that a switch that forwards groups to listeners only lets
 * questions for us through (RFC 3810; RFC 4541 says what such switches do).  Version 2 alone; we never leave a group.
 */
#include "engine/net/private.h"

#define UNSOLICITED_INTERVAL_US 1000000u  /* RFC 3810 section 9.11 */
#define ANSWER_MAX_US           10000000u /* of a longer delay, too: no harm in being early */

static_assert(NET_ADDRESSES_MAX + 1 <= MLD_GROUPS_MAX, "all groups fit into one report");

/* Addresses with the same last 24 bits share a group. */
static unsigned collect_groups(const struct net *net, struct ip_addr group[static MLD_GROUPS_MAX])
{
    unsigned count = 0;
    for (uint32_t i = 0; i < net->own.count; i++) {
        const struct own *own = &net->own.own[i];
        if (ip_is_v4(&own->ip) || own->state == OWN_DUPLICATE)
            continue;
        struct ip_addr wanted = ip_solicited_node(&own->ip);
        unsigned at = 0;
        while (at < count && !ip_equal(&group[at], &wanted))
            at++;
        group[at] = wanted;
        count += at == count;
    }
    return count;
}

/* RFC 3810 section 5.2.13: from a link-local address, or from none while that is not ours yet. */
static struct ip_addr source(const struct net *net)
{
    struct ip_addr link_local = ip_link_local6(&net->mac);
    return net_is_ours(net, &link_local) ? link_local : (struct ip_addr){{0}};
}

static void report(struct net *net, uint64_t now_us)
{
    struct ip_addr group[MLD_GROUPS_MAX], src = source(net);
    unsigned count = collect_groups(net, group);
    net->mld.due_us = DEADLINE_NEVER;
    if (count == 0)
        return;
    struct pkt *pkt = pkt_alloc(net->port->tx_pool, PKT_CONTROL);
    if (!pkt) {
        stat_inc(net->stats, STAT_net_drop_no_buffer);
        return;
    }
    struct ip_header ip = {
        .src = src, .dst = *mld_routers(), .protocol = IP_PROTO_HOP_BY_HOP, .ttl = MLD_HOP_LIMIT};
    struct mac_addr station = mac_of_group6(&ip.dst);
    pkt->len = (uint16_t)mld_emit(pkt->data, net->mld.record, &src, group, count);
    frame_push_ip(net, pkt, &ip);
    frame_set_destination(pkt, &station);
    stat_inc(net->stats, STAT_net_mld_reports);
    tx_push(net, pkt, now_us);
}

/* Stations shall not answer all at once: each has its place in the interval. */
static uint64_t some_time_in(const struct net *net, uint64_t interval_us)
{
    uint32_t place = ((uint32_t)net->mac.b[4] << 8 | net->mac.b[5]) * 2654435761u >> 16;
    return interval_us * place >> 16;
}

void mld_join(struct net *net, uint64_t now_us)
{
    net->mld.record = MLD_TO_EXCLUDE;
    report(net, now_us);
    net->mld.due_us = now_us + some_time_in(net, UNSOLICITED_INTERVAL_US);
}

void mld_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us)
{
    uint64_t delay_us;
    if (!mld_parse_query(&frame->ip, frame->payload, frame->ip.payload_len, &delay_us)) {
        stat_inc(net->stats, STAT_net_drop_mld);
        return;
    }
    if (net->mld.due_us != DEADLINE_NEVER) /* one answer to whatever was asked until then */
        return;
    net->mld.record = MLD_IS_EXCLUDE;
    net->mld.due_us = now_us + some_time_in(net, min_u64(delay_us, ANSWER_MAX_US));
    net_rearm(net);
}

void mld_timers(struct net *net, uint64_t now_us)
{
    if (net->mld.due_us <= now_us)
        report(net, now_us);
}
