/* What neither a conversation nor the simulator shows: sizes, release in any state, writing piece by piece. */
#include "engine/tcp/tcb.h"

#include "tests/unit/cmocka.h"

#define POOL_PACKETS (TCP_NEAR_PACKETS + 16)

struct fixture {
    struct tcp_config config;
    struct stats stats;
    struct pkt_pool *pool;
    struct tcb tcb;
    struct tcp_segment last;
    unsigned sent;
};

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct fixture *f = ctx;
    f->last = *seg;
    f->sent++;
    return true;
}

static void output(struct fixture *f, uint64_t now_us)
{
    assert_true(tcp_output(&f->tcb, now_us, &(struct tcp_emit){.ctx = f, .emit = emit}));
    tcb_check(&f->tcb);
}

static void segment(struct fixture *f, uint8_t flags, uint32_t seq, uint32_t ack)
{
    struct tcp_segment seg = {
        .flags = flags,
        .seq = seq,
        .ack = ack,
        .window = 65535,
        .opt = {.has_mss = !!(flags & TCP_SYN), .mss = 1000},
    };
    tcp_input(&f->tcb, &seg, 2000);
    output(f, 2000);
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.config = tcp_config_default(), .pool = pkt_heap_pool_open(POOL_PACKETS, 0, 2048)};
    struct tcp_open open = {.config = &f.config, .pool = f.pool, .stats = &f.stats, .isn = 99};
    tcp_open_active(&f.tcb, &open, 1000);
    output(&f, 1000);
    segment(&f, TCP_SYN | TCP_ACK, 499, 100);
    assert_int_equal(tcp_state(&f.tcb), TCP_ESTABLISHED);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tcp_release(&f->tcb);
    pkt_heap_pool_close(f->pool);
    return 0;
}

static size_t put(struct fixture *f, size_t len)
{
    size_t room;
    uint8_t *at = tcp_write_reserve(&f->tcb, &room);
    if (!at)
        return 0;
    len = min_size(len, room);
    memset(at, 'x', len);
    tcp_write_commit(&f->tcb, len);
    return len;
}

static void the_control_block_fits_in_a_kilobyte(void **state)
{
    (void)state;
    assert_in_range(tcp_tcb_bytes(), 1, 1024);
}

static void unsent_small_writes_share_a_segment(void **state)
{
    struct fixture *f = *state;
    unsigned before = f->sent;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(put(f, 7), 7);
    output(f, 3000);
    assert_int_equal(f->sent, before + 1);
    assert_int_equal(f->last.len, 70);
}

static void a_push_keeps_back_what_is_not_full(void **state)
{
    struct fixture *f = *state;
    const struct tcp_emit out = {.ctx = f, .emit = emit};
    unsigned before = f->sent;
    assert_int_equal(put(f, 1000), 1000);
    assert_int_equal(put(f, 400), 400);
    assert_true(tcp_push(&f->tcb, 3000, &out));
    tcb_check(&f->tcb);
    assert_int_equal(f->sent, before + 1);
    assert_int_equal(f->last.len, 1000);
    assert_int_equal(put(f, 600), 600); /* joins what was kept back */
    assert_true(tcp_push(&f->tcb, 3000, &out));
    assert_int_equal(f->sent, before + 2);
    assert_int_equal(f->last.len, 1000);
    assert_int_equal(put(f, 1), 1);
    assert_true(tcp_push(&f->tcb, 3000, &out));
    assert_int_equal(tcp_unsent_bytes(&f->tcb), 1);
    output(f, 3000);
    assert_int_equal(f->sent, before + 3);
    assert_int_equal(f->last.len, 1);
}

/* Takes so many segments of each train, and remembers the last one. */
struct trains {
    struct fixture *f;
    struct tcp_train last;
    unsigned count;
    uint32_t takes;
};

static bool emit_single(void *ctx, const struct tcp_segment *seg)
{
    struct trains *t = ctx;
    return emit(t->f, seg);
}

static uint32_t take_train(void *ctx, const struct tcp_train *train)
{
    struct trains *t = ctx;
    t->last = *train;
    t->count++;
    return min_u32(t->takes, train->count);
}

