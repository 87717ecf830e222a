/* ring_cases.h: what bench_ring measures of the ring; its head says what each case is.  Each prints its figures. */
#ifndef BENCH_RING_CASES_H
#define BENCH_RING_CASES_H

#include "bench/ring_ends.h"

#define REPEAT_MAX 64u

struct ring_run {
    hl_feed *feed; /* the producer's end */
    struct ring_threads threads;
    double seconds;  /* of each measurement */
    unsigned repeat; /* in [1, REPEAT_MAX]: medians of so many */
};

void measure_costs(const struct ring_run *run);
void measure_jobs(const struct ring_run *run); /* and limit */
void measure_turns(const struct ring_run *run);

/* ring_wake.c */
void measure_wake_ups(const struct ring_run *run);

#endif
