/* test_receive.c: the way of a frame: to its flow, to another core, to a RST, or dropped for a reason. */
#include "world.h"

#include <string.h>

#define FLOW 42u

static struct tcp_segment segment_to(const struct flow_key *key, uint8_t flags)
{
    return (struct tcp_segment){.src_port = key->remote_port,
                                .dst_port = key->local_port,
                                .seq = 1000,
                                .ack = 2000,
                                .flags = flags,
                                .window = 512};
}

/* A data segment for a flow of net's. */
static struct frame data_frame(const struct world *w, const struct flow_key *key, const char *text)
{
    struct tcp_segment seg = segment_to(key, TCP_ACK | TCP_PSH);
    seg.len = (uint32_t)strlen(text);
    return tcp_frame(w, "198.51.100.7", "192.0.2.1", &seg, text);
}

static void a_segment_reaches_its_flow(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct frame f = data_frame(&w, &key, "220 hello");
    world_give(&w, &f);
    assert_int_equal(w.heard.segments, 1);
    assert_int_equal(w.heard.flow, FLOW);
    assert_int_equal(w.heard.seg.seq, 1000);
    assert_int_equal(w.heard.seg.ack, 2000);
    assert_int_equal(w.heard.seg.len, 9);
    assert_memory_equal(w.heard.payload, "220 hello", 9);
    world_close(&w);
}

static void ethernet_padding_is_not_data(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct tcp_segment ack = segment_to(&key, TCP_ACK);
    struct frame f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &ack, NULL);
    assert_int_equal(f.len, 54);
    memset(f.data + 54, 0xee, 6); /* not even zeros */
    f.len = 60;
    world_give(&w, &f);
    assert_int_equal(w.heard.segments, 1);
    assert_int_equal(w.heard.seg.len, 0);
    world_close(&w);
}

static void ecn_reaches_tcp(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct frame f = data_frame(&w, &key, "x");
    f.data[15] |= 3; /* congestion experienced, RFC 3168 section 5 */
    frame_fix_ip_checksum(&f);
    world_give(&w, &f);
    assert_int_equal(w.heard.seg.ip_ecn, 3);
    world_close(&w);
}

/* One change to a good frame, one reason to drop it. */
static void each_fault_has_its_counter(void **state)
{
    (void)state;
    enum { ETH = 0, IP = 14, TCP = 34 };
    static const struct {
        const char *what;
        unsigned at;
        uint8_t xor ;
        bool fix_ip; /* put the IP header's checksum right again */
        enum stat_id why;
    } cases[] = {
        {"another station's frame", ETH + 5, 0x10, false, STAT_net_drop_not_ours},
        {"sent to a group", ETH + 0, 0x01, false, STAT_net_drop_not_ours},
        {"from a group", ETH + 6, 0x01, false, STAT_net_drop_not_ours},
        {"another protocol", ETH + 13, 0x35, false, STAT_net_drop_ethertype},
        {"version 6 in an IPv4 frame", IP + 0, 0x20, false, STAT_net_drop_ip_header},
        {"header of 16 bytes", IP + 0, 0x01, true, STAT_net_drop_ip_header},
        {"longer than the frame", IP + 2, 0x10, true, STAT_net_drop_ip_header},
        {"IP checksum", IP + 10, 0x01, false, STAT_net_drop_ip_checksum},
        {"first fragment", IP + 6, 0x20, true, STAT_net_drop_fragment},
        {"later fragment", IP + 7, 0x08, true, STAT_net_drop_fragment},
        {"another host's address", IP + 19, 0x40, true, STAT_net_drop_not_ours},
        {"UDP", IP + 9, 6 ^ 17, true, STAT_net_drop_protocol},
        {"TCP checksum", TCP + 16, 0x01, false, STAT_net_drop_tcp_checksum},
        {"a changed byte of data", TCP + 20, 0x01, false, STAT_net_drop_tcp_checksum},
        {"a changed source address", IP + 15, 0x01, true, STAT_net_drop_tcp_checksum},
    };
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct frame f = data_frame(&w, &key, "220 hello");
        uint64_t before = world_stat(&w, cases[i].why);
        f.data[cases[i].at] ^= cases[i].xor ;
        if (cases[i].fix_ip)
            frame_fix_ip_checksum(&f);
        world_give(&w, &f);
        if (w.heard.segments != 0 || world_stat(&w, cases[i].why) != before + 1)
            fail_msg("%s: was not dropped for that", cases[i].what);
        assert_false(world_take(&w, &f));
    }
    struct frame f = data_frame(&w, &key, "220 hello");
    world_give(&w, &f);
    assert_int_equal(w.heard.segments, 1);
    world_close(&w);
}

