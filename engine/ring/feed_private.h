/* feed_private.h: the engine's own state of one feed.  Nothing in here is shared with the producer. */
#ifndef ENGINE_RING_FEED_PRIVATE_H
#define ENGINE_RING_FEED_PRIVATE_H

#include "engine/ring/layout.h"
#include "engine/ring/ring.h"

/* One lane, touched by its core alone; padded, because the next lane is another core's. */
struct feed_lane {
    cache_aligned struct ring_lane *shared;
    _Atomic uint32_t *entry; /* submission ring */
    uint8_t *slots, *results;
    uint64_t *busy;          /* bit s: slot s is ours */
    uint32_t submit_head;    /* next entry to read */
    uint32_t submit_tail;    /* as last seen */
    uint32_t complete_tail;  /* next result to write; [published, complete_tail) waits for a flush */
    uint32_t published;      /* of complete_tail */
    uint32_t head_published; /* of submit_head */
    uint32_t complete_head;  /* as last seen */
    uint32_t owed;           /* results of the jobs in flight that are not written yet */
    bool starved;            /* the last take found a job and no room for its results */
    uint32_t in_flight;      /* jobs; in [0, submit_slots] */
};

struct feed {
    struct feed_shape shape;
    struct feed_rights rights;
    uint8_t *base;
    size_t bytes;
    size_t page_bytes;
    uint64_t arena_offset;
    struct ring_header *header; /* written, never believed */
    int memfd;                  /* -1 once sealed */
    int wake_engine, wake_producer;
    _Atomic uint32_t jobs_in_flight; /* over all lanes; only kept when rights limit it */
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

/* feed_job_read fills job from the record of a slot, which the caller has found to lie in the arena; false: *why says
 * what is wrong, and job has what its results need.  `head` is the private copy of the record's head.
 */
bool feed_job_read(const struct feed *feed, struct feed_job *job, const struct ring_record *head,
                   const uint8_t *record, uint32_t record_bytes, struct outcome *why);

/* feed_copied keeps the compiler from looking at the producer's bytes again: what is checked after it is the copy. */
static inline void feed_copied(void)
{
    __asm__ __volatile__("" ::: "memory");
}

static inline struct ring_slot *feed_slot(const struct feed_lane *lane, uint32_t slot)
{
    return (struct ring_slot *)(lane->slots + (size_t)slot * sizeof(struct ring_slot));
}

#endif
