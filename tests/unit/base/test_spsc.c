/* The queue between two threads: full, empty, and a million pointers in order. */
#include "engine/base/spsc.h"
#include "tests/unit/cmocka.h"

#include <pthread.h>
#include <sched.h>

#define MANY 1000000u

static void full_and_empty(void **state)
{
    (void)state;
    void *slot[4];
    struct spsc q;
    spsc_init(&q, slot, 4);
    assert_null(spsc_pop(&q));
    for (uintptr_t i = 1; i <= 4; i++)
        assert_true(spsc_push(&q, (void *)i));
    assert_false(spsc_push(&q, (void *)5));
    assert_ptr_equal(spsc_pop(&q), (void *)1);
    assert_true(spsc_push(&q, (void *)5));
    for (uintptr_t i = 2; i <= 5; i++)
        assert_ptr_equal(spsc_pop(&q), (void *)i);
    assert_null(spsc_pop(&q));
}

static void *produce(void *arg)
{
    for (uintptr_t i = 1; i <= MANY; i++)
        while (!spsc_push(arg, (void *)i))
            sched_yield();
    return NULL;
}

static void a_million_in_order(void **state)
{
    (void)state;
    static void *slot[256];
    static struct spsc q;
    pthread_t producer;
    spsc_init(&q, slot, 256);
    assert_int_equal(pthread_create(&producer, NULL, produce, &q), 0);
    for (uintptr_t want = 1; want <= MANY;) {
        void *got = spsc_pop(&q);
        if (got)
            assert_ptr_equal(got, (void *)want++);
        else
            sched_yield();
    }
    pthread_join(producer, NULL);
    assert_null(spsc_pop(&q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_and_empty),
        cmocka_unit_test(a_million_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
