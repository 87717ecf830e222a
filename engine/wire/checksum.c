/* checksum.c: the Internet checksum (RFC 1071).
 *
 * A one's-complement sum does not care for byte order (RFC 1071 section 2 (B)): bytes are added as the machine loads
 * them, and the result is stored as the machine stores it.
 */
#include "engine/wire/wire.h"

#include <string.h>

static uint32_t fold_32(uint64_t sum)
{
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffffffu) + (sum >> 32);
    return (uint32_t)sum;
}

static inline uint32_t load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Carries of 32-bit words gather above them, which leaves a plain sum that the compiler makes vectors of. */
multiversion static uint64_t add_words(const uint8_t *p, size_t words)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i++)
        sum += load_u32(p + i * sizeof(uint32_t));
    return sum;
}

/* Fewer than four bytes, as if zeros followed. */
static uint32_t load_tail(const uint8_t *p, size_t len)
{
    uint32_t v = 0;
    memcpy(&v, p, len);
    return v;
}

uint32_t checksum_add(uint32_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t words = len / sizeof(uint32_t), tail = len % sizeof(uint32_t);
    uint64_t all = sum + add_words(p, words);
    if (tail)
        all += load_tail(p + len - tail, tail);
    return fold_32(all);
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

static uint64_t add_addr(uint64_t sum, const struct ip_addr *addr)
{
    for (size_t i = 0; i < sizeof(addr->b); i += sizeof(uint32_t))
        sum += load_u32(addr->b + i);
    return sum;
}

/* The IPv4 pseudo header is the same sum over the IPv4-mapped form: its prefix adds 0xffff, which is zero. */
uint32_t checksum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol, uint32_t len)
{
    uint8_t rest[8];
    struct bytes_out out = bytes_out(rest, sizeof(rest));
    bytes_put_be32(&out, len);
    bytes_put_be32(&out, protocol);
    uint64_t sum = add_addr(add_addr(0, src), dst);
    return fold_32(sum + load_u32(rest) + load_u32(rest + sizeof(uint32_t)));
}

uint32_t checksum_tcp_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint32_t tcp_len)
{
    return checksum_pseudo(src, dst, IP_PROTO_TCP, tcp_len);
}
