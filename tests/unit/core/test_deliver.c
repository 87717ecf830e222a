/* Messages that arrive: with evidence, over shared connections, in any shape. */
#include "tests/unit/core/world.h"

static void delivered_with_evidence_and_the_same_bytes(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    unsigned n = world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = 50000});
    world_settle(w, MINUTE);
    const struct hl_result *r = world_expect(w, n, HL_DELIVERED, HL_STAGE_DOT, HL_REASON_NONE);
    assert_int_equal(r->smtp_code, 250);
    assert_string_equal(r->text, "queued");
    assert_string_equal(r->mx_host, "mx1.test");
    assert_int_equal(r->mx_port, 25);
    assert_memory_equal(r->mx_addr, mx->address.b, 16);
    assert_true(r->last && r->tls.present && r->tls.pkix && !r->tls.resumed && !r->tls.reused);
    assert_int_equal(r->tls.version, 0x0304);
    assert_int_equal(r->tls.level, HL_TLS_VERIFY);
    assert_string_equal(r->tls.matched_name, "mx1.test");
    assert_string_equal(r->tls.policy_source, "default");
    assert_true(strlen(r->tls.cipher) > 10 && r->tls.group[0] && r->tls.signature[0] && r->tls.digests);
    assert_true(r->queued_us <= r->connected_us && r->connected_us <= r->secured_us);
    assert_true(r->secured_us <= r->sent_us && r->sent_us <= r->replied_us);
    assert_int_equal(mx->handshakes, 1);
    world_close(w);
}

static void several_messages_share_a_connection(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    for (unsigned i = 0; i < 5; i++) {
        world_send(w, "a@d1.test");
        world_settle(w, MINUTE);
        assert_int_equal(world_result(w, i, 0)->tls.reused, i > 0);
    }
    world_delivered(w, 0, 4);
    assert_int_equal(mx->accepted, 1);
    assert_int_equal(world_stat(w, STAT_conn_reused), 4);
    world_close(w);
}

static void an_idle_connection_says_quit(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_run(w, 4 * SECOND);
    assert_int_equal(mx->quits, 0);
    world_run(w, 2 * SECOND);
    assert_int_equal(mx->quits, 1);
    assert_int_equal(mx->resets, 0);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    assert_int_equal(w->core[0]->dests.pool.in_use, 0);
    world_close(w);
}

static void messages_max_opens_a_new_connection(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.smtp.messages_max = 2;
    o.core.connections_per_destination = 1;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    for (unsigned i = 0; i < 5; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 4);
    assert_int_equal(mx->accepted, 3);
    assert_int_equal(mx->standing_max, 1);
    world_close(w);
}

static void many_messages_open_connections_up_to_the_limit(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 4;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 10000;
    for (unsigned i = 0; i < 100; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 99);
    assert_int_equal(mx->accepted, 4);
    world_close(w);
}

/* An unproven destination gets one attempt; the others follow once it has come up. */
static void the_first_connection_goes_ahead_alone(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->think_us = 100000;
    for (unsigned i = 0; i < 10; i++)
        world_send(w, "a@d1.test");
    world_run(w, 350000); /* greeting, EHLO, STARTTLS: three thoughts */
    assert_int_equal(mx->accepted, 1);
    world_settle(w, MINUTE);
    assert_true(mx->accepted > 1);
    world_delivered(w, 0, 9);
    world_close(w);
}

static void each_recipient_has_its_own_result(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    unsigned n = world_send(w, "a@d1.test bad@d1.test b@d1.test c@d2.test");
    world_settle(w, MINUTE);
    assert_int_equal(world_result(w, n, 0)->verdict, HL_DELIVERED);
    assert_int_equal(world_result(w, n, 1)->verdict, HL_FAILED);
    assert_int_equal(world_result(w, n, 1)->smtp_code, 550);
    assert_int_equal(world_result(w, n, 1)->stage, HL_STAGE_RCPT);
    assert_int_equal(world_result(w, n, 2)->verdict, HL_DELIVERED);
    assert_int_equal(world_result(w, n, 3)->verdict, HL_DELIVERED);
    world_close(w);
}

static void refusals_leave_the_connection_to_the_next_message(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    unsigned bad = world_send(w, "bad@d1.test");
    world_settle(w, MINUTE);
    mx->dot = "451 4.3.0 not now";
    unsigned later = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    mx->dot = NULL;
    unsigned good = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_expect(w, bad, HL_FAILED, HL_STAGE_RCPT, HL_REASON_REPLY);
    world_expect(w, later, HL_DEFERRED, HL_STAGE_DOT, HL_REASON_REPLY);
    world_delivered(w, good, good);
    assert_int_equal(mx->accepted, 1);
    world_close(w);
}

/* What the receiver cannot take is decided without a byte: the connection stays ready for the next one. */
static void a_message_that_is_too_large_costs_nothing(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.feed.arena_bytes = 32u << 20;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    unsigned large = world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = 10485761});
    unsigned small = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_expect(w, large, HL_FAILED, HL_STAGE_MAIL, HL_REASON_TOO_LARGE);
    world_delivered(w, small, small);
    assert_int_equal(mx->accepted, 1);
    world_close(w);
}

static void without_pipelining(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->no_pipelining = true;
    world_send(w, "a@d1.test bad@d1.test b@d1.test");
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(world_result(w, 0, 0)->verdict, HL_DELIVERED);
    assert_int_equal(world_result(w, 0, 1)->verdict, HL_FAILED);
    world_delivered(w, 1, 1);
    world_close(w);
}

static void implicit_tls_on_port_465(void **state)
{
    (void)state;
    struct world *w = world_open(NULL);
    struct mx_host *mx = world_host(w, "192.0.2.101", 465, "mx1.test");
    mx->implicit_tls = true;
    world_route(w, "d1.test", "+mx1.test=192.0.2.101:465", NULL);
    world_start(w);
    world_send(w, "a@d1.test");
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 1);
    assert_int_equal(world_result(w, 0, 0)->mx_port, 465);
    assert_true(world_result(w, 0, 0)->tls.present);
    world_close(w);
}

static void a_large_message_over_a_slow_wire(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.to_mx.delay_us = o.from_mx.delay_us = 40000;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = 2000000});
    world_settle(w, MINUTE);
    world_delivered(w, 0, 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivered_with_evidence_and_the_same_bytes),
        cmocka_unit_test(several_messages_share_a_connection),
        cmocka_unit_test(an_idle_connection_says_quit),
        cmocka_unit_test(messages_max_opens_a_new_connection),
        cmocka_unit_test(many_messages_open_connections_up_to_the_limit),
        cmocka_unit_test(the_first_connection_goes_ahead_alone),
        cmocka_unit_test(each_recipient_has_its_own_result),
        cmocka_unit_test(refusals_leave_the_connection_to_the_next_message),
        cmocka_unit_test(a_message_that_is_too_large_costs_nothing),
        cmocka_unit_test(without_pipelining),
        cmocka_unit_test(implicit_tls_on_port_465),
        cmocka_unit_test(a_large_message_over_a_slow_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
