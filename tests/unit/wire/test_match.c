/* test_match.c: which frames belong to a capture of one peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/wire/match.h"

struct frame {
    uint8_t b[256];
    size_t len;
};

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;
    assert_true(ip_parse(text, &a));
    return a;
}

static struct wire_match match_of(const char *peer, uint16_t port)
{
    return (struct wire_match){.peer = addr(peer), .port = port};
}

static void put_ip(struct frame *f, const char *src, const char *dst, uint8_t protocol, uint16_t payload)
{
    struct ip_header ip = {
        .src = addr(src), .dst = addr(dst), .protocol = protocol, .ttl = 9, .payload_len = payload};
    if (ip_is_v4(&ip.src)) {
        ipv4_emit(f->b + f->len, &ip, false);
        f->len += IPV4_HEADER_MIN;
    } else {
        ipv6_emit(f->b + f->len, &ip);
        f->len += IPV6_HEADER_BYTES;
    }
}

static void put_ports(struct frame *f, uint16_t src, uint16_t dst)
{
    const uint8_t ports[] = {
        (uint8_t)(src >> 8), (uint8_t)src, (uint8_t)(dst >> 8), (uint8_t)dst, 0, 0, 0, 1};
    memcpy(f->b + f->len, ports, sizeof(ports));
    f->len += sizeof(ports);
}

static struct frame eth(bool v6)
{
    struct frame f = {.len = ETH_HEADER_BYTES};
    f.b[12] = v6 ? 0x86 : 0x08;
    f.b[13] = v6 ? 0xdd : 0x00;
    return f;
}

static struct frame tcp(const char *src, uint16_t src_port, const char *dst, uint16_t dst_port)
{
    struct frame f = eth(strchr(src, ':') != NULL);
    put_ip(&f, src, dst, IP_PROTO_TCP, 20);
    put_ports(&f, src_port, dst_port);
    memset(f.b + f.len, 0, 12);
    f.len += 12;
    return f;
}

static bool matches(const char *peer, uint16_t port, const struct frame *f)
{
    const struct wire_match match = match_of(peer, port);
    return wire_match(&match, f->b, f->len);
}

static void both_ways(const char *peer, const char *us, const char *other)
{
    struct frame to = tcp(us, 2000, peer, 25), from = tcp(peer, 25, us, 2000),
                 foreign = tcp(other, 25, us, 2000);
    assert_true(matches(peer, 0, &to) && matches(peer, 0, &from));
    assert_true(matches(peer, 25, &to) && matches(peer, 25, &from));
    assert_false(matches(peer, 26, &to) || matches(peer, 26, &from));
    assert_false(matches(peer, 2000, &to) || matches(peer, 2000, &from)); /* ours, not the peer's */
    assert_false(matches(peer, 0, &foreign) || matches(peer, 25, &foreign));
}

static void both_ways_and_no_other(void **state)
{
    (void)state;
    both_ways("192.0.2.1", "198.51.100.7", "192.0.2.2");
    both_ways("2001:db8::1", "2001:db8::7", "2001:db8::2");
}

static void other_protocols_do_not_match(void **state)
{
    (void)state;
    struct frame f = tcp("192.0.2.1", 25, "198.51.100.7", 2000);
    f.b[23] = 17;
    assert_false(matches("192.0.2.1", 0, &f));
    f.b[23] = IP_PROTO_TCP;
    f.b[13] = 0x06; /* ARP */
    assert_false(matches("192.0.2.1", 0, &f));
}

static void wrong_checksums_and_short_frames(void **state)
{
    (void)state;
    struct frame f = tcp("192.0.2.1", 25, "198.51.100.7", 2000);
    f.b[24] ^= 0x55;
    assert_true(matches("192.0.2.1", 25, &f));
    for (f.len = 0; f.len < ETH_HEADER_BYTES + IPV4_HEADER_MIN + 4; f.len++)
        assert_false(matches("192.0.2.1", 25, &f));
    struct frame g = tcp("2001:db8::1", 25, "2001:db8::7", 2000);
    for (g.len = 0; g.len < ETH_HEADER_BYTES + IPV6_HEADER_BYTES + 4; g.len++)
        assert_false(matches("2001:db8::1", 25, &g));
}

