/* Demands: no message leaves over a connection whose proof does not cover what is demanded of it now. */
#include "tests/unit/core/certificates.h"
#include "tests/unit/core/world.h"

#include <stdio.h>

/* One receiver for three domains: d1.test wants encryption, d2.test and d3.test want it verified. */
static struct world *shared_mx(const struct world_options *options, struct mx_host **mx)
{
    struct world *w = world_simple(options, mx);
    world_rule(w, "d1.test", POLICY_ENCRYPT);
    world_publish(w);
    return w;
}

static void different_demands_share_no_connection(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = shared_mx(NULL, &mx);
    unsigned encrypted = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    unsigned verified = world_send(w, "a@d2.test");
    world_settle(w, MINUTE);
    world_delivered(w, encrypted, verified);
    assert_int_not_equal(world_serial(w, encrypted), world_serial(w, verified));
    assert_false(world_result(w, encrypted, 0)->tls.pkix);
    assert_true(world_result(w, verified, 0)->tls.pkix);
    assert_true(world_stat(w, STAT_conn_refused_policy) > 0);
    world_close(w);
}

/* What was verified is encrypted, too; and one verification of the host is as good as another. */
static void a_stronger_proof_serves_a_weaker_demand(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = shared_mx(NULL, &mx);
    unsigned verified = world_send(w, "a@d2.test");
    world_settle(w, MINUTE);
    unsigned encrypted = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    unsigned again = world_send(w, "a@d3.test");
    world_settle(w, MINUTE);
    assert_int_equal(world_serial(w, encrypted), world_serial(w, verified));
    assert_int_equal(world_serial(w, again), world_serial(w, verified));
    assert_int_equal(mx->accepted, 1);
    world_close(w);
}

/* Both wait at the same destination at the same time. */
static void mixed_demands_wait_together(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = shared_mx(NULL, &mx);
    mx->think_us = 5000;
    for (unsigned i = 0; i < 40; i++)
        world_submit(w, &(struct letter){.to = i % 2 ? "a@d1.test" : "a@d2.test",
                                         .floor = i % 3 ? HL_TLS_DEFAULT : HL_TLS_VERIFY});
    world_settle(w, MINUTE);
    world_delivered(w, 0, 39);
    for (unsigned i = 0; i < 40; i++) {
        bool wanted = i % 2 == 0 || i % 3 == 0;
        assert_true(world_result(w, i, 0)->tls.pkix || !wanted);
        assert_int_equal(world_result(w, i, 0)->tls.level, wanted ? HL_TLS_VERIFY : HL_TLS_ENCRYPT);
    }
    world_close(w);
}

