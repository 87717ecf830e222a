/* port_loop.c: DPDK ports that need no network: what goes in comes out, who owns what, and what is refused. */
#include "drivers/port.h"
#include "engine/base/clock.h"
#include "engine/control/eal.h"
#include "tests/lib/tap.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFERS 1024u
#define RESERVE 32u

static struct port_dpdk_config config_of(const char *devargs)
{
    return (struct port_dpdk_config){
        .devargs = devargs,
        .queues = 1,
        .rx_descriptors = 256,
        .tx_descriptors = 256,
        .buffers = BUFFERS,
        .tx_reserve = RESERVE,
        .socket_id = -1,
    };
}

static bool open_port(const char *devargs, struct port **port)
{
    struct error err;
    struct port_dpdk_config config = config_of(devargs);
    if (port_dpdk_open(&config, port, &err))
        return true;
    tap_note("%s", err.text);
    return false;
}

static struct pkt *make_frame(struct port *port, uint8_t fill, uint16_t len)
{
    static const uint8_t eth[14] = {0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x88, 0xb5};
    struct pkt *p = pkt_alloc(port->tx_pool, PKT_CONTROL);
    if (!p)
        abort();
    memset(p->data, fill, len);
    memcpy(p->data, eth, sizeof(eth));
    p->len = len;
    return p;
}

/* The next frame within a second. */
static struct pkt *wait_for_frame(struct port *port)
{
    struct pkt *p;
    for (unsigned i = 0; i < 10000; i++) {
        if (port_receive(port, &p, 1, clock_now_us()) == 1)
            return p;
        usleep(100);
    }
    return NULL;
}

static bool all_back(struct port *port)
{
    pkt_pool_refresh(port->tx_pool);
    pkt_pool_refresh(port->rx_pool);
    return port->tx_pool->available == port->tx_pool->capacity;
}

/* ---- a frame from one port to another, or to itself ---- */

static void frames_pass(const char *what, struct port *from, struct port *to)
{
    unsigned good = 0, sent = 0;
    for (unsigned i = 0; i < 500; i++) {
        uint16_t len = (uint16_t)(60 + i * 2);
        struct pkt *p = make_frame(from, (uint8_t)i, len), *got;
        if (port_transmit(from, &p, 1, 0) != 1) {
            pkt_free(p);
            continue;
        }
        sent++;
        got = wait_for_frame(to);
        if (!got)
            continue;
        bool right = got->len == len && got->data[14] == (uint8_t)i && got->data[len - 1] == (uint8_t)i;
        good += right && !pkt_shared(got) && pkt_tailroom(got) > 0;
        pkt_free(got);
    }
    tap_note("%u sent", sent);
    tap_ok(good == 500, "%s: frames of all sizes arrive as they were", what);
}

/* TCP keeps what it has sent and overwrites nothing of it while the port may still read it. */
static void a_held_frame_stays(const char *what, struct port *from, struct port *to)
{
    struct pkt *p = make_frame(from, 0x11, 100), *got;
    pkt_ref(p);
    struct pkt *burst = p;
    bool passed = port_transmit(from, &burst, 1, 0) == 1 && (got = wait_for_frame(to));
    if (!tap_ok(passed, "%s: a frame that its sender still holds arrives", what))
        return;
    tap_ok(got != p && !pkt_shared(got), "%s: and the receiver may write to it", what);
    memset(got->data, 0xee, got->len);
    tap_ok(p->len == 100 && p->data[50] == 0x11, "%s: without harm to the sender's", what);
    pkt_free(got);
    tap_ok(!pkt_shared(p), "%s: which is the sender's alone again", what);

    /* The same again, as a retransmission with another header in front. */
    p->data -= 20;
    memset(p->data, 0x22, 20);
    p->len = 120;
    burst = p;
    passed = port_transmit(from, &burst, 1, 0) == 1 && (got = wait_for_frame(to));
    tap_ok(passed && got->len == 120 && got->data[0] == 0x22, "%s: more headroom used is more sent", what);
    if (passed)
        pkt_free(got);
}

static void a_burst_passes(const char *what, struct port *from, struct port *to)
{
    struct pkt *burst[PORT_BURST];
    for (unsigned i = 0; i < PORT_BURST; i++)
        burst[i] = make_frame(from, (uint8_t)i, 64);
    uint32_t sent = 0;
    for (unsigned tries = 0; sent < PORT_BURST && tries < 1000; tries++)
        sent += port_transmit(from, burst + sent, PORT_BURST - sent, 0);
    unsigned in_order = 0;
    for (unsigned i = 0; i < PORT_BURST; i++) {
        struct pkt *got = wait_for_frame(to);
        if (!got)
            break;
        in_order += got->data[20] == i;
        pkt_free(got);
    }
    tap_ok(sent == PORT_BURST && in_order == PORT_BURST, "%s: a burst arrives in order", what);
}

static void exercise(const char *what, struct port *from, struct port *to)
{
    struct pkt *none;
    if (port_receive(to, &none, 1, 0) ==
        1) /* a memif client gives the server buffers when it looks for frames */
        pkt_free(none);
    frames_pass(what, from, to);
    a_held_frame_stays(what, from, to);
    a_burst_passes(what, from, to);
    tap_ok(all_back(from) && all_back(to), "%s: every buffer is back", what);
}

static void test_ring(void)
{
    struct port *port;
    if (!tap_ok(open_port("net_ring0", &port), "net_ring: opens"))
        return;
    exercise("net_ring", port, port);
    port_close(port);
}

