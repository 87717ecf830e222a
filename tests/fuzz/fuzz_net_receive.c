/* fuzz_net_receive.c: a program of frames, flows, segments and time for one core's net.
 *
 * The input is a list of steps: an opcode, a length, so many bytes.  Frames come in as they are, or with addresses and
 * checksums put right, or as handed on by another core, or in parts.  Whatever happens, every buffer comes back, and every frame that
 * leaves is well-formed, goes to one station, and is no RST for a RST.
 */
#include "engine/net/net.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define FLOWS             8u
#define ICMP6_ECHO_REPLY  129u
#define ICMP6_MLD2_REPORT 143u

/* ---- packets, each in memory of its own, so that the address sanitizer sees its ends ---- */

struct fuzz_pkt {
    struct pkt pkt;
    uint32_t refs;
};

static uint32_t packets_alive;
static bool out_of_buffers;

static struct pkt *new_packet(struct pkt_pool *pool, size_t bytes)
{
    struct fuzz_pkt *f = calloc(1, sizeof(*f));
    CHECK(f);
    f->refs = 1;
    f->pkt.pool = pool;
    f->pkt.cap = (uint16_t)(PKT_HEADROOM + bytes);
    f->pkt.buf = malloc(f->pkt.cap);
    CHECK(f->pkt.buf);
    pkt_reset(&f->pkt);
    packets_alive++;
    return &f->pkt;
}

static struct pkt *pool_alloc(struct pkt_pool *pool)
{
    return out_of_buffers ? NULL : new_packet(pool, 1600);
}

static void pool_ref(struct pkt *p)
{
    container_of(p, struct fuzz_pkt, pkt)->refs++;
}

static void pool_unref(struct pkt *p)
{
    struct fuzz_pkt *f = container_of(p, struct fuzz_pkt, pkt);
    CHECK(f->refs > 0);
    if (--f->refs > 0)
        return;
    free(p->buf);
    free(f);
    packets_alive--;
}

static void pool_unref_many(struct pkt_pool *pool, struct pkt **p, uint32_t count)
{
    (void)pool;
    while (count > 0)
        pool_unref(p[--count]);
}

static uint32_t pool_alloc_many(struct pkt_pool *pool, struct pkt **p, uint32_t count)
{
    uint32_t n = 0;
    while (n < count && (p[n] = pool_alloc(pool)) != NULL)
        n++;
    return n;
}

static bool pool_shared(const struct pkt *p)
{
    return container_of(p, struct fuzz_pkt, pkt)->refs > 1;
}

static uint32_t pool_available(struct pkt_pool *pool)
{
    return pool->capacity;
}

static const struct pkt_pool_ops pool_ops = {.alloc = pool_alloc,
                                             .alloc_many = pool_alloc_many,
                                             .ref = pool_ref,
                                             .unref = pool_unref,
                                             .unref_many = pool_unref_many,
                                             .shared = pool_shared,
                                             .available = pool_available};
static struct pkt_pool pool = {.ops = &pool_ops, .capacity = 1000, .available = 1000};

/* ---- a port that looks at what it is given ---- */

static bool port_is_full, rst_is_wrong;

static void check_ip(uint8_t *packet, size_t len, bool eth_group, uint16_t flags)
{
    struct ip_header ip;
    struct tcp_segment seg;
    CHECK(ip_header_parse(&ip, packet, len, true) == IP_OK);
    CHECK(!ip.fragment && (size_t)ip.header_len + ip.payload_len == len);
    uint8_t *payload = packet + ip.header_len;
    CHECK(ip.protocol == IP_PROTO_ICMP6 || !eth_group);
    if (ip.protocol == IP_PROTO_ICMP6) {
        struct icmp icmp;
        struct nd nd;
        CHECK(icmp6_parse(&icmp, &ip, payload, ip.payload_len));
        if (icmp.kind == ICMP_NEIGHBOUR)
            CHECK(nd_parse(&nd, &ip, payload, ip.payload_len) && eth_group == ip_is_multicast(&ip.dst));
        else
            CHECK((icmp.type == ICMP6_ECHO_REPLY && !eth_group) ||
                  (icmp.type == ICMP6_MLD2_REPORT && eth_group));
        return;
    }
    if (ip.protocol == IP_PROTO_ICMP) {
        CHECK(checksum_finish(checksum_add(0, payload, ip.payload_len)) == 0);
        CHECK(payload[0] == 0); /* the only one that we send is the echo reply */
        return;
    }
    uint32_t sum = checksum_tcp_pseudo(&ip.src, &ip.dst, ip.payload_len);
    CHECK(flags & PKT_TX_TCP_CSUM || checksum_finish(checksum_add(sum, payload, ip.payload_len)) == 0);
    CHECK(tcp_segment_parse(&seg, payload, ip.payload_len));
    CHECK(!(rst_is_wrong && seg.flags & TCP_RST));
}

