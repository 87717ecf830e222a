/* Where a message goes: routes, next hops in their order, and hosts that cannot be reached. */
#include "tests/unit/core/world.h"

#include <errno.h>

static struct world *two_hops(const struct world_options *options, struct mx_host **first,
                              struct mx_host **second)
{
    struct world *w = world_open(options);
    *first = world_mx(w, 1);
    *second = world_mx(w, 2);
    world_route(w, "d1.test", "mx1.test=192.0.2.101:25", "mx2.test=192.0.2.102:25", NULL);
    world_start(w);
    return w;
}

static void a_refused_connection_goes_to_the_next_hop(void **state)
{
    (void)state;
    struct mx_host *first, *second;
    struct world *w = two_hops(NULL, &first, &second);
    first->refuses = true;
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_delivered(w, 0, 0);
    assert_string_equal(world_result(w, 0, 0)->mx_host, "mx2.test");
    world_close(w);
}

static void with_no_hop_left_the_last_reason_is_told(void **state)
{
    (void)state;
    struct mx_host *first, *second;
    struct world *w = two_hops(NULL, &first, &second);
    first->refuses = true;
    second->greeting = "450 4.3.2 busy";
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    const struct hl_result *r = world_expect(w, 0, HL_DEFERRED, HL_STAGE_GREETING, HL_REASON_REPLY);
    assert_int_equal(r->smtp_code, 450);
    assert_string_equal(r->mx_host, "mx2.test");
    second->refuses = true;
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    r = world_expect(w, 1, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_CONNECTION_REFUSED);
    assert_string_equal(r->text, "connection refused");
    assert_false(r->tls.present);
    world_close(w);
}

static void a_silent_host_times_out(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.tcp.connect_timeout_us = 10 * SECOND;
    struct mx_host *first, *second;
    struct world *w = two_hops(&o, &first, &second);
    first->silent = true;
    world_send(w, "a@d1.test");
    world_run(w, 9 * SECOND);
    assert_int_equal(w->results_owed, 1);
    world_run(w, 2 * SECOND);
    world_delivered(w, 0, 0);
    assert_string_equal(world_result(w, 0, 0)->mx_host, "mx2.test");
    world_close(w);
}

static void a_silent_only_host_defers(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.tcp.connect_timeout_us = 10 * SECOND;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->silent = true;
    world_send(w, "a@d1.test");
    world_send(w, "a@d2.test");
    world_settle(w, 12 * SECOND);
    for (unsigned i = 0; i < 2; i++)
        world_expect(w, i, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_CONNECTION_TIMEOUT);
    world_close(w);
}

static void a_host_that_answers_no_arp(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    world_mx(w, 2);
    world_route(w, "d1.test", "mx1.test=192.0.2.77:25", "mx2.test=192.0.2.102:25", NULL);
    world_route(w, "d2.test", "mx1.test=192.0.2.77:25", NULL);
    world_start(w);
    world_send(w, "a@d1.test");
    world_send(w, "a@d2.test");
    world_settle(w, 4 * SECOND);
    world_delivered(w, 0, 0);
    const struct hl_result *r =
        world_expect(w, 1, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_CONNECTION_TIMEOUT);
    assert_non_null(strstr(r->text, "the next hop does not answer"));
    world_close(w);
}

/* ARP asks for three seconds. Who gave up sooner must not be mistaken for who has his place in the pool by then. */
static void arp_that_gives_up_late_blames_nobody_else(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_max = 1;
    o.core.tcp.connect_timeout_us = 2900000;
    struct world *w = world_open(&o);
    struct mx_host *slow = world_mx(w, 2);
    slow->silent = true;
    world_route(w, "d1.test", "mx1.test=192.0.2.77:25", NULL);
    world_route(w, "d2.test", "mx2.test=192.0.2.102:25", NULL);
    world_start(w);
    world_send(w, "a@d1.test");
    world_run(w, 2950000);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_CONNECTION_TIMEOUT);
    world_send(w, "a@d2.test");
    world_run(w, 100000);
    assert_true(world_stat(w, STAT_net_drop_no_neighbour) > 0);
    slow->silent = false;
    world_settle(w, 5 * SECOND);
    world_delivered(w, 1, 1);
    world_close(w);
}

