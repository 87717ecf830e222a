/* test_cookie.c: SYN cookies (RFC 4987 section 3.6): what survives in one, how long, and what is no cookie. */
#include "engine/tcp/cookie.h"
#include "engine/tcp/tcb.h"

#include "tests/unit/cmocka.h"

#define SLOT_US  ((uint64_t)TCP_COOKIE_SLOT_US)
#define START_US (100 * SLOT_US)

struct fixture {
    struct tcp_config config;
    struct stats stats;
    struct tcp_cookies cookies;
    uint8_t flow[TCP_COOKIE_FLOW_BYTES];
    unsigned hashed;
};

/* FNV-1a and a finisher: enough to tell inputs apart. */
static uint64_t fake_prf(void *ctx, const void *in, size_t len)
{
    struct fixture *f = ctx;
    const uint8_t *p = in;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    f->hashed++;
    return (h ^ h >> 29) * 0xbf58476d1ce4e5b9u >> 13;
}

static void set_up(struct fixture *f)
{
    *f = (struct fixture){.config = tcp_config_default(), .flow = {10, 1, 2, 3}};
    f->config.recv_buffer_bytes = 1u << 20;
    f->cookies = (struct tcp_cookies){fake_prf, f, &f->config, &f->stats, 0};
}

static struct tcp_segment full_syn(void)
{
    return (struct tcp_segment){
        .src_port = 4000,
        .dst_port = 25,
        .seq = 0xfffffffe,
        .flags = TCP_SYN,
        .window = 65535,
        .opt = {.has_mss = true,
                .mss = 1460,
                .sack_permitted = true,
                .has_timestamps = true,
                .ts_val = 777,
                .has_wscale = true,
                .wscale = 7},
    };
}

static struct tcp_segment ack_of(const struct tcp_segment *syn, const struct tcp_segment *syn_ack)
{
    struct tcp_segment ack = {
        .src_port = syn->src_port,
        .dst_port = syn->dst_port,
        .seq = syn->seq + 1,
        .ack = syn_ack->seq + 1,
        .flags = TCP_ACK,
        .window = 500,
    };
    ack.opt.has_timestamps = syn_ack->opt.has_timestamps;
    ack.opt.ts_val = 778;
    ack.opt.ts_ecr = syn_ack->opt.ts_val;
    return ack;
}

static bool accept_at(struct fixture *f, const struct tcp_segment *ack, uint64_t now_us,
                      struct tcp_open *open, struct tcp_segment *syn)
{
    return tcp_cookie_check(&f->cookies, f->flow, ack, now_us, open, syn) == TCP_COOKIE_GOOD;
}

static bool good(struct fixture *f, const struct tcp_segment *ack, uint64_t now_us)
{
    struct tcp_open open = {0};
    struct tcp_segment syn;
    return accept_at(f, ack, now_us, &open, &syn);
}

static void all_options_come_back(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct tcp_segment syn = full_syn(), syn_ack, known;
    struct tcp_open open = {0};
    tcp_cookie_answer(&f.cookies, f.flow, 1440, &syn, START_US, &syn_ack);
    assert_int_equal(syn_ack.flags, TCP_SYN | TCP_ACK);
    assert_int_equal(syn_ack.ack, 0xffffffff);
    assert_int_equal(syn_ack.src_port, 25);
    assert_int_equal(syn_ack.opt.mss, 1440);
    assert_int_equal(syn_ack.opt.wscale, 5); /* a MiB needs it */
    assert_int_equal(syn_ack.opt.ts_ecr, 777);
    assert_true(syn_ack.opt.has_wscale && syn_ack.opt.sack_permitted);
    struct tcp_segment ack = ack_of(&syn, &syn_ack);
    assert_true(accept_at(&f, &ack, START_US + 5000, &open, &known));
    assert_int_equal(open.isn, syn_ack.seq);
    assert_int_equal(known.seq, syn.seq);
    assert_int_equal(known.opt.mss, 1460);
    assert_true(known.opt.has_wscale && known.opt.sack_permitted && known.opt.has_timestamps);
    assert_int_equal(known.opt.wscale, 7);
    assert_int_equal(known.opt.ts_val, 778);
    uint32_t clock = (uint32_t)((START_US + 5000) / 1000) + open.ts_offset;
    assert_in_range(clock - syn_ack.opt.ts_val, 5, 5 + 31); /* the connection's stamps go on from there */
    assert_int_equal(f.stats.v[STAT_tcp_cookies_sent], 1);
    assert_int_equal(f.stats.v[STAT_tcp_cookies_accepted], 1);
}

