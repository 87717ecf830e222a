/* test_run.c: consecutive segments of a flow leave as one frame for the port to cut (TSO), and nothing else does. */
#include "world.h"

#include "engine/net/private.h"

#include <string.h>

#define FLOW  42u
#define PARTS 8u
#define HOST4 "198.51.100.7"
#define HOST6 "2001:db8::7"

struct sender {
    struct world w;
    struct flow_key key;
    struct pkt *held[64]; /* as TCP holds what it has sent */
    unsigned count;
    uint32_t next_seq;
};

static void open_sender(struct sender *s, const char *host)
{
    memset(s, 0, sizeof(*s));
    world_open6(&s->w);
    world_resolve(&s->w, host);
    s->key = world_flow(&s->w, host, FLOW);
    s->next_seq = 1000;
    s->w.port[0]->offloads = PORT_OFFLOAD_TSO | PORT_OFFLOAD_TX_TCP_CSUM;
    s->w.port[0]->tso_parts = PARTS;
}

static void close_sender(struct sender *s)
{
    world_drain(&s->w);
    for (unsigned i = 0; i < s->count; i++)
        pkt_free(s->held[i]);
    world_close(&s->w);
}

static struct tcp_segment next_segment(struct sender *s, const char *text)
{
    struct pkt *p = pkt_alloc(s->w.port[0]->tx_pool, PKT_DATA);
    assert_non_null(p);
    assert_true(s->count < ARRAY_LEN(s->held));
    s->held[s->count++] = p;
    p->tcp.payload = p->data;
    memcpy(p->data, text, strlen(text));
    struct tcp_segment seg = {
        .src_port = s->key.local_port,
        .dst_port = s->key.remote_port,
        .seq = s->next_seq,
        .ack = 88,
        .window = 500,
        .flags = TCP_ACK,
        .opt = {.has_timestamps = true, .ts_val = 1, .ts_ecr = 2},
        .len = (uint32_t)strlen(text),
        .payload = p->data,
        .pkt = p,
    };
    s->next_seq += seg.len;
    return seg;
}

static void send_segment(struct sender *s, const struct tcp_segment *seg)
{
    assert_true(net_send_segment(s->w.net, &s->key, FLOW, seg, s->w.now_us));
}

static void send_text(struct sender *s, const char *text, uint8_t more_flags)
{
    struct tcp_segment seg = next_segment(s, text);
    seg.flags |= more_flags;
    send_segment(s, &seg);
}

/* The frames that are queued for the port. */
static unsigned frames(const struct sender *s)
{
    return s->w.net->tx.tail - s->w.net->tx.head;
}

static struct pkt *last_frame(const struct sender *s)
{
    return s->w.net->tx.frame[(s->w.net->tx.tail - 1) % NET_TX_QUEUE];
}

static unsigned parts_of(const struct pkt *frame)
{
    unsigned n = 0;
    for (; frame; frame = frame->more)
        n++;
    return n;
}

/* The frame as the other end of the wire gets it, in one piece. */
static void take_joined(struct sender *s, struct frame *f)
{
    struct pkt *p;
    net_transmit_flush(s->w.net, s->w.now_us);
    assert_int_equal(port_receive(s->w.port[1], &p, 1, s->w.now_us), 1);
    f->len = 0;
    for (const struct pkt *part = p; part; part = part->more) {
        memcpy(f->data + f->len, part->data, part->len);
        f->len += part->len;
    }
    pkt_frame_free(p);
}