/* ---- ICMP ---- */

static struct conn *only_connection(struct world *w)
{
    for (uint32_t i = 0; i < w->core[0]->connections.capacity; i++) {
        struct conn *conn = pool_at(&w->core[0]->connections, i);
        if (conn->env && conn->phase != CONN_GONE)
            return conn;
    }
    fail_msg("there is no connection");
    return NULL;
}

static void a_port_unreachable_sends_on_to_the_next_hop(void **state)
{
    (void)state;
    struct mx_host *first, *second;
    struct world *w = two_hops(NULL, &first, &second);
    first->silent = true;
    world_send(w, "a@d1.test");
    world_run(w, 10000);
    const struct conn *conn = only_connection(w);
    world_icmp(w, first, &conn->key, conn->tcb.snd_una, 1, 0);      /* soft: the host, for now */
    world_icmp(w, first, &conn->key, conn->tcb.snd_una + 99, 3, 0); /* quotes what was never sent */
    world_run(w, 10000);
    assert_int_equal(w->results_owed, 1);
    assert_int_equal(second->accepted, 0);
    world_icmp(w, first, &conn->key, conn->tcb.snd_una, 3, 0);
    world_settle(w, SECOND);
    world_delivered(w, 0, 0);
    assert_string_equal(world_result(w, 0, 0)->mx_host, "mx2.test");
    world_close(w);
}

/* RFC 5461 section 3: what stands is not ended by an ICMP error. */
static void an_open_connection_minds_no_port_unreachable(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->think_us = 100000;
    world_send(w, "a@d1.test");
    world_run(w, 450000);
    const struct conn *conn = only_connection(w);
    world_icmp(w, mx, &conn->key, conn->tcb.snd_una, 3, 0);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 0);
    world_close(w);
}

static void a_smaller_mtu_on_the_path_is_heeded(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.to_mx.delay_us = 10000;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = 500000});
    world_until(w, world_body_is_on_its_way, NULL, MINUTE);
    const struct conn *conn = only_connection(w);
    world_icmp(w, mx, &conn->key, conn->tcb.snd_nxt - 1, 4, 800); /* not acknowledged by what comes with it */
    world_run(w, 1000);
    assert_true(conn->tcb.snd_mss <= 760);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 0);
    world_close(w);
}

/* ---- routes ---- */

static void no_route_defers(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_send(w, "a@elsewhere.test");
    world_settle(w, SECOND);
    const struct hl_result *r = world_expect(w, 0, HL_DEFERRED, HL_STAGE_ROUTE, HL_REASON_NO_ROUTE);
    assert_int_equal(r->fault, HL_FAULT_LOCAL);
    assert_string_equal(r->mx_host, "");
    assert_false(r->mx_addr_present);
    world_close(w);
}

/* A level that wants no name: an address has none. */
static void a_literal_next_hop(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    world_mx(w, 1);
    world_host(w, "192.0.2.101", 2525, "mx1.test");
    world_rule(w, "*", POLICY_ENCRYPT);
    world_start(w);
    world_submit(w, &(struct letter){.to = "a@d1.test", .next_hop = "[192.0.2.101]"});
    world_submit(w, &(struct letter){.to = "a@d1.test b@d2.test", .next_hop = "[192.0.2.101]:2525"});
    world_send(w, "a@[192.0.2.101]");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 2);
    assert_int_equal(world_result(w, 0, 0)->mx_port, 25);
    assert_int_equal(world_result(w, 1, 0)->mx_port, 2525);
    assert_string_equal(world_result(w, 1, 0)->mx_host, "");
    assert_true(world_result(w, 1, 1)->mx_addr_present);
    world_close(w);
}

static void a_named_next_hop_with_a_port(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    world_host(w, "192.0.2.101", 2525, "mx1.test");
    world_route(w, "hub.test", "mx1.test=192.0.2.101:25", NULL);
    world_start(w);
    world_submit(w, &(struct letter){.to = "a@d1.test b@d2.test", .next_hop = "hub.test:2525"});
    world_settle(w, MINUTE);
    world_delivered(w, 0, 0);
    assert_int_equal(world_result(w, 0, 0)->mx_port, 2525);
    world_close(w);
}

