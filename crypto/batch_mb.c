/* batch_mb.c: crypto_mb, eight lanes of AVX-512 IFMA.
 *
 * Opened by name, so that a machine without it, or a CPU without IFMA, does without.  A lane that is not
 * filled is a NULL pointer; each lane has its own status.
 */
#include "crypto/batch_inside.h"
#include "crypto/cpu.h"

#define BN_OPENSSL_DISABLE
#include <crypto_mb/cpu_features.h>
#include <crypto_mb/ec_nistp256.h>
#include <crypto_mb/ec_nistp384.h>
#include <crypto_mb/rsa.h>
#include <crypto_mb/status.h>
#include <crypto_mb/version.h>
#include <crypto_mb/x25519.h>
#include <dlfcn.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
#define SONAME     "libcrypto_mb.so." TEXT(MBX_INTERFACE_VERSION_MAJOR)

#define POINT_WORDS 6u /* of a coordinate, P-384 */
#define RSA_SIZES   3u

/* Both curves have the same three calls. */
struct mb_curve {
    __typeof__(&mbx_nistp256_ecpublic_key_mb8) public_key;
    __typeof__(&mbx_nistp256_ecdh_mb8) ecdh;
    __typeof__(&mbx_nistp256_ecdsa_verify_mb8) verify;
    bool there;
};

struct mb {
    void *library;
    __typeof__(&mbx_x25519_public_key_mb8) x25519_public;
    __typeof__(&mbx_x25519_mb8) x25519;
    struct mb_curve p256, p384;
    __typeof__(&mbx_rsa_public_mb8) rsa_public;
    const mbx_RSA_Method *rsa_method[RSA_SIZES]; /* NULL: not there */
    int8u *rsa_scratch;
    bool has_x25519;
    EVP_MD *md[BATCH_HASHES];
    EVP_MD_CTX *hash;
};

/* Numbers of eight lanes, the least word first. */
struct words {
    int64u lane[BATCH_LANES][POINT_WORDS];
};

static void words_of(int64u *word, const uint8_t *big, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i++) {
        memcpy(&word[i], big + bytes - 8 * (i + 1), 8);
        word[i] = __builtin_bswap64(word[i]);
    }
}

static void big_of(uint8_t *big, const int64u *word, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i++) {
        const uint64_t swapped = __builtin_bswap64(word[i]);
        memcpy(big + bytes - 8 * (i + 1), &swapped, 8);
    }
}

/* Whatever a lane's status is beside these two, it is not the peer's doing: the operation is left waiting. */
static void judge(struct batch_op *op, mbx_status all, unsigned lane, mbx_status peers_fault)
{
    mbx_status status = MBX_GET_STS(all, (int)lane);
    if (status == MBX_STATUS_OK)
        op->result = BATCH_GOOD;
    else if (status == peers_fault)
        op->result = BATCH_BAD;
}

static void judge_all(struct batch_op *const op[], unsigned n, mbx_status all, mbx_status peers_fault)
{
    for (unsigned i = 0; i < n; i++)
        judge(op[i], all, i, peers_fault);
}

/* ---- X25519 ---- */

static void x25519_key(const struct mb *mb, struct batch_op *const op[], unsigned n)
{
    const int8u *secret[BATCH_LANES] = {0};
    int8u *point[BATCH_LANES] = {0};
    for (unsigned i = 0; i < n; i++) {
        secret[i] = op[i]->exchange.own.secret;
        point[i] = op[i]->exchange.own.point;
    }
    judge_all(op, n, mb->x25519_public(point, secret), MBX_STATUS_OK);
}

static void x25519_derive(const struct mb *mb, struct batch_op *const op[], unsigned n)
{
    const int8u *secret[BATCH_LANES] = {0}, *peer[BATCH_LANES] = {0};
    int8u *shared[BATCH_LANES] = {0};
    for (unsigned i = 0; i < n; i++) {
        secret[i] = op[i]->exchange.own.secret;
        peer[i] = op[i]->exchange.peer;
        shared[i] = op[i]->exchange.shared;
    }
    judge_all(op, n, mb->x25519(shared, secret, peer), MBX_STATUS_LOW_ORDER_ERR);
}

