/* signature.h: how signatures and their padding are written; no arithmetic.
 *
 * Strict: what libcrypto refuses is refused here, and a test asks both.
 */
#ifndef CRYPTO_SIGNATURE_H
#define CRYPTO_SIGNATURE_H

#include "engine/base/bytes.h"

#include <openssl/evp.h>

struct curve {
    size_t bytes;      /* of a coordinate and of the order */
    uint8_t field[48]; /* the prime, big-endian (SP 800-186 section 3.2.1) */
    uint8_t order[48];
};

extern const struct curve curve_p256, curve_p384;

/* Big-endian numbers of the same length: a < b.  Not for secrets. */
static inline bool number_below(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    return memcmp(a, b, bytes) < 0;
}

/* signature_ecdsa reads the DER of RFC 3279 section 2.2.3 into r and s, big-endian, curve->bytes each.
 * False: not the one DER encoding of two numbers in [1, order - 1] and nothing behind them.
 */
bool signature_ecdsa(const struct curve *curve, struct span der, uint8_t *r, uint8_t *s) must_check;

/* curve_point_shape: an uncompressed point (RFC 8446 section 4.2.8.2) with both coordinates below the
 * prime.  Whether it is on the curve is the library's to say.
 */
bool curve_point_shape(const struct curve *curve, struct span point) must_check;

/* signature_bits: the digest as ECDSA takes it (FIPS 186-5 section 6.4.1): the left-most bits, or zeros
 * before it.
 */
void signature_bits(const struct curve *curve, struct span digest, uint8_t *out);

/* signature_pkcs1: em is what RFC 8017 section 9.2 makes of the digest (SHA-256, -384 or -512 by its
 * length).
 */
bool signature_pkcs1(struct span em, struct span digest) must_check;

/* signature_pss: em is a PSS encoding of the digest, RFC 8017 section 9.1.2, with MGF1 of the same hash and
 * a salt as long as the hash; for a modulus whose top bit is the top bit of em[0].  scratch: kept by the
 * caller, for hashing.
 */
bool signature_pss(EVP_MD_CTX *scratch, const EVP_MD *hash, struct span em, struct span digest) must_check;

#endif
