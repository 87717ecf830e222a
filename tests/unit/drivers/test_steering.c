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

/* ---- the test at start ---- */

static const uint8_t other_key[PORT_RSS_KEY_BYTES] = {
    0x2c, 0xc6, 0x81, 0xd1, 0x5b, 0xdb, 0xf4, 0xf7, 0xfc, 0xa2, 0x83, 0x19, 0xdb, 0x1a,
    0x3e, 0x94, 0x6b, 0x9e, 0x38, 0xd9, 0x2c, 0x9c, 0x03, 0xd1, 0xad, 0x99, 0x44, 0xa7,
    0xd9, 0x56, 0x3d, 0x59, 0x06, 0x3c, 0x25, 0xf3, 0xfc, 0x1f, 0xdc, 0x2a,
};

static void the_vectors_are_tested_at_start(void **state)
{
    (void)state;
    struct error err;
    assert_true(steering_self_test(&err));
}

static void a_device_is_believed_by_its_key_and_table(void **state)
{
    (void)state;
    struct steering s;
    struct error err;
    for (uint32_t queues = 1; queues <= 16; queues++) {
        steering_init(&s, other_key, sizeof(other_key), queues);
        assert_true(steering_check(&s, other_key, sizeof(other_key), queues, &err));
    }
    steering_init(&s, other_key, sizeof(other_key), 3);
    for (uint32_t i = 0; i < s.table_size; i++)
        s.table[i] = (uint16_t)(i * 3 / s.table_size);
    assert_true(steering_check(&s, other_key, sizeof(other_key), 3, &err));
    s.ipv6 = false;
    assert_true(steering_check(&s, other_key, sizeof(other_key), 3, &err));
}

/* One bit of the key is wrong, each in its turn of those that reach the table's index through IPv4's addresses and ports. */
static void a_planted_wrong_key_is_noticed(void **state)
{
    (void)state;
    struct steering s;
    struct error err;
    for (unsigned bit = 31; bit < 12 * 8; bit++) {
        uint8_t key[PORT_RSS_KEY_BYTES];
        memcpy(key, other_key, sizeof(key));
        key[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
        steering_init(&s, key, sizeof(key), 16);
        s.ipv6 = false;
        if (steering_check(&s, other_key, sizeof(other_key), 16, &err))
            fail_msg("bit %u of the key", bit);
        assert_non_null(strstr(err.text, "was foretold for queue"));
    }
    steering_init(&s, NULL, 0, 2);
    assert_false(steering_check(&s, other_key, sizeof(other_key), 2, &err));
    s.ipv4 = false; /* IPv6 alone finds it, too */
    assert_false(steering_check(&s, other_key, sizeof(other_key), 2, &err));
}

static void a_key_or_table_of_no_use_is_noticed(void **state)
{
    (void)state;
    static const uint8_t zero[PORT_RSS_KEY_BYTES];
    struct steering s;
    struct error err;
    steering_init(&s, zero, sizeof(zero), 2);
    assert_false(steering_check(&s, zero, sizeof(zero), 2, &err));
    assert_string_equal(err.text, "its key is all zero");
    steering_init(&s, other_key, sizeof(other_key), 2);
    assert_false(steering_check(&s, other_key, 16, 2, &err));
    assert_string_equal(err.text, "its key has 16 bytes, and flows of IPv6 take 40");
    s.table[77] = 2;
    assert_false(steering_check(&s, other_key, sizeof(other_key), 2, &err));
    assert_string_equal(err.text, "its table names queue 2 in entry 77, and there are 2");
    steering_init(&s, other_key, sizeof(other_key), 1);
    assert_false(steering_check(&s, other_key, sizeof(other_key), 2, &err));
    assert_string_equal(err.text, "its table leads no flow to queue 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_the_published_one),
        cmocka_unit_test(flows_spread_over_all_queues),
        cmocka_unit_test(what_is_not_hashed_is_left_alone),
        cmocka_unit_test(frames_come_out_of_the_queue_foretold),
        cmocka_unit_test(the_vectors_are_tested_at_start),
        cmocka_unit_test(a_device_is_believed_by_its_key_and_table),
        cmocka_unit_test(a_planted_wrong_key_is_noticed),
        cmocka_unit_test(a_key_or_table_of_no_use_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
