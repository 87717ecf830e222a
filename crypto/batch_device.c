/* batch_device.c: operations in flight to a device, and what becomes of them. */
#include "crypto/batch_inside.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <pthread.h>
#include <stdlib.h>

/* One operation as the device has it.  It stays taken until the device gives it back, whoever waits. */
struct flight {
    struct asym_job job;
    struct list link;
    struct batch_op *op; /* NULL: nobody waits any more */
    uint64_t until_us;
};

/* Memory that a device may still write to, kept until the process ends. */
static struct kept {
    struct kept *next;
    void *memory;
} *all_kept;
static pthread_mutex_t keep_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- to the device ---- */

/* Derivations and signatures stand in the same order here and there. */
static enum asym_kind asym_of(enum batch_kind kind)
{
    return (enum asym_kind)(kind - BATCH_P256_DERIVE);
}

static void fill_exchange(const struct batch_exchange *x, struct asym_job *job)
{
    const size_t bytes = asym_bytes(job->kind);
    memcpy(job->multiply.secret, x->own.secret, bytes);
    memcpy(job->multiply.point, x->peer + 1, 2 * bytes);
}

static void fill_ecdsa(const struct curve *curve, const struct batch_signed *sign, struct asym_job *job)
{
    const struct span sig = {sign->sig, sign->sig_len};
    bool shaped = signature_ecdsa(curve, sig, job->verify.r, job->verify.s);
    assert(shaped); /* batch_verify has looked */
    (void)shaped;
    signature_bits(curve, (struct span){sign->digest, batch_hash_bytes(sign->hash)}, job->verify.digest);
    memcpy(job->verify.point, sign->key->big, 2 * curve->bytes);
}

static void fill(struct batch_op *op, struct asym_job *job)
{
    if (asym_is_multiply(job->kind)) {
        fill_exchange(&op->exchange, job);
    } else if (asym_is_verify(job->kind)) {
        fill_ecdsa(batch_curve(op->kind), &op->sign, job);
    } else {
        memcpy(job->rsa.modulus, op->sign.key->big, op->sign.key->bytes);
        memcpy(job->rsa.in, op->sign.sig, op->sign.sig_len);
    }
}

/* No secret is multiplied with a point of another curve, whatever a device looks at. */
static bool is_on_curve(struct batch_device *d, const struct batch_op *op)
{
    const EC_GROUP *group = op->kind == BATCH_P256_DERIVE ? d->p256 : d->p384;
    EC_POINT *point = op->kind == BATCH_P256_DERIVE ? d->p256_point : d->p384_point;
    const size_t bytes = batch_curve(op->kind)->bytes;
    bool on = EC_POINT_oct2point(group, point, op->exchange.peer, 1 + 2 * bytes, NULL) == 1;
    if (!on)
        ERR_clear_error();
    return on;
}

static bool has(const struct batch_device *d, enum batch_kind kind)
{
    return d->asym.submit && kind >= BATCH_P256_DERIVE && kind <= BATCH_RSA4096_VERIFY &&
           asym_has(&d->asym, asym_of(kind));
}

bool batch_device_has(const struct batch *b, enum batch_kind kind)
{
    return has(&b->device, kind);
}

void batch_device_spare(struct batch *b, enum batch_kind kind)
{
    b->device.asym.kinds &= ~(1u << asym_of(kind));
}

static bool is_for(struct batch_device *d, const struct batch_op *op)
{
    return has(d, op->kind) && (!batch_is_derive(op->kind) || is_on_curve(d, op));
}

static void put_back(struct batch_device *d, struct flight *f)
{
    explicit_bzero(f, sizeof(*f));
    pool_put(&d->flights, f);
}

bool batch_device_put(struct batch *b, struct batch_op *op, uint64_t now_us)
{
    struct batch_device *d = &b->device;
    if (!is_for(d, op) || now_us < d->rest_until_us)
        return false;
    struct flight *f = pool_get(&d->flights);
    if (!f)
        return false;
    f->job.kind = asym_of(op->kind);
    f->job.result = ASYM_WORKING;
    fill(op, &f->job);
    if (!d->asym.submit(d->asym.self, &f->job)) {
        put_back(d, f);
        return false;
    }
    stat_inc(b->stats, STAT_tls_batch_device);
    d->now_us = now_us;
    f->op = op;
    f->until_us = now_us + d->lost_us;
    op->flight = f;
    list_push_tail(&d->flying, &f->link);
    d->out++;
    return true;
}

/* ---- and back ---- */

static struct batch_op *land(struct batch_device *d, struct flight *f)
{
    struct batch_op *op = f->op;
    assert(op); /* who is among the flying has one */
    list_remove(&f->link);
    f->op = NULL;
    op->flight = NULL;
    d->out--;
    return op;
}

static enum batch_result judge(struct batch *b, const struct asym_job *job, struct batch_op *op)
{
    if (job->result == ASYM_REFUSED)
        return BATCH_BAD;
    if (job->result != ASYM_DONE)
        return BATCH_WAITS;
    if (asym_is_multiply(job->kind)) {
        memcpy(op->exchange.shared, job->multiply.shared, asym_bytes(job->kind));
        return BATCH_GOOD;
    }
    if (asym_is_verify(job->kind))
        return BATCH_GOOD;
    return batch_padding_is_right(b->hash, b->md, &op->sign, job->rsa.out) ? BATCH_GOOD : BATCH_BAD;
}

/* What came back failed, or did not come, of one look at the device. */
struct tally {
    unsigned failed, good;
    bool peers; /* libcrypto refused one too: it was the peer's numbers */
    enum batch_kind kind;
};

