/* ring_limit.c: two streams between two CPUs with nothing at their ends: lines that move, and no other work. */
#include "bench/ring_limit.h"

#include "engine/base/base.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define BURST        32u
#define STREAM_BYTES (512u << 10) /* about the ring's */

struct stream_of_words {
    uint64_t *word;
    uint32_t words;   /* of one run */
    uint32_t at, end; /* runs do not wrap around */
};

struct state {
    const struct ring_limit *limit;
    uint64_t *jobs, *results;
    double jobs_per_s;
    cache_aligned _Atomic uint64_t tail; /* jobs written */
    char apart[2 * CACHE_LINE];          /* lines are fetched in pairs */
    cache_aligned _Atomic uint64_t done;
    char apart_too[2 * CACHE_LINE];
    cache_aligned atomic_bool stop, ready;
};

static void settle_on(int cpu, bool realtime)
{
    const struct sched_param priority = {.sched_priority = 1};
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0) {
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof(set), &set);
    }
    if (realtime)
        pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
}

static struct stream_of_words stream_over(uint64_t *word, unsigned bytes)
{
    uint32_t words = bytes / 8, room = STREAM_BYTES / 8;
    return (struct stream_of_words){.word = word, .words = words, .end = words ? room / words * words : room};
}

static uint64_t *next_run(struct stream_of_words *s)
{
    uint64_t *run = s->word + s->at;
    s->at = s->at + s->words == s->end ? 0 : s->at + s->words;
    return run;
}

static void write_run(struct stream_of_words *s, uint64_t value)
{
    uint64_t *run = next_run(s);
    for (uint32_t i = 0; i < s->words; i++)
        run[i] = value + i;
}

static uint64_t read_run(struct stream_of_words *s)
{
    const uint64_t *run = next_run(s);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->words; i++)
        sum += run[i];
    return sum;
}

static void *answer(void *arg)
{
    struct state *s = arg;
    struct stream_of_words in = stream_over(s->jobs, s->limit->out);
    struct stream_of_words out = stream_over(s->results, s->limit->back);
    uint64_t at = 0;
    settle_on(s->limit->cpu[1], s->limit->realtime);
    atomic_store(&s->ready, true);
    while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
        uint64_t tail = atomic_load_explicit(&s->tail, memory_order_acquire);
        tail = min_u64(tail, at + BURST);
        if (tail == at)
            continue;
        for (; at < tail; at++)
            write_run(&out, read_run(&in));
        atomic_store_explicit(&s->done, at, memory_order_release);
    }
    return NULL;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *ask(void *arg)
{
    struct state *s = arg;
    struct stream_of_words out = stream_over(s->jobs, s->limit->out);
    struct stream_of_words in = stream_over(s->results, s->limit->back);
    uint64_t sent = 0, got = 0, sum = 0;
    while (!atomic_load(&s->ready))
        continue;
    settle_on(s->limit->cpu[0], s->limit->realtime);
    uint64_t begin = now_ns(), end = begin + (uint64_t)(s->limit->seconds * 1e9), now = begin;
    for (; now < end; now = now_ns()) {
        for (uint64_t n = min_u64(BURST, s->limit->window - (sent - got)); n > 0; n--)
            write_run(&out, sum + sent++);
        atomic_store_explicit(&s->tail, sent, memory_order_release);
        uint64_t done = atomic_load_explicit(&s->done, memory_order_acquire);
        for (; got < done; got++)
            sum += read_run(&in);
    }
    s->jobs_per_s = (double)got * 1e9 / (double)(now - begin);
    atomic_store(&s->stop, true);
    return NULL;
}

/* Threads of their own, so that the caller keeps its CPU and priority; it waits meanwhile. */
static bool run(struct state *s)
{
    pthread_t asker, answerer;
    if (pthread_create(&answerer, NULL, answer, s) != 0)
        return false;
    if (pthread_create(&asker, NULL, ask, s) != 0) {
        atomic_store(&s->stop, true);
        pthread_join(answerer, NULL);
        return false;
    }
    pthread_join(asker, NULL);
    pthread_join(answerer, NULL);
    return true;
}

double ring_limit_measure(const struct ring_limit *limit)
{
    struct state *s = aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    double jobs_per_s = 0;
    if (!s)
        return 0;
    *s = (struct state){.limit = limit};
    s->jobs = aligned_alloc(CACHE_LINE, STREAM_BYTES);
    s->results = aligned_alloc(CACHE_LINE, STREAM_BYTES);
    if (s->jobs && s->results) {
        for (size_t i = 0; i < STREAM_BYTES / 8; i++)
            s->jobs[i] = s->results[i] = i;
        jobs_per_s = run(s) ? s->jobs_per_s : 0;
    }
    free(s->jobs);
    free(s->results);
    free(s);
    return jobs_per_s;
}
