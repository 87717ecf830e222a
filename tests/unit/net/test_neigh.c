/* test_neigh.c: ARP: asking, answering, giving up, and what does not convince (RFC 826, RFC 1122 section 2.3.2). */
#include "world.h"

#include "engine/net/neigh.h"

#include <string.h>

#define FLOW 42u

static const struct mac_addr other_mac = {{0x02, 0, 0, 0, 0xbb, 0xbb}};

static struct flow_key key_to(const char *remote)
{
    return (struct flow_key){
        .local = addr("192.0.2.1"), .remote = addr(remote), .local_port = 2000, .remote_port = 25};
}

static void send_one(struct world *w, const char *remote)
{
    static const struct tcp_segment syn = {.src_port = 2000, .dst_port = 25, .flags = TCP_SYN};
    struct flow_key key = key_to(remote);
    bool first = net_flow_add(w->net, &key, FLOW);
    (void)first; /* a packet that is not is one more of the same flow */
    assert_true(net_send_segment(w->net, &key, FLOW, &syn, w->now_us));
}

static void answer(struct world *w, const struct mac_addr *mac, const char *sender)
{
    struct frame f = arp_frame(ARP_REPLY, mac, sender, "192.0.2.1");
    world_give(w, &f);
}

static void first_packet_waits_for_the_answer(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    struct eth_header eth;
    world_open(&w);
    send_one(&w, "192.0.2.9");
    struct arp arp = take_arp(&w, &eth);
    assert_int_equal(arp.op, ARP_REQUEST);
    assert_int_equal(eth.dst.b[0], 0xff);
    assert_memory_equal(arp.sender_mac.b, w.port[0]->mac, 6);
    struct ip_addr asked = addr("192.0.2.9"), asking = addr("192.0.2.1");
    assert_true(ip_equal(&arp.target_ip, &asked));
    assert_true(ip_equal(&arp.sender_ip, &asking));
    assert_false(world_take(&w, &f));

    answer(&w, &test_mac, "192.0.2.9");
    take_tcp(&w, &eth, NULL, &f);
    assert_memory_equal(eth.dst.b, test_mac.b, 6);
    assert_memory_equal(eth.src.b, w.port[0]->mac, 6);
    send_one(&w, "192.0.2.9");
    take_tcp(&w, &eth, NULL, &f);
    assert_memory_equal(eth.dst.b, test_mac.b, 6);
    assert_int_equal(world_stat(&w, STAT_net_arp_requests), 1);
    world_close(&w);
}

static void what_is_off_link_goes_to_the_gateway(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    send_one(&w, "198.51.100.7");
    struct arp arp = take_arp(&w, NULL);
    struct ip_addr gateway = addr("192.0.2.254");
    assert_true(ip_equal(&arp.target_ip, &gateway));
    world_close(&w);
}

static void asks_once_a_second_then_gives_up(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    send_one(&w, "192.0.2.9");
    take_arp(&w, NULL);
    world_advance(&w, NEIGH_RETRY_US - 1000);
    assert_false(world_take(&w, &f));
    world_advance(&w, 2000);
    take_arp(&w, NULL);
    world_advance(&w, NEIGH_RETRY_US);
    take_arp(&w, NULL);
    assert_int_equal(w.heard.unreachables, 0);
    world_advance(&w, NEIGH_RETRY_US);
    assert_false(world_take(&w, &f));
    assert_int_equal(w.heard.unreachables, 1);
    assert_int_equal(w.heard.flow, FLOW);
    assert_int_equal(world_stat(&w, STAT_net_drop_no_neighbour), 1);

    send_one(&w, "192.0.2.9"); /* and asks anew for the next packet */
    take_arp(&w, NULL);
    answer(&w, &test_mac, "192.0.2.9");
    take_tcp(&w, NULL, NULL, &f);
    world_close(&w);
}

/* Its number may have gone to another flow, which has nothing to do with this. */
static void a_flow_that_has_ended_is_not_blamed(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    send_one(&w, "192.0.2.9");
    struct flow_key key = key_to("192.0.2.9");
    net_flow_close(w.net, &key);
    world_flow(&w, "192.0.2.8", FLOW);
    world_advance(&w, NEIGH_TRIES * NEIGH_RETRY_US + 1000);
    assert_int_equal(world_stat(&w, STAT_net_drop_no_neighbour), 1);
    assert_int_equal(w.heard.unreachables, 0);
    world_drain(&w);
    world_close(&w);
}

