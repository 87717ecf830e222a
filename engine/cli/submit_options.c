#include "engine/cli/submit.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: hardline submit [OPTION]... [FILE | DIRECTORY | -]...\n"
    "\n"
    "Hands messages over to a running hardlined and says what became of each recipient. A directory stands for\n"
    "its files, in order of their names. Without a file: standard input, one message.\n"
    "\n"
    "The envelope, for all messages:\n"
    "  -f, --from ADDRESS     sender; --from '' is the null sender <>\n"
    "      --to ADDRESS       a recipient; may be given several times\n"
    "  -t, --read-recipients  recipients from To, Cc and Bcc, which is removed; the sender from Sender or From,\n"
    "                         if --from is not given\n"
    "      --jobs FILE        instead of files: a list of jobs, one JSON object a line (- for standard input):\n"
    "                         {\"path\": \"m.eml\", \"from\": \"a@x.example\", \"to\": [\"b@y.example\"], \"next-hop\": \"mx:25\",\n"
    "                          \"tag\": \"t\", \"tls-floor\": \"secure\", \"requiretls\": true, \"deadline-s\": 60}\n"
    "                         Only path and to must be there; the options below count for what is not.\n"
    "      --next-hop HOP     where to send: host, host:port, [address]:port; not by the engine's routes\n"
    "      --smtputf8         the message takes SMTPUTF8 (on by itself if an address is not ASCII)\n"
    "\n"
    "The message:\n"
    "      --normalise        make CRLF of bare CR and LF; without it a message with any is refused, as what one\n"
    "                         server takes for a line end and another not makes two messages of one\n"
    "\n"
    "Delivery:\n"
    "      --tls-floor LEVEL  the least the connection must prove: encrypt, verify or secure\n"
    "      --requiretls       RFC 8689: every further server must use TLS, too\n"
    "      --tls-optional     TLS-Required: no (RFC 8689), where the engine's operator allows it\n"
    "      --exception        lower this job's own floor, where the engine's operator allows it\n"
    "      --deadline SECONDS what is not delivered by then is deferred\n"
    "      --priority N       0 to 255; higher is more urgent (this engine keeps the order all the same)\n"
    "      --source-pool N    which of the engine's source addresses\n"
    "      --tag TEXT         for the engine's log\n"
    "\n"
    "The run:\n"
    "      --socket PATH      feed.socket of the engine (" HL_FEED_SOCKET ")\n"
    "      --retry SECONDS    if the engine dies, wait so long for another and send again what was not sent; what\n"
    "                         is in doubt is not sent again (0: give up at once)\n"
    "      --drain SECONDS    how long an interrupted run waits for what is in flight (30); a second ^C ends it now\n"
    "      --in-flight N      at most so many messages at once (as many as the engine takes)\n"
    "      --json             a line of JSON for each recipient, with all evidence, and a summary\n"
    "  -v, --verbose          a line for what was delivered, too\n"
    "  -q, --quiet            no progress, no summary\n"
    "  -h, --help             this\n"
    "\n"
    "Exit status: 0 all delivered. Otherwise the first of these that holds:\n"
    "  79  a recipient is in doubt: it may have the message, sending it again may make a second one\n"
    "  69  a recipient failed for good\n"
    "  65  a message or its envelope cannot be sent as it is\n"
    "  66  a message could not be read\n"
    "  75  something was deferred or not sent: try that again later; or no engine answers\n"
    "Or: 64 wrong usage, 76 engine and program are of different releases, 77 the engine refuses this user.\n";

enum option_code {
    OPT_TO = 256,
    OPT_JOBS,
    OPT_NEXT_HOP,
    OPT_SMTPUTF8,
    OPT_NORMALISE,
    OPT_TLS_FLOOR,
    OPT_REQUIRETLS,
    OPT_TLS_OPTIONAL,
    OPT_EXCEPTION,
    OPT_DEADLINE,
    OPT_PRIORITY,
    OPT_SOURCE_POOL,
    OPT_TAG,
    OPT_SOCKET,
    OPT_RETRY,
    OPT_DRAIN,
    OPT_IN_FLIGHT,
    OPT_JSON,
};

