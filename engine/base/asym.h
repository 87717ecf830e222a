/* asym.h: what a device for public-key arithmetic looks like to who uses it: numbers in, numbers out, later.
 *
 * A device knows no TLS, no encodings and no padding; who gives it jobs has looked at their ranges and at whether
 * points are on their curves.  Numbers are big-endian, of the length that the kind has.  One thread.
 *
 * There is no X25519: DPDK 24.11 has no such operation, and OpenSSL 3.5 computes a public key in software for
 * each secret that it makes into a key for an engine, which costs what the derivation costs.
 */
#ifndef ENGINE_BASE_ASYM_H
#define ENGINE_BASE_ASYM_H

#include "engine/base/list.h"

#define ASYM_CURVE_BYTES 48u  /* of a number, the most: P-384 */
#define ASYM_RSA_BYTES   512u /* the most: RSA-4096 */

enum asym_kind {
    ASYM_P256_MULTIPLY, /* shared: the x of secret times point */
    ASYM_P384_MULTIPLY,
    ASYM_P256_VERIFY, /* ECDSA */
    ASYM_P384_VERIFY,
    ASYM_RSA2048_PUBLIC, /* out: in to the 65537th modulo modulus */
    ASYM_RSA3072_PUBLIC,
    ASYM_RSA4096_PUBLIC,
    ASYM_KINDS
};

enum asym_result {
    ASYM_WORKING,
    ASYM_DONE,
    ASYM_REFUSED, /* the signature is not the key's */
    ASYM_FAILED,  /* the device's fault, or numbers that it does not take */
};

struct asym_job {
    struct list link; /* the device's while it has the job */
    enum asym_kind kind;
    enum asym_result result;
    union {
        struct asym_multiply {
            uint8_t secret[ASYM_CURVE_BYTES];
            uint8_t point[2 * ASYM_CURVE_BYTES]; /* x, then y; on its curve */
            uint8_t shared[ASYM_CURVE_BYTES];
        } multiply;
        struct asym_verify {
            uint8_t point[2 * ASYM_CURVE_BYTES];
            uint8_t digest[ASYM_CURVE_BYTES]; /* as long as the order, FIPS 186-5 section 6.4.1 */
            uint8_t r[ASYM_CURVE_BYTES], s[ASYM_CURVE_BYTES];
        } verify;
        struct asym_rsa {
            uint8_t modulus[ASYM_RSA_BYTES], in[ASYM_RSA_BYTES], out[ASYM_RSA_BYTES];
        } rsa;
    };
};

struct asym_device {
    char name[64];
    uint32_t kinds; /* 1 << enum asym_kind, of those that it has */

    /* submit takes a job; its memory is the device's until poll gives it back.  False: the device takes no
     * more now.  Never blocks, and never computes.
     */
    bool (*submit)(void *self, struct asym_job *job);

    /* poll gives the next job that has ended, with its result, or NULL; what was submitted is certain to
     * have been started when poll returns NULL.
     */
    struct asym_job *(*poll)(void *self);

    /* close waits a bounded time for jobs that were not given back.  False: some still are the device's, and
     * their memory must stay.
     */
    bool (*close)(void *self);
    void *self;
};

/* Bytes of a number of that kind. */
static inline size_t asym_bytes(enum asym_kind kind)
{
    static const uint16_t bytes[ASYM_KINDS] = {32, 48, 32, 48, 256, 384, 512};
    return bytes[kind];
}

static inline bool asym_has(const struct asym_device *device, enum asym_kind kind)
{
    return device->kinds >> kind & 1;
}

static inline bool asym_is_multiply(enum asym_kind kind)
{
    return kind <= ASYM_P384_MULTIPLY;
}

static inline bool asym_is_verify(enum asym_kind kind)
{
    return kind == ASYM_P256_VERIFY || kind == ASYM_P384_VERIFY;
}

#endif