static void test_memif(void)
{
    char server_args[128], client_args[128];
    struct port *server, *client;
    snprintf(server_args, sizeof(server_args),
             "net_memif0,role=server,socket=/tmp/hl-memif-%d,socket-abstract=no", getpid());
    snprintf(client_args, sizeof(client_args),
             "net_memif1,role=client,socket=/tmp/hl-memif-%d,socket-abstract=no", getpid());
    if (!tap_ok(open_port(server_args, &server), "net_memif: the server's end opens"))
        return;
    if (tap_ok(open_port(client_args, &client), "net_memif: the client's end opens")) {
        struct pkt *p = make_frame(client, 0, 64);
        for (unsigned i = 0; i < 2000 && port_transmit(client, &p, 1, 0) != 1; i++)
            usleep(1000); /* they are still shaking hands */
        p = wait_for_frame(server);
        if (p)
            pkt_free(p);
        exercise("net_memif", client, server);
        exercise("net_memif, the other way", server, client);
        port_close(client);
    }
    port_close(server);
}

/* ---- pools ---- */

static void test_pool(void)
{
    struct port *port;
    struct pkt *taken[4096];
    if (!open_port("net_null0", &port))
        abort();
    struct pkt_pool *pool = port->tx_pool;
    uint32_t n = 0;
    pkt_pool_refresh(pool);
    while (n < 4096 && (taken[n] = pkt_alloc(pool, PKT_DATA)))
        n++;
    tap_ok(n == pool->capacity - RESERVE && pool->exhausted == 1, "data leaves the reserve alone");
    while (n < 4096 && (taken[n] = pkt_alloc(pool, PKT_CONTROL)))
        n++;
    tap_ok(n == pool->capacity && pool->exhausted == 2, "control packets use it up: %u of %u", n,
           pool->capacity);
    bool sound = true;
    for (uint32_t i = 0; i < n; i++) {
        struct pkt *p = taken[i];
        sound &=
            p->pool == pool && p->data == p->buf + PKT_HEADROOM && p->len == 0 && pkt_tailroom(p) >= 1514;
        memset(p->buf, 0xff, p->cap); /* the descriptor lies outside */
    }
    for (uint32_t i = 0; i < n; i++)
        pkt_free(taken[i]);
    tap_ok(sound, "each is empty, with headroom and room for a whole frame");
    tap_ok(all_back(port), "and all come back");
    port_close(port);
}

/* ---- what is refused, and how ---- */

static void refused(const struct port_dpdk_config *config, const char *name, const char *remedy)
{
    struct error err = {""};
    struct port *ports[4];
    bool opened = port_dpdk_open(config, ports, &err);
    tap_note("%s", err.text);
    tap_ok(!opened && strstr(err.text, remedy) && strstr(err.text, config->devargs), "refused: %s", name);
    for (uint16_t q = 0; opened && q < config->queues; q++)
        port_close(ports[q]);
}

static void test_refusals(void)
{
    struct port_dpdk_config c = config_of("net_af_packet0,iface=nothere");
    refused(&c, "an interface that does not exist", "no interface nothere");
    c.devargs = "net_af_packet0";
    refused(&c, "no interface given", "iface=");
    c.devargs = "net_af_packet0,iface=lo,qpairs=1";
    refused(&c, "an interface that is down", "ip link set lo up");
    c.devargs = "net_nonsense0";
    refused(&c, "a driver that does not exist", "no driver took the device");
    c.devargs = "0000:ff:1f.7";
    refused(&c, "a PCI device that does not exist", "no PCI device");
    c = config_of("net_null0");
    c.queues = 4;
    c.buffers = 100000000;
    refused(&c, "more buffers than there is memory", "more memory");
    c = config_of("net_memif0,role=server");
    c.mtu = 9000;
    refused(&c, "an MTU that the device does not take", "mtu");

    struct port *port;
    if (!open_port("net_null0", &port))
        abort();
    c = config_of("net_null0");
    refused(&c, "a device that is a port already", "in use");
    port_close(port);
    tap_ok(open_port("net_null0", &port), "a device that was closed opens again");
    port_close(port);
}

static void test_describe(void)
{
    struct port *port;
    char text[512];
    if (!open_port("net_null0", &port))
        abort();
    port_dpdk_describe(port, text, sizeof(text));
    tap_ok(strstr(text, "net_null") && strstr(text, "queue") && strstr(text, "checksums"), "described: %s",
           text);
    port_close(port);
}

int main(void)
{
    struct error err;
    struct eal_config eal = {.app = "port_loop", .memory_mb = 256};
    cpu_set_t before, after;
    if (unshare(CLONE_NEWNET) != 0) { /* where no interface is up, and sockets are nobody else's */
        tap_skip("ports in a network namespace of their own", "it takes root");
        return tap_done();
    }
    sched_getaffinity(0, sizeof(before), &before);
    if (!tap_ok(eal_start(&eal, &err), "DPDK starts")) {
        tap_note("%s", err.text);
        return tap_done();
    }
    sched_getaffinity(0, sizeof(after), &after);
    tap_ok(CPU_EQUAL(&before, &after), "and leaves the thread on the CPUs it had");
    tap_ok(!eal_start(&eal, &err) && strstr(err.text, "once"), "a second start is refused");
    test_ring();
    test_memif();
    test_pool();
    test_describe();
    test_refusals();
    eal_stop();
    return tap_done();
}
