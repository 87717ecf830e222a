/* test_farm_check.c: what the farm says of messages that are whole, damaged, repeated, missing and not the generator's. */
#include "tests/unit/cmocka.h"

#include "bench/farm_check.h"

#include <stdlib.h>

#define TEXT "Subject: x\r\n\r\nhello, world\r\n"

static size_t make(char *out, uint32_t run, uint32_t seq, const char *text)
{
    struct message_digest digest;
    struct message_mark mark = {run, seq, (uint32_t)strlen(text), 0};
    message_digest_init(&digest);
    message_digest_add(&digest, text, mark.size);
    mark.digest = message_digest_value(&digest);
    message_head(&mark, out);
    memcpy(out + MESSAGE_HEAD_BYTES, text, mark.size);
    message_tail(&mark, out + MESSAGE_HEAD_BYTES + mark.size);
    return MESSAGE_HEAD_BYTES + mark.size + MESSAGE_TAIL_BYTES;
}

static enum check_verdict give(struct check *check, const char *text, size_t len, size_t cut)
{
    struct check_message message;
    memset(&message, 0x5a, sizeof(message)); /* what the last one has left */
    check_begin(&message);
    for (size_t at = 0; at < len; at += cut)
        check_add(&message, text + at, min_size(cut, len - at));
    return check_end(check, &message);
}

static void whole_in_any_cut(void **state)
{
    (void)state;
    struct check check = {0};
    char text[256];
    for (uint32_t cut = 1; cut < 200; cut++)
        assert_int_equal(give(&check, text, make(text, 9, cut - 1, TEXT), cut), CHECK_GOOD);
    assert_int_equal(check.verdict[CHECK_GOOD], 199);
    assert_int_equal(check.run[0].received, 199);
    assert_int_equal(check_missing(&check.run[0]), 0);
    check_close(&check);
}

static void a_text_of_no_bytes(void **state)
{
    (void)state;
    struct check check = {0};
    char text[256];
    assert_int_equal(give(&check, text, make(text, 1, 0, ""), 5), CHECK_GOOD);
    check_close(&check);
}

static void every_wrong_byte_shows(void **state)
{
    (void)state;
    struct check check = {0};
    char text[256];
    size_t len = make(text, 1, 0, TEXT);
    for (size_t i = 0; i < len; i++) {
        text[i] ^= 1;
        assert_int_not_equal(give(&check, text, len, len), CHECK_GOOD);
        text[i] ^= 1;
    }
    check_close(&check);
}

static void every_wrong_length_shows(void **state)
{
    (void)state;
    struct check check = {0};
    char text[256] = {0};
    size_t len = make(text, 1, 0, TEXT);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(give(&check, text, n, 7), n < MESSAGE_HEAD_BYTES ? CHECK_UNMARKED : CHECK_DAMAGED);
    for (size_t n = len + 1; n < len + 40; n++)
        assert_int_equal(give(&check, text, n, 7), CHECK_DAMAGED);
    assert_int_equal(check.runs, 0);
    check_close(&check);
}

static void two_messages_mixed(void **state)
{
    (void)state;
    struct check check = {0};
    char a[256], b[256];
    size_t len = make(a, 1, 0, TEXT);
    make(b, 1, 1, TEXT);
    memcpy(a + len / 2, b + len / 2, len - len / 2);
    assert_int_equal(give(&check, a, len, 50), CHECK_DAMAGED);
    check_close(&check);
}

static void twice_and_never(void **state)
{
    (void)state;
    struct check check = {0};
    char text[256];
    const uint32_t order[] = {5, 1, 5, 100000, 0, 1};
    const enum check_verdict wanted[] = {CHECK_GOOD, CHECK_GOOD, CHECK_DUPLICATE,
                                         CHECK_GOOD, CHECK_GOOD, CHECK_DUPLICATE};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(give(&check, text, make(text, 3, order[i], TEXT), 99), wanted[i]);
    assert_int_equal(check.run[0].received, 4);
    assert_int_equal(check.run[0].duplicates, 2);
    assert_int_equal(check_missing(&check.run[0]), 100001 - 4);
    check_close(&check);
}

static void runs_are_apart_and_bounded(void **state)
{
    (void)state;
    struct check check = {0};
    char text[256];
    for (uint32_t run = 0; run < CHECK_RUNS_MAX; run++)
        assert_int_equal(give(&check, text, make(text, run, 0, TEXT), 99), CHECK_GOOD);
    assert_int_equal(give(&check, text, make(text, 77, 0, TEXT), 99), CHECK_STRANGE);
    assert_int_equal(give(&check, text, make(text, 0, CHECK_SEQ_MAX, TEXT), 99), CHECK_STRANGE);
    assert_int_equal(give(&check, text, make(text, 0, CHECK_SEQ_MAX - 1, TEXT), 99), CHECK_GOOD);
    check_close(&check);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_in_any_cut),           cmocka_unit_test(a_text_of_no_bytes),
        cmocka_unit_test(every_wrong_byte_shows),     cmocka_unit_test(every_wrong_length_shows),
        cmocka_unit_test(two_messages_mixed),         cmocka_unit_test(twice_and_never),
        cmocka_unit_test(runs_are_apart_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
