/* What a hostile server may send: every library refuses it, in any lane, and nothing else of its batch.
 *
 * Then thousands of random operations, good and broken ones mixed, each answer compared with what
 * libcrypto's EVP says.
 */
#include "engine/base/rand.h"
#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/cmocka.h"

#include <openssl/rsa.h>
#include <stdlib.h>

static const struct span sample = {(const uint8_t *)"sample", 6};

static bool redone(const struct kit *kit)
{
    return kit->stats.v[STAT_tls_batch_redone] > 0;
}

/* ---- points ---- */

/* The u-coordinates of small order, and those that are them beyond the prime: RFC 7748 section 7, X25519 of
 * them is 0.
 */
static const char *const small_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000080",
};

/* n derivations side by side, the one in `bad` with that point. */
static void one_bad_point(struct kit *kit, enum batch_group group, struct span broken, unsigned n,
                          unsigned bad)
{
    struct batch_op *op[BATCH_LANES];
    struct batch_pair own[BATCH_LANES], peer;
    assert_true(batch_pair_take(kit->batch, group, &peer));
    for (unsigned i = 0; i < n; i++) {
        const struct span good = {peer.point, batch_point_bytes(group)};
        assert_true(batch_pair_take(kit->batch, group, &own[i]));
        op[i] = batch_derive(kit->batch, group, &own[i], i == bad ? broken : good, NULL, 0);
    }
    kit_settle(kit);
    while (batch_ready(kit->batch)) {}
    for (unsigned i = 0; i < n; i++) {
        uint8_t shared[BATCH_SECRET_BYTES];
        assert_int_equal(op[i]->result, i == bad ? BATCH_BAD : BATCH_GOOD);
        assert_true(
            kit_evp_derive(group, &own[i], (struct span){peer.point, batch_point_bytes(group)}, shared));
        if (i != bad)
            assert_memory_equal(op[i]->exchange.shared, shared, batch_secret_bytes(group));
        batch_done(kit->batch, op[i]);
    }
}

static void any_lane(struct kit *kit, enum batch_group group, struct span broken)
{
    static unsigned turn;
    turn++;
    one_bad_point(kit, group, broken, 1, 0);
    one_bad_point(kit, group, broken, 2 + turn % 6, turn % 2);
    one_bad_point(kit, group, broken, BATCH_LANES, turn % BATCH_LANES);
}

static void x25519_points(void **state)
{
    (void)state;
    struct kit kit;
    uint8_t point[64] = {9};
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        any_lane(&kit, BATCH_X25519, (struct span){point, 31});
        any_lane(&kit, BATCH_X25519, (struct span){point, 33});
        any_lane(&kit, BATCH_X25519, (struct span){point, 0});
        for (unsigned i = 0; i < ARRAY_LEN(small_order); i++) {
            uint8_t u[32];
            kit_hex(small_order[i], u);
            any_lane(&kit, BATCH_X25519, (struct span){u, sizeof(u)});
        }
        assert_false(redone(&kit));
        kit_close(&kit);
    }
}

/* Points of long runs of ones or zeros, where carries are lost if anywhere. */
static void x25519_runs(void **state)
{
    (void)state;
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        for (unsigned i = 0; i < 3 * 256; i += kit_stride(library)) {
            uint8_t u[32], shared[BATCH_SECRET_BYTES], found[BATCH_SECRET_BYTES];
            struct batch_pair own;
            for (unsigned bit = 0; bit < 256; bit++) { /* 2^k, 2^k - 1, 2^256 - 2^k */
                bool one = i < 256 ? bit == i : i < 512 ? bit < i - 256 : bit >= i - 512;
                u[bit / 8] = (uint8_t)((bit % 8 ? u[bit / 8] : 0) | one << bit % 8);
            }
            const struct span peer = {u, sizeof(u)};
            assert_true(batch_pair_take(kit.batch, BATCH_X25519, &own));
            bool good = kit_evp_derive(BATCH_X25519, &own, peer, shared);
            assert_int_equal(kit_derive(&kit, BATCH_X25519, &own, peer, found),
                             good ? BATCH_GOOD : BATCH_BAD);
            if (good)
                assert_memory_equal(found, shared, 32);
        }
        assert_false(redone(&kit));
        kit_close(&kit);
    }
}

