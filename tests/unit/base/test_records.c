/* test_records.c: records come out as they went in, in order; a full ring refuses; two threads. */
#include "engine/base/records.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static bool put(struct records *r, uint32_t len, uint8_t fill)
{
    uint8_t *room = records_reserve(r, len);
    if (!room)
        return false;
    assert_int_equal((uintptr_t)room % 8, 0);
    memset(room, fill, len);
    records_commit(r);
    return true;
}

static void expect(struct records *r, uint32_t len, uint8_t fill)
{
    uint32_t got;
    const uint8_t *record = records_first(r, &got);
    assert_non_null(record);
    assert_int_equal(got, len);
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(record[i], fill);
    records_drop(r);
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    struct records r;
    struct error err;
    uint32_t len;
    assert_true(records_open(&r, 1024, &err));
    assert_null(records_first(&r, &len));
    for (uint32_t n = 0; n < 5000; n++) {
        assert_true(put(&r, n % 200, (uint8_t)n));
        assert_true(put(&r, n % 7, (uint8_t)(n + 1)));
        expect(&r, n % 200, (uint8_t)n);
        expect(&r, n % 7, (uint8_t)(n + 1));
        assert_null(records_first(&r, &len));
    }
    records_close(&r);
}

static void a_full_ring_refuses_until_there_is_room(void **state)
{
    (void)state;
    struct records r;
    struct error err;
    unsigned in = 0;
    assert_true(records_open(&r, 1024, &err));
    assert_null(records_reserve(&r, 1024)); /* can never be had */
    while (put(&r, 92, (uint8_t)in))
        in++;
    assert_int_equal(in, 9); /* 104 bytes each; the end of the ring is too short for a tenth */
    expect(&r, 92, 0);
    expect(&r, 92, 1);
    assert_true(put(&r, 92, 9));
    assert_true(put(&r, 92, 10));
    assert_false(put(&r, 92, 11));
    for (unsigned n = 2; n < 11; n++)
        expect(&r, 92, (uint8_t)n);
    records_close(&r);
}

#define PASSED 200000u

static void *produce(void *arg)
{
    struct records *r = arg;
    for (uint32_t n = 0; n < PASSED;) {
        uint32_t len = 4 + n % 61;
        uint8_t *room = records_reserve(r, len);
        if (!room)
            continue;
        memset(room, (uint8_t)n, len);
        memcpy(room, &n, sizeof(n));
        records_commit(r);
        n++;
    }
    return NULL;
}

static void two_threads_agree(void **state)
{
    (void)state;
    struct records r;
    struct error err;
    pthread_t thread;
    assert_true(records_open(&r, 4096, &err));
    assert_int_equal(pthread_create(&thread, NULL, produce, &r), 0);
    for (uint32_t n = 0; n < PASSED;) {
        uint32_t len, number;
        const uint8_t *record = records_first(&r, &len);
        if (!record)
            continue;
        memcpy(&number, record, sizeof(number));
        if (number != n || len != 4 + n % 61 || (len > 4 && record[len - 1] != (uint8_t)n))
            fail_msg("record %u: number %u, %u bytes", n, number, len);
        records_drop(&r);
        n++;
    }
    pthread_join(thread, NULL);
    records_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(a_full_ring_refuses_until_there_is_room),
        cmocka_unit_test(two_threads_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
