/* asym_dpdk_open.c: a cryptodev found, configured, started, and taken down again. */
#include "drivers/asym_dpdk_inside.h"
#include "drivers/dpdk_log.h"

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CLOSE_POLLS 10000u /* of 10 us */

static size_t name_length(const char *devargs)
{
    return strcspn(devargs, ",");
}

/* A PCI function has a cryptodev for each service; ours is the asymmetric one. */
static bool is_it(uint8_t id, const char *devargs)
{
    struct rte_cryptodev_info info;
    size_t n = name_length(devargs);
    if (!rte_cryptodev_is_valid_dev(id))
        return false;
    rte_cryptodev_info_get(id, &info);
    const char *name = rte_dev_name(info.device);
    return strlen(name) >= n && strncmp(name + strlen(name) - n, devargs, n) == 0 &&
           info.feature_flags & RTE_CRYPTODEV_FF_ASYMMETRIC_CRYPTO;
}

static int find(const char *devargs)
{
    for (unsigned id = 0; id < RTE_CRYPTO_MAX_DEVS; id++)
        if (is_it((uint8_t)id, devargs))
            return (int)id;
    return -1;
}

static const struct rte_cryptodev_asymmetric_xform_capability *capability(
    uint8_t id, enum rte_crypto_asym_xform_type type)
{
    const struct rte_cryptodev_asym_capability_idx idx = {.type = type};
    return rte_cryptodev_asym_capability_get(id, &idx);
}

static bool has(uint8_t id, enum rte_crypto_asym_xform_type type, unsigned operation)
{
    const struct rte_cryptodev_asymmetric_xform_capability *found = capability(id, type);
    return found && found->op_types >> operation & 1;
}

/* ECPM has one operation, and some drivers name none. */
static uint32_t kinds_of(struct asym_cryptodev *dev)
{
    uint32_t kinds = 0;
    const struct rte_cryptodev_asymmetric_xform_capability *modex =
        capability(dev->id, RTE_CRYPTO_ASYM_XFORM_MODEX);
    dev->ecdh = has(dev->id, RTE_CRYPTO_ASYM_XFORM_ECDH, RTE_CRYPTO_ASYM_KE_SHARED_SECRET_COMPUTE);
    if (dev->ecdh || capability(dev->id, RTE_CRYPTO_ASYM_XFORM_ECPM))
        kinds |= 1u << ASYM_P256_MULTIPLY | 1u << ASYM_P384_MULTIPLY;
    if (has(dev->id, RTE_CRYPTO_ASYM_XFORM_ECDSA, RTE_CRYPTO_ASYM_OP_VERIFY))
        kinds |= 1u << ASYM_P256_VERIFY | 1u << ASYM_P384_VERIFY;
    for (unsigned kind = ASYM_RSA2048_PUBLIC; modex && kind <= ASYM_RSA4096_PUBLIC; kind++)
        if (rte_cryptodev_asym_xform_capability_check_modlen(modex, (uint16_t)asym_bytes(kind)) == 0)
            kinds |= 1u << kind;
    return kinds;
}

static bool open_pools(struct asym_cryptodev *dev, const struct asym_dpdk_config *config)
{
    char name[RTE_MEMPOOL_NAMESIZE];
    unsigned jobs = config->jobs * config->queues;
    snprintf(name, sizeof(name), "asym_ops_%u", dev->id);
    dev->ops = rte_crypto_op_pool_create(name, RTE_CRYPTO_OP_TYPE_ASYMMETRIC, jobs, 0,
                                         sizeof(struct asym_dpdk_op), config->socket_id);
    snprintf(name, sizeof(name), "asym_keys_%u", dev->id);
    if (!dev->sessionless)
        dev->sessions = rte_cryptodev_asym_session_pool_create(name, jobs, 0, 0, config->socket_id);
    return dev->ops && (dev->sessionless || dev->sessions);
}

static int start(struct asym_cryptodev *dev, const struct asym_dpdk_config *config)
{
    struct rte_cryptodev_config all = {
        .socket_id = config->socket_id < 0 ? 0 : config->socket_id,
        .nb_queue_pairs = config->queues,
        .ff_disable = RTE_CRYPTODEV_FF_SYMMETRIC_CRYPTO | RTE_CRYPTODEV_FF_SECURITY,
    };
    const struct rte_cryptodev_qp_conf queue = {.nb_descriptors = max_u32(64, 2 * config->jobs)};
    int rc = rte_cryptodev_configure(dev->id, &all);
    for (uint16_t i = 0; rc == 0 && i < config->queues; i++)
        rc = rte_cryptodev_queue_pair_setup(dev->id, i, &queue, all.socket_id);
    return rc == 0 ? rte_cryptodev_start(dev->id) : rc;
}

