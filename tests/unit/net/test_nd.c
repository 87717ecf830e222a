/* test_nd.c: neighbour discovery: asking, answering, what does not convince (RFC 4861), and DAD (RFC 4862). */
#include "world.h"

#include "engine/net/neigh.h"

#include <string.h>

#define FLOW   42u
#define OURS   "2001:db8::1"
#define OURS_G "ff02::1:ff00:1" /* its solicited-node group */
#define PEER   "2001:db8::9"

static const struct mac_addr other_mac = {{0x02, 0, 0, 0, 0xbb, 0xbb}};

static void send_one(struct world *w, const char *remote)
{
    static const struct tcp_segment syn = {.src_port = 2000, .dst_port = 25, .flags = TCP_SYN};
    struct flow_key key = {
        .local = addr(OURS), .remote = addr(remote), .local_port = 2000, .remote_port = 25};
    bool first = net_flow_add(w->net, &key, FLOW);
    (void)first; /* a packet that is not is one more of the same flow */
    assert_true(net_send_segment(w->net, &key, FLOW, &syn, w->now_us));
}

static struct nd advert(const char *target, const struct mac_addr *mac)
{
    return (struct nd){ND_ADVERTISE, true, true, true, *mac, addr(target)};
}

static void give(struct world *w, const char *src, const char *dst, const struct nd *nd)
{
    struct frame f = nd_frame(w, src, dst, nd);
    world_give(w, &f);
}

/* To the link-local address that asked. */
static void answer(struct world *w, const char *target, const struct mac_addr *mac)
{
    char asking[IP_ADDR_TEXT_MAX];
    struct ip_addr ours = world_link_local(w);
    struct nd nd = advert(target, mac);
    give(w, target, ip_format(&ours, asking), &nd);
}

static void expect_silence(struct world *w)
{
    struct frame f;
    assert_false(world_take(w, &f));
}

static void assert_addr(const struct ip_addr *a, const char *text)
{
    char buf[IP_ADDR_TEXT_MAX];
    assert_string_equal(ip_format(a, buf), text);
}

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
    send_one(&w, PEER);
    struct nd nd = take_nd(&w, &eth, &ip);
    assert_int_equal(nd.type, ND_SOLICIT);
    assert_addr(&nd.target, PEER);
    assert_memory_equal(eth.dst.b, "\x33\x33\xff\x00\x00\x09", 6);
    assert_addr(&ip.dst, "ff02::1:ff00:9");
    assert_true(ip_equal(&ip.src, &ours));
    assert_int_equal(ip.ttl, 255);
    assert_true(nd.has_mac);
    assert_memory_equal(nd.mac.b, w.port[0]->mac, 6);
    expect_silence(&w);
    answer(&w, PEER, &test_mac);
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
    send_one(&w, "2001:db8:f::7");
    struct nd nd = take_nd(&w, NULL, NULL);
    assert_addr(&nd.target, "fe80::fe");
    answer(&w, "fe80::fe", &test_mac);
    next_station(&w);
    world_close(&w);
}

static void asks_once_a_second_then_gives_up(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    send_one(&w, PEER);
    take_nd(&w, NULL, NULL);
    for (unsigned i = 1; i < NEIGH_TRIES; i++) {
        world_advance(&w, NEIGH_RETRY_US - 10000);
        expect_silence(&w);
        world_advance(&w, 11000);
        assert_int_equal(take_nd(&w, NULL, NULL).type, ND_SOLICIT);
    }
    world_advance(&w, NEIGH_RETRY_US + 1000);
    expect_silence(&w);
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
    expect_silence(&w);
    send_one(&w, PEER);
    take_nd(&w, &eth, &ip);
    assert_memory_equal(eth.dst.b, test_mac.b, 6); /* unicast, RFC 4861 section 7.3.3 */
    assert_addr(&ip.dst, PEER);
    next_station(&w);
    answer(&w, PEER, &test_mac);
    world_advance(&w, 5 * NEIGH_RETRY_US);
    expect_silence(&w);
    world_close(&w);
}

