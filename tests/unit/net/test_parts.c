/* test_parts.c: frames that a port has put together (LRO) arrive in parts; checksums that a port has judged. */
#include "world.h"

#include <string.h>

#define FLOW  42u
#define HOST4 "198.51.100.7"
#define OURS4 "192.0.2.1"
#define HOST6 "2001:db8::7"
#define OURS6 "2001:db8::1"
#define TEXT  "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"

enum { TEXT_LEN = sizeof(TEXT) - 1, HEADERS = 14 + 20 + 20 };

static struct frame text_frame(struct world *w, const struct flow_key *key, bool v6, uint8_t flags)
{
    struct tcp_segment seg = {.src_port = key->remote_port,
                              .dst_port = key->local_port,
                              .seq = 1000,
                              .ack = 2000,
                              .flags = flags,
                              .window = 512,
                              .len = TEXT_LEN};
    return tcp_frame(w, v6 ? HOST6 : HOST4, v6 ? OURS6 : OURS4, &seg, TEXT);
}

/* The frame arrives in parts that begin at these offsets; each lies at its buffer's end. */
static void give_in_parts(struct world *w, const struct frame *f, const size_t *at, unsigned count)
{
    struct pkt *frame = NULL, **link = &frame;
    for (unsigned i = 0; i <= count; i++) {
        size_t from = i ? at[i - 1] : 0, to = i < count ? at[i] : f->len;
        struct pkt *p = pkt_alloc(w->port[0]->rx_pool, PKT_CONTROL);
        assert_non_null(p);
        p->len = (uint16_t)(to - from);
        p->data = p->buf + p->cap - p->len;
        memcpy(p->data, f->data + from, p->len);
        *link = p;
        link = &p->more;
    }
    frame->flags = f->rx_flags;
    net_receive(w->net, frame, w->now_us);
}

static void assert_text(const struct world *w)
{
    assert_int_equal(w->heard.stream_bytes, TEXT_LEN);
    assert_memory_equal(w->heard.stream, TEXT, TEXT_LEN);
}

/* Wherever it is cut, sums over odd lengths included: TCP gets every byte once, as segments that follow each other. */
static void every_cut(bool v6)
{
    struct world w;
    world_open6(&w);
    struct flow_key key = world_flow(&w, v6 ? HOST6 : HOST4, FLOW);
    const size_t headers = HEADERS + (v6 ? 20 : 0);
    for (size_t a = headers; a < headers + TEXT_LEN; a++) {
        for (size_t b = a + 1; b < headers + TEXT_LEN; b += 3) {
            memset(&w.heard, 0, sizeof(w.heard));
            struct frame f = text_frame(&w, &key, v6, TCP_ACK);
            give_in_parts(&w, &f, (size_t[]){a, b}, 2);
            assert_text(&w);
            assert_int_equal(w.heard.segments, a == headers ? 2 : 3); /* headers alone are no segment */
            assert_int_equal(w.heard.seg.seq, 1000 + b - headers);
            memset(&w.heard, 0, sizeof(w.heard));
            f.data[f.len - 1] ^= 1;
            give_in_parts(&w, &f, (size_t[]){a, b}, 2);
            assert_int_equal(w.heard.segments, 0);
        }
    }
    assert_true(world_stat(&w, STAT_net_drop_tcp_checksum) == world_stat(&w, STAT_net_lro_frames));
    world_close(&w);
}

static void parts_are_segments_4(void **state)
{
    (void)state;
    every_cut(false);
}

static void parts_are_segments_6(void **state)
{
    (void)state;
    every_cut(true);
}

static void the_end_comes_with_the_last_part(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, HOST4, FLOW);
    struct frame f = text_frame(&w, &key, false, TCP_ACK | TCP_PSH | TCP_FIN);
    give_in_parts(&w, &f, (size_t[]){HEADERS + 10, HEADERS + 20}, 2);
    assert_int_equal(w.heard.segments, 3);
    assert_int_equal(w.heard.seg.flags, TCP_ACK | TCP_PSH | TCP_FIN);
    assert_int_equal(w.heard.ends, 1);
    assert_text(&w);
    world_close(&w);
}

/* Behind the IP packet there may be padding: no data, wherever it lies. */
static void padding_is_no_data(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, HOST4, FLOW);
    struct frame f = text_frame(&w, &key, false, TCP_ACK);
    memset(f.data + f.len, 0xee, 10);
    f.len += 10;
    give_in_parts(&w, &f, (size_t[]){HEADERS + 10, f.len - 13}, 2);
    assert_text(&w);
    memset(&w.heard, 0, sizeof(w.heard));
    give_in_parts(&w, &f, (size_t[]){HEADERS + 10, f.len - 4}, 2);
    assert_text(&w);
    memset(&w.heard, 0, sizeof(w.heard));
    give_in_parts(&w, &f, (size_t[]){f.len - 10, f.len - 4}, 2); /* the packet is whole in the first */
    assert_text(&w);
    assert_int_equal(w.heard.segments, 1);
    world_close(&w);
}

