/* submit.c: one message, checked, written into the arena and put onto its lanes. */
#include "engine/ring/lib/lib.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define JOB_SIZE_MAX 4096u /* of a job that a newer header has; more is a mistake */
#define CLOCK_EVERY  64u   /* jobs that are submitted together, some 20 microseconds' work */

/* What a newer header has behind this one's fields may be left out as long as nothing stands in it. */
static int check_size(const struct hl_job *job, struct hl_error *error)
{
    const uint8_t *byte = (const uint8_t *)job;
    if (job->size < sizeof(*job) || job->size > JOB_SIZE_MAX)
        return fail(
            error, EINVAL,
            "the job's size is %zu, this library's jobs are of %zu bytes: begin with hl_job_init() of its own "
            "hardline/feed.h",
            job->size, sizeof(*job));
    for (size_t i = sizeof(*job); i < job->size; i++)
        if (byte[i])
            return fail(
                error, EINVAL,
                "the job asks for something that this library does not know yet (byte %zu of its %zu): use the "
                "library of that hardline/feed.h",
                i, job->size);
    return 0;
}

static int check_words(hl_feed *feed, const struct hl_job *job, struct hl_error *error)
{
    const char *wrong;
    int code = check_size(job, error);
    if (code)
        return code;
    if (job->flags & ~(uint32_t)(RING_JOB_KNOWN | HL_JOB_NORMALISE) || job->flags & RING_JOB_8BITMIME)
        return fail(error, EINVAL, "the job has flags 0x%x, some of which this library does not know",
                    job->flags);
    if (job->tls_floor > RING_TLS_FLOOR_MAX || job->body_type > HL_BODY_8BIT)
        return fail(error, EINVAL, "the job's TLS floor %u or body type %u is unknown", job->tls_floor,
                    job->body_type);
    if (job->tag.bytes &&
        (wrong = ring_check_tag((struct span){(const uint8_t *)job->tag.data, job->tag.bytes})))
        return fail(error, EINVAL, "the tag %s", wrong);
    if (job->sender.bytes &&
        (wrong = ring_check_known(&feed->sender,
                                  (struct span){(const uint8_t *)job->sender.data, job->sender.bytes},
                                  job->flags & HL_JOB_SMTPUTF8)))
        return fail(error, EINVAL, "the sender's address %s", wrong);
    return 0;
}

/* What the parts come to. */
struct measure {
    uint64_t bytes;  /* of the message */
    uint64_t copied; /* of them, to be copied */
    bool has_8bit;
    uint16_t clean, high; /* bit i: part i is a whole body without a bare line end; it has 8-bit bytes */
};

static int check_part(const hl_feed *feed, const struct hl_part *part, size_t number, struct hl_error *error)
{
    if (!part->body)
        return part->copy || part->bytes == 0
                   ? 0
                   : fail(error, EINVAL, "part %zu of the body is neither a body nor bytes to copy",
                          number + 1);
    if (part->body->feed != feed || part->body->offset == ARENA_NONE)
        return fail(error, EINVAL, "part %zu of the body is of another feed, or was lost in a reattach",
                    number + 1);
    if (part->offset > part->body->bytes || part->bytes > part->body->bytes - part->offset)
        return fail(error, EINVAL, "part %zu of the body ends behind the %zu bytes that were reserved",
                    number + 1, part->body->bytes);
    return 0;
}

static const uint8_t *part_data(const hl_feed *feed, const struct hl_part *part)
{
    return part->body ? arena_at(&feed->region, part->body->offset + part->offset) : part->copy;
}

/* The number, from 1, of the line that holds a byte of the message. */
static uint64_t line_of(const hl_feed *feed, const struct hl_job *job, uint64_t byte)
{
    uint64_t line = 1;
    for (size_t i = 0; i < job->parts_count && byte > 0; i++) {
        size_t bytes = (size_t)min_u64(byte, job->parts[i].bytes);
        line += lines_count(part_data(feed, &job->parts[i]), bytes);
        byte -= bytes;
    }
    return line;
}