static void good_point(enum batch_group group, uint8_t *point)
{
    size_t len;
    assert_int_equal(
        EVP_PKEY_get_octet_string_param(kit_ec(group), "encoded-pub-key", point, BATCH_POINT_BYTES, &len), 1);
    assert_int_equal(len, batch_point_bytes(group));
}

static void curve_points(struct kit *kit, enum batch_group group)
{
    uint8_t good[BATCH_POINT_BYTES + 1] = {0}, broken[BATCH_POINT_BYTES + 1];
    const struct curve *curve = group == BATCH_P256 ? &curve_p256 : &curve_p384;
    size_t len = batch_point_bytes(group), half = curve->bytes;
    good_point(group, good);
    any_lane(kit, group, (struct span){good, len - 1});
    any_lane(kit, group, (struct span){good, len + 1});
    any_lane(kit, group, (struct span){good, 1});
    any_lane(kit, group, (struct span){(const uint8_t *)"", 1}); /* the point at infinity */
    const uint8_t flip_at[] = {1, (uint8_t)half, (uint8_t)(half + 1), (uint8_t)(2 * half)};
    for (unsigned i = 0; i < ARRAY_LEN(flip_at); i++) { /* off the curve */
        memcpy(broken, good, len);
        broken[flip_at[i]] ^= 1;
        any_lane(kit, group, (struct span){broken, len});
    }
    for (uint8_t form = 0; form < 8;
         form++) { /* compressed and hybrid forms are none here, RFC 8446 4.2.8.2 */
        memcpy(broken, good, len);
        broken[0] = form;
        if (form != 4)
            any_lane(kit, group, (struct span){broken, len});
    }
    memset(broken, 0, sizeof(broken));
    broken[0] = 4;
    any_lane(kit, group, (struct span){broken, len}); /* (0, 0) */
    memcpy(broken + 1, curve->field, half);
    any_lane(kit, group, (struct span){broken, len});
    memset(broken + 1, 0xff, 2 * half);
    any_lane(kit, group, (struct span){broken, len});
}

static void nist_points(void **state)
{
    (void)state;
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        curve_points(&kit, BATCH_P256);
        curve_points(&kit, BATCH_P384);
        assert_false(redone(&kit));
        kit_close(&kit);
    }
}

/* ---- signatures ---- */

static void one_bad_signature(struct kit *kit, EVP_PKEY *pkey, enum batch_scheme scheme, struct span broken,
                              unsigned n, unsigned bad)
{
    uint8_t sig[1024];
    struct batch_op *op[BATCH_LANES];
    struct batch_key *key = batch_key_make(NULL, pkey);
    const struct span good = {sig, kit_sign(pkey, scheme, BATCH_SHA256, sample, sig)};
    assert_non_null(key);
    for (unsigned i = 0; i < n; i++)
        op[i] =
            batch_verify(kit->batch, key, scheme, BATCH_SHA256, sample, i == bad ? broken : good, NULL, 0);
    batch_key_drop(key);
    kit_settle(kit);
    while (batch_ready(kit->batch)) {}
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(op[i]->result, i == bad ? BATCH_BAD : BATCH_GOOD);
        batch_done(kit->batch, op[i]);
    }
}

static void refused(struct kit *kit, EVP_PKEY *pkey, enum batch_scheme scheme, struct span broken)
{
    static unsigned turn;
    assert_false(kit_evp_verify(pkey, scheme, BATCH_SHA256, sample, broken));
    unsigned n = 1 + turn++ % BATCH_LANES;
    one_bad_signature(kit, pkey, scheme, broken, n, turn % n);
}

/* DER of two numbers as they are given, without a look at them. */
static struct span der(uint8_t *out, struct span r, struct span s)
{
    struct bytes_out to = bytes_out(out, 256);
    bytes_put_u8(&to, 0x30);
    bytes_put_u8(&to, (uint8_t)(4 + r.len + s.len));
    bytes_put_u8(&to, 2);
    bytes_put_u8(&to, (uint8_t)r.len);
    bytes_put(&to, r.data, r.len);
    bytes_put_u8(&to, 2);
    bytes_put_u8(&to, (uint8_t)s.len);
    bytes_put(&to, s.data, s.len);
    assert_false(to.failed);
    return (struct span){out, bytes_written(&to)};
}

