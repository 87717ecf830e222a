/* parts_crypto.c: libcrypto's costs, one operation after the other. */
#include "bench/parts.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#define TRANSCRIPT_BYTES  4200u /* ClientHello up to the server's Finished, a chain of three with RSA-2048 */
#define KEY_SCHEDULE_MACS 26u   /* RFC 8446 section 7.1: extracts, derived secrets, keys, IVs, two Finished */

struct exchange {
    EVP_PKEY *peer;
};

/* X25519: making the public key and deriving are a multiplication each. */
static bool exchange_keys(void *ctx)
{
    struct exchange *x = ctx;
    uint8_t secret[32];
    size_t len = sizeof(secret);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    EVP_PKEY_CTX *derive = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    bool ok = derive && EVP_PKEY_derive_init(derive) == 1 &&
              EVP_PKEY_derive_set_peer_ex(derive, x->peer, 0) == 1 &&
              EVP_PKEY_derive(derive, secret, &len) == 1;
    EVP_PKEY_CTX_free(derive);
    EVP_PKEY_free(key);
    return ok;
}

struct signed_text {
    EVP_PKEY *key;
    uint8_t signature[512];
    size_t len;
};

static const uint8_t text[130] = "TLS 1.3, server CertificateVerify";

static bool set_padding(EVP_PKEY *key, EVP_PKEY_CTX *ctx)
{
    return !EVP_PKEY_is_a(key, "RSA") || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                                          EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static bool sign(struct signed_text *s)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx;
    s->len = sizeof(s->signature);
    bool ok = md && s->key && EVP_DigestSignInit(md, &ctx, EVP_sha256(), NULL, s->key) == 1 &&
              set_padding(s->key, ctx) && EVP_DigestSign(md, s->signature, &s->len, text, sizeof(text)) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static bool verify(void *arg)
{
    struct signed_text *s = arg;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx;
    bool ok = md && EVP_DigestVerifyInit(md, &ctx, EVP_sha256(), NULL, s->key) == 1 &&
              set_padding(s->key, ctx) && EVP_DigestVerify(md, s->signature, s->len, text, sizeof(text)) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

struct hashing {
    EVP_MD *sha256;
    EVP_MD_CTX *ctx;
};

static bool hash(const struct hashing *h, const uint8_t *data, size_t len, uint8_t digest[32])
{
    return EVP_DigestInit_ex2(h->ctx, h->sha256, NULL) == 1 && EVP_DigestUpdate(h->ctx, data, len) == 1 &&
           EVP_DigestFinal_ex(h->ctx, digest, NULL) == 1;
}

/* What RFC 2104's HMAC hashes of a label of 64 bytes: a block of key and the label, a block of key and that digest. */
static bool key_schedule(void *ctx)
{
    static uint8_t transcript[TRANSCRIPT_BYTES], block[128];
    const struct hashing *h = ctx;
    bool ok = hash(h, transcript, sizeof(transcript), block + 64);
    for (unsigned i = 0; ok && i < KEY_SCHEDULE_MACS; i++)
        ok = hash(h, block, sizeof(block), block + 64) && hash(h, block, 96, block + 64);
    return ok;
}

struct sealing {
    EVP_CIPHER_CTX *ctx;
    int bytes;
};

static bool seal(void *arg)
{
    static uint8_t record[16384 + 16];
    static const uint8_t header[5] = {23, 3, 3};
    struct sealing *s = arg;
    uint8_t iv[12] = {0}, tag[16];
    int len;
    return EVP_EncryptInit_ex(s->ctx, NULL, NULL, NULL, iv) == 1 &&
           EVP_EncryptUpdate(s->ctx, NULL, &len, header, sizeof(header)) == 1 &&
           EVP_EncryptUpdate(s->ctx, record, &len, record, s->bytes) == 1 &&
           EVP_EncryptFinal_ex(s->ctx, record + s->bytes, &len) == 1 &&
           EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag) == 1;
}

static double time_sealing(int bytes)
{
    static const uint8_t key[16] = {3};
    struct sealing s = {EVP_CIPHER_CTX_new(), bytes};
    bool ok = s.ctx && EVP_EncryptInit_ex(s.ctx, EVP_aes_128_gcm(), NULL, key, NULL) == 1;
    double each = ok ? parts_time(seal, &s) / bytes : 0;
    EVP_CIPHER_CTX_free(s.ctx);
    return each;
}

bool parts_crypto_measure(struct parts_crypto *found, struct error *err)
{
    struct exchange x = {.peer = EVP_PKEY_Q_keygen(NULL, NULL, "X25519")};
    struct signed_text rsa = {.key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)};
    struct signed_text p256 = {.key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")};
    struct hashing h = {EVP_MD_fetch(NULL, "SHA256", NULL), EVP_MD_CTX_new()};
    *found = (struct parts_crypto){.public_keys = "libcrypto", .gcm = "libcrypto"};
    if (x.peer && h.sha256 && h.ctx && sign(&rsa) && sign(&p256)) {
        found->x25519_s = parts_time(exchange_keys, &x) / 2;
        found->verify_rsa_s = parts_time(verify, &rsa);
        found->verify_p256_s = parts_time(verify, &p256);
        found->key_schedule_s = parts_time(key_schedule, &h);
        found->gcm_small_s = time_sealing(1400);
        found->gcm_large_s = time_sealing(16384);
    }
    EVP_PKEY_free(x.peer);
    EVP_PKEY_free(rsa.key);
    EVP_PKEY_free(p256.key);
    EVP_MD_CTX_free(h.ctx);
    EVP_MD_free(h.sha256);
    bool all = found->x25519_s > 0 && found->verify_rsa_s > 0 && found->verify_p256_s > 0 &&
               found->key_schedule_s > 0 && found->gcm_small_s > 0 && found->gcm_large_s > 0;
    return all || error_set(err, "libcrypto could not do all of X25519, RSA, P-256, HMAC and AES-GCM");
}