static int fail_bare(const hl_feed *feed, const struct hl_job *job, const char *what, uint64_t byte,
                     struct hl_error *error)
{
    return fail(
        error, EINVAL,
        "the body has a bare %s in line %llu (byte %llu): lines end with CRLF; ask for normalising, or mend "
        "the message",
        what, (unsigned long long)line_of(feed, job, byte), (unsigned long long)byte);
}

/* A CR at the very end lacks its LF; normalising adds it. */
static int check_end(const hl_feed *feed, const struct hl_job *job, const struct lines *lines,
                     struct measure *m, struct hl_error *error)
{
    bool adds = (job->flags & HL_JOB_NORMALISE) && !job->parts[job->parts_count - 1].body;
    if (!lines->cr)
        return 0;
    if (!adds)
        return fail_bare(feed, job, "CR", lines->bytes - 1, error);
    m->bytes++;
    m->copied++;
    return 0;
}

/* A body that many messages share is looked at once: see remember_clean. */
static const char *check_body_lines(const hl_feed *feed, const struct hl_job *job, size_t number,
                                    struct lines *lines, struct measure *m)
{
    const struct hl_part *part = &job->parts[number];
    const hl_body *body = part->body;
    bool whole = part->offset == 0 && part->bytes == body->bytes && !lines->cr;
    struct lines own = {.cr = lines->cr, .bytes = lines->bytes};
    const char *wrong = NULL;
    if (whole && body->is_clean) {
        own.has_8bit = body->has_8bit;
        own.bytes += part->bytes;
    } else {
        wrong = lines_check(&own, part_data(feed, part), part->bytes);
    }
    if (whole && !own.cr) {
        m->clean = (uint16_t)(m->clean | 1u << number);
        m->high = (uint16_t)(m->high | (unsigned)own.has_8bit << number);
    }
    own.has_8bit |= lines->has_8bit;
    *lines = own;
    return wrong;
}

static int check_lines(const hl_feed *feed, const struct hl_job *job, struct measure *m,
                       struct hl_error *error)
{
    struct lines lines = {0};
    for (size_t i = 0; i < job->parts_count; i++) {
        const struct hl_part *part = &job->parts[i];
        size_t bytes = part->bytes;
        if ((job->flags & HL_JOB_NORMALISE) && !part->body) {
            bytes = lines_normalise(&lines, part->copy, part->bytes, NULL);
            lines.bytes += part->bytes;
        } else {
            const char *wrong = part->body ? check_body_lines(feed, job, i, &lines, m)
                                           : lines_check(&lines, part->copy, part->bytes);
            if (unlikely(wrong))
                return fail_bare(feed, job, wrong, lines.bytes, error);
        }
        m->bytes += bytes;
        m->copied += part->body ? 0 : bytes;
    }
    m->has_8bit = lines.has_8bit;
    return check_end(feed, job, &lines, m, error);
}

static int measure(const hl_feed *feed, const struct hl_job *job, struct measure *m, struct hl_error *error)
{
    uint64_t max = feed->region.head.body_bytes_max, sum = 0;
    if (job->parts_count < 1 || job->parts_count > HL_PARTS_MAX)
        return fail(error, EINVAL, "the body has %zu parts: 1 to %d are possible", job->parts_count,
                    HL_PARTS_MAX);
    if (!job->parts)
        return fail(error, EINVAL, "the job says %zu parts of a body, and where they are is NULL",
                    job->parts_count);
    for (size_t i = 0; i < job->parts_count; i++) {
        int code = check_part(feed, &job->parts[i], i, error);
        if (code)
            return code;
        sum += job->parts[i].bytes;
        if (job->parts[i].bytes > max || sum > max)
            return fail(error, EMSGSIZE, "the message is longer than the %llu bytes that this engine takes",
                        (unsigned long long)max);
    }
    int code = check_lines(feed, job, m, error);
    if (code)
        return code;
    if (m->bytes == 0)
        return fail(error, EINVAL, "the body is empty: a message has at least a header");
    if (m->bytes > max)
        return fail(error, EMSGSIZE,
                    "the message has %llu bytes with its line ends made CRLF: this engine takes %llu",
                    (unsigned long long)m->bytes, (unsigned long long)max);
    if (m->has_8bit && job->body_type == HL_BODY_7BIT)
        return fail(error, EINVAL,
                    "the body is declared as 7-bit and has 8-bit bytes in it: declare it 8-bit");
    return 0;
}

