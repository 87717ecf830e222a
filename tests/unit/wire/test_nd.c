/* test_nd.c: neighbour solicitations and advertisements: what RFC 4861 section 7.1 lets pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/wire/wire.h"

#include <stdlib.h>

#define TARGET "2001:db8::1234:5678"
#define GROUP  "ff02::1:ff34:5678"

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;
    if (!ip_parse(text, &a))
        fail_msg("%s is no address", text);
    return a;
}

static struct ip_header header(const char *src, const char *dst)
{
    return (struct ip_header){.src = addr(src), .dst = addr(dst), .protocol = IP_PROTO_ICMP6, .ttl = 255};
}

/* In memory of its own, so that the address sanitizer sees the end. */
static bool parses(struct nd *nd, const struct ip_header *ip, const uint8_t *data, size_t len)
{
    uint8_t *exact = malloc(len + (len == 0));
    assert_non_null(exact);
    memcpy(exact, data, len);
    bool parsed = nd_parse(nd, ip, exact, len);
    free(exact);
    return parsed;
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    struct nd solicit = {
        .type = ND_SOLICIT, .has_mac = true, .mac = {{2, 0, 0, 1, 2, 3}}, .target = addr(TARGET)};
    struct nd answer = solicit, got;
    uint8_t out[ND_BYTES];
    struct ip_header ip = header("fe80::1", GROUP);
    assert_int_equal(nd_emit(out, &solicit, &ip.src, &ip.dst), 32);
    assert_int_equal(out[24], 1); /* source link-layer address */
    assert_true(parses(&got, &ip, out, 32));
    assert_memory_equal(&got, &solicit, sizeof(got));

    answer.type = ND_ADVERTISE;
    answer.solicited = answer.override = true;
    ip = header(TARGET, "fe80::1");
    assert_int_equal(nd_emit(out, &answer, &ip.src, &ip.dst), 32);
    assert_int_equal(out[4], 0x60);
    assert_int_equal(out[24], 2); /* target link-layer address */
    assert_true(parses(&got, &ip, out, 32));
    assert_memory_equal(&got, &answer, sizeof(got));

    answer.has_mac = false;
    memset(&answer.mac, 0, sizeof(answer.mac));
    assert_int_equal(nd_emit(out, &answer, &ip.src, &ip.dst), 24);
    assert_true(parses(&got, &ip, out, 24));
    assert_false(got.has_mac);
}

static size_t make(uint8_t out[static ND_BYTES], uint8_t type, const struct ip_header *ip)
{
    struct nd nd = {.type = type, .solicited = type == ND_ADVERTISE, .has_mac = true, .target = addr(TARGET)};
    nd.mac.b[5] = 7;
    return nd_emit(out, &nd, &ip->src, &ip->dst);
}

static void sum_up(uint8_t *data, size_t len, const struct ip_header *ip)
{
    icmp6_set_checksum(data, len, &ip->src, &ip->dst);
}

/* RFC 4861 sections 7.1.1 and 7.1.2, check by check. */
static void what_section_7_1_forbids_is_refused(void **state)
{
    (void)state;
    for (uint8_t type = ND_SOLICIT; type <= ND_ADVERTISE; type++) {
        struct nd nd;
        uint8_t data[64];
        struct ip_header good = header("fe80::1", type == ND_SOLICIT ? GROUP : "fe80::2"), ip = good;
        size_t len = make(data, type, &good);
        assert_true(parses(&nd, &good, data, len));

        ip.ttl = 254; /* it has passed a router */
        assert_false(parses(&nd, &ip, data, len));
        ip = good;
        data[2] ^= 1; /* checksum */
        assert_false(parses(&nd, &ip, data, len));
        data[2] ^= 1;
        ip.src = addr("fe80::3"); /* the pseudo header is part of it */
        assert_false(parses(&nd, &ip, data, len));
        data[1] = 1; /* code */
        sum_up(data, len, &good);
        assert_false(parses(&nd, &good, data, len));
        data[1] = 0;
        data[8] = 0xff; /* target is a group */
        sum_up(data, len, &good);
        assert_false(parses(&nd, &good, data, len));
        data[8] = 0x20;
        data[25] = 0; /* option of length zero */
        sum_up(data, len, &good);
        assert_false(parses(&nd, &good, data, len));
        data[25] = 2; /* longer than the packet */
        sum_up(data, len, &good);
        assert_false(parses(&nd, &good, data, len));
        data[25] = 1;
        sum_up(data, len, &good);
        assert_true(parses(&nd, &good, data, len));
    }
}

