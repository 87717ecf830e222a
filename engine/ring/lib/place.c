/* place.c: messages and their ring jobs: born, put onto a lane, settled, freed. */
#include "engine/ring/lib/lib.h"

#include <stdlib.h>
#include <unistd.h>

static noinline struct message *message_memory(uint32_t parts, uint32_t recipients)
{
    struct message *m = NULL;
    return malloc(sizeof(*m) + parts * sizeof(m->part[0]) + recipients * sizeof(m->index[0]));
}

/* NULL: out of memory. */
struct message *message_new(hl_feed *feed, uint64_t cookie, uint32_t parts, uint32_t recipients)
{
    bool is_small = parts <= SMALL_PARTS && recipients <= SMALL_RECIPIENTS;
    struct message *m = feed->spare;
    if (is_small) {
        parts = SMALL_PARTS;
        recipients = SMALL_RECIPIENTS;
    }
    if (likely(is_small && m))
        feed->spare = m->spare_next;
    else if (!(m = message_memory(parts, recipients)))
        return NULL;
    m->cookie = cookie;
    m->piece = ARENA_NONE;
    m->left = m->parts = 0;
    m->is_small = is_small;
    m->index = (uint32_t *)&m->part[parts];
    return m;
}

void message_drop(hl_feed *feed, struct message *message)
{
    if (!message->is_small) {
        free(message);
        return;
    }
    message->spare_next = feed->spare;
    feed->spare = message;
}

void messages_close(hl_feed *feed)
{
    while (feed->spare) {
        struct message *m = feed->spare;
        feed->spare = m->spare_next;
        free(m);
    }
}

void message_free(hl_feed *feed, struct message *message)
{
    for (uint32_t i = 0; i < message->parts; i++)
        if (message->part[i].body)
            body_unclaim(message->part[i].body);
    if (message->piece != ARENA_NONE)
        arena_give(&feed->region.arena, message->piece);
    message_drop(feed, message);
}

struct job *job_slot(hl_feed *feed, uint32_t lane_number)
{
    struct lane *lane = &feed->region.lane[lane_number];
    assert(lane->free_count > 0);
    uint32_t number = lane->free_slot[--lane->free_count];
    struct job *job = &lane->job[number];
    job->id = ++feed->next_id << RING_SLOT_BITS | number;
    job->lane = lane_number;
    return job;
}

uint8_t *job_record(hl_feed *feed, struct job *job)
{
    struct stream *out = &feed->region.lane[job->lane].out;
    uint8_t *record = stream_place(out, job->record_bytes);
    job->at = out->at;
    stream_advance(out, job->record_bytes);
    feed->unpublished |= 1ull << job->lane;
    return record;
}

static bool fits(const struct lane *lane, uint64_t bytes, uint32_t longest)
{
    uint64_t used = lane->out.position - lane->submit_head;
    uint64_t lost = bytes <= stream_rest(&lane->out) ? 0 : min_u64(stream_rest(&lane->out), longest);
    return bytes + lost <= lane->out.bytes - used;
}

/* The engine's index is read only when the one that was seen last is not enough. */
bool lane_has_room(struct lane *lane, uint64_t bytes, uint32_t longest)
{
    if (likely(fits(lane, bytes, longest)))
        return true;
    uint64_t head = atomic_load_explicit(&lane->shared->submit_head, memory_order_acquire);
    if (head - lane->submit_head > lane->out.position - lane->submit_head)
        return false; /* no engine writes this */
    lane->submit_head = head;
    return fits(lane, bytes, longest);
}

void job_settle(hl_feed *feed, uint32_t lane_number, uint32_t slot)
{
    struct lane *lane = &feed->region.lane[lane_number];
    struct message *message = lane->job[slot].message;
    lane->job[slot].message = NULL;
    lane->free_slot[lane->free_count++] = slot;
    if (message->left == 0)
        message_free(feed, message);
}

void ring_if_asleep(const hl_feed *feed, struct lane *lane)
{
    _Atomic uint32_t *sleeping = &lane->shared->engine_sleeping;
    if (likely(!atomic_load_explicit(sleeping, memory_order_relaxed)) || !atomic_exchange(sleeping, 0))
        return;
    uint64_t one = 1;
    ssize_t n = write(feed->region.wake_engine, &one, sizeof(one));
    (void)n; /* EAGAIN: it is rung already */
}

void publish(hl_feed *feed)
{
    uint64_t lanes = feed->unpublished;
    feed->unpublished = 0;
    for (uint64_t left = lanes; left; left &= left - 1) {
        struct lane *lane = &feed->region.lane[__builtin_ctzll(left)];
        atomic_store_explicit(&lane->shared->submit_tail, lane->out.position, memory_order_release);
    }
    atomic_thread_fence(memory_order_seq_cst); /* the jobs first, then the look whether the engine sleeps */
    for (uint64_t left = lanes; left; left &= left - 1)
        ring_if_asleep(feed, &feed->region.lane[__builtin_ctzll(left)]);
}
