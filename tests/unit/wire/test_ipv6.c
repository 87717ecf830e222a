/* test_ipv6.c: the IPv6 header and what may stand between it and its payload (RFC 8200). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/wire/wire.h"

#include <stdlib.h>

struct packet {
    uint8_t data[1200];
    size_t len;
};

/* The fixed header, before 20 bytes of payload. */
static struct packet make(void)
{
    struct packet p = {.len = 60};
    struct ip_header ip = {.protocol = 6, .ttl = 64, .ecn = 1, .flow_label = 0xabcde, .payload_len = 20};
    assert_true(ip_parse("2001:db8::1", &ip.src));
    assert_true(ip_parse("2001:db8:f::2", &ip.dst));
    ipv6_emit(p.data, &ip);
    return p;
}

/* Puts an extension header of so many bytes first; its third byte and on are `body`, then PadN. */
static void extend(struct packet *p, uint8_t kind, size_t bytes, const char *body, size_t body_len)
{
    assert_true(p->len + bytes <= sizeof(p->data) && bytes % 8 == 0 && body_len + 2 <= bytes);
    uint8_t *at = p->data + 40;
    memmove(at + bytes, at, p->len - 40);
    memset(at, 0, bytes);
    at[0] = p->data[6];
    at[1] = (uint8_t)(bytes / 8 - 1);
    memcpy(at + 2, body, body_len);
    size_t pad = bytes - 2 - body_len;
    if (pad >= 2 && pad < 258) {
        at[2 + body_len] = 1;
        at[3 + body_len] = (uint8_t)(pad - 2);
    }
    p->data[6] = kind;
    p->len += bytes;
    p->data[4] = (uint8_t)((p->len - 40) >> 8);
    p->data[5] = (uint8_t)(p->len - 40);
}

/* In memory of its own, so that the address sanitizer sees the end. */
static enum ip_parse_result parse(struct ip_header *ip, const struct packet *p)
{
    uint8_t *exact = malloc(p->len + (p->len == 0));
    assert_non_null(exact);
    memcpy(exact, p->data, p->len);
    enum ip_parse_result result = ip_header_parse(ip, exact, p->len, true);
    free(exact);
    return result;
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    struct packet p = make();
    struct ip_header ip;
    char text[IP_ADDR_TEXT_MAX];
    assert_int_equal(parse(&ip, &p), IP_OK);
    assert_int_equal(ip.protocol, 6);
    assert_int_equal(ip.ttl, 64);
    assert_int_equal(ip.ecn, 1);
    assert_int_equal(ip.flow_label, 0xabcde);
    assert_int_equal(ip.header_len, 40);
    assert_int_equal(ip.payload_len, 20);
    assert_false(ip.fragment);
    assert_string_equal(ip_format(&ip.src, text), "2001:db8::1");
    assert_string_equal(ip_format(&ip.dst, text), "2001:db8:f::2");
}

static void extension_headers_are_skipped(void **state)
{
    (void)state;
    struct packet p = make();
    struct ip_header ip;
    extend(&p, 60, 16, "", 0);
    extend(&p, 43, 8, "\x00\x00\x00\x00\x00\x00", 6); /* type 0, no segments left: RFC 5095 skips it */
    extend(&p, 60, 8, "", 0);
    extend(&p, 0, 8, "\x05\x02\x00\x00", 4); /* router alert */
    assert_int_equal(parse(&ip, &p), IP_OK);
    assert_int_equal(ip.protocol, 6);
    assert_int_equal(ip.header_len, 80);
    assert_int_equal(ip.payload_len, 20);
    for (size_t len = p.len; p.len-- > 0;) {
        assert_int_equal(parse(&ip, &p), IP_MALFORMED);
        assert_true(p.len < len);
    }
}

static void headers_that_nothing_may_follow_end_the_search(void **state)
{
    (void)state;
    static const uint8_t kinds[] = {59, 50, 51, 17, 135}; /* none, ESP, AH, UDP, mobility */
    for (size_t i = 0; i < sizeof(kinds); i++) {
        struct packet p = make();
        struct ip_header ip;
        p.data[6] = kinds[i];
        assert_int_equal(parse(&ip, &p), IP_OK);
        assert_int_equal(ip.protocol, kinds[i]);
        assert_int_equal(ip.header_len, 40);
    }
}

