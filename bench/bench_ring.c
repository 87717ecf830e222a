/* bench_ring: jobs through the shared-memory ring and back, with the library at one end and a core's code at the other.
 *
 *     bench_ring [--seconds N] [--repeat N] [--cpus PRODUCER,ENGINE] [--realtime] [--json]
 *
 * No network and no delivery: the engine's end takes each job (copies and checks every field of it) and reports it
 * delivered.  The producer's end does everything a caller pays for: checks of addresses and line ends, a record and a
 * piece of the arena, a result read.  Two threads of one process on two CPUs, two mappings of one region.
 *
 *     costs       CPU nanoseconds a job of each step, one thread being both ends by turns, `window` jobs at a time;
 *                 `own` is what this program needs to make a job before it submits it, and is part of no other figure
 *     jobs        jobs a second of wall clock, `window` of them in flight, both ends polling: says something only where
 *                 nothing else runs on the two CPUs, or with --realtime
 *     limit       the same for streams of as many bytes a job and a result with nothing at their ends (ring_limit.h): what
 *                 moving the lines between these two CPUs leaves, and nobody can pass
 *     turn        one job at a time: submit to result, both ends polling; percentiles in microseconds
 *     wake_engine, wake_producer    one end sleeps in poll(2): from the other's call to the sleeper's next instruction
 *
 * --realtime: both threads have a real-time priority (SCHED_FIFO), so that other work on their CPUs waits instead of them.
 */
#include "bench/ring_limit.h"
#include "engine/base/clock.h"
#include "engine/control/feed_server.h"
#include "engine/ring/feed.h"
#include "engine/ring/feed_private.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLES_MAX 2000000u
#define DOMAINS     16u
#define BURST       32u /* jobs submitted together */
#define REPEAT_MAX  64u

static struct {
    double seconds;
    unsigned repeat;
    int cpu[2]; /* producer, engine; -1: not pinned */
    bool json, realtime, printed;
} options = {.seconds = 2, .repeat = 3, .cpu = {0, 1}};

static struct {
    struct feed_server *server;
    struct feed *_Atomic feed;
    struct feed_shape shape;
    char path[64];
    atomic_bool stop, sleepy, paused, resting;
    _Atomic uint64_t taken_ns; /* when the last job was taken */
    _Atomic uint64_t told_ns;  /* just before the flush that told of it */
    pthread_t thread;
} engine;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_ring: %s: %s\n", what, why);
    exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < 0)
        return;
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        die("pinning", strerror(errno));
}

static void hurry(void)
{
    const struct sched_param priority = {.sched_priority = 1};
    int code = options.realtime ? pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority) : 0;
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

