/* batch_measure.c: from how many operations on eight lanes cost less than that many in libcrypto.
 *
 * The time of a call does not depend on how many lanes are filled, nor, but for RSA's, on the numbers: what
 * is measured are operations that nobody needs.  The best of a few runs is taken: what disturbs one only
 * ever makes it longer.
 */
#include "crypto/batch_inside.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <time.h>

#define RUNS 3u

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t time_of(const struct batch_backend *backend, enum batch_kind kind,
                        struct batch_op *const op[], unsigned n)
{
    uint64_t best = UINT64_MAX;
    for (unsigned run = 0; run < RUNS; run++) {
        for (unsigned i = 0; i < n; i++)
            op[i]->result = BATCH_WAITS;
        uint64_t start = cpu_ns();
        backend->run(backend->self, kind, op, n);
        best = min_u64(best, cpu_ns() - start);
    }
    return max_u64(best, 1);
}

static bool sign_once(struct batch_key *key, struct batch_signed *sign)
{
    size_t len = sizeof(sign->sig);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(key->libctx, key->pkey, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
              EVP_PKEY_sign(ctx, sign->sig, &len, sign->digest, batch_hash_bytes(sign->hash)) == 1;
    EVP_PKEY_CTX_free(ctx);
    sign->sig_len = (uint16_t)len;
    return ok;
}

/* Nobody's key: any odd number of that many bits takes as long as a true modulus. */
static EVP_PKEY *some_rsa(OSSL_LIB_CTX *libctx, int bits)
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *n = BN_new(), *e = BN_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "RSA", NULL);
    OSSL_PARAM *param = NULL;
    bool ok = n && e && build && ctx && BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) == 1 &&
              BN_set_word(e, 65537) == 1 && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
              OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1 &&
              (param = OSSL_PARAM_BLD_to_param(build)) && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, param) == 1;
    OSSL_PARAM_free(param);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return ok ? pkey : NULL;
}

static bool some_signature(OSSL_LIB_CTX *libctx, enum batch_kind kind, struct batch_signed *sign)
{
    const struct curve *curve = batch_curve(kind);
    EVP_PKEY *pkey =
        curve ? EVP_PKEY_Q_keygen(libctx, NULL, "EC", kind == BATCH_P256_VERIFY ? "P-256" : "P-384")
              : some_rsa(libctx, 2048 + 1024 * (int)(kind - BATCH_RSA2048_VERIFY));
    struct batch_key *key = pkey ? batch_key_make(libctx, pkey) : NULL;
    EVP_PKEY_free(pkey);
    *sign = (struct batch_signed){.key = key, .scheme = curve ? BATCH_ECDSA : BATCH_RSA_PSS};
    if (!key)
        return false;
    if (curve) /* a digest of zeros would be quicker */
        return RAND_bytes_ex(libctx, sign->digest, sizeof(sign->digest), 0) == 1 && sign_once(key, sign);
    sign->sig_len = (uint16_t)key->bytes;
    sign->sig[0] = 0x7f; /* below any modulus; as good as random */
    return RAND_bytes_ex(libctx, sign->sig + 1, key->bytes - 1, 0) == 1;
}

static bool some_exchange(struct batch *b, enum batch_kind kind, struct batch_op *op)
{
    enum batch_group group = (enum batch_group)(batch_is_key(kind) ? kind : kind - BATCH_X25519_DERIVE);
    op->result = BATCH_WAITS;
    if (batch_secrets_make(b->libctx, group, op, 1) != 1)
        return false;
    b->single.run(b->single.self, (enum batch_kind)group, &op, 1);
    memcpy(op->exchange.peer, op->exchange.own.point, sizeof(op->exchange.peer));
    return op->result == BATCH_GOOD;
}

static bool measure(struct batch *b, enum batch_kind kind)
{
    struct batch_op *op[BATCH_LANES];
    bool exchange = batch_is_key(kind) || batch_is_derive(kind);
    b->making[0].kind = kind;
    if (!(exchange ? some_exchange(b, kind, &b->making[0])
                   : some_signature(b->libctx, kind, &b->making[0].sign)))
        return false;
    for (unsigned i = 0; i < BATCH_LANES; i++) {
        b->making[i] = b->making[0];
        op[i] = &b->making[i];
    }
    uint64_t lanes_ns = time_of(&b->lanes, kind, op, BATCH_LANES);
    uint64_t single_ns = time_of(&b->single, kind, op, 1);
    b->break_even[kind] = (uint8_t)min_u64(lanes_ns / single_ns + 1, BATCH_NEVER);
    return true;
}

bool batch_measure(struct batch *b, struct error *err)
{
    bool ok = true;
    for (unsigned kind = 0; ok && kind < BATCH_KINDS; kind++) {
        if (b->break_even[kind] == BATCH_NEVER)
            continue;
        ok = measure(b, (enum batch_kind)kind);
        if (!batch_is_key((enum batch_kind)kind) && !batch_is_derive((enum batch_kind)kind))
            batch_key_drop(b->making[0].sign.key);
        OPENSSL_cleanse(b->making, sizeof(b->making));
    }
    ERR_clear_error();
    return ok ||
           error_set(err, "libcrypto fails at public keys of its own: is its default provider switched off?");
}
