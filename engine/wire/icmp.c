/* icmp.c: errors that concern our segments, and echo: ICMPv4 (RFC 792, RFC 1191, RFC 1122 section 3.2.2) and ICMPv6
 * (RFC 4443).
 */
#include "engine/wire/wire.h"

enum {
    TYPE_ECHO_REPLY = 0,
    TYPE_UNREACHABLE = 3,
    TYPE_ECHO_REQUEST = 8,
    TYPE_TIME_EXCEEDED = 11,
};
enum {
    CODE_PROTOCOL = 2,
    CODE_PORT = 3,
    CODE_FRAG_NEEDED = 4,
};

enum {
    TYPE6_UNREACHABLE = 1,
    TYPE6_TOO_BIG = 2,
    TYPE6_TIME_EXCEEDED = 3,
    TYPE6_PARAMETER_PROBLEM = 4,
    TYPE6_ECHO_REQUEST = 128,
    TYPE6_ECHO_REPLY = 129,
    TYPE6_LISTENER_QUERY = 130,
};
enum {
    CODE6_PORT = 4,
    CODE6_NEXT_HEADER = 1,
};

static enum icmp_kind kind_of(uint8_t type, uint8_t code)
{
    switch (type) {
    case TYPE_ECHO_REQUEST: return ICMP_ECHO_REQUEST;
    case TYPE_UNREACHABLE: return code == CODE_FRAG_NEEDED ? ICMP_FRAG_NEEDED : ICMP_UNREACHABLE;
    case TYPE_TIME_EXCEEDED: return ICMP_TIME_EXCEEDED;
    default: return ICMP_OTHER;
    }
}

static bool quotes_a_packet(enum icmp_kind kind)
{
    return kind == ICMP_UNREACHABLE || kind == ICMP_FRAG_NEEDED || kind == ICMP_TIME_EXCEEDED;
}

/* RFC 792: the quote is the IP header and at least 64 bits of what follows: both ports and the sequence number. */
static bool parse_quote(struct icmp *icmp, const struct bytes_in *quote)
{
    if (!ip_header_parse_quoted(&icmp->inner, quote->at, bytes_left(quote)))
        return false;
    struct bytes_in in = bytes_in(quote->at + icmp->inner.header_len, icmp->inner.payload_len);
    icmp->inner_src_port = bytes_be16(&in);
    icmp->inner_dst_port = bytes_be16(&in);
    icmp->inner_seq = bytes_be32(&in);
    icmp->inner_tcp = !in.failed && icmp->inner.protocol == IP_PROTO_TCP && !icmp->inner.fragment;
    return true;
}

bool icmp_parse(struct icmp *icmp, const uint8_t *data, size_t len)
{
    struct bytes_in in = bytes_in(data, len);
    *icmp = (struct icmp){.type = bytes_u8(&in)};
    icmp->code = bytes_u8(&in);
    bytes_be16(&in); /* checksum */
    bytes_be16(&in);
    uint16_t mtu = bytes_be16(&in);
    if (in.failed || checksum_finish(checksum_add(0, data, len)) != 0)
        return false;
    icmp->kind = kind_of(icmp->type, icmp->code);
    icmp->mtu = icmp->kind == ICMP_FRAG_NEEDED ? mtu : 0;
    icmp->hard = icmp->kind == ICMP_UNREACHABLE && (icmp->code == CODE_PROTOCOL || icmp->code == CODE_PORT);
    return !quotes_a_packet(icmp->kind) || parse_quote(icmp, &in);
}

void icmp_echo_reply_in_place(uint8_t *data, size_t len)
{
    data[0] = TYPE_ECHO_REPLY;
    memset(data + 2, 0, 2);
    uint16_t sum = checksum_finish(checksum_add(0, data, len));
    memcpy(data + 2, &sum, sizeof(sum));
}

/* ---- ICMPv6 ---- */

/* A parameter problem about the next header says that nobody there speaks TCP: RFC 4443 section 3.4, code 1. */
static enum icmp_kind kind6_of(uint8_t type, uint8_t code)
{
    switch (type) {
    case TYPE6_ECHO_REQUEST: return ICMP_ECHO_REQUEST;
    case TYPE6_UNREACHABLE: return ICMP_UNREACHABLE;
    case TYPE6_PARAMETER_PROBLEM: return code == CODE6_NEXT_HEADER ? ICMP_UNREACHABLE : ICMP_OTHER;
    case TYPE6_TOO_BIG: return ICMP_FRAG_NEEDED;
    case TYPE6_TIME_EXCEEDED: return ICMP_TIME_EXCEEDED;
    case ND_SOLICIT:
    case ND_ADVERTISE: return ICMP_NEIGHBOUR;
    case TYPE6_LISTENER_QUERY: return ICMP_LISTENER;
    default: return ICMP_OTHER;
    }
}

static uint16_t checksum6(const struct ip_addr *src, const struct ip_addr *dst, const uint8_t *data,
                          size_t len)
{
    return checksum_finish(checksum_add(checksum_pseudo(src, dst, IP_PROTO_ICMP6, (uint32_t)len), data, len));
}

bool icmp6_parse(struct icmp *icmp, const struct ip_header *ip, const uint8_t *data, size_t len)
{
    struct bytes_in in = bytes_in(data, len);
    *icmp = (struct icmp){.type = bytes_u8(&in)};
    icmp->code = bytes_u8(&in);
    bytes_be16(&in); /* checksum */
    uint32_t mtu = bytes_be32(&in);
    if (in.failed || checksum6(&ip->src, &ip->dst, data, len) != 0)
        return false;
    icmp->kind = kind6_of(icmp->type, icmp->code);
    icmp->hard = icmp->kind == ICMP_UNREACHABLE &&
                 icmp->code == (icmp->type == TYPE6_UNREACHABLE ? CODE6_PORT : CODE6_NEXT_HEADER);
    if (icmp->kind == ICMP_FRAG_NEEDED) {
        if (mtu < IPV6_MTU_MIN) /* RFC 8201 section 4 */
            return false;
        icmp->mtu = (uint16_t)min_u32(mtu, UINT16_MAX);
    }
    return !quotes_a_packet(icmp->kind) || parse_quote(icmp, &in);
}

void icmp6_set_checksum(uint8_t *data, size_t len, const struct ip_addr *src, const struct ip_addr *dst)
{
    memset(data + 2, 0, 2);
    uint16_t sum = checksum6(src, dst, data, len);
    memcpy(data + 2, &sum, sizeof(sum));
}

void icmp6_echo_reply_in_place(const struct ip_header *request, uint8_t *data, size_t len)
{
    data[0] = TYPE6_ECHO_REPLY;
    icmp6_set_checksum(data, len, &request->dst, &request->src);
}
