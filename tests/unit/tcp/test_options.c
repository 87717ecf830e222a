#include "engine/tcp/tcb.h"

#include "tests/unit/cmocka.h"

struct fixture {
    struct tcp_config config;
    struct stats stats;
    struct pkt_pool *pool;
    struct tcb tcb;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.config = tcp_config_default(), .pool = pkt_heap_pool_open(16, 0, 2048)};
    tcp_open_active(&f.tcb, &(struct tcp_open){.config = &f.config, .pool = f.pool, .stats = &f.stats},
                    5000000);
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

static void accept(struct fixture *f, struct tcp_options opt)
{
    options_accept(&f->tcb, &(struct tcp_segment){.flags = TCP_SYN, .opt = opt}, 5000000);
}

static void a_syn_offers_everything(void **state)
{
    struct fixture *f = *state;
    struct tcp_options opt = {0};
    options_offer(&f->tcb, &opt, 5000000);
    assert_true(opt.has_mss && opt.has_wscale && opt.sack_permitted && opt.has_timestamps);
    assert_int_equal(opt.mss, 1460);
    assert_int_equal(opt.wscale, 1);
    assert_int_equal(opt.ts_val, 5000);
    assert_int_equal(opt.ts_ecr, 0);
}

static void an_empty_syn_turns_everything_off(void **state)
{
    struct fixture *f = *state;
    accept(f, (struct tcp_options){0});
    assert_false(f->tcb.ts_on || f->tcb.sack_on || f->tcb.wscale_on);
    assert_int_equal(f->tcb.snd_scale, 0);
    assert_int_equal(f->tcb.rcv_scale, 0);
    assert_int_equal(f->tcb.snd_mss, 536);
}

static void time_stamps_take_twelve_bytes_of_a_segment(void **state)
{
    struct fixture *f = *state;
    accept(f, (struct tcp_options){.has_mss = true, .mss = 1400, .has_timestamps = true, .ts_val = 77});
    assert_int_equal(f->tcb.snd_mss, 1388);
    assert_int_equal(f->tcb.ts_recent, 77);
}

static void absurd_values_are_bounded(void **state)
{
    struct fixture *f = *state;
    accept(f, (struct tcp_options){.has_mss = true, .mss = 0, .has_wscale = true, .wscale = 255});
    assert_int_equal(f->tcb.snd_mss, 64);
    assert_int_equal(f->tcb.snd_scale, 14);
}

/* The options of one segment never take more than 40 bytes, nor more than the room beside its payload. */
static void sack_blocks_fit_beside_time_stamps_and_payload(void **state)
{
    struct fixture *f = *state;
    static const struct {
        bool ts;
        uint32_t room;
        unsigned blocks;
    } cases[] = {
        {true, UINT32_MAX, 3}, {false, UINT32_MAX, 4}, {true, 12, 0}, {true, 23, 0},  {true, 24, 1},
        {true, 31, 1},         {true, 32, 2},          {false, 0, 0}, {false, 11, 0}, {false, 12, 1},
    };
    accept(f, (struct tcp_options){.has_timestamps = true, .sack_permitted = true});
    for (uint32_t i = 0; i < 5; i++) {
        struct pkt *p = pkt_alloc(f->pool, PKT_DATA);
        rxq_insert(&f->tcb.rxq, p, p->data, 100 + 20 * i, 10);
        pkt_free(p);
    }
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct tcp_options opt = {0};
        f->tcb.ts_on = cases[i].ts;
        options_fill(&f->tcb, &opt, cases[i].room, 5000000);
        assert_int_equal(opt.sack_blocks, cases[i].blocks);
    }
}

static void a_duplicate_is_reported_first(void **state)
{
    struct fixture *f = *state;
    accept(f, (struct tcp_options){.sack_permitted = true});
    f->tcb.rcv_dsack = true;
    f->tcb.dsack = (struct tcp_sack_block){5, 9};
    struct tcp_options opt = {0};
    options_fill(&f->tcb, &opt, UINT32_MAX, 5000000);
    assert_int_equal(opt.sack_blocks, 1);
    assert_int_equal(opt.sack[0].start, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_syn_offers_everything),
        TEST(an_empty_syn_turns_everything_off),
        TEST(time_stamps_take_twelve_bytes_of_a_segment),
        TEST(absurd_values_are_bounded),
        TEST(sack_blocks_fit_beside_time_stamps_and_payload),
        TEST(a_duplicate_is_reported_first),
    };
    return cmocka_run_group_tests_name("tcp/options", tests, NULL, NULL);
}