static void frames_cut_short_anywhere_are_dropped(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct frame f = data_frame(&w, &key, "220 hello"), cut;
    size_t len = f.len;
    for (size_t n = 0; n < len; n++) {
        cut = f;
        cut.len = n;
        world_give(&w, &cut);
    }
    assert_int_equal(w.heard.segments, 0);
    assert_int_equal(world_stat(&w, STAT_net_drop_short) + world_stat(&w, STAT_net_drop_ip_header), len);
    world_close(&w);
}

static void a_tcp_header_that_does_not_fit_is_dropped(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct tcp_segment ack = segment_to(&key, TCP_ACK);
    for (unsigned i = 0; i < 2; i++) {
        struct frame f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &ack, NULL);
        if (i == 0) {
            f.data[17] = 39; /* IP says 19 bytes of TCP */
            frame_fix_ip_checksum(&f);
        } else {
            f.data[34 + 12] = 6 << 4; /* TCP says 24 bytes of header in 20 */
            f.rx_flags = PKT_RX_L4_CSUM_OK;
        }
        world_give(&w, &f);
        assert_int_equal(world_stat(&w, STAT_net_drop_tcp_header), i + 1);
    }
    assert_int_equal(w.heard.segments, 0);
    world_close(&w);
}

/* RFC 9293 section 3.1 (MUST-7); each in the last four bytes of a header of 24. */
static void options_that_do_not_fit_are_dropped(void **state)
{
    (void)state;
    static const uint8_t bad[][4] = {{2, 0, 0, 0}, {2, 1, 0, 0}, {2, 5, 0, 0}, {1, 1, 1, 8}, {99, 255, 0, 0}};
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct frame f = data_frame(&w, &key, "xxxx and data");
        f.data[34 + 12] = 6 << 4;
        memcpy(f.data + 54, bad[i], 4);
        f.rx_flags = PKT_RX_L4_CSUM_OK;
        world_give(&w, &f);
        assert_int_equal(world_stat(&w, STAT_net_drop_tcp_options), i + 1);
    }
    assert_int_equal(w.heard.segments, 0);
    assert_int_equal(world_stat(&w, STAT_net_drop_tcp_header), 0);
    world_close(&w);
}

static void sources_that_cannot_be_are_dropped(void **state)
{
    (void)state;
    static const char *const impossible[] = {"0.0.0.0",   "127.0.0.1",       "224.0.0.1", "239.1.1.1",
                                             "240.0.0.1", "255.255.255.255", "192.0.2.1"};
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < ARRAY_LEN(impossible); i++) {
        struct tcp_segment syn = {.src_port = 25, .dst_port = 2000, .flags = TCP_ACK};
        struct frame f = tcp_frame(&w, impossible[i], "192.0.2.1", &syn, NULL);
        world_give(&w, &f);
        assert_int_equal(world_stat(&w, STAT_net_drop_ip_source), i + 1);
        assert_false(world_take(&w, &f));
    }
    world_close(&w);
}

static void our_own_frames_heard_again_are_dropped(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct frame f = data_frame(&w, &key, "x");
    memcpy(f.data + 6, w.port[0]->mac, 6);
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_not_ours), 1);
    world_close(&w);
}

static void checksums_that_the_port_has_checked_are_not_checked_again(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct frame f = data_frame(&w, &key, "x");
    f.data[34 + 16] ^= 1;
    f.data[14 + 10] ^= 1;
    f.rx_flags = PKT_RX_IP_CSUM_OK | PKT_RX_L4_CSUM_OK;
    world_give(&w, &f);
    assert_int_equal(w.heard.segments, 1);
    f.rx_flags = PKT_RX_CSUM_BAD; /* the port says so: we see for ourselves, and for which reason */
    world_give(&w, &f);
    assert_int_equal(w.heard.segments, 1);
    assert_int_equal(world_stat(&w, STAT_net_drop_ip_checksum), 1);
    world_close(&w);
}

