/* batch_openssl.c: plain libcrypto, one operation after the other.
 *
 * Curves go through EC_GROUP, with the calls that libcrypto's own key generation and ECDH end in: what EVP
 * puts before them costs as much as half of the arithmetic.
 */
#include "crypto/batch_inside.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <stdlib.h>

struct ec_group {
    EC_GROUP *group;
    EC_POINT *peer, *result;
};

struct openssl {
    OSSL_LIB_CTX *libctx;
    struct ec_group p256, p384;
    BIGNUM *secret, *x;
    BN_CTX *scratch;        /* of the secure kind, as libcrypto's ECDH has it */
    EVP_PKEY_CTX *from_raw; /* X25519 */
};

static bool has(void *self, enum batch_kind kind)
{
    (void)self;
    return kind < BATCH_KINDS;
}

/* Told the public half too, libcrypto does not compute it again. */
static EVP_PKEY *x25519_own(struct openssl *o, struct batch_pair *own, bool with_point)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM raw[] = {OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, own->secret, 32),
                        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, own->point, 32),
                        OSSL_PARAM_construct_end()};
    if (!with_point)
        raw[1] = OSSL_PARAM_construct_end();
    return EVP_PKEY_fromdata(o->from_raw, &key, EVP_PKEY_KEYPAIR, raw) == 1 ? key : NULL;
}

static bool x25519_key(struct openssl *o, struct batch_pair *own)
{
    size_t len = 32;
    EVP_PKEY *key = x25519_own(o, own, false);
    bool ok = key && EVP_PKEY_get_raw_public_key(key, own->point, &len) == 1;
    EVP_PKEY_free(key);
    return ok;
}

/* A shared secret of zeros fails: RFC 7748 section 6.1, RFC 8446 section 7.4.2. */
static bool x25519_derive(struct openssl *o, struct batch_exchange *x)
{
    size_t len = sizeof(x->shared);
    EVP_PKEY *own = x25519_own(o, &x->own, true);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(o->libctx, "X25519", NULL, x->peer, 32);
    EVP_PKEY_CTX *ctx = own ? EVP_PKEY_CTX_new_from_pkey(o->libctx, own, NULL) : NULL;
    bool ok = peer && ctx && EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) == 1 && EVP_PKEY_derive(ctx, x->shared, &len) == 1 &&
              len == 32;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return ok;
}

static bool ec_key(struct openssl *o, struct ec_group *g, size_t bytes, struct batch_pair *own)
{
    bool ok = BN_bin2bn(own->secret, (int)bytes, o->secret) &&
              EC_POINT_mul(g->group, g->result, o->secret, NULL, NULL, o->scratch) == 1 &&
              EC_POINT_point2oct(g->group, g->result, POINT_CONVERSION_UNCOMPRESSED, own->point,
                                 sizeof(own->point), o->scratch) == 1 + 2 * bytes;
    BN_clear(o->secret);
    return ok;
}

/* EC_POINT_oct2point refuses what is not on the curve; the shared secret is the x alone, RFC 8446 section
 * 7.4.2.
 */
static bool ec_derive(struct openssl *o, struct ec_group *g, size_t bytes, struct batch_exchange *x)
{
    bool ok = BN_bin2bn(x->own.secret, (int)bytes, o->secret) &&
              EC_POINT_oct2point(g->group, g->peer, x->peer, 1 + 2 * bytes, o->scratch) == 1 &&
              EC_POINT_mul(g->group, g->result, NULL, g->peer, o->secret, o->scratch) == 1 &&
              EC_POINT_get_affine_coordinates(g->group, g->result, o->x, NULL, o->scratch) == 1 &&
              BN_bn2binpad(o->x, x->shared, (int)bytes) == (int)bytes;
    BN_clear(o->secret);
    BN_clear(o->x);
    return EC_POINT_copy(g->result, EC_GROUP_get0_generator(g->group)) == 1 && ok; /* wiped */
}

static bool verify(struct batch_signed *sign)
{
    return batch_key_verify(sign->key, sign->scheme, sign->hash,
                            (struct span){sign->digest, batch_hash_bytes(sign->hash)},
                            (struct span){sign->sig, sign->sig_len});
}

static bool run_one(struct openssl *o, enum batch_kind kind, struct batch_op *op)
{
    switch (kind) {
    case BATCH_X25519_KEY: return x25519_key(o, &op->exchange.own);
    case BATCH_P256_KEY: return ec_key(o, &o->p256, curve_p256.bytes, &op->exchange.own);
    case BATCH_P384_KEY: return ec_key(o, &o->p384, curve_p384.bytes, &op->exchange.own);
    case BATCH_X25519_DERIVE: return x25519_derive(o, &op->exchange);
    case BATCH_P256_DERIVE: return ec_derive(o, &o->p256, curve_p256.bytes, &op->exchange);
    case BATCH_P384_DERIVE: return ec_derive(o, &o->p384, curve_p384.bytes, &op->exchange);
    default: return verify(&op->sign);
    }
}

static void run(void *self, enum batch_kind kind, struct batch_op *const op[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bool ok = run_one(self, kind, op[i]);
        op[i]->result = ok ? BATCH_GOOD : BATCH_BAD;
        if (!ok)
            ERR_clear_error();
    }
}

static bool open_group(OSSL_LIB_CTX *libctx, struct ec_group *g, int nid)
{
    g->group = EC_GROUP_new_by_curve_name_ex(libctx, NULL, nid);
    g->peer = g->group ? EC_POINT_new(g->group) : NULL;
    g->result = g->group ? EC_POINT_new(g->group) : NULL;
    return g->peer && g->result;
}

static void close_group(struct ec_group *g)
{
    EC_POINT_clear_free(g->peer);
    EC_POINT_clear_free(g->result);
    EC_GROUP_free(g->group);
}

static void close_all(void *self)
{
    struct openssl *o = self;
    close_group(&o->p256);
    close_group(&o->p384);
    BN_clear_free(o->secret);
    BN_clear_free(o->x);
    BN_CTX_free(o->scratch);
    EVP_PKEY_CTX_free(o->from_raw);
    free(o);
}

static bool open_parts(struct openssl *o)
{
    o->secret = BN_secure_new();
    o->x = BN_secure_new();
    o->scratch = BN_CTX_secure_new_ex(o->libctx);
    o->from_raw = EVP_PKEY_CTX_new_from_name(o->libctx, "X25519", NULL);
    if (o->secret)
        BN_set_flags(o->secret, BN_FLG_CONSTTIME);
    return o->secret && o->x && o->scratch && o->from_raw && EVP_PKEY_fromdata_init(o->from_raw) == 1 &&
           open_group(o->libctx, &o->p256, NID_X9_62_prime256v1) &&
           open_group(o->libctx, &o->p384, NID_secp384r1);
}

bool batch_openssl_open(struct batch_backend *backend, OSSL_LIB_CTX *libctx, struct error *err)
{
    struct openssl *o = calloc(1, sizeof(*o));
    if (o)
        o->libctx = libctx;
    if (o && open_parts(o)) {
        *backend = (struct batch_backend){
            .name = "libcrypto", .has = has, .run = run, .close = close_all, .self = o};
        return true;
    }
    if (o)
        close_all(o);
    ERR_clear_error();
    return error_set(err, "libcrypto has no X25519, P-256 or P-384: is its default provider switched off?");
}
