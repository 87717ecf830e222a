/* talk.h: a client session of ours and an OpenSSL server, joined by memory. */
#ifndef HARDLINE_TESTS_TALK_H
#define HARDLINE_TESTS_TALK_H

#include "crypto/tls.h"
#include "tests/unit/crypto/pki.h"

#include <openssl/ssl.h>

#define TALK_PIPE_BYTES (4u << 20)

struct talk {
    struct stats stats;
    struct tls_core *core;
    struct tls_trust *trust;
    struct tls *tls;
    SSL_CTX *server_ctx;
    SSL *server;
    BIO *to_server, *from_server;
    struct byte_sink sink;
    uint8_t *pipe; /* client to server; taken by talk_step */
    size_t pipe_used;
    size_t pipe_cap;   /* what the sink takes between two steps */
    size_t sink_chunk; /* bytes a reserve gives at the most */
    unsigned commits;  /* to the sink */
    size_t feed_chunk; /* bytes given to tls_input at a time */
    uint8_t *held;     /* server to client: what tls_input has not consumed */
    size_t held_len;
    bool work_waits;  /* talk_step leaves a suspended session as it is */
    unsigned resumes; /* times that TLS_WANT_WORK was seen */
};

/* What a test may want of the server; all zero: TLS 1.2 and 1.3, OpenSSL's defaults. */
struct talk_server {
    const struct pki *leaf;
    const struct pki *middle; /* NULL: not sent */
    const struct pki *extra;  /* sent behind middle; NULL: none */
    int version;              /* TLS1_2_VERSION: only that; 0: any */
    const char *suites_12, *suites_13, *groups, *sigalgs;
    int security_level; /* -1: 0, for servers that must not be accepted */
    uint64_t options;
    OSSL_LIB_CTX *libctx; /* NULL: the process's */
    int tickets;          /* after a full handshake; 0: OpenSSL's two; -1: none */
    uint8_t ticket_key;   /* servers of one number take each other's tickets */
    void (*keylog)(const SSL *ssl, const char *line);
};

/* Cores that do not say otherwise have batches, every operation waits for eight lanes, and talk_run has nothing else to do.
 * HARDLINE_BATCHES=off in the environment: none has; HARDLINE_BACKEND: talk_backend.h; likewise while talk_without_batches is set.
 */
/* For cores that are opened without talk_open: HARDLINE_BATCHES=idle takes talk_in_idle_lanes, else talk_in_lanes. */
typedef struct batch *(*talk_batch_opener)(const struct batch_config *config, struct error *err);
talk_batch_opener talk_batch_open(void);

extern bool talk_without_batches;
bool talk_batches_wanted(void);
struct batch *talk_in_lanes(const struct batch_config *config, struct error *err);
/* Lanes of the tests' own, which any CPU has: every operation waits for eight, none is done by them, and libcrypto's in the end. */
struct batch *talk_in_idle_lanes(const struct batch_config *config, struct error *err);

/* The sink with chunks handed out several at a time: for talk->sink.pieces. */
uint32_t talk_sink_pieces(void *ctx, size_t len, struct byte_piece *piece, uint32_t max);

/* talk_open makes the core, and the trust set from ca_file (NULL: no trust). */
void talk_open(struct talk *talk, const char *ca_file);
void talk_open_config(struct talk *talk, const char *ca_file, const struct tls_core_config *config);
void talk_close(struct talk *talk);

/* talk_meet makes a server and a session; the session is started.  demand.trust is filled in where NULL. */
void talk_meet(struct talk *talk, const struct talk_server *server, const struct tls_demand *demand);
void talk_part(struct talk *talk); /* ends both; the core stays */

/* Several talks of one core, that of talk[0], which is open and is closed in the end.  Suspended sessions of theirs wait for the
 * test (work_waits).
 */
void talk_several(struct talk *talk, unsigned n);
void talk_several_close(struct talk *talk, unsigned n);

/* talk_run moves bytes both ways until nothing moves; gives the client's status. */
enum tls_status talk_run(struct talk *talk);
bool talk_step(struct talk *talk); /* once; true if anything moved */

/* talk_feed gives the client bytes of a test's own making instead of a server's. */
enum tls_status talk_feed(struct talk *talk, const void *bytes, size_t len);

/* A demand for one name with pkix; and one for encryption only. */
struct tls_demand talk_pkix(const char *name);
struct tls_demand talk_encrypt(const char *sni);

/* Where and by whose word: what a session is resumed for. */
struct tls_scope talk_scope(void);

/* talk_expect runs a meeting and asserts that it is refused with that reason; the outcome is left in *why. */
void talk_refused(struct talk *talk, const struct talk_server *server, const struct tls_demand *demand,
                  enum reason reason, struct outcome *why);
/* Asserts that it opens; the session stays for the test to use. */
const struct tls_verified *talk_accepted(struct talk *talk, const struct talk_server *server,
                                         const struct tls_demand *demand);

#endif
