/* lap.h: where a core's cycles go: a stopwatch that is always in one phase of the loop.
 *
 * The phase changes at the borders of the loop's phases and of a connection's layers, never per packet: a change costs 23 to
 * 29 ns on a shared virtual machine (bench/lap_time.c).  Cycles are those of the CPU's time stamp counter, which runs on
 * while the thread waits for the CPU.
 */
#ifndef ENGINE_BASE_LAP_H
#define ENGINE_BASE_LAP_H

#include "engine/base/base.h"
#include "engine/base/stat.h"

#include <time.h>

enum lap_phase {
    LAP_RECEIVE,  /* taking frames from the port */
    LAP_TCP,      /* frame to connection, TCP in and out, timers */
    LAP_TLS,      /* handshakes and records */
    LAP_SMTP,     /* replies, commands, the body's way to TLS */
    LAP_INTAKE,   /* jobs from the ring, which connection takes which */
    LAP_TRANSMIT, /* giving frames to the port */
    LAP_REPORT,   /* results to the ring */
    LAP_KEEP,     /* commands, publishing */
    LAP_COUNT
};

struct lap {
    uint64_t since; /* the last reading */
    enum lap_phase phase;
    uint32_t changes;           /* of phase, in this turn */
    uint64_t cycles[LAP_COUNT]; /* of this turn, up to `since` */
};

/* Ticks at a constant rate; by the clock, in nanoseconds, where the CPU has no counter that a program may read. */
static inline uint64_t lap_now(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
#endif
}

static inline void lap_enter(struct lap *lap, enum lap_phase phase)
{
    if (lap->phase == phase)
        return;
    uint64_t now = lap_now();
    lap->cycles[lap->phase] += now - lap->since;
    lap->since = now;
    lap->phase = phase;
    lap->changes++;
}

/* lap_turn ends a turn of the loop: its cycles go into the counters, by phase when it had work, else as an empty one. */
void lap_turn(struct lap *lap, struct stats *stats, bool worked);

/* lap_sleep sleeps for `us` microseconds at the least, unless a signal comes, and counts it: cycles that went by, and
 * the CPU time that the sleep itself took of the thread. */
void lap_sleep(struct lap *lap, struct stats *stats, uint64_t us);

#endif
