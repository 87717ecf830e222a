/* test_icmp6.c: ICMPv6 messages (RFC 4443). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/wire/wire.h"

#include <stdlib.h>

#define ERROR_BYTES (8u + 40u + 8u)

static struct ip_header outer(void)
{
    struct ip_header ip = {.protocol = IP_PROTO_ICMP6, .ttl = 60};
    assert_true(ip_parse("2001:db8:9::9", &ip.src));
    assert_true(ip_parse("2001:db8::1", &ip.dst));
    return ip;
}

/* An error that quotes a segment [2001:db8::1]:2000 > [2001:db8:f::2]:25 with sequence number 0x01020304. */
static void make_error(uint8_t out[ERROR_BYTES], uint8_t type, uint8_t code, uint32_t parameter)
{
    struct ip_header inner = {.protocol = 6, .ttl = 1, .payload_len = 1440}, ip = outer();
    static const uint8_t tcp[8] = {0x07, 0xd0, 0, 25, 1, 2, 3, 4};
    struct bytes_out o = bytes_out(out, ERROR_BYTES);
    inner.src = ip.dst;
    assert_true(ip_parse("2001:db8:f::2", &inner.dst));
    bytes_put_u8(&o, type);
    bytes_put_u8(&o, code);
    bytes_put_be16(&o, 0);
    bytes_put_be32(&o, parameter);
    ipv6_emit(out + 8, &inner);
    memcpy(out + 48, tcp, sizeof(tcp));
    icmp6_set_checksum(out, ERROR_BYTES, &ip.src, &ip.dst);
}

static bool parses(struct icmp *icmp, const uint8_t *data, size_t len)
{
    struct ip_header ip = outer();
    uint8_t *exact = malloc(len + (len == 0));
    assert_non_null(exact);
    memcpy(exact, data, len);
    bool parsed = icmp6_parse(icmp, &ip, exact, len);
    free(exact);
    return parsed;
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, code;
        enum icmp_kind kind;
        bool hard;
    } cases[] = {
        {1, 0, ICMP_UNREACHABLE, false},    {1, 1, ICMP_UNREACHABLE, false}, {1, 3, ICMP_UNREACHABLE, false},
        {1, 4, ICMP_UNREACHABLE, true},     {2, 0, ICMP_FRAG_NEEDED, false}, {2, 7, ICMP_FRAG_NEEDED, false},
        {3, 0, ICMP_TIME_EXCEEDED, false},  {4, 1, ICMP_UNREACHABLE, true},  {4, 0, ICMP_OTHER, false},
        {128, 0, ICMP_ECHO_REQUEST, false}, {129, 0, ICMP_OTHER, false},     {133, 0, ICMP_OTHER, false},
        {134, 0, ICMP_OTHER, false},        {135, 0, ICMP_NEIGHBOUR, false}, {136, 0, ICMP_NEIGHBOUR, false},
        {137, 0, ICMP_OTHER, false},        {8, 0, ICMP_OTHER, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t data[ERROR_BYTES];
        struct icmp icmp;
        make_error(data, cases[i].type, cases[i].code, 1400);
        assert_true(parses(&icmp, data, sizeof(data)));
        assert_int_equal(icmp.kind, cases[i].kind);
        assert_int_equal(icmp.hard, cases[i].hard);
        assert_int_equal(icmp.mtu, cases[i].kind == ICMP_FRAG_NEEDED ? 1400 : 0);
    }
}

static void the_quoted_segment_is_read(void **state)
{
    (void)state;
    uint8_t data[ERROR_BYTES];
    struct icmp icmp;
    char text[IP_ADDR_TEXT_MAX];
    make_error(data, 2, 0, 1280);
    assert_true(parses(&icmp, data, sizeof(data)));
    assert_true(icmp.inner_tcp);
    assert_int_equal(icmp.inner_src_port, 2000);
    assert_int_equal(icmp.inner_dst_port, 25);
    assert_int_equal(icmp.inner_seq, 0x01020304);
    assert_string_equal(ip_format(&icmp.inner.src, text), "2001:db8::1");
    assert_string_equal(ip_format(&icmp.inner.dst, text), "2001:db8:f::2");
}

/* RFC 8201 section 4: no link is that small, so whoever says so wants us to send small packets. */
static void an_mtu_below_1280_is_no_message(void **state)
{
    (void)state;
    uint8_t data[ERROR_BYTES];
    struct icmp icmp;
    static const uint32_t small[] = {0, 1, 68, 576, 1279};
    for (size_t i = 0; i < ARRAY_LEN(small); i++) {
        make_error(data, 2, 0, small[i]);
        assert_false(parses(&icmp, data, sizeof(data)));
    }
    make_error(data, 2, 0, 0x10500); /* a field of 32 bits: not 0x500 */
    assert_true(parses(&icmp, data, sizeof(data)));
    assert_int_equal(icmp.mtu, 65535);
}

static void the_checksum_covers_message_and_addresses(void **state)
{
    (void)state;
    uint8_t data[ERROR_BYTES];
    struct icmp icmp;
    struct ip_header ip = outer();
    make_error(data, 1, 0, 0);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] ^= 0x10;
        assert_false(parses(&icmp, data, sizeof(data)));
        data[i] ^= 0x10;
    }
    ip.src.b[15] ^= 1;
    assert_false(icmp6_parse(&icmp, &ip, data, sizeof(data)));
}

static void cut_short_there_is_no_segment_or_no_message(void **state)
{
    (void)state;
    struct ip_header ip = outer();
    struct icmp icmp;
    for (size_t len = 4; len < ERROR_BYTES; len++) {
        uint8_t data[ERROR_BYTES];
        make_error(data, 1, 0, 0);
        icmp6_set_checksum(data, len, &ip.src, &ip.dst);
        assert_int_equal(parses(&icmp, data, len), len >= 48);
        if (len >= 48)
            assert_false(icmp.inner_tcp);
    }
}

static void an_echo_reply_has_the_addresses_the_other_way_round(void **state)
{
    (void)state;
    struct ip_header ip = outer(), back = ip;
    uint8_t data[21] = {128, 0, 0, 0, 1, 2, 0, 3, 'p', 'i', 'n', 'g'};
    struct icmp icmp;
    back.src = ip.dst;
    back.dst = ip.src;
    icmp6_set_checksum(data, sizeof(data), &ip.src, &ip.dst);
    icmp6_echo_reply_in_place(&ip, data, sizeof(data));
    assert_int_equal(data[0], 129);
    assert_memory_equal(data + 4, "\1\2\0\3ping", 8);
    assert_true(icmp6_parse(&icmp, &back, data, sizeof(data)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(the_quoted_segment_is_read),
        cmocka_unit_test(an_mtu_below_1280_is_no_message),
        cmocka_unit_test(the_checksum_covers_message_and_addresses),
        cmocka_unit_test(cut_short_there_is_no_segment_or_no_message),
        cmocka_unit_test(an_echo_reply_has_the_addresses_the_other_way_round),
    };
    return cmocka_run_group_tests_name("icmp6", tests, NULL, NULL);
}
