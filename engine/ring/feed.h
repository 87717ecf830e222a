/* hardline/feed.h: how a mail server hands messages to hardline and learns what became of them.
 *
 * The only header that a producer needs; libhardline-feed.so depends on libc alone.  C99 and C++.
 *
 *     struct hl_error error;
 *     hl_feed *feed;
 *     if (hl_feed_attach(&feed, NULL, &error) != 0) die(error.text);
 *
 *     struct hl_recipient to = {hl_str("bob@example.org"), hl_none()};
 *     struct hl_part body = hl_copy_of(message, message_bytes);
 *     struct hl_job job = hl_job_init();
 *     job.cookie = 42;
 *     job.sender = hl_str("alice@example.com");
 *     job.recipients = &to;
 *     job.recipients_count = 1;
 *     job.parts = &body;
 *     job.parts_count = 1;
 *     if (hl_submit(feed, &job, &error) != 0) ...
 *
 *     struct hl_result result;
 *     while (hl_wait(feed, -1, &error) >= 0)
 *         while (hl_reap(feed, &result, 1, &error) > 0) ...
 *
 * Errors: a function that can fail returns 0 or more on success and a negative errno value otherwise, and fills
 * *error (which may be NULL) with a sentence that names the thing, what is wrong with it and what to do.  On failure
 * nothing has changed.
 *
 * Threads: a feed belongs to one thread at a time; several threads attach a feed each.  Who submits, reaps, reserves or
 * reattaches while another thread does has -EBUSY, and nothing has changed.  Nothing here is for signal handlers.  After
 * fork the child has no feed: it may not touch the parent's.
 *
 * Times: CLOCK_MONOTONIC, microseconds.  Sizes: bytes.  Strings that you give need no terminator and are copied.
 *
 * What is promised: every recipient of a submitted message gets exactly one result from hl_reap: the engine's, or, if
 * the engine died, this library's verdict: HL_NOT_SENT (safe to send again) or HL_IN_DOUBT (the end of data may have
 * left).  Keep your copy of the message until then: hardline keeps no mail on disk.
 */
#ifndef HARDLINE_FEED_H
#define HARDLINE_FEED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HL_FEED_SOCKET    "/run/hardline/feed.sock"
#define HL_FEED_ABI_MAJOR 2 /* of the shared memory: an engine of another major refuses the feed */
#define HL_FEED_ABI_MINOR 0

#define HL_ERROR_TEXT_MAX 512
#define HL_PARTS_MAX      16
#define HL_TEXT_MAX       240 /* of a result's text, with the NUL */
#define HL_REAP_MAX       256 /* results that one hl_reap takes at the most */

#if defined(__GNUC__)
#define HL_API __attribute__((visibility("default")))
#else
#define HL_API
#endif

typedef struct hl_feed hl_feed; /* one connection to an engine */
typedef struct hl_body hl_body; /* a piece of the feed's shared memory that holds message bytes */

struct hl_error {
    int code; /* positive errno value */
    char text[HL_ERROR_TEXT_MAX];
};

/* A borrowed run of bytes: yours, until the function returns. */
struct hl_text {
    const char *data; /* may be NULL when bytes is 0 */
    size_t bytes;
};

/* ---- attach ---- */

struct hl_attach {
    size_t size;             /* sizeof(struct hl_attach): hl_attach_init sets it */
    const char *socket_path; /* NULL: HL_FEED_SOCKET */
    int timeout_ms;          /* for the whole hand-over; an engine that is not there fails at once */
    const char *name;        /* what the engine calls this feed in its log; NULL: the program's name */
};

/* hl_feed_attach connects to the engine and maps the memory that it grants.
 *
 *   options    NULL: hl_attach_init()
 *   -ENOENT, -ECONNREFUSED   no engine there
 *   -EACCES                  this user may not, by the engine's configuration or the socket's permissions
 *   -EPROTONOSUPPORT         engine and library speak different versions
 *   -EBUSY                   the engine has as many feeds as it may have; the last places are kept for
 *                            users who have none
 *   -ETIMEDOUT, -EPROTO, -ENOMEM, -EMFILE
 *   blocks for timeout_ms at the most
 */
