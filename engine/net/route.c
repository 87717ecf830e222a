/* route.c: few routes, so a sorted array and a walk. */
#include "engine/net/route.h"

void route_table_init(struct route_table *table, const struct net_route *routes, uint32_t count)
{
    assert(count <= NET_ROUTES_MAX);
    table->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = table->count++;
        for (; at > 0 && table->route[at - 1].to.prefix_bits < routes[i].to.prefix_bits; at--)
            table->route[at] = table->route[at - 1];
        table->route[at] = routes[i];
    }
}

/* ::/0 does not hold IPv4 addresses, mapped or not. */
static bool leads_to(const struct net_route *route, const struct ip_addr *addr)
{
    return ip_net_contains(&route->to, addr) && ip_is_v4(&route->to.addr) == ip_is_v4(addr);
}

bool route_next_hop(const struct route_table *table, const struct ip_addr *addr, struct ip_addr *next_hop)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct net_route *r = &table->route[i];
        if (!leads_to(r, addr))
            continue;
        *next_hop = r->on_link ? *addr : r->gateway;
        return true;
    }
    return false;
}