/* 0, 1, order - 1, order, order + 1, the prime, -1, all ones: in both places. */
static void ecdsa_ranges(struct kit *kit, enum batch_group group)
{
    const struct curve *curve = group == BATCH_P256 ? &curve_p256 : &curve_p384;
    uint8_t order[3][49] = {0}, prime[49] = {0}, ones[49] = {0}, zero[2] = {0}, one[1] = {1},
            minus[1] = {0xff}, out[256];
    size_t n = curve->bytes + 1;
    for (unsigned i = 0; i < 3; i++)
        memcpy(order[i] + 1, curve->order, curve->bytes);
    order[0][n - 1]--;
    order[2][n - 1]++;
    memcpy(prime + 1, curve->field, curve->bytes);
    memset(ones + 1, 0xff, curve->bytes);
    const struct span value[] = {
        {zero, 1},     {zero, 2},  {one, 1},  {minus, 1}, {order[0], n},        {order[1], n},
        {order[2], n}, {prime, n}, {ones, n}, {ones, 0},  {order[0] + 1, n - 1}};
    for (unsigned i = 0; i < ARRAY_LEN(value); i++)
        for (unsigned j = 0; j < ARRAY_LEN(value); j++)
            refused(kit, kit_ec(group), BATCH_ECDSA, der(out, value[i], value[j]));
}

/* A good signature, written in ways that are not DER. */
static void ecdsa_encodings(struct kit *kit, enum batch_group group)
{
    uint8_t sig[1024], broken[256];
    EVP_PKEY *key = kit_ec(group);
    size_t len = kit_sign(key, BATCH_ECDSA, BATCH_SHA256, sample, sig);
    for (size_t cut = 0; cut < len; cut += 1 + cut / 4)
        refused(kit, key, BATCH_ECDSA, (struct span){sig, cut});
    memcpy(broken, sig, len);
    broken[len] = 0;
    refused(kit, key, BATCH_ECDSA, (struct span){broken, len + 1}); /* a byte behind */
    broken[1]++;
    refused(kit, key, BATCH_ECDSA, (struct span){broken, len + 1}); /* and inside the sequence */
    memcpy(broken + 3, sig + 2, len - 2);
    broken[1] = 0x81;
    broken[2] = sig[1];
    refused(kit, key, BATCH_ECDSA, (struct span){broken, len + 1}); /* the long form of a short length */
    memcpy(broken, sig, len);
    broken[1] = 0x80;
    refused(kit, key, BATCH_ECDSA, (struct span){broken, len}); /* indefinite */
    memcpy(broken, sig, 2);
    broken[1]++;
    broken[2] = 2;
    broken[3] = (uint8_t)(sig[3] + 1);
    broken[4] = 0;
    memcpy(broken + 5, sig + 4, len - 4);
    refused(kit, key, BATCH_ECDSA, (struct span){broken, len + 1}); /* r with a zero too many */
    for (size_t i = 0; i < 6; i++) {
        memcpy(broken, sig, len);
        broken[i] ^= 0x40;
        refused(kit, key, BATCH_ECDSA, (struct span){broken, len});
    }
}

static void ecdsa_signatures(void **state)
{
    (void)state;
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        for (enum batch_group group = BATCH_P256; group <= BATCH_P384; group++) {
            ecdsa_ranges(&kit, group);
            ecdsa_encodings(&kit, group);
        }
        assert_false(redone(&kit));
        kit_close(&kit);
    }
}

/* RSA without padding: whatever stands in em is signed. */
static void sign_raw(EVP_PKEY *pkey, const uint8_t *em, size_t len, uint8_t *sig)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    assert_true(ctx && EVP_PKEY_sign_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
                EVP_PKEY_sign(ctx, sig, &len, em, len) == 1);
    EVP_PKEY_CTX_free(ctx);
}

static void open_raw(EVP_PKEY *pkey, struct span sig, uint8_t *em)
{
    size_t len = sig.len;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    assert_true(ctx && EVP_PKEY_verify_recover_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
                EVP_PKEY_verify_recover(ctx, em, &len, sig.data, sig.len) == 1 && len == sig.len);
    EVP_PKEY_CTX_free(ctx);
}

