/* lib.h: the producer library's own state.  Nothing in here is shared with the engine. */
#ifndef ENGINE_RING_LIB_LIB_H
#define ENGINE_RING_LIB_LIB_H

#include "engine/base/bytes.h"
#include "engine/base/list.h"
#include "engine/ring/feed.h"
#include "engine/ring/layout.h"
#include "engine/ring/lib/arena.h"
#include "engine/ring/names.h"
#include "engine/ring/stream.h"

#define RECIPIENT_DONE   UINT32_MAX
#define SMALL_PARTS      2u /* of a message whose memory is kept for the next one */
#define SMALL_RECIPIENTS 8u
#define RESULT_WORDS     7u   /* strings of a result */
#define WORD_BYTES       256u /* with the NUL: their lengths are a byte each */

/* A piece of the arena that a caller reserved. */
struct hl_body {
    struct list link; /* feed.bodies */
    hl_feed *feed;    /* NULL: the feed is detached */
    uint64_t offset;  /* in the arena; ARENA_NONE: lost in a reattach */
    size_t bytes;
    uint32_t claims; /* the caller's and those of messages; freed at 0 */
    bool is_clean; /* all of its line ends were found to be CRLF, and it is submitted, so it stays as it is */
    bool has_8bit; /* if it is clean */
};

struct message_part {
    hl_body *body;   /* NULL: in the message's own piece */
    uint64_t offset; /* in the body, or in the message's piece */
    uint64_t bytes;
};

/* What one hl_submit made; lives until the last result. */
struct message {
    uint64_t cookie;
    uint64_t submitted_us;
    uint64_t piece; /* of the arena: its copied parts; ARENA_NONE: it has none */
    uint64_t piece_bytes;
    uint64_t engine_epoch; /* whose memory holds it */
    uint32_t left;         /* recipients without result */
    uint32_t parts;        /* of part[] */
    bool is_small;         /* has memory for SMALL_PARTS and SMALL_RECIPIENTS */
    uint32_t
        *index; /* caller's index of each recipient, batch by batch; RECIPIENT_DONE once it has its result */
    struct message *spare_next;
    struct message_part part[];
};

/* One ring job: a slot of a lane in use. */
struct job {
    struct message *message; /* NULL: the slot is free */
    uint64_t id;             /* on the stream */
    uint32_t lane, at;       /* of its record on the stream */
    uint32_t record_bytes;
    uint32_t recipients; /* at least 1 */
    uint32_t left;       /* of them without result */
    uint32_t *index;     /* of them, in message.index */
};

struct lane {
    struct ring_lane *shared;
    struct stream out, in;    /* jobs, results */
    _Atomic uint64_t *stages; /* of each slot */
    uint64_t submit_head;     /* as last seen */
    uint64_t head_published;  /* of in.position */
    uint32_t free_count;      /* of free_slot[]: slots that nobody uses */
    uint32_t *free_slot;
    struct job *job; /* of each slot */
};

/* The connection to one engine; a reattach makes another. */
struct region {
    int sock, wake_engine, wake_producer;
    uint8_t *base;
    size_t bytes;
    struct ring_header head; /* a copy, checked once */
    struct ring_header *shared;
    struct arena arena;
    struct lane *lane;
};

/* How far the engine is gone. */
enum gone {
    ENGINE_ALIVE = 0,
    ENGINE_DEAD,       /* its stages can be read */
    ENGINE_DISTRUSTED, /* it wrote what no engine writes: all that is unfinished is in doubt */
};

struct target; /* split.c */
struct batch;

struct hl_feed {
    struct region region;
    int epoll;
    enum gone gone;
    bool given_up;     /* what the dead engine had not looked at is not sent */
    bool drained;      /* hl_reap said -EPIPE */
    bool armed;        /* producer_sleeping may be set, wake_producer may be readable */
    _Atomic bool busy; /* a call is inside */
    uint32_t empty_reaps;
    uint32_t sleep_at_once;              /* waits that do not look first; in [0, SLEEPS_AFTER] of wait.c */
    uint32_t looks;                      /* waits that did */
    uint32_t next_lane;                  /* to reap */
    uint32_t verdict_lane, verdict_slot; /* how far verdicts are given */
    uint32_t recipients_in_flight;
    uint64_t next_id;     /* above the slot's bits */
    uint64_t unpublished; /* bit l: lane l has jobs that the engine does not see yet */
    struct list bodies;
    struct message *spare;  /* small ones, linked by spare_next */
    char *words, *words_at; /* strings of the results reaped last; HL_REAP_MAX * RESULT_WORDS * WORD_BYTES */
    struct job *stranded;   /* could not move to a new engine: not sent */
    uint32_t stranded_count;
    char goodbye[HL_ERROR_TEXT_MAX];
    int timeout_ms;
    char socket_path[108];
    char name[64];

    /* Scratch of split.c, grown as needed. */
    struct ring_name destination; /* of a message of one recipient */
    struct ring_known sender;     /* the last one that may pass */
    struct target *target;
    struct batch *batch;
    char *names;
    size_t target_cap, batch_cap, names_cap;
};

