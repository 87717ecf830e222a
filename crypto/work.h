/* work.h: handshakes that wait for the core's batch: suspended inside OpenSSL's ASYNC job, gone on with when the operation
 * has its result.
 *
 *     provider: work_do ...suspended: TLS_WANT_WORK... work_put -> batch -> tls_resume -> result -> batch_done
 *
 * The operation is put in outside of the job: what then is computed has the thread's stack, and a device may run jobs of
 * its own.  Who asks lives on the job's stack, and a session never ends before that call has returned (work_cancel).
 */
#ifndef CRYPTO_WORK_H
#define CRYPTO_WORK_H

#include "crypto/batch.h"
#include "crypto/session.h"

/* Asks core->libctx, which stays until work_close. */
bool work_open(struct tls_core *core, const struct tls_core_config *config, struct error *err) must_check;
/* work_decline closes the device of a core that opens no batch. */
void work_decline(const struct tls_core_config *config);
void work_close(struct tls_core *core);

/* Whether any operation is ever worth waiting for: where all are computed at once no handshake needs a stack of its own. */
bool work_suspends(const struct tls_core *core);

/* Enough for every place of every queue, and as many again that have their result. */
#define WORK_OPS_MAX (2 * BATCH_LANES * BATCH_KINDS)

/* ---- inside the handshake ---- */

/* What is to be put into the batch; NULL: it has no room now, ask again. */
struct work {
    struct batch_op *(*put)(void *ctx, struct tls_core *core);
    void *ctx;
    struct batch_op *op; /* once it was put in */
};

/* work_do suspends the running session until the operation has its result; BATCH_WAITS: it never will.  work->op, unless NULL,
 * is then the caller's to give back with batch_done.
 */
enum batch_result work_do(struct tls_core *core, struct work *work);

/* ---- around it ---- */

/* work_put puts in what a session that was just suspended asks for; true: go on with it at once. */
bool work_put(struct tls *tls) must_check;

/* work_cancel lets a session that waits for the batch fail at once: its call returns, its stack is free.  False: it waits
 * for something else, which cannot be cancelled.
 */
bool work_cancel(struct tls *tls) must_check;

#endif