/* crypto_mb 1.0.14 loses carries of points near the prime, 2^255 - 2^16 and up, and of 2^k - 1 for k in
 * [85, 93]: it gives another secret than RFC 7748's, and not zero for p - 1.  Honest points have such runs
 * of bits once in 2^61; those that do go to libcrypto.
 */
static bool has_long_run(const uint8_t *u)
{
    uint64_t word[4];
    memcpy(word, u, sizeof(word)); /* least first, as the CPU's own */
    bool any = false;
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t mask =
            i == 3 ? UINT64_MAX >> 1 : UINT64_MAX; /* RFC 7748 section 5: the top bit is ignored */
        any |= (word[i] & mask) == 0 || (word[i] & mask) == mask;
    }
    return any;
}

static bool takes(const struct batch_op *op)
{
    return op->kind != BATCH_X25519_DERIVE || !has_long_run(op->exchange.peer);
}

/* ---- P-256, P-384 ---- */

static void curve_key(const struct mb_curve *f, size_t bytes, struct batch_op *const op[], unsigned n)
{
    struct words secret, x, y;
    const int64u *pa_secret[BATCH_LANES] = {0};
    int64u *pa_x[BATCH_LANES] = {0}, *pa_y[BATCH_LANES] = {0};
    for (unsigned i = 0; i < n; i++) {
        words_of(secret.lane[i], op[i]->exchange.own.secret, bytes);
        pa_secret[i] = secret.lane[i];
        pa_x[i] = x.lane[i];
        pa_y[i] = y.lane[i];
    }
    judge_all(op, n, f->public_key(pa_x, pa_y, NULL, pa_secret, NULL), MBX_STATUS_OK);
    explicit_bzero(&secret, sizeof(secret));
    for (unsigned i = 0; i < n; i++) {
        uint8_t *point = op[i]->exchange.own.point;
        point[0] = 4;
        big_of(point + 1, x.lane[i], bytes);
        big_of(point + 1 + bytes, y.lane[i], bytes);
    }
}

static void curve_derive(const struct mb_curve *f, size_t bytes, struct batch_op *const op[], unsigned n)
{
    struct words secret, x, y;
    const int64u *pa_secret[BATCH_LANES] = {0}, *pa_x[BATCH_LANES] = {0}, *pa_y[BATCH_LANES] = {0};
    int8u *shared[BATCH_LANES] = {0};
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *peer = op[i]->exchange.peer;
        words_of(secret.lane[i], op[i]->exchange.own.secret, bytes);
        words_of(x.lane[i], peer + 1, bytes);
        words_of(y.lane[i], peer + 1 + bytes, bytes);
        pa_secret[i] = secret.lane[i];
        pa_x[i] = x.lane[i];
        pa_y[i] = y.lane[i];
        shared[i] = op[i]->exchange.shared;
    }
    judge_all(op, n, f->ecdh(shared, pa_secret, pa_x, pa_y, NULL, NULL), MBX_STATUS_MISMATCH_PARAM_ERR);
    explicit_bzero(&secret, sizeof(secret));
}

static void curve_verify(const struct mb_curve *f, const struct curve *curve, struct batch_op *const op[],
                         unsigned n)
{
    uint8_t number[3][BATCH_LANES][BATCH_SECRET_BYTES]; /* r, s, digest */
    const int8u *pa[3][BATCH_LANES] = {0};
    const int64u *x[BATCH_LANES] = {0}, *y[BATCH_LANES] = {0};
    for (unsigned i = 0; i < n; i++) {
        const struct batch_signed *sign = &op[i]->sign;
        const struct span sig = {sign->sig, sign->sig_len};
        bool shaped = signature_ecdsa(curve, sig, number[0][i], number[1][i]);
        assert(shaped); /* batch_verify has looked */
        (void)shaped;
        signature_bits(curve, (struct span){sign->digest, batch_hash_bytes(sign->hash)}, number[2][i]);
        for (unsigned j = 0; j < 3; j++)
            pa[j][i] = number[j][i];
        x[i] = (const int64u *)sign->key->word;
        y[i] = x[i] + curve->bytes / 8;
    }
    judge_all(op, n, f->verify(pa[0], pa[1], pa[2], x, y, NULL, NULL), MBX_STATUS_SIGNATURE_ERR);
}

