/* Readers of what a reload takes over: tls rules, mail routes, allowed networks. */
#include "engine/control/config_lists.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_names[] = {"encrypt", "verify", "secure", NULL};
static const char *const version_names[] = {"1.2", "1.3", NULL};

struct tls_text {
    struct config_tls_rule rule;
    uint8_t level, version; /* indices of the names */
};

static void read_names(struct config_reader *reader, const config_setting_t *setting, void *base);

#define TLS(key, kind_, member)                                              \
    .name = key, .kind = kind_, .offset = offsetof(struct tls_text, member), \
    .bytes = sizeof(((struct tls_text *)0)->member)

static const struct config_key tls_keys[] = {
    {TLS("match", CONFIG_KIND_TEXT, rule.pattern), .text = "", .required = true,
     .help = "\"example.org\", \".example.org\" for all below it, \"[192.0.2.1]\" or \"*\""},
    {TLS("level", CONFIG_KIND_CHOICE, level), .number = 1, .choice = level_names,
     .help = "what must be proven"},
    {TLS("ca-file", CONFIG_KIND_TEXT, rule.ca_file), .text = "",
     .help = "trust anchors; none: crypto.ca-file"},
    {TLS("min-version", CONFIG_KIND_CHOICE, version), .number = 0, .choice = version_names, .help = "of TLS"},
    {.name = "names",
     .kind = CONFIG_KIND_SPECIAL,
     .read = read_names,
     .shape = "array of names",
     .help = "\"hostname\", \"nexthop\", \"dot-nexthop\" or names: one must match; none: by the level"},
};

static void lower(char *text)
{
    for (; *text; text++)
        *text = (char)tolower((unsigned char)*text);
}

/* A pattern of policy.h; made lower case. */
static bool check_pattern(char *pattern, struct error *why)
{
    struct ip_addr addr;
    char inner[IP_ADDR_TEXT_MAX] = "";
    size_t len = strlen(pattern);
    lower(pattern);
    if (strcmp(pattern, "*") == 0 || config_host_name(pattern[0] == '.' ? pattern + 1 : pattern))
        return true;
    if (pattern[0] == '[' && pattern[len - 1] == ']' && len - 2 < sizeof(inner))
        memcpy(inner, pattern + 1, len - 2);
    if (ip_parse(inner, &addr))
        return true;
    return error_set(
        why, "\"%.80s\" is no pattern: write \"example.org\", \".example.org\", \"[192.0.2.1]\" or \"*\"%s",
        pattern, len && pattern[len - 1] == '.' ? "; without the dot at the end" : "");
}

static bool special_name(const char *name)
{
    return strcmp(name, "hostname") == 0 || strcmp(name, "nexthop") == 0 || strcmp(name, "dot-nexthop") == 0;
}

static void read_names(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    struct config_tls_rule *rule = &((struct tls_text *)base)->rule;
    int count = config_list_length(reader, setting, "names");
    if (count == 0 || count > POLICY_MATCH_MAX) {
        config_complain(reader, setting, "has %d names: allowed are 1 to %d", count, POLICY_MATCH_MAX);
        return;
    }
    for (int i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(setting, (unsigned)i);
        const char *text = config_text_element(reader, element);
        if (!text)
            continue;
        if (!special_name(text) && !config_host_name(text[0] == '.' ? text + 1 : text)) {
            config_complain(reader, element,
                            "\"%.80s\" is no name: write \"hostname\", \"nexthop\", \"dot-nexthop\", "
                            "\"mx.example.org\" or \".example.org\"",
                            text);
            continue;
        }
        strcpy(rule->name[rule->names], text); /* a host name has at most 253 characters and a dot */
        lower(rule->name[rule->names++]);
    }
}

static bool pattern_known(const struct config *config, const char *pattern)
{
    for (uint32_t i = 0; i < config->tls_rules; i++)
        if (strcmp(config->tls_rule[i].pattern, pattern) == 0)
            return true;
    return false;
}

static void read_tls_rule(struct config_reader *reader, const config_setting_t *element)
{
    struct tls_text text;
    struct error why;
    uint32_t before = reader->report->count;
    memset(&text, 0, sizeof(text));
    config_read_element(reader, element, tls_keys, ARRAY_LEN(tls_keys), &text);
    if (reader->report->count != before || reader->report->more)
        return;
    struct config_tls_rule *rule = &text.rule;
    rule->level = (uint8_t)(POLICY_ENCRYPT + text.level);
    rule->min_version = text.version ? 0x0304 : 0x0303;
    if (!check_pattern(rule->pattern, &why))
        config_complain(reader, element, "match: %s", why.text);
    else if (pattern_known(reader->config, rule->pattern))
        config_complain(reader, element, "match: there is a rule for \"%.80s\" already: join the two",
                        rule->pattern);
    else if (rule->level == POLICY_ENCRYPT && (rule->names || rule->ca_file[0]))
        config_complain(reader, element,
                        "level encrypt proves no name and no chain: use verify or secure, or leave out %s",
                        rule->names ? "names" : "ca-file");
    else
        reader->config->tls_rule[reader->config->tls_rules++] = *rule;
}

/* Room for count elements in place of what an earlier source has given. */
static void *renew(struct config_reader *reader, const config_setting_t *setting, void *old,
                   uint32_t *count_now, int count, size_t bytes)
{
    free(old);
    *count_now = 0;
    void *room = count > 0 ? calloc((size_t)count, bytes) : NULL;
    if (count > 0 && !room)
        config_complain(reader, setting, "no memory for %d elements", count);
    return room;
}

