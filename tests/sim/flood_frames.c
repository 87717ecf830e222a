/* flood_frames.c: see flood.h. */
#include "tests/sim/flood.h"

#include <string.h>

const char *const flood_names[FLOOD_COUNT] = {"no", "SYN", "RST", "ACK", "ICMP"};

/* Documentation and benchmark addresses: of the victim's family, none of them in use. */
static struct ip_addr anybody(struct rand_source *rand, bool v4)
{
    uint32_t r = (uint32_t)rand_u64(rand);
    if (v4)
        return ip_from_v4((uint8_t[]){198, 18, (uint8_t)(r >> 8), (uint8_t)r});
    struct ip_addr a = {{0x20, 0x01, 0x0d, 0xb8, 0xff}};
    memcpy(a.b + 12, &r, sizeof(r));
    return a;
}

static uint8_t flags_of(enum flood kind, struct rand_source *rand)
{
    switch (kind) {
    case FLOOD_SYN: return TCP_SYN;
    case FLOOD_RST: return rand_below(rand, 2) ? TCP_RST : TCP_RST | TCP_ACK;
    default: return rand_below(rand, 2) ? TCP_ACK : TCP_ACK | TCP_PSH;
    }
}

static size_t put_tcp(struct flooder *f, const struct flow_key *victim, const struct ip_addr *src,
                      uint8_t *out)
{
    struct rand_source *rand = &f->rand;
    struct tcp_segment seg = {
        .src_port = victim->remote_port,
        .dst_port = victim->local_port,
        .seq = (uint32_t)rand_u64(rand),
        .ack = (uint32_t)rand_u64(rand),
        .window = (uint16_t)rand_u64(rand),
        .flags = flags_of(f->kind, rand),
        .opt = {.has_mss = f->kind == FLOOD_SYN, .mss = 1460},
    };
    if (!ip_equal(src, &victim->remote))
        seg.src_port = (uint16_t)(1024 + rand_below(rand, 60000));
    size_t len = tcp_header_emit(out, &seg);
    uint16_t sum =
        checksum_finish(checksum_add(checksum_tcp_pseudo(src, &victim->local, (uint32_t)len), out, len));
    memcpy(out + 16, &sum, sizeof(sum));
    return len;
}

/* The quote: an IP header and eight bytes of TCP, as if the victim had sent them. */
static size_t put_quote(struct flooder *f, const struct flow_key *victim, uint8_t *out)
{
    struct ip_header ip = {.src = victim->local,
                           .dst = victim->remote,
                           .protocol = IP_PROTO_TCP,
                           .ttl = 60,
                           .dont_fragment = true,
                           .payload_len = 20};
    bool v4 = ip_is_v4(&ip.src);
    if (v4)
        ipv4_emit(out, &ip, false);
    else
        ipv6_emit(out, &ip);
    struct bytes_out o = bytes_out(out + (v4 ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES), 8);
    bytes_put_be16(&o, victim->local_port);
    bytes_put_be16(&o, victim->remote_port);
    bytes_put_be32(&o, (uint32_t)rand_u64(&f->rand));
    return (v4 ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES) + 8;
}

/* Unreachable ports, tiny MTUs and pings in turn. */
static size_t put_icmp(struct flooder *f, const struct flow_key *victim, const struct ip_addr *src,
                       uint8_t *out)
{
    static const uint8_t types[2][3][2] = {{{3, 3}, {3, 4}, {8, 0}}, {{1, 4}, {2, 0}, {128, 0}}};
    bool v4 = ip_is_v4(&victim->local);
    const uint8_t *type = types[!v4][f->sent % 3];
    memset(out, 0, 8);
    memcpy(out, type, 2);
    out[6] = v4 ? 2 : 5; /* MTU 512 or 1280 */
    size_t len = 8 + put_quote(f, victim, out + 8);
    if (v4) {
        uint16_t sum = checksum_finish(checksum_add(0, out, len));
        memcpy(out + 2, &sum, sizeof(sum));
    } else {
        icmp6_set_checksum(out, len, src, &victim->local);
    }
    return len;
}

static size_t put_packet(struct flooder *f, const struct flow_key *victim, uint8_t *out)
{
    bool v4 = ip_is_v4(&victim->local), icmp = f->kind == FLOOD_ICMP;
    bool known = f->kind != FLOOD_SYN && f->sent % 2 == 0;
    struct ip_header ip = {
        .src = known ? victim->remote : anybody(&f->rand, v4), .dst = victim->local, .ttl = 60};
    uint8_t *payload = out + (v4 ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES);
    size_t len = icmp ? put_icmp(f, victim, &ip.src, payload) : put_tcp(f, victim, &ip.src, payload);
    ip.protocol = !icmp ? IP_PROTO_TCP : v4 ? IP_PROTO_ICMP : IP_PROTO_ICMP6;
    ip.payload_len = (uint16_t)len;
    if (v4)
        ipv4_emit(out, &ip, false);
    else
        ipv6_emit(out, &ip);
    return (size_t)(payload - out) + len;
}

void flood_send(struct flooder *f, const struct flow_key *victim, uint64_t now_us)
{
    struct pkt *pkt = pkt_alloc(f->from->tx_pool, PKT_DATA);
    if (!pkt)
        return;
    struct eth_header eth = {.dst = f->to,
                             .src = {{0x02, 0, 0, 0, 0x66, 0x66}},
                             .type = ip_is_v4(&victim->local) ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6};
    eth_emit(pkt->data, &eth);
    pkt->len = (uint16_t)(ETH_HEADER_BYTES + put_packet(f, victim, pkt->data + ETH_HEADER_BYTES));
    if (port_transmit(f->from, &pkt, 1, now_us) == 0)
        pkt_free(pkt);
    f->sent++;
}