/* ---- RSA ---- */

static void rsa_verify(struct mb *mb, unsigned size, struct batch_op *const op[], unsigned n)
{
    uint8_t em[BATCH_LANES][BATCH_SIG_BYTES];
    const int8u *from[BATCH_LANES] = {0};
    int8u *to[BATCH_LANES] = {0};
    const int64u *modulus[BATCH_LANES] = {0};
    for (unsigned i = 0; i < n; i++) {
        from[i] = op[i]->sign.sig;
        to[i] = em[i];
        modulus[i] = (const int64u *)op[i]->sign.key->word;
    }
    mbx_status all = mb->rsa_public(from, to, modulus, (int)op[0]->sign.key->bytes * 8, mb->rsa_method[size],
                                    mb->rsa_scratch);
    for (unsigned i = 0; i < n; i++)
        if (MBX_GET_STS(all, (int)i) == MBX_STATUS_OK)
            op[i]->result =
                batch_padding_is_right(mb->hash, mb->md, &op[i]->sign, em[i]) ? BATCH_GOOD : BATCH_BAD;
}

/* ---- the library ---- */

static void run(void *self, enum batch_kind kind, struct batch_op *const op[], unsigned n)
{
    struct mb *mb = self;
    switch (kind) {
    case BATCH_X25519_KEY: x25519_key(mb, op, n); break;
    case BATCH_P256_KEY: curve_key(&mb->p256, curve_p256.bytes, op, n); break;
    case BATCH_P384_KEY: curve_key(&mb->p384, curve_p384.bytes, op, n); break;
    case BATCH_X25519_DERIVE: x25519_derive(mb, op, n); break;
    case BATCH_P256_DERIVE: curve_derive(&mb->p256, curve_p256.bytes, op, n); break;
    case BATCH_P384_DERIVE: curve_derive(&mb->p384, curve_p384.bytes, op, n); break;
    case BATCH_P256_VERIFY: curve_verify(&mb->p256, &curve_p256, op, n); break;
    case BATCH_P384_VERIFY: curve_verify(&mb->p384, &curve_p384, op, n); break;
    default: rsa_verify(mb, kind - BATCH_RSA2048_VERIFY, op, n); break;
    }
}

static bool has(void *self, enum batch_kind kind)
{
    const struct mb *mb = self;
    if (kind == BATCH_X25519_KEY || kind == BATCH_X25519_DERIVE)
        return mb->has_x25519;
    const struct curve *curve = batch_curve(kind);
    if (curve)
        return curve == &curve_p256 ? mb->p256.there : mb->p384.there;
    return kind >= BATCH_RSA2048_VERIFY && kind <= BATCH_RSA4096_VERIFY &&
           mb->rsa_method[kind - BATCH_RSA2048_VERIFY];
}

/* The library stays loaded: opening and closing it with each core would gain nothing. */
static void close_mb(void *self)
{
    struct mb *mb = self;
    for (unsigned i = 0; i < BATCH_HASHES; i++)
        EVP_MD_free(mb->md[i]);
    EVP_MD_CTX_free(mb->hash);
    free(mb->rsa_scratch);
    free(mb);
}

static bool find(const struct mb *mb, const char *name, void *function)
{
    void *found = dlsym(mb->library, name);
    memcpy(function, (void *)&found,
           sizeof(found)); /* ISO C has no conversion between the two kinds of pointer */
    return found != NULL;
}

typedef __typeof__(&mbx_get_algo_info) algo_info;

static bool applicable(const struct mb *mb, algo_info *info)
{
    __typeof__(&mbx_is_crypto_mb_applicable) is_applicable;
    return find(mb, "mbx_is_crypto_mb_applicable", (void *)&is_applicable) && is_applicable(0) == 1 &&
           find(mb, "mbx_get_algo_info", (void *)info);
}

