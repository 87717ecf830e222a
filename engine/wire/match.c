#include "engine/wire/match.h"

#define ICMP_HEADER_BYTES 8u
#define IPV6_FRAGMENT     44u

/* What a match is about; ports 0 where a fragment or a cut quote has none. */
struct packet {
    struct ip_addr src, dst;
    uint8_t protocol;
    bool later_fragment;
    struct bytes_in payload;
};

static struct ip_addr v4_address(const uint8_t *at)
{
    struct ip_addr addr = {{0}};
    addr.b[10] = addr.b[11] = 0xff;
    if (at)
        memcpy(addr.b + 12, at, 4);
    return addr;
}

static bool read_v4(struct packet *p, struct bytes_in in)
{
    uint32_t header = (bytes_u8(&in) & 15u) * 4u;
    bytes_take(&in, 5);
    p->later_fragment = (bytes_be16(&in) & 0x1fffu) != 0;
    bytes_take(&in, 1);
    p->protocol = bytes_u8(&in);
    bytes_take(&in, 2);
    p->src = v4_address(bytes_take(&in, 4));
    p->dst = v4_address(bytes_take(&in, 4));
    bytes_take(&in, max_u32(header, IPV4_HEADER_MIN) - IPV4_HEADER_MIN);
    p->payload = in;
    return !in.failed;
}

/* RFC 8200 section 4: hop-by-hop options, routing and destination options; a fragment header is 8 bytes. */
static bool skip_extension(struct packet *p, struct bytes_in *in)
{
    switch (p->protocol) {
    case 0:
    case 43:
    case 60:
        p->protocol = bytes_u8(in);
        bytes_take(in, bytes_u8(in) * 8u + 6u);
        return true;
    case IPV6_FRAGMENT:
        p->protocol = bytes_u8(in);
        bytes_take(in, 1);
        p->later_fragment = bytes_be16(in) >> 3 != 0;
        bytes_take(in, 4);
        return !p->later_fragment;
    default: return false;
    }
}

static bool read_v6(struct packet *p, struct bytes_in in)
{
    bytes_take(&in, 6);
    p->protocol = bytes_u8(&in);
    bytes_take(&in, 1);
    const uint8_t *addresses = bytes_take(&in, 32);
    if (!addresses)
        return false;
    memcpy(p->src.b, addresses, 16);
    memcpy(p->dst.b, addresses + 16, 16);
    for (unsigned n = 0; n < IPV6_CHAIN_MAX && skip_extension(p, &in); n++)
        ;
    p->payload = in;
    return !in.failed;
}

static bool read_packet(struct packet *p, struct bytes_in in)
{
    *p = (struct packet){.protocol = 0};
    if (bytes_left(&in) == 0)
        return false;
    switch (*in.at >> 4) {
    case 4: return read_v4(p, in);
    case 6: return read_v6(p, in);
    default: return false;
    }
}

static bool is_of_flow(const struct wire_match *match, const struct packet *p)
{
    struct bytes_in in = p->payload;
    bool from = ip_equal(&p->src, &match->peer), to = ip_equal(&p->dst, &match->peer);
    if (p->protocol != IP_PROTO_TCP || (!from && !to))
        return false;
    if (match->port == 0)
        return true;
    uint16_t src = bytes_be16(&in), dst = bytes_be16(&in);
    return !p->later_fragment && !in.failed && ((from && src == match->port) || (to && dst == match->port));
}

/* RFC 792, RFC 4443: the messages that quote a packet. */
static bool is_error(const struct packet *p, uint8_t type)
{
    if (p->protocol == IP_PROTO_ICMP6)
        return type >= 1 && type <= 4;
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool wire_match(const struct wire_match *match, const uint8_t *frame, size_t len)
{
    struct packet outer, inner;
    struct bytes_in in = bytes_in(frame, len);
    bytes_take(&in, ETH_HEADER_BYTES - 2);
    uint16_t type = bytes_be16(&in);
    if (in.failed || (type != ETH_TYPE_IPV4 && type != ETH_TYPE_IPV6) || !read_packet(&outer, in))
        return false;
    if (outer.protocol != IP_PROTO_ICMP && outer.protocol != IP_PROTO_ICMP6)
        return is_of_flow(match, &outer);
    const uint8_t *icmp = bytes_take(&outer.payload, ICMP_HEADER_BYTES);
    return icmp && !outer.later_fragment && is_error(&outer, icmp[0]) && read_packet(&inner, outer.payload) &&
           is_of_flow(match, &inner);
}
