/* batch_key.c: a peer's public key, prepared once for every library. */
#include "crypto/batch_inside.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>

static bool take_number(EVP_PKEY *pkey, const char *name, uint64_t *word, size_t bytes)
{
    BIGNUM *number = NULL;
    bool ok = EVP_PKEY_get_bn_param(pkey, name, &number) == 1 &&
              BN_bn2lebinpad(number, (uint8_t *)word, (int)bytes) == (int)bytes;
    BN_free(number);
    return ok;
}

static void turn_round(uint8_t *big, const uint64_t *word, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        big[i] = ((const uint8_t *)word)[bytes - 1 - i];
}

/* The on-curve check is this one: crypto_mb's verification has none. */
static bool check_point(const struct batch_key *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(key->libctx, key->pkey, NULL);
    bool ok = ctx && EVP_PKEY_public_check_quick(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool take_point(struct batch_key *key)
{
    char group[32];
    if (!check_point(key))
        return false;
    if (EVP_PKEY_get_group_name(key->pkey, group, sizeof(group), NULL) != 1)
        return true;
    bool p256 = strcmp(group, "prime256v1") == 0;
    if (!p256 && strcmp(group, "secp384r1") != 0)
        return true;
    key->kind = p256 ? BATCH_P256_VERIFY : BATCH_P384_VERIFY;
    key->bytes = batch_curve(key->kind)->bytes;
    uint64_t *y = key->word + key->bytes / sizeof(uint64_t);
    if (!take_number(key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, key->word, key->bytes) ||
        !take_number(key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, y, key->bytes))
        return false;
    turn_round(key->big, key->word, key->bytes);
    turn_round(key->big + key->bytes, y, key->bytes);
    return true;
}

static enum batch_kind kind_of_rsa(EVP_PKEY *pkey)
{
    BIGNUM *e = NULL;
    bool usual = EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
                 BN_is_word(e, RSA_F4);
    BN_free(e);
    switch (usual ? EVP_PKEY_get_bits(pkey) : 0) {
    case 2048: return BATCH_RSA2048_VERIFY;
    case 3072: return BATCH_RSA3072_VERIFY;
    case 4096: return BATCH_RSA4096_VERIFY;
    default: return BATCH_OTHER_VERIFY;
    }
}

/* An even modulus is nobody's key, and Montgomery's arithmetic has no answer to it: libcrypto's to judge. */
static bool take_modulus(struct batch_key *key)
{
    enum batch_kind kind = kind_of_rsa(key->pkey);
    size_t bytes = (size_t)EVP_PKEY_get_bits(key->pkey) / 8;
    key->rsa = true;
    if (kind == BATCH_OTHER_VERIFY)
        return true;
    if (!take_number(key->pkey, OSSL_PKEY_PARAM_RSA_N, key->word, bytes))
        return false;
    if (key->word[0] % 2 == 0)
        return true;
    turn_round(key->big, key->word, bytes);
    key->kind = kind;
    key->bytes = bytes;
    return true;
}

static bool prepare(struct batch_key *key)
{
    if (EVP_PKEY_is_a(key->pkey, "ED25519"))
        return true;
    bool ec = EVP_PKEY_is_a(key->pkey, "EC");
    if (!ec && !EVP_PKEY_is_a(key->pkey, "RSA") && !EVP_PKEY_is_a(key->pkey, "RSA-PSS"))
        return false;
    key->ctx = EVP_PKEY_CTX_new_from_pkey(key->libctx, key->pkey, NULL);
    return key->ctx && EVP_PKEY_verify_init(key->ctx) == 1 && (ec ? take_point(key) : take_modulus(key));
}

struct batch_key *batch_key_make(OSSL_LIB_CTX *libctx, EVP_PKEY *pkey)
{
    struct batch_key *key = calloc(1, sizeof(*key));
    if (!key)
        return NULL;
    key->holders = 1;
    key->libctx = libctx;
    key->pkey = EVP_PKEY_dup(
        pkey); /* pkey keeps what our provider makes of it, which holds this key: no ring of holders */
    key->kind = BATCH_OTHER_VERIFY;
    if (key->pkey && prepare(key))
        return key;
    ERR_clear_error();
    batch_key_drop(key);
    return NULL;
}

struct batch_key *batch_key_hold(struct batch_key *key)
{
    key->holders++;
    return key;
}

void batch_key_drop(struct batch_key *key)
{
    if (!key || --key->holders > 0)
        return;
    EVP_PKEY_CTX_free(key->ctx);
    EVP_PKEY_free(key->pkey);
    free(key);
}

enum batch_kind batch_key_kind(const struct batch_key *key)
{
    return key->kind;
}

static bool modulus_matches(const struct batch_key *key, const OSSL_PARAM *params)
{
    const OSSL_PARAM *n = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_N);
    const OSSL_PARAM *e = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_E);
    unsigned long exponent;
    return n && e && n->data_type == OSSL_PARAM_UNSIGNED_INTEGER && n->data_size == key->bytes &&
           memcmp(n->data, key->word, key->bytes) == 0 && OSSL_PARAM_get_ulong(e, &exponent) == 1 &&
           exponent == RSA_F4;
}

