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
 *     a message:     READY  MAIL  RCPT...  DATA  BODY  DOT  READY
 *     given up:             MAIL  RCPT...  DATA             READY    MAIL was refused
 *                           MAIL  RCPT...  DATA       RSET  READY    nobody or nothing was accepted
 *                           MAIL  RCPT...  DATA  BODY  DOT  READY    the same, but DATA had left and got its 354
 *     the end:       any -> QUIT -> CLOSED, any -> CLOSED
 *
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
    S_MAIL,
    S_RCPT,
    S_DATA,
    S_BODY,
    S_DOT,
    S_RSET,
    S_QUIT,
    S_CLOSED,
    S_COUNT
};

/* A place in the order of commands.  Two of them walk it: what is to be sent next, and what is to be answered
 * next.  Where they meet, no reply is owed; pipelining lets the first run ahead.
 */
struct smtp_cursor {
    uint8_t state;      /* enum smtp_state */
    uint32_t recipient; /* in S_RCPT, in [0, message's recipients); 0 elsewhere */
};

enum recipient_mark {
    RECIPIENT_ACCEPTED = 1 << 0, /* RCPT was answered with success */
    RECIPIENT_DECIDED = 1 << 1,  /* its outcome has been given out */
    RECIPIENT_UNSENT = 1 << 2,   /* its RCPT was never sent: no reply will come */
};

struct smtp_session {
    struct smtp_config config;        /* a copy; helo_name and stats borrowed */
    struct smtp_events events;        /* a copy */
    const struct tls_verified *proof; /* NULL until smtp_secured; borrowed */

    struct smtp_cursor send_at;
    struct smtp_cursor reply_at; /* <= send_at */
    uint64_t deadline_us;        /* DEADLINE_NEVER in states without time-out */
    bool plain_start;            /* STARTTLS, not implicit TLS */
    bool quit_wanted;            /* QUIT instead of the next S_READY */
    bool mail_accepted;          /* the receiver has a transaction open */
    struct smtp_offer offer;     /* of the last EHLO reply; forgotten in smtp_secured */

    const struct smtp_message
        *message;        /* NULL when none is in hand, also while an abandoned one is cleared up */
    uint32_t recipients; /* of the transaction, also after the message has been given back */
    uint32_t undecided;  /* recipients without outcome; > 0 as long as there is a message */
    uint32_t messages;   /* transactions begun */
    struct smtp_body body;
    uint8_t recipient[SMTP_RECIPIENTS_MAX]; /* of enum recipient_mark */

    struct smtp_reply reply;
    struct outcome outcome; /* why the session failed; VERDICT_NONE while it has not */
};

static_assert(sizeof(struct smtp_session) <= 4096, "many sessions stand side by side in a core's pool");

/* ---- session.c ---- */

enum stage smtp_stage(const struct smtp_session *s);    /* where the reply cursor stands */
uint64_t smtp_timeout_us(const struct smtp_session *s); /* how long it may stand there */
void smtp_arm(struct smtp_session *s, uint64_t now_us); /* from now on */
void smtp_enter_ready(struct smtp_session *s, uint64_t now_us);
void smtp_leave(struct smtp_session *s, uint64_t now_us); /* by QUIT */
void smtp_close(struct smtp_session *s);                  /* at once */
void smtp_check(const struct smtp_session *s);            /* asserts the invariants */

/* ---- pipeline.c: the two cursors.  Whatever moves the reply cursor restarts the clock. ---- */

int smtp_cursor_compare(struct smtp_cursor a, struct smtp_cursor b);
bool smtp_reply_is_owed(const struct smtp_session *s);
bool smtp_may_send(const struct smtp_session *s);
void smtp_sent(struct smtp_session *s, uint64_t now_us);             /* the command at send_at is put out */
void smtp_sent_end_of_data(struct smtp_session *s, uint64_t now_us); /* the dot is */
void smtp_answered(struct smtp_session *s, uint64_t now_us);       /* the command at reply_at has its reply */
void smtp_skip_recipient(struct smtp_session *s, uint64_t now_us); /* the RCPT at send_at will not be sent */
void smtp_meet_at(struct smtp_session *s, enum smtp_state state, uint64_t now_us);

/* ---- handlers: `send` puts out what stands at send_at and tells whether it got on; `on` takes the reply that
 * reply_at waits for ----
 */

bool smtp_send_none(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_ehlo(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_starttls(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_quit(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_mail(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_rcpt(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_data(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_body(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
bool smtp_send_rset(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);

void smtp_on_greeting(struct smtp_session *s, uint64_t now_us);
void smtp_on_ehlo_clear(struct smtp_session *s, uint64_t now_us);
void smtp_on_starttls(struct smtp_session *s, uint64_t now_us);
void smtp_on_ehlo(struct smtp_session *s, uint64_t now_us);
void smtp_on_mail(struct smtp_session *s, uint64_t now_us);
void smtp_on_rcpt(struct smtp_session *s, uint64_t now_us);
void smtp_on_data(struct smtp_session *s, uint64_t now_us);
void smtp_on_dot(struct smtp_session *s, uint64_t now_us);
void smtp_on_rset(struct smtp_session *s, uint64_t now_us);
void smtp_on_quit(struct smtp_session *s, uint64_t now_us);

/* ---- transaction.c: who is decided ---- */

void smtp_decide(struct smtp_session *s, uint32_t index, const struct outcome *outcome);
void smtp_decide_rest(struct smtp_session *s, const struct outcome *outcome); /* whoever has no outcome yet */

/* smtp_settle ends a transaction that nobody is left in, once every command that has left is answered. */
void smtp_settle(struct smtp_session *s, uint64_t now_us);

#endif
