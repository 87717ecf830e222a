/* batch_kit.h: batches for tests, and the same questions asked of libcrypto's EVP. */
#ifndef TESTS_UNIT_CRYPTO_BATCH_KIT_H
#define TESTS_UNIT_CRYPTO_BATCH_KIT_H

#include "crypto/batch_inside.h"

struct kit {
    struct batch *batch;
    struct stats stats;
};

/* Lanes: crypto_mb even for one operation.  The two engines: the tests' own, and
 * Debian's.  The cryptodev: DPDK's crypto_openssl.
 */
enum kit_library { KIT_LIBCRYPTO, KIT_LANES, KIT_ENGINE, KIT_QATENGINE, KIT_CRYPTODEV, KIT_LIBRARIES };

/* False: this machine has no such library, or no CPU for it; the test says so and leaves that part out. */
bool kit_open(struct kit *kit, enum kit_library library);
void kit_close(struct kit *kit);

bool kit_has_lanes(void);
bool kit_has_qatengine(void);

/* One of DPDK's crypto_openssl, a new one with each call; EAL is started with the first. */
bool kit_cryptodev(struct asym_device *device, struct error *err);

/* Lower-case or upper-case hexadecimal; returns bytes. */
size_t kit_hex(const char *hex, uint8_t *out);

/* Keys with their private half: "P-256", "P-384", "ED25519", "RSA" of so many bits; made once a program. */
EVP_PKEY *kit_ec(enum batch_group group);
EVP_PKEY *kit_rsa(unsigned bits);
EVP_PKEY *kit_ed25519(void);
void kit_free_keys(void);

/* A public point, uncompressed, as a key. */
EVP_PKEY *kit_ec_public(enum batch_group group, const uint8_t *point);

const EVP_MD *kit_md(enum batch_hash hash);
size_t kit_sign(EVP_PKEY *key, enum batch_scheme scheme, enum batch_hash hash, struct span message,
                uint8_t *sig);

/* What libcrypto says by EVP alone, as a TLS client would ask. */
bool kit_evp_verify(EVP_PKEY *key, enum batch_scheme scheme, enum batch_hash hash, struct span message,
                    struct span sig);
bool kit_evp_derive(enum batch_group group, const struct batch_pair *own, struct span peer, uint8_t *shared);

/* Flushes until nothing waits, in a device neither. */
void kit_settle(struct kit *kit);

/* How many of a long row of questions that come one by one are passed over: more where each takes long. */
unsigned kit_stride(enum kit_library library);

/* Flushes and takes the one operation that is expected. */
enum batch_result kit_answer(struct kit *kit, struct batch_op *op);
enum batch_result kit_verify(struct kit *kit, struct batch_key *key, enum batch_scheme scheme,
                             enum batch_hash hash, struct span message, struct span sig);
enum batch_result kit_derive(struct kit *kit, enum batch_group group, const struct batch_pair *own,
                             struct span peer, uint8_t *shared);

#endif
