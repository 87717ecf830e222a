/* RFC 5321 section 4.2 (replies), 4.5.3.1.5 (their length); RFC 2034 and 3463 (enhanced codes). */
#include "engine/base/rand.h"
#include "engine/smtp/reply.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>

static struct smtp_reply reply;

/* Gives all bytes in chunks; returns the last status other than REPLY_MORE and REPLY_LINE, or the last one. */
static enum reply_status give(const char *bytes, size_t len, size_t chunk)
{
    enum reply_status status = REPLY_MORE;
    smtp_reply_clear(&reply);
    for (size_t at = 0; at < len; at += chunk) {
        struct bytes_in in = bytes_in(bytes + at, min_size(chunk, len - at));
        while (bytes_left(&in)) {
            status = smtp_reply_input(&reply, &in);
            if (status == REPLY_DONE || status == REPLY_BAD)
                return status;
        }
    }
    return status;
}

static enum reply_status give_text(const char *text)
{
    return give(text, strlen(text), SIZE_MAX / 2);
}

static void has_enhanced(unsigned class, unsigned subject, unsigned detail)
{
    assert_int_equal(reply.enhanced[0], class);
    assert_int_equal(reply.enhanced[1], subject);
    assert_int_equal(reply.enhanced[2], detail);
}

static void test_one_line(void **state)
{
    (void)state;
    assert_int_equal(give_text("250 2.1.0 Ok\r\n"), REPLY_DONE);
    assert_int_equal(reply.code, 250);
    assert_int_equal(smtp_reply_class(&reply), 2);
    has_enhanced(2, 1, 0);
    assert_string_equal(reply.text, "Ok");
}

static void test_every_code(void **state)
{
    (void)state;
    for (int code = 0; code < 1000; code++) {
        char line[16];
        snprintf(line, sizeof(line), "%03d x\r\n", code);
        bool sound = code >= 200 && code <= 599;
        assert_int_equal(give_text(line), sound ? REPLY_DONE : REPLY_BAD);
        assert_int_equal(reply.code, sound ? code : 0);
    }
}

static void test_no_codes(void **state)
{
    static const char *const lines[] = {"\r\n",      "\n",         "2\r\n",      "25\r\n",
                                        "25a x\r\n", " 250 x\r\n", "2 50\r\n",   "+250\r\n",
                                        "250x\r\n",  "2500\r\n",   "250\tx\r\n", "ok\r\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_int_equal(give_text(lines[i]), REPLY_BAD);
        assert_non_null(reply.bad);
    }
}

static void test_code_alone(void **state)
{
    (void)state;
    assert_int_equal(give_text("250\r\n"), REPLY_DONE);
    assert_string_equal(reply.text, "");
    assert_int_equal(give_text("250 \r\n"), REPLY_DONE);
    assert_int_equal(give_text("250-\r\n"), REPLY_LINE);
}

static void test_bare_lf(void **state)
{
    (void)state;
    assert_int_equal(give_text("250-a\n250 b\n"), REPLY_DONE);
    assert_string_equal(reply.text, "a b");
}

static void test_cr_in_a_line_is_text(void **state)
{
    (void)state;
    assert_int_equal(give_text("250 a\rb\r\r\n"), REPLY_DONE);
    assert_string_equal(reply.text, "a?b?");
}

static void test_lines_are_given_one_at_a_time(void **state)
{
    (void)state;
    const char *text = "250-first\r\n250-SIZE 10\r\n250 LAST\r\nrest";
    struct bytes_in in = bytes_in(text, strlen(text));
    smtp_reply_clear(&reply);
    assert_int_equal(smtp_reply_input(&reply, &in), REPLY_LINE);
    assert_memory_equal(reply.line_text.data, "first", reply.line_text.len);
    assert_int_equal(smtp_reply_input(&reply, &in), REPLY_LINE);
    assert_int_equal(reply.line_text.len, 7);
    assert_memory_equal(reply.line_text.data, "SIZE 10", 7);
    assert_int_equal(smtp_reply_input(&reply, &in), REPLY_DONE);
    assert_memory_equal(reply.line_text.data, "LAST", 4);
    assert_int_equal(reply.lines, 3);
    assert_int_equal(bytes_left(&in), 4); /* the next reply's bytes stay where they are */
}

static void test_codes_must_agree(void **state)
{
    (void)state;
    assert_int_equal(give_text("250-a\r\n251 b\r\n"), REPLY_BAD);
    assert_int_equal(give_text("250-a\r\n550 b\r\n"), REPLY_BAD);
    assert_int_equal(give_text("550-a\r\n550-b\r\n550 c\r\n"), REPLY_DONE);
}

static void test_line_length(void **state)
{
    (void)state;
    char line[SMTP_LINE_MAX + 2];
    memset(line, 'x', sizeof(line));
    memcpy(line, "250 ", 4);
    memcpy(line + SMTP_LINE_MAX - 2, "\r\n", 2);
    assert_int_equal(give(line, SMTP_LINE_MAX, sizeof(line)), REPLY_DONE);
    assert_int_equal(reply.text_len, OUTCOME_TEXT_MAX - 1);
    memcpy(line + SMTP_LINE_MAX - 2, "x\r\n", 3);
    for (size_t chunk = 1; chunk <= sizeof(line); chunk++)
        assert_int_equal(give(line, SMTP_LINE_MAX + 1, chunk), REPLY_BAD);
    assert_int_equal(give(line, SMTP_LINE_MAX - 1, 7), REPLY_MORE);
}

