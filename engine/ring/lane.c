/* lane.c: the engine's end of one lane: entries in, results owed, wake-ups. */
#include "engine/ring/feed_private.h"

#include <string.h>
#include <unistd.h>

/* So many jobs ahead a slot is fetched, and then its record. */
#define FETCH_SLOT   8u
#define FETCH_RECORD 4u
#define FETCH_BYTES  (3 * CACHE_LINE) /* where most records end */

static void wake(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n; /* EAGAIN: the counter is full, so it wakes already */
}

static bool has_entry(struct feed *feed, struct feed_lane *lane)
{
    if (lane->submit_tail != lane->submit_head)
        return true;
    uint32_t tail = atomic_load_explicit(&lane->shared->submit_tail, memory_order_acquire);
    if (unlikely(tail - lane->submit_head > feed->shape.submit_slots)) {
        feed_break(feed, "its submission index jumped from %u to %u", lane->submit_tail, tail);
        return false;
    }
    lane->submit_tail = tail;
    return tail != lane->submit_head;
}

static uint32_t completion_room(const struct feed *feed, const struct feed_lane *lane)
{
    return feed->shape.complete_slots - (lane->complete_tail - lane->complete_head) - lane->owed;
}

static bool has_room(struct feed *feed, struct feed_lane *lane, uint32_t results)
{
    if (completion_room(feed, lane) >= results)
        return true;
    uint32_t head = atomic_load_explicit(&lane->shared->complete_head, memory_order_acquire);
    if (unlikely(head - lane->complete_head > lane->published - lane->complete_head)) {
        feed_break(feed, "its completion index jumped from %u to %u", lane->complete_head, head);
        return false;
    }
    lane->complete_head = head;
    return completion_room(feed, lane) >= results;
}

static bool is_busy(const struct feed_lane *lane, uint32_t slot)
{
    return lane->busy[slot / 64] >> (slot % 64) & 1;
}

/* What one entry leads to, copied before it is looked at. */
struct entry {
    uint32_t slot;
    uint32_t record_bytes;
    uint64_t record_offset, cookie;
    const uint8_t *record;
    struct ring_record head;
};

static bool read_entry(struct feed *feed, struct feed_lane *lane, struct entry *e)
{
    uint32_t at = lane->submit_head & (feed->shape.submit_slots - 1);
    e->slot = atomic_load_explicit(&lane->entry[at], memory_order_relaxed);
    if (e->slot >= feed->shape.submit_slots || is_busy(lane, e->slot)) {
        feed_break(feed, "it submitted slot %u, which is not its own", e->slot);
        return false;
    }
    const volatile struct ring_slot *slot = feed_slot(lane, e->slot);
    e->record_offset = slot->record_offset;
    e->record_bytes = slot->record_bytes;
    e->cookie = slot->cookie;

    uint64_t within = e->record_offset - feed->arena_offset;
    if (e->record_offset % 8 || e->record_bytes < sizeof(e->head) ||
        e->record_bytes > feed->shape.envelope_bytes_max || e->record_offset < feed->arena_offset ||
        within > feed->shape.arena_bytes || e->record_bytes > feed->shape.arena_bytes - within) {
        feed_break(feed, "it submitted a record of %u bytes at %llu, outside of its arena", e->record_bytes,
                   (unsigned long long)e->record_offset);
        return false;
    }
    e->record = feed->base + e->record_offset;
    memcpy(&e->head, e->record, sizeof(e->head));
    feed_copied();
    if (e->head.recipients < 1 || e->head.recipients > feed->shape.recipients_max) {
        feed_break(feed, "it submitted a job with %u recipients, 1 to %u are allowed", e->head.recipients,
                   feed->shape.recipients_max);
        return false;
    }
    return true;
}

/* Memory that another core wrote is far: what the next jobs need is on its way while this one is read.  Numbers are bounded
 * before they make an address; a wrong one costs its producer the help.
 */
static void fetch_ahead(const struct feed *feed, const struct feed_lane *lane)
{
    uint32_t mask = feed->shape.submit_slots - 1, ahead = lane->submit_tail - lane->submit_head;
    if (ahead > FETCH_SLOT) {
        uint32_t slot =
            atomic_load_explicit(&lane->entry[(lane->submit_head + FETCH_SLOT) & mask], memory_order_relaxed);
        __builtin_prefetch(feed_slot(lane, slot & mask), 1);
    }
    if (ahead > FETCH_RECORD) {
        uint32_t slot = atomic_load_explicit(&lane->entry[(lane->submit_head + FETCH_RECORD) & mask],
                                             memory_order_relaxed);
        const volatile struct ring_slot *s = feed_slot(lane, slot & mask);
        uint64_t at = min_u64(s->record_offset, feed->arena_offset + feed->shape.arena_bytes - FETCH_BYTES);
        __builtin_prefetch(feed->base + at);
        __builtin_prefetch(feed->base + at + CACHE_LINE);
        __builtin_prefetch(feed->base + at + 2 * CACHE_LINE);
    }
}

