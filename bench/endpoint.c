#include "bench/endpoint.h"

#include "engine/base/clock.h"
#include "engine/control/eal.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

atomic_bool endpoint_stopping;

static const char *name;
static struct port *device; /* below the faults */

void endpoint_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", name, what, why);
    exit(1);
}

static void on_signal(int number)
{
    (void)number;
    atomic_store(&endpoint_stopping, true);
}

void endpoint_start(const char *program, uint32_t memory_mb)
{
    endpoint_start_on(program, memory_mb, false);
}

void endpoint_start_on(const char *program, uint32_t memory_mb, bool huge)
{
    struct error err;
    struct eal_config eal = {.app = program, .memory_mb = memory_mb, .no_huge = !huge};
    name = program;
    prctl(PR_SET_TIMERSLACK, 1000ul); /* naps are short: the default slack would double them */
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (!eal_start(&eal, &err) || !eal_thread_register(&err))
        endpoint_fail("EAL", err.text);
}

void endpoint_pin(int cpu)
{
    cpu_set_t set;
    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) == 0)
        return;
    fprintf(stderr, "%s: --cpu: there is no CPU %d for us: see `taskset -cp $$`\n", name, cpu);
    exit(1);
}

struct port *endpoint_port(const char *devargs, uint32_t buffers, const char *rx_faults,
                           const char *tx_faults)
{
    struct error err;
    struct port *port;
    struct port_faults rx, tx;
    struct port_dpdk_config config = {
        .devargs = devargs,
        .queues = 1,
        .rx_descriptors = 2048,
        .tx_descriptors = 2048,
        .buffers = buffers,
        .tx_reserve = 64,
        .offloads = PORT_OFFLOAD_ALL,
        .socket_id = -1,
    };
    if (!port_dpdk_open(&config, &port, &err))
        endpoint_fail("device", err.text);
    device = port;
    if (!port_fault_parse(rx_faults, &rx, &err) || !port_fault_parse(tx_faults, &tx, &err))
        endpoint_fail("faults", err.text);
    if (!*rx_faults && !*tx_faults)
        return port;
    port = port_fault_open(port, &rx, &tx, &err);
    if (!port)
        endpoint_fail("faults", err.text);
    return port;
}

uint64_t endpoint_missed(void)
{
    return port_dpdk_missed(device);
}

void endpoint_address(struct net_config *net, const char *text)
{
    char addr[IP_ADDR_TEXT_MAX];
    const char *slash = strchr(text, '/');
    unsigned bits = slash ? (unsigned)atoi(slash + 1) : 0;
    snprintf(addr, sizeof(addr), "%.*s", slash ? (int)(slash - text) : 0, text);
    if (!ip_parse(addr, &net->address[0]))
        endpoint_fail(text, "is not ADDRESS/PREFIX, like 10.1.0.1/24");
    net->addresses = 1;
    net->neighbours_max = 64;
    net->port_first = 1024;
    net->port_last = 65535;
    net->cores = 1;
    struct net_route *route = &net->route[net->routes++];
    *route = (struct net_route){.on_link = true};
    route->to.addr = net->address[0];
    route->to.prefix_bits = (uint8_t)(bits + (ip_is_v4(&net->address[0]) ? 96 : 0));
    for (unsigned i = route->to.prefix_bits; i < 128; i++)
        route->to.addr.b[i / 8] &= (uint8_t)~(0x80u >> i % 8);
}

void endpoint_nap(uint64_t deadline_us, uint32_t idle_us)
{
    uint64_t now_us = clock_now_us();
    uint64_t until_us = min_u64(deadline_us, now_us + idle_us);
    if (until_us <= now_us)
        return;
    struct timespec nap = {.tv_nsec = (long)(until_us - now_us) * 1000};
    nanosleep(&nap, NULL);
}
