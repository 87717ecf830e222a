#include "engine/tcp/rxq.h"

#include "engine/base/rand.h"
#include "tests/unit/cmocka.h"

#define BUF    256
#define STREAM 4096u

struct fixture {
    struct pkt_pool *pool;
    struct rxq q;
    uint32_t rcv_nxt;
};

static uint8_t byte_at(uint32_t seq)
{
    return (uint8_t)(seq * 7 + (seq >> 8));
}

static int setup(void **state)
{
    static struct fixture f;
    f.pool = pkt_heap_pool_open(64, 0, PKT_HEADROOM + BUF);
    rxq_init(&f.q, 32);
    f.rcv_nxt = 0xffffff00u; /* the wrap is near */
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rxq_clear(&f->q);
    pkt_heap_pool_close(f->pool); /* asserts that every packet is back */
    return 0;
}

static uint32_t free_packets(const struct fixture *f)
{
    return f->pool->ops->available(f->pool);
}

/* Offers [seq, seq + len) as the connection would: behind rcv_nxt or at it. */
static enum rxq_result give(struct fixture *f, uint32_t seq, uint32_t len)
{
    pkt_pool_refresh(f->pool);
    struct pkt *p = pkt_alloc(f->pool, PKT_DATA);
    assert_non_null(p);
    for (uint32_t i = 0; i < len; i++)
        p->data[i] = byte_at(seq + i);
    enum rxq_result r;
    if (seq == f->rcv_nxt) {
        r = rxq_append(&f->q, p, p->data, seq, len);
        if (r == RXQ_KEPT)
            f->rcv_nxt = rxq_join(&f->q, f->rcv_nxt + len);
    } else {
        r = rxq_insert(&f->q, p, p->data, seq, len);
    }
    pkt_free(p);
    rxq_check(&f->q, f->rcv_nxt);
    return r;
}

static void expect_bytes(struct fixture *f, uint32_t seq, uint32_t len)
{
    while (len > 0) {
        size_t n;
        uint8_t *at = rxq_peek(&f->q, &n);
        assert_non_null(at);
        n = min_size(n, len);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(at[i], byte_at(seq + (uint32_t)i));
        rxq_consume(&f->q, n);
        rxq_check(&f->q, f->rcv_nxt);
        seq += (uint32_t)n;
        len -= (uint32_t)n;
    }
}

static void in_order_bytes_are_read_in_order(void **state)
{
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    size_t len;
    assert_null(rxq_peek(&f->q, &len));
    give(f, start, 200);
    give(f, start + 200, 200);
    assert_int_equal(f->q.bytes, 400);
    expect_bytes(f, start, 400);
    assert_null(rxq_peek(&f->q, &len));
    assert_int_equal(free_packets(f), 64);
}

static void small_payloads_share_a_buffer(void **state)
{
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(give(f, start + i, 1), RXQ_KEPT);
    assert_int_equal(f->q.packets, 1);
    expect_bytes(f, start, 200);
}

static void a_shared_packet_is_not_written_to(void **state)
{
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    give(f, start, 10);
    pkt_ref(f->q.head);
    struct pkt *shared = f->q.head;
    give(f, start + 10, 10);
    assert_int_equal(f->q.packets, 2);
    pkt_free(shared);
    expect_bytes(f, start, 20);
}

static void a_gap_holds_back_what_is_behind_it(void **state)
{
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    give(f, start + 200, 100);
    give(f, start + 100, 100);
    assert_int_equal(f->q.early_packets, 2);
    assert_int_equal(f->q.bytes, 0);
    give(f, start, 100);
    assert_int_equal(f->rcv_nxt, start + 300);
    assert_int_equal(f->q.early_packets, 0);
    expect_bytes(f, start, 300);
}

static void duplicates_are_told(void **state)
{
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    assert_int_equal(give(f, start + 100, 100), RXQ_KEPT);
    assert_int_equal(give(f, start + 100, 100), RXQ_DUPLICATE);
    assert_int_equal(give(f, start + 150, 20), RXQ_DUPLICATE);
    assert_int_equal(give(f, start + 200, 100), RXQ_KEPT);
    /* between two neighbours, all known: the end of the first and the start of the second */
    assert_int_equal(give(f, start + 150, 100), RXQ_DUPLICATE);
    assert_int_equal(f->q.early_bytes, 200);
}

static void a_larger_segment_replaces_what_it_covers(void **state)
{
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    give(f, start + 20, 10);
    give(f, start + 40, 10);
    give(f, start + 60, 10);
    assert_int_equal(give(f, start + 10, 55), RXQ_KEPT);
    assert_int_equal(f->q.early_packets, 2);
    assert_int_equal(f->q.early_bytes, 60);
    give(f, start, 10);
    expect_bytes(f, start, 70);
}

static void early_packets_are_bounded(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 32; i++)
        assert_int_equal(give(f, f->rcv_nxt + 2 + 2 * i, 1), RXQ_KEPT);
    assert_int_equal(give(f, f->rcv_nxt + 100, 1), RXQ_NO_ROOM);
    assert_int_equal(f->q.early_packets, 32);
    rxq_cut_early(&f->q, f->rcv_nxt);
    assert_int_equal(free_packets(f), 64);
}

/* 10..20, 30..40 and 50..60 ahead: an end in a gap, within a packet, at a packet's start. */
static void early_packets_end_where_they_are_cut(void **state)
{
    static const uint32_t ends[] = {45, 35, 30, 20, 5}, bytes[] = {20, 15, 10, 10, 0};
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(give(f, start + 10 + 20 * i, 10), RXQ_KEPT);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        rxq_cut_early(&f->q, start + ends[i]);
        assert_int_equal(f->q.early_bytes, bytes[i]);
        rxq_check(&f->q, start);
    }
    assert_int_equal(free_packets(f), 64);
}

