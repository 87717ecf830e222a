/* route.h: the next hop of an address: longest prefix first. */
#ifndef ENGINE_NET_ROUTE_H
#define ENGINE_NET_ROUTE_H

#include "engine/net/net.h"

struct route_table {
    uint32_t count;
    struct net_route
        route[NET_ROUTES_MAX]; /* longest prefix first; equal ones in the order of the configuration */
};

void route_table_init(struct route_table *table, const struct net_route *routes, uint32_t count);

/* route_next_hop: whom to ask for on the way to addr; false when no route leads there. */
bool route_next_hop(const struct route_table *table, const struct ip_addr *addr, struct ip_addr *next_hop);

#endif