HL_API int hl_feed_attach(hl_feed **feed, const struct hl_attach *options, struct hl_error *error);

/* hl_feed_detach lets go of the engine and frees the feed and all of its bodies.  Reap everything first: recipients
 * that have no result then (their number is returned) will get none, and may or may not be delivered.
 */
HL_API size_t hl_feed_detach(hl_feed *feed);

/* hl_feed_reattach connects to the restarted engine after hl_reap or hl_submit said -EPIPE.  Messages that the dead
 * engine had not looked at are handed to the new one; hl_reap gives verdicts for the others.  Where one cannot be handed
 * over (the new engine has less memory, or no longer accepts it) its recipients get HL_NOT_SENT.
 * Bodies that you hold stay yours, but their addresses change: ask hl_body_data again.  One that has no room in the
 * new memory has no data and no size any more.
 *
 *   errors       as hl_feed_attach; -EINVAL: the engine is alive; -EBUSY: hl_reap has not said -EPIPE yet
 *   on failure   the feed is as it was; try again later
 *   blocks       for timeout_ms at the most, and copies bodies
 */
HL_API int hl_feed_reattach(hl_feed *feed, int timeout_ms, struct hl_error *error);

/* hl_feed_give_up makes hl_reap give HL_NOT_SENT for what a dead engine had not looked at, instead of a reattach.
 * -EINVAL: the engine is alive.
 */
HL_API int hl_feed_give_up(hl_feed *feed, struct hl_error *error);

struct hl_limits {
    uint64_t arena_bytes;    /* for bodies */
    uint64_t arena_free;     /* now; in how many pieces is another matter */
    uint64_t body_bytes_max; /* of one message */
    uint32_t lanes;
    uint32_t jobs_max;             /* unfinished ones, in each lane */
    uint32_t recipients_in_flight; /* submitted, without result */
    uint64_t engine_epoch;         /* differs after every start of the engine */
};

HL_API void hl_feed_limits(const hl_feed *feed, struct hl_limits *limits);

/* ---- bodies ---- */

/* hl_body_reserve takes space for a message, or a part of one, to be written in place.
 *
 *   body      yours until hl_body_release; submitting adds a claim of the feed's, so it may be released right after
 *   -EAGAIN   no such space now: reap results, whose bodies make room
 *   -EMSGSIZE more than a message may have, or than the whole arena has
 */
HL_API int hl_body_reserve(hl_feed *feed, size_t bytes, hl_body **body, struct hl_error *error);
HL_API void *hl_body_data(hl_body *body);         /* do not write what has been submitted */
HL_API size_t hl_body_bytes(const hl_body *body); /* as reserved */
HL_API void hl_body_release(hl_body *body);       /* NULL is fine */

/* ---- submit ---- */

enum hl_job_flag {
    HL_JOB_SMTPUTF8 = 1 << 0,   /* the message or its addresses take RFC 6531 */
    HL_JOB_REQUIRETLS = 1 << 1, /* RFC 8689 */
    HL_JOB_TLS_OPTIONAL =
        1 << 2,                /* TLS-Required: no, RFC 8689 section 5; only where the operator allows it */
    HL_JOB_EXCEPTION = 1 << 3, /* lower this job's own floor; only where the operator allows it */
    HL_JOB_NORMALISE = 1 << 8, /* make CRLF of every bare CR and LF in the parts that are copied */
};

enum hl_body_type {
    HL_BODY_AUTO = 0, /* looks for 8-bit bytes */
    HL_BODY_7BIT,     /* 8-bit bytes are an error */
    HL_BODY_8BIT      /* BODY=8BITMIME */
};

