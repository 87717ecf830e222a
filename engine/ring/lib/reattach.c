/* reattach.c: from a dead engine's memory to a new one's.  What the old engine had not looked at moves; all else has
 * had its verdict before (hl_reap gave -EPIPE).
 */
#include "engine/ring/lib/lib.h"

#include <errno.h>
#include <stdlib.h>

int hl_feed_give_up(hl_feed *feed, struct hl_error *error)
{
    if (!engine_is_gone(feed))
        return fail(error, EINVAL, "the engine at %s is alive: there is nothing to give up",
                    feed->socket_path);
    feed->given_up = true;
    feed->drained = false;
    feed->verdict_lane = feed->verdict_slot = 0;
    return 0;
}

static int by_age(const void *left, const void *right)
{
    const struct job *a = left, *b = right;
    return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

/* leftover gives copies of the old engine's unfinished jobs, the oldest first. */
static int leftover(const hl_feed *feed, struct job **jobs, uint32_t *count)
{
    const struct region *region = &feed->region;
    *count = 0;
    for (uint32_t l = 0; l < region->head.lanes; l++)
        *count += region->head.submit_slots - region->lane[l].free_count;
    *jobs = calloc(*count + 1u, sizeof(**jobs));
    if (!*jobs)
        return -ENOMEM;
    uint32_t n = 0;
    for (uint32_t l = 0; l < region->head.lanes; l++)
        for (uint32_t s = 0; s < region->head.submit_slots; s++)
            if (region->lane[l].job[s].message)
                (*jobs)[n++] = region->lane[l].job[s];
    qsort(*jobs, n, sizeof(**jobs), by_age);
    return 0;
}

static void move_bodies(hl_feed *feed, const struct region *old)
{
    list_for_each(it, &feed->bodies) {
        hl_body *body = list_entry(it, hl_body, link);
        if (body->offset == ARENA_NONE)
            continue;
        uint64_t to = arena_take(&feed->region.arena, body->bytes);
        if (to != ARENA_NONE)
            memcpy(arena_at(&feed->region, to), arena_at(old, body->offset), body->bytes);
        else
            body->bytes = 0;
        body->offset = to;
    }
}

static void move_message(hl_feed *feed, const struct region *old, struct message *m)
{
    if (m->engine_epoch == feed->region.head.engine_epoch)
        return; /* with another of its jobs */
    m->engine_epoch = feed->region.head.engine_epoch;
    uint64_t to = arena_take(&feed->region.arena, m->piece_bytes);
    if (to != ARENA_NONE)
        memcpy(arena_at(&feed->region, to), arena_at(old, m->piece), m->piece_bytes);
    m->piece = to;
}

static bool parts_are_here(const struct message *m)
{
    for (uint32_t i = 0; i < m->parts; i++)
        if (m->part[i].body && m->part[i].body->offset == ARENA_NONE)
            return false;
    return m->piece != ARENA_NONE;
}

static uint64_t body_bytes(const struct message *m)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->parts; i++)
        sum += m->part[i].bytes;
    return sum;
}

static bool fits(const hl_feed *feed, const struct job *job)
{
    const struct ring_header *h = &feed->region.head;
    return job->record_bytes <= h->record_bytes_max && job->recipients <= h->recipients_max &&
           body_bytes(job->message) <= h->body_bytes_max;
}

/* The destination stands in the record; its lane in the new engine is to be found anew. */
static uint32_t lane_in(const struct region *region, const uint8_t *record)
{
    struct ring_record head;
    struct ring_name name;
    memcpy(&head, record, sizeof(head));
    name.bytes = (uint8_t)min_size(head.domain_bytes, sizeof(name.text) - 1);
    memcpy(name.text,
           record + sizeof(head) + head.extents * sizeof(struct ring_extent) +
               head.recipients * sizeof(struct ring_recipient),
           name.bytes);
    return ring_lane_of(&name, region->head.hash_seed, region->head.lanes);
}

static bool move_job(hl_feed *feed, const struct job *job)
{
    if (!parts_are_here(job->message) || !fits(feed, job))
        return false;
    uint8_t *record = arena_at(&feed->region, job->message->piece + job->record);
    uint32_t lane = lane_in(&feed->region, record);
    if (feed->region.lane[lane].free_count == 0)
        return false;
    write_extents(feed, job->message, record);
    job_place(feed, lane, job);
    return true;
}

/* Jobs that cannot move wait in `stranded` for hl_reap to say so. */
static void move_jobs(hl_feed *feed, const struct region *old, struct job *jobs, uint32_t count)
{
    uint32_t stranded = 0;
    move_bodies(feed, old);
    for (uint32_t i = 0; i < count; i++) {
        move_message(feed, old, jobs[i].message);
        if (!move_job(feed, &jobs[i]))
            jobs[stranded++] = jobs[i];
    }
    publish(feed);
    feed->stranded = jobs;
    feed->stranded_count = stranded;
}

static void begin_anew(hl_feed *feed, const struct region *fresh)
{
    feed->region = *fresh;
    feed->gone = ENGINE_ALIVE;
    feed->given_up = feed->drained = feed->armed = false;
    feed->next_lane = feed->verdict_lane = feed->verdict_slot = feed->empty_reaps = 0;
    feed->goodbye[0] = 0;
    free(feed->stranded);
    feed->stranded = NULL;
}

int hl_feed_reattach(hl_feed *feed, int timeout_ms, struct hl_error *error)
{
    struct region fresh, old = feed->region;
    struct job *jobs;
    uint32_t count;
    if (!engine_is_gone(feed))
        return fail(error, EINVAL, "the engine at %s is alive: there is nothing to attach to anew",
                    feed->socket_path);
    if (!feed->drained)
        return fail(error, EBUSY,
                    "results of the dead engine are not reaped yet: hl_reap until it says -EPIPE");
    int code = region_open(&fresh, feed, timeout_ms, error);
    if (code)
        return code;
    if ((code = feed_watch(feed, &fresh, error)) != 0 || leftover(feed, &jobs, &count) != 0) {
        region_close(&fresh, false);
        return code ? code
                    : fail(error, ENOMEM, "out of memory for %u unfinished jobs", feed->recipients_in_flight);
    }
    begin_anew(feed, &fresh);
    move_jobs(feed, &old, jobs, count);
    region_close(&old, true);
    return 0;
}
