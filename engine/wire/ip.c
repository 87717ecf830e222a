/* ip.c: IPv4 (RFC 791) and IPv6 (RFC 8200). */
#include "engine/wire/wire.h"

#define IPV4_FLAG_DF     0x4000u
#define IPV4_FLAG_MF     0x2000u
#define IPV4_OFFSET_MASK 0x1fffu

static struct ip_addr take_addr(struct bytes_in *in, bool v4)
{
    const uint8_t *p = bytes_take(in, v4 ? 4 : 16);
    struct ip_addr a = {{0}};
    if (!p)
        return a;
    if (v4)
        return ip_from_v4(p);
    memcpy(a.b, p, sizeof(a.b));
    return a;
}

/* Reads the fields; total_len is what the header claims for header and payload together. */
static bool parse_v4(struct ip_header *ip, const uint8_t *packet, size_t len, uint32_t *total_len)
{
    struct bytes_in in = bytes_in(packet, len);
    uint8_t version_ihl = bytes_u8(&in);
    ip->header_len = (uint16_t)((version_ihl & 0x0f) * 4);
    ip->ecn = bytes_u8(&in) & 0x03;
    ip->flow_label = 0;
    *total_len = bytes_be16(&in);
    ip->id = bytes_be16(&in);
    uint16_t flags_offset = bytes_be16(&in);
    ip->dont_fragment = (flags_offset & IPV4_FLAG_DF) != 0;
    ip->fragment = (flags_offset & (IPV4_FLAG_MF | IPV4_OFFSET_MASK)) != 0;
    ip->ttl = bytes_u8(&in);
    ip->protocol = bytes_u8(&in);
    bytes_be16(&in); /* checksum */
    ip->src = take_addr(&in, true);
    ip->dst = take_addr(&in, true);
    return !in.failed && version_ihl >> 4 == 4 && ip->header_len >= IPV4_HEADER_MIN && ip->header_len <= len;
}

/* ---- IPv6 extension headers ---- */

enum {
    NEXT_HOP_BY_HOP = 0,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_DESTINATION = 60,
};
#define OPTION_PAD1 0u

/* RFC 8200 section 4.2: an option that is not known may be skipped when its two highest bits are zero; with any others
 * the packet is to be discarded.  RFC 8504 section 5.3 allows a limit to their number.
 */
static bool options_may_be_skipped(const uint8_t *data, size_t len)
{
    struct bytes_in in = bytes_in(data, len);
    for (unsigned n = 0; bytes_left(&in) > 0; n++) {
        uint8_t type = bytes_u8(&in);
        if (type >> 6 != 0 || n == IPV6_CHAIN_MAX)
            return false;
        if (type != OPTION_PAD1)
            bytes_take(&in, bytes_u8(&in));
    }
    return !in.failed;
}

/* One extension header: the next one's number and a length in eights of bytes, the first not counted. */
static bool skip_extension(uint8_t kind, struct bytes_in *in, uint8_t *next)
{
    const uint8_t *head = bytes_take(in, 8);
    if (!head)
        return false;
    size_t len = (head[1] + 1u) * 8;
    if (!bytes_take(in, len - 8))
        return false;
    *next = head[0];
    if (kind == NEXT_ROUTING)
        return head[3] ==
               0; /* RFC 8200 section 4.4: skipped only when no segment is left, whatever its type */
    return options_may_be_skipped(head + 2, len - 2);
}

static bool is_extension(uint8_t kind)
{
    return kind == NEXT_HOP_BY_HOP || kind == NEXT_ROUTING || kind == NEXT_DESTINATION;
}

/* Moves header_len and protocol behind the extension headers. */
static bool skip_extensions(struct ip_header *ip, struct bytes_in *in)
{
    size_t before = bytes_left(in);
    for (unsigned n = 0; is_extension(ip->protocol); n++) {
        if (ip->protocol == NEXT_HOP_BY_HOP && n > 0)
            return false; /* RFC 8200 section 4.1: first or not at all */
        if (n == IPV6_CHAIN_MAX || !skip_extension(ip->protocol, in, &ip->protocol))
            return false;
    }
    ip->header_len = (uint16_t)(ip->header_len + before - bytes_left(in));
    ip->fragment = ip->protocol == NEXT_FRAGMENT;
    return true;
}

