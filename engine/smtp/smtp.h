/* smtp.h: the client side of one SMTP connection (RFC 5321): bytes in, bytes out, a deadline, outcomes.
 *
 * What it is not: it opens no connection, knows no TLS library and no socket, and reads no clock.  conn/ moves
 * bytes between it and TCP while it speaks in the clear, and between it and TLS afterwards.
 *
 * In the clear there are greeting, EHLO, STARTTLS and QUIT, nothing else: commands that carry mail cannot be
 * encoded without the struct tls_verified of smtp_secured.  The extensions learned in the clear are forgotten
 * then (RFC 3207 section 4.2).
 *
 *   conn                       smtp
 *   smtp_open            ->    waits for the greeting (plain_start) or for smtp_secured (implicit TLS)
 *   smtp_input           ->    consumes reply bytes
 *   smtp_output          <-    what to send now
 *   smtp_want            <-    SMTP_WANT_STARTTLS: the 220 is in; start TLS, then smtp_secured
 *   smtp_begin           ->    a message, while smtp_ready
 *   events               <-    a result for each recipient, stage changes, message done
 *
 * All entries: the owning core only; nothing blocks or allocates.
 */
#ifndef ENGINE_SMTP_SMTP_H
#define ENGINE_SMTP_SMTP_H

#include "engine/base/bytes.h"
#include "engine/base/outcome.h"
#include "engine/base/stat.h"

struct tls_verified; /* crypto/tls.h; opaque here: the proof without which no mail command exists */

/* RFC 5321 4.5.3.1.4/5: command and reply lines; longer reply lines fail the session.  Command lines may grow by
 * what extensions add (RFC 3461, 1870, 6152, 6531).
 */
#define SMTP_LINE_MAX        512
#define SMTP_COMMAND_MAX     (SMTP_LINE_MAX + 512)
#define SMTP_REPLY_LINES_MAX 128 /* lines of one reply */
#define SMTP_REPLY_BYTES_MAX 16384
#define SMTP_ADDRESS_MAX     256 /* path without angle brackets: RFC 5321 4.5.3.1.3 */
#define SMTP_HOSTNAME_MAX    256
#define SMTP_RECIPIENTS_MAX  1024 /* of all messages in hand; RFC 5321 4.5.3.1.8 promises 100 at a receiver */
#define SMTP_AHEAD_MAX       8    /* messages in hand at once; a power of two */
#define SMTP_OUTPUT_MIN      SMTP_COMMAND_MAX /* smallest output buffer */

/* RFC 5321 4.5.3.2 time-outs, and ours where it is silent; in one table in session.c.  A session may be given
 * a percentage to shorten them all (tests, impatient operators); 100 is the RFC's.
 */
struct smtp_config {
    const char *helo_name;    /* our own name; borrowed */
    uint32_t timeout_percent; /* of RFC 5321's minimum times: 100 */
    uint32_t messages_max;    /* messages a connection before QUIT; 0: no limit */
    struct stats *stats;      /* borrowed */
    uint32_t
        messages_ahead; /* in hand at once at most, those whose end has left included: [1, SMTP_AHEAD_MAX] */
    bool chunking;      /* BDAT where the receiver offers it: RFC 3030 */
    uint64_t chunk_ahead_bytes; /* a larger chunk waits for the replies to RCPT */
};

