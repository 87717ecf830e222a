/* engine.h: struct hl_engine, for the files of this folder alone: what the public interface stands for. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/base/asym.h"
#include "engine/control/admin.h"
#include "engine/control/config.h"
#include "engine/control/control.h"
#include "engine/control/feed_server.h"
#include "engine/control/log_queue.h"
#include "engine/core/core.h"
#include "engine/hardline.h"

#include <pthread.h>

#define TICK_US 20000u /* how often logs are drained and cores are looked at */

enum engine_state {
    ENGINE_OPEN,
    ENGINE_STARTING,
    ENGINE_RUNNING,
    ENGINE_DRAINING,
    ENGINE_STOPPING,
    ENGINE_STOPPED
};

/* A feed from its attach until the last core has let go of it. */
struct engine_feed {
    struct feed *feed;
    uint64_t attached_us;
    uint32_t cores_left; /* that have not let go, once it leaves; 0: it stays */
};

struct engine_core {
    struct core *core;
    struct port *port;         /* until core_open takes it over */
    struct asym_device device; /* likewise, where has_device */
    struct log_queue log;
    pthread_t thread;
    bool log_open, started, has_device;
};

/* One question about connections: asked until its client has the answer or is gone; a listing is a core's until answered. */
struct engine_listings {
    bool asked;
    uint32_t max;
    uint64_t until_us;
    struct core_listing *of[CORE_MAX];
};

/* One capture: running until its client has all of it or is gone; a tap is a core's until released. */
struct engine_capture {
    bool running, begun;
    struct admin_request request;
    uint64_t frames, bytes; /* given to the client */
    uint64_t until_us, wall_offset_us;
    struct tap *tap[CORE_MAX];
};

struct hl_engine {
    struct hl_engine_options options;
    struct config config;
    enum engine_state state;
    bool config_loaded, eal_started, given_up;
    struct control *control;
    struct control_timer tick;
    struct admin *admin;
    struct feed_server *feeds;
    struct control_fd feeds_fd;
    struct engine_feed feed[CORE_FEEDS_MAX];
    uint32_t feed_count;
    uint32_t cores; /* of core[], opened */
    struct engine_core core[CORE_MAX];
    struct engine_listings listings;
    struct engine_capture capture;
    uint64_t policy_generation;
    uint64_t started_us, drain_until_us;
    _Atomic int stop_asked; /* 0, 1: drain, 2: now; by hl_engine_stop on any thread */
    char port_text[512], eal_text[256], accelerator_text[256];
};

/* ---- cores.c: the data path's start and stop ---- */
struct port_dpdk_config engine_port_config(const struct config *config);
bool engine_open_ports(struct hl_engine *engine, struct error *err) must_check;

/* accelerator.c: the cryptodev of crypto.backend for engine_open_cores; its name, or NULL. */
bool engine_open_accelerator(struct hl_engine *engine, struct error *err) must_check;
const char *engine_crypto_device(const struct config *config);
bool engine_open_cores(struct hl_engine *engine, struct error *err) must_check;
bool engine_start_cores(struct hl_engine *engine, struct error *err) must_check;
void engine_tell_cores(struct hl_engine *engine, enum core_command command, struct feed *feed);
bool engine_cores_stopped(const struct hl_engine *engine);
void engine_stop_core_threads(struct hl_engine *engine);
void engine_close_cores(struct hl_engine *engine);
struct feed_shape engine_feed_shape(const struct hl_engine *engine);

/* ---- feeds.c: producers come and go ---- */
bool engine_open_feeds(struct hl_engine *engine, struct error *err) must_check;
void engine_feeds_readable(void *ctx, uint32_t events);
void engine_collect_feeds(struct hl_engine *engine);
void engine_fill_feeds(const struct hl_engine *engine, struct admin_status *status);

/* ---- status.c: what the admin socket shows ---- */
bool engine_open_admin(struct hl_engine *engine, struct error *err) must_check;
void engine_dump_status(struct hl_engine *engine);

/* ---- connections.c, capture.c: answers that come in time (admin.h) ---- */
bool engine_begin_listing(struct hl_engine *engine, const struct admin_request *request,
                          struct error *err) must_check;
char *engine_more_listing(struct hl_engine *engine, size_t *len, bool *over);
void engine_finish_listing(struct hl_engine *engine);
void engine_collect_listings(struct hl_engine *engine); /* frees what a core has given back */
void engine_close_listings(struct hl_engine *engine);   /* once no core runs */
bool engine_begin_capture(struct hl_engine *engine, const struct admin_request *request,
                          struct error *err) must_check;
char *engine_more_capture(struct hl_engine *engine, size_t *len, bool *over);
void engine_finish_capture(struct hl_engine *engine);
void engine_collect_taps(struct hl_engine *engine);
void engine_close_taps(struct hl_engine *engine);

/* ---- stop.c: draining, stopping, reloading ---- */
struct control_events engine_control_events(struct hl_engine *engine);
void engine_tick(void *ctx, uint64_t now_us);
bool engine_reload(struct hl_engine *engine, struct error *err) must_check;
bool engine_publish_policy(struct hl_engine *engine, const struct config *config,
                           struct error *err) must_check;
void engine_drain(void *ctx);
void engine_stop_now(void *ctx);

#endif
