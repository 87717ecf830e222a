/* hardline.c: the public interface: open, start in the order of privilege.h, run, close in the reverse order. */
#include "engine/engine.h"

#include "engine/base/clock.h"
#include "engine/control/eal.h"
#include "engine/control/log.h"
#include "engine/control/privilege.h"
#include "engine/control/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum hl_engine_result fail(enum hl_engine_result result, const struct error *err,
                                  char out[HL_ENGINE_ERROR_MAX])
{
    if (out)
        snprintf(out, HL_ENGINE_ERROR_MAX, "%s", err->text);
    return result;
}

/* ---- open ---- */

static struct config_source source_of(const struct hl_engine_options *options)
{
    return (struct config_source){
        .path = options->config_file, .override = options->set, .overrides = (uint32_t)options->sets};
}

enum hl_engine_result hl_engine_open(const struct hl_engine_options *options, struct hl_engine **engine,
                                     char error[HL_ENGINE_ERROR_MAX])
{
    struct error err;
    *engine = NULL;
    if (options->size != sizeof(*options)) {
        error_set(&err,
                  "struct hl_engine_options of %zu bytes, this library has %zu: compile against its header",
                  options->size, sizeof(*options));
        return fail(HL_ENGINE_CONFIG, &err, error);
    }
    struct hl_engine *e = calloc(1, sizeof(*e));
    struct config_report *report = calloc(1, sizeof(*report));
    if (!e || !report) {
        free(e);
        free(report);
        error_set(&err, "no memory");
        return fail(HL_ENGINE_MACHINE, &err, error);
    }
    e->options = *options;
    struct config_source source = source_of(options);
    e->config_loaded = config_load_from(&source, &e->config, report);
    if (!e->config_loaded) {
        uint32_t others = report->count + report->more - 1;
        err = report->problem[0];
        if (others)
            snprintf(err.text + strlen(err.text), sizeof(err.text) - strlen(err.text),
                     " (and %u more: see hardlined --check)", others);
        free(report);
        free(e);
        return fail(HL_ENGINE_CONFIG, &err, error);
    }
    free(report);
    *engine = e;
    return HL_ENGINE_OK;
}

/* ---- start: the steps of privilege.h ---- */

static void eal_line(void *ctx, enum eal_log_level level, const char *line)
{
    (void)ctx;
    log_write(level == EAL_LOG_ERROR     ? LOG_LEVEL_ERROR
              : level == EAL_LOG_WARNING ? LOG_LEVEL_WARNING
                                         : LOG_LEVEL_DEBUG,
              "dpdk: %s", line);
}

/* Memory for DPDK: the packets, what descriptors and drivers take, and some air.  On ordinary pages a buffer does not
 * cross a page: half as many fit.
 */
static uint32_t memory_mb(const struct config *config, uint64_t huge_free_mb)
{
    if (config->memory.megabytes)
        return config->memory.megabytes;
    uint64_t mb = config_packet_bytes(config) / 1000000 * 5 / 4 + 64;
    bool huge = config->memory.huge == CONFIG_HUGE_REQUIRE ||
                (config->memory.huge == CONFIG_HUGE_AUTO && huge_free_mb >= mb);
    return (uint32_t)(huge ? mb : mb * 2);
}

static bool start_eal(struct hl_engine *engine, struct error *err)
{
    const struct config *c = &engine->config;
    uint64_t free_mb = eal_hugepages_free_mb();
    struct eal_config eal = {
        .app = "hardlined",
        .memory_mb = memory_mb(c, free_mb),
        .no_huge = c->memory.huge == CONFIG_HUGE_NO,
        .device = c->port.device,
        .crypto_device = engine_crypto_device(c),
        .log = eal_line,
    };
    if (c->memory.huge == CONFIG_HUGE_REQUIRE && free_mb < eal.memory_mb)
        return error_set(
            err,
            "memory.huge = \"require\": %u MiB of huge pages are needed and %llu are free; reserve more "
            "(sysctl vm.nr_hugepages) or set memory.huge = \"auto\"",
            eal.memory_mb, (unsigned long long)free_mb);
    if (!eal_start(&eal, err))
        return false;
    engine->eal_started = true;
    eal_describe(engine->eal_text, sizeof(engine->eal_text));
    log_info("dpdk: %s", engine->eal_text);
    return true;
}

static bool write_pid_file(const char *path, struct error *err)
{
    if (!path[0])
        return true;
    FILE *file = fopen(path, "we");
    if (!file || fprintf(file, "%d\n", getpid()) < 0 || fclose(file) != 0)
        return error_set(err, "run.pid-file %s: %s", path, strerror(errno));
    return true;
}

static void warn_of_key_log(const struct config *config)
{
    if (config->run.key_log[0])
        log_warning(
            "TLS KEY LOGGING IS ON: whoever reads %s can read all mail sent from now on; unset run.key-log",
            config->run.key_log);
}

