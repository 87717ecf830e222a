/* crypto/hkdf.h: HMAC (RFC 2104), HKDF (RFC 5869) and the derivations of TLS 1.3 (RFC 8446 section 7.1), by libcrypto's HMAC.
 *
 * One context of it is used over and over: nothing is fetched from hkdf_open on.  One thread's.  The context keeps the last key, and
 * what it has hashed of it, until the next call, hkdf_forget or hkdf_close; all wipe it.
 */
#ifndef CRYPTO_HKDF_H
#define CRYPTO_HKDF_H

#include "engine/base/bytes.h"

#include <openssl/types.h>

#define HKDF_HASH_MAX 48u /* bytes, of SHA-384 */

struct hkdf {
    EVP_MAC_CTX *mac; /* HMAC by the hash */
    size_t hash_bytes;
    uint8_t empty[HKDF_HASH_MAX]; /* the hash of no bytes */
};

/* hkdf_open takes "SHA2-256" or "SHA2-384" of the default provider; false: OpenSSL has none, or no memory. */
bool hkdf_open(struct hkdf *hkdf, OSSL_LIB_CTX *libctx, const char *hash) must_check;
void hkdf_forget(const struct hkdf *hkdf);
void hkdf_close(struct hkdf *hkdf); /* both: a zeroed one, too */

/* Below: out has hash_bytes; false: lengths beyond the standard's, or libcrypto failed. */

bool hkdf_hmac(const struct hkdf *hkdf, struct span key, const struct span *part, unsigned parts,
               uint8_t *out) must_check;

/* hkdf_extract: RFC 5869 section 2.2; a salt or key of no bytes stands for zeros, as TLS 1.3 wants it. */
bool hkdf_extract(const struct hkdf *hkdf, struct span salt, struct span key, uint8_t *out) must_check;

/* hkdf_expand_label: RFC 8446 section 7.1; out_len at most 255 hashes; prefix is "tls13 " or "dtls13". */
bool hkdf_expand_label(const struct hkdf *hkdf, struct span secret, struct span prefix, struct span label,
                       struct span context, uint8_t *out, size_t out_len) must_check;

/* hkdf_next_secret: the next of early, handshake and master secret; before is NULL or hash_bytes. */
bool hkdf_next_secret(const struct hkdf *hkdf, struct span before, struct span prefix, struct span label,
                      struct span key, uint8_t *out) must_check;

#endif