/* A certificate with a compressed point is libcrypto's to deal with. */
static bool point_matches(const struct batch_key *key, const OSSL_PARAM *params)
{
    const OSSL_PARAM *group = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
    const OSSL_PARAM *pub = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
    const char *name = key->kind == BATCH_P256_VERIFY ? "prime256v1" : "secp384r1", *its;
    if (!group || !pub || OSSL_PARAM_get_utf8_string_ptr(group, &its) != 1 || strcmp(its, name) != 0 ||
        pub->data_size != 1 + 2 * key->bytes)
        return false;
    const uint8_t *point = pub->data;
    return point[0] == POINT_CONVERSION_UNCOMPRESSED && memcmp(point + 1, key->big, 2 * key->bytes) == 0;
}

bool batch_key_matches(const struct batch_key *key, const OSSL_PARAM *params)
{
    if (key->kind == BATCH_OTHER_VERIFY)
        return false;
    return key->rsa ? modulus_matches(key, params) : point_matches(key, params);
}

size_t batch_hash_bytes(enum batch_hash hash)
{
    static const size_t bytes[BATCH_HASHES] = {32, 48, 64};
    return bytes[hash];
}

bool batch_padding_is_right(EVP_MD_CTX *hash, EVP_MD *const md[BATCH_HASHES], const struct batch_signed *sign,
                            const uint8_t *em)
{
    const struct span digest = {sign->digest, batch_hash_bytes(sign->hash)};
    const struct span encoded = {em, sign->key->bytes};
    return sign->scheme == BATCH_RSA_PSS ? signature_pss(hash, md[sign->hash], encoded, digest)
                                         : signature_pkcs1(encoded, digest);
}

bool batch_key_fits(const struct batch_key *key, enum batch_scheme scheme)
{
    switch (scheme) {
    case BATCH_RSA_PSS: return key->rsa;
    case BATCH_RSA_PKCS1: return key->rsa && EVP_PKEY_is_a(key->pkey, "RSA");
    case BATCH_ECDSA: return key->ctx && !key->rsa;
    case BATCH_ED25519: return !key->ctx;
    }
    return false;
}

/* RFC 8446 section 4.2.3: the salt is as long as the digest. */
static bool tell(struct batch_key *key, enum batch_scheme scheme, enum batch_hash hash)
{
    const EVP_MD *const md[BATCH_HASHES] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    if (!key->rsa || (key->told && key->scheme == scheme && key->hash == hash))
        return true;
    const int padding = scheme == BATCH_RSA_PSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    key->told = EVP_PKEY_CTX_set_rsa_padding(key->ctx, padding) == 1 &&
                EVP_PKEY_CTX_set_signature_md(key->ctx, md[hash]) == 1 &&
                (scheme != BATCH_RSA_PSS ||
                 (EVP_PKEY_CTX_set_rsa_mgf1_md(key->ctx, md[hash]) == 1 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(key->ctx, RSA_PSS_SALTLEN_DIGEST) == 1));
    key->scheme = scheme;
    key->hash = hash;
    return key->told;
}

bool batch_key_verify(struct batch_key *key, enum batch_scheme scheme, enum batch_hash hash,
                      struct span digest, struct span sig)
{
    bool ok =
        tell(key, scheme, hash) && EVP_PKEY_verify(key->ctx, sig.data, sig.len, digest.data, digest.len) == 1;
    if (!ok)
        ERR_clear_error();
    return ok;
}

bool batch_key_verify_message(struct batch_key *key, struct span message, struct span sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, key->libctx, NULL, key->pkey, NULL) == 1 &&
              EVP_DigestVerify(ctx, sig.data, sig.len, message.data, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        ERR_clear_error();
    return ok;
}
