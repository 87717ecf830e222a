/* What batches cost: operations a second of this thread's CPU, through crypto/batch.h, by crypto_mb called directly with eight
 * full lanes, and one at a time by libcrypto.
 *
 *     batch_time [ROUNDS]      no test: it prints figures; crypto/README.md holds those of one machine
 */
#include "tests/unit/crypto/batch_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#undef NDEBUG
#include <assert.h>

#define ROUNDS_MAX 2000u

static const struct span message = {(const uint8_t *)"TLS 1.3, server CertificateVerify", 33};

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* One kind, and what is asked of it. */
struct subject {
    enum batch_kind kind;
    struct batch *batch, *alone; /* crypto_mb from eight on; libcrypto */
    struct batch_backend direct; /* crypto_mb without anything before it */
    struct batch_key *key;
    EVP_PKEY *pkey;
    enum batch_scheme scheme;
    struct span sig;
    struct batch_pair own, peer;
    struct batch_op raw[BATCH_LANES]; /* for the direct calls: ready made */
    struct stats stats;
};

static enum batch_group group_of(const struct subject *s)
{
    return (enum batch_group)(batch_is_key(s->kind) ? s->kind : s->kind - BATCH_X25519_DERIVE);
}

static void put(struct subject *s, struct batch *batch)
{
    const struct span peer = {s->peer.point, batch_point_bytes(group_of(s))};
    struct batch_op *op = batch_is_derive(s->kind) ? batch_derive(batch, group_of(s), &s->own, peer, NULL, 0)
                                                   : batch_verify(batch, s->key, s->scheme, BATCH_SHA256,
                                                                  message, s->sig, NULL, 0);
    assert(op);
}

static void batched(struct subject *s, struct batch *batch, unsigned n)
{
    struct batch_pair pair;
    if (batch_is_key(s->kind)) {
        for (unsigned i = 0; i < n; i++)
            assert(batch_pair_take(batch, group_of(s), &pair));
        return;
    }
    for (unsigned i = 0; i < n; i++)
        put(s, batch);
    batch_flush(batch);
    for (struct batch_op *op; (op = batch_ready(batch));) {
        assert(op->result == BATCH_GOOD);
        batch_done(batch, op);
    }
}

static void eight(struct subject *s)
{
    batched(s, s->batch, BATCH_LANES);
}

static void lone(struct subject *s)
{
    batched(s, s->alone, 1);
}

static void direct(struct subject *s)
{
    struct batch_op *op[BATCH_LANES];
    for (unsigned i = 0; i < BATCH_LANES; i++) {
        op[i] = &s->raw[i];
        op[i]->result = BATCH_WAITS;
    }
    s->direct.run(s->direct.self, s->kind, op, BATCH_LANES);
}

static void libcrypto(struct subject *s)
{
    static const char *const name[BATCH_GROUPS] = {"X25519", "P-256", "P-384"};
    uint8_t shared[BATCH_SECRET_BYTES];
    const struct span peer = {s->peer.point, batch_point_bytes(group_of(s))};
    if (batch_is_derive(s->kind))
        assert(kit_evp_derive(group_of(s), &s->own, peer, shared));
    else if (!batch_is_key(s->kind))
        assert(kit_evp_verify(s->pkey, s->scheme, BATCH_SHA256, message, s->sig));
    else
        EVP_PKEY_free(s->kind == BATCH_X25519_KEY ? EVP_PKEY_Q_keygen(NULL, NULL, "X25519")
                                                  : EVP_PKEY_Q_keygen(NULL, NULL, "EC", name[s->kind]));
}

/* All four in turns, so that what disturbs one disturbs all; in changing order, for each finds the caches, and the CPU's wide
 * units, as the one before it left them.
 */
