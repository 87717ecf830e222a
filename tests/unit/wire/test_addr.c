/* test_addr.c: addresses and prefixes as text, and the special-purpose ranges (RFC 6890). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/wire/addr.h"

static void addresses_read_and_print(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } good[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"2001:db8::1", "2001:db8::1"},
        {"2001:0DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::", "::"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    char text[IP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct ip_addr a;
        assert_true(ip_parse(good[i].in, &a));
        assert_string_equal(ip_format(&a, text), good[i].out);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          "1.2.3",      "1.2.3.4.5", "1.2.3.256", "01.2.3.4x", " 1.2.3.4", "1.2.3.4 ",
        "localhost", "fe80::1%lo", "1:2:3:4:",  ":::",       "12345::",   "[::1]",    "1.2.3.4/32",
    };
    struct ip_addr a, before;
    memset(&before, 0x5a, sizeof(before));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        a = before;
        if (ip_parse(bad[i], &a))
            fail_msg("\"%s\" was taken", bad[i]);
        assert_true(ip_equal(&a, &before));
    }
}

static void prefixes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        unsigned bits;
    } good[] = {
        {"192.0.2.0/24", 120}, {"0.0.0.0/0", 96},     {"192.0.2.1", 128},
        {"192.0.2.1/32", 128}, {"128.0.0.0/1", 97},   {"::/0", 0},
        {"::1", 128},          {"2001:db8::/33", 33}, {"fe80::/10", 10},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct ip_net net;
        if (!ip_net_parse(good[i].in, &net))
            fail_msg("\"%s\" was refused", good[i].in);
        assert_int_equal(net.prefix_bits, good[i].bits);
    }
}

static void bad_prefixes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "192.0.2.1/24",
        "192.0.2.0/33",
        "192.0.2.0/",
        "192.0.2.0/-1",
        "192.0.2.0/24x",
        "192.0.2.0/024x",
        "2001:db8::/16",
        "::/129",
        "192.0.2.0/ 24",
        "/24",
        "192.0.2.0//24",
        "::1/0",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/1",
    };
    struct ip_net net;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (ip_net_parse(bad[i], &net))
            fail_msg("\"%s\" was taken", bad[i]);
}

static bool contains(const char *net_text, const char *text)
{
    struct ip_net net;
    struct ip_addr addr;
    assert_true(ip_net_parse(net_text, &net));
    assert_true(ip_parse(text, &addr));
    return ip_net_contains(&net, &addr);
}

static void prefixes_contain_what_they_should(void **state)
{
    (void)state;
    assert_true(contains("192.0.2.0/24", "192.0.2.255"));
    assert_false(contains("192.0.2.0/24", "192.0.3.0"));
    assert_true(contains("192.0.2.128/25", "192.0.2.129"));
    assert_false(contains("192.0.2.128/25", "192.0.2.127"));
    assert_true(contains("0.0.0.0/0", "203.0.113.9"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(
        contains("::/0", "203.0.113.9")); /* in the mapped form it is an IPv6 address like any other */
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::"));
    assert_true(contains("192.0.2.1", "192.0.2.1"));
    assert_false(contains("192.0.2.1", "192.0.2.0"));
}

static void special_ranges_are_known_to_their_edges(void **state)
{
    (void)state;
    static const char *const special[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.0.1",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.77",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "64:ff9b::1",
        "100::1",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:c000:201::1",
        "3fff::1",
        "3fff:fff::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "5f00::1",
        "4000::1",
        "1fff::1",
        "::ffff:10.0.0.1",
    };
    static const char *const public[] = {
        "1.0.0.0",         "9.255.255.255",   "11.0.0.0",    "100.63.255.255", "100.128.0.0",
        "126.255.255.255", "128.0.0.0",       "169.253.0.1", "169.255.0.1",    "172.15.255.255",
        "172.32.0.0",      "192.0.1.0",       "192.0.3.0",   "192.88.98.255",  "192.167.0.1",
        "192.169.0.0",     "198.17.255.255",  "198.20.0.0",  "198.51.99.255",  "203.0.112.255",
        "203.0.114.0",     "223.255.255.255", "8.8.8.8",     "2001:200::1",    "2001:db7::1",
        "2001:db9::1",     "2003::1",         "2a00::1",     "3ffe::1",        "3fff:1000::1",
        "2606:4700::1111",
    };
    struct ip_addr a;
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        assert_true(ip_parse(special[i], &a));
        if (!ip_is_special(&a))
            fail_msg("%s is special", special[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(public); i++) {
        assert_true(ip_parse(public[i], &a));
        if (ip_is_special(&a))
            fail_msg("%s is not special", public[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_read_and_print),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(prefixes_are_read),
        cmocka_unit_test(bad_prefixes_are_refused),
        cmocka_unit_test(prefixes_contain_what_they_should),
        cmocka_unit_test(special_ranges_are_known_to_their_edges),
    };
    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
