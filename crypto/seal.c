/* seal.c: the writing half of the record layer. */
#include "crypto/session.h"

#include <linux/tls.h>
#include <openssl/ssl.h>
#include <string.h>

#define HEADER_BYTES         5u
#define EXPLICIT_NONCE_BYTES 8u
#define SALT_BYTES           4u
#define AAD_MAX              13u

/* ---- keys ---- */

struct handed {
    enum seal_suite suite;
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
        *h = (struct handed){SEAL_AES_128_GCM, in->gcm128.key,     in->gcm128.salt,
                             in->gcm128.iv,    in->gcm128.rec_seq, SALT_BYTES};
        return true;
    case TLS_CIPHER_AES_GCM_256:
        *h = (struct handed){SEAL_AES_256_GCM, in->gcm256.key,     in->gcm256.salt,
                             in->gcm256.iv,    in->gcm256.rec_seq, SALT_BYTES};
        return true;
    case TLS_CIPHER_CHACHA20_POLY1305:
        *h = (struct handed){SEAL_CHACHA20_POLY1305, in->chacha.key,     NULL,
                             in->chacha.iv,          in->chacha.rec_seq, 0};
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

static void put_be16(uint8_t *at, size_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static void expand_key(struct seal *seal, IMB_MGR *mgr, const uint8_t *key)
{
    switch (seal->suite) {
    case SEAL_AES_128_GCM: IMB_AES128_GCM_PRE(mgr, key, &seal->key.gcm); break;
    case SEAL_AES_256_GCM: IMB_AES256_GCM_PRE(mgr, key, &seal->key.gcm); break;
    default: memcpy(seal->key.chacha, key, SEAL_CHACHA_KEY);
    }
}

bool seal_key(struct tls *tls, const void *crypto_info)
{
    struct seal *seal = &tls->seal;
    struct handed h;
    if (!read_handed(crypto_info, &h))
        return false;
    seal->suite = h.suite;
    expand_key(seal, tls->core->mb, h.key);
    if (h.salt_bytes)
        memcpy(seal->iv, h.salt, h.salt_bytes);
    memcpy(seal->iv + h.salt_bytes, h.iv, SEAL_NONCE_BYTES - h.salt_bytes);
    seal->sequence = be64(h.sequence);
    seal->records = 0;
    seal->type = SSL3_RT_APPLICATION_DATA;
    seal->version_13 = ((const struct tls_crypto_info *)crypto_info)->version == TLS1_3_VERSION;
    seal->implicit_nonce = seal->version_13 || h.suite == SEAL_CHACHA20_POLY1305;
    return true;
}

void seal_close(struct seal *seal)
{
    OPENSSL_cleanse(seal, sizeof(*seal));
}

bool seal_worn(const struct tls *tls)
{
    return tls->seal.records >= tls->core->seal_records_max;
}

/* ---- the ciphers ---- */

/* A record on its way; lives as long as seal_record runs. */
struct sealing {
    struct tls *tls;
    union {
        struct gcm_context_data gcm;
        struct chacha20_poly1305_context_data chacha;
    } state;
};

static void cipher_begin(struct sealing *s, const uint8_t *nonce, const uint8_t *aad, size_t aad_len)
{
    struct seal *seal = &s->tls->seal;
    IMB_MGR *mgr = s->tls->core->mb;
    switch (seal->suite) {
    case SEAL_AES_128_GCM:
        IMB_AES128_GCM_INIT(mgr, &seal->key.gcm, &s->state.gcm, nonce, aad, aad_len);
        break;
    case SEAL_AES_256_GCM:
        IMB_AES256_GCM_INIT(mgr, &seal->key.gcm, &s->state.gcm, nonce, aad, aad_len);
        break;
    default: IMB_CHACHA20_POLY1305_INIT(mgr, seal->key.chacha, &s->state.chacha, nonce, aad, aad_len);
    }
}

static void cipher_update(struct sealing *s, uint8_t *out, const uint8_t *in, size_t len)
{
    struct seal *seal = &s->tls->seal;
    IMB_MGR *mgr = s->tls->core->mb;
    switch (seal->suite) {
    case SEAL_AES_128_GCM: IMB_AES128_GCM_ENC_UPDATE(mgr, &seal->key.gcm, &s->state.gcm, out, in, len); break;
    case SEAL_AES_256_GCM: IMB_AES256_GCM_ENC_UPDATE(mgr, &seal->key.gcm, &s->state.gcm, out, in, len); break;
    default: IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, seal->key.chacha, &s->state.chacha, out, in, len);
    }
}

static void cipher_tag(struct sealing *s, uint8_t tag[SEAL_TAG_BYTES])
{
    struct seal *seal = &s->tls->seal;
    IMB_MGR *mgr = s->tls->core->mb;
    switch (seal->suite) {
    case SEAL_AES_128_GCM:
        IMB_AES128_GCM_ENC_FINALIZE(mgr, &seal->key.gcm, &s->state.gcm, tag, SEAL_TAG_BYTES);
        break;
    case SEAL_AES_256_GCM:
        IMB_AES256_GCM_ENC_FINALIZE(mgr, &seal->key.gcm, &s->state.gcm, tag, SEAL_TAG_BYTES);
        break;
    default: IMB_CHACHA20_POLY1305_ENC_FINALIZE(mgr, &s->state.chacha, tag, SEAL_TAG_BYTES);
    }
}

/* ---- a record ---- */

/* RFC 8446 section 5.3 and RFC 7905 section 2: the sequence number over the IV; RFC 5288 section 3: salt and an explicit
 * part, for which the sequence number is never the same twice.
 */
static void make_nonce(const struct seal *seal, uint8_t nonce[SEAL_NONCE_BYTES])
{
    uint8_t *low = nonce + SALT_BYTES;
    memcpy(nonce, seal->iv, SEAL_NONCE_BYTES);
    put_be64(low, seal->implicit_nonce ? be64(low) ^ seal->sequence : seal->sequence);
}

/* The header, with TLS 1.2's explicit nonce behind it; returns its length. */
static size_t make_header(const struct seal *seal, uint8_t type, size_t len, const uint8_t *nonce,
                          uint8_t header[HEADER_BYTES + EXPLICIT_NONCE_BYTES])
{
    size_t explicit = seal->implicit_nonce ? 0 : EXPLICIT_NONCE_BYTES;
    header[0] = seal->version_13 ? SSL3_RT_APPLICATION_DATA : type;
    put_be16(header + 1, TLS1_2_VERSION);
    put_be16(header + 3, explicit + len + (seal->version_13 ? 1 : 0) + SEAL_TAG_BYTES);
    memcpy(header + HEADER_BYTES, nonce + SALT_BYTES, explicit);
    return HEADER_BYTES + explicit;
}

/* RFC 8446 section 5.2: the header; RFC 5246 section 6.2.3.3: sequence, type, version, plain length. */
static size_t make_aad(const struct seal *seal, uint8_t type, size_t len, const uint8_t *header,
                       uint8_t aad[AAD_MAX])
{
    if (seal->version_13) {
        memcpy(aad, header, HEADER_BYTES);
        return HEADER_BYTES;
    }
    put_be64(aad, seal->sequence);
    aad[8] = type;
    put_be16(aad + 9, TLS1_2_VERSION);
    put_be16(aad + 11, len);
    return AAD_MAX;
}

static bool begin(struct sealing *s, uint8_t type, size_t len)
{
    struct seal *seal = &s->tls->seal;
    uint8_t nonce[SEAL_NONCE_BYTES], header[HEADER_BYTES + EXPLICIT_NONCE_BYTES], aad[AAD_MAX];
    make_nonce(seal, nonce);
    size_t header_len = make_header(seal, type, len, nonce, header);
    size_t aad_len = make_aad(seal, type, len, header, aad);
    cipher_begin(s, nonce, aad, aad_len);
    return tls_put(s->tls, header, header_len);
}

/* Plain bytes through the cipher into wherever output goes now. */
static bool encrypt(struct sealing *s, const uint8_t *in, size_t len)
{
    while (len > 0) {
        size_t room;
        uint8_t *chunk = tls_put_reserve(s->tls, len, &room);
        if (!chunk)
            return false;
        size_t n = min_size(room, len);
        cipher_update(s, chunk, in, n);
        tls_put_commit(s->tls, n);
        in += n;
        len -= n;
    }
    return true;
}

static bool finish(struct sealing *s)
{
    uint8_t tag[SEAL_TAG_BYTES];
    s->tls->seal.sequence++;
    s->tls->seal.records++;
    cipher_tag(s, tag);
    return tls_put(s->tls, tag, sizeof(tag));
}

static bool encrypt_parts(struct sealing *s, struct span *part, unsigned parts, size_t len)
{
    for (unsigned i = 0; i < parts && len > 0; i++) {
        size_t n = min_size(part[i].len, len);
        if (!encrypt(s, part[i].data, n))
            return false;
        part[i].data += n;
        part[i].len -= n;
        len -= n;
    }
    assert(len == 0);
    return true;
}

bool seal_record(struct tls *tls, uint8_t type, struct span *part, unsigned parts, size_t len)
{
    struct sealing s = {.tls = tls};
    assert(len <= RECORD_PLAIN_MAX);
    bool ok = begin(&s, type, len) && encrypt_parts(&s, part, parts, len);
    if (ok && tls->seal.version_13)
        ok = encrypt(&s, &type, 1);
    ok = ok && finish(&s);
    OPENSSL_cleanse(&s, sizeof(s));
    return ok;
}
