/* test_steering.c: the Toeplitz hash against published vectors; software RSS brings every flow to its queue. */
#include "drivers/steering.h"
#include "ports.h"

static void v4(uint8_t out[16], unsigned a, unsigned b, unsigned c, unsigned d)
{
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    out[12] = (uint8_t)a;
    out[13] = (uint8_t)b;
    out[14] = (uint8_t)c;
    out[15] = (uint8_t)d;
}

/* "Verifying the RSS Hash Calculation", the table for TCP. */
static void hash_is_the_published_one(void **state)
{
    (void)state;
    struct steering s;
    steering_init(&s, NULL, 0, 2);
    uint8_t src[16], dst[16];
    struct port_flow flow = {.local = dst, .remote = src};

    v4(src, 66, 9, 149, 187), v4(dst, 161, 142, 100, 80);
    flow.remote_port = 2794, flow.local_port = 1766;
    assert_int_equal(steering_hash(&s, &flow), 0x51ccc178);
    v4(src, 199, 92, 111, 2), v4(dst, 65, 69, 140, 83);
    flow.remote_port = 14230, flow.local_port = 4739;
    assert_int_equal(steering_hash(&s, &flow), 0xc626b0ea);

    const uint8_t src6[16] = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7};
    const uint8_t dst6[16] = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1};
    flow = (struct port_flow){.local = dst6, .remote = src6, .remote_port = 2794, .local_port = 1766};
    assert_int_equal(steering_hash(&s, &flow), 0x40207d3d);
}

static void flows_spread_over_all_queues(void **state)
{
    (void)state;
    struct steering s;
    uint32_t count[4] = {0};
    uint8_t src[16], dst[16];
    steering_init(&s, NULL, 0, 4);
    v4(src, 192, 0, 2, 1), v4(dst, 198, 51, 100, 1);
    for (uint32_t port = 1024; port < 5120; port++) {
        struct port_flow flow = {
            .local = dst, .remote = src, .remote_port = 25, .local_port = (uint16_t)port};
        uint32_t queue = s.port.queue(&s.port, &flow);
        assert_true(queue < 4);
        count[queue]++;
    }
    for (unsigned q = 0; q < 4; q++)
        assert_in_range(count[q], 700, 1400);
}

static void make_tcp_frame(uint8_t frame[60], uint16_t local_port)
{
    memset(frame, 0, 60);
    frame[12] = 0x08;
    frame[14] = 0x45;
    frame[23] = 6;
    frame[26] = 192, frame[29] = 1;
    frame[30] = 198, frame[33] = 1;
    frame[35] = 25;
    frame[36] = (uint8_t)(local_port >> 8);
    frame[37] = (uint8_t)local_port;
}

static void what_is_not_hashed_is_left_alone(void **state)
{
    (void)state;
    uint8_t frame[60], addresses[2][16];
    struct port_flow flow;
    make_tcp_frame(frame, 4000);
    assert_true(steering_of_frame(frame, sizeof(frame), addresses, &flow));
    assert_int_equal(flow.local_port, 4000);
    assert_int_equal(flow.remote_port, 25);
    for (size_t len = 0; len < 38; len++)
        assert_false(steering_of_frame(frame, len, addresses, &flow));
    frame[20] = 0x20; /* more fragments follow */
    assert_false(steering_of_frame(frame, sizeof(frame), addresses, &flow));
    make_tcp_frame(frame, 4000);
    frame[23] = 17;
    assert_false(steering_of_frame(frame, sizeof(frame), addresses, &flow));
    make_tcp_frame(frame, 4000);
    frame[13] = 0x06;
    assert_false(steering_of_frame(frame, sizeof(frame), addresses, &flow));
    make_tcp_frame(frame, 4000);
    frame[14] = 0x4f; /* a header of 60 bytes: TCP is beyond the frame */
    assert_false(steering_of_frame(frame, sizeof(frame), addresses, &flow));
}

/* Everything arrives on queue 0; each flow comes out of the queue that was foretold, nothing is lost. */
static void frames_come_out_of_the_queue_foretold(void **state)
{
    (void)state;
    struct port *pair_a[2], *pair_b[2], *queue[2];
    struct error err;
    open_pair(pair_a, 256);
    open_pair(pair_b, 256);
    queue[0] = pair_a[1];
    queue[1] = pair_b[1];
    assert_true(port_rss_open(queue, 2, NULL, &err));
    unsigned out[2] = {0};
    for (uint16_t n = 0; n < 1000; n++) {
        struct pkt *p = pkt_alloc(pair_a[0]->tx_pool, PKT_CONTROL), *got[PORT_BURST];
        assert_non_null(p);
        make_tcp_frame(p->data, (uint16_t)(1024 + n));
        p->len = 60;
        assert_int_equal(port_transmit(pair_a[0], &p, 1, n), 1);
        for (unsigned q = 0; q < 2; q++) {
            uint32_t count = port_receive(queue[q], got, PORT_BURST, n);
            for (uint32_t i = 0; i < count; i++) {
                uint8_t addresses[2][16];
                struct port_flow flow;
                assert_true(steering_of_frame(got[i]->data, got[i]->len, addresses, &flow));
                assert_int_equal(queue[q]->steering->queue(queue[q]->steering, &flow), q);
                out[q]++;
                pkt_free(got[i]);
            }
        }
    }
    assert_int_equal(out[0] + out[1], 1000);
    assert_in_range(out[1], 300, 700);
    port_close(queue[0]);
    port_close(queue[1]);
    port_close(pair_a[0]);
    port_close(pair_b[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_the_published_one),
        cmocka_unit_test(flows_spread_over_all_queues),
        cmocka_unit_test(what_is_not_hashed_is_left_alone),
        cmocka_unit_test(frames_come_out_of_the_queue_foretold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