static void a_lost_request_costs_a_second(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    send_one(&w, "192.0.2.9");
    take_arp(&w, NULL);
    world_advance(&w, NEIGH_RETRY_US + 1000);
    take_arp(&w, NULL);
    answer(&w, &test_mac, "192.0.2.9");
    take_tcp(&w, NULL, NULL, &f);
    world_advance(&w, 5 * NEIGH_RETRY_US);
    assert_int_equal(w.heard.unreachables, 0);
    world_close(&w);
}

/* RFC 1122 section 2.3.2.2: the latest packets are kept. */
static void held_packets_are_bounded_the_oldest_go(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    for (unsigned i = 0; i < NEIGH_HELD_MAX + 5; i++)
        send_one(&w, "192.0.2.9");
    assert_int_equal(world_stat(&w, STAT_net_drop_no_neighbour), 5);
    take_arp(&w, NULL);
    answer(&w, &test_mac, "192.0.2.9");
    unsigned sent = 0;
    while (world_take(&w, &f))
        sent++;
    assert_int_equal(sent, NEIGH_HELD_MAX);
    world_close(&w);
}

static void an_answer_nobody_asked_for_makes_no_entry(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    answer(&w, &test_mac, "192.0.2.9");
    assert_false(world_take(&w, &f));
    send_one(&w, "192.0.2.9");
    take_arp(&w, NULL);
    world_close(&w);
}

static void an_unasked_change_is_checked_not_believed(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    struct eth_header eth;
    world_open(&w);
    world_resolve(&w, "192.0.2.9");
    answer(&w, &other_mac, "192.0.2.9");
    struct arp arp = take_arp(&w, &eth);
    assert_int_equal(arp.op, ARP_REQUEST);
    assert_int_equal(eth.dst.b[0], 0xff);
    send_one(&w, "192.0.2.9");
    take_tcp(&w, &eth, NULL, &f);
    assert_memory_equal(eth.dst.b, test_mac.b, 6);
    answer(&w, &test_mac, "192.0.2.9"); /* the true owner answers the question */
    send_one(&w, "192.0.2.9");
    take_tcp(&w, &eth, NULL, &f);
    assert_memory_equal(eth.dst.b, test_mac.b, 6);
    world_close(&w);
}

/* A gateway that fails over announces itself; asked, only the new one answers. */
static void a_failover_is_followed_after_one_question(void **state)
{
    (void)state;
    struct world w;
    struct frame f = arp_frame(ARP_REQUEST, &other_mac, "192.0.2.254", "192.0.2.254");
    struct eth_header eth;
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    world_give(&w, &f);
    take_arp(&w, NULL);
    answer(&w, &other_mac, "192.0.2.254");
    send_one(&w, "198.51.100.7");
    take_tcp(&w, &eth, NULL, &f);
    assert_memory_equal(eth.dst.b, other_mac.b, 6);
    assert_int_equal(w.heard.shared, 2);
    world_close(&w);
}

static void an_old_entry_is_asked_about_while_it_is_used(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    struct eth_header eth;
    world_open(&w);
    world_resolve(&w, "192.0.2.9");
    world_advance(&w, NEIGH_REACHABLE_US + 1000);
    assert_false(world_take(&w, &f)); /* nobody used it: nobody asks */
    send_one(&w, "192.0.2.9");
    take_arp(&w, &eth);
    assert_memory_equal(eth.dst.b, test_mac.b, 6); /* unicast, RFC 1122 section 2.3.2.1 (2) */
    take_tcp(&w, &eth, NULL, &f);
    answer(&w, &test_mac, "192.0.2.9");
    world_advance(&w, 5 * NEIGH_RETRY_US);
    assert_false(world_take(&w, &f));
    world_close(&w);
}

static void a_neighbour_that_went_away_is_given_up(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    world_resolve(&w, "192.0.2.9");
    world_advance(&w, NEIGH_REACHABLE_US + 1000);
    send_one(&w, "192.0.2.9");
    world_advance(&w, NEIGH_TRIES * NEIGH_RETRY_US + 1000); /* unicast questions, no answer */
    send_one(&w, "192.0.2.9");                              /* now it waits */
    world_advance(&w, NEIGH_TRIES * NEIGH_RETRY_US + 1000);
    assert_int_equal(w.heard.unreachables, 1);
    assert_int_equal(world_stat(&w, STAT_net_arp_requests), 1 + 2 * NEIGH_TRIES);
    world_drain(&w);
    world_close(&w);
}

static void an_unused_entry_is_forgotten(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    world_resolve(&w, "192.0.2.9");
    assert_int_equal(w.wheel.armed, 1);
    world_advance(&w, (uint64_t)NEIGH_REACHABLE_US + NEIGH_STALE_US + 1000000);
    assert_int_equal(w.wheel.armed, 0);
    world_close(&w);
}

