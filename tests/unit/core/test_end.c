/* How it ends: draining, stopping, feeds that leave or break. */
#include "tests/unit/core/world.h"

#include "engine/ring/feed_private.h"

static bool drained(struct world *w, const void *unused)
{
    (void)unused;
    return atomic_load(&core_public(w->core[0])->drained);
}

static bool has_begun(struct world *w, const void *messages)
{
    (void)w;
    for (uint32_t i = 0; i < w->core[0]->connections.capacity; i++) {
        const struct conn *conn = pool_at(&w->core[0]->connections, i);
        if (conn->env && conn->phase == CONN_OPEN && conn->messages == *(const uint32_t *)messages &&
            conn->in_hand > 0)
            return true;
    }
    return false;
}

/* ---- draining ---- */

static void idle_connections_say_quit(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_false(drained(w, NULL));
    world_tell(w, CORE_DRAIN, NULL);
    world_until(w, drained, NULL, 100000);
    assert_int_equal(mx->quits, 1);
    assert_int_equal(mx->resets, 0);
    world_close(w);
}

static void a_core_without_work_is_drained_at_once(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_tell(w, CORE_DRAIN, NULL);
    world_until(w, drained, NULL, 1000);
    world_close(w);
}

/* What has been taken is delivered, with new connections where they are needed; what has not stays in the lane, and the
 * library says so once the engine is gone.
 */
static void what_was_taken_is_delivered_the_rest_is_not_sent(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.jobs_max = 4;
    o.core.smtp.messages_max = 1;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 20000;
    for (unsigned i = 0; i < 10; i++)
        world_send(w, "a@d1.test");
    world_run(w, 10000);
    assert_int_equal(w->core[0]->jobs.in_use, 4);
    world_tell(w, CORE_DRAIN, NULL);
    world_until(w, drained, NULL, MINUTE);
    world_delivered(w, 0, 3);
    assert_int_equal(w->mx.mails, 4);
    assert_int_equal(w->results_owed, 6);
    world_abandon(w, 0);
    for (unsigned i = 4; i < 10; i++)
        assert_int_equal(world_result(w, i, 0)->verdict, HL_NOT_SENT);
    world_close(w);
}

/* Others may still need the frames that its queue receives. */
static void a_drained_core_still_listens(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->lingers = true;
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    struct flow_key key = mx_conn_of(&w->mx, mx, 0)->key;
    world_tell(w, CORE_DRAIN, NULL);
    world_until(w, drained, NULL, MINUTE);
    key.remote_port ^= 1; /* a connection that nobody knows: the answer is a RST */
    uint64_t before = world_stat(w, STAT_net_resets_sent);
    struct tcp_segment stray = {
        .src_port = 25, .dst_port = key.remote_port, .seq = 1, .ack = 1, .flags = TCP_ACK};
    assert_true(net_send_segment(w->mx.net, &key, NET_NO_FLOW, &stray, w->now_us));
    net_transmit_flush(w->mx.net, w->now_us); /* the receiver has no timer that would have it do so */
    world_run(w, 1000);
    assert_int_equal(world_stat(w, STAT_net_resets_sent), before + 1);
    world_close(w);
}

/* ---- stopping ---- */

static void stop_gives_each_job_one_result_and_each_peer_a_reset(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 3;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 20000;
    for (unsigned i = 0; i < 30; i++)
        world_send(w, "a@d1.test b@d1.test");
    world_run(w, 230000);
    assert_int_equal(mx->standing, 3);
    unsigned delivered = 30 - w->results_owed / 2;
    assert_true(delivered > 0 && delivered < 30);
    world_stop(w);
    world_run(w, 100000);
    assert_int_equal(mx->resets, 3);
    for (unsigned i = 0; i < 30; i++) {
        const struct hl_result *r = world_result(w, i, 1);
        if (r->verdict == HL_DELIVERED)
            continue;
        assert_int_equal(r->reason, HL_REASON_SHUTDOWN);
        assert_int_equal(r->fault, HL_FAULT_LOCAL);
        assert_int_equal(r->verdict, r->stage == HL_STAGE_DOT ? HL_IN_DOUBT : HL_DEFERRED);
    }
    world_close(w);
}

/* A loss that another connection would make good is none when we stop: nobody would send it any more. */
static void stop_with_a_message_just_begun_on_an_old_connection(void **state)
{
    (void)state;
    const uint32_t second = 2;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    mx->think_us = SECOND;
    unsigned n = world_send(w, "a@d1.test");
    world_until(w, has_begun, &second, SECOND);
    world_stop(w);
    world_expect(w, n, HL_DEFERRED, HL_STAGE_MAIL, HL_REASON_SHUTDOWN);
    world_close(w);
}

static void stop_behind_the_end_of_data_is_in_doubt(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->trouble = (struct mx_trouble){.at = MX_DOT, .deed = MX_STALL};
    world_send(w, "a@d1.test");
    world_run(w, SECOND);
    assert_int_equal(w->mx.mails, 1);
    world_stop(w);
    world_expect(w, 0, HL_IN_DOUBT, HL_STAGE_DOT, HL_REASON_SHUTDOWN);
    world_close(w);
}

static void stop_in_every_phase(void **state)
{
    (void)state;
    static const enum mx_point points[] = {MX_CONNECTED, MX_EHLO,     MX_STARTTLS,
                                           MX_HELLO,     MX_EHLO_TLS, MX_QUIT};
    for (unsigned i = 0; i < ARRAY_LEN(points); i++) {
        struct mx_host *mx;
        struct world *w = world_simple(NULL, &mx);
        mx->trouble = (struct mx_trouble){.at = points[i], .deed = MX_STALL};
        world_send(w, "a@d1.test");
        world_send(w, "a@d1.test");
        world_run(w, 6 * SECOND); /* long enough for an idle connection to say QUIT */
        assert_int_equal(w->core[0]->connections.in_use, 1 + (points[i] == MX_QUIT));
        world_stop(w);
        assert_int_equal(w->core[0]->connections.in_use, 0);
        world_close(w);
    }
}

