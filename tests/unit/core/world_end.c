/* world_end.c: how a world ends, and what every one is held to. */
#include "tests/unit/core/world_private.h"

#include <stdlib.h>

void world_tell(struct world *w, enum core_command command, struct feed *feed)
{
    for (unsigned i = 0; i < w->cores; i++)
        assert_true(core_tell(w->core[i], command, feed));
}

static bool all_detached(struct world *w, const void *arg)
{
    unsigned *left = *(unsigned *const *)arg;
    for (unsigned i = 0; i < w->cores; i++)
        for (struct feed *feed; (feed = core_detached(w->core[i]));)
            (*left)--;
    return *left == 0;
}

void world_detach(struct world *w, unsigned feed)
{
    unsigned left = w->cores, *at = &left;
    world_tell(w, CORE_DETACH, w->feed[feed]);
    world_until(w, all_detached, &at, 20 * MINUTE);
    for (unsigned i = 0; i < w->cores; i++)
        assert_int_equal(feed_in_flight(w->feed[feed], i), 0);
    w->feed[feed] = NULL;
    mail_reap(w);
}

void world_abandon(struct world *w, unsigned feed)
{
    world_detach(w, feed);
    pair_kill_engine(&w->pair);
    world_give_up(w);
}

void world_give_up(struct world *w)
{
    struct hl_error error;
    mail_reap(w);
    for (unsigned f = 0; f < w->feeds; f++)
        if (hl_feed_give_up(w->producer[f], &error) != 0)
            fail_msg("%s", error.text);
    mail_reap(w);
}

static bool all_over(struct world *w, const void *unused)
{
    (void)unused;
    bool over = true;
    for (unsigned i = 0; i < w->cores; i++)
        over &= core_over(w->core[i]);
    return over;
}

void world_stop(struct world *w)
{
    world_tell(w, CORE_STOP, NULL);
    world_until(w, all_over, NULL, SECOND);
    mail_reap(w);
    w->stopped = true;
}

static bool all_drained(struct world *w, const void *unused)
{
    (void)unused;
    bool drained = true;
    for (unsigned i = 0; i < w->cores; i++)
        drained &= atomic_load(&core_public(w->core[i])->drained);
    return drained;
}

static void check_nothing_left(struct world *w)
{
    for (unsigned i = 0; i < w->cores; i++) {
        struct core *core = w->core[i];
        assert_int_equal(core->jobs.in_use, 0);
        assert_int_equal(core->connections.in_use, 0);
        assert_int_equal(core->dests.pool.in_use, 0);
        for (unsigned f = 0; f < w->feeds; f++)
            assert_int_equal(w->feed[f] ? feed_in_flight(w->feed[f], i) : 0, 0);
    }
}

/* Frames of receivers that do not know yet that it is over come and go for a while. */
static bool packets_are_back(struct world *w, const void *unused)
{
    (void)unused;
    struct pkt_pool *pool = w->core[0]->port->tx_pool;
    pkt_pool_refresh(pool);
    return pool->available == pool->capacity;
}

/* What is still on its way to somebody who does not receive any more. */
static void empty_wire(struct port *port, uint64_t now_us)
{
    struct pkt *pkt;
    while (port_receive(port, &pkt, 1, now_us))
        pkt_free(pkt);
}

static void free_world(struct world *w)
{
    struct port *far = w->mx.port;
    mx_close(&w->mx);
    empty_wire(far, w->now_us);
    for (unsigned i = 0; i < w->cores; i++)
        core_close(w->core[i]);
    port_close(far);
    for (unsigned f = 0; f < w->feeds; f++)
        if (w->producer[f])
            hl_feed_detach(w->producer[f]);
    pair_close(&w->pair);
    policy_publish(NULL, world_release_table);
    free(w->sent);
    free(w);
}

void world_close(struct world *w)
{
    if (!w->stopped) {
        world_settle(w, 20 * MINUTE);
        world_tell(w, CORE_DRAIN, NULL);
        world_until(w, all_drained, NULL, 2 * MINUTE);
        world_run(w, 5 * SECOND); /* ARP gives up what it holds, receivers end their connections */
    }
    check_nothing_left(w);
    if (!w->stopped) {
        world_until(w, packets_are_back, NULL, MINUTE);
        world_stop(w);
    }
    mail_check(w);
    for (unsigned i = 0; i < w->cores; i++) {
        empty_wire(w->core[i]->port, w->now_us);
        core_leave(w->core[i]);
    }
    free_world(w);
}
