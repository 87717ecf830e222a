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
    memset(lap->cycles, 0, sizeof(lap->cycles));
    lap->phase = LAP_RECEIVE; /* what comes before the next turn's first phase is little */
}

void lap_slept(struct lap *lap, struct stats *stats)
{
    uint64_t now = lap_now();
    stat_add(stats, STAT_core_cycles_slept, now - lap->since);
    lap->since = now;
}
