/* Keyed numbers: the same input gives the same number, another key another, and they look like chance. */
#include "crypto/prf.h"
#include "tests/unit/cmocka.h"

static void the_same_input_the_same_number(void **state)
{
    (void)state;
    struct error err;
    struct prf *prf = prf_open(&err);
    assert_non_null(prf);
    uint64_t a = prf_u64(prf, "192.0.2.1:25", 12), b = prf_u64(prf, "192.0.2.1:26", 12);
    assert_true(a != b);
    assert_true(prf_u64(prf, "192.0.2.1:25", 12) == a);
    assert_true(prf_u64(prf, "192.0.2.1:26", 12) == b);
    assert_true(prf_u64(prf, "", 0) != prf_u64(prf, "\0", 1));
    prf_close(prf);
    prf_close(NULL);
}

static void another_key_another_number(void **state)
{
    (void)state;
    struct error err;
    struct prf *one = prf_open(&err), *two = prf_open(&err);
    assert_true(prf_u64(one, "x", 1) != prf_u64(two, "x", 1));
    prf_close(one);
    prf_close(two);
}

/* Every bit of the answer changes for half of the inputs: within 6 sigma of 10,000 throws. */
static void bits_are_balanced(void **state)
{
    (void)state;
    enum { THROWS = 10000 };
    struct error err;
    struct prf *prf = prf_open(&err);
    unsigned ones[64] = {0};
    for (uint32_t i = 0; i < THROWS; i++) {
        uint64_t v = prf_u64(prf, &i, sizeof(i));
        for (unsigned bit = 0; bit < 64; bit++)
            ones[bit] += (unsigned)(v >> bit & 1);
    }
    for (unsigned bit = 0; bit < 64; bit++)
        assert_in_range(ones[bit], THROWS / 2 - 300, THROWS / 2 + 300);
    prf_close(prf);
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    prf_random(a, sizeof(a));
    prf_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    prf_random(a, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_input_the_same_number),
        cmocka_unit_test(another_key_another_number),
        cmocka_unit_test(bits_are_balanced),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
