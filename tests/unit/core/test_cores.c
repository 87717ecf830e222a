/* Two cores whose ports cannot steer: all that arrives comes to the first, the second lives on what it is handed. */
#include "tests/unit/core/world.h"

#include <stdio.h>

static struct world *two_cores(const struct world_options *options, struct mx_host **mx)
{
    struct world_options o = options ? *options : world_defaults();
    o.cores = 2;
    return world_simple(&o, mx);
}

/* A domain of "d1.test" to "d9.test" whose mail goes to that core. */
static const char *address_on(struct world *w, uint32_t core)
{
    static char to[32];
    for (unsigned i = 1; i <= 9; i++) {
        uint64_t before = w->core[core]->stats.v[STAT_core_jobs];
        snprintf(to, sizeof(to), "a@d%u.test", i);
        world_send(w, to);
        world_settle(w, MINUTE);
        if (w->core[core]->stats.v[STAT_core_jobs] > before)
            return to;
    }
    fail_msg("no domain belongs to core %u", core);
    return NULL;
}

/* Messages for the nine domains in turn. */
static void send_all_over(struct world *w, unsigned messages)
{
    for (unsigned i = 0; i < messages; i++) {
        char to[32];
        snprintf(to, sizeof(to), "a@d%u.test", 1 + i % 9);
        world_send(w, to);
    }
}

static void mail_of_both_arrives(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = two_cores(NULL, &mx);
    for (unsigned i = 0; i < 90; i++) {
        char to[32];
        snprintf(to, sizeof(to), "a@d%u.test", 1 + i % 9);
        world_submit(w, &(struct letter){.to = to, .bytes = 5000});
    }
    world_settle(w, MINUTE);
    world_delivered(w, 0, 89);
    for (unsigned i = 0; i < 2; i++)
        assert_true(w->core[i]->stats.v[STAT_core_delivered] > 0);
    assert_true(w->core[0]->stats.v[STAT_net_handoff_out] > 0);
    assert_int_equal(w->core[0]->stats.v[STAT_net_handoff_out], w->core[1]->stats.v[STAT_net_handoff_in]);
    assert_int_equal(world_stat(w, STAT_net_drop_handoff_full), 0);
    assert_int_equal(w->core[1]->stats.v[STAT_port_rx_packets], 0);
    world_close(w);
}

struct told {
    unsigned times;
    uint64_t segments, of;
    bool steered;
};

static void on_misplaced(void *ctx, uint64_t segments, uint64_t of, bool steered)
{
    struct told *told = ctx;
    told->times++;
    told->segments = segments;
    told->of = of;
    told->steered = steered;
}

static void a_port_that_does_not_steer_is_told_of_once(void **state)
{
    (void)state;
    struct told told = {0};
    struct world_options o = world_defaults();
    struct mx_host *mx;
    o.core.log = (struct core_log){.ctx = &told, .misplaced = on_misplaced};
    struct world *w = two_cores(&o, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(told.times, 0); /* too few to say anything */
    send_all_over(w, 90);
    world_settle(w, MINUTE);
    world_run(w, 10 * SECOND);
    assert_int_equal(told.times, 1);
    assert_in_range(told.segments, 32, told.of - 1);
    assert_false(told.steered);
    world_close(w);
}

static void one_core_has_nothing_to_tell(void **state)
{
    (void)state;
    struct told told = {0};
    struct world_options o = world_defaults();
    struct mx_host *mx;
    o.core.log = (struct core_log){.ctx = &told, .misplaced = on_misplaced};
    struct world *w = world_simple(&o, &mx);
    for (unsigned i = 0; i < 90; i++)
        world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_run(w, 10 * SECOND);
    assert_int_equal(told.times, 0);
    world_close(w);
}

static void each_has_source_ports_of_its_own(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = two_cores(NULL, &mx);
    mx->think_us = 20000;
    send_all_over(w, 90);
    world_run(w, 250000);
    for (uint32_t core = 0; core < 2; core++) {
        struct pool *pool = &w->core[core]->connections;
        assert_true(pool->in_use > 2);
        for (uint32_t i = 0; i < pool->capacity; i++) {
            const struct conn *conn = pool_at(pool, i);
            if (conn->env && conn->phase != CONN_GONE)
                assert_int_equal(conn->key.local_port % 2, core);
        }
    }
    world_settle(w, MINUTE);
    world_delivered(w, 0, 89);
    world_close(w);
}

/* The second core asks and can hear no answer itself. */
static void answers_to_arp_are_shared(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = two_cores(NULL, &mx);
    address_on(w, 1);
    world_delivered(w, 0, w->jobs - 1);
    assert_int_equal(w->core[1]->stats.v[STAT_net_arp_requests], 1);
    world_close(w);
}

static bool core_drained(struct world *w, const void *core)
{
    return atomic_load(&core_public(w->core[*(const unsigned *)core])->drained);
}

static void a_drained_core_hands_on(void **state)
{
    (void)state;
    const unsigned zero = 0, one = 1;
    struct mx_host *mx;
    struct world *w = two_cores(NULL, &mx);
    const char *to = address_on(w, 1);
    world_run(w, 10 * SECOND); /* all connections are gone */
    mx->think_us = 100000;
    unsigned n = world_send(w, to);
    world_run(w, 50000);
    world_tell(w, CORE_DRAIN, NULL);
    world_until(w, core_drained, &zero, 10000);
    assert_false(core_drained(w, &one));
    world_until(w, core_drained, &one, MINUTE);
    world_delivered(w, n, n);
    world_close(w);
}

static void both_stop(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = two_cores(NULL, &mx);
    mx->think_us = 50000;
    send_all_over(w, 36);
    world_run(w, 220000);
    unsigned standing = mx->standing;
    assert_true(standing >= 2);
    world_stop(w);
    world_run(w, 200000);
    assert_int_equal(mx->standing, 0);
    assert_int_equal(mx->resets, standing);
    world_close(w);
}

static void a_feed_is_let_go_by_both(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = two_cores(NULL, &mx);
    mx->think_us = 20000;
    send_all_over(w, 18);
    world_run(w, 50000);
    world_detach(w, 0);
    assert_int_equal(w->results_owed, 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_of_both_arrives),
        cmocka_unit_test(a_port_that_does_not_steer_is_told_of_once),
        cmocka_unit_test(one_core_has_nothing_to_tell),
        cmocka_unit_test(each_has_source_ports_of_its_own),
        cmocka_unit_test(answers_to_arp_are_shared),
        cmocka_unit_test(a_drained_core_hands_on),
        cmocka_unit_test(both_stop),
        cmocka_unit_test(a_feed_is_let_go_by_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
