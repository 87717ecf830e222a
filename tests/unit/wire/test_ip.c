/* test_ip.c: IPv4 and the IPv6 header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/wire/wire.h"

/* A header and 20 bytes of payload. */
static void make_v4(uint8_t packet[40])
{
    struct ip_header ip = {
        .protocol = 6, .ttl = 64, .ecn = 2, .dont_fragment = true, .id = 0x1234, .payload_len = 20};
    assert_true(ip_parse("192.0.2.1", &ip.src));
    assert_true(ip_parse("198.51.100.2", &ip.dst));
    memset(packet, 0xaa, 40);
    ipv4_emit(packet, &ip, false);
}

static void sum_up(uint8_t *packet)
{
    memset(packet + 10, 0, 2);
    uint16_t sum = checksum_finish(checksum_add(0, packet, (packet[0] & 0xfu) * 4));
    memcpy(packet + 10, &sum, 2);
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    uint8_t packet[40];
    struct ip_header ip;
    char text[IP_ADDR_TEXT_MAX];
    make_v4(packet);
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_OK);
    assert_int_equal(ip.protocol, 6);
    assert_int_equal(ip.ttl, 64);
    assert_int_equal(ip.ecn, 2);
    assert_int_equal(ip.id, 0x1234);
    assert_true(ip.dont_fragment);
    assert_false(ip.fragment);
    assert_int_equal(ip.header_len, 20);
    assert_int_equal(ip.payload_len, 20);
    assert_string_equal(ip_format(&ip.src, text), "192.0.2.1");
    assert_string_equal(ip_format(&ip.dst, text), "198.51.100.2");
}

static void the_checksum_may_be_left_to_the_port(void **state)
{
    (void)state;
    uint8_t packet[40], without[20];
    struct ip_header ip;
    make_v4(packet);
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_OK);
    ipv4_emit(without, &ip, true);
    assert_int_equal(without[10] | without[11], 0);
    packet[8] ^= 1;
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_BAD_CHECKSUM);
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), false), IP_OK);
}

static void every_single_bit_error_is_seen(void **state)
{
    (void)state;
    uint8_t packet[40];
    struct ip_header ip;
    for (unsigned bit = 0; bit < 160; bit++) {
        make_v4(packet);
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_OK);
    }
}

/* RFC 894: Ethernet pads short packets; the IP length is the one that counts. */
static void padding_is_not_payload(void **state)
{
    (void)state;
    uint8_t packet[46] = {0};
    struct ip_header ip;
    make_v4(packet);
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_OK);
    assert_int_equal(ip.payload_len, 20);
}

static void lengths_that_do_not_fit_are_malformed(void **state)
{
    (void)state;
    uint8_t packet[40];
    struct ip_header ip;
    for (size_t len = 0; len < 40; len++) { /* cut short */
        make_v4(packet);
        assert_int_equal(ip_header_parse(&ip, packet, len, true), IP_MALFORMED);
    }
    make_v4(packet);
    packet[0] = 0x44; /* a header of 16 bytes */
    sum_up(packet);
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), false), IP_MALFORMED);
    make_v4(packet);
    packet[3] = 19; /* a packet shorter than its header */
    sum_up(packet);
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_MALFORMED);
    make_v4(packet);
    packet[0] = 0x4f; /* a header longer than its packet */
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), false), IP_MALFORMED);
    make_v4(packet);
    packet[0] = 0x55;
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), false), IP_MALFORMED);
}

static void options_are_skipped(void **state)
{
    (void)state;
    uint8_t packet[40];
    struct ip_header ip;
    make_v4(packet);
    packet[0] = 0x47;
    memset(packet + 20, 1, 8); /* NOPs */
    sum_up(packet);
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_OK);
    assert_int_equal(ip.header_len, 28);
    assert_int_equal(ip.payload_len, 12);
}

static void fragments_are_told(void **state)
{
    (void)state;
    uint8_t packet[40];
    struct ip_header ip;
    static const struct {
        uint8_t high, low;
        bool fragment;
    } fields[] = {{0x40, 0, false}, {0x20, 0, true}, {0x00, 1, true}, {0x1f, 0xff, true}, {0x80, 0, false}};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        make_v4(packet);
        packet[6] = fields[i].high;
        packet[7] = fields[i].low;
        sum_up(packet);
        assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_OK);
        assert_int_equal(ip.fragment, fields[i].fragment);
    }
}

static void ipv6_is_read(void **state)
{
    (void)state;
    uint8_t packet[48] = {0x60, 0x10, 0, 0, 0, 8, 6, 63};
    struct ip_header ip;
    struct ip_addr src, dst;
    assert_true(ip_parse("2001:db8::1", &src));
    assert_true(ip_parse("2001:db8::2", &dst));
    memcpy(packet + 8, src.b, 16);
    memcpy(packet + 24, dst.b, 16);
    assert_int_equal(ip_header_parse(&ip, packet, sizeof(packet), true), IP_OK);
    assert_int_equal(ip.header_len, 40);
    assert_int_equal(ip.payload_len, 8);
    assert_int_equal(ip.protocol, 6);
    assert_int_equal(ip.ttl, 63);
    assert_int_equal(ip.ecn, 1);
    assert_true(ip_equal(&ip.src, &src));
    assert_true(ip_equal(&ip.dst, &dst));
    for (size_t len = 0; len < sizeof(packet); len++)
        assert_int_equal(ip_header_parse(&ip, packet, len, true), IP_MALFORMED);
}

static void a_quote_may_be_cut_short(void **state)
{
    (void)state;
    uint8_t packet[40];
    struct ip_header ip;
    make_v4(packet);
    packet[8] = 1; /* TTL ran down on the way, the checksum did not follow */
    assert_true(ip_header_parse_quoted(&ip, packet, 28));
    assert_int_equal(ip.payload_len, 8);
    assert_true(ip_header_parse_quoted(&ip, packet, 20));
    assert_int_equal(ip.payload_len, 0);
    assert_false(ip_header_parse_quoted(&ip, packet, 19));
    assert_false(ip_header_parse_quoted(&ip, packet, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(the_checksum_may_be_left_to_the_port),
        cmocka_unit_test(every_single_bit_error_is_seen),
        cmocka_unit_test(padding_is_not_payload),
        cmocka_unit_test(lengths_that_do_not_fit_are_malformed),
        cmocka_unit_test(options_are_skipped),
        cmocka_unit_test(fragments_are_told),
        cmocka_unit_test(ipv6_is_read),
        cmocka_unit_test(a_quote_may_be_cut_short),
    };
    return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