static bool parse_v6(struct ip_header *ip, const uint8_t *packet, size_t len, uint32_t *total_len)
{
    struct bytes_in in = bytes_in(packet, len);
    uint32_t version_class_label = bytes_be32(&in);
    ip->header_len = IPV6_HEADER_BYTES;
    ip->ecn = (uint8_t)(version_class_label >> 20) & 0x03;
    ip->flow_label = version_class_label & 0xfffff;
    *total_len = IPV6_HEADER_BYTES + (uint32_t)bytes_be16(&in);
    ip->protocol = bytes_u8(&in);
    ip->ttl = bytes_u8(&in);
    ip->id = 0;
    ip->dont_fragment = true;
    ip->src = take_addr(&in, false);
    ip->dst = take_addr(&in, false);
    return !in.failed && version_class_label >> 28 == 6 && !ip_is_v4(&ip->src) && !ip_is_v4(&ip->dst) &&
           skip_extensions(ip, &in);
}

static bool parse(struct ip_header *ip, const uint8_t *packet, size_t len, uint32_t *total_len)
{
    if (len == 0)
        return false;
    return packet[0] >> 4 == 4 ? parse_v4(ip, packet, len, total_len) : parse_v6(ip, packet, len, total_len);
}

enum ip_parse_result ip_header_parse_part(struct ip_header *ip, const uint8_t *packet, size_t here,
                                          size_t len, bool verify_checksum)
{
    uint32_t total_len;
    if (!parse(ip, packet, here, &total_len) || total_len < ip->header_len || total_len > len)
        return IP_MALFORMED;
    ip->payload_len = (uint16_t)(total_len - ip->header_len);
    if (verify_checksum && packet[0] >> 4 == 4 &&
        checksum_finish(checksum_add(0, packet, ip->header_len)) != 0)
        return IP_BAD_CHECKSUM;
    return IP_OK;
}

enum ip_parse_result ip_header_parse(struct ip_header *ip, const uint8_t *packet, size_t len,
                                     bool verify_checksum)
{
    return ip_header_parse_part(ip, packet, len, len, verify_checksum);
}

bool ip_header_parse_quoted(struct ip_header *ip, const uint8_t *packet, size_t len)
{
    uint32_t total_len;
    if (!parse(ip, packet, len, &total_len) || total_len < ip->header_len)
        return false;
    ip->payload_len = (uint16_t)(min_size(total_len, len) - ip->header_len);
    return true;
}

void ipv4_emit(uint8_t out[static IPV4_HEADER_MIN], const struct ip_header *ip, bool without_checksum)
{
    struct bytes_out o = bytes_out(out, IPV4_HEADER_MIN);
    bytes_put_u8(&o, 0x45);
    bytes_put_u8(&o, ip->ecn);
    bytes_put_be16(&o, (uint16_t)(IPV4_HEADER_MIN + ip->payload_len));
    bytes_put_be16(&o, ip->id);
    bytes_put_be16(&o, ip->dont_fragment ? IPV4_FLAG_DF : 0);
    bytes_put_u8(&o, ip->ttl);
    bytes_put_u8(&o, ip->protocol);
    bytes_put_be16(&o, 0);
    bytes_put(&o, ip->src.b + 12, 4);
    bytes_put(&o, ip->dst.b + 12, 4);
    if (!without_checksum) {
        uint16_t sum = checksum_finish(checksum_add(0, out, IPV4_HEADER_MIN));
        memcpy(out + 10, &sum, sizeof(sum));
    }
}

void ipv6_emit(uint8_t out[static IPV6_HEADER_BYTES], const struct ip_header *ip)
{
    struct bytes_out o = bytes_out(out, IPV6_HEADER_BYTES);
    bytes_put_be32(&o, 6u << 28 | (uint32_t)ip->ecn << 20 | ip->flow_label);
    bytes_put_be16(&o, ip->payload_len);
    bytes_put_u8(&o, ip->protocol);
    bytes_put_u8(&o, ip->ttl);
    bytes_put(&o, ip->src.b, sizeof(ip->src.b));
    bytes_put(&o, ip->dst.b, sizeof(ip->dst.b));
}
