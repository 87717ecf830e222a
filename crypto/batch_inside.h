/* batch_inside.h: what the files of the batch share; nobody outside includes it but their tests. */
#ifndef CRYPTO_BATCH_INSIDE_H
#define CRYPTO_BATCH_INSIDE_H

#include "crypto/batch_device.h"
#include "crypto/signature.h"

#include <openssl/evp.h>

#define KEY_WORDS (BATCH_SIG_BYTES / sizeof(uint64_t))

struct batch_key {
    uint32_t holders;
    enum batch_kind kind;
    OSSL_LIB_CTX *libctx;
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *ctx; /* ready to verify; NULL: Ed25519, which takes messages and no digests */
    size_t bytes;      /* of a coordinate, or of the modulus; 0: BATCH_OTHER_VERIFY */
    bool rsa;          /* scheme and hash are told to ctx */
    bool told;         /* the two below are what it was told */
    enum batch_scheme scheme;
    enum batch_hash hash;
    uint64_t word[KEY_WORDS];     /* least first: the modulus, or x and behind it y */
    uint8_t big[BATCH_SIG_BYTES]; /* big-endian: the modulus, or x and behind it y */
};

/* A library that computes operations.
 *
 * has: whether it knows the kind at all. run takes n operations of one kind, n in [1, BATCH_LANES], and
 * sets each one's result; one that it leaves at BATCH_WAITS is done again by libcrypto.  Keys: the point of
 * own.secret; derivations: shared.
 */
struct batch_backend {
    char name[32];
    bool (*has)(void *self, enum batch_kind kind);
    bool (*takes)(const struct batch_op *op); /* NULL: whatever it has; else what it refuses is libcrypto's */
    void (*run)(void *self, enum batch_kind kind, struct batch_op *const op[], unsigned n);
    void (*close)(void *self); /* wipes and frees */
    void *self;
};

/* What can be wrong with backends; each is told once. */
enum batch_complaint_of { BATCH_NOT_FOUND, BATCH_LANES_FAIL, BATCH_DEVICE_FAILS, BATCH_DEVICE_RESTS };

struct batch_queue {
    struct list waiting;
    uint32_t count; /* in [0, BATCH_LANES) between calls */
};

struct batch_stock {
    bool asked; /* somebody has taken one: worth making ahead */
    uint32_t count;
    struct batch_pair pair[BATCH_STOCK_MAX];
};

struct batch {
    OSSL_LIB_CTX *libctx;
    struct pool ops;
    struct batch_queue queue[BATCH_KINDS];
    struct list ready;
    uint32_t waiting; /* in all queues */
    uint64_t wait_us;
    uint8_t break_even[BATCH_KINDS]; /* in [1, BATCH_NEVER] */
    struct batch_device device;
    struct batch_backend lanes;  /* run NULL: there is none */
    struct batch_backend single; /* libcrypto */
    EVP_MD *md[BATCH_HASHES];
    EVP_MD_CTX *hash;
    struct stats *stats;
    unsigned complained; /* bits of enum batch_complaint_of: each once */
    bool untold;
    char name[128];
    char complaint[ERROR_TEXT_MAX];
    uint32_t stock_max;
    struct batch_stock stock[BATCH_GROUPS];
    struct batch_op making[BATCH_LANES]; /* keys for the stock */
};

static inline bool batch_is_key(enum batch_kind kind)
{
    return kind <= BATCH_P384_KEY;
}

static inline bool batch_is_derive(enum batch_kind kind)
{
    return kind >= BATCH_X25519_DERIVE && kind <= BATCH_P384_DERIVE;
}

/* NULL: X25519, RSA and what else is on no curve of signature.h. */
static inline const struct curve *batch_curve(enum batch_kind kind)
{
    static const struct curve *const curve[BATCH_KINDS] = {
        [BATCH_P256_KEY] = &curve_p256,    [BATCH_P384_KEY] = &curve_p384,
        [BATCH_P256_DERIVE] = &curve_p256, [BATCH_P384_DERIVE] = &curve_p384,
        [BATCH_P256_VERIFY] = &curve_p256, [BATCH_P384_VERIFY] = &curve_p384,
    };
    return curve[kind];
}

