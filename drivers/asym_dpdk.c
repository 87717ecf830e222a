/* asym_dpdk.c: jobs to a cryptodev's queue and back. */
#include "drivers/asym_dpdk_inside.h"

#include <string.h>

static const uint8_t f4[] = {1, 0, 1};

static struct asym_dpdk_op *op_of(struct rte_crypto_op *op)
{
    return __rte_crypto_op_get_priv_data(op, sizeof(struct asym_dpdk_op));
}

static rte_crypto_param number(struct rte_crypto_op *op, const void *data, size_t bytes)
{
    return (rte_crypto_param){
        .data = (uint8_t *)(uintptr_t)data,
        .iova = op->phys_addr + (rte_iova_t)((const uint8_t *)data - (const uint8_t *)op),
        .length = bytes,
    };
}

/* ---- what is asked ---- */

static enum rte_crypto_curve_id curve_of(enum asym_kind kind)
{
    return asym_bytes(kind) == 32 ? RTE_CRYPTO_EC_GROUP_SECP256R1 : RTE_CRYPTO_EC_GROUP_SECP384R1;
}

static void fill_multiply(const struct asym_queue *q, struct rte_crypto_op *op, struct asym_dpdk_op *of)
{
    const size_t bytes = asym_bytes(of->numbers.kind);
    struct asym_multiply *m = &of->numbers.multiply;
    const struct rte_crypto_ec_point point = {number(op, m->point, bytes),
                                              number(op, m->point + bytes, bytes)};
    const struct rte_crypto_ec_point product = {number(op, m->shared, bytes), number(op, of->y, bytes)};
    of->xform.xform_type = q->dev->ecdh ? RTE_CRYPTO_ASYM_XFORM_ECDH : RTE_CRYPTO_ASYM_XFORM_ECPM;
    of->xform.ec.curve_id = curve_of(of->numbers.kind);
    if (q->dev->ecdh)
        op->asym->ecdh = (struct rte_crypto_ecdh_op_param){
            .ke_type = RTE_CRYPTO_ASYM_KE_SHARED_SECRET_COMPUTE,
            .priv_key = number(op, m->secret, bytes),
            .pub_key = point,
            .shared_secret = product,
        };
    else
        op->asym->ecpm = (struct rte_crypto_ecpm_op_param){
            .p = point, .r = product, .scalar = number(op, m->secret, bytes)};
}

static void fill_verify(struct rte_crypto_op *op, struct asym_dpdk_op *of)
{
    const size_t bytes = asym_bytes(of->numbers.kind);
    struct asym_verify *v = &of->numbers.verify;
    of->xform.xform_type = RTE_CRYPTO_ASYM_XFORM_ECDSA;
    of->xform.ec.curve_id = curve_of(of->numbers.kind);
    of->xform.ec.q =
        (struct rte_crypto_ec_point){number(op, v->point, bytes), number(op, v->point + bytes, bytes)};
    op->asym->ecdsa = (struct rte_crypto_ecdsa_op_param){
        .op_type = RTE_CRYPTO_ASYM_OP_VERIFY,
        .message = number(op, v->digest, bytes),
        .r = number(op, v->r, bytes),
        .s = number(op, v->s, bytes),
    };
}

static void fill_rsa(struct rte_crypto_op *op, struct asym_dpdk_op *of)
{
    const size_t bytes = asym_bytes(of->numbers.kind);
    struct asym_rsa *rsa = &of->numbers.rsa;
    memcpy(of->y, f4, sizeof(f4));
    of->xform.xform_type = RTE_CRYPTO_ASYM_XFORM_MODEX;
    of->xform.modex.modulus = number(op, rsa->modulus, bytes);
    of->xform.modex.exponent = number(op, of->y, sizeof(f4));
    op->asym->modex.base = number(op, rsa->in, bytes);
    op->asym->modex.result = number(op, rsa->out, bytes);
}

