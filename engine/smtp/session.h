/* session.h: the private half of a session.  conn/ includes it to embed one and looks at nothing inside. */
#ifndef ENGINE_SMTP_SESSION_H
#define ENGINE_SMTP_SESSION_H

#include "engine/smtp/body.h"
#include "engine/smtp/ehlo.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/smtp.h"

/* The legal paths:
 *
 *     plain_start:   GREETING_CLEAR  EHLO_CLEAR  STARTTLS  HANDSHAKE ------------> EHLO  READY
 *     implicit TLS:                                        HANDSHAKE  GREETING_TLS  EHLO  READY
 *
 *     a message:     READY [RSET] MAIL  RCPT...  DATA  BODY  DOT  READY      by DATA
 *                    READY [RSET] MAIL  RCPT...        BODY  DOT  READY      by BDAT
 *     given up:             MAIL  RCPT...  DATA                    READY     nobody was accepted, or nothing
 *                           MAIL  RCPT... [DATA] BODY  DOT         READY     the same, but what follows had left
 *     the end:       any -> QUIT -> CLOSED, any -> CLOSED
 *
 * RSET leaves in front of a message where the receiver may have an earlier transaction open.
 * A session moves from left to right and never back, except from the end of a transaction to READY.
 * All states before HANDSHAKE is over are in the clear, and `proof` is NULL in them.
 */
enum smtp_state {
    S_GREETING_CLEAR,
    S_EHLO_CLEAR,
    S_STARTTLS,
    S_HANDSHAKE,
    S_GREETING_TLS,
    S_EHLO,
    S_READY,
    S_RSET,
    S_MAIL,
    S_RCPT,
    S_DATA,
    S_BODY,
    S_DOT,
    S_QUIT,
    S_CLOSED,
    S_COUNT
};

/* A place in the order of commands.  Two of them walk it: what is to be sent next, and what is to be answered
 * next.  Where they meet, no reply is owed; pipelining lets the first run ahead.
 */
struct smtp_cursor {
    uint32_t serial;    /* of the transaction, from 0 on; before the first and between two: of the next one */
    uint8_t state;      /* enum smtp_state */
    uint32_t recipient; /* in S_RCPT, in [0, transaction's recipients); 0 elsewhere */
};

enum recipient_mark {
    RECIPIENT_DECIDED = 1 << 0, /* its outcome has been given out */
    RECIPIENT_UNSENT = 1 << 1,  /* its RCPT was never sent: no reply will come */
};

/* One message on its way, or what is left of it: replies that are owed, a chunk that has to be filled. */
struct smtp_transaction {
    const struct smtp_message *message; /* NULL once all recipients are decided */
    uint32_t recipients;                /* of the message, also after it has been given back */
    uint32_t undecided;                 /* recipients without outcome; > 0 as long as there is a message */
    uint32_t first_mark;                /* of its recipients, in smtp_session.mark */
    bool resets;                        /* RSET leaves in front of it */
    bool chunked;                       /* BDAT, not DATA */
    bool begun_body;                    /* DATA's body is sent, or BDAT has been put out */
    bool end_sent;                      /* its end has been put out: from here on IN_DOUBT */
    bool mail_accepted;                 /* the receiver has a transaction open */
};

struct smtp_session {
    struct smtp_config config;        /* a copy; helo_name and stats borrowed */
    struct smtp_events events;        /* a copy */
    const struct tls_verified *proof; /* NULL until smtp_secured; borrowed */

    struct smtp_cursor send_at;
    struct smtp_cursor reply_at; /* <= send_at */
    uint64_t deadline_us;        /* DEADLINE_NEVER in states without time-out */
    bool plain_start;            /* STARTTLS, not implicit TLS */
    bool quit_wanted;            /* QUIT instead of the next S_READY where nothing is owed */
    bool leftover;               /* the receiver may have a transaction open in which nothing must follow */
    bool chunk_proven;           /* it has taken a message by BDAT on this connection */
    bool broken_off;         /* in mid-body: nothing leaves any more, replies that are owed are waited for */
    struct smtp_offer offer; /* of the last EHLO reply; forgotten in smtp_secured */
    struct smtp_cursor flight; /* what the current flight began with; see smtp_count_flight */

    uint32_t begun;        /* transactions, those of the past included; the next one's serial */
    struct smtp_body body; /* of the transaction that is sent */
    uint64_t chunk_left;   /* bytes of its chunk that are still to be put out */
    struct smtp_transaction
        transaction[SMTP_AHEAD_MAX];   /* by serial; those in [reply_at.serial, begun) count */
    uint8_t mark[SMTP_RECIPIENTS_MAX]; /* of enum recipient_mark: a ring of all transactions' recipients */

    struct smtp_reply reply;
    struct outcome outcome; /* why the session failed; VERDICT_NONE while it has not */
};

