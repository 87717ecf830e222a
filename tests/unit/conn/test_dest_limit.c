/* test_dest_limit.c: how many connections a destination gets: one until it has proven itself, then as many as it takes. */
#include "engine/conn/dest.h"
#include "tests/unit/cmocka.h"

#define LIMIT 4u
#define START 5000000u /* now, when the tests begin */

struct fixture {
    struct dest_table table;
    struct dest *dest; /* ten wait for it */
};

static int setup(void **state)
{
    static struct fixture f;
    struct error err;
    struct policy_hop hop = {.host = "mx.test", .port = 25};
    if (!dest_table_open(&f.table, 4, LIMIT, 7, &err))
        fail_msg("%s", err.text);
    f.dest = dest_get(&f.table, &hop);
    f.dest->waiting_count = 10;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    dest_table_close(&f->table);
    return 0;
}

static void open_up_to(struct fixture *f, uint32_t connections)
{
    while (f->dest->connections < connections) {
        assert_true(dest_wants_connection(f->dest));
        dest_on_connecting(f->dest);
    }
}

static void come_up(struct fixture *f, uint32_t connections, uint64_t now_us)
{
    while (connections-- > 0)
        dest_on_ready(f->dest, now_us);
}

/* One attempt is turned away: whether the limit was lowered for it. */
static bool turn_away(struct fixture *f, uint64_t now_us)
{
    bool lowered = dest_on_ended(&f->table, f->dest, false, true, now_us);
    dest_on_gone(f->dest);
    return lowered;
}

static bool raise(struct fixture *f, uint64_t now_us)
{
    return dest_raise(&f->table, f->dest, now_us);
}

/* ---- up to the limit ---- */

static void one_attempt_until_it_has_proven_itself(void **state)
{
    struct fixture *f = *state;
    f->dest->waiting_count = 0;
    assert_false(dest_wants_connection(f->dest));
    f->dest->waiting_count = 10;
    open_up_to(f, 1);
    assert_false(dest_wants_connection(f->dest));
    come_up(f, 1, START);
    assert_true(f->dest->proven);
    open_up_to(f, LIMIT);
    assert_false(dest_wants_connection(f->dest));
    assert_true(dest_lacks_connection(f->dest)); /* but for the limit */
}

static void no_more_attempts_than_who_waits(void **state)
{
    struct fixture *f = *state;
    f->dest->waiting_count = 1;
    open_up_to(f, 1);
    come_up(f, 1, START);
    open_up_to(f, 2);
    assert_false(dest_lacks_connection(f->dest));
    f->dest->waiting_count = 2;
    assert_true(dest_wants_connection(f->dest));
}

/* ---- refusals ---- */

static void a_refusal_alone_ends_the_proof(void **state)
{
    struct fixture *f = *state;
    open_up_to(f, 1);
    assert_false(turn_away(f, START));
    assert_false(f->dest->proven);
    assert_int_equal(f->dest->limit, LIMIT); /* it says nothing of how many there may be */
}

static void refusals_beside_others_lower_the_limit_to_these(void **state)
{
    struct fixture *f = *state;
    open_up_to(f, 1);
    come_up(f, 1, START);
    open_up_to(f, LIMIT);
    assert_true(turn_away(f, START)); /* one is ready, two may yet become it */
    assert_int_equal(f->dest->limit, 3);
    come_up(f, 1, START);
    assert_true(turn_away(f, START));
    assert_int_equal(f->dest->limit, 2);
    assert_true(f->dest->proven);
    assert_int_equal(f->dest->connections, 2);
    assert_false(dest_wants_connection(f->dest));
    assert_false(dest_on_ended(&f->table, f->dest, true, false, START));
    dest_on_gone(f->dest);
    assert_true(dest_wants_connection(f->dest)); /* as many again, no more */
}

static void a_failure_that_is_no_refusal_changes_nothing(void **state)
{
    struct fixture *f = *state;
    open_up_to(f, 1);
    come_up(f, 1, START);
    open_up_to(f, 2);
    assert_false(dest_on_ended(&f->table, f->dest, false, false, START));
    dest_on_gone(f->dest);
    assert_int_equal(f->dest->limit, LIMIT);
    assert_true(f->dest->proven);
}

static void the_limit_is_never_zero(void **state)
{
    struct fixture *f = *state;
    open_up_to(f, 1);
    come_up(f, 1, START);
    open_up_to(f, 2);
    dest_on_ended(&f->table, f->dest, true, false, START); /* it is closing while the other is turned away */
    assert_true(turn_away(f, START));
    assert_int_equal(f->dest->limit, 1);
    assert_false(f->dest->proven);
}

/* ---- up again ---- */

/* Two stand, and a third was turned away. */
static void lower_to_two(struct fixture *f, uint64_t now_us)
{
    open_up_to(f, 1);
    come_up(f, 1, now_us);
    open_up_to(f, 3);
    come_up(f, 1, now_us);
    assert_true(turn_away(f, now_us));
    assert_int_equal(f->dest->limit, 2);
}

static void a_limit_that_was_not_lowered_does_not_rise(void **state)
{
    struct fixture *f = *state;
    open_up_to(f, 1);
    come_up(f, 1, START);
    open_up_to(f, LIMIT);
    come_up(f, LIMIT - 1, START);
    assert_false(raise(f, UINT64_MAX));
    assert_int_equal(f->dest->limit, LIMIT);
}

