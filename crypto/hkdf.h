/* crypto/hkdf.h: HMAC (RFC 2104), HKDF (RFC 5869) and the derivations of TLS 1.3 (RFC 8446 section 7.1), over libcrypto's SHA-256 and SHA-384.
 *
 * A handshake has some twenty of these over a few bytes each: by EVP_MAC each cost four times what the hash does.  Nothing is
 * allocated or fetched, and nothing is kept: what a call has hashed of a key is wiped before it returns.  Any thread.
 */
#ifndef CRYPTO_HKDF_H
#define CRYPTO_HKDF_H

#include "engine/base/bytes.h"

#define HKDF_HASH_MAX 48u /* bytes, of SHA-384 */

enum hkdf_hash { HKDF_SHA256, HKDF_SHA384 };

size_t hkdf_hash_bytes(enum hkdf_hash hash);

/* Below: out has hkdf_hash_bytes; false: lengths beyond the standard's. */

void hkdf_hmac(enum hkdf_hash hash, struct span key, const struct span *part, unsigned parts, uint8_t *out);

/* hkdf_extract: RFC 5869 section 2.2; a salt or key of no bytes stands for zeros, as TLS 1.3 wants it. */
void hkdf_extract(enum hkdf_hash hash, struct span salt, struct span key, uint8_t *out);

/* hkdf_expand_label: RFC 8446 section 7.1; out_len at most 255 hashes; prefix is "tls13 " or "dtls13". */
bool hkdf_expand_label(enum hkdf_hash hash, struct span secret, struct span prefix, struct span label,
                       struct span context, uint8_t *out, size_t out_len) must_check;

/* hkdf_next_secret: the next of early, handshake and master secret; before is NULL or hkdf_hash_bytes. */
bool hkdf_next_secret(enum hkdf_hash hash, struct span before, struct span prefix, struct span label,
                      struct span key, uint8_t *out) must_check;

#endif
