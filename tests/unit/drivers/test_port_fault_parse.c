/* test_port_fault_parse.c: faults as text. */
#include "ports.h"

static void every_key_is_read(void **state)
{
    (void)state;
    struct error err;
    struct port_faults f;
    assert_true(port_fault_parse("drop=1%,duplicate=0.5%,reorder=25ppm,corrupt=0.0001%,hold=3ms,delay=20ms,"
                                 "jitter=1.5s,seed=18446744073709551615",
                                 &f, &err));
    assert_int_equal(f.drop_ppm, 10000);
    assert_int_equal(f.duplicate_ppm, 5000);
    assert_int_equal(f.reorder_ppm, 25);
    assert_int_equal(f.corrupt_ppm, 1);
    assert_int_equal(f.reorder_us, 3000);
    assert_int_equal(f.delay_us, 20000);
    assert_int_equal(f.jitter_us, 1500000);
    assert_true(f.seed == UINT64_MAX);
}

static void empty_is_no_faults(void **state)
{
    (void)state;
    static const struct port_faults none;
    struct error err;
    struct port_faults f;
    memset(&f, 0xff, sizeof(f));
    assert_true(port_fault_parse("", &f, &err));
    assert_memory_equal(&f, &none, sizeof(f));
}

static void nonsense_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "drop",
        "drop=",
        "drop=1",
        "drop=%",
        "drop=101%",
        "drop=-1%",
        "drop= 1%",
        "drop=nan%",
        "drop=1e99%",
        "drop=1ms",
        "delay=1%",
        "delay=20",
        "delay=3601s",
        "lose=1%",
        "=1%",
        "seed=",
        "seed=-1",
        "seed=1x",
        "seed=99999999999999999999",
        "drop=1%,",
        ",drop=1%",
        "drop=1%,,x=1",
        "drop=1%;seed=1",
        "DROP=1%",
        "delay=00000000000000000000000000000000000000000000000000000000000000000000001ms",
    };
    struct error err;
    struct port_faults f, before;
    memset(&before, 0x5a, sizeof(before));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        f = before;
        err.text[0] = '\0';
        if (port_fault_parse(bad[i], &f, &err))
            fail_msg("\"%s\" was taken", bad[i]);
        assert_memory_equal(&f, &before, sizeof(f));
        assert_true(strlen(err.text) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(empty_is_no_faults),
        cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests_name("port_fault_parse", tests, NULL, NULL);
}
