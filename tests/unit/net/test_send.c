/* test_send.c: segments become frames, in place or as copies, and wait for a port that is full. */
#include "world.h"

#include "engine/net/private.h"

#include <string.h>

#define FLOW 42u

/* A packet as TCP queues one: headroom, then the payload. */
static struct pkt *queued(struct world *w, const char *text)
{
    struct pkt *p = pkt_alloc(w->port[0]->tx_pool, PKT_DATA);
    assert_non_null(p);
    memcpy(p->data, text, strlen(text));
    p->len = (uint16_t)strlen(text);
    p->tcp.payload = p->data;
    return p;
}

static struct tcp_segment segment_of(const struct flow_key *key, struct pkt *p, const char *text)
{
    return (struct tcp_segment){
        .src_port = key->local_port,
        .dst_port = key->remote_port,
        .seq = 77,
        .ack = 88,
        .window = 500,
        .flags = TCP_ACK | TCP_PSH,
        .ip_ecn = IP_ECN_ECT0,
        .opt = {.has_timestamps = true, .ts_val = 1, .ts_ecr = 2},
        .len = (uint32_t)strlen(text),
        .payload = p->tcp.payload,
        .pkt = p,
    };
}

static void assert_payload(const struct frame *f, const struct tcp_segment *got, const char *text)
{
    assert_int_equal(got->len, strlen(text));
    assert_memory_equal(f->data + f->len - got->len, text, got->len);
}

static void a_segment_leaves_in_the_packet_that_holds_it(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    struct ip_header ip;
    char text[IP_ADDR_TEXT_MAX];
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct pkt *p = queued(&w, "MAIL FROM:<>");
    struct tcp_segment seg = segment_of(&key, p, "MAIL FROM:<>");
    uint32_t before = w.port[0]->tx_pool->ops->available(w.port[0]->tx_pool);
    assert_true(net_send_segment(w.net, &key, FLOW, &seg, w.now_us));
    assert_int_equal(w.port[0]->tx_pool->ops->available(w.port[0]->tx_pool), before); /* no copy */
    assert_true(pkt_shared(p));
    struct tcp_segment got = take_tcp(&w, NULL, &ip, &f);
    assert_payload(&f, &got, "MAIL FROM:<>");
    assert_int_equal(got.seq, 77);
    assert_int_equal(got.ack, 88);
    assert_int_equal(got.opt.ts_ecr, 2);
    assert_int_equal(ip.ecn, IP_ECN_ECT0);
    assert_int_equal(ip.ttl, 64);
    assert_true(ip.dont_fragment);
    assert_string_equal(ip_format(&ip.dst, text), "198.51.100.7");
    assert_string_equal(ip_format(&ip.src, text), "192.0.2.1");
    assert_false(pkt_shared(p)); /* the port has let go, TCP has not */
    assert_memory_equal(p->tcp.payload, "MAIL FROM:<>", 12);

    seg.seq = 99; /* sent again, over the headers of the first time */
    assert_true(net_send_segment(w.net, &key, FLOW, &seg, w.now_us));
    got = take_tcp(&w, NULL, &ip, &f);
    assert_int_equal(got.seq, 99);
    assert_payload(&f, &got, "MAIL FROM:<>");
    pkt_free(p);
    world_close(&w);
}

/* Sent again while the port, or the queue to it, still has the first one: that one must stay as it is. */
static void a_packet_under_way_is_copied_not_changed(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct pkt *p = queued(&w, "DATA");
    struct tcp_segment seg = segment_of(&key, p, "DATA");
    assert_true(net_send_segment(w.net, &key, FLOW, &seg, w.now_us));
    seg.ack = 1234;
    seg.opt.sack_blocks = 2; /* another header length */
    assert_true(net_send_segment(w.net, &key, FLOW, &seg, w.now_us));
    struct tcp_segment got = take_tcp(&w, NULL, NULL, &f);
    assert_int_equal(got.ack, 88);
    assert_payload(&f, &got, "DATA");
    got = take_tcp(&w, NULL, NULL, &f);
    assert_int_equal(got.ack, 1234);
    assert_payload(&f, &got, "DATA");
    pkt_free(p);
    world_close(&w);
}

