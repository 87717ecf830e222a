/* test_link.c: Ethernet and ARP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/wire/wire.h"

static const uint8_t arp_reply[42] = {
    0x02, 0, 0,    0, 0, 1, 0x02, 0, 0, 0, 0,    2, 0x08, 0x06, /* Ethernet */
    0,    1, 0x08, 0, 6, 4, 0,    2,                            /* Ethernet, IPv4, reply */
    0x02, 0, 0,    0, 0, 2, 192,  0, 2, 2, 0x02, 0, 0,    0,    0, 1, 192, 0, 2, 1, /* sender, target */
};

static void ethernet_reads_what_it_wrote(void **state)
{
    (void)state;
    struct eth_header eth;
    uint8_t out[ETH_HEADER_BYTES];
    assert_true(eth_parse(&eth, arp_reply, sizeof(arp_reply)));
    assert_int_equal(eth.type, ETH_TYPE_ARP);
    assert_int_equal(eth.dst.b[5], 1);
    assert_int_equal(eth.src.b[5], 2);
    eth_emit(out, &eth);
    assert_memory_equal(out, arp_reply, sizeof(out));
    for (size_t len = 0; len < ETH_HEADER_BYTES; len++)
        assert_false(eth_parse(&eth, arp_reply, len));
}

static void arp_reads_what_it_wrote(void **state)
{
    (void)state;
    struct arp arp;
    struct ip_addr two;
    uint8_t out[ARP_BYTES];
    assert_true(arp_parse(&arp, arp_reply + 14, 28));
    assert_int_equal(arp.op, ARP_REPLY);
    assert_true(ip_parse("192.0.2.2", &two));
    assert_true(ip_equal(&arp.sender_ip, &two));
    assert_int_equal(arp.sender_mac.b[5], 2);
    assert_int_equal(arp.target_mac.b[5], 1);
    arp_emit(out, &arp);
    assert_memory_equal(out, arp_reply + 14, sizeof(out));
}

static void arp_of_other_kinds_is_malformed(void **state)
{
    (void)state;
    struct arp arp;
    for (size_t len = 0; len < ARP_BYTES; len++)
        assert_false(arp_parse(&arp, arp_reply + 14, len));
    /* hardware, protocol, their lengths, operation */
    static const uint8_t at[] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        uint8_t wrong[ARP_BYTES];
        memcpy(wrong, arp_reply + 14, sizeof(wrong));
        wrong[at[i]] ^= 0x11;
        assert_false(arp_parse(&arp, wrong, sizeof(wrong)));
    }
}

static void padding_behind_arp_is_ignored(void **state)
{
    (void)state;
    struct arp arp;
    uint8_t padded[46] = {0};
    memcpy(padded, arp_reply + 14, ARP_BYTES);
    assert_true(arp_parse(&arp, padded, sizeof(padded)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ethernet_reads_what_it_wrote),
        cmocka_unit_test(arp_reads_what_it_wrote),
        cmocka_unit_test(arp_of_other_kinds_is_malformed),
        cmocka_unit_test(padding_behind_arp_is_ignored),
    };
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
