/* hkdf.c: see hkdf.h. */
#include "crypto/hkdf.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define INNER 0x36
#define OUTER 0x5c

#define EXPAND_MAX 255u /* hashes, RFC 5869 section 2.3 */
#define LABEL_MAX  255u /* prefix included, RFC 8446 section 7.1 */

/* Starting anew also wipes what was hashed last. */
static bool begin(const struct hkdf *hkdf)
{
    return EVP_DigestInit_ex2(hkdf->ctx, hkdf->md, NULL) == 1;
}

static bool add(const struct hkdf *hkdf, const void *data, size_t len)
{
    return EVP_DigestUpdate(hkdf->ctx, data, len) == 1;
}

static bool end(const struct hkdf *hkdf, uint8_t *out)
{
    unsigned len;
    return EVP_DigestFinal_ex(hkdf->ctx, out, &len) == 1 && len == hkdf->hash_bytes;
}

bool hkdf_open(struct hkdf *hkdf, OSSL_LIB_CTX *libctx, const char *hash)
{
    memset(hkdf, 0, sizeof(*hkdf));
    hkdf->md = EVP_MD_fetch(libctx, hash, "provider=default");
    hkdf->ctx = EVP_MD_CTX_new();
    if (!hkdf->md || !hkdf->ctx)
        return false;
    hkdf->hash_bytes = (size_t)EVP_MD_get_size(hkdf->md);
    hkdf->block_bytes = (size_t)EVP_MD_get_block_size(hkdf->md);
    return hkdf->hash_bytes <= HKDF_HASH_MAX && hkdf->block_bytes <= HKDF_BLOCK_MAX && begin(hkdf) &&
           end(hkdf, hkdf->empty);
}

void hkdf_close(struct hkdf *hkdf)
{
    EVP_MD_CTX_free(hkdf->ctx);
    EVP_MD_free(hkdf->md);
    memset(hkdf, 0, sizeof(*hkdf));
}

static bool begin_padded(const struct hkdf *hkdf, struct span key, uint8_t with, uint8_t *pad)
{
    for (size_t i = 0; i < hkdf->block_bytes; i++)
        pad[i] = with;
    for (size_t i = 0; i < key.len; i++)
        pad[i] ^= key.data[i];
    return begin(hkdf) && add(hkdf, pad, hkdf->block_bytes);
}

/* All users' keys are hashes or zeros: none is longer than a block, so none has to be hashed first. */
bool hkdf_hmac(const struct hkdf *hkdf, struct span key, const struct span *part, unsigned parts,
               uint8_t *out)
{
    uint8_t pad[HKDF_BLOCK_MAX], inner[HKDF_HASH_MAX];
    if (key.len > hkdf->block_bytes)
        return false;
    bool ok = begin_padded(hkdf, key, INNER, pad);
    for (unsigned i = 0; ok && i < parts; i++)
        ok = add(hkdf, part[i].data, part[i].len);
    ok = ok && end(hkdf, inner) && begin_padded(hkdf, key, OUTER, pad) &&
         add(hkdf, inner, hkdf->hash_bytes) && end(hkdf, out);
    OPENSSL_cleanse(pad, sizeof(pad));
    OPENSSL_cleanse(inner, sizeof(inner));
    return begin(hkdf) && ok;
}

bool hkdf_extract(const struct hkdf *hkdf, struct span salt, struct span key, uint8_t *out)
{
    static const uint8_t zeros[HKDF_HASH_MAX];
    const struct span nothing = {zeros, hkdf->hash_bytes};
    return hkdf_hmac(hkdf, salt.len ? salt : nothing, key.len ? &key : &nothing, 1, out);
}

bool hkdf_expand_label(const struct hkdf *hkdf, struct span secret, struct span prefix, struct span label,
                       struct span context, uint8_t *out, size_t out_len)
{
    uint8_t block[HKDF_HASH_MAX], count = 1;
    const size_t label_len = prefix.len + label.len;
    if (label_len > LABEL_MAX || context.len > 255 || out_len > EXPAND_MAX * hkdf->hash_bytes)
        return false;
    const uint8_t head[] = {(uint8_t)(out_len >> 8), (uint8_t)out_len, (uint8_t)label_len};
    const uint8_t context_len = (uint8_t)context.len;
    const uint8_t *const counter = &count;
    struct span part[] = {{block, 0}, {head, sizeof(head)}, prefix, label, {&context_len, 1},
                          context,    {counter, 1}};
    bool ok = true;
    for (size_t n; ok && out_len > 0; out += n, out_len -= n, count++) {
        n = min_size(out_len, hkdf->hash_bytes);
        ok = hkdf_hmac(hkdf, secret, part, ARRAY_LEN(part), block);
        memcpy(out, block, n);
        part[0].len = hkdf->hash_bytes;
    }
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}

bool hkdf_next_secret(const struct hkdf *hkdf, struct span before, struct span prefix, struct span label,
                      struct span key, uint8_t *out)
{
    uint8_t derived[HKDF_HASH_MAX];
    const struct span empty = {hkdf->empty, hkdf->hash_bytes};
    struct span salt = {derived, hkdf->hash_bytes};
    bool ok = true;
    if (before.len)
        ok = hkdf_expand_label(hkdf, before, prefix, label, empty, derived, hkdf->hash_bytes);
    else
        salt.len = 0;
    ok = ok && hkdf_extract(hkdf, salt, key, out);
    OPENSSL_cleanse(derived, sizeof(derived));
    return ok;
}
