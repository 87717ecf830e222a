/* conn.h: one connection to an MX: tcp + tls + smtp, and the only place where the three meet.
 *
 * Bytes move   net -> tcp -> (clear: smtp) | (tls -> smtp)   and back.  A connection is opened for a demand; what
 * it has proven is its tls_verified; whether that is enough for a job is asked with conn_satisfies, every time.
 *
 *   CONNECTING -> CLEAR -> HANDSHAKE -> OPEN -> CLOSING -> gone        (implicit TLS skips CLEAR)
 *
 * Phases never go back.  From any phase a failure leads to CLOSING, or straight to gone.
 * All entries: the owning core only.  Events may be called from conn_open, conn_segment, conn_icmp, conn_timer and
 * conn_run, never later than their return.
 */
#ifndef ENGINE_CONN_CONN_H
#define ENGINE_CONN_CONN_H

#include "crypto/prf.h"
#include "crypto/tls.h"
#include "engine/base/lap.h"
#include "engine/net/net.h"
#include "engine/policy/policy.h"
#include "engine/smtp/session.h" /* to embed */
#include "engine/smtp/smtp.h"
#include "engine/tcp/tcb.h" /* to embed */
#include "engine/tcp/tcp.h"

struct conn;
struct dest;

struct conn_events {
    void *ctx;
    /* The connection can take a message: conn_begin, from inside the event or later. */
    void (*ready)(void *ctx, struct conn *conn);
    void (*recipient)(void *ctx, struct conn *conn, const struct smtp_message *message, uint32_t index,
                      const struct outcome *outcome);
    void (*stage)(void *ctx, struct conn *conn, const struct smtp_message *message, enum stage stage);
    void (*message_done)(void *ctx, struct conn *conn, const struct smtp_message *message);
    /* The message has certainly not been taken, and another connection may try.  In place of message_done. */
    void (*message_returned)(void *ctx, struct conn *conn, const struct smtp_message *message,
                             enum smtp_return why);
    /* It will take no more messages.  why->verdict is VERDICT_NONE for an orderly end. */
    void (*ended)(void *ctx, struct conn *conn, const struct outcome *why);
    /* Only TIME-WAIT is left of it: the owner may keep a record of its flow (and then clears flow_entered). */
    void (*time_wait)(void *ctx, struct conn *conn);
    /* Its memory may be used again. */
    void (*gone)(void *ctx, struct conn *conn);
};

/* What all connections of a core share; outlives them. */
struct conn_env {
    const struct tcp_config *tcp;
    const struct smtp_config *smtp;
    struct tls_core *tls;
    struct prf *prf;
    struct net *net;
    struct wheel *wheel;
    struct pkt_pool *pool;
    struct stats *stats;
    struct lap lap;                /* the core's stopwatch */
    uint8_t *scratch;              /* for plain text on its way, at least CONN_SCRATCH_BYTES */
    uint32_t handshake_timeout_us; /* for TLS, from the 220 on */
    uint32_t idle_timeout_us;      /* how long a ready connection waits for its next message */
    uint32_t close_timeout_us;     /* how long an orderly close may take */
    struct list
        line; /* connections with segments for which the port had no room, in the order in which they came */
    struct conn_events events;
};

#define CONN_SCRATCH_BYTES 16384u
#define CONN_TIMER         2u /* kind of a connection's timer: conn_timer, then conn_run */

enum conn_phase { CONN_CONNECTING, CONN_CLEAR, CONN_HANDSHAKE, CONN_OPEN, CONN_CLOSING, CONN_GONE };

struct conn {
    /* every packet */
    struct tcb tcb;
    struct wheel_timer timer;
    struct conn_env *env;
    struct tls *tls;   /* NULL before HANDSHAKE */
    uint32_t flow;     /* its number in net */
    uint8_t phase;     /* enum conn_phase */
    bool flow_entered; /* key is in net's table */
    bool ended;        /* events.ended has been called */
    bool fin_due;      /* close the stream once all ciphertext is out */
    bool announced;    /* events.ready has been called and no message begun since */
    bool quit_sent;
    bool was_ready;             /* core's: it has been ready once */
    bool makes_room;            /* core's: told to leave for another */
    bool peer_closed;           /* its FIN is in, or TLS's close_notify: it will say nothing more */
    bool over;                  /* TCP is closed, or only its TIME-WAIT is left */
    bool dot_sent;              /* STAGE_DOT since conn_begin */
    bool no_chunking;           /* core's, before the first conn_run: no BDAT */
    bool one_by_one;            /* core's, likewise: no message before the last one is answered */
    bool lost_ahead;            /* the receiver closed with more than one message in hand */
    uint32_t messages;          /* begun on this connection */
    uint64_t run_us;            /* now, for emit */
    uint64_t phase_deadline_us; /* of HANDSHAKE, CLOSING, or idling in OPEN; DEADLINE_NEVER */
    struct byte_sink sink;      /* tls -> tcp */
    struct flow_key key;

    /* every message */
    struct smtp_session smtp;
    uint32_t in_hand; /* messages begun and not done */
    struct list idle, lru,
        run; /* core's: those of a destination that can take a message, idle ones of the core; those to
                          run in this turn */
    struct list in_line; /* of env->line */
    struct dest *dest;   /* core's */
    void *user;          /* core's */

    /* once a connection */
    uint64_t opened_us, connected_us, secured_us;
    struct policy_hop hop;
    struct policy_demand demand;
};

/* conn_open starts a connection in the caller's memory.  false: it could not even start; why says it, nothing is
 * held, no event comes.
 */
bool conn_open(struct conn *conn, struct conn_env *env, uint32_t flow, const struct policy_hop *hop,
               const struct policy_demand *demand, uint64_t now_us, struct outcome *why) must_check;

void conn_segment(struct conn *conn, const struct tcp_segment *seg, uint64_t now_us);
void conn_icmp(struct conn *conn, const struct icmp *icmp, uint64_t now_us);
void conn_timer(struct conn *conn, uint64_t now_us);
void conn_unreachable(struct conn *conn, uint64_t now_us); /* the next hop does not answer ARP */

/* conn_run moves what can be moved, lets tcp send, and sets the timer; what the port has no room for puts the connection
 * into env->line, to be run when there is room: after every entry above (which only mark
 * work) the loop calls it once, so that a burst of segments costs one run.
 */
void conn_run(struct conn *conn, uint64_t now_us);

/* conn_satisfies: what was verified on this connection meets everything that want demands, now.  The demands are compared,
 * never their fingerprints: names in them may be chosen by whoever wants two to collide.
 */
bool conn_satisfies(const struct conn *conn, const struct policy_demand *want);

/* conn_can_begin: it takes a message now, for so many recipients; conn->in_hand others may be unanswered.
 * conn_begin: conn_can_begin must hold for the message.
 */
bool conn_can_begin(const struct conn *conn, uint32_t recipients);
void conn_begin(struct conn *conn, const struct smtp_message *message, uint64_t now_us);

/* conn_quit says goodbye once no message is in hand; conn_run follows. */
void conn_quit(struct conn *conn, uint64_t now_us);

/* conn_abort resets it for a reason of ours; messages in hand get their results first; conn_run follows. */
void conn_abort(struct conn *conn, enum reason reason, const char *text, uint64_t now_us);

/* conn_gone forgets it at once; no byte leaves any more, and no message may be in hand.  It comes by itself once TCP is
 * over; the owner calls it for those that could not even be reset while there was time.
 */
void conn_gone(struct conn *conn);

const char *conn_phase_name(enum conn_phase phase);

#endif