/* Who offers no time stamps gets no window scale, but SACK. */
static void without_stamps_there_is_no_scale(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct tcp_segment syn = full_syn(), syn_ack, known;
    struct tcp_open open = {0};
    syn.opt.has_timestamps = false;
    tcp_cookie_answer(&f.cookies, f.flow, 1460, &syn, START_US, &syn_ack);
    assert_false(syn_ack.opt.has_timestamps || syn_ack.opt.has_wscale);
    struct tcp_segment ack = ack_of(&syn, &syn_ack);
    assert_true(accept_at(&f, &ack, START_US, &open, &known));
    assert_false(known.opt.has_timestamps || known.opt.has_wscale);
    assert_true(known.opt.sack_permitted);
}

static void the_mss_is_rounded_down(void **state)
{
    (void)state;
    static const struct {
        uint16_t offered, kept;
    } cases[] = {{0, 64},      {63, 64},     {64, 64},     {535, 64},    {536, 536},   {1219, 536},
                 {1220, 1220}, {1399, 1360}, {1439, 1400}, {1459, 1440}, {8959, 1460}, {65535, 8960}};
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tcp_segment syn = full_syn(), syn_ack, known;
        struct tcp_open open = {0};
        syn.opt.mss = cases[i].offered;
        tcp_cookie_answer(&f.cookies, f.flow, 1460, &syn, START_US, &syn_ack);
        struct tcp_segment ack = ack_of(&syn, &syn_ack);
        assert_true(accept_at(&f, &ack, START_US, &open, &known));
        assert_int_equal(known.opt.mss, cases[i].kept);
    }
    struct tcp_segment syn = full_syn(), syn_ack, known;
    struct tcp_open open = {0};
    syn.opt.has_mss = false; /* RFC 9293 section 3.7.1 */
    tcp_cookie_answer(&f.cookies, f.flow, 1460, &syn, START_US, &syn_ack);
    struct tcp_segment ack = ack_of(&syn, &syn_ack);
    assert_true(accept_at(&f, &ack, START_US, &open, &known));
    assert_int_equal(known.opt.mss, 536);
}

static void a_cookie_is_good_for_one_to_two_slots(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct tcp_segment syn = full_syn(), syn_ack;
    tcp_cookie_answer(&f.cookies, f.flow, 1460, &syn, START_US + 1, &syn_ack);
    struct tcp_segment ack = ack_of(&syn, &syn_ack);
    assert_true(good(&f, &ack, START_US + 2));
    assert_true(good(&f, &ack, START_US + 2 * SLOT_US - 1));
    assert_false(good(&f, &ack, START_US + 2 * SLOT_US));
    tcp_cookie_answer(&f.cookies, f.flow, 1460, &syn, START_US + 5 * SLOT_US,
                      &syn_ack); /* others still come */
    assert_false(good(&f, &ack, START_US + 5 * SLOT_US));
}

