/* status.c: what the admin socket shows. */
#include "engine/engine.h"

#include "engine/base/clock.h"
#include "engine/control/eal.h"
#include "engine/control/log.h"
#include "engine/control/privilege.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {"open", "starting", "running", "draining", "stopping", "stopped"};

static void fill_core(struct admin_core *to, const struct hl_engine *engine, uint32_t index)
{
    const struct core_public *pub = core_public(engine->core[index].core);
    const struct config_limits *limits = &engine->config.limits;
    to->cpu = engine->config.cores.cpu[index];
    to->published_us = atomic_load_explicit(&pub->published_us, memory_order_acquire);
    to->stats = pub->stats;
    to->connections = pub->connections;
    to->jobs = pub->jobs;
    to->destinations_limited = pub->destinations_limited;
    to->pool[to->pools++] = (struct admin_pool){.name = "connections",
                                                .capacity = limits->connections,
                                                .in_use = pub->connections,
                                                .in_use_max = pub->connections_max_seen};
    to->pool[to->pools++] = (struct admin_pool){.name = "jobs",
                                                .capacity = limits->jobs_in_flight,
                                                .in_use = pub->jobs,
                                                .in_use_max = pub->jobs_max_seen};
    to->pool[to->pools++] = (struct admin_pool){.name = "destinations",
                                                .capacity = limits->destinations,
                                                .in_use = pub->destinations,
                                                .in_use_max = pub->destinations_max_seen};
    to->pool[to->pools++] = (struct admin_pool){.name = "time-waits",
                                                .capacity = limits->time_wait,
                                                .in_use = pub->time_waits,
                                                .in_use_max = pub->time_waits_max_seen};
    to->pool[to->pools++] = (struct admin_pool){.name = "tx-buffers",
                                                .capacity = pub->tx_capacity,
                                                .in_use = pub->tx_capacity - pub->tx_available,
                                                .exhausted = pub->tx_exhausted};
    to->pool[to->pools++] = (struct admin_pool){.name = "rx-buffers",
                                                .capacity = pub->rx_capacity,
                                                .in_use = pub->rx_capacity - pub->rx_available,
                                                .exhausted = pub->rx_exhausted};
}

static void fill(void *ctx, struct admin_status *status)
{
    struct hl_engine *engine = ctx;
    status->version = hl_engine_version();
    status->state = state_names[engine->state];
    status->uptime_us = clock_now_us() - engine->started_us;
    status->config = engine->config.origin;
    status->port = engine->port_text;
    status->eal = engine->eal_text;
    status->accelerator = engine->accelerator_text;
    status->policy_generation = engine->policy_generation;
    status->policy_rules = engine->config.tls_rules;
    status->policy_routes = engine->config.routes;
    status->cores = engine->cores;
    for (uint32_t i = 0; i < engine->cores; i++) {
        fill_core(&status->core[i], engine, i);
        status->log_dropped += atomic_load_explicit(&engine->core[i].log.dropped, memory_order_relaxed);
    }
    engine_fill_feeds(engine, status);
}

static bool reload(void *ctx, struct error *err)
{
    return engine_reload(ctx, err);
}

/* ---- answers that come in time ---- */

static bool begin(void *ctx, const struct admin_request *request, struct error *err)
{
    struct hl_engine *engine = ctx;
    if (engine->state != ENGINE_RUNNING && engine->state != ENGINE_DRAINING)
        return error_set(err, "the engine is %s: there is nothing to look at", state_names[engine->state]);
    return request->command == ADMIN_CAPTURE ? engine_begin_capture(engine, request, err)
                                             : engine_begin_listing(engine, request, err);
}

static char *more(void *ctx, enum admin_command command, size_t *len, bool *over)
{
    return command == ADMIN_CAPTURE ? engine_more_capture(ctx, len, over)
                                    : engine_more_listing(ctx, len, over);
}

static void finish(void *ctx, enum admin_command command)
{
    if (command == ADMIN_CAPTURE)
        engine_finish_capture(ctx);
    else
        engine_finish_listing(ctx);
}

bool engine_open_admin(struct hl_engine *engine, struct error *err)
{
    const struct config_run *run = &engine->config.run;
    if (!run->admin_socket[0])
        return true;
    uint32_t uid, gid = UINT32_MAX;
    if (engine->options.own_process && !privilege_find(run->user, run->group, &uid, &gid, err))
        return error_prefix(err, "run.group");
    struct admin_source source = {.ctx = engine,
                                  .status = fill,
                                  .reload = reload,
                                  .drain = engine_drain,
                                  .stop = engine_stop_now,
                                  .begin = begin,
                                  .more = more,
                                  .finish = finish};
    engine->admin = admin_open(engine->control, run->admin_socket, run->admin_mode, gid, hl_engine_version(),
                               &source, err);
    if (!engine->admin)
        return error_prefix(err, "run.admin-socket");
    return true;
}

void engine_dump_status(struct hl_engine *engine)
{
    struct stats sum = {{0}};
    for (uint32_t i = 0; i < engine->cores; i++)
        for (int s = 0; s < STAT_COUNT; s++)
            sum.v[s] += core_public(engine->core[i].core)->stats.v[s];
    for (int s = 0; s < STAT_COUNT; s++)
        if (sum.v[s])
            log_notice("status: %s %llu", stat_name((enum stat_id)s), (unsigned long long)sum.v[s]);
}
