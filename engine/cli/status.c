/* hardline status: what a running engine does, once or again and again. */
#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/ask.h"
#include "engine/cli/cli.h"
#include "engine/cli/connections_text.h"
#include "engine/cli/peer.h"
#include "engine/cli/status_text.h"

#include "engine/base/clock.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: hardline status [OPTION]...\n"
    "\n"
    "Shows what a running hardlined does: its parts, producers, pools and counters.\n"
    "\n"
    "  --json            the engine's own answer, a line of JSON\n"
    "  --watch[=SECONDS] again every so many seconds (1), with rates\n"
    "  --all             counters that are zero, too\n"
    "  --connections     one line for each connection instead, at most --max N (100)\n"
    "  --peer ADDR[:PORT]  with --connections: of this receiver alone\n"
    "  --socket PATH     run.admin-socket (" CLI_ADMIN_SOCKET ")\n"
    "\n"
    "Exit status: 0, 64 wrong usage, 69 no answer.\n";

struct options {
    const char *path;
    bool json, all, connections;
    struct peer peer;
    uint32_t max;   /* connections */
    double watch_s; /* 0: once */
};

#define CONNECTIONS_USUAL 100u
#define CONNECTIONS_MAX   10000u /* the engine's bound (engine/control/admin.h) */

struct sample {
    yyjson_doc *doc; /* NULL: none */
    uint64_t at_us;
};

static char *ask_for(const struct options *options, struct ask *ask, size_t *len, struct error *err)
{
    char request[160];
    int used = snprintf(request, sizeof(request), "{\"command\":\"connections\",\"max\":%u", options->max);
    if (!options->connections)
        return ask_question(ask, "status", len, err);
    if (options->peer.address[0])
        used += snprintf(request + used, sizeof(request) - (size_t)used, ",\"peer\":\"%s\"",
                         options->peer.address);
    if (options->peer.port)
        used += snprintf(request + used, sizeof(request) - (size_t)used, ",\"port\":%u", options->peer.port);
    snprintf(request + used, sizeof(request) - (size_t)used, "}");
    return ask_request(ask, request, len, err);
}

/* One question and its answer on standard output. */
static bool show(const struct options *options, struct ask *ask, struct sample *last, struct error *err)
{
    size_t len;
    char *answer = ask_for(options, ask, &len, err);
    if (!answer)
        return false;
    struct sample now = {yyjson_read(answer, len, 0), clock_now_us()};
    if (options->json) {
        fwrite(answer, 1, len, stdout);
    } else {
        if (options->watch_s > 0 && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        if (options->connections)
            connections_text(stdout, yyjson_doc_get_root(now.doc));
        else
            status_text(stdout, yyjson_doc_get_root(now.doc),
                        last->doc ? yyjson_doc_get_root(last->doc) : NULL,
                        (double)(now.at_us - last->at_us) / 1e6, options->all);
    }
    fflush(stdout);
    free(answer);
    yyjson_doc_free(last->doc);
    *last = now;
    return true;
}

static int run(const struct options *options)
{
    struct ask ask;
    struct error err;
    struct sample last = {.doc = NULL};
    bool good = ask_open(&ask, options->path, &err) && show(options, &ask, &last, &err);
    while (good && options->watch_s > 0 && !ferror(stdout)) {
        usleep((useconds_t)(options->watch_s * 1e6));
        good = show(options, &ask, &last, &err);
    }
    ask_close(&ask);
    yyjson_doc_free(last.doc);
    if (!good)
        fprintf(stderr, "hardline status: %s\n", err.text);
    return good ? EX_OK : EX_UNAVAILABLE;
}

static bool read_seconds(const char *text, double *seconds)
{
    char *end;
    *seconds = text ? strtod(text, &end) : 1;
    if (!text || (!*end && *seconds >= 0.1 && *seconds <= 3600))
        return true;
    fprintf(stderr, "hardline status: --watch=%s: allowed are 0.1 to 3600 seconds\n", text);
    return false;
}

static bool read_max(const char *text, uint32_t *max)
{
    char *end;
    unsigned long number = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    *max = (uint32_t)number;
    if (number >= 1 && number <= CONNECTIONS_MAX && !*end)
        return true;
    fprintf(stderr, "hardline status: --max %s: allowed are 1 to %u connections\n", text, CONNECTIONS_MAX);
    return false;
}

static bool read_peer(const char *text, struct peer *peer)
{
    struct error err;
    if (peer_parse(text, peer, &err))
        return true;
    fprintf(stderr, "hardline status: --peer %s\n", err.text);
    return false;
}

/* What goes with --connections alone. */
static bool fits_together(const struct options *options)
{
    if (!options->connections && (options->peer.address[0] || options->max != CONNECTIONS_USUAL))
        return fprintf(stderr, "hardline status: --peer and --max go with --connections\n"), false;
    return true;
}

int cli_status(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                          {"watch", optional_argument, NULL, 'w'},
                                          {"all", no_argument, NULL, 'a'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"connections", no_argument, NULL, 'c'},
                                          {"peer", required_argument, NULL, 'p'},
                                          {"max", required_argument, NULL, 'm'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {.path = CLI_ADMIN_SOCKET, .max = CONNECTIONS_USUAL};
    for (int which; (which = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        bool good = which != '?';
        switch (which) {
        case 'j': options.json = true; break;
        case 'a': options.all = true; break;
        case 's': options.path = optarg; break;
        case 'c': options.connections = true; break;
        case 'p': good = read_peer(optarg, &options.peer); break;
        case 'm': good = read_max(optarg, &options.max); break;
        case 'w': good = read_seconds(optarg, &options.watch_s); break;
        case 'h': fputs(usage, stdout); return EX_OK;
        default: break;
        }
        if (!good)
            return EX_USAGE;
    }
    if (optind < argc) {
        fprintf(stderr, "hardline status: what is \"%s\"? see --help\n", argv[optind]);
        return EX_USAGE;
    }
    return fits_together(&options) ? run(&options) : EX_USAGE;
}
