/* sim.c: two stacks over a simulated path, a seed a world.
 *
 *     sim [--seeds A-B] [--trace]
 *
 * A case is a hundred seeds.  A seed that fails prints how to play it again; --trace prints every segment of it.
 */
#include "tests/sim/world.h"
#include "tests/lib/tap.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define CASE_SEEDS 100u

static uint64_t seed_now;

/* An assertion or a sanitizer ends the run: say which seed it was. */
static void on_abort(int signal)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "# again: sim --seeds %" PRIu64 "-%" PRIu64 " --trace\n", seed_now,
                       seed_now);
    (void)signal;
    fflush(stdout);
    (void)!write(STDOUT_FILENO, text, (size_t)len);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "abort_on_error=1";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "halt_on_error=1:abort_on_error=1:print_stacktrace=1";
}

static bool run_case(uint64_t first, uint64_t last, bool trace)
{
    static struct world world;
    uint64_t failed = 0, bytes = 0, steps = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        seed_now = seed;
        if (!world_run(&world, seed, trace)) {
            tap_note("seed %" PRIu64 ": %s", seed, world.fault);
            tap_note("again: sim --seeds %" PRIu64 "-%" PRIu64 " --trace", seed, seed);
            failed++;
        }
        bytes += world.host[0].read + world.host[1].read;
        steps += world.steps;
    }
    tap_note("%" PRIu64 " bytes, %" PRIu64 " events", bytes, steps);
    return failed == 0;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, last = 2000;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0 &&
                   sscanf(argv[i + 1], "%" SCNu64 "-%" SCNu64, &first, &last) == 2 && first <= last) {
            i++;
        } else {
            fprintf(stderr, "usage: sim [--seeds A-B] [--trace]\n");
            return 2;
        }
    }
    signal(SIGABRT, on_abort);
    for (uint64_t at = first; at <= last; at += CASE_SEEDS) {
        uint64_t end = min_u64(at + CASE_SEEDS - 1, last);
        bool passed = run_case(at, end, trace);
        tap_ok(passed, "seeds %" PRIu64 " to %" PRIu64, at, end);
    }
    return tap_done();
}
