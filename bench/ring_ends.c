#include "bench/ring_ends.h"

#include "bench/ring_figures.h"
#include "engine/base/clock.h"
#include "engine/control/feed_server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOMAINS   16u
#define TEXT_MAX  65536u
#define SLEEPY_US 200 /* for which the producer can go to sleep */

static struct {
    struct feed_server *server;
    struct feed *_Atomic feed;
    struct feed_shape shape;
    struct ring_threads threads;
    char path[64];
    atomic_bool stop, sleepy, paused, resting;
    _Atomic uint64_t taken_ns, told_ns;
    pthread_t thread;
} engine;

void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_ring: %s: %s\n", what, why);
    exit(1);
}

void settle_on(int cpu, bool realtime)
{
    const struct sched_param priority = {.sched_priority = 1};
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0) {
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) != 0)
            die("pinning", strerror(errno));
    }
    int code = realtime ? pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority) : 0;
    if (code)
        die("real-time priority", strerror(code));
}

/* ---- the engine's end ---- */

static bool allow(void *ctx, const struct feed_peer *peer, struct feed_rights *rights)
{
    (void)ctx;
    (void)peer;
    *rights = (struct feed_rights){.name = "bench"};
    return true;
}

static bool attach(void *ctx, struct feed *feed)
{
    (void)ctx;
    atomic_store(&engine.feed, feed);
    return true;
}

static void detach(void *ctx, struct feed *feed)
{
    (void)ctx;
    atomic_store(&engine.feed, NULL);
    feed_server_detached(engine.server, feed);
}

static void note(void *ctx, int level, const char *text)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "bench_ring: %s\n", text);
}

static bool is_sleepy(void)
{
    return atomic_load_explicit(&engine.sleepy, memory_order_relaxed);
}

static void tell_late(void)
{
    usleep(SLEEPY_US);
    atomic_store_explicit(&engine.told_ns, figures_now_ns(), memory_order_release);
}

bool engine_serve(struct feed *feed, struct feed_job *job)
{
    static const struct feed_delivery delivery = {
        .mx_host = "mx.example.org", .queued_us = 1, .connected_us = 2, .replied_us = 3};
    static struct outcome ok;
    struct outcome why;
    unsigned count = 0;
    if (!ok.verdict)
        outcome_set(&ok, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "2.0.0 queued as 4711");
    for (; count < BURST && feed_take(feed, 0, job, &why) == FEED_TAKEN; count++) {
        if (is_sleepy())
            atomic_store_explicit(&engine.taken_ns, figures_now_ns(), memory_order_release);
        feed_stage(job, STAGE_DOT);
        for (uint32_t r = 0; r < job->recipients; r++)
            feed_report(job, r, &ok, &delivery);
    }
    if (count && is_sleepy())
        tell_late();
    feed_flush(feed, 0);
    return count > 0;
}

static void sleep_in_poll(struct feed *feed)
{
    uint64_t rings;
    struct pollfd p = {.fd = feed_wake_engine_fd(feed), .events = POLLIN};
    if (!feed_sleep(feed, 0))
        return;
    poll(&p, 1, 50);
    feed_awake(feed, 0);
    ssize_t n = read(p.fd, &rings, sizeof(rings));
    (void)n;
}

static void turn(unsigned number, struct feed_job *memory)
{
    if (!engine_feed() || number % 4096 == 0)
        feed_server_handle(engine.server, clock_now_us());
    struct feed *feed = engine_feed();
    if (atomic_load(&engine.paused)) {
        atomic_store(&engine.resting, true);
        usleep(1000);
        return;
    }
    if (feed && !engine_serve(feed, memory) && is_sleepy())
        sleep_in_poll(feed);
}

static void *run_engine(void *arg)
{
    struct feed_job *memory = aligned_alloc(CACHE_LINE, feed_job_bytes(&engine.shape));
    (void)arg;
    if (!memory)
        die("engine", "out of memory");
    settle_on(engine.threads.cpu[1], engine.threads.realtime);
    for (unsigned number = 0; !atomic_load_explicit(&engine.stop, memory_order_relaxed); number++)
        turn(number, memory);
    free(memory);
    return NULL;
}

