/* net_instructions.c: what one hostile frame costs, for callgrind (bench/instructions.py runs it and asserts a bound).
 *
 *     net_instructions STEPS INPUT     INPUT: a number in [0, the count that --list prints)
 *
 * A net with one established connection behind it, and the worst that we know of each kind of frame: the port has checked no
 * checksum, the connection holds early segments and has segments in flight.  step_hostile takes in one frame and sends what
 * has to be answered.
 */
#include "drivers/port.h"
#include "engine/net/net.h"
#include "engine/tcp/tcb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP __attribute__((noclone)) noinline void /* callgrind knows it by its name */

#define BUFFERS  4096u
#define FLOW     1u
#define PAYLOAD  1400u
#define INFLIGHT 40u

struct bed {
    struct port *port[2];
    struct wheel wheel;
    struct stats stats;
    struct net *net;
    struct tcp_config config;
    struct tcb tcb;
    struct flow_key key, key6;
    uint64_t now_us;
    uint32_t serial;
};

/* Writes an IP packet into out, returns its length. */
typedef size_t input_fn(const struct bed *bed, uint8_t *out);

STEP step_hostile(struct bed *bed, struct pkt *pkt);

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct bed *bed = ctx;
    return net_send_segment(bed->net, &bed->key, FLOW, seg, bed->now_us);
}

STEP step_hostile(struct bed *bed, struct pkt *pkt)
{
    const struct tcp_emit out = {.ctx = bed, .emit = emit};
    net_receive(bed->net, pkt, bed->now_us);
    tcp_output(&bed->tcb, bed->now_us, &out);
    net_transmit_flush(bed->net, bed->now_us);
}

/* ---- frames ---- */

static size_t ip_around(uint8_t *out, const struct flow_key *key, uint8_t protocol, size_t len)
{
    struct ip_header ip = {
        .src = key->remote, .dst = key->local, .protocol = protocol, .ttl = 64, .payload_len = (uint16_t)len};
    if (ip_is_v4(&ip.src))
        ipv4_emit(out, &ip, false);
    else
        ipv6_emit(out, &ip);
    return len + (ip_is_v4(&ip.src) ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES);
}

/* A segment of the flow with these options as they are, and so much payload. */
static size_t segment(const struct bed *bed, uint8_t *out, uint8_t flags, uint32_t seq, uint32_t ack,
                      const uint8_t *options, size_t options_len, size_t payload)
{
    uint8_t *tcp = out + IPV4_HEADER_MIN;
    struct tcp_segment seg = {.src_port = bed->key.remote_port,
                              .dst_port = bed->key.local_port,
                              .seq = seq,
                              .ack = ack,
                              .flags = flags,
                              .window = 60000};
    tcp_header_emit(tcp, &seg);
    tcp[12] = (uint8_t)((TCP_HEADER_MIN + options_len) / 4 << 4);
    if (options)
        memcpy(tcp + TCP_HEADER_MIN, options, options_len);
    memset(tcp + TCP_HEADER_MIN + options_len, 'x', payload);
    size_t len = TCP_HEADER_MIN + options_len + payload;
    uint32_t sum = checksum_tcp_pseudo(&bed->key.remote, &bed->key.local, (uint32_t)len);
    uint16_t check = checksum_finish(checksum_add(sum, tcp, len));
    memcpy(tcp + 16, &check, sizeof(check));
    return ip_around(out, &bed->key, IP_PROTO_TCP, len);
}

static size_t option_bytes(const struct bed *bed, uint8_t *out)
{
    uint8_t options[40];
    memset(options, 1, sizeof(options)); /* forty NOPs, and one illegal length at the end */
    options[38] = 99;
    options[39] = 1;
    return segment(bed, out, TCP_ACK, bed->tcb.rcv_nxt, bed->tcb.snd_una, options, 40, PAYLOAD);
}

static size_t unknown_options(const struct bed *bed, uint8_t *out)
{
    uint8_t options[40];
    for (unsigned i = 0; i < 40; i += 2) {
        options[i] = 200;
        options[i + 1] = 2;
    }
    return segment(bed, out, TCP_ACK, bed->tcb.rcv_nxt, bed->tcb.snd_una + 1000000, options, 40, 0);
}

