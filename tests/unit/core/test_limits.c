/* Pools that are full: work waits, nothing is lost, and whoever waits is woken. */
#include "engine/ring/feed_private.h"
#include "tests/unit/core/world.h"

#include <errno.h>
#include <stdio.h>

/* A receiver and a domain for each of `hosts`: d1.test goes to mx1.test and so on. */
static struct world *many_hosts(const struct world_options *options, unsigned hosts, struct mx_host *host[])
{
    struct world *w = world_open(options);
    for (unsigned i = 1; i <= hosts; i++) {
        char domain[16], hop[48];
        host[i - 1] = world_mx(w, i);
        snprintf(domain, sizeof(domain), "d%u.test", i);
        snprintf(hop, sizeof(hop), "mx%u.test=192.0.2.%u:25", i, 100 + i);
        world_route(w, domain, hop, NULL);
    }
    world_start(w);
    return w;
}

static void send_to(struct world *w, unsigned domain)
{
    char to[32];
    snprintf(to, sizeof(to), "a@d%u.test", domain);
    world_send(w, to);
}

/* ---- deadlines ---- */

static void a_deadline_passes_while_waiting(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->silent = true;
    world_submit(w, &(struct letter){.to = "a@d1.test", .patience_us = 3 * SECOND});
    unsigned patient = world_send(w, "a@d1.test");
    world_run(w, 2900000);
    assert_int_equal(w->results_owed, 2);
    world_run(w, 200000);
    const struct hl_result *r = world_expect(w, 0, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_LIMIT);
    assert_non_null(strstr(r->text, "deadline"));
    world_settle(w, 2 * MINUTE);
    world_expect(w, patient, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_CONNECTION_TIMEOUT);
    world_close(w);
}

/* The result says what the hop before had done to it. */
static void a_deadline_tells_the_last_hops_reason(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_open(NULL);
    mx = world_mx(w, 1);
    world_mx(w, 2)->silent = true;
    mx->refuses = true;
    world_route(w, "d1.test", "mx1.test=192.0.2.101:25", "mx2.test=192.0.2.102:25", NULL);
    world_start(w);
    world_submit(w, &(struct letter){.to = "a@d1.test", .patience_us = 3 * SECOND});
    world_settle(w, 4 * SECOND);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_CONNECTION_REFUSED);
    world_close(w);
}

static void a_deadline_that_has_passed_already(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->think_us = 100000;
    world_submit(w, &(struct letter){.to = "a@d1.test", .patience_us = 1});
    world_settle(w, SECOND);
    assert_int_equal(world_result(w, 0, 0)->verdict, HL_DEFERRED);
    world_close(w);
}

static void a_deadline_does_not_touch_what_is_being_sent(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->think_us = SECOND;
    world_submit(w, &(struct letter){.to = "a@d1.test", .patience_us = 5500000});
    world_settle(w, MINUTE);
    assert_true(world_result(w, 0, 0)->replied_us - world_result(w, 0, 0)->queued_us > 5500000);
    world_delivered(w, 0, 0);
    world_close(w);
}

/* ---- connections ---- */

static void with_all_connections_taken_an_idle_one_makes_room(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_max = 2;
    struct mx_host *mx[4];
    struct world *w = many_hosts(&o, 4, mx);
    send_to(w, 1);
    world_settle(w, MINUTE);
    send_to(w, 2);
    world_settle(w, MINUTE);
    assert_int_equal(w->core[0]->connections.in_use, 2);
    send_to(w, 3);
    world_settle(w, SECOND);
    assert_int_equal(mx[0]->quits, 1); /* the longest idle */
    assert_int_equal(mx[1]->quits, 0);
    world_delivered(w, 0, 2);
    world_close(w);
}

static void with_all_connections_busy_who_waits_is_woken(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_max = 2;
    struct mx_host *mx[8];
    struct world *w = many_hosts(&o, 8, mx);
    for (unsigned i = 0; i < 8; i++)
        mx[i]->think_us = 50000;
    for (unsigned i = 0; i < 32; i++)
        send_to(w, 1 + i % 8);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 31);
    assert_true(world_stat(w, STAT_core_pool_full) > 0);
    world_close(w);
}

static void one_connection_for_everybody(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_max = 1;
    struct mx_host *mx[6];
    struct world *w = many_hosts(&o, 6, mx);
    for (unsigned i = 0; i < 24; i++)
        send_to(w, 1 + i % 6);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 23);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(mx[i]->accepted, 1);
    world_close(w);
}

