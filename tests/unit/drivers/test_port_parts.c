/* test_port_parts.c: frames of several parts (TSO, LRO) through every port and decorator: whole, once, and every part comes
 * back.
 */
#include "ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PARTS = 5, PART_BYTES = 1000, FRAME = PARTS * PART_BYTES };

static uint8_t byte_at(unsigned i)
{
    return (uint8_t)(i * 31 + i / 256);
}

/* IPv4 by its look, the rest a pattern. */
static struct pkt *make_parts(struct port *port)
{
    struct pkt *frame = NULL, **link = &frame;
    for (unsigned i = 0; i < PARTS; i++) {
        struct pkt *p = pkt_alloc(port->tx_pool, PKT_CONTROL);
        assert_non_null(p);
        for (unsigned k = 0; k < PART_BYTES; k++)
            p->data[k] = byte_at(i * PART_BYTES + k);
        p->len = PART_BYTES;
        *link = p;
        link = &p->more;
    }
    frame->data[12] = 0x08;
    frame->data[13] = 0x00;
    frame->flags = PKT_TX_TCP_CSUM;
    frame->segment_bytes = 900;
    return frame;
}

static unsigned damaged_bits(const struct pkt *frame)
{
    unsigned i = 0, bits = 0;
    for (const struct pkt *p = frame; p; p = p->more)
        for (unsigned k = 0; k < p->len; k++, i++)
            bits += (unsigned)__builtin_popcount(i == 12   ? p->data[k] ^ 8u
                                                 : i == 13 ? p->data[k]
                                                           : (unsigned)(p->data[k] ^ byte_at(i)));
    assert_int_equal(i, FRAME);
    return bits;
}

static void send_parts(struct port *port, uint64_t now_us)
{
    struct pkt *frame = make_parts(port);
    assert_int_equal(port_transmit(port, &frame, 1, now_us), 1);
}

/* How many frames arrive; each has so many damaged bits. */
static unsigned arriving(struct port *port, uint64_t now_us, unsigned bits)
{
    struct pkt *got;
    unsigned n = 0;
    for (; port_receive(port, &got, 1, now_us) == 1; n++) {
        assert_int_equal(damaged_bits(got), bits);
        pkt_frame_free(got);
    }
    return n;
}

static void assert_nothing_kept(struct port *const pair[2])
{
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(available(pair[i]), pair[i]->rx_pool->capacity);
}

static void the_wire_carries_all_parts(void **state)
{
    (void)state;
    struct port *pair[2];
    struct pkt *got;
    open_pair(pair, 64);
    send_parts(pair[0], 0);
    assert_int_equal(port_receive(pair[1], &got, 1, 0), 1);
    assert_true(got->flags & PKT_RX_L4_CSUM_OK); /* who was to make it says so */
    assert_int_equal(damaged_bits(got), 0);
    pkt_frame_free(got);
    assert_nothing_kept(pair);
    port_close(pair[0]);
    port_close(pair[1]);
}

static void without_buffers_the_whole_frame_is_lost(void **state)
{
    (void)state;
    struct port *pair[2];
    struct pkt *held[64];
    unsigned count = 0;
    open_pair(pair, 64);
    while (available(pair[1]) >= PARTS)
        held[count++] = pkt_alloc(pair[1]->rx_pool, PKT_CONTROL);
    send_parts(pair[0], 0);
    assert_int_equal(arriving(pair[1], 0, 0), 0);
    assert_int_equal(pair[1]->dropped, 1);
    while (count > 0)
        pkt_free(held[--count]);
    assert_nothing_kept(pair);
    port_close(pair[0]);
    port_close(pair[1]);
}

static struct port *faulty(struct port *below, const char *rx_text, const char *tx_text)
{
    struct error err;
    struct port_faults rx, tx;
    assert_true(port_fault_parse(rx_text, &rx, &err) && port_fault_parse(tx_text, &tx, &err));
    struct port *port = port_fault_open(below, &rx, &tx, &err);
    assert_non_null(port);
    return port;
}