static void test_number_of_lines(void **state)
{
    (void)state;
    char text[SMTP_REPLY_LINES_MAX * 8 + 16] = "";
    for (int i = 1; i < SMTP_REPLY_LINES_MAX; i++)
        memcpy(text + strlen(text), "250-a\r\n", 8);
    size_t len = strlen(text);
    memcpy(text + len, "250 a\r\n", 8);
    assert_int_equal(give_text(text), REPLY_DONE);
    assert_int_equal(reply.lines, SMTP_REPLY_LINES_MAX);
    memcpy(text + len, "250-a\r\n250 a\r\n", 15);
    assert_int_equal(give_text(text), REPLY_BAD);
}

static void test_number_of_bytes(void **state)
{
    (void)state;
    char text[SMTP_REPLY_BYTES_MAX + 1];
    memset(text, 'x', sizeof(text));
    for (size_t at = 0; at + 512 <= SMTP_REPLY_BYTES_MAX; at += 512) {
        memcpy(text + at, "250-", 4);
        memcpy(text + at + 510, "\r\n", 2);
    }
    text[SMTP_REPLY_BYTES_MAX - 512 + 3] = ' ';
    assert_int_equal(give(text, SMTP_REPLY_BYTES_MAX, 100), REPLY_DONE);
    text[SMTP_REPLY_BYTES_MAX - 512 + 3] = '-';
    assert_int_equal(give(text, SMTP_REPLY_BYTES_MAX, 100), REPLY_LINE);
    assert_int_equal(give(text, SMTP_REPLY_BYTES_MAX + 1, 100), REPLY_BAD);
}

static void test_enhanced_codes(void **state)
{
    static const struct {
        const char *line;
        uint8_t want[3];
        const char *text;
    } cases[] = {
        {"550 5.1.1 unknown\r\n", {5, 1, 1}, "unknown"},
        {"550 5.1.1\r\n", {5, 1, 1}, ""},
        {"550 5.1.1 \r\n", {5, 1, 1}, ""},
        {"550 5.255.255 x\r\n", {5, 255, 255}, "x"},
        {"550 5.256.1 x\r\n", {0, 0, 0}, "5.256.1 x"},
        {"550 5.1.256 x\r\n", {0, 0, 0}, "5.1.256 x"},
        {"550 5.0001.1 x\r\n", {0, 0, 0}, "5.0001.1 x"},
        {"550 4.1.1 x\r\n", {0, 0, 0}, "4.1.1 x"}, /* RFC 2034 section 4: the class must agree */
        {"450 5.1.1 x\r\n", {0, 0, 0}, "5.1.1 x"},
        {"250 5.1.1 x\r\n", {0, 0, 0}, "5.1.1 x"},
        {"354 3.0.0 x\r\n", {3, 0, 0}, "x"},
        {"550 5.1 x\r\n", {0, 0, 0}, "5.1 x"},
        {"550 5..1 x\r\n", {0, 0, 0}, "5..1 x"},
        {"550 .1.1 x\r\n", {0, 0, 0}, ".1.1 x"},
        {"550 5.1.1-x\r\n", {0, 0, 0}, "5.1.1-x"},
        {"550 5.1.\r\n", {0, 0, 0}, "5.1."},
        {"550 127.0.0.1 is listed\r\n", {0, 0, 0}, "127.0.0.1 is listed"},
        {"550-no code\r\n550 5.7.1 here\r\n", {5, 7, 1}, "no code here"},
        {"550-no code\r\n550 5.7.1\r\n", {5, 7, 1}, "no code"},
        {"550-5.7.1 one\r\n550 5.7.2 two\r\n", {5, 7, 1}, "one 5.7.2 two"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(give_text(cases[i].line), REPLY_DONE);
        assert_memory_equal(reply.enhanced, cases[i].want, 3);
        assert_string_equal(reply.text, cases[i].text);
    }
}

/* However the bytes are cut, the same comes out. */
static void test_chunks_make_no_difference(void **state)
{
    static const char alphabet[] = "2550 -.\r\n\r\nax\0";
    struct rand_source rand;
    (void)state;
    rand_seed(&rand, 1);
    for (int round = 0; round < 20000; round++) {
        char bytes[48];
        size_t len = rand_below(&rand, sizeof(bytes));
        for (size_t i = 0; i < len; i++)
            bytes[i] = alphabet[rand_below(&rand, sizeof(alphabet))];
        if (len > 8 && rand_below(&rand, 2))
            memcpy(bytes, "550-x\r\n5", 8);
        enum reply_status whole = give(bytes, len, sizeof(bytes));
        struct smtp_reply kept = reply;
        enum reply_status cut = give(bytes, len, 1 + rand_below(&rand, 5));
        assert_int_equal(cut, whole);
        assert_int_equal(reply.code, kept.code);
        assert_int_equal(reply.lines, kept.lines);
        assert_memory_equal(reply.enhanced, kept.enhanced, 3);
        assert_string_equal(reply.text, kept.text);
        assert_int_equal(strlen(reply.text), reply.text_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_no_codes),
        cmocka_unit_test(test_code_alone),
        cmocka_unit_test(test_bare_lf),
        cmocka_unit_test(test_cr_in_a_line_is_text),
        cmocka_unit_test(test_lines_are_given_one_at_a_time),
        cmocka_unit_test(test_codes_must_agree),
        cmocka_unit_test(test_line_length),
        cmocka_unit_test(test_number_of_lines),
        cmocka_unit_test(test_number_of_bytes),
        cmocka_unit_test(test_enhanced_codes),
        cmocka_unit_test(test_chunks_make_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