static void full_segments_leave_as_a_train(void **state)
{
    struct fixture *f = *state;
    struct trains t = {.f = f, .takes = 100};
    const struct tcp_emit out = {.ctx = &t, .emit = emit_single, .train = take_train};
    unsigned before = f->sent;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put(f, 1000), 1000);
    assert_int_equal(put(f, 400), 400);
    assert_true(tcp_push(&f->tcb, 3000, &out));
    tcb_check(&f->tcb);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.last.count, 4);
    assert_int_equal(t.last.end_flags, 0); /* more follows */
    assert_int_equal(t.last.first.seq, 100);
    assert_int_equal(t.last.first.len, 1000);
    assert_int_equal(t.last.first.flags, TCP_ACK);
    assert_ptr_equal(t.last.first.pkt, f->tcb.txq.head);
    assert_int_equal(put(f, 600), 600);
    assert_int_equal(put(f, 1), 1);
    assert_true(tcp_output(&f->tcb, 3000, &out));
    assert_int_equal(t.count, 2);
    assert_int_equal(t.last.count, 2);
    assert_int_equal(t.last.end_flags, TCP_PSH);
    assert_int_equal(f->sent, before); /* nothing left alone */
    assert_int_equal(f->stats.v[STAT_tcp_segments_out], before + 6);
    tcb_check(&f->tcb);
}

static void what_of_a_train_is_refused_leaves_later(void **state)
{
    struct fixture *f = *state;
    struct trains t = {.f = f, .takes = 2};
    const struct tcp_emit out = {.ctx = &t, .emit = emit_single, .train = take_train};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(put(f, 1000), 1000);
    f->tcb.ack_now = true;
    assert_false(tcp_output(&f->tcb, 3000, &out));
    assert_int_equal(f->tcb.txq.out, 2000);
    assert_false(f->tcb.ack_now); /* what left has carried it */
    tcb_check(&f->tcb);
    t.takes = 0;
    f->tcb.ack_now = true;
    assert_false(tcp_output(&f->tcb, 3000, &out));
    assert_int_equal(f->tcb.txq.out, 2000);
    assert_true(f->tcb.ack_now);
    t.takes = 100;
    assert_true(tcp_output(&f->tcb, 3000, &out));
    assert_int_equal(t.last.first.seq, 2100);
    assert_int_equal(t.last.count, 3);
    assert_int_equal(f->tcb.txq.unsent_bytes, 0);
    tcb_check(&f->tcb);
}

/* RFC 2018 section 4: what is full leaves without blocks, so the ACK that has them is still to come. */
static void what_has_blocks_to_tell_leaves_one_by_one(void **state)
{
    struct fixture *f = *state;
    struct trains t = {.f = f, .takes = 100};
    const struct tcp_emit out = {.ctx = &t, .emit = emit_single, .train = take_train};
    struct pkt *p = pkt_alloc(f->pool, PKT_CONTROL);
    assert_non_null(p);
    memset(p->data, 'x', 100);
    f->tcb.sack_on = true;
    struct tcp_segment early = {
        .flags = TCP_ACK, .seq = 600, .ack = 100, .window = 65535, .len = 100, .payload = p->data, .pkt = p};
    tcp_input(&f->tcb, &early, 3000);
    pkt_free(p);
    unsigned before = f->sent;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put(f, 1000), 1000);
    assert_true(tcp_output(&f->tcb, 3000, &out));
    assert_int_equal(t.count, 0);
    assert_int_equal(f->sent, before + 4);
    assert_int_equal(f->last.len, 0);
    assert_int_equal(f->last.opt.sack_blocks, 1);
    tcb_check(&f->tcb);
}

static void a_train_ends_where_the_windows_do(void **state)
{
    struct fixture *f = *state;
    struct trains t = {.f = f, .takes = 100};
    const struct tcp_emit out = {.ctx = &t, .emit = emit_single, .train = take_train};
    f->tcb.cc.cwnd = 3500;
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(put(f, 1000), 1000);
    assert_true(tcp_output(&f->tcb, 3000, &out));
    assert_int_equal(t.last.count, 3);
    assert_int_equal(f->tcb.txq.out, 3000);
    tcb_check(&f->tcb);
    f->tcb.cc.cwnd = 100000;
    f->tcb.snd_wnd = 5500;
    assert_true(tcp_output(&f->tcb, 3000, &out));
    assert_int_equal(t.last.count, 2);
    assert_int_equal(f->tcb.txq.out, 5000);
    tcb_check(&f->tcb);
}

