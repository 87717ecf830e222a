/* ring.h: the engine's end of a feed: what a core and the control thread do with one producer's region.
 *
 * The region (layout.h) is shared with another trust domain.  Whatever is read from it is copied first and checked
 * then; indices that jump are a protocol error that breaks the feed; a broken feed gives no more jobs.
 * The producer's end is feed.h, the only header an outsider needs.
 *
 * A ring job has one destination domain; the producer library splits what a caller submits.
 */
#ifndef ENGINE_RING_RING_H
#define ENGINE_RING_RING_H

#include "engine/base/bytes.h"
#include "engine/base/error.h"
#include "engine/base/list.h"
#include "engine/base/outcome.h"

#define FEED_LANES_MAX   64u
#define FEED_EXTENTS_MAX 16u /* body extents of one job */
#define FEED_DOMAIN_MAX  256u

/* What one producer may do; control decides it from SO_PEERCRED and the configuration. */
struct feed_rights {
    uint32_t uid, pid;
    char name[64]; /* for logs: the configuration's name of this feed, "uid 1000" otherwise */
    bool allow_exceptions;
    uint64_t jobs_in_flight_max; /* over all lanes; 0: the lanes' own sizes are the limit */
    uint64_t body_bytes_max;     /* largest message */
};

struct feed_shape {
    uint32_t lanes;          /* one a core */
    uint32_t submit_slots;   /* each lane: unfinished jobs, power of two */
    uint32_t complete_slots; /* each lane: results that find room however long they are, power of two */
    uint64_t arena_bytes;
    uint32_t recipients_max;     /* of one ring job */
    uint32_t envelope_bytes_max; /* of one ring job: what its copy may take */
    uint64_t hash_seed;
    uint64_t engine_epoch; /* differs after every start */
    bool ordinary_pages;   /* do not ask for huge pages */
};

/* ---- control thread ---- */

struct feed; /* one attached producer */

/* feed_open creates the memfd (huge pages where they can be had) and maps it; *fd is given to the producer and closed
 * by the caller.  feed_seal, after the producer's acknowledgement, adds F_SEAL_FUTURE_WRITE, SHRINK, GROW and SEAL and
 * touches every page.  feed owns wake_engine, an eventfd, and wake_producer, the producer's end of a
 * socket pair: what it does with its end cannot make the engine wait.
 */
struct feed *feed_open(const struct feed_shape *shape, const struct feed_rights *rights, int *fd,
                       struct error *err) must_check;
bool feed_seal(struct feed *feed, struct error *err) must_check;
/* wake_engine is rung when some lane's core sleeps (feed_sleep).  Where several cores wait for it, each has it in an epoll
 * set of its own with EPOLLET and nobody reads it, so that no core takes another's ring.
 */
int feed_wake_engine_fd(const struct feed *feed);
/* wake_held is rung when a job ends while some lane's core sleeps that the feed's limit holds back (rights.jobs_in_flight_max).
 * It is the engine's alone, so that no producer can make a core wait that rings it; to be waited for as wake_engine is.
 */
int feed_wake_held_fd(const struct feed *feed);
int feed_wake_producer_fd(const struct feed *feed);
const struct feed_rights *feed_rights(const struct feed *feed);
bool feed_broken(const struct feed *feed);       /* any thread: a lane met a protocol error or a SIGBUS */
const char *feed_fault(const struct feed *feed); /* a sentence for the log, once broken */

/* feed_close unmaps; no core may use it any more.  wipe: the producer has let go; while it has not, results and bodies
 * in there are still its own to read, and it wipes them.
 */
void feed_close(struct feed *feed, bool wipe);

/* feed_sigbus_install: a SIGBUS inside a feed's region breaks that feed and nothing else: the page is replaced
 * by zeros.  Once a process, before the first feed.
 */
bool feed_sigbus_install(struct error *err) must_check;

/* ---- core ---- */

enum feed_flags { /* of a job; the same numbers as HL_JOB_* in feed.h */
                  FEED_SMTPUTF8 = 1 << 0,
                  FEED_REQUIRETLS = 1 << 1,
                  FEED_TLS_OPTIONAL = 1 << 2, /* TLS-Required: no */
                  FEED_EXCEPTION = 1 << 3,
                  FEED_8BITMIME = 1 << 4,
};