/* What the device still has is in our pools: these stay then. */
static void take_down(struct asym_cryptodev *dev, bool pools)
{
    struct rte_cryptodev_info info;
    rte_cryptodev_info_get(dev->id, &info);
    rte_cryptodev_stop(dev->id);
    rte_cryptodev_close(dev->id);
    rte_dev_remove(info.device);
    if (pools) {
        rte_mempool_free(dev->ops);
        rte_mempool_free(dev->sessions);
    }
    free(dev);
}

static bool drain(struct asym_queue *q)
{
    for (unsigned i = 0; i < CLOSE_POLLS && q->out + q->waiting > 0; i++) {
        while (asym_dpdk_poll(q)) {}
        if (q->out + q->waiting > 0)
            rte_delay_us_sleep(10);
    }
    return q->out + q->waiting == 0;
}

static bool close_queue(void *self)
{
    struct asym_queue *q = self;
    bool empty = drain(q);
    if (--q->dev->open == 0)
        take_down(q->dev, empty);
    return true; /* jobs' memory was never the device's: it has copies */
}

static struct asym_cryptodev *make(const struct asym_dpdk_config *config, struct error *err)
{
    char why[256];
    dpdk_log_forget();
    int rc = rte_dev_probe(config->devargs), id = find(config->devargs);
    if (rc != 0 || id < 0) {
        error_set(err,
                  "crypto device %s: %s (%s); is it bound to vfio-pci, and does it compute with public keys?",
                  config->devargs, rc ? rte_strerror(-rc) : "it is not asymmetric",
                  dpdk_log_complaint(why, sizeof(why)));
        return NULL;
    }
    struct rte_cryptodev_info info;
    struct asym_cryptodev *dev = calloc(1, sizeof(*dev) + config->queues * sizeof(dev->queue[0]));
    if (!dev) {
        error_set(err, "crypto device %s: no memory", config->devargs);
        return NULL;
    }
    rte_cryptodev_info_get((uint8_t)id, &info);
    dev->id = (uint8_t)id;
    dev->queues = dev->open = config->queues;
    dev->sessionless = info.feature_flags & RTE_CRYPTODEV_FF_ASYM_SESSIONLESS;
    return dev;
}

static bool prepare(struct asym_cryptodev *dev, const struct asym_dpdk_config *config, uint32_t kinds,
                    struct error *err)
{
    struct rte_cryptodev_info info;
    rte_cryptodev_info_get(dev->id, &info);
    if (kinds == 0)
        return error_set(err, "crypto device %s: it has none of the operations that are asked (%s)",
                         config->devargs, "RSA, ECDSA, ECDH");
    if (config->queues > info.max_nb_queue_pairs)
        return error_set(err, "crypto device %s: %u cores need a queue each, and it has %u", config->devargs,
                         config->queues, info.max_nb_queue_pairs);
    if (!open_pools(dev, config))
        return error_set(err, "crypto device %s: no memory for %u operations", config->devargs,
                         config->jobs * config->queues);
    int rc = start(dev, config);
    return rc == 0 ||
           error_set(err, "crypto device %s does not start: %s", config->devargs, rte_strerror(-rc));
}

bool asym_dpdk_open(const struct asym_dpdk_config *config, struct asym_device device[], struct error *err)
{
    assert(config->queues > 0);
    struct asym_cryptodev *dev = make(config, err);
    if (!dev)
        return false;
    uint32_t kinds = kinds_of(dev);
    if (!prepare(dev, config, kinds, err)) {
        take_down(dev, true);
        return false;
    }
    for (uint16_t i = 0; i < config->queues; i++) {
        dev->queue[i].dev = dev;
        dev->queue[i].id = i;
        device[i] = (struct asym_device){.kinds = kinds,
                                         .submit = asym_dpdk_submit,
                                         .poll = asym_dpdk_poll,
                                         .close = close_queue,
                                         .self = &dev->queue[i]};
        snprintf(device[i].name, sizeof(device[i].name), "cryptodev %.*s", (int)name_length(config->devargs),
                 config->devargs);
    }
    return true;
}
