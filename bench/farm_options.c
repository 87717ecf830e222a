#include "bench/farm_options.h"

#include "bench/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: hardline-bench farm --device DEVICE --addresses ADDRESS/PREFIX[+COUNT] [OPTION]...\n"
    "A receiving MX on our own TCP/IP stack, which checks each message that it receives.\n\n"
    "  --device DEVICE       DPDK device or its PCI address: net_memif0,role=server,socket=/tmp/m.sock\n"
    "  --addresses A/P[+N]   N addresses from A on (1), IPv4 or IPv6; may be repeated\n"
    "  --gateway ADDRESS     route to everybody else\n"
    "  --port N --tls-port N ports for STARTTLS (25) and for TLS from the start (465); 0: none\n"
    "  --names N             host names mx1.DOMAIN to mxN.DOMAIN (as many as addresses), name i at address i\n"
    "  --domain DOMAIN       farm.test\n"
    "  --key KIND            rsa2048 (default), rsa3072, p256, p384, ed25519, mixed\n"
    "  --ca-out FILE         where the root certificates go, for the sender to trust\n"
    "  --chain F --private-key F  this chain and key, PEM, for all names instead\n"
    "  --tls VERSIONS        1.2, 1.3 or both (default)\n"
    "  --groups LIST         key exchange groups, like X25519:P-256\n"
    "  --tickets N           session tickets after a full handshake (2); 0: no resumption\n"
    "  --no-chunking         do not offer CHUNKING\n"
    "  --plain               no TLS at all: for tests of the farm itself\n"
    "  --connections N       open at once, at the most (1024)\n"
    "  --idle-timeout S      end connections of which nothing has been heard for so long (300); 0: never\n"
    "  --buffers N           packet buffers (16384)\n"
    "  --memory-mb N         for packets and rings (as the buffers need)\n"
    "  --cpu N               run on that CPU\n"
    "  --poll                never sleep\n"
    "  --latency MS          wait before each flight of answers\n"
    "  --work US             microseconds of CPU for each message: a slow receiver\n"
    "  --hold N [--hold-ms M]  keep answers until N flights of them wait, M milliseconds at the most (5)\n"
    "  --fail CODE:RATE[@STAGE]  451:1%, at greeting, ehlo, mail, rcpt or message (default); may be repeated\n"
    "  --drop-connection RATE    cut the connection instead of answering a message\n"
    "  --refuse RATE         reset connections as soon as they stand\n"
    "  --greylist            451 to a recipient that has not been seen before\n"
    "  --faults-rx SPEC --faults-tx SPEC  on the wire: drop=1%,delay=20ms,...\n"
    "  --seed N              of all chances (1)\n"
    "  --messages N          end when so many have come\n"
    "  --any-message         messages that the generator has not made are no error\n"
    "  --json FILE           the lines of JSON go there instead of standard output\n"
    "  --status-every S      progress to standard error\n"
    "\nSIGUSR1 prints the figures so far, SIGTERM and SIGINT end it. Exit status: 0 all that came was whole, 1 not.\n";

/* ---- values ---- */

static bool read_u64(const char *text, uint64_t *value, struct error *err)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (end == text || *end || *text == '-' || errno)
        return error_set(err, "\"%.80s\" is not a whole number below 2^64", text);
    return true;
}

static bool read_port(const char *text, uint16_t *port, struct error *err)
{
    uint32_t wide;
    if (!options_number(text, 0, UINT16_MAX, &wide, err))
        return false;
    *port = (uint16_t)wide;
    return true;
}

static bool read_ms(const char *text, uint32_t *us, struct error *err)
{
    char *end;
    double ms = strtod(text, &end);
    if (end == text || *end || !(ms >= 0 && ms <= 60000))
        return error_set(err, "\"%s\" is not a number of milliseconds up to 60000", text);
    *us = (uint32_t)(ms * 1000);
    return true;
}

/* "1%" or "250ppm", up to the end or to '@'. */
static bool read_rate(const char *text, uint32_t *ppm, const char **rest, struct error *err)
{
    char *end;
    double value = strtod(text, &end);
    double scale = *end == '%' ? 1e4 : strncmp(end, "ppm", 3) == 0 ? 1 : 0;
    *rest = end + (*end == '%' ? 1 : 3);
    if (end == text || scale == 0 || !(value >= 0 && value * scale <= 1e6))
        return error_set(err, "\"%s\" is no rate: write it as 0.1%% or 250ppm", text);
    *ppm = (uint32_t)(value * scale);
    return true;
}

static bool read_whole_rate(const char *text, uint32_t *ppm, struct error *err)
{
    const char *rest;
    return read_rate(text, ppm, &rest, err) &&
           (!*rest || error_set(err, "\"%s\" has something behind it", text));
}

