/* session.h: what crypto/ keeps of a core and of a session; nobody outside includes it. */
#ifndef CRYPTO_SESSION_H
#define CRYPTO_SESSION_H

#include "crypto/open.h"
#include "crypto/seal.h"
#include "crypto/tls.h"
#include "engine/base/list.h"
#include "engine/base/pool.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct proven;
struct tickets;
struct ticket;

#define TICKET_KEY_BYTES 32u
#define READY_MAX        16u /* sessions prepared ahead of need, some 10 kB each */

struct ticket_clock {
    uint64_t wall_s; /* time(), by which OpenSSL judges chains */
    uint64_t up_s;   /* since boot, sleep included; nobody sets it */
};
struct batch_key;
struct known;
struct work;

struct tls_core {
    OSSL_LIB_CTX *libctx;               /* of this core alone: nobody else takes its locks */
    OSSL_PROVIDER *defaults, *provider; /* OpenSSL's; ours (provider.h) */
    EVP_MD *digest;                     /* SHA-256, of what evidence names */
    struct batch *batch;                /* NULL: off */
    uint32_t handshaking;               /* sessions in TLS_HANDSHAKE or TLS_WANT_WORK */
    uint64_t now_us;                    /* of the last tls_core_work */
    struct tls *running;                /* inside SSL_do_handshake; NULL: none */
    SSL_CTX *ctx;
    BIO_METHOD *bio_method;
    SSL *ready[READY_MAX]; /* connected to no session yet */
    uint32_t ready_count;  /* in [0, READY_MAX] */
    struct pool sessions;
    struct list abandoned; /* struct tls.link: freed by the caller while a job of theirs was suspended */
    struct proven *proven;
    struct known *known; /* of chains that were proven, and of keys that were allowed */
    bool keys_afresh;    /* all keys are decoded by OpenSSL, known or not */
    struct tickets *tickets;
    IMB_MGR *mb;               /* IPSec_MB, for records */
    uint64_t seal_records_max; /* under one key */
    struct stats *stats;
    bool async;
    bool engine_held;
    char engine[64]; /* its id, where it is held */
    bool warns;      /* warning has not been told */
    struct error warning;
    int keylog_fd; /* -1: none */
};

/* Ciphertext that the sink did not take. */
struct tls_waiting {
    uint8_t *data;
    size_t start; /* in [0, end] */
    size_t end;   /* in [start, cap] */
    size_t cap;
    size_t limit; /* end - start never grows beyond */
};

struct tls {
    struct tls_core *core;
    SSL *ssl; /* NULL only when it could not be made; status is TLS_FAILED then */
    enum tls_status status;
    bool closing;                 /* our close_notify is out: nothing more is written */
    struct span in;               /* the caller's bytes, during tls_input only */
    const struct byte_sink *sink; /* NULL: everything waits */
    struct tls_waiting waiting;
    bool key_asked; /* the peer has asked for other keys of ours, and has not had them */
    bool put_waits; /* the last tls_put_pieces gave room in waiting, not in the sink */
    struct opening opening;
    uint8_t write_type; /* of what OpenSSL writes next */
    bool handshaking;   /* counted in core->handshaking */
    bool suspended;     /* in a job that has not ended */
    bool cancelled;     /* what it waits for will not be waited for any more */
    struct work
        *work; /* what it is suspended for (work.h), on its job's stack; NULL: nothing, or an engine */
    struct batch_key *peer_key; /* of the certificate that verify_peer has accepted; NULL: not for batches */
    struct list link;           /* in core->abandoned */

    struct tls_trust *trust; /* NULL without pkix */
    uint16_t min_version;
    bool pkix;
    uint8_t level;               /* of the demand's scope, as are the next two; 0 without one */
    char policy[TLS_POLICY_MAX]; /* "" without */
    uint64_t generation;
    bool peer_accepted; /* verify_peer has said yes to this handshake's certificate */
    uint8_t names;
    uint8_t group[TLS_NAMES_MAX];

    bool resumable;         /* ticket_key is set: tickets are looked for and kept */
    struct ticket *offered; /* taken from the table, until the handshake is over; NULL: none */
    struct ticket_clock
        proved; /* when the full handshake was, of this session or of the one that it resumes */
    uint8_t ticket_key[TICKET_KEY_BYTES];

    struct tls_verified verified; /* true from TLS_OPEN on */
    struct outcome failure;       /* verdict VERDICT_NONE until something failed */