static bool eight_lanes(algo_info info, enum MBX_ALGO algo)
{
    return info(algo) & MBX_WIDTH_MB8;
}

static void find_curves(struct mb *mb, algo_info info)
{
    mb->has_x25519 = eight_lanes(info, MBX_ALGO_X25519) &&
                     find(mb, "mbx_x25519_public_key_mb8", (void *)&mb->x25519_public) &&
                     find(mb, "mbx_x25519_mb8", (void *)&mb->x25519);
    mb->p256.there = eight_lanes(info, MBX_ALGO_EC_NIST_P256) &&
                     find(mb, "mbx_nistp256_ecpublic_key_mb8", (void *)&mb->p256.public_key) &&
                     find(mb, "mbx_nistp256_ecdh_mb8", (void *)&mb->p256.ecdh) &&
                     find(mb, "mbx_nistp256_ecdsa_verify_mb8", (void *)&mb->p256.verify);
    mb->p384.there = eight_lanes(info, MBX_ALGO_EC_NIST_P384) &&
                     find(mb, "mbx_nistp384_ecpublic_key_mb8", (void *)&mb->p384.public_key) &&
                     find(mb, "mbx_nistp384_ecdh_mb8", (void *)&mb->p384.ecdh) &&
                     find(mb, "mbx_nistp384_ecdsa_verify_mb8", (void *)&mb->p384.verify);
}

static bool find_rsa(struct mb *mb, algo_info info)
{
    static const enum MBX_ALGO algo[RSA_SIZES] = {MBX_ALGO_RSA_2K, MBX_ALGO_RSA_3K, MBX_ALGO_RSA_4K};
    static const int bits[RSA_SIZES] = {2048, 3072, 4096};
    __typeof__(&mbx_RSA_pub65537_Method) method;
    __typeof__(&mbx_RSA_Method_BufSize) scratch_bytes;
    int most = 0;
    if (!find(mb, "mbx_RSA_pub65537_Method", (void *)&method) ||
        !find(mb, "mbx_RSA_Method_BufSize", (void *)&scratch_bytes) ||
        !find(mb, "mbx_rsa_public_mb8", (void *)&mb->rsa_public))
        return true;
    for (unsigned i = 0; i < RSA_SIZES; i++) {
        mb->rsa_method[i] = eight_lanes(info, algo[i]) ? method(bits[i]) : NULL;
        if (mb->rsa_method[i] && scratch_bytes(mb->rsa_method[i]) > most)
            most = scratch_bytes(mb->rsa_method[i]);
    }
    size_t bytes = ((size_t)most + 2 * CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    mb->rsa_scratch = aligned_alloc(CACHE_LINE, bytes);
    return mb->rsa_scratch != NULL;
}

static bool open_parts(struct mb *mb, OSSL_LIB_CTX *libctx)
{
    static const char *const name[BATCH_HASHES] = {"SHA2-256", "SHA2-384", "SHA2-512"};
    algo_info info;
    mb->library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!mb->library || !applicable(mb, &info))
        return false;
    bool ok = (mb->hash = EVP_MD_CTX_new());
    for (unsigned i = 0; i < BATCH_HASHES; i++)
        ok = (mb->md[i] = EVP_MD_fetch(libctx, name[i], NULL)) && ok;
    find_curves(mb, info);
    return ok && find_rsa(mb, info);
}

bool batch_mb_open(struct batch_backend *backend, OSSL_LIB_CTX *libctx)
{
    __typeof__(&mbx_getversion) version;
    struct mb *mb = cpu_vectors_are_off() ? NULL : calloc(1, sizeof(*mb));
    if (!mb)
        return false;
    if (!open_parts(mb, libctx)) {
        close_mb(mb);
        return false;
    }
    *backend = (struct batch_backend){.has = has, .takes = takes, .run = run, .close = close_mb, .self = mb};
    if (find(mb, "mbx_getversion", (void *)&version))
        snprintf(backend->name, sizeof(backend->name), "crypto_mb %d.%d.%d", version()->major,
                 version()->minor, version()->revision);
    return true;
}