static void send_answer(struct world *w, const char *remote)
{
    static const struct tcp_segment rst = {.src_port = 2000, .dst_port = 25, .flags = TCP_RST};
    struct flow_key key = key_to(remote);
    assert_true(net_send_segment(w->net, &key, NET_NO_FLOW, &rst, w->now_us));
}

static void open_full(struct world *w)
{
    world_open(w);
    w->config.neighbours_max = 2;
    world_restart(w);
    world_resolve(w, "192.0.2.9");
    world_resolve(w, "192.0.2.10");
}

static void a_full_table_gives_up_what_is_stale(void **state)
{
    (void)state;
    struct world w;
    open_full(&w);
    send_answer(&w, "192.0.2.11"); /* both are reachable, and nobody of ours wants to go there */
    assert_int_equal(world_stat(&w, STAT_net_drop_no_neighbour), 1);
    world_advance(&w, NEIGH_REACHABLE_US + 1000);
    world_resolve(&w, "192.0.2.11");
    world_close(&w);
}

static void a_full_table_gives_up_for_a_flow_who_is_not_used(void **state)
{
    (void)state;
    struct world w;
    open_full(&w);
    send_one(&w, "192.0.2.9");
    uint64_t asked = world_stat(&w, STAT_net_arp_requests);
    send_one(&w, "192.0.2.11");
    assert_int_equal(world_stat(&w, STAT_net_drop_no_neighbour), 0);
    assert_int_equal(world_stat(&w, STAT_net_arp_requests), asked + 1);
    send_one(&w, "192.0.2.9"); /* confirmed before 192.0.2.10, and used */
    assert_int_equal(world_stat(&w, STAT_net_arp_requests), asked + 1);
    world_drain(&w);
    world_close(&w);
}

static void a_table_of_neighbours_in_use_gives_up_the_oldest(void **state)
{
    (void)state;
    struct world w;
    open_full(&w);
    send_one(&w, "192.0.2.9");
    send_one(&w, "192.0.2.10");
    uint64_t asked = world_stat(&w, STAT_net_arp_requests);
    send_one(&w, "192.0.2.11");
    send_one(&w, "192.0.2.10");
    assert_int_equal(world_stat(&w, STAT_net_arp_requests), asked + 1);
    assert_int_equal(world_stat(&w, STAT_net_drop_no_neighbour), 0);
    world_drain(&w);
    world_close(&w);
}

static void requests_for_our_addresses_are_answered(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    struct frame f = arp_frame(ARP_REQUEST, &test_mac, "192.0.2.9", "192.0.2.1");
    world_open(&w);
    world_give(&w, &f);
    struct arp arp = take_arp(&w, &eth);
    struct ip_addr ours = addr("192.0.2.1"), theirs = addr("192.0.2.9");
    assert_int_equal(arp.op, ARP_REPLY);
    assert_memory_equal(arp.sender_mac.b, w.port[0]->mac, 6);
    assert_memory_equal(arp.target_mac.b, test_mac.b, 6);
    assert_memory_equal(eth.dst.b, test_mac.b, 6);
    assert_true(ip_equal(&arp.sender_ip, &ours));
    assert_true(ip_equal(&arp.target_ip, &theirs));

    f = arp_frame(ARP_REQUEST, &test_mac, "0.0.0.0", "192.0.2.1"); /* RFC 5227: a probe for our address */
    world_give(&w, &f);
    assert_int_equal(take_arp(&w, NULL).op, ARP_REPLY);
    f = arp_frame(ARP_REQUEST, &test_mac, "192.0.2.9", "192.0.2.2");
    world_give(&w, &f);
    assert_false(world_take(&w, &f));
    world_close(&w);
}

static void implausible_arp_is_dropped(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct frame f = arp_frame(ARP_REPLY, &test_mac, "192.0.2.9", "192.0.2.1");
    f.data[ETH_HEADER_BYTES + 13] ^= 1; /* the sender inside is not the sender of the frame */
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_arp), 1);

    struct mac_addr group = {{0x03, 0, 0, 0, 0, 1}};
    f = arp_frame(ARP_REPLY, &group, "192.0.2.9", "192.0.2.1");
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_not_ours), 1);

    f = arp_frame(ARP_REPLY, &test_mac, "192.0.2.9", "192.0.2.1");
    f.len = ETH_HEADER_BYTES + ARP_BYTES - 1;
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_arp), 2);

    f = arp_frame(3, &test_mac, "192.0.2.9", "192.0.2.1");
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_arp), 3);
    world_close(&w);
}

