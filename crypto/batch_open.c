/* batch_open.c: which backends there are, and what belongs to a batch from open to close. */
#include "crypto/batch_inside.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kind_name[BATCH_KINDS] = {
    "X25519 keys",         "P-256 keys",          "P-384 keys",          "X25519 derivations",
    "P-256 derivations",   "P-384 derivations",   "P-256 signatures",    "P-384 signatures",
    "RSA-2048 signatures", "RSA-3072 signatures", "RSA-4096 signatures", "other signatures",
};

const char *batch_kind_name(enum batch_kind kind)
{
    return kind_name[kind];
}

const char *batch_backend_name(const struct batch *b)
{
    return b->name;
}

unsigned batch_break_even(const struct batch *b, enum batch_kind kind)
{
    return batch_device_has(b, kind) ? 1 : b->break_even[kind];
}

bool batch_can_wait(const struct batch *b)
{
    bool waits = b->device.asym.submit != NULL;
    for (unsigned kind = BATCH_X25519_DERIVE; kind < BATCH_KINDS; kind++)
        waits |= b->break_even[kind] != BATCH_NEVER;
    return waits;
}

void batch_complain(struct batch *b, enum batch_complaint_of what, const char *fmt, ...)
{
    va_list ap;
    if (b->complained >> what & 1)
        return;
    b->complained |= 1u << what;
    va_start(ap, fmt);
    vsnprintf(b->complaint, sizeof(b->complaint), fmt, ap);
    va_end(ap);
    b->untold = true;
}

const char *batch_complaint(struct batch *b)
{
    if (!b->untold)
        return NULL;
    b->untold = false;
    return b->complaint;
}

static bool open_hashes(struct batch *b, struct error *err)
{
    static const char *const name[BATCH_HASHES] = {"SHA2-256", "SHA2-384", "SHA2-512"};
    bool ok = (b->hash = EVP_MD_CTX_new());
    for (unsigned i = 0; i < BATCH_HASHES; i++)
        ok = (b->md[i] = EVP_MD_fetch(b->libctx, name[i], NULL)) && ok;
    return ok || error_set(err, "libcrypto has no SHA-2: is its default provider switched off?");
}

static bool decide_break_even(struct batch *b, uint8_t wanted, struct error *err)
{
    for (unsigned kind = 0; kind < BATCH_KINDS; kind++) {
        bool has = b->lanes.run && kind != BATCH_OTHER_VERIFY && b->lanes.has(b->lanes.self, kind);
        b->break_even[kind] = !has ? BATCH_NEVER : wanted ? wanted : 1;
    }
    return wanted || !b->lanes.run || batch_measure(b, err);
}

static bool open_parts(struct batch *b, const struct batch_config *config, struct error *err)
{
    return batch_openssl_open(&b->single, b->libctx, err) && open_hashes(b, err) &&
           pool_open(&b->ops, "public-key operations", sizeof(struct batch_op), config->ops_max, err) &&
           decide_break_even(b, config->break_even, err);
}

static void tell_name(struct batch *b)
{
    const char *cpu = b->lanes.run ? b->lanes.name : b->single.name;
    if (b->device.asym.submit)
        snprintf(b->name, sizeof(b->name), "%s, then %s", b->device.asym.name, cpu);
    else
        snprintf(b->name, sizeof(b->name), "%s", cpu);
}

/* Twice what waits: half may be lost in the device before it is asked no more. */
static bool take_device(struct batch *b, const struct batch_config *config, const struct asym_device *device,
                        struct error *err)
{
    uint64_t lost_us = config->lost_us ? config->lost_us : BATCH_LOST_US;
    return !device || batch_device_open(b, device, 2 * config->ops_max, lost_us, err);
}

static struct batch *make(const struct batch_config *config)
{
    struct batch *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    list_init(&b->ready);
    list_init(&b->device.flying);
    for (unsigned kind = 0; kind < BATCH_KINDS; kind++)
        list_init(&b->queue[kind].waiting);
    b->libctx = config->libctx;
    b->stats = config->stats;
    b->stock_max = min_u32(config->stock, BATCH_STOCK_MAX);
    b->wait_us = config->wait_us ? config->wait_us : BATCH_WAIT_US;
    return b;
}

