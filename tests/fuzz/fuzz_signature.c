/* ECDSA's DER as a server may send it: what we take is what libcrypto takes, with the same numbers; RSA's paddings are read
 * within their bounds and refused.  RFC 3279 section 2.2.3, RFC 8017 section 9.
 */
#include "crypto/signature.h"
#include "tests/fuzz/fuzz.h"

#include <openssl/ec.h>
#include <openssl/err.h>

static bool in_range(const BIGNUM *n, const struct curve *curve, uint8_t *out)
{
    uint8_t zero[48] = {0};
    return !BN_is_negative(n) && BN_bn2binpad(n, out, (int)curve->bytes) == (int)curve->bytes &&
           memcmp(out, zero, curve->bytes) != 0 && number_below(out, curve->order, curve->bytes);
}

/* libcrypto's ECDSA reads, writes again and compares: the one encoding alone. */
static bool libcrypto_reads(const struct curve *curve, struct span der, uint8_t *r, uint8_t *s)
{
    const uint8_t *in = der.data;
    uint8_t *again = NULL;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &in, (long)der.len);
    int len = sig ? i2d_ECDSA_SIG(sig, &again) : -1;
    bool ok = len >= 0 && (size_t)len == der.len && memcmp(again, der.data, der.len) == 0 &&
              in_range(ECDSA_SIG_get0_r(sig), curve, r) && in_range(ECDSA_SIG_get0_s(sig), curve, s);
    OPENSSL_free(again);
    ECDSA_SIG_free(sig);
    ERR_clear_error();
    return ok;
}

static void check_der(const struct curve *curve, struct span der)
{
    uint8_t r[2][48], s[2][48];
    bool ours = signature_ecdsa(curve, der, r[0], s[0]);
    CHECK(ours == libcrypto_reads(curve, der, r[1], s[1]));
    if (ours)
        CHECK(memcmp(r[0], r[1], curve->bytes) == 0 && memcmp(s[0], s[1], curve->bytes) == 0);
}

/* Nobody finds a padding that fits: of the digest only zeros are known. */
static void check_paddings(struct span em)
{
    static const uint8_t digest[64];
    static EVP_MD_CTX *scratch;
    const EVP_MD *const md[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    if (!scratch)
        scratch = EVP_MD_CTX_new();
    for (size_t i = 0; i < ARRAY_LEN(md); i++) {
        const struct span hashed = {digest, 32 + 16 * i};
        (void)!signature_pkcs1(em, hashed);
        CHECK(!signature_pss(scratch, md[i], em, hashed));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct span all = {data, size};
    check_der(&curve_p256, all);
    check_der(&curve_p384, all);
    (void)!curve_point_shape(&curve_p256, all);
    (void)!curve_point_shape(&curve_p384, all);
    check_paddings(all);
    return 0;
}
