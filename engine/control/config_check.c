/* Settings that contradict each other. */
#include "engine/control/config_check.h"

#include "engine/smtp/smtp.h"

#include <stdlib.h>
#include <string.h>

#define MSS_CLAMP_MIN         536u /* RFC 9293 section 3.7.1 */
#define PACKET_OVERHEAD_BYTES 512u /* descriptor, mbuf, headroom, alignment */

uint64_t config_packet_bytes(const struct config *config)
{
    uint64_t frame = max_u32(config->port.mtu, 1500) + 14 + PACKET_OVERHEAD_BYTES;
    return frame * config->port.buffers * config->cores.count;
}

static bool has_family(const struct config *c, bool v4)
{
    for (uint32_t i = 0; i < c->net.addresses; i++)
        if (ip_is_v4(&c->net.address[i]) == v4)
            return true;
    return false;
}

static void check_buffers(struct config_reader *r)
{
    const struct config *c = r->config;
    uint64_t least = (uint64_t)c->port.rx_descriptors + c->port.tx_descriptors + c->port.control_buffers +
                     2ull * c->limits.connections;
    if (c->port.buffers < least)
        config_complain_key(
            r, "port.buffers",
            "%u are too few: %u + %u descriptors, %u control buffers and 2 for each of %u connections "
            "take %llu; raise it or lower limits.connections",
            c->port.buffers, c->port.rx_descriptors, c->port.tx_descriptors, c->port.control_buffers,
            c->limits.connections, (unsigned long long)least);
    uint64_t mega = config_packet_bytes(c) >> 20;
    if (c->memory.megabytes && c->memory.megabytes < mega + 32)
        config_complain_key(
            r, "memory.megabytes",
            "%u are too few: the packet buffers of %u cores take %llu; set at least %llu, or 0",
            c->memory.megabytes, c->cores.count, (unsigned long long)mega, (unsigned long long)mega + 32);
    if (c->port.mtu && c->port.mtu < 576)
        config_complain_key(r, "port.mtu", "%u is too small: allowed are 0 and 576 to 9600", c->port.mtu);
    else if (c->port.mtu && c->port.mtu < IPV6_MTU_MIN && has_family(c, false))
        config_complain_key(r, "port.mtu", "%u is too small for IPv6, which takes %u at least (RFC 8200 5)",
                            c->port.mtu, IPV6_MTU_MIN);
}

/* Queue pairs that the device arguments ask for, 0 when they do not say. */
static uint32_t device_queues(const char *device)
{
    static const struct {
        const char *driver, *argument;
    } known[] = {{"net_af_packet", "qpairs="}, {"net_af_xdp", "queue_count="}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        const char *argument = strstr(device, known[i].argument);
        if (strncmp(device, known[i].driver, strlen(known[i].driver)) == 0)
            return argument ? (uint32_t)strtoul(argument + strlen(known[i].argument), NULL, 10) : 1;
    }
    return 0;
}

static void check_cores(struct config_reader *r)
{
    const struct config_cores *cores = &r->config->cores;
    uint32_t queues = device_queues(r->config->port.device);
    if (queues && queues != cores->count)
        config_complain_key(r, "port.device",
                            "gives %u queue%s and cores.cpus names %u core%s: each core polls one queue of "
                            "its own; add %s%u",
                            queues, queues == 1 ? "" : "s", cores->count, cores->count == 1 ? "" : "s",
                            strncmp(r->config->port.device, "net_af_xdp", 10) == 0 ? "queue_count="
                                                                                   : "qpairs=",
                            cores->count);
    for (uint32_t i = 0; i < cores->count; i++)
        for (uint32_t k = 0; k < i && cores->idle == CONFIG_IDLE_POLL; k++)
            if (cores->cpu[i] == cores->cpu[k]) {
                config_complain_key(r, "cores.cpus",
                                    "puts two polling cores on CPU %u, where they would starve each other: "
                                    "name different CPUs, or set cores.idle to \"sleep\"",
                                    cores->cpu[i]);
                return;
            }
}

/* Every IPv6 station is on the link-local network, too. */
static bool on_link(const struct config *c, const struct ip_addr *addr)
{
    if (ip_is_link_local6(addr))
        return has_family(c, false);
    for (uint32_t i = 0; i < c->net.routes; i++)
        if (c->net.route[i].on_link && ip_net_contains(&c->net.route[i].to, addr))
            return true;
    return false;
}

static bool routed(const struct config *c, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < c->net.routes; i++)
        if (ip_net_contains(&c->net.route[i].to, addr) &&
            ip_is_v4(&c->net.route[i].to.addr) == ip_is_v4(addr))
            return true;
    return false;
}

static bool our_own(const struct config *c, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < c->net.addresses; i++)
        if (ip_equal(&c->net.address[i], addr))
            return true;
    return false;
}

/* Host bits of zero are the network's own address or any router's (RFC 1122 3.2.1.3, RFC 4291 2.6.1), all ones are IPv4's
 * broadcast address; but for links of two (RFC 3021, RFC 6164).  Of IPv6's, ::/8 holds loopback and mapped addresses, and
 * a link-local one reaches no MX.
 */