static size_t sack_nonsense(const struct bed *bed, uint8_t *out)
{
    uint8_t options[36] = {1, 1, 5, 34};
    struct bytes_out o = bytes_out(options + 4, 32);
    for (uint32_t i = 0; i < 4; i++) { /* backwards, empty, over everything, far away */
        bytes_put_be32(&o, bed->tcb.snd_una + (uint32_t[]){900, 7, 0, 1u << 30}[i]);
        bytes_put_be32(&o, bed->tcb.snd_una + (uint32_t[]){100, 7, 1u << 31, 1u << 29}[i]);
    }
    return segment(bed, out, TCP_ACK, bed->tcb.rcv_nxt, bed->tcb.snd_una, options, 36, 0);
}

/* Ones that can be, byte by byte: every block has the whole flight looked at. */
static size_t sack_crumbs(const struct bed *bed, uint8_t *out)
{
    uint8_t options[36] = {1, 1, 5, 34};
    struct bytes_out o = bytes_out(options + 4, 32);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t at = bed->tcb.snd_una + 1000 * (INFLIGHT - 1 - i) + 1 + bed->serial % 500;
        bytes_put_be32(&o, at);
        bytes_put_be32(&o, at + 1);
    }
    return segment(bed, out, TCP_ACK, bed->tcb.rcv_nxt, bed->tcb.snd_una, options, 36, 0);
}

static size_t reset_beside(const struct bed *bed, uint8_t *out)
{
    return segment(bed, out, TCP_RST, bed->tcb.rcv_nxt + 1, 0, NULL, 0, PAYLOAD);
}

static size_t syn_inside(const struct bed *bed, uint8_t *out)
{
    return segment(bed, out, TCP_SYN, bed->tcb.rcv_nxt + 1, 0, NULL, 0, 0);
}

static size_t ack_of_nothing(const struct bed *bed, uint8_t *out)
{
    return segment(bed, out, TCP_ACK, bed->tcb.rcv_nxt, bed->tcb.snd_nxt + 5, NULL, 0, PAYLOAD);
}

static size_t beyond_the_window(const struct bed *bed, uint8_t *out)
{
    return segment(bed, out, TCP_ACK, bed->tcb.rcv_nxt + (1u << 30), bed->tcb.snd_una, NULL, 0, PAYLOAD);
}

/* Two bytes here and two there: the reassembly queue is as long as it may become. */
static size_t crumbs(const struct bed *bed, uint8_t *out)
{
    return segment(bed, out, TCP_ACK, bed->tcb.rcv_nxt + 60000 - 4 * (bed->serial % 15000), bed->tcb.snd_una,
                   NULL, 0, 2);
}

static size_t no_flow(const struct bed *bed, uint8_t *out)
{
    struct bed other = *bed;
    other.key.remote_port = (uint16_t)(1000 + bed->serial % 50000);
    return segment(&other, out, TCP_ACK, 1, 1, NULL, 0, PAYLOAD);
}

static size_t wrong_checksum(const struct bed *bed, uint8_t *out)
{
    size_t len = segment(bed, out, TCP_ACK, bed->tcb.rcv_nxt, bed->tcb.snd_una, NULL, 0, PAYLOAD);
    out[IPV4_HEADER_MIN + 16] ^= 1;
    return len;
}

/* Eight destination options headers, each with as many options as are looked at. */
static size_t extension_chain(const struct bed *bed, uint8_t *out)
{
    uint8_t *at = out + IPV6_HEADER_BYTES;
    for (unsigned n = 0; n <= IPV6_CHAIN_MAX; n++, at += 24) {
        memset(at, 0, 24);
        at[0] = 60;
        at[1] = 2;
        for (unsigned i = 2; i < 14; i += 2) /* type 1, PadN, of no bytes; the last one of eight more */
            at[i] = 1;
        at[14] = 1;
        at[15] = 8;
    }
    return ip_around(out, &bed->key6, 60, (size_t)(at - out) - IPV6_HEADER_BYTES);
}