static void cut_short_anywhere_it_is_refused(void **state)
{
    (void)state;
    struct nd nd;
    uint8_t data[ND_BYTES];
    struct ip_header ip = header("fe80::1", GROUP);
    make(data, ND_SOLICIT, &ip);
    for (size_t len = 0; len < ND_BYTES; len++) {
        if (len >= 4)
            sum_up(data, len, &ip);
        assert_int_equal(parses(&nd, &ip, data, len), len == 24); /* without its option it is whole */
    }
}

static void who_has_no_address_asks_the_group_without_its_own(void **state)
{
    (void)state;
    struct nd nd = {.type = ND_SOLICIT, .target = addr(TARGET)}, got;
    uint8_t data[ND_BYTES];
    struct ip_header ip = header("::", GROUP);
    size_t len = nd_emit(data, &nd, &ip.src, &ip.dst);
    assert_true(parses(&got, &ip, data, len));
    ip.dst = addr("ff02::1"); /* not the solicited-node group */
    sum_up(data, len, &ip);
    assert_false(parses(&got, &ip, data, len));
    ip.dst = addr(GROUP);
    len = make(data, ND_SOLICIT, &ip); /* with a source link-layer address */
    assert_false(parses(&got, &ip, data, len));
    len = make(data, ND_ADVERTISE, &ip); /* nobody says that it has an address from nowhere */
    assert_false(parses(&got, &ip, data, len));
}

static void an_answer_to_all_answers_nobody(void **state)
{
    (void)state;
    struct nd nd;
    uint8_t data[ND_BYTES];
    struct ip_header ip = header(TARGET, "ff02::1");
    size_t len = make(data, ND_ADVERTISE, &ip); /* with the solicited flag */
    assert_false(parses(&nd, &ip, data, len));
    data[4] = 0x20;
    sum_up(data, len, &ip);
    assert_true(parses(&nd, &ip, data, len));
    assert_true(nd.override);
}

static void options_that_are_not_ours_are_skipped(void **state)
{
    (void)state;
    struct nd nd;
    uint8_t data[64] = {0}, with[64];
    struct ip_header ip = header("fe80::1", GROUP);
    make(data, ND_SOLICIT, &ip);
    memcpy(with, data, 24);
    memset(with + 24, 0, 16);
    with[24] = 14; /* nonce, RFC 3971, here of 16 bytes */
    with[25] = 2;
    memcpy(with + 40, data + 24, 8);
    sum_up(with, 48, &ip);
    assert_true(parses(&nd, &ip, with, 48));
    assert_true(nd.has_mac);
    assert_int_equal(nd.mac.b[5], 7);

    with[40] = 2; /* the target's address says nothing in a question */
    sum_up(with, 48, &ip);
    assert_true(parses(&nd, &ip, with, 48));
    assert_false(nd.has_mac);

    with[40] = 1;
    with[41] = 2; /* of another link's size (InfiniBand): not ours */
    sum_up(with, 56, &ip);
    assert_true(parses(&nd, &ip, with, 56));
    assert_false(nd.has_mac);
}

static void groups_and_stations_are_derived(void **state)
{
    (void)state;
    char text[IP_ADDR_TEXT_MAX];
    struct mac_addr mac = {{0x00, 0x1b, 0x21, 0x0a, 0x0b, 0x0c}};
    struct ip_addr a = ip_link_local6(&mac);
    assert_string_equal(ip_format(&a, text), "fe80::21b:21ff:fe0a:b0c");
    assert_true(ip_is_link_local6(&a));
    struct ip_addr target = addr(TARGET), group = ip_solicited_node(&target);
    assert_string_equal(ip_format(&group, text), GROUP);
    assert_true(ip_is_multicast(&group));
    mac = mac_of_group6(&group);
    assert_memory_equal(mac.b, "\x33\x33\xff\x34\x56\x78", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(what_section_7_1_forbids_is_refused),
        cmocka_unit_test(cut_short_anywhere_it_is_refused),
        cmocka_unit_test(who_has_no_address_asks_the_group_without_its_own),
        cmocka_unit_test(an_answer_to_all_answers_nobody),
        cmocka_unit_test(options_that_are_not_ours_are_skipped),
        cmocka_unit_test(groups_and_stations_are_derived),
    };
    return cmocka_run_group_tests_name("nd", tests, NULL, NULL);
}
