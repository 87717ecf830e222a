/* batch_sample.c: operations that nobody needs, to measure and to try who computes. */
#include "crypto/batch_inside.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>

/* ---- RSA ---- */

struct numbers {
    BIGNUM *n, *e, *d; /* d NULL: none */
};

/* Any odd number of that many bits takes as long as a true modulus. */
static bool any_modulus(struct numbers *it, int bits)
{
    it->n = BN_new();
    return it->n && BN_rand(it->n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) == 1;
}

/* To make a key takes a second. Modulo a prime, and RFC 3526 has some of these sizes, there is an exponent that undoes
 * another as in RSA: no secret, but the signature is right.
 */
static bool known_modulus(struct numbers *it, int bits)
{
    BN_CTX *scratch = BN_CTX_new();
    BIGNUM *order = NULL;
    it->n = bits == 2048   ? BN_get_rfc3526_prime_2048(NULL)
            : bits == 3072 ? BN_get_rfc3526_prime_3072(NULL)
                           : BN_get_rfc3526_prime_4096(NULL);
    bool ok = scratch && it->n && (order = BN_dup(it->n)) && BN_sub_word(order, 1) == 1 &&
              (it->d = BN_mod_inverse(NULL, it->e, order, scratch));
    BN_free(order);
    BN_CTX_free(scratch);
    return ok;
}

static bool push(OSSL_PARAM_BLD *build, const struct numbers *it)
{
    return OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, it->n) == 1 &&
           OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, it->e) == 1 &&
           (!it->d || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, it->d) == 1);
}

static EVP_PKEY *key_of(OSSL_LIB_CTX *libctx, const struct numbers *it)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "RSA", NULL);
    OSSL_PARAM *param = build && push(build, it) ? OSSL_PARAM_BLD_to_param(build) : NULL;
    bool ok = ctx && param && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &pkey, it->d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, param) == 1;
    OSSL_PARAM_free(param);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_BLD_free(build);
    return ok ? pkey : NULL;
}

static EVP_PKEY *some_rsa(OSSL_LIB_CTX *libctx, int bits, bool exact)
{
    struct numbers it = {.e = BN_new()};
    bool ok =
        it.e && BN_set_word(it.e, 65537) == 1 && (exact ? known_modulus(&it, bits) : any_modulus(&it, bits));
    EVP_PKEY *pkey = ok ? key_of(libctx, &it) : NULL;
    BN_free(it.n);
    BN_free(it.e);
    BN_free(it.d);
    return pkey;
}

/* ---- signatures, exchanges ---- */

static bool sign_once(const struct batch_key *key, struct batch_signed *sign)
{
    size_t len = sizeof(sign->sig);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(key->libctx, key->pkey, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
              (!key->rsa || EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1) &&
              EVP_PKEY_sign(ctx, sign->sig, &len, sign->digest, batch_hash_bytes(sign->hash)) == 1;
    EVP_PKEY_CTX_free(ctx);
    sign->sig_len = (uint16_t)len;
    return ok;
}

static bool some_signature(OSSL_LIB_CTX *libctx, enum batch_kind kind, bool exact, struct batch_signed *sign)
{
    const struct curve *curve = batch_curve(kind);
    EVP_PKEY *pkey =
        curve ? EVP_PKEY_Q_keygen(libctx, NULL, "EC", kind == BATCH_P256_VERIFY ? "P-256" : "P-384")
              : some_rsa(libctx, 2048 + 1024 * (int)(kind - BATCH_RSA2048_VERIFY), exact);
    struct batch_key *key = pkey ? batch_key_make(libctx, pkey) : NULL;
    EVP_PKEY_free(pkey);
    *sign = (struct batch_signed){.key = key,
                                  .scheme = curve   ? BATCH_ECDSA
                                            : exact ? BATCH_RSA_PKCS1
                                                    : BATCH_RSA_PSS};
    /* A digest of zeros would be quicker. */
    if (!key || RAND_bytes_ex(libctx, sign->digest, sizeof(sign->digest), 0) != 1)
        return false;
    if (curve || exact)
        return sign_once(key, sign);
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

/* ---- eight of them ---- */

bool batch_sample_make(struct batch *b, enum batch_kind kind, bool exact)
{
    struct batch_op *first = &b->making[0];
    const bool exchange = batch_is_key(kind) || batch_is_derive(kind);
    first->kind = kind;
    bool ok = exchange ? some_exchange(b, kind, first) : some_signature(b->libctx, kind, exact, &first->sign);
    for (unsigned i = 1; i < BATCH_LANES; i++)
        b->making[i] = *first;
    return ok;
}

void batch_sample_drop(struct batch *b, enum batch_kind kind)
{
    if (!batch_is_key(kind) && !batch_is_derive(kind))
        batch_key_drop(b->making[0].sign.key);
    explicit_bzero(b->making, sizeof(b->making));
}