static void measure(struct subject *s, const char *what, unsigned rounds)
{
    static void (*const run[])(struct subject *) = {eight, direct, lone, libcrypto};
    static const unsigned per_call[] = {BATCH_LANES, BATCH_LANES, 1, 1};
    static uint32_t cost_ns[4][ROUNDS_MAX];
    double us[4];
    for (unsigned i = 0; i < rounds; i++)
        for (unsigned turn = 0; turn < 4; turn++) {
            unsigned j = turn ^ (i & 1);
            uint64_t start = cpu_ns();
            run[j](s);
            cost_ns[j][i] = (uint32_t)(cpu_ns() - start);
        }
    for (unsigned j = 0; j < 4; j++) {
        qsort(cost_ns[j], rounds, sizeof(cost_ns[0][0]), compare);
        us[j] = cost_ns[j][rounds / 2] / 1000.0 / per_call[j];
    }
    printf("| %-20s %-5s | %7.1f | %7.1f | %.2f | %7.1f | %7.1f | %.2f | %u |\n", batch_kind_name(s->kind),
           what, us[0], us[1], us[1] / us[0], us[2], us[3], us[3] / us[2],
           batch_break_even(s->batch, s->kind));
}

static void fill_raw(struct subject *s)
{
    struct batch_op *op = NULL;
    if (!batch_is_key(s->kind)) {
        put(s, s->batch);
        batch_flush(s->batch);
        op = batch_ready(s->batch);
        assert(op);
    }
    for (unsigned i = 0; i < BATCH_LANES; i++) {
        s->raw[i] = op ? *op : (struct batch_op){.kind = s->kind, .exchange.own = s->own};
    }
    if (op)
        batch_done(s->batch, op);
}

static void prepare(struct subject *s, uint8_t *sig)
{
    enum batch_kind kind = s->kind;
    if (batch_is_key(kind) || batch_is_derive(kind)) {
        assert(batch_pair_take(s->alone, group_of(s), &s->own) &&
               batch_pair_take(s->alone, group_of(s), &s->peer));
    } else {
        s->pkey = batch_curve(kind) ? kit_ec(kind == BATCH_P256_VERIFY ? BATCH_P256 : BATCH_P384)
                                    : kit_rsa(2048 + 1024 * (unsigned)(kind - BATCH_RSA2048_VERIFY));
        s->key = batch_key_make(NULL, s->pkey);
        s->sig = (struct span){sig, kit_sign(s->pkey, s->scheme, BATCH_SHA256, message, sig)};
    }
    fill_raw(s);
}

static void measure_kind(struct subject *s, enum batch_kind kind, enum batch_scheme scheme, const char *what,
                         unsigned rounds)
{
    uint8_t sig[1024];
    s->kind = kind;
    s->scheme = scheme;
    prepare(s, sig);
    measure(s, what, rounds);
    batch_key_drop(s->key);
    s->key = NULL;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200;
    rounds = rounds == 0 ? 1 : min_u32(rounds, ROUNDS_MAX);
    struct error err;
    struct subject s = {0};
    struct batch_config config = {.ops_max = 64, .stock = BATCH_LANES, .stats = &s.stats};
    uint64_t start = cpu_ns();
    s.batch = batch_open(&config, &err);
    printf("%s, opened in %.1f ms; medians of %u rounds, microseconds an operation\n",
           batch_backend_name(s.batch), (double)(cpu_ns() - start) / 1e6, rounds);
    config.libcrypto_only = true;
    config.stock = 0;
    s.alone = batch_open(&config, &err);
    if (!s.batch || !s.alone || !batch_mb_open(&s.direct, NULL)) {
        printf("no crypto_mb for this CPU\n");
        return 1;
    }
    printf("| | eight | crypto_mb directly | ratio | alone | libcrypto | ratio | break-even |\n"
           "|---|---|---|---|---|---|---|---|\n");
    for (unsigned kind = 0; kind < BATCH_RSA2048_VERIFY; kind++)
        measure_kind(&s, (enum batch_kind)kind, BATCH_ECDSA, "", rounds);
    for (unsigned kind = BATCH_RSA2048_VERIFY; kind < BATCH_OTHER_VERIFY; kind++) {
        measure_kind(&s, (enum batch_kind)kind, BATCH_RSA_PKCS1, "PKCS1", rounds);
        measure_kind(&s, (enum batch_kind)kind, BATCH_RSA_PSS, "PSS", rounds);
    }
    s.direct.close(s.direct.self);
    batch_close(s.batch);
    batch_close(s.alone);
    kit_free_keys();
    return 0;
}
