/* What each backend of the batch costs: microseconds of this thread's CPU an operation with 32 in there together and with one
 * alone, and how long one alone takes by the clock.
 *
 *     backend_time [ROUNDS]      no test: it prints figures; crypto/README.md holds those of one machine
 */
#include "tests/unit/crypto/batch_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#undef NDEBUG
#include <assert.h>

#define TOGETHER   32u
#define ROUNDS_MAX 1000u

static const struct span message = {(const uint8_t *)"TLS 1.3, server CertificateVerify", 33};
static const enum batch_kind kinds[] = {BATCH_P256_DERIVE, BATCH_P256_VERIFY, BATCH_RSA2048_VERIFY};
static const char *const library_name[KIT_LIBRARIES] = {"libcrypto", "crypto_mb", "engine toy",
                                                        "engine qatengine", "cryptodev crypto_openssl"};

struct subject {
    enum batch_kind kind;
    struct kit kit;
    struct batch_pair own, peer;
    struct batch_key *key;
    uint8_t sig[1024];
    size_t sig_len;
};

static double clock_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void prepare(struct subject *s)
{
    assert(batch_pair_take(s->kit.batch, BATCH_P256, &s->own) &&
           batch_pair_take(s->kit.batch, BATCH_P256, &s->peer));
    if (s->kind == BATCH_P256_DERIVE)
        return;
    bool rsa = s->kind == BATCH_RSA2048_VERIFY;
    EVP_PKEY *pkey = rsa ? kit_rsa(2048) : kit_ec(BATCH_P256);
    s->key = batch_key_make(NULL, pkey);
    s->sig_len = kit_sign(pkey, rsa ? BATCH_RSA_PSS : BATCH_ECDSA, BATCH_SHA256, message, s->sig);
}

static void put(struct subject *s)
{
    const struct span sig = {s->sig, s->sig_len}, peer = {s->peer.point, batch_point_bytes(BATCH_P256)};
    struct batch *b = s->kit.batch;
    struct batch_op *op =
        s->kind == BATCH_P256_DERIVE
            ? batch_derive(b, BATCH_P256, &s->own, peer, NULL, 0)
            : batch_verify(b, s->key, s->kind == BATCH_P256_VERIFY ? BATCH_ECDSA : BATCH_RSA_PSS,
                           BATCH_SHA256, message, sig, NULL, 0);
    assert(op);
}

static void round_of(struct subject *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        put(s);
    kit_settle(&s->kit);
    for (struct batch_op *op; (op = batch_ready(s->kit.batch));) {
        assert(op->result == BATCH_GOOD);
        batch_done(s->kit.batch, op);
    }
}

static double median(struct subject *s, clockid_t id, unsigned n, unsigned rounds)
{
    static double us[ROUNDS_MAX];
    for (unsigned i = 0; i < rounds; i++) {
        double start = clock_us(id);
        round_of(s, n);
        us[i] = (clock_us(id) - start) / n;
    }
    qsort(us, rounds, sizeof(us[0]), compare);
    return us[rounds / 2];
}

static void measure(enum kit_library library, enum batch_kind kind, unsigned rounds)
{
    struct subject s = {.kind = kind};
    if (!kit_open(&s.kit, library))
        return;
    prepare(&s);
    double together = median(&s, CLOCK_THREAD_CPUTIME_ID, TOGETHER, rounds);
    double alone = median(&s, CLOCK_THREAD_CPUTIME_ID, 1, rounds);
    double clock = median(&s, CLOCK_MONOTONIC, 1, rounds);
    printf("| %s | %s | %.1f | %.1f | %.0f |\n", library_name[library], batch_kind_name(kind), together,
           alone, clock);
    batch_key_drop(s.key);
    batch_close(s.kit.batch);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 50;
    rounds = rounds == 0 ? 1 : min_u32(rounds, ROUNDS_MAX);
    printf("| | | 32 together | alone | alone, by the clock |\n|---|---|---|---|---|\n");
    for (unsigned library = 0; library < KIT_LIBRARIES; library++)
        for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
            measure((enum kit_library)library, kinds[i], rounds);
    kit_free_keys();
    return 0;
}
