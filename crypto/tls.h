/* crypto/tls.h: a TLS client session: bytes in, bytes out, pending work, a verified peer.  No descriptor.
 *
 * What it is not: it decides nothing about who is to be reached; conn/ hands it the demand as plain values.
 * The interface follows picotls: the caller moves ciphertext, and sends what tls_output holds even when a call
 * has failed (an alert may be in it).  All entries: the owning core only; they do not block.
 * TLS 1.2 (RFC 5246, only with AEAD, ECDHE, RFC 7627 extended master secret, RFC 5746) and 1.3 (RFC 8446).
 */
#ifndef CRYPTO_TLS_H
#define CRYPTO_TLS_H

#include "engine/base/bytes.h"
#include "engine/base/error.h"
#include "engine/base/outcome.h"
#include "engine/base/stat.h"

#define TLS_NAME_MAX     256 /* a DNS name and its NUL */
#define TLS_NAMES_MAX    10  /* reference names a demand may list */
#define TLS_POLICY_MAX   64  /* whose demand it is, and its NUL */
#define TLS_DIGEST_BYTES 32

struct tls_trust; /* a set of trust anchors, immutable; made and shared by control, read by cores */
struct tls_core;  /* what one core keeps: its context and sessions, later tickets, batches */
struct tls;       /* one session */
struct batch;
struct batch_config;
struct asym_device;

/* ---- trust anchors (control thread; may block and allocate) ---- */

/* tls_trust_load reads a PEM file of CA certificates; NULL path: the system's store.
 * version: any number that grows with every reload; part of every cache key.
 */
struct tls_trust *tls_trust_load(const char *ca_file, uint64_t version, struct error *err) must_check;
void tls_trust_ref(struct tls_trust *trust);
void tls_trust_free(struct tls_trust *trust);              /* drops one reference; thread-safe */
const char *tls_trust_name(const struct tls_trust *trust); /* the file, or "system" */
uint32_t tls_trust_count(const struct tls_trust *trust);   /* certificates in it, at least 1 */
uint64_t tls_trust_version(const struct tls_trust *trust);

/* ---- per core ---- */

struct tls_core_config {
    uint32_t sessions_max; /* most sessions open at once */
    /* OpenSSL ENGINE id for RSA and EC work, or NULL; the same for all cores.  One that does not load is a complaint, or with
     * backend_require an error.
     */
    const char *engine;
    uint32_t proven_chains;           /* verified chains remembered; 0: every handshake verifies its own */
    uint64_t seal_records_max;        /* records under one key, for tests; 0: RFC 8446 section 5.5 */
    uint32_t proven_lifetime_s;       /* for so long at the most */
    uint32_t tickets_max;             /* kept to resume sessions with; 0: none is, and none is offered */
    uint32_t tickets_per_destination; /* of these, for one; at least 1 */
    uint32_t ticket_lifetime_s;       /* from the full handshake on; at most 604800 */
    bool pq_share; /* send the X25519MLKEM768 key share at once, not only when it is asked for */
    bool batches;  /* public-key work of sessions side by side; handshakes are suspended where that pays */
    uint32_t batch_wait_us; /* for company, at the most; 0: BATCH_WAIT_US */
    const char *backend;    /* who computes in batches, batch.h; NULL: "auto" */
    bool backend_require;   /* no core without it, or without engine */
    uint32_t core;          /* this core's number, from 0 */
    const struct asym_device
        *device; /* for the batches, or NULL; closed with the core, also when none opens */
    /* NULL: batch_open.  A test's own. */
    struct batch *(*batch_open)(const struct batch_config *config, struct error *err);
    bool async;              /* run handshakes as ASYNC jobs (SSL_MODE_ASYNC); needs an engine that pauses */
    const char *keylog_path; /* NSS key log; NULL (the default) for none.  Logged loudly by whoever sets it */
    struct stats *stats;     /* the core's counters */
};

