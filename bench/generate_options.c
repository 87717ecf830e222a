#include "bench/generate.h"

#include "engine/wire/wire.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

static const char usage[] =
    "usage: hardline-bench generate [OPTION]...\n"
    "\n"
    "Fills the ring of a running hardlined with messages that a farm (hardline-bench farm) can check, and says what became\n"
    "of them: one line of JSON on standard output.\n"
    "\n"
    "  --socket PATH         feed.socket of the engine (" HL_FEED_SOCKET ")\n"
    "  --size SIZES          bytes of a message: 10k, or sizes with weights: 2k:50,20k:40,1M:10 (10k)\n"
    "  --destinations N      to bench@mx1.DOMAIN up to bench@mxN.DOMAIN (1)\n"
    "  --spread even|zipf:S  how often each: all alike, or the k-th with a weight of 1/k^S (even)\n"
    "  --domain DOMAIN       farm.test\n"
    "  --sender ADDRESS      bench@sender.test\n"
    "  --rate N              messages a second, evenly; without it as fast as the engine takes them\n"
    "  --seconds S           how long the measured phase submits (10) ...\n"
    "  --messages N          ... or how many messages it has\n"
    "  --warmup-seconds S, --warmup-messages N\n"
    "                        the same of a phase before it that counts for nothing (none); by number: flat out\n"
    "  --in-flight N         at most so many messages without result (as many as the engine takes)\n"
    "  --copy                write every message into the arena by itself; else those of one size share their text\n"
    "  --drain S             how long to wait for results in the end, or after an interrupt (30)\n"
    "  --run N               the number that marks the messages of the warm-up; measured: N + 1 (by the clock)\n"
    "  --seed N              of all chances (1)\n"
    "  --controlled          print {\"event\": \"warm\"} and wait for a line on standard input before the measured phase\n"
    "  --quiet               no progress on standard error\n"
    "  --print-routes ADDRESS  print routes for the engine's configuration, mx1 at that address, and end\n"
    "\n"
    "Exit status: 0 all delivered, 1 something was not, 64 wrong usage, 75 no engine answers, 130 interrupted.\n";

enum code {
    OPT_SOCKET = 1,
    OPT_SIZE,
    OPT_DESTINATIONS,
    OPT_SPREAD,
    OPT_DOMAIN,
    OPT_SENDER,
    OPT_RATE,
    OPT_SECONDS,
    OPT_MESSAGES,
    OPT_WARMUP_SECONDS,
    OPT_WARMUP_MESSAGES,
    OPT_IN_FLIGHT,
    OPT_COPY,
    OPT_DRAIN,
    OPT_RUN,
    OPT_SEED,
    OPT_CONTROLLED,
    OPT_QUIET,
    OPT_PRINT_ROUTES,
    OPT_HELP
};

static const struct option longs[] = {{"socket", required_argument, NULL, OPT_SOCKET},
                                      {"size", required_argument, NULL, OPT_SIZE},
                                      {"destinations", required_argument, NULL, OPT_DESTINATIONS},
                                      {"spread", required_argument, NULL, OPT_SPREAD},
                                      {"domain", required_argument, NULL, OPT_DOMAIN},
                                      {"sender", required_argument, NULL, OPT_SENDER},
                                      {"rate", required_argument, NULL, OPT_RATE},
                                      {"seconds", required_argument, NULL, OPT_SECONDS},
                                      {"messages", required_argument, NULL, OPT_MESSAGES},
                                      {"warmup-seconds", required_argument, NULL, OPT_WARMUP_SECONDS},
                                      {"warmup-messages", required_argument, NULL, OPT_WARMUP_MESSAGES},
                                      {"in-flight", required_argument, NULL, OPT_IN_FLIGHT},
                                      {"copy", no_argument, NULL, OPT_COPY},
                                      {"drain", required_argument, NULL, OPT_DRAIN},
                                      {"run", required_argument, NULL, OPT_RUN},
                                      {"seed", required_argument, NULL, OPT_SEED},
                                      {"controlled", no_argument, NULL, OPT_CONTROLLED},
                                      {"quiet", no_argument, NULL, OPT_QUIET},
                                      {"print-routes", required_argument, NULL, OPT_PRINT_ROUTES},
                                      {"help", no_argument, NULL, OPT_HELP},
                                      {NULL, 0, NULL, 0}};

/* ---- values ---- */

static bool read_number(const char *text, double least, double most, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value) && *value >= least && *value <= most;
}

static bool read_count(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
    double number;
    if (!read_number(text, (double)least, (double)most, &number) || number != floor(number))
        return false;
    *value = (uint64_t)number;
    return true;
}

static bool read_count32(const char *text, uint64_t least, uint64_t most, uint32_t *value)
{
    uint64_t wide;
    if (!read_count(text, least, most, &wide))
        return false;
    *value = (uint32_t)wide;
    return true;
}

/* "10k" or "20k:40": bytes and weight, up to a comma or the end. */
static bool read_size(const char **at, struct generate_size *size)
{
    char *end;
    double bytes = strtod(*at, &end);
    if (end == *at)
        return false;
    if (*end == 'k' || *end == 'M')
        bytes *= *end++ == 'k' ? 1e3 : 1e6;
    size->up_to = 1;
    if (*end == ':') {
        const char *weight = ++end;
        size->up_to = strtod(weight, &end);
        if (end == weight)
            return false;
    }
    if (!(bytes >= GENERATE_SIZE_MIN && bytes <= 1e9) || !(size->up_to > 0 && size->up_to <= 1e9) ||
        (*end && (*end != ',' || !end[1])))
        return false;
    size->bytes = (uint32_t)bytes;
    *at = *end ? end + 1 : end;
    return true;
}

