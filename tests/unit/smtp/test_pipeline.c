/* RFC 2920 section 3.1: what may be sent while replies are owed, and which reply belongs to which command. */
#include "engine/smtp/session.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/smtp/dies.h"

static struct stats stats;
static struct smtp_session session;

static void begin(uint32_t recipients, bool chunked)
{
    static struct smtp_message message;
    *smtp_transaction(&session, session.begun) = (struct smtp_transaction){
        .message = &message, .recipients = recipients, .undecided = recipients, .chunked = chunked};
    if (session.send_at.state != S_READY)
        smtp_meet_at(&session, S_READY, 0);
    session.begun++;
    smtp_enter(&session, 0);
}

static int at_mail(void **state)
{
    (void)state;
    memset(&session, 0, sizeof(session));
    session.config = (struct smtp_config){"client.example", 100, 0, &stats, 1, true, 1u << 20};
    begin(3, false);
    return 0;
}

static void stands(struct smtp_cursor at, enum smtp_state state, uint32_t recipient)
{
    assert_int_equal(at.state, state);
    assert_int_equal(at.recipient, recipient);
}

static void test_order_of_places(void **state)
{
    static const struct smtp_cursor order[] = {
        {0, S_EHLO, 0}, {0, S_READY, 0}, {0, S_RSET, 0}, {0, S_MAIL, 0}, {0, S_RCPT, 0},  {0, S_RCPT, 1},
        {0, S_RCPT, 2}, {0, S_DATA, 0},  {0, S_BODY, 0}, {0, S_DOT, 0},  {1, S_READY, 0}, {1, S_MAIL, 0}};
    (void)state;
    for (size_t a = 0; a < ARRAY_LEN(order); a++)
        for (size_t b = 0; b < ARRAY_LEN(order); b++)
            assert_int_equal(smtp_cursor_compare(order[a], order[b]), a < b ? -1 : a > b);
}

static void test_without_pipelining_one_at_a_time(void **state)
{
    (void)state;
    for (int command = 0; command < 5; command++) {
        assert_true(smtp_may_send(&session));
        assert_false(smtp_reply_is_owed(&session));
        smtp_sent(&session, 0);
        assert_false(smtp_may_send(&session));
        assert_true(smtp_reply_is_owed(&session));
        smtp_answered(&session, 0);
    }
    stands(session.send_at, S_BODY, 0);
    stands(session.reply_at, S_BODY, 0);
}

static void test_with_pipelining_up_to_data(void **state)
{
    (void)state;
    session.offer.extensions = EXT_PIPELINING;
    for (int command = 0; command < 5; command++) {
        assert_true(smtp_may_send(&session));
        smtp_sent(&session, 0);
    }
    stands(session.send_at, S_BODY, 0);
    stands(session.reply_at, S_MAIL, 0);
    for (int command = 0; command < 5; command++) {
        assert_false(smtp_may_send(&session)); /* the body waits for the 354 */
        smtp_answered(&session, 0);
    }
    stands(session.reply_at, S_BODY, 0);
    assert_true(smtp_may_send(&session));
}

/* RFC 2920 section 3.1 knows groups of EHLO, QUIT and others as well; here they stay alone. */
static void test_nothing_else_is_pipelined(void **state)
{
    (void)state;
    session.offer.extensions = EXT_PIPELINING;
    static const enum smtp_state alone[] = {S_EHLO_CLEAR, S_STARTTLS, S_EHLO, S_QUIT};
    for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
        smtp_meet_at(&session, alone[i], 0);
        smtp_sent(&session, 0);
        assert_false(smtp_may_send(&session));
    }
}

static void test_unsent_recipients_are_passed(void **state)
{
    (void)state;
    session.offer.extensions = EXT_PIPELINING;
    smtp_sent(&session, 0);
    smtp_skip_recipient(&session, 0);
    smtp_sent(&session, 0);
    smtp_skip_recipient(&session, 0);
    stands(session.send_at, S_DATA, 0);
    smtp_answered(&session, 0);
    stands(session.reply_at, S_RCPT, 1);
    smtp_answered(&session, 0);
    stands(session.reply_at, S_DATA, 0);
}

static void test_unsent_recipients_are_passed_without_pipelining(void **state)
{
    (void)state;
    smtp_sent(&session, 0);
    smtp_answered(&session, 0);
    smtp_skip_recipient(&session, 0);
    stands(session.reply_at, S_RCPT, 1);
    stands(session.send_at, S_RCPT, 1);
    smtp_skip_recipient(&session, 0);
    smtp_skip_recipient(&session, 0);
    stands(session.reply_at, S_DATA, 0);
    assert_false(smtp_reply_is_owed(&session));
}

static void test_clock_runs_from_command_or_reply(void **state)
{
    (void)state;
    session.offer.extensions = EXT_PIPELINING;
    smtp_sent(&session, 1000);
    assert_int_equal(session.deadline_us, 1000 + 300 * 1000000ull);
    smtp_sent(&session, 2000); /* MAIL's reply is still owed: its time runs */
    assert_int_equal(session.deadline_us, 1000 + 300 * 1000000ull);
    smtp_answered(&session, 3000);
    assert_int_equal(session.deadline_us, 3000 + 300 * 1000000ull);
}

