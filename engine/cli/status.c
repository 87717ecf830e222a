/* hardline status: what a running engine does, once or again and again. */
#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/ask.h"
#include "engine/cli/cli.h"
#include "engine/cli/status_text.h"

#include "engine/base/clock.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] = "usage: hardline status [OPTION]...\n"
                            "\n"
                            "Shows what a running hardlined does: its parts, producers, pools and counters.\n"
                            "\n"
                            "  --json            the engine's own answer, a line of JSON\n"
                            "  --watch[=SECONDS] again every so many seconds (1), with rates\n"
                            "  --all             counters that are zero, too\n"
                            "  --socket PATH     run.admin-socket (" CLI_ADMIN_SOCKET ")\n"
                            "\n"
                            "Exit status: 0, 64 wrong usage, 69 no answer.\n";

struct options {
    const char *path;
    bool json, all;
    double watch_s; /* 0: once */
};

struct sample {
    yyjson_doc *doc; /* NULL: none */
    uint64_t at_us;
};

/* One question and its answer on standard output. */
static bool show(const struct options *options, struct ask *ask, struct sample *last, struct error *err)
{
    size_t len;
    char *answer = ask_question(ask, "status", &len, err);
    if (!answer)
        return false;
    struct sample now = {yyjson_read(answer, len, 0), clock_now_us()};
    if (options->json) {
        fwrite(answer, 1, len, stdout);
    } else {
        if (options->watch_s > 0 && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        status_text(stdout, yyjson_doc_get_root(now.doc), last->doc ? yyjson_doc_get_root(last->doc) : NULL,
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

int cli_status(int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'}, {"watch", optional_argument, NULL, 'w'},
        {"all", no_argument, NULL, 'a'},  {"socket", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct options options = {.path = CLI_ADMIN_SOCKET};
    for (int which; (which = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        switch (which) {
        case 'j': options.json = true; break;
        case 'a': options.all = true; break;
        case 's': options.path = optarg; break;
        case 'w':
            if (!read_seconds(optarg, &options.watch_s))
                return EX_USAGE;
            break;
        case 'h': fputs(usage, stdout); return EX_OK;
        default: return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "hardline status: what is \"%s\"? see --help\n", argv[optind]);
        return EX_USAGE;
    }
    return run(&options);
}