/* ---- other cores ---- */

static void open_second_core_of_two(struct world *w)
{
    world_open(w);
    w->config.core = 1;
    w->config.cores = 2;
    world_restart(w);
}

static void a_frame_for_another_core_is_handed_on_unread(void **state)
{
    (void)state;
    struct world w;
    open_second_core_of_two(&w);
    struct tcp_segment seg = {.src_port = 25, .dst_port = 2000, .flags = TCP_ACK};
    struct frame f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &seg, NULL);
    f.data[34 + 16] ^= 1; /* its owner looks at checksums */
    world_give(&w, &f);
    assert_int_equal(w.heard.handoffs, 1);
    assert_int_equal(w.heard.owner, 0);
    assert_int_equal(world_stat(&w, STAT_net_handoff_out), 1);
    assert_int_equal(world_stat(&w, STAT_net_drop_tcp_checksum), 0);
    assert_int_equal(net_owner(w.net, &(struct flow_key){.local_port = 2000}), 0);
    assert_int_equal(net_owner(w.net, &(struct flow_key){.local_port = 2001}), 1);
    assert_int_equal(net_owner(w.net, &(struct flow_key){.local_port = 25}),
                     1); /* no source port: everybody's */
    world_close(&w);
}

static void a_full_queue_to_another_core_drops(void **state)
{
    (void)state;
    struct world w;
    open_second_core_of_two(&w);
    struct tcp_segment seg = {.src_port = 25, .dst_port = 2000, .flags = TCP_ACK};
    struct frame f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &seg, NULL);
    w.heard.refuse_handoff = true;
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_handoff_full), 1);
    assert_false(world_take(&w, &f)); /* and no RST */
    world_close(&w);
}

static void what_was_handed_on_stays(void **state)
{
    (void)state;
    struct world w;
    open_second_core_of_two(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct frame f = data_frame(&w, &key, "x");
    f.rx_flags = PKT_RX_HANDED_OFF;
    world_give(&w, &f);
    assert_int_equal(w.heard.segments, 1);
    assert_int_equal(world_stat(&w, STAT_net_handoff_in), 1);
    struct tcp_segment seg = {.src_port = 25, .dst_port = 2000, .flags = TCP_RST};
    f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &seg, NULL);
    f.rx_flags = PKT_RX_HANDED_OFF; /* by mistake: it must not go round in circles */
    world_give(&w, &f);
    assert_int_equal(w.heard.handoffs, 0);
    world_close(&w);
}

/* ---- segments of no flow: RFC 9293 section 3.10.7.1 ---- */

static struct tcp_segment answer_to(struct world *w, uint8_t flags, uint32_t data_len)
{
    struct tcp_segment seg = {
        .src_port = 25, .dst_port = 2000, .seq = 1000, .ack = 2000, .flags = flags, .len = data_len};
    struct frame f = tcp_frame(w, "198.51.100.7", "192.0.2.1", &seg, "0123456789");
    world_give(w, &f);
    struct eth_header eth;
    struct tcp_segment rst = take_tcp(w, &eth, NULL, &f);
    assert_int_equal(rst.src_port, 2000);
    assert_int_equal(rst.dst_port, 25);
    assert_memory_equal(eth.dst.b, test_mac.b, 6); /* back to where it came from, no ARP */
    return rst;
}

static void rst_takes_the_ack_as_its_sequence_number(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct tcp_segment rst = answer_to(&w, TCP_ACK, 0);
    assert_int_equal(rst.flags, TCP_RST);
    assert_int_equal(rst.seq, 2000);
    assert_int_equal(rst.ack, 0);
    rst = answer_to(&w, TCP_SYN | TCP_ACK, 0);
    assert_int_equal(rst.flags, TCP_RST);
    assert_int_equal(rst.seq, 2000);
    assert_int_equal(world_stat(&w, STAT_net_resets_sent), 2);
    assert_int_equal(world_stat(&w, STAT_net_drop_no_flow), 2);
    world_close(&w);
}

