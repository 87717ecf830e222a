/* ring_limit.h: what moving a job's bytes to the other CPU and a result's back costs at the least. */
#ifndef BENCH_RING_LIMIT_H
#define BENCH_RING_LIMIT_H

#include <stdbool.h>

struct ring_limit {
    int cpu[2];         /* producer, engine; -1: not pinned */
    bool realtime;      /* both with SCHED_FIFO */
    unsigned out, back; /* bytes of a job and of a result, multiples of 8 */
    unsigned window;    /* jobs in flight */
    double seconds;
};

/* ring_limit_measure runs two threads of its own and returns jobs a second; 0: no thread could be made.  One writes runs of
 * `out` bytes that the other adds up, which writes `back` bytes for each; positions are published in bursts, as the ring does.
 */
double ring_limit_measure(const struct ring_limit *limit);

#endif