void engine_start(const struct ring_threads *threads)
{
    struct error err;
    struct feed_server_events events = {.allow = allow, .attach = attach, .detach = detach, .note = note};
    engine.threads = *threads;
    engine.shape = (struct feed_shape){.lanes = 1,
                                       .submit_slots = 4096,
                                       .complete_slots = 4096,
                                       .arena_bytes = 64u << 20,
                                       .recipients_max = 64,
                                       .envelope_bytes_max = 8192,
                                       .engine_epoch = 1};
    snprintf(engine.path, sizeof(engine.path), "/tmp/hl-bench-ring-%d.sock", (int)getpid());
    struct feed_server_options o = {
        .path = engine.path, .mode = 0600, .gid = UINT32_MAX, .feeds_max = 1, .shape = engine.shape};
    engine.server = feed_server_open(&o, &events, &err);
    if (!engine.server)
        die("server", err.text);
    if (pthread_create(&engine.thread, NULL, run_engine, NULL) != 0)
        die("thread", strerror(errno));
}

void engine_stop(void)
{
    atomic_store(&engine.stop, true);
    pthread_join(engine.thread, NULL);
    feed_server_close(engine.server);
}

const char *engine_socket(void)
{
    return engine.path;
}

struct feed *engine_feed(void)
{
    return atomic_load(&engine.feed);
}

const struct feed_shape *engine_shape(void)
{
    return &engine.shape;
}

void engine_pause(bool paused)
{
    atomic_store(&engine.resting, false);
    atomic_store(&engine.paused, paused);
    while (paused && !atomic_load(&engine.resting))
        usleep(100);
}

void engine_be_sleepy(bool sleepy)
{
    atomic_store(&engine.sleepy, sleepy);
}

uint64_t engine_taken_ns(void)
{
    return atomic_load(&engine.taken_ns);
}

uint64_t engine_told_ns(void)
{
    return atomic_load(&engine.told_ns);
}

/* ---- the producer's end ---- */

static char text[TEXT_MAX];

static void make_text(size_t bytes)
{
    memset(text, 'x', bytes);
    for (size_t at = 70; at + 2 < bytes; at += 72)
        memcpy(text + at, "\r\n", 2);
    memcpy(text + bytes - 2, "\r\n", 2);
}

struct ring_messages messages_open(hl_feed *feed, bool share, size_t bytes)
{
    struct ring_messages m = {.shared = NULL, .bytes = bytes};
    struct hl_error error;
    assert(bytes >= 2 && bytes <= TEXT_MAX);
    make_text(bytes);
    if (share && hl_body_reserve(feed, bytes, &m.shared, &error) != 0)
        die("body", error.text);
    if (m.shared)
        memcpy(hl_body_data(m.shared), text, bytes);
    return m;
}

void messages_close(struct ring_messages *m)
{
    hl_body_release(m->shared);
    m->shared = NULL;
}

/* What is the same in all of them is filled in once, as a caller with much to send does. */
static void fill_jobs(struct hl_job *job, struct hl_recipient *to, struct hl_part *part,
                      const struct ring_messages *m)
{
    for (unsigned i = 0; i < BURST; i++) {
        part[i] = m->shared ? hl_part_of(m->shared, 0, m->bytes) : hl_copy_of(text, m->bytes);
        to[i].dsn = hl_none();
        job[i] = hl_job_init();
        job[i].sender = hl_str("sender@example.com");
        job[i].recipients = &to[i];
        job[i].recipients_count = 1;
        job[i].parts = &part[i];
        job[i].parts_count = 1;
    }
}

const struct hl_job *messages_make(const struct ring_messages *m, unsigned count, uint64_t number)
{
    static const char address[DOMAINS][13] = {
        "a@d0.example", "b@d1.example", "c@d2.example", "d@d3.example", "e@d4.example", "f@d5.example",
        "g@d6.example", "h@d7.example", "i@d8.example", "j@d9.example", "k@da.example", "l@db.example",
        "m@dc.example", "n@dd.example", "o@de.example", "p@df.example",
    };
    static struct hl_recipient to[BURST];
    static struct hl_part part[BURST];
    static struct hl_job job[BURST];
    if (part[0].body != m->shared || part[0].bytes != m->bytes)
        fill_jobs(job, to, part, m);
    for (unsigned i = 0; i < count; i++) {
        to[i].address = (struct hl_text){address[(number + i) % DOMAINS], sizeof(address[0]) - 1};
        job[i].cookie = number + i;
    }
    return job;
}

unsigned producer_reap(hl_feed *feed)
{
    static struct hl_result result[64];
    struct hl_error error;
    int n = hl_reap(feed, result, ARRAY_LEN(result), &error);
    if (n < 0)
        die("reap", error.text);
    for (int i = 0; i < n; i++)
        if (result[i].verdict != HL_DELIVERED)
            die("a result", result[i].text);
    return (unsigned)n;
}

void producer_submit(hl_feed *feed, const struct hl_job *jobs, unsigned count)
{
    struct hl_error error = {0};
    if (hl_submit_many(feed, jobs, count, &error) != (int)count)
        die("submit", error.text);
}