static void options_and_extensions_are_skipped(void **state)
{
    (void)state;
    struct frame f = eth(false);
    put_ip(&f, "192.0.2.1", "198.51.100.7", IP_PROTO_TCP, 12);
    f.b[ETH_HEADER_BYTES] = 0x46;
    memset(f.b + f.len, 1, 4);
    f.len += 4;
    put_ports(&f, 25, 2000);
    assert_true(matches("192.0.2.1", 25, &f));

    struct frame g = eth(true);
    put_ip(&g, "2001:db8::1", "2001:db8::7", 60, 24);
    const uint8_t options[16] = {IP_PROTO_TCP, 1};
    memcpy(g.b + g.len, options, sizeof(options));
    g.len += sizeof(options);
    put_ports(&g, 25, 2000);
    assert_true(matches("2001:db8::1", 25, &g));
}

/* A fragment behind the first has no ports: bytes that look like some are none. */
static void later_fragments(void **state)
{
    (void)state;
    struct frame f = tcp("192.0.2.1", 25, "198.51.100.7", 2000);
    f.b[ETH_HEADER_BYTES + 7] = 3;
    assert_true(matches("192.0.2.1", 0, &f));
    assert_false(matches("192.0.2.1", 25, &f));

    struct frame g = eth(true);
    put_ip(&g, "2001:db8::1", "2001:db8::7", 44, 16);
    const uint8_t header[8] = {IP_PROTO_TCP, 0, 0, 3 << 3};
    memcpy(g.b + g.len, header, sizeof(header));
    g.len += sizeof(header);
    put_ports(&g, 25, 2000);
    assert_true(matches("2001:db8::1", 0, &g));
    assert_false(matches("2001:db8::1", 25, &g));
}

static struct frame icmp(const char *router, const char *us, const char *peer, uint8_t type)
{
    bool v6 = strchr(us, ':') != NULL;
    struct frame f = eth(v6);
    put_ip(&f, router, us, v6 ? IP_PROTO_ICMP6 : IP_PROTO_ICMP, 64);
    memset(f.b + f.len, 0, 8);
    f.b[f.len] = type;
    f.len += 8;
    put_ip(&f, us, peer, IP_PROTO_TCP, 8);
    put_ports(&f, 2000, 25);
    return f;
}

static void errors_that_quote_a_segment(void **state)
{
    (void)state;
    struct frame f = icmp("203.0.113.9", "198.51.100.7", "192.0.2.1", 3);
    assert_true(matches("192.0.2.1", 0, &f) && matches("192.0.2.1", 25, &f));
    assert_false(matches("192.0.2.1", 26, &f) || matches("192.0.2.2", 0, &f));
    assert_false(matches("203.0.113.9", 0, &f)); /* the router is not the peer */
    struct frame echo = icmp("192.0.2.1", "198.51.100.7", "192.0.2.1", 8);
    assert_false(matches("192.0.2.1", 0, &echo)); /* a ping whose data looks so */

    struct frame g = icmp("2001:db8::9", "2001:db8::7", "2001:db8::1", 2);
    assert_true(matches("2001:db8::1", 25, &g));
    assert_false(matches("2001:db8::9", 0, &g));
    struct frame neighbour = icmp("2001:db8::1", "2001:db8::7", "2001:db8::1", 135);
    assert_false(matches("2001:db8::1", 0, &neighbour));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_and_no_other),
        cmocka_unit_test(other_protocols_do_not_match),
        cmocka_unit_test(wrong_checksums_and_short_frames),
        cmocka_unit_test(options_and_extensions_are_skipped),
        cmocka_unit_test(later_fragments),
        cmocka_unit_test(errors_that_quote_a_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