static void what_the_windows_let_out_is_due(void **state)
{
    struct fixture *f = *state;
    const size_t window = f->tcb.cc.cwnd, least = 2500;
    assert_int_equal(window, 10000);
    assert_int_equal(tcp_write_due(&f->tcb, least), window);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(put(f, 1000), 1000);
    assert_int_equal(tcp_write_due(&f->tcb, least), least); /* a large piece, though less may leave */
    assert_int_equal(put(f, 1000), 1000);
    assert_int_equal(tcp_write_due(&f->tcb, least), 0);
    output(f, 3000);
    assert_int_equal(tcp_unsent_bytes(&f->tcb), 0);
    assert_int_equal(tcp_write_due(&f->tcb, least),
                     least); /* nothing may leave: there has to be something that waits */
    assert_int_equal(put(f, 1), 1);
    assert_int_equal(tcp_write_due(&f->tcb, least), 0);
    assert_int_equal(tcp_write_due(&f->tcb, SIZE_MAX), 0);
}

/* Others hold so many packets of the pool. */
static void hold(struct fixture *f, struct pkt **held, uint32_t packets)
{
    for (uint32_t i = 0; i < packets; i++)
        held[i] = pkt_alloc(f->pool, PKT_DATA);
}

static void a_full_core_sends_little_at_a_time_over_a_short_path(void **state)
{
    struct fixture *f = *state;
    struct pkt *held[TCP_NEAR_PACKETS];
    const size_t least = 2500;
    assert_int_equal(f->tcb.rtt.min_us, 1000);
    f->tcb.rtt.srtt_us = 3000;
    hold(f, held, TCP_NEAR_PACKETS - 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put(f, 1000), 1000);
    assert_int_equal(tcp_write_due(&f->tcb, least), 0);
    output(f, 3000);
    assert_int_equal(tcp_write_due(&f->tcb, least), 0);
    f->tcb.rtt.min_us = TCP_NEAR_US; /* what a long path has in flight is on the wire */
    assert_int_equal(tcp_write_due(&f->tcb, least), 7000);
    f->tcb.rtt.min_us =
        f->tcb.rtt.srtt_us / 2; /* so is what a short one has whose round trips show no queue */
    assert_int_equal(tcp_write_due(&f->tcb, least), 7000);
    f->tcb.rtt.min_us = 1000;
    segment(f, TCP_ACK, 500, 1100);
    assert_true(tcp_write_due(&f->tcb, least) >= least);
    for (uint32_t i = 0; i < TCP_NEAR_PACKETS - 3; i++)
        pkt_free(held[i]);
}

static void an_empty_commit_writes_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, 0), 0);
    assert_int_equal(tcp_unsent_bytes(&f->tcb), 0);
    output(f, 3000);
    assert_int_equal(put(f, 5), 5);
    assert_int_equal(tcp_unsent_bytes(&f->tcb), 5);
}

static void release_gives_everything_back(void **state)
{
    struct fixture *f = *state;
    while (put(f, 1000) > 0)
        ;
    output(f, 3000);
    struct pkt *on_the_wire = f->tcb.txq.head;
    pkt_ref(on_the_wire);
    tcp_release(&f->tcb);
    assert_int_equal(f->pool->ops->available(f->pool), POOL_PACKETS - 1);
    pkt_free(on_the_wire);
}

static void events_are_told_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tcp_events(&f->tcb), TCP_EV_CONNECTED);
    assert_int_equal(tcp_events(&f->tcb), 0);
}

static void a_snapshot_tells_what_is_going_on(void **state)
{
    struct fixture *f = *state;
    put(f, 500);
    output(f, 3000);
    struct tcp_info info = tcp_info(&f->tcb);
    assert_int_equal(info.state, TCP_ESTABLISHED);
    assert_int_equal(info.mss, 1000);
    assert_int_equal(info.flight_bytes, 500);
    assert_int_equal(info.srtt_us, 1000);
}

/* A dialogue: ten bytes and their ACK, every 100 ms. */
static void talk_for(struct fixture *f, uint64_t *now_us, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++, *now_us += 100000) {
        pkt_pool_refresh(f->pool);
        put(f, 10);
        output(f, *now_us);
        struct tcp_segment ack = {.flags = TCP_ACK, .seq = 500, .ack = f->tcb.snd_nxt, .window = 65535};
        tcp_input(&f->tcb, &ack, *now_us + 1000);
        output(f, *now_us + 1000);
    }
}

