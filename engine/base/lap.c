#include "engine/base/lap.h"

#include <string.h>

static const enum stat_id stat_of[LAP_COUNT] = {
    [LAP_RECEIVE] = STAT_core_cycles_receive, [LAP_TCP] = STAT_core_cycles_tcp,
    [LAP_TLS] = STAT_core_cycles_tls,         [LAP_SMTP] = STAT_core_cycles_smtp,
    [LAP_INTAKE] = STAT_core_cycles_intake,   [LAP_TRANSMIT] = STAT_core_cycles_transmit,
    [LAP_REPORT] = STAT_core_cycles_report,   [LAP_KEEP] = STAT_core_cycles_keep,
};

void lap_turn(struct lap *lap, struct stats *stats, bool worked)
{
    uint64_t now = lap_now();
    lap->cycles[lap->phase] += now - lap->since;
    lap->since = now;
    for (unsigned i = 0; i < LAP_COUNT; i++)
        stat_add(stats, worked ? stat_of[i] : STAT_core_cycles_empty, lap->cycles[i]);
    stat_add(stats, STAT_core_phase_changes, worked ? lap->changes : 0);
    memset(lap->cycles, 0, sizeof(lap->cycles));
    lap->changes = 0;
    lap->phase = LAP_RECEIVE; /* what comes before the next turn's first phase is little */
}

static uint64_t charged_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A sleep costs 10 to 20 us, more or less by what else the CPU does: it is measured each time, not estimated. */
void lap_sleep(struct lap *lap, struct stats *stats, uint64_t us)
{
    struct timespec nap = {.tv_sec = (time_t)(us / 1000000u), .tv_nsec = (long)(us % 1000000u) * 1000};
    uint64_t before_ns = charged_ns();
    nanosleep(&nap, NULL);
    stat_add(stats, STAT_core_sleeps_ns, charged_ns() - before_ns);
    stat_inc(stats, STAT_core_sleeps);
    uint64_t now = lap_now();
    stat_add(stats, STAT_core_cycles_slept, now - lap->since);
    lap->since = now;
}
