#include "tests/unit/ring/pair.h"

#include "engine/base/clock.h"
#include "tests/unit/cmocka.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct feed_shape current;

static bool allow(void *ctx, const struct feed_peer *peer, struct feed_rights *rights)
{
    struct pair *pair = ctx;
    (void)peer;
    *rights = pair->rights;
    snprintf(rights->name, sizeof(rights->name), "test");
    return !pair->refuse;
}

static bool user(void *ctx, uint32_t index, uint32_t *uid)
{
    const struct pair *pair = ctx;
    *uid = pair->user;
    return index == 0 && pair->has_user;
}

static bool attach(void *ctx, struct feed *feed)
{
    struct pair *pair = ctx;
    pair->engine = feed;
    return true;
}

static void detach(void *ctx, struct feed *feed)
{
    struct pair *pair = ctx;
    pair->detaches++;
    if (pair->hold_detach)
        return;
    pair->engine = NULL;
    feed_server_detached(pair->server, feed);
}

static void note(void *ctx, int level, const char *text)
{
    struct pair *pair = ctx;
    (void)level;
    snprintf(pair->note, sizeof(pair->note), "%s", text);
}

struct feed_shape pair_shape(void)
{
    return (struct feed_shape){
        .lanes = 1,
        .submit_slots = 8,
        .complete_slots = 8,
        .arena_bytes = 256 << 10,
        .recipients_max = 4,
        .envelope_bytes_max = 4096,
        .hash_seed = 1,
        .engine_epoch = 1000,
        .ordinary_pages = true, /* the machine's huge pages are for others */
    };
}

void pair_serve(struct pair *pair, const struct feed_shape *shape)
{
    pair_serve_places(pair, shape, 2);
}

void pair_serve_places(struct pair *pair, const struct feed_shape *shape, uint32_t feeds_max)
{
    struct error err;
    struct feed_server_events events = {
        .ctx = pair, .allow = allow, .user = user, .attach = attach, .detach = detach, .note = note};
    struct feed_server_options options = {
        .path = pair->path, .mode = 0600, .gid = (uint32_t)-1, .feeds_max = feeds_max, .shape = *shape};
    if (!pair->path[0])
        snprintf(pair->path, sizeof(pair->path), "/tmp/hl-pair-%d.sock", (int)getpid());
    current = *shape;
    pair->server = feed_server_open(&options, &events, &err);
    if (!pair->server)
        fail_msg("%s", err.text);
}

struct serving {
    struct pair *pair;
    _Atomic bool done;
};

static void *serve(void *arg)
{
    struct serving *s = arg;
    while (!atomic_load(&s->done)) {
        struct pollfd p = {.fd = feed_server_fd(s->pair->server), .events = POLLIN};
        poll(&p, 1, 5);
        feed_server_handle(s->pair->server, clock_now_us());
    }
    return NULL;
}

static int while_serving(struct pair *pair, int (*act)(struct pair *, void *), void *arg)
{
    struct serving s = {.pair = pair};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve, &s), 0);
    int code = act(pair, arg);
    atomic_store(&s.done, true);
    pthread_join(thread, NULL);
    return code;
}

struct attaching {
    hl_feed **feed;
    const struct hl_attach *options;
};

static int do_attach(struct pair *pair, void *arg)
{
    struct attaching *a = arg;
    return hl_feed_attach(a->feed, a->options, &pair->error);
}

int pair_attach(struct pair *pair, hl_feed **feed, const struct hl_attach *options)
{
    struct hl_attach defaults = hl_attach_init();
    defaults.socket_path = pair->path;
    defaults.timeout_ms = 5000;
    struct attaching a = {feed, options ? options : &defaults};
    return while_serving(pair, do_attach, &a);
}

static int do_reattach(struct pair *pair, void *arg)
{
    (void)arg;
    return hl_feed_reattach(pair->producer, 5000, &pair->error);
}

int pair_reattach(struct pair *pair)
{
    return while_serving(pair, do_reattach, NULL);
}

void pair_open(struct pair *pair, const struct feed_shape *shape)
{
    struct feed_shape small = pair_shape();
    *pair = (struct pair){.rights = pair->rights};
    pair_serve(pair, shape ? shape : &small);
    if (pair_attach(pair, &pair->producer, NULL) != 0)
        fail_msg("%s", pair->error.text);
    assert_non_null(pair->engine);
}

void pair_kill_engine(struct pair *pair)
{
    feed_server_close(pair->server);
    pair->server = NULL;
    pair->engine = NULL;
}

void pair_close(struct pair *pair)
{
    if (pair->producer)
        hl_feed_detach(pair->producer);
    if (pair->server)
        feed_server_close(pair->server);
    *pair = (struct pair){0};
}

struct hl_job pair_job(uint64_t cookie)
{
    static struct hl_recipient to;
    static struct hl_part body;
    static const char text[] = "Subject: test\r\n\r\nHello.\r\n";
    to.address = hl_str("bob@example.org");
    body = hl_copy_of(text, sizeof(text) - 1);
    struct hl_job job = hl_job_init();
    job.cookie = cookie;
    job.sender = hl_str("alice@example.com");
    job.recipients = &to;
    job.recipients_count = 1;
    job.parts = &body;
    job.parts_count = 1;
    return job;
}

struct feed_job *pair_job_memory(const struct feed_shape *shape)
{
    return aligned_alloc(CACHE_LINE, feed_job_bytes(shape));
}

struct feed_job *pair_take(struct pair *pair, uint32_t lane)
{
    static struct feed_job *job;
    struct outcome why;
    free(job);
    job = pair_job_memory(&current);
    enum feed_take_result took = feed_take(pair->engine, lane, job, &why);
    if (took == FEED_REFUSED)
        fail_msg("%s", why.text);
    assert_int_equal(took, FEED_TAKEN);
    return job;
}

void pair_deliver(struct feed_job *job)
{
    struct outcome ok;
    outcome_set(&ok, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "2.0.0 queued");
    ok.smtp_code = 250;
    for (uint32_t r = 0; r < job->recipients; r++)
        feed_report(job, r, &ok, NULL);
    feed_flush(job->feed, job->lane);
}
