/* Every value in a bucket that is near it, percentiles that are somebody's value. */
#include "tests/unit/cmocka.h"

#include "bench/histogram.h"
#include "engine/base/rand.h"

#include <stdlib.h>
#include <string.h>

static struct histogram h;

static int clear(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    return 0;
}

static void buckets_follow_each_other_without_gaps(void **state)
{
    (void)state;
    for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t most = histogram_value(i);
        assert_int_equal(histogram_bucket(most), i);
        assert_int_equal(histogram_bucket(most + 1), i + 1);
    }
}

static void a_bucket_is_at_most_a_sixtyfourth_wide(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t width = histogram_value(i) - histogram_value(i - 1);
        assert_true(width == 1 || width * HISTOGRAM_STEPS <= histogram_value(i));
    }
}

static void what_is_beyond_the_end_counts_in_the_last(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    histogram_add(&h, UINT64_MAX);
    assert_int_equal(h.count[HISTOGRAM_BUCKETS - 1], 1);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void percentiles_are_those_of_the_sorted_values(void **state)
{
    (void)state;
    static uint64_t value[10000];
    struct rand_source r;
    rand_seed(&r, 7);
    for (size_t i = 0; i < ARRAY_LEN(value); i++) {
        value[i] = rand_u64(&r) >> (24 + rand_below(&r, 40));
        histogram_add(&h, value[i]);
    }
    qsort(value, ARRAY_LEN(value), sizeof(*value), by_size);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t exact = value[ARRAY_LEN(value) * percent / 100 - 1], got = histogram_at(&h, percent / 100.0);
        assert_in_range(got, exact, exact + exact / HISTOGRAM_STEPS);
    }
    assert_int_equal(h.least, value[0]);
    assert_int_equal(h.most, value[ARRAY_LEN(value) - 1]);
    assert_int_equal(histogram_at(&h, 1), h.most);
}

static void nothing_seen_is_zero(void **state)
{
    (void)state;
    assert_int_equal(histogram_at(&h, 0.5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(buckets_follow_each_other_without_gaps, clear),
        cmocka_unit_test_setup(a_bucket_is_at_most_a_sixtyfourth_wide, clear),
        cmocka_unit_test_setup(what_is_beyond_the_end_counts_in_the_last, clear),
        cmocka_unit_test_setup(percentiles_are_those_of_the_sorted_values, clear),
        cmocka_unit_test_setup(nothing_seen_is_zero, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
