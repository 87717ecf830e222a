/* test_port_fault.c: each fault does what it says, as often as it says, the same way for the same seed. */
#include "ports.h"

#define FRAMES 20000u

static struct port *decorated(struct port *below, const struct port_faults *rx, const struct port_faults *tx)
{
    static const struct port_faults none;
    struct error err;
    struct port *port = port_fault_open(below, rx ? rx : &none, tx ? tx : &none, &err);
    if (!port)
        fail_msg("%s", err.text);
    return port;
}

/* Sends FRAMES frames one by one through tx faults on pair[0], notes what comes out of pair[1]. */
static uint32_t run_through(const struct port_faults *rx, const struct port_faults *tx, uint8_t times[FRAMES],
                            uint32_t *inversions)
{
    struct port *pair[2];
    open_pair(pair, 512);
    struct port *out = decorated(pair[0], NULL, tx), *in = decorated(pair[1], rx, NULL);
    memset(times, 0, FRAMES);
    uint32_t arrived = 0;
    int64_t last = -1;
    *inversions = 0;
    for (uint32_t i = 0; i < FRAMES + 1000; i++) {
        uint64_t now_us = 1000 + i * 100ull;
        if (i < FRAMES)
            send_numbered(out, i, now_us);
        port_receive(out, NULL, 0, now_us);
        for (int64_t n; (n = receive_numbered(in, now_us)) >= 0; last = n) {
            arrived++;
            assert_true(n < FRAMES);
            times[n]++;
            *inversions += n < last;
        }
    }
    assert_int_equal(out->dropped + in->dropped, 0);
    assert_int_equal(available(pair[0]), 512);
    assert_int_equal(available(pair[1]), 512);
    port_close(out);
    port_close(in);
    return arrived;
}

static void assert_about(uint32_t got, uint32_t expected)
{
    assert_in_range(got, expected - expected / 4, expected + expected / 4);
}

static void drops_as_many_as_it_should(void **state)
{
    (void)state;
    static uint8_t times[FRAMES], again[FRAMES];
    uint32_t inversions;
    struct port_faults f = {.seed = 3, .drop_ppm = 50000};
    uint32_t arrived = run_through(NULL, &f, times, &inversions);
    assert_about(FRAMES - arrived, FRAMES / 20);
    assert_int_equal(inversions, 0);
    run_through(NULL, &f, again, &inversions);
    assert_memory_equal(times, again, FRAMES); /* the same seed */
    f.seed = 4;
    run_through(NULL, &f, again, &inversions);
    assert_memory_not_equal(times, again, FRAMES);
    arrived = run_through(&f, NULL, times, &inversions); /* on the way in */
    assert_about(FRAMES - arrived, FRAMES / 20);
}

/* Numbered frames of 60 bytes or so every 100 us are 5 Mbit/s; a bottleneck of half of that loses half of them, and
 * what gets through comes at its pace, in order.
 */
static void a_bottleneck_lets_its_rate_through(void **state)
{
    (void)state;
    static uint8_t times[FRAMES];
    uint32_t inversions;
    struct port *pair[2];
    open_pair(pair, 8);
    send_numbered(pair[0], 0, 1);
    struct pkt *p;
    assert_int_equal(port_receive(pair[1], &p, 1, 2), 1);
    uint32_t frame_bytes = p->len;
    pkt_free(p);
    port_close(pair[0]);
    port_close(pair[1]);

    struct port_faults f = {
        .seed = 1, .rate_kbit = frame_bytes * 8 * 10 / 2, .queue_bytes = frame_bytes * 10};
    uint32_t arrived = run_through(NULL, &f, times, &inversions);
    assert_in_range(arrived, FRAMES / 2 - 20, FRAMES / 2 + 20);
    assert_int_equal(inversions, 0);
}