static void consecutive_segments_are_one_frame_4(void **state)
{
    (void)state;
    struct sender s;
    struct frame f;
    struct ip_header ip;
    struct tcp_segment got;
    open_sender(&s, HOST4);
    uint64_t bytes_before = world_stat(&s.w, STAT_port_tx_bytes);
    send_text(&s, "first.", 0);
    send_text(&s, "second", 0);
    send_text(&s, "last", TCP_PSH);
    assert_int_equal(frames(&s), 1);
    const struct pkt *frame = last_frame(&s);
    assert_int_equal(parts_of(frame), 3);
    assert_int_equal(frame->segment_bytes, 6);
    assert_int_equal(frame->l2_len, 14);
    assert_int_equal(frame->l3_len, 20);
    assert_int_equal(frame->l4_len, 32);
    assert_ptr_equal(frame->more, s.held[1]); /* by reference */
    /* RFC 9293 section 3.1's pseudo header without the length, as ports that cut want it */
    uint16_t pseudo = checksum_fold(checksum_tcp_pseudo(&s.key.local, &s.key.remote, 0));
    assert_memory_equal(frame->data + 34 + 16, &pseudo, 2);
    take_joined(&s, &f);
    assert_int_equal(ip_header_parse(&ip, f.data + 14, f.len - 14, true), IP_OK);
    assert_int_equal(ip.payload_len, 32 + 16);
    assert_true(tcp_segment_parse(&got, f.data + 34, ip.payload_len));
    assert_int_equal(got.seq, 1000);
    assert_int_equal(got.flags, TCP_ACK | TCP_PSH);
    assert_memory_equal(got.payload, "first.secondlast", 16);
    assert_int_equal(world_stat(&s.w, STAT_net_tso_frames), 1);
    assert_int_equal(world_stat(&s.w, STAT_net_tso_segments), 3);
    assert_int_equal(world_stat(&s.w, STAT_port_tx_bytes) - bytes_before, f.len);
    close_sender(&s);
}

static void consecutive_segments_are_one_frame_6(void **state)
{
    (void)state;
    struct sender s;
    struct frame f;
    struct ip_header ip;
    struct tcp_segment got;
    open_sender(&s, HOST6);
    send_text(&s, "first.", 0);
    send_text(&s, "second", TCP_FIN);
    const struct pkt *frame = last_frame(&s);
    assert_int_equal(frame->l3_len, 40);
    uint16_t pseudo = checksum_fold(checksum_tcp_pseudo(&s.key.local, &s.key.remote, 0));
    assert_memory_equal(frame->data + 54 + 16, &pseudo, 2);
    take_joined(&s, &f);
    assert_int_equal(ip_header_parse(&ip, f.data + 14, f.len - 14, true), IP_OK);
    assert_int_equal(ip.payload_len, 32 + 12);
    assert_true(tcp_segment_parse(&got, f.data + 54, ip.payload_len));
    assert_int_equal(got.flags, TCP_ACK | TCP_FIN);
    assert_memory_equal(got.payload, "first.second", 12);
    close_sender(&s);
}

/* A port that sums up IP headers gets an empty field. */
static void the_ip_checksum_is_whose_it_was(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    s.w.port[0]->offloads |= PORT_OFFLOAD_TX_IP_CSUM;
    send_text(&s, "first.", 0);
    send_text(&s, "second", TCP_PSH);
    const struct pkt *frame = last_frame(&s);
    assert_true(frame->flags & PKT_TX_IP_CSUM);
    assert_int_equal(frame->data[14 + 10] | frame->data[14 + 11], 0);
    close_sender(&s);
}

/* One difference to what would have joined, and it is a frame of its own. */
static void what_differs_goes_alone(void **state)
{
    (void)state;
    enum {
        GAP,
        ACKS,
        WINDOW,
        STAMP,
        ECHO,
        NO_STAMP,
        SACK,
        ECN,
        ECHOES,
        REDUCED,
        URGENT,
        AGAIN,
        LARGER,
        CASES
    };
    for (int i = 0; i < CASES; i++) {
        struct sender s;
        open_sender(&s, HOST4);
        send_text(&s, "first.", 0);
        if (i == GAP)
            s.next_seq++;
        struct tcp_segment seg = next_segment(&s, i == LARGER ? "larger." : "second");
        switch (i) {
        case ACKS: seg.ack++; break;
        case WINDOW: seg.window++; break;
        case STAMP: seg.opt.ts_val++; break;
        case ECHO: seg.opt.ts_ecr++; break;
        case NO_STAMP: seg.opt.has_timestamps = false; break;
        case SACK: seg.opt.sack_blocks = 1; break;
        case ECN: seg.ip_ecn = 2; break;
        case ECHOES: seg.flags |= TCP_ECE; break;
        case REDUCED: seg.flags |= TCP_CWR; break;
        case URGENT: seg.flags |= TCP_URG; break;
        case AGAIN: seg.again = true; break;
        default: break;
        }
        send_segment(&s, &seg);
        assert_int_equal(frames(&s), 2);
        assert_null(s.w.net->tx.frame[(s.w.net->tx.tail - 2) % NET_TX_QUEUE]->more);
        close_sender(&s);
    }
}

