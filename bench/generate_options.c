#include "bench/generate.h"
#include "bench/options.h"
#include "engine/wire/wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
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
    "  --run N               the number that marks the messages of the warm-up; measured: N + 1 (chosen by chance)\n"
    "  --seed N              of all chances (1)\n"
    "  --controlled          print {\"event\": \"warm\"} and wait for a line on standard input before the measured phase\n"
    "  --quiet               no progress on standard error\n"
    "  --print-routes ADDRESS  print routes for the engine's configuration, mx1 at that address, and end\n"
    "\n"
    "Exit status: 0 all delivered, 1 something was not, 64 wrong usage, 75 no engine answers, 130 interrupted.\n";

enum {
    OPT_SOCKET = 256,
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
    OPT_PRINT_ROUTES
};

static const struct option known[] = {{"socket", required_argument, NULL, OPT_SOCKET},
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
                                      {"help", no_argument, NULL, OPTIONS_HELP},
                                      {NULL, 0, NULL, 0}};

/* ---- values ---- */

static bool read_number(const char *text, double least, double most, double *value, struct error *err)
{
    char *end;
    *value = strtod(text, &end);
    if (end == text || *end || !(*value >= least && *value <= most))
        return error_set(err, "\"%.80s\" is not a number from %.15g to %.15g", text, least, most);
    return true;
}

static bool read_count(const char *text, uint64_t least, uint64_t most, uint64_t *value, struct error *err)
{
    double number = 0;
    if (!read_number(text, (double)least, (double)most, &number, err))
        return false;
    if (number != floor(number))
        return error_set(err, "\"%.80s\" is not a whole number", text);
    *value = (uint64_t)number;
    return true;
}

static bool read_count32(const char *text, uint64_t least, uint64_t most, uint32_t *value, struct error *err)
{
    uint64_t wide = 0;
    if (!read_count(text, least, most, &wide, err))
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
            return error_set(err, "more than %u sizes", GENERATE_SIZES_MAX);
        if (!read_size(&at, &options->size[options->sizes]))
            return error_set(err,
                             "\"%.80s\" is no list of sizes, each at least %u bytes: 10k, or "
                             "2k:50,20k:40,1M:10",
                             text, GENERATE_SIZE_MIN);
        sum += options->size[options->sizes++].up_to;
    } while (*at);
    for (uint32_t i = 0; i < options->sizes; i++)
        options->size[i].up_to = up_to += options->size[i].up_to / sum;
    options->size[options->sizes - 1].up_to = 1;
    return true;
}

static bool read_spread(struct generate_options *options, const char *text, struct error *err)
{
    options->zipf = 0;
    if (strcmp(text, "even") == 0)
        return true;
    if (strncmp(text, "zipf:", 5) != 0)
        return error_set(err, "\"%.80s\" is neither even nor zipf:S, like zipf:1.1", text);
    return read_number(text + 5, 0.01, 10, &options->zipf, err);
}

static bool read_domain(struct generate_options *options, const char *text, struct error *err)
{
    options->domain = text;
    return (*text && strlen(text) < 200) ||
           error_set(err, "a domain of 1 to 199 characters is needed, like farm.test");
}

static bool read_sender(struct generate_options *options, const char *text, struct error *err)
{
    options->sender = text;
    return (strchr(text, '@') && strlen(text) < 200) ||
           error_set(err, "\"%.80s\" is no address of at most 199 characters, like bench@sender.test", text);
}

/* ---- options ---- */

static bool set_text(struct generate_options *o, int option, const char *text, struct error *err)
{
    switch (option) {
    case OPT_SOCKET: o->socket = text; return true;
    case OPT_DOMAIN: return read_domain(o, text, err);
    case OPT_SENDER: return read_sender(o, text, err);
    case OPT_PRINT_ROUTES: o->routes_from = text; return true;
    case OPT_SPREAD: return read_spread(o, text, err);
    case OPT_COPY: o->copy = true; return true;
    case OPT_CONTROLLED: o->controlled = true; return true;
    default: o->quiet = true; return true;
    }
}

static bool set(void *into, int option, const char *text, struct error *err)
{
    struct generate_options *o = into;
    switch (option) {
    case OPT_SIZE: return generate_sizes_read(o, text, err);
    case OPT_DESTINATIONS: return read_count32(text, 1, GENERATE_DESTINATIONS_MAX, &o->destinations, err);
    case OPT_RATE: return read_number(text, 0.001, 1e8, &o->rate, err);
    case OPT_SECONDS: return read_number(text, 0.01, 1e7, &o->seconds, err);
    case OPT_MESSAGES: return read_count(text, 1, UINT32_MAX, &o->messages, err);
    case OPT_WARMUP_SECONDS: return read_number(text, 0, 1e6, &o->warmup_seconds, err);
    case OPT_WARMUP_MESSAGES: return read_count(text, 0, UINT32_MAX, &o->warmup_messages, err);
    case OPT_IN_FLIGHT: return read_count32(text, 1, UINT32_MAX, &o->in_flight, err);
    case OPT_DRAIN: return read_number(text, 0, 1e6, &o->drain_s, err);
    case OPT_RUN: return read_count32(text, 0, UINT32_MAX - 1, &o->run, err);
    case OPT_SEED: return read_count(text, 0, UINT32_MAX, &o->seed, err);
    default: return set_text(o, option, text, err);
    }
}

static bool complete(void *into, struct error *err)
{
    (void)into;
    (void)err;
    return true;
}

int generate_options_read(struct generate_options *options, int argc, char **argv)
{
    static const struct options_form form = {help, known, set, complete};
    *options = (struct generate_options){.socket = HL_FEED_SOCKET,
                                         .domain = "farm.test",
                                         .sender = "bench@sender.test",
                                         .size = {{10000, 1}},
                                         .sizes = 1,
                                         .destinations = 1,
                                         .seconds = 10,
                                         .drain_s = 30,
                                         .run = arc4random() &
                                                0x7ffffffeu, /* even: the next is the measured phase's */
                                         .seed = 1};
    return options_read(&form, options, argc, argv);
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