/* tls_core_open runs on the thread of the core; NULL with err set when OpenSSL or the engine fails. */
struct tls_core *tls_core_open(const struct tls_core_config *config, struct error *err) must_check;
void tls_core_close(struct tls_core *core);

/* tls_core_sweep drops a few tickets that are of no use any more, and gives back stacks of handshakes that have not been
 * needed for a while; for the loop's housekeeping.
 */
void tls_core_sweep(struct tls_core *core);

/* tls_core_work, once a turn: operations that have waited too long are run, and all of them when every handshake waits for
 * one.  tls_core_idle, when the core has nothing else to do: all that wait, and keys and sessions ahead of need; true if
 * any waited that now has its result: what a device has may take until the deadline.
 * Sessions whose operation is done (tls_work_done) go on with tls_resume.
 *
 *   now_us   monotonic microseconds; operations that are put in count as of then
 */
void tls_core_work(struct tls_core *core, uint64_t now_us);
bool tls_core_idle(struct tls_core *core);
uint64_t tls_core_deadline(const struct tls_core *core); /* of tls_core_work; DEADLINE_NEVER: nothing waits */

/* What computes, for people: "crypto_mb 1.0.14", "libcrypto"; "off".  What went wrong with it, once, else NULL. */
const char *tls_core_batches(const struct tls_core *core);
/* Likewise, without batches too: libcrypto, or the engine that its sessions have. */
void tls_core_arithmetic(const struct tls_core *core, char *out, size_t cap);
const char *tls_core_complaint(struct tls_core *core);

/* ---- a session ---- */

/* Where a session goes, and by whose word: one is resumed only where all of it and of the demand is what it was, and a chain
 * that was proven is found again only for the same level, policy and generation.
 */
struct tls_scope {
    uint8_t addr[16]; /* IPv4-mapped where IPv4 */
    uint16_t port;
    uint8_t level;       /* the policy's own number for it */
    const char *policy;  /* whose demand it is; shorter than TLS_POLICY_MAX */
    uint64_t generation; /* grows when policy or trust is loaded anew */
};

/* What a connection must prove: a conjunction, every member demands on its own. */
struct tls_demand {
    const char *sni;         /* sent always; ASCII (A-label) host name; NULL only for an address next hop */
    uint16_t min_version;    /* 0x0303 or 0x0304 */
    bool pkix;               /* chain to trust, and one of the names matches (RFC 9525 section 6) */
    struct tls_trust *trust; /* for pkix; a reference is taken */
    uint8_t names;           /* reference names, in [0, TLS_NAMES_MAX]; at least 1 with pkix */

    /* Names of one group are alternatives; of every group that occurs one must match.
     * A leading dot: any host below that domain (Postfix's .nexthop).  An IP address: an iPAddress.
     */
    const char *name[TLS_NAMES_MAX];
    uint8_t group[TLS_NAMES_MAX]; /* of name[i], in [0, TLS_NAMES_MAX) */

    const struct tls_scope
        *scope; /* borrowed until tls_open returns; NULL: nobody's, neither resumed nor kept for it */
    /* part 5 adds: TLSA records, pins, OCSP demands */
};

/* tls_open prepares a session; copies what it needs of the demand.  NULL: no session free (counted as
 * core_pool_full).  A demand that cannot be (pkix without trust or names, TLS below 1.2) gives a session that
 * is TLS_FAILED from the start.
 */
struct tls *tls_open(struct tls_core *core, const struct tls_demand *demand);

/* tls_free ends a session in any state and wipes its keys.  In TLS_WANT_WORK its place in the pool stays taken
 * until that work is done; later calls of tls_open and tls_core_close look after it.
 */
void tls_free(struct tls *tls);

enum tls_status {
    TLS_HANDSHAKE,   /* wants bytes from the peer */
    TLS_WANT_WORK,   /* suspended: asynchronous public-key work is pending, see tls_resume */
    TLS_OPEN,        /* verified; application data may flow both ways */
    TLS_PEER_CLOSED, /* close_notify received; sending is still possible */
    TLS_FAILED,      /* tls_failure says why; send what tls_output holds, then close */
};

