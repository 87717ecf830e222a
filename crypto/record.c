/* record.c: see record.h. */
#include "crypto/record.h"

#include <linux/tls.h>
#include <openssl/crypto.h>
#include <openssl/tls1.h>
#include <string.h>

#define SALT_BYTES (RECORD_NONCE_BYTES - RECORD_EXPLICIT_NONCE_BYTES)

/* ---- keys ---- */

struct handed {
    enum record_suite suite;
    const uint8_t *key, *salt, *iv, *sequence;
    size_t salt_bytes;
};

static bool read_handed(const void *crypto_info, struct handed *h)
{
    const union {
        struct tls_crypto_info info;
        struct tls12_crypto_info_aes_gcm_128 gcm128;
        struct tls12_crypto_info_aes_gcm_256 gcm256;
        struct tls12_crypto_info_chacha20_poly1305 chacha;
    } *in = crypto_info;
    switch (in->info.cipher_type) {
    case TLS_CIPHER_AES_GCM_128:
        *h = (struct handed){RECORD_AES_128_GCM, in->gcm128.key,     in->gcm128.salt,
                             in->gcm128.iv,      in->gcm128.rec_seq, SALT_BYTES};
        return true;
    case TLS_CIPHER_AES_GCM_256:
        *h = (struct handed){RECORD_AES_256_GCM, in->gcm256.key,     in->gcm256.salt,
                             in->gcm256.iv,      in->gcm256.rec_seq, SALT_BYTES};
        return true;
    case TLS_CIPHER_CHACHA20_POLY1305:
        *h = (struct handed){
            RECORD_CHACHA20_POLY1305, in->chacha.key, NULL, in->chacha.iv, in->chacha.rec_seq, 0};
        return true;
    default: return false;
    }
}

static uint64_t be64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof(v));
    return __builtin_bswap64(v);
}

static void put_be64(uint8_t *at, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(at, &v, sizeof(v));
}