/* RFC 3168 section 6.1.2: CWR is in the first segment only; what follows must not be joined to it either. */
static void nothing_joins_what_goes_alone(void **state)
{
    (void)state;
    static const uint8_t flags[] = {TCP_CWR, TCP_PSH, TCP_FIN};
    for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
        struct sender s;
        open_sender(&s, HOST4);
        send_text(&s, "first.", flags[i]);
        send_text(&s, "second", 0);
        assert_int_equal(frames(&s), 2);
        close_sender(&s);
    }
}

static void echoes_of_congestion_join(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    send_text(&s, "first.", TCP_ECE);
    send_text(&s, "second", TCP_ECE);
    assert_int_equal(frames(&s), 1);
    close_sender(&s);
}

static void a_shorter_segment_is_the_last(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    send_text(&s, "first.", 0);
    send_text(&s, "short", 0);
    send_text(&s, "third", 0);
    assert_int_equal(frames(&s), 2);
    close_sender(&s);
}

static void another_flow_goes_alone(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    send_text(&s, "first.", 0);
    struct tcp_segment seg = next_segment(&s, "second");
    struct flow_key other = s.key;
    other.remote_port++;
    assert_true(net_send_segment(s.w.net, &other, FLOW, &seg, s.w.now_us));
    assert_int_equal(frames(&s), 2);
    close_sender(&s);
}

static void another_frame_ends_the_run(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    send_text(&s, "first.", 0);
    struct tcp_segment ack = next_segment(&s, "");
    ack.pkt = NULL;
    ack.payload = NULL;
    send_segment(&s, &ack);
    send_text(&s, "second", 0);
    assert_int_equal(frames(&s), 3);
    close_sender(&s);
}

static void what_has_left_is_not_joined(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    send_text(&s, "first.", 0);
    net_transmit_flush(s.w.net, s.w.now_us);
    send_text(&s, "second", 0);
    assert_int_equal(frames(&s), 1);
    assert_null(last_frame(&s)->more);
    close_sender(&s);
}

static void the_ports_limit_is_kept(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    for (unsigned i = 0; i < 2 * PARTS + 1; i++)
        send_text(&s, "segment", 0);
    assert_int_equal(frames(&s), 3);
    close_sender(&s);
}

/* An IP packet has 65,535 bytes at the most. */
static void the_largest_packet_is_kept(void **state)
{
    (void)state;
    static char text[1449];
    struct sender s;
    memset(text, 'x', 1448);
    open_sender(&s, HOST4);
    s.w.port[0]->tso_parts = 64;
    for (unsigned i = 0; i < 50; i++)
        send_text(&s, text, 0);
    assert_int_equal(frames(&s), 2);
    const struct pkt *first = s.w.net->tx.frame[(s.w.net->tx.tail - 2) % NET_TX_QUEUE];
    assert_int_equal(parts_of(first), 45);
    assert_int_equal(pkt_frame_bytes(first), 14 + 20 + 32 + 45 * 1448);
    close_sender(&s);
}

/* A packet that the port still has is sent again from a copy, alone: the frame that it is in stays as it is. */
static void a_packet_under_way_is_not_joined(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    struct tcp_segment first = next_segment(&s, "first."), second = next_segment(&s, "second");
    send_segment(&s, &first);
    send_segment(&s, &second);
    send_segment(&s, &first);
    send_segment(&s, &second);
    assert_int_equal(frames(&s), 3);
    assert_int_equal(parts_of(s.w.net->tx.frame[(s.w.net->tx.tail - 3) % NET_TX_QUEUE]), 2);
    close_sender(&s);
}