static size_t quote(const struct bed *bed, uint8_t *out, const uint8_t type[2], uint16_t wrong, size_t more)
{
    uint8_t *icmp = out + IPV4_HEADER_MIN;
    struct flow_key from_us = {bed->key.remote, bed->key.local, bed->key.remote_port, bed->key.local_port};
    memset(icmp, 0, 8);
    memcpy(icmp, type, 2);
    icmp[6] = 2;
    size_t len = 8 + ip_around(icmp + 8, &from_us, IP_PROTO_TCP, 8 + more);
    struct bytes_out o = bytes_out(icmp + 28, 8);
    bytes_put_be16(&o, (uint16_t)(bed->key.local_port ^ wrong));
    bytes_put_be16(&o, bed->key.remote_port);
    bytes_put_be32(&o, bed->tcb.snd_una - 1);
    memset(icmp + 36, 'x', more);
    uint16_t sum = checksum_finish(checksum_add(0, icmp, len));
    memcpy(icmp + 2, &sum, sizeof(sum));
    return ip_around(out, &bed->key, IP_PROTO_ICMP, len);
}

static size_t icmp_not_in_flight(const struct bed *bed, uint8_t *out)
{
    return quote(bed, out, (const uint8_t[]){3, 4}, 0, PAYLOAD);
}

static size_t icmp_no_flow(const struct bed *bed, uint8_t *out)
{
    return quote(bed, out, (const uint8_t[]){3, 3}, (uint16_t)(bed->serial | 1), PAYLOAD);
}

static size_t ping(const struct bed *bed, uint8_t *out)
{
    return quote(bed, out, (const uint8_t[]){8, 0}, 0, PAYLOAD);
}

static const struct {
    const char *what;
    input_fn *make;
} inputs[] = {
    {"40 bytes of options of one byte each, the last one illegal", option_bytes},
    {"20 unknown options and an ACK of nothing sent", unknown_options},
    {"SACK blocks that cannot be", sack_nonsense},
    {"four SACK blocks of one byte, in other places every time", sack_crumbs},
    {"RST one number beside the next", reset_beside},
    {"SYN within the connection", syn_inside},
    {"ACK of something never sent", ack_of_nothing},
    {"data far beyond the window", beyond_the_window},
    {"two bytes out of order, everywhere", crumbs},
    {"a segment of no flow", no_flow},
    {"a wrong TCP checksum", wrong_checksum},
    {"nine IPv6 extension headers full of options", extension_chain},
    {"ICMP about what is not in flight", icmp_not_in_flight},
    {"ICMP about no flow", icmp_no_flow},
    {"a ping", ping},
};

/* ---- the bed ---- */

static void on_segment(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct bed *bed = ctx;
    (void)flow;
    (void)ip;
    tcp_input(&bed->tcb, seg, bed->now_us);
}

static void on_icmp_error(void *ctx, uint32_t flow, const struct icmp *icmp)
{
    struct bed *bed = ctx;
    (void)flow;
    tcp_icmp_error(&bed->tcb, icmp->inner_seq, icmp->hard, icmp->mtu, bed->now_us);
}

static struct pkt *frame(struct bed *bed, input_fn *make)
{
    struct pkt *pkt = pkt_alloc(bed->port[0]->rx_pool, PKT_CONTROL);
    if (!pkt)
        abort();
    struct eth_header eth = {.src = {{0x02, 0, 0, 0, 0x66, 0x66}}, .type = ETH_TYPE_IPV4};
    memcpy(eth.dst.b, bed->port[0]->mac, 6);
    pkt->len = (uint16_t)(ETH_HEADER_BYTES + make(bed, pkt->data + ETH_HEADER_BYTES));
    if (pkt->data[ETH_HEADER_BYTES] >> 4 == 6)
        eth.type = ETH_TYPE_IPV6;
    eth_emit(pkt->data, &eth);
    return pkt;
}

