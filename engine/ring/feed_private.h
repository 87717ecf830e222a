/* feed_private.h: the engine's own state of one feed.  Nothing in here is shared with the producer. */
#ifndef ENGINE_RING_FEED_PRIVATE_H
#define ENGINE_RING_FEED_PRIVATE_H

#include "engine/ring/layout.h"
#include "engine/ring/names.h"
#include "engine/ring/ring.h"
#include "engine/ring/stream.h"

/* One lane, touched by its core alone; padded, because the next lane is another core's. */
struct feed_lane {
    cache_aligned struct ring_lane *shared;
    struct stream in, out;    /* jobs, results */
    _Atomic uint64_t *stages; /* of each slot */
    uint64_t *busy;           /* bit s: slot s is ours */
    uint64_t submit_tail;     /* as last seen */
    uint64_t complete_head;   /* as last seen */
    uint64_t head_published;  /* of in.position */
    uint64_t published;       /* of out.position: what follows waits for a flush */
    uint64_t turn_at; /* of out.position: when going back to the stream's first byte is thought of again */
    uint32_t owed;    /* results of the jobs in flight that are not written yet */
    bool starved;     /* the last take found a job and no room for its results */
    bool held;        /* it found one, and the feed at its limit */
    /* Jobs; in [0, submit_slots].  Not beside owed: loaded as one word, both would wait for each other's stores. */
    uint32_t in_flight;
    struct ring_known sender; /* the last one that may pass */
};

struct feed {
    struct feed_shape shape;
    struct feed_rights rights;
    uint8_t *base;
    size_t bytes;
    size_t page_bytes;
    uint64_t arena_offset;
    struct ring_header *header;      /* written, never believed */
    int memfd;                       /* -1 once sealed */
    int wake_engine, wake_producer;  /* the producer has them as well */
    int bell;                        /* our end of wake_producer */
    int wake_held;                   /* ours alone */
    _Atomic uint32_t jobs_in_flight; /* over all lanes; only kept when rights limit it */
    _Atomic uint64_t held_asleep;    /* bit l: lane l's core sleeps until fewer are */
    _Atomic uint32_t broken;         /* enum feed_break */
    char fault[192];                 /* written once, by the winner of `broken` */
    struct feed_lane lane[];
};

enum feed_break { FEED_SOUND = 0, FEED_BREAKING, FEED_IS_BROKEN };

/* feed_break marks the feed as broken; the first fault is kept.  Any thread. */
void feed_break(struct feed *feed, const char *fmt, ...) printf_like(2, 3);

/* Where the regions are, for the SIGBUS handler. */
bool feed_sigbus_add(struct feed *feed);
void feed_sigbus_remove(struct feed *feed);

/* feed_job_read fills job from the record behind `head`, the private copy of its head; false: *why says what is wrong, and job has
 * what its results need.  rest_bytes: of the record behind its head.
 */
bool feed_job_read(struct feed *feed, struct feed_job *job, const struct ring_job *head, const uint8_t *rest,
                   uint32_t rest_bytes, struct outcome *why);

static inline uint32_t feed_slot_of(uint64_t id)
{
    return (uint32_t)id & RING_SLOT_MASK;
}

/* feed_room: the lane's results keep room for all that is owed and `more`, each as long as can be, and for what one of them may
 * leave free at the stream's end.
 */
static inline bool feed_room(const struct feed_lane *lane, uint64_t more)
{
    return lane->out.bytes - (lane->out.position - lane->complete_head) >=
           (lane->owed + more + 1) * RING_RESULT_MAX;
}

/* feed_ended_one: a job of the feed has all of its results; lanes that its limit holds may go on. */
void feed_ended_one(struct feed *feed);

/* feed_see_head reads how far the producer has come with results; false: the feed is broken. */
bool feed_see_head(struct feed *feed, struct feed_lane *lane);

#endif
