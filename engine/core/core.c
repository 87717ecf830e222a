/* core.c: a core's memory, its start and stop, and what the control thread may ask of it. */
#include "engine/base/clock.h"
#include "engine/core/core_private.h"

#include <sched.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

/* ---- what arrived, from net to connections ---- */

static void on_segment(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct core *core = ctx;
    (void)ip;
    if (unlikely(time_waits_own(&core->time_waits, flow))) {
        time_waits_segment(&core->time_waits, flow, seg, core->now_us);
        return;
    }
    struct conn *conn = pool_at(&core->connections, flow);
    conn_segment(conn, seg, core->now_us);
    core_mark(core, conn);
}

static void on_icmp_error(void *ctx, uint32_t flow, const struct icmp *icmp)
{
    struct core *core = ctx;
    if (time_waits_own(&core->time_waits, flow))
        return;
    struct conn *conn = pool_at(&core->connections, flow);
    conn_icmp(conn, icmp, core->now_us);
    core_mark(core, conn);
}

static void on_unreachable(void *ctx, uint32_t flow)
{
    struct core *core = ctx;
    if (time_waits_own(&core->time_waits, flow))
        return;
    struct conn *conn = pool_at(&core->connections, flow);
    conn_unreachable(conn, core->now_us);
    core_mark(core, conn);
}

/* ---- open and close ---- */

static size_t job_bytes(const struct core_config *config)
{
    size_t feed_bytes = (feed_job_bytes(&config->feed) + 15) / 16 * 16;
    return offsetof(struct job, feed_job) + feed_bytes +
           config->feed.recipients_max * sizeof(struct smtp_recipient);
}

static bool open_pools(struct core *core, struct error *err)
{
    const struct core_config *c = &core->config;
    uint64_t seed;
    prf_random(&seed, sizeof(seed));
    core->scratch = aligned_alloc(CACHE_LINE, CONN_SCRATCH_BYTES);
    if (!core->scratch)
        return error_set(err, "no memory for a core's buffers");
    return pool_open(&core->connections, "connections", sizeof(struct conn), c->connections_max, err) &&
           time_waits_open(&core->time_waits, c->time_wait_max, c->connections_max, c->tcp.time_wait_us,
                           &core->wheel, err) &&
           pool_open(&core->jobs, "jobs", job_bytes(c), c->jobs_max, err) &&
           dest_table_open(&core->dests, c->destinations_max, c->connections_per_destination, seed, err);
}

static void on_duplicate(void *ctx, const struct ip_addr *addr)
{
    const struct core *core = ctx;
    if (core->config.log.duplicate)
        core->config.log.duplicate(core->config.log.ctx, addr->b);
}

static bool open_net(struct core *core, struct error *err)
{
    struct net_handler handler = {
        .ctx = core,
        .segment = on_segment,
        .icmp_error = on_icmp_error,
        .unreachable = on_unreachable,
        .handoff = handoff_give,
        .share_neighbour = handoff_share_neighbour,
        .duplicate = on_duplicate,
    };
    struct net_config config = core->config.net;
    config.core = core->config.index;
    config.cores = core->config.cores;
    config.flows_max = core->config.connections_max + core->config.time_wait_max;
    prf_random(&config.seed, sizeof(config.seed));
    prf_random(config.hash_key, sizeof(config.hash_key));
    core->net = net_open(&config, core->port, &core->wheel, &core->stats, &handler, err);
    if (core->net)
        net_recycle_from(core->net, &core->time_waits);
    return core->net != NULL;
}