/* What was a part goes as a frame of its own when it is sent again, and the other way round. */
static void parts_are_packets_again_afterwards(void **state)
{
    (void)state;
    struct sender s;
    struct frame f;
    open_sender(&s, HOST4);
    struct tcp_segment first = next_segment(&s, "first."), second = next_segment(&s, "second");
    send_segment(&s, &first);
    send_segment(&s, &second);
    take_joined(&s, &f);
    second.again = true;
    send_segment(&s, &second);
    take_joined(&s, &f);
    assert_int_equal(f.len, 14 + 20 + 32 + 6);
    first.again = true;
    send_segment(&s, &first);
    take_joined(&s, &f);
    assert_int_equal(f.len, 14 + 20 + 32 + 6);
    assert_memory_equal(f.data + 66, "first.", 6);
    assert_int_equal(world_stat(&s.w, STAT_net_drop_no_buffer), 0);
    close_sender(&s);
}

static void without_tso_each_is_a_frame(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    s.w.port[0]->offloads = PORT_OFFLOAD_TX_TCP_CSUM;
    send_text(&s, "first.", 0);
    send_text(&s, "second", 0);
    assert_int_equal(frames(&s), 2);
    close_sender(&s);
}

/* Frames that wait for a neighbour wait one by one; their order is the neighbour table's. */
static void what_waits_for_a_neighbour_is_not_joined(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    s.key = world_flow(&s.w, "192.0.2.77", FLOW + 1);
    send_text(&s, "first.", 0);
    send_text(&s, "second", 0);
    net_transmit_flush(s.w.net, s.w.now_us);
    world_drain(&s.w);
    struct frame answer = arp_frame(ARP_REPLY, &test_mac, "192.0.2.77", "192.0.2.1");
    world_give(&s.w, &answer);
    net_transmit_flush(s.w.net, s.w.now_us);
    assert_int_equal(world_drain(&s.w), 2);
    assert_int_equal(world_stat(&s.w, STAT_net_tso_frames), 0);
    close_sender(&s);
}

static uint32_t take_nothing(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    (void)port, (void)pkt, (void)count, (void)now_us;
    return 0;
}

/* Every part comes back when a port that takes nothing loses what is queued. */
static void a_dead_port_loses_whole_frames(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, HOST4);
    struct port_ops dead = *s.w.port[0]->ops;
    const struct port_ops *alive = s.w.port[0]->ops;
    dead.transmit = take_nothing;
    s.w.port[0]->ops = &dead;
    send_text(&s, "first.", 0);
    send_text(&s, "second", 0);
    net_transmit_flush(s.w.net, s.w.now_us);
    world_advance(&s.w, 2 * NET_TX_STALL_US);
    assert_int_equal(frames(&s), 0);
    assert_int_equal(world_stat(&s.w, STAT_port_tx_drop_full), 1);
    assert_false(pkt_shared(s.held[0]) || pkt_shared(s.held[1]));
    s.w.port[0]->ops = alive;
    close_sender(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consecutive_segments_are_one_frame_4),
        cmocka_unit_test(consecutive_segments_are_one_frame_6),
        cmocka_unit_test(the_ip_checksum_is_whose_it_was),
        cmocka_unit_test(what_differs_goes_alone),
        cmocka_unit_test(nothing_joins_what_goes_alone),
        cmocka_unit_test(echoes_of_congestion_join),
        cmocka_unit_test(a_shorter_segment_is_the_last),
        cmocka_unit_test(another_flow_goes_alone),
        cmocka_unit_test(another_frame_ends_the_run),
        cmocka_unit_test(what_has_left_is_not_joined),
        cmocka_unit_test(the_ports_limit_is_kept),
        cmocka_unit_test(the_largest_packet_is_kept),
        cmocka_unit_test(a_packet_under_way_is_not_joined),
        cmocka_unit_test(parts_are_packets_again_afterwards),
        cmocka_unit_test(without_tso_each_is_a_frame),
        cmocka_unit_test(what_waits_for_a_neighbour_is_not_joined),
        cmocka_unit_test(a_dead_port_loses_whole_frames),
    };
    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
