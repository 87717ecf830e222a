/* test_own.c: our own IPv6 addresses: duplicate address detection (RFC 4862), and their defence. */
#include "tests/unit/net/nd_kit.h"

#include <string.h>

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
    nd_silence(&w);
    assert_false(net_ready(w.net));
    nd_give(&w, PEER, OURS_G, &ask); /* not ours yet: RFC 4862 section 5.4.3 */
    nd_silence(&w);
    nd_send(&w, PEER);
    nd_silence(&w);
    assert_int_equal(world_stat(&w, STAT_net_drop_source), 1);
    world_advance(&w, 1001000);
    take_probes(&w);
    world_advance(&w, 1001000);
    for (unsigned i = 0; i < 2; i++) { /* both are announced: RFC 4861 section 7.2.6 */
        struct nd nd = take_nd(&w, NULL, &ip);
        assert_int_equal(nd.type, ND_ADVERTISE);
        assert_false(nd.solicited);
        nd_assert_addr(&ip.dst, "ff02::1");
    }
    assert_true(net_ready(w.net));
    nd_send(&w, PEER);
    assert_int_equal(take_nd(&w, NULL, NULL).type, ND_SOLICIT);
    nd_give(&w, PEER, OURS_G, &ask);
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
    nd_assert_addr(&w->heard.duplicate, OURS);
    assert_int_equal(world_stat(w, STAT_net_nd_conflicts), 1);
    nd_give(w, "fe80::9", OURS_G, &ask);
    nd_silence(w);
    nd_send(w, PEER);
    nd_silence(w);
    assert_false(net_flow_open(w->net, NULL, &remote, 25, FLOW, &key, &err));
    assert_non_null(strstr(err.text, "no source address fits " PEER));
    struct tcp_segment syn = {.src_port = 25, .dst_port = 2000, .flags = TCP_ACK};
    struct frame f = tcp_frame(w, PEER, OURS, &syn, NULL);
    world_give(w, &f);
    nd_silence(w);
}

static void announce_and_hear(struct world *w, const char *from, const char *to, const struct nd *nd)
{
    open_tentative(w, 1);
    net_announce(w->net, w->now_us);
    nd_give(w, from, to, nd);
}

static void an_address_that_somebody_has_is_not_used(void **state)
{
    (void)state;
    struct world w;
    struct nd nd = nd_advert(OURS, &other_mac);
    nd.solicited = false;
    announce_and_hear(&w, OURS, "ff02::1", &nd);
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
    announce_and_hear(&w, "::", OURS_G, &probe);
    expect_unused(&w);
    world_close(&w);
}

static void what_another_core_found_out_is_believed(void **state)
{
    (void)state;
    struct world w;
    struct nd nd = nd_advert(OURS, &other_mac);
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
    struct nd nd = nd_advert(ip_format(&link_local, text), &other_mac);
    nd.solicited = false;
    net_announce(w.net, w.now_us);
    nd_give(&w, text, "ff02::1", &nd);
    world_advance(&w, 1001000);
    world_drain(&w);
    nd_send(&w, PEER);
    take_nd(&w, NULL, &ip);
    nd_assert_addr(&ip.src, OURS);
    world_close(&w);
}

static void an_address_in_use_is_defended(void **state)
{
    (void)state;
    struct world w;
    struct ip_header ip;
    struct nd nd = nd_advert(OURS, &other_mac);
    nd.solicited = false;
    world_open6(&w);
    for (unsigned i = 0; i < 10; i++) {
        nd_give(&w, i % 2 ? "fe80::9" : OURS, "ff02::1", &nd);
        if (i == 0) {
            struct nd defence = take_nd(&w, NULL, &ip);
            nd_assert_addr(&defence.target, OURS);
            assert_true(defence.override);
            nd_assert_addr(&ip.dst, "ff02::1");
        }
        nd_silence(&w);
        world_advance(&w, 900000);
    }
    assert_int_equal(world_stat(&w, STAT_net_nd_conflicts), 10);
    assert_int_equal(w.heard.duplicates, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_used_when_nobody_has_it),
        cmocka_unit_test(an_address_that_somebody_has_is_not_used),
        cmocka_unit_test(an_address_that_somebody_wants_is_not_used),
        cmocka_unit_test(what_another_core_found_out_is_believed),
        cmocka_unit_test(a_link_local_address_that_is_taken_is_done_without),
        cmocka_unit_test(an_address_in_use_is_defended),
    };
    return cmocka_run_group_tests_name("own", tests, NULL, NULL);
}
