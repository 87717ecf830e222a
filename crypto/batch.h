/* crypto/batch.h: public-key operations of a core's connections, computed eight side by side where the CPU
 * can.
 *
 * A burst device: operations are put in as handshakes come to them, wait for company, and come out of one
 * ready list. Nothing is called back.  A queue of one kind is run when eight wait, when the caller says
 * that every handshake waits for arithmetic (batch_flush) or that there is nothing else to do (batch_idle),
 * or when its oldest has waited wait_us (batch_run).  Eight lanes cost the same however many are filled, so
 * few operations go to libcrypto one at a time: from how many on the lanes are cheaper is measured when the
 * batch is opened.  Where there is a device (an OpenSSL engine, a DPDK cryptodev) operations go to it at once
 * and wait for no company.
 *
 * Whatever a peer sent (points, signatures, their encoding) only decides about the operation that it
 * belongs to. Where the other library fails at an operation, libcrypto does it again.
 *
 * One core's, one thread's; nothing here blocks.  Memory is taken when a batch or a key is opened;
 * libcrypto allocates inside.
 */
#ifndef CRYPTO_BATCH_H
#define CRYPTO_BATCH_H

#include "engine/base/bytes.h"
#include "engine/base/error.h"
#include "engine/base/list.h"
#include "engine/base/stat.h"

#include <openssl/types.h>

#define BATCH_LANES        8u
#define BATCH_WAIT_US      200u
#define BATCH_SECRET_BYTES 48u  /* the most: P-384 */
#define BATCH_POINT_BYTES  97u  /* the most: P-384, uncompressed */
#define BATCH_DIGEST_BYTES 64u  /* the most: SHA-512 */
#define BATCH_SIG_BYTES    512u /* the most that waits: RSA-4096 */
#define BATCH_STOCK_MAX    64u
#define BATCH_POLL_US      50u               /* a device is to be asked so often at least */
#define BATCH_LOST_US      50000u            /* a device that has not answered by then does not answer */
#define BATCH_NEVER        (BATCH_LANES + 1) /* a break-even that no batch reaches */

enum batch_group { BATCH_X25519, BATCH_P256, BATCH_P384, BATCH_GROUPS };

/* What can stand in one call side by side.  Keys and derivations in the order of the groups. */
enum batch_kind {
    BATCH_X25519_KEY,
    BATCH_P256_KEY,
    BATCH_P384_KEY,
    BATCH_X25519_DERIVE,
    BATCH_P256_DERIVE,
    BATCH_P384_DERIVE,
    BATCH_P256_VERIFY,
    BATCH_P384_VERIFY,
    BATCH_RSA2048_VERIFY, /* these sizes with the exponent 65537 */
    BATCH_RSA3072_VERIFY,
    BATCH_RSA4096_VERIFY,
    BATCH_OTHER_VERIFY, /* Ed25519, RSA of other sizes or exponents, RSA-PSS keys: libcrypto's alone */
    BATCH_KINDS
};

enum batch_scheme { BATCH_ECDSA, BATCH_RSA_PKCS1, BATCH_RSA_PSS, BATCH_ED25519 };
enum batch_hash { BATCH_SHA256, BATCH_SHA384, BATCH_SHA512, BATCH_HASHES };

enum batch_result {
    BATCH_WAITS,
    BATCH_GOOD, /* the secret is there; the signature is the key's */
    BATCH_BAD,  /* the peer's point or signature is none, or a library refuses it */
};

/* An ephemeral key.  X25519: 32 bytes each (RFC 7748 section 5); P-256 and P-384: the scalar big-endian, 32
 * or 48 bytes, the point uncompressed (RFC 8446 section 4.2.8.2).
 */
struct batch_pair {
    uint8_t secret[BATCH_SECRET_BYTES];
    uint8_t point[BATCH_POINT_BYTES];
};

struct batch_key; /* a peer's public key for signatures, prepared once */

struct batch_op {
    struct list link;      /* a queue or the ready list */
    struct flight *flight; /* batch_device.c's: a device has it; else NULL */
    void *owner;           /* the caller's */
    uint64_t since_us;
    enum batch_kind kind;
    enum batch_result result;
    union {
        struct batch_exchange {
            struct batch_pair own;
            uint8_t peer[BATCH_POINT_BYTES];
            uint8_t shared[BATCH_SECRET_BYTES]; /* batch_secret_bytes(group) of it */
        } exchange;
        struct batch_signed {
            struct batch_key *key;
            enum batch_scheme scheme;
            enum batch_hash hash;
            uint16_t sig_len; /* bytes */
            uint8_t digest[BATCH_DIGEST_BYTES];
            uint8_t sig[BATCH_SIG_BYTES];
        } sign;
    };
};

struct batch_config {
    OSSL_LIB_CTX *libctx; /* whose algorithms are used, borrowed; NULL: the process's */
    uint32_t ops_max;     /* waiting and ready together */
    uint32_t stock;       /* ephemeral keys kept of each group that was asked for; in [0, BATCH_STOCK_MAX] */
    uint64_t wait_us;     /* 0: BATCH_WAIT_US */
    uint8_t break_even;   /* for all kinds, in [1, BATCH_NEVER]; 0: measured */
    bool libcrypto_only;  /* no other library is looked for */
    bool no_vectors;      /* as on a CPU without AVX-512 IFMA */
    bool no_device;       /* "auto" looks for none */
    const char *sysfs;    /* where "auto" looks for a device; NULL: "/sys" */
    const char *engine;   /* which one is its; NULL: "qatengine" */

