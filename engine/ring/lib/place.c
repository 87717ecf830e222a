/* place.c: messages and their ring jobs: born, put onto a lane, settled, freed. */
#include "engine/ring/lib/lib.h"

#include <stdlib.h>
#include <unistd.h>

struct message *message_new(uint64_t cookie, uint32_t parts, uint32_t recipients)
{
    struct message *m = malloc(sizeof(*m) + parts * sizeof(m->part[0]) + recipients * sizeof(m->index[0]));
    if (m)
        *m = (struct message){.cookie = cookie, .piece = ARENA_NONE, .index = (uint32_t *)&m->part[parts]};
    return m;
}

void message_free(hl_feed *feed, struct message *message)
{
    for (uint32_t i = 0; i < message->parts; i++)
        if (message->part[i].body)
            body_unclaim(message->part[i].body);
    if (message->piece != ARENA_NONE)
        arena_give(&feed->region.arena, message->piece);
    free(message);
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

void lane_publish(hl_feed *feed, uint32_t lane_number)
{
    struct lane *lane = &feed->region.lane[lane_number];
    atomic_store_explicit(&lane->shared->submit_tail, lane->tail, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* the job first, then the look whether the engine sleeps */
    if (atomic_load_explicit(&lane->shared->engine_sleeping, memory_order_relaxed) &&
        atomic_exchange(&lane->shared->engine_sleeping, 0)) {
        uint64_t one = 1;
        ssize_t n = write(feed->region.wake_engine, &one, sizeof(one));
        (void)n; /* EAGAIN: it is rung already */
    }
}