static bool serve_jobs(struct feed *feed, struct feed_job *job, const struct outcome *ok)
{
    struct feed_delivery delivery = {
        .mx_host = "mx.example.org", .queued_us = 1, .connected_us = 2, .replied_us = 3};
    struct outcome why;
    unsigned count = 0;
    for (; count < 32 && feed_take(feed, 0, job, &why) == FEED_TAKEN; count++) {
        if (atomic_load_explicit(&engine.sleepy, memory_order_relaxed))
            atomic_store_explicit(&engine.taken_ns, now_ns(), memory_order_release);
        feed_stage(job, STAGE_DOT);
        for (uint32_t r = 0; r < job->recipients; r++)
            feed_report(job, r, ok, &delivery);
    }
    if (count && atomic_load_explicit(&engine.sleepy, memory_order_relaxed)) {
        usleep(200); /* so that the producer sleeps, too */
        atomic_store_explicit(&engine.told_ns, now_ns(), memory_order_release);
    }
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

static void *run_engine(void *arg)
{
    struct outcome ok;
    struct feed_job *job = aligned_alloc(CACHE_LINE, feed_job_bytes(&engine.shape));
    (void)arg;
    pin(options.cpu[1]);
    hurry();
    outcome_set(&ok, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "2.0.0 queued as 4711");
    for (unsigned turn = 0; !atomic_load_explicit(&engine.stop, memory_order_relaxed); turn++) {
        if (!atomic_load(&engine.feed) || turn % 4096 == 0)
            feed_server_handle(engine.server, clock_now_us());
        struct feed *feed = atomic_load(&engine.feed);
        if (atomic_load(&engine.paused)) {
            atomic_store(&engine.resting, true);
            usleep(1000);
            continue;
        }
        if (feed && !serve_jobs(feed, job, &ok) && atomic_load_explicit(&engine.sleepy, memory_order_relaxed))
            sleep_in_poll(feed);
    }
    free(job);
    return NULL;
}

static void start_engine(void)
{
    struct error err;
    struct feed_server_events events = {NULL, allow, attach, detach, note};
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

static void stop_engine(void)
{
    atomic_store(&engine.stop, true);
    pthread_join(engine.thread, NULL);
    feed_server_close(engine.server);
}

/* ---- the producer's end ---- */

static char message[65536];

static void make_message(size_t bytes)
{
    memset(message, 'x', bytes);
    for (size_t at = 70; at + 2 < bytes; at += 72)
        memcpy(message + at, "\r\n", 2);
    memcpy(message + bytes - 2, "\r\n", 2);
}

/* Jobs number, number + 1 and so on, one recipient each. */
static void make_jobs(struct hl_job *job, unsigned count, uint64_t number, hl_body *shared, size_t bytes)
{
    static const char *const address[DOMAINS] = {
        "a@d0.example", "b@d1.example", "c@d2.example", "d@d3.example", "e@d4.example", "f@d5.example",
        "g@d6.example", "h@d7.example", "i@d8.example", "j@d9.example", "k@da.example", "l@db.example",
        "m@dc.example", "n@dd.example", "o@de.example", "p@df.example",
    };
    static struct hl_recipient to[BURST];
    static struct hl_part part[BURST];
    for (unsigned i = 0; i < count; i++) {
        to[i].address = hl_str(address[(number + i) % DOMAINS]);
        part[i] = shared ? hl_part_of(shared, 0, bytes) : hl_copy_of(message, bytes);
        job[i] = hl_job_init();
        job[i].cookie = number + i;
        job[i].sender = hl_str("sender@example.com");
        job[i].recipients = &to[i];
        job[i].recipients_count = 1;
        job[i].parts = &part[i];
        job[i].parts_count = 1;
    }
}

static unsigned reap(hl_feed *feed)
{
    static struct hl_result result[64];
    struct hl_error error;
    int n = hl_reap(feed, result, 64, &error);
    if (n < 0)
        die("reap", error.text);
    for (int i = 0; i < n; i++)
        if (result[i].verdict != HL_DELIVERED)
            die("a result", result[i].text);
    return (unsigned)n;
}

static void submit(hl_feed *feed, const struct hl_job *jobs, unsigned count)
{
    struct hl_error error = {0};
    if (hl_submit_many(feed, jobs, count, &error) != (int)count)
        die("submit", error.text);
}

/* Jobs a second with `window` in flight. */
static double throughput(hl_feed *feed, unsigned window, hl_body *shared, size_t bytes)
{
    struct hl_job job[BURST];
    uint64_t sent = 0, got = 0, begin = now_ns(), end = begin + (uint64_t)(options.seconds * 1e9),
             now = begin;
    while (now < end) {
        unsigned count = (unsigned)min_u64(BURST, window - (sent - got));
        make_jobs(job, count, sent, shared, bytes);
        submit(feed, job, count);
        sent += count;
        got += reap(feed);
        now = now_ns();
    }
    while (got < sent)
        got += reap(feed);
    return (double)got * 1e9 / (double)(now_ns() - begin);
}

/* ---- percentiles ---- */

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *value, size_t count)
{
    qsort(value, count, sizeof(*value), by_double);
    return value[count / 2];
}

static uint32_t *sample;
static uint32_t samples;

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void add_sample(uint64_t ns)
{
    if (samples < SAMPLES_MAX)
        sample[samples++] = (uint32_t)min_u64(ns, UINT32_MAX);
}

static double percentile(double p)
{
    return samples ? (double)sample[(uint32_t)((samples - 1) * p)] / 1e3 : 0;
}

/* ---- cases ---- */

static void print_number(const char *name, unsigned window, size_t bytes, const char *body, double jobs_per_s)
{
    if (options.json)
        printf(
            "%s{\"case\": \"%s\", \"window\": %u, \"body\": \"%s\", \"body_bytes\": %zu, \"jobs_per_s\": %.0f}",
            options.printed ? ",\n  " : "", name, window, body, bytes, jobs_per_s);
    else
        printf("%-14s window %4u, body %-6s of %5zu bytes   %6.2f million jobs/s\n", name, window, body,
               bytes, jobs_per_s / 1e6);
    options.printed = true;
    fflush(stdout);
}

static void print_percentiles(const char *name)
{
    qsort(sample, samples, sizeof(*sample), by_size);
    const char *form =
        options.json
            ? "%s{\"case\": \"%s\", \"samples\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}"
            : "%s%-14s %u samples: p50 %.2f us, p99 %.2f us, max %.1f us\n";
    printf(form, options.json && options.printed ? ",\n  " : "", name, samples, percentile(0.5),
           percentile(0.99), percentile(1));
    options.printed = true;
    samples = 0;
    fflush(stdout);
}

/* Of what stands first on a stream: here all are alike. */
static unsigned first_bytes(const struct stream *s)
{
    unsigned bytes;
    memcpy(&bytes, s->base, sizeof(bytes));
    return bytes;
}

static void measure_limit(unsigned window)
{
    const struct feed *feed = atomic_load(&engine.feed);
    const struct stream *in = &feed->lane[0].in, *out = &feed->lane[0].out;
    struct ring_limit limit = {.cpu = {options.cpu[0], options.cpu[1]},
                               .realtime = options.realtime,
                               .out = first_bytes(in),
                               .back = first_bytes(out),
                               .window = window,
                               .seconds = options.seconds};
    double rate[REPEAT_MAX] = {0};
    for (unsigned i = 0; i < options.repeat; i++)
        rate[i] = ring_limit_measure(&limit);
    double jobs_per_s = median(rate, options.repeat);
    printf(options.json ? "%s{\"case\": \"limit\", \"window\": %u, \"job_bytes\": %u, \"result_bytes\": %u, "
                          "\"jobs_per_s\": %.0f}"
                        : "%slimit          window %4u, %u bytes there and %u back      %.0f jobs/s\n",
           options.json && options.printed ? ",\n  " : "", window, limit.out, limit.back, jobs_per_s);
    options.printed = true;
    fflush(stdout);
}

static void measure_jobs(hl_feed *feed, unsigned window, bool share, size_t bytes)
{
    double rate[REPEAT_MAX] = {0};
    hl_body *shared = NULL;
    struct hl_error error;
    make_message(bytes);
    if (share && hl_body_reserve(feed, bytes, &shared, &error) != 0)
        die("body", error.text);
    if (shared)
        memcpy(hl_body_data(shared), message, bytes);
    for (unsigned i = 0; i < options.repeat; i++)
        rate[i] = throughput(feed, window, shared, bytes);
    hl_body_release(shared);
    print_number("jobs", window, bytes, share ? "shared" : "copied", median(rate, options.repeat));
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define ROUNDS_MAX 100000u

/* Of each round, so that what else the machine did in some of them falls out of the median. */
struct costs {
    uint32_t rounds;
    double own_ns[ROUNDS_MAX], submit_ns[ROUNDS_MAX], engine_ns[ROUNDS_MAX], reap_ns[ROUNDS_MAX]; /* a job */
};

static void one_round(hl_feed *feed, unsigned window, hl_body *shared, size_t bytes, struct feed_job *memory,
                      const struct outcome *ok, struct costs *costs)
{
    static struct hl_job job[BURST];
    uint64_t own = 0, submitting = 0;
    for (unsigned i = 0; i < window; i += BURST) {
        uint64_t begin = cpu_ns();
        make_jobs(job, BURST, i, shared, bytes);
        uint64_t made = cpu_ns();
        submit(feed, job, BURST);
        own += made - begin;
        submitting += cpu_ns() - made;
    }
    uint64_t submitted = cpu_ns();
    for (unsigned served = 0; served < window; served += 32)
        serve_jobs(atomic_load(&engine.feed), memory, ok);
    uint64_t served = cpu_ns();
    for (unsigned got = 0; got < window;)
        got += reap(feed);
    uint64_t reaped = cpu_ns();
    costs->own_ns[costs->rounds] = (double)own / window;
    costs->submit_ns[costs->rounds] = (double)submitting / window;
    costs->engine_ns[costs->rounds] = (double)(served - submitted) / window;
    costs->reap_ns[costs->rounds++] = (double)(reaped - served) / window;
}

static void print_costs(unsigned window, const char *body, size_t bytes, struct costs *c)
{
    double own = median(c->own_ns, c->rounds), out = median(c->submit_ns, c->rounds),
           back = median(c->reap_ns, c->rounds);
    double core = median(c->engine_ns, c->rounds);
    const char *form =
        options.json
            ? "%s{\"case\": \"costs\", \"window\": %u, \"body\": \"%s\", \"body_bytes\": %zu, "
              "\"own_ns\": %.0f, \"submit_ns\": %.0f, \"reap_ns\": %.0f, \"engine_ns\": %.0f, "
              "\"jobs_per_producer_cpu_s\": %.0f, \"jobs_per_engine_cpu_s\": %.0f, \"jobs_per_both_cpu_s\": %.0f}"
            : "%scosts          window %4u, body %-6s of %5zu bytes   own %3.0f ns; submit %4.0f, reap %3.0f, "
              "engine %3.0f: %.0f, %.0f and together %.0f jobs a CPU second\n";
    printf(form, options.json && options.printed ? ",\n  " : "", window, body, bytes, own, out, back, core,
           1e9 / (out + back), 1e9 / core, 1e9 / (out + back + core));
    options.printed = true;
    fflush(stdout);
}

static void measure_costs(hl_feed *feed, unsigned window, bool share, size_t bytes)
{
    struct feed_job *memory = aligned_alloc(CACHE_LINE, feed_job_bytes(&engine.shape));
    struct outcome ok;
    static struct costs costs;
    hl_body *shared = NULL;
    struct hl_error error;
    outcome_set(&ok, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "2.0.0 queued as 4711");
    make_message(bytes);
    if (!memory || (share && hl_body_reserve(feed, bytes, &shared, &error) != 0))
        die("body", error.text);
    if (shared)
        memcpy(hl_body_data(shared), message, bytes);
    uint64_t end = cpu_ns() + (uint64_t)(options.seconds * 1e9);
    costs.rounds = 0;
    while (cpu_ns() < end && costs.rounds < ROUNDS_MAX)
        one_round(feed, window, shared, bytes, memory, &ok, &costs);
    hl_body_release(shared);
    free(memory);
    print_costs(window, share ? "shared" : "copied", bytes, &costs);
}

static void pause_engine(bool paused)
{
    atomic_store(&engine.resting, false);
    atomic_store(&engine.paused, paused);
    while (paused && !atomic_load(&engine.resting))
        usleep(100);
}

static void measure_turns(hl_feed *feed)
{
    uint64_t end = now_ns() + (uint64_t)(options.seconds * 1e9);
    make_message(100);
    for (uint64_t i = 0; now_ns() < end; i++) {
        struct hl_job job;
        make_jobs(&job, 1, i, NULL, 100);
        uint64_t begin = now_ns();
        submit(feed, &job, 1);
        while (reap(feed) == 0)
            continue;
        add_sample(now_ns() - begin);
    }
    print_percentiles("turn");
}

static void measure_wake_ups(hl_feed *feed)
{
    static uint32_t back[SAMPLES_MAX];
    uint32_t backs = 0;
    uint64_t end = now_ns() + (uint64_t)(options.seconds * 1e9);
    atomic_store(&engine.sleepy, true);
    while (now_ns() < end) {
        struct hl_job job;
        make_jobs(&job, 1, backs, NULL, 100);
        usleep(300); /* the engine goes to sleep */
        uint64_t begin = now_ns();
        submit(feed, &job, 1);
        hl_wait(feed, 1000, NULL);
        uint64_t woken = now_ns();
        while (reap(feed) == 0)
            continue;
        add_sample(atomic_load(&engine.taken_ns) - begin);
        back[backs++] = (uint32_t)(woken - atomic_load(&engine.told_ns));
    }
    atomic_store(&engine.sleepy, false);
    print_percentiles("wake_engine");
    for (uint32_t i = 0; i < backs; i++)
        add_sample(back[i]);
    print_percentiles("wake_producer");
}

static void print_host(void)
{
    char line[256], model[128] = "unknown CPU";
    FILE *cpuinfo = fopen("/proc/cpuinfo", "r");
    while (cpuinfo && fgets(line, sizeof(line), cpuinfo))
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    if (cpuinfo)
        fclose(cpuinfo);
#ifdef __OPTIMIZE__
    const char *build = "optimized";
#else
    const char *build = "not optimized";
#endif
    if (options.json)
        printf(
            "{\"host\": {\"cpu\": \"%s\", \"cpus\": %ld, \"build\": \"%s\", \"producer_cpu\": %d, \"engine_cpu\": %d, "
            "\"realtime\": %s},\n"
            " \"cases\": [\n  ",
            model, sysconf(_SC_NPROCESSORS_ONLN), build, options.cpu[0], options.cpu[1],
            options.realtime ? "true" : "false");
    else
        printf(
            "%s, %ld CPUs; producer on CPU %d, engine on CPU %d%s; %s, gcc or clang %s; median of %u runs of %.1f s\n",
            model, sysconf(_SC_NPROCESSORS_ONLN), options.cpu[0], options.cpu[1],
            options.realtime ? ", real-time priority" : "", build, __VERSION__, options.repeat,
            options.seconds);
}

static bool take_option(int code, const char *text)
{
    switch (code) {
    case 'R': options.realtime = true; return true;
    case 'j': options.json = true; return true;
    case 's': options.seconds = atof(text); return options.seconds > 0;
    case 'r':
        options.repeat = (unsigned)atoi(text);
        return options.repeat >= 1 && options.repeat <= REPEAT_MAX;
    case 'c': return sscanf(text, "%d,%d", &options.cpu[0], &options.cpu[1]) == 2;
    default: return false;
    }
}

static bool read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"seconds", required_argument, NULL, 's'}, {"repeat", required_argument, NULL, 'r'},
        {"cpus", required_argument, NULL, 'c'},    {"realtime", no_argument, NULL, 'R'},
        {"json", no_argument, NULL, 'j'},          {NULL, 0, NULL, 0}};
    for (int code; (code = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        if (!take_option(code, optarg))
            return false;
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct hl_attach attach_options = hl_attach_init();
    struct hl_error error;
    hl_feed *feed;
    if (!read_options(argc, argv)) {
        fprintf(
            stderr,
            "usage: bench_ring [--seconds N] [--repeat N] [--cpus PRODUCER,ENGINE] [--realtime] [--json]\n");
        return 2;
    }
    sample = malloc(SAMPLES_MAX * sizeof(*sample));
    start_engine();
    attach_options.socket_path = engine.path;
    if (!sample || hl_feed_attach(&feed, &attach_options, &error) != 0)
        die("attach", sample ? error.text : "out of memory");
    pin(options.cpu[0]);
    hurry();
    print_host();
    pause_engine(true);
    measure_costs(feed, 32, false, 100);
    measure_costs(feed, 1024, false, 100);
    measure_costs(feed, 32, true, 100);
    measure_costs(feed, 32, false, 10000);
    measure_costs(feed, 32, true, 10000);
    pause_engine(false);
    static const unsigned windows[] = {1, 32, 1024};
    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        measure_jobs(feed, windows[i], false, 100);
    pause_engine(true);
    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        measure_limit(windows[i]);
    pause_engine(false);
    measure_jobs(feed, 1024, true, 100);
    measure_jobs(feed, 1024, false, 10000);
    measure_jobs(feed, 1024, true, 10000);
    measure_turns(feed);
    measure_wake_ups(feed);
    if (options.json)
        puts("\n]}");
    hl_feed_detach(feed);
    stop_engine();
    return 0;
}
