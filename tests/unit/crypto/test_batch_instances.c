/* An engine with instances: each core tells it which is its own, on its own thread; it is polled by the core's turns alone. */
#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/crypto/toy_engine.h"
#include "tests/unit/cmocka.h"

#include <dirent.h>
#include <pthread.h>

enum { OPS = 8, INSTANCES = 2, CORES = 4 };

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Asserts of cmocka's are for its own thread: here it is counted what went wrong. */
struct one_core {
    uint32_t core;
    unsigned wrong;
    struct stats stats;
    struct batch *batch;
};

static struct batch *open_core(struct one_core *c)
{
    struct error err;
    const struct batch_config config = {.ops_max = OPS,
                                        .break_even = 1,
                                        .stats = &c->stats,
                                        .backend = "engine:" TOY_ENGINE,
                                        .require = true,
                                        .core = c->core,
                                        .no_vectors = true};
    return batch_open(&config, &err);
}

static void put_all(struct one_core *c)
{
    struct batch_pair own;
    for (unsigned i = 0; i < OPS; i++) {
        bool ok = batch_pair_take(c->batch, BATCH_P256, &own);
        c->wrong += !ok || !batch_derive(c->batch, BATCH_P256, &own, (struct span){own.point, 65}, NULL, 0);
    }
}

static unsigned take_all(struct batch *b)
{
    unsigned good = 0;
    for (struct batch_op *op; (op = batch_ready(b)); batch_done(b, op))
        good += op->result == BATCH_GOOD;
    return good;
}

static bool by_me(pthread_t thread)
{
    return pthread_equal(thread, pthread_self());
}

static void *run_core(void *arg)
{
    struct one_core *c = arg;
    c->batch = open_core(c);
    if (!c->batch) {
        c->wrong++;
        return NULL;
    }
    const unsigned open = descriptors(), told = toy_engine.told, polls = toy_engine.polls;
    put_all(c);
    c->wrong += toy_engine.told != told || toy_engine.polls != polls || toy_engine.started > 0;
    toy_engine.silent = true;
    for (unsigned i = 0; i < 4; i++)
        batch_run(c->batch, 1);
    c->wrong += toy_engine.polls != polls + 4; /* a turn, a poll */
    c->wrong += toy_engine_suspended() != OPS || toy_engine.ended > 0 ||
                batch_ready(c->batch); /* none resumed early */
    c->wrong += descriptors() != open;
    toy_engine.silent = false;
    batch_run(c->batch, 1);
    batch_run(c->batch, 1);
    c->wrong += take_all(c->batch) != OPS || toy_engine.ended != OPS;
    c->wrong += toy_engine.told != told + 1 || toy_engine.instance != (long)(c->core % INSTANCES);
    c->wrong += !by_me(toy_engine.told_by) || !by_me(toy_engine.polled_by) || !by_me(toy_engine.started_by) ||
                !by_me(toy_engine.ended_by);
    batch_close(c->batch);
    return NULL;
}

/* One after the other: the engine of the tests is for one thread at a time. */
static void each_core_is_told_its_instance(void **state)
{
    (void)state;
    for (uint32_t core = 0; core < CORES; core++) {
        struct one_core c = {.core = core};
        pthread_t thread;
        toy_engine_reset();
        assert_int_equal(pthread_create(&thread, NULL, run_core, &c), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(c.wrong, 0);
        assert_int_equal(c.stats.v[STAT_tls_batch_device], OPS);
        assert_int_equal(c.stats.v[STAT_tls_batch_redone], 0);
    }
}

static void with_instances_cores_are_beside_each_other(void **state)
{
    (void)state;
    struct one_core c[CORES] = {0};
    for (uint32_t i = 0; i < CORES; i++) {
        c[i].core = i;
        c[i].batch = open_core(&c[i]);
        assert_non_null(c[i].batch);
    }
    for (uint32_t i = 0; i < CORES; i++)
        batch_close(c[i].batch);
}

/* How many instances there are is asked when it is loaded. */
static int setup(void **state)
{
    (void)state;
    toy_engine_add();
    toy_engine.instances = INSTANCES;
    struct one_core c = {0};
    struct batch *b = open_core(&c);
    batch_close(b);
    return b == NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_core_is_told_its_instance),
        cmocka_unit_test(with_instances_cores_are_beside_each_other),
    };
    return cmocka_run_group_tests(tests, setup, toy_engine_teardown);
}