static bool read_versions(const char *text, struct farm_tls_config *tls, struct error *err)
{
    bool both = strcmp(text, "both") == 0;
    if (!both && strcmp(text, "1.2") != 0 && strcmp(text, "1.3") != 0)
        return error_set(err, "TLS version \"%s\" is not known: 1.2, 1.3 or both", text);
    tls->version_min = both || text[2] == '2' ? TLS1_2_VERSION : TLS1_3_VERSION;
    tls->version_max = both || text[2] == '3' ? TLS1_3_VERSION : TLS1_2_VERSION;
    return true;
}

/* ---- faults ---- */

static const char *const stage_names[FARM_STAGES] = {"greeting", "ehlo", "mail", "rcpt", "message"};

static bool read_stage(const char *text, enum farm_stage *stage, struct error *err)
{
    *stage = FARM_AT_MESSAGE;
    if (!*text)
        return true;
    for (unsigned i = 0; *text == '@' && i < FARM_STAGES; i++)
        if (strcmp(text + 1, stage_names[i]) == 0) {
            *stage = (enum farm_stage)i;
            return true;
        }
    return error_set(err, "\"%s\" is no stage: @greeting, @ehlo, @mail, @rcpt or @message", text);
}

bool farm_options_fault(struct farm_options *o, const char *text, struct error *err)
{
    const char *rest;
    char *colon;
    long code = strtol(text, &colon, 10);
    if (o->faults == FARM_FAULTS_MAX)
        return error_set(err, "%u faults are the most", FARM_FAULTS_MAX);
    if (code < 400 || code > 599 || *colon != ':')
        return error_set(err, "\"%s\" does not begin with a code from 400 to 599 and a colon", text);
    struct farm_fault *fault = &o->fault[o->faults];
    if (!read_rate(colon + 1, &fault->ppm, &rest, err) || !read_stage(rest, &fault->stage, err))
        return false;
    snprintf(fault->reply, sizeof(fault->reply), "%ld %ld.3.0 As the farm was told", code, code / 100);
    o->faults++;
    return true;
}

/* ---- addresses ---- */

static uint32_t last_word(const struct ip_addr *addr)
{
    struct bytes_in in = bytes_in(addr->b + 12, 4);
    return bytes_be32(&in);
}

static bool add_route(struct net_config *net, const struct ip_addr *addr, unsigned bits, struct error *err)
{
    if (net->routes == NET_ROUTES_MAX)
        return error_set(err, "%u routes are the most", NET_ROUTES_MAX);
    struct net_route *route = &net->route[net->routes++];
    *route = (struct net_route){.to = {*addr, (uint8_t)bits}, .on_link = true};
    for (unsigned i = bits; i < 128; i++)
        route->to.addr.b[i / 8] &= (uint8_t)~(0x80u >> i % 8);
    return true;
}

bool farm_options_addresses(struct farm_options *o, const char *text, struct error *err)
{
    char first[IP_ADDR_TEXT_MAX];
    unsigned bits, count = 1;
    int end = 0;
    struct net_range range;
    if (sscanf(text, "%45[0-9a-fA-F.:]/%u%n+%u%n", first, &bits, &end, &count, &end) < 2 || text[end] ||
        !ip_parse(first, &range.first) || bits > (ip_is_v4(&range.first) ? 32u : 128u))
        return error_set(err, "\"%s\" is not ADDRESS/PREFIX or ADDRESS/PREFIX+COUNT, like 10.1.0.1/24+100",
                         text);
    if (count == 0 || last_word(&range.first) + count - 1 < last_word(&range.first) || count > 1u << 20)
        return error_set(err, "\"%s\": so many addresses do not follow that one; 2^20 are the most", text);
    if (o->net.ranges == NET_RANGES_MAX)
        return error_set(err, "%u times --addresses is the most", NET_RANGES_MAX);
    range.count = count;
    if (o->net.addresses < NET_ADDRESSES_MAX)
        o->net.address[o->net.addresses++] = range.first;
    o->net.range[o->net.ranges++] = range;
    o->addresses += count;
    return add_route(&o->net, &range.first, bits + (ip_is_v4(&range.first) ? 96 : 0), err);
}

uint32_t farm_options_index(const struct farm_options *o, const struct ip_addr *addr)
{
    uint32_t before = 0;
    assert(addr);
    for (uint32_t i = 0; i < o->net.ranges; before += o->net.range[i++].count) {
        const struct net_range *range = &o->net.range[i];
        uint32_t at = last_word(addr) - last_word(&range->first);
        if (memcmp(addr->b, range->first.b, 12) == 0 && at < range->count)
            return before + at;
    }
    return 0;
}

