#include "tests/unit/core/seeds.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct seeds *playing;

static void on_abort(int number)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "# again: --seeds %u-%u\n", playing->now, playing->now);
    (void)number;
    (void)!write(STDOUT_FILENO, text, (size_t)len);
}

void seeds_of(struct seeds *seeds, int argc, char **argv, unsigned usual)
{
    *seeds = (struct seeds){.first = 1, .last = usual};
    bool given = argc == 3 && strcmp(argv[1], "--seeds") == 0;
    if (argc > 1 && (!given || sscanf(argv[2], "%u-%u", &seeds->first, &seeds->last) != 2)) {
        fprintf(stderr, "usage: %s [--seeds FIRST-LAST]\n", argv[0]);
        exit(2);
    }
    playing = seeds;
    signal(SIGABRT, on_abort);
}