/* All headers are in the first part: no port cuts them, and nobody reads behind it. */
static void headers_cut_apart_are_dropped(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w);
    struct flow_key key4 = world_flow(&w, HOST4, FLOW), key6 = world_flow(&w, HOST6, FLOW + 1);
    struct frame f4 = text_frame(&w, &key4, false, TCP_ACK), f6 = text_frame(&w, &key6, true, TCP_ACK);
    unsigned given = 0;
    for (size_t at = 1; at < HEADERS; at++, given++)
        give_in_parts(&w, &f4, &at, 1);
    for (size_t at = 1; at < HEADERS + 20; at++, given++)
        give_in_parts(&w, &f6, &at, 1);
    assert_int_equal(w.heard.segments, 0);
    assert_int_equal(world_stat(&w, STAT_net_drop_short), 2 * 13);
    assert_int_equal(world_stat(&w, STAT_net_drop_ip_header), 20 + 40);
    assert_int_equal(world_stat(&w, STAT_net_drop_tcp_header), given - 2 * 13 - 60);
    world_close(&w);
}

static void other_protocols_come_in_one_part(void **state)
{
    (void)state;
    struct world w;
    static const uint8_t ping[64] = {8};
    world_open(&w);
    struct frame f = icmp_frame(&w, HOST4, OURS4, ping, sizeof(ping));
    give_in_parts(&w, &f, (size_t[]){50}, 1);
    memset(f.data + f.len, 0, 10);
    f.len += 10; /* nor with padding in another one */
    give_in_parts(&w, &f, (size_t[]){f.len - 10}, 1);
    assert_int_equal(world_stat(&w, STAT_net_drop_short), 2);
    assert_int_equal(world_drain(&w), 0);
    world_close(&w);
}

/* RFC 9293 section 3.10.7.1: the RST acknowledges all of it. */
static void without_a_flow_the_whole_is_answered(void **state)
{
    (void)state;
    struct world w;
    struct frame out;
    world_open(&w);
    struct flow_key nobody = {.local_port = 4000, .remote_port = 25};
    struct frame f = text_frame(&w, &nobody, false, 0);
    give_in_parts(&w, &f, (size_t[]){HEADERS + 10, HEADERS + 20}, 2);
    net_transmit_flush(w.net, w.now_us);
    struct tcp_segment rst = take_tcp(&w, NULL, NULL, &out);
    assert_int_equal(rst.flags, TCP_RST | TCP_ACK);
    assert_int_equal(rst.ack, 1000 + TEXT_LEN);
    world_close(&w);
}

static void another_cores_frame_is_handed_on_whole(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.config.cores = 2;
    world_restart(&w);
    struct flow_key other = {.local_port = 4001, .remote_port = 25};
    struct frame f = text_frame(&w, &other, false, TCP_ACK);
    give_in_parts(&w, &f, (size_t[]){HEADERS + 10, HEADERS + 20}, 2);
    assert_int_equal(w.heard.handoffs, 1);
    w.heard.refuse_handoff = true;
    give_in_parts(&w, &f, (size_t[]){HEADERS + 10, HEADERS + 20}, 2);
    assert_int_equal(world_stat(&w, STAT_net_drop_handoff_full), 1);
    world_close(&w);
}

/* What a port says of checksums: "good" is believed; "bad", or nothing, is verified here. */
static void a_judgement_of_the_port(void **state)
{
    (void)state;
    static const struct {
        uint16_t flags;
        bool damaged, kept;
    } cases[] = {
        {0, false, true},
        {0, true, false},
        {PKT_RX_IP_CSUM_OK | PKT_RX_L4_CSUM_OK, false, true},
        {PKT_RX_IP_CSUM_OK | PKT_RX_L4_CSUM_OK, true,
         true},                         /* the sum was never made, the bytes are as they left */
        {PKT_RX_CSUM_BAD, false, true}, /* ports err, too */
        {PKT_RX_CSUM_BAD, true, false},
        {PKT_RX_CSUM_BAD | PKT_RX_IP_CSUM_OK, true, false},
    };
    struct world w;
    world_open(&w);
    struct flow_key key = world_flow(&w, HOST4, FLOW);
    unsigned dropped = 0;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        for (int in_parts = 0; in_parts < 2; in_parts++) {
            struct frame f = text_frame(&w, &key, false, TCP_ACK);
            f.rx_flags = cases[i].flags;
            f.data[34 + 16] ^= cases[i].damaged; /* the TCP checksum */
            memset(&w.heard, 0, sizeof(w.heard));
            if (in_parts)
                give_in_parts(&w, &f, (size_t[]){HEADERS + 7}, 1);
            else
                world_give(&w, &f);
            assert_int_equal(w.heard.stream_bytes, cases[i].kept ? TEXT_LEN : 0);
            dropped += !cases[i].kept;
        }
    }
    assert_int_equal(world_stat(&w, STAT_net_drop_tcp_checksum), dropped);
    struct frame f = text_frame(&w, &key, false, TCP_ACK);
    f.rx_flags = PKT_RX_CSUM_BAD | PKT_RX_L4_CSUM_OK;
    f.data[14 + 10] ^= 1; /* the IP header's */
    world_give(&w, &f);
    assert_int_equal(world_stat(&w, STAT_net_drop_ip_checksum), 1);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_segments_4),
        cmocka_unit_test(parts_are_segments_6),
        cmocka_unit_test(the_end_comes_with_the_last_part),
        cmocka_unit_test(padding_is_no_data),
        cmocka_unit_test(headers_cut_apart_are_dropped),
        cmocka_unit_test(other_protocols_come_in_one_part),
        cmocka_unit_test(without_a_flow_the_whole_is_answered),
        cmocka_unit_test(another_cores_frame_is_handed_on_whole),
        cmocka_unit_test(a_judgement_of_the_port),
    };
    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
