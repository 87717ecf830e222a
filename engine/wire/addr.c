/* addr.c: addresses as text, prefixes, and the ranges that no public mail exchanger lives in. */
#include "engine/wire/addr.h"

#include <arpa/inet.h>

bool ip_parse(const char *text, struct ip_addr *addr)
{
    uint8_t v4[4];
    if (inet_pton(AF_INET, text, v4) == 1) {
        *addr = ip_from_v4(v4);
        return true;
    }
    struct ip_addr v6;
    if (inet_pton(AF_INET6, text, v6.b) != 1)
        return false;
    *addr = v6;
    return true;
}

/* A decimal number in [0, max] and nothing else. */
static bool parse_prefix_bits(const char *text, unsigned max, unsigned *bits)
{
    unsigned n = 0;
    if (*text == '\0' || strlen(text) > 3)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        n = n * 10 + (unsigned)(*text - '0');
    }
    *bits = n;
    return n <= max;
}

/* Sets all bits of addr behind the first `bits` to zero. */
static struct ip_addr mask(const struct ip_addr *addr, unsigned bits)
{
    struct ip_addr a = *addr;
    for (unsigned i = 0; i < sizeof(a.b); i++) {
        unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
        if (keep < 8)
            a.b[i] &= (uint8_t)(0xff00u >> keep);
    }
    return a;
}

bool ip_net_parse(const char *text, struct ip_net *net)
{
    char address[IP_ADDR_TEXT_MAX];
    size_t address_len = strcspn(text, "/");
    if (address_len >= sizeof(address))
        return false;
    memcpy(address, text, address_len);
    address[address_len] = '\0';

    struct ip_addr addr;
    if (!ip_parse(address, &addr))
        return false;
    bool v4_text = strchr(address, ':') == NULL;
    unsigned bits = v4_text ? 32 : 128;
    if (text[address_len] == '/' && !parse_prefix_bits(text + address_len + 1, bits, &bits))
        return false;
    if (v4_text)
        bits += 96;
    struct ip_addr masked = mask(&addr, bits);
    if (!ip_equal(&masked, &addr))
        return false;
    *net = (struct ip_net){.addr = addr, .prefix_bits = (uint8_t)bits};
    return true;
}

const char *ip_format(const struct ip_addr *addr, char buf[IP_ADDR_TEXT_MAX])
{
    const char *text = ip_is_v4(addr) ? inet_ntop(AF_INET, addr->b + 12, buf, IP_ADDR_TEXT_MAX)
                                      : inet_ntop(AF_INET6, addr->b, buf, IP_ADDR_TEXT_MAX);
    assert(text);
    return text;
}

bool ip_net_contains(const struct ip_net *net, const struct ip_addr *addr)
{
    unsigned whole = net->prefix_bits / 8u, rest = net->prefix_bits % 8u;
    if (memcmp(net->addr.b, addr->b, whole) != 0)
        return false;
    return rest == 0 || (net->addr.b[whole] ^ addr->b[whole]) >> (8u - rest) == 0;
}

/* IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771) and class E. */
static const struct {
    uint8_t b[4];
    uint8_t bits;
} special_v4[] = {
    {{0, 0, 0, 0}, 8},       /* this network, RFC 791 */
    {{10, 0, 0, 0}, 8},      /* private, RFC 1918 */
    {{100, 64, 0, 0}, 10},   /* shared by carriers, RFC 6598 */
    {{127, 0, 0, 0}, 8},     /* loopback, RFC 1122 */
    {{169, 254, 0, 0}, 16},  /* link-local, RFC 3927 */
    {{172, 16, 0, 0}, 12},   /* private, RFC 1918 */
    {{192, 0, 0, 0}, 24},    /* IETF protocol assignments, RFC 6890 */
    {{192, 0, 2, 0}, 24},    /* documentation, RFC 5737 */
    {{192, 88, 99, 0}, 24},  /* 6to4 relay, RFC 7526 */
    {{192, 168, 0, 0}, 16},  /* private, RFC 1918 */
    {{198, 18, 0, 0}, 15},   /* benchmarking, RFC 2544 */
    {{198, 51, 100, 0}, 24}, /* documentation, RFC 5737 */
    {{203, 0, 113, 0}, 24},  /* documentation, RFC 5737 */
    {{224, 0, 0, 0}, 4},     /* multicast, RFC 5771 */
    {{240, 0, 0, 0}, 4},     /* reserved, RFC 1112; broadcast, RFC 919 */
};

/* IANA IPv6 Special-Purpose Address Registry, as far as it lies inside 2000::/3. */
static const struct ip_net special_v6[] = {
    {{{0x20, 0x01}}, 23},             /* IETF protocol assignments (Teredo, ORCHID), RFC 2928 */
    {{{0x20, 0x01, 0x0d, 0xb8}}, 32}, /* documentation, RFC 3849 */
    {{{0x20, 0x02}}, 16},             /* 6to4: embeds any IPv4 address, RFC 3056 */
    {{{0x3f, 0xff}}, 20},             /* documentation, RFC 9637 */
};

/* RFC 4291 section 2.4 and the IANA IPv6 registry: only 2000::/3 is given out as global unicast. */
static const struct ip_net global_v6 = {{{0x20}}, 3};

static uint32_t number_of_v4(const uint8_t b[4])
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Every message asks. */
static bool v4_is_special(uint32_t addr)
{
    for (size_t i = 0; i < ARRAY_LEN(special_v4); i++)
        if ((addr ^ number_of_v4(special_v4[i].b)) >> (32u - special_v4[i].bits) == 0)
            return true;
    return false;
}

bool ip_is_special(const struct ip_addr *addr)
{
    if (ip_is_v4(addr))
        return v4_is_special(number_of_v4(addr->b + 12));
    if (!ip_net_contains(&global_v6, addr))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(special_v6); i++)
        if (ip_net_contains(&special_v6[i], addr))
            return true;
    return false;
}

struct ip_addr ip_link_local6(const struct mac_addr *mac)
{
    const uint8_t *m = mac->b;
    return (struct ip_addr){
        {0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 0x02, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}};
}

struct ip_addr ip_solicited_node(const struct ip_addr *addr)
{
    const uint8_t *a = addr->b;
    return (struct ip_addr){{0xff, 0x02, [11] = 1, 0xff, a[13], a[14], a[15]}};
}

struct mac_addr mac_of_group6(const struct ip_addr *group)
{
    const uint8_t *g = group->b;
    return (struct mac_addr){{0x33, 0x33, g[12], g[13], g[14], g[15]}};
}