struct core *core_open(const struct core_config *config, struct port *port, struct error *err)
{
    struct core *core = aligned_alloc(CACHE_LINE, (sizeof(*core) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!core) {
        error_set(err, "no memory for core %u", config->index);
        return NULL;
    }
    memset(core, 0, sizeof(*core));
    core->config = *config;
    core->config.smtp.stats = &core->stats;
    core->config.tls.stats = &core->stats;
    core->config.tls.sessions_max = config->connections_max;
    core->port = port;
    core->now_us = clock_now_us();
    list_init(&core->to_run);
    list_init(&core->suspended);
    list_init(&core->lru);
    list_init(&core->all_jobs);
    wheel_init(&core->wheel, core->now_us);
    spsc_init(&core->commands, core->command_slot, CORE_QUEUE_SLOTS);
    spsc_init(&core->detached, core->detached_slot, CORE_QUEUE_SLOTS);
    core->prf = prf_open(err);
    if (!core->prf || !open_pools(core, err) || !open_net(core, err)) {
        core->port = NULL; /* still the caller's */
        core_close(core);
        return NULL;
    }
    return core;
}

void core_close(struct core *core)
{
    if (core->net)
        net_close(core->net);
    if (core->dests.bucket)
        dest_table_close(&core->dests);
    pool_close(&core->jobs);
    time_waits_close(&core->time_waits);
    pool_close(&core->connections);
    if (core->prf)
        prf_close(core->prf);
    for (uint32_t i = 0; i < CORE_MAX; i++) {
        struct handoff_queue *from = core->handoff_from[i];
        for (struct pkt *pkt; from && (pkt = spsc_pop(&from->queue));)
            pkt_frame_free(pkt);
        free(from);
    }
    if (core->port)
        port_close(core->port);
    free(core->scratch);
    free(core);
}

bool core_join(struct core *from, struct core *to, struct error *err)
{
    struct handoff_queue *handoff =
        aligned_alloc(CACHE_LINE, (sizeof(*handoff) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!handoff)
        return error_set(err, "no memory for the hand-off queue from core %u to core %u", from->config.index,
                         to->config.index);
    spsc_init(&handoff->queue, handoff->slot, CORE_QUEUE_SLOTS);
    from->handoff_to[to->config.index] = handoff;
    to->handoff_from[from->config.index] = handoff;
    return true;
}

/* ---- the thread ---- */

static bool pin(int cpu, struct error *err)
{
    if (cpu < 0)
        return true;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0)
        return true;
    return error_set(err, "cannot pin a core to CPU %d; name CPUs of this machine in cores.cpus", cpu);
}

bool core_enter(struct core *core)
{
    struct error *err = &core->start_error;
    if (!pin(core->config.cpu, err) || (core->config.thread_enter && !core->config.thread_enter(err)))
        return false;
    core->tls = tls_core_open(&core->config.tls, err);
    if (!core->tls) {
        if (core->config.thread_leave)
            core->config.thread_leave();
        return false;
    }
    core->env = (struct conn_env){
        .tcp = &core->config.tcp,
        .smtp = &core->config.smtp,
        .tls = core->tls,
        .prf = core->prf,
        .net = core->net,
        .wheel = &core->wheel,
        .pool = core->port->tx_pool,
        .stats = &core->stats,
        .scratch = core->scratch,
        .handshake_timeout_us = core->config.handshake_timeout_ms * 1000,
        .idle_timeout_us = core->config.idle_timeout_ms * 1000,
        .close_timeout_us = core->config.close_timeout_ms * 1000,
        .events = core_conn_events(core),
    };
    list_init(&core->env.line);
    core->env.lap.since = lap_now();
    tls_core_arithmetic(core->tls, core->pub.arithmetic, sizeof(core->pub.arithmetic));
    if (core->config.log.batches)
        core->config.log.batches(core->config.log.ctx, tls_core_batches(core->tls));
    net_announce(core->net, core->now_us);
    return true;
}

/* A port that takes nothing any more has kept the resets of these: their TLS sessions have to go before crypto does. */
static void forget_connections(struct core *core)
{
    for (uint32_t i = 0; i < core->connections.capacity; i++) {
        struct conn *conn = pool_at(&core->connections, i);
        if (conn->env && conn->phase != CONN_GONE)
            conn_gone(conn);
    }
}

void core_leave(struct core *core)
{
    forget_connections(core);
    tap_release(core);
    core_publish(core);
    tls_core_close(core->tls);
    core->tls = NULL;
    if (core->config.thread_leave)
        core->config.thread_leave();
}

void core_run(struct core *core)
{
    if (!core_enter(core)) {
        atomic_store_explicit(&core->state, CORE_START_FAILED, memory_order_release);
        return;
    }
    urcu_qsbr_register_thread();
    atomic_store_explicit(&core->state, CORE_RUNNING, memory_order_release);
    core_loop(core);
    urcu_qsbr_unregister_thread();
    core_leave(core);
    atomic_store_explicit(&core->state, CORE_STOPPED, memory_order_release);
}

/* ---- the control thread's side ---- */

bool core_tell(struct core *core, enum core_command command, void *subject)
{
    assert(((uintptr_t)subject & CORE_COMMAND_MASK) == 0 &&
           (subject || command == CORE_DETACH || command == CORE_DRAIN || command == CORE_STOP));
    return spsc_push(&core->commands, (void *)((uintptr_t)subject | command));
}

struct feed *core_detached(struct core *core)
{
    return spsc_pop(&core->detached);
}

const struct core_public *core_public(const struct core *core)
{
    return &core->pub;
}

int core_started(const struct core *core, struct error *err)
{
    switch (atomic_load_explicit(&core->state, memory_order_acquire)) {
    case CORE_NEW: return 0;
    case CORE_START_FAILED: *err = core->start_error; return -1;
    default: return 1;
    }
}

bool core_stopped(const struct core *core)
{
    int state = atomic_load_explicit(&core->state, memory_order_acquire);
    return state == CORE_STOPPED || state == CORE_START_FAILED;
}
