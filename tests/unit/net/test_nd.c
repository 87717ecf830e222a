/* test_nd.c: neighbour discovery: asking, answering, what does not convince (RFC 4861). */
#include "tests/unit/net/nd_kit.h"

#include "engine/net/neigh.h"

#include <string.h>

static struct mac_addr next_station(struct world *w)
{
    struct eth_header eth;
    struct frame f;
    take_tcp(w, &eth, NULL, &f);
    return eth.dst;
}

static void first_packet_waits_for_the_answer(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    struct ip_header ip;
    world_open6(&w);
    struct ip_addr ours = world_link_local(&w);
    nd_send(&w, PEER);
    struct nd nd = take_nd(&w, &eth, &ip);
    assert_int_equal(nd.type, ND_SOLICIT);
    nd_assert_addr(&nd.target, PEER);
    assert_memory_equal(eth.dst.b, "\x33\x33\xff\x00\x00\x09", 6);
    nd_assert_addr(&ip.dst, "ff02::1:ff00:9");
    assert_true(ip_equal(&ip.src, &ours));
    assert_int_equal(ip.ttl, 255);
    assert_true(nd.has_mac);
    assert_memory_equal(nd.mac.b, w.port[0]->mac, 6);
    nd_silence(&w);
    nd_answer(&w, PEER, &test_mac);
    struct mac_addr to = next_station(&w);
    assert_memory_equal(to.b, test_mac.b, 6);
    assert_int_equal(w.heard.shared, 1);
    assert_int_equal(world_stat(&w, STAT_net_nd_solicits), 1);
    world_close(&w);
}

static void what_is_off_link_goes_to_the_link_local_gateway(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    nd_send(&w, "2001:db8:f::7");
    struct nd nd = take_nd(&w, NULL, NULL);
    nd_assert_addr(&nd.target, "fe80::fe");
    nd_answer(&w, "fe80::fe", &test_mac);
    next_station(&w);
    world_close(&w);
}

static void asks_once_a_second_then_gives_up(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    nd_send(&w, PEER);
    take_nd(&w, NULL, NULL);
    for (unsigned i = 1; i < NEIGH_TRIES; i++) {
        world_advance(&w, NEIGH_RETRY_US - 10000);
        nd_silence(&w);
        world_advance(&w, 11000);
        assert_int_equal(take_nd(&w, NULL, NULL).type, ND_SOLICIT);
    }
    world_advance(&w, NEIGH_RETRY_US + 1000);
    nd_silence(&w);
    assert_int_equal(w.heard.unreachables, 1);
    assert_int_equal(w.heard.flow, FLOW);
    world_close(&w);
}

static void an_old_entry_is_asked_about_while_it_is_used(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    struct ip_header ip;
    world_open6(&w);
    world_resolve(&w, PEER);
    world_advance(&w, NEIGH_REACHABLE6_US + 1000);
    nd_silence(&w);
    nd_send(&w, PEER);
    take_nd(&w, &eth, &ip);
    assert_memory_equal(eth.dst.b, test_mac.b, 6); /* unicast, RFC 4861 section 7.3.3 */
    nd_assert_addr(&ip.dst, PEER);
    next_station(&w);
    nd_answer(&w, PEER, &test_mac);
    world_advance(&w, 5 * NEIGH_RETRY_US);
    nd_silence(&w);
    world_close(&w);
}

/* RFC 4861 section 7.2.5: the answer to a unicast question may leave the address out. */
static void an_answer_without_an_address_confirms_what_was_known(void **state)
{
    (void)state;
    struct world w;
    struct nd nd = nd_advert(PEER, &test_mac);
    char asking[IP_ADDR_TEXT_MAX];
    nd.has_mac = false;
    world_open6(&w);
    struct ip_addr ours = world_link_local(&w);
    nd_send(&w, PEER);
    take_nd(&w, NULL, NULL);
    nd_give(&w, PEER, ip_format(&ours, asking), &nd); /* nothing is known: no answer */
    nd_silence(&w);
    nd_answer(&w, PEER, &test_mac);
    next_station(&w);
    world_advance(&w, NEIGH_REACHABLE6_US + 1000);
    nd_send(&w, PEER);
    take_nd(&w, NULL, NULL);
    next_station(&w);
    nd_give(&w, PEER, asking, &nd);
    world_advance(&w, 5 * NEIGH_RETRY_US);
    nd_silence(&w);
    world_close(&w);
}

/* RFC 4861 section 7.2.5: without the override flag what is known stays (an anycast address, a proxy). */
static void an_answer_that_does_not_override_replaces_nothing(void **state)
{
    (void)state;
    struct world w;
    struct nd nd = nd_advert(PEER, &other_mac);
    char asking[IP_ADDR_TEXT_MAX];
    nd.override = false;
    world_open6(&w);
    struct ip_addr ours = world_link_local(&w);
    world_resolve(&w, PEER);
    world_advance(&w, NEIGH_REACHABLE6_US + 1000);
    nd_send(&w, PEER);
    take_nd(&w, NULL, NULL);
    next_station(&w);
    nd_give(&w, PEER, ip_format(&ours, asking), &nd);
    nd_send(&w, PEER);
    struct mac_addr to = next_station(&w);
    assert_memory_equal(to.b, test_mac.b, 6);
    nd.override = true;
    nd_give(&w, PEER, asking, &nd);
    nd_send(&w, PEER);
    to = next_station(&w);
    assert_memory_equal(to.b, other_mac.b, 6);
    world_close(&w);
}

