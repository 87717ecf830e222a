#include "tests/unit/crypto/talk_backend.h"
#include "crypto/batch.h"
#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/crypto/toy_engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef NDEBUG
#include <assert.h>

#define LOST_US      20000u /* of an engine that is silent */
#define SLOW_LOST_US 30000000u
#define WAIT_S       60

enum { LIBCRYPTO, CRYPTO_MB, TOY, TOY_FAILS, TOY_GOES, QATENGINE, CRYPTO_OPENSSL, KNOWN };

static const struct known {
    const char *name, *backend;
    uint64_t lost_us;
} known[KNOWN] = {
    [LIBCRYPTO] = {"libcrypto", "libcrypto", 0},
    [CRYPTO_MB] = {"crypto_mb", "crypto_mb", 0},
    [TOY] = {"toy", "engine:" TOY_ENGINE, SLOW_LOST_US},
    [TOY_FAILS] = {"toy-fails", "engine:" TOY_ENGINE, SLOW_LOST_US},
    [TOY_GOES] = {"toy-goes", "engine:" TOY_ENGINE, LOST_US},
    [QATENGINE] = {"qatengine", "engine:qatengine", SLOW_LOST_US},
    [CRYPTO_OPENSSL] = {"crypto_openssl", "libcrypto", SLOW_LOST_US},
};

static const struct known *chosen;
static struct stats all;
static unsigned cores;

/* qatengine never frees the digests that it makes while it is loaded. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:EVP_MD_meth_new\n";
}

static bool as_it_should(void)
{
    const uint64_t device = all.v[STAT_tls_batch_device], redone = all.v[STAT_tls_batch_redone],
                   lost = all.v[STAT_tls_batch_lost], lanes = all.v[STAT_tls_batch_lanes];
    switch (chosen - known) {
    case LIBCRYPTO: return device == 0 && lanes == 0 && all.v[STAT_tls_batch_single] > 0;
    case CRYPTO_MB: return device == 0 && lanes > 0 && redone == 0;
    case TOY_FAILS: return device > 0 && redone > 0 && lost == 0;
    case TOY_GOES: return device > 0 && lost > 0 && redone > 0;
    case CRYPTO_OPENSSL: return redone == 0 && lost == 0; /* it has RSA alone, and not all programs have */
    default: return device > 0 && redone == 0 && lost == 0;
    }
}

static void judge(void)
{
    printf("# %s: %u cores, %" PRIu64 " operations in a device, %" PRIu64 " in lanes, %" PRIu64
           " done again, %" PRIu64 " lost\n",
           chosen->name, cores, all.v[STAT_tls_batch_device], all.v[STAT_tls_batch_lanes],
           all.v[STAT_tls_batch_redone], all.v[STAT_tls_batch_lost]);
    if (cores > 0 && !as_it_should()) {
        printf("# %s: that is not what it should have\n", chosen->name);
        fflush(stdout);
        abort();
    }
    if (chosen == &known[TOY] || chosen == &known[TOY_FAILS] || chosen == &known[TOY_GOES])
        toy_engine_remove();
}

static void leave_out(const char *why)
{
    printf("ok 1 - whole_handshakes # SKIP %s: %s\n1..1\n", chosen->name, why);
    fflush(stdout);
    _Exit(0);
}

static void choose(const char *name)
{
    for (unsigned i = 0; i < KNOWN; i++)
        if (strcmp(known[i].name, name) == 0)
            chosen = &known[i];
    assert(chosen);
    if (strncmp(name, "toy", 3) == 0)
        toy_engine_add();
    toy_engine.fails_each = chosen == &known[TOY_FAILS] ? 2 : 0;
    toy_engine.goes_after = chosen == &known[TOY_GOES] ? 1 : 0;
    atexit(judge);
}

/* Behind engine and cryptodev there is libcrypto alone: what they do not take is not to be hidden by lanes. */
static struct batch *open_backend(const struct batch_config *config, struct error *err)
{
    struct batch_config mine = *config;
    mine.break_even = 1;
    mine.no_vectors = chosen != &known[CRYPTO_MB];
    mine.lost_us = chosen->lost_us;
    return batch_open(&mine, err);
}

bool talk_backend(struct tls_core_config *config)
{
    static struct asym_device device; /* copied by tls_core_open */
    const char *name = getenv("HARDLINE_BACKEND");
    struct error err = {0};
    if (!name)
        return false;
    if (!chosen)
        choose(name);
    if (cores == 0 && chosen == &known[CRYPTO_MB] && !kit_has_lanes())
        leave_out("not installed, or no AVX-512 IFMA");
    if (cores == 0 && chosen == &known[QATENGINE] && !kit_has_qatengine())
        leave_out("not installed");
    if (chosen == &known[CRYPTO_OPENSSL]) {
        if (!kit_cryptodev(&device, &err))
            leave_out(err.text);
        config->device = &device;
    }
    config->batches = true;
    config->batch_open = open_backend;
    config->backend = chosen->backend;
    config->backend_require = true;
    return true;
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void talk_backend_turn(struct tls_core *core)
{
    if (chosen)
        tls_core_work(core, now_us());
}

void talk_backend_wait(struct tls_core *core, const struct tls *tls)
{
    const uint64_t until_us = now_us() + WAIT_S * 1000000u;
    do {
        talk_backend_turn(core);
        tls_core_idle(core);
    } while (chosen && !tls_work_done(tls) && now_us() < until_us);
    assert(tls_work_done(tls));
}

void talk_backend_count(const struct stats *stats)
{
    cores++;
    for (unsigned i = 0; i < STAT_COUNT; i++)
        all.v[i] += stats->v[i];
}
