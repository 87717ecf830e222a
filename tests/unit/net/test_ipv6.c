/* test_ipv6.c: the paths of IPv4 with IPv6 packets: flows, segments, resets, pings, errors. */
#include "world.h"

#include "engine/net/private.h"

#include <string.h>

#define FLOW 42u
#define OURS "2001:db8::1"
#define PEER "2001:db8:f::7"

static struct frame data_frame(const struct world *w, const struct flow_key *key)
{
    struct tcp_segment seg = {.src_port = key->remote_port,
                              .dst_port = key->local_port,
                              .seq = 1000,
                              .ack = 2000,
                              .flags = TCP_ACK | TCP_PSH,
                              .window = 512,
                              .len = 9};
    return tcp_frame(w, PEER, OURS, &seg, "220 hello");
}

static void a_flow_has_an_address_of_its_family(void **state)
{
    (void)state;
    struct world w;
    char text[IP_ADDR_TEXT_MAX];
    world_open6(&w);
    for (unsigned i = 0; i < 4; i++) {
        struct flow_key key = world_flow(&w, PEER, i);
        assert_string_equal(ip_format(&key.local, text), OURS);
        key = world_flow(&w, "198.51.100.7", i + 10);
        assert_string_equal(ip_format(&key.local, text), "192.0.2.1");
    }
    struct ip_addr v6 = addr(PEER), v4 = addr("198.51.100.7");
    assert_int_equal(net_mss(w.net, &v6), 1440);
    assert_int_equal(net_mss(w.net, &v4), 1460);
    world_close(&w);
}

static void the_default_routes_do_not_mix(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    struct flow_key key;
    struct ip_addr v4 = addr("198.51.100.7");
    world_open6(&w);
    w.config.route[1] = w.config.route[3]; /* the IPv4 one is gone */
    w.config.routes = 3;
    world_restart(&w);
    assert_false(net_flow_open(w.net, NULL, &v4, 25, FLOW, &key, &err));
    assert_non_null(strstr(err.text, "no route to 198.51.100.7"));
    world_close(&w);
}

static void a_segment_reaches_its_flow(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    struct flow_key key = world_flow(&w, PEER, FLOW);
    struct frame f = data_frame(&w, &key);
    f.data[15] |= 0x30; /* congestion experienced */
    world_give(&w, &f);
    assert_int_equal(w.heard.segments, 1);
    assert_int_equal(w.heard.flow, FLOW);
    assert_int_equal(w.heard.seg.ip_ecn, 3);
    assert_memory_equal(w.heard.payload, "220 hello", 9);
    world_close(&w);
}

/* One change to a good frame, one reason to drop it. */
static void each_fault_has_its_counter(void **state)
{
    (void)state;
    enum { ETH = 0, IP = 14, TCP = 54 };
    static const struct {
        const char *what;
        unsigned at;
        uint8_t xor ;
        enum stat_id why;
    } cases[] = {
        {"sent to a group", ETH + 0, 0x01, STAT_net_drop_not_ours},
        {"version 4 in an IPv6 frame", IP + 0, 0x20, STAT_net_drop_ip_header},
        {"longer than the frame", IP + 4, 0x10, STAT_net_drop_ip_header},
        {"fragment header", IP + 6, 6 ^ 44, STAT_net_drop_fragment},
        {"UDP", IP + 6, 6 ^ 17, STAT_net_drop_protocol},
        {"ICMP of IPv4", IP + 6, 6 ^ 1, STAT_net_drop_protocol},
        {"from a group", IP + 8, 0x20 ^ 0xff, STAT_net_drop_ip_source},
        {"another host's address", IP + 39, 0x40, STAT_net_drop_not_ours},
        {"a group's address", IP + 24, 0x20 ^ 0xff, STAT_net_drop_not_ours},
        {"TCP checksum", TCP + 16, 0x01, STAT_net_drop_tcp_checksum},
        {"a changed byte of data", TCP + 20, 0x01, STAT_net_drop_tcp_checksum},
        {"a changed source address", IP + 20, 0x01, STAT_net_drop_tcp_checksum},
    };
    struct world w;
    world_open6(&w);
    struct flow_key key = world_flow(&w, PEER, FLOW);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct frame f = data_frame(&w, &key);
        uint64_t before = world_stat(&w, cases[i].why);
        f.data[cases[i].at] ^= cases[i].xor ;
        world_give(&w, &f);
        if (w.heard.segments != 0 || world_stat(&w, cases[i].why) != before + 1)
            fail_msg("%s: was not dropped for that", cases[i].what);
        assert_false(world_take(&w, &f));
    }
    struct frame f = data_frame(&w, &key);
    for (size_t len = f.len; f.len-- > 0;) {
        world_give(&w, &f);
        assert_true(f.len < len);
    }
    assert_int_equal(w.heard.segments, 0);
    world_close(&w);
}

