/* Connections that break: who gets which verdict, and who is tried again. */
#include "tests/unit/core/world.h"

/* One message goes well and leaves its connection idle. */
static struct world *idle_connection(struct mx_host **host)
{
    struct world *w = world_simple(NULL, host);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(w->core[0]->connections.in_use, 1);
    return w;
}

/* ---- idle connections that the receiver gives up ---- */

static void an_idle_connection_that_is_closed_is_not_missed(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->idle_us = SECOND;
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_run(w, 2 * SECOND);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 1);
    assert_int_equal(mx->accepted, 2);
    world_close(w);
}

/* The receiver closes while the next message is on its way to it. */
static void a_message_on_a_connection_just_closed_is_sent_again(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = idle_connection(&mx);
    mx->trouble = (struct mx_trouble){.at = MX_MAIL, .deed = MX_CLOSE, .times = 1};
    unsigned n = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, n, n);
    assert_false(world_result(w, n, 0)->tls.reused);
    assert_int_equal(mx->accepted, 2);
    world_close(w);
}

static void the_same_with_a_reset(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = idle_connection(&mx);
    mx->trouble = (struct mx_trouble){.at = MX_MAIL, .deed = MX_RESET, .times = 1};
    unsigned n = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, n, n);
    world_close(w);
}

static void only_once(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 2;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->think_us = 1000;
    for (unsigned i = 0; i < 8; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(mx->standing, 2);
    mx->trouble = (struct mx_trouble){.at = MX_MAIL, .deed = MX_RESET};
    unsigned n = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    const struct hl_result *r = world_expect(w, n, HL_DEFERRED, HL_STAGE_MAIL, HL_REASON_CONNECTION_LOST);
    assert_int_equal(r->fault, HL_FAULT_REMOTE);
    world_close(w);
}

/* A message that was given back still has its deadline. */
static void a_message_given_back_keeps_its_deadline(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.tcp.connect_timeout_us = MINUTE;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    mx->trouble = (struct mx_trouble){.at = MX_MAIL, .deed = MX_RESET, .times = 1};
    mx->silent = true;
    unsigned n = world_submit(w, &(struct letter){.to = "a@d1.test", .patience_us = 5 * SECOND});
    world_settle(w, 6 * SECOND);
    world_expect(w, n, HL_DEFERRED, HL_STAGE_CONNECT, HL_REASON_LIMIT);
    world_close(w);
}

/* The receiver closes every connection behind its reply to a message: FIN and reply come in one packet. */
static void a_receiver_of_one_message_a_connection(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->trouble = (struct mx_trouble){.at = MX_IDLE, .deed = MX_CLOSE};
    for (unsigned i = 0; i < 20; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 19);
    assert_int_equal(mx->accepted, 20);
    assert_true(world_stat(w, STAT_conn_reused) < 10); /* by envelopes behind the dot, until it is known */
    world_close(w);
}

/* close_notify ends what the receiver will say, FIN or not. */
static void close_notify_ends_a_connection(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->trouble = (struct mx_trouble){.at = MX_IDLE, .deed = MX_NOTIFY};
    for (unsigned i = 0; i < 4; i++) {
        world_send(w, "a@d1.test");
        world_settle(w, SECOND);
    }
    world_delivered(w, 0, 3);
    mx->trouble = (struct mx_trouble){.at = MX_DATA, .deed = MX_NOTIFY, .times = 1};
    unsigned n = world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_expect(w, n, HL_DEFERRED, HL_STAGE_DATA, HL_REASON_CONNECTION_LOST);
    world_close(w);
}

static void quit_is_on_its_way_when_a_message_comes(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = idle_connection(&mx);
    mx->think_us = 2 * SECOND;
    world_run(w, 6 * SECOND);
    assert_int_equal(mx->quits, 1);
    assert_int_equal(w->core[0]->connections.in_use, 1);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 1, 1);
    assert_int_equal(mx->accepted, 2);
    world_close(w);
}

static void a_receiver_that_does_not_answer_quit(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = idle_connection(&mx);
    mx->trouble = (struct mx_trouble){.at = MX_QUIT, .deed = MX_STALL};
    world_run(w, MINUTE);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    world_close(w);
}

static void a_receiver_that_never_closes(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = idle_connection(&mx);
    mx->trouble = (struct mx_trouble){.at = MX_QUIT, .deed = MX_STALL};
    w->mx.tcp.user_timeout_us = 100 * SECOND;
    world_run(w, 4900000);
    w->mx.deaf_us = w->now_us + 20 * SECOND; /* QUIT is answered by nobody */
    world_run(w, 50 * SECOND);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    world_close(w);
}