/* RFC 4861 section 7.2.5: the answer to a unicast question may leave the address out. */
static void an_answer_without_an_address_confirms_what_was_known(void **state)
{
    (void)state;
    struct world w;
    struct nd nd = advert(PEER, &test_mac);
    char asking[IP_ADDR_TEXT_MAX];
    nd.has_mac = false;
    world_open6(&w);
    struct ip_addr ours = world_link_local(&w);
    send_one(&w, PEER);
    take_nd(&w, NULL, NULL);
    give(&w, PEER, ip_format(&ours, asking), &nd); /* nothing is known: no answer */
    expect_silence(&w);
    answer(&w, PEER, &test_mac);
    next_station(&w);
    world_advance(&w, NEIGH_REACHABLE6_US + 1000);
    send_one(&w, PEER);
    take_nd(&w, NULL, NULL);
    next_station(&w);
    give(&w, PEER, asking, &nd);
    world_advance(&w, 5 * NEIGH_RETRY_US);
    expect_silence(&w);
    world_close(&w);
}

/* RFC 4861 section 7.2.5: without the override flag what is known stays (an anycast address, a proxy). */
static void an_answer_that_does_not_override_replaces_nothing(void **state)
{
    (void)state;
    struct world w;
    struct nd nd = advert(PEER, &other_mac);
    char asking[IP_ADDR_TEXT_MAX];
    nd.override = false;
    world_open6(&w);
    struct ip_addr ours = world_link_local(&w);
    world_resolve(&w, PEER);
    world_advance(&w, NEIGH_REACHABLE6_US + 1000);
    send_one(&w, PEER);
    take_nd(&w, NULL, NULL);
    next_station(&w);
    give(&w, PEER, ip_format(&ours, asking), &nd);
    send_one(&w, PEER);
    struct mac_addr to = next_station(&w);
    assert_memory_equal(to.b, test_mac.b, 6);
    nd.override = true;
    give(&w, PEER, asking, &nd);
    send_one(&w, PEER);
    to = next_station(&w);
    assert_memory_equal(to.b, other_mac.b, 6);
    world_close(&w);
}

static void an_answer_nobody_asked_for_makes_no_entry(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    answer(&w, PEER, &test_mac);
    expect_silence(&w);
    send_one(&w, PEER);
    take_nd(&w, NULL, NULL);
    world_close(&w);
}

static void an_unasked_change_is_checked_not_believed(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    struct nd nd = advert(PEER, &other_mac);
    nd.solicited = false;
    world_open6(&w);
    world_resolve(&w, PEER);
    give(&w, PEER, "ff02::1", &nd);
    assert_int_equal(take_nd(&w, &eth, NULL).type, ND_SOLICIT);
    assert_int_equal(eth.dst.b[0], 0x33);
    send_one(&w, PEER);
    struct mac_addr to = next_station(&w);
    assert_memory_equal(to.b, test_mac.b, 6);
    answer(&w, PEER, &other_mac); /* asked, the new one answers */
    send_one(&w, PEER);
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
    give(&w, PEER, OURS_G, &ask);
    struct nd nd = take_nd(&w, &eth, &ip);
    assert_int_equal(nd.type, ND_ADVERTISE);
    assert_true(nd.solicited && nd.override && nd.has_mac);
    assert_memory_equal(nd.mac.b, w.port[0]->mac, 6);
    assert_addr(&nd.target, OURS);
    assert_addr(&ip.src, OURS);
    assert_addr(&ip.dst, PEER);
    assert_memory_equal(eth.dst.b, test_mac.b, 6);

    give(&w, PEER, OURS, &ask); /* unicast: it only wants to know whether we are still there */
    assert_true(take_nd(&w, NULL, NULL).solicited);

    ask.target = world_link_local(&w);
    struct ip_addr g = ip_solicited_node(&ask.target);
    give(&w, "fe80::9", ip_format(&g, group), &ask);
    nd = take_nd(&w, NULL, NULL);
    assert_string_equal(ip_format(&nd.target, text), ip_format(&ask.target, group));

    ask.target = addr("2001:db8::ff00:1"); /* the same group, not ours */
    give(&w, PEER, OURS_G, &ask);
    expect_silence(&w);
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
    give(&w, "::", OURS_G, &probe);
    struct nd nd = take_nd(&w, NULL, &ip);
    assert_addr(&nd.target, OURS);
    assert_addr(&ip.dst, "ff02::1");
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
    give(&w, PEER, OURS_G, &ask);
    ask.mac = (struct mac_addr){{0}};
    give(&w, PEER, OURS_G, &ask);
    memcpy(ask.mac.b, w.port[0]->mac, 6);
    give(&w, PEER, OURS_G, &ask);
    assert_int_equal(world_stat(&w, STAT_net_drop_nd), 4);
    uint8_t advertisement[16] = {134};
    f = icmp6_frame(&w, "fe80::fe", "ff02::1", advertisement, sizeof(advertisement));
    world_give(&w, &f);
    uint8_t redirect[40] = {137};
    f = icmp6_frame(&w, "fe80::fe", OURS, redirect, sizeof(redirect));
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_icmp_kind), 2);
    expect_silence(&w);
    world_close(&w);
}