static void test_with_bdat_up_to_the_end(void **state)
{
    (void)state;
    session.offer.extensions = EXT_PIPELINING | EXT_CHUNKING;
    session.transaction[0].chunked = true;
    for (int command = 0; command < 4; command++)
        smtp_sent(&session, 0);
    stands(session.send_at, S_BODY, 0);
    assert_true(smtp_may_send(&session));
    smtp_sent_end_of_data(&session, 0);
    stands(session.send_at, S_READY, 0);
    assert_int_equal(session.send_at.serial, 1);
    stands(session.reply_at, S_MAIL, 0);
    for (int reply = 0; reply < 4; reply++)
        smtp_answered(&session, 0);
    stands(session.reply_at, S_DOT, 0);
    smtp_answered(&session, 0);
    assert_false(smtp_reply_is_owed(&session));
}

static void test_large_chunk_waits(void **state)
{
    (void)state;
    struct smtp_message large = {.body_bytes = session.config.chunk_ahead_bytes + 1};
    session.offer.extensions = EXT_PIPELINING | EXT_CHUNKING;
    session.transaction[0].chunked = true;
    session.transaction[0].message = &large;
    for (int command = 0; command < 4; command++)
        smtp_sent(&session, 0);
    for (int reply = 0; reply < 4; reply++) {
        assert_false(smtp_may_send(&session));
        smtp_answered(&session, 0);
    }
    assert_true(smtp_may_send(&session));
}

/* Replies go from the end of one message to the beginning of the next, also past a serial's end. */
static void test_one_transaction_behind_another(void **state)
{
    (void)state;
    session.offer.extensions = EXT_PIPELINING | EXT_CHUNKING;
    session.transaction[0].chunked = true;
    for (uint32_t serial = 0; serial < 3 * SMTP_AHEAD_MAX; serial++) {
        uint32_t recipients = session.transaction[serial % SMTP_AHEAD_MAX].recipients;
        for (uint32_t command = 0; command <= recipients; command++)
            smtp_sent(&session, 0);
        smtp_sent_end_of_data(&session, 0);
        begin(1 + serial % 3, true);
        for (uint32_t reply = 0; reply < recipients + 2; reply++)
            smtp_answered(&session, 0);
        assert_int_equal(session.reply_at.serial, serial + 1);
        stands(session.reply_at, S_MAIL, 0);
        assert_false(smtp_reply_is_owed(&session));
    }
}

static void test_flights_are_counted_by_what_was_answered(void **state)
{
    (void)state;
    uint64_t before = stats.v[STAT_smtp_flights];
    session.flight = (struct smtp_cursor){0, S_EHLO, 0};
    session.offer.extensions = EXT_PIPELINING;
    for (int command = 0; command < 5; command++)
        smtp_sent(&session, 0);
    assert_int_equal(stats.v[STAT_smtp_flights], before + 1);
    for (int reply = 0; reply < 5; reply++)
        smtp_answered(&session, 0);
    smtp_count_flight(&session);
    smtp_count_flight(&session); /* the body goes on */
    assert_int_equal(stats.v[STAT_smtp_flights], before + 2);
    smtp_sent_end_of_data(&session, 0);
    begin(1, false);
    smtp_sent(&session, 0); /* behind the dot, before its reply */
    assert_int_equal(stats.v[STAT_smtp_flights], before + 2);
    smtp_answered(&session, 0);
    smtp_sent(&session, 0);
    assert_int_equal(stats.v[STAT_smtp_flights], before + 3);
}

static void answer_nothing(void *unused)
{
    (void)unused;
    smtp_answered(&session, 0);
}

static void test_no_reply_without_command(void **state)
{
    (void)state;
    assert_true(dies(answer_nothing, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_order_of_places, at_mail),
        cmocka_unit_test_setup(test_without_pipelining_one_at_a_time, at_mail),
        cmocka_unit_test_setup(test_with_pipelining_up_to_data, at_mail),
        cmocka_unit_test_setup(test_nothing_else_is_pipelined, at_mail),
        cmocka_unit_test_setup(test_unsent_recipients_are_passed, at_mail),
        cmocka_unit_test_setup(test_unsent_recipients_are_passed_without_pipelining, at_mail),
        cmocka_unit_test_setup(test_clock_runs_from_command_or_reply, at_mail),
        cmocka_unit_test_setup(test_with_bdat_up_to_the_end, at_mail),
        cmocka_unit_test_setup(test_large_chunk_waits, at_mail),
        cmocka_unit_test_setup(test_one_transaction_behind_another, at_mail),
        cmocka_unit_test_setup(test_flights_are_counted_by_what_was_answered, at_mail),
        cmocka_unit_test_setup(test_no_reply_without_command, at_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