struct batch *batch_open_with(const struct batch_config *config, const struct batch_backend *lanes,
                              const struct asym_device *device, struct error *err)
{
    struct batch *b = make(config);
    if (!b) {
        if (lanes)
            lanes->close(lanes->self);
        if (device)
            device->close(device->self);
        error_set(err, "no memory for public-key operations");
        return NULL;
    }
    if (lanes)
        b->lanes = *lanes;
    if (take_device(b, config, device, err) && open_parts(b, config, err)) {
        tell_name(b);
        return b;
    }
    batch_close(b);
    return NULL;
}

/* ---- choosing ---- */

static bool wants(const struct batch_config *config, const char *backend)
{
    return config->backend && strcmp(config->backend, backend) == 0;
}

static bool find_lanes(const struct batch_config *config, struct batch_backend *lanes, struct error *why)
{
    if (config->libcrypto_only || wants(config, "libcrypto"))
        return false;
    if (!config->no_vectors && batch_mb_open(lanes, config->libctx))
        return true;
    if (wants(config, "crypto_mb"))
        error_set(why,
                  "crypto_mb: the library is not installed, or this CPU has no AVX-512 IFMA (avx512ifma)");
    return false;
}

/* Nobody has named a device. */
static bool is_auto(const struct batch_config *config)
{
    return !config->device && !config->libcrypto_only && !config->no_device &&
           (!config->backend || wants(config, "auto"));
}

static bool find_qat(const struct batch_config *config, struct asym_device *device, struct error *why)
{
    const char *engine = config->engine ? config->engine : "qatengine";
    return batch_probe_qat(config->sysfs ? config->sysfs : "/sys") &&
           (asym_engine_open(engine, config->core, config->ops_max, true, device, why) ||
            error_prefix(why, "a QAT device is up and not used"));
}

static bool find_device(const struct batch_config *config, struct asym_device *device, struct error *why)
{
    if (is_auto(config))
        return find_qat(config, device, why);
    if (config->device)
        *device = *config->device;
    else if (!config->backend || strncmp(config->backend, "engine:", 7) != 0)
        return false;
    else
        return asym_engine_open(config->backend + 7, config->core, config->ops_max, false, device, why);
    return true;
}

/* What remains of a device that nobody has named. */
static void try_device(struct batch *b, const struct batch_config *config, struct error *why)
{
    char name[sizeof(b->device.asym.name)];
    memcpy(name, b->device.asym.name, sizeof(name));
    bool works = batch_trial(b, !config->break_even, why);
    if (works && b->device.asym.kinds)
        return;
    batch_device_close(b);
    tell_name(b);
    if (works)
        snprintf(b->name + strlen(b->name), sizeof(b->name) - strlen(b->name), " (%s would cost more)", name);
}

struct batch *batch_open(const struct batch_config *config, struct error *err)
{
    struct batch_backend lanes;
    struct asym_device device;
    struct error why = {0};
    bool has_device = find_device(config, &device, &why);
    bool has_lanes = find_lanes(config, &lanes, &why);
    if (why.text[0] && config->require) {
        if (has_lanes)
            lanes.close(lanes.self);
        if (has_device)
            device.close(device.self);
        *err = why;
        return NULL;
    }
    struct batch *b = batch_open_with(config, has_lanes ? &lanes : NULL, has_device ? &device : NULL, err);
    if (b && has_device && is_auto(config))
        try_device(b, config, &why);
    if (b && why.text[0])
        batch_complain(b, BATCH_NOT_FOUND, "%s; %s computes instead", why.text, b->name);
    return b;
}

/* ---- the end ---- */

static void drop_all(struct batch *b, struct list *head)
{
    for (struct list *it; (it = list_head(head));)
        batch_done(b, list_entry(it, struct batch_op, link));
}

static void close_ops(struct batch *b)
{
    for (unsigned kind = 0; kind < BATCH_KINDS; kind++)
        drop_all(b, &b->queue[kind].waiting);
    drop_all(b, &b->ready);
    batch_device_drop(b);
    assert(b->ops.in_use == 0);
    pool_close(&b->ops);
}

void batch_close(struct batch *b)
{
    if (!b)
        return;
    if (b->ops.memory)
        close_ops(b);
    batch_device_close(b);
    if (b->lanes.close)
        b->lanes.close(b->lanes.self);
    if (b->single.close)
        b->single.close(b->single.self);
    for (unsigned i = 0; i < BATCH_HASHES; i++)
        EVP_MD_free(b->md[i]);
    EVP_MD_CTX_free(b->hash);
    batch_stock_wipe(b);
    free(b);
}