static void part_of_a_packet_can_be_sent(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct pkt *p = queued(&w, "0123456789");
    struct tcp_segment seg = segment_of(&key, p, "6789");
    seg.payload += 6; /* the rest is acknowledged */
    assert_true(net_send_segment(w.net, &key, FLOW, &seg, w.now_us));
    struct tcp_segment got = take_tcp(&w, NULL, NULL, &f);
    assert_payload(&f, &got, "6789");
    pkt_free(p);
    world_close(&w);
}

static void checksums_are_left_to_a_port_that_makes_them(void **state)
{
    (void)state;
    struct world w;
    struct pkt *p;
    world_open(&w);
    w.port[0]->offloads = PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_TX_TCP_CSUM;
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct tcp_segment ack = {.src_port = key.local_port, .dst_port = 25, .flags = TCP_ACK, .seq = 5};
    p = pkt_alloc(w.port[0]->tx_pool, PKT_CONTROL);
    frame_push_tcp(w.net, p, &key, &ack);
    assert_int_equal(p->flags, PKT_TX_IP_CSUM | PKT_TX_TCP_CSUM);
    assert_int_equal(p->l2_len, 14);
    assert_int_equal(p->l3_len, 20);
    assert_int_equal(p->data[14 + 10] | p->data[14 + 11], 0);
    /* The port sums up the TCP bytes with the field as it is; then it must come out right. */
    uint8_t *tcp = p->data + 34;
    uint16_t sum = checksum_finish(checksum_add(0, tcp, 20));
    memcpy(tcp + 16, &sum, 2);
    uint32_t pseudo = checksum_tcp_pseudo(&key.local, &key.remote, 20);
    assert_int_equal(checksum_finish(checksum_add(pseudo, tcp, 20)), 0);
    pkt_free(p);
    world_close(&w);
}

static void without_a_buffer_nothing_is_sent_and_it_is_told(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct pkt *list = NULL, *p;
    while ((p = pkt_alloc(w.port[0]->tx_pool, PKT_CONTROL))) {
        p->next = list;
        list = p;
    }
    struct tcp_segment ack = {.src_port = key.local_port, .dst_port = 25, .flags = TCP_ACK};
    assert_false(net_send_segment(w.net, &key, FLOW, &ack, w.now_us));
    assert_int_equal(world_stat(&w, STAT_net_drop_no_buffer), 1);
    while ((p = list)) {
        list = p->next;
        pkt_free(p);
    }
    pkt_pool_refresh(w.port[0]->tx_pool);
    assert_true(net_send_segment(w.net, &key, FLOW, &ack, w.now_us));
    take_tcp(&w, NULL, NULL, &f);
    world_close(&w);
}

static void what_was_sent_is_counted(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    uint64_t packets = world_stat(&w, STAT_port_tx_packets), bytes = world_stat(&w, STAT_port_tx_bytes);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct tcp_segment ack = {.src_port = key.local_port, .dst_port = 25, .flags = TCP_ACK};
    for (unsigned i = 0; i < 100; i++)
        assert_true(net_send_segment(w.net, &key, FLOW, &ack, w.now_us));
    for (unsigned i = 0; i < 100; i++)
        take_tcp(&w, NULL, NULL, &f);
    assert_int_equal(world_stat(&w, STAT_port_tx_packets), packets + 100);
    assert_int_equal(world_stat(&w, STAT_port_tx_bytes), bytes + 5400);
    world_close(&w);
}

/* ---- a port that is full ---- */

static const struct port_ops *open_ops;
static uint32_t takes;

static uint32_t transmit_some(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    uint32_t n = min_u32(count, takes);
    takes -= n;
    return open_ops->transmit(port, pkt, n, now_us);
}

/* From now on the port takes so many frames, then none. */
static struct port_ops limit_port(struct world *w, uint32_t frames)
{
    open_ops = w->port[0]->ops;
    struct port_ops ops = *open_ops;
    ops.transmit = transmit_some;
    takes = frames;
    return ops;
}

static bool send_ack(struct world *w, const struct flow_key *key)
{
    struct tcp_segment ack = {.src_port = key->local_port, .dst_port = 25, .flags = TCP_ACK};
    return net_send_segment(w->net, key, FLOW, &ack, w->now_us);
}

