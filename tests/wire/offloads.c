/* offloads.c: two stacks that send each other a stream, over ports that make checksums, cut and put together segments, and
 * over ports that do none of it: the same program, IPv4 and IPv6, without faults and with.
 */
#include "bench/stack.h"
#include "engine/base/clock.h"
#include "engine/control/eal.h"
#include "tests/lib/tap.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM_BYTES (3u << 20)
#define BUFFERS      4096u
#define DESCRIPTORS  512u
#define LISTEN_PORT  25u
#define LIMIT_US     60000000u

/* ---- one end: a stack, what it has written and read ---- */

struct end {
    struct stack *stack;
    uint64_t to_write, written, read, wrong;
    uint64_t seed; /* of what this end writes */
    bool closed, failed;
};

static uint8_t stream_byte(uint64_t seed, uint64_t offset)
{
    uint64_t x = (offset + seed) * 0x9e3779b97f4a7c15u;
    return (uint8_t)(x >> 56 ^ x >> 29);
}

static void read_all(struct end *end, struct tcb *tcb, uint64_t seed)
{
    size_t len;
    for (uint8_t *at; (at = tcp_read_peek(tcb, &len));) {
        for (size_t i = 0; i < len; i++)
            end->wrong += at[i] != stream_byte(seed, end->read + i);
        end->read += len;
        tcp_read_consume(tcb, len);
    }
}

static void write_some(struct end *end, struct tcb *tcb)
{
    size_t room;
    while (end->written < end->to_write) {
        uint8_t *at = tcp_write_reserve(tcb, &room);
        if (!at)
            return;
        size_t n = min_size(room, (size_t)(end->to_write - end->written));
        for (size_t i = 0; i < n; i++)
            at[i] = stream_byte(end->seed, end->written + i);
        tcp_write_commit(tcb, n);
        end->written += n;
    }
}

static void on_accepted(void *ctx, struct stream *stream)
{
    (void)ctx;
    stream->user = NULL;
}

static void on_ready(void *ctx, struct stream *stream)
{
    struct end *end = ctx;
    read_all(end, &stream->tcb, !end->seed);
    if (!stream->connected)
        return;
    write_some(end, &stream->tcb);
    if (end->written == end->to_write)
        tcp_close(&stream->tcb, stack_now_us(end->stack));
}

static void on_closed(void *ctx, struct stream *stream)
{
    struct end *end = ctx;
    read_all(end, &stream->tcb, !end->seed);
    end->closed = true;
    end->failed = tcp_error(&stream->tcb) != TCP_OK;
}

static struct ip_addr address(bool v6, uint8_t host)
{
    struct ip_addr a = {{0x20, 0x01, 0x0d, 0xb8, [15] = host}};
    return v6 ? a : ip_from_v4((uint8_t[]){192, 0, 2, host});
}

static void open_end(struct end *end, struct port *port, bool v6, uint8_t host, uint16_t listen_port,
                     uint64_t to_write)
{
    struct stack_config config = {.tcp = tcp_config_default(), .streams_max = 4, .listen_port = listen_port};
    struct stack_events events = {end, on_accepted, on_ready, on_closed};
    struct error err;
    *end = (struct end){.to_write = to_write, .seed = host == 1};
    config.tcp.send_buffer_bytes = config.tcp.recv_buffer_bytes = 512u << 10;
    config.tcp.recv_packets = 1024;
    config.tcp.time_wait_us = 1000;
    config.net.addresses = 1;
    config.net.address[0] = address(v6, host);
    config.net.routes = 1;
    config.net.route[0] =
        (struct net_route){.on_link = true, .to = {address(v6, 0), (uint8_t)(v6 ? 64 : 120)}};
    config.net.neighbours_max = 64;
    config.net.port_first = 1024;
    config.net.port_last = 65535;
    config.net.cores = 1;
    end->stack = stack_open(&config, port, &events, &err);
    if (!end->stack) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
}

/* ---- a pair of ports ---- */

struct pair {
    const char *name;
    const char *device[2]; /* NULL: in memory */
    uint32_t offloads;     /* that the devices may use */
    bool tso;              /* the first one cuts, the second one sees what it did not have to */
    const char *faults;    /* of what either receives; "": none */
};

