/* bench/options.h: the command line of a subcommand: a table of long options, and one loop over it. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "engine/base/error.h"

#include <getopt.h>

#define OPTIONS_HELP 'h' /* the value of "help" in a table; -h is the same */

struct options_form {
    const char *help;
    const struct option *known; /* required_argument or no_argument, flag NULL; ends with zeros */
    bool (*set)(void *into, int option, const char *text, struct error *err);
    bool (*complete)(void *into, struct error *err); /* once all are set */
};

/* options_read sets what argv has; -1: go on; else the exit status, and everything has been said. */
int options_read(const struct options_form *form, void *into, int argc, char **argv);

/* options_number reads a whole number from least to most. */
bool options_number(const char *text, uint32_t least, uint32_t most, uint32_t *value,
                    struct error *err) must_check;

#endif