static bool under_limit(struct feed *feed)
{
    uint64_t max = feed->rights.jobs_in_flight_max;
    if (max == 0)
        return true;
    if (atomic_fetch_add_explicit(&feed->jobs_in_flight, 1, memory_order_relaxed) < max)
        return true;
    atomic_fetch_sub_explicit(&feed->jobs_in_flight, 1, memory_order_relaxed);
    return false;
}

static void own(struct feed *feed, uint32_t number, const struct entry *e, struct feed_job *job)
{
    struct feed_lane *lane = &feed->lane[number];
    lane->submit_head++;
    lane->busy[e->slot / 64] |= 1ull << (e->slot % 64);
    lane->in_flight++;
    lane->owed += e->head.recipients;

    job->feed = feed;
    job->lane = number;
    job->slot = e->slot;
    job->cookie = e->cookie;
    job->recipients = e->head.recipients;
    job->done = 0;
    feed_stage(job, STAGE_SUBMIT);
    uint32_t at = (lane->complete_tail + lane->owed) & (feed->shape.complete_slots - 1);
    __builtin_prefetch(lane->results + (size_t)at * RING_RESULT_BYTES, 1);
    __builtin_prefetch(lane->results + (size_t)at * RING_RESULT_BYTES + CACHE_LINE, 1);
    __builtin_prefetch(lane->results + (size_t)at * RING_RESULT_BYTES + 2 * CACHE_LINE, 1);
}

enum feed_take_result feed_take(struct feed *feed, uint32_t number, struct feed_job *job, struct outcome *why)
{
    struct feed_lane *lane = &feed->lane[number];
    struct entry e;

    lane->starved = false;
    if (unlikely(feed_broken(feed)))
        return FEED_BROKEN;
    if (!has_entry(feed, lane))
        return feed_broken(feed) ? FEED_BROKEN : FEED_EMPTY;
    fetch_ahead(feed, lane);
    if (!read_entry(feed, lane, &e))
        return FEED_BROKEN;
    if (!has_room(feed, lane, e.head.recipients)) {
        lane->starved = true;
        return feed_broken(feed) ? FEED_BROKEN : FEED_EMPTY;
    }
    if (!under_limit(feed))
        return FEED_EMPTY;
    own(feed, number, &e, job);
    return feed_job_read(feed, job, &e.head, e.record, e.record_bytes, why) ? FEED_TAKEN : FEED_REFUSED;
}

void feed_stage(const struct feed_job *job, enum stage stage)
{
    struct ring_slot *slot = feed_slot(&job->feed->lane[job->lane], job->slot);
    atomic_store_explicit(&slot->stage, (uint32_t)stage, memory_order_release);
    /* What the caller sends next must not be moved in front of this: a kill may fall between the two. */
    atomic_signal_fence(memory_order_seq_cst);
}

void feed_flush(struct feed *feed, uint32_t number)
{
    struct feed_lane *lane = &feed->lane[number];
    if (lane->head_published != lane->submit_head) {
        lane->head_published = lane->submit_head;
        atomic_store_explicit(&lane->shared->submit_head, lane->submit_head, memory_order_release);
    }
    if (lane->published == lane->complete_tail)
        return;
    lane->published = lane->complete_tail;
    atomic_store_explicit(&lane->shared->complete_tail, lane->complete_tail, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* results first, then the look whether it sleeps */
    _Atomic uint32_t *sleeping = &feed->header->producer_sleeping;
    if (unlikely(atomic_load_explicit(sleeping, memory_order_relaxed)) && atomic_exchange(sleeping, 0))
        wake(feed->wake_producer);
}

/* A lane that waits for room has nothing to do until the producer reads results, which rings as well. */
static bool work_is_left(struct feed *feed, struct feed_lane *lane)
{
    if (feed_broken(feed) || !has_entry(feed, lane))
        return feed_broken(feed);
    return !(lane->starved &&
             atomic_load_explicit(&lane->shared->complete_head, memory_order_acquire) == lane->complete_head);
}

bool feed_sleep(struct feed *feed, uint32_t number)
{
    struct feed_lane *lane = &feed->lane[number];
    atomic_store_explicit(&lane->shared->engine_sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* first we say that we sleep, then we look for work */
    if (!work_is_left(feed, lane))
        return true;
    feed_awake(feed, number);
    return false;
}

void feed_awake(struct feed *feed, uint32_t number)
{
    atomic_store_explicit(&feed->lane[number].shared->engine_sleeping, 0, memory_order_relaxed);
}

uint32_t feed_in_flight(const struct feed *feed, uint32_t number)
{
    return feed->lane[number].in_flight;
}
