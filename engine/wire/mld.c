/* mld.c: multicast listener discovery, version 2 (RFC 3810): queries in, reports out. */
#include "engine/wire/wire.h"

#define TYPE_REPORT    143u
#define QUERY_MIN      24u /* of version 1, whose delay is plain milliseconds */
#define QUERY_MIN_V2   28u
#define HOP_BY_HOP     8u /* bytes of our header */
#define DELAY_EXPONENT 0x8000u
#define DELAY_MANTISSA 0x0fffu
#define DELAY_IMPLICIT 0x1000u

static const struct ip_addr routers = {{0xff, 0x02, [15] = 0x16}};

const struct ip_addr *mld_routers(void)
{
    return &routers;
}

/* Section 5.1.3. */
static uint32_t delay_ms(uint32_t code, size_t len)
{
    if (code < DELAY_EXPONENT || len < QUERY_MIN_V2)
        return code;
    return ((code & DELAY_MANTISSA) | DELAY_IMPLICIT) << ((code >> 12 & 7) + 3);
}

bool mld_parse_query(const struct ip_header *ip, const uint8_t *data, size_t len, uint64_t *delay_us)
{
    bool link_local = ip->src.b[0] == 0xfe && (ip->src.b[1] & 0xc0) == 0x80;
    struct icmp icmp;
    if (!link_local || ip->ttl != MLD_HOP_LIMIT || len < QUERY_MIN || !icmp6_parse(&icmp, ip, data, len) ||
        icmp.kind != ICMP_LISTENER)
        return false;
    struct bytes_in in = bytes_in(data + 4, len - 4);
    *delay_us = 1000ull * delay_ms(bytes_be16(&in), len);
    return !in.failed;
}

/* Router alert with value 0: a datagram of MLD (RFC 2711 section 2.1); two bytes of padding. */
static void put_hop_by_hop(struct bytes_out *o)
{
    static const uint8_t header[HOP_BY_HOP] = {IP_PROTO_ICMP6, 0, 5, 2, 0, 0, 1, 0};
    bytes_put(o, header, sizeof(header));
}

size_t mld_emit(uint8_t out[static MLD_REPORT_BYTES], enum mld_record record, const struct ip_addr *src,
                const struct ip_addr *groups, unsigned count)
{
    assert(count <= MLD_GROUPS_MAX);
    struct bytes_out o = bytes_out(out, MLD_REPORT_BYTES);
    put_hop_by_hop(&o);
    bytes_put_u8(&o, TYPE_REPORT);
    bytes_put_u8(&o, 0);
    bytes_put_be32(&o, 0); /* checksum, reserved */
    bytes_put_be16(&o, (uint16_t)count);
    for (unsigned i = 0; i < count; i++) {
        bytes_put_u8(&o, (uint8_t)record);
        bytes_put_u8(&o, 0);   /* no auxiliary data */
        bytes_put_be16(&o, 0); /* no sources: all of them */
        bytes_put(&o, groups[i].b, sizeof(groups[i].b));
    }
    icmp6_set_checksum(out + HOP_BY_HOP, bytes_written(&o) - HOP_BY_HOP, src, &routers);
    return bytes_written(&o);
}