enum hl_tls_floor {                     /* the least that the connection must prove */
                    HL_TLS_DEFAULT = 0, /* the engine's configuration decides */
                    HL_TLS_ENCRYPT,     /* TLS, peer not authenticated */
                    HL_TLS_VERIFY,      /* chain to a trusted root, name of the MX host */
                    HL_TLS_SECURE       /* chain to a trusted root, name of the next hop domain */
};

/* A part of a message: `bytes` bytes from `offset` of a body, or, where body is NULL, of `copy`, which is copied. */
struct hl_part {
    hl_body *body;
    size_t offset; /* 0 where copy is used */
    size_t bytes;
    const void *copy;
};

struct hl_recipient {
    struct hl_text address; /* "user@domain", no angle brackets, at most 254 bytes */
    struct hl_text
        dsn; /* RCPT parameters of RFC 3461: "NOTIFY=FAILURE,DELAY ORCPT=rfc822;user@domain", or empty */
};

struct hl_job {
    size_t size;           /* sizeof(struct hl_job): hl_job_init sets it */
    uint64_t cookie;       /* comes back in the results; any number */
    struct hl_text sender; /* as a recipient's address; empty: the null reverse-path <> */
    const struct hl_recipient *recipients;
    size_t recipients_count; /* at least 1; of any domains */
    /* Where to send instead of the recipients' domains: "host", "host:port", "[192.0.2.1]:port", "[IPv6:2001:db8::1]";
     * empty: by the engine's routes.  TLS policy is that of the destination: with a next hop, the next hop's.
     */
    struct hl_text next_hop;
    const struct hl_part *parts; /* make up the message, headers included, lines ended by CRLF */
    size_t parts_count;          /* in [1, HL_PARTS_MAX] */
    uint32_t flags;              /* enum hl_job_flag */
    uint32_t source_pool;        /* 0: the default pool */
    uint64_t deadline_us;        /* CLOCK_MONOTONIC; what is not delivered by then is deferred; 0: none */
    uint8_t body_type;           /* enum hl_body_type */
    uint8_t tls_floor;           /* enum hl_tls_floor */
    uint8_t priority;   /* 0: ordinary, higher: more urgent; this engine keeps the order all the same */
    struct hl_text tag; /* for logs and reports, at most 63 printable ASCII characters; or empty */
};

/* hl_submit hands over one message.  All of it is accepted or nothing.
 *
 *   ownership     everything given is copied, but bodies, on which the feed has its own claim until all results are in
 *   0             accepted: each recipient gets exactly one result
 *   -EAGAIN       arena or lane is full: reap results (hl_wait), then try again
 *   -EBUSY        another thread is in a call with this feed
 *   -EINVAL       the job itself: no recipients, an address with a NUL, CR, LF, space, control character or angle
 *                 bracket, lengths over RFC 5321 section 4.5.3.1, bare CR or LF in the body, ...; error says which
 *   -EMSGSIZE     the message is longer than the engine takes
 *   -EPIPE        the engine is gone: reap, then hl_feed_reattach
 *   -ENOMEM
 *   does not block; no system call while the engine is busy
 */
HL_API int hl_submit(hl_feed *feed, const struct hl_job *job, struct hl_error *error);

/* hl_submit_many submits jobs in their order, as hl_submit would each, and shows them to the engine together: cheaper where
 * several are at hand.
 *
 *   returns   how many were submitted; fewer than count when one could not be: *error says why, and those behind it were
 *             not looked at.  When it is the first, its error
 */
HL_API int hl_submit_many(hl_feed *feed, const struct hl_job *jobs, size_t count, struct hl_error *error);

/* ---- results ---- */

enum hl_verdict {
    HL_NONE = 0,
    HL_DELIVERED, /* the receiver took responsibility */
    HL_DEFERRED,  /* nothing was accepted; try again later */
    HL_FAILED,    /* nothing was accepted; trying the same again is pointless */
    HL_IN_DOUBT, /* the end of data may have arrived, its reply did not: sending again may make a duplicate */
    HL_NOT_SENT  /* the engine died before anything could be accepted: send again */
};