/* ---- our own addresses ---- */

static void open_tentative(struct world *w, uint32_t transmits)
{
    world_open6(w);
    w->config.dad_transmits = transmits;
    world_restart(w);
}

/* The probes of one round: for our address and for the link-local one. */
static void take_probes(struct world *w)
{
    struct ip_addr link_local = world_link_local(w), none = addr("::");
    for (unsigned i = 0; i < 2; i++) {
        struct eth_header eth;
        struct ip_header ip;
        struct nd nd = take_nd(w, &eth, &ip);
        struct ip_addr expected = i ? link_local : addr(OURS), group = ip_solicited_node(&expected);
        assert_int_equal(nd.type, ND_SOLICIT);
        assert_true(ip_equal(&nd.target, &expected));
        assert_true(ip_equal(&ip.src, &none));
        assert_true(ip_equal(&ip.dst, &group));
        assert_false(nd.has_mac);
        assert_int_equal(eth.dst.b[0], 0x33);
    }
}

static void an_address_is_used_when_nobody_has_it(void **state)
{
    (void)state;
    struct world w;
    struct ip_header ip;
    struct nd ask = {.type = ND_SOLICIT, .has_mac = true, .mac = test_mac, .target = addr(OURS)};
    open_tentative(&w, 2);
    net_announce(w.net, w.now_us);
    assert_int_equal(take_arp(&w, NULL).op, ARP_REQUEST); /* IPv4 is announced as ever */
    take_probes(&w);
    expect_silence(&w);
    assert_false(net_ready(w.net));
    give(&w, PEER, OURS_G, &ask); /* not ours yet: RFC 4862 section 5.4.3 */
    expect_silence(&w);
    send_one(&w, PEER);
    expect_silence(&w);
    assert_int_equal(world_stat(&w, STAT_net_drop_source), 1);
    world_advance(&w, 1001000);
    take_probes(&w);
    world_advance(&w, 1001000);
    for (unsigned i = 0; i < 2; i++) { /* both are announced: RFC 4861 section 7.2.6 */
        struct nd nd = take_nd(&w, NULL, &ip);
        assert_int_equal(nd.type, ND_ADVERTISE);
        assert_false(nd.solicited);
        assert_addr(&ip.dst, "ff02::1");
    }
    assert_true(net_ready(w.net));
    send_one(&w, PEER);
    assert_int_equal(take_nd(&w, NULL, NULL).type, ND_SOLICIT);
    give(&w, PEER, OURS_G, &ask);
    assert_int_equal(take_nd(&w, NULL, NULL).type, ND_ADVERTISE);
    world_advance(&w, 10000000);
    world_drain(&w);
    assert_int_equal(w.heard.duplicates, 0);
    world_close(&w);
}