/* It acknowledges our FIN, and that is all. */
static void a_receiver_that_holds_its_half_open_is_reset(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = idle_connection(&mx);
    mx->holds = true;
    world_run(w, 9 * SECOND);
    assert_int_equal(mx->quits, 1);
    assert_int_equal(w->core[0]->connections.in_use, 1);
    world_run(w, 2 * SECOND);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    assert_int_equal(mx->resets, 1);
    world_close(w);
}

/* The same where it was not our idle time that ended it. */
static void so_is_one_that_had_its_share_of_messages(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.smtp.messages_max = 1;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    mx->holds = true;
    world_send(w, "a@d1.test");
    world_settle(w, SECOND);
    world_run(w, 4900000);
    assert_int_equal(w->core[0]->connections.in_use, 1);
    world_run(w, 200000);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    assert_int_equal(mx->resets, 1);
    world_close(w);
}

/* What comes once we have closed is thrown away, so that the receiver's end can come. */
static void a_flood_while_closing_is_read_to_its_end(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = idle_connection(&mx);
    mx->trouble = (struct mx_trouble){.at = MX_QUIT, .deed = MX_FLOOD};
    world_run(w, 6 * SECOND);
    assert_int_equal(w->core[0]->connections.in_use, 0);
    world_run(w, 10 * SECOND);
    assert_int_equal(mx->resets, 0);
    world_close(w);
}

/* One that was given back goes before those that came after it. */
static void a_message_given_back_is_the_first_again(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.core.connections_per_destination = 1;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    mx->trouble = (struct mx_trouble){.at = MX_MAIL, .deed = MX_RESET, .times = 1};
    for (unsigned i = 1; i < 4; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 3);
    assert_string_equal(w->mx.mail[1].sender, "s1@sender.test");
    world_close(w);
}

/* What the receiver has answered once is not tried elsewhere. */
static void a_message_that_was_answered_is_not_sent_again(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->no_pipelining = true;
    mx->trouble = (struct mx_trouble){.at = MX_RCPT, .deed = MX_RESET, .skip = 1, .times = 1};
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    unsigned n = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_expect(w, n, HL_DEFERRED, HL_STAGE_RCPT, HL_REASON_CONNECTION_RESET);
    assert_true(world_result(w, n, 0)->tls.reused);
    assert_int_equal(mx->accepted, 1);
    world_close(w);
}

/* ---- in the middle of a message ---- */

struct broken {
    enum mx_point at;
    enum mx_deed deed;
    enum hl_verdict verdict;
    enum hl_stage stage;
    enum hl_reason reason;
};

static const struct broken breaks[] = {
    {MX_CONNECTED, MX_CLOSE, HL_DEFERRED, HL_STAGE_GREETING, HL_REASON_CONNECTION_LOST},
    {MX_CONNECTED, MX_RESET, HL_DEFERRED, HL_STAGE_GREETING, HL_REASON_CONNECTION_RESET},
    {MX_CONNECTED, MX_STALL, HL_DEFERRED, HL_STAGE_GREETING, HL_REASON_TIMEOUT},
    {MX_EHLO, MX_CLOSE, HL_DEFERRED, HL_STAGE_GREETING, HL_REASON_CONNECTION_LOST},
    {MX_EHLO, MX_STALL, HL_DEFERRED, HL_STAGE_GREETING, HL_REASON_TIMEOUT},
    {MX_STARTTLS, MX_RESET, HL_DEFERRED, HL_STAGE_STARTTLS, HL_REASON_CONNECTION_RESET},
    {MX_STARTTLS, MX_STALL, HL_DEFERRED, HL_STAGE_STARTTLS, HL_REASON_TIMEOUT},
    {MX_HELLO, MX_CLOSE, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CONNECTION_LOST},
    {MX_HELLO, MX_RESET, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CONNECTION_RESET},
    {MX_HELLO, MX_STALL, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_TIMEOUT},
    {MX_HELLO, MX_NOISE, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_TLS_HANDSHAKE},
    {MX_EHLO_TLS, MX_CLOSE, HL_DEFERRED, HL_STAGE_EHLO, HL_REASON_CONNECTION_LOST},
    {MX_EHLO_TLS, MX_STALL, HL_DEFERRED, HL_STAGE_EHLO, HL_REASON_TIMEOUT},
    {MX_MAIL, MX_CLOSE, HL_DEFERRED, HL_STAGE_MAIL, HL_REASON_CONNECTION_LOST},
    {MX_MAIL, MX_RESET, HL_DEFERRED, HL_STAGE_MAIL, HL_REASON_CONNECTION_RESET},
    {MX_MAIL, MX_STALL, HL_DEFERRED, HL_STAGE_MAIL, HL_REASON_TIMEOUT},
    {MX_RCPT, MX_RESET, HL_DEFERRED, HL_STAGE_RCPT, HL_REASON_CONNECTION_RESET},
    {MX_DATA, MX_CLOSE, HL_DEFERRED, HL_STAGE_DATA, HL_REASON_CONNECTION_LOST},
    {MX_DATA, MX_RESET, HL_DEFERRED, HL_STAGE_DATA, HL_REASON_CONNECTION_RESET},
    {MX_DATA, MX_STALL, HL_DEFERRED, HL_STAGE_DATA, HL_REASON_TIMEOUT},
    {MX_DOT, MX_CLOSE, HL_IN_DOUBT, HL_STAGE_DOT, HL_REASON_CONNECTION_LOST},
    {MX_DOT, MX_RESET, HL_IN_DOUBT, HL_STAGE_DOT, HL_REASON_CONNECTION_RESET},
    {MX_DOT, MX_STALL, HL_IN_DOUBT, HL_STAGE_DOT, HL_REASON_TIMEOUT},
    {MX_DOT, MX_NOTIFY, HL_IN_DOUBT, HL_STAGE_DOT, HL_REASON_CONNECTION_LOST},
    {MX_DOT, MX_NOISE, HL_IN_DOUBT, HL_STAGE_DOT, HL_REASON_NONE},
};