static bool add_gateway(struct farm_options *o, const char *text, struct error *err)
{
    struct net_route route = {0};
    if (!ip_parse(text, &route.gateway))
        return error_set(err, "\"%.80s\" is not an address, like 10.1.0.254", text);
    if (o->net.routes == NET_ROUTES_MAX)
        return error_set(err, "%u routes are the most", NET_ROUTES_MAX);
    if (ip_is_v4(&route.gateway))
        route.to = (struct ip_net){ip_from_v4((const uint8_t[4]){0}), 96};
    o->net.route[o->net.routes++] = route;
    return true;
}

/* ---- the options ---- */

enum {
    OPT_DEVICE = 256,
    OPT_ADDRESSES,
    OPT_GATEWAY,
    OPT_PORT,
    OPT_TLS_PORT,
    OPT_NAMES,
    OPT_DOMAIN,
    OPT_KEY,
    OPT_CA_OUT,
    OPT_CHAIN,
    OPT_PRIVATE_KEY,
    OPT_TLS,
    OPT_GROUPS,
    OPT_TICKETS,
    OPT_NO_CHUNKING,
    OPT_PLAIN,
    OPT_CONNECTIONS,
    OPT_IDLE_TIMEOUT,
    OPT_BUFFERS,
    OPT_MEMORY,
    OPT_CPU,
    OPT_POLL,
    OPT_LATENCY,
    OPT_WORK,
    OPT_HOLD,
    OPT_HOLD_MS,
    OPT_FAIL,
    OPT_CUT,
    OPT_REFUSE,
    OPT_GREYLIST,
    OPT_RX_FAULTS,
    OPT_TX_FAULTS,
    OPT_SEED,
    OPT_MESSAGES,
    OPT_ANY,
    OPT_JSON,
    OPT_STATUS,
};

static const struct option known[] = {
    {"device", required_argument, NULL, OPT_DEVICE},
    {"addresses", required_argument, NULL, OPT_ADDRESSES},
    {"gateway", required_argument, NULL, OPT_GATEWAY},
    {"port", required_argument, NULL, OPT_PORT},
    {"tls-port", required_argument, NULL, OPT_TLS_PORT},
    {"names", required_argument, NULL, OPT_NAMES},
    {"domain", required_argument, NULL, OPT_DOMAIN},
    {"key", required_argument, NULL, OPT_KEY},
    {"ca-out", required_argument, NULL, OPT_CA_OUT},
    {"chain", required_argument, NULL, OPT_CHAIN},
    {"private-key", required_argument, NULL, OPT_PRIVATE_KEY},
    {"tls", required_argument, NULL, OPT_TLS},
    {"groups", required_argument, NULL, OPT_GROUPS},
    {"tickets", required_argument, NULL, OPT_TICKETS},
    {"no-chunking", no_argument, NULL, OPT_NO_CHUNKING},
    {"plain", no_argument, NULL, OPT_PLAIN},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"idle-timeout", required_argument, NULL, OPT_IDLE_TIMEOUT},
    {"buffers", required_argument, NULL, OPT_BUFFERS},
    {"memory-mb", required_argument, NULL, OPT_MEMORY},
    {"cpu", required_argument, NULL, OPT_CPU},
    {"poll", no_argument, NULL, OPT_POLL},
    {"latency", required_argument, NULL, OPT_LATENCY},
    {"work", required_argument, NULL, OPT_WORK},
    {"hold", required_argument, NULL, OPT_HOLD},
    {"hold-ms", required_argument, NULL, OPT_HOLD_MS},
    {"fail", required_argument, NULL, OPT_FAIL},
    {"drop-connection", required_argument, NULL, OPT_CUT},
    {"refuse", required_argument, NULL, OPT_REFUSE},
    {"greylist", no_argument, NULL, OPT_GREYLIST},
    {"faults-rx", required_argument, NULL, OPT_RX_FAULTS},
    {"faults-tx", required_argument, NULL, OPT_TX_FAULTS},
    {"seed", required_argument, NULL, OPT_SEED},
    {"messages", required_argument, NULL, OPT_MESSAGES},
    {"any-message", no_argument, NULL, OPT_ANY},
    {"json", required_argument, NULL, OPT_JSON},
    {"status-every", required_argument, NULL, OPT_STATUS},
    {"help", no_argument, NULL, OPTIONS_HELP},
    {0},
};

static bool set_text(const char **where, const char *text)
{
    *where = text;
    return true;
}

static bool set_flag(bool *where, bool value)
{
    *where = value;
    return true;
}

