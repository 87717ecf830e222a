/* work.c: who waits for arithmetic, and when it is done. */
#include "crypto/work.h"

#include "engine/base/asym.h"

#include <openssl/async.h>

void work_decline(const struct tls_core_config *config)
{
    if (config->device)
        config->device->close(config->device->self);
}

bool work_open(struct tls_core *core, const struct tls_core_config *config, struct error *err)
{
    if (!config->batches) {
        work_decline(config);
        return true;
    }
    struct batch_config batch = {
        .libctx = core->libctx,
        .ops_max = WORK_OPS_MAX,
        .stock = BATCH_STOCK_MAX,
        .wait_us = config->batch_wait_us,
        .stats = config->stats,
        .backend = config->backend,
        .require = config->backend_require,
        .core = config->core,
        .device = config->device,
        .no_device = config->engine, /* sessions have that already */
    };
    core->batch = config->batch_open ? config->batch_open(&batch, err) : batch_open(&batch, err);
    return core->batch != NULL;
}

void work_close(struct tls_core *core)
{
    batch_close(core->batch);
}

bool work_suspends(const struct tls_core *core)
{
    return core->batch && batch_can_wait(core->batch);
}

/* ---- inside the handshake ---- */

static bool has_result(const struct work *work)
{
    return work->op && work->op->result != BATCH_WAITS;
}

/* Where nothing can be suspended nothing has company. */
static enum batch_result do_now(struct tls_core *core, struct work *work)
{
    work->op = work->put(work->ctx, core);
    if (work->op && work->op->result == BATCH_WAITS)
        batch_now(core->batch, work->op);
    return work->op ? work->op->result : BATCH_WAITS;
}

enum batch_result work_do(struct tls_core *core, struct work *work)
{
    struct tls *tls = core->running;
    if (!tls || !ASYNC_get_current_job())
        return do_now(core, work);
    tls->work = work;
    while (!has_result(work) && !tls->cancelled && ASYNC_pause_job()) {}
    tls->work = NULL;
    return work->op ? work->op->result : BATCH_WAITS;
}

/* ---- around it ---- */

bool work_put(struct tls *tls)
{
    struct work *work = tls->work;
    if (!work || tls->cancelled)
        return false;
    if (!work->op)
        work->op = work->put(work->ctx, tls->core);
    return has_result(work);
}

bool work_cancel(struct tls *tls)
{
    tls->cancelled = tls->work != NULL;
    return tls->cancelled;
}

bool tls_work_done(const struct tls *tls)
{
    const struct work *work = tls->work;
    return tls->status == TLS_WANT_WORK && (!work || !work->op || has_result(work));
}

void tls_core_work(struct tls_core *core, uint64_t now_us)
{
    core->now_us = now_us;
    if (!core->batch)
        return;
    batch_run(core->batch, now_us);
    uint32_t waiting = batch_waiting(core->batch);
    if (waiting > 0 && waiting == core->handshaking)
        batch_flush(core->batch);
}

bool tls_core_idle(struct tls_core *core)
{
    ready_fill(core);
    if (!core->batch)
        return false;
    uint32_t before = batch_waiting(core->batch);
    batch_idle(core->batch);
    return batch_waiting(core->batch) < before;
}

uint64_t tls_core_deadline(const struct tls_core *core)
{
    return core->batch ? batch_deadline(core->batch) : DEADLINE_NEVER;
}
