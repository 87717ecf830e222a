/* bench_ring: jobs through the shared-memory ring and back, with the library at one end and a core's code at the other.
 *
 *     bench_ring [--seconds N] [--repeat N] [--cpus PRODUCER,ENGINE] [--cases NAME,NAME] [--realtime] [--json]
 *
 * No network and no delivery: the engine's end takes each job (copies and checks every field of it) and reports it
 * delivered.  The producer's end does everything a caller pays for: checks of addresses and line ends, a record and a
 * piece of the arena, a result read.  Two threads of one process on two CPUs, two mappings of one region.
 *
 *     costs    CPU nanoseconds a job of each step, one thread being both ends by turns, `window` jobs at a time;
 *              `own` is what this program needs to make a job before it submits it, and is part of no other figure
 *     jobs     jobs a second of wall clock, `window` of them in flight, both ends polling: says something only where
 *              nothing else runs on the two CPUs, or with --realtime.  Beside it `limit`: the same for streams of as many bytes
 *              a job and a result with nothing at their ends (ring_limit.h): what moving the lines between these two CPUs
 *              leaves, and nobody can pass
 *     turn     one job at a time: submit to result, both ends polling; percentiles in microseconds.  turn_wait: with a producer that
 *              waits in hl_wait
 *     wake     wake_engine, wake_producer: one end sleeps in poll(2): from the other's call to the sleeper's next instruction.
 *              Beside it limit_*: the same of the kernel's means alone (ring_wake.c)
 *
 * --realtime: both threads have a real-time priority (SCHED_FIFO), so that other work on their CPUs waits instead of them.
 */
#include "bench/ring_cases.h"
#include "bench/ring_figures.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    void (*measure)(const struct ring_run *run);
} cases[] = {
    {"costs", measure_costs}, {"jobs", measure_jobs}, {"turn", measure_turns}, {"wake", measure_wake_ups}};

static struct ring_run run = {.threads = {.cpu = {0, 1}}, .seconds = 2, .repeat = 3};
static unsigned wanted = (1u << ARRAY_LEN(cases)) - 1; /* bit i: cases[i] */
static bool json;

static void describe_host(void)
{
    char line[256], model[128] = "unknown CPU", as_text[512], as_json[512];
    FILE *cpuinfo = fopen("/proc/cpuinfo", "r");
    while (cpuinfo && fgets(line, sizeof(line), cpuinfo))
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    if (cpuinfo)
        fclose(cpuinfo);
#ifdef __OPTIMIZE__
    const char *build = "optimized";
#else
    const char *build = "not optimized";
#endif
    const struct ring_threads *t = &run.threads;
    snprintf(as_json, sizeof(as_json),
             "{\"cpu\": \"%s\", \"cpus\": %ld, \"build\": \"%s\", \"producer_cpu\": %d, \"engine_cpu\": %d, "
             "\"realtime\": %s}",
             model, sysconf(_SC_NPROCESSORS_ONLN), build, t->cpu[0], t->cpu[1],
             t->realtime ? "true" : "false");
    snprintf(
        as_text, sizeof(as_text),
        "%s, %ld CPUs; producer on CPU %d, engine on CPU %d%s; %s, gcc or clang %s; median of %u runs of %.1f s",
        model, sysconf(_SC_NPROCESSORS_ONLN), t->cpu[0], t->cpu[1], t->realtime ? ", real-time priority" : "",
        build, __VERSION__, run.repeat, run.seconds);
    figures_open(json, as_text, as_json);
}

static bool take_case(const char *name, size_t bytes)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (strlen(cases[i].name) == bytes && memcmp(cases[i].name, name, bytes) == 0) {
            wanted |= 1u << i;
            return true;
        }
    return false;
}

static bool take_cases(const char *list)
{
    wanted = 0;
    for (;;) {
        size_t bytes = strcspn(list, ",");
        if (!take_case(list, bytes))
            return false;
        if (!list[bytes])
            return true;
        list += bytes + 1;
    }
}

static bool take_option(int code, const char *text)
{
    switch (code) {
    case 'R': run.threads.realtime = true; return true;
    case 'j': json = true; return true;
    case 's': run.seconds = atof(text); return run.seconds > 0;
    case 'r': run.repeat = (unsigned)atoi(text); return run.repeat >= 1 && run.repeat <= REPEAT_MAX;
    case 'c': return sscanf(text, "%d,%d", &run.threads.cpu[0], &run.threads.cpu[1]) == 2;
    case 'C': return take_cases(text);
    default: return false;
    }
}

static bool read_options(int argc, char **argv)
{
    static const struct option longs[] = {{"seconds", required_argument, NULL, 's'},
                                          {"repeat", required_argument, NULL, 'r'},
                                          {"cpus", required_argument, NULL, 'c'},
                                          {"cases", required_argument, NULL, 'C'},
                                          {"realtime", no_argument, NULL, 'R'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    for (int code; (code = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        if (!take_option(code, optarg))
            return false;
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct hl_attach attach_options = hl_attach_init();
    struct hl_error error;
    if (!read_options(argc, argv)) {
        fputs(
            "usage: bench_ring [--seconds N] [--repeat N] [--cpus PRODUCER,ENGINE] [--cases costs,jobs,turn,wake] "
            "[--realtime] [--json]\n",
            stderr);
        return 2;
    }
    engine_start(&run.threads);
    attach_options.socket_path = engine_socket();
    if (hl_feed_attach(&run.feed, &attach_options, &error) != 0)
        die("attach", error.text);
    settle_on(run.threads.cpu[0], run.threads.realtime);
    describe_host();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (wanted >> i & 1)
            cases[i].measure(&run);
    figures_close();
    hl_feed_detach(run.feed);
    engine_stop();
    return 0;
}