static bool set(void *into, int option, const char *text, struct error *err)
{
    struct farm_options *o = into;
    uint32_t cpu;
    switch (option) {
    case OPT_DEVICE: return set_text(&o->device, text);
    case OPT_ADDRESSES: return farm_options_addresses(o, text, err);
    case OPT_GATEWAY: return add_gateway(o, text, err);
    case OPT_PORT: return read_port(text, &o->port, err);
    case OPT_TLS_PORT: return read_port(text, &o->tls_port, err);
    case OPT_NAMES: return options_number(text, 0, 1u << 20, &o->names, err);
    case OPT_DOMAIN: return set_text(&o->domain, text);
    case OPT_KEY: return set_text(&o->key_text, text);
    case OPT_CA_OUT: return set_text(&o->ca_out, text);
    case OPT_CHAIN: return set_text(&o->tls.chain, text);
    case OPT_PRIVATE_KEY: return set_text(&o->tls.key, text);
    case OPT_TLS: return read_versions(text, &o->tls, err);
    case OPT_GROUPS: return set_text(&o->tls.groups, text);
    case OPT_TICKETS: return options_number(text, 0, 16, &o->tls.tickets, err);
    case OPT_NO_CHUNKING: return set_flag(&o->chunking, false);
    case OPT_PLAIN: return set_flag(&o->plain, true);
    case OPT_CONNECTIONS: return options_number(text, 1, 4u << 20, &o->connections, err);
    case OPT_IDLE_TIMEOUT: return options_number(text, 0, 86400, &o->idle_timeout_s, err);
    case OPT_BUFFERS: return options_number(text, 1024, 16u << 20, &o->buffers, err);
    case OPT_MEMORY: return options_number(text, 0, 1u << 20, &o->memory_mb, err);
    case OPT_CPU: return options_number(text, 0, 1023, &cpu, err) && (o->cpu = (int)cpu, true);
    case OPT_POLL: return set_flag(&o->poll, true);
    case OPT_LATENCY: return read_ms(text, &o->latency_us, err);
    case OPT_WORK: return options_number(text, 0, 1000000, &o->work_us, err);
    case OPT_HOLD: return options_number(text, 0, 1u << 20, &o->hold, err);
    case OPT_HOLD_MS: return read_ms(text, &o->hold_us, err);
    case OPT_FAIL: return farm_options_fault(o, text, err);
    case OPT_CUT: return read_whole_rate(text, &o->cut_ppm, err);
    case OPT_REFUSE: return read_whole_rate(text, &o->refuse_ppm, err);
    case OPT_GREYLIST: return set_flag(&o->greylist, true);
    case OPT_RX_FAULTS: return set_text(&o->rx_faults, text);
    case OPT_TX_FAULTS: return set_text(&o->tx_faults, text);
    case OPT_SEED: return read_u64(text, &o->seed, err);
    case OPT_MESSAGES: return read_u64(text, &o->messages, err);
    case OPT_ANY: return set_flag(&o->any_message, true);
    case OPT_JSON: return set_text(&o->json, text);
    default: return options_number(text, 0, 86400, &o->status_s, err);
    }
}

static bool complete(void *into, struct error *err)
{
    struct farm_options *o = into;
    if (!o->device)
        return error_set(err, "--device is missing: a DPDK device or a PCI address");
    if (!o->addresses)
        return error_set(err, "--addresses is missing: like 10.1.0.1/24");
    if (!o->port && !o->tls_port)
        return error_set(err, "--port and --tls-port are both 0: nobody could connect");
    if (!o->tls.chain != !o->tls.key)
        return error_set(err, "--chain and --private-key go together");
    if (strlen(o->domain) > 100)
        return error_set(err, "--domain is longer than 100 characters");
    if (!o->names)
        o->names = o->addresses;
    if (!o->memory_mb)
        o->memory_mb = o->buffers / 256 + 96; /* an ordinary page each; descriptors, rings and EAL */
    o->net.neighbours_max = 1024;
    o->net.port_first = 1024;
    o->net.port_last = UINT16_MAX;
    o->net.cores = 1;
    return farm_key_kinds(o->key_text, o->kinds, err);
}

int farm_options_read(struct farm_options *o, int argc, char **argv)
{
    static const struct options_form form = {help, known, set, complete};
    *o = (struct farm_options){
        .domain = "farm.test",
        .port = 25,
        .tls_port = 465,
        .key_text = "rsa2048",
        .chunking = true,
        .cpu = -1,
        .tls = {TLS1_2_VERSION, TLS1_3_VERSION, .tickets = 2},
        .connections = 1024,
        .buffers = 16384,
        .idle_timeout_s = 300,
        .hold_us = 5000,
        .rx_faults = "",
        .tx_faults = "",
        .seed = 1,
    };
    return options_read(&form, o, argc, argv);
}
