/* hardline reload, drain, stop, ping: one word to a running engine. */
#include "engine/cli/ask.h"
#include "engine/cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const struct {
    const char *command, *what, *done;
} orders[] = {
    {"reload",
     "Makes a running hardlined read its rules, routes, networks and users anew, as SIGHUP does. If the\n"
     "file is wrong, says why; the engine goes on as before.",
     "reloaded"},
    {"drain",
     "Makes a running hardlined take no new jobs, finish what is in flight and end, as SIGTERM does.",
     "draining"},
    {"stop", "Makes a running hardlined end now. Jobs in flight are given up, each with its result.",
     "stopping"},
    {"ping", "Asks whether a hardlined runs.", "alive"},
};

static size_t order_of(const char *command)
{
    size_t i = 0;
    while (strcmp(orders[i].command, command) != 0)
        i++;
    return i;
}

static int give_order(const char *path, size_t order)
{
    struct ask ask;
    struct error err;
    size_t len;
    char *answer = NULL;
    if (ask_open(&ask, path, &err))
        answer = ask_question(&ask, orders[order].command, &len, &err);
    if (answer)
        puts(orders[order].done);
    else
        fprintf(stderr, "hardline %s: %s\n", orders[order].command, err.text);
    ask_close(&ask);
    free(answer);
    return answer ? EX_OK : EX_UNAVAILABLE;
}

int cli_order(int argc, char **argv)
{
    static const struct option longs[] = {
        {"socket", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *path = CLI_ADMIN_SOCKET;
    size_t order = order_of(strchr(argv[0], ' ') + 1);
    for (int which; (which = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        if (which == 'h') {
            printf(
                "usage: hardline %s [--socket PATH]\n\n%s\n\n  --socket PATH  run.admin-socket (" CLI_ADMIN_SOCKET
                ")\n",
                orders[order].command, orders[order].what);
            return EX_OK;
        }
        if (which != 's')
            return EX_USAGE;
        path = optarg;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: what is \"%s\"? see --help\n", argv[0], argv[optind]);
        return EX_USAGE;
    }
    return give_order(path, order);
}