static void an_answer_nobody_asked_for_makes_no_entry(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    nd_answer(&w, PEER, &test_mac);
    nd_silence(&w);
    nd_send(&w, PEER);
    take_nd(&w, NULL, NULL);
    world_close(&w);
}

static void an_unasked_change_is_checked_not_believed(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    struct nd nd = nd_advert(PEER, &other_mac);
    nd.solicited = false;
    world_open6(&w);
    world_resolve(&w, PEER);
    nd_give(&w, PEER, "ff02::1", &nd);
    assert_int_equal(take_nd(&w, &eth, NULL).type, ND_SOLICIT);
    assert_int_equal(eth.dst.b[0], 0x33);
    nd_send(&w, PEER);
    struct mac_addr to = next_station(&w);
    assert_memory_equal(to.b, test_mac.b, 6);
    nd_answer(&w, PEER, &other_mac); /* asked, the new one answers */
    nd_send(&w, PEER);
    to = next_station(&w);
    assert_memory_equal(to.b, other_mac.b, 6);
    world_close(&w);
}

static void solicitations_for_our_addresses_are_answered(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    struct ip_header ip;
    struct nd ask = {.type = ND_SOLICIT, .has_mac = true, .mac = test_mac, .target = addr(OURS)};
    char text[IP_ADDR_TEXT_MAX], group[IP_ADDR_TEXT_MAX];
    world_open6(&w);
    nd_give(&w, PEER, OURS_G, &ask);
    struct nd nd = take_nd(&w, &eth, &ip);
    assert_int_equal(nd.type, ND_ADVERTISE);
    assert_true(nd.solicited && nd.override && nd.has_mac);
    assert_memory_equal(nd.mac.b, w.port[0]->mac, 6);
    nd_assert_addr(&nd.target, OURS);
    nd_assert_addr(&ip.src, OURS);
    nd_assert_addr(&ip.dst, PEER);
    assert_memory_equal(eth.dst.b, test_mac.b, 6);

    nd_give(&w, PEER, OURS, &ask); /* unicast: it only wants to know whether we are still there */
    assert_true(take_nd(&w, NULL, NULL).solicited);

    ask.target = world_link_local(&w);
    struct ip_addr g = ip_solicited_node(&ask.target);
    nd_give(&w, "fe80::9", ip_format(&g, group), &ask);
    nd = take_nd(&w, NULL, NULL);
    assert_string_equal(ip_format(&nd.target, text), ip_format(&ask.target, group));

    ask.target = addr("2001:db8::ff00:1"); /* the same group, not ours */
    nd_give(&w, PEER, OURS_G, &ask);
    nd_silence(&w);
    world_close(&w);
}

/* RFC 4861 section 7.2.4: who has no address yet is answered to all. */
static void somebody_elses_dad_is_answered(void **state)
{
    (void)state;
    struct world w;
    struct ip_header ip;
    struct nd probe = {.type = ND_SOLICIT, .target = addr(OURS)};
    world_open6(&w);
    nd_give(&w, "::", OURS_G, &probe);
    struct nd nd = take_nd(&w, NULL, &ip);
    nd_assert_addr(&nd.target, OURS);
    nd_assert_addr(&ip.dst, "ff02::1");
    assert_false(nd.solicited);
    assert_int_equal(world_stat(&w, STAT_net_nd_conflicts), 0);
    world_close(&w);
}

static void what_is_not_nd_or_not_plausible_is_dropped(void **state)
{
    (void)state;
    struct world w;
    struct nd ask = {.type = ND_SOLICIT, .has_mac = true, .mac = test_mac, .target = addr(OURS)};
    world_open6(&w);
    struct frame f = nd_frame(&w, PEER, OURS_G, &ask);
    f.data[14 + 7] = 254; /* from beyond a router: RFC 4861 section 7.1.1 */
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_nd), 1);
    ask.mac.b[0] |= 1; /* a group is nobody's address */
    nd_give(&w, PEER, OURS_G, &ask);
    ask.mac = (struct mac_addr){{0}};
    nd_give(&w, PEER, OURS_G, &ask);
    memcpy(ask.mac.b, w.port[0]->mac, 6);
    nd_give(&w, PEER, OURS_G, &ask);
    assert_int_equal(world_stat(&w, STAT_net_drop_nd), 4);
    uint8_t advertisement[16] = {134};
    f = icmp6_frame(&w, "fe80::fe", "ff02::1", advertisement, sizeof(advertisement));
    world_give(&w, &f);
    uint8_t redirect[40] = {137};
    f = icmp6_frame(&w, "fe80::fe", OURS, redirect, sizeof(redirect));
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_icmp_kind), 2);
    nd_silence(&w);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_packet_waits_for_the_answer),
        cmocka_unit_test(what_is_off_link_goes_to_the_link_local_gateway),
        cmocka_unit_test(asks_once_a_second_then_gives_up),
        cmocka_unit_test(an_old_entry_is_asked_about_while_it_is_used),
        cmocka_unit_test(an_answer_without_an_address_confirms_what_was_known),
        cmocka_unit_test(an_answer_that_does_not_override_replaces_nothing),
        cmocka_unit_test(an_answer_nobody_asked_for_makes_no_entry),
        cmocka_unit_test(an_unasked_change_is_checked_not_believed),
        cmocka_unit_test(solicitations_for_our_addresses_are_answered),
        cmocka_unit_test(somebody_elses_dad_is_answered),
        cmocka_unit_test(what_is_not_nd_or_not_plausible_is_dropped),
    };
    return cmocka_run_group_tests_name("nd", tests, NULL, NULL);
}