    /* tls_open clears what is above; the rest is most of a session, and little of it is used. */
    char peer[TLS_NAME_MAX]; /* whom messages are about: SNI, else the first name */
    struct record_key write_key, read_key;
    char name[TLS_NAMES_MAX][TLS_NAME_MAX];
};

/* Non-application output that a session may hold back: a handshake's flights and alerts, no more. */
#define TLS_PROTOCOL_OUTPUT_MAX (64u << 10)

/* ERR_clear_error walks all of the queue, empty or not: 300 ns. */
static inline void tls_clear_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* What OpenSSL last complained of on this thread; never NULL. */
static inline const char *tls_reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "it gives no reason";
}

/* tls_ctx.c: the one place that says which TLS is spoken. */
SSL_CTX *tls_ctx_make(OSSL_LIB_CTX *libctx, const char *query, bool pq_share, bool resume,
                      struct error *err) must_check;

/* keylog.c */
bool tls_keylog_open(struct tls_core *core, const char *path, struct error *err) must_check;
void tls_keylog_close(struct tls_core *core);

/* engine.c: the process's one public-key engine, counted by cores. */
bool tls_engine_hold(const char *id, struct error *err) must_check;
void tls_engine_drop(void);

/* async.c: ASYNC jobs of this thread; of the process, their guarded stacks alone. */
bool tls_async_stacks(struct error *err) must_check;
bool tls_async_open(uint32_t jobs_max, struct error *err) must_check;
void tls_async_close(void);
/* tls_async_count: a job of this thread was suspended before, and is now.  tls_async_sweep, now and then, outside of jobs: idle
 * stacks are given back when for ten seconds less than half of them were in use; it waits for a moment with none suspended.
 */
void tls_async_count(bool before, bool now);
void tls_async_sweep(uint64_t now_us);
uint32_t tls_async_stacks_now(void);

/* tls.c: goes on with abandoned sessions and frees those whose job has ended. */
void tls_reap(struct tls_core *core);

/* ready.c: sessions prepared ahead of need.  ready_take gives one to tls, made now where there is none; NULL: no memory.  ready_fill
 * makes one more, if there is room.
 */
SSL *ready_take(struct tls *tls);
void ready_fill(struct tls_core *core);
void ready_close(struct tls_core *core);

/* bio.c: its data is the session; OpenSSL calls it for none before there is one. */
BIO_METHOD *tls_bio_method(void);
bool tls_waiting_drain(struct tls *tls);

/* Output behind all that there is: a copy, or room for up to want bytes in up to max pieces, which one tls_put_commit is for (0: the
 * session's bound is reached).
 */
bool tls_put(struct tls *tls, const uint8_t *data, size_t len) must_check;
uint32_t tls_put_pieces(struct tls *tls, size_t want, struct byte_piece *piece, uint32_t max);
void tls_put_commit(struct tls *tls, size_t len);
void tls_waiting_free(struct tls *tls);

/* trust.c */
X509_STORE *tls_trust_store(const struct tls_trust *trust);
uint64_t tls_trust_id(const struct tls_trust *trust); /* never the same for two sets of a process */

/* verify.c: OpenSSL's certificate callback, and the maker of proofs. */
int verify_peer(X509_STORE_CTX *chain, void *unused);
bool verify_finish(struct tls *tls) must_check;

/* resume.c: tickets.  Offered when a session is made, before its first flight; resume_done behind verify_finish. */
void resume_offer(struct tls *tls, const struct tls_scope *scope, const char *sni);
int resume_new_session(SSL *ssl, SSL_SESSION *session);
bool resume_is_ours(const struct tls *tls)
    must_check;                     /* resumed with what our table gave, and that is still good */
void resume_proof(struct tls *tls); /* what the full handshake had proven, into verified */
void resume_done(struct tls *tls);
void resume_drop(struct tls *tls); /* a session ends; in its handshake: so do its destination's tickets */

/* explain.c: failures as an operator reads them; the first one of a session stays. */
void explain(struct tls *tls, enum fault fault, enum reason reason, const char *fmt, ...) printf_like(4, 5);
void explain_chain(struct tls *tls, X509_STORE_CTX *chain);
void explain_names(struct tls *tls, X509 *leaf);
void explain_weak(struct tls *tls, X509 *cert, const char *what);
void explain_library(struct tls *tls);

#endif