static bool usable_host(const struct ip_addr *addr, uint8_t prefix_bits)
{
    bool zeros = true, ones = true, v4 = ip_is_v4(addr);
    if (!v4 && (addr->b[0] == 0 || ip_is_multicast(addr) || ip_is_link_local6(addr)))
        return false;
    if (v4 && (addr->b[12] == 0 || addr->b[12] == 127 || addr->b[12] >= 224))
        return false;
    for (unsigned bit = prefix_bits; bit < 128; bit++) {
        bool set = addr->b[bit / 8] & (0x80u >> bit % 8);
        zeros &= !set;
        ones &= set;
    }
    return prefix_bits >= 127 || (!zeros && !(v4 && ones));
}

static void check_gateway(struct config_reader *r, const char *path, const char *text,
                          const struct ip_addr *gateway)
{
    const struct config *c = r->config;
    if (!text[0])
        return;
    if (c->net.addresses && !on_link(c, gateway))
        config_complain_key(r, path, "%s is not on our link: no network of net.addresses holds it", text);
    if (our_own(c, gateway))
        config_complain_key(r, path, "%s is our own address: name the router's", text);
}

static void check_net(struct config_reader *r)
{
    const struct config *c = r->config;
    char text[IP_ADDR_TEXT_MAX];
    if (c->net.addresses == 0)
        config_complain_key(r, "net.addresses",
                            "is missing: name our own addresses, like [\"192.0.2.1/24\"]");
    for (uint32_t i = 0; i < c->net.addresses; i++)
        if (!usable_host(&c->net.address[i], c->net_prefix_bits[i]))
            config_complain_key(r, "net.addresses",
                                "%s is no address of a host in its network: it is the network's own, "
                                "broadcast, loopback, link-local or multicast",
                                ip_format(&c->net.address[i], text));
    check_gateway(r, "net.gateway", c->net_gateway_text, &c->net_gateway);
    check_gateway(r, "net.gateway6", c->net_gateway6_text, &c->net_gateway6);
    for (uint32_t i = 0; c->net.addresses && i < c->net_extra_routes; i++)
        if (!c->net_extra_route[i].on_link && !on_link(c, &c->net_extra_route[i].gateway))
            config_complain_key(r, "net.routes",
                                "gateway %s is not on our link: no network of net.addresses holds it",
                                ip_format(&c->net_extra_route[i].gateway, text));
}

static void check_connections(struct config_reader *r)
{
    const struct config *c = r->config;
    const struct config_limits *limits = &c->limits;
    uint32_t ports = (uint32_t)(c->net.port_last - c->net.port_first + 1) / c->cores.count;
    if (limits->connections_per_destination > limits->connections)
        config_complain_key(r, "limits.connections-per-destination",
                            "%u is more than limits.connections, which is %u",
                            limits->connections_per_destination, limits->connections);
    if (c->net.addresses && (uint64_t)ports * c->net.addresses < limits->connections_per_destination)
        config_complain_key(
            r, "net.source-ports",
            "has %u ports for each of %u cores and %u addresses: too few for %u connections to one "
            "destination; widen it or lower limits.connections-per-destination",
            ports, c->cores.count, c->net.addresses, limits->connections_per_destination);
    if (limits->envelope_bytes < 8ull * limits->recipients)
        config_complain_key(r, "limits.envelope-bytes",
                            "%u cannot hold %u recipients: raise it or lower limits.recipients",
                            limits->envelope_bytes, limits->recipients);
    if (limits->envelope_bytes < 4 * SMTP_ADDRESS_MAX)
        config_complain_key(r, "limits.envelope-bytes",
                            "%u cannot hold a sender and a recipient of full length: set at least %u",
                            limits->envelope_bytes, 4 * SMTP_ADDRESS_MAX);
}

static void check_tcp(struct config_reader *r)
{
    const struct tcp_config *tcp = &r->config->tcp;
    if (tcp->rto_min_us > tcp->rto_max_us)
        config_complain_key(r, "tcp.rto-min-ms", "is above tcp.rto-max-ms: %u and %u", tcp->rto_min_us / 1000,
                            tcp->rto_max_us / 1000);
    else if (tcp->rto_initial_us < tcp->rto_min_us || tcp->rto_initial_us > tcp->rto_max_us)
        config_complain_key(r, "tcp.rto-initial-ms",
                            "%u is not between tcp.rto-min-ms and tcp.rto-max-ms: %u and %u",
                            tcp->rto_initial_us / 1000, tcp->rto_min_us / 1000, tcp->rto_max_us / 1000);
    if (tcp->connect_timeout_us < tcp->rto_initial_us)
        config_complain_key(r, "tcp.connect-timeout-s",
                            "%u is over before tcp.rto-initial-ms (%u): no SYN is sent twice",
                            tcp->connect_timeout_us / 1000000, tcp->rto_initial_us / 1000);
    if (tcp->mss_clamp > 0 && tcp->mss_clamp < MSS_CLAMP_MIN)
        config_complain_key(r, "tcp.mss-clamp", "%u is less than the %u bytes that every host takes; 0: off",
                            tcp->mss_clamp, MSS_CLAMP_MIN);
    if (tcp->send_buffer_bytes < 2 * tcp->mss)
        config_complain_key(r, "tcp.send-buffer-bytes", "%u is less than two segments of %u bytes",
                            tcp->send_buffer_bytes, tcp->mss);
    if (tcp->recv_buffer_bytes < 2 * tcp->mss)
        config_complain_key(r, "tcp.receive-buffer-bytes", "%u is less than two segments of %u bytes",
                            tcp->recv_buffer_bytes, tcp->mss);
}

