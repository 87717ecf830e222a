/* test_icmp.c: pings answered, errors to their flow. */
#include "world.h"

#include <string.h>

#define FLOW 42u

static struct frame ping(const struct world *w, size_t data_len)
{
    uint8_t icmp[1480] = {8, 0, 0, 0, 0x12, 0x34, 0, 1};
    for (size_t i = 0; i < data_len; i++)
        icmp[8 + i] = (uint8_t)i;
    return icmp_frame(w, "192.0.2.9", "192.0.2.1", icmp, 8 + data_len);
}

static void a_ping_is_answered_in_place(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    for (size_t len = 0; len < 1473; len += 23) {
        struct frame f = ping(&w, len), reply;
        struct ip_header ip;
        char text[IP_ADDR_TEXT_MAX];
        world_give(&w, &f);
        assert_true(world_take(&w, &reply));
        assert_memory_equal(reply.data, test_mac.b, 6);
        assert_memory_equal(reply.data + 6, w.port[0]->mac, 6);
        assert_int_equal(ip_header_parse(&ip, reply.data + 14, reply.len - 14, true), IP_OK);
        assert_string_equal(ip_format(&ip.dst, text), "192.0.2.9");
        assert_string_equal(ip_format(&ip.src, text), "192.0.2.1");
        assert_int_equal(reply.len, f.len);
        assert_int_equal(reply.data[34], 0);
        assert_memory_equal(reply.data + 38, f.data + 38, f.len - 38);
        assert_int_equal(checksum_finish(checksum_add(0, reply.data + 34, reply.len - 34)), 0);
    }
    world_close(&w);
}

/* IP options and Ethernet padding are not sent back. */
static void only_the_message_is_echoed(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct frame f = ping(&w, 4), reply;
    memmove(f.data + 38, f.data + 34, 12);
    f.data[14] = 0x46;
    f.data[17] = 24 + 12;
    memset(f.data + 34, 1, 4);
    frame_fix_ip_checksum(&f);
    memset(f.data + 50, 0xee, 10);
    f.len = 60;
    world_give(&w, &f);
    assert_true(world_take(&w, &reply));
    assert_int_equal(reply.len, 14 + 20 + 12);
    assert_memory_equal(reply.data + 38, f.data + 42, 8);
    world_close(&w);
}

/* Somebody else reads the packet too (a duplicate, a capture): it is not ours to turn around. */
static void a_shared_ping_is_not_written_to(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct frame f = ping(&w, 30);
    struct pkt *p = pkt_alloc(w.port[0]->rx_pool, PKT_CONTROL);
    memcpy(p->data, f.data, f.len);
    p->len = (uint16_t)f.len;
    pkt_ref(p);
    net_receive(w.net, p, w.now_us);
    assert_memory_equal(p->data, f.data, f.len);
    assert_int_equal(p->len, f.len);
    pkt_free(p);
    world_close(&w);
}

static void pings_are_limited(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct frame f = ping(&w, 30);
    for (unsigned i = 0; i < 2000; i++) {
        world_give(&w, &f);
        net_transmit_flush(w.net, w.now_us);
        world_drain(&w);
    }
    assert_int_equal(world_stat(&w, STAT_net_icmp_echo_replies), 1000);
    assert_int_equal(world_stat(&w, STAT_net_drop_reply), 1000);
    world_close(&w);
}

/* What a router says of a segment that we sent. */
static struct frame error_about(const struct world *w, const struct flow_key *key, uint8_t type, uint8_t code,
                                uint16_t mtu)
{
    uint8_t icmp[36] = {type, code, 0, 0, 0, 0, (uint8_t)(mtu >> 8), (uint8_t)mtu};
    struct ip_header inner = {.src = key->local,
                              .dst = key->remote,
                              .protocol = 6,
                              .ttl = 1,
                              .dont_fragment = true,
                              .payload_len = 1480};
    ipv4_emit(icmp + 8, &inner, false);
    uint8_t *tcp = icmp + 28;
    tcp[0] = (uint8_t)(key->local_port >> 8);
    tcp[1] = (uint8_t)key->local_port;
    tcp[2] = (uint8_t)(key->remote_port >> 8);
    tcp[3] = (uint8_t)key->remote_port;
    memcpy(tcp + 4, "\x01\x02\x03\x04", 4);
    return icmp_frame(w, "203.0.113.9", "192.0.2.1", icmp, sizeof(icmp));
}

