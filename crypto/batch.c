/* batch.c: the queues: what waits, when it is run, and by which library. */
#include "crypto/batch_inside.h"

/* ---- running ---- */

static void told(struct batch *b, enum batch_kind kind, unsigned n)
{
    stat_add(b->stats, STAT_tls_batch_redone, n);
    batch_complain(b, BATCH_LANES_FAIL, "%s failed at %u of a batch (%s): libcrypto does such again",
                   b->lanes.name, n, batch_kind_name(kind));
}

static void finish_singly(struct batch *b, enum batch_kind kind, struct batch_op *const op[], unsigned n)
{
    unsigned left = 0;
    for (unsigned i = 0; i < n; i++) {
        if (op[i]->result != BATCH_WAITS)
            continue;
        b->single.run(b->single.self, kind, &op[i], 1);
        assert(op[i]->result != BATCH_WAITS);
        left++;
    }
    if (left > 0)
        told(b, kind, left);
}

void batch_compute(struct batch *b, enum batch_kind kind, struct batch_op *const op[], unsigned n)
{
    assert(n > 0 && n <= BATCH_LANES);
    if (n < b->break_even[kind]) {
        stat_add(b->stats, STAT_tls_batch_single, n);
        b->single.run(b->single.self, kind, op, n);
        return;
    }
    stat_add(b->stats, STAT_tls_batch_lanes, n);
    stat_inc(b->stats, STAT_tls_batch_calls);
    b->lanes.run(b->lanes.self, kind, op, n);
    finish_singly(b, kind, op, n);
}

static void run_queue(struct batch *b, enum batch_kind kind, enum stat_id reason)
{
    struct batch_op *op[BATCH_LANES];
    struct batch_queue *queue = &b->queue[kind];
    unsigned n = 0;
    for (struct list *it; (it = list_pop(&queue->waiting));)
        op[n++] = list_entry(it, struct batch_op, link);
    if (n == 0)
        return;
    assert(n == queue->count);
    queue->count = 0;
    b->waiting -= n;
    stat_inc(b->stats, reason);
    batch_compute(b, kind, op, n);
    for (unsigned i = 0; i < n; i++)
        list_push_tail(&b->ready, &op[i]->link);
}

static void run_all(struct batch *b, enum stat_id reason)
{
    for (unsigned kind = 0; b->waiting > 0 && kind < BATCH_KINDS; kind++)
        run_queue(b, kind, reason);
}

static uint64_t deadline_of(const struct batch *b, enum batch_kind kind)
{
    const struct batch_queue *queue = &b->queue[kind];
    return queue->count > 0 ? list_entry(queue->waiting.next, struct batch_op, link)->since_us + b->wait_us
                            : DEADLINE_NEVER;
}

void batch_run(struct batch *b, uint64_t now_us)
{
    batch_device_poll(b);
    batch_device_overdue(b, now_us);
    for (unsigned kind = 0; b->waiting > 0 && kind < BATCH_KINDS; kind++)
        if (now_us >= deadline_of(b, kind))
            run_queue(b, kind, STAT_tls_batch_run_old);
}

void batch_flush(struct batch *b)
{
    batch_device_poll(b);
    run_all(b, STAT_tls_batch_run_all_wait);
}

void batch_idle(struct batch *b)
{
    batch_device_poll(b);
    run_all(b, STAT_tls_batch_run_idle);
    batch_stock_fill(b);
}

void batch_now(struct batch *b, struct batch_op *op)
{
    if (op->flight)
        batch_device_forgo(b, op);
    else if (op->result == BATCH_WAITS)
        run_queue(b, op->kind, STAT_tls_batch_run_all_wait);
}

uint64_t batch_deadline(const struct batch *b)
{
    uint64_t earliest = batch_device_deadline(b);
    for (unsigned kind = 0; b->waiting > 0 && kind < BATCH_KINDS; kind++)
        earliest = min_u64(earliest, deadline_of(b, kind));
    return earliest;
}

uint32_t batch_waiting(const struct batch *b)
{
    return b->waiting + b->device.out;
}

/* ---- operations ---- */

static struct batch_op *take(struct batch *b, enum batch_kind kind, void *owner, uint64_t now_us)
{
    struct batch_op *op = pool_get(&b->ops);
    if (!op) {
        stat_inc(b->stats, STAT_tls_batch_pool_full);
        return NULL;
    }
    list_init(&op->link);
    op->kind = kind;
    op->owner = owner;
    op->since_us = now_us;
    op->result = BATCH_WAITS;
    op->flight = NULL;
    return op;
}

static void decided(struct batch *b, struct batch_op *op, bool good)
{
    op->result = good ? BATCH_GOOD : BATCH_BAD;
    list_push_tail(&b->ready, &op->link);
}