static bool attach(const struct asym_queue *q, struct rte_crypto_op *op, struct asym_dpdk_op *of)
{
    void *session = NULL;
    if (q->dev->sessionless) {
        op->sess_type = RTE_CRYPTO_OP_SESSIONLESS;
        op->asym->xform = &of->xform;
        return true;
    }
    if (rte_cryptodev_asym_session_create(q->dev->id, &of->xform, q->dev->sessions, &session) != 0)
        return false;
    of->session = session;
    return rte_crypto_op_attach_asym_session(op, of->session) == 0;
}

static void release(const struct asym_queue *q, struct rte_crypto_op *op)
{
    struct asym_dpdk_op *of = op_of(op);
    if (of->session)
        rte_cryptodev_asym_session_free(q->dev->id, of->session);
    explicit_bzero(of, sizeof(*of));
    rte_crypto_op_free(op);
}

static bool fill(const struct asym_queue *q, struct rte_crypto_op *op, struct asym_job *job)
{
    struct asym_dpdk_op *of = op_of(op);
    *of = (struct asym_dpdk_op){.job = job, .numbers = *job};
    if (asym_is_multiply(job->kind))
        fill_multiply(q, op, of);
    else if (asym_is_verify(job->kind))
        fill_verify(op, of);
    else
        fill_rsa(op, of);
    return attach(q, op, of);
}

bool asym_dpdk_submit(void *self, struct asym_job *job)
{
    struct asym_queue *q = self;
    if (q->waiting == ASYM_BURST)
        return false;
    struct rte_crypto_op *op = rte_crypto_op_alloc(q->dev->ops, RTE_CRYPTO_OP_TYPE_ASYMMETRIC);
    if (!op)
        return false;
    if (!fill(q, op, job)) {
        release(q, op);
        return false;
    }
    q->wait[q->waiting++] = op;
    return true;
}

/* ---- what is answered ---- */

/* Numbers that come shorter than they are asked for have lost the zeros before them. */
static bool widen(uint8_t *at, size_t came, size_t bytes)
{
    if (came > bytes)
        return false;
    memmove(at + bytes - came, at, came);
    memset(at, 0, bytes - came);
    return true;
}

/* A signature that is refused and a fault are told by the same status: who asked has to look again. */
static void take_answer(const struct asym_queue *q, struct rte_crypto_op *op, struct asym_dpdk_op *of)
{
    const enum asym_kind kind = of->numbers.kind;
    const size_t bytes = asym_bytes(kind);
    bool ok = op->status == RTE_CRYPTO_OP_STATUS_SUCCESS;
    if (ok && asym_is_multiply(kind)) {
        size_t came = q->dev->ecdh ? op->asym->ecdh.shared_secret.x.length : op->asym->ecpm.r.x.length;
        ok = widen(of->numbers.multiply.shared, came, bytes);
        memcpy(of->job->multiply.shared, of->numbers.multiply.shared, bytes);
    } else if (ok && !asym_is_verify(kind)) {
        ok = widen(of->numbers.rsa.out, op->asym->modex.result.length, bytes);
        memcpy(of->job->rsa.out, of->numbers.rsa.out, bytes);
    }
    of->job->result = ok ? ASYM_DONE : ASYM_FAILED;
}

static void put_in(struct asym_queue *q)
{
    uint16_t taken = rte_cryptodev_enqueue_burst(q->dev->id, q->id, q->wait, q->waiting);
    q->waiting -= taken;
    q->out += taken;
    memmove((void *)q->wait, (const void *)(q->wait + taken), q->waiting * sizeof(q->wait[0]));
}

struct asym_job *asym_dpdk_poll(void *self)
{
    struct asym_queue *q = self;
    if (q->done_at == q->done) {
        if (q->waiting > 0)
            put_in(q);
        q->done_at = 0;
        q->done = q->out > 0 ? rte_cryptodev_dequeue_burst(q->dev->id, q->id, q->came, ASYM_BURST) : 0;
        q->out -= q->done;
    }
    if (q->done_at == q->done)
        return NULL;
    struct rte_crypto_op *op = q->came[q->done_at++];
    struct asym_job *job = op_of(op)->job;
    take_answer(q, op, op_of(op));
    release(q, op);
    return job;
}
