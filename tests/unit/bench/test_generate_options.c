/* Sizes with weights, and what is not one; every option that is wrong is an end with EX_USAGE. */
#include "tests/unit/cmocka.h"

#include "bench/generate.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static struct generate_options o;

static void sizes_are_read_with_their_weights(void **state)
{
    (void)state;
    struct error err;
    assert_true(generate_sizes_read(&o, "2k:50,20k:40,1M:10", &err));
    assert_int_equal(o.sizes, 3);
    assert_int_equal(o.size[0].bytes, 2000);
    assert_int_equal(o.size[1].bytes, 20000);
    assert_int_equal(o.size[2].bytes, 1000000);
    assert_float_equal(o.size[0].up_to, 0.5, 1e-9);
    assert_float_equal(o.size[1].up_to, 0.9, 1e-9);
    assert_true(o.size[2].up_to == 1);
}

static void one_size_needs_no_weight(void **state)
{
    (void)state;
    struct error err;
    assert_true(generate_sizes_read(&o, "10k", &err));
    assert_int_equal(o.sizes, 1);
    assert_int_equal(o.size[0].bytes, 10000);
    assert_true(o.size[0].up_to == 1);
}

static void what_is_no_size_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "k",       "10x",      "10k:",   "10k:0", "10k:-1",
                                      "10k,",  "199",     "2e9",      ",10k",   "nan",   "10k:nan",
                                      "10k;5", "10k:1:2", "10k 200k", "10k:inf"};
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (generate_sizes_read(&o, bad[i], &err))
            fail_msg("\"%s\" was taken", bad[i]);
}

static int read_one(const char *option, const char *value)
{
    char program[] = "generate", first[64], second[64];
    char *argv[] = {program, first, second, NULL};
    snprintf(first, sizeof(first), "%s", option);
    snprintf(second, sizeof(second), "%s", value);
    return generate_options_read(&o, *value ? 3 : 2, argv);
}

static void options_are_read(void **state)
{
    (void)state;
    assert_int_equal(read_one("--rate", "2500.5"), -1);
    assert_float_equal(o.rate, 2500.5, 1e-9);
    assert_int_equal(read_one("--destinations", "10000"), -1);
    assert_int_equal(o.destinations, 10000);
    assert_int_equal(read_one("--spread", "zipf:1.1"), -1);
    assert_float_equal(o.zipf, 1.1, 1e-9);
    assert_int_equal(read_one("--copy", ""), -1);
    assert_true(o.copy);
    assert_float_equal(o.rate, 0, 1e-9); /* nothing is left of an earlier reading */
}

static void wrong_options_end_it(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"--rate", "0"},         {"--rate", "fast"}, {"--destinations", "10001"}, {"--destinations", "0"},
        {"--messages", "1.5"},   {"--seconds", "0"}, {"--spread", "zipf"},        {"--spread", "zipf:0"},
        {"--run", "4294967295"}, {"--size", "1"},    {"--no-such", ""},           {"something", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (read_one(bad[i][0], bad[i][1]) != EX_USAGE)
            fail_msg("%s %s was taken", bad[i][0], bad[i][1]);
}

static void failed_is_all_that_was_not_delivered(void **state)
{
    (void)state;
    static struct generate_phase phase;
    phase.submitted = 10;
    phase.done = 9;
    phase.verdict[HL_DELIVERED] = 7;
    phase.verdict[HL_DEFERRED] = 2;
    assert_int_equal(generate_failed(&phase), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read_with_their_weights),
        cmocka_unit_test(one_size_needs_no_weight),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(wrong_options_end_it),
        cmocka_unit_test(failed_is_all_that_was_not_delivered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