static void duplicates_arrive_twice(void **state)
{
    (void)state;
    static uint8_t times[FRAMES];
    uint32_t inversions, twice = 0;
    struct port_faults f = {.seed = 3, .duplicate_ppm = 100000};
    for (unsigned way = 0; way < 2; way++) {
        uint32_t arrived = run_through(way ? &f : NULL, way ? NULL : &f, times, &inversions);
        assert_about(arrived - FRAMES, FRAMES / 10);
        for (uint32_t i = 0; i < FRAMES; i++) {
            assert_in_range(times[i], 1, 2);
            twice += times[i] == 2;
        }
        assert_int_equal(twice, arrived - FRAMES);
        twice = 0;
    }
}

static void reorders_and_loses_none(void **state)
{
    (void)state;
    static uint8_t times[FRAMES];
    uint32_t inversions;
    struct port_faults f = {
        .seed = 3, .reorder_ppm = 50000, .reorder_us = 250}; /* two to three frames late */
    assert_int_equal(run_through(NULL, &f, times, &inversions), FRAMES);
    assert_about(inversions, FRAMES / 20);
    assert_int_equal(run_through(&f, NULL, times, &inversions), FRAMES);
    assert_about(inversions, FRAMES / 20);
}

static void delay_and_jitter_keep_the_order(void **state)
{
    (void)state;
    static uint8_t times[FRAMES];
    uint32_t inversions;
    struct port_faults f = {.seed = 3, .delay_us = 10000, .jitter_us = 5000};
    assert_int_equal(run_through(NULL, &f, times, &inversions), FRAMES);
    assert_int_equal(inversions, 0);
    assert_int_equal(run_through(&f, NULL, times, &inversions), FRAMES);
    assert_int_equal(inversions, 0);
}

static void a_delayed_frame_leaves_when_it_is_due(void **state)
{
    (void)state;
    struct port *pair[2];
    struct port_faults f = {.delay_us = 20000};
    open_pair(pair, 64);
    struct port *out = decorated(pair[0], NULL, &f), *in = decorated(pair[1], &f, NULL);
    assert_true(port_next_deadline(out) == DEADLINE_NEVER);
    send_numbered(out, 7, 1000);
    assert_true(port_next_deadline(out) == 21000);
    port_receive(out, NULL, 0, 20999);
    assert_int_equal(receive_numbered(in, 20999), -1);
    assert_true(port_next_deadline(in) == DEADLINE_NEVER); /* not there yet */
    port_receive(out, NULL, 0, 21000);
    assert_int_equal(receive_numbered(in, 21000), -1);
    assert_true(port_next_deadline(in) == 41000);
    assert_int_equal(receive_numbered(in, 40999), -1);
    assert_int_equal(receive_numbered(in, 41000), 7);
    assert_true(port_next_deadline(in) == DEADLINE_NEVER);
    port_close(out);
    port_close(in);
}

/* TCP still holds what it has sent: damage must not reach its copy. */
static void corruption_flips_one_bit_of_a_copy(void **state)
{
    (void)state;
    struct port *pair[2];
    struct port_faults f = {.seed = 5, .corrupt_ppm = 1000000};
    open_pair(pair, 64);
    struct port *out = decorated(pair[0], NULL, &f);
    for (unsigned i = 0; i < 200; i++) {
        struct pkt *sent = numbered(out, i), *got;
        uint8_t before[FRAME_BYTES];
        memcpy(before, sent->data, FRAME_BYTES);
        pkt_ref(sent);
        assert_int_equal(port_transmit(out, &sent, 1, 1), 1);
        assert_memory_equal(sent->data, before, FRAME_BYTES);
        assert_false(pkt_shared(sent));
        pkt_free(sent);
        assert_int_equal(port_receive(pair[1], &got, 1, 1), 1);
        unsigned bits = 0;
        for (unsigned b = 0; b < FRAME_BYTES; b++)
            bits += (unsigned)__builtin_popcount(got->data[b] ^ before[b]);
        assert_int_equal(bits, 1);
        assert_memory_equal(got->data, before, 14);
        pkt_free(got);
    }
    port_close(out);
    port_close(pair[1]);
}