static void redo(struct batch *b, struct batch_op *op, struct tally *tally)
{
    b->single.run(b->single.self, op->kind, &op, 1);
    tally->kind = op->kind;
    tally->failed += op->result == BATCH_GOOD;
    tally->peers |= op->result != BATCH_GOOD;
    stat_inc(b->stats, op->result == BATCH_GOOD ? STAT_tls_batch_redone : STAT_tls_batch_single);
}

static void settle(struct batch *b, struct flight *f, struct tally *tally)
{
    struct batch_op *op = land(&b->device, f);
    op->result = judge(b, &f->job, op);
    if (op->result == BATCH_WAITS)
        redo(b, op, tally);
    else
        tally->good++;
    list_push_tail(&b->ready, &op->link);
}

/* A device may fail at operations that it does beside one with numbers that it does not take; so that no peer can
 * make it rest, these do not count.
 */
static void strike(struct batch *b, const struct tally *tally, const char *what)
{
    struct batch_device *d = &b->device;
    if (tally->good > 0)
        d->strikes = 0;
    if (tally->failed == 0 || tally->peers)
        return;
    batch_complain(b, BATCH_DEVICE_FAILS, "%s %s (%s): libcrypto does such again", d->asym.name, what,
                   batch_kind_name(tally->kind));
    d->strikes += tally->failed;
    if (d->strikes < DEVICE_STRIKES)
        return;
    d->strikes = DEVICE_STRIKES - 1; /* one more failure after the rest is enough */
    d->rest_until_us = d->now_us + DEVICE_REST_US;
    batch_complain(b, BATCH_DEVICE_RESTS, "%s %s %u times and more: it is not asked for %u s", d->asym.name,
                   what, DEVICE_STRIKES, DEVICE_REST_US / 1000000u);
}

void batch_device_poll(struct batch *b)
{
    struct batch_device *d = &b->device;
    struct tally tally = {0};
    if (!d->asym.submit || d->flights.in_use == 0)
        return;
    for (struct asym_job *job; (job = d->asym.poll(d->asym.self));) {
        struct flight *f = container_of(job, struct flight, job);
        if (f->op)
            settle(b, f, &tally);
        else
            stat_inc(b->stats, STAT_tls_batch_late);
        put_back(d, f);
    }
    strike(b, &tally, "failed");
}

void batch_device_overdue(struct batch *b, uint64_t now_us)
{
    struct batch_device *d = &b->device;
    struct tally tally = {0};
    d->now_us = now_us;
    for (struct list *it; (it = list_head(&d->flying));) {
        struct flight *f = list_entry(it, struct flight, link);
        if (now_us < f->until_us)
            break;
        struct batch_op *op = land(d, f);
        stat_inc(b->stats, STAT_tls_batch_lost);
        redo(b, op, &tally);
        list_push_tail(&b->ready, &op->link);
    }
    tally.peers = false; /* whatever the numbers are, an answer is due */
    strike(b, &tally, "did not answer in time");
}

/* Nothing tells that a device has answered: it has to be asked. */
uint64_t batch_device_deadline(const struct batch *b)
{
    return b->device.out > 0 ? b->device.now_us + BATCH_POLL_US : DEADLINE_NEVER;
}

void batch_device_forget(struct batch *b, struct batch_op *op)
{
    land(&b->device, op->flight);
}

void batch_device_forgo(struct batch *b, struct batch_op *op)
{
    land(&b->device, op->flight);
    b->single.run(b->single.self, op->kind, &op, 1);
    stat_inc(b->stats, STAT_tls_batch_single);
    list_push_tail(&b->ready, &op->link);
}

/* ---- open, close ---- */

void batch_device_drop(struct batch *b)
{
    for (struct list *it; (it = list_head(&b->device.flying));)
        batch_done(b, list_entry(it, struct flight, link)->op);
}

bool batch_device_open(struct batch *b, const struct asym_device *asym, uint32_t flights, uint64_t lost_us,
                       struct error *err)
{
    struct batch_device *d = &b->device;
    d->asym = *asym;
    d->lost_us = lost_us;
    d->p256 = EC_GROUP_new_by_curve_name_ex(b->libctx, NULL, NID_X9_62_prime256v1);
    d->p384 = EC_GROUP_new_by_curve_name_ex(b->libctx, NULL, NID_secp384r1);
    d->p256_point = d->p256 ? EC_POINT_new(d->p256) : NULL;
    d->p384_point = d->p384 ? EC_POINT_new(d->p384) : NULL;
    if (!d->p256_point || !d->p384_point)
        return error_set(err, "libcrypto has no P-256 or P-384: is its default provider switched off?");
    return pool_open(&d->flights, "public-key operations of a device", sizeof(struct flight), flights, err);
}

/* Where there is no memory to note it, the memory is kept all the same. */
static void keep(void *memory)
{
    struct kept *kept = malloc(sizeof(*kept));
    if (!kept)
        return;
    pthread_mutex_lock(&keep_lock);
    *kept = (struct kept){.next = all_kept, .memory = memory};
    all_kept = kept;
    pthread_mutex_unlock(&keep_lock);
}

void batch_device_close(struct batch *b)
{
    struct batch_device *d = &b->device;
    assert(d->out == 0);
    if (!d->asym.submit)
        return;
    if (!d->asym.close(d->asym.self) && d->flights.memory) {
        keep(d->flights.memory);
        d->flights.memory = NULL;
    }
    pool_close(&d->flights);
    EC_POINT_free(d->p256_point);
    EC_POINT_free(d->p384_point);
    EC_GROUP_free(d->p256);
    EC_GROUP_free(d->p384);
    *d = (struct batch_device){0};
    list_init(&d->flying);
}
