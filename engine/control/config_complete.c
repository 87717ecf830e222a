/* What follows from other settings. */
#include "engine/control/config_check.h"
#include "engine/control/config_lists.h"

#include "engine/tcp/cc.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#define IPV4_TCP_HEADERS 40u /* bytes: what an MTU loses to the headers without options */

static struct ip_net network_of(const struct ip_addr *addr, uint8_t prefix_bits)
{
    struct ip_net net = {.addr = *addr, .prefix_bits = prefix_bits};
    for (unsigned bit = prefix_bits; bit < 128; bit++)
        net.addr.b[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
    return net;
}

static void complete_routes(struct config *config)
{
    struct net_config *net = &config->net;
    net->routes = 0;
    for (uint32_t i = 0; i < net->addresses; i++)
        net->route[net->routes++] = (struct net_route){
            .to = network_of(&net->address[i], config->net_prefix_bits[i]), .on_link = true};
    for (uint32_t i = 0; i < config->net_extra_routes; i++)
        net->route[net->routes++] = config->net_extra_route[i];
    if (config->net_gateway_text[0]) {
        struct net_route *route = &net->route[net->routes++];
        *route = (struct net_route){.gateway = config->net_gateway, .to.prefix_bits = 96};
        memcpy(route->to.addr.b, ip_v4_mapped, sizeof(ip_v4_mapped));
    }
    if (config->net_gateway6_text[0])
        net->route[net->routes++] = (struct net_route){.gateway = config->net_gateway6};
}

/* "cpus = 2" means the first two that we may run on; with fewer than that, cores share them (config_check refuses
 * it where cores poll). */
static void complete_cpus(struct config_cores *cores)
{
    uint32_t allowed[CONFIG_CORES_MAX], count = 0;
    cpu_set_t set;
    if (cores->numbered || sched_getaffinity(0, sizeof(set), &set) != 0)
        return;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE && count < CONFIG_CORES_MAX; cpu++)
        if (CPU_ISSET(cpu, &set))
            allowed[count++] = cpu;
    for (uint32_t i = 0; i < cores->count; i++)
        cores->cpu[i] = allowed[i % count];
}

static void complete_buffers(struct config *config)
{
    struct config_port *port = &config->port;
    if (port->buffers == 0) /* a connection has some packets on their way and some waiting to be read */
        port->buffers = port->rx_descriptors + port->tx_descriptors + 2 * port->control_buffers +
                        4 * config->limits.connections;
}

static void complete_helo(struct config_reader *reader)
{
    struct config_smtp *smtp = &reader->config->smtp;
    char name[CONFIG_TEXT_MAX] = "";
    if (smtp->helo_name[0])
        return;
    gethostname(name, sizeof(name) - 1);
    if (!config_host_name(name) || !strchr(name, '.'))
        config_complain_key(
            reader, "smtp.helo-name",
            "is not given, and this machine's name \"%.60s\" is not fully qualified (RFC 5321 2.3.5): "
            "set it to the name that receivers shall see",
            name);
    else
        memcpy(smtp->helo_name, name, sizeof(smtp->helo_name));
}

void config_complete(struct config_reader *reader)
{
    struct config *config = reader->config;
    complete_routes(config);
    complete_cpus(&config->cores);
    complete_buffers(config);
    complete_helo(reader);
    config->net.flows_max = config->limits.connections + config->limits.time_wait;
    config->tcp.cc = config->tcp_congestion == CONFIG_CC_RENO ? &tcp_cc_reno : &tcp_cc_cubic;
    if (config->port.mtu > IPV4_TCP_HEADERS)
        config->tcp.mss = config->port.mtu - IPV4_TCP_HEADERS;
}
