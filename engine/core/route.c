/* route.c: where a job goes: its own next hop, or the configuration's route for its domain. */
#include "engine/core/core_private.h"

#include <stdlib.h>
#include <strings.h>

#define SMTP_PORT 25u
#define IPV6_TAG  "IPv6:" /* RFC 5321 section 4.1.3 */

#define NO_ROUTE(why, verdict, fault, ...) \
    (outcome_set(why, verdict, STAGE_ROUTE, fault, REASON_NO_ROUTE, __VA_ARGS__), false)

/* "host", "host:port", "[address]", "[address]:port" -> name without brackets, port (0: none given). */
static bool split_next_hop(const char *text, char name[FEED_DOMAIN_MAX], bool *literal, uint16_t *port)
{
    const char *rest;
    *literal = text[0] == '[';
    if (*literal) {
        const char *close = strchr(text, ']');
        if (!close)
            return false;
        memcpy(name, text + 1, (size_t)(close - text - 1));
        name[close - text - 1] = '\0';
        rest = close + 1;
    } else {
        size_t len = strcspn(text, ":");
        memcpy(name, text, len);
        name[len] = '\0';
        rest = text + len;
    }
    *port = 0;
    if (rest[0] == '\0')
        return name[0] != '\0';
    if (rest[0] != ':' || rest[1] < '0' || rest[1] > '9')
        return false;
    char *end;
    long number = strtol(rest + 1, &end, 10);
    if (number < 1 || number > 65535 || *end != '\0')
        return false;
    *port = (uint16_t)number;
    return name[0] != '\0';
}

static bool literal_hop(const char *address, uint16_t port, uint32_t index, struct policy_hop *hop,
                        struct outcome *why)
{
    struct ip_addr addr;
    if (strncasecmp(address, IPV6_TAG, strlen(IPV6_TAG)) == 0)
        address += strlen(IPV6_TAG);
    if (index > 0)
        return NO_ROUTE(why, VERDICT_DEFERRED, FAULT_NETWORK, "no further address for next hop [%s]",
                        address);
    if (!ip_parse(address, &addr))
        return NO_ROUTE(why, VERDICT_FAILED, FAULT_PRODUCER, "next hop [%s] is not an address", address);
    *hop = (struct policy_hop){.port = port ? port : SMTP_PORT};
    memcpy(hop->addr, addr.b, sizeof(hop->addr));
    return true;
}

bool route_hop(const struct policy_table *table, const struct feed_job *job, uint32_t index,
               struct policy_hop *hop, struct outcome *why)
{
    const char *target = job->next_hop[0] ? job->next_hop : job->domain;
    char name[FEED_DOMAIN_MAX];
    bool literal;
    uint16_t port;
    if (!split_next_hop(target, name, &literal, &port))
        return NO_ROUTE(why, VERDICT_FAILED, FAULT_PRODUCER,
                        "next hop \"%s\" is not host, host:port, [address] or [address]:port", target);
    if (literal)
        return literal_hop(name, port, index, hop, why);

    const struct policy_route *route = policy_find_route(table, name);
    if (!route)
        return NO_ROUTE(why, VERDICT_DEFERRED, FAULT_LOCAL,
                        "no route for %s; add one to `route` in the configuration", name);
    if (index >= route->hops)
        return NO_ROUTE(why, VERDICT_DEFERRED, FAULT_NETWORK, "no further next hop for %s", name);
    *hop = route->hop[index];
    if (port)
        hop->port = port;
    return true;
}