/* The frame in one piece; the caller frees it. */
static uint8_t *join(const struct pkt *frame, size_t *len)
{
    *len = pkt_frame_bytes(frame);
    uint8_t *joined = malloc(*len), *at = joined;
    CHECK(joined && *len <= PORT_TSO_FRAME_BYTES);
    for (const struct pkt *p = frame; p; p = p->more) {
        CHECK(p->data >= p->buf && p->data + p->len <= p->buf + p->cap);
        CHECK(p == frame || (p->len <= frame->segment_bytes && (!p->more || p->len == frame->segment_bytes)));
        memcpy(at, p->data, p->len);
        at += p->len;
    }
    return joined;
}

static uint32_t port_transmits(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    (void)now_us;
    if (port_is_full)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        struct eth_header eth;
        struct arp arp;
        size_t len;
        uint8_t *frame = join(pkt[i], &len);
        CHECK(!pkt[i]->more == !pkt[i]->segment_bytes);
        CHECK(!pkt[i]->more || pkt[i]->flags & PKT_TX_TCP_CSUM);
        CHECK(eth_parse(&eth, frame, len));
        CHECK(memcmp(eth.src.b, port->mac, 6) == 0);
        if (eth.type == ETH_TYPE_ARP) {
            CHECK(arp_parse(&arp, frame + ETH_HEADER_BYTES, len - ETH_HEADER_BYTES));
        } else {
            check_ip(frame + ETH_HEADER_BYTES, len - ETH_HEADER_BYTES, eth.dst.b[0] & 1, pkt[i]->flags);
        }
        free(frame);
        pkt_frame_free(pkt[i]);
    }
    return count;
}

static const struct port_ops port_ops = {.transmit = port_transmits};

/* ---- the world ---- */

struct world {
    struct port port;
    struct wheel wheel;
    struct stats stats;
    struct net *net;
    struct flow_key key[FLOWS];
    bool open[FLOWS];
    uint32_t seq[FLOWS]; /* of the next segment */
    struct pkt *kept;    /* a packet of the stream, as TCP keeps them; NULL: none */
    unsigned duplicates;
    uint64_t now_us;
};

static void on_segment(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct world *w = ctx;
    (void)ip;
    CHECK(flow < FLOWS && w->open[flow]);
    if (seg->len && !w->kept) {                                 /* as reassembly does */
        (void)*(volatile uint8_t *)&seg->payload[seg->len - 1]; /* it can be read to its end */
        w->kept = seg->pkt;
        pkt_ref(w->kept);
    }
}

static void on_icmp_error(void *ctx, uint32_t flow, const struct icmp *icmp)
{
    struct world *w = ctx;
    CHECK(flow < FLOWS && w->open[flow] && icmp->inner_tcp);
}

static void on_unreachable(void *ctx, uint32_t flow)
{
    struct world *w = ctx;
    CHECK(flow < FLOWS);
    if (w->open[flow]) {
        net_flow_close(w->net, &w->key[flow]);
        w->open[flow] = false;
    }
}

static bool on_handoff(void *ctx, uint32_t owner, struct pkt *pkt)
{
    (void)ctx;
    CHECK(owner == 0 && !(pkt->flags & PKT_RX_HANDED_OFF));
    pkt_frame_free(pkt);
    return true;
}

static void on_share_neighbour(void *ctx, const struct pkt *pkt)
{
    (void)ctx;
    CHECK(!(pkt->flags & PKT_RX_HANDED_OFF));
}

static void on_duplicate(void *ctx, const struct ip_addr *addr)
{
    struct world *w = ctx;
    CHECK(!ip_is_v4(addr));
    w->duplicates++;
    CHECK(w->duplicates <= 2); /* ours and the link-local one, once each */
}

static void open_world(struct world *w)
{
    static const uint8_t ours[4] = {192, 0, 2, 1}, gateway[4] = {192, 0, 2, 254}, lan[4] = {192, 0, 2, 0};
    static const uint8_t any[4];
    static const struct ip_addr ours6 = {{0x20, 1, 0x0d, 0xb8, [15] = 1}}, lan6 = {{0x20, 1, 0x0d, 0xb8}};
    static const struct ip_addr gateway6 = {{0xfe, 0x80, [15] = 0xfe}};
    struct error err;
    struct net_config config = {
        .addresses = 2,
        .address = {ip_from_v4(ours), ours6},
        .routes = 4,
        .route = {{.to = {ip_from_v4(lan), 120}, .on_link = true},
                  {.to = {ip_from_v4(any), 96}, .gateway = ip_from_v4(gateway)},
                  {.to = {lan6, 64}, .on_link = true},
                  {.gateway = gateway6}},
        .dad_transmits = 1,
        .flows_max = FLOWS,
        .neighbours_max = 4,
        .port_first = 2000,
        .port_last = 2007,
        .core = 1,
        .cores = 2,
        .seed = 1,
    };
    struct net_handler handler = {
        .ctx = w,
        .segment = on_segment,
        .icmp_error = on_icmp_error,
        .unreachable = on_unreachable,
        .handoff = on_handoff,
        .share_neighbour = on_share_neighbour,
        .duplicate = on_duplicate,
    };
    *w = (struct world){.now_us = 1000000};
    w->port = (struct port){.ops = &port_ops,
                            .mac = {2, 0, 0, 0, 0, 1},
                            .mtu = 1500,
                            .tso_parts = 4,
                            .tx_pool = &pool,
                            .rx_pool = &pool};
    wheel_init(&w->wheel, w->now_us);
    w->net = net_open(&config, &w->port, &w->wheel, &w->stats, &handler, &err);
    CHECK(w->net);
}

