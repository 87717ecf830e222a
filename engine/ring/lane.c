/* lane.c: the engine's end of one lane: entries in, results owed, wake-ups. */
#include "engine/ring/feed_private.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FETCH_AHEAD 512u /* bytes, some five jobs */

/* Never waits, whatever the producer did with its end. */
static void wake(int bell)
{
    const uint64_t one = 1;
    ssize_t n = send(bell, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n; /* EAGAIN: rings that it has not read wake it already */
}

static bool has_job(struct feed *feed, struct feed_lane *lane)
{
    if (lane->submit_tail != lane->in.position)
        return true;
    uint64_t tail = atomic_load_explicit(&lane->shared->submit_tail, memory_order_acquire);
    if (unlikely(tail - lane->in.position > lane->in.bytes || tail % 8)) {
        feed_break(feed, "its submission index jumped from %llu to %llu",
                   (unsigned long long)lane->submit_tail, (unsigned long long)tail);
        return false;
    }
    lane->submit_tail = tail;
    return tail != lane->in.position;
}

bool feed_see_head(struct feed *feed, struct feed_lane *lane)
{
    uint64_t head = atomic_load_explicit(&lane->shared->complete_head, memory_order_acquire);
    if (unlikely(head - lane->complete_head > lane->published - lane->complete_head)) {
        feed_break(feed, "its completion index jumped from %llu to %llu",
                   (unsigned long long)lane->complete_head, (unsigned long long)head);
        return false;
    }
    lane->complete_head = head;
    return true;
}

static bool has_room(struct feed *feed, struct feed_lane *lane, uint32_t results)
{
    return feed_room(lane, results) || (feed_see_head(feed, lane) && feed_room(lane, results));
}

static bool is_busy(const struct feed_lane *lane, uint32_t slot)
{
    return lane->busy[slot / 64] >> (slot % 64) & 1;
}

/* The stream is read from its first byte once its end is skipped; false: nothing more, or the feed is broken. */
static bool skip_end(struct feed *feed, struct feed_lane *lane)
{
    if (lane->in.at == 0 || stream_rest(&lane->in) > lane->submit_tail - lane->in.position) {
        feed_break(feed, "it submitted what ends behind its index");
        return false;
    }
    stream_advance(&lane->in, stream_rest(&lane->in));
    return has_job(feed, lane);
}

/* Copies the next job's head, checks what the lane stands on, and finds the rest to lie in the stream. */
static bool read_head(struct feed *feed, struct feed_lane *lane, struct ring_job *head)
{
    uint64_t there = lane->submit_tail - lane->in.position;
    memcpy(head, lane->in.base + lane->in.at,
           sizeof(*head)); /* past the stream's end is the next part of the region */
    stream_copied(head);
    if (head->bytes % 8 || head->bytes < sizeof(*head) || head->bytes > feed->shape.envelope_bytes_max ||
        head->bytes > stream_rest(&lane->in) || head->bytes > there) {
        feed_break(feed, "it submitted a record of %u bytes, outside of its stream", head->bytes);
        return false;
    }
    uint32_t slot = feed_slot_of(head->id);
    if (slot >= feed->shape.submit_slots || is_busy(lane, slot)) {
        feed_break(feed, "it submitted slot %u, which is not its own", slot);
        return false;
    }
    if (head->recipients < 1 || head->recipients > feed->shape.recipients_max) {
        feed_break(feed, "it submitted a job with %u recipients, 1 to %u are allowed", head->recipients,
                   feed->shape.recipients_max);
        return false;
    }
    return true;
}

static bool below_limit(const struct feed *feed)
{
    return atomic_load(&feed->jobs_in_flight) < feed->rights.jobs_in_flight_max;
}

static bool under_limit(struct feed *feed)
{
    uint64_t max = feed->rights.jobs_in_flight_max;
    if (max == 0)
        return true;
    if (!below_limit(feed))
        return false; /* looked at first: all cores share the word */
    if (atomic_fetch_add_explicit(&feed->jobs_in_flight, 1, memory_order_relaxed) < max)
        return true;
    atomic_fetch_sub_explicit(&feed->jobs_in_flight, 1, memory_order_relaxed);
    return false;
}

static void own(struct feed *feed, uint32_t number, const struct ring_job *head, struct feed_job *job)
{
    struct feed_lane *lane = &feed->lane[number];
    uint32_t slot = feed_slot_of(head->id);
    lane->busy[slot / 64] |= 1ull << (slot % 64);
    lane->in_flight++;
    lane->owed += head->recipients;

    job->feed = feed;
    job->lane = number;
    job->id = head->id;
    job->cookie = head->id >> RING_SLOT_BITS;
    job->recipients = head->recipients;
    job->done = 0;
    feed_stage(job, STAGE_SUBMIT);
}

enum feed_take_result feed_take(struct feed *feed, uint32_t number, struct feed_job *job, struct outcome *why)
{
    struct feed_lane *lane = &feed->lane[number];
    struct ring_job head;

    lane->starved = lane->held = false;
    if (unlikely(feed_broken(feed)))
        return FEED_BROKEN;
    if (!has_job(feed, lane) || (stream_word(&lane->in) == RING_SKIP && !skip_end(feed, lane)))
        return feed_broken(feed) ? FEED_BROKEN : FEED_EMPTY;
    if (!read_head(feed, lane, &head))
        return FEED_BROKEN;
    if (!has_room(feed, lane, head.recipients)) {
        lane->starved = true;
        return feed_broken(feed) ? FEED_BROKEN : FEED_EMPTY;
    }
    if (!under_limit(feed)) {
        lane->held = true;
        return FEED_EMPTY;
    }
    own(feed, number, &head, job);
    const uint8_t *rest = lane->in.base + lane->in.at + sizeof(head);
    __builtin_prefetch(rest + FETCH_AHEAD); /* the other core wrote it: far */
    stream_advance(&lane->in, head.bytes);
    return feed_job_read(feed, job, &head, rest, head.bytes - (uint32_t)sizeof(head), why) ? FEED_TAKEN
                                                                                           : FEED_REFUSED;
}

void feed_stage(const struct feed_job *job, enum stage stage)
{
    const struct feed_lane *lane = &job->feed->lane[job->lane];
    atomic_store_explicit(&lane->stages[feed_slot_of(job->id)], ring_stage_word(job->id, (uint32_t)stage),
                          memory_order_release);
    /* What the caller sends next must not be moved in front of this: a kill may fall between the two. */
    atomic_signal_fence(memory_order_seq_cst);
}

void feed_flush(struct feed *feed, uint32_t number)
{
    struct feed_lane *lane = &feed->lane[number];
    if (lane->head_published != lane->in.position) {
        lane->head_published = lane->in.position;
        atomic_store_explicit(&lane->shared->submit_head, lane->in.position, memory_order_release);
    }
    if (lane->published == lane->out.position)
        return;
    lane->published = lane->out.position;
    atomic_store_explicit(&lane->shared->complete_tail, lane->out.position, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* results first, then the look whether it sleeps */
    _Atomic uint32_t *sleeping = &feed->header->producer_sleeping;
    if (unlikely(atomic_load_explicit(sleeping, memory_order_relaxed)) && atomic_exchange(sleeping, 0))
        wake(feed->bell);
}

/* A lane that waits for room has nothing to do until the producer reads results, which rings as well; one that is held by its
 * feed's limit until a job of the feed ends, on whichever lane.
 */
static bool work_is_left(struct feed *feed, struct feed_lane *lane)
{
    if (feed_broken(feed) || !has_job(feed, lane))
        return feed_broken(feed);
    if (lane->starved)
        return atomic_load_explicit(&lane->shared->complete_head, memory_order_acquire) !=
               lane->complete_head;
    return !lane->held || below_limit(feed);
}

bool feed_sleep(struct feed *feed, uint32_t number)
{
    struct feed_lane *lane = &feed->lane[number];
    if (lane->held)
        atomic_fetch_or(&feed->held_asleep, 1ull << number);
    atomic_store_explicit(&lane->shared->engine_sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* first we say that we sleep, then we look for work */
    if (!work_is_left(feed, lane))
        return true;
    feed_awake(feed, number);
    return false;
}

void feed_awake(struct feed *feed, uint32_t number)
{
    if (feed->lane[number].held)
        atomic_fetch_and(&feed->held_asleep, ~(1ull << number));
    atomic_store_explicit(&feed->lane[number].shared->engine_sleeping, 0, memory_order_relaxed);
}

void feed_ended_one(struct feed *feed)
{
    const uint64_t one = 1;
    if (feed->rights.jobs_in_flight_max == 0)
        return;
    atomic_fetch_sub(&feed->jobs_in_flight, 1);
    if (likely(!atomic_load(&feed->held_asleep)) || !atomic_exchange(&feed->held_asleep, 0))
        return;
    ssize_t n = write(feed->wake_held, &one, sizeof(one));
    (void)n; /* EAGAIN: it is rung already */
}

uint32_t feed_in_flight(const struct feed *feed, uint32_t number)
{
    return feed->lane[number].in_flight;
}
