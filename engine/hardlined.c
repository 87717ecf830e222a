/* hardlined: the engine as a daemon.  Everything it does is behind hardline.h. */
#include "engine/hardline.h"

#include <getopt.h>
#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define SETS_MAX  64
#define SET_BYTES 600

/* jemalloc looks for this name.  A handshake makes and frees a thousand small things all over the heap, and 5 % of its time went
 * into finding their pages.  MALLOC_CONF in the environment goes before it; where the kernel has no such pages nothing changes.
 */
const char *malloc_conf = "thp:always,metadata_thp:always";

static const char usage[] =
    "usage: hardlined -c FILE [OPTION]...\n"
    "\n"
    "Delivers mail that producers hand over, over verified TLS only. Stays in the foreground.\n"
    "\n"
    "  -c, --config FILE    the configuration (/etc/hardline/hardline.conf)\n"
    "      --check          check it, say everything that is wrong, and end\n"
    "      --probe          open the device for a moment, say what it is, and end\n"
    "      --settings       explain every key and end\n"
    "      --set KEY=VALUE  override a key: --set limits.connections=100; may be given several times\n"
    "      --port DEVARGS   short for --set port.device=DEVARGS\n"
    "      --idle poll|sleep  short for --set cores.idle=...\n"
    "      --no-huge        short for --set memory.huge=no\n"
    "      --foreground     accepted for the sake of unit files: there is nothing else\n"
    "      --version, --help\n"
    "\n"
    "Signals: TERM, INT finish what is in flight and end, a second one ends at once; HUP reads rules, routes and users\n"
    "anew; USR1 puts the status into the log.\n"
    "Exit status: 0 ended in order, 64 wrong usage, 69 something of this machine is missing, 75 jobs in flight were\n"
    "given up (each has its result), 77 not permitted, 78 the configuration is wrong.\n";

struct options {
    struct hl_engine_options engine;
    const char *set[SETS_MAX];
    char made[SETS_MAX][SET_BYTES]; /* of set[], those that short options stand for */
    int check, probe;
};

static void add_set(struct options *options, const char *set)
{
    if (options->engine.sets == SETS_MAX) {
        fprintf(stderr, "hardlined: more than %d settings on the command line: write them into a file\n",
                SETS_MAX);
        exit(EX_USAGE);
    }
    options->set[options->engine.sets++] = set;
}

/* A short option for a key: "cores.idle=" and its value. */
static void add_short(struct options *options, const char *key, const char *value)
{
    char *made = options->made[options->engine.sets % SETS_MAX];
    if (snprintf(made, SET_BYTES, "%s%s", key, value) >= SET_BYTES) {
        fprintf(stderr, "hardlined: the value of %s is too long\n", key);
        exit(EX_USAGE);
    }
    add_set(options, made);
}

static void print_line(void *out, const char *text)
{
    fprintf(out, "%s\n", text);
}

enum {
    OPT_CHECK = 256,
    OPT_PROBE,
    OPT_SETTINGS,
    OPT_SET,
    OPT_PORT,
    OPT_IDLE,
    OPT_NO_HUGE,
    OPT_FOREGROUND,
    OPT_VERSION
};

static const struct option longs[] = {
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, OPT_CHECK},
    {"probe", no_argument, NULL, OPT_PROBE},
    {"settings", no_argument, NULL, OPT_SETTINGS},
    {"set", required_argument, NULL, OPT_SET},
    {"port", required_argument, NULL, OPT_PORT},
    {"idle", required_argument, NULL, OPT_IDLE},
    {"no-huge", no_argument, NULL, OPT_NO_HUGE},
    {"foreground", no_argument, NULL, OPT_FOREGROUND},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void read_option(struct options *options, int which)
{
    switch (which) {
    case 'c': options->engine.config_file = optarg; break;
    case OPT_CHECK: options->check = 1; break;
    case OPT_PROBE: options->probe = 1; break;
    case OPT_SET: add_set(options, optarg); break;
    case OPT_PORT: add_short(options, "port.device=", optarg); break;
    case OPT_IDLE: add_short(options, "cores.idle=", optarg); break;
    case OPT_NO_HUGE: add_set(options, "memory.huge=no"); break;
    case OPT_FOREGROUND: break;
    case OPT_SETTINGS: hl_engine_settings(print_line, stdout); exit(EX_OK);
    case OPT_VERSION: printf("hardlined %s\n", hl_engine_version()); exit(EX_OK);
    case 'h': fputs(usage, stdout); exit(EX_OK);
    default: fprintf(stderr, "hardlined: see hardlined --help\n"); exit(EX_USAGE);
    }
}

static int exit_status(enum hl_engine_result result)
{
    switch (result) {
    case HL_ENGINE_OK: return EX_OK;
    case HL_ENGINE_CONFIG: return EX_CONFIG;
    case HL_ENGINE_RIGHTS: return EX_NOPERM;
    default: return EX_UNAVAILABLE;
    }
}

static int check(const struct options *options)
{
    size_t problems = hl_engine_check(&options->engine, print_line, stderr);
    if (problems == 0)
        printf("%s: good\n", options->engine.config_file);
    return problems ? EX_CONFIG : EX_OK;
}

static int serve(const struct options *options)
{
    char error[HL_ENGINE_ERROR_MAX] = "";
    struct hl_engine *engine = NULL;
    int given_up = 0;
    enum hl_engine_result result = hl_engine_open(&options->engine, &engine, error);
    if (result == HL_ENGINE_OK)
        result = hl_engine_start(engine, error);
    if (result == HL_ENGINE_OK)
        given_up = hl_engine_run(engine);
    else
        fprintf(stderr, "hardlined: %s\n", error);
    hl_engine_close(engine);
    return given_up ? EX_TEMPFAIL : exit_status(result);
}

int main(int argc, char **argv)
{
    static struct options options = {.engine = {.size = sizeof(options.engine), .own_process = 1}};
    options.engine.config_file = "/etc/hardline/hardline.conf";
    options.engine.set = options.set;
    for (int which; (which = getopt_long(argc, argv, "c:h", longs, NULL)) != -1;)
        read_option(&options, which);
    if (optind < argc) {
        fprintf(stderr, "hardlined: what is \"%s\"? see hardlined --help\n", argv[optind]);
        return EX_USAGE;
    }
    return options.check   ? check(&options)
           : options.probe ? exit_status(hl_engine_probe(&options.engine, print_line, stdout))
                           : serve(&options);
}