/* Every byte of the padding but one is right. */
static void rsa_paddings(struct kit *kit, enum batch_scheme scheme, unsigned stride)
{
    uint8_t sig[256], em[256];
    EVP_PKEY *key = kit_rsa(2048);
    const struct span good = {sig, kit_sign(key, scheme, BATCH_SHA256, sample, sig)};
    struct batch_key *prepared = batch_key_make(NULL, key);
    open_raw(key, good, em);
    for (size_t i = 0; i < sizeof(em); i += stride) {
        uint8_t broken[256], broken_sig[256];
        memcpy(broken, em, sizeof(em));
        broken[i] ^= (uint8_t)(1u << (i == 0 ? 3 : i % 8)); /* still below the modulus */
        sign_raw(key, broken, sizeof(broken), broken_sig);
        const struct span bad = {broken_sig, sizeof(broken_sig)};
        assert_false(kit_evp_verify(key, scheme, BATCH_SHA256, sample, bad));
        assert_int_equal(kit_verify(kit, prepared, scheme, BATCH_SHA256, sample, bad), BATCH_BAD);
        assert_int_equal(kit_verify(kit, prepared, scheme, BATCH_SHA256, sample, good), BATCH_GOOD);
    }
    batch_key_drop(prepared);
}

static void rsa_values(struct kit *kit, enum batch_scheme scheme, unsigned bits)
{
    uint8_t sig[1024] = {0}, broken[1024];
    EVP_PKEY *key = kit_rsa(bits);
    struct batch_key *prepared = batch_key_make(NULL, key);
    size_t len = bits / 8;
    refused(kit, key, scheme, (struct span){sig, len}); /* 0 */
    sig[len - 1] = 1;
    refused(kit, key, scheme, (struct span){sig, len});
    refused(kit, key, scheme, (struct span){prepared->big, len}); /* the modulus */
    memcpy(broken, prepared->big, len);
    broken[len - 1] ^= 1; /* modulus - 1 */
    refused(kit, key, scheme, (struct span){broken, len});
    memset(broken, 0xff, sizeof(broken));
    refused(kit, key, scheme, (struct span){broken, len});
    assert_int_equal(kit_sign(key, scheme, BATCH_SHA256, sample, sig), len);
    refused(kit, key, scheme, (struct span){sig, len - 1});
    sig[len] = 0;
    refused(kit, key, scheme, (struct span){sig, len + 1});
    memcpy(broken + 1, sig, len);
    broken[0] = 0;
    refused(kit, key, scheme, (struct span){broken, len + 1});
    refused(kit, key, scheme, (struct span){sig, 0});
    refused(kit, key, scheme, (struct span){broken, sizeof(broken)});
    batch_key_drop(prepared);
}

static void rsa_signatures(void **state)
{
    (void)state;
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        for (enum batch_scheme scheme = BATCH_RSA_PKCS1; scheme <= BATCH_RSA_PSS; scheme++) {
            rsa_paddings(&kit, scheme, kit_stride(library));
            for (unsigned bits = 2048; bits <= 4096; bits += 1024)
                rsa_values(&kit, scheme, bits);
        }
        assert_false(redone(&kit));
        kit_close(&kit);
    }
}

/* ---- chance ---- */

struct question {
    bool used, good;
    uint8_t shared[BATCH_SECRET_BYTES];
};

static void spoil(struct rand_source *r, uint8_t *data, size_t *len)
{
    switch (rand_below(r, 8)) {
    case 0: *len -= *len > 0; break;
    case 1: data[(*len)++] = (uint8_t)rand_u64(r); break;
    case 2: memset(data, rand_below(r, 2) ? 0 : 0xff, *len); break;
    case 3: data[rand_below(r, (uint32_t)min_size(*len, 6))] ^= (uint8_t)(1 + rand_below(r, 255)); break;
    case 4: break; /* as it was */
    default: data[rand_below(r, (uint32_t)*len)] ^= (uint8_t)(1u << rand_below(r, 8)); break;
    }
}