static bool for_lanes(const struct batch *b, const struct batch_op *op)
{
    return b->break_even[op->kind] != BATCH_NEVER && (!b->lanes.takes || b->lanes.takes(op));
}

/* Where no batch is ever cheaper, waiting for company is lost time. */
static void queue_up(struct batch *b, struct batch_op *op)
{
    if (batch_device_put(b, op, op->since_us))
        return;
    struct batch_queue *queue = &b->queue[op->kind];
    if (!for_lanes(b, op)) {
        stat_inc(b->stats, STAT_tls_batch_single);
        b->single.run(b->single.self, op->kind, &op, 1);
        list_push_tail(&b->ready, &op->link);
        return;
    }
    list_push_tail(&queue->waiting, &op->link);
    queue->count++;
    b->waiting++;
    if (queue->count == BATCH_LANES)
        run_queue(b, op->kind, STAT_tls_batch_run_full);
}

struct batch_op *batch_derive(struct batch *b, enum batch_group group, const struct batch_pair *own,
                              struct span peer, void *owner, uint64_t now_us)
{
    struct batch_op *op = take(b, (enum batch_kind)(BATCH_X25519_DERIVE + (unsigned)group), owner, now_us);
    if (!op)
        return NULL;
    const struct curve *curve = batch_curve(op->kind);
    bool shaped = curve ? curve_point_shape(curve, peer) : peer.len == batch_point_bytes(group);
    if (!shaped) {
        decided(b, op, false);
        return op;
    }
    op->exchange.own = *own;
    memcpy(op->exchange.peer, peer.data, peer.len);
    queue_up(b, op);
    return op;
}

static bool digest(struct batch *b, enum batch_hash hash, struct span message, uint8_t *out)
{
    return EVP_DigestInit_ex2(b->hash, b->md[hash], NULL) == 1 &&
           EVP_DigestUpdate(b->hash, message.data, message.len) == 1 &&
           EVP_DigestFinal_ex(b->hash, out, NULL) == 1;
}

/* What can be seen without arithmetic; the same for every library. */
static bool sig_shaped(const struct batch_key *key, struct span sig)
{
    uint8_t r[BATCH_SECRET_BYTES], s[BATCH_SECRET_BYTES];
    const struct curve *curve = batch_curve(key->kind);
    if (curve)
        return signature_ecdsa(curve, sig, r, s);
    return sig.len == key->bytes && number_below(sig.data, key->big, key->bytes); /* RFC 8017 section 5.2.2 */
}

static bool verify_other(struct batch *b, struct batch_key *key, enum batch_scheme scheme,
                         enum batch_hash hash, struct span message, struct span sig)
{
    uint8_t hashed[BATCH_DIGEST_BYTES];
    stat_inc(b->stats, STAT_tls_batch_single);
    if (scheme == BATCH_ED25519)
        return batch_key_verify_message(key, message, sig);
    return digest(b, hash, message, hashed) &&
           batch_key_verify(key, scheme, hash, (struct span){hashed, batch_hash_bytes(hash)}, sig);
}

struct batch_op *batch_verify(struct batch *b, struct batch_key *key, enum batch_scheme scheme,
                              enum batch_hash hash, struct span message, struct span sig, void *owner,
                              uint64_t now_us)
{
    struct batch_op *op = take(b, key->kind, owner, now_us);
    if (!op)
        return NULL;
    op->sign.key = batch_key_hold(key);
    op->sign.scheme = scheme;
    op->sign.hash = hash;
    bool fits = batch_key_fits(key, scheme), other = key->kind == BATCH_OTHER_VERIFY;
    if (!fits || other || !sig_shaped(key, sig) || !digest(b, hash, message, op->sign.digest)) {
        decided(b, op, fits && other && verify_other(b, key, scheme, hash, message, sig));
        return op;
    }
    memcpy(op->sign.sig, sig.data, sig.len);
    op->sign.sig_len = (uint16_t)sig.len;
    queue_up(b, op);
    return op;
}

struct batch_op *batch_ready(struct batch *b)
{
    struct list *it = list_pop(&b->ready);
    return it ? list_entry(it, struct batch_op, link) : NULL;
}

void batch_done(struct batch *b, struct batch_op *op)
{
    list_remove(&op->link);
    if (op->flight) {
        batch_device_forget(b, op);
    } else if (op->result == BATCH_WAITS) {
        b->queue[op->kind].count--;
        b->waiting--;
    }
    if (batch_is_derive(op->kind))
        explicit_bzero(&op->exchange, sizeof(op->exchange));
    else
        batch_key_drop(op->sign.key);
    pool_put(&b->ops, op);
}