enum hl_stage {
    HL_STAGE_NONE = 0,
    HL_STAGE_SUBMIT,   /* checking the job */
    HL_STAGE_POLICY,   /* what the destination demands */
    HL_STAGE_ROUTE,    /* where to send */
    HL_STAGE_CONNECT,  /* TCP */
    HL_STAGE_GREETING, /* 220 and first EHLO */
    HL_STAGE_STARTTLS,
    HL_STAGE_TLS,  /* handshake and verification */
    HL_STAGE_EHLO, /* EHLO over TLS */
    HL_STAGE_MAIL,
    HL_STAGE_RCPT,
    HL_STAGE_DATA, /* DATA or BDAT, body */
    HL_STAGE_DOT,  /* end of data sent, outcome unknown until its reply */
    HL_STAGE_QUIT
};

enum hl_fault {
    HL_FAULT_NONE = 0,
    HL_FAULT_PRODUCER, /* the job itself */
    HL_FAULT_LOCAL,    /* hardline's configuration, limits or machine */
    HL_FAULT_NETWORK,
    HL_FAULT_REMOTE, /* the receiver */
    HL_FAULT_ATTACK  /* somebody between us and the receiver, or a receiver that plays one */
};

enum hl_reason {
    HL_REASON_NONE = 0,
    HL_REASON_STARTTLS_NOT_SUPPORTED,
    HL_REASON_STARTTLS_REJECTED,
    HL_REASON_STARTTLS_INJECTION, /* plaintext behind the 220 */
    HL_REASON_CERTIFICATE_HOST_MISMATCH,
    HL_REASON_CERTIFICATE_EXPIRED,
    HL_REASON_CERTIFICATE_NOT_TRUSTED,
    HL_REASON_CERTIFICATE_SELF_SIGNED,
    HL_REASON_CERTIFICATE_WEAK,
    HL_REASON_TLS_VERSION,
    HL_REASON_TLS_HANDSHAKE,
    HL_REASON_CONNECTION_REFUSED,
    HL_REASON_CONNECTION_RESET,
    HL_REASON_CONNECTION_TIMEOUT,
    HL_REASON_CONNECTION_LOST,
    HL_REASON_NO_ROUTE,
    HL_REASON_POLICY,
    HL_REASON_REPLY, /* the receiver's reply says it: code and text are there */
    HL_REASON_PROTOCOL,
    HL_REASON_TIMEOUT,
    HL_REASON_BAD_JOB,
    HL_REASON_TOO_LARGE,
    HL_REASON_UNSUPPORTED,
    HL_REASON_SHUTDOWN, /* the engine stopped, or died */
    HL_REASON_LIMIT
};

/* What the connection had proven.  `present` 0: there was no TLS, and nothing of the message was sent. */
struct hl_tls {
    uint8_t present, resumed, reused, exception, pkix;
    uint8_t level;      /* enum hl_tls_floor: demanded */
    uint8_t digests;    /* the two below are there */
    uint8_t remembered; /* the handshake was a full one; that its chain is good had been verified before */
    uint16_t version;   /* 0x0303: TLS 1.2, 0x0304: TLS 1.3 */
    const char *cipher, *group, *signature;
    const char *policy_source; /* whose demand it was: a rule's id, "default" */
    const char *matched_name;
    uint8_t certificate_sha256[32], spki_sha256[32];
};

/* Strings are never NULL; what there is not is "".  They are the feed's, until the next hl_reap of it, its reattach or its detach:
 * copy what you keep for longer.
 */