/* What a message asks of each lane. */
struct wanted {
    uint64_t bytes;
    uint32_t jobs, longest;
};

static int check_lane(struct lane *lane, uint32_t number, uint32_t slots, const struct wanted *w,
                      struct hl_error *error)
{
    if (w->jobs > slots || w->bytes + w->longest > lane->out.bytes)
        return fail(
            error, EINVAL,
            "the job's recipients take %u ring jobs of %llu bytes in one lane, which has room for %u of %u: "
            "submit it in several jobs",
            w->jobs, (unsigned long long)w->bytes, slots, lane->out.bytes);
    if (w->jobs > lane->free_count || !lane_has_room(lane, w->bytes, w->longest))
        return fail(error, EAGAIN, "lane %u is full, %u jobs are unfinished: reap results first", number,
                    slots - lane->free_count);
    return 0;
}

static int check_room(hl_feed *feed, uint32_t batches, struct hl_error *error)
{
    struct wanted wanted[RING_LANES_MAX] = {0};
    uint32_t slots = feed->region.head.submit_slots;
    for (uint32_t i = 0; i < batches; i++) {
        struct wanted *w = &wanted[feed->batch[i].lane];
        w->bytes += feed->batch[i].record_bytes;
        w->longest = max_u32(w->longest, feed->batch[i].record_bytes);
        w->jobs++;
    }
    for (uint32_t number = 0; number < feed->region.head.lanes; number++) {
        int code = wanted[number].jobs
                       ? check_lane(&feed->region.lane[number], number, slots, &wanted[number], error)
                       : 0;
        if (code)
            return code;
    }
    return 0;
}

/* Most messages are one ring job. */
static bool has_room_for_one(hl_feed *feed, uint32_t batches)
{
    const struct batch *b = &feed->batch[0];
    struct lane *lane = &feed->region.lane[b->lane];
    return batches == 1 && lane->free_count > 0 && lane_has_room(lane, b->record_bytes, b->record_bytes);
}

/* The message's piece of the arena, for what is copied. */
static int take_piece(hl_feed *feed, struct message *m, uint64_t copied, struct hl_error *error)
{
    m->piece_bytes = copied;
    if (copied == 0)
        return 0;
    if (copied > feed->region.head.arena_bytes)
        return fail(
            error, EMSGSIZE,
            "the message takes %llu bytes, the whole arena has %llu: make the arena larger (feed.arena-megabytes)",
            (unsigned long long)copied, (unsigned long long)feed->region.head.arena_bytes);
    m->piece = arena_take(&feed->region.arena, copied);
    if (m->piece == ARENA_NONE)
        return fail(
            error, EAGAIN,
            "the arena is full: it has no %llu bytes in one piece (%llu of %llu are free): reap results first",
            (unsigned long long)copied, (unsigned long long)feed->region.arena.free_units * ARENA_UNIT,
            (unsigned long long)feed->region.head.arena_bytes);
    return 0;
}

/* Only now that it is submitted does the body stay as it is. */
static void remember_clean(hl_body *body, const struct measure *size, size_t part)
{
    if (!(size->clean >> part & 1))
        return;
    body->is_clean = true;
    body->has_8bit = size->high >> part & 1;
}

