/* ring_cases.c: jobs through the ring: what each step costs, how many a second, how long one takes there and back. */
#include "bench/ring_cases.h"

#include "bench/ring_figures.h"
#include "bench/ring_limit.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 100000u

/* Of each round, so that what else the machine did in some of them falls out of the median. */
struct rounds {
    uint32_t count;
    double own_ns[ROUNDS_MAX], submit_ns[ROUNDS_MAX], engine_ns[ROUNDS_MAX], reap_ns[ROUNDS_MAX]; /* a job */
};

static void one_round(hl_feed *feed, unsigned window, const struct ring_messages *messages,
                      struct feed_job *memory, struct rounds *r)
{
    uint64_t own = 0, submitting = 0;
    for (unsigned i = 0; i < window; i += BURST) {
        uint64_t begin = figures_cpu_ns();
        const struct hl_job *jobs = messages_make(messages, BURST, i);
        uint64_t made = figures_cpu_ns();
        producer_submit(feed, jobs, BURST);
        own += made - begin;
        submitting += figures_cpu_ns() - made;
    }
    uint64_t submitted = figures_cpu_ns();
    for (unsigned served = 0; served < window; served += BURST)
        engine_serve(engine_feed(), memory);
    uint64_t served = figures_cpu_ns();
    for (unsigned got = 0; got < window;)
        got += producer_reap(feed);
    uint64_t reaped = figures_cpu_ns();
    r->own_ns[r->count] = (double)own / window;
    r->submit_ns[r->count] = (double)submitting / window;
    r->engine_ns[r->count] = (double)(served - submitted) / window;
    r->reap_ns[r->count++] = (double)(reaped - served) / window;
}

static void costs_of(const struct ring_run *run, unsigned window, bool share, size_t bytes)
{
    static struct rounds r;
    struct feed_job *memory = aligned_alloc(CACHE_LINE, feed_job_bytes(engine_shape()));
    if (!memory)
        die("costs", "out of memory");
    struct ring_messages messages = messages_open(run->feed, share, bytes);
    uint64_t end = figures_cpu_ns() + (uint64_t)(run->seconds * 1e9);
    r.count = 0;
    while (figures_cpu_ns() < end && r.count < ROUNDS_MAX)
        one_round(run->feed, window, &messages, memory, &r);
    messages_close(&messages);
    free(memory);
    figures_costs(&(struct ring_costs){.window = window,
                                       .body = share ? "shared" : "copied",
                                       .bytes = bytes,
                                       .own_ns = figures_median(r.own_ns, r.count),
                                       .submit_ns = figures_median(r.submit_ns, r.count),
                                       .reap_ns = figures_median(r.reap_ns, r.count),
                                       .engine_ns = figures_median(r.engine_ns, r.count)});
}

void measure_costs(const struct ring_run *run)
{
    engine_pause(true);
    costs_of(run, 32, false, 100);
    costs_of(run, 1024, false, 100);
    costs_of(run, 32, true, 100);
    costs_of(run, 32, false, 10000);
    costs_of(run, 32, true, 10000);
    engine_pause(false);
}

/* Jobs a second with `window` in flight. */
static double throughput(const struct ring_run *run, unsigned window, const struct ring_messages *messages)
{
    uint64_t sent = 0, got = 0, begin = figures_now_ns(), end = begin + (uint64_t)(run->seconds * 1e9);
    for (uint64_t now = begin; now < end; now = figures_now_ns()) {
        unsigned count = (unsigned)min_u64(BURST, window - (sent - got));
        producer_submit(run->feed, messages_make(messages, count, sent), count);
        sent += count;
        got += producer_reap(run->feed);
    }
    while (got < sent)
        got += producer_reap(run->feed);
    return (double)got * 1e9 / (double)(figures_now_ns() - begin);
}

static void jobs_of(const struct ring_run *run, unsigned window, bool share, size_t bytes)
{
    double rate[REPEAT_MAX] = {0};
    struct ring_messages messages = messages_open(run->feed, share, bytes);
    for (unsigned i = 0; i < run->repeat; i++)
        rate[i] = throughput(run, window, &messages);
    messages_close(&messages);
    figures_jobs(window, share ? "shared" : "copied", bytes, figures_median(rate, run->repeat));
}

/* Of what stands first on a stream: here all are alike. */
static unsigned first_bytes(const struct stream *s)
{
    unsigned bytes;
    memcpy(&bytes, s->base, sizeof(bytes));
    return bytes;
}

static void limit_of(const struct ring_run *run, unsigned window)
{
    const struct feed_lane *lane = &engine_feed()->lane[0];
    struct ring_limit limit = {.cpu = {run->threads.cpu[0], run->threads.cpu[1]},
                               .realtime = run->threads.realtime,
                               .out = first_bytes(&lane->in),
                               .back = first_bytes(&lane->out),
                               .window = window,
                               .seconds = run->seconds};
    double rate[REPEAT_MAX] = {0};
    for (unsigned i = 0; i < run->repeat; i++)
        rate[i] = ring_limit_measure(&limit);
    figures_limit(window, limit.out, limit.back, figures_median(rate, run->repeat));
}

void measure_jobs(const struct ring_run *run)
{
    static const unsigned windows[] = {1, 32, 1024};
    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        jobs_of(run, windows[i], false, 100);
    engine_pause(true);
    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        limit_of(run, windows[i]);
    engine_pause(false);
    jobs_of(run, 1024, true, 100);
    jobs_of(run, 1024, false, 10000);
    jobs_of(run, 1024, true, 10000);
}

/* One job at a time; a producer that waits uses hl_wait, another one polls. */
static void turns_of(const struct ring_run *run, const char *name, bool wait)
{
    struct samples samples = samples_new();
    struct ring_messages messages = messages_open(run->feed, false, 100);
    uint64_t end = figures_now_ns() + (uint64_t)(run->seconds * 1e9);
    for (uint64_t i = 0; figures_now_ns() < end; i++) {
        const struct hl_job *job = messages_make(&messages, 1, i);
        uint64_t begin = figures_now_ns();
        producer_submit(run->feed, job, 1);
        while (producer_reap(run->feed) == 0)
            if (wait)
                hl_wait(run->feed, 1000, NULL);
        samples_add(&samples, figures_now_ns() - begin);
    }
    messages_close(&messages);
    figures_percentiles(name, &samples);
    samples_free(&samples);
}

void measure_turns(const struct ring_run *run)
{
    turns_of(run, "turn", false);
    turns_of(run, "turn_wait", true);
}