static const struct option longs[] = {
    {"from", required_argument, NULL, 'f'},
    {"to", required_argument, NULL, OPT_TO},
    {"read-recipients", no_argument, NULL, 't'},
    {"jobs", required_argument, NULL, OPT_JOBS},
    {"next-hop", required_argument, NULL, OPT_NEXT_HOP},
    {"smtputf8", no_argument, NULL, OPT_SMTPUTF8},
    {"normalise", no_argument, NULL, OPT_NORMALISE},
    {"tls-floor", required_argument, NULL, OPT_TLS_FLOOR},
    {"requiretls", no_argument, NULL, OPT_REQUIRETLS},
    {"tls-optional", no_argument, NULL, OPT_TLS_OPTIONAL},
    {"exception", no_argument, NULL, OPT_EXCEPTION},
    {"deadline", required_argument, NULL, OPT_DEADLINE},
    {"priority", required_argument, NULL, OPT_PRIORITY},
    {"source-pool", required_argument, NULL, OPT_SOURCE_POOL},
    {"tag", required_argument, NULL, OPT_TAG},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"retry", required_argument, NULL, OPT_RETRY},
    {"drain", required_argument, NULL, OPT_DRAIN},
    {"in-flight", required_argument, NULL, OPT_IN_FLIGHT},
    {"json", no_argument, NULL, OPT_JSON},
    {"verbose", no_argument, NULL, 'v'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool bad(const char *option, const char *text, const char *allowed)
{
    fprintf(stderr, "hardline submit: --%s takes %s, not \"%s\"\n", option, allowed, text);
    return false;
}

static bool read_number(const char *option, const char *text, uint64_t max, uint32_t *number)
{
    char *end, allowed[64];
    unsigned long long value = strtoull(text, &end, 10);
    snprintf(allowed, sizeof(allowed), "a number from 0 to %llu", (unsigned long long)max);
    if (*text < '0' || *text > '9' || *end || value > max)
        return bad(option, text, allowed);
    *number = (uint32_t)value;
    return true;
}

static bool read_seconds(const char *option, const char *text, double *seconds)
{
    char *end;
    *seconds = strtod(text, &end);
    if (end == text || *end || !(*seconds >= 0) || *seconds > 1e8)
        return bad(option, text, "seconds");
    return true;
}

static bool set_text(char **to, const char *text)
{
    free(*to);
    *to = strdup(text);
    if (!*to)
        fputs("hardline submit: out of memory\n", stderr);
    return *to != NULL;
}

bool options_floor(const char *name, uint8_t *level)
{
    for (int i = HL_TLS_ENCRYPT; i <= HL_TLS_SECURE; i++)
        if (strcmp(name, hl_tls_level_name(i)) == 0) {
            *level = (uint8_t)i;
            return true;
        }
    return false;
}

static bool flag(struct submit_options *o, uint32_t flags)
{
    o->envelope.flags |= flags;
    return true;
}

static bool on(bool *what)
{
    *what = true;
    return true;
}

static bool take_priority(struct submit_options *o, const char *text)
{
    uint32_t priority = 0;
    if (!read_number("priority", text, 255, &priority))
        return false;
    o->envelope.priority = (uint8_t)priority;
    return true;
}

static bool take(struct submit_options *o, int code, const char *text)
{
    switch (code) {
    case 'f': return set_text(&o->envelope.from, text);
    case OPT_TO: return envelope_add_to(&o->envelope, text, strlen(text), NULL);
    case 't': return on(&o->read_headers);
    case OPT_JOBS: o->jobs_path = text; return true;
    case OPT_NEXT_HOP: return set_text(&o->envelope.next_hop, text);
    case OPT_SMTPUTF8: return flag(o, HL_JOB_SMTPUTF8);
    case OPT_NORMALISE: return flag(o, HL_JOB_NORMALISE);
    case OPT_TLS_FLOOR:
        return options_floor(text, &o->envelope.tls_floor) ||
               bad("tls-floor", text, "encrypt, verify or secure");
    case OPT_REQUIRETLS: return flag(o, HL_JOB_REQUIRETLS);
    case OPT_TLS_OPTIONAL: return flag(o, HL_JOB_TLS_OPTIONAL);
    case OPT_EXCEPTION: return flag(o, HL_JOB_EXCEPTION);
    case OPT_DEADLINE: return read_seconds("deadline", text, &o->envelope.deadline_s);
    case OPT_PRIORITY: return take_priority(o, text);
    case OPT_SOURCE_POOL: return read_number("source-pool", text, UINT32_MAX, &o->envelope.source_pool);
    case OPT_TAG: return set_text(&o->envelope.tag, text);
    case OPT_SOCKET: o->socket_path = text; return true;
    case OPT_RETRY: return read_seconds("retry", text, &o->retry_s);
    case OPT_DRAIN: return read_seconds("drain", text, &o->drain_s);
    case OPT_IN_FLIGHT: return read_number("in-flight", text, UINT32_MAX, &o->in_flight_max);
    case OPT_JSON: return on(&o->json);
    case 'v': return on(&o->verbose);
    case 'q': return on(&o->quiet);
    default: return false; /* getopt has said why */
    }
}

static bool wrong(const char *what)
{
    fprintf(stderr, "hardline submit: %s; see --help\n", what);
    return false;
}

static bool check(const struct submit_options *o)
{
    bool has_to = o->envelope.to_count > 0;
    if (o->jobs_path && (o->paths_count || has_to || o->read_headers))
        return wrong("--jobs names the messages and their recipients: no files, --to or -t beside it");
    if (o->jobs_path)
        return true;
    if (has_to && o->read_headers)
        return wrong("recipients come from --to or from the header (-t), not from both");
    if (!has_to && !o->read_headers)
        return wrong("no recipients: give --to, -t or --jobs");
    if (!o->envelope.from && !o->read_headers)
        return wrong("no sender: give --from (--from '' for the null sender)");
    if (o->paths_count == 0 && isatty(STDIN_FILENO))
        return wrong("no message: name files or a directory, or - to type one");
    return true;
}

bool options_read(struct submit_options *o, int argc, char **argv, int *status)
{
    *o = (struct submit_options){.socket_path = HL_FEED_SOCKET, .drain_s = 30};
    *status = EX_USAGE;
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, "f:tvqh", longs, NULL)) != -1;) {
        if (code == 'h') {
            fputs(usage, stdout);
            *status = EX_OK;
        }
        if (code == 'h' || !take(o, code, optarg)) {
            envelope_clear(&o->envelope);
            return false;
        }
    }
    o->paths = argv + optind;
    o->paths_count = argc - optind;
    if (check(o))
        return true;
    envelope_clear(&o->envelope);
    return false;
}
