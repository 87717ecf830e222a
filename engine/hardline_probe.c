/* hl_engine_probe: opens the configured device for a moment, as hl_engine_start would, and tells what it is. */
#include "engine/engine.h"

#include "engine/control/config.h"
#include "engine/control/eal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe {
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

static void say(const struct probe *probe, const char *what, const char *text)
{
    char line[ERROR_TEXT_MAX + 32];
    snprintf(line, sizeof(line), "%s%s", what, text);
    probe->line(probe->ctx, line);
}

static bool open_device(const struct config *config, const struct probe *probe, struct error *err)
{
    struct port *port[CONFIG_CORES_MAX];
    char text[512];
    struct port_dpdk_config dpdk = engine_port_config(config);
    if (!port_dpdk_open(&dpdk, port, err))
        return false;
    port_dpdk_describe(port[0], text, sizeof(text));
    say(probe, "port: ", text);
    for (uint32_t i = 0; i < config->cores.count; i++)
        port_close(port[i]);
    return true;
}

static bool probe_config(const struct config *config, const struct probe *probe, struct error *err)
{
    char text[256];
    uint64_t mb = config_packet_bytes(config) / 1000000 * 5 / 2 + 64; /* ordinary pages hold half as much */
    struct eal_config eal = {
        .app = "hardlined",
        .memory_mb = config->memory.megabytes ? config->memory.megabytes : (uint32_t)mb,
        .no_huge = config->memory.huge == CONFIG_HUGE_NO,
        .device = config->port.device,
        .crypto_device = engine_crypto_device(config),
    };
    if (!eal_start(&eal, err))
        return false;
    eal_describe(text, sizeof(text));
    say(probe, "dpdk: ", text);
    bool good = open_device(config, probe, err);
    eal_stop();
    return good;
}

enum hl_engine_result hl_engine_probe(const struct hl_engine_options *options,
                                      void (*line)(void *ctx, const char *text), void *ctx)
{
    static struct config config; /* large; one engine a process */
    static struct config_report report;
    struct probe probe = {line, ctx};
    struct config_source source = {
        .path = options->config_file, .override = options->set, .overrides = (uint32_t)options->sets};
    struct error err;
    if (!config_load_from(&source, &config, &report)) {
        say(&probe, "", report.problem[0].text);
        return HL_ENGINE_CONFIG;
    }
    bool good = probe_config(&config, &probe, &err);
    if (!good)
        say(&probe, "", err.text);
    config_free(&config);
    return good ? HL_ENGINE_OK : HL_ENGINE_MACHINE;
}
