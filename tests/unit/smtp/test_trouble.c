/* Every reply class, a loss, a silence and rubbish in every state: who gets which verdict, and what becomes of the
 * session.  RFC 5321 sections 3.8 (421), 4.2.1 (classes), 4.5.3.2 (time-outs); RFC 1047 (doubt).
 */
#include "engine/smtp/session.h"
#include "engine/smtp/trouble.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>

struct tls_verified {
    int made_by_a_test;
};

static struct smtp_session session;
static struct stats stats;
static const struct tls_verified proof;
static const struct smtp_recipient recipient = {{(const uint8_t *)"r@example.org", 13}, {NULL, 0}, false};
static const struct span extent = {(const uint8_t *)"hi\r\n", 4};
static const struct smtp_message message = {
    .sender = {(const uint8_t *)"s@example.net", 13},
    .recipient = &recipient,
    .recipients = 1,
    .extent = &extent,
    .extents = 1,
    .body_bytes = 4,
};

static struct outcome decided; /* VERDICT_NONE before */
static unsigned decisions, dones;

static void on_recipient(void *ctx, const struct smtp_message *m, uint32_t index,
                         const struct outcome *outcome)
{
    (void)ctx;
    assert_ptr_equal(m, &message);
    assert_int_equal(index, 0);
    decided = *outcome;
    decisions++;
}

static void on_stage(void *ctx, const struct smtp_message *m, enum stage stage)
{
    (void)ctx, (void)m, (void)stage;
}

static void on_done(void *ctx, const struct smtp_message *m)
{
    (void)ctx;
    assert_ptr_equal(m, &message);
    dones++;
}

static void on_returned(void *ctx, const struct smtp_message *m, enum smtp_return why)
{
    (void)ctx, (void)m, (void)why;
    fail_msg("a message was returned on a connection's first transaction");
}

static void pull(void)
{
    uint8_t out[SMTP_OUTPUT_MIN];
    while (smtp_output(&session, out, sizeof(out), 0))
        ;
}

static void give(const char *reply)
{
    smtp_input(&session, (const uint8_t *)reply, strlen(reply), 0);
    pull();
}

/* The replies that lead to a state, each given when the command before has left. */
static void reach(enum smtp_state state)
{
    static const struct {
        enum smtp_state from;
        const char *reply;
    } way[] = {
        {S_GREETING_CLEAR, "220 mx\r\n"}, {S_EHLO_CLEAR, "250-mx\r\n250 STARTTLS\r\n"},
        {S_STARTTLS, "220 go\r\n"},       {S_HANDSHAKE, NULL},
        {S_EHLO, "250 mx\r\n"},           {S_READY, NULL},
        {S_MAIL, "250 ok\r\n"},           {S_RCPT, "250 ok\r\n"},
        {S_DATA, "354 go\r\n"},
    };
    const struct smtp_config config = {"client.example", 100, 0, &stats, 1, true, 1u << 20};
    const struct smtp_events events = {NULL, on_recipient, on_stage, on_done, on_returned};
    decided = (struct outcome){0};
    decisions = dones = 0;
    smtp_open(&session, &config, &events, true, 0);
    for (size_t i = 0; session.reply_at.state != state; i++) {
        assert_true(i < ARRAY_LEN(way));
        if (way[i].from == S_HANDSHAKE)
            smtp_secured(&session, &proof, 0);
        else if (way[i].from == S_READY)
            smtp_begin(&session, &message, 0);
        else
            smtp_input(&session, (const uint8_t *)way[i].reply, strlen(way[i].reply), 0);
        if (way[i].from != S_DATA || state == S_DOT) /* the body stays in, so that S_BODY can be reached */
            pull();
    }
}

enum { OPEN, LEAVING, SHUT };

static int condition(void)
{
    if (smtp_want(&session) == SMTP_WANT_CLOSE)
        return SHUT;
    return session.reply_at.state == S_QUIT ? LEAVING : OPEN;
}

struct expected {
    enum smtp_state state;
    const char *reply;
    uint8_t verdict; /* of the recipient, if a message is in hand */
    uint8_t reason;  /* of the recipient, or else of the session */
    int condition;
};