static void stop_while_connecting(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->silent = true;
    world_send(w, "a@d1.test");
    world_run(w, SECOND);
    world_stop(w);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_SUBMIT, HL_REASON_SHUTDOWN);
    world_close(w);
}

/* Nothing may be opened for those who wait while the others are being ended. */
static void stop_with_all_connections_taken(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_max = 1;
    struct world *w = world_open(&o);
    struct mx_host *first = world_mx(w, 1), *second = world_mx(w, 2);
    world_route(w, "d1.test", "mx1.test=192.0.2.101:25", NULL);
    world_route(w, "d2.test", "mx2.test=192.0.2.102:25", NULL);
    world_start(w);
    first->think_us = SECOND;
    world_send(w, "a@d1.test");
    world_send(w, "a@d2.test");
    world_run(w, 100000);
    world_stop(w);
    world_run(w, 100000);
    assert_int_equal(first->resets, 1);
    assert_int_equal(second->accepted, 0);
    world_close(w);
}

/* ---- feeds ---- */

static void a_feed_leaves_with_jobs_waiting_and_one_in_flight(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 1;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 100000;
    unsigned leaver = world_attach(w);
    const uint32_t first = 1;
    world_submit(w, &(struct letter){.to = "a@d1.test", .feed = leaver});
    world_until(w, has_begun, &first, SECOND);
    for (unsigned i = 1; i < 6; i++)
        world_submit(w, &(struct letter){.to = "a@d1.test", .feed = i % 2 ? leaver : 0});
    world_run(w, 1000);
    world_tell(w, CORE_DETACH, w->feed[leaver]);
    world_run(w, 1000);
    assert_null(core_detached(w->core[0])); /* one of its jobs is being sent */
    for (unsigned i = 1; i < 6; i += 2)
        world_expect(w, i, HL_DEFERRED, HL_STAGE_SUBMIT, HL_REASON_SHUTDOWN);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 0);
    assert_ptr_equal(core_detached(w->core[0]), w->feed[leaver]);
    w->feed[leaver] = NULL;
    world_delivered(w, 2, 2);
    world_delivered(w, 4, 4);
    world_close(w);
}

/* All of its results are there when it is let go, those of the jobs dropped at that moment included. */
static void a_feed_that_leaves_takes_its_results_along(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->silent = true;
    for (unsigned i = 0; i < 5; i++)
        world_send(w, "a@d1.test");
    world_run(w, 10000);
    world_detach(w, 0);
    assert_int_equal(w->results_owed, 0);
    world_close(w);
}

static void a_feed_that_leaves_idle_is_let_go_at_once(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    unsigned other = world_attach(w);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_detach(w, other);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 1);
    world_close(w);
}

static void a_feed_that_breaks_harms_nobody_else(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->think_us = 50000;
    unsigned bad = world_attach(w);
    world_submit(w, &(struct letter){.to = "a@d1.test", .feed = bad});
    world_send(w, "a@d1.test");
    world_run(w, 10000);
    atomic_fetch_add(&w->feed[bad]->lane[0].shared->submit_tail, 1ull << 32);
    world_run(w, 10000);
    assert_true(feed_broken(w->feed[bad]));
    world_send(w, "a@d2.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 2); /* what it had submitted before is mail like any other */
    world_detach(w, bad);
    world_close(w);
}

/* A record that the library would never write. */
static void a_job_that_makes_no_sense_is_refused_by_itself(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_send(w, "a@d1.test b@d1.test");
    world_send(w, "a@d1.test");
    struct feed_lane *lane = &w->feed[0]->lane[0];
    struct ring_job *record = (struct ring_job *)lane->in.base;
    record->flags |= 1u << 15;
    world_settle(w, MINUTE);
    world_expect(w, 0, HL_FAILED, HL_STAGE_SUBMIT, HL_REASON_BAD_JOB);
    assert_int_equal(world_result(w, 0, 1)->verdict, HL_FAILED);
    assert_false(feed_broken(w->feed[0]));
    assert_int_equal(world_stat(w, STAT_core_jobs_bad), 1);
    world_delivered(w, 1, 1);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections_say_quit),
        cmocka_unit_test(a_core_without_work_is_drained_at_once),
        cmocka_unit_test(what_was_taken_is_delivered_the_rest_is_not_sent),
        cmocka_unit_test(a_drained_core_still_listens),
        cmocka_unit_test(stop_gives_each_job_one_result_and_each_peer_a_reset),
        cmocka_unit_test(stop_with_a_message_just_begun_on_an_old_connection),
        cmocka_unit_test(stop_behind_the_end_of_data_is_in_doubt),
        cmocka_unit_test(stop_in_every_phase),
        cmocka_unit_test(stop_while_connecting),
        cmocka_unit_test(stop_with_all_connections_taken),
        cmocka_unit_test(a_feed_leaves_with_jobs_waiting_and_one_in_flight),
        cmocka_unit_test(a_feed_that_leaves_takes_its_results_along),
        cmocka_unit_test(a_feed_that_leaves_idle_is_let_go_at_once),
        cmocka_unit_test(a_feed_that_breaks_harms_nobody_else),
        cmocka_unit_test(a_job_that_makes_no_sense_is_refused_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
