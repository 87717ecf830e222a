#include "engine/tcp/tcb.h"
#include "engine/tcp/time_wait.h"

#include "tests/unit/cmocka.h"

static const struct tcp_time_wait record = {
    .snd_nxt = 1000,
    .rcv_nxt = 2000,
    .ts_recent = 55,
    .ts_offset = 7,
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
        cmocka_unit_test(the_record_is_small),
    };
    return cmocka_run_group_tests_name("tcp/time_wait", tests, NULL, NULL);
}