struct feed_recipient {
    struct span address; /* in envelope; no control characters, spaces or angle brackets */
    struct span dsn;     /* in envelope; " NOTIFY=..." or empty */
    uint32_t index;      /* its position in the job, goes back in the result */
};

/* The engine's own copy of one job; memory of the caller's pool: feed_job_bytes(shape) each. */
struct feed_job {
    struct list link; /* the holder's */
    struct feed *feed;
    uint32_t lane;
    uint64_t id;          /* the library's, and in it the slot for feed_stage */
    uint64_t cookie;      /* what of it counts the jobs */
    uint64_t deadline_us; /* absolute CLOCK_MONOTONIC; DEADLINE_NEVER */
    uint32_t flags;       /* enum feed_flags */
    uint8_t tls_floor;    /* enum policy_level's number, checked to be one */
    uint8_t priority;
    uint32_t source_pool;
    char domain[FEED_DOMAIN_MAX];   /* destination: lower-case A-labels or an address literal "[...]" */
    char next_hop[FEED_DOMAIN_MAX]; /* "" or "host", "host:port", "[addr]:port" from the job */
    char tag[64];
    struct span sender;  /* in envelope */
    uint32_t recipients; /* at least 1 */
    struct feed_recipient *recipient;
    uint32_t extents;
    struct span
        extent[FEED_EXTENTS_MAX]; /* in the arena: checked to be inside, contents not to be believed */
    uint64_t body_bytes;
    uint32_t done; /* recipients reported; in [0, recipients] */
    /* recipients' array and envelope follow */
};

size_t feed_job_bytes(const struct feed_shape *shape);

/* feed_job_fetch asks the processor for the lines of a job that will be read soon, and reads none itself. */
void feed_job_fetch(struct feed_job *job, const struct feed_shape *shape);

enum feed_take_result {
    FEED_EMPTY, /* nothing there, or no room for its results yet */
    FEED_TAKEN, /* job is filled */
    FEED_REFUSED, /* job is filled as far as its results need; why says what is wrong: report it for each recipient */
    FEED_BROKEN, /* protocol error: detach the feed */
};

/* feed_take takes the next job of the core's lane, copies and checks it.  It is taken only when the completion
 * ring has room for all of its results beside those still owed.
 */
enum feed_take_result feed_take(struct feed *feed, uint32_t lane, struct feed_job *job, struct outcome *why);

/* feed_stage makes the job's stage visible to the producer, with release order: before the bytes leave. */
void feed_stage(const struct feed_job *job, enum stage stage);

/* What a result carries beside the outcome; texts are cut to the slot's fields. */
struct feed_evidence {
    bool tls, resumed, remembered, reused, exception, pkix;
    uint16_t version;
    uint8_t level; /* demanded */
    const char *cipher, *group, *signature, *matched_name, *policy_source;
    const uint8_t *cert_sha256, *spki_sha256; /* 32 bytes, or NULL */
};

struct feed_delivery {
    const char *mx_host;    /* "" when none was tried */
    const uint8_t *mx_addr; /* 16 bytes, IPv4-mapped, or NULL */
    uint16_t mx_port;
    uint64_t queued_us, connected_us, secured_us, sent_us, replied_us; /* CLOCK_MONOTONIC; 0: not reached */
    const struct feed_evidence *evidence;                              /* NULL: none */
};

/* feed_report writes the result of one recipient (number r of the job); exactly once for each.  Visible to
 * the producer at the next feed_flush.
 */
void feed_report(struct feed_job *job, uint32_t r, const struct outcome *outcome,
                 const struct feed_delivery *delivery);

/* feed_flush publishes results and freed slots of a lane and wakes the producer if it sleeps; once a turn. */
void feed_flush(struct feed *feed, uint32_t lane);

/* feed_sleep / feed_awake: the core says that it may sleep, so that producers ring wake_engine; a core that found
 * work in between must not sleep (feed_sleep returns false).
 */
bool feed_sleep(struct feed *feed, uint32_t lane);
void feed_awake(struct feed *feed, uint32_t lane);

/* Jobs of this lane that are taken and not yet fully reported. */
uint32_t feed_in_flight(const struct feed *feed, uint32_t lane);

#endif
