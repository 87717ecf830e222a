/* signature.c: DER of ECDSA, paddings of RSA. */
#include "crypto/signature.h"

const struct curve curve_p256 = {
    .bytes = 32,
    .field = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
              0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    .order = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
              0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51},
};

const struct curve curve_p384 = {
    .bytes = 48,
    .field = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
              0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
              0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff},
    .order = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
              0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
              0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73},
};

static bool is_zero(const uint8_t *data, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= data[i];
    return any == 0;
}

/* X.690 sections 8.3 and 10.1: a positive INTEGER in the fewest bytes; both lengths here are below 128. */
static void read_integer(struct bytes_in *in, const struct curve *curve, uint8_t *out)
{
    bool integer = bytes_u8(in) == 2;
    size_t len = bytes_u8(in);
    const uint8_t *p = bytes_take(in, len);
    bool minimal = p && len > 0 && p[0] < 0x80 && (len == 1 || p[0] != 0 || p[1] >= 0x80);
    if (minimal && p[0] == 0) {
        p++;
        len--;
    }
    if (!integer || !minimal || len > curve->bytes) {
        in->failed = true;
        return;
    }
    memset(out, 0, curve->bytes - len);
    memcpy(out + curve->bytes - len, p, len);
    in->failed |= is_zero(out, curve->bytes) || !number_below(out, curve->order, curve->bytes);
}

bool signature_ecdsa(const struct curve *curve, struct span der, uint8_t *r, uint8_t *s)
{
    struct bytes_in in = bytes_in(der.data, der.len);
    bool sequence = bytes_u8(&in) == 0x30;
    size_t len = bytes_u8(&in);
    if (!sequence || in.failed || len != bytes_left(&in))
        return false;
    read_integer(&in, curve, r);
    read_integer(&in, curve, s);
    return !in.failed && bytes_left(&in) == 0;
}

bool curve_point_shape(const struct curve *curve, struct span point)
{
    return point.len == 1 + 2 * curve->bytes && point.data[0] == 4 &&
           number_below(point.data + 1, curve->field, curve->bytes) &&
           number_below(point.data + 1 + curve->bytes, curve->field, curve->bytes);
}

void signature_bits(const struct curve *curve, struct span digest, uint8_t *out)
{
    size_t take = min_size(digest.len, curve->bytes);
    memset(out, 0, curve->bytes - take);
    memcpy(out + curve->bytes - take, digest.data, take);
}

/* RFC 8017 section 9.2, note 1: what stands before the digest in DigestInfo. */
#define PREFIX_BYTES 19u

static const uint8_t *digest_prefix(size_t digest_len)
{
    static const uint8_t sha256[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                     0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    static const uint8_t sha384[] = {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                     0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30};
    static const uint8_t sha512[] = {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                     0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40};
    static_assert(sizeof(sha256) == PREFIX_BYTES && sizeof(sha384) == PREFIX_BYTES &&
                      sizeof(sha512) == PREFIX_BYTES,
                  "one length for all");
    return digest_len == 32 ? sha256 : digest_len == 48 ? sha384 : sha512;
}

/* Encoded and compared as a whole (section 8.2.2): nothing of what the signer wrote is parsed. */
bool signature_pkcs1(struct span em, struct span digest)
{
    size_t tail = PREFIX_BYTES + digest.len, pad = em.len - tail - 3;
    if (em.len < tail + 11)
        return false;
    uint8_t wrong = em.data[0] | (em.data[1] ^ 1) | em.data[2 + pad];
    for (size_t i = 0; i < pad; i++)
        wrong |= em.data[2 + i] ^ 0xff;
    return wrong == 0 && memcmp(em.data + 3 + pad, digest_prefix(digest.len), PREFIX_BYTES) == 0 &&
           memcmp(em.data + 3 + pad + PREFIX_BYTES, digest.data, digest.len) == 0;
}

static bool hash_parts(EVP_MD_CTX *ctx, const EVP_MD *hash, const struct span *part, unsigned parts,
                       uint8_t *out)
{
    bool ok = EVP_DigestInit_ex2(ctx, hash, NULL) == 1;
    for (unsigned i = 0; ok && i < parts; i++)
        ok = EVP_DigestUpdate(ctx, part[i].data, part[i].len) == 1;
    return ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

/* MGF1, appendix B.2.1, taken off the masked block where it lies. */
static bool unmask(EVP_MD_CTX *ctx, const EVP_MD *hash, struct span seed, uint8_t *block, size_t len)
{
    uint8_t mask[EVP_MAX_MD_SIZE];
    for (uint32_t counter = 0; len > 0; counter++) {
        const uint8_t big[4] = {0, 0, 0, (uint8_t)counter}; /* RSA-4096 takes 15 */
        const struct span part[] = {seed, {big, sizeof(big)}};
        if (!hash_parts(ctx, hash, part, 2, mask))
            return false;
        size_t n = min_size(len, seed.len);
        for (size_t i = 0; i < n; i++)
            block[i] ^= mask[i];
        block += n;
        len -= n;
    }
    return true;
}

#define EM_MAX 512u

/* The steps are those of RFC 8017 section 9.1.2; emBits is 8 em.len - 1, sLen and hLen are digest.len. */
bool signature_pss(EVP_MD_CTX *scratch, const EVP_MD *hash, struct span em, struct span digest)
{
    static const uint8_t zeros[8];
    uint8_t db[EM_MAX], found[EVP_MAX_MD_SIZE];
    size_t h = digest.len;
    if (em.len < 2 * h + 2 || em.len > EM_MAX || em.data[em.len - 1] != 0xbc) /* steps 3, 4 */
        return false;
    size_t db_len = em.len - h - 1, zeros_len = db_len - h - 1;
    const struct span claimed = {em.data + db_len, h};
    if (em.data[0] & 0x80) /* step 6 */
        return false;
    memcpy(db, em.data, db_len);
    if (!unmask(scratch, hash, claimed, db, db_len)) /* steps 7, 8 */
        return false;
    db[0] &= 0x7f;                                     /* step 9 */
    if (!is_zero(db, zeros_len) || db[zeros_len] != 1) /* step 10 */
        return false;
    const struct span part[] = {{zeros, sizeof(zeros)}, digest, {db + db_len - h, h}};
    return hash_parts(scratch, hash, part, 3, found) && memcmp(found, claimed.data, h) == 0;
}
