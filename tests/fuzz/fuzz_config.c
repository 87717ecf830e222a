/* Bytes as a configuration: the text up to the first NUL, then --set arguments, each ended by a NUL. */
#include "engine/control/config.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define SETS_MAX 8

static void check_report(const struct config_report *report)
{
    if (report->count == 0 || report->count > CONFIG_PROBLEMS_MAX)
        abort(); /* refused without a reason */
    for (uint32_t i = 0; i < report->count; i++)
        if (strlen(report->problem[i].text) < 4)
            abort();
}

/* What the engine relies on without looking again. */
static void check_config(const struct config *config)
{
    if (!config->port.device[0] || config->port.buffers == 0 || config->net.addresses == 0)
        abort();
    if (config->cores.count == 0 || config->cores.count > CONFIG_CORES_MAX ||
        config->net.routes > NET_ROUTES_MAX)
        abort();
    if (!is_power_of_two(config->feed.lane_slots) || !is_power_of_two(config->feed.completion_slots) ||
        !config->tcp.cc)
        abort();
    for (uint32_t i = 0; i < config->routes; i++)
        if (config->route[i].hops == 0 || config->route[i].hops > POLICY_HOPS_MAX)
            abort();
    for (uint32_t i = 0; i < config->tls_rules; i++)
        if (config->tls_rule[i].level < POLICY_ENCRYPT || config->tls_rule[i].level > POLICY_SECURE ||
            config->tls_rule[i].min_version < 0x0303)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    static struct config_report report;
    const char *set[SETS_MAX];
    struct config_source source = {.path = "fuzz.conf", .override = set};
    char *text = calloc(1, size + 2); /* the last argument may lack its NUL */
    if (!text)
        return 0;
    memcpy(text, data, size);
    source.text = text;
    for (char *p = text + strlen(text) + 1; p < text + size && source.overrides < SETS_MAX;
         p += strlen(p) + 1)
        set[source.overrides++] = p;
    if (config_load_from(&source, &config, &report)) {
        check_config(&config);
        config_free(&config);
    } else {
        check_report(&report);
    }
    free(text);
    return 0;
}