static void in_order_packets_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    for (uint32_t i = 0; i < 32; i++)
        assert_int_equal(give(f, start + i * 250, 250), RXQ_KEPT);
    assert_int_equal(give(f, start + 32 * 250, 250), RXQ_NO_ROOM);
    expect_bytes(f, start, 250);
    assert_int_equal(give(f, start + 32 * 250, 250), RXQ_KEPT);
}

/* The one that fills a gap may come after many that waited, again and again, while nobody reads. */
static void gaps_filled_again_and_again_stay_bounded(void **state)
{
    struct fixture *f = *state;
    uint32_t start = f->rcv_nxt;
    f->q.max_packets = 4;
    for (unsigned i = 0; i < 10; i++) {
        uint32_t at = f->rcv_nxt;
        for (uint32_t k = 0; k < 3; k++)
            give(f, at + 10 + k * 200, 200);
        give(f, at + 610, 40); /* the next gap's bytes fit behind these */
        give(f, at, 10);       /* rxq_check asserts the bound */
    }
    rxq_cut_early(&f->q, f->rcv_nxt);
    expect_bytes(f, start, f->rcv_nxt - start);
}

static void early_packets_leave_the_last_quarter_of_the_pool(void **state)
{
    struct fixture *f = *state;
    struct pkt *held[64];
    unsigned n = 0;
    while (free_packets(f) > 16)
        held[n++] = pkt_alloc(f->pool, PKT_DATA);
    assert_int_equal(give(f, f->rcv_nxt + 100, 10), RXQ_NO_ROOM);
    pkt_free(held[--n]);
    pkt_free(held[--n]);
    assert_int_equal(give(f, f->rcv_nxt + 100, 10), RXQ_KEPT);
    while (n > 0)
        pkt_free(held[--n]);
}

static void a_scarce_pool_lets_each_flow_hold_one_packet(void **state)
{
    struct fixture *f = *state;
    struct pkt *held[64];
    unsigned n = 0;
    while (free_packets(f) > 3)
        held[n++] = pkt_alloc(f->pool, PKT_DATA);
    assert_int_equal(give(f, f->rcv_nxt, 250), RXQ_KEPT);
    assert_int_equal(give(f, f->rcv_nxt, 250), RXQ_NO_ROOM);
    while (n > 0)
        pkt_free(held[--n]);
}

static void sack_blocks_join_neighbours_newest_first(void **state)
{
    struct fixture *f = *state;
    uint32_t s = f->rcv_nxt;
    struct tcp_sack_block b[TCP_SACK_BLOCKS_MAX];
    assert_int_equal(rxq_sack_blocks(&f->q, b, 4), 0);
    give(f, s + 10, 10);
    give(f, s + 30, 10);
    give(f, s + 20, 5);
    assert_int_equal(rxq_sack_blocks(&f->q, b, 4), 2);
    assert_int_equal(b[0].start, s + 10);
    assert_int_equal(b[0].end, s + 25);
    assert_int_equal(b[1].start, s + 30);
    for (uint32_t i = 0; i < 5; i++)
        give(f, s + 50 + 20 * i, 10);
    assert_int_equal(rxq_sack_blocks(&f->q, b, 3), 3);
    assert_int_equal(b[0].start, s + 130);
    assert_int_equal(b[2].start, s + 90);
    assert_int_equal(rxq_sack_blocks(&f->q, b, 0), 0);
}

/* Random segments of one stream in random order, against a table of what has been given. */
static void any_order_gives_the_same_stream(void **state)
{
    struct fixture *f = *state;
    struct rand_source r;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        rand_seed(&r, seed);
        uint32_t start = f->rcv_nxt, read = start;
        while (f->rcv_nxt - start < STREAM) {
            uint32_t ahead = rand_below(&r, 3) ? rand_below(&r, 1000) : 0;
            uint32_t len = 1 + rand_below(&r, 250);
            give(f, f->rcv_nxt + ahead, min_u32(len, BUF));
            uint32_t have = f->rcv_nxt - read;
            if (have > 0 && rand_below(&r, 2)) {
                uint32_t n = 1 + rand_below(&r, have);
                expect_bytes(f, read, n);
                read += n;
            }
        }
        expect_bytes(f, read, f->rcv_nxt - read);
        rxq_cut_early(&f->q, f->rcv_nxt);
        assert_int_equal(free_packets(f), 64);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(in_order_bytes_are_read_in_order),
        TEST(small_payloads_share_a_buffer),
        TEST(a_shared_packet_is_not_written_to),
        TEST(a_gap_holds_back_what_is_behind_it),
        TEST(duplicates_are_told),
        TEST(a_larger_segment_replaces_what_it_covers),
        TEST(early_packets_are_bounded),
        TEST(early_packets_end_where_they_are_cut),
        TEST(in_order_packets_are_bounded),
        TEST(gaps_filled_again_and_again_stay_bounded),
        TEST(early_packets_leave_the_last_quarter_of_the_pool),
        TEST(a_scarce_pool_lets_each_flow_hold_one_packet),
        TEST(sack_blocks_join_neighbours_newest_first),
        TEST(any_order_gives_the_same_stream),
    };
    return cmocka_run_group_tests_name("tcp/rxq", tests, NULL, NULL);
}