bool generate_sizes_read(struct generate_options *options, const char *text, struct error *err)
{
    double sum = 0, up_to = 0;
    const char *at = text;
    options->sizes = 0;
    do {
        if (options->sizes == GENERATE_SIZES_MAX)
            return error_set(err, "--size: more than %u sizes", GENERATE_SIZES_MAX);
        if (!read_size(&at, &options->size[options->sizes]))
            return error_set(err,
                             "--size: \"%.80s\" is no list of sizes, each at least %u bytes: 10k, or "
                             "2k:50,20k:40,1M:10",
                             text, GENERATE_SIZE_MIN);
        sum += options->size[options->sizes++].up_to;
    } while (*at);
    for (uint32_t i = 0; i < options->sizes; i++)
        options->size[i].up_to = up_to += options->size[i].up_to / sum;
    options->size[options->sizes - 1].up_to = 1;
    return true;
}

static bool read_spread(struct generate_options *options, const char *text)
{
    options->zipf = 0;
    if (strcmp(text, "even") == 0)
        return true;
    return strncmp(text, "zipf:", 5) == 0 && read_number(text + 5, 0.01, 10, &options->zipf);
}

/* ---- options ---- */

static bool take_text(struct generate_options *o, int code, const char *text)
{
    switch (code) {
    case OPT_SOCKET: o->socket = text; return true;
    case OPT_DOMAIN: o->domain = text; return *text && strlen(text) < 200;
    case OPT_SENDER: o->sender = text; return true;
    case OPT_PRINT_ROUTES: o->routes_from = text; return true;
    case OPT_SPREAD: return read_spread(o, text);
    case OPT_COPY: o->copy = true; return true;
    case OPT_CONTROLLED: o->controlled = true; return true;
    default: o->quiet = true; return code == OPT_QUIET;
    }
}

static bool take(struct generate_options *o, int code, const char *text)
{
    switch (code) {
    case OPT_DESTINATIONS: return read_count32(text, 1, GENERATE_DESTINATIONS_MAX, &o->destinations);
    case OPT_RATE: return read_number(text, 0.001, 1e8, &o->rate);
    case OPT_SECONDS: return read_number(text, 0.01, 1e7, &o->seconds);
    case OPT_MESSAGES: return read_count(text, 1, UINT32_MAX, &o->messages);
    case OPT_WARMUP_SECONDS: return read_number(text, 0, 1e6, &o->warmup_seconds);
    case OPT_WARMUP_MESSAGES: return read_count(text, 0, UINT32_MAX, &o->warmup_messages);
    case OPT_IN_FLIGHT: return read_count32(text, 1, UINT32_MAX, &o->in_flight);
    case OPT_DRAIN: return read_number(text, 0, 1e6, &o->drain_s);
    case OPT_RUN: return read_count32(text, 0, UINT32_MAX - 1, &o->run);
    case OPT_SEED: return read_count(text, 0, UINT32_MAX, &o->seed);
    default: return take_text(o, code, text);
    }
}

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "hardline-bench generate: %s%s: see --help\n", what, why);
    return EX_USAGE;
}

int generate_options_read(struct generate_options *options, int argc, char **argv)
{
    struct error err;
    *options = (struct generate_options){.socket = HL_FEED_SOCKET,
                                         .domain = "farm.test",
                                         .sender = "bench@sender.test",
                                         .size = {{10000, 1}},
                                         .sizes = 1,
                                         .destinations = 1,
                                         .seconds = 10,
                                         .drain_s = 30,
                                         .run = (uint32_t)(time(NULL) & 0x7fffffff),
                                         .seed = 1};
    optind = 1;
    for (int code, index; (code = getopt_long(argc, argv, "", longs, &index)) != -1;) {
        if (code == OPT_HELP) {
            fputs(usage, stdout);
            return 0;
        }
        if (code == '?')
            return complain("wrong usage", "");
        if (code == OPT_SIZE ? !generate_sizes_read(options, optarg, &err) : !take(options, code, optarg))
            return code == OPT_SIZE ? complain(err.text, "")
                                    : complain(longs[index].name, ": not a value that it takes");
    }
    return optind < argc ? complain(argv[optind], ": not expected here") : -1;
}

/* ---- routes ---- */

static void step(struct ip_addr *addr)
{
    for (unsigned i = sizeof(addr->b); i > 0; i--) {
        addr->b[i - 1]++;
        if (addr->b[i - 1] != 0)
            break;
    }
}

bool generate_print_routes(const struct generate_options *options, struct error *err)
{
    struct ip_addr addr;
    char text[IP_ADDR_TEXT_MAX];
    if (!ip_parse(options->routes_from, &addr))
        return error_set(err, "--print-routes: \"%s\" is not an IP address", options->routes_from);
    fputs("route = (\n", stdout);
    for (uint32_t i = 1; i <= options->destinations; i++, step(&addr))
        printf("  { domain = \"mx%u.%s\"; hops = ( { host = \"mx%u.%s\"; address = \"%s\"; } ); }%s\n", i,
               options->domain, i, options->domain, ip_format(&addr, text),
               i < options->destinations ? "," : "");
    fputs(");\n", stdout);
    return true;
}
