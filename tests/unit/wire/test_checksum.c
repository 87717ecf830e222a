/* test_checksum.c: the fast sum against the one that RFC 1071 section 4.1 spells out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/base/rand.h"
#include "engine/wire/wire.h"

/* RFC 1071 section 4.1, in network byte order. */
static uint16_t reference(const uint8_t *data, size_t len)
{
    uint64_t sum = 0;
    for (; len > 1; data += 2, len -= 2)
        sum += (uint64_t)data[0] << 8 | data[1];
    if (len)
        sum += (uint64_t)data[0] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint16_t stored_be16(uint16_t as_stored)
{
    uint8_t b[2];
    memcpy(b, &as_stored, 2);
    return (uint16_t)(b[0] << 8 | b[1]);
}

static void agrees_with_the_reference(void **state)
{
    (void)state;
    uint8_t data[2048 + 8];
    struct rand_source rand;
    rand_seed(&rand, 1);
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = round < 300 ? round : rand_below(&rand, 2049), shift = rand_below(&rand, 8);
        bool ones = rand_below(&rand, 8) == 0; /* all carries */
        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = ones ? 0xff : (uint8_t)rand_u64(&rand);
        uint16_t fast = stored_be16(checksum_finish(checksum_add(0, data + shift, len)));
        assert_int_equal(fast, reference(data + shift, len));
    }
}

static void pieces_give_the_same_sum(void **state)
{
    (void)state;
    uint8_t data[1500];
    struct rand_source rand;
    rand_seed(&rand, 2);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)rand_u64(&rand);
    for (unsigned round = 0; round < 5000; round++) {
        size_t a = rand_below(&rand, 400) * 2, b = rand_below(&rand, 300) * 2,
               len = a + b + rand_below(&rand, 90);
        uint32_t sum = checksum_add(0, data, a);
        sum = checksum_add(sum, data + a, b);
        sum = checksum_add(sum, data + a + b, len - a - b);
        assert_int_equal(checksum_finish(sum), checksum_finish(checksum_add(0, data, len)));
    }
}

static void a_right_checksum_sums_to_zero(void **state)
{
    (void)state;
    uint8_t data[64] = {1, 2, 3, 4, 5};
    uint16_t sum = checksum_finish(checksum_add(0, data, sizeof(data)));
    memcpy(data + 10, &sum, 2);
    assert_int_equal(checksum_finish(checksum_add(0, data, sizeof(data))), 0);
    data[30] ^= 0x10;
    assert_int_not_equal(checksum_finish(checksum_add(0, data, sizeof(data))), 0);
}

/* RFC 9293 section 3.1: addresses, zero, protocol, length. */
static void the_pseudo_header_counts(void **state)
{
    (void)state;
    struct ip_addr src, dst;
    uint8_t pseudo_and_data[12 + 8] = {10, 0, 2, 15, 10, 0, 2, 2, 0, 6, 0, 8, 1, 2, 3, 4, 5, 6, 7, 9};
    assert_true(ip_parse("10.0.2.15", &src));
    assert_true(ip_parse("10.0.2.2", &dst));
    uint32_t sum = checksum_add(checksum_tcp_pseudo(&src, &dst, 8), pseudo_and_data + 12, 8);
    assert_int_equal(stored_be16(checksum_finish(sum)), reference(pseudo_and_data, 20));
}

static void the_ipv6_pseudo_header_counts(void **state)
{
    (void)state;
    struct ip_addr src, dst;
    uint8_t all[40 + 5] = {0};
    assert_true(ip_parse("2001:db8::1", &src));
    assert_true(ip_parse("fe80::1234:5678", &dst));
    memcpy(all, src.b, 16);
    memcpy(all + 16, dst.b, 16);
    all[35] = 5; /* RFC 8200 section 8.1: 32 bits of length, then zeros and the next header */
    all[39] = 6;
    memcpy(all + 40, "hello", 5);
    uint32_t sum = checksum_add(checksum_tcp_pseudo(&src, &dst, 5), all + 40, 5);
    assert_int_equal(stored_be16(checksum_finish(sum)), reference(all, sizeof(all)));
}

/* What a port that finishes the sum itself expects in the field: folded, not complemented. */
static void a_port_can_finish_the_folded_sum(void **state)
{
    (void)state;
    struct ip_addr src, dst;
    uint8_t tcp[20] = {0x11, 0x22, 0x33};
    assert_true(ip_parse("192.0.2.1", &src));
    assert_true(ip_parse("192.0.2.2", &dst));
    uint32_t pseudo = checksum_tcp_pseudo(&src, &dst, sizeof(tcp));
    uint16_t in_software = checksum_finish(checksum_add(pseudo, tcp, sizeof(tcp)));
    uint16_t field = checksum_fold(pseudo);
    memcpy(tcp + 16, &field, 2);
    assert_int_equal(checksum_finish(checksum_add(0, tcp, sizeof(tcp))), in_software);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference),     cmocka_unit_test(pieces_give_the_same_sum),
        cmocka_unit_test(a_right_checksum_sums_to_zero), cmocka_unit_test(the_pseudo_header_counts),
        cmocka_unit_test(the_ipv6_pseudo_header_counts), cmocka_unit_test(a_port_can_finish_the_folded_sum),
    };
    return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