static void check(const struct expected *e)
{
    struct outcome o;
    bool in_hand = (session.begun && session.transaction[0].message) || decisions;
    smtp_outcome(&session, &o);
    if (condition() != e->condition || (in_hand ? decided.verdict : (uint8_t)VERDICT_NONE) != e->verdict ||
        decisions != (e->verdict != VERDICT_NONE) || dones != decisions)
        fail_msg("in \"%s\" after %s: verdict %s, condition %d", smtp_state_text(&session), e->reply,
                 verdict_name(decided.verdict), condition());
    assert_int_equal(decisions ? decided.reason : o.reason, e->reason);
    if (e->condition == OPEN)
        assert_int_equal(o.verdict, VERDICT_NONE);
    else
        assert_int_equal(o.verdict, VERDICT_DEFERRED); /* whoever waited may try again */
}

#define NONE VERDICT_NONE
#define FINE REASON_NONE

static void test_every_class_in_every_state(void **state)
{
    static const struct expected cases[] = {
        {S_GREETING_CLEAR, "220 x\r\n", NONE, FINE, OPEN},
        {S_GREETING_CLEAR, "354 x\r\n", NONE, REASON_REPLY, LEAVING},
        {S_GREETING_CLEAR, "450 x\r\n", NONE, REASON_REPLY, LEAVING},
        {S_GREETING_CLEAR, "554 x\r\n", NONE, REASON_REPLY, LEAVING},
        {S_GREETING_CLEAR, "421 x\r\n", NONE, REASON_REPLY, SHUT},
        {S_GREETING_CLEAR, "99 x\r\n", NONE, REASON_PROTOCOL, SHUT},

        {S_EHLO_CLEAR, "250-x\r\n250 STARTTLS\r\n", NONE, FINE, OPEN},
        {S_EHLO_CLEAR, "250 x\r\n", NONE, REASON_STARTTLS_NOT_SUPPORTED, LEAVING},
        {S_EHLO_CLEAR, "354-x\r\n354 STARTTLS\r\n", NONE, REASON_STARTTLS_NOT_SUPPORTED, LEAVING},
        {S_EHLO_CLEAR, "450-x\r\n450 STARTTLS\r\n", NONE, REASON_REPLY, LEAVING},
        {S_EHLO_CLEAR, "550-x\r\n550 STARTTLS\r\n", NONE, REASON_STARTTLS_NOT_SUPPORTED, LEAVING},
        {S_EHLO_CLEAR, "421 x\r\n", NONE, REASON_REPLY, SHUT},
        {S_EHLO_CLEAR, "x\r\n", NONE, REASON_PROTOCOL, SHUT},

        {S_STARTTLS, "220 x\r\n", NONE, FINE, OPEN},
        {S_STARTTLS, "250 x\r\n", NONE, REASON_STARTTLS_REJECTED, LEAVING},
        {S_STARTTLS, "354 x\r\n", NONE, REASON_STARTTLS_REJECTED, LEAVING},
        {S_STARTTLS, "454 x\r\n", NONE, REASON_STARTTLS_REJECTED, LEAVING},
        {S_STARTTLS, "501 x\r\n", NONE, REASON_STARTTLS_REJECTED, LEAVING},
        {S_STARTTLS, "421 x\r\n", NONE, REASON_REPLY, SHUT},
        {S_STARTTLS, "\x15\x03\x01\n", NONE, REASON_PROTOCOL, SHUT},

        {S_HANDSHAKE, "220 x\r\n", NONE, REASON_STARTTLS_INJECTION, SHUT},
        {S_HANDSHAKE, "x", NONE, REASON_STARTTLS_INJECTION, SHUT},

        {S_EHLO, "250 x\r\n", NONE, FINE, OPEN},
        {S_EHLO, "354 x\r\n", NONE, REASON_REPLY, LEAVING},
        {S_EHLO, "450 x\r\n", NONE, REASON_REPLY, LEAVING},
        {S_EHLO, "550 x\r\n", NONE, REASON_REPLY, LEAVING},
        {S_EHLO, "421 x\r\n", NONE, REASON_REPLY, SHUT},
        {S_EHLO, "x\r\n", NONE, REASON_PROTOCOL, SHUT},

        {S_READY, "250 x\r\n", NONE, REASON_PROTOCOL, SHUT},
        {S_READY, "354 x\r\n", NONE, REASON_PROTOCOL, SHUT},
        {S_READY, "451 x\r\n", NONE, REASON_REPLY, SHUT},
        {S_READY, "550 x\r\n", NONE, REASON_REPLY, SHUT},
        {S_READY, "421 x\r\n", NONE, REASON_REPLY, SHUT},
        {S_READY, "x\r\n", NONE, REASON_PROTOCOL, SHUT},

        {S_MAIL, "250 x\r\n", NONE, FINE, OPEN},
        {S_MAIL, "354 x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},
        {S_MAIL, "450 x\r\n", VERDICT_DEFERRED, REASON_REPLY, OPEN},
        {S_MAIL, "550 x\r\n", VERDICT_FAILED, REASON_REPLY, OPEN},
        {S_MAIL, "421 x\r\n", VERDICT_DEFERRED, REASON_REPLY, SHUT},
        {S_MAIL, "x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},

        {S_RCPT, "250 x\r\n", NONE, FINE, OPEN},
        {S_RCPT, "252 x\r\n", NONE, FINE, OPEN},
        {S_RCPT, "354 x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},
        {S_RCPT, "450 x\r\n", VERDICT_DEFERRED, REASON_REPLY, OPEN},
        {S_RCPT, "550 x\r\n", VERDICT_FAILED, REASON_REPLY, OPEN},
        {S_RCPT, "552 x\r\n", VERDICT_DEFERRED, REASON_REPLY, OPEN},
        {S_RCPT, "552 5.5.3 x\r\n", VERDICT_DEFERRED, REASON_REPLY, OPEN},
        {S_RCPT, "552 5.2.2 x\r\n", VERDICT_FAILED, REASON_REPLY, OPEN},
        {S_RCPT, "421 x\r\n", VERDICT_DEFERRED, REASON_REPLY, SHUT},
        {S_RCPT, "x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},

        {S_DATA, "354 x\r\n", VERDICT_NONE, FINE, OPEN},
        {S_DATA, "250 x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},
        {S_DATA, "450 x\r\n", VERDICT_DEFERRED, REASON_REPLY, OPEN},
        {S_DATA, "550 x\r\n", VERDICT_FAILED, REASON_REPLY, OPEN},
        {S_DATA, "552 x\r\n", VERDICT_FAILED, REASON_REPLY, OPEN},
        {S_DATA, "421 x\r\n", VERDICT_DEFERRED, REASON_REPLY, SHUT},
        {S_DATA, "x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},

        {S_BODY, "250 x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},
        {S_BODY, "354 x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},
        {S_BODY, "451 x\r\n", VERDICT_DEFERRED, REASON_REPLY, SHUT},
        {S_BODY, "552 x\r\n", VERDICT_FAILED, REASON_REPLY, SHUT},
        {S_BODY, "421 x\r\n", VERDICT_DEFERRED, REASON_REPLY, SHUT},
        {S_BODY, "x\r\n", VERDICT_DEFERRED, REASON_PROTOCOL, SHUT},

        {S_DOT, "250 x\r\n", VERDICT_DELIVERED, FINE, OPEN},
        {S_DOT, "354 x\r\n", VERDICT_IN_DOUBT, REASON_PROTOCOL, SHUT},
        {S_DOT, "450 x\r\n", VERDICT_DEFERRED, REASON_REPLY, OPEN},
        {S_DOT, "550 x\r\n", VERDICT_FAILED, REASON_REPLY, OPEN},
        {S_DOT, "421 x\r\n", VERDICT_DEFERRED, REASON_REPLY, SHUT},
        {S_DOT, "x\r\n", VERDICT_IN_DOUBT, REASON_PROTOCOL, SHUT},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        reach(cases[i].state);
        if (cases[i].state == S_BODY || cases[i].state == S_DATA) /* before the body has left */
            smtp_input(&session, (const uint8_t *)cases[i].reply, strlen(cases[i].reply), 0);
        else
            give(cases[i].reply);
        check(&cases[i]);
    }
}

static uint8_t verdict_when_cut(enum smtp_state at)
{
    if (at < S_MAIL)
        return VERDICT_NONE;
    return at == S_DOT ? VERDICT_IN_DOUBT : VERDICT_DEFERRED;
}

static void test_loss_in_every_state(void **state)
{
    (void)state;
    for (enum smtp_state at = S_GREETING_CLEAR; at <= S_DOT; at++) {
        if (at == S_GREETING_TLS || at == S_RSET)
            continue;
        struct outcome why;
        outcome_set(&why, VERDICT_FAILED, STAGE_NONE, FAULT_NETWORK, REASON_CONNECTION_RESET, "cut");
        reach(at);
        uint8_t stage = smtp_stage(&session);
        smtp_lost(&session, &why, 0);
        check(&(struct expected){at, "a loss", verdict_when_cut(at), REASON_CONNECTION_RESET, SHUT});
        assert_int_equal(session.outcome.stage, stage);
        smtp_lost(&session, &why, 0); /* told twice: nothing more happens */
        assert_true(decisions <= 1);
    }
}

static void test_silence_in_every_state(void **state)
{
    (void)state;
    for (enum smtp_state at = S_GREETING_CLEAR; at <= S_DOT; at++) {
        if (at == S_GREETING_TLS || at == S_RSET)
            continue;
        reach(at);
        uint64_t deadline = smtp_next_deadline(&session);
        if (at == S_READY || at == S_HANDSHAKE) {
            assert_int_equal(deadline, DEADLINE_NEVER);
            continue;
        }
        smtp_timers(&session, deadline - 1);
        assert_int_equal(condition(), OPEN);
        smtp_timers(&session, deadline);
        check(&(struct expected){at, "silence", verdict_when_cut(at), REASON_TIMEOUT, SHUT});
    }
}

/* RFC 5321 section 4.5.3.2. */
static void test_times(void **state)
{
    static const struct {
        enum smtp_state at;
        uint64_t minutes;
    } times[] = {{S_GREETING_CLEAR, 5}, {S_MAIL, 5}, {S_RCPT, 5}, {S_DATA, 2}, {S_BODY, 3}, {S_DOT, 10}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        reach(times[i].at);
        assert_int_equal(smtp_next_deadline(&session), times[i].minutes * 60000000);
    }
}

static void test_reply_is_in_the_outcome(void **state)
{
    (void)state;
    reach(S_MAIL);
    give("550-5.7.1 go\r\n550 5.7.1 away\r\n");
    assert_int_equal(decided.smtp_code, 550);
    assert_memory_equal(decided.enhanced, ((uint8_t[]){5, 7, 1}), 3);
    assert_string_equal(decided.text, "go away");
    assert_int_equal(decided.stage, STAGE_MAIL);
    assert_int_equal(decided.fault, FAULT_REMOTE);
}

static void test_replies_are_counted(void **state)
{
    (void)state;
    stats = (struct stats){0};
    reach(S_DOT);
    give("250 ok\r\n");
    assert_int_equal(stats.v[STAT_smtp_replies], 8);
    assert_int_equal(stats.v[STAT_smtp_messages], 1);
    assert_int_equal(stats.v[STAT_smtp_replies_bad], 0);
    give("250 ok\r\n");
    assert_int_equal(stats.v[STAT_smtp_replies_bad], 1);
}

static void test_too_many_recipients(void **state)
{
    static struct smtp_recipient many[SMTP_RECIPIENTS_MAX + 1];
    struct smtp_message big = message;
    struct outcome why;
    (void)state;
    big.recipient = many;
    big.recipients = SMTP_RECIPIENTS_MAX + 1;
    assert_false(smtp_message_fits(&big, &(struct smtp_offer){0}, &why));
    assert_int_equal(why.reason, REASON_LIMIT);
    big.recipients = SMTP_RECIPIENTS_MAX;
    assert_true(smtp_message_fits(&big, &(struct smtp_offer){0}, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_class_in_every_state), cmocka_unit_test(test_loss_in_every_state),
        cmocka_unit_test(test_silence_in_every_state),     cmocka_unit_test(test_times),
        cmocka_unit_test(test_reply_is_in_the_outcome),    cmocka_unit_test(test_replies_are_counted),
        cmocka_unit_test(test_too_many_recipients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