static void sources_that_cannot_be_are_dropped(void **state)
{
    (void)state;
    static const char *const impossible[] = {"::", "::1", "ff02::1", "ff0e::1", OURS};
    struct world w;
    world_open6(&w);
    for (size_t i = 0; i < ARRAY_LEN(impossible); i++) {
        struct tcp_segment ack = {.src_port = 25, .dst_port = 2000, .flags = TCP_ACK};
        struct frame f = tcp_frame(&w, impossible[i], OURS, &ack, NULL);
        world_give(&w, &f);
        assert_int_equal(world_stat(&w, STAT_net_drop_ip_source), i + 1);
        assert_false(world_take(&w, &f));
    }
    world_close(&w);
}

static void a_segment_of_no_flow_is_reset(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    struct ip_header ip;
    char text[IP_ADDR_TEXT_MAX];
    struct tcp_segment ack = {.src_port = 25, .dst_port = 2000, .seq = 1000, .ack = 2000, .flags = TCP_ACK};
    world_open6(&w);
    struct frame f = tcp_frame(&w, PEER, OURS, &ack, NULL);
    world_give(&w, &f);
    struct tcp_segment rst = take_tcp(&w, &eth, &ip, &f);
    assert_int_equal(rst.flags, TCP_RST);
    assert_int_equal(rst.seq, 2000);
    assert_string_equal(ip_format(&ip.src, text), OURS);
    assert_string_equal(ip_format(&ip.dst, text), PEER);
    assert_memory_equal(eth.dst.b, test_mac.b, 6); /* back to where it came from, nobody is asked */
    world_close(&w);
}

static void a_segment_leaves_with_its_header(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    struct ip_header ip, again;
    world_open6(&w);
    world_resolve(&w, PEER);
    struct flow_key key = world_flow(&w, PEER, FLOW), other = world_flow(&w, PEER, FLOW + 1);
    struct tcp_segment seg = {
        .src_port = key.local_port, .dst_port = 25, .flags = TCP_ACK, .seq = 5, .ip_ecn = 2};
    assert_true(net_send_segment(w.net, &key, FLOW, &seg, w.now_us));
    take_tcp(&w, NULL, &ip, &f);
    assert_int_equal(f.len, 14 + 40 + 20);
    assert_int_equal(ip.ttl, 64);
    assert_int_equal(ip.ecn, 2);
    assert_true(net_send_segment(w.net, &key, FLOW, &seg, w.now_us));
    take_tcp(&w, NULL, &again, &f);
    assert_int_equal(again.flow_label, ip.flow_label); /* RFC 6437 section 3 */
    assert_true(net_send_segment(w.net, &other, FLOW, &seg, w.now_us));
    take_tcp(&w, NULL, &again, &f);
    assert_int_not_equal(again.flow_label, ip.flow_label);
    world_close(&w);
}

static void the_tcp_checksum_is_left_to_a_port_that_makes_it(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    w.port[0]->offloads = PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_TX_TCP_CSUM;
    struct flow_key key = world_flow(&w, PEER, FLOW);
    struct tcp_segment ack = {.src_port = key.local_port, .dst_port = 25, .flags = TCP_ACK, .seq = 5};
    struct pkt *p = pkt_alloc(w.port[0]->tx_pool, PKT_CONTROL);
    frame_push_tcp(w.net, p, &key, &ack);
    assert_int_equal(p->flags, PKT_TX_TCP_CSUM); /* there is none in the IPv6 header */
    assert_int_equal(p->l2_len, 14);
    assert_int_equal(p->l3_len, 40);
    uint8_t *tcp = p->data + 54;
    uint16_t sum = checksum_finish(checksum_add(0, tcp, 20));
    memcpy(tcp + 16, &sum, 2);
    uint32_t pseudo = checksum_tcp_pseudo(&key.local, &key.remote, 20);
    assert_int_equal(checksum_finish(checksum_add(pseudo, tcp, 20)), 0);
    pkt_free(p);
    world_close(&w);
}

static void a_ping_is_answered_in_place(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    struct ip_header ip;
    struct icmp icmp;
    char text[IP_ADDR_TEXT_MAX];
    world_open6(&w);
    for (size_t len = 8; len <= 1460; len += 44) {
        uint8_t ping[1460] = {128, 0, 0, 0, 0x12, 0x34, 0, 1};
        memset(ping + 8, 0x5a, sizeof(ping) - 8);
        struct frame f = icmp6_frame(&w, PEER, OURS, ping, len), reply;
        world_give(&w, &f);
        assert_true(world_take(&w, &reply));
        assert_true(eth_parse(&eth, reply.data, reply.len));
        assert_int_equal(eth.type, ETH_TYPE_IPV6);
        assert_memory_equal(eth.dst.b, test_mac.b, 6);
        assert_int_equal(ip_header_parse(&ip, reply.data + 14, reply.len - 14, true), IP_OK);
        assert_string_equal(ip_format(&ip.dst, text), PEER);
        assert_int_equal(reply.len, f.len);
        assert_true(icmp6_parse(&icmp, &ip, reply.data + 54, ip.payload_len));
        assert_int_equal(icmp.type, 129);
        assert_memory_equal(reply.data + 58, f.data + 58, f.len - 58);
    }
    uint8_t ping[8] = {128};
    struct frame f = icmp6_frame(&w, PEER, "ff02::1", ping, 8);
    world_give(&w, &f); /* everybody is asked: nobody need answer */
    assert_false(world_take(&w, &f));
    f = icmp6_frame(&w, OURS, OURS, ping, 8);
    world_give(&w, &f);
    assert_false(world_take(&w, &f));
    assert_int_equal(world_stat(&w, STAT_net_drop_icmp_kind), 2);
    world_close(&w);
}

