/* fuzz_wire_headers.c: the first byte chooses a parser, the rest is what it gets.
 *
 * What a parser accepts must lie inside its input, and what can be emitted must read back as it was.
 */
#include "engine/wire/wire.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void fuzz_tcp(uint8_t *data, size_t size)
{
    struct tcp_segment seg, back;
    uint8_t out[TCP_HEADER_MAX];
    if (!tcp_segment_parse(&seg, data, size))
        return;
    CHECK(seg.len <= size - TCP_HEADER_MIN);
    CHECK(seg.len == 0 || seg.payload + seg.len == data + size);
    CHECK(seg.opt.sack_blocks <= TCP_SACK_BLOCKS_MAX);
    size_t header_len = tcp_header_bytes(&seg);
    CHECK(header_len <= TCP_HEADER_MAX && header_len % 4 == 0);
    CHECK(tcp_header_emit(out, &seg) == header_len);
    CHECK(tcp_segment_parse(&back, out, header_len));
    CHECK(back.seq == seg.seq && back.ack == seg.ack && back.flags == seg.flags && back.window == seg.window);
    CHECK(back.opt.has_mss == seg.opt.has_mss && back.opt.mss == seg.opt.mss);
    CHECK(back.opt.has_wscale == seg.opt.has_wscale && back.opt.wscale == seg.opt.wscale);
    CHECK(back.opt.has_timestamps == seg.opt.has_timestamps && back.opt.ts_val == seg.opt.ts_val);
    CHECK(back.opt.sack_permitted == seg.opt.sack_permitted && back.opt.sack_blocks <= seg.opt.sack_blocks);
}

static void fuzz_ip(const uint8_t *data, size_t size)
{
    struct ip_header ip;
    enum ip_parse_result result = ip_header_parse(&ip, data, size, true);
    CHECK((result == IP_MALFORMED) == (ip_header_parse(&ip, data, size, false) == IP_MALFORMED));
    if (result != IP_MALFORMED)
        CHECK((size_t)ip.header_len + ip.payload_len <= size);
    if (ip_header_parse_quoted(&ip, data, size))
        CHECK((size_t)ip.header_len + ip.payload_len <= size);
    else
        CHECK(result == IP_MALFORMED);
}

/* Two bytes decide over all of it, so they are put right as well as taken as they come. */
static void fuzz_icmp(uint8_t *data, size_t size)
{
    struct icmp icmp;
    bool parsed = icmp_parse(&icmp, data, size);
    if (!parsed && size >= 4) {
        memset(data + 2, 0, 2);
        uint16_t sum = checksum_finish(checksum_add(0, data, size));
        memcpy(data + 2, &sum, 2);
        parsed = icmp_parse(&icmp, data, size);
    }
    if (!parsed)
        return;
    CHECK(size >= 8);
    if (icmp.inner_tcp)
        CHECK(8 + icmp.inner.header_len + 8u <= size);
    if (icmp.kind == ICMP_ECHO_REQUEST) {
        icmp_echo_reply_in_place(data, size);
        CHECK(icmp_parse(&icmp, data, size) && icmp.kind == ICMP_OTHER);
    }
}

/* The first 33 bytes are the addresses and the hop limit of the header before it. */
static void fuzz_icmp6(uint8_t *data, size_t size)
{
    struct ip_header ip = {.protocol = IP_PROTO_ICMP6};
    struct icmp icmp;
    struct nd nd, back;
    uint8_t out[ND_BYTES];
    if (size < 33 + 4)
        return;
    memcpy(ip.src.b, data, 16);
    memcpy(ip.dst.b, data + 16, 16);
    ip.ttl = data[32];
    data += 33;
    size -= 33;
    if (!icmp6_parse(&icmp, &ip, data, size))
        icmp6_set_checksum(data, size, &ip.src, &ip.dst);
    bool parsed = icmp6_parse(&icmp, &ip, data, size);
    if (nd_parse(&nd, &ip, data, size)) {
        CHECK(parsed && size >= 24 && ip.ttl == ND_HOP_LIMIT);
        size_t len = nd_emit(out, &nd, &ip.src, &ip.dst);
        CHECK(nd_parse(&back, &ip, out, len) && memcmp(&nd, &back, sizeof(nd)) == 0);
    }
    if (!parsed)
        return;
    CHECK(size >= 8);
    if (icmp.kind == ICMP_FRAG_NEEDED)
        CHECK(icmp.mtu >= IPV6_MTU_MIN);
    if (icmp.inner_tcp)
        CHECK(8 + icmp.inner.header_len + 8u <= size);
}

static void fuzz_link(const uint8_t *data, size_t size)
{
    struct eth_header eth;
    struct arp arp;
    uint8_t out[ARP_BYTES];
    if (eth_parse(&eth, data, size)) {
        eth_emit(out, &eth);
        CHECK(memcmp(out, data, ETH_HEADER_BYTES) == 0);
    }
    if (arp_parse(&arp, data, size)) {
        arp_emit(out, &arp);
        CHECK(memcmp(out, data, ARP_BYTES) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t *exact = malloc(size - 1 + (size == 1)); /* some write, and none may read behind the end */
    CHECK(exact);
    memcpy(exact, data + 1, size - 1);
    switch (data[0] % 5) {
    case 0: fuzz_tcp(exact, size - 1); break;
    case 1: fuzz_ip(exact, size - 1); break;
    case 2: fuzz_icmp(exact, size - 1); break;
    case 3: fuzz_link(exact, size - 1); break;
    case 4: fuzz_icmp6(exact, size - 1); break;
    }
    free(exact);
    return 0;
}
