/* usual.c: the message that nearly all are: one recipient without parameters, whose domain is the destination, and one part.
 *
 * It is a list of questions.  Where one has another answer, be it that the message is no such one, is wrong or finds no room, nothing
 * has changed yet, and submit.c looks at all of it and says what is wrong.
 */
#include "engine/ring/lib/lib.h"
#include "engine/ring/plain.h"

#define USUAL_FLAGS (HL_JOB_SMTPUTF8 | HL_JOB_REQUIRETLS | HL_JOB_TLS_OPTIONAL | HL_JOB_EXCEPTION)

static inline struct span span_of(struct hl_text text)
{
    return (struct span){(const uint8_t *)text.data, text.bytes};
}

static inline bool is_usual(const struct hl_job *job)
{
    return job->size == sizeof(*job) && job->recipients_count == 1 && job->parts_count == 1 &&
           job->recipients && job->parts &&
           (job->next_hop.bytes | job->tag.bytes | job->recipients->dsn.bytes) == 0 &&
           (job->flags & ~(uint32_t)USUAL_FLAGS) == 0 && job->tls_floor <= RING_TLS_FLOOR_MAX &&
           (job->body_type == HL_BODY_AUTO || job->body_type == HL_BODY_8BIT);
}

static inline bool may_send(hl_feed *feed, const struct hl_job *job)
{
    return job->sender.bytes == 0 ||
           !ring_check_known(&feed->sender, span_of(job->sender), job->flags & HL_JOB_SMTPUTF8);
}

/* A body in the arena is one whose lines were looked at when it was submitted before. */
static inline bool may_pass(const hl_feed *feed, const struct hl_part *part)
{
    const hl_body *body = part->body;
    if (part->bytes == 0 || part->bytes > feed->region.head.body_bytes_max)
        return false;
    if (!body)
        return part->copy != NULL;
    return body->is_clean && body->feed == feed && body->offset != ARENA_NONE && part->offset == 0 &&
           part->bytes == body->bytes;
}

static inline uint32_t record_bytes(const hl_feed *feed, const struct hl_job *job)
{
    return (uint32_t)(feed->region.head.job_head_bytes + sizeof(struct ring_extent) +
                      sizeof(struct ring_recipient) + job->sender.bytes + job->recipients->address.bytes +
                      7) &
           ~7u;
}

/* The part's copy in the arena, judged on the way; false: it is wrong, or has no room there. */
static inline bool copy_part(hl_feed *feed, struct message *m, const struct hl_part *part, bool *has_8bit)
{
    struct arena *arena = &feed->region.arena;
    struct lines lines = {0};
    m->piece = arena_take(arena, part->bytes);
    if (unlikely(m->piece == ARENA_NONE))
        return false;
    if (unlikely(lines_copy(&lines, part->copy, part->bytes, arena_at(&feed->region, m->piece)) ||
                 lines.cr)) {
        arena_give(arena, m->piece);
        return false;
    }
    *has_8bit = lines.has_8bit;
    return true;
}

/* The message, with its part in the arena; NULL: no memory, or that part cannot be had there. */
static inline struct message *make_message(hl_feed *feed, const struct hl_job *job, uint64_t now_us,
                                           bool *has_8bit)
{
    const struct hl_part *part = job->parts;
    struct message *m = message_new(feed, job->cookie, 1, 1);
    if (!m)
        return NULL;
    if (part->body) {
        part->body->claims++;
        *has_8bit = part->body->has_8bit;
    } else if (unlikely(!copy_part(feed, m, part, has_8bit))) {
        message_drop(feed, m);
        return NULL;
    }
    m->piece_bytes = part->body ? 0 : part->bytes;
    m->part[0] = (struct message_part){.body = part->body, .offset = 0, .bytes = part->bytes};
    m->parts = m->left = 1;
    m->index[0] = 0;
    m->submitted_us = now_us;
    m->engine_epoch = feed->region.head.engine_epoch;
    return m;
}

static inline void write_usual(hl_feed *feed, const struct hl_job *job, struct job *placed, bool has_8bit)
{
    struct hl_text to = job->recipients->address;
    struct ring_recipient lengths = {(uint16_t)to.bytes, 0};
    uint8_t *at = write_head(feed, job_record(feed, placed), job, placed, has_8bit);
    write_extents(feed, placed->message, at);
    at += sizeof(struct ring_extent);
    memcpy(at, &lengths, sizeof(lengths));
    at += sizeof(lengths);
    bytes_copy(at, job->sender.data, job->sender.bytes);
    bytes_copy(at + job->sender.bytes, to.data, to.bytes);
}

static inline void place(hl_feed *feed, const struct hl_job *job, uint32_t lane, struct message *m,
                         bool has_8bit)
{
    struct job *placed = job_slot(feed, lane);
    placed->message = m;
    placed->record_bytes = record_bytes(feed, job);
    placed->recipients = placed->left = 1;
    placed->index = m->index;
    write_usual(feed, job, placed, has_8bit);
    feed->recipients_in_flight++;
}

bool submit_usual(hl_feed *feed, const struct hl_job *job, uint64_t now_us)
{
    const struct ring_header *h = &feed->region.head;
    bool has_8bit;
    if (unlikely(!is_usual(job) || !may_send(feed, job)))
        return false;
    if (unlikely(!plain_address(span_of(job->recipients->address), &feed->destination)))
        return false;
    if (unlikely(!may_pass(feed, job->parts)))
        return false;
    uint32_t number = ring_lane_of(&feed->destination, h->hash_seed, h->lanes);
    struct lane *lane = &feed->region.lane[number];
    uint32_t bytes = record_bytes(feed, job);
    if (unlikely(lane->free_count == 0 || !lane_has_room(lane, bytes, bytes)))
        return false;
    struct message *m = make_message(feed, job, now_us, &has_8bit);
    if (unlikely(!m))
        return false;
    place(feed, job, number, m, has_8bit);
    return true;
}
