/* Connections in TIME-WAIT: a record each, which answers, expires, and gives way when there are too many. */
#include "tests/unit/core/world.h"

/* A receiver that waits for our FIN, so that TIME-WAIT is ours; one message a connection. */
static struct world *closing_actively(uint32_t records, struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.core.time_wait_max = records;
    o.core.smtp.messages_max = 1;
    struct world *w = world_simple(&o, mx);
    (*mx)->lingers = true;
    return w;
}

static void deliver_one(struct world *w)
{
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_run(w, SECOND);
}

static void a_closed_connection_gives_its_memory_back_at_once(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = closing_actively(8, &mx);
    deliver_one(w);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 1);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    assert_int_equal(w->core[0]->dests.pool.in_use, 0);
    world_run(w, 58 * SECOND);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 1);
    world_run(w, 2 * SECOND);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 0);
    world_close(w);
}

static bool awaits_last_ack(struct world *w, const void *unused)
{
    (void)unused;
    return w->mx.conn[0].host && tcp_state(&w->mx.conn[0].tcb) == TCP_LAST_ACK;
}

static void a_repeated_fin_is_answered_from_the_record(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = closing_actively(8, &mx);
    world_send(w, "a@d1.test");
    world_until(w, awaits_last_ack, NULL, SECOND);
    w->mx.deaf_us = w->now_us + SECOND / 2; /* our ACK is lost */
    world_run(w, 100000);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    assert_true(awaits_last_ack(w, NULL));
    world_run(w, 5 * SECOND);
    assert_int_equal(mx_conns(&w->mx), 0);
    assert_int_equal(mx->resets, 0);
    assert_int_equal(world_stat(w, STAT_net_resets_sent), 0);
    world_close(w);
}

/* RFC 9293 section 3.6.1: the FIN starts the 2 MSL again. */
static void a_repeated_fin_starts_the_time_again(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = closing_actively(8, &mx);
    world_send(w, "a@d1.test");
    world_until(w, awaits_last_ack, NULL, SECOND);
    w->mx.deaf_us = w->now_us + 10 * SECOND;
    world_run(w, 65 * SECOND);
    assert_int_equal(mx_conns(&w->mx), 0);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 1);
    world_run(w, 25 * SECOND);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 0);
    world_close(w);
}

/* RFC 1337. */
static void a_reset_does_not_cut_it_short(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = closing_actively(8, &mx);
    world_send(w, "a@d1.test");
    world_until(w, awaits_last_ack, NULL, SECOND);
    struct flow_key key = w->mx.conn[0].key;
    struct tcp_segment rst = {.src_port = key.local_port,
                              .dst_port = key.remote_port,
                              .seq = w->mx.conn[0].tcb.snd_nxt,
                              .flags = TCP_RST};
    world_run(w, SECOND);
    assert_true(net_send_segment(w->mx.net, &key, NET_NO_FLOW, &rst, w->now_us));
    world_run(w, SECOND);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 1);
    world_close(w);
}

static void what_routers_say_is_of_no_interest(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = closing_actively(8, &mx);
    deliver_one(w);
    const struct time_wait *record =
        list_entry(list_head(&w->core[0]->time_waits.order), struct time_wait, link);
    for (uint8_t code = 1; code <= 4; code++)
        world_icmp(w, mx, &record->key, record->record.snd_nxt - 1, code, 600);
    world_run(w, SECOND);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 1);
    world_close(w);
}

static void with_all_records_taken_the_oldest_gives_way(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = closing_actively(2, &mx);
    for (unsigned i = 0; i < 5; i++)
        deliver_one(w);
    world_delivered(w, 0, 4);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 2);
    assert_int_equal(w->core[0]->time_waits.pool.in_use_max, 2);
    world_run(
        w,
        54 *
            SECOND); /* the first of the two that are left began 59 seconds ago, the one before is long over */
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 2);
    world_run(w, 10 * SECOND);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 0);
    world_close(w);
}

static void without_records_a_flow_is_forgotten_at_once(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = closing_actively(0, &mx);
    for (unsigned i = 0; i < 3; i++)
        deliver_one(w);
    world_delivered(w, 0, 2);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    world_close(w);
}

/* As many flows as connections and records together may stand. */
static void records_take_no_connections_place(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.time_wait_max = 4;
    o.core.connections_max = 2;
    o.core.smtp.messages_max = 1;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->lingers = true;
    for (unsigned i = 0; i < 12; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 11);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_connection_gives_its_memory_back_at_once),
        cmocka_unit_test(a_repeated_fin_is_answered_from_the_record),
        cmocka_unit_test(a_repeated_fin_starts_the_time_again),
        cmocka_unit_test(a_reset_does_not_cut_it_short),
        cmocka_unit_test(what_routers_say_is_of_no_interest),
        cmocka_unit_test(with_all_records_taken_the_oldest_gives_way),
        cmocka_unit_test(without_records_a_flow_is_forgotten_at_once),
        cmocka_unit_test(records_take_no_connections_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
