/* seal.c: the writing half of the record layer. */
#include "crypto/session.h"

bool seal_worn(const struct tls *tls)
{
    return tls->write_key.records >= tls->core->seal_records_max;
}

/* The header, with TLS 1.2's explicit nonce behind it; returns its length. */
static size_t make_header(const struct record_key *key, uint8_t type, size_t len,
                          const uint8_t nonce[RECORD_NONCE_BYTES],
                          uint8_t header[RECORD_HEADER_BYTES + RECORD_EXPLICIT_NONCE_BYTES])
{
    size_t explicit = key->implicit_nonce ? 0 : RECORD_EXPLICIT_NONCE_BYTES;
    header[0] = key->version_13 ? SSL3_RT_APPLICATION_DATA : type;
    record_put_be16(header + 1, TLS1_2_VERSION);
    record_put_be16(header + 3, explicit + len + (key->version_13 ? 1 : 0) + RECORD_TAG_BYTES);
    memcpy(header + RECORD_HEADER_BYTES, nonce + (RECORD_NONCE_BYTES - RECORD_EXPLICIT_NONCE_BYTES),
           explicit);
    return RECORD_HEADER_BYTES + explicit;
}

static bool begin(struct tls *tls, struct record_cipher *c, uint8_t type, size_t len)
{
    uint8_t nonce[RECORD_NONCE_BYTES], header[RECORD_HEADER_BYTES + RECORD_EXPLICIT_NONCE_BYTES];
    uint8_t aad[RECORD_AAD_MAX];
    record_nonce(c->key, NULL, nonce);
    size_t header_len = make_header(c->key, type, len, nonce, header);
    size_t aad_len = record_aad(c->key, type, len, header, aad);
    record_cipher_begin(c, nonce, aad, aad_len);
    return tls_put(tls, header, header_len);
}

/* Plain bytes through the cipher into wherever output goes now. */
static bool encrypt(struct tls *tls, struct record_cipher *c, const uint8_t *in, size_t len)
{
    while (len > 0) {
        size_t room;
        uint8_t *chunk = tls_put_reserve(tls, len, &room);
        if (!chunk)
            return false;
        size_t n = min_size(room, len);
        record_cipher_seal(c, chunk, in, n);
        tls_put_commit(tls, n);
        in += n;
        len -= n;
    }
    return true;
}

static bool encrypt_parts(struct tls *tls, struct record_cipher *c, struct span *part, unsigned parts,
                          size_t len)
{
    for (unsigned i = 0; i < parts && len > 0; i++) {
        size_t n = min_size(part[i].len, len);
        if (!encrypt(tls, c, part[i].data, n))
            return false;
        part[i].data += n;
        part[i].len -= n;
        len -= n;
    }
    assert(len == 0);
    return true;
}

static bool finish(struct tls *tls, struct record_cipher *c)
{
    uint8_t tag[RECORD_TAG_BYTES];
    c->key->sequence++;
    c->key->records++;
    record_cipher_tag(c, tag);
    return tls_put(tls, tag, sizeof(tag));
}

bool seal_record(struct tls *tls, uint8_t type, struct span *part, unsigned parts, size_t len)
{
    struct record_cipher c = {.mb = tls->core->mb, .key = &tls->write_key};
    assert(len <= RECORD_PLAIN_MAX);
    bool ok = begin(tls, &c, type, len) && encrypt_parts(tls, &c, part, parts, len);
    if (ok && c.key->version_13)
        ok = encrypt(tls, &c, &type, 1);
    ok = ok && finish(tls, &c);
    OPENSSL_cleanse(&c.state, sizeof(c.state));
    return ok;
}
