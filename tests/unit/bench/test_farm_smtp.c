/* test_farm_smtp.c: the farm's side of the dialogue, whole and cut into pieces: what it answers, and what it has understood
 * of a message.
 */
#include "tests/unit/cmocka.h"

#include "bench/farm_smtp.h"

#include <stdio.h>
#include <stdlib.h>

#define HELLO "EHLO me\r\n"
#define MAIL  "MAIL FROM:<a@b.test> SIZE=10\r\n"
#define RCPT  "RCPT TO:<c@d.test>\r\n"

/* What a session has said and has taken. */
struct talk {
    struct farm_smtp_rules rules;
    struct farm_smtp smtp;
    char said[65536];
    size_t said_len;
    unsigned messages;
    uint32_t recipients; /* of the last message */
    struct check_message last;
    const char *fault[FARM_STAGES];
    bool cut;
};

static const char *fault(void *ctx, enum farm_stage stage, const char *argument, size_t len)
{
    struct talk *t = ctx;
    assert_true(stage != FARM_AT_RCPT || (len == 8 && memcmp(argument, "c@d.test", 8) == 0));
    return t->fault[stage];
}

static bool cut(void *ctx)
{
    return ((struct talk *)ctx)->cut;
}

static void message(void *ctx, const struct check_message *m, uint32_t recipients)
{
    struct talk *t = ctx;
    t->messages++;
    t->recipients = recipients;
    t->last = *m;
}

static void hear(struct talk *t)
{
    assert_true(t->smtp.out_len <= FARM_SMTP_OUT_BYTES);
    memcpy(t->said + t->said_len, t->smtp.out, t->smtp.out_len);
    t->said_len += t->smtp.out_len;
    t->said[t->said_len] = 0;
    farm_smtp_sent(&t->smtp, t->smtp.out_len);
}

static void begin(struct talk *t, bool secured, bool chunking)
{
    t->rules = (struct farm_smtp_rules){t, chunking, false, fault, cut, message};
    t->said_len = t->messages = 0;
    farm_smtp_open(&t->smtp, &t->rules, "mx1.farm.test", secured);
    hear(t);
    t->said_len = 0; /* the greeting is looked at in a test of its own */
}

/* Gives it all in pieces of cut bytes, as a connection does: what is left is given again with more behind it. */
static size_t give(struct talk *t, const char *in, size_t len, size_t piece)
{
    size_t done = 0, offered = 0, took;
    do {
        offered = min_size(len, offered + piece);
        do {
            took = farm_smtp_input(&t->smtp, in + done, offered - done);
            done += took;
            hear(t);
        } while (took);
    } while (offered < len);
    return done;
}

static struct talk *talk(const char *in, size_t piece)
{
    static struct talk t;
    memset(&t, 0, sizeof(t));
    begin(&t, true, true);
    give(&t, in, strlen(in), piece);
    return &t;
}

/* The codes of all replies, one a line of theirs that is a last one. */
static const char *codes(const struct talk *t)
{
    static char out[4096];
    size_t n = 0;
    for (const char *line = t->said; *line; line = strstr(line, "\r\n") + 2)
        if (line[3] == ' ')
            n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%.3s", n ? " " : "", line);
    out[n] = 0;
    return out;
}

static uint64_t digest_of(const char *text)
{
    struct message_digest digest;
    message_digest_init(&digest);
    message_digest_add(&digest, text, strlen(text));
    return message_digest_value(&digest);
}

static void wrap(char *out, const char *stuffed, const char *text, const char *format)
{
    char head[MESSAGE_HEAD_BYTES + 1] = "", tail[MESSAGE_TAIL_BYTES + 1] = "";
    const struct message_mark mark = {1, 2, (uint32_t)strlen(text), digest_of(text)};
    message_head(&mark, head);
    message_tail(&mark, tail);
    sprintf(out, format, head, stuffed, tail);
}

static void check_whole(const struct talk *t)
{
    struct check check = {0};
    assert_int_equal(t->messages, 1);
    assert_int_equal(check_end(&check, &t->last), CHECK_GOOD);
    check_close(&check);
}

/* ---- tests ---- */

static void greets_and_offers(void **state)
{
    (void)state;
    static struct talk t;
    t.rules = (struct farm_smtp_rules){&t, true, false, fault, cut, message};
    farm_smtp_open(&t.smtp, &t.rules, "mx1.farm.test", false);
    hear(&t);
    assert_string_equal(t.said, "220 mx1.farm.test ESMTP hardline-bench\r\n");
    give(&t, HELLO, strlen(HELLO), 100);
    assert_non_null(strstr(t.said, "250-STARTTLS\r\n"));
    assert_non_null(strstr(t.said, "250-CHUNKING\r\n"));
    give(&t, MAIL RCPT "DATA\r\n", strlen(MAIL RCPT "DATA\r\n"), 100);
    assert_string_equal(codes(&t), "220 250 530 530 530");
}