static void what_a_full_port_leaves_goes_next_time(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct port_ops ops = limit_port(&w, 10);
    w.port[0]->ops = &ops;
    for (unsigned i = 0; i < 50; i++)
        assert_true(send_ack(&w, &key));
    net_transmit_flush(w.net, w.now_us);
    assert_int_equal(world_drain(&w), 10);
    assert_true(wheel_next(&w.wheel) <=
                w.now_us + NET_TX_RETRY_US + 2 * WHEEL_TICK_US); /* a core that sleeps wakes for the rest */
    takes = 1000;
    world_advance(&w, 2 * NET_TX_RETRY_US);
    assert_int_equal(world_drain(&w), 40);
    assert_false(world_take(&w, &f));
    assert_int_equal(world_stat(&w, STAT_port_tx_drop_full), 0);
    w.port[0]->ops = open_ops;
    world_close(&w);
}

/* Nothing is lost as long as TCP can be told to wait; a dead port must look like a dead network. */
static void a_dead_port_is_back_pressure_then_loss(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct port_ops ops = limit_port(&w, 0);
    w.port[0]->ops = &ops;
    unsigned queued_frames = 0;
    while (send_ack(&w, &key))
        assert_true(++queued_frames <= NET_TX_QUEUE);
    assert_int_equal(queued_frames, NET_TX_QUEUE);
    assert_int_equal(world_stat(&w, STAT_port_tx_drop_full), 0);
    world_advance(&w, NET_TX_STALL_US / 2);
    assert_false(send_ack(&w, &key));
    world_advance(&w, NET_TX_STALL_US);
    assert_int_equal(world_stat(&w, STAT_port_tx_drop_full), NET_TX_QUEUE);
    assert_true(send_ack(&w, &key));
    takes = 1000;
    world_advance(&w, 1000);
    assert_int_equal(world_drain(&w), 1);
    w.port[0]->ops = open_ops;
    world_close(&w);
}

static void closing_gives_queued_frames_back(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    world_resolve(&w, "198.51.100.7");
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    for (unsigned i = 0; i < 20; i++)
        assert_true(send_ack(&w, &key));
    world_close(&w);
}

/* ---- flows ---- */

static void sources_take_turns(void **state)
{
    (void)state;
    struct world w;
    unsigned used[3] = {0};
    world_open(&w);
    w.config.addresses = 3;
    w.config.address[1] = addr("192.0.2.2");
    w.config.address[2] = addr("192.0.2.3");
    world_restart(&w);
    for (unsigned i = 0; i < 30; i++) {
        struct flow_key key = world_flow(&w, "198.51.100.7", i);
        for (unsigned a = 0; a < 3; a++)
            used[a] += ip_equal(&key.local, &w.config.address[a]);
    }
    for (unsigned a = 0; a < 3; a++)
        assert_int_equal(used[a], 10);
    world_close(&w);
}

static void a_source_can_be_asked_for(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    struct flow_key key;
    world_open(&w);
    w.config.addresses = 2;
    w.config.address[1] = addr("192.0.2.2");
    world_restart(&w);
    struct ip_addr local = addr("192.0.2.2"), remote = addr("198.51.100.7"), foreign = addr("192.0.2.77");
    for (unsigned i = 0; i < 10; i++) {
        assert_true(net_flow_open(w.net, &local, &remote, 25, i, &key, &err));
        assert_true(ip_equal(&key.local, &local));
    }
    assert_false(net_flow_open(w.net, &foreign, &remote, 25, 1, &key, &err));
    assert_non_null(strstr(err.text, "source address"));
    world_close(&w);
}

static void when_one_sources_ports_are_used_up_the_next_is_taken(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    struct flow_key key;
    world_open(&w);
    w.config.addresses = 2;
    w.config.address[1] = addr("192.0.2.2");
    w.config.port_first = 2000;
    w.config.port_last = 2009;
    world_restart(&w);
    struct ip_addr remote = addr("198.51.100.7");
    for (unsigned i = 0; i < 20; i++)
        assert_true(net_flow_open(w.net, NULL, &remote, 25, i, &key, &err));
    assert_false(net_flow_open(w.net, NULL, &remote, 25, 99, &key, &err));
    assert_non_null(strstr(err.text, "no source port"));
    struct flow_key gone = key = (struct flow_key){addr("192.0.2.2"), remote, 2004, 25};
    net_flow_close(w.net, &gone);
    assert_true(net_flow_open(w.net, NULL, &remote, 25, 99, &key, &err));
    assert_int_equal(key.local_port, 2004);
    world_close(&w);
}

