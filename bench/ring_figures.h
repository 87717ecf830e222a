/* ring_figures.h: what bench_ring prints: one line of text or one object of JSON a figure, and the medians behind it. */
#ifndef BENCH_RING_FIGURES_H
#define BENCH_RING_FIGURES_H

#include "engine/base/base.h"

#define SAMPLES_MAX 2000000u

struct samples {
    uint32_t *ns;   /* SAMPLES_MAX of them */
    uint32_t count; /* in [0, SAMPLES_MAX]; what comes after is left out */
};

struct ring_costs {
    unsigned window;
    const char *body; /* "copied", "shared" */
    size_t bytes;
    double own_ns, submit_ns, reap_ns, engine_ns; /* a job */
};

/* A thread's own CPU time, and the clock's. */
uint64_t figures_cpu_ns(void);
uint64_t figures_now_ns(void);

double figures_median(double *value, size_t count); /* sorts them */

struct samples samples_new(void); /* ends the program when there is no memory */
void samples_free(struct samples *samples);
void samples_add(struct samples *samples, uint64_t ns);

/* Each prints one figure; figures_open says once whether it is text or JSON, and what of the host is behind it. */
void figures_open(bool json, const char *host_text, const char *host_json);
void figures_costs(const struct ring_costs *costs);
void figures_jobs(unsigned window, const char *body, size_t bytes, double jobs_per_s);
void figures_limit(unsigned window, unsigned out, unsigned back, double jobs_per_s);
void figures_percentiles(const char *name, struct samples *samples); /* sorts them */
void figures_close(void);

#endif