static void break_once(const struct broken *b)
{
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->no_pipelining = true; /* every point has its own round trip */
    mx->trouble = (struct mx_trouble){.at = b->at, .deed = b->deed, .times = 1};
    world_send(w, "a@d1.test b@d1.test");
    world_settle(w, 20 * MINUTE);
    const struct hl_result *r = world_result(w, 0, 0);
    bool any_reason = b->reason == HL_REASON_NONE; /* what a library says of noise is its own business */
    if (r->verdict != b->verdict || r->stage != b->stage || (r->reason != b->reason && !any_reason))
        fail_msg("trouble %d at %d: %s at %s, %s: %s", b->deed, b->at, hl_verdict_name(r->verdict),
                 hl_stage_name(r->stage), hl_reason_name(r->reason), r->text);
    assert_int_equal(world_result(w, 0, 1)->verdict, b->verdict);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 1, 1);
    world_close(w);
}

static void every_break_has_its_verdict(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(breaks); i++)
        break_once(&breaks[i]);
}

/* A body too large for the windows, so that the reset meets it half way. */
static void reset_in_the_body_defers(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->trouble = (struct mx_trouble){.at = MX_BODY, .deed = MX_RESET, .times = 1};
    world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = 2000000});
    world_settle(w, MINUTE);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_DATA, HL_REASON_CONNECTION_RESET);
    world_close(w);
}

static void a_wire_that_is_cut_in_the_body(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.to_mx.delay_us = 10000;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = 2000000});
    world_until(w, world_body_is_on_its_way, NULL, MINUTE);
    w->mx.deaf_us = DEADLINE_NEVER;
    world_settle(w, 6 * MINUTE);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_DATA, HL_REASON_TIMEOUT);
    w->mx.deaf_us = 0;
    world_close(w);
}

/* A whole connection's worth of waiting messages shares the fate of the first attempt. */
static void all_who_wait_share_a_failed_attempt(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->greeting = "554 5.3.2 no mail here";
    for (unsigned i = 0; i < 10; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    for (unsigned i = 0; i < 10; i++)
        world_expect(w, i, HL_DEFERRED, HL_STAGE_GREETING, HL_REASON_REPLY);
    assert_int_equal(mx->accepted, 1);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_connection_that_is_closed_is_not_missed),
        cmocka_unit_test(a_message_on_a_connection_just_closed_is_sent_again),
        cmocka_unit_test(the_same_with_a_reset),
        cmocka_unit_test(only_once),
        cmocka_unit_test(a_message_given_back_keeps_its_deadline),
        cmocka_unit_test(a_receiver_of_one_message_a_connection),
        cmocka_unit_test(close_notify_ends_a_connection),
        cmocka_unit_test(quit_is_on_its_way_when_a_message_comes),
        cmocka_unit_test(a_receiver_that_does_not_answer_quit),
        cmocka_unit_test(a_receiver_that_never_closes),
        cmocka_unit_test(a_receiver_that_holds_its_half_open_is_reset),
        cmocka_unit_test(so_is_one_that_had_its_share_of_messages),
        cmocka_unit_test(a_flood_while_closing_is_read_to_its_end),
        cmocka_unit_test(a_message_given_back_is_the_first_again),
        cmocka_unit_test(a_message_that_was_answered_is_not_sent_again),
        cmocka_unit_test(every_break_has_its_verdict),
        cmocka_unit_test(reset_in_the_body_defers),
        cmocka_unit_test(a_wire_that_is_cut_in_the_body),
        cmocka_unit_test(all_who_wait_share_a_failed_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
