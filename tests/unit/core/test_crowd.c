/* Many messages for one receiver: how it is asked for connections, and how many of them it gets. */
#include "tests/unit/core/world.h"

/* ---- nobody is stormed with SYNs (RFC 4987 is what it would take to bear them) ---- */

static void submit_many(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        world_send(w, "a@d1.test");
}

static void a_silent_host_gets_one_attempt_at_a_time(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->silent = true;
    submit_many(w, 50);
    world_run(w, 10 * SECOND);
    assert_int_equal(world_stat(w, STAT_tcp_opened), 1);
    assert_in_range(world_stat(w, STAT_tcp_segments_out), 2, 4); /* at 0, 1, 3 and 7 s */
    world_close(w);
}

static void a_refusing_host_gets_no_more_syns_than_there_are_jobs(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->refuses = true;
    submit_many(w, 50);
    world_settle(w, MINUTE);
    assert_in_range(world_stat(w, STAT_tcp_opened), 1, 50);
    assert_int_equal(world_stat(w, STAT_tcp_retransmits), 0);
    world_close(w);
}

static void a_host_that_answers_gets_as_many_as_its_limit(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->think_us = 200000;
    submit_many(w, 50);
    world_run(w, 3 * SECOND);
    assert_in_range(mx->standing_max, 2, w->core[0]->config.connections_per_destination);
    assert_int_equal(world_stat(w, STAT_tcp_opened), mx->accepted);
    world_settle(w, MINUTE);
    world_close(w);
}

/* ---- a crowd for one host ---- */

#define CROWD 125u /* messages; more than a turn opens connections for */
#define FIRST 70u  /* of these, more than a connection looks at */

/* One has come up, and is busy; the rule of a second domain demands less than that of the first. */
static struct world *crowd(struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.core.connections_max = o.core.connections_per_destination = CROWD + 1;
    struct world *w = world_simple(&o, mx);
    world_rule(w, "d2.test", POLICY_ENCRYPT);
    world_publish(w);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    (*mx)->think_us = SECOND;
    world_send(w, "a@d1.test");
    world_run(w, 1000);
    return w;
}

static unsigned opened_with(const struct world *w, enum policy_level level)
{
    unsigned count = 0;
    const struct pool *connections = &w->core[0]->connections;
    for (uint32_t i = 0; i < connections->capacity; i++) {
        const struct conn *conn = pool_at(connections, i);
        count += conn->env && conn->phase == CONN_CONNECTING && conn->demand.level == level;
    }
    return count;
}

/* Connections ask the first JOB_SCAN_MAX: what is opened is for one of them, and nobody walks past all that wait. */
static void connections_are_opened_for_the_first_in_line(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = crowd(&mx);
    mx->silent = true;
    for (unsigned i = 0; i < CROWD; i++)
        world_send(w, i < FIRST ? "a@d1.test" : "a@d2.test");
    world_run(w, 1000);
    assert_int_equal(opened_with(w, POLICY_VERIFY), CROWD);
    assert_int_equal(opened_with(w, POLICY_ENCRYPT), 0);
    mx->silent = false;
    mx->think_us = 0;
    world_settle(w, MINUTE);
    world_delivered(w, 0, CROWD + 1);
    world_close(w);
}

/* What a turn does is bounded: however many wait for the first to come up, segments and timers are not kept waiting. */
static void a_turn_opens_no_more_than_its_portion(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world_options o = world_defaults();
    o.core.connections_max = o.core.connections_per_destination = CROWD;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 100000;
    submit_many(w, CROWD);
    uint64_t most = 0;
    while (!world_settled(w, NULL)) {
        uint64_t before = world_stat(w, STAT_tcp_opened);
        if (!world_step(w))
            w->now_us += 1000;
        most = max_u64(most, world_stat(w, STAT_tcp_opened) - before);
    }
    assert_int_equal(most, OPEN_BURST);
    assert_int_equal(mx->standing_max, CROWD);
    world_delivered(w, 0, CROWD - 1);
    world_close(w);
}