static void fragments_say_so(void **state)
{
    (void)state;
    struct packet p = make();
    struct ip_header ip;
    extend(&p, 44, 8, "\x00\x01\x00\x00\x00\x09", 6);
    assert_int_equal(parse(&ip, &p), IP_OK);
    assert_true(ip.fragment);
    extend(&p, 60, 8, "", 0); /* and behind other headers, too */
    assert_int_equal(parse(&ip, &p), IP_OK);
    assert_true(ip.fragment);
    assert_int_equal(ip.header_len, 48);
}

/* RFC 8200 section 4.2: by the two highest bits of its type an option is skipped or the packet dropped. */
static void options_that_may_not_be_skipped_drop_the_packet(void **state)
{
    (void)state;
    for (unsigned type = 2; type < 256; type += 2) {
        struct packet p = make();
        struct ip_header ip;
        char option[4] = {(char)type, 2, 0, 0};
        extend(&p, type % 4 ? 60 : 0, 8, option, 4);
        assert_int_equal(parse(&ip, &p), type < 64 ? IP_OK : IP_MALFORMED);
    }
}

static void options_end_with_their_header(void **state)
{
    (void)state;
    struct packet p = make();
    struct ip_header ip;
    extend(&p, 60, 8, "\x3e\x05\x00\x00\x00\x00", 6); /* one byte too long */
    assert_int_equal(parse(&ip, &p), IP_MALFORMED);
    p = make();
    extend(&p, 60, 8, "\x01\x03\x00\x00\x00\x01", 6); /* a kind without its length */
    assert_int_equal(parse(&ip, &p), IP_MALFORMED);
    p = make();
    extend(&p, 60, 16, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 14); /* RFC 8504 section 5.3: so many are no use */
    assert_int_equal(parse(&ip, &p), IP_MALFORMED);
}

static void hop_by_hop_stands_first_or_not_at_all(void **state)
{
    (void)state;
    struct packet p = make();
    struct ip_header ip;
    extend(&p, 0, 8, "", 0);
    assert_int_equal(parse(&ip, &p), IP_OK);
    extend(&p, 60, 8, "", 0);
    assert_int_equal(parse(&ip, &p), IP_MALFORMED);
}

static void a_route_with_segments_left_is_not_for_us(void **state)
{
    (void)state;
    for (unsigned left = 0; left < 4; left++) {
        struct packet p = make();
        struct ip_header ip;
        char body[6] = {4, (char)left};
        extend(&p, 43, 8, body, 6);
        assert_int_equal(parse(&ip, &p), left ? IP_MALFORMED : IP_OK);
    }
}

static void the_chain_is_bounded(void **state)
{
    (void)state;
    struct packet p = make();
    struct ip_header ip;
    for (unsigned i = 0; i < IPV6_CHAIN_MAX; i++)
        extend(&p, 60, 8, "", 0);
    assert_int_equal(parse(&ip, &p), IP_OK);
    assert_int_equal(ip.header_len, 40 + 8 * IPV6_CHAIN_MAX);
    extend(&p, 60, 8, "", 0);
    assert_int_equal(parse(&ip, &p), IP_MALFORMED);
}

/* The chain may not reach into what Ethernet padded. */
static void extensions_lie_within_the_packet(void **state)
{
    (void)state;
    struct packet p = make();
    struct ip_header ip;
    extend(&p, 60, 8, "", 0);
    p.data[5] = 7;
    assert_int_equal(parse(&ip, &p), IP_MALFORMED);
    p.data[5] = 8;
    assert_int_equal(parse(&ip, &p), IP_OK);
    assert_int_equal(ip.payload_len, 0);
}

static void mapped_addresses_are_no_ipv6(void **state)
{
    (void)state;
    struct packet p = make();
    struct ip_header ip;
    memcpy(p.data + 8, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
    assert_int_equal(parse(&ip, &p), IP_MALFORMED);
    p = make();
    memcpy(p.data + 24, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
    assert_int_equal(parse(&ip, &p), IP_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(extension_headers_are_skipped),
        cmocka_unit_test(headers_that_nothing_may_follow_end_the_search),
        cmocka_unit_test(fragments_say_so),
        cmocka_unit_test(options_that_may_not_be_skipped_drop_the_packet),
        cmocka_unit_test(options_end_with_their_header),
        cmocka_unit_test(hop_by_hop_stands_first_or_not_at_all),
        cmocka_unit_test(a_route_with_segments_left_is_not_for_us),
        cmocka_unit_test(the_chain_is_bounded),
        cmocka_unit_test(extensions_lie_within_the_packet),
        cmocka_unit_test(mapped_addresses_are_no_ipv6),
    };
    return cmocka_run_group_tests_name("ipv6", tests, NULL, NULL);
}
