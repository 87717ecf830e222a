/* What a reload cannot take over. */
#include "engine/control/config_reader.h"

#include <string.h>

static void compare_key(const char *section, const struct config_key *key, const struct config *running,
                        const struct config *now, struct config_report *report)
{
    char before[CONFIG_TEXT_MAX * 2 + 8], after[CONFIG_TEXT_MAX * 2 + 8];
    if (key->live || key->kind == CONFIG_KIND_SPECIAL)
        return;
    config_key_text(key, running, before, sizeof(before));
    config_key_text(key, now, after, sizeof(after));
    if (strcmp(before, after) != 0)
        config_report_add(report, "%s.%s is %.100s and stays so until a restart; the file says %.100s",
                          section, key->name, before, after);
}

static bool same_net(const struct config *a, const struct config *b)
{
    return a->net.addresses == b->net.addresses && a->net_extra_routes == b->net_extra_routes &&
           memcmp(a->net.address, b->net.address, sizeof(a->net.address[0]) * a->net.addresses) == 0 &&
           memcmp(a->net_prefix_bits, b->net_prefix_bits, a->net.addresses) == 0 &&
           memcmp(a->net_extra_route, b->net_extra_route,
                  sizeof(a->net_extra_route[0]) * a->net_extra_routes) == 0;
}

static bool same_cores(const struct config_cores *a, const struct config_cores *b)
{
    return a->count == b->count && memcmp(a->cpu, b->cpu, sizeof(a->cpu[0]) * a->count) == 0;
}

bool config_same_but_live(const struct config *running, const struct config *now,
                          struct config_report *report)
{
    uint32_t before = report->count + report->more;
    for (size_t s = 0; s < config_sections_count; s++)
        for (size_t i = 0; i < config_sections[s].keys; i++)
            compare_key(config_sections[s].name, &config_sections[s].key[i], running, now, report);
    if (!same_net(running, now))
        config_report_add(report, "net.addresses or net.routes have changed: that takes a restart");
    if (!same_cores(&running->cores, &now->cores))
        config_report_add(report, "cores.cpus has changed: that takes a restart");
    return report->count + report->more == before;
}
