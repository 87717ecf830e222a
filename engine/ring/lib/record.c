/* record.c: a job's record on the stream: layout.h says what stands where. */
#include "engine/ring/lib/lib.h"

#include "engine/base/clock.h"

static uint64_t part_offset(const hl_feed *feed, const struct message *m, const struct message_part *part)
{
    return feed->region.head.arena_offset + (part->body ? part->body->offset : m->piece) + part->offset;
}

void write_extents(const hl_feed *feed, const struct message *m, uint8_t *at)
{
    for (uint32_t i = 0; i < m->parts; i++) {
        struct ring_extent extent = {part_offset(feed, m, &m->part[i]), m->part[i].bytes};
        memcpy(at + i * sizeof(extent), &extent, sizeof(extent));
    }
}

static uint8_t *put(uint8_t *at, const void *data, size_t bytes)
{
    bytes_copy(at, data, bytes);
    return at + bytes;
}

/* Written where it belongs: what is put together of short stores and copied at once waits for them.
 *
 * An engine of a newer minor may have a longer fixed part: what this library does not know of it is 0.
 */
uint8_t *write_head(const hl_feed *feed, uint8_t *at, const struct hl_job *job, const struct job *placed,
                    bool has_8bit)
{
    bool is_8bit = has_8bit || job->body_type == HL_BODY_8BIT;
    struct ring_job *head = (struct ring_job *)at;
    uint32_t bytes = feed->region.head.job_head_bytes;
    head->bytes = placed->record_bytes;
    head->recipients = placed->recipients;
    head->id = placed->id;
    head->deadline_us = job->deadline_us ? job->deadline_us : DEADLINE_NEVER;
    head->source_pool = job->source_pool;
    head->flags = (uint16_t)((job->flags & RING_JOB_KNOWN) | (is_8bit ? RING_JOB_8BITMIME : 0));
    head->extents = (uint8_t)placed->message->parts;
    head->sender_bytes = (uint8_t)job->sender.bytes;
    head->next_hop_bytes = (uint8_t)job->next_hop.bytes;
    head->tag_bytes = (uint8_t)job->tag.bytes;
    head->tls_floor = job->tls_floor;
    head->priority = job->priority;
    memset(head->reserved, 0, sizeof(head->reserved));
    if (unlikely(bytes > sizeof(*head)))
        memset(at + sizeof(*head), 0, bytes - sizeof(*head));
    return at + bytes;
}

static uint8_t *put_lengths(uint8_t *at, const struct target *first, const struct target *end)
{
    for (const struct target *t = first; t < end; t++) {
        const struct hl_recipient *r = t->recipient;
        struct ring_recipient lengths = {(uint16_t)r->address.bytes,
                                         (uint16_t)(r->dsn.bytes + (r->dsn.bytes != 0))};
        memcpy(at, &lengths, sizeof(lengths));
        at += sizeof(lengths);
    }
    return at;
}

static uint8_t *put_recipients(uint8_t *at, const struct target *first, const struct target *end)
{
    for (const struct target *t = first; t < end; t++) {
        at = put(at, t->recipient->address.data, t->recipient->address.bytes);
        if (t->recipient->dsn.bytes)
            *at++ = ' ';
        at = put(at, t->recipient->dsn.data, t->recipient->dsn.bytes);
    }
    return at;
}

void write_record(const hl_feed *feed, uint8_t *record, const struct hl_job *job, const struct job *placed,
                  bool has_8bit, const struct batch *batch)
{
    const struct target *first = &feed->target[batch->first], *end = first + batch->count;
    uint8_t *at = write_head(feed, record, job, placed, has_8bit);
    write_extents(feed, placed->message, at);
    at = put_lengths(at + placed->message->parts * sizeof(struct ring_extent), first, end);
    at = put(at, job->next_hop.data, job->next_hop.bytes);
    at = put(at, job->tag.data, job->tag.bytes);
    at = put(at, job->sender.data, job->sender.bytes);
    at = put_recipients(at, first, end);
    assert(at <= record + batch->record_bytes && at + 8 > record + batch->record_bytes);
}