static bool take_what_needs_root(struct hl_engine *engine, struct error *err)
{
    const struct config *c = &engine->config;
    if (!log_open(c->run.log, (enum log_level)c->run.log_level, err))
        return false;
    warn_of_key_log(c);
    return start_eal(engine, err) && engine_open_ports(engine, err) && engine_open_accelerator(engine, err) &&
           engine_open_cores(engine, err) && engine_publish_policy(engine, c, err) &&
           engine_open_feeds(engine, err) && engine_open_admin(engine, err) &&
           write_pid_file(c->run.pid_file, err);
}

static bool give_up_root(struct hl_engine *engine, struct error *err)
{
    const struct config *c = &engine->config;
    struct error why;
    if (c->memory.lock && !privilege_lock_memory(&why))
        log_warning("%s", why.text);
    if (!engine->options.own_process)
        return true;
    uint32_t uid, gid;
    if (privilege_find(c->run.user, c->run.group, &uid, &gid, &why))
        log_give(uid, gid);
    if (!privilege_drop(c->run.user, c->run.group, err))
        return false;
    return !c->run.seccomp || sandbox_process(err);
}

static bool begin(struct hl_engine *engine, struct error *err)
{
    if (!engine_start_cores(engine, err))
        return false;
    if (engine->options.own_process && engine->config.run.seccomp && !sandbox_control(err))
        return false;
    engine->state = ENGINE_RUNNING;
    control_timer_init(&engine->tick, engine_tick, engine);
    control_timer_arm(engine->control, &engine->tick, clock_now_us() + TICK_US);
    return true;
}

static bool watch_feeds(struct hl_engine *engine, struct error *err)
{
    if (!engine->feeds)
        return true;
    return control_add_fd(engine->control, &engine->feeds_fd, feed_server_fd(engine->feeds), EPOLLIN,
                          engine_feeds_readable, engine, err);
}

enum hl_engine_result hl_engine_start(struct hl_engine *engine, char error[HL_ENGINE_ERROR_MAX])
{
    struct error err;
    struct control_events events = engine_control_events(engine);
    bool own = engine->options.own_process != 0;
    engine->state = ENGINE_STARTING;
    engine->started_us = clock_now_us();

    if (own && !privilege_harden(&err))
        return fail(HL_ENGINE_RIGHTS, &err, error);
    engine->control = control_open(&events, own, &err);
    if (!engine->control || !take_what_needs_root(engine, &err))
        return fail(geteuid() ? HL_ENGINE_RIGHTS : HL_ENGINE_MACHINE, &err, error);
    if (!give_up_root(engine, &err))
        return fail(HL_ENGINE_RIGHTS, &err, error);
    if (!watch_feeds(engine, &err) || !begin(engine, &err))
        return fail(HL_ENGINE_MACHINE, &err, error);
    log_notice("hardlined %s: %u core%s on %s, feed %s", hl_engine_version(), engine->cores,
               engine->cores == 1 ? "" : "s", engine->port_text,
               engine->config.feed.socket[0] ? engine->config.feed.socket : "none");
    return HL_ENGINE_OK;
}

/* ---- run and end ---- */

const char *hl_engine_feed_socket(const struct hl_engine *engine)
{
    return engine->config.feed.socket[0] ? engine->config.feed.socket : NULL;
}

int hl_engine_run(struct hl_engine *engine)
{
    control_run(engine->control);
    log_notice("stopped");
    return engine->given_up;
}

void hl_engine_stop(struct hl_engine *engine, int now)
{
    atomic_store(&engine->stop_asked, now ? 2 : 1);
    control_wake(engine->control);
}

enum hl_engine_result hl_engine_reload(struct hl_engine *engine, char error[HL_ENGINE_ERROR_MAX])
{
    struct error err;
    if (!engine_reload(engine, &err))
        return fail(HL_ENGINE_CONFIG, &err, error);
    return HL_ENGINE_OK;
}

void hl_engine_close(struct hl_engine *engine)
{
    if (!engine)
        return;
    if (engine->admin)
        admin_close(engine->admin);
    if (engine->feeds) {
        feed_server_stop(engine->feeds);
        if (engine->control)
            control_remove_fd(engine->control, &engine->feeds_fd);
    }
    engine_stop_core_threads(engine);
    engine_close_taps(engine);
    engine_close_listings(engine);
    if (engine->feeds)
        feed_server_close(engine->feeds);
    engine_close_cores(engine);
    if (engine->policy_generation)
        policy_publish(NULL, config_policy_free);
    if (engine->eal_started)
        eal_stop();
    if (engine->control)
        control_close(engine->control);
    if (engine->config_loaded)
        config_free(&engine->config);
    log_close();
    free(engine);
}