enum smtp_body_type { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

struct smtp_recipient {
    struct span address; /* without angle brackets; checked by the feed: no control characters, no spaces */
    struct span dsn; /* RFC 3461 parameters as text " NOTIFY=... ORCPT=..."; sent only if DSN is offered */
    bool decided;    /* has its outcome from an earlier connection: neither sent nor told again */
};

/* A message; it and everything it points to stays put and unchanged in length until message_done.
 * Its bytes belong to another trust domain and may change under us: what is sent is the copy that was checked.
 * (A body that claims to need 8BITMIME is looked through beforehand where the receiver does not offer it.)
 */
struct smtp_message {
    struct span sender; /* "" for the null reverse-path */
    const struct smtp_recipient *recipient;
    uint32_t recipients; /* at least 1 undecided; above SMTP_RECIPIENTS_MAX all fail with REASON_LIMIT */
    const struct span *extent; /* the body, CRLF lines, in order */
    uint32_t extents;
    uint64_t body_bytes; /* sum of the extents */
    uint8_t body_type;   /* enum smtp_body_type */
    bool smtputf8;
    void *user; /* the caller's */
};

/* Why a message is given back unsent. */
enum smtp_return {
    SMTP_RETURN_CLOSED,  /* the receiver had closed before it answered anything of the message */
    SMTP_RETURN_NO_BDAT, /* it offers CHUNKING and does not know BDAT: to be sent with `chunking` off */
};

/* Events come from within the entries below; they must not call those for the same session. */
struct smtp_events {
    void *ctx;
    /* One recipient is decided; exactly once for each of the message's recipients. */
    void (*recipient)(void *ctx, const struct smtp_message *message, uint32_t index,
                      const struct outcome *outcome);
    /* The message enters a stage: STAGE_MAIL when its first command is about to leave; STAGE_DOT before the
     * end of data is put into an output buffer: from here on a lost connection means IN_DOUBT.
     */
    void (*stage)(void *ctx, const struct smtp_message *message, enum stage stage);
    /* All recipients are decided; the message and its body are the caller's again. */
    void (*message_done)(void *ctx, const struct smtp_message *message);
    /* In place of message_done: the receiver has certainly not taken it, and it is nobody's fault.  Who is not
     * decided may be tried on another connection.
     */
    void (*returned)(void *ctx, const struct smtp_message *message, enum smtp_return why);
};

enum smtp_want {
    SMTP_WANT_IO,       /* bytes, or time */
    SMTP_WANT_STARTTLS, /* answered 220 with nothing behind it: start TLS, then smtp_secured */
    SMTP_WANT_CLOSE,    /* over: close the connection; smtp_outcome says why when it failed */
};

struct smtp_session; /* private: session.h, which conn/ includes only to embed one */

size_t smtp_session_bytes(void);

/* smtp_open: plain_start: the greeting comes in the clear and STARTTLS is demanded; otherwise (implicit TLS,
 * RFC 8314) the session waits for smtp_secured before anything else.
 */
void smtp_open(struct smtp_session *s, const struct smtp_config *config, const struct smtp_events *events,
               bool plain_start, uint64_t now_us);

/* smtp_secured: TLS stands and satisfies the demand.  proof is borrowed for the life of the session.
 * EHLO is sent again right away (implicit TLS: after the greeting).  Only where smtp_want said
 * SMTP_WANT_STARTTLS, or after smtp_open with implicit TLS, and the session has not failed meanwhile.
 */
void smtp_secured(struct smtp_session *s, const struct tls_verified *proof, uint64_t now_us);

/* smtp_input gives reply bytes; all are consumed.  Malformed or hostile ones fail the session.
 * After SMTP_WANT_STARTTLS has come up any further byte in the clear is an injection (RFC 3207, CVE-2011-0411):
 * the session fails with REASON_STARTTLS_INJECTION, also when they came in the same call as the 220.
 */
void smtp_input(struct smtp_session *s, const uint8_t *in, size_t len, uint64_t now_us);

/* smtp_output puts up to cap bytes of what is to be sent into out, returns how many; call it until 0.
 * Body bytes pass the dot-stuffer here, once.  cap at least SMTP_OUTPUT_MIN.
 */
size_t smtp_output(struct smtp_session *s, uint8_t *out, size_t cap, uint64_t now_us);

/* smtp_has_output: a command may leave now.  What smtp_output has put out cannot be taken back: a caller without room
 * for it does not ask.
 */
bool smtp_has_output(const struct smtp_session *s);

enum smtp_want smtp_want(const struct smtp_session *s);

/* smtp_ready: a message may be begun: secured, EHLO answered, the limits not reached, and no message in hand, or with
 * PIPELINING: the end of the last one has been put out, and another may follow without waiting for its reply.
 */
bool smtp_ready(const struct smtp_session *s);

/* smtp_has_room: beside the messages in hand there is room for so many recipients. */
bool smtp_has_room(const struct smtp_session *s, uint32_t recipients);

/* smtp_begin starts a message; smtp_ready must hold, and smtp_has_room.  What the receiver cannot take (SIZE, 8BITMIME,
 * SMTPUTF8) is decided at once, events included, without a byte sent.
 */
void smtp_begin(struct smtp_session *s, const struct smtp_message *message, uint64_t now_us);

/* smtp_quit says goodbye as soon as no message is in hand and no reply is owed; then SMTP_WANT_CLOSE. */
void smtp_quit(struct smtp_session *s, uint64_t now_us);

/* smtp_lost: the connection is gone (the outcome says how; verdict and stage are filled in here).  Each message in
 * hand gets its results: IN_DOUBT for undecided recipients when its end had been put out; else it is returned, if
 * nothing of it was answered, an earlier one was on this connection and the fault is the network's; else DEFERRED.
 */
void smtp_lost(struct smtp_session *s, const struct outcome *why, uint64_t now_us);

/* smtp_next_deadline: absolute; DEADLINE_NEVER when idle and while TLS is being started: those times are conn's. */
uint64_t smtp_next_deadline(const struct smtp_session *s);
void smtp_timers(struct smtp_session *s, uint64_t now_us);

/* smtp_outcome: why the session failed; verdict VERDICT_NONE while it has not, VERDICT_DEFERRED from then on,
 * also while a QUIT is still on its way.  For jobs that waited for the session.
 */
void smtp_outcome(const struct smtp_session *s, struct outcome *outcome);

/* For logs: "awaiting STARTTLS reply", ... */
const char *smtp_state_text(const struct smtp_session *s);

#endif
