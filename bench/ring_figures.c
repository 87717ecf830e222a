#include "bench/ring_figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static bool json, printed;

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t figures_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t figures_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double figures_median(double *value, size_t count)
{
    qsort(value, count, sizeof(*value), by_double);
    return value[count / 2];
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct samples samples_new(void)
{
    struct samples s = {malloc(SAMPLES_MAX * sizeof(*s.ns)), 0};
    if (s.ns)
        return s;
    fputs("bench_ring: out of memory\n", stderr);
    exit(1);
}

void samples_free(struct samples *s)
{
    free(s->ns);
    *s = (struct samples){NULL, 0};
}

void samples_add(struct samples *s, uint64_t ns)
{
    if (s->count < SAMPLES_MAX)
        s->ns[s->count++] = (uint32_t)min_u64(ns, UINT32_MAX);
}

static double percentile_us(const struct samples *s, double p)
{
    return (double)s->ns[(uint32_t)((s->count - 1) * p)] / 1e3;
}

static const char *separator(void)
{
    const char *s = json && printed ? ",\n  " : "";
    printed = true;
    return s;
}

static void end_figure(void)
{
    if (!json)
        putchar('\n');
    fflush(stdout);
}

void figures_open(bool as_json, const char *host_text, const char *host_json)
{
    json = as_json;
    if (json)
        printf("{\"host\": %s,\n \"cases\": [\n  ", host_json);
    else
        puts(host_text);
}

void figures_close(void)
{
    if (json)
        puts("\n]}");
}

void figures_costs(const struct ring_costs *c)
{
    const char *form =
        json
            ? "%s{\"case\": \"costs\", \"window\": %u, \"body\": \"%s\", \"body_bytes\": %zu, "
              "\"own_ns\": %.0f, \"submit_ns\": %.0f, \"reap_ns\": %.0f, \"engine_ns\": %.0f, "
              "\"jobs_per_producer_cpu_s\": %.0f, \"jobs_per_engine_cpu_s\": %.0f, \"jobs_per_both_cpu_s\": %.0f}"
            : "%scosts          window %4u, body %-6s of %5zu bytes   own %3.0f ns; submit %4.0f, reap %3.0f, "
              "engine %3.0f: %.0f, %.0f and together %.0f jobs a CPU second";
    double producer = c->submit_ns + c->reap_ns;
    printf(form, separator(), c->window, c->body, c->bytes, c->own_ns, c->submit_ns, c->reap_ns, c->engine_ns,
           1e9 / producer, 1e9 / c->engine_ns, 1e9 / (producer + c->engine_ns));
    end_figure();
}

void figures_jobs(unsigned window, const char *body, size_t bytes, double jobs_per_s)
{
    const char *form = json ? "%s{\"case\": \"jobs\", \"window\": %u, \"body\": \"%s\", \"body_bytes\": %zu, "
                              "\"jobs_per_s\": %.0f}"
                            : "%sjobs           window %4u, body %-6s of %5zu bytes   %9.0f jobs/s";
    printf(form, separator(), window, body, bytes, jobs_per_s);
    end_figure();
}

void figures_limit(unsigned window, unsigned out, unsigned back, double jobs_per_s)
{
    const char *form =
        json ? "%s{\"case\": \"limit\", \"window\": %u, \"job_bytes\": %u, \"result_bytes\": %u, "
               "\"jobs_per_s\": %.0f}"
             : "%slimit          window %4u, %u bytes there and %u back      %9.0f jobs/s";
    printf(form, separator(), window, out, back, jobs_per_s);
    end_figure();
}

void figures_percentiles(const char *name, struct samples *s)
{
    const char *form =
        json ? "%s{\"case\": \"%s\", \"samples\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}"
             : "%s%-19s %u samples: p50 %.2f us, p99 %.2f us, max %.1f us";
    if (s->count == 0)
        return; /* nothing was measured, so there is no figure */
    qsort(s->ns, s->count, sizeof(*s->ns), by_size);
    printf(form, separator(), name, s->count, percentile_us(s, 0.5), percentile_us(s, 0.99),
           percentile_us(s, 1));
    end_figure();
}