void config_read_tls(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    struct config *config = base;
    int count = config_list_length(reader, setting, "rules { match; level; ... }");
    config->tls_rule =
        renew(reader, setting, config->tls_rule, &config->tls_rules, count, sizeof(*config->tls_rule));
    for (int i = 0; i < count && config->tls_rule; i++)
        read_tls_rule(reader, config_setting_get_elem(setting, (unsigned)i));
}

struct hop_text {
    char host[POLICY_NAME_MAX], address[IP_ADDR_TEXT_MAX];
    uint16_t port;
    bool implicit_tls;
};

#define HOP(key, kind_, member)                                              \
    .name = key, .kind = kind_, .offset = offsetof(struct hop_text, member), \
    .bytes = sizeof(((struct hop_text *)0)->member)

static const struct config_key hop_keys[] = {
    {HOP("host", CONFIG_KIND_TEXT, host), .text = "",
     .help = "its name, which TLS must prove; none: the address alone"},
    {HOP("address", CONFIG_KIND_TEXT, address), .text = "", .required = true,
     .help = "where to connect: \"192.0.2.1\""},
    {HOP("port", CONFIG_KIND_NUMBER, port), .min = 1, .max = 65535, .scale = 1, .number = 25, .unit = "",
     .help = "TCP port"},
    {HOP("implicit-tls", CONFIG_KIND_BOOL, implicit_tls),
     .help = "TLS from the first byte, RFC 8314; no STARTTLS"},
};

static void read_hop(struct config_reader *reader, const config_setting_t *element,
                     struct policy_route *route)
{
    struct hop_text text;
    struct ip_addr addr;
    struct policy_hop *hop = &route->hop[route->hops];
    uint32_t before = reader->report->count;
    config_read_element(reader, element, hop_keys, ARRAY_LEN(hop_keys), &text);
    if (reader->report->count != before || reader->report->more)
        return;
    if (!ip_parse(text.address, &addr)) {
        config_complain(reader, element, "address: \"%.60s\" is not an address: write it like \"192.0.2.1\"",
                        text.address);
    } else if (text.host[0] && !config_host_name(text.host)) {
        config_complain(reader, element, "host: \"%.60s\" is no host name", text.host);
    } else {
        lower(text.host);
        memcpy(hop->host, text.host, sizeof(hop->host));
        memcpy(hop->addr, addr.b, sizeof(hop->addr));
        hop->port = text.port;
        hop->implicit_tls = text.implicit_tls;
        route->hops++;
    }
}

static void read_hops(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    int count = config_list_length(reader, setting, "next hops { host; address; ... }");
    if (count == 0 || count > POLICY_HOPS_MAX) {
        config_complain(reader, setting, "has %d next hops: allowed are 1 to %d", count, POLICY_HOPS_MAX);
        return;
    }
    for (int i = 0; i < count; i++)
        read_hop(reader, config_setting_get_elem(setting, (unsigned)i), base);
}

static const struct config_key mail_route_keys[] = {
    {.name = "domain",
     .kind = CONFIG_KIND_TEXT,
     .offset = offsetof(struct policy_route, pattern),
     .bytes = sizeof(((struct policy_route *)0)->pattern),
     .text = "",
     .required = true,
     .help = "\"example.org\", \".example.org\" for all below it, \"[192.0.2.1]\" or \"*\""},
    {.name = "hops",
     .kind = CONFIG_KIND_SPECIAL,
     .read = read_hops,
     .required = true,
     .shape = "list of { host; address; port; implicit-tls }",
     .help = "where to connect, tried in order"},
};

static bool route_known(const struct config *config, const char *pattern)
{
    for (uint32_t i = 0; i < config->routes; i++)
        if (strcmp(config->route[i].pattern, pattern) == 0)
            return true;
    return false;
}

static void read_mail_route(struct config_reader *reader, const config_setting_t *element)
{
    struct policy_route route;
    struct error why;
    uint32_t before = reader->report->count;
    memset(&route, 0, sizeof(route));
    config_read_element(reader, element, mail_route_keys, ARRAY_LEN(mail_route_keys), &route);
    if (reader->report->count != before || reader->report->more)
        return;
    if (!check_pattern(route.pattern, &why))
        config_complain(reader, element, "domain: %s", why.text);
    else if (route_known(reader->config, route.pattern))
        config_complain(reader, element, "domain: there is a route for \"%.80s\" already: add its hops there",
                        route.pattern);
    else
        reader->config->route[reader->config->routes++] = route;
}

void config_read_routes(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    struct config *config = base;
    int count = config_list_length(reader, setting, "routes { domain; hops }");
    config->route = renew(reader, setting, config->route, &config->routes, count, sizeof(*config->route));
    for (int i = 0; i < count && config->route; i++)
        read_mail_route(reader, config_setting_get_elem(setting, (unsigned)i));
}

void config_read_allow_networks(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    struct config *config = base;
    int count = config_list_length(reader, setting, "networks");
    config->allow_network = renew(reader, setting, config->allow_network, &config->allow_networks, count,
                                  sizeof(*config->allow_network));
    for (int i = 0; i < count && config->allow_network; i++) {
        const config_setting_t *element = config_setting_get_elem(setting, (unsigned)i);
        const char *text = config_text_element(reader, element);
        struct policy_net *allowed = &config->allow_network[config->allow_networks];
        struct ip_net net;
        if (text && !ip_net_parse(text, &net)) {
            config_complain(reader, element,
                            "\"%.60s\" is no network: write it like \"10.0.0.0/8\", host bits zero", text);
        } else if (text) {
            memcpy(allowed->addr, net.addr.b, sizeof(allowed->addr));
            allowed->prefix_bits = net.prefix_bits;
            config->allow_networks++;
        }
    }
}