static void an_error_reaches_the_flow_that_it_quotes(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW);
    struct frame f = error_about(&w, &key, 3, 4, 1400);
    world_give(&w, &f);
    assert_int_equal(w.heard.icmp_errors, 1);
    assert_int_equal(w.heard.flow, FLOW);
    assert_int_equal(w.heard.icmp.kind, ICMP_FRAG_NEEDED);
    assert_int_equal(w.heard.icmp.mtu, 1400);
    assert_int_equal(w.heard.icmp.inner_seq, 0x01020304);
    f = error_about(&w, &key, 3, 1, 0);
    world_give(&w, &f);
    assert_int_equal(w.heard.icmp.kind, ICMP_UNREACHABLE);
    assert_int_equal(w.heard.icmp_errors, 2);
    assert_false(world_take(&w, &f)); /* RFC 1122 section 3.2.2: an error is never answered */
    world_close(&w);
}

static void errors_about_nothing_of_ours_are_dropped(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, "198.51.100.7", FLOW), other;
    for (unsigned i = 0; i < 5; i++) {
        other = key;
        if (i == 0)
            other.local_port ^= 1;
        else if (i == 1)
            other.remote_port ^= 1;
        else if (i == 2)
            other.remote = addr("198.51.100.8");
        else if (i == 3)
            other.local = addr("192.0.2.2"); /* quotes a packet of somebody else */
        struct frame f = error_about(&w, &other, 3, 4, 1400);
        if (i == 4)
            f.data[14 + 20 + 8 + 9] = 17; /* not TCP, and the checksum is wrong, too */
        world_give(&w, &f);
        assert_int_equal(world_stat(&w, STAT_net_drop_icmp_flow), min_u32(i + 1, 4));
    }
    assert_int_equal(world_stat(&w, STAT_net_drop_icmp), 1);
    assert_int_equal(w.heard.icmp_errors, 0);
    world_close(&w);
}

static void messages_of_other_kinds_are_dropped(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    uint8_t reply[8] = {0}, redirect[36] = {5, 1}, timestamp[20] = {13};
    struct frame frames[] = {
        icmp_frame(&w, "192.0.2.9", "192.0.2.1", reply, sizeof(reply)),
        icmp_frame(&w, "192.0.2.9", "192.0.2.1", redirect, sizeof(redirect)),
        icmp_frame(&w, "192.0.2.9", "192.0.2.1", timestamp, sizeof(timestamp)),
    };
    for (size_t i = 0; i < ARRAY_LEN(frames); i++)
        world_give(&w, &frames[i]);
    assert_int_equal(world_stat(&w, STAT_net_drop_icmp_kind), 3);
    world_close(&w);
}

static void an_error_for_another_cores_flow_is_handed_on(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.config.cores = 2;
    world_restart(&w);
    struct flow_key key = {addr("192.0.2.1"), addr("198.51.100.7"), 2001, 25};
    struct frame f = error_about(&w, &key, 3, 4, 1400);
    world_give(&w, &f);
    assert_int_equal(w.heard.handoffs, 1);
    assert_int_equal(w.heard.owner, 1);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ping_is_answered_in_place),
        cmocka_unit_test(only_the_message_is_echoed),
        cmocka_unit_test(a_shared_ping_is_not_written_to),
        cmocka_unit_test(pings_are_limited),
        cmocka_unit_test(an_error_reaches_the_flow_that_it_quotes),
        cmocka_unit_test(errors_about_nothing_of_ours_are_dropped),
        cmocka_unit_test(messages_of_other_kinds_are_dropped),
        cmocka_unit_test(an_error_for_another_cores_flow_is_handed_on),
    };
    return cmocka_run_group_tests_name("icmp", tests, NULL, NULL);
}