/* RFC 5227 section 2.4: said at once, then at most every ten seconds; and nothing is learned from it. */
static void an_address_of_ours_is_defended(void **state)
{
    (void)state;
    struct world w;
    struct eth_header eth;
    world_open(&w);
    struct frame f = arp_frame(ARP_REQUEST, &test_mac, "192.0.2.1", "192.0.2.9"), out;
    world_give(&w, &f);
    struct arp arp = take_arp(&w, &eth);
    assert_int_equal(eth.dst.b[0], 0xff);
    assert_true(ip_equal(&arp.sender_ip, &w.config.address[0]));
    assert_true(ip_equal(&arp.target_ip, &w.config.address[0]));
    for (unsigned i = 0; i < 9; i++) {
        world_advance(&w, 1000000);
        world_give(&w, &f);
        assert_false(world_take(&w, &out));
    }
    world_advance(&w, 1000000);
    world_give(&w, &f);
    take_arp(&w, NULL);
    assert_int_equal(world_stat(&w, STAT_net_arp_conflicts), 11);
    assert_int_equal(w.heard.shared, 0);
    world_close(&w);
}

static void spoofed_answers_to_others_change_nothing(void **state)
{
    (void)state;
    struct world w;
    struct frame f = arp_frame(ARP_REPLY, &other_mac, "192.0.2.9", "192.0.2.77");
    struct eth_header eth;
    world_open(&w);
    send_one(&w, "192.0.2.9");
    take_arp(&w, NULL);
    world_give(&w, &f); /* an open question, but this is no answer to us */
    assert_false(world_take(&w, &f));
    answer(&w, &test_mac, "192.0.2.9");
    take_tcp(&w, &eth, NULL, &f);
    assert_memory_equal(eth.dst.b, test_mac.b, 6);
    world_close(&w);
}

static void what_another_core_shared_is_learned_not_answered(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    send_one(&w, "192.0.2.9");
    take_arp(&w, NULL);
    f = arp_frame(ARP_REPLY, &test_mac, "192.0.2.9", "192.0.2.1");
    f.rx_flags = PKT_RX_HANDED_OFF;
    world_give(&w, &f);
    take_tcp(&w, NULL, NULL, &f);
    assert_int_equal(w.heard.shared, 0);
    f = arp_frame(ARP_REQUEST, &test_mac, "192.0.2.9", "192.0.2.1");
    f.rx_flags = PKT_RX_HANDED_OFF;
    world_give(&w, &f);
    assert_false(world_take(&w, &f));
    world_close(&w);
}

static void announces_each_address(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    w.config.addresses = 2;
    w.config.address[1] = addr("192.0.2.5");
    world_restart(&w);
    net_announce(w.net, w.now_us);
    for (unsigned i = 0; i < 2; i++) {
        struct arp arp = take_arp(&w, NULL);
        assert_true(ip_equal(&arp.sender_ip, &w.config.address[i]));
        assert_true(ip_equal(&arp.target_ip, &w.config.address[i]));
    }
    assert_false(world_take(&w, &f));
    world_close(&w);
}

static void closing_gives_held_packets_back(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    for (unsigned i = 0; i < 5; i++)
        send_one(&w, "192.0.2.9");
    world_close(&w); /* counts them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_packet_waits_for_the_answer),
        cmocka_unit_test(what_is_off_link_goes_to_the_gateway),
        cmocka_unit_test(asks_once_a_second_then_gives_up),
        cmocka_unit_test(a_flow_that_has_ended_is_not_blamed),
        cmocka_unit_test(a_lost_request_costs_a_second),
        cmocka_unit_test(held_packets_are_bounded_the_oldest_go),
        cmocka_unit_test(an_answer_nobody_asked_for_makes_no_entry),
        cmocka_unit_test(an_unasked_change_is_checked_not_believed),
        cmocka_unit_test(a_failover_is_followed_after_one_question),
        cmocka_unit_test(an_old_entry_is_asked_about_while_it_is_used),
        cmocka_unit_test(a_neighbour_that_went_away_is_given_up),
        cmocka_unit_test(an_unused_entry_is_forgotten),
        cmocka_unit_test(a_full_table_gives_up_what_is_stale),
        cmocka_unit_test(a_full_table_gives_up_for_a_flow_who_is_not_used),
        cmocka_unit_test(a_table_of_neighbours_in_use_gives_up_the_oldest),
        cmocka_unit_test(requests_for_our_addresses_are_answered),
        cmocka_unit_test(implausible_arp_is_dropped),
        cmocka_unit_test(an_address_of_ours_is_defended),
        cmocka_unit_test(spoofed_answers_to_others_change_nothing),
        cmocka_unit_test(what_another_core_shared_is_learned_not_answered),
        cmocka_unit_test(announces_each_address),
        cmocka_unit_test(closing_gives_held_packets_back),
    };
    return cmocka_run_group_tests_name("neigh", tests, NULL, NULL);
}