static void impossible_flows_are_refused_with_a_reason(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    struct flow_key key;
    world_open(&w);
    w.config.routes = 1;
    w.config.flows_max = 3;
    world_restart(&w);
    struct ip_addr ours = addr("192.0.2.1"), off = addr("198.51.100.7"), v6 = addr("2001:db8::1"),
                   on = addr("192.0.2.9");
    assert_false(net_flow_open(w.net, NULL, &ours, 25, 1, &key, &err));
    assert_non_null(strstr(err.text, "our own"));
    assert_false(net_flow_open(w.net, NULL, &off, 25, 1, &key, &err));
    assert_non_null(strstr(err.text, "no route to 198.51.100.7"));
    assert_false(net_flow_open(w.net, NULL, &v6, 25, 1, &key, &err));
    for (unsigned i = 0; i < 3; i++)
        assert_true(net_flow_open(w.net, NULL, &on, 25, i, &key, &err));
    assert_false(net_flow_open(w.net, NULL, &on, 25, 4, &key, &err));
    assert_non_null(strstr(err.text, "in use"));
    world_close(&w);
}

static void a_flow_can_change_its_number(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    net_flow_move(w.net, &key, 777);
    struct tcp_segment seg = {.src_port = 25, .dst_port = key.local_port, .flags = TCP_ACK};
    struct frame f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &seg, NULL);
    world_give(&w, &f);
    assert_int_equal(w.heard.flow, 777);
    world_close(&w);
}

static void the_mss_is_what_the_mtu_leaves(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct ip_addr v4 = addr("198.51.100.7"), v6 = addr("2001:db8::1");
    assert_int_equal(net_mss(w.net, &v4), 1460);
    assert_int_equal(net_mss(w.net, &v6), 1440);
    world_close(&w);
}

static void a_packet_without_a_route_is_lost_and_counted(void **state)
{
    (void)state;
    struct world w;
    struct frame f;
    world_open(&w);
    w.config.routes = 1;
    world_restart(&w);
    struct flow_key key = {addr("192.0.2.1"), addr("198.51.100.7"), 2000, 25};
    assert_true(send_ack(&w, &key));
    assert_false(world_take(&w, &f));
    assert_int_equal(world_stat(&w, STAT_net_drop_no_route), 1);
    world_close(&w);
}

static void bad_configurations_are_refused(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    struct net_handler handler = {0};
    world_open(&w);
    for (unsigned i = 0; i < 6; i++) {
        struct net_config c = w.config;
        switch (i) {
        case 0: c.addresses = 0; break;
        case 1: c.addresses = NET_ADDRESSES_MAX + 1; break;
        case 2: c.routes = NET_ROUTES_MAX + 1; break;
        case 3: c.core = 1; break;
        case 4: c.port_first = 3000, c.port_last = 2999; break;
        case 5: c.port_first = 0; break;
        }
        err.text[0] = '\0';
        assert_null(net_open(&c, w.port[0], &w.wheel, &w.stats, &handler, &err));
        assert_true(strlen(err.text) > 0);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_leaves_in_the_packet_that_holds_it),
        cmocka_unit_test(a_packet_under_way_is_copied_not_changed),
        cmocka_unit_test(part_of_a_packet_can_be_sent),
        cmocka_unit_test(checksums_are_left_to_a_port_that_makes_them),
        cmocka_unit_test(without_a_buffer_nothing_is_sent_and_it_is_told),
        cmocka_unit_test(what_was_sent_is_counted),
        cmocka_unit_test(what_a_full_port_leaves_goes_next_time),
        cmocka_unit_test(a_dead_port_is_back_pressure_then_loss),
        cmocka_unit_test(closing_gives_queued_frames_back),
        cmocka_unit_test(sources_take_turns),
        cmocka_unit_test(a_source_can_be_asked_for),
        cmocka_unit_test(when_one_sources_ports_are_used_up_the_next_is_taken),
        cmocka_unit_test(impossible_flows_are_refused_with_a_reason),
        cmocka_unit_test(a_flow_can_change_its_number),
        cmocka_unit_test(the_mss_is_what_the_mtu_leaves),
        cmocka_unit_test(a_packet_without_a_route_is_lost_and_counted),
        cmocka_unit_test(bad_configurations_are_refused),
    };
    return cmocka_run_group_tests_name("send", tests, NULL, NULL);
}
