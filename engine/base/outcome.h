/* outcome.h: what became of one recipient: the verdict, where it fell, whose doing it was, and why.
 *
 * smtp, crypto, policy and conn make outcomes; core turns them into results in the feed.  The words here are
 * the words of the log, of the feed and of the JSON; engine/ring/feed.h repeats the numbers for outsiders and
 * a test holds the two together.
 */
#ifndef ENGINE_BASE_OUTCOME_H
#define ENGINE_BASE_OUTCOME_H

#include "engine/base/base.h"

#define OUTCOME_TEXT_MAX 240 /* bytes, NUL included */

enum verdict {
    VERDICT_NONE = 0,
    VERDICT_DELIVERED, /* the receiver took responsibility */
    VERDICT_DEFERRED,  /* nothing was accepted; may be tried again */
    VERDICT_FAILED,    /* nothing was accepted; trying the same again is pointless */
    VERDICT_IN_DOUBT,  /* the end of data may have arrived, its reply did not */
};

enum stage {
    STAGE_NONE = 0,
    STAGE_SUBMIT,   /* checking the job */
    STAGE_POLICY,   /* what the destination demands */
    STAGE_ROUTE,    /* where to send */
    STAGE_CONNECT,  /* TCP */
    STAGE_GREETING, /* 220 and first EHLO */
    STAGE_STARTTLS,
    STAGE_TLS,  /* handshake and verification */
    STAGE_EHLO, /* EHLO over TLS */
    STAGE_MAIL,
    STAGE_RCPT,
    STAGE_DATA, /* DATA or BDAT, body */
    STAGE_DOT,  /* end of data sent, outcome unknown until its reply */
    STAGE_QUIT,
};

enum fault {
    FAULT_NONE = 0,
    FAULT_PRODUCER, /* the job itself */
    FAULT_LOCAL,    /* our configuration, limits or machine */
    FAULT_NETWORK,
    FAULT_REMOTE, /* the receiver */
    FAULT_ATTACK, /* somebody between us and the receiver, or a receiver that plays one */
};

/* RFC 8460 section 4.3 result types and what else can stop a recipient, one word each. */
enum reason {
    REASON_NONE = 0,
    REASON_STARTTLS_NOT_SUPPORTED, /* EHLO does not offer it */
    REASON_STARTTLS_REJECTED,      /* offered, then refused */
    REASON_STARTTLS_INJECTION,     /* plaintext behind the 220 */
    REASON_CERTIFICATE_HOST_MISMATCH,
    REASON_CERTIFICATE_EXPIRED,
    REASON_CERTIFICATE_NOT_TRUSTED, /* no chain to a trusted root */
    REASON_CERTIFICATE_SELF_SIGNED, /* RFC 8460 counts it as certificate-not-trusted */
    REASON_CERTIFICATE_WEAK,        /* key or signature below the floor */
    REASON_TLS_VERSION,             /* peer offers less than TLS 1.2 */
    REASON_TLS_HANDSHAKE,           /* any other handshake failure: validation-failure */
    REASON_CONNECTION_REFUSED,
    REASON_CONNECTION_RESET,
    REASON_CONNECTION_TIMEOUT,
    REASON_CONNECTION_LOST, /* orderly close in mid-session */
    REASON_NO_ROUTE,        /* no next hop, or its address may not be used */
    REASON_POLICY,          /* the demand is unclear, expired or contradictory */
    REASON_REPLY,           /* the receiver's reply says it */
    REASON_PROTOCOL,        /* the receiver's bytes are not SMTP */
    REASON_TIMEOUT,         /* the receiver did not answer in RFC 5321's time */
    REASON_BAD_JOB,         /* the job is not deliverable as it stands */
    REASON_TOO_LARGE,       /* over the receiver's SIZE */
    REASON_UNSUPPORTED,     /* needs 8BITMIME or SMTPUTF8 and the receiver has it not */
    REASON_SHUTDOWN,        /* the engine is stopping */
    REASON_LIMIT,           /* a limit of ours, the job's deadline included */
    REASON_COUNT
};

struct outcome {
    uint8_t verdict;     /* enum verdict */
    uint8_t stage;       /* enum stage */
    uint8_t fault;       /* enum fault */
    uint8_t reason;      /* enum reason */
    uint16_t smtp_code;  /* 0 when no reply decided */
    uint8_t enhanced[3]; /* RFC 3463 class.subject.detail; all 0 when there is none; subject, detail <= 255 */
    char text[OUTCOME_TEXT_MAX]; /* a sentence for a person, or the reply's text; printable ASCII or UTF-8 */
};

const char *verdict_name(enum verdict v); /* "delivered", "deferred", "failed", "in doubt" */
const char *stage_name(enum stage s);     /* "starttls", ... */
const char *fault_name(enum fault f);
const char *reason_name(enum reason r); /* "certificate-host-mismatch", ... */

/* outcome_set fills all but the reply's code; the text is cut at its limit and made printable. */
void outcome_set(struct outcome *o, enum verdict v, enum stage s, enum fault f, enum reason r,
                 const char *fmt, ...) printf_like(6, 7);

/* outcome_set_text does it with a text that is printable already, NUL-terminated or not. */
void outcome_set_text(struct outcome *o, enum verdict v, enum stage s, enum fault f, enum reason r,
                      const char *text, size_t len);

#endif