enum tls_status tls_status(const struct tls *tls);

/* tls_start makes the ClientHello; then tls_output has bytes. */
enum tls_status tls_start(struct tls *tls);

/* tls_input gives the session ciphertext that came from the wire, and goes on with the handshake.
 *   in, in_len   borrowed until return; bytes
 *   consumed     bytes taken: in_len, or fewer while TLS_WANT_WORK (give the rest again after tls_resume),
 *                or while decrypted bytes wait for tls_read
 */
enum tls_status tls_input(struct tls *tls, const uint8_t *in, size_t in_len, size_t *consumed);

/* tls_work_done tells whether it is worth while: false as long as the operation of TLS_WANT_WORK is known to wait. */
bool tls_work_done(const struct tls *tls);

/* tls_resume goes on when the pending work of TLS_WANT_WORK is done; harmless otherwise. */
enum tls_status tls_resume(struct tls *tls);

/* tls_read gives decrypted bytes: up to cap into out; 0 when there are none.  Status may change. */
size_t tls_read(struct tls *tls, uint8_t *out, size_t cap);

/* tls_write encrypts all of in as application data; TLS_OPEN or TLS_PEER_CLOSED only.
 * The ciphertext goes straight to the sink given to tls_set_sink; what the sink does not take waits inside the
 * session (bounded by what was written) and goes out with tls_output.  False if the session failed.
 */
bool tls_write(struct tls *tls, const uint8_t *in, size_t in_len) must_check;

/* tls_write_parts is tls_write for bytes that do not lie together: they are read once, where they are, and become records
 * as if they did.  The spans are used up.
 */
bool tls_write_parts(struct tls *tls, struct span *part, unsigned parts) must_check;

/* The most ciphertext bytes that in_len plain bytes become, record overhead included. */
size_t tls_sealed_bytes(const struct tls *tls, size_t in_len);

/* tls_close_notify queues a close_notify alert. */
void tls_close_notify(struct tls *tls);

/* Where ciphertext goes; sink is borrowed until tls_free.  tls_output moves what waits into it; true when
 * nothing is left waiting.
 */
void tls_set_sink(struct tls *tls, const struct byte_sink *sink);
bool tls_output(struct tls *tls);

/* tls_failure explains TLS_FAILED: stage STAGE_TLS, fault, reason and a sentence; verdict deferred. */
void tls_failure(const struct tls *tls, struct outcome *outcome);

/* ---- the proof ---- */

/* What a completed, verified handshake has proven.  Only crypto/verify.c makes one; a command that carries
 * mail cannot be encoded without it (engine/smtp/command.c).
 */
struct tls_verified {
    uint16_t version;   /* 0x0303, 0x0304 */
    bool resumed;       /* the server's certificate was proven by an earlier handshake: all below but
                                        version, cipher and TLS 1.3's group is what that one has proven */
    bool remembered;    /* not resumed, and the chain was found among those that had been verified before */
    bool pkix;          /* chain and name verified */
    char cipher[48];    /* IANA name, "TLS_AES_256_GCM_SHA384" */
    char group[32];     /* key exchange group, "x25519" */
    char signature[32]; /* peer's handshake signature algorithm */
    char matched_name[TLS_NAME_MAX]; /* the certificate's name that matched; "" when none was demanded */
    uint8_t cert_sha256[TLS_DIGEST_BYTES];
    uint8_t spki_sha256[TLS_DIGEST_BYTES];
    uint64_t not_after_s;   /* earliest expiry in the verified chain, wall seconds; 0 if unknown */
    const char *trust_name; /* trust set; lives as long as the session */
};

/* tls_verified gives the proof from TLS_OPEN on, NULL before and after a failure; lives until tls_free. */
const struct tls_verified *tls_verified(const struct tls *tls);

#endif