/* feed.c: a feed without a region; NULL: out of memory.  hl_feed_detach frees it. */
hl_feed *feed_new(void);

/* error.c: fills *error, which may be NULL; returns -code. */
int fail(struct hl_error *error, int code, const char *fmt, ...) printf_like(3, 4);

/* A feed belongs to one thread at a time; feed_enter says when a second one comes meanwhile: 0, or fail()'s.  Who came in leaves. */
int fail_busy(struct hl_error *error);

static inline int feed_enter(hl_feed *feed, struct hl_error *error)
{
    return likely(!atomic_exchange_explicit(&feed->busy, true, memory_order_acquire)) ? 0 : fail_busy(error);
}

static inline void feed_leave(hl_feed *feed)
{
    atomic_store_explicit(&feed->busy, false, memory_order_release);
}

/* attach.c: region_open is the whole hand-over, region_adopt the part behind the socket: maps, checks, prepares. */
int region_open(struct region *region, const hl_feed *feed, int timeout_ms, struct hl_error *error);
int region_adopt(struct region *region, int memfd, struct hl_error *error);
void region_close(struct region *region, bool wipe);
int feed_watch(hl_feed *feed, const struct region *region, struct hl_error *error); /* wait.c */

/* alive.c: looks at the socket; true when the engine is gone. */
bool engine_is_gone(hl_feed *feed);
void engine_distrust(hl_feed *feed, const char *what);
int fail_gone(const hl_feed *feed, struct hl_error *error);

/* lines.c: a message's line ends over its parts. */
struct lines {
    bool cr; /* the byte before was a CR */
    bool has_8bit;
    uint64_t bytes; /* seen by lines_check, up to what is bare */
};

/* lines_check judges one part; NULL, or what is bare at lines->bytes: "CR", "LF". */
const char *lines_check(struct lines *lines, const uint8_t *data, size_t bytes);

/* lines_copy copies one part meanwhile; what is in `out` counts only where nothing is bare. */
const char *lines_copy(struct lines *lines, const uint8_t *data, size_t bytes, uint8_t *out);

/* lines_normalise gives the bytes that a part takes once every bare CR and LF is CRLF, and writes them where out is
 * not NULL.  lines_end gives what must follow the last part: 1 for the LF of a last CR, else 0.
 */
size_t lines_normalise(struct lines *lines, const uint8_t *data, size_t bytes, uint8_t *out);
size_t lines_end(const struct lines *lines);

uint64_t lines_count(const uint8_t *data, size_t bytes); /* LFs */

/* body.c */
void body_unclaim(hl_body *body);

/* split.c: recipients to batches, one ring job each. */
struct target {
    const struct hl_recipient *recipient;
    const char *name; /* destination, name_bytes long, in feed.names */
    size_t name_at;
    uint32_t index;
    uint32_t bytes; /* in a record */
    uint8_t name_bytes;
};

struct batch {
    uint32_t lane;
    uint32_t first, count; /* of target[] */
    uint32_t record_bytes; /* multiple of 8 */
};

int split(hl_feed *feed, const struct hl_job *job, uint32_t *batches, struct hl_error *error);

/* usual.c: submits a message that is like nearly all; false: nothing has changed, and the whole way is to be gone. */
bool submit_usual(hl_feed *feed, const struct hl_job *job, uint64_t now_us);

/* record.c: a record of a job that has its slot, its parts: the fixed one (gives what follows it), the extents of its message, all. */
uint8_t *write_head(const hl_feed *feed, uint8_t *at, const struct hl_job *job, const struct job *placed,
                    bool has_8bit);
void write_extents(const hl_feed *feed, const struct message *message, uint8_t *at);
void write_record(const hl_feed *feed, uint8_t *record, const struct hl_job *job, const struct job *placed,
                  bool has_8bit, const struct batch *batch);

/* So many bytes of records, in pieces of at most `longest`, find room on a lane's stream. */
bool lane_has_room(struct lane *lane, uint64_t bytes, uint32_t longest);

/* place.c: jobs onto the ring. */
struct message *message_new(hl_feed *feed, uint64_t cookie, uint32_t parts, uint32_t recipients);
void message_free(hl_feed *feed, struct message *message);
void message_drop(hl_feed *feed, struct message *message); /* one that has nothing yet */
void messages_close(hl_feed *feed);                        /* the memory that is kept */

/* job_slot takes one of the lane's free slots, which there must be, for a job whose id is chosen here; the caller fills in the
 * rest.
 */
struct job *job_slot(hl_feed *feed, uint32_t lane);

/* job_record gives where the job's record goes, for which there must be room: the caller writes it, with the fixed part's
 * bytes and id, before the next publish.
 */
uint8_t *job_record(hl_feed *feed, struct job *job);
void job_settle(hl_feed *feed, uint32_t lane, uint32_t slot); /* all its results are in */
void publish(hl_feed *feed);
void ring_if_asleep(const hl_feed *feed, struct lane *lane); /* after what it shall see, and a full fence */

static inline uint8_t *arena_at(const struct region *region, uint64_t offset)
{
    return region->base + region->head.arena_offset + offset;
}

#endif