/* ---- receivers that limit connections ---- */

static void the_nth_connection_is_turned_away_and_nobody_refused(void **state)
{
    (void)state;
    const unsigned half = 50;
    struct world_options o = world_defaults();
    o.core.smtp.messages_max = 5;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->connections_max = 3;
    mx->think_us = 20000;
    for (unsigned i = 0; i < 100; i++)
        world_send(w, "a@d1.test");
    world_until(w, world_has_mails, &half, MINUTE);
    unsigned before = mx->turned_away;
    assert_true(before > 0);
    mx->standing_max = 0;
    world_settle(w, MINUTE);
    world_delivered(w, 0, 99);
    assert_int_equal(mx->turned_away, before); /* it has learned */
    assert_int_equal(mx->standing_max, 3);     /* and not too much */
    world_close(w);
}

static bool has_quit(struct world *w, const void *host)
{
    (void)w;
    return ((const struct mx_host *)host)->quits > 0;
}

/* Of several attempts at the same time the first fails, before any of the others has come up. */
static void one_of_several_attempts_fails_and_nobody_is_refused(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.smtp.messages_max = 1;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 50000;
    world_send(w, "a@d1.test"); /* proves the destination, and is leaving when the others come */
    world_until(w, has_quit, mx, MINUTE);
    mx->trouble = (struct mx_trouble){.at = MX_STARTTLS, .deed = MX_CLOSE, .times = 1};
    for (unsigned i = 1; i <= 5; i++)
        world_send(w, "a@d1.test");
    world_run(w, 10000);
    assert_int_equal(mx->accepted, 6);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 5);
    world_close(w);
}

#define BACKLOG 60u /* messages that are on their way or wait */

/* There is always more to send. */
static void deliver_for(struct world *w, struct mx_host *mx, uint64_t us)
{
    mx->standing_max = mx->turned_away = 0;
    for (uint64_t until_us = w->now_us + us; w->now_us < until_us; world_run(w, SECOND))
        while (w->results_owed < BACKLOG)
            world_send(w, "a@d1.test");
}

/* A receiver that took three, as seldom as it was asked for more, takes all that are configured once it may. */
static void a_receiver_that_was_busy_gets_its_limit_again(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 8;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->connections_max = 3;
    mx->think_us = SECOND;
    deliver_for(w, mx, 8 * SECOND);
    unsigned first = mx->turned_away;
    assert_true(first > 0);
    assert_int_equal(world_stat(w, STAT_conn_limit_lowered), first);
    assert_int_equal(w->core[0]->dests.limited, 1);
    deliver_for(w, mx, 100 * SECOND);
    assert_int_equal(mx->standing_max, 4);
    assert_int_equal(mx->turned_away, 3); /* after 10 s, 20 s and 40 s */
    mx->connections_max = 0;
    deliver_for(w, mx, 200 * SECOND);
    assert_int_equal(mx->turned_away, 0);
    assert_int_equal(mx->standing_max, 8);
    assert_int_equal(w->core[0]->dests.limited, 0);
    assert_int_equal(world_stat(w, STAT_conn_limit_lowered), first + 3);
    assert_int_equal(world_stat(w, STAT_conn_limit_raised), 3 + 5);
    world_settle(w, MINUTE);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_host_gets_one_attempt_at_a_time),
        cmocka_unit_test(a_refusing_host_gets_no_more_syns_than_there_are_jobs),
        cmocka_unit_test(a_host_that_answers_gets_as_many_as_its_limit),
        cmocka_unit_test(connections_are_opened_for_the_first_in_line),
        cmocka_unit_test(a_turn_opens_no_more_than_its_portion),
        cmocka_unit_test(the_nth_connection_is_turned_away_and_nobody_refused),
        cmocka_unit_test(one_of_several_attempts_fails_and_nobody_is_refused),
        cmocka_unit_test(a_receiver_that_was_busy_gets_its_limit_again),
    };
    return cmocka_run_group_tests_name("core/crowd", tests, NULL, NULL);
}