/* At the limit, a connection that does not suffice gives way to one that does. */
static void at_the_limit_an_insufficient_connection_gives_way(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 2;
    struct mx_host *mx;
    struct world *w = shared_mx(&o, &mx);
    mx->think_us = 5000;
    for (unsigned i = 0; i < 6; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(mx->standing, 2);
    world_send(w, "a@d2.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 6);
    assert_int_equal(mx->quits, 1); /* one, not all of them */
    assert_int_equal(mx->standing_max, 2);
    world_close(w);
}

/* Two idle connections, of which only the second satisfies. */
static void every_idle_connection_is_looked_at(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = shared_mx(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    unsigned verified = world_send(w, "a@d2.test");
    world_settle(w, MINUTE);
    unsigned n = world_send(w, "a@d1.test"); /* the first idle one; it becomes the last */
    world_settle(w, MINUTE);
    assert_int_equal(mx->accepted, 2);
    unsigned again = world_send(w, "a@d2.test");
    world_settle(w, MINUTE);
    unsigned third = world_send(w, "a@d2.test");
    world_settle(w, MINUTE);
    world_delivered(w, n, third);
    assert_int_equal(world_serial(w, again), world_serial(w, verified));
    assert_int_equal(world_serial(w, third), world_serial(w, verified));
    assert_int_equal(mx->accepted, 2);
    world_close(w);
}

static void a_demand_that_rises_gets_a_new_connection(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = shared_mx(NULL, &mx);
    unsigned before = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    w->rule[0].level = POLICY_VERIFY;
    world_publish(w);
    unsigned after = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, before, after);
    assert_int_not_equal(world_serial(w, before), world_serial(w, after));
    assert_true(world_result(w, after, 0)->tls.pkix);
    assert_string_equal(world_result(w, after, 0)->tls.policy_source, "tls d1.test");
    world_close(w);
}

/* The rule changes between the connection's handshake and the moment when it is ready for the message. */
static void a_demand_that_rises_under_way_is_judged_anew(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = shared_mx(NULL, &mx);
    mx->think_us = 100000;
    unsigned n = world_send(w, "a@d1.test");
    world_run(w, 350000);
    assert_int_equal(mx->handshakes, 1);
    w->rule[0].level = POLICY_VERIFY;
    world_publish(w);
    world_settle(w, MINUTE);
    world_delivered(w, n, n);
    assert_true(world_result(w, n, 0)->tls.pkix);
    assert_int_equal(mx->accepted, 2);
    world_close(w);
}

static void the_minimum_version_may_rise_as_well(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    struct mx_host *mx = world_mx(w, 1);
    world_route(w, "d1.test", "mx1.test=192.0.2.101:25", NULL);
    world_rule(w, "d1.test", POLICY_VERIFY);
    world_start(w);
    SSL_CTX_set_max_proto_version(mx->tls, TLS1_2_VERSION);
    unsigned before = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(world_result(w, before, 0)->tls.version, 0x0303);
    w->rule[0].min_version = 0x0304;
    world_publish(w);
    unsigned after = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    SSL_CTX_set_max_proto_version(mx->tls, 0);
    world_expect(w, after, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_TLS_VERSION);
    world_close(w);
}

/* The host shows a certificate in another name: good enough for encryption, for nothing else. */
static struct world *wrong_name(struct mx_host **mx)
{
    struct world *w = world_open(NULL);
    *mx = world_host(w, "192.0.2.101", 25, "somebody.test");
    for (unsigned i = 1; i <= 3; i++) {
        char domain[16];
        snprintf(domain, sizeof(domain), "d%u.test", i);
        world_route(w, domain, "mx1.test=192.0.2.101:25", NULL);
    }
    world_rule(w, "d1.test", POLICY_ENCRYPT);
    world_start(w);
    return w;
}

static void a_failed_verification_refuses_who_demands_the_same(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = wrong_name(&mx);
    unsigned verified = world_send(w, "a@d2.test");
    unsigned encrypted = world_send(w, "a@d1.test");
    unsigned as_well = world_send(w, "a@d3.test");
    world_settle(w, MINUTE);
    world_expect(w, verified, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CERTIFICATE_HOST_MISMATCH);
    world_expect(w, as_well, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CERTIFICATE_HOST_MISMATCH);
    world_delivered(w, encrypted, encrypted);
    assert_int_equal(mx->accepted, 2);
    assert_int_equal(w->mx.mails, 1);
    world_close(w);
}

/* Those whom the receiver satisfies keep it busy: that is no reason to leave the others in the dark, or to take it for
 * a limit of the receiver's.
 */
static void a_failed_verification_beside_good_connections(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = wrong_name(&mx);
    mx->think_us = 20000;
    for (unsigned i = 0; i < 30; i++)
        world_send(w, "a@d1.test");
    world_run(w, 300000);
    unsigned before = mx->standing;
    assert_true(before > 2);
    unsigned verified = world_send(w, "a@d2.test");
    world_run(w, 300000);
    world_expect(w, verified, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CERTIFICATE_HOST_MISMATCH);
    struct dest *dest = list_entry(list_head(&w->core[0]->lru), struct conn, lru)->dest;
    assert_int_equal(dest->limit, w->config.connections_per_destination);
    world_settle(w, MINUTE);
    world_close(w);
}

static void a_failed_verification_tries_the_next_hop(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    world_host(w, "192.0.2.101", 25, "somebody.test");
    world_mx(w, 2);
    world_route(w, "d1.test", "mx1.test=192.0.2.101:25", "mx2.test=192.0.2.102:25", NULL);
    world_start(w);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 0);
    assert_string_equal(world_result(w, 0, 0)->mx_host, "mx2.test");
    world_close(w);
}

static void a_floor_is_never_lowered(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = wrong_name(&mx);
    unsigned low = world_submit(w, &(struct letter){.to = "a@d2.test", .floor = HL_TLS_ENCRYPT});
    unsigned high = world_submit(w, &(struct letter){.to = "a@d1.test", .floor = HL_TLS_SECURE});
    world_settle(w, MINUTE);
    world_expect(w, low, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CERTIFICATE_HOST_MISMATCH);
    world_expect(w, high, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CERTIFICATE_HOST_MISMATCH);
    world_close(w);
}

static void no_starttls_no_mail(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = shared_mx(NULL, &mx);
    mx->no_starttls = true;
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_STARTTLS, HL_REASON_STARTTLS_NOT_SUPPORTED);
    world_close(w);
}

static void a_demand_without_a_name_is_unclear(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_submit(w, &(struct letter){.to = "a@d1.test", .next_hop = "[192.0.2.101]"});
    world_settle(w, MINUTE);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_POLICY, HL_REASON_POLICY);
    assert_int_equal(mx->accepted, 0);
    world_close(w);
}

/* The rule that is in force when the connection is ready asks for what nobody can give. */
static void a_demand_that_becomes_unclear_while_waiting(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = shared_mx(NULL, &mx);
    mx->think_us = 100000;
    unsigned unclear = world_send(w, "a@d1.test"), clear = world_send(w, "a@d2.test");
    world_run(w, 350000);
    w->rule[0].min_version = 0x0305;
    world_publish(w);
    world_settle(w, MINUTE);
    world_expect(w, unclear, HL_DEFERRED, HL_STAGE_POLICY, HL_REASON_POLICY);
    world_delivered(w, clear, clear);
    world_close(w);
}

