/* seeds.h: tests that are played by seed: `test_core_life --seeds 17-17` plays one again, `--seeds 1-100000` many. */
#ifndef TESTS_UNIT_CORE_SEEDS_H
#define TESTS_UNIT_CORE_SEEDS_H

struct seeds {
    unsigned first, last, now;
};

/* seeds_of reads the command line; without one, 1 to usual.  What aborts later says which seed it was: seeds->now. */
void seeds_of(struct seeds *seeds, int argc, char **argv, unsigned usual);

#endif
