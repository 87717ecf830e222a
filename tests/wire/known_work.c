/* known_work: a thread that works, turns and sleeps as a core does, and knows how much it worked.
 *
 *     known_work CPU SECONDS BURST_US SLEEP_US
 *
 * The truth is made of steps of less than a microsecond, each timed: a step that took STEP_MAX cycles or more had somebody else in it (another
 * thread, an interrupt, the host), and counts as much as the one before it.  So it needs neither of the two clocks' opinion on what the thread had.
 * Prints one line of JSON: the truth and what tests/wire/accounting.py needs for both accountings.
 */
#include "engine/base/clock.h"
#include "engine/base/lap.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_ROUNDS 200u
#define STEP_MAX    10000u /* cycles; a step takes about 700 */
#define EMPTY_TURNS 4u

static volatile uint64_t sink;

static void step(void)
{
    uint64_t x = sink | 1;
    for (unsigned i = 0; i < STEP_ROUNDS; i++)
        x = x * 6364136223846793005u + 1442695040888963407u;
    sink = x;
}

/* Returns the cycles of work; works until these are `cycles`. */
static uint64_t work(uint64_t cycles)
{
    static uint64_t usual;
    uint64_t done = 0, last = lap_now();
    while (done < cycles) {
        step();
        uint64_t now = lap_now();
        if (now - last < STEP_MAX)
            usual = now - last;
        done += usual;
        last = now;
    }
    return done;
}

static void charged(double *cpu_s, double *waited_s)
{
    unsigned long long ran = 0, waited = 0;
    FILE *f = fopen("/proc/thread-self/schedstat", "r");
    if (!f || fscanf(f, "%llu %llu", &ran, &waited) != 2)
        exit(2);
    fclose(f);
    *cpu_s = (double)ran / 1e9;
    *waited_s = (double)waited / 1e9;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        exit(2);
}

static uint64_t cycles_of_us(uint64_t us)
{
    uint64_t begin_us = clock_now_us(), begin = lap_now();
    while (clock_now_us() - begin_us < 100000u)
        work(100000);
    return (lap_now() - begin) * us / (clock_now_us() - begin_us);
}

/* One turn with work, some without, a sleep; returns the cycles of work. */
static uint64_t go(struct lap *lap, struct stats *stats, uint64_t burst, uint64_t sleep_us)
{
    lap_enter(lap, LAP_TLS);
    uint64_t known = work(burst);
    lap_turn(lap, stats, true);
    for (unsigned i = 0; i < EMPTY_TURNS; i++) {
        step();
        lap_turn(lap, stats, false);
    }
    if (sleep_us > 0)
        lap_sleep(lap, stats, sleep_us);
    return known;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    pin(atoi(argv[1]));
    uint64_t seconds_us = (uint64_t)(atof(argv[2]) * 1e6), sleep_us = (uint64_t)atoi(argv[4]), known = 0;
    uint64_t burst = cycles_of_us((uint64_t)atoi(argv[3]));
    double cpu_s, waited_s, cpu_end_s, waited_end_s;
    charged(&cpu_s, &waited_s);
    struct stats stats = {{0}};
    struct lap lap = {.since = lap_now()};
    uint64_t begin_us = clock_now_us();
    while (clock_now_us() - begin_us < seconds_us)
        known += go(&lap, &stats, burst, sleep_us);
    uint64_t end_us = clock_now_us();
    charged(&cpu_end_s, &waited_end_s);
    printf("{\"known_cycles\": %" PRIu64 ", \"cpu_s\": %.6f, \"waited_s\": %.6f, \"published_us\": %" PRIu64
           ", \"counters\": {",
           known, cpu_end_s - cpu_s, waited_end_s - waited_s, end_us - begin_us);
    for (unsigned i = 0; i < STAT_COUNT; i++)
        printf("%s\"%s\": %" PRIu64, i ? ", " : "", stat_name((enum stat_id)i), stats.v[i]);
    printf("}}\n");
    return 0;
}
