/* RFC 3629 (UTF-8), and what may stand in a log line. */
#include "engine/smtp/text.h"
#include "tests/unit/cmocka.h"

static void takes(const char *bytes, size_t len, size_t want, uint32_t character)
{
    uint32_t c = 0xdead;
    assert_int_equal(smtp_utf8_take((const uint8_t *)bytes, len, &c), want);
    if (want)
        assert_int_equal(c, character);
}

static void test_utf8_smallest_and_largest_of_each_form(void **state)
{
    (void)state;
    takes("\x00", 1, 1, 0);
    takes("\x7f", 1, 1, 0x7f);
    takes("\xc2\x80", 2, 2, 0x80);
    takes("\xdf\xbf", 2, 2, 0x7ff);
    takes("\xe0\xa0\x80", 3, 3, 0x800);
    takes("\xef\xbf\xbf", 3, 3, 0xffff);
    takes("\xf0\x90\x80\x80", 4, 4, 0x10000);
    takes("\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff);
}

static void test_utf8_refused(void **state)
{
    (void)state;
    takes("", 0, 0, 0);
    takes("\x80", 1, 0, 0);             /* a continuation alone */
    takes("\xc0\x80", 2, 0, 0);         /* overlong NUL */
    takes("\xc1\xbf", 2, 0, 0);         /* overlong */
    takes("\xe0\x9f\xbf", 3, 0, 0);     /* overlong */
    takes("\xf0\x8f\xbf\xbf", 4, 0, 0); /* overlong */
    takes("\xed\xa0\x80", 3, 0, 0);     /* a surrogate */
    takes("\xf4\x90\x80\x80", 4, 0, 0); /* above U+10FFFF */
    takes("\xf8\x88\x80\x80", 4, 0, 0); /* a form of five */
    takes("\xe2\x82", 2, 0, 0);         /* cut */
    takes("\xe2\x82\xac", 2, 0, 0);     /* the rest is not ours to read */
    takes("\xe2(\xa1", 3, 0, 0);        /* broken in the middle */
}

static void becomes(const char *from, size_t len, const char *want)
{
    char text[64];
    size_t used = smtp_text_append(text, sizeof(text), 0, (const uint8_t *)from, len);
    assert_string_equal(text, want);
    assert_int_equal(used, strlen(want));
}

static void test_controls_become_question_marks(void **state)
{
    (void)state;
    becomes("a\0b\tc\x1b[0m\x7f", 10, "a?b?c?[0m?");
    becomes("\xc2\x85|\xc2\x9f|\xc2\xa0", 8, "?|?|\xc2\xa0"); /* C1 controls, and the first that is none */
}

static void test_direction_overrides_become_question_marks(void **state)
{
    (void)state;
    becomes("\xe2\x80\xaa\xe2\x80\xae\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\xa8", 15, "?????");
}

static void test_bytes_that_are_no_utf8_one_by_one(void **state)
{
    (void)state;
    becomes("\xff\xe2\x82z", 4, "???z");
}

static void test_cut_between_characters(void **state)
{
    (void)state;
    char text[6];
    size_t used = smtp_text_append(text, sizeof(text), 0, (const uint8_t *)"abc\xe2\x82\xac", 6);
    assert_string_equal(text, "abc"); /* the euro sign would need 6 and a NUL */
    assert_int_equal(used, 3);
    used = smtp_text_append(text, sizeof(text), used, (const uint8_t *)"defg", 4);
    assert_string_equal(text, "abcde");
    assert_int_equal(used, 5);
    assert_int_equal(smtp_text_append(text, sizeof(text), used, (const uint8_t *)"h", 1), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_smallest_and_largest_of_each_form),
        cmocka_unit_test(test_utf8_refused),
        cmocka_unit_test(test_controls_become_question_marks),
        cmocka_unit_test(test_direction_overrides_become_question_marks),
        cmocka_unit_test(test_bytes_that_are_no_utf8_one_by_one),
        cmocka_unit_test(test_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