static void an_ipv6_next_hop_defers(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_rule(w, "*", POLICY_ENCRYPT);
    world_publish(w);
    world_submit(w, &(struct letter){.to = "a@d1.test", .next_hop = "[IPv6:2a00::1]"});
    world_settle(w, SECOND);
    assert_int_equal(world_result(w, 0, 0)->verdict, HL_DEFERRED);
    assert_int_equal(world_result(w, 0, 0)->fault, HL_FAULT_LOCAL);
    world_close(w);
}

static void a_next_hop_that_is_none_is_the_jobs_fault(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "hub.test:0", "hub.test:65536",   "hub.test:", "[192.0.2.101", "[192.0.2.101]x",
        "hub test",   "[not.an.address]", "[]",        ":25"};
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    unsigned number;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(world_try(w, &(struct letter){.to = "a@d1.test", .next_hop = bad[i]}, &number),
                         -EINVAL);
    world_close(w);
}

static void special_purpose_addresses_need_leave(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    w->draft.allowed_nets = 0;
    world_publish(w);
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    const struct hl_result *r = world_expect(w, 0, HL_DEFERRED, HL_STAGE_ROUTE, HL_REASON_NO_ROUTE);
    assert_non_null(strstr(r->text, "special-purpose"));
    assert_int_equal(mx->accepted, 0);
    w->draft.allowed_nets = 1;
    world_publish(w);
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_delivered(w, 1, 1);
    world_close(w);
}

/* The address that may not be used is one hop of two. */
static void a_forbidden_hop_is_passed_over(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    world_mx(w, 1);
    world_route(w, "d1.test", "mx9.test=10.0.0.1:25", "mx1.test=192.0.2.101:25", NULL);
    world_start(w);
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_delivered(w, 0, 0);
    world_close(w);
}

static void an_address_of_our_own_is_no_hop(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    world_mx(w, 2);
    world_route(w, "d1.test", "mx1.test=192.0.2.1:25", "mx2.test=192.0.2.102:25", NULL);
    world_route(w, "d2.test", "mx1.test=192.0.2.1:25", NULL);
    world_start(w);
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_delivered(w, 0, 0);
    world_send(w, "a@d2.test");
    world_settle(w, SECOND);
    assert_int_equal(world_result(w, 1, 0)->verdict, HL_DEFERRED);
    assert_int_equal(world_result(w, 1, 0)->fault, HL_FAULT_LOCAL);
    world_stop(w); /* a connection that never began is nothing to be ended */
    world_close(w);
}

static void requiretls_is_refused(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_submit(w, &(struct letter){.to = "a@d1.test", .flags = HL_JOB_REQUIRETLS});
    world_settle(w, SECOND);
    world_expect(w, 0, HL_FAILED, HL_STAGE_POLICY, HL_REASON_UNSUPPORTED);
    assert_int_equal(mx->accepted, 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_connection_goes_to_the_next_hop),
        cmocka_unit_test(with_no_hop_left_the_last_reason_is_told),
        cmocka_unit_test(a_silent_host_times_out),
        cmocka_unit_test(a_silent_only_host_defers),
        cmocka_unit_test(a_host_that_answers_no_arp),
        cmocka_unit_test(arp_that_gives_up_late_blames_nobody_else),
        cmocka_unit_test(a_port_unreachable_sends_on_to_the_next_hop),
        cmocka_unit_test(an_open_connection_minds_no_port_unreachable),
        cmocka_unit_test(a_smaller_mtu_on_the_path_is_heeded),
        cmocka_unit_test(no_route_defers),
        cmocka_unit_test(a_literal_next_hop),
        cmocka_unit_test(a_named_next_hop_with_a_port),
        cmocka_unit_test(an_ipv6_next_hop_defers),
        cmocka_unit_test(a_next_hop_that_is_none_is_the_jobs_fault),
        cmocka_unit_test(special_purpose_addresses_need_leave),
        cmocka_unit_test(a_forbidden_hop_is_passed_over),
        cmocka_unit_test(an_address_of_our_own_is_no_hop),
        cmocka_unit_test(requiretls_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
