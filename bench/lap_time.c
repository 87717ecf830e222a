/* lap_time: what the phases' stopwatch (engine/base/lap.h) costs by itself: CPU ns of a change of phase and of a turn's end.
 *
 *     lap_time [TIMES]
 */
#include "engine/base/lap.h"

#include <stdio.h>
#include <stdlib.h>

static struct lap lap;
static struct stats stats;

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double enter_ns(unsigned times)
{
    double begin = cpu_ns();
    for (unsigned i = 0; i < times; i++) {
        lap_enter(&lap, (enum lap_phase)(i % LAP_COUNT));
        __asm__ volatile("" ::: "memory"); /* each is made */
    }
    return (cpu_ns() - begin) / times;
}

static double turn_ns(unsigned times)
{
    double begin = cpu_ns();
    for (unsigned i = 0; i < times; i++) {
        lap_turn(&lap, &stats, i & 1);
        __asm__ volatile("" ::: "memory");
    }
    return (cpu_ns() - begin) / times;
}

int main(int argc, char **argv)
{
    unsigned times = argc > 1 ? (unsigned)atoi(argv[1]) : 5000000;
    for (unsigned i = 0; i < 3; i++) {
        double enter = enter_ns(times), turn = turn_ns(times);
        printf("change of phase %.1f ns, end of a turn %.1f ns\n", enter, turn);
    }
    return 0;
}
