/* loop.c: the loop of one core, and its phases in their order. */
#include "engine/base/clock.h"
#include "engine/core/core_private.h"

#include <urcu-qsbr.h>

#define HOUSEKEEP_TURNS          256u
#define STOP_WAIT_US             100000u
#define PUBLISH_US               50000u
#define EMPTY_TURNS_BEFORE_SLEEP 4u
#define TIMERS_BURST             512u
#define RECEIVE_BURSTS           32u /* beyond the first one, in a turn: what a ring holds */

/* Lets every marked connection move its bytes; one that is marked meanwhile has its run in this call, too. */
static void run_marked(struct core *core)
{
    for (struct list *it; (it = list_pop(&core->to_run));) {
        struct conn *conn = list_entry(it, struct conn, run);
        conn_run(conn, core->now_us);
        if (conn->phase == CONN_HANDSHAKE && conn->tls && tls_status(conn->tls) == TLS_WANT_WORK &&
            list_empty(&conn->run))
            list_push_tail(&core->suspended, &conn->run);
    }
}

/* False: there may be more. */
static bool receive_burst(struct core *core)
{
    struct pkt *burst[PORT_BURST];
    uint32_t count = port_receive(core->port, burst, PORT_BURST, core->now_us);
    if (count > 0)
        lap_enter(&core->env.lap, LAP_TCP);
    for (uint32_t i = 0; i < count; i++) {
        stat_inc(&core->stats, STAT_port_rx_packets);
        stat_add(&core->stats, STAT_port_rx_bytes, pkt_frame_bytes(burst[i]));
        net_receive(core->net, burst[i], core->now_us);
    }
    core->worked |= count > 0;
    return count < PORT_BURST;
}

/* Where a timer is due, what has arrived is read first: behind a turn that came late it answers most of them. */
static void core_receive(struct core *core)
{
    for (unsigned n = 0; !receive_burst(core) && n < RECEIVE_BURSTS; n++)
        if (wheel_next(&core->wheel) > core->now_us)
            break;
    handoff_take(core);
    run_marked(core);
}

/* Those whose public-key work is done; few are suspended at a time, for eight of a kind are never left waiting. */
static bool resume_suspended(struct core *core)
{
    bool resumed = false;
    list_for_each_safe(it, &core->suspended) {
        struct conn *conn = list_entry(it, struct conn, run);
        if (!tls_work_done(conn->tls))
            continue;
        list_remove(it);
        lap_enter(&core->env.lap, LAP_TLS);
        tls_resume(conn->tls);
        core_mark(core, conn);
        resumed = true;
    }
    core->worked |= resumed;
    return resumed;
}

/* A handshake comes to public-key work twice: its key exchange, and at once its peer's signature. */
#define CRYPTO_PASSES 3u

static void core_crypto(struct core *core)
{
    bool again = true;
    for (unsigned pass = 0; pass < CRYPTO_PASSES && again; pass++) {
        lap_enter(&core->env.lap, LAP_TLS);
        tls_core_work(core->tls, core->now_us);
        again = resume_suspended(core) && tls_core_deadline(core->tls) != DEADLINE_NEVER;
        run_marked(core);
    }
}

/* Nothing else to do: what waits for company is computed without, and its sessions go on in the next turn. */
static void core_spare(struct core *core)
{
    lap_enter(&core->env.lap, LAP_TLS);
    core->worked = tls_core_idle(core->tls);
}

static void fire(struct core *core, struct wheel_timer *timer)
{
    switch (timer->kind) {
    case NET_TIMER: net_timers(core->net, core->now_us); break;
    case CONN_TIMER: {
        struct conn *conn = container_of(timer, struct conn, timer);
        conn_timer(conn, core->now_us);
        if (!conn_can_begin(conn, 1))
            core_unset_idle(conn); /* its idle time is up: it says goodbye */
        core_mark(core, conn);
        break;
    }
    case TIME_WAIT_TIMER: time_waits_expire(&core->time_waits, timer); break;
    case JOB_TIMER: job_deadline(core, container_of(timer, struct job, timer)); break;
    default: assert(false && "a timer of no known kind");
    }
}