static void starttls_stops_the_reading(void **state)
{
    (void)state;
    static struct talk t;
    const char in[] = HELLO "STARTTLS\r\nNOOP\r\n";
    begin(&t, false, true);
    assert_int_equal(give(&t, in, strlen(in), 1000), strlen(HELLO "STARTTLS\r\n"));
    assert_int_equal(t.smtp.state, FARM_SMTP_STARTTLS);
    assert_string_equal(codes(&t), "250 220");
    farm_smtp_secured(&t.smtp);
    t.said_len = 0;
    give(&t, MAIL HELLO MAIL "STARTTLS\r\n", strlen(MAIL HELLO MAIL "STARTTLS\r\n"), 1000);
    assert_string_equal(codes(&t), "503 250 250 503"); /* RFC 3207 section 4.2: EHLO is forgotten */
    assert_null(strstr(t.said, "STARTTLS"));
}

static void data_in_any_cut(void **state)
{
    (void)state;
    static const char text[] = ".\r\n..\r\n.x\r\n\r\na\rb\nc\r\r\n.\r.\n\r\n\n.\r\nend\r\n";
    static const char stuffed[] = "..\r\n...\r\n..x\r\n\r\na\rb\nc\r\r\n..\r.\n\r\n\n.\r\nend\r\n";
    char in[1024];
    wrap(in, stuffed, text, HELLO MAIL RCPT RCPT "DATA\r\n%s%s%s.\r\nQUIT\r\n");
    for (size_t piece = 1; piece < strlen(in) + 1; piece++) {
        struct talk *t = talk(in, piece);
        assert_string_equal(codes(t), "250 250 250 250 354 250 221");
        assert_int_equal(t->recipients, 2);
        assert_int_equal(t->smtp.state, FARM_SMTP_QUIT);
        check_whole(t);
    }
}

static void chunks_in_any_cut(void **state)
{
    (void)state;
    static const char text[] = "..\r\n.\r\nQUIT\r\nx\r\n";
    char in[1024], whole[512];
    wrap(whole, text, text, "%s%s%s");
    for (size_t first = 0; first <= strlen(whole); first += 9)
        for (size_t piece = 1; piece < 300; piece += 7) {
            sprintf(in, HELLO MAIL RCPT "BDAT %zu\r\n%.*sBDAT %zu LAST\r\n%sQUIT\r\n", first, (int)first,
                    whole, strlen(whole) - first, whole + first);
            struct talk *t = talk(in, piece);
            assert_string_equal(codes(t), "250 250 250 250 250 221");
            check_whole(t);
        }
}

static void many_in_one_flight(void **state)
{
    (void)state;
    static char in[32768];
    size_t n = (size_t)sprintf(in, HELLO);
    for (unsigned i = 0; i < 100; i++)
        n += (size_t)sprintf(in + n, MAIL RCPT RCPT "BDAT 4 LAST\r\nabcd");
    struct talk *t = talk(in, n);
    assert_int_equal(t->messages, 100);
    assert_int_equal(strlen(codes(t)), 4 * 401 - 1);
}