/* ---- steps ---- */

enum step { RAW, MENDED, HANDED_ON, TIME, OPEN, SEND, CLOSE, CONDITIONS, ANNOUNCE, PARTS, RUN, STEPS };

static void mend_checksum(uint8_t *at, uint32_t sum, uint8_t *data, size_t len)
{
    memset(at, 0, 2);
    uint16_t value = checksum_finish(checksum_add(sum, data, len));
    memcpy(at, &value, 2);
}

/* Gives the frame a chance: for us, with checksums that fit what is there. */
static void mend(const struct world *w, uint8_t *frame, size_t len)
{
    struct ip_header ip;
    if (len < ETH_HEADER_BYTES)
        return;
    if (frame[0] != 0x33)
        memcpy(frame, w->port.mac, 6);
    uint8_t *packet = frame + ETH_HEADER_BYTES;
    size_t left = len - ETH_HEADER_BYTES;
    if (ip_header_parse(&ip, packet, left, false) != IP_OK)
        return;
    if (packet[0] >> 4 == 4)
        mend_checksum(packet + 10, 0, packet, ip.header_len);
    uint8_t *payload = packet + ip.header_len;
    if (ip.protocol == IP_PROTO_TCP && ip.payload_len >= 20)
        mend_checksum(payload + 16, checksum_tcp_pseudo(&ip.src, &ip.dst, ip.payload_len), payload,
                      ip.payload_len);
    if (ip.protocol == IP_PROTO_ICMP && ip.payload_len >= 4)
        mend_checksum(payload + 2, 0, payload, ip.payload_len);
    if (ip.protocol == IP_PROTO_ICMP6 && ip.payload_len >= 4)
        icmp6_set_checksum(payload, ip.payload_len, &ip.src, &ip.dst);
}

/* Whether an answer with RST would be wrong. */
static bool is_rst(const uint8_t *frame, size_t len)
{
    bool v4 = len >= 54 && frame[12] == 0x08 && (frame[14] & 0xf) == 5 && frame[47] & TCP_RST;
    bool v6 = len >= 74 && frame[12] == 0x86 && frame[20] == IP_PROTO_TCP && frame[67] & TCP_RST;
    return v4 || v6;
}

static void give(struct world *w, enum step step, const uint8_t *bytes, size_t len)
{
    struct pkt *p = new_packet(&pool, len);
    memcpy(p->data, bytes, len);
    p->len = (uint16_t)len;
    if (step == MENDED)
        mend(w, p->data, len);
    if (step == HANDED_ON)
        p->flags = PKT_RX_HANDED_OFF | PKT_RX_IP_CSUM_OK | PKT_RX_L4_CSUM_OK;
    net_transmit_flush(w->net, w->now_us);
    rst_is_wrong = is_rst(p->data, len) && !port_is_full;
    net_receive(w->net, p, w->now_us);
    net_transmit_flush(w->net, w->now_us);
    rst_is_wrong = false;
}

/* A mended frame in parts of so many bytes each. */
static void give_parts(struct world *w, const uint8_t *bytes, size_t len)
{
    uint8_t frame[256];
    struct pkt *first = NULL, **link = &first;
    size_t step = len ? bytes[0] + 1u : 1;
    if (len < 2)
        return;
    memcpy(frame, ++bytes, --len);
    mend(w, frame, len);
    for (size_t at = 0, n; at < len; at += n) {
        n = min_size(step, len - at);
        struct pkt *p = new_packet(&pool, n);
        memcpy(p->data, frame + at, n);
        p->len = (uint16_t)n;
        *link = p;
        link = &p->more;
    }
    net_transmit_flush(w->net, w->now_us);
    rst_is_wrong = is_rst(frame, len) && !port_is_full;
    net_receive(w->net, first, w->now_us);
    net_transmit_flush(w->net, w->now_us);
    rst_is_wrong = false;
}