static void core_timers(struct core *core)
{
    lap_enter(&core->env.lap, LAP_TCP);
    struct wheel_timer *timer;
    for (uint32_t n = 0; n < TIMERS_BURST && (timer = wheel_expire(&core->wheel, core->now_us)); n++) {
        core->worked = true;
        fire(core, timer);
    }
    run_marked(core);
}

static void core_intake(struct core *core)
{
    lap_enter(&core->env.lap, LAP_INTAKE);
    if (!core->draining && core->feeds > 0 && net_ready(core->net))
        core_take_jobs(core);
    core_schedule(core);
    run_marked(core);
}

static void core_transmit(struct core *core)
{
    lap_enter(&core->env.lap, LAP_TRANSMIT);
    net_transmit_flush(core->net, core->now_us);
    if (likely(list_empty(&core->env.line)))
        return;
    for (struct list *it; net_has_room(core->net) && (it = list_pop(&core->env.line));) {
        core->worked = true;
        core_mark(core, list_entry(it, struct conn, in_line));
        run_marked(core);
    }
    lap_enter(&core->env.lap, LAP_TRANSMIT);
    net_transmit_flush(core->net, core->now_us);
}

static void core_report(struct core *core)
{
    lap_enter(&core->env.lap, LAP_REPORT);
    for (uint32_t i = 0; i < core->feeds; i++)
        feed_flush(core->feed[i], core->config.index);
    for (uint32_t i = 0; i < core->leavings; i++)
        feed_flush(core->leaving[i], core->config.index);
}

/* ---- how it ends ---- */

static bool drained(const struct core *core)
{
    return core->jobs.in_use == 0 && core->connections.in_use == 0;
}

/* Draining: nothing new is taken; idle connections say goodbye, the others when their message is done. */
static void drain(struct core *core)
{
    for (struct list *it; (it = list_head(&core->lru));) {
        struct conn *conn = list_entry(it, struct conn, lru);
        core_unset_idle(conn);
        conn_quit(conn, core->now_us);
        core_mark(core, conn);
        core->worked = true;
    }
    atomic_store_explicit(&core->pub.drained, drained(core), memory_order_release);
}

static void stop(struct core *core)
{
    core->draining = core->stopping = true;
    core->stopping_us = core->now_us;
    core_drop_feed_jobs(core, NULL);
    for (uint32_t i = 0; i < core->connections.capacity; i++) {
        struct conn *conn = pool_at(&core->connections, i);
        if (conn->env == NULL || conn->phase == CONN_GONE)
            continue;
        conn_abort(conn, REASON_SHUTDOWN, "the engine is stopping", core->now_us);
        core_mark(core, conn);
    }
}

/* One whole turn after stop() makes the resets and shows the results; a port that takes nothing is not waited for long. */
bool core_over(const struct core *core)
{
    if (core->turns_stopping > HOUSEKEEP_TURNS && core->now_us - core->stopping_us > STOP_WAIT_US)
        return true;
    return core->turns_stopping > 1 && drained(core) && !net_transmit_waiting(core->net);
}

/* ---- housekeeping: commands, feeds that leave, numbers for others ---- */

static void attach(struct core *core, struct feed *feed)
{
    assert(core->feeds < CORE_FEEDS_MAX);
    core->feed[core->feeds++] = feed;
}

static void detach(struct core *core, struct feed *feed)
{
    for (uint32_t i = 0; i < core->feeds; i++) {
        if (core->feed[i] != feed)
            continue;
        core->feed[i] = core->feed[--core->feeds];
        break;
    }
    core->leaving[core->leavings++] =
        feed; /* also one whose attach never came through: control waits for the answer */
    core_drop_feed_jobs(core, feed);
}

static void obey(struct core *core)
{
    for (void *item; (item = spsc_pop(&core->commands));) {
        enum core_command command = (enum core_command)((uintptr_t)item & CORE_COMMAND_MASK);
        void *subject = (void *)((uintptr_t)item & ~(uintptr_t)CORE_COMMAND_MASK);
        core->worked = true;
        switch (command) {
        case CORE_ATTACH: attach(core, subject); break;
        case CORE_DETACH: detach(core, subject); break;
        case CORE_DRAIN: core->draining = true; break;
        case CORE_STOP: stop(core); break;
        case CORE_TAP: tap_begin(core, subject); break;
        case CORE_LIST: listing_begin(core, subject); break;
        }
    }
}