static void open_net(struct bed *bed)
{
    struct error err;
    struct ip_addr peer;
    struct net_config config = {.addresses = 2,
                                .routes = 2,
                                .flows_max = 1000,
                                .neighbours_max = 64,
                                .port_first = 1024,
                                .port_last = 65535,
                                .cores = 1,
                                .seed = 7,
                                .hash_key = {1, 2}};
    const struct net_handler handler = {.ctx = bed, .segment = on_segment, .icmp_error = on_icmp_error};
    bool parsed = ip_parse("192.0.2.1", &config.address[0]) && ip_parse("2001:db8::1", &config.address[1]) &&
                  ip_net_parse("192.0.2.0/24", &config.route[0].to) &&
                  ip_net_parse("2001:db8::/64", &config.route[1].to) && ip_parse("192.0.2.9", &peer) &&
                  ip_parse("2001:db8::9", &bed->key6.remote);
    config.route[0].on_link = config.route[1].on_link = true;
    bed->key6.local = config.address[1];
    if (!parsed || !port_sim_pair(bed->port, BUFFERS, 1500, &err))
        abort();
    bed->net = net_open(&config, bed->port[0], &bed->wheel, &bed->stats, &handler, &err);
    if (!bed->net || !net_flow_open(bed->net, NULL, &peer, 25, FLOW, &bed->key, &err))
        abort();
}

/* Established, with a flight of small packets that nobody acknowledges. */
static void connect(struct bed *bed)
{
    bed->config = tcp_config_default();
    bed->config.timestamps = false;
    bed->config.initial_cwnd = INFLIGHT;
    const struct tcp_emit out = {.ctx = bed, .emit = emit};
    struct tcp_open open = {.config = &bed->config,
                            .pool = bed->port[0]->tx_pool,
                            .stats = &bed->stats,
                            .local_port = bed->key.local_port,
                            .remote_port = 25,
                            .isn = 1};
    tcp_open_active(&bed->tcb, &open, bed->now_us);
    tcp_output(&bed->tcb, bed->now_us, &out);
    struct tcp_segment syn_ack = {.flags = TCP_SYN | TCP_ACK,
                                  .seq = 7,
                                  .ack = 2,
                                  .window = 60000,
                                  .opt = {.has_mss = true, .mss = 1000, .sack_permitted = true}};
    tcp_input(&bed->tcb, &syn_ack, bed->now_us);
    for (unsigned i = 0; i < INFLIGHT; i++) {
        size_t room;
        if (tcp_write_reserve(&bed->tcb, &room))
            tcp_write_commit(&bed->tcb, min_size(room, 1000));
        tcp_output(&bed->tcb, bed->now_us, &out);
    }
    net_transmit_flush(bed->net, bed->now_us);
}

static void throw_away(struct port *port, uint64_t now_us)
{
    struct pkt *pkt[PORT_BURST];
    for (uint32_t n; (n = port_receive(port, pkt, PORT_BURST, now_us)) > 0;)
        while (n > 0)
            pkt_free(pkt[--n]);
}

int main(int argc, char **argv)
{
    static struct bed bed = {.now_us = 1000000};
    if (argc > 1 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < ARRAY_LEN(inputs); i++)
            printf("%s\n", inputs[i].what);
        return 0;
    }
    size_t input = argc > 2 ? (size_t)atoi(argv[2]) : ARRAY_LEN(inputs);
    if (input >= ARRAY_LEN(inputs))
        return 2;
    wheel_init(&bed.wheel, bed.now_us);
    open_net(&bed);
    connect(&bed);
    for (int steps = atoi(argv[1]); steps > 0; steps--, bed.serial++) {
        pkt_pool_refresh(bed.port[0]->tx_pool);
        step_hostile(&bed, frame(&bed, inputs[input].make));
        throw_away(bed.port[1], bed.now_us);
    }
    if (tcp_state(&bed.tcb) != TCP_ESTABLISHED) {
        fprintf(stderr, "the connection is %s\n", tcp_state_name(tcp_state(&bed.tcb)));
        return 1;
    }
    return 0;
}
