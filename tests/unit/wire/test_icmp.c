/* test_icmp.c: ICMPv4 messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/wire/wire.h"

static void sum_up(uint8_t *data, size_t len)
{
    memset(data + 2, 0, 2);
    uint16_t sum = checksum_finish(checksum_add(0, data, len));
    memcpy(data + 2, &sum, 2);
}

/* An error that quotes a segment 192.0.2.1:2000 > 198.51.100.2:25 with sequence number 0x01020304. */
static size_t make_error(uint8_t out[36], uint8_t type, uint8_t code, uint16_t mtu)
{
    struct ip_header inner = {.protocol = 6, .ttl = 1, .dont_fragment = true, .payload_len = 1480};
    static const uint8_t tcp[8] = {0x07, 0xd0, 0, 25, 1, 2, 3, 4};
    assert_true(ip_parse("192.0.2.1", &inner.src));
    assert_true(ip_parse("198.51.100.2", &inner.dst));
    memset(out, 0, 8);
    out[0] = type;
    out[1] = code;
    out[6] = (uint8_t)(mtu >> 8);
    out[7] = (uint8_t)mtu;
    ipv4_emit(out + 8, &inner, false);
    memcpy(out + 28, tcp, sizeof(tcp));
    sum_up(out, 36);
    return 36;
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, code;
        enum icmp_kind kind;
    } cases[] = {
        {3, 0, ICMP_UNREACHABLE},  {3, 1, ICMP_UNREACHABLE},  {3, 3, ICMP_UNREACHABLE},
        {3, 4, ICMP_FRAG_NEEDED},  {3, 13, ICMP_UNREACHABLE}, {11, 0, ICMP_TIME_EXCEEDED},
        {8, 0, ICMP_ECHO_REQUEST}, {0, 0, ICMP_OTHER},        {5, 1, ICMP_OTHER},
        {4, 0, ICMP_OTHER}, /* RFC 6633: source quench is ignored */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t data[36];
        struct icmp icmp;
        size_t len = make_error(data, cases[i].type, cases[i].code, 1400);
        assert_true(icmp_parse(&icmp, data, len));
        assert_int_equal(icmp.kind, cases[i].kind);
        assert_int_equal(icmp.type, cases[i].type);
        assert_int_equal(icmp.code, cases[i].code);
        assert_int_equal(icmp.mtu, cases[i].kind == ICMP_FRAG_NEEDED ? 1400 : 0);
    }
}

static void the_quoted_segment_is_read(void **state)
{
    (void)state;
    uint8_t data[36];
    struct icmp icmp;
    char text[IP_ADDR_TEXT_MAX];
    assert_true(icmp_parse(&icmp, data, make_error(data, 3, 3, 0)));
    assert_true(icmp.inner_tcp);
    assert_int_equal(icmp.inner_src_port, 2000);
    assert_int_equal(icmp.inner_dst_port, 25);
    assert_int_equal(icmp.inner_seq, 0x01020304);
    assert_string_equal(ip_format(&icmp.inner.src, text), "192.0.2.1");
    assert_string_equal(ip_format(&icmp.inner.dst, text), "198.51.100.2");
}

static void a_quote_without_a_segment_says_so(void **state)
{
    (void)state;
    uint8_t data[36];
    struct icmp icmp;
    make_error(data, 3, 3, 0);
    for (size_t len = 28; len < 36; len++) { /* RFC 792: 64 bits of it at least */
        sum_up(data, len);
        assert_true(icmp_parse(&icmp, data, len));
        assert_false(icmp.inner_tcp);
    }
    make_error(data, 3, 3, 0);
    data[8 + 9] = 17; /* UDP */
    sum_up(data, 36);
    assert_true(icmp_parse(&icmp, data, 36));
    assert_false(icmp.inner_tcp);
    make_error(data, 3, 3, 0);
    data[8 + 7] = 1; /* a later fragment has no ports */
    sum_up(data, 36);
    assert_true(icmp_parse(&icmp, data, 36));
    assert_false(icmp.inner_tcp);
}

static void malformed_ones_are_refused(void **state)
{
    (void)state;
    uint8_t data[36];
    struct icmp icmp;
    for (size_t len = 0; len < 28; len++) { /* no whole header, or an error without a whole quoted header */
        make_error(data, 3, 3, 0);
        if (len >= 4)
            sum_up(data, len);
        assert_false(icmp_parse(&icmp, data, len));
    }
    for (unsigned bit = 0; bit < 36 * 8; bit++) {
        make_error(data, 3, 3, 0);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(icmp_parse(&icmp, data, 36));
    }
    make_error(data, 3, 3, 0);
    data[8] = 0x4f; /* the quoted header claims 60 bytes */
    sum_up(data, 36);
    assert_false(icmp_parse(&icmp, data, 36));
}

static void an_echo_request_becomes_its_reply(void **state)
{
    (void)state;
    for (size_t len = 8; len < 40; len++) {
        uint8_t data[40] = {8, 0, 0, 0, 0x12, 0x34, 0, 1, 'h', 'e', 'l', 'l', 'o'}, before[40];
        struct icmp icmp;
        sum_up(data, len);
        memcpy(before, data, sizeof(data));
        assert_true(icmp_parse(&icmp, data, len));
        icmp_echo_reply_in_place(data, len);
        assert_int_equal(data[0], 0);
        assert_memory_equal(data + 4, before + 4, sizeof(data) - 4);
        assert_int_equal(checksum_finish(checksum_add(0, data, len)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(the_quoted_segment_is_read),
        cmocka_unit_test(a_quote_without_a_segment_says_so),
        cmocka_unit_test(malformed_ones_are_refused),
        cmocka_unit_test(an_echo_request_becomes_its_reply),
    };
    return cmocka_run_group_tests_name("icmp", tests, NULL, NULL);
}
