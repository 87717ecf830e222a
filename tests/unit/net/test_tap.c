/* test_tap.c: what one peer's capture sees of net: both ways, each frame once, and a full ring costs frames, not time. */
#include "world.h"

#include "engine/net/tap.h"

#include <string.h>

#define FLOW 42u

static struct tap *make_tap(const char *peer, uint16_t port)
{
    static struct tap tap;
    struct error err;
    const struct wire_match match = {.peer = addr(peer), .port = port};
    assert_true(tap_open(&tap, &match, &err));
    return &tap;
}

static unsigned count(struct tap *tap)
{
    unsigned n = 0;
    for (; tap_first(tap); tap_drop(tap))
        n++;
    return n;
}

static unsigned sent(struct world *w)
{
    net_transmit_flush(w->net, w->now_us);
    return world_drain(w);
}

/* A SYN to a port where nobody listens: it comes in, and a RST goes out. */
static void give_syn(struct world *w, const char *from, uint16_t port)
{
    const struct tcp_segment syn = {
        .src_port = port, .dst_port = 9999, .seq = 7, .flags = TCP_SYN, .window = 100};
    struct frame f = tcp_frame(w, from, "192.0.2.1", &syn, NULL);
    world_give(w, &f);
}

static void both_ways_once(void **state)
{
    struct world *w = *state;
    struct tap *tap = make_tap("192.0.2.50", 25);
    w->heard.refuse_syn = true;
    net_tap(w->net, tap);
    give_syn(w, "192.0.2.50", 25);
    give_syn(w, "192.0.2.50", 26);
    give_syn(w, "192.0.2.51", 25);
    assert_int_equal(sent(w), 3);
    const struct tap_frame *in = tap_first(tap);
    assert_non_null(in);
    assert_int_equal(in->bytes[ETH_HEADER_BYTES + IPV4_HEADER_MIN + 13], TCP_SYN);
    assert_int_equal(in->time_us, w->now_us);
    assert_int_equal(in->captured, in->length);
    tap_drop(tap);
    const struct tap_frame *out = tap_first(tap);
    assert_non_null(out);
    assert_int_equal(out->bytes[ETH_HEADER_BYTES + IPV4_HEADER_MIN + 13], TCP_RST | TCP_ACK);
    tap_drop(tap);
    assert_int_equal(count(tap), 0);
    net_tap(w->net, NULL);
    give_syn(w, "192.0.2.50", 25);
    assert_int_equal(sent(w), 1);
    assert_int_equal(count(tap), 0);
    assert_int_equal(atomic_load(&tap->lost), 0);
    tap_close(tap);
}

/* The core that received it has shown it. */
static void what_was_handed_on_is_not_shown_twice(void **state)
{
    struct world *w = *state;
    struct tap *tap = make_tap("192.0.2.50", 0);
    const struct tcp_segment ack = {.src_port = 25, .dst_port = 9999, .flags = TCP_RST, .window = 100};
    struct frame f = tcp_frame(w, "192.0.2.50", "192.0.2.1", &ack, NULL);
    net_tap(w->net, tap);
    f.rx_flags = PKT_RX_HANDED_OFF;
    world_give(w, &f);
    assert_int_equal(count(tap), 0);
    f.rx_flags = 0;
    world_give(w, &f);
    assert_int_equal(count(tap), 1);
    net_tap(w->net, NULL);
    tap_close(tap);
}

static void a_full_ring_counts_what_it_loses(void **state)
{
    struct world *w = *state;
    struct tap *tap = make_tap("192.0.2.50", 0);
    const struct tcp_segment rst = {.src_port = 25, .dst_port = 9999, .flags = TCP_RST, .window = 100};
    struct frame f = tcp_frame(w, "192.0.2.50", "192.0.2.1", &rst, NULL);
    const unsigned given = 20000; /* of 54 bytes, with heads of 16 and 8: more than a megabyte */
    net_tap(w->net, tap);
    for (unsigned i = 0; i < given; i++)
        world_give(w, &f);
    unsigned lost = (unsigned)atomic_load(&tap->lost), kept = count(tap);
    assert_true(lost > 0 && kept > 10000);
    assert_int_equal(kept + lost, given);
    assert_int_equal(world_stat(w, STAT_net_drop_no_flow), given); /* net itself has missed none */
    world_give(w, &f);
    assert_int_equal(count(tap), 1);
    net_tap(w->net, NULL);
    tap_close(tap);
}

static int open_world(void **state)
{
    static struct world w;
    world_open(&w);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world_close(*state);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(both_ways_once),
        CASE(what_was_handed_on_is_not_shown_twice),
        CASE(a_full_ring_counts_what_it_loses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