static void rst_without_an_ack_acknowledges_everything(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.config.port_first = 1; /* nobody listens */
    world_restart(&w);
    struct tcp_segment rst = answer_to(&w, 0, 10);
    assert_int_equal(rst.flags, TCP_RST | TCP_ACK);
    assert_int_equal(rst.seq, 0);
    assert_int_equal(rst.ack, 1010);
    rst = answer_to(&w, TCP_SYN, 0);
    assert_int_equal(rst.ack, 1001);
    rst = answer_to(&w, TCP_FIN, 10);
    assert_int_equal(rst.ack, 1011);
    world_close(&w);
}

static void a_rst_is_never_answered(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    for (unsigned i = 0; i < 2; i++) {
        struct tcp_segment seg = {
            .src_port = 25, .dst_port = 2000, .flags = (uint8_t)(TCP_RST | (i ? TCP_ACK : 0))};
        struct frame f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &seg, NULL);
        world_give(&w, &f);
        assert_false(world_take(&w, &f));
    }
    assert_int_equal(world_stat(&w, STAT_net_drop_no_flow), 2);
    world_close(&w);
}

static void resets_are_limited_and_come_back_with_time(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct tcp_segment seg = {.src_port = 25, .dst_port = 2000, .flags = TCP_ACK};
    struct frame f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &seg, NULL);
    for (unsigned i = 0; i < 3000; i++) {
        world_give(&w, &f);
        net_transmit_flush(w.net, w.now_us);
        world_drain(&w);
    }
    assert_int_equal(world_stat(&w, STAT_net_resets_sent), 1000);
    world_advance(&w, 10000);
    for (unsigned i = 0; i < 100; i++)
        world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_resets_sent), 1010);
    world_drain(&w);
    world_close(&w);
}

static void a_syn_goes_to_whoever_listens(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct tcp_segment syn = {.src_port = 5000, .dst_port = 25, .flags = TCP_SYN};
    struct frame f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &syn, NULL);
    world_give(&w, &f);
    assert_int_equal(w.heard.syns, 1);
    assert_int_equal(w.heard.key.local_port, 25);
    assert_int_equal(w.heard.key.remote_port, 5000);
    assert_false(world_take(&w, &f));
    assert_true(net_flow_add(w.net, &w.heard.key, FLOW));
    assert_false(net_flow_add(w.net, &w.heard.key, FLOW));
    f = tcp_frame(&w, "198.51.100.7", "192.0.2.1", &syn, NULL);
    world_give(&w, &f); /* sent again: now it is the flow's */
    assert_int_equal(w.heard.syns, 1);
    assert_int_equal(w.heard.segments, 1);
    net_flow_close(w.net, &w.heard.key);
    world_give(&w, &f);
    assert_int_equal(w.heard.syns, 2);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_reaches_its_flow),
        cmocka_unit_test(ethernet_padding_is_not_data),
        cmocka_unit_test(ecn_reaches_tcp),
        cmocka_unit_test(each_fault_has_its_counter),
        cmocka_unit_test(frames_cut_short_anywhere_are_dropped),
        cmocka_unit_test(a_tcp_header_that_does_not_fit_is_dropped),
        cmocka_unit_test(options_that_do_not_fit_are_dropped),
        cmocka_unit_test(sources_that_cannot_be_are_dropped),
        cmocka_unit_test(our_own_frames_heard_again_are_dropped),
        cmocka_unit_test(checksums_that_the_port_has_checked_are_not_checked_again),
        cmocka_unit_test(a_frame_for_another_core_is_handed_on_unread),
        cmocka_unit_test(a_full_queue_to_another_core_drops),
        cmocka_unit_test(what_was_handed_on_stays),
        cmocka_unit_test(rst_takes_the_ack_as_its_sequence_number),
        cmocka_unit_test(rst_without_an_ack_acknowledges_everything),
        cmocka_unit_test(a_rst_is_never_answered),
        cmocka_unit_test(resets_are_limited_and_come_back_with_time),
        cmocka_unit_test(a_syn_goes_to_whoever_listens),
    };
    return cmocka_run_group_tests_name("receive", tests, NULL, NULL);
}
