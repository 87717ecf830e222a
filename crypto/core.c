/* core.c: what one core keeps for its sessions. */
#include "crypto/proven.h"
#include "crypto/ticket.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <time.h>

#define ABANDONED_WAIT_MS 1000 /* for suspended jobs, when the core closes */

static bool make_context(struct tls_core *core, const struct tls_core_config *config, struct error *err)
{
    core->ctx = tls_ctx_make(config->pq_share, config->tickets_max > 0, err);
    if (!core->ctx)
        return false;
    core->bio_method = tls_bio_method();
    if (!core->bio_method)
        return error_set(err, "no memory for TLS");
    if (config->async)
        SSL_CTX_set_mode(core->ctx, SSL_MODE_ASYNC);
    return !config->keylog_path || tls_keylog_open(core, config->keylog_path, err);
}

static bool open_record_ciphers(struct tls_core *core, struct error *err)
{
    IMB_ARCH arch = IMB_ARCH_NONE;
    core->mb = alloc_mb_mgr(0);
    if (core->mb)
        init_mb_mgr_auto(core->mb, &arch);
    if (!core->mb || arch == IMB_ARCH_NONE)
        return error_set(err, "IPSec_MB does not start: %s; hardline needs a CPU with AES-NI",
                         imb_get_strerror(imb_get_errno(core->mb)));
    return true;
}

static bool open_tickets(struct tls_core *core, const struct tls_core_config *config, struct error *err)
{
    const struct tickets_config tickets = {.tickets_max = config->tickets_max,
                                           .per_destination_max = max_u32(config->tickets_per_destination, 1),
                                           .lifetime_s = config->ticket_lifetime_s};
    core->tickets = tickets_open(&tickets, core->stats, err);
    return core->tickets != NULL;
}

static bool open_parts(struct tls_core *core, const struct tls_core_config *config, struct error *err)
{
    if (config->engine) {
        core->engine_held = tls_engine_hold(config->engine, err);
        if (!core->engine_held)
            return false;
    }
    if (config->async) {
        core->async = tls_async_open(config->sessions_max, err);
        if (!core->async)
            return false;
    }
    core->proven = proven_open(config->proven_chains, config->proven_lifetime_s, err);
    return core->proven && open_tickets(core, config, err) && open_record_ciphers(core, err) &&
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
    tickets_close(core->tickets);
    if (core->mb)
        free_mb_mgr(core->mb);
    tls_keylog_close(core);
    SSL_CTX_free(core->ctx);
    BIO_meth_free(core->bio_method);
    if (core->async)
        tls_async_close();
    if (core->engine_held)
        tls_engine_drop();
    free(core);
}
