/* port_tool.c: a host that answers ARP, pings and segments on a DPDK port, a thread a queue, until SIGTERM.
 *
 *     port_tool DEVARGS QUEUES ADDRESS/PREFIX [CAPTURE [FAULTS]]
 *
 * CAPTURE is the file for queue 0's frames, FAULTS are for what is sent, above the capture (port_fault_parse).
 * Prints "ready" and the port's description, at the end one line "queue N key=value ..." of counters that are not zero.
 */
#include "drivers/port.h"
#include "engine/base/clock.h"
#include "engine/base/spsc.h"
#include "engine/control/eal.h"
#include "engine/net/net.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUES_MAX    4u
#define HANDOFF_SLOTS 256u
#define IDLE_US       200u

struct worker {
    pthread_t thread;
    uint32_t index;
    struct port *port;
    struct wheel wheel;
    struct stats stats;
    struct net *net;
    struct spsc from[QUEUES_MAX];
    void *slot[QUEUES_MAX][HANDOFF_SLOTS];
};

static struct worker workers[QUEUES_MAX];
static struct net_config config = {
    .addresses = 1,
    .routes = 1,
    .flows_max = 16,
    .neighbours_max = 16,
    .port_first = 1024,
    .port_last = 65535,
    .seed = 1,
    .hash_key = {3, 4},
};
static atomic_bool stopping;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stopping, true);
}

static bool hand_over(void *ctx, uint32_t owner, struct pkt *pkt)
{
    const struct worker *self = ctx;
    pkt->flags |= PKT_RX_HANDED_OFF;
    return spsc_push(&workers[owner].from[self->index], pkt);
}

static bool turn(struct worker *w)
{
    struct pkt *pkt[PORT_BURST], *passed;
    uint64_t now_us = clock_now_us();
    uint32_t n = port_receive(w->port, pkt, PORT_BURST, now_us);
    for (uint32_t i = 0; i < n; i++) {
        stat_inc(&w->stats, STAT_port_rx_packets);
        net_receive(w->net, pkt[i], now_us);
    }
    for (uint32_t i = 0; i < config.cores; i++)
        for (; (passed = spsc_pop(&w->from[i])); n++)
            net_receive(w->net, passed, now_us);
    while (wheel_expire(&w->wheel, now_us))
        net_timers(w->net, now_us);
    net_transmit_flush(w->net, now_us);
    return n > 0;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    struct error err;
    if (!eal_thread_register(&err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    while (!atomic_load(&stopping))
        if (!turn(w))
            usleep(IDLE_US);
    eal_thread_unregister();
    return NULL;
}

static void print_stats(const struct worker *w)
{
    printf("queue %u", w->index);
    for (unsigned i = 0; i < STAT_COUNT; i++)
        if (w->stats.v[i])
            printf(" %s=%llu", stat_name(i), (unsigned long long)w->stats.v[i]);
    printf(" lost=%llu\n", (unsigned long long)w->port->dropped);
}

static bool open_worker(struct worker *w, uint32_t index, struct port *port, struct error *err)
{
    struct net_handler handler = {.ctx = w, .handoff = hand_over};
    struct net_config own = config;
    own.core = w->index = index;
    w->port = port;
    wheel_init(&w->wheel, clock_now_us());
    for (uint32_t i = 0; i < QUEUES_MAX; i++)
        spsc_init(&w->from[i], w->slot[i], HANDOFF_SLOTS);
    w->net = net_open(&own, port, &w->wheel, &w->stats, &handler, err);
    return w->net != NULL;
}

static void log_line(void *ctx, enum eal_log_level level, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s: %s\n", level == EAL_LOG_ERROR ? "error" : "note", line);
}

static bool read_address(const char *text)
{
    char address[IP_ADDR_TEXT_MAX];
    unsigned bits;
    if (sscanf(text, "%45[^/]/%u", address, &bits) != 2 || !ip_parse(address, &config.address[0]))
        return false;
    config.route[0] = (struct net_route){.to = {config.address[0], (uint8_t)(96 + bits)}, .on_link = true};
    return true;
}

/* Either may be NULL. */
static bool decorate(struct port **port, const char *capture, const char *faults, struct error *err)
{
    static const struct port_faults none;
    struct port_faults tx;
    if (capture && *capture && !(*port = port_pcap_open(*port, capture, err)))
        return false;
    if (!faults)
        return true;
    return port_fault_parse(faults, &tx, err) && (*port = port_fault_open(*port, &none, &tx, err));
}

static bool start(char **args, uint32_t queues, struct error *err)
{
    struct port *ports[QUEUES_MAX];
    char description[512];
    struct eal_config eal = {
        .app = "port_tool", .memory_mb = 128, .no_huge = getenv("HARDLINE_NO_HUGE") != NULL, .log = log_line};
    struct port_dpdk_config port = {
        .devargs = args[1],
        .queues = (uint16_t)queues,
        .rx_descriptors = 256,
        .tx_descriptors = 256,
        .buffers = 2048,
        .tx_reserve = 64,
        .offloads = PORT_OFFLOAD_ALL,
        .socket_id = -1,
    };
    if (!eal_start(&eal, err) || !port_dpdk_open(&port, ports, err))
        return false;
    port_dpdk_describe(ports[0], description, sizeof(description));
    if (!decorate(&ports[0], args[4], args[4] ? args[5] : NULL, err))
        return false;
    config.cores = queues;
    for (uint32_t i = 0; i < queues; i++)
        if (!open_worker(&workers[i], i, ports[i], err))
            return false;
    for (uint32_t i = 0; i < queues; i++)
        if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
            return error_set(err, "no thread");
    net_announce(workers[0].net, clock_now_us());
    printf("%s\nready\n", description);
    fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    struct error err;
    uint32_t queues = argc >= 4 && argc <= 6 ? (uint32_t)atoi(argv[2]) : 0;
    if (queues < 1 || queues > QUEUES_MAX || !read_address(argv[3])) {
        fprintf(stderr, "usage: port_tool DEVARGS QUEUES ADDRESS/PREFIX [CAPTURE [FAULTS]]\n");
        return 2;
    }
    signal(SIGTERM, on_signal);
    if (!start(argv, queues, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (uint32_t i = 0; i < queues; i++)
        pthread_join(workers[i].thread, NULL);
    for (uint32_t i = 0; i < queues; i++) {
        for (uint32_t from = 0; from < queues; from++)
            for (struct pkt *pkt; (pkt = spsc_pop(&workers[i].from[from]));)
                pkt_free(pkt);
        print_stats(&workers[i]);
        net_close(workers[i].net);
    }
    for (uint32_t i = 0; i < queues; i++)
        port_close(workers[i].port);
    eal_stop();
    return 0;
}
