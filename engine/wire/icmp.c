/* icmp.c: ICMPv4: errors that concern our segments, and echo (RFC 792, RFC 1191, RFC 1122 section 3.2.2). */
#include "engine/wire/wire.h"

enum {
    TYPE_ECHO_REPLY = 0,
    TYPE_UNREACHABLE = 3,
    TYPE_ECHO_REQUEST = 8,
    TYPE_TIME_EXCEEDED = 11,
};
#define CODE_FRAG_NEEDED 4u

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
static bool parse_quote(struct icmp *icmp, const uint8_t *data, size_t len)
{
    if (!ip_header_parse_quoted(&icmp->inner, data, len))
        return false;
    struct bytes_in in = bytes_in(data + icmp->inner.header_len, icmp->inner.payload_len);
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
    return !quotes_a_packet(icmp->kind) || parse_quote(icmp, in.at, bytes_left(&in));
}

void icmp_echo_reply_in_place(uint8_t *data, size_t len)
{
    data[0] = TYPE_ECHO_REPLY;
    memset(data + 2, 0, 2);
    uint16_t sum = checksum_finish(checksum_add(0, data, len));
    memcpy(data + 2, &sum, sizeof(sum));
}