struct hl_result {
    uint64_t cookie;     /* the job's */
    uint32_t recipient;  /* index in the job's recipients */
    uint8_t last;        /* 1: every recipient of the message has its result now */
    uint8_t verdict;     /* enum hl_verdict */
    uint8_t stage;       /* enum hl_stage */
    uint8_t fault;       /* enum hl_fault */
    uint8_t reason;      /* enum hl_reason */
    uint16_t smtp_code;  /* 0: no reply decided */
    uint8_t enhanced[3]; /* RFC 3463; all 0: none */
    uint8_t mx_addr_present;
    uint8_t mx_addr[16]; /* IPv4-mapped where IPv4 */
    uint16_t mx_port;
    uint64_t submitted_us;                                             /* hl_submit */
    uint64_t queued_us, connected_us, secured_us, sent_us, replied_us; /* 0: not reached */
    const char *text;    /* the reply, or a sentence; UTF-8 without control characters */
    const char *mx_host; /* "": none was tried */
    struct hl_tls tls;
};

/* hl_reap takes up to `max` results, HL_REAP_MAX at the most; returns how many, 0 when there is none now.
 *
 *   -EPIPE   the engine is gone, and all results and verdicts that can be had have been taken.  Messages that it had not
 *            looked at wait for hl_feed_reattach or hl_feed_give_up
 *   -EPROTO  the shared memory does not hold what an engine writes: treat the engine as gone
 *   does not block; no system call while results keep coming
 */
HL_API int hl_reap(hl_feed *feed, struct hl_result *results, size_t max, struct hl_error *error);

/* hl_wait sleeps until hl_reap has something to say, or the time is over.  Where results are owed it looks for them for 20
 * microseconds first, but not in the 64 waits after one in which that was in vain.
 *
 *   timeout_ms   -1: no limit
 *   returns      1: reap; 0: time-out; -EINTR: a signal came; other errors of poll(2)
 */
HL_API int hl_wait(hl_feed *feed, int timeout_ms, struct hl_error *error);

/* For an event loop of your own: hl_feed_fd gives a descriptor (the feed's: do not close or read it) that polls
 * readable when there is something to reap, provided that hl_feed_arm was called after the last hl_reap and returned 0.
 * It returns 1 when there is something to reap already.  The descriptor stays the same over a reattach.
 */
HL_API int hl_feed_fd(const hl_feed *feed);
HL_API int hl_feed_arm(hl_feed *feed);

/* ---- words: those of the engine's log ---- */

HL_API const char *hl_verdict_name(
    int verdict); /* "delivered", "deferred", "failed", "in doubt", "not sent" */
HL_API const char *hl_stage_name(int stage);
HL_API const char *hl_fault_name(int fault);
HL_API const char *hl_reason_name(int reason); /* "certificate-host-mismatch", ... */
HL_API const char *hl_tls_level_name(int level);

/* ---- helpers ---- */

static inline struct hl_text hl_none(void)
{
    struct hl_text t = {NULL, 0};
    return t;
}

static inline struct hl_text hl_str(const char *text)
{
    struct hl_text t = {text, text ? strlen(text) : 0};
    return t;
}

static inline struct hl_part hl_copy_of(const void *data, size_t bytes)
{
    struct hl_part p = {NULL, 0, bytes, data};
    return p;
}

static inline struct hl_part hl_part_of(hl_body *body, size_t offset, size_t bytes)
{
    struct hl_part p = {body, offset, bytes, NULL};
    return p;
}

static inline struct hl_attach hl_attach_init(void)
{
    struct hl_attach a;
    memset(&a, 0, sizeof(a));
    a.size = sizeof(a);
    a.timeout_ms = 10000;
    return a;
}

static inline struct hl_job hl_job_init(void)
{
    struct hl_job j;
    memset(&j, 0, sizeof(j));
    j.size = sizeof(j);
    return j;
}

/* A result of your own, for what is reported beside the feed's. */
static inline struct hl_result hl_result_init(void)
{
    struct hl_result r;
    memset(&r, 0, sizeof(r));
    r.text = r.mx_host = "";
    r.tls.cipher = r.tls.group = r.tls.signature = r.tls.policy_source = r.tls.matched_name = "";
    return r;
}

#ifdef __cplusplus
}
#endif

#endif
