/* own.c: the addresses that are ours, and whether they are ours alone (RFC 4862 section 5.4). */
#include "engine/net/private.h"

#define DAD_WAIT_US        1000000u  /* RetransTimer, RFC 4861 section 10 */
#define DEFEND_INTERVAL_US 10000000u /* RFC 5227 section 1.1 */

static void add(struct net *net, const struct ip_addr *ip)
{
    struct own_table *t = &net->own;
    bool tentative = !ip_is_v4(ip) && net->config.dad_transmits > 0;
    t->unusable += tentative;
    t->own[t->count++] = (struct own){*ip, tentative ? OWN_TENTATIVE : OWN_VALID};
}

void own_open(struct net *net)
{
    const struct net_config *c = &net->config;
    bool v6 = false;
    net->own.due_us = DEADLINE_NEVER;
    for (uint32_t i = 0; i < c->addresses; i++) {
        add(net, &c->address[i]);
        v6 |= !ip_is_v4(&c->address[i]);
    }
    struct ip_addr link_local = ip_link_local6(&net->mac);
    if (v6 && !own_find(net, &link_local))
        add(net, &link_local);
}

struct own *own_find(struct net *net, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < net->own.count; i++)
        if (ip_equal(&net->own.own[i].ip, addr))
            return &net->own.own[i];
    return NULL;
}

static uint32_t last_word(const struct ip_addr *addr)
{
    struct bytes_in in = bytes_in(addr->b + 12, 4);
    return bytes_be32(&in);
}

bool own_in_range(const struct net *net, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < net->config.ranges; i++) {
        const struct net_range *range = &net->config.range[i];
        if (memcmp(range->first.b, addr->b, 12) == 0 &&
            last_word(addr) - last_word(&range->first) < range->count)
            return true;
    }
    return false;
}

bool net_is_ours(const struct net *net, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < net->own.count; i++)
        if (ip_equal(&net->own.own[i].ip, addr))
            return net->own.own[i].state == OWN_VALID;
    return own_in_range(net, addr);
}

/* The link-local address is the last one. */
const struct ip_addr *own_asks(const struct net *net)
{
    for (uint32_t i = net->own.count; i-- > 0;) {
        const struct own *o = &net->own.own[i];
        if (!ip_is_v4(&o->ip) && o->state == OWN_VALID)
            return &o->ip;
    }
    return NULL;
}

void own_is_duplicate(struct net *net, struct own *own)
{
    net->own.unusable += own->state == OWN_VALID;
    own->state = OWN_DUPLICATE;
    if (net->handler.duplicate)
        net->handler.duplicate(net->handler.ctx, &own->ip);
}

/* ---- duplicate address detection ---- */

static void ask_for_each(struct net *net, uint64_t now_us)
{
    for (uint32_t i = 0; i < net->own.count; i++)
        if (net->own.own[i].state == OWN_TENTATIVE)
            nd_probe(net, &net->own.own[i].ip, now_us);
    net->own.probes++;
    net->own.due_us = now_us + DAD_WAIT_US;
}

/* Nobody has answered: who had these addresses before us, if anybody, is forgotten at once. */
static void take_each(struct net *net, uint64_t now_us)
{
    net->own.due_us = DEADLINE_NEVER;
    for (uint32_t i = 0; i < net->own.count; i++) {
        struct own *o = &net->own.own[i];
        if (o->state != OWN_TENTATIVE)
            continue;
        o->state = OWN_VALID;
        net->own.unusable--;
        nd_announce(net, &o->ip, now_us);
    }
}

void own_begin(struct net *net, uint64_t now_us)
{
    if (net->own.unusable == 0 || net->own.probes > 0)
        return;
    ask_for_each(net, now_us);
    net_rearm(net);
}

bool net_ready(const struct net *net)
{
    return net->own.due_us == DEADLINE_NEVER;
}

void own_timers(struct net *net, uint64_t now_us)
{
    if (net->own.due_us > now_us)
        return;
    if (net->own.probes < net->config.dad_transmits)
        ask_for_each(net, now_us);
    else
        take_each(net, now_us);
}

bool defence_allowed(struct net *net, uint64_t now_us)
{
    if (net->defended_us != 0 && now_us - net->defended_us < DEFEND_INTERVAL_US)
        return false;
    net->defended_us = now_us;
    return true;
}
