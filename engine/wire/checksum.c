/* checksum.c: the Internet checksum (RFC 1071).
 *
 * A one's-complement sum does not care for byte order (RFC 1071 section 2 (B)): bytes are added as the machine loads
 * them, and the result is stored as the machine stores it.
 */
#include "engine/wire/wire.h"

static uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t fold_32(uint64_t sum)
{
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffffffu) + (sum >> 32);
    return (uint32_t)sum;
}

/* One's-complement addition: the carry comes back in at the bottom. */
static uint64_t add_carry(uint64_t sum, uint64_t v)
{
    sum += v;
    return sum + (sum < v);
}

/* Fewer than eight bytes, as if zeros followed. */
static uint64_t load_tail(const uint8_t *p, size_t len)
{
    uint64_t v = 0;
    memcpy(&v, p, len);
    return v;
}

uint32_t checksum_add(uint32_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t a = sum, b = 0;
    for (; len >= 32; p += 32, len -= 32) { /* two chains, so that the additions overlap */
        a = add_carry(add_carry(a, load_u64(p)), load_u64(p + 8));
        b = add_carry(add_carry(b, load_u64(p + 16)), load_u64(p + 24));
    }
    for (; len >= 8; p += 8, len -= 8)
        a = add_carry(a, load_u64(p));
    if (len)
        a = add_carry(a, load_tail(p, len));
    return fold_32(add_carry(a, b));
}

uint16_t checksum_fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint16_t checksum_finish(uint32_t sum)
{
    return (uint16_t)~checksum_fold(sum);
}

/* The IPv4 pseudo header is the same sum over the IPv4-mapped form: its prefix adds 0xffff, which is zero. */
uint32_t checksum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol, uint32_t len)
{
    uint8_t rest[8];
    struct bytes_out out = bytes_out(rest, sizeof(rest));
    bytes_put_be32(&out, len);
    bytes_put_be32(&out, protocol);
    uint32_t sum = checksum_add(0, src->b, sizeof(src->b));
    sum = checksum_add(sum, dst->b, sizeof(dst->b));
    return checksum_add(sum, rest, sizeof(rest));
}

uint32_t checksum_tcp_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint32_t tcp_len)
{
    return checksum_pseudo(src, dst, IP_PROTO_TCP, tcp_len);
}
