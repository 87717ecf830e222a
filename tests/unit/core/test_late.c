/* A turn that comes late: what has arrived meanwhile is heard before a timer speaks. */
#include "tests/unit/core/world.h"

#define MANY    100u /* more answers than a burst of the port */
#define LATE_US 300000u

static void send_all(struct world *w)
{
    for (unsigned i = 0; i < MANY; i++)
        world_send(w, "a@d1.test");
}

static struct world *crowded(struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.core.connections_max = o.core.connections_per_destination = MANY;
    o.core.smtp.messages_ahead = 1;
    struct world *w = world_simple(&o, mx);
    (*mx)->think_us = 100000;
    send_all(w);
    world_settle(w, MINUTE);
    (*mx)->think_us = 0;
    assert_int_equal(w->core[0]->connections.in_use, MANY);
    return w;
}

static void answers_that_wait_in_the_ring_stop_timers(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = crowded(&mx);
    uint64_t sent = world_stat(w, STAT_tcp_segments_out), fired = world_stat(w, STAT_tcp_rto_fired),
             again = world_stat(w, STAT_tcp_retransmits);
    send_all(w);
    for (unsigned i = 0; i < 100 && world_stat(w, STAT_tcp_segments_out) < sent + MANY; i++)
        core_turn(w->core[0], w->now_us += 10);
    for (unsigned i = 0; i < LATE_US / 1000; i++)
        mx_turn(&w->mx, w->now_us += 1000);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 2 * MANY - 1);
    assert_int_equal(world_stat(w, STAT_tcp_rto_fired), fired);
    assert_int_equal(world_stat(w, STAT_tcp_retransmits), again);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_that_wait_in_the_ring_stop_timers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