static void let_feeds_go(struct core *core)
{
    for (uint32_t i = 0; i < core->leavings;) {
        struct feed *feed = core->leaving[i];
        feed_flush(feed, core->config.index); /* the results of the jobs that were just dropped */
        if (feed_in_flight(feed, core->config.index) == 0 && spsc_push(&core->detached, feed))
            core->leaving[i] = core->leaving[--core->leavings];
        else
            i++;
    }
}

void core_publish(struct core *core)
{
    struct core_public *pub = &core->pub;
    const struct pkt_pool *rx = core->port->rx_pool, *tx = core->port->tx_pool;
    pub->stats = core->stats;
    pub->connections = core->connections.in_use;
    pub->connections_max_seen = core->connections.in_use_max;
    pub->jobs = core->jobs.in_use;
    pub->jobs_max_seen = core->jobs.in_use_max;
    pub->destinations = core->dests.pool.in_use;
    pub->destinations_max_seen = core->dests.pool.in_use_max;
    pub->destinations_limited = core->dests.limited;
    pub->time_waits = core->time_waits.pool.in_use;
    pub->time_waits_max_seen = core->time_waits.pool.in_use_max;
    pub->rx_capacity = rx->capacity;
    pub->rx_available = rx->ops->available(core->port->rx_pool);
    pub->rx_exhausted = rx->exhausted;
    pub->tx_capacity = tx->capacity;
    pub->tx_available = tx->available;
    pub->tx_exhausted = tx->exhausted;
    core->published_us = core->now_us;
    atomic_store_explicit(&pub->published_us, core->now_us, memory_order_release);
}

static void tell_of_batches(struct core *core)
{
    const char *complaint = tls_core_complaint(core->tls);
    if (complaint && core->config.log.batch_failed)
        core->config.log.batch_failed(core->config.log.ctx, complaint);
}

static void core_housekeep(struct core *core)
{
    lap_enter(&core->env.lap, LAP_KEEP);
    obey(core);
    let_feeds_go(core);
    if (unlikely(core->tap || core->listing))
        core_look(core);
    if (core->now_us - core->published_us >= PUBLISH_US) {
        handoff_judge(core);
        tls_core_sweep(core->env.tls);
        tell_of_batches(core);
        core_publish(core);
    }
}

/* ---- the loop ---- */

bool core_turn(struct core *core, uint64_t now_us)
{
    core->now_us = now_us;
    core->worked = false;
    pkt_pool_refresh(core->port->tx_pool);
    pkt_pool_refresh(core->port->rx_pool); /* tcp/rxq.c looks at it before it keeps what came */
    core_receive(core);
    core_crypto(core);
    core_timers(core);
    core_intake(core);
    core_transmit(core);
    core_report(core);
    if (!core->worked)
        core_spare(core);
    if (++core->turn % HOUSEKEEP_TURNS == 0 || !core->worked)
        core_housekeep(core);
    if (core->draining)
        drain(core);
    core->turns_stopping += core->stopping;
    stat_inc(&core->stats, STAT_core_turns);
    stat_add(&core->stats, STAT_core_turns_busy, core->worked);
    lap_turn(&core->env.lap, &core->stats, core->worked);
    return core->worked;
}

/* An idle core on a machine that has other things to do sleeps until its next timer, sleep_us at the most. */
static void rest(struct core *core)
{
    if (core->worked) {
        core->idle_turns = 0;
        return;
    }
    if (core->config.idle == CORE_IDLE_POLL || ++core->idle_turns < EMPTY_TURNS_BEFORE_SLEEP)
        return;
    uint64_t wake_us = min_u64(wheel_next(&core->wheel), port_next_deadline(core->port));
    wake_us = min_u64(wake_us, tls_core_deadline(core->tls));
    uint64_t until_us = min_u64(core->now_us + core->config.sleep_us, wake_us);
    if (until_us <= core->now_us)
        return;
    lap_sleep(&core->env.lap, &core->stats, until_us - core->now_us);
}

void core_loop(struct core *core)
{
    while (!core_over(core)) {
        core_turn(core, clock_now_us()); /* the only clock read */
        urcu_qsbr_quiescent_state();     /* no policy pointer is held here */
        rest(core);
    }
}
