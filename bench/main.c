/* hardline-bench: the traffic generator and the receiving MX farm.  A subcommand a file; this one finds it. */
#include "bench/bench.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"generate", generate_main, "fills a running engine's ring with messages and says what became of them"},
    {"farm", farm_main, "a receiving MX that checks each message"},
    {"trickle", trickle_main,
     "many connections to a farm without TLS, a message now and then on one of them"},
    {NULL, NULL, NULL},
};

static void print_usage(FILE *out)
{
    fputs("usage: hardline-bench COMMAND [OPTION]...\n\n", out);
    for (const struct command *c = commands; c->name; c++)
        fprintf(out, "  %-10s %s\n", c->name, c->what);
    fputs("  --version  print the version\n  --help     print this; each command has --help, too\n", out);
}

static const struct command *find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static int run(const struct command *command, int argc, char **argv)
{
    static char name[32]; /* argv outlives this call */
    snprintf(name, sizeof(name), "hardline-bench %s", command->name);
    argv[0] = name;
    return command->run(argc, argv);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EX_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("hardline-bench " HARDLINE_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return 0;
    }
    const struct command *command = find(argv[1]);
    if (command)
        return run(command, argc - 1, argv + 1);
    fprintf(stderr, "hardline-bench: there is no command \"%s\": see hardline-bench --help\n", argv[1]);
    return EX_USAGE;
}
