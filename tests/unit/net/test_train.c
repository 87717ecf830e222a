/* test_train.c: the segments of a train leave as they would one by one. */
#include "world.h"

#include "engine/net/private.h"

#include <string.h>

#define FLOW     42u
#define SEGMENTS 4u

struct sender {
    struct world w;
    struct flow_key key;
    struct pkt *held[SEGMENTS]; /* as TCP holds them */
    struct tcp_train train;
    bool v6;
};

static const char *const payload[SEGMENTS] = {"MAIL FROM:<>\r\n", "RCPT TO:<a@b.c>\r\n", "D",
                                              "odd number of bytes"};

static struct pkt *queue_packet(struct sender *s, unsigned i, uint32_t seq)
{
    struct pkt *p = pkt_alloc(s->w.port[0]->tx_pool, PKT_DATA);
    assert_non_null(p);
    size_t len = strlen(payload[i]);
    p->tcp = (struct pkt_tcp){.payload = p->buf + PKT_HEADROOM, .seq = seq, .len = (uint16_t)len};
    memcpy(p->tcp.payload, payload[i], len);
    if (i > 0)
        s->held[i - 1]->next = p;
    s->held[i] = p;
    return p;
}

static void queue_train(struct sender *s)
{
    uint32_t seq = 0xfffffff0u; /* wraps within the train */
    for (unsigned i = 0; i < SEGMENTS; i++)
        seq += queue_packet(s, i, seq)->tcp.len;
    s->train = (struct tcp_train){
        .first = {.src_port = s->key.local_port,
                  .dst_port = s->key.remote_port,
                  .seq = s->held[0]->tcp.seq,
                  .ack = 88,
                  .window = 500,
                  .flags = TCP_ACK | TCP_ECE,
                  .ip_ecn = IP_ECN_ECT0,
                  .opt = {.has_timestamps = true, .ts_val = 1, .ts_ecr = 0xffffffffu},
                  .len = s->held[0]->tcp.len,
                  .payload = s->held[0]->tcp.payload,
                  .pkt = s->held[0]},
        .count = SEGMENTS,
        .end_flags = TCP_PSH,
    };
}

static void open_sender(struct sender *s, const char *host, uint32_t offloads)
{
    *s = (struct sender){.v6 = strchr(host, ':') != NULL};
    (s->v6 ? world_open6 : world_open)(&s->w);
    world_resolve(&s->w, host);
    s->key = world_flow(&s->w, host, FLOW);
    s->w.port[0]->offloads = offloads;
    queue_train(s);
}

static void close_sender(struct sender *s)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        pkt_free(s->held[i]);
    world_close(&s->w);
}

static uint32_t send_train(struct sender *s)
{
    return net_send_train(s->w.net, &s->key, FLOW, &s->train, s->w.now_us);
}

static bool send_one(void *ctx, const struct tcp_segment *seg)
{
    struct sender *s = ctx;
    return net_send_segment(s->w.net, &s->key, FLOW, seg, s->w.now_us);
}

/* take_tcp verifies the checksums that are not the port's work. */
static void take(struct sender *s, struct frame *f, uint16_t *id)
{
    if (s->w.port[0]->offloads)
        assert_true(world_take(&s->w, f));
    else
        take_tcp(&s->w, NULL, NULL, f);
    if (s->v6)
        return;
    *id = (uint16_t)(f->data[18] << 8 |
                     f->data[19]); /* each packet's own, and with it the sum over the header */
    memset(f->data + ETH_HEADER_BYTES + 4, 0, 2);
    memset(f->data + ETH_HEADER_BYTES + 10, 0, 2);
}

static int flags_for(const struct sender *s)
{
    uint32_t offloads = s->w.port[0]->offloads;
    return (offloads & PORT_OFFLOAD_TX_TCP_CSUM ? PKT_TX_TCP_CSUM : 0) |
           (offloads & PORT_OFFLOAD_TX_IP_CSUM && !s->v6 ? PKT_TX_IP_CSUM : 0);
}

static void assert_same_frames(struct sender *s)
{
    struct frame together[SEGMENTS], alone;
    uint16_t id[SEGMENTS + 1] = {0};
    assert_int_equal(send_train(s), SEGMENTS);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        assert_true(pkt_shared(s->held[i]));
        assert_null(s->held[i]->more);
        assert_int_equal(s->held[i]->flags, flags_for(s));
        assert_int_equal(s->held[i]->l2_len, ETH_HEADER_BYTES);
        assert_int_equal(s->held[i]->l3_len, s->v6 ? IPV6_HEADER_BYTES : IPV4_HEADER_MIN);
        assert_int_equal(s->held[i]->l4_len, TCP_HEADER_MIN + 12);
    }
    for (unsigned i = 0; i < SEGMENTS; i++) {
        take(s, &together[i], &id[i]);
        assert_true(s->v6 || i == 0 || id[i] == (uint16_t)(id[i - 1] + 1));
    }
    assert_int_equal(tcp_train_each(&s->train, send_one, s), SEGMENTS);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        take(s, &alone, &id[SEGMENTS]);
        assert_int_equal(together[i].len, alone.len);
        assert_memory_equal(together[i].data, alone.data, alone.len);
        assert_memory_equal(alone.data + alone.len - strlen(payload[i]), payload[i], strlen(payload[i]));
    }
    assert_true(s->v6 || id[SEGMENTS] == (uint16_t)(id[SEGMENTS - 1] + SEGMENTS));
}

