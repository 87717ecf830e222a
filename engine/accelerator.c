/* accelerator.c: the device that crypto.backend names, a queue of it for each core. */
#include "engine/engine.h"

#include "drivers/asym_dpdk.h"
#include "engine/control/log.h"

#define JOBS 512u /* in flight, of a core: more than its batch ever gives away */

const char *engine_crypto_device(const struct config *config)
{
    static const char cryptodev[] = "cryptodev:";
    const char *backend = config->crypto.backend;
    return strncmp(backend, cryptodev, sizeof(cryptodev) - 1) == 0 ? backend + sizeof(cryptodev) - 1 : NULL;
}

bool engine_open_accelerator(struct hl_engine *engine, struct error *err)
{
    const struct config *c = &engine->config;
    struct asym_device device[CORE_MAX];
    const struct asym_dpdk_config config = {.devargs = engine_crypto_device(c),
                                            .queues = (uint16_t)c->cores.count,
                                            .jobs = JOBS,
                                            .socket_id = -1};
    if (!config.devargs || !c->crypto.batches)
        return true;
    if (!asym_dpdk_open(&config, device, err)) {
        if (c->crypto.backend_require)
            return error_prefix(err, "crypto.backend");
        log_warning("crypto.backend: %s; it is done without", err->text);
        return true;
    }
    for (uint32_t i = 0; i < c->cores.count; i++) {
        engine->core[i].device = device[i];
        engine->core[i].has_device = true;
    }
    return true;
}
