/* A core as its owner sees it: opened, started in a thread of its own, told to stop; and what cannot start. */
#include "tests/unit/core/world.h"

#include "engine/base/clock.h"

#include <unistd.h>
#include <urcu-qsbr.h>

/* A core that nobody is at the other end of. */
struct lone {
    struct port *port[2];
    struct core *core;
    struct error err;
    pthread_t thread;
};

static bool open_lone(struct lone *l, const struct core_config *config)
{
    assert_true(port_sim_pair(l->port, 64, 1500, &l->err));
    l->core = core_open(config, l->port[0], &l->err);
    return l->core != NULL;
}

static struct core_config lone_config(void)
{
    struct core_config c = world_defaults().core;
    c.cores = 1;
    c.feed = pair_shape();
    return c;
}

static void *run(void *core)
{
    core_run(core);
    return NULL;
}

static void start(struct lone *l)
{
    assert_int_equal(core_started(l->core, &l->err), 0);
    assert_int_equal(pthread_create(&l->thread, NULL, run, l->core), 0);
    for (unsigned tries = 0; tries < 5000 && core_started(l->core, &l->err) == 0; tries++)
        usleep(1000);
}

static void end(struct lone *l)
{
    pthread_join(l->thread, NULL);
    assert_true(core_stopped(l->core));
    core_close(l->core);
    port_close(l->port[1]);
}

static bool wait_until(bool (*holds)(const struct core *core), const struct core *core)
{
    for (unsigned tries = 0; tries < 5000 && !holds(core); tries++)
        usleep(1000);
    return holds(core);
}

static bool says_drained(const struct core *core)
{
    return atomic_load(&core_public(core)->drained);
}

static void runs_drains_and_stops(void **state)
{
    (void)state;
    struct lone l;
    struct core_config c = lone_config();
    assert_true(open_lone(&l, &c));
    start(&l);
    assert_int_equal(core_started(l.core, &l.err), 1);
    assert_false(core_stopped(l.core));
    assert_true(core_tell(l.core, CORE_DRAIN, NULL));
    assert_true(wait_until(says_drained, l.core));
    assert_false(core_stopped(l.core)); /* others may need the frames that it receives */
    assert_true(core_tell(l.core, CORE_STOP, NULL));
    end(&l);
}

static bool has_slept(const struct core *core)
{
    return core_public(core)->stats.v[STAT_core_sleeps] > 10;
}

static void an_idle_core_may_sleep(void **state)
{
    (void)state;
    struct lone l;
    struct core_config c = lone_config();
    c.idle = CORE_IDLE_SLEEP;
    c.sleep_us = 50;
    assert_true(open_lone(&l, &c));
    start(&l);
    assert_true(wait_until(has_slept, l.core));
    assert_true(core_tell(l.core, CORE_STOP, NULL));
    end(&l);
}

static void keep(struct policy_table *table)
{
    (void)table;
}

/* A job that needs no network has its result by way of the real loop. */
static void jobs_have_results_in_real_time(void **state)
{
    (void)state;
    struct lone l;
    struct pair pair = {0};
    struct hl_result result;
    struct hl_error error;
    static struct policy_table table;
    struct core_config c = lone_config();
    urcu_qsbr_register_thread();
    urcu_qsbr_thread_offline();
    policy_publish(&table, keep);
    assert_true(open_lone(&l, &c));
    start(&l);
    pair_open(&pair, NULL);
    assert_true(core_tell(l.core, CORE_ATTACH, pair.engine));
    struct hl_job job = pair_job(7);
    assert_int_equal(hl_submit(pair.producer, &job, &error), 0);
    for (unsigned tries = 0; tries < 50 && hl_reap(pair.producer, &result, 1, &error) == 0; tries++)
        hl_wait(pair.producer, 100, &error);
    assert_int_equal(result.cookie, 7);
    assert_int_equal(result.verdict, HL_DEFERRED);
    assert_int_equal(result.reason, HL_REASON_NO_ROUTE);
    assert_true(core_tell(l.core, CORE_STOP, NULL));
    end(&l);
    pair_close(&pair);
    policy_publish(NULL, keep);
    urcu_qsbr_unregister_thread();
}

static void a_cpu_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct lone l;
    struct core_config c = lone_config();
    c.cpu = CPU_SETSIZE - 1;
    assert_true(open_lone(&l, &c));
    start(&l);
    assert_int_equal(core_started(l.core, &l.err), -1);
    assert_non_null(strstr(l.err.text, "cores.cpus"));
    end(&l);
}

static unsigned entered, left;

static bool count_enter(struct error *err)
{
    (void)err;
    entered++;
    return true;
}

static bool refuse_enter(struct error *err)
{
    return error_set(err, "no room for this thread");
}

static void count_leave(void)
{
    left++;
}

static void a_thread_that_the_driver_refuses(void **state)
{
    (void)state;
    struct lone l;
    struct core_config c = lone_config();
    c.thread_enter = refuse_enter;
    c.thread_leave = count_leave;
    left = 0;
    assert_true(open_lone(&l, &c));
    start(&l);
    assert_int_equal(core_started(l.core, &l.err), -1);
    assert_string_equal(l.err.text, "no room for this thread");
    end(&l);
    assert_int_equal(left, 0);
}

/* Whatever fails behind it, the thread is signed off as often as it was signed on. */
static void a_tls_engine_that_is_not_there(void **state)
{
    (void)state;
    struct lone l;
    struct core_config c = lone_config();
    c.thread_enter = count_enter;
    c.thread_leave = count_leave;
    c.tls.engine = "no-such-engine";
    c.tls.backend_require = true;
    entered = left = 0;
    assert_true(open_lone(&l, &c));
    start(&l);
    assert_int_equal(core_started(l.core, &l.err), -1);
    assert_non_null(strstr(l.err.text, "no-such-engine"));
    end(&l);
    assert_int_equal(entered, 1);
    assert_int_equal(left, 1);
}

static void a_core_that_cannot_open_leaves_the_port_alone(void **state)
{
    (void)state;
    struct lone l;
    struct core_config c = lone_config();
    c.net.addresses = 0;
    assert_false(open_lone(&l, &c));
    assert_true(l.err.text[0]);
    port_close(l.port[0]);
    port_close(l.port[1]);
}

static void a_full_command_queue_says_so(void **state)
{
    (void)state;
    struct lone l;
    struct core_config c = lone_config();
    unsigned told = 0;
    assert_true(open_lone(&l, &c));
    while (told < 2 * CORE_QUEUE_SLOTS && core_tell(l.core, CORE_DRAIN, NULL))
        told++;
    assert_true(told > 0 && told <= CORE_QUEUE_SLOTS);
    core_close(l.core);
    port_close(l.port[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_drains_and_stops),
        cmocka_unit_test(an_idle_core_may_sleep),
        cmocka_unit_test(jobs_have_results_in_real_time),
        cmocka_unit_test(a_cpu_that_is_not_there_is_told),
        cmocka_unit_test(a_thread_that_the_driver_refuses),
        cmocka_unit_test(a_tls_engine_that_is_not_there),
        cmocka_unit_test(a_core_that_cannot_open_leaves_the_port_alone),
        cmocka_unit_test(a_full_command_queue_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