/* Extension headers are not sent back, and no padding. */
static void only_the_message_is_echoed(void **state)
{
    (void)state;
    struct world w;
    uint8_t ping[12] = {128, 0, 0, 0, 0x12, 0x34, 0, 1, 'p', 'i', 'n', 'g'};
    world_open6(&w);
    struct frame f = icmp6_frame(&w, PEER, OURS, ping, sizeof(ping)), reply;
    memmove(f.data + 62, f.data + 54, sizeof(ping));
    memcpy(f.data + 54, "\x3a\x00\x01\x04\x00\x00\x00\x00", 8);
    f.data[20] = 60;
    f.data[19] = 8 + sizeof(ping);
    f.len = 80;
    world_give(&w, &f);
    assert_true(world_take(&w, &reply));
    assert_int_equal(reply.len, 14 + 40 + sizeof(ping));
    assert_int_equal(reply.data[20], 58);
    assert_memory_equal(reply.data + 62, "ping", 4);
    world_close(&w);
}

/* What a router says of a segment that we sent. */
static struct frame error_about(const struct world *w, const struct flow_key *key, uint8_t type, uint8_t code,
                                uint16_t mtu)
{
    uint8_t icmp[8 + 40 + 8] = {type, code, 0, 0, 0, 0, (uint8_t)(mtu >> 8), (uint8_t)mtu};
    struct ip_header inner = {
        .src = key->local, .dst = key->remote, .protocol = 6, .ttl = 1, .payload_len = 1460};
    ipv6_emit(icmp + 8, &inner);
    struct bytes_out tcp = bytes_out(icmp + 48, 8);
    bytes_put_be16(&tcp, key->local_port);
    bytes_put_be16(&tcp, key->remote_port);
    bytes_put_be32(&tcp, 0x01020304);
    return icmp6_frame(w, "2001:db8:9::9", OURS, icmp, sizeof(icmp));
}

static void an_error_reaches_the_flow_that_it_quotes(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    struct flow_key key = world_flow(&w, PEER, FLOW), other = key;
    struct frame f = error_about(&w, &key, 2, 0, 1400);
    world_give(&w, &f);
    assert_int_equal(w.heard.icmp_errors, 1);
    assert_int_equal(w.heard.flow, FLOW);
    assert_int_equal(w.heard.icmp.kind, ICMP_FRAG_NEEDED);
    assert_int_equal(w.heard.icmp.mtu, 1400);
    assert_int_equal(w.heard.icmp.inner_seq, 0x01020304);
    f = error_about(&w, &key, 1, 4, 0);
    world_give(&w, &f);
    assert_int_equal(w.heard.icmp_errors, 2);
    assert_true(w.heard.icmp.hard);
    f = error_about(&w, &key, 2, 0, 1000); /* no link of IPv6 is that small */
    world_give(&w, &f);
    other.remote_port ^= 1;
    f = error_about(&w, &other, 2, 0, 1400);
    world_give(&w, &f);
    assert_int_equal(w.heard.icmp_errors, 2);
    assert_int_equal(world_stat(&w, STAT_net_drop_icmp), 1);
    assert_int_equal(world_stat(&w, STAT_net_drop_icmp_flow), 1);
    assert_false(world_take(&w, &f));
    world_close(&w);
}

static void a_port_of_less_than_1280_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    struct net_handler handler = {0};
    world_open6(&w);
    w.port[0]->mtu = 1279;
    assert_null(net_open(&w.config, w.port[0], &w.wheel, &w.stats, &handler, &err));
    assert_non_null(strstr(err.text, "1280"));
    w.port[0]->mtu = 1500;
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_has_an_address_of_its_family),
        cmocka_unit_test(the_default_routes_do_not_mix),
        cmocka_unit_test(a_segment_reaches_its_flow),
        cmocka_unit_test(each_fault_has_its_counter),
        cmocka_unit_test(sources_that_cannot_be_are_dropped),
        cmocka_unit_test(a_segment_of_no_flow_is_reset),
        cmocka_unit_test(a_segment_leaves_with_its_header),
        cmocka_unit_test(the_tcp_checksum_is_left_to_a_port_that_makes_it),
        cmocka_unit_test(a_ping_is_answered_in_place),
        cmocka_unit_test(only_the_message_is_echoed),
        cmocka_unit_test(an_error_reaches_the_flow_that_it_quotes),
        cmocka_unit_test(a_port_of_less_than_1280_is_refused),
    };
    return cmocka_run_group_tests_name("ipv6", tests, NULL, NULL);
}