static struct port *open_device(const char *devargs, uint32_t offloads)
{
    struct port *port;
    struct error err;
    struct port_dpdk_config config = {
        .devargs = devargs,
        .queues = 1,
        .rx_descriptors = DESCRIPTORS,
        .tx_descriptors = DESCRIPTORS,
        .buffers = BUFFERS,
        .tx_reserve = 64,
        .offloads = offloads,
        .socket_id = -1,
    };
    if (port_dpdk_open(&config, &port, &err)) {
        char text[512];
        port_dpdk_describe(port, text, sizeof(text));
        tap_note("%s", text);
        return port;
    }
    printf("Bail out! %s\n", err.text);
    exit(1);
}

static struct port *with_faults(struct port *port, const char *text, uint64_t seed)
{
    struct port_faults rx, none = {0};
    struct error err;
    if (!*text)
        return port;
    if (!port_fault_parse(text, &rx, &err))
        abort();
    rx.seed = seed;
    port = port_fault_open(port, &rx, &none, &err);
    if (!port)
        abort();
    return port;
}

static void open_pair(const struct pair *pair, struct port *port[2])
{
    struct error err;
    if (pair->device[0]) {
        port[1] = open_device(pair->device[1], pair->offloads); /* the server's end first */
        port[0] = open_device(pair->device[0], pair->offloads);
    } else {
        if (!port_sim_pair(port, BUFFERS, 1500, &err))
            abort();
        for (unsigned i = 0; i < 2; i++) {
            port[i]->offloads = pair->offloads & ~(uint32_t)(i == 1 ? PORT_OFFLOAD_TSO : 0);
            port[i]->tso_parts = 64;
        }
    }
    for (unsigned i = 0; i < 2; i++)
        port[i] = with_faults(port[i], pair->faults, i + 11);
}

/* ---- a run ---- */

struct run {
    struct end end[2]; /* 0 connects */
    uint64_t began_us;
};

static void turn(struct run *run)
{
    uint64_t now_us = clock_now_us();
    bool worked = stack_turn(run->end[0].stack, now_us);
    worked |= stack_turn(run->end[1].stack, now_us);
    if (!worked)
        sched_yield();
}

static bool connect_ends(struct run *run, bool v6)
{
    struct error err;
    struct ip_addr to = address(v6, 1);
    for (unsigned i = 0; i < 100; i++) { /* devices that shake hands first lose what is sent meanwhile */
        turn(run);
        usleep(1000);
    }
    struct stream *stream = stack_connect(run->end[0].stack, &to, LISTEN_PORT, NULL, &err);
    if (!stream)
        tap_note("%s", err.text);
    return stream != NULL;
}

static void run_to_end(struct run *run, bool v6)
{
    run->began_us = clock_now_us();
    bool connected = connect_ends(run, v6);
    while (connected && !(run->end[0].closed && run->end[1].closed) &&
           clock_now_us() - run->began_us < LIMIT_US)
        turn(run);
}

static void close_ends(struct run *run)
{
    stack_close(run->end[0].stack);
    usleep(300000); /* the drivers of devices that talk to each other take leave in a thread of DPDK's */
    stack_close(run->end[1].stack);
    usleep(300000);
}

static uint64_t count(const struct end *end, enum stat_id which)
{
    return stack_stats(end->stack)->v[which];
}

static void show(const struct end *end)
{
    static const enum stat_id ids[] = {
        STAT_tcp_segments_out,     STAT_tcp_segments_in, STAT_port_tx_packets,    STAT_net_tso_frames,
        STAT_net_tso_segments,     STAT_net_lro_frames,  STAT_tcp_retransmits,    STAT_net_drop_tcp_checksum,
        STAT_net_drop_ip_checksum, STAT_tcp_rto_fired,   STAT_net_drop_tcp_header};
    char text[512] = "";
    for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s=%llu", stat_name(ids[i]),
                 (unsigned long long)count(end, ids[i]));
    tap_note("wrote %llu read %llu:%s", (unsigned long long)end->written, (unsigned long long)end->read,
             text);
}

/* With TSO the port gets far fewer frames than there are segments, and its peer far larger ones than the MTU. */
static void judge_frames(const struct pair *pair, const char *what, const struct run *run)
{
    const struct end *cuts = &run->end[0], *other = &run->end[1];
    uint64_t segments = count(cuts, STAT_tcp_segments_out), frames = count(cuts, STAT_port_tx_packets);
    if (!pair->tso) {
        tap_ok(count(cuts, STAT_net_tso_frames) == 0 && count(other, STAT_net_lro_frames) == 0 &&
                   frames >= segments,
               "%s: a frame for every segment", what);
        return;
    }
    uint64_t saved = count(cuts, STAT_net_tso_segments) - count(cuts, STAT_net_tso_frames);
    tap_ok(count(cuts, STAT_net_tso_frames) > 0 && frames - segments + saved < 8, "%s: each is in one frame",
           what);
    tap_ok(*pair->faults || frames * 2 < segments, "%s: %llu segments in %llu frames", what,
           (unsigned long long)segments, (unsigned long long)frames);
    tap_ok(count(other, STAT_net_lro_frames) > 0, "%s: which the other end gets as they left", what);
}