static void any_other_bit_is_no_cookie(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct tcp_segment syn = full_syn(), syn_ack;
    tcp_cookie_answer(&f.cookies, f.flow, 1460, &syn, START_US, &syn_ack);
    const struct tcp_segment ack = ack_of(&syn, &syn_ack);
    for (unsigned bit = 0; bit < 32; bit++) {
        struct tcp_segment forged = ack;
        forged.ack = (syn_ack.seq ^ 1u << bit) + 1;
        assert_false(good(&f, &forged, START_US));
        forged = ack;
        forged.seq ^= 1u << bit;
        assert_false(good(&f, &forged, START_US));
    }
    for (unsigned i = 0; i < sizeof(f.flow); i++) {
        f.flow[i] ^= 0x20;
        assert_false(good(&f, &ack, START_US));
        f.flow[i] ^= 0x20;
    }
    struct tcp_segment stripped = ack;
    stripped.opt.has_timestamps = false; /* what was agreed would be lost */
    assert_false(good(&f, &stripped, START_US));
    assert_int_equal(f.stats.v[STAT_tcp_drop_cookie], 32 + 32 + sizeof(f.flow) + 1);
    assert_true(good(&f, &ack, START_US));
}

static void without_a_flood_a_stray_ack_costs_nothing(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct tcp_segment syn = full_syn(), syn_ack;
    tcp_cookie_answer(&f.cookies, f.flow, 1460, &syn, START_US, &syn_ack);
    struct tcp_segment ack = ack_of(&syn, &syn_ack);
    f.hashed = 0;
    assert_false(good(&f, &ack, START_US + 2 * SLOT_US));
    assert_int_equal(f.hashed, 0);
    assert_int_equal(f.stats.v[STAT_tcp_drop_cookie], 0);
}

/* ---- the connection that comes of it ---- */

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    *(struct tcp_segment *)ctx = *seg;
    return true;
}

static void a_connection_comes_of_it(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct pkt_pool *pool = pkt_heap_pool_open(16, 0, 2048);
    struct tcb tcb;
    struct tcp_segment syn = full_syn(), syn_ack, known, sent = {0};
    struct tcp_open open = {.config = &f.config, .pool = pool, .stats = &f.stats, .mss = 1460};
    tcp_cookie_answer(&f.cookies, f.flow, 1460, &syn, START_US, &syn_ack);
    struct tcp_segment ack = ack_of(&syn, &syn_ack);
    uint64_t now_us = START_US + 30000;
    assert_true(accept_at(&f, &ack, now_us, &open, &known));
    tcp_open_answered(&tcb, &open, &known, now_us);
    tcb_check(&tcb);
    tcp_input(&tcb, &ack, now_us);
    tcb_check(&tcb);
    assert_int_equal(tcp_state(&tcb), TCP_ESTABLISHED);
    assert_int_equal(tcb.snd_wnd, 500u << 7);
    assert_int_equal(tcb.rcv_scale, 5);
    assert_true(tcb.sack_on && tcb.ts_on);
    assert_in_range(tcp_info(&tcb).srtt_us, 30000, 30000 + 16000); /* by the stamp, cut to 16 ms */
    size_t room;
    assert_non_null(tcp_write_reserve(&tcb, &room));
    assert_int_equal(room, 1448);
    tcp_write_commit(&tcb, 4);
    assert_true(tcp_output(&tcb, now_us, &(struct tcp_emit){.ctx = &sent, .emit = emit}));
    assert_int_equal(sent.seq, syn_ack.seq + 1); /* nothing of the SYN goes again */
    assert_int_equal(sent.len, 4);
    assert_true(seq_ge(sent.opt.ts_val, syn_ack.opt.ts_val));
    tcp_release(&tcb);
    pkt_heap_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_options_come_back),
        cmocka_unit_test(without_stamps_there_is_no_scale),
        cmocka_unit_test(the_mss_is_rounded_down),
        cmocka_unit_test(a_cookie_is_good_for_one_to_two_slots),
        cmocka_unit_test(any_other_bit_is_no_cookie),
        cmocka_unit_test(without_a_flood_a_stray_ack_costs_nothing),
        cmocka_unit_test(a_connection_comes_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
