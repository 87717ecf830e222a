/* core.c: what one core keeps for its sessions. */
#include "crypto/cpu.h"
#include "crypto/known.h"
#include "crypto/proven.h"
#include "crypto/ticket.h"
#include "crypto/provider.h"
#include "crypto/work.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ABANDONED_WAIT_MS 1000 /* for suspended jobs, when the core closes */

static bool make_context(struct tls_core *core, const struct tls_core_config *config, struct error *err)
{
    core->ctx =
        tls_ctx_make(core->libctx, TLS_PROVIDER_QUERY, config->pq_share, config->tickets_max > 0, err);
    if (!core->ctx)
        return false;
    core->bio_method = tls_bio_method();
    if (!core->bio_method)
        return error_set(err, "no memory for TLS");
    if (core->async)
        SSL_CTX_set_mode(core->ctx, SSL_MODE_ASYNC);
    return !config->keylog_path || tls_keylog_open(core, config->keylog_path, err);
}

static bool open_record_ciphers(struct tls_core *core, struct error *err)
{
    IMB_ARCH arch = IMB_ARCH_NONE;
    core->mb = alloc_mb_mgr(0);
    if (core->mb && cpu_vectors_are_off()) {
        init_mb_mgr_avx2(core->mb);
        arch = IMB_ARCH_AVX2;
    } else if (core->mb) {
        init_mb_mgr_auto(core->mb, &arch);
    }
    if (!core->mb || arch == IMB_ARCH_NONE)
        return error_set(err, "IPSec_MB does not start: %s; hardline needs a CPU with AES-NI",
                         imb_get_strerror(imb_get_errno(core->mb)));
    return true;
}

static bool open_tickets(struct tls_core *core, const struct tls_core_config *config, struct error *err)
{
    const struct tickets_config tickets = {.libctx = core->libctx,
                                           .tickets_max = config->tickets_max,
                                           .per_destination_max = max_u32(config->tickets_per_destination, 1),
                                           .lifetime_s = config->ticket_lifetime_s};
    core->tickets = tickets_open(&tickets, core->stats, err);
    return core->tickets != NULL;
}

/* OpenSSL reads what a provider has when it is first asked for anything of a kind; what memory did not suffice for then
 * would be missing for good.  So it is asked here, where that is an error.
 */
static bool read_through(OSSL_LIB_CTX *libctx)
{
    uint8_t random;
    EVP_MD *md = EVP_MD_fetch(libctx, "SHA2-256", NULL);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "AES-128-GCM", NULL);
    EVP_MAC *mac = EVP_MAC_fetch(libctx, "HMAC", NULL);
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, "TLS13-KDF", NULL);
    EVP_KEYMGMT *keys = EVP_KEYMGMT_fetch(libctx, "EC", NULL);
    EVP_KEYEXCH *exchange = EVP_KEYEXCH_fetch(libctx, "ECDH", NULL);
    EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(libctx, "ECDSA", NULL);
    EVP_KEM *kem = EVP_KEM_fetch(libctx, "X25519MLKEM768", NULL);
    OSSL_DECODER *decoder = OSSL_DECODER_fetch(libctx, "EC", NULL);
    bool ok = md && cipher && mac && kdf && keys && exchange && signature && kem && decoder &&
              RAND_bytes_ex(libctx, &random, sizeof(random), 0) == 1 &&
              RAND_priv_bytes_ex(libctx, &random, sizeof(random), 0) == 1;
    EVP_MD_free(md);
    EVP_CIPHER_free(cipher);
    EVP_MAC_free(mac);
    EVP_KDF_free(kdf);
    EVP_KEYMGMT_free(keys);
    EVP_KEYEXCH_free(exchange);
    EVP_SIGNATURE_free(signature);
    EVP_KEM_free(kem);
    OSSL_DECODER_free(decoder);
    return ok;
}

static bool open_library(struct tls_core *core, struct error *err)
{
    ERR_clear_error();
    core->libctx = OSSL_LIB_CTX_new();
    core->defaults = core->libctx ? OSSL_PROVIDER_load(core->libctx, "default") : NULL;
    return core->defaults || error_set(err, "OpenSSL has no default provider: %s", tls_reason());
}

static bool open_provider(struct tls_core *core, struct error *err)
{
    if (!tls_provider_load(core, err))
        return false;
    core->digest = EVP_MD_fetch(core->libctx, "SHA2-256", NULL);
    return (core->digest && read_through(core->libctx)) ||
           error_set(err, "OpenSSL lacks an algorithm of TLS: %s", tls_reason());
}