/* Who waits for a place and is gone by then wakes nobody and keeps nothing. */
static void a_deadline_passes_while_no_connection_is_to_be_had(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_max = 1;
    struct mx_host *mx[3];
    struct world *w = many_hosts(&o, 3, mx);
    mx[0]->silent = true;
    send_to(w, 1);
    world_run(w, SECOND);
    unsigned hasty = world_submit(w, &(struct letter){.to = "a@d2.test", .patience_us = SECOND});
    unsigned patient = world_send(w, "a@d3.test");
    world_run(w, 2 * SECOND);
    world_expect(w, hasty, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_LIMIT);
    assert_int_equal(w->core[0]->dests.pool.in_use, 2);
    world_settle(w, 2 * MINUTE);
    world_delivered(w, patient, patient);
    world_close(w);
}

/* ---- source ports ---- */

/* Two ports; a receiver that waits for our FIN, so that TIME-WAIT is ours. */
static struct world *two_ports(bool timestamps, struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.core.net.port_first = 2000;
    o.core.net.port_last = 2001;
    o.core.smtp.messages_max = 1;
    o.core.tcp.time_wait_us = 30 * SECOND;
    o.core.tcp.timestamps = timestamps;
    struct world *w = world_simple(&o, mx);
    (*mx)->lingers = true;
    return w;
}

/* Without time stamps nothing would keep the old connection's strays out of the new one. */
static void no_source_port_left_defers(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = two_ports(false, &mx);
    for (unsigned i = 0; i < 2; i++) {
        world_send(w, "a@d1.test");
        world_settle(w, SECOND);
    }
    world_run(w, SECOND);
    assert_int_equal(w->core[0]->time_waits.pool.in_use, 2);
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_expect(w, 2, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_LIMIT);
    world_run(w, 30 * SECOND);
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_delivered(w, 3, 3);
    world_close(w);
}

/* RFC 6191, RFC 7323 section 5.4. */
static void ports_in_time_wait_are_taken_over(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = two_ports(true, &mx);
    for (unsigned i = 0; i < 50; i++) {
        world_send(w, "a@d1.test");
        world_settle(w, SECOND);
    }
    world_delivered(w, 0, 49);
    assert_int_equal(world_stat(w, STAT_net_ports_recycled), 48);
    world_close(w);
}

/* With connections standing, those who find no port for another one wait for these. */
static void few_source_ports_are_shared(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.net.port_first = 2000;
    o.core.net.port_last = 2002;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 10000;
    for (unsigned i = 0; i < 50; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 49);
    assert_int_equal(mx->standing_max, 3);
    world_close(w);
}

/* ---- jobs and destinations ---- */

static void with_all_jobs_taken_the_feed_waits(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.jobs_max = 3;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 5000;
    for (unsigned i = 0; i < 60; i++)
        world_send(w, "a@d1.test b@d1.test");
    world_run(w, 1000);
    assert_int_equal(w->core[0]->jobs.in_use, 3);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 59);
    assert_int_equal(w->core[0]->jobs.in_use_max, 3);
    world_close(w);
}

/* A feed whose jobs do not come to an end: half of the records are kept for the two of them, evenly. */
static void a_feed_with_slow_jobs_leaves_others_their_share(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.jobs_max = 16;
    struct mx_host *mx[2];
    struct world *w = many_hosts(&o, 2, mx);
    unsigned other = world_attach(w);
    mx[0]->silent = true;
    for (unsigned i = 0; i < 40; i++)
        send_to(w, 1);
    world_run(w, SECOND);
    assert_int_equal(feed_in_flight(w->feed[0], 0), 12);
    unsigned first = w->jobs;
    for (unsigned i = 0; i < 20; i++)
        world_submit(w, &(struct letter){.to = "a@d2.test", .feed = other});
    world_run(w, 5 * SECOND);
    world_delivered(w, first, w->jobs - 1);
    assert_int_equal(feed_in_flight(w->feed[0], 0), 12);
    world_detach(w, other);
    world_run(w, SECOND);
    assert_int_equal(feed_in_flight(w->feed[0], 0), 16); /* with nobody else there it may have all */
    mx[0]->silent = false;
    world_settle(w, 20 * MINUTE);
    world_close(w);
}

/* Results that nobody reads stop the intake, and lose nothing. */
static void with_no_room_for_results_the_feed_waits(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.feed.complete_slots = 8;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 5000;
    for (unsigned i = 0; i < 40; i++)
        world_send(w, "a@d1.test b@d1.test c@d1.test");
    world_run(w, 1000);
    const struct feed_lane *lane = &w->feed[0]->lane[0];
    uint64_t room = lane->out.bytes - (lane->out.position - lane->complete_head);
    assert_in_range(lane->in_flight, 1, 3); /* of 40: three results each, and ten are what the stream has */
    assert_in_range(lane->owed * RING_RESULT_MAX, RING_RESULT_MAX, room);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 39);
    world_close(w);
}