/* RFC 7661 section 4.4.2: cwnd / 2 and no less than the initial window, ssthresh 3/4 of it. */
static void a_window_that_is_not_used_is_half_forgotten(void **state)
{
    struct fixture *f = *state;
    uint64_t now_us = 2000;
    f->tcb.cc.cwnd = 60000;
    f->tcb.cc.ssthresh = 20000;
    talk_for(f, &now_us, 2900);
    assert_int_equal(f->tcb.cc.cwnd, 60000);
    talk_for(f, &now_us, 200);
    assert_int_equal(f->tcb.cc.cwnd, 30000);
    assert_int_equal(f->tcb.cc.ssthresh, 45000);
    talk_for(f, &now_us, 6000);
    assert_int_equal(f->tcb.cc.cwnd, 10000);
    assert_int_equal(f->tcb.cc.ssthresh, 45000);
}

/* RFC 6582 section 3.2: the point that the last recovery ended at must not come round to lie ahead, 2 GiB later. */
static void a_recovery_long_ago_does_not_forbid_another(void **state)
{
    struct fixture *f = *state;
    f->tcb.recover = f->tcb.ecn_seq = f->tcb.snd_una - (0x7fffffffu - 1500);
    for (unsigned i = 0; i < 6; i++) {
        while (put(f, 1000) && f->tcb.txq.unsent_bytes < 1000)
            ;
        output(f, 2000);
        if (i < 2)
            segment(f, TCP_ACK, 500, f->tcb.snd_nxt);
    }
    for (unsigned i = 0; i < 3; i++)
        segment(f, TCP_ACK, 500, f->tcb.snd_una);
    assert_int_equal(f->tcb.recovery, RECOVERY_FAST);
}

static void take(struct fixture *f, uint32_t seq, uint32_t len)
{
    struct pkt *p = pkt_alloc(f->pool, PKT_DATA);
    assert_non_null(p);
    struct tcp_segment seg = {
        .flags = TCP_ACK, .seq = seq, .ack = 100, .window = 65535, .len = len, .payload = p->data, .pkt = p};
    tcp_input(&f->tcb, &seg, 2000);
    pkt_free(p);
}

/* What came is told of block by block and duplicate by duplicate, also to who is given many segments at a time. */
static void an_ack_is_full_of_what_it_can_tell(void **state)
{
    struct fixture *f = *state;
    f->tcb.sack_on = true;
    take(f, 500, 100);
    take(f, 700, 100);
    take(f, 800, 100);
    take(f, 1000, 100);
    assert_false(tcp_ack_is_full(&f->tcb));
    take(f, 1200, 100);
    assert_true(tcp_ack_is_full(&f->tcb));
    output(f, 2000);
    assert_false(tcp_ack_is_full(&f->tcb));
    assert_int_equal(f->last.opt.sack_blocks, 3);
    take(f, 1300, 100);
    assert_false(tcp_ack_is_full(&f->tcb));
    take(f, 700, 100);
    assert_true(tcp_ack_is_full(&f->tcb));
    output(f, 2000);
    assert_int_equal(f->last.opt.sack[0].start, 700);
    assert_false(tcp_ack_is_full(&f->tcb));
    for (uint32_t seq = 600; seq < 1400; seq += 100) /* in order, and what was early */
        take(f, seq, 100);
    output(f, 2000);
    assert_false(tcp_ack_is_full(&f->tcb));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_control_block_fits_in_a_kilobyte),
        TEST(unsent_small_writes_share_a_segment),
        TEST(a_push_keeps_back_what_is_not_full),
        TEST(full_segments_leave_as_a_train),
        TEST(what_of_a_train_is_refused_leaves_later),
        TEST(what_has_blocks_to_tell_leaves_one_by_one),
        TEST(a_train_ends_where_the_windows_do),
        TEST(what_the_windows_let_out_is_due),
        TEST(a_full_core_sends_little_at_a_time_over_a_short_path),
        TEST(an_empty_commit_writes_nothing),
        TEST(release_gives_everything_back),
        TEST(events_are_told_once),
        TEST(a_snapshot_tells_what_is_going_on),
        TEST(a_window_that_is_not_used_is_half_forgotten),
        TEST(a_recovery_long_ago_does_not_forbid_another),
        TEST(an_ack_is_full_of_what_it_can_tell),
    };
    return cmocka_run_group_tests_name("tcp/tcb", tests, NULL, NULL);
}