/* Each fault on the way out, then the same on the way in. */
static void faults_take_frames_as_a_whole(void **state)
{
    (void)state;
    static const struct {
        const char *faults;
        unsigned arrive;
    } cases[] = {{"drop=100%", 0}, {"duplicate=100%", 2}, {"delay=5ms", 1}, {"reorder=100%", 1}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        for (int in = 0; in < 2; in++) {
            struct port *pair[2];
            open_pair(pair, 64);
            struct port *port = faulty(pair[in], in ? cases[i].faults : "", in ? "" : cases[i].faults);
            struct port *from = in ? pair[0] : port, *to = in ? port : pair[1];
            send_parts(from, 1);
            unsigned n = arriving(to, 1, 0);
            struct pkt *none;
            assert_int_equal(port_receive(from, &none, 1, 1000000), 0); /* what was delayed leaves */
            n += arriving(to, 1000000, 0);
            assert_int_equal(n, cases[i].arrive);
            assert_nothing_kept(pair);
            port_close(in ? pair[0] : port);
            port_close(in ? port : pair[1]);
        }
    }
}

static void one_bit_of_all_parts_is_damaged(void **state)
{
    (void)state;
    struct port *pair[2];
    unsigned behind_the_first = 0;
    open_pair(pair, 64);
    struct port *port = faulty(pair[1], "corrupt=100%,seed=3", "");
    for (unsigned i = 0; i < 50; i++) {
        struct pkt *got;
        send_parts(pair[0], 1);
        assert_int_equal(port_receive(port, &got, 1, 1), 1);
        assert_int_equal(damaged_bits(got), 1);
        assert_false(got->flags & PKT_RX_L4_CSUM_OK);
        for (unsigned k = 14; k < PART_BYTES; k++)
            behind_the_first += got->data[k] != byte_at(k);
        pkt_frame_free(got);
    }
    assert_in_range(behind_the_first, 1, 30); /* of 50; the first part has a fifth of the bits */
    port_close(pair[0]);
    port_close(port);
}

/* What is lost while it waits, when the port is closed. */
static void closing_gives_every_part_back(void **state)
{
    (void)state;
    struct port *pair[2];
    open_pair(pair, 64);
    struct port *port = faulty(pair[0], "delay=5ms", "delay=5ms");
    send_parts(port, 1);
    send_parts(pair[1], 1);
    assert_int_equal(arriving(port, 1, 0), 0);
    port_close(port); /* the pool asserts it */
    port_close(pair[1]);
}

/* A damaged frame must not get a right checksum; a bottleneck takes packets one by one. */
static void some_faults_need_single_segments(void **state)
{
    (void)state;
    static const char *const faults[] = {"corrupt=1%", "rate=10mbit", "drop=1%"};
    for (unsigned i = 0; i < ARRAY_LEN(faults); i++) {
        struct port *pair[2];
        open_pair(pair, 64);
        pair[0]->offloads = PORT_OFFLOAD_TSO | PORT_OFFLOAD_TX_TCP_CSUM;
        struct port *port = faulty(pair[0], "", faults[i]);
        assert_int_equal(!!(port->offloads & PORT_OFFLOAD_TSO), i == 2);
        port_close(port);
        port_close(pair[1]);
    }
}

static void a_capture_has_the_frame_in_one_piece(void **state)
{
    (void)state;
    struct port *pair[2];
    struct error err;
    char path[] = "/tmp/test_port_parts.XXXXXX";
    static uint8_t data[FRAME + 4096];
    uint32_t len;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    open_pair(pair, 64);
    struct port *port = port_pcap_open(pair[0], path, &err);
    assert_non_null(port);
    send_parts(port, 0);
    assert_int_equal(arriving(pair[1], 0, 0), 1);
    assert_nothing_kept(pair);
    port_close(port);
    port_close(pair[1]);
    assert_int_equal(read(fd, data, sizeof(data)), 24 + 16 + FRAME);
    memcpy(&len, data + 24 + 8, 4);
    assert_int_equal(len, FRAME);
    for (unsigned i = 14; i < FRAME; i++)
        assert_int_equal(data[24 + 16 + i], byte_at(i));
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wire_carries_all_parts),
        cmocka_unit_test(without_buffers_the_whole_frame_is_lost),
        cmocka_unit_test(faults_take_frames_as_a_whole),
        cmocka_unit_test(one_bit_of_all_parts_is_damaged),
        cmocka_unit_test(closing_gives_every_part_back),
        cmocka_unit_test(some_faults_need_single_segments),
        cmocka_unit_test(a_capture_has_the_frame_in_one_piece),
    };
    return cmocka_run_group_tests_name("port_parts", tests, NULL, NULL);
}