static void write_parts(hl_feed *feed, const struct hl_job *job, struct message *m,
                        const struct measure *size)
{
    struct lines lines = {0};
    uint64_t at = 0;
    for (size_t i = 0; i < job->parts_count; i++) {
        const struct hl_part *from = &job->parts[i];
        struct message_part *to = &m->part[m->parts++];
        *to = (struct message_part){.body = from->body, .offset = from->offset, .bytes = from->bytes};
        if (from->body) {
            from->body->claims++;
            remember_clean(from->body, size, i);
            lines.cr = from->bytes ? part_data(feed, from)[from->bytes - 1] == '\r' : lines.cr;
            continue;
        }
        uint8_t *out = arena_at(&feed->region, m->piece + at);
        to->offset = at;
        if (job->flags & HL_JOB_NORMALISE)
            to->bytes = lines_normalise(&lines, from->copy, from->bytes, out);
        else
            bytes_copy(out, from->copy, from->bytes);
        if ((job->flags & HL_JOB_NORMALISE) && i == job->parts_count - 1 && lines_end(&lines))
            out[to->bytes++] = '\n';
        at += to->bytes;
    }
}

/* There is at least one, and mostly no other. */
static uint32_t *put_index(uint32_t *index, const struct target *first, uint32_t count)
{
    *index++ = first->index;
    for (uint32_t r = 1; unlikely(r < count); r++)
        *index++ = first[r].index;
    return index;
}

static void place_batches(hl_feed *feed, const struct hl_job *job, struct message *m,
                          const struct measure *size, uint32_t batches)
{
    uint32_t *index = m->index;
    for (uint32_t i = 0; i < batches; i++) {
        const struct batch *b = &feed->batch[i];
        struct job *placed = job_slot(feed, b->lane);
        placed->message = m;
        placed->record_bytes = b->record_bytes;
        placed->recipients = placed->left = b->count;
        placed->index = index;
        index = put_index(index, &feed->target[b->first], b->count);
        write_record(feed, job_record(feed, placed), job, placed, size->has_8bit, b);
    }
}

static int build(hl_feed *feed, const struct hl_job *job, const struct measure *size, uint32_t batches,
                 uint64_t now_us, struct hl_error *error)
{
    struct message *m =
        message_new(feed, job->cookie, (uint32_t)job->parts_count, (uint32_t)job->recipients_count);
    if (!m)
        return fail(error, ENOMEM, "out of memory");
    int code = take_piece(feed, m, size->copied, error);
    if (code) {
        message_drop(feed, m);
        return code;
    }
    m->left = (uint32_t)job->recipients_count;
    m->submitted_us = now_us;
    m->engine_epoch = feed->region.head.engine_epoch;
    write_parts(feed, job, m, size);
    feed->recipients_in_flight += m->left;
    place_batches(feed, job, m, size, batches);
    return 0;
}

static int submit(hl_feed *feed, const struct hl_job *job, uint64_t now_us, struct hl_error *error)
{
    struct measure size = {0};
    uint32_t batches;
    int code;
    if ((code = check_words(feed, job, error)) || (code = split(feed, job, &batches, error)) ||
        (!has_room_for_one(feed, batches) && (code = check_room(feed, batches, error))) ||
        (code = measure(feed, job, &size, error)))
        return code;
    return build(feed, job, &size, batches, now_us, error);
}

static int submit_many(hl_feed *feed, const struct hl_job *jobs, size_t count, struct hl_error *error)
{
    uint64_t now_us = 0;
    size_t done = 0;
    int code = 0;
    if (feed->gone)
        return fail_gone(feed, error);
    for (; done < count && done < INT32_MAX; done++) {
        if (done % CLOCK_EVERY == 0)
            now_us = clock_now_us();
        if (likely(submit_usual(feed, &jobs[done], now_us)))
            continue;
        if ((code = submit(feed, &jobs[done], now_us, error)) != 0)
            break;
    }
    if (done > 0)
        publish(feed);
    return done > 0 || count == 0 ? (int)done : code;
}

int hl_submit_many(hl_feed *feed, const struct hl_job *jobs, size_t count, struct hl_error *error)
{
    int code = feed_enter(feed, error);
    if (unlikely(code))
        return code;
    code = submit_many(feed, jobs, count, error);
    feed_leave(feed);
    return code;
}

int hl_submit(hl_feed *feed, const struct hl_job *job, struct hl_error *error)
{
    int count = hl_submit_many(feed, job, 1, error);
    return count < 0 ? count : 0;
}
