/* RFC 5321 section 4.1.1.1 (keywords), RFC 1870 section 4 (SIZE). */
#include "engine/smtp/ehlo.h"
#include "tests/unit/cmocka.h"

static struct smtp_offer offer_of(const char *line)
{
    struct smtp_offer offer = {0};
    smtp_ehlo_line(&offer, (struct span){(const uint8_t *)line, strlen(line)});
    return offer;
}

static void test_each_keyword(void **state)
{
    static const struct {
        const char *line;
        uint32_t extensions;
    } cases[] = {
        {"PIPELINING", EXT_PIPELINING},
        {"pipelining", EXT_PIPELINING},
        {"8BITMIME", EXT_8BITMIME},
        {"8bitMime", EXT_8BITMIME},
        {"SIZE 100", EXT_SIZE},
        {"ENHANCEDSTATUSCODES", EXT_ENHANCEDSTATUSCODES},
        {"STARTTLS", EXT_STARTTLS},
        {"SMTPUTF8", EXT_SMTPUTF8},
        {"DSN", EXT_DSN},
        {"CHUNKING", EXT_CHUNKING},
        {"AUTH PLAIN LOGIN", EXT_AUTH},
        {"STARTTLS please", EXT_STARTTLS},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(offer_of(cases[i].line).extensions, cases[i].extensions);
}

static void test_what_is_no_keyword(void **state)
{
    static const char *const lines[] = {"",           " STARTTLS",  "STARTTLSX", "XSTARTTLS",
                                        "STARTTL",    "STARTTLS\r", "DSN\t",     "HELP",
                                        "AUTH=LOGIN", "SIZE=10",    "-DSN",      "START TLS"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(offer_of(lines[i]).extensions, 0);
}

static void test_keyword_with_a_nul(void **state)
{
    struct smtp_offer offer = {0};
    (void)state;
    smtp_ehlo_line(&offer, (struct span){(const uint8_t *)"STARTTLS\0X", 10});
    smtp_ehlo_line(&offer, (struct span){(const uint8_t *)"STARTTLS\0", 9});
    assert_int_equal(offer.extensions, 0);
}

static void test_size(void **state)
{
    static const struct {
        const char *line;
        uint64_t size;
    } cases[] = {
        {"SIZE", 0},
        {"SIZE ", 0},
        {"SIZE 0", 0},
        {"SIZE 1", 1},
        {"size  52428800 ", 52428800},
        {"SIZE 18446744073709551615", UINT64_MAX},
        {"SIZE 18446744073709551616", 0}, /* more than can be: no limit told */
        {"SIZE 99999999999999999999", 0},
        {"SIZE -1", 0},
        {"SIZE 10k", 0},
        {"SIZE 10 20", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct smtp_offer offer = offer_of(cases[i].line);
        assert_true(smtp_offers(&offer, EXT_SIZE));
        assert_int_equal(offer.size_max_bytes, cases[i].size);
    }
}

static void test_offers_add_up(void **state)
{
    struct smtp_offer offer = {0};
    (void)state;
    smtp_ehlo_line(&offer, (struct span){(const uint8_t *)"SIZE 10", 7});
    smtp_ehlo_line(&offer, (struct span){(const uint8_t *)"DSN", 3});
    smtp_ehlo_line(&offer, (struct span){(const uint8_t *)"XSIZE 9", 7});
    assert_int_equal(offer.extensions, EXT_SIZE | EXT_DSN);
    assert_int_equal(offer.size_max_bytes, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_keyword),       cmocka_unit_test(test_what_is_no_keyword),
        cmocka_unit_test(test_keyword_with_a_nul), cmocka_unit_test(test_size),
        cmocka_unit_test(test_offers_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
