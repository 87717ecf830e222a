/* The published table under readers that never stop: none of them sees one that is gone. */
#include "engine/policy/policy.h"

#include "tests/unit/cmocka.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

#define READERS 2
#define TABLES  300

static _Atomic bool stop;
static _Atomic uint32_t released;
static _Atomic uint64_t reads;
static _Atomic unsigned running;

static struct policy_table *make_table(uint64_t generation)
{
    struct policy_table *table = calloc(1, sizeof(*table));
    table->generation = generation;
    table->rules = 1;
    table->rule = calloc(1, sizeof(*table->rule));
    table->rule->min_version = (uint16_t)generation;
    return table;
}

static void release_table(struct policy_table *table)
{
    table->rule->min_version = 0xdead;
    free(table->rule);
    free(table);
    released++;
}

static void *read_tables(void *arg)
{
    uint64_t last = 0, *faults = arg;
    urcu_qsbr_register_thread();
    running++;
    while (!stop) {
        for (unsigned i = 0; i < 100; i++) {
            const struct policy_table *table = policy_current();
            *faults += table->generation < last || table->rule->min_version != (uint16_t)table->generation;
            last = table->generation;
        }
        reads++;
        urcu_qsbr_quiescent_state();
    }
    urcu_qsbr_unregister_thread();
    return NULL;
}

static void readers_see_whole_tables_in_order(void **state)
{
    (void)state;
    pthread_t reader[READERS];
    uint64_t faults[READERS] = {0};
    policy_publish(make_table(1), release_table);
    assert_int_equal(released, 0);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&reader[i], NULL, read_tables, &faults[i]), 0);
    while (running < READERS)
        sched_yield();
    for (unsigned i = 2; i <= TABLES; i++) {
        policy_publish(make_table(i), release_table);
        assert_int_equal(released, i - 1); /* the old one is gone when publish returns */
    }
    stop = true;
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(reader[i], NULL);
        assert_int_equal(faults[i], 0);
    }
    assert_true(reads > 0);
    assert_int_equal(policy_current()->generation, TABLES);
    policy_publish(NULL, release_table);
    assert_int_equal(released, TABLES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers_see_whole_tables_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