/* batch.c: computes operations that stand in no queue; none is left waiting. */
void batch_compute(struct batch *batch, enum batch_kind kind, struct batch_op *const op[], unsigned n);

void batch_complain(struct batch *batch, enum batch_complaint_of what, const char *fmt, ...)
    printf_like(3, 4);

/* batch_open with a library and a device of a test's own instead of those that are looked for; each may be
 * NULL; they are closed with the batch, also with one that does not open.
 */
struct batch *batch_open_with(const struct batch_config *config, const struct batch_backend *lanes,
                              const struct asym_device *device, struct error *err) must_check;

/* batch_mb.c: false when the library is not there or the CPU lacks what it needs: no fault. */
bool batch_mb_open(struct batch_backend *backend, OSSL_LIB_CTX *libctx) must_check;

/* asym_engine.c: an OpenSSL engine by its id, for one core; at most jobs in flight.
 *   core      numbers of cores count from 0 without gaps: which of the engine's instances
 *   hardware  only if it has instances of a device, else it computes on this core itself
 *   false     it is not there or does not start, or serves another core and cannot serve two
 */
bool asym_engine_open(const char *id, uint32_t core, uint32_t jobs, bool hardware, struct asym_device *device,
                      struct error *err) must_check;

/* batch_openssl.c: knows every kind. */
bool batch_openssl_open(struct batch_backend *backend, OSSL_LIB_CTX *libctx, struct error *err) must_check;

/* batch_key.c: libcrypto's word; digest for all but Ed25519, which takes the message. */
bool batch_key_verify(struct batch_key *key, enum batch_scheme scheme, enum batch_hash hash,
                      struct span digest, struct span sig) must_check;
bool batch_key_verify_message(struct batch_key *key, struct span message, struct span sig) must_check;
bool batch_key_fits(const struct batch_key *key, enum batch_scheme scheme) must_check;
size_t batch_hash_bytes(enum batch_hash hash);
/* em: the signature to the 65537th; hash, md: scratch of the caller's. */
bool batch_padding_is_right(EVP_MD_CTX *hash, EVP_MD *const md[BATCH_HASHES], const struct batch_signed *sign,
                            const uint8_t *em) must_check;

/* batch_stock.c */
void batch_stock_fill(struct batch *batch);
void batch_stock_wipe(struct batch *batch);
/* Puts scalars that nobody can foretell into the first of n operations, n <= BATCH_LANES: 32 bytes for
 * X25519, else in [1, order - 1].  Returns how many: fewer, once in 2^29 calls, where one was out of range;
 * 0 if libcrypto has none.
 */
unsigned batch_secrets_make(OSSL_LIB_CTX *libctx, enum batch_group group, struct batch_op *op,
                            unsigned n) must_check;

/* batch_measure.c: from how many operations of each kind on batch->lanes costs less than libcrypto. */
bool batch_measure(struct batch *batch, struct error *err) must_check;
/* What an operation of the sample costs on the cheaper of full lanes and libcrypto; and the thread's CPU time. */
uint64_t batch_cost_ns(struct batch *batch, enum batch_kind kind) must_check;
uint64_t batch_cpu_ns(void);

/* batch_sample.c: eight equal operations in batch->making; exact: with RSA's signature too a good one, which takes
 * milliseconds to make.  To be dropped whatever it returns.
 */
bool batch_sample_make(struct batch *batch, enum batch_kind kind, bool exact) must_check;
void batch_sample_drop(struct batch *batch, enum batch_kind kind);

/* batch_probe.c: sysfs is "/sys", or a folder that a test has made. */
bool batch_probe_qat(const char *sysfs) must_check;

/* batch_trial.c: the device computes each kind that it has; false: wrongly, or not in time.  compare: it keeps those that
 * cost this thread less by it than on lanes or by libcrypto.
 */
bool batch_trial(struct batch *batch, bool compare, struct error *why) must_check;

#endif
