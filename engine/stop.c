/* stop.c: what the control thread does while the engine runs, and how it comes to its end. */
#include "engine/engine.h"

#include "engine/base/clock.h"
#include "engine/control/log.h"

#include <stdio.h>

/* ---- rules ---- */

bool engine_publish_policy(struct hl_engine *engine, const struct config *config, struct error *err)
{
    struct policy_table *table;
    if (!config_policy(config, engine->policy_generation + 1, &table, err))
        return false;
    engine->policy_generation++;
    policy_publish(table, config_policy_free);
    return true;
}

static void log_problem(const struct config_report *report, const char *what)
{
    for (uint32_t i = 0; i < report->count; i++)
        log_warning("%s: %s", what, report->problem[i].text);
}

static struct config_source source_of(const struct hl_engine *engine)
{
    return (struct config_source){
        .path = engine->options.config_file,
        .override = engine->options.set,
        .overrides = (uint32_t)engine->options.sets,
    };
}

/* What is live is taken over; what is not keeps its running value and is named in the log. */
static void take_over(struct hl_engine *engine, struct config *fresh)
{
    struct config *now = &engine->config;
    struct config_tls_rule *old_rules = now->tls_rule; /* the old lists are freed with the rest of fresh */
    struct policy_route *old_routes = now->route;
    struct policy_net *old_networks = now->allow_network;
    struct config_feed_user *old_users = now->feed.user;
    now->tls_rules = fresh->tls_rules;
    now->tls_rule = fresh->tls_rule;
    now->routes = fresh->routes;
    now->route = fresh->route;
    now->allow_networks = fresh->allow_networks;
    now->allow_network = fresh->allow_network;
    now->feed.users = fresh->feed.users;
    now->feed.user = fresh->feed.user;
    fresh->tls_rule = old_rules;
    fresh->route = old_routes;
    fresh->allow_network = old_networks;
    fresh->feed.user = old_users;
    memcpy(now->crypto.ca_file, fresh->crypto.ca_file, sizeof(now->crypto.ca_file));
    now->run.log_level = fresh->run.log_level;
}

bool engine_reload(struct hl_engine *engine, struct error *err)
{
    static struct config fresh; /* some hundred KiB: not for the stack; the control thread alone is here */
    static struct config_report report;
    struct config_source source = source_of(engine);
    report = (struct config_report){0};
    if (!config_load_from(&source, &fresh, &report)) {
        log_problem(&report, "reload refused");
        return error_set(err, "%s (%u problem%s; everything stays as it was)", report.problem[0].text,
                         report.count + report.more, report.count + report.more == 1 ? "" : "s");
    }
    if (!engine_publish_policy(engine, &fresh, err)) {
        config_free(&fresh);
        return error_prefix(err, "everything stays as it was");
    }
    report = (struct config_report){0};
    if (!config_same_but_live(&engine->config, &fresh, &report))
        log_problem(&report, "takes a restart");
    take_over(engine, &fresh);
    config_free(&fresh);
    log_set_level((enum log_level)engine->config.run.log_level);
    log_notice("reloaded: rules generation %llu, %u tls rules, %u routes",
               (unsigned long long)engine->policy_generation, engine->config.tls_rules,
               engine->config.routes);
    return true;
}

static void on_reload(void *ctx)
{
    struct error err;
    if (!log_reopen(&err))
        log_warning("%s", err.text);
    if (!engine_reload(ctx, &err))
        log_error("reload: %s", err.text);
}

/* ---- the end ---- */

void engine_drain(void *ctx)
{
    struct hl_engine *engine = ctx;
    if (engine->state != ENGINE_RUNNING)
        return;
    engine->state = ENGINE_DRAINING;
    engine->drain_until_us = clock_now_us() + engine->config.run.drain_us;
    log_notice("draining: no new jobs; at most %llu s for what is in flight",
               (unsigned long long)(engine->config.run.drain_us / 1000000));
    engine_tell_cores(engine, CORE_DRAIN, NULL);
}

void engine_stop_now(void *ctx)
{
    struct hl_engine *engine = ctx;
    if (engine->state == ENGINE_STOPPING || engine->state == ENGINE_STOPPED)
        return;
    engine->state = ENGINE_STOPPING;
    for (uint32_t i = 0; i < engine->cores; i++)
        engine->given_up |= core_public(engine->core[i].core)->jobs > 0;
    log_notice("stopping now%s",
               engine->given_up ? ": jobs in flight are given up, each with its result" : "");
    engine_tell_cores(engine, CORE_STOP, NULL);
}

static void on_dump(void *ctx)
{
    engine_dump_status(ctx);
}

static void on_wake(void *ctx)
{
    struct hl_engine *engine = ctx;
    int asked = atomic_load(&engine->stop_asked);
    if (asked == 2)
        engine_stop_now(engine);
    else if (asked == 1)
        engine_drain(engine);
}

struct control_events engine_control_events(struct hl_engine *engine)
{
    return (struct control_events){
        .ctx = engine,
        .drain = engine_drain,
        .stop_now = engine_stop_now,
        .reload = on_reload,
        .dump = on_dump,
        .wake = on_wake,
    };
}

static void look_at_drain(struct hl_engine *engine, uint64_t now_us)
{
    bool drained = true;
    for (uint32_t i = 0; i < engine->cores; i++)
        drained &= atomic_load_explicit(&core_public(engine->core[i].core)->drained, memory_order_acquire);
    if (drained) {
        engine->state = ENGINE_STOPPING;
        engine_tell_cores(engine, CORE_STOP, NULL);
    } else if (now_us >= engine->drain_until_us) {
        log_warning("run.drain-s is over");
        engine_stop_now(engine);
    }
}

void engine_tick(void *ctx, uint64_t now_us)
{
    struct hl_engine *engine = ctx;
    for (uint32_t i = 0; i < engine->cores; i++)
        log_queue_drain(&engine->core[i].log, now_us);
    log_tick(now_us);
    engine_collect_feeds(engine);
    engine_collect_taps(engine);
    engine_collect_listings(engine);
    if (engine->state == ENGINE_DRAINING)
        look_at_drain(engine, now_us);
    if (engine_cores_stopped(engine)) {
        engine->state = ENGINE_STOPPED;
        control_stop(engine->control);
        return;
    }
    control_timer_arm(engine->control, &engine->tick, now_us + TICK_US);
}