/* An engine's operations have their stacks from the same store: what one that is silent never gives back is not to be missed
 * by handshakes.
 */
static uint32_t stacks_for(const struct tls_core_config *config)
{
    return config->batches ? config->sessions_max + WORK_OPS_MAX : config->sessions_max;
}

static bool hold_engine(struct tls_core *core, const struct tls_core_config *config, struct error *err)
{
    core->engine_held = config->engine && tls_engine_hold(config->engine, err);
    if (core->engine_held)
        snprintf(core->engine, sizeof(core->engine), "%s", config->engine);
    if (core->engine_held || !config->engine)
        return true;
    if (config->backend_require)
        return false;
    core->warning = *err;
    core->warns = true;
    return true;
}

static bool open_parts(struct tls_core *core, const struct tls_core_config *config, struct error *err)
{
    if (!hold_engine(core, config, err) || !open_library(core, err)) {
        work_decline(config);
        return false;
    }
    if (!work_open(core, config, err) || !open_provider(core, err))
        return false;
    if (config->async || work_suspends(core)) {
        core->async = tls_async_open(stacks_for(config), err);
        if (!core->async)
            return false;
    }
    core->proven = proven_open(core->libctx, config->proven_chains, config->proven_lifetime_s, err);
    core->known = known_open(config->batches ? config->proven_chains : 0, err);
    return core->proven && core->known && open_tickets(core, config, err) && open_record_ciphers(core, err) &&
           make_context(core, config, err) &&
           pool_open(&core->sessions, "TLS sessions", sizeof(struct tls), config->sessions_max, err);
}

struct tls_core *tls_core_open(const struct tls_core_config *config, struct error *err)
{
    struct tls_core *core = calloc(1, sizeof(*core));
    if (!core) {
        error_set(err, "no memory for TLS");
        return NULL;
    }
    core->keylog_fd = -1;
    core->stats = config->stats;
    core->seal_records_max = config->seal_records_max ? config->seal_records_max : SEAL_RECORDS_MAX;
    list_init(&core->abandoned);
    if (!open_parts(core, config, err)) {
        tls_core_close(core);
        return NULL;
    }
    return core;
}

void tls_core_sweep(struct tls_core *core)
{
    tickets_sweep(core->tickets);
    if (core->async)
        tls_async_sweep(core->now_us);
}

static bool finish_abandoned(struct tls_core *core)
{
    const struct timespec ms = {.tv_nsec = 1000000};
    for (unsigned i = 0; i < ABANDONED_WAIT_MS && !list_empty(&core->abandoned); i++) {
        tls_reap(core);
        if (!list_empty(&core->abandoned))
            nanosleep(&ms, NULL);
    }
    return list_empty(&core->abandoned);
}

void tls_core_close(struct tls_core *core)
{
    if (!core)
        return;
    if (!finish_abandoned(core))
        return; /* an engine still writes into these sessions: leaking them is the safe end */
    assert(core->sessions.in_use == 0);
    if (core->sessions.memory)
        pool_close(&core->sessions);
    proven_close(core->proven);
    known_close(core->known);
    tickets_close(core->tickets);
    if (core->mb)
        free_mb_mgr(core->mb);
    tls_keylog_close(core);
    ready_close(core);
    SSL_CTX_free(core->ctx);
    work_close(core);
    EVP_MD_free(core->digest);
    tls_provider_unload(core);
    if (core->defaults)
        OSSL_PROVIDER_unload(core->defaults);
    OSSL_LIB_CTX_free(core->libctx);
    BIO_meth_free(core->bio_method);
    if (core->async)
        tls_async_close();
    if (core->engine_held)
        tls_engine_drop();
    free(core);
}

const char *tls_core_batches(const struct tls_core *core)
{
    return core->batch ? batch_backend_name(core->batch) : "off";
}

void tls_core_arithmetic(const struct tls_core *core, char *out, size_t cap)
{
    snprintf(out, cap, "%s%s%s", core->batch ? batch_backend_name(core->batch) : "libcrypto",
             core->engine_held ? "; in sessions engine " : "", core->engine_held ? core->engine : "");
}

const char *tls_core_complaint(struct tls_core *core)
{
    if (core->warns) {
        core->warns = false;
        return core->warning.text;
    }
    return core->batch ? batch_complaint(core->batch) : NULL;
}
