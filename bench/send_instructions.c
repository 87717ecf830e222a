/* send_instructions.c: what net does with the segments that TCP puts out, in countable steps, for callgrind
 * (bench/instructions.py runs it): a run of 44 segments, 63,712 bytes, to a port that does nothing, as single ones
 * and as a train.
 *
 *     send_instructions STEPS
 *
 * Each measured step is a function of its own name.  TCP's share is tcp_instructions', the driver's is not in it.
 */
#include "drivers/port.h"
#include "engine/net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP __attribute__((noclone)) noinline void /* callgrind knows it by its name */

#define MSS      1448u
#define SEGMENTS 44u
#define FLOW     0u

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1};
static const struct mac_addr their_mac = {{2, 0, 0, 0, 0, 2}};

struct sink {
    struct port port;
    uint64_t frames;
};

struct sender {
    struct sink sink;
    struct net *net;
    struct wheel wheel;
    struct stats stats;
    struct flow_key key;
    struct pkt *pkt[SEGMENTS]; /* held, as TCP does until they are acknowledged */
    uint32_t seq;
};

static uint32_t sink_receive(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    (void)port, (void)pkt, (void)max, (void)now_us;
    return 0;
}

static uint32_t sink_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    struct sink *sink = container_of(port, struct sink, port);
    (void)now_us;
    sink->frames += count;
    for (uint32_t i = 0; i < count; i++)
        pkt_frame_free(pkt[i]);
    return count;
}

static void sink_close(struct port *port)
{
    (void)port;
}

static const struct port_ops sink_ops = {
    .receive = sink_receive, .transmit = sink_transmit, .close = sink_close};

/* ---- the steps ---- */

STEP step_send_software(struct sender *s);
STEP step_send_checksums(struct sender *s);
STEP step_send_tso(struct sender *s);
STEP step_train_software(struct sender *s);
STEP step_train_checksums(struct sender *s);

static struct tcp_segment segment(const struct sender *s, unsigned i)
{
    return (struct tcp_segment){
        .src_port = s->key.local_port,
        .dst_port = s->key.remote_port,
        .seq = s->seq,
        .ack = 1,
        .window = 500,
        .flags = TCP_ACK,
        .opt = {.has_timestamps = true, .ts_val = 1, .ts_ecr = 2},
        .len = MSS,
        .payload = s->pkt[i]->buf + PKT_HEADROOM,
        .pkt = s->pkt[i],
    };
}

static void send_run(struct sender *s)
{
    for (unsigned i = 0; i < SEGMENTS; i++) {
        struct tcp_segment seg = segment(s, i);
        if (i == SEGMENTS - 1)
            seg.flags |= TCP_PSH;
        if (!net_send_segment(s->net, &s->key, FLOW, &seg, 0))
            abort();
        s->seq += MSS;
    }
    net_transmit_flush(s->net, 0);
}

static void send_train(struct sender *s)
{
    struct tcp_train train = {.first = segment(s, 0), .count = SEGMENTS, .end_flags = TCP_PSH};
    if (net_send_train(s->net, &s->key, FLOW, &train, 0) != SEGMENTS)
        abort();
    net_transmit_flush(s->net, 0);
}

STEP step_train_software(struct sender *s)
{
    send_train(s);
}

STEP step_train_checksums(struct sender *s)
{
    send_train(s);
}

STEP step_send_software(struct sender *s)
{
    send_run(s);
}

STEP step_send_checksums(struct sender *s)
{
    send_run(s);
}

STEP step_send_tso(struct sender *s)
{
    send_run(s);
}

/* ---- a run ---- */

static struct ip_addr host(uint8_t number)
{
    return ip_from_v4((uint8_t[]){192, 0, 2, number});
}

/* The neighbour says where it is, in answer to the question that a first segment made us ask. */
static void resolve(struct sender *s)
{
    struct eth_header eth = {.dst = {{2, 0, 0, 0, 0, 1}}, .src = their_mac, .type = ETH_TYPE_ARP};
    struct arp arp = {.op = ARP_REPLY, .sender_mac = their_mac, .sender_ip = host(2), .target_ip = host(1)};
    struct tcp_segment syn = {.src_port = s->key.local_port, .dst_port = 25, .flags = TCP_SYN};
    struct pkt *p = pkt_alloc(s->sink.port.rx_pool, PKT_CONTROL);
    if (!p || !net_send_segment(s->net, &s->key, FLOW, &syn, 0))
        abort();
    memcpy(arp.target_mac.b, our_mac, sizeof(our_mac));
    eth_emit(p->data, &eth);
    arp_emit(p->data + ETH_HEADER_BYTES, &arp);
    p->len = 60;
    net_receive(s->net, p, 0);
    net_transmit_flush(s->net, 0);
}

static struct pkt *packet_behind(struct sender *s, struct pkt_pool *pool, unsigned i)
{
    struct pkt *p = pkt_alloc(pool, PKT_DATA);
    p->tcp = (struct pkt_tcp){.payload = p->buf + PKT_HEADROOM, .seq = i * MSS, .len = MSS};
    if (i > 0)
        s->pkt[i - 1]->next = p;
    return p;
}

static void open_sender(struct sender *s, uint32_t offloads)
{
    struct error err;
    struct pkt_pool *pool = pkt_heap_pool_open(4 * SEGMENTS, 16, 2048);
    struct net_config config = {.addresses = 1,
                                .address = {host(1)},
                                .routes = 1,
                                .route = {{.to = {host(0), 120}, .on_link = true}},
                                .flows_max = 4,
                                .neighbours_max = 64,
                                .port_first = 1024,
                                .port_last = 65535,
                                .cores = 1,
                                .hash_key = {1, 2}};
    struct net_handler handler = {0};
    s->sink.port = (struct port){.ops = &sink_ops,
                                 .mtu = 1500,
                                 .queues = 1,
                                 .tx_pool = pool,
                                 .rx_pool = pool,
                                 .offloads = offloads,
                                 .tso_parts = 64};
    memcpy(s->sink.port.mac, our_mac, sizeof(our_mac));
    wheel_init(&s->wheel, 0);
    s->net = pool ? net_open(&config, &s->sink.port, &s->wheel, &s->stats, &handler, &err) : NULL;
    struct ip_addr to = host(2);
    if (!s->net || !net_flow_open(s->net, NULL, &to, 25, FLOW, &s->key, &err))
        abort();
    resolve(s);
    for (unsigned i = 0; i < SEGMENTS; i++)
        s->pkt[i] = packet_behind(s, pool, i);
    s->sink.frames = 0;
}

static void check(const struct sender *s, uint64_t frames)
{
    if (s->sink.frames == frames)
        return;
    fprintf(stderr, "%llu frames instead of %llu\n", (unsigned long long)s->sink.frames,
            (unsigned long long)frames);
    exit(1);
}

int main(int argc, char **argv)
{
    static struct sender software, checksums, tso;
    unsigned steps = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    const uint32_t sums = PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_TX_TCP_CSUM;
    open_sender(&software, 0);
    open_sender(&checksums, sums);
    open_sender(&tso, sums | PORT_OFFLOAD_TSO);
    for (unsigned i = 0; i < steps; i++) {
        step_send_software(&software);
        step_send_checksums(&checksums);
        step_train_software(&software);
        step_train_checksums(&checksums);
        step_send_tso(&tso);
    }
    check(&software, 2 * (uint64_t)steps * SEGMENTS);
    check(&checksums, 2 * (uint64_t)steps * SEGMENTS);
    check(&tso, steps);
    printf("%u steps\n", steps);
    return 0;
}