void record_put_be16(uint8_t *at, size_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static void expand(struct record_key *key, IMB_MGR *mb, const uint8_t *bytes)
{
    switch (key->suite) {
    case RECORD_AES_128_GCM: IMB_AES128_GCM_PRE(mb, bytes, &key->key.gcm); break;
    case RECORD_AES_256_GCM: IMB_AES256_GCM_PRE(mb, bytes, &key->key.gcm); break;
    default: memcpy(key->key.chacha, bytes, RECORD_CHACHA_KEY_BYTES);
    }
}

bool record_key_set(struct record_key *key, IMB_MGR *mb, const void *crypto_info)
{
    struct handed h;
    if (!read_handed(crypto_info, &h))
        return false;
    key->suite = h.suite;
    expand(key, mb, h.key);
    if (h.salt_bytes)
        memcpy(key->iv, h.salt, h.salt_bytes);
    memcpy(key->iv + h.salt_bytes, h.iv, RECORD_NONCE_BYTES - h.salt_bytes);
    key->sequence = be64(h.sequence);
    key->records = 0;
    key->version_13 = ((const struct tls_crypto_info *)crypto_info)->version == TLS1_3_VERSION;
    key->implicit_nonce = key->version_13 || h.suite == RECORD_CHACHA20_POLY1305;
    return true;
}

void record_key_wipe(struct record_key *key)
{
    explicit_bzero(key, sizeof(*key));
}

/* ---- nonce and additional data ---- */

/* RFC 8446 section 5.3 and RFC 7905 section 2: the sequence number over the IV; RFC 5288 section 3: salt and an explicit
 * part, for which the sequence number is never the same twice.
 */
void record_nonce(const struct record_key *key, const uint8_t *explicit, uint8_t nonce[RECORD_NONCE_BYTES])
{
    uint8_t *low = nonce + SALT_BYTES;
    memcpy(nonce, key->iv, RECORD_NONCE_BYTES);
    if (explicit)
        memcpy(low, explicit, RECORD_EXPLICIT_NONCE_BYTES);
    else
        put_be64(low, key->implicit_nonce ? be64(low) ^ key->sequence : key->sequence);
}

/* RFC 8446 section 5.2: the header; RFC 5246 section 6.2.3.3: sequence, type, version, plain length. */
size_t record_aad(const struct record_key *key, uint8_t type, size_t plain_len,
                  const uint8_t header[RECORD_HEADER_BYTES], uint8_t aad[RECORD_AAD_MAX])
{
    if (key->version_13) {
        memcpy(aad, header, RECORD_HEADER_BYTES);
        return RECORD_HEADER_BYTES;
    }
    put_be64(aad, key->sequence);
    aad[8] = type;
    record_put_be16(aad + 9, TLS1_2_VERSION);
    record_put_be16(aad + 11, plain_len);
    return RECORD_AAD_MAX;
}

/* ---- the ciphers ---- */

void record_cipher_begin(struct record_cipher *c, const uint8_t nonce[RECORD_NONCE_BYTES], const uint8_t *aad,
                         size_t aad_len)
{
    struct record_key *key = c->key;
    switch (key->suite) {
    case RECORD_AES_128_GCM:
        IMB_AES128_GCM_INIT(c->mb, &key->key.gcm, &c->state.gcm, nonce, aad, aad_len);
        break;
    case RECORD_AES_256_GCM:
        IMB_AES256_GCM_INIT(c->mb, &key->key.gcm, &c->state.gcm, nonce, aad, aad_len);
        break;
    default: IMB_CHACHA20_POLY1305_INIT(c->mb, key->key.chacha, &c->state.chacha, nonce, aad, aad_len);
    }
}

void record_cipher_seal(struct record_cipher *c, uint8_t *out, const uint8_t *in, size_t len)
{
    struct record_key *key = c->key;
    switch (key->suite) {
    case RECORD_AES_128_GCM:
        IMB_AES128_GCM_ENC_UPDATE(c->mb, &key->key.gcm, &c->state.gcm, out, in, len);
        break;
    case RECORD_AES_256_GCM:
        IMB_AES256_GCM_ENC_UPDATE(c->mb, &key->key.gcm, &c->state.gcm, out, in, len);
        break;
    default: IMB_CHACHA20_POLY1305_ENC_UPDATE(c->mb, key->key.chacha, &c->state.chacha, out, in, len);
    }
}

void record_cipher_open(struct record_cipher *c, uint8_t *out, const uint8_t *in, size_t len)
{
    struct record_key *key = c->key;
    switch (key->suite) {
    case RECORD_AES_128_GCM:
        IMB_AES128_GCM_DEC_UPDATE(c->mb, &key->key.gcm, &c->state.gcm, out, in, len);
        break;
    case RECORD_AES_256_GCM:
        IMB_AES256_GCM_DEC_UPDATE(c->mb, &key->key.gcm, &c->state.gcm, out, in, len);
        break;
    default: IMB_CHACHA20_POLY1305_DEC_UPDATE(c->mb, key->key.chacha, &c->state.chacha, out, in, len);
    }
}

void record_cipher_tag(struct record_cipher *c, uint8_t tag[RECORD_TAG_BYTES])
{
    struct record_key *key = c->key;
    switch (key->suite) {
    case RECORD_AES_128_GCM:
        IMB_AES128_GCM_ENC_FINALIZE(c->mb, &key->key.gcm, &c->state.gcm, tag, RECORD_TAG_BYTES);
        break;
    case RECORD_AES_256_GCM:
        IMB_AES256_GCM_ENC_FINALIZE(c->mb, &key->key.gcm, &c->state.gcm, tag, RECORD_TAG_BYTES);
        break;
    default: IMB_CHACHA20_POLY1305_ENC_FINALIZE(c->mb, &c->state.chacha, tag, RECORD_TAG_BYTES);
    }
}