static void with_too_many_destinations_jobs_are_deferred(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.destinations_max = 3;
    struct mx_host *mx[5];
    struct world *w = many_hosts(&o, 5, mx);
    for (unsigned i = 0; i < 5; i++) {
        mx[i]->think_us = 50000;
        send_to(w, 1 + i);
    }
    world_settle(w, MINUTE);
    world_delivered(w, 0, 2);
    for (unsigned i = 3; i < 5; i++) {
        const struct hl_result *r = world_expect(w, i, HL_DEFERRED, HL_STAGE_ROUTE, HL_REASON_LIMIT);
        assert_int_equal(r->fault, HL_FAULT_LOCAL);
    }
    world_run(w, 10 * SECOND); /* the destinations are given back */
    send_to(w, 4);
    world_settle(w, MINUTE);
    world_delivered(w, 5, 5);
    world_close(w);
}

/* ---- packets ---- */

static void few_packets_delay_and_lose_nothing(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.buffers = 96;
    o.core.connections_per_destination = 8;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 3000;
    for (unsigned i = 0; i < 40; i++)
        world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = 60000});
    world_settle(w, 20 * MINUTE);
    world_delivered(w, 0, 39);
    assert_true(w->port[0]->tx_pool->exhausted > 0);
    world_close(w);
}

/* All data packets are in the queues of connections that wait for their peers while others want to begin. */
static void without_packets_a_new_connection_waits(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.buffers = 64;
    o.to_mx.delay_us = 20000;
    struct mx_host *mx[4];
    struct world *w = many_hosts(&o, 4, mx);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned n = 0; n < 4; n++) {
            char to[32];
            snprintf(to, sizeof(to), "a@d%u.test", 1 + i);
            world_submit(w, &(struct letter){.to = to, .bytes = 300000});
        }
    world_run(w, 500000);
    send_to(w, 4);
    world_settle(w, 20 * MINUTE);
    world_delivered(w, 0, w->jobs - 1);
    world_close(w);
}

/* Nothing at all can be sent, no ACK and no SYN; what was to be sent then leaves later, without a time-out's help. */
static void what_finds_no_packet_leaves_when_there_is_one(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    struct pkt *hoard = NULL;
    world_send(w, "a@d1.test"); /* ARP has its answer then */
    world_settle(w, MINUTE);
    world_run(w, 10 * SECOND);
    world_send(w, "a@d1.test");
    for (struct pkt *pkt; (pkt = pkt_alloc(w->port[0]->tx_pool, PKT_CONTROL));) {
        pkt->next = hoard;
        hoard = pkt;
    }
    world_run(w, 100000);
    assert_int_equal(mx->accepted, 1);
    while (hoard) {
        struct pkt *pkt = hoard;
        hoard = pkt->next;
        pkt_free(pkt);
    }
    world_settle(w, 10000);
    world_delivered(w, 1, 1);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadline_passes_while_waiting),
        cmocka_unit_test(a_deadline_tells_the_last_hops_reason),
        cmocka_unit_test(a_deadline_that_has_passed_already),
        cmocka_unit_test(a_deadline_does_not_touch_what_is_being_sent),
        cmocka_unit_test(with_all_connections_taken_an_idle_one_makes_room),
        cmocka_unit_test(with_all_connections_busy_who_waits_is_woken),
        cmocka_unit_test(one_connection_for_everybody),
        cmocka_unit_test(a_deadline_passes_while_no_connection_is_to_be_had),
        cmocka_unit_test(no_source_port_left_defers),
        cmocka_unit_test(ports_in_time_wait_are_taken_over),
        cmocka_unit_test(few_source_ports_are_shared),
        cmocka_unit_test(with_all_jobs_taken_the_feed_waits),
        cmocka_unit_test(a_feed_with_slow_jobs_leaves_others_their_share),
        cmocka_unit_test(with_no_room_for_results_the_feed_waits),
        cmocka_unit_test(with_too_many_destinations_jobs_are_deferred),
        cmocka_unit_test(few_packets_delay_and_lose_nothing),
        cmocka_unit_test(without_packets_a_new_connection_waits),
        cmocka_unit_test(what_finds_no_packet_leaves_when_there_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
