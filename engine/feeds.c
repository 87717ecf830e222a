/* feeds.c: producers come and go: who may, and how the cores learn of it. */
#include "engine/engine.h"

#include "engine/base/clock.h"
#include "engine/control/log.h"
#include "engine/control/privilege.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static const struct config_feed_user *find_user(const struct config_feed *feed, uint32_t uid)
{
    for (uint32_t i = 0; i < feed->users; i++)
        if (feed->user[i].uid == uid)
            return &feed->user[i];
    return NULL;
}

/* Root and the engine's own user may always; others as the configuration names them. */
static bool allow(void *ctx, const struct feed_peer *peer, struct feed_rights *rights)
{
    struct hl_engine *engine = ctx;
    const struct config *c = &engine->config;
    const struct config_feed_user *user = find_user(&c->feed, peer->uid);
    if (!user && peer->uid != 0 && peer->uid != geteuid()) {
        log_warning("feed: uid %u (pid %u, \"%s\") is not in feed.users: refused", peer->uid, peer->pid,
                    peer->name);
        return false;
    }
    *rights =
        (struct feed_rights){.uid = peer->uid, .pid = peer->pid, .body_bytes_max = c->limits.message_bytes};
    snprintf(rights->name, sizeof(rights->name), "uid %u", peer->uid);
    if (!user)
        return true;
    if (user->name[0])
        snprintf(rights->name, sizeof(rights->name), "%s", user->name);
    rights->allow_exceptions = user->allow_exceptions;
    rights->jobs_in_flight_max = user->jobs_in_flight;
    if (user->message_bytes)
        rights->body_bytes_max = min_u64(user->message_bytes, c->limits.message_bytes);
    return true;
}

static bool user(void *ctx, uint32_t index, uint32_t *uid)
{
    const struct config_feed *feed = &((const struct hl_engine *)ctx)->config.feed;
    if (index >= feed->users)
        return false;
    *uid = feed->user[index].uid;
    return true;
}

static struct engine_feed *find(struct hl_engine *engine, const struct feed *feed)
{
    for (uint32_t i = 0; i < engine->feed_count; i++)
        if (engine->feed[i].feed == feed)
            return &engine->feed[i];
    assert(!"a feed that never attached");
    return NULL;
}

static bool attach(void *ctx, struct feed *feed)
{
    struct hl_engine *engine = ctx;
    const struct feed_rights *rights = feed_rights(feed);
    if (engine->state != ENGINE_RUNNING || engine->feed_count == CORE_FEEDS_MAX)
        return false;
    engine->feed[engine->feed_count++] = (struct engine_feed){.feed = feed, .attached_us = clock_now_us()};
    log_info("feed \"%s\" (pid %u) attached", rights->name, rights->pid);
    engine_tell_cores(engine, CORE_ATTACH, feed);
    return true;
}

static void detach(void *ctx, struct feed *feed)
{
    struct hl_engine *engine = ctx;
    const struct feed_rights *rights = feed_rights(feed);
    if (feed_broken(feed))
        log_warning("feed \"%s\" (pid %u) is thrown out: %s", rights->name, rights->pid, feed_fault(feed));
    else
        log_info("feed \"%s\" (pid %u) leaves", rights->name, rights->pid);
    find(engine, feed)->cores_left = engine->cores;
    engine_tell_cores(engine, CORE_DETACH, feed);
}

static void note(void *ctx, int level, const char *text)
{
    (void)ctx;
    log_write(level <= LOG_ERR       ? LOG_LEVEL_ERROR
              : level == LOG_WARNING ? LOG_LEVEL_WARNING
              : level == LOG_NOTICE  ? LOG_LEVEL_NOTICE
                                     : LOG_LEVEL_INFO,
              "feed: %s", text);
}

void engine_feeds_readable(void *ctx, uint32_t events)
{
    struct hl_engine *engine = ctx;
    (void)events;
    feed_server_handle(engine->feeds, clock_now_us());
}

bool engine_open_feeds(struct hl_engine *engine, struct error *err)
{
    const struct config *c = &engine->config;
    if (!c->feed.socket[0])
        return true;
    uint32_t uid, gid = UINT32_MAX;
    const char *group = c->feed.group[0] ? c->feed.group : c->run.group;
    if (engine->options.own_process && !privilege_find(c->run.user, group, &uid, &gid, err))
        return error_prefix(err, "run.user or feed.group");
    struct feed_server_options options = {
        .path = c->feed.socket,
        .mode = c->feed.mode,
        .gid = gid,
        .feeds_max = c->feed.feeds,
        .shape = engine_feed_shape(engine),
    };
    struct feed_server_events events = {
        .ctx = engine, .allow = allow, .user = user, .attach = attach, .detach = detach, .note = note};
    if (!feed_sigbus_install(err))
        return false;
    engine->feeds = feed_server_open(&options, &events, err);
    if (!engine->feeds)
        return error_prefix(err, "feed.socket");
    return true;
}

/* A feed is closed when the last core has let go of it. */
static void let_go(struct hl_engine *engine, const struct feed *feed)
{
    struct engine_feed *leaving = find(engine, feed);
    if (--leaving->cores_left > 0)
        return;
    feed_server_detached(engine->feeds, leaving->feed);
    *leaving = engine->feed[--engine->feed_count];
}

void engine_collect_feeds(struct hl_engine *engine)
{
    if (!engine->feeds)
        return;
    for (uint32_t i = 0; i < engine->cores; i++)
        for (struct feed *feed; (feed = core_detached(engine->core[i].core));)
            let_go(engine, feed);
    feed_server_handle(engine->feeds, clock_now_us());
}

void engine_fill_feeds(const struct hl_engine *engine, struct admin_status *status)
{
    for (uint32_t i = 0; i < engine->feed_count; i++) {
        const struct engine_feed *from = &engine->feed[i];
        const struct feed_rights *rights = feed_rights(from->feed);
        struct admin_feed *to = &status->feed[status->feeds++];
        snprintf(to->name, sizeof(to->name), "%s", rights->name);
        to->uid = rights->uid;
        to->pid = rights->pid;
        to->attached_us = from->attached_us;
        to->broken = feed_broken(from->feed);
        for (uint32_t lane = 0; lane < engine->cores; lane++)
            to->jobs += feed_in_flight(from->feed, lane);
    }
}
