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
    uint64_t x = a->id >> RING_SLOT_BITS, y = b->id >> RING_SLOT_BITS;
    return x < y ? -1 : x > y;
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
    if (m->piece == ARENA_NONE)
        return;
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
    return m->piece != ARENA_NONE || m->piece_bytes == 0;
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
    return job->record_bytes >= h->job_head_bytes && job->record_bytes <= h->record_bytes_max &&
           job->recipients <= h->recipients_max && body_bytes(job->message) <= h->body_bytes_max;
}

/* The destination of a record's copy; it was in the memory of another engine, for which nobody vouches: false, it is spoilt. */
static bool find_destination(const struct ring_job *head, struct bytes_in *rest, struct ring_name *name)
{
    struct ring_recipient first = {0, 0};
    uint16_t port;
    bytes_take(rest, head->extents * sizeof(struct ring_extent));
    const uint8_t *lengths = bytes_take(rest, head->recipients * sizeof(first));
    struct span next_hop = {bytes_take(rest, head->next_hop_bytes), head->next_hop_bytes};
    bytes_take(rest, (size_t)head->tag_bytes + head->sender_bytes);
    if (lengths && head->recipients)
        memcpy(&first, lengths, sizeof(first));
    struct span address = {bytes_take(rest, first.address_bytes), first.address_bytes};
    if (rest->failed)
        return false;
    return next_hop.len ? !ring_check_next_hop(next_hop, name, &port)
                        : !ring_check_address(address, head->flags & RING_JOB_SMTPUTF8, name);
}

/* The record moves behind the fixed part of the new engine's length, in which this library knows the same fields. */
static void move_record(hl_feed *feed, struct job *job, const struct ring_job *head, const uint8_t *rest,
                        size_t bytes)
{
    uint32_t head_bytes = feed->region.head.job_head_bytes;
    struct ring_job moved = *head;
    uint8_t *record = job_record(feed, job);
    moved.id = job->id;
    moved.bytes = job->record_bytes;
    memset(record, 0, head_bytes);
    memcpy(record, &moved, sizeof(moved));
    bytes_copy(record + head_bytes, rest, bytes);
    write_extents(feed, job->message, record + head_bytes);
}

/* `record` has room for the longest: what is judged and what moves is the same copy. */
static bool move_job(hl_feed *feed, const struct region *old, struct job *job, uint8_t *record)
{
    uint32_t old_head = old->head.job_head_bytes, bytes = job->record_bytes - old_head;
    struct ring_name name;
    struct ring_job head;
    bytes_copy(record, old->lane[job->lane].out.base + job->at, job->record_bytes);
    stream_copied(record);
    memcpy(&head, record, sizeof(head));
    struct bytes_in rest = bytes_in(record + old_head, bytes);
    job->record_bytes = feed->region.head.job_head_bytes + bytes;
    if (!parts_are_here(job->message) || !fits(feed, job) || head.extents != job->message->parts ||
        head.recipients != job->recipients || !find_destination(&head, &rest, &name))
        return false;
    uint32_t number = ring_lane_of(&name, feed->region.head.hash_seed, feed->region.head.lanes);
    struct lane *lane = &feed->region.lane[number];
    if (lane->free_count == 0 || !lane_has_room(lane, job->record_bytes, job->record_bytes))
        return false;
    struct job *moved = job_slot(feed, number);
    job->id = moved->id;
    job->lane = moved->lane;
    *moved = *job;
    move_record(feed, moved, &head, record + old_head, bytes);
    return true;
}

/* Jobs that cannot move wait in `stranded` for hl_reap to say so. */
static void move_jobs(hl_feed *feed, const struct region *old, struct job *jobs, uint32_t count,
                      uint8_t *record)
{
    uint32_t stranded = 0;
    move_bodies(feed, old);
    for (uint32_t i = 0; i < count; i++) {
        move_message(feed, old, jobs[i].message);
        if (!move_job(feed, old, &jobs[i], record))
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

static int reattach(hl_feed *feed, int timeout_ms, struct hl_error *error)
{
    struct region fresh, old = feed->region;
    struct job *jobs = NULL;
    uint8_t *record;
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
    record = malloc(old.head.record_bytes_max);
    if (!record || (code = feed_watch(feed, &fresh, error)) != 0 || leftover(feed, &jobs, &count) != 0) {
        region_close(&fresh, false);
        free(record);
        return code ? code
                    : fail(error, ENOMEM, "out of memory for %u unfinished jobs", feed->recipients_in_flight);
    }
    begin_anew(feed, &fresh);
    move_jobs(feed, &old, jobs, count, record);
    free(record);
    region_close(&old, true);
    return 0;
}

int hl_feed_reattach(hl_feed *feed, int timeout_ms, struct hl_error *error)
{
    int code = feed_enter(feed, error);
    if (code)
        return code;
    code = reattach(feed, timeout_ms, error);
    feed_leave(feed);
    return code;
}