static void corruption_spares_arp_and_takes_the_ports_word_back(void **state)
{
    (void)state;
    struct port *pair[2];
    struct port_faults f = {.seed = 5, .corrupt_ppm = 1000000};
    open_pair(pair, 64);
    pair[0]->offloads = PORT_OFFLOAD_TX_TCP_CSUM | PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_RX_CSUM;
    struct port *out = decorated(pair[0], NULL, &f);
    assert_int_equal(out->offloads, PORT_OFFLOAD_RX_CSUM); /* or the NIC would sum up the damage */
    struct pkt *arp = numbered(out, 77), *got;
    arp->data[13] = 0x06;
    assert_int_equal(port_transmit(out, &arp, 1, 1), 1);
    assert_int_equal(port_receive(pair[1], &got, 1, 1), 1);
    assert_int_equal(number_of(got), 77);
    pkt_free(got);
    port_close(out);
    port_close(pair[1]);
}

/* A port below that takes n frames a call. */
struct slow_port {
    struct port port;
    struct port *below;
    uint32_t takes;
};

static uint32_t slow_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    struct slow_port *slow = container_of(port, struct slow_port, port);
    return port_transmit(slow->below, pkt, min_u32(count, slow->takes), now_us);
}

static uint32_t receive_nothing(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    (void)port;
    (void)pkt;
    (void)max;
    (void)now_us;
    return 0;
}

static void slow_close(struct port *port)
{
    port_close(container_of(port, struct slow_port, port)->below);
}

static void a_full_port_below_loses_nothing(void **state)
{
    (void)state;
    static const struct port_ops slow_ops = {
        .receive = receive_nothing, .transmit = slow_transmit, .close = slow_close};
    struct port *pair[2];
    struct port_faults f = {.delay_us = 1};
    open_pair(pair, 256);
    struct slow_port slow = {.port = *pair[0], .below = pair[0], .takes = 0};
    slow.port.ops = &slow_ops;
    struct port *out = decorated(&slow.port, NULL, &f);
    for (uint32_t i = 0; i < 100; i++)
        send_numbered(out, i, i);
    slow.takes = 3;
    assert_true(port_next_deadline(out) <= 100);
    for (uint32_t i = 0; i < 60; i++)
        port_receive(out, NULL, 0, 1000);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(receive_numbered(pair[1], 1000), i);
    port_close(out);
    port_close(pair[1]);
}

static void what_waits_is_bounded_and_leaves_buffers_to_others(void **state)
{
    (void)state;
    struct port *pair[2];
    struct port_faults f = {.delay_us = 1000000};
    open_pair(pair, 64);
    struct port *in = decorated(pair[1], &f, NULL);
    struct port_fault_counts rx, tx;
    for (uint32_t i = 0; i < 100; i++) {
        send_numbered(pair[0], i, 1);
        assert_int_equal(receive_numbered(in, 1), -1);
    }
    port_fault_counts(in, &rx, &tx);
    assert_int_equal(rx.frames, 100);
    assert_int_equal(rx.overflowed, 100 - 55); /* 64 less an eighth, less the one that has just come */
    port_receive(in, NULL, 0, 1);
    assert_int_equal(in->dropped, rx.overflowed);
    assert_int_equal(tx.frames, 0);
    port_close(in); /* gives back what waits */
    port_close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops_as_many_as_it_should),
        cmocka_unit_test(a_bottleneck_lets_its_rate_through),
        cmocka_unit_test(duplicates_arrive_twice),
        cmocka_unit_test(reorders_and_loses_none),
        cmocka_unit_test(delay_and_jitter_keep_the_order),
        cmocka_unit_test(a_delayed_frame_leaves_when_it_is_due),
        cmocka_unit_test(corruption_flips_one_bit_of_a_copy),
        cmocka_unit_test(corruption_spares_arp_and_takes_the_ports_word_back),
        cmocka_unit_test(a_full_port_below_loses_nothing),
        cmocka_unit_test(what_waits_is_bounded_and_leaves_buffers_to_others),
    };
    return cmocka_run_group_tests_name("port_fault", tests, NULL, NULL);
}
