/* place.c: messages and their ring jobs: born, put onto a lane, settled, freed. */
#include "engine/ring/lib/lib.h"

#include <stdlib.h>
#include <unistd.h>

static struct message *take_spare(hl_feed *feed)
{
    struct message *m = feed->spare;
    if (m)
        feed->spare = m->spare_next;
    return m;
}

/* NULL: out of memory. */
struct message *message_new(hl_feed *feed, uint64_t cookie, uint32_t parts, uint32_t recipients)
{
    bool is_small = parts <= SMALL_PARTS && recipients <= SMALL_RECIPIENTS;
    struct message *m = is_small ? take_spare(feed) : NULL;
    if (is_small) {
        parts = SMALL_PARTS;
        recipients = SMALL_RECIPIENTS;
    }
    if (!m)
        m = malloc(sizeof(*m) + parts * sizeof(m->part[0]) + recipients * sizeof(m->index[0]));
    if (m)
        *m = (struct message){.cookie = cookie,
                              .piece = ARENA_NONE,
                              .is_small = is_small,
                              .index = (uint32_t *)&m->part[parts]};
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

void job_place(hl_feed *feed, uint32_t lane_number, const struct job *job)
{
    struct lane *lane = &feed->region.lane[lane_number];
    assert(lane->free_count > 0);
    uint32_t number = lane->free_slot[--lane->free_count];
    lane->job[number] = *job;
    lane->job[number].cookie = feed->next_cookie;

    struct ring_slot *slot = lane_slot(lane, number);
    slot->record_offset = feed->region.head.arena_offset + job->message->piece + job->record;
    slot->record_bytes = job->record_bytes;
    slot->cookie = feed->next_cookie++;
    atomic_store_explicit(&slot->stage, HL_STAGE_NONE, memory_order_relaxed);
    uint32_t at = lane->tail++ & (feed->region.head.submit_slots - 1);
    atomic_store_explicit(&lane->entry[at], number, memory_order_relaxed);
    feed->unpublished |= 1ull << lane_number;
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

static void ring_if_asleep(hl_feed *feed, uint32_t lane_number)
{
    _Atomic uint32_t *sleeping = &feed->region.lane[lane_number].shared->engine_sleeping;
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
        atomic_store_explicit(&lane->shared->submit_tail, lane->tail, memory_order_release);
    }
    atomic_thread_fence(memory_order_seq_cst); /* the jobs first, then the look whether the engine sleeps */
    for (uint64_t left = lanes; left; left &= left - 1)
        ring_if_asleep(feed, (uint32_t)__builtin_ctzll(left));
}