    /* Who computes.  NULL, "auto": a QAT device where one is up, by qatengine, for what it is tried and found to be right
     * and cheaper at; then crypto_mb where the CPU is for it; then libcrypto.  "crypto_mb", "libcrypto".
     * "engine:ID": an OpenSSL engine, in asynchronous jobs; what it does not have or does not take now is
     * auto's.  Borrowed until batch_open returns.
     */
    const char *backend;
    bool require;  /* batch_open fails when that cannot be had; else batch_complaint tells it */
    uint32_t core; /* this core's number, from 0 */

    /* NULL, or a device that is asked before all others, beside any backend but an engine.  Closed with the
     * batch, also when batch_open fails.
     */
    const struct asym_device *device;
    uint64_t lost_us;    /* 0: BATCH_LOST_US */
    struct stats *stats; /* borrowed */
};

struct batch;
struct asym_device;
struct flight;

/* batch_open takes all memory and, unless told the break-even, measures it: about 20 ms of CPU, and some 100 ms more where a
 * device is tried.
 */
struct batch *batch_open(const struct batch_config *config, struct error *err) must_check;
/* Wipes stock and operations; those that still wait are dropped, keys of theirs too. */
void batch_close(struct batch *batch);

/* What was found, for people: "crypto_mb 1.0.14", "libcrypto", "engine qatengine, then libcrypto".  From how many
 * operations of a kind on it is used; BATCH_NEVER: not at all; 1 where a device has the kind.
 */
const char *batch_backend_name(const struct batch *batch);
unsigned batch_break_even(const struct batch *batch, enum batch_kind kind);
bool batch_can_wait(const struct batch *batch); /* false: every operation has its result when it was put in */
const char *batch_kind_name(enum batch_kind kind);

/* What went wrong with a backend, each kind of fault once; NULL: nothing new.  Borrowed until the next call
 * for this batch.  To be asked behind batch_open and now and then.
 */
const char *batch_complaint(struct batch *batch);

/* ---- keys ---- */

size_t batch_secret_bytes(enum batch_group group);
size_t batch_point_bytes(enum batch_group group);

/* batch_pair_take gives an ephemeral key nobody has seen, and wipes it from the stock; made now when the
 * stock is empty.  The caller wipes his copy.  False: libcrypto gives no random numbers.
 */
bool batch_pair_take(struct batch *batch, enum batch_group group, struct batch_pair *pair) must_check;

/* batch_key_make prepares a public key: the point is on its curve (EVP_PKEY_public_check_quick).  Has a
 * copy of pkey, and libctx's algorithms: the core's, which outlives it; NULL: no key for signatures, or no memory.
 * To be kept beside the certificate: this is where allocation happens.
 */
struct batch_key *batch_key_make(OSSL_LIB_CTX *libctx, EVP_PKEY *pkey) must_check;
struct batch_key *batch_key_hold(struct batch_key *key);
void batch_key_drop(struct batch_key *key); /* NULL is fine */
enum batch_kind batch_key_kind(const struct batch_key *key);
/* Whether these, as an OpenSSL key manager exports a public key, are it. */
bool batch_key_matches(const struct batch_key *key, const OSSL_PARAM *params);

/* ---- operations ---- */

/* batch_derive and batch_verify put in an operation; each ends in batch_ready, whatever the input.
 *
 *   own, peer, message, sig  copied; peer and sig are the peer's bytes: of any length
 *   key                      held until batch_done
 *   scheme, hash             what the peer claims; PSS has a salt as long as the hash
 *   now_us                   monotonic microseconds
 *   returns                  NULL: ops_max are in there; ask again after batch_done
 */
struct batch_op *batch_derive(struct batch *batch, enum batch_group group, const struct batch_pair *own,
                              struct span peer, void *owner, uint64_t now_us) must_check;
struct batch_op *batch_verify(struct batch *batch, struct batch_key *key, enum batch_scheme scheme,
                              enum batch_hash hash, struct span message, struct span sig, void *owner,
                              uint64_t now_us) must_check;

/* batch_run, once a turn: what has waited too long.  batch_flush: every handshake waits.  batch_idle: there
 * is nothing to do; it fills the stock too, by eight keys of one group at the most.  Behind the last two
 * nothing waits but what a device has, and each of the three asks the device for what it has done.
 */
void batch_run(struct batch *batch, uint64_t now_us);
void batch_flush(struct batch *batch);
void batch_idle(struct batch *batch);

/* batch_now: the operation's owner cannot wait; it is ready behind this call. */
void batch_now(struct batch *batch, struct batch_op *op);
uint64_t batch_deadline(const struct batch *batch); /* of batch_run; DEADLINE_NEVER: nothing waits */
uint32_t batch_waiting(const struct batch *batch);  /* those that a device has included */

/* batch_ready gives the next operation that has its result, oldest first, or NULL.  It is the caller's
 * until batch_done, which wipes it and takes it back.  batch_done of one that still waits takes it out of
 * its queue: its owner has gone.
 */
struct batch_op *batch_ready(struct batch *batch);
void batch_done(struct batch *batch, struct batch_op *op);

#endif