static void wrong_orders(void **state)
{
    (void)state;
    static const struct {
        const char *in, *codes;
    } cases[] = {
        {MAIL, "503"},
        {HELLO RCPT, "250 503"},
        {HELLO MAIL MAIL, "250 250 503"},
        {HELLO MAIL "DATA\r\n", "250 250 554"},
        {HELLO MAIL RCPT "RSET\r\nDATA\r\n", "250 250 250 250 503"},
        {HELLO "BDAT 4 LAST\r\nabcdNOOP\r\n", "250 503 250"},
        {HELLO MAIL RCPT "BDAT 1\r\nxDATA\r\n", "250 250 250 250 503"},
        {HELLO MAIL RCPT "BDAT 1\r\nx" RCPT, "250 250 250 250 503"},
        {HELLO MAIL RCPT "BDAT 1\r\nxRSET\r\n" MAIL, "250 250 250 250 250 250"},
        {HELLO MAIL RCPT "BDAT x\r\nNOOP\r\n", "250 250 250 501"},
        {HELLO MAIL RCPT "BDAT 9999999999999\r\nNOOP\r\n", "250 250 250 501"},
        {HELLO "MAIL FROM:a@b\r\nRCPT\r\nmail from:<>\r\n", "250 501 503 250"},
        {HELLO "FOO\r\n\r\nVRFY x\r\nHELO me\r\nEHLOX\r\n", "250 500 500 252 250 500"},
        {"noop\r\nquit\r\nNOOP\r\n", "250 221"},
        {"STARTTLS now\r\n", "501"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t piece = 1; piece < 200; piece += 33)
            assert_string_equal(codes(talk(cases[i].in, piece)), cases[i].codes);
}

static void no_chunking_when_not_offered(void **state)
{
    (void)state;
    static struct talk t;
    begin(&t, true, false);
    const char in[] = HELLO MAIL RCPT "BDAT 4 LAST\r\n";
    give(&t, in, strlen(in), 1000);
    assert_null(strstr(t.said, "CHUNKING"));
    assert_string_equal(codes(&t), "250 250 250 502");
}

static void lines_that_are_too_long(void **state)
{
    (void)state;
    static char in[9000];
    memset(in, 'x', sizeof(in));
    memcpy(in + 8990, "\r\nNOOP\r\n", 9);
    for (size_t piece = 100; piece < 9000; piece += 1111)
        assert_string_equal(codes(talk(in, piece)), "500 250");
}

static void faults_on_request(void **state)
{
    (void)state;
    static struct talk t;
    const char in[] = HELLO MAIL RCPT "DATA\r\nhello\r\n.\r\nNOOP\r\n";
    static const char *const wanted[FARM_STAGES] = {
        [FARM_AT_EHLO] = "451 503 503 503 500 500 250",
        [FARM_AT_MAIL] = "250 451 503 503 500 500 250",
        [FARM_AT_RCPT] = "250 250 451 554 500 500 250",
        [FARM_AT_MESSAGE] = "250 250 250 354 451 250",
    };
    for (unsigned stage = FARM_AT_EHLO; stage < FARM_STAGES; stage++) {
        memset(&t, 0, sizeof(t));
        begin(&t, true, true);
        t.fault[stage] = "451 4.3.0 later";
        give(&t, in, strlen(in), 1000);
        assert_string_equal(codes(&t), wanted[stage]);
        assert_int_equal(t.messages, 0);
    }
}

static void a_421_closes(void **state)
{
    (void)state;
    static struct talk t;
    begin(&t, true, true);
    t.fault[FARM_AT_MAIL] = "421 4.3.2 closing";
    give(&t, HELLO MAIL RCPT, strlen(HELLO MAIL RCPT), 1000);
    assert_string_equal(codes(&t), "250 421");
    assert_int_equal(t.smtp.state, FARM_SMTP_QUIT);
}

static void a_refusing_greeting_is_the_last_word(void **state)
{
    (void)state;
    static struct talk t;
    t.fault[FARM_AT_GREETING] = "554 5.3.2 no";
    t.rules = (struct farm_smtp_rules){&t, true, false, fault, cut, message};
    farm_smtp_open(&t.smtp, &t.rules, "mx1.farm.test", false);
    hear(&t);
    assert_string_equal(codes(&t), "554");
    assert_int_equal(farm_smtp_input(&t.smtp, HELLO, strlen(HELLO)), 0);
}

static void a_cut_instead_of_the_answer(void **state)
{
    (void)state;
    static struct talk t;
    const char in[] = HELLO MAIL RCPT "DATA\r\nhello\r\n.\r\nNOOP\r\n";
    begin(&t, true, true);
    t.cut = true;
    give(&t, in, strlen(in), 1000);
    assert_string_equal(codes(&t), "250 250 250 354");
    assert_int_equal(t.smtp.state, FARM_SMTP_CUT);
    assert_int_equal(t.messages, 0);
}

static void in_a_message_or_not(void **state)
{
    (void)state;
    assert_false(farm_smtp_in_message(&talk(HELLO MAIL RCPT, 99)->smtp));
    assert_true(farm_smtp_in_message(&talk(HELLO MAIL RCPT "DATA\r\n", 99)->smtp));
    assert_true(farm_smtp_in_message(&talk(HELLO MAIL RCPT "BDAT 3\r\nabc", 99)->smtp));
    assert_false(farm_smtp_in_message(&talk(HELLO MAIL RCPT "BDAT 3 LAST\r\nabc", 99)->smtp));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greets_and_offers),
        cmocka_unit_test(starttls_stops_the_reading),
        cmocka_unit_test(data_in_any_cut),
        cmocka_unit_test(chunks_in_any_cut),
        cmocka_unit_test(many_in_one_flight),
        cmocka_unit_test(wrong_orders),
        cmocka_unit_test(no_chunking_when_not_offered),
        cmocka_unit_test(lines_that_are_too_long),
        cmocka_unit_test(faults_on_request),
        cmocka_unit_test(a_421_closes),
        cmocka_unit_test(a_refusing_greeting_is_the_last_word),
        cmocka_unit_test(a_cut_instead_of_the_answer),
        cmocka_unit_test(in_a_message_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