static void expect_unused(struct world *w)
{
    struct error err;
    struct flow_key key;
    struct ip_addr remote = addr(PEER);
    struct nd ask = {.type = ND_SOLICIT, .has_mac = true, .mac = test_mac, .target = addr(OURS)};
    world_advance(w, 3000000);
    world_drain(w);
    assert_int_equal(w->heard.duplicates, 1);
    assert_addr(&w->heard.duplicate, OURS);
    assert_int_equal(world_stat(w, STAT_net_nd_conflicts), 1);
    give(w, "fe80::9", OURS_G, &ask);
    expect_silence(w);
    send_one(w, PEER);
    expect_silence(w);
    assert_false(net_flow_open(w->net, NULL, &remote, 25, FLOW, &key, &err));
    assert_non_null(strstr(err.text, "no source address fits " PEER));
    struct tcp_segment syn = {.src_port = 25, .dst_port = 2000, .flags = TCP_ACK};
    struct frame f = tcp_frame(w, PEER, OURS, &syn, NULL);
    world_give(w, &f);
    expect_silence(w);
}

static void an_address_that_somebody_has_is_not_used(void **state)
{
    (void)state;
    struct world w;
    struct nd nd = advert(OURS, &other_mac);
    nd.solicited = false;
    open_tentative(&w, 1);
    net_announce(w.net, w.now_us);
    give(&w, OURS, "ff02::1", &nd);
    assert_int_equal(w.heard.shared, 1); /* no other core may use it either */
    expect_unused(&w);
    world_close(&w);
}

/* RFC 4862 section 5.4.3: somebody who wants the same address at the same time. */
static void an_address_that_somebody_wants_is_not_used(void **state)
{
    (void)state;
    struct world w;
    struct nd probe = {.type = ND_SOLICIT, .target = addr(OURS)};
    open_tentative(&w, 1);
    net_announce(w.net, w.now_us);
    give(&w, "::", OURS_G, &probe);
    expect_unused(&w);
    world_close(&w);
}

static void what_another_core_found_out_is_believed(void **state)
{
    (void)state;
    struct world w;
    struct nd nd = advert(OURS, &other_mac);
    nd.solicited = false;
    open_tentative(&w, 1);
    net_announce(w.net, w.now_us);
    world_advance(&w, 1001000); /* this core had its second already */
    struct frame f = nd_frame(&w, OURS, "ff02::1", &nd);
    f.rx_flags = PKT_RX_HANDED_OFF;
    world_give(&w, &f);
    assert_int_equal(w.heard.shared, 0);
    expect_unused(&w);
    world_close(&w);
}

/* Without its link-local address the station asks from its other one. */
static void a_link_local_address_that_is_taken_is_done_without(void **state)
{
    (void)state;
    struct world w;
    struct ip_header ip;
    char text[IP_ADDR_TEXT_MAX];
    open_tentative(&w, 1);
    struct ip_addr link_local = world_link_local(&w);
    struct nd nd = advert(ip_format(&link_local, text), &other_mac);
    nd.solicited = false;
    net_announce(w.net, w.now_us);
    give(&w, text, "ff02::1", &nd);
    world_advance(&w, 1001000);
    world_drain(&w);
    send_one(&w, PEER);
    take_nd(&w, NULL, &ip);
    assert_addr(&ip.src, OURS);
    world_close(&w);
}

static void an_address_in_use_is_defended(void **state)
{
    (void)state;
    struct world w;
    struct ip_header ip;
    struct nd nd = advert(OURS, &other_mac);
    nd.solicited = false;
    world_open6(&w);
    for (unsigned i = 0; i < 10; i++) {
        give(&w, i % 2 ? "fe80::9" : OURS, "ff02::1", &nd);
        if (i == 0) {
            struct nd defence = take_nd(&w, NULL, &ip);
            assert_addr(&defence.target, OURS);
            assert_true(defence.override);
            assert_addr(&ip.dst, "ff02::1");
        }
        expect_silence(&w);
        world_advance(&w, 900000);
    }
    assert_int_equal(world_stat(&w, STAT_net_nd_conflicts), 10);
    assert_int_equal(w.heard.duplicates, 0);
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
        cmocka_unit_test(an_address_is_used_when_nobody_has_it),
        cmocka_unit_test(an_address_that_somebody_has_is_not_used),
        cmocka_unit_test(an_address_that_somebody_wants_is_not_used),
        cmocka_unit_test(what_another_core_found_out_is_believed),
        cmocka_unit_test(a_link_local_address_that_is_taken_is_done_without),
        cmocka_unit_test(an_address_in_use_is_defended),
    };
    return cmocka_run_group_tests_name("nd", tests, NULL, NULL);
}