static_assert(sizeof(struct smtp_session) <= 4096, "many sessions stand side by side in a core's pool");

/* The transaction of a serial in [reply_at.serial, begun). */
static inline struct smtp_transaction *smtp_transaction(struct smtp_session *s, uint32_t serial)
{
    return &s->transaction[serial % SMTP_AHEAD_MAX];
}

static inline uint8_t *smtp_mark(struct smtp_session *s, const struct smtp_transaction *t, uint32_t recipient)
{
    return &s->mark[(t->first_mark + recipient) % SMTP_RECIPIENTS_MAX];
}

/* Where the two cursors stand; only within a transaction. */
static inline struct smtp_transaction *smtp_sending(struct smtp_session *s)
{
    return smtp_transaction(s, s->send_at.serial);
}

static inline struct smtp_transaction *smtp_answering(struct smtp_session *s)
{
    return smtp_transaction(s, s->reply_at.serial);
}

/* Has the cursor a transaction? */
static inline bool smtp_in_transaction(struct smtp_cursor at)
{
    return at.state >= S_RSET && at.state <= S_DOT;
}

/* ---- session.c ---- */

enum stage smtp_stage(const struct smtp_session *s);      /* where the reply cursor stands */
enum stage smtp_send_stage(const struct smtp_session *s); /* where the send cursor does */
uint64_t smtp_timeout_us(const struct smtp_session *s);   /* how long the reply cursor may stand there */
void smtp_arm(struct smtp_session *s, uint64_t now_us);   /* from now on */
void smtp_look_at_quit(struct smtp_session *s, uint64_t now_us); /* ready, nothing owed: is it time to go? */
void smtp_leave(struct smtp_session *s, uint64_t now_us);        /* by QUIT */
void smtp_close(struct smtp_session *s);                         /* at once */
void smtp_check(const struct smtp_session *s);                   /* asserts the invariants */

/* ---- pipeline.c: the two cursors.  Whatever moves the reply cursor restarts the clock. ---- */

int smtp_cursor_compare(struct smtp_cursor a, struct smtp_cursor b);
bool smtp_reply_is_owed(const struct smtp_session *s);
bool smtp_may_send(const struct smtp_session *s);
void smtp_enter(struct smtp_session *s, uint64_t now_us);            /* a transaction has been begun */
void smtp_sent(struct smtp_session *s, uint64_t now_us);             /* the command at send_at is put out */
void smtp_sent_end_of_data(struct smtp_session *s, uint64_t now_us); /* the dot is, or a chunk's last byte */
void smtp_answered(struct smtp_session *s, uint64_t now_us);       /* the command at reply_at has its reply */
void smtp_skip_recipient(struct smtp_session *s, uint64_t now_us); /* the RCPT at send_at will not be sent */
void smtp_meet_at(struct smtp_session *s, enum smtp_state state, uint64_t now_us);

/* smtp_count_flight is told before something is put out: it belongs to the current flight unless that has been answered
 * (glossary of engine/README.md).
 */
void smtp_count_flight(struct smtp_session *s);

/* ---- handlers: `send` puts out what stands at send_at and tells whether it got on; `on` takes the reply that
 * reply_at waits for ----
 */

bool smtp_send_none(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_ehlo(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_starttls(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_quit(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_rset(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_mail(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_rcpt(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_data(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_body(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);

void smtp_on_greeting(struct smtp_session *s, uint64_t now_us);
void smtp_on_ehlo_clear(struct smtp_session *s, uint64_t now_us);
void smtp_on_starttls(struct smtp_session *s, uint64_t now_us);
void smtp_on_ehlo(struct smtp_session *s, uint64_t now_us);
void smtp_on_rset(struct smtp_session *s, uint64_t now_us);
void smtp_on_mail(struct smtp_session *s, uint64_t now_us);
void smtp_on_rcpt(struct smtp_session *s, uint64_t now_us);
void smtp_on_data(struct smtp_session *s, uint64_t now_us);
void smtp_on_dot(struct smtp_session *s, uint64_t now_us);
void smtp_on_quit(struct smtp_session *s, uint64_t now_us);

/* ---- decide.c: who is decided ---- */

void smtp_decide(struct smtp_session *s, struct smtp_transaction *t, uint32_t index,
                 const struct outcome *outcome);
void smtp_decide_rest(
    struct smtp_session *s, struct smtp_transaction *t,
    const struct outcome *outcome); /* whoever has no outcome yet; harmless without a message */
void smtp_return(struct smtp_session *s, struct smtp_transaction *t, enum smtp_return why);

/* smtp_settle ends a transaction that nobody is left in, once every command that has left is answered. */
void smtp_settle(struct smtp_session *s, uint64_t now_us);

#endif
