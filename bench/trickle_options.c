#include "bench/options.h"
#include "bench/trickle.h"

#include <stdio.h>

static const char help[] =
    "usage: hardline-bench trickle --device DEVICE --address ADDRESS/PREFIX --to ADDRESS[+COUNT] [OPTION]...\n"
    "Opens many connections to a farm without TLS (hardline-bench farm --plain) on our own TCP/IP stack, keeps all of them\n"
    "open and sends a message now and then on one of them: what a message costs, and a connection's memory, of the stack\n"
    "alone. One line of JSON on standard output.\n\n"
    "  --device DEVICE       DPDK device or its PCI address: net_memif0,role=client,socket=/tmp/m.sock\n"
    "  --address A/P         ours, IPv4 or IPv6\n"
    "  --to ADDRESS[+N]      the farm's, N of them in turn (1); some 60,000 connections go to one\n"
    "  --port N              (25)\n"
    "  --connections N       open at once (1000)\n"
    "  --rate N              messages a second over all of them (2000)\n"
    "  --size BYTES          of a message (2000)\n"
    "  --idle-seconds S      without a message, once all stand: what that costs (1)\n"
    "  --seconds S           of messages after that (5)\n"
    "  --open-seconds S      for all connections to stand, at the most (120)\n"
    "  --buffers N           packet buffers (16384)\n"
    "  --memory-mb N         for packets and rings (as the buffers need)\n"
    "  --cpu N               run on that CPU\n"
    "\nExit status: 0 each message was answered with 250, 1 not, 64 wrong usage.\n";

enum {
    OPT_DEVICE = 256,
    OPT_ADDRESS,
    OPT_TO,
    OPT_PORT,
    OPT_CONNECTIONS,
    OPT_RATE,
    OPT_SIZE,
    OPT_IDLE,
    OPT_SECONDS,
    OPT_OPEN,
    OPT_BUFFERS,
    OPT_MEMORY,
    OPT_CPU
};

static const struct option known[] = {
    {"device", required_argument, NULL, OPT_DEVICE},
    {"address", required_argument, NULL, OPT_ADDRESS},
    {"to", required_argument, NULL, OPT_TO},
    {"port", required_argument, NULL, OPT_PORT},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"size", required_argument, NULL, OPT_SIZE},
    {"idle-seconds", required_argument, NULL, OPT_IDLE},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"open-seconds", required_argument, NULL, OPT_OPEN},
    {"buffers", required_argument, NULL, OPT_BUFFERS},
    {"memory-mb", required_argument, NULL, OPT_MEMORY},
    {"cpu", required_argument, NULL, OPT_CPU},
    {"help", no_argument, NULL, OPTIONS_HELP},
    {NULL, 0, NULL, 0},
};

static bool read_to(struct trickle_options *o, const char *text, struct error *err)
{
    char first[IP_ADDR_TEXT_MAX];
    int end = 0;
    o->to_count = 1;
    if (sscanf(text, "%45[0-9a-fA-F.:]%n+%u%n", first, &end, &o->to_count, &end) < 1 || text[end] ||
        !ip_parse(first, &o->to) || o->to_count < 1 || o->to_count > 65536)
        return error_set(err, "\"%s\" is not ADDRESS or ADDRESS+COUNT, 65536 at the most", text);
    return true;
}

static bool set(void *into, int option, const char *text, struct error *err)
{
    struct trickle_options *o = into;
    uint32_t number = 0;
    switch (option) {
    case OPT_DEVICE: o->device = text; return true;
    case OPT_ADDRESS: o->address = text; return true;
    case OPT_TO: return read_to(o, text, err);
    case OPT_PORT:
        if (!options_number(text, 1, UINT16_MAX, &number, err))
            return false;
        o->port = (uint16_t)number;
        return true;
    case OPT_CONNECTIONS: return options_number(text, 1, 1u << 22, &o->connections, err);
    case OPT_RATE: return options_number(text, 1, 1000000, &o->rate, err);
    case OPT_SIZE: return options_number(text, TRICKLE_SIZE_MIN, TRICKLE_SIZE_MAX, &o->size, err);
    case OPT_IDLE: return options_number(text, 1, 600, &o->idle_s, err);
    case OPT_SECONDS: return options_number(text, 1, 3600, &o->seconds, err);
    case OPT_OPEN: return options_number(text, 1, 3600, &o->open_s, err);
    case OPT_BUFFERS: return options_number(text, 2048, 1u << 22, &o->buffers, err);
    case OPT_MEMORY: return options_number(text, 32, 1u << 20, &o->memory_mb, err);
    default:
        if (!options_number(text, 0, 1023, &number, err))
            return false;
        o->cpu = (int)number;
        return true;
    }
}

static bool complete(void *into, struct error *err)
{
    struct trickle_options *o = into;
    if (!o->device || !o->address || !o->to_count)
        return error_set(err, "--device, --address and --to are needed: see --help");
    if (o->connections / o->to_count > 60000)
        return error_set(err, "--connections: 60000 at the most to one address; --to has %u", o->to_count);
    if (!o->memory_mb)
        o->memory_mb = o->buffers / 256 + 96; /* an ordinary page each; descriptors, rings and EAL */
    return true;
}

int trickle_options_read(struct trickle_options *o, int argc, char **argv)
{
    static const struct options_form form = {help, known, set, complete};
    *o = (struct trickle_options){.port = 25,
                                  .connections = 1000,
                                  .rate = 2000,
                                  .size = 2000,
                                  .idle_s = 1,
                                  .seconds = 5,
                                  .open_s = 120,
                                  .buffers = 16384,
                                  .cpu = -1};
    return options_read(&form, o, argc, argv);
}