/* A connection that cannot take the first of those who wait takes whom it can. */
static void whoever_a_connection_satisfies_is_found_behind_others(void **state)
{
    (void)state;
    const unsigned two = 2;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 1;
    struct mx_host *mx;
    struct world *w = shared_mx(&o, &mx);
    mx->think_us = 20000;
    world_send(w, "a@d1.test");
    world_run(w, 110000); /* it is being sent */
    for (unsigned i = 0; i < 10; i++)
        world_send(w, "a@d2.test");
    unsigned last = world_send(w, "a@d1.test");
    world_until(w, world_has_mails, &two, MINUTE);
    assert_int_equal(world_serial(w, last), world_serial(w, 0));
    world_settle(w, MINUTE);
    world_delivered(w, 0, last);
    world_close(w);
}

/* Connections under way are meant for those who wait first: the next one is for the next of them. */
static void each_attempt_is_for_another_message(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world_options o = world_defaults();
    o.core.smtp.messages_ahead = 1;
    struct world *w = shared_mx(&o, &mx);
    mx->think_us = 50000;
    world_send(w, "a@d1.test");
    world_run(w, 260000);
    assert_int_equal(mx->handshakes, 1);
    world_send(w, "a@d1.test");
    world_send(w, "a@d2.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 2);
    assert_int_equal(mx->accepted, 3);
    world_close(w);
}

/* The operator's new table has other anchors; the old ones go when the last connection that was judged by them does. */
static void trust_lives_as_long_as_a_connection_needs_it(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    struct mx_host *mx = world_mx(w, 1);
    struct tls_trust *trust = certificates_other_trust();
    world_route(w, "d1.test", "mx1.test=192.0.2.101:25", NULL);
    world_rule(w, "d1.test", POLICY_VERIFY)->trust = trust;
    world_start(w);
    unsigned before = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    w->rule[0].trust = w->draft.trust;
    world_publish(w);
    tls_trust_free(trust);
    unsigned after = world_send(w, "a@d1.test"); /* same certificates, but who says that they are? */
    world_settle(w, MINUTE);
    world_delivered(w, before, after);
    assert_int_equal(mx->accepted, 2);
    world_close(w);
}

/* The alert and our FIN leave at once: the receiver need not guess. */
static void a_failed_verification_is_told_and_closed(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = wrong_name(&mx);
    world_send(w, "a@d2.test");
    world_run(w, 10000);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CERTIFICATE_HOST_MISMATCH);
    assert_int_equal(mx->standing, 0);
    assert_int_equal(mx->resets, 0);
    assert_int_equal(mx->handshakes, 0);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    world_close(w);
}

/* Of those who wait the first 64 are looked at: whoever stands behind them waits longer, not for ever. */
static void more_wait_than_are_looked_at(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 1;
    struct mx_host *mx;
    struct world *w = shared_mx(&o, &mx);
    mx->think_us = 1000;
    world_send(w, "a@d1.test");
    for (unsigned i = 0; i < 100; i++)
        world_send(w, "a@d2.test");
    for (unsigned i = 0; i < 20; i++)
        world_send(w, "a@d1.test");
    world_settle(w, 5 * MINUTE);
    world_delivered(w, 0, 120);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(different_demands_share_no_connection),
        cmocka_unit_test(a_stronger_proof_serves_a_weaker_demand),
        cmocka_unit_test(mixed_demands_wait_together),
        cmocka_unit_test(at_the_limit_an_insufficient_connection_gives_way),
        cmocka_unit_test(every_idle_connection_is_looked_at),
        cmocka_unit_test(a_demand_that_rises_gets_a_new_connection),
        cmocka_unit_test(a_demand_that_rises_under_way_is_judged_anew),
        cmocka_unit_test(the_minimum_version_may_rise_as_well),
        cmocka_unit_test(a_failed_verification_refuses_who_demands_the_same),
        cmocka_unit_test(a_failed_verification_beside_good_connections),
        cmocka_unit_test(a_failed_verification_tries_the_next_hop),
        cmocka_unit_test(a_floor_is_never_lowered),
        cmocka_unit_test(no_starttls_no_mail),
        cmocka_unit_test(a_demand_without_a_name_is_unclear),
        cmocka_unit_test(a_demand_that_becomes_unclear_while_waiting),
        cmocka_unit_test(more_wait_than_are_looked_at),
        cmocka_unit_test(whoever_a_connection_satisfies_is_found_behind_others),
        cmocka_unit_test(each_attempt_is_for_another_message),
        cmocka_unit_test(trust_lives_as_long_as_a_connection_needs_it),
        cmocka_unit_test(a_failed_verification_is_told_and_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
