/* A port that takes nothing for a while: connections wait in line, and none asks again before there is room. */
#include "tests/unit/core/world.h"

#define MANY    100u
#define BYTES   20000u /* of them all: more frames than net queues for the port */
#define SHUT_US 100000u

static const struct port_ops *real_ops;
static struct port_ops shut_ops;
static uint64_t open_us;

static uint32_t shut_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    return now_us < open_us ? 0 : real_ops->transmit(port, pkt, count, now_us);
}

static void shut(struct world *w, uint64_t us)
{
    real_ops = w->port[0]->ops;
    shut_ops = *real_ops;
    shut_ops.transmit = shut_transmit;
    w->port[0]->ops = &shut_ops;
    open_us = w->now_us + us;
}

static void send_all(struct world *w, size_t bytes)
{
    for (unsigned i = 0; i < MANY; i++)
        world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = bytes});
}

/* Connections that idle, as many as there will be messages. */
static struct world *crowded(struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.core.connections_max = o.core.connections_per_destination = MANY;
    o.core.smtp.messages_ahead = 1;
    o.core.smtp.chunking = true;
    o.core.smtp.chunk_ahead_bytes = 2 * BYTES;
    struct world *w = world_simple(&o, mx);
    (*mx)->chunking = true; /* the body leaves without waiting for an answer */
    (*mx)->think_us = 100000;
    send_all(w, 300);
    world_settle(w, MINUTE);
    (*mx)->think_us = 0;
    assert_int_equal(w->core[0]->connections.in_use, MANY);
    return w;
}

static void who_finds_the_port_full_asks_once(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = crowded(&mx);
    shut(w, SHUT_US);
    send_all(w, BYTES);
    world_run(w, SHUT_US - 1);
    assert_in_range(world_stat(w, STAT_conn_port_full), 1,
                    2 * MANY); /* a timer of TCP's may have asked, too */
    assert_int_equal(world_stat(w, STAT_port_tx_drop_full), 0);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 2 * MANY - 1);
    world_close(w);
}

/* What is queued is lost then; who waits in line comes next, and TCP's timers see to the others. */
static void a_port_that_is_shut_for_long_is_survived(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = crowded(&mx);
    shut(w, SECOND);
    send_all(w, BYTES);
    world_run(w, SECOND - 1);
    assert_true(world_stat(w, STAT_port_tx_drop_full) > 0);
    assert_in_range(world_stat(w, STAT_conn_port_full), 1, 10 * MANY);
    world_settle(w, 5 * MINUTE);
    world_delivered(w, 0, 2 * MANY - 1);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_finds_the_port_full_asks_once),
        cmocka_unit_test(a_port_that_is_shut_for_long_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
