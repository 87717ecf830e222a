/* Readers of arrays and lists: addresses, routes, CPUs, users. */
#include "engine/control/config_lists.h"

#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

int config_list_length(struct config_reader *reader, const config_setting_t *setting, const char *of_what)
{
    int type = config_setting_type(setting);
    if (type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY)
        return config_setting_length(setting);
    config_complain(reader, setting, "must be a list of %s, not %s", of_what, config_type_text(setting));
    return -1;
}

const char *config_text_element(struct config_reader *reader, const config_setting_t *element)
{
    const char *text = config_setting_get_string(element);
    if (!text)
        config_complain(reader, element, "must be a text in quotes, not %s", config_type_text(element));
    return text;
}

/* "10.0.0.1/24" to address and prefix, counted of the 128. */
static bool parse_interface(const char *text, struct ip_addr *addr, uint8_t *prefix_bits)
{
    char host[IP_ADDR_TEXT_MAX];
    size_t len = strcspn(text, "/");
    if (len >= sizeof(host) || text[len] != '/')
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    if (!ip_parse(host, addr))
        return false;
    char *end;
    unsigned long bits = strtoul(text + len + 1, &end, 10), most = ip_is_v4(addr) ? 32 : 128;
    if (!isdigit((unsigned char)text[len + 1]) || *end || bits > most || bits == 0)
        return false;
    *prefix_bits = (uint8_t)(bits + (128 - most));
    return true;
}

static bool address_known(const struct net_config *net, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < net->addresses; i++)
        if (ip_equal(&net->address[i], addr))
            return true;
    return false;
}

static void read_address(struct config_reader *reader, const config_setting_t *element)
{
    struct net_config *net = &reader->config->net;
    const char *text = config_text_element(reader, element);
    struct ip_addr addr;
    uint8_t prefix_bits;
    if (!text)
        return;
    if (!parse_interface(text, &addr, &prefix_bits)) {
        config_complain(reader, element,
                        "\"%.60s\" is no address with its network: write it like \"192.0.2.1/24\"", text);
    } else if (address_known(net, &addr)) {
        config_complain(reader, element, "\"%.60s\" stands here twice: name each address once", text);
    } else {
        reader->config->net_prefix_bits[net->addresses] = prefix_bits;
        net->address[net->addresses++] = addr;
    }
}

void config_read_addresses(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    (void)base;
    int count = config_list_length(reader, setting, "addresses");
    reader->config->net.addresses = 0;
    if (count > (int)NET_ADDRESSES_MAX) {
        config_complain(reader, setting, "has %d addresses: at most %u are possible", count,
                        NET_ADDRESSES_MAX);
        return;
    }
    for (int i = 0; i < count; i++)
        read_address(reader, config_setting_get_elem(setting, (unsigned)i));
}

struct route_text {
    char to[64], gateway[IP_ADDR_TEXT_MAX];
};

#define ROUTE_TEXT(key, member, default_)                                                 \
    .name = key, .kind = CONFIG_KIND_TEXT, .offset = offsetof(struct route_text, member), \
    .bytes = sizeof(((struct route_text *)0)->member), .text = default_

static const struct config_key route_keys[] = {
    {ROUTE_TEXT("to", to, ""), .required = true,
     .help = "the network that is reached so: \"198.51.100.0/24\""},
    {ROUTE_TEXT("gateway", gateway, ""), .help = "next hop; none: the network is on our link"},
};

static void read_net_route(struct config_reader *reader, const config_setting_t *element)
{
    struct route_text text;
    struct net_route route = {.on_link = false};
    uint32_t before = reader->report->count;
    config_read_element(reader, element, route_keys, ARRAY_LEN(route_keys), &text);
    if (reader->report->count != before || reader->report->more)
        return;
    if (!ip_net_parse(text.to, &route.to)) {
        config_complain(reader, element,
                        "to: \"%.60s\" is no network: write it like \"198.51.100.0/24\", host bits zero",
                        text.to);
    } else if (text.gateway[0] && !ip_parse(text.gateway, &route.gateway)) {
        config_complain(reader, element, "gateway: \"%.60s\" is not an address", text.gateway);
    } else if (text.gateway[0] && ip_is_v4(&route.gateway) != ip_is_v4(&route.to.addr)) {
        config_complain(reader, element, "gateway: \"%.60s\" is not of the family of \"%.60s\"", text.gateway,
                        text.to);
    } else {
        route.on_link = !text.gateway[0];
        reader->config->net_extra_route[reader->config->net_extra_routes++] = route;
    }
}

void config_read_net_routes(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    (void)base;
    int most = NET_ROUTES_MAX - NET_ADDRESSES_MAX - 2; /* each address brings one, so does a gateway */
    int count = config_list_length(reader, setting, "routes");
    reader->config->net_extra_routes = 0;
    if (count > most) {
        config_complain(reader, setting, "has %d routes: at most %d are possible", count, most);
        return;
    }
    for (int i = 0; i < count; i++)
        read_net_route(reader, config_setting_get_elem(setting, (unsigned)i));
}

