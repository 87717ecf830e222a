/* ip.c: IPv4 (RFC 791) and the fixed IPv6 header (RFC 8200 section 3). */
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

static bool parse_v6(struct ip_header *ip, const uint8_t *packet, size_t len, uint32_t *total_len)
{
    struct bytes_in in = bytes_in(packet, len);
    uint32_t version_class_label = bytes_be32(&in);
    ip->header_len = IPV6_HEADER_BYTES;
    ip->ecn = (uint8_t)(version_class_label >> 20) & 0x03;
    *total_len = IPV6_HEADER_BYTES + (uint32_t)bytes_be16(&in);
    ip->protocol = bytes_u8(&in);
    ip->ttl = bytes_u8(&in);
    ip->id = 0;
    ip->dont_fragment = true;
    ip->fragment = false;
    ip->src = take_addr(&in, false);
    ip->dst = take_addr(&in, false);
    return !in.failed && version_class_label >> 28 == 6;
}

static bool parse(struct ip_header *ip, const uint8_t *packet, size_t len, uint32_t *total_len)
{
    if (len == 0)
        return false;
    return packet[0] >> 4 == 4 ? parse_v4(ip, packet, len, total_len) : parse_v6(ip, packet, len, total_len);
}

enum ip_parse_result ip_header_parse(struct ip_header *ip, const uint8_t *packet, size_t len,
                                     bool verify_checksum)
{
    uint32_t total_len;
    if (!parse(ip, packet, len, &total_len) || total_len < ip->header_len || total_len > len)
        return IP_MALFORMED;
    ip->payload_len = (uint16_t)(total_len - ip->header_len);
    if (verify_checksum && packet[0] >> 4 == 4 &&
        checksum_finish(checksum_add(0, packet, ip->header_len)) != 0)
        return IP_BAD_CHECKSUM;
    return IP_OK;
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