static void frames_are_what_they_would_be_one_by_one(void **state)
{
    (void)state;
    static const char *const hosts[] = {"198.51.100.7", "2001:db8:7::1"};
    static const uint32_t offloads[] = {0, PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_TX_TCP_CSUM,
                                        PORT_OFFLOAD_TX_TCP_CSUM};
    for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
        for (unsigned j = 0; j < ARRAY_LEN(offloads); j++) {
            struct sender s;
            open_sender(&s, hosts[i], offloads[j]);
            assert_same_frames(&s);
            s.train.first.opt.has_timestamps = false;
            s.train.first.ip_ecn = IP_ECN_NONE;
            s.train.first.flags = TCP_ACK;
            s.train.end_flags = 0;
            assert_int_equal(send_train(&s), SEGMENTS);
            world_drain(&s.w);
            close_sender(&s);
        }
    }
}

/* The last place is taken by the first segment; the others are TCP's still, and not the end of the train. */
static void what_the_queue_takes_leaves(void **state)
{
    (void)state;
    struct sender s;
    struct frame f;
    open_sender(&s, "198.51.100.7", 0);
    struct tx_queue *tx = &s.w.net->tx;
    tx->refused_us = s.w.now_us; /* the port has been asked in this turn */
    struct tcp_segment ack = s.train.first;
    ack.len = 0;
    while (tx->tail - tx->head < NET_TX_QUEUE - 1)
        assert_true(send_one(&s, &ack));
    assert_int_equal(send_train(&s), 1);
    assert_true(pkt_shared(s.held[0]));
    assert_false(pkt_shared(s.held[1]));
    assert_int_equal(send_train(&s), 0);
    for (unsigned i = 0; i < NET_TX_QUEUE - 1; i++)
        take_tcp(&s.w, NULL, NULL, &f);
    assert_int_equal(take_tcp(&s.w, NULL, NULL, &f).flags, TCP_ACK | TCP_ECE);
    close_sender(&s);
}

/* It is held while ARP asks, as single segments are. */
static void without_a_neighbour_segments_wait(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, "198.51.100.7", 0);
    s.key = world_flow(&s.w, "192.0.2.77", FLOW + 1);
    assert_int_equal(send_train(&s), SEGMENTS);
    struct arp question = take_arp(&s.w, NULL);
    assert_int_equal(question.op, ARP_REQUEST);
    assert_int_equal(world_drain(&s.w), 0);
    close_sender(&s);
}

static void without_a_route_segments_are_lost(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, "198.51.100.7", 0);
    s.w.net->routes.count = 0;
    assert_int_equal(send_train(&s), SEGMENTS);
    assert_int_equal(world_stat(&s.w, STAT_net_drop_no_route), SEGMENTS);
    assert_int_equal(world_drain(&s.w), 0);
    close_sender(&s);
}

static void a_port_that_cuts_gets_one_frame(void **state)
{
    (void)state;
    struct sender s;
    open_sender(&s, "198.51.100.7", 0);
    s.held[3]->tcp.len = s.held[2]->tcp.len = s.held[1]->tcp.len = s.held[0]->tcp.len;
    s.w.port[0]->offloads = PORT_OFFLOAD_TSO | PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_TX_TCP_CSUM;
    s.w.port[0]->tso_parts = 16;
    for (unsigned i = 1; i < SEGMENTS; i++)
        s.held[i]->tcp.seq = s.held[i - 1]->tcp.seq + s.held[i - 1]->tcp.len;
    assert_int_equal(send_train(&s), SEGMENTS);
    assert_int_equal(s.w.net->tx.tail - s.w.net->tx.head, 1);
    world_drain(&s.w);
    assert_int_equal(world_stat(&s.w, STAT_net_tso_segments), SEGMENTS);
    close_sender(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_what_they_would_be_one_by_one),
        cmocka_unit_test(what_the_queue_takes_leaves),
        cmocka_unit_test(without_a_neighbour_segments_wait),
        cmocka_unit_test(without_a_route_segments_are_lost),
        cmocka_unit_test(a_port_that_cuts_gets_one_frame),
    };
    return cmocka_run_group_tests_name("train", tests, NULL, NULL);
}
