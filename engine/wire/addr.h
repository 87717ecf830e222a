/* addr.h: Internet addresses, IPv4 ones in their IPv4-mapped form (RFC 4291 section 2.5.5.2). */
#ifndef ENGINE_WIRE_ADDR_H
#define ENGINE_WIRE_ADDR_H

#include "engine/base/base.h"

#include <string.h>

#define IP_ADDR_TEXT_MAX 46 /* INET6_ADDRSTRLEN, NUL included */

struct ip_addr {
    uint8_t b[16]; /* network order; ::ffff:a.b.c.d for IPv4 */
};

struct ip_net {
    struct ip_addr addr; /* host bits are zero */
    uint8_t prefix_bits; /* of the 128; an IPv4 /24 is 120 */
};

struct mac_addr {
    uint8_t b[6];
};

static const uint8_t ip_v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static inline bool ip_is_v4(const struct ip_addr *a)
{
    return memcmp(a->b, ip_v4_mapped, sizeof(ip_v4_mapped)) == 0;
}

static inline struct ip_addr ip_from_v4(const uint8_t v4[4])
{
    struct ip_addr a;
    memcpy(a.b, ip_v4_mapped, sizeof(ip_v4_mapped));
    memcpy(a.b + 12, v4, 4);
    return a;
}

static inline bool ip_is_multicast(const struct ip_addr *a)
{
    return ip_is_v4(a) ? a->b[12] >> 4 == 0xe : a->b[0] == 0xff;
}

static inline bool ip_is_unspecified(const struct ip_addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->b, zero, sizeof(zero)) == 0;
}

/* fe80::/10 (RFC 4291 section 2.5.6). */
/* Of no host: :: and 0.0.0.0. */
static inline bool ip_is_nobody(const struct ip_addr *a)
{
    static const uint8_t zero[4];
    return ip_is_unspecified(a) || (ip_is_v4(a) && memcmp(a->b + 12, zero, sizeof(zero)) == 0);
}

static inline bool ip_is_link_local6(const struct ip_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static inline bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* ip_parse reads "192.0.2.1" or "2001:db8::1"; false on anything else (no host names, no zones). */
bool ip_parse(const char *text, struct ip_addr *addr) must_check;

/* ip_net_parse reads "192.0.2.0/24"; host bits must be zero; without a slash it is one address. */
bool ip_net_parse(const char *text, struct ip_net *net) must_check;

/* ip_format writes the usual text form and returns buf. */
const char *ip_format(const struct ip_addr *addr, char buf[IP_ADDR_TEXT_MAX]);

bool ip_net_contains(const struct ip_net *net, const struct ip_addr *addr);

/* ip_is_special tells addresses that no public MX has: loopback, private, link-local, multicast, unspecified,
 * documentation and the rest of the IANA special-purpose registries (RFC 6890).
 */
bool ip_is_special(const struct ip_addr *addr);

/* ip_link_local6 is the address of a station under fe80::/64: RFC 4291 appendix A, RFC 2464 section 4. */
struct ip_addr ip_link_local6(const struct mac_addr *mac);

/* ip_solicited_node is the group that an IPv6 address is asked for in (RFC 4291 section 2.7.1). */
struct ip_addr ip_solicited_node(const struct ip_addr *addr);

/* mac_of_group6 is the Ethernet address of an IPv6 group (RFC 2464 section 7). */
struct mac_addr mac_of_group6(const struct ip_addr *group);

#endif
