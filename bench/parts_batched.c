/* parts_batched.c: public-key operations eight at once, by crypto_mb; AES-GCM by IPSec_MB. */
#include "bench/parts.h"

#include <string.h>

#ifdef HAVE_CRYPTO_MB
#include <crypto_mb/cpu_features.h>
#include <crypto_mb/ec_nistp256.h>
#include <crypto_mb/rsa.h>
#include <crypto_mb/x25519.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define LANES 8

static bool multiply(void *ctx)
{
    static uint8_t own[LANES][32], peer[LANES][32], out[LANES][32];
    uint8_t *to[LANES];
    const uint8_t *private[LANES], *public[LANES];
    (void)ctx;
    for (unsigned i = 0; i < LANES; i++) {
        own[i][0] = (uint8_t)(8 * (i + 1));
        own[i][31] = 0x40;
        peer[i][0] = 9;
        to[i] = out[i];
        private[i] = own[i];
        public[i] = peer[i];
    }
    return mbx_x25519_mb8(to, private, public) == 0;
}

struct rsa {
    uint8_t from[256], to[LANES][256];
    uint64_t modulus[32];
    uint8_t *buffer;
};

static bool rsa_public(void *ctx)
{
    struct rsa *rsa = ctx;
    const uint8_t *from[LANES];
    uint8_t *to[LANES];
    const int64u *modulus[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        from[i] = rsa->from;
        to[i] = rsa->to[i];
        modulus[i] = (const int64u *)rsa->modulus;
    }
    return mbx_rsa_public_mb8(from, to, modulus, 2048, mbx_RSA2K_pub65537_Method(), rsa->buffer) == 0;
}

static double time_rsa(void)
{
    struct rsa rsa = {.from = {0}};
    BIGNUM *n = NULL;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    rsa.buffer = malloc((size_t)mbx_RSA_Method_BufSize(mbx_RSA2K_pub65537_Method()));
    memset(rsa.from + 1, 7, sizeof(rsa.from) - 1);
    bool ok = key && rsa.buffer && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) &&
              BN_bn2lebinpad(n, (uint8_t *)rsa.modulus, sizeof(rsa.modulus)) == sizeof(rsa.modulus);
    double each = ok ? parts_time(rsa_public, &rsa) / LANES : 0;
    BN_free(n);
    EVP_PKEY_free(key);
    free(rsa.buffer);
    return each;
}

struct ecdsa {
    uint8_t r[32], s[32], digest[32];
    uint64_t x[4], y[4];
};

static bool ecdsa_verify(void *ctx)
{
    struct ecdsa *e = ctx;
    const uint8_t *r[LANES], *s[LANES], *digest[LANES];
    const int64u *x[LANES], *y[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        r[i] = e->r;
        s[i] = e->s;
        digest[i] = e->digest;
        x[i] = (const int64u *)e->x;
        y[i] = (const int64u *)e->y;
    }
    return mbx_nistp256_ecdsa_verify_mb8(r, s, digest, x, y, NULL, NULL) == 0;
}

/* r and s as the library wants them: 32 bytes, big-endian. */
static bool sign_p256(EVP_PKEY *key, struct ecdsa *e)
{
    uint8_t der[80];
    const uint8_t *at = der;
    size_t len = sizeof(der);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
              EVP_PKEY_sign(ctx, der, &len, e->digest, sizeof(e->digest)) == 1;
    ECDSA_SIG *sig = ok ? d2i_ECDSA_SIG(NULL, &at, (long)len) : NULL;
    ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), e->r, 32) == 32 &&
         BN_bn2binpad(ECDSA_SIG_get0_s(sig), e->s, 32) == 32;
    ECDSA_SIG_free(sig);
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static double time_p256(void)
{
    struct ecdsa e = {.digest = {5, 6, 7}};
    BIGNUM *x = NULL, *y = NULL;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    bool ok = key && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) &&
              BN_bn2lebinpad(x, (uint8_t *)e.x, sizeof(e.x)) == sizeof(e.x) &&
              BN_bn2lebinpad(y, (uint8_t *)e.y, sizeof(e.y)) == sizeof(e.y) && sign_p256(key, &e);
    double each = ok ? parts_time(ecdsa_verify, &e) / LANES : 0;
    BN_free(x);
    BN_free(y);
    EVP_PKEY_free(key);
    return each;
}

void parts_crypto_batched(struct parts_crypto *found)
{
    if (!mbx_is_crypto_mb_applicable(0))
        return;
    double x25519 = parts_time(multiply, NULL) / LANES, rsa = time_rsa(), p256 = time_p256();
    if (x25519 <= 0 || rsa <= 0 || p256 <= 0)
        return;
    found->x25519_s = x25519;
    found->verify_rsa_s = rsa;
    found->verify_p256_s = p256;
    found->public_keys = "crypto_mb, eight at once";
}
#else
void parts_crypto_batched(struct parts_crypto *found)
{
    (void)found;
}
#endif

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>

struct sealing {
    IMB_MGR *mgr;
    _Alignas(64) struct gcm_key_data key;
    uint64_t bytes;
};

static bool seal(void *arg)
{
    static uint8_t record[16384];
    static const uint8_t header[5] = {23, 3, 3}, iv[12];
    _Alignas(64) struct gcm_context_data ctx;
    struct sealing *s = arg;
    uint8_t tag[16];
    IMB_AES128_GCM_ENC(s->mgr, &s->key, &ctx, record, record, s->bytes, iv, header, sizeof(header), tag,
                       sizeof(tag));
    return true;
}

void parts_crypto_ipsec(struct parts_crypto *found)
{
    static const uint8_t key[16] = {3};
    static struct sealing s; /* gcm_key_data is aligned */
    s.mgr = alloc_mb_mgr(0);
    if (!s.mgr)
        return;
    init_mb_mgr_auto(s.mgr, NULL);
    IMB_AES128_GCM_PRE(s.mgr, key, &s.key);
    s.bytes = 1400;
    double small = parts_time(seal, &s) / 1400;
    s.bytes = 16384;
    double large = parts_time(seal, &s) / 16384;
    free_mb_mgr(s.mgr);
    if ((small < large ? small : large) <
        (found->gcm_small_s < found->gcm_large_s ? found->gcm_small_s : found->gcm_large_s)) {
        found->gcm_small_s = small;
        found->gcm_large_s = large;
        found->gcm = "IPSec_MB";
    }
}
#else
void parts_crypto_ipsec(struct parts_crypto *found)
{
    (void)found;
}
#endif
