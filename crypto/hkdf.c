/* hkdf.c: see hkdf.h. */
#define OPENSSL_SUPPRESS_DEPRECATED /* the hash functions without EVP around them */

#include "crypto/hkdf.h"

#include <openssl/sha.h>
#include <string.h>

#define EXPAND_MAX 255u /* hashes, RFC 5869 section 2.3 */
#define LABEL_MAX  255u /* prefix included, RFC 8446 section 7.1 */
#define BLOCK_MAX  SHA512_CBLOCK

union hashing {
    SHA256_CTX sha256;
    SHA512_CTX sha384;
};

size_t hkdf_hash_bytes(enum hkdf_hash hash)
{
    return hash == HKDF_SHA256 ? SHA256_DIGEST_LENGTH : SHA384_DIGEST_LENGTH;
}

static size_t block_bytes(enum hkdf_hash hash)
{
    return hash == HKDF_SHA256 ? SHA256_CBLOCK : SHA512_CBLOCK;
}

static void begin(enum hkdf_hash hash, union hashing *h)
{
    if (hash == HKDF_SHA256)
        SHA256_Init(&h->sha256);
    else
        SHA384_Init(&h->sha384);
}

static void add(enum hkdf_hash hash, union hashing *h, const uint8_t *data, size_t len)
{
    if (hash == HKDF_SHA256)
        SHA256_Update(&h->sha256, data, len);
    else
        SHA384_Update(&h->sha384, data, len);
}

static void finish(enum hkdf_hash hash, union hashing *h, uint8_t *out)
{
    if (hash == HKDF_SHA256)
        SHA256_Final(out, &h->sha256);
    else
        SHA384_Final(out, &h->sha384);
}

/* RFC 2104 section 2: a key longer than a block is hashed. */
static void fit_key(enum hkdf_hash hash, struct span key, uint8_t block[BLOCK_MAX])
{
    union hashing h;
    memset(block, 0, BLOCK_MAX);
    if (key.len <= block_bytes(hash)) {
        if (key.len > 0)
            memcpy(block, key.data, key.len);
        return;
    }
    begin(hash, &h);
    add(hash, &h, key.data, key.len);
    finish(hash, &h, block);
    explicit_bzero(&h, sizeof(h));
}

static void begin_keyed(enum hkdf_hash hash, union hashing *h, uint8_t block[BLOCK_MAX], uint8_t pad)
{
    for (size_t i = 0; i < block_bytes(hash); i++)
        block[i] ^= pad;
    begin(hash, h);
    add(hash, h, block, block_bytes(hash));
}

#define INNER 0x36
#define OUTER 0x5c

void hkdf_hmac(enum hkdf_hash hash, struct span key, const struct span *part, unsigned parts, uint8_t *out)
{
    union hashing h;
    uint8_t block[BLOCK_MAX], inside[HKDF_HASH_MAX];
    fit_key(hash, key, block);
    begin_keyed(hash, &h, block, INNER);
    for (unsigned i = 0; i < parts; i++)
        add(hash, &h, part[i].data, part[i].len);
    finish(hash, &h, inside);
    begin_keyed(hash, &h, block, INNER ^ OUTER);
    add(hash, &h, inside, hkdf_hash_bytes(hash));
    finish(hash, &h, out);
    explicit_bzero(&h, sizeof(h));
    explicit_bzero(block, sizeof(block));
    explicit_bzero(inside, sizeof(inside));
}

void hkdf_extract(enum hkdf_hash hash, struct span salt, struct span key, uint8_t *out)
{
    static const uint8_t zeros[HKDF_HASH_MAX];
    const struct span nothing = {zeros, hkdf_hash_bytes(hash)};
    hkdf_hmac(hash, salt.len ? salt : nothing, key.len ? &key : &nothing, 1, out);
}

bool hkdf_expand_label(enum hkdf_hash hash, struct span secret, struct span prefix, struct span label,
                       struct span context, uint8_t *out, size_t out_len)
{
    uint8_t block[HKDF_HASH_MAX], count = 1;
    const size_t label_len = prefix.len + label.len, hash_bytes = hkdf_hash_bytes(hash);
    if (label_len > LABEL_MAX || context.len > 255 || out_len > EXPAND_MAX * hash_bytes)
        return false;
    const uint8_t head[] = {(uint8_t)(out_len >> 8), (uint8_t)out_len, (uint8_t)label_len};
    const uint8_t context_len = (uint8_t)context.len;
    const uint8_t *const counter = &count;
    struct span part[] = {{block, 0}, {head, sizeof(head)}, prefix, label, {&context_len, 1},
                          context,    {counter, 1}};
    for (size_t n; out_len > 0; out += n, out_len -= n, count++) {
        n = min_size(out_len, hash_bytes);
        hkdf_hmac(hash, secret, part, ARRAY_LEN(part), block);
        memcpy(out, block, n);
        part[0].len = hash_bytes;
    }
    explicit_bzero(block, sizeof(block));
    return true;
}

bool hkdf_next_secret(enum hkdf_hash hash, struct span before, struct span prefix, struct span label,
                      struct span key, uint8_t *out)
{
    union hashing h;
    uint8_t derived[HKDF_HASH_MAX], empty[HKDF_HASH_MAX];
    struct span salt = {derived, hkdf_hash_bytes(hash)};
    bool ok = true;
    begin(hash, &h);
    finish(hash, &h, empty);
    if (before.len)
        ok =
            hkdf_expand_label(hash, before, prefix, label, (struct span){empty, salt.len}, derived, salt.len);
    else
        salt.len = 0;
    if (ok)
        hkdf_extract(hash, salt, key, out);
    explicit_bzero(derived, sizeof(derived));
    return ok;
}