static void pass_time(struct world *w, const uint8_t *bytes, size_t len)
{
    w->now_us += len ? (uint64_t)bytes[0] * bytes[0] * 10000 : 100;
    for (struct wheel_timer *t; (t = wheel_expire(&w->wheel, w->now_us));) {
        CHECK(t->kind == NET_TIMER);
        net_timers(w->net, w->now_us);
    }
}

static void open_flow(struct world *w, const uint8_t *bytes, size_t len)
{
    uint8_t remote[4] = {192, 0, 2, 9};
    struct error err;
    memcpy(remote, bytes, min_size(len, 4));
    struct ip_addr to = ip_from_v4(remote);
    if (len >= 16)
        memcpy(to.b, bytes, sizeof(to.b));
    for (uint32_t i = 0; i < FLOWS; i++) {
        if (w->open[i])
            continue;
        w->open[i] = net_flow_open(w->net, NULL, &to, 25, i, &w->key[i], &err);
        return;
    }
}

static void send_segment(struct world *w, const uint8_t *bytes, size_t len)
{
    uint32_t flow = len ? bytes[0] % FLOWS : 0;
    if (!w->open[flow])
        return;
    struct tcp_segment seg = {
        .src_port = w->key[flow].local_port, .dst_port = 25, .seq = w->seq[flow], .flags = TCP_ACK};
    if (w->kept && len > 1) { /* what arrived is sent back, as an echo would */
        seg.pkt = w->kept;
        seg.len = min_u32(bytes[1] + 1u, w->kept->len);
        seg.payload = w->kept->data + w->kept->len - seg.len;
        seg.opt.sack_blocks = bytes[1] & 1 ? bytes[1] % 5 : 0;
    }
    w->seq[flow] += seg.len;
    (void)net_send_segment(w->net, &w->key[flow], flow, &seg, w->now_us);
    if (seg.pkt) {
        pkt_free(w->kept);
        w->kept = NULL;
    }
}

/* Segments of so many bytes, one after the other; some with a gap before them, or flags. */
static void send_run(struct world *w, const uint8_t *bytes, size_t len)
{
    uint32_t flow = len ? bytes[0] % FLOWS : 0;
    for (size_t i = 1; i < len && w->open[flow] && !out_of_buffers; i++) {
        struct pkt *p = new_packet(&pool, 1600);
        struct tcp_segment seg = {.src_port = w->key[flow].local_port,
                                  .dst_port = 25,
                                  .seq = w->seq[flow] + (bytes[i] == 255),
                                  .flags = TCP_ACK | (bytes[i] == 254 ? TCP_PSH : 0),
                                  .len = bytes[i] / 16 + 1u,
                                  .payload = p->data,
                                  .pkt = p};
        memset(p->data, bytes[i], seg.len);
        w->seq[flow] = seg.seq + seg.len;
        (void)net_send_segment(w->net, &w->key[flow], flow, &seg, w->now_us);
        pkt_free(p);
    }
}

static void close_flow(struct world *w, const uint8_t *bytes, size_t len)
{
    uint32_t flow = len ? bytes[0] % FLOWS : 0;
    if (w->open[flow])
        net_flow_close(w->net, &w->key[flow]);
    w->open[flow] = false;
}

static void run_step(struct world *w, enum step step, const uint8_t *bytes, size_t len)
{
    switch (step) {
    case RAW:
    case MENDED:
    case HANDED_ON: give(w, step, bytes, len); break;
    case TIME: pass_time(w, bytes, len); break;
    case OPEN: open_flow(w, bytes, len); break;
    case SEND: send_segment(w, bytes, len); break;
    case CLOSE: close_flow(w, bytes, len); break;
    case CONDITIONS:
        out_of_buffers = len && bytes[0] & 1;
        port_is_full = len && bytes[0] & 2;
        w->port.offloads = len && bytes[0] & 4 ? PORT_OFFLOAD_TSO | PORT_OFFLOAD_TX_TCP_CSUM : 0;
        break;
    case ANNOUNCE: net_announce(w->net, w->now_us); break;
    case PARTS: give_parts(w, bytes, len); break;
    case RUN: send_run(w, bytes, len); break;
    case STEPS: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    struct bytes_in in = bytes_in(data, size);
    open_world(&w);
    while (bytes_left(&in) >= 2) {
        enum step step = bytes_u8(&in) % STEPS;
        size_t len = min_size(bytes_u8(&in), bytes_left(&in));
        run_step(&w, step, bytes_take(&in, len), len);
    }
    out_of_buffers = port_is_full = false;
    net_transmit_flush(w.net, w.now_us);
    net_close(w.net);
    if (w.kept)
        pkt_free(w.kept);
    CHECK(packets_alive == 0 && w.wheel.armed == 0);
    return 0;
}