static void exercise(const struct pair *pair, bool v6)
{
    char what[128];
    struct port *port[2];
    static struct run run;
    snprintf(what, sizeof(what), "%s, IPv%c%s%s", pair->name, v6 ? '6' : '4', *pair->faults ? ", " : "",
             pair->faults);
    open_pair(pair, port);
    run = (struct run){0};
    open_end(&run.end[1], port[1], v6, 1, LISTEN_PORT, STREAM_BYTES);
    open_end(&run.end[0], port[0], v6, 2, 0, STREAM_BYTES);
    run_to_end(&run, v6);
    for (unsigned i = 0; i < 2; i++) {
        const struct end *end = &run.end[i];
        show(end);
        tap_ok(end->closed && !end->failed && end->read == STREAM_BYTES && end->wrong == 0,
               "%s: end %u has read all of the other's bytes, and closed", what, i);
    }
    judge_frames(pair, what, &run);
    for (unsigned i = 0; i < 2 && *pair->faults; i++)
        tap_ok(count(&run.end[i], STAT_net_drop_tcp_checksum) +
                       count(&run.end[i], STAT_net_drop_ip_checksum) >
                   0,
               "%s: end %u has noticed what was damaged", what, i);
    close_ends(&run);
}

#define FAULTS       "drop=0.3%,reorder=0.5%,duplicate=0.5%,corrupt=0.3%"
#define LARGE_FAULTS "drop=2%,reorder=3%,duplicate=3%,corrupt=8%" /* there are only a hundred frames */

int main(void)
{
    struct error err;
    struct eal_config eal = {
        .app = "offloads", .memory_mb = 256, .no_huge = getenv("HARDLINE_NO_HUGE") != NULL};
    char host[128], guest[128], server[128], client[128];
    if (unshare(CLONE_NEWNET) != 0) { /* sockets that are nobody else's */
        tap_skip("offloads", "it takes root");
        return tap_done();
    }
    if (!tap_ok(eal_start(&eal, &err), "DPDK starts"))
        tap_note("%s", err.text);
    snprintf(host, sizeof(host), "net_vhost0,iface=/tmp/hl-offloads-%d,queues=1,tso=1", getpid());
    snprintf(guest, sizeof(guest), "net_virtio_user0,path=/tmp/hl-offloads-%d,queues=1", getpid());
    snprintf(server, sizeof(server),
             "net_memif0,role=server,socket=/tmp/hl-offloads-memif-%d,socket-abstract=no", getpid());
    snprintf(client, sizeof(client),
             "net_memif1,role=client,socket=/tmp/hl-offloads-memif-%d,socket-abstract=no", getpid());
    const struct pair pairs[] = {
        {"memory, all offloads", {NULL, NULL}, PORT_OFFLOAD_ALL, true, ""},
        {"memory, all offloads", {NULL, NULL}, PORT_OFFLOAD_ALL, true, LARGE_FAULTS},
        {"memory, none", {NULL, NULL}, 0, false, FAULTS},
        {"virtio_user with vhost", {guest, host}, PORT_OFFLOAD_ALL, true, ""},
        {"virtio_user with vhost", {guest, host}, PORT_OFFLOAD_ALL, true, LARGE_FAULTS},
        {"virtio_user with vhost, no TSO",
         {guest, host},
         PORT_OFFLOAD_ALL & ~(uint32_t)PORT_OFFLOAD_TSO,
         false,
         FAULTS},
        {"virtio_user with vhost, no offloads", {guest, host}, 0, false, ""},
        {"virtio_user with vhost, no offloads", {guest, host}, 0, false, FAULTS},
        {"memif", {client, server}, PORT_OFFLOAD_ALL, false, ""},
        {"memif", {client, server}, PORT_OFFLOAD_ALL, false, FAULTS},
    };
    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++)
        for (int v6 = 0; v6 < 2; v6++)
            exercise(&pairs[i], v6);
    eal_stop();
    return tap_done();
}
