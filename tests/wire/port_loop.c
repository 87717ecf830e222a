/* port_loop.c: DPDK ports that need no network: what goes in comes out, who owns what, and what is refused. */
#include "drivers/port.h"
#include "engine/base/clock.h"
#include "engine/control/eal.h"
#include "engine/wire/wire.h"
#include "tests/lib/tap.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFERS     1024u
#define DESCRIPTORS 256u
#define RESERVE     32u

static struct port_dpdk_config config_of(const char *devargs)
{
    return (struct port_dpdk_config){
        .devargs = devargs,
        .queues = 1,
        .rx_descriptors = DESCRIPTORS,
        .tx_descriptors = DESCRIPTORS,
        .buffers = BUFFERS,
        .tx_reserve = RESERVE,
        .offloads = PORT_OFFLOAD_ALL,
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

static uint32_t missing(struct port *port)
{
    pkt_pool_refresh(port->tx_pool);
    return port->tx_pool->capacity - port->tx_pool->available;
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

static void send_another(struct port *from, struct port *to)
{
    struct pkt *p = make_frame(from, 0, 64), *got;
    if (port_transmit(from, &p, 1, 0) != 1)
        pkt_free(p);
    else if ((got = wait_for_frame(to)))
        pkt_free(got);
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
    for (unsigned i = 0; pkt_shared(p) && i < 2 * DESCRIPTORS; i++)
        send_another(from, to); /* a NIC's driver frees what it has sent when it needs the descriptor */
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

static void exercise(const char *what, struct port *from, struct port *to, uint32_t kept_by_driver)
{
    struct pkt *none;
    if (port_receive(to, &none, 1, 0) ==
        1) /* a memif client gives the server buffers when it looks for frames */
        pkt_free(none);
    frames_pass(what, from, to);
    a_held_frame_stays(what, from, to);
    a_burst_passes(what, from, to);
    tap_ok(missing(from) <= kept_by_driver && missing(to) <= kept_by_driver, "%s: every buffer is back",
           what);
}

static void test_ring(void)
{
    struct port *port;
    if (!tap_ok(open_port("net_ring0", &port), "net_ring: opens"))
        return;
    exercise("net_ring", port, port, 0);
    port_close(port);
}

/* The drivers whose two ends talk take leave in a thread of DPDK's, which does not bear that the other end is removed, or
 * EAL stopped, meanwhile: seen as a crash in one run of twenty.
 */
static void close_one_of_two(struct port *port)
{
    port_close(port);
    usleep(300000);
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
        exercise("net_memif", client, server, 0);
        exercise("net_memif, the other way", server, client, 0);
        close_one_of_two(client);
    }
    close_one_of_two(server);
}

/* A segment whose TCP checksum is left to the port; the sum of the pseudo header is in its place. */
static struct pkt *make_segment(struct port *port, const struct ip_addr *src, const struct ip_addr *dst)
{
    struct pkt *p = make_frame(port, 0x33, 14 + 20 + 20 + 100);
    struct ip_header ip = {.src = *src, .dst = *dst, .protocol = IP_PROTO_TCP, .ttl = 64, .payload_len = 120};
    struct tcp_segment seg = {.src_port = 2000, .dst_port = 25, .flags = TCP_ACK};
    uint16_t sum = checksum_fold(checksum_tcp_pseudo(src, dst, 120));
    p->data[12] = 0x08;
    p->data[13] = 0x00;
    ipv4_emit(p->data + 14, &ip, false);
    tcp_header_emit(p->data + 34, &seg);
    memcpy(p->data + 34 + 16, &sum, 2);
    p->flags = PKT_TX_TCP_CSUM;
    p->l2_len = 14;
    p->l3_len = 20;
    return p;
}

/* Either the port has put it right, or the receiving port vouches for it, as between machines of one host. */
static void a_checksum_is_left_to_the_port(const char *what, struct port *from, struct port *to)
{
    static const uint8_t a[4] = {192, 0, 2, 1}, b[4] = {192, 0, 2, 2};
    struct ip_addr src = ip_from_v4(a), dst = ip_from_v4(b);
    if (!tap_ok(from->offloads & PORT_OFFLOAD_TX_TCP_CSUM, "%s: makes checksums", what))
        return;
    struct pkt *p = make_segment(from, &src, &dst), *got = NULL;
    if (port_transmit(from, &p, 1, 0) == 1)
        got = wait_for_frame(to);
    if (!tap_ok(got && got->len == 154, "%s: a segment without a checksum arrives", what))
        return;
    uint32_t sum = checksum_add(checksum_tcp_pseudo(&src, &dst, 120), got->data + 34, 120);
    bool vouched = got->flags & PKT_RX_L4_CSUM_OK, right = checksum_finish(sum) == 0;
    tap_ok((vouched || right) && !(got->flags & PKT_RX_CSUM_BAD), "%s: its checksum is %s", what,
           right ? "there" : "vouched for");
    pkt_free(got);
}

static void test_virtio(void)
{
    char host_args[128], guest_args[128], path[64];
    struct port *host, *guest;
    snprintf(path, sizeof(path), "/tmp/hl-virtio-%d", getpid());
    snprintf(host_args, sizeof(host_args), "net_vhost0,iface=%s,queues=1", path);
    snprintf(guest_args, sizeof(guest_args), "net_virtio_user0,path=%s,queues=1", path);
    if (!tap_ok(open_port(host_args, &host), "net_vhost: opens"))
        return;
    if (tap_ok(open_port(guest_args, &guest), "net_virtio_user: opens")) {
        exercise("net_virtio_user", guest, host, DESCRIPTORS);
        exercise("net_vhost", host, guest, DESCRIPTORS);
        a_checksum_is_left_to_the_port("net_virtio_user", guest, host);
        a_checksum_is_left_to_the_port("net_vhost", host, guest);
        close_one_of_two(guest);
    }
    close_one_of_two(host);
    unlink(path);
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
    n += pkt_alloc_many(pool, taken, PKT_MANY);
    tap_ok(n == PKT_MANY && missing(port) == n, "many are given out together");
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
    tap_ok(sound, "each is empty, with headroom and room for a whole frame");
    pkt_ref(taken[1]);
    pkt_free_many(taken, PKT_MANY);
    tap_ok(missing(port) == n - PKT_MANY + 1, "many come back together, but what somebody else has");
    pkt_free(taken[1]);
    for (uint32_t i = PKT_MANY; i < n; i++)
        pkt_free(taken[i]);
    tap_ok(missing(port) == 0, "and all come back");
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

/* net_null hashes by a table that nobody fills: every flow would arrive at queue 0, and the other core would never get one. */
static void test_steering_refused(void)
{
    struct port *port[2];
    struct error err;
    struct port_dpdk_config c = config_of("net_null0");
    c.queues = 2;
    if (!port_dpdk_open(&c, port, &err)) {
        tap_note("%s", err.text);
        abort();
    }
    const char *fault = port_dpdk_steering(port[0]);
    tap_ok(fault && strstr(fault, "leads no flow to queue 1"),
           "a device's RSS that does not hold is told: %s", fault ? fault : "nothing");
    tap_ok(!port[0]->steering && !port[1]->steering, "and not relied upon");
    port_close(port[1]);
    port_close(port[0]);
    if (!open_port("net_null0", &port[0]))
        abort();
    tap_ok(!port_dpdk_steering(port[0]), "one queue needs none");
    port_close(port[0]);
}

int main(void)
{
    struct error err;
    struct eal_config eal = {
        .app = "port_loop", .memory_mb = 256, .no_huge = getenv("HARDLINE_NO_HUGE") != NULL};
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
    test_virtio();
    test_pool();
    test_describe();
    test_steering_refused();
    test_refusals();
    eal_stop();
    return tap_done();
}
