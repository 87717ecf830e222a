/* hkdf.c: see hkdf.h. */
#include "crypto/hkdf.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#define EXPAND_MAX 255u /* hashes, RFC 5869 section 2.3 */
#define LABEL_MAX  255u /* prefix included, RFC 8446 section 7.1 */

static bool hash_nothing(struct hkdf *hkdf, const EVP_MD *md)
{
    unsigned len;
    return EVP_Digest(NULL, 0, hkdf->empty, &len, md, NULL) == 1 && len == hkdf->hash_bytes;
}

static bool open_mac(struct hkdf *hkdf, OSSL_LIB_CTX *libctx, const char *hash)
{
    const OSSL_PARAM by[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)hash, 0),
        OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(libctx, "HMAC", "provider=default");
    hkdf->mac = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac); /* the context holds it */
    return hkdf->mac && EVP_MAC_CTX_set_params(hkdf->mac, by) == 1;
}

bool hkdf_open(struct hkdf *hkdf, OSSL_LIB_CTX *libctx, const char *hash)
{
    memset(hkdf, 0, sizeof(*hkdf));
    EVP_MD *md = EVP_MD_fetch(libctx, hash, "provider=default");
    if (!md || !open_mac(hkdf, libctx, hash)) {
        EVP_MD_free(md);
        return false;
    }
    hkdf->hash_bytes = (size_t)EVP_MD_get_size(md);
    bool ok = hkdf->hash_bytes <= HKDF_HASH_MAX && hash_nothing(hkdf, md);
    EVP_MD_free(md);
    return ok;
}

void hkdf_close(struct hkdf *hkdf)
{
    EVP_MAC_CTX_free(hkdf->mac);
    memset(hkdf, 0, sizeof(*hkdf));
}

/* EVP_MAC_init takes NULL for the key before. */
static const uint8_t no_key;

bool hkdf_hmac(const struct hkdf *hkdf, struct span key, const struct span *part, unsigned parts,
               uint8_t *out)
{
    bool ok = EVP_MAC_init(hkdf->mac, key.len ? key.data : &no_key, key.len, NULL) == 1;
    for (unsigned i = 0; ok && i < parts; i++)
        ok = EVP_MAC_update(hkdf->mac, part[i].data, part[i].len) == 1;
    size_t len;
    return ok && EVP_MAC_final(hkdf->mac, out, &len, hkdf->hash_bytes) == 1;
}

void hkdf_forget(const struct hkdf *hkdf)
{
    if (hkdf->mac)
        (void)EVP_MAC_init(hkdf->mac, &no_key, 0, NULL);
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