static void read_cpu(struct config_reader *reader, const config_setting_t *element)
{
    struct config_cores *cores = &reader->config->cores;
    int type = config_setting_type(element);
    long long cpu = config_setting_get_int64(element);
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
        config_complain(reader, element, "must be the number of a CPU, not %s", config_type_text(element));
    else if (cpu < 0 || cpu > 4095)
        config_complain(reader, element, "%lld is no CPU: allowed are 0 to 4095", cpu);
    else
        cores->cpu[cores->count++] = (uint32_t)cpu;
}

void config_read_cpus(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    (void)base;
    struct config_cores *cores = &reader->config->cores;
    int type = config_setting_type(setting);
    bool number = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
    long long count = number ? config_setting_get_int64(setting)
                             : config_list_length(reader, setting, "CPU numbers (or the number of CPUs)");
    cores->numbered = !number;
    cores->count = 0;
    if (count == -1 && !number)
        return;
    if (count < 1 || count > CONFIG_CORES_MAX) {
        config_complain(reader, setting, "%lld cores are not possible: allowed are 1 to %u", count,
                        CONFIG_CORES_MAX);
        return;
    }
    if (number)
        cores->count = (uint32_t)count;
    for (int i = 0; !number && i < count; i++)
        read_cpu(reader, config_setting_get_elem(setting, (unsigned)i));
}

struct user_text {
    char user[64];
    struct config_feed_user result;
};

#define USER(key, kind_, member)                                              \
    .name = key, .kind = kind_, .offset = offsetof(struct user_text, member), \
    .bytes = sizeof(((struct user_text *)0)->member)

static const struct config_key user_keys[] = {
    {USER("user", CONFIG_KIND_TEXT, user), .text = "", .required = true, .help = "a user's name or number"},
    {USER("name", CONFIG_KIND_TEXT, result.name), .text = "", .help = "of this feed in logs; none: the user"},
    {USER("allow-exceptions", CONFIG_KIND_BOOL, result.allow_exceptions),
     .help = "jobs may lower their own floor to encrypt"},
    {USER("jobs-in-flight", CONFIG_KIND_NUMBER, result.jobs_in_flight), .max = 1ull << 32, .scale = 1,
     .unit = "", .help = "of each of its feeds, over all cores; 0: the lanes are the limit"},
    {USER("message-bytes", CONFIG_KIND_NUMBER, result.message_bytes), .max = 4ull << 30, .scale = 1,
     .unit = "bytes", .help = "largest body; 0: limits.message-bytes"},
};

static bool find_uid(const char *user, uint32_t *uid)
{
    char *end;
    unsigned long number = strtoul(user, &end, 10);
    if (isdigit((unsigned char)*user) && !*end && number < UINT32_MAX) {
        *uid = (uint32_t)number;
        return true;
    }
    struct passwd entry, *found = NULL;
    char memory[4096];
    if (getpwnam_r(user, &entry, memory, sizeof(memory), &found) != 0 || !found)
        return false;
    *uid = entry.pw_uid;
    return true;
}

static bool uid_known(const struct config_feed *feed, uint32_t uid)
{
    for (uint32_t i = 0; i < feed->users; i++)
        if (feed->user[i].uid == uid)
            return true;
    return false;
}

static void read_feed_user(struct config_reader *reader, const config_setting_t *element)
{
    struct config_feed *feed = &reader->config->feed;
    struct user_text text;
    uint32_t before = reader->report->count;
    memset(&text, 0, sizeof(text));
    config_read_element(reader, element, user_keys, ARRAY_LEN(user_keys), &text);
    if (reader->report->count != before || reader->report->more)
        return;
    if (!find_uid(text.user, &text.result.uid)) {
        config_complain(reader, element,
                        "user: there is no user \"%.60s\" on this machine: create it or give a number",
                        text.user);
    } else if (uid_known(feed, text.result.uid)) {
        config_complain(reader, element, "user: \"%.60s\" stands here twice: name each user once", text.user);
    } else {
        if (!text.result.name[0])
            memcpy(text.result.name, text.user, sizeof(text.result.name));
        feed->user[feed->users++] = text.result;
    }
}

void config_read_feed_users(struct config_reader *reader, const config_setting_t *setting, void *base)
{
    (void)base;
    struct config_feed *feed = &reader->config->feed;
    int count = config_list_length(reader, setting, "users");
    free(feed->user);
    feed->users = 0;
    feed->user = count > 0 ? calloc((size_t)count, sizeof(*feed->user)) : NULL;
    if (count > 0 && !feed->user) {
        config_complain(reader, setting, "no memory for %d users", count);
        return;
    }
    for (int i = 0; i < count; i++)
        read_feed_user(reader, config_setting_get_elem(setting, (unsigned)i));
}