static void one_more_is_tried_after_a_pause(void **state)
{
    struct fixture *f = *state;
    lower_to_two(f, START);
    assert_false(raise(f, START + DEST_PATIENCE_MIN_US - 1));
    assert_true(raise(f, START + DEST_PATIENCE_MIN_US));
    assert_int_equal(f->dest->limit, 3);
    assert_true(dest_wants_connection(f->dest));
}

static void no_more_before_that_one_has_been_taken(void **state)
{
    struct fixture *f = *state;
    uint64_t now_us = START + DEST_PATIENCE_MIN_US;
    lower_to_two(f, START);
    assert_true(raise(f, now_us));
    open_up_to(f, 3);
    assert_false(raise(f, now_us + DEST_PATIENCE_MAX_US));
    come_up(f, 1, now_us);
    assert_false(raise(f, now_us + DEST_PATIENCE_MIN_US - 1));
    assert_true(raise(f, now_us + DEST_PATIENCE_MIN_US));
    open_up_to(f, LIMIT);
    come_up(f, 1, now_us);
    assert_int_equal(f->dest->limit, LIMIT);
    assert_false(raise(f, now_us + DEST_PATIENCE_MAX_US)); /* there is no more to be had */
}

static void it_rises_for_those_who_would_use_it(void **state)
{
    struct fixture *f = *state;
    lower_to_two(f, 0);
    f->dest->waiting_count = 0;
    assert_false(raise(f, START + DEST_PATIENCE_MIN_US));
    f->dest->waiting_count = 10;
    assert_false(dest_on_ended(&f->table, f->dest, true, false, START));
    dest_on_gone(f->dest); /* the limit leaves room for another */
    assert_false(raise(f, START + DEST_PATIENCE_MIN_US));
    open_up_to(f, 2);
    assert_true(raise(f, START + DEST_PATIENCE_MIN_US));
}

static void every_trial_that_fails_doubles_the_pause(void **state)
{
    struct fixture *f = *state;
    uint64_t now_us = START, pause_us = DEST_PATIENCE_MIN_US;
    lower_to_two(f, now_us);
    for (unsigned i = 0; i < 10; i++) {
        assert_false(raise(f, now_us + pause_us - 1));
        now_us += pause_us;
        assert_true(raise(f, now_us));
        open_up_to(f, 3);
        assert_true(turn_away(f, now_us));
        assert_int_equal(f->dest->limit, 2);
        pause_us = min_u64(2 * pause_us, DEST_PATIENCE_MAX_US);
    }
    assert_int_equal(pause_us, DEST_PATIENCE_MAX_US);
}

/* Several that were under way together say the same once. */
static void refusals_in_a_row_do_not_double_it(void **state)
{
    struct fixture *f = *state;
    open_up_to(f, 1);
    come_up(f, 1, START);
    open_up_to(f, LIMIT);
    for (unsigned i = 1; i < LIMIT; i++)
        assert_true(turn_away(f, START + i));
    assert_int_equal(f->dest->limit, 1);
    assert_false(raise(f, START + LIMIT - 1 + DEST_PATIENCE_MIN_US - 1));
    assert_true(raise(f, START + LIMIT - 1 + DEST_PATIENCE_MIN_US));
}

static void a_success_makes_the_pause_the_shortest_again(void **state)
{
    struct fixture *f = *state;
    lower_to_two(f, START);
    assert_true(raise(f, START + DEST_PATIENCE_MIN_US));
    open_up_to(f, 3);
    assert_true(turn_away(f, START + DEST_PATIENCE_MIN_US));
    uint64_t now_us = START + 3 * DEST_PATIENCE_MIN_US;
    assert_true(raise(f, now_us));
    open_up_to(f, 3);
    come_up(f, 1, now_us);
    assert_true(raise(f, now_us + DEST_PATIENCE_MIN_US));
}

static void lowered_ones_are_counted(void **state)
{
    struct fixture *f = *state;
    lower_to_two(f, START);
    assert_int_equal(f->table.limited, 1);
    assert_true(raise(f, START + DEST_PATIENCE_MAX_US));
    assert_int_equal(f->table.limited, 1);
    open_up_to(f, 3);
    come_up(f, 1, START + DEST_PATIENCE_MAX_US);
    assert_true(raise(f, START + 2 * DEST_PATIENCE_MAX_US));
    assert_int_equal(f->table.limited, 0);
    open_up_to(f, LIMIT);
    assert_true(turn_away(f, START + 2 * DEST_PATIENCE_MAX_US));
    assert_int_equal(f->table.limited, 1);
    while (f->dest->ready > 0) {
        dest_on_ended(&f->table, f->dest, true, false, START);
        dest_on_gone(f->dest);
    }
    f->dest->waiting_count = 0;
    dest_release(&f->table, f->dest);
    assert_int_equal(f->table.limited, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_attempt_until_it_has_proven_itself),
        TEST(no_more_attempts_than_who_waits),
        TEST(a_refusal_alone_ends_the_proof),
        TEST(refusals_beside_others_lower_the_limit_to_these),
        TEST(a_failure_that_is_no_refusal_changes_nothing),
        TEST(the_limit_is_never_zero),
        TEST(a_limit_that_was_not_lowered_does_not_rise),
        TEST(one_more_is_tried_after_a_pause),
        TEST(no_more_before_that_one_has_been_taken),
        TEST(it_rises_for_those_who_would_use_it),
        TEST(every_trial_that_fails_doubles_the_pause),
        TEST(refusals_in_a_row_do_not_double_it),
        TEST(a_success_makes_the_pause_the_shortest_again),
        TEST(lowered_ones_are_counted),
    };
    return cmocka_run_group_tests_name("conn/dest_limit", tests, NULL, NULL);
}