static struct batch_op *random_derivation(struct kit *kit, struct rand_source *r, struct question *q)
{
    enum batch_group group = rand_below(r, 3);
    struct batch_pair own, theirs;
    uint8_t point[BATCH_POINT_BYTES + 8];
    size_t len = batch_point_bytes(group);
    assert_true(batch_pair_take(kit->batch, group, &own) && batch_pair_take(kit->batch, group, &theirs));
    memcpy(point, theirs.point, len);
    if (rand_below(r, 3) == 0)
        spoil(r, point, &len);
    const struct span peer = {point, len};
    q->good =
        (group == BATCH_X25519 || (len > 0 && point[0] == 4)) && kit_evp_derive(group, &own, peer, q->shared);
    return batch_derive(kit->batch, group, &own, peer, q, 0);
}

static struct batch_op *random_signature(struct kit *kit, struct rand_source *r,
                                         struct batch_key *const key[5], struct question *q)
{
    EVP_PKEY *const pkey[5] = {kit_ec(BATCH_P256), kit_ec(BATCH_P384), kit_rsa(2048), kit_rsa(3072),
                               kit_ed25519()};
    uint8_t sig[1024 + 8];
    unsigned which = rand_below(r, 5);
    enum batch_hash hash = rand_below(r, BATCH_HASHES);
    enum batch_scheme scheme = which < 2 ? BATCH_ECDSA : which == 4 ? BATCH_ED25519 : 1 + rand_below(r, 2);
    size_t len = kit_sign(pkey[which], scheme, hash, sample, sig);
    if (rand_below(r, 3) == 0)
        spoil(r, sig, &len);
    if (rand_below(r, 8) == 0)
        hash = rand_below(r, BATCH_HASHES);
    const struct span by = {sig, len};
    q->good = kit_evp_verify(pkey[which], scheme, hash, sample, by);
    return batch_verify(kit->batch, key[which], scheme, hash, sample, by, q, 0);
}

static unsigned check_ready(struct kit *kit)
{
    unsigned n = 0;
    for (struct batch_op *op; (op = batch_ready(kit->batch)); n++) {
        struct question *q = op->owner;
        assert_int_equal(op->result, q->good ? BATCH_GOOD : BATCH_BAD);
        if (batch_is_derive(op->kind) && q->good)
            assert_memory_equal(op->exchange.shared, q->shared, op->kind == BATCH_P384_DERIVE ? 48 : 32);
        q->used = false;
        batch_done(kit->batch, op);
    }
    return n;
}

static struct question *unused(struct question *q, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!q[i].used)
            return &q[i];
    fail_msg("no question is free");
    return NULL;
}

static void ask_at_random(struct kit *kit, uint64_t seed, unsigned questions)
{
    struct question q[64] = {0};
    struct rand_source r;
    struct batch_key *const key[5] = {
        batch_key_make(NULL, kit_ec(BATCH_P256)), batch_key_make(NULL, kit_ec(BATCH_P384)),
        batch_key_make(NULL, kit_rsa(2048)),      batch_key_make(NULL, kit_rsa(3072)),
        batch_key_make(NULL, kit_ed25519()),
    };
    unsigned answers = 0;
    rand_seed(&r, seed);
    for (unsigned i = 0; i < questions; i++) {
        struct question *next = unused(q, ARRAY_LEN(q));
        next->used = true;
        assert_non_null(rand_below(&r, 2) ? random_derivation(kit, &r, next)
                                          : random_signature(kit, &r, key, next));
        if (rand_below(&r, 24) == 0 || batch_waiting(kit->batch) >= ARRAY_LEN(q) - BATCH_LANES)
            kit_settle(kit);
        answers += check_ready(kit);
    }
    kit_settle(kit);
    assert_int_equal(answers + check_ready(kit), questions);
    for (unsigned i = 0; i < 5; i++)
        batch_key_drop(key[i]);
}

static void as_libcrypto_says(void **state)
{
    (void)state;
    const char *wanted = getenv("HARDLINE_BATCH_QUESTIONS");
    unsigned questions = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 2000;
    uint64_t seed = 20240229;
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        ask_at_random(&kit, seed + library, questions);
        assert_false(redone(&kit));
        kit_close(&kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x25519_points),  cmocka_unit_test(x25519_runs),
        cmocka_unit_test(nist_points),    cmocka_unit_test(ecdsa_signatures),
        cmocka_unit_test(rsa_signatures), cmocka_unit_test(as_libcrypto_says),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_free_keys();
    return failed;
}