static void check_slots(struct config_reader *r, const char *path, uint32_t slots)
{
    uint32_t below = 1;
    while (below * 2 <= slots)
        below *= 2;
    if (!is_power_of_two(slots))
        config_complain_key(r, path, "%u is no power of two: set %u or %u", slots, below, below * 2);
}

static void check_feed(struct config_reader *r)
{
    const struct config *c = r->config;
    const struct config_feed *feed = &c->feed;
    check_slots(r, "feed.lane-slots", feed->lane_slots);
    check_slots(r, "feed.completion-slots", feed->completion_slots);
    if (feed->completion_slots < c->limits.recipients)
        config_complain_key(r, "feed.completion-slots",
                            "%u cannot take the results of a job with limits.recipients = %u",
                            feed->completion_slots, c->limits.recipients);
    uint64_t arena = (uint64_t)feed->arena_megabytes << 20;
    if (arena < c->limits.message_bytes + c->limits.envelope_bytes)
        config_complain_key(r, "feed.arena-megabytes",
                            "%u cannot hold a message of limits.message-bytes = %llu: raise it to %llu",
                            feed->arena_megabytes, (unsigned long long)c->limits.message_bytes,
                            (unsigned long long)((c->limits.message_bytes + c->limits.envelope_bytes) >> 20) +
                                1);
    for (uint32_t i = 0; i < feed->users; i++)
        if (feed->user[i].message_bytes > c->limits.message_bytes)
            config_complain_key(r, "feed.users",
                                "\"%s\" may submit messages of %llu bytes, more than limits.message-bytes",
                                feed->user[i].name, (unsigned long long)feed->user[i].message_bytes);
    if (feed->socket[0] && strcmp(feed->socket, c->run.admin_socket) == 0)
        config_complain_key(r, "run.admin-socket", "is the same as feed.socket: give them different paths");
}

static bool network_allowed(const struct config *c, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < c->allow_networks; i++) {
        struct ip_net net = {.prefix_bits = c->allow_network[i].prefix_bits};
        memcpy(net.addr.b, c->allow_network[i].addr, sizeof(net.addr.b));
        if (ip_net_contains(&net, addr))
            return true;
    }
    return false;
}

static void check_hop(struct config_reader *r, const char *path, const struct policy_hop *hop)
{
    const struct config *c = r->config;
    struct ip_addr addr;
    char text[IP_ADDR_TEXT_MAX];
    memcpy(addr.b, hop->addr, sizeof(addr.b));
    ip_format(&addr, text);
    if (our_own(c, &addr))
        config_complain_key(r, path, "%s is our own address: mail would come back to us", text);
    else if (ip_is_special(&addr) && !network_allowed(c, &addr))
        config_complain_key(r, path,
                            "%s is a private or other special-purpose address (RFC 6890): add its network to "
                            "allow-networks if mail shall go there",
                            text);
    else if (c->net.addresses && !routed(c, &addr))
        config_complain_key(
            r, path,
            "%s cannot be reached: no network of net.addresses holds it, and there is no route to it; "
            "set net.gateway%s",
            text, ip_is_v4(&addr) ? "" : "6");
}

static void check_routes(struct config_reader *r)
{
    const struct config *c = r->config;
    char path[64];
    for (uint32_t i = 0; i < c->routes; i++)
        for (uint8_t h = 0; h < c->route[i].hops; h++) {
            snprintf(path, sizeof(path), "route.[%u].hops.[%u]", i, h);
            check_hop(r, path, &c->route[i].hop[h]);
        }
}

void config_check(struct config_reader *r)
{
    const struct config *c = r->config;
    config_check_required(r);
    check_buffers(r);
    check_cores(r);
    check_net(r);
    check_connections(r);
    check_tcp(r);
    check_feed(r);
    check_routes(r);
    if (c->crypto.engine[0] && strncmp(c->crypto.backend, "engine:", 7) == 0)
        config_complain_key(
            r, "crypto.backend",
            "an engine computes in batches or, as crypto.engine, inside sessions: leave one out");
    if (c->crypto.backend_require && strcmp(c->crypto.backend, "auto") == 0 && !c->crypto.engine[0])
        config_complain_key(r, "crypto.backend-require",
                            "says nothing without a crypto.backend or crypto.engine");
    if (c->crypto.async && !c->crypto.engine[0])
        config_complain_key(r, "crypto.async",
                            "needs an engine that works asynchronously: name it in crypto.engine");
}
