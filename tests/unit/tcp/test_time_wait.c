#include "engine/tcp/tcb.h"
#include "engine/tcp/time_wait.h"

#include "tests/unit/cmocka.h"

static struct tcp_time_wait record = {
    .snd_nxt = 1000,
    .rcv_nxt = 2000,
    .ts_recent = 55,
    .ts_offset = 7,
    .sent_ms = 3000,
    .window = 333,
    .ts_on = true,
};

static enum tcp_time_wait_do input(uint8_t flags, uint32_t seq, uint32_t len, struct tcp_segment *answer)
{
    struct tcp_segment seg = {.flags = flags, .seq = seq, .len = len, .ack = 1000};
    return tcp_time_wait_input(&record, &seg, 3000000, answer);
}

static void the_fin_again_is_acked_and_restarts(void **state)
{
    (void)state;
    struct tcp_segment answer;
    assert_int_equal(input(TCP_FIN | TCP_ACK, 1999, 0, &answer), TIME_WAIT_RESTART);
    assert_int_equal(answer.flags, TCP_ACK);
    assert_int_equal(answer.seq, 1000);
    assert_int_equal(answer.ack, 2000);
    assert_int_equal(answer.window, 333);
    assert_true(answer.opt.has_timestamps);
    assert_int_equal(answer.opt.ts_val, 3007);
    assert_int_equal(answer.opt.ts_ecr, 55);
    assert_int_equal(input(TCP_FIN | TCP_ACK, 1899, 100, &answer), TIME_WAIT_RESTART);
}

static void a_reset_is_ignored(void **state)
{
    (void)state;
    struct tcp_segment answer;
    assert_int_equal(input(TCP_RST, 2000, 0, &answer), TIME_WAIT_IGNORE);
}

static void a_bare_ack_in_place_gets_no_answer(void **state)
{
    (void)state;
    struct tcp_segment answer;
    assert_int_equal(input(TCP_ACK, 2000, 0, &answer), TIME_WAIT_IGNORE);
}

static void old_data_and_syns_get_an_ack(void **state)
{
    (void)state;
    struct tcp_segment answer;
    assert_int_equal(input(TCP_ACK, 1500, 100, &answer), TIME_WAIT_ANSWER);
    assert_int_equal(input(TCP_SYN, 500, 0, &answer), TIME_WAIT_ANSWER);
    assert_int_equal(answer.ack, 2000);
}

static bool reopens(const struct tcp_time_wait *old, uint8_t flags, uint32_t seq, uint32_t ts_val)
{
    struct tcp_segment syn = {.flags = flags, .seq = seq};
    syn.opt.has_timestamps = ts_val != 0;
    syn.opt.ts_val = ts_val;
    return tcp_time_wait_reopens(old, &syn);
}

/* RFC 6191 section 2, in its order. */
static void a_later_syn_begins_a_new_connection(void **state)
{
    (void)state;
    struct tcp_time_wait bare = record;
    bare.ts_on = false;
    assert_true(reopens(&record, TCP_SYN, 1, 56)); /* a greater stamp, whatever the number */
    assert_true(reopens(&record, TCP_SYN, 2000, 55));
    assert_false(reopens(&record, TCP_SYN, 1999, 55));
    assert_true(reopens(&record, TCP_SYN, 2000, 0)); /* the new one has none */
    assert_false(reopens(&record, TCP_SYN, 1999, 0));
    assert_false(reopens(&record, TCP_SYN, 5000, 54)); /* an old duplicate */
    assert_true(reopens(&bare, TCP_SYN, 1, 1));        /* the old one had none */
    assert_true(reopens(&bare, TCP_SYN, 2000, 0));
    assert_false(reopens(&bare, TCP_SYN, 1999, 0));
}

static void nothing_but_a_syn_does(void **state)
{
    (void)state;
    assert_false(reopens(&record, TCP_SYN | TCP_ACK, 5000, 99));
    assert_false(reopens(&record, TCP_SYN | TCP_RST, 5000, 99));
    assert_false(reopens(&record, TCP_SYN | TCP_FIN, 5000, 99));
    assert_false(reopens(&record, TCP_ACK, 5000, 99));
}

static void numbers_and_stamps_wrap(void **state)
{
    (void)state;
    struct tcp_time_wait old = {.rcv_nxt = 0xfffffff0u, .ts_recent = 0xfffffff0u, .ts_on = true};
    assert_true(reopens(&old, TCP_SYN, 1, 5));
    assert_false(reopens(&old, TCP_SYN, 1, 0xffffffefu));
    assert_true(reopens(&old, TCP_SYN, 5, 0));
}

/* RFC 9293 section 3.6.1, RFC 7323 section 5.4. */
static void what_follows_is_greater_in_all(void **state)
{
    (void)state;
    struct tcp_open lower = {.isn = 900, .ts_offset = 3}, same = {.isn = 1001, .ts_offset = 7}, later = same;
    tcp_time_wait_follow(&record, &lower, 3000000);
    assert_int_equal(lower.isn, 1000 + 65536);
    assert_int_equal(3000 + lower.ts_offset, 3000 + 7 + 1); /* it last sent in this millisecond */
    tcp_time_wait_follow(&record, &same, 3000999);
    assert_int_equal(same.isn, 1001);
    assert_int_equal(same.ts_offset, 8);
    tcp_time_wait_follow(&record, &later, 3001000);
    assert_int_equal(later.ts_offset, 7); /* the clock has done it */
}

static void without_stamps_a_port_rests(void **state)
{
    (void)state;
    struct tcp_time_wait bare = record;
    bare.ts_on = false;
    assert_true(tcp_time_wait_can_be_followed(&record));
    assert_false(tcp_time_wait_can_be_followed(&bare));
}

static void the_record_is_small(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct tcp_time_wait), 1, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fin_again_is_acked_and_restarts),
        cmocka_unit_test(a_reset_is_ignored),
        cmocka_unit_test(a_bare_ack_in_place_gets_no_answer),
        cmocka_unit_test(old_data_and_syns_get_an_ack),
        cmocka_unit_test(a_later_syn_begins_a_new_connection),
        cmocka_unit_test(nothing_but_a_syn_does),
        cmocka_unit_test(numbers_and_stamps_wrap),
        cmocka_unit_test(what_follows_is_greater_in_all),
        cmocka_unit_test(without_stamps_a_port_rests),
        cmocka_unit_test(the_record_is_small),
    };
    return cmocka_run_group_tests_name("tcp/time_wait", tests, NULL, NULL);
}
