/* ring_ends.h: the two ends that bench_ring measures: a thread that is a core's end, and what a producer does at the other. */
#ifndef BENCH_RING_ENDS_H
#define BENCH_RING_ENDS_H

#include "engine/ring/feed.h"
#include "engine/ring/feed_private.h"

#define BURST 32u /* jobs submitted together */

struct ring_threads {
    int cpu[2];    /* producer, engine; -1: not pinned */
    bool realtime; /* both with SCHED_FIFO */
};

void die(const char *what, const char *why) __attribute__((noreturn));
void settle_on(int cpu, bool realtime); /* the calling thread */

/* ---- the engine's end ---- */

void engine_start(const struct ring_threads *threads);
void engine_stop(void);
const char *engine_socket(void);
struct feed *engine_feed(void);
const struct feed_shape *engine_shape(void);

/* engine_pause makes the thread leave the feed alone, so that the caller may be the engine's end itself, or lets it go on. */
void engine_pause(bool paused);

/* engine_serve takes what is there, up to a burst, and reports it as delivered; false: there was nothing. */
bool engine_serve(struct feed *feed, struct feed_job *memory);

/* A sleepy engine goes to sleep where there is no job, and does not tell of one before the producer has gone to sleep, too.
 * Both times are figures_now_ns.
 */
void engine_be_sleepy(bool sleepy);
uint64_t engine_taken_ns(void); /* when the last job was taken */
uint64_t engine_told_ns(void);  /* just before the flush that told of it */

/* ---- the producer's end ---- */

struct ring_messages {
    hl_body *shared; /* NULL: each has a copy of the text */
    size_t bytes;
};

/* messages_open makes a text of so many bytes, in the arena where it is shared. */
struct ring_messages messages_open(hl_feed *feed, bool share, size_t bytes);
void messages_close(struct ring_messages *messages);

/* Jobs number, number + 1 and so on, one recipient each; count in [0, BURST]. */
const struct hl_job *messages_make(const struct ring_messages *messages, unsigned count, uint64_t number);
void producer_submit(hl_feed *feed, const struct hl_job *jobs, unsigned count);
unsigned producer_reap(hl_feed *feed); /* how many results there were, each of them good */

#endif
