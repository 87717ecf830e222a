/* job.c: one record of the arena, copied and then checked field by field. */
#include "engine/ring/feed_private.h"
#include "engine/ring/names.h"

#include <string.h>

static uint8_t *envelope_of(struct feed_job *job, const struct feed_shape *shape)
{
    struct feed_recipient *recipients = (struct feed_recipient *)(job + 1);
    return (uint8_t *)(recipients + shape->recipients_max);
}

size_t feed_job_bytes(const struct feed_shape *shape)
{
    size_t bytes = sizeof(struct feed_job) + shape->recipients_max * sizeof(struct feed_recipient);
    return (bytes + shape->envelope_bytes_max + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

void feed_job_fetch(struct feed_job *job, const struct feed_shape *shape)
{
    const uint8_t *envelope = envelope_of(job, shape);
    __builtin_prefetch(job);
    __builtin_prefetch(job->domain);
    __builtin_prefetch(job->extent);
    __builtin_prefetch(job + 1); /* the first recipient */
    __builtin_prefetch(envelope);
    __builtin_prefetch(envelope + CACHE_LINE);
}

static bool refuse(struct outcome *why, const char *what, const char *wrong)
{
    outcome_set(why, VERDICT_FAILED, STAGE_SUBMIT, FAULT_PRODUCER, REASON_BAD_JOB, "%s %s", what, wrong);
    return false;
}

static bool same_text(const struct ring_name *name, const void *text, size_t bytes)
{
    return name->bytes == bytes && bytes_same(name->text, text, bytes);
}

static struct span take_span(struct bytes_in *in, size_t len)
{
    const uint8_t *p = bytes_take(in, len);
    return (struct span){p, p ? len : 0};
}

static bool read_extents(const struct feed *feed, struct feed_job *job, struct bytes_in *in, uint32_t extents,
                         struct outcome *why)
{
    if (extents < 1 || extents > RING_EXTENTS_MAX)
        return refuse(why, "the body", "has no extents or too many");
    uint64_t sum = 0; /* of at most 16 extents in an arena of at most 2^40 bytes */
    for (uint32_t i = 0; i < extents; i++) {
        struct ring_extent e = {0, 0};
        const uint8_t *p = bytes_take(in, sizeof(e));
        if (p)
            memcpy(&e, p, sizeof(e));
        uint64_t within = e.offset - feed->arena_offset;
        if (e.offset < feed->arena_offset || within > feed->shape.arena_bytes ||
            e.bytes > feed->shape.arena_bytes - within)
            return refuse(why, "the body", "lies outside of the arena");
        job->extent[i] = (struct span){feed->base + e.offset, e.bytes};
        sum += e.bytes;
    }
    if (sum == 0)
        return refuse(why, "the body", "is empty");
    if (feed->rights.body_bytes_max && sum > feed->rights.body_bytes_max)
        return refuse(why, "the body", "is longer than this feed may send");
    job->extents = extents;
    job->body_bytes = sum;
    return true;
}

/* Lengths are read through `table`, strings through `in`; both are bounded by the copy. */
static void split_recipients(struct feed_job *job, struct bytes_in *table, struct bytes_in *in)
{
    for (uint32_t i = 0; i < job->recipients; i++) {
        struct ring_recipient r = {0, 0};
        const uint8_t *p = bytes_take(table, sizeof(r));
        if (p)
            memcpy(&r, p, sizeof(r));
        job->recipient[i].address = take_span(in, r.address_bytes);
        job->recipient[i].dsn = take_span(in, r.dsn_bytes);
    }
}

/* A recipient whose domain stands there as the job's does needs no second look at it. */
static const char *check_recipient(struct span address, bool utf8, const struct ring_name *domain,
                                   bool *elsewhere)
{
    struct ring_name own;
    size_t host = domain->bytes;
    *elsewhere = false;
    if (address.len > host && address.len <= RING_ADDRESS_MAX &&
        address.data[address.len - host - 1] == '@' &&
        bytes_same(address.data + address.len - host, domain->text, host))
        return ring_check_local((struct span){address.data, address.len - host - 1}, utf8);
    const char *wrong = ring_check_address(address, utf8, &own);
    *elsewhere = !wrong && !same_text(&own, domain->text, host);
    return wrong;
}

/* DSN parameters stand in the copy with a leading space, if there are any, so that they can follow RCPT as they are. */
static const char *check_dsn(struct span dsn)
{
    if (dsn.len == 0)
        return NULL;
    return dsn.data[0] == ' ' ? ring_check_dsn((struct span){dsn.data + 1, dsn.len - 1})
                              : "do not begin with a space";
}

static bool check_recipients(const struct feed_job *job, const struct ring_name *domain, struct outcome *why)
{
    bool utf8 = job->flags & FEED_SMTPUTF8, elsewhere;
    for (uint32_t i = 0; i < job->recipients; i++) {
        const char *wrong = check_recipient(job->recipient[i].address, utf8, domain, &elsewhere);
        if (wrong)
            return refuse(why, "a recipient's address", wrong);
        /* Without a next hop of its own a job may not choose whose policy it is judged by. */
        if (elsewhere && !job->next_hop[0])
            return refuse(why, "a recipient's domain", "is not the job's");
    }
    return true;
}

static bool check_all_dsn(const struct feed_job *job, struct outcome *why)
{
    for (uint32_t i = 0; i < job->recipients; i++) {
        const char *wrong = check_dsn(job->recipient[i].dsn);
        if (wrong)
            return refuse(why, "a recipient's DSN parameters", wrong);
    }
    return true;
}

static bool take_next_hop(struct feed_job *job, struct span next_hop, struct ring_name *name,
                          struct outcome *why)
{
    uint16_t port;
    const char *wrong = ring_check_next_hop(next_hop, name, &port);
    if (wrong)
        return refuse(why, "the next hop", wrong);
    bytes_copy(job->next_hop, next_hop.data, next_hop.len);
    job->next_hop[next_hop.len] = 0;
    return check_recipients(job, name, why);
}

/* The first recipient is judged once, and says what the others' domain must be. */
static bool take_domain(struct feed_job *job, struct ring_name *name, struct outcome *why)
{
    const char *wrong = ring_check_address(job->recipient[0].address, job->flags & FEED_SMTPUTF8, name);
    if (wrong)
        return refuse(why, "a recipient's address", wrong);
    return job->recipients == 1 || check_recipients(job, name, why);
}

static bool check_destination(const struct feed *feed, struct feed_job *job, struct span next_hop,
                              struct outcome *why)
{
    cache_aligned struct ring_name name;
    if (!(next_hop.len ? take_next_hop(job, next_hop, &name, why) : take_domain(job, &name, why)))
        return false;
    if (ring_lane_of(&name, feed->shape.hash_seed, feed->shape.lanes) != job->lane)
        return refuse(why, "the job", "stands in another lane than its destination's");
    bytes_copy(job->domain, name.text, name.bytes + 1u);
    return true;
}

static bool check_sender(struct feed *feed, const struct feed_job *job, struct outcome *why)
{
    if (job->sender.len == 0) /* the null reverse-path, RFC 5321 section 4.5.5 */
        return true;
    const char *wrong =
        ring_check_known(&feed->lane[job->lane].sender, job->sender, job->flags & FEED_SMTPUTF8);
    return wrong ? refuse(why, "the sender's address", wrong) : true;
}

static bool check_head(const struct feed *feed, const struct ring_job *head, struct outcome *why)
{
    if (head->flags & ~RING_JOB_KNOWN)
        return refuse(why, "the job", "has a flag that this engine does not know");
    if (head->tls_floor > RING_TLS_FLOOR_MAX)
        return refuse(why, "the job", "has a TLS floor that this engine does not know");
    if ((head->flags & FEED_EXCEPTION) && !feed->rights.allow_exceptions)
        return refuse(why, "the job", "asks for an exception, which this feed may not");
    return true;
}

static void set_head(struct feed_job *job, const struct ring_job *head)
{
    job->deadline_us = head->deadline_us;
    job->flags = head->flags;
    job->tls_floor = head->tls_floor;
    job->priority = head->priority;
    job->source_pool = head->source_pool;
    job->body_bytes = 0;
    job->extents = 0;
    job->sender = (struct span){NULL, 0};
    job->domain[0] = job->next_hop[0] = job->tag[0] = 0;
    job->recipient = (struct feed_recipient *)(job + 1);
    for (uint32_t i = 0; i < job->recipients; i++)
        job->recipient[i] = (struct feed_recipient){.index = i};
}

static bool take_tag(struct feed_job *job, struct span tag, struct outcome *why)
{
    const char *wrong = ring_check_tag(tag);
    if (wrong)
        return refuse(why, "the tag", wrong);
    bytes_copy(job->tag, tag.data, tag.len);
    job->tag[tag.len] = 0;
    return true;
}

/* The strings end where the record does, but for what rounds it up. */
static bool all_read(const struct bytes_in *in)
{
    return !in->failed && bytes_left(in) < 8;
}

bool feed_job_read(struct feed *feed, struct feed_job *job, const struct ring_job *head, const uint8_t *rest,
                   uint32_t rest_bytes, struct outcome *why)
{
    uint8_t *copy = envelope_of(job, &feed->shape);
    bytes_copy(copy, rest, rest_bytes);
    stream_copied(copy);
    set_head(job, head);
    if (!check_head(feed, head, why))
        return false;

    struct bytes_in in = bytes_in(copy, rest_bytes);
    if (!read_extents(feed, job, &in, head->extents, why))
        return false;
    struct span lengths = take_span(&in, head->recipients * sizeof(struct ring_recipient));
    struct span next_hop = take_span(&in, head->next_hop_bytes), tag = take_span(&in, head->tag_bytes);
    struct bytes_in table = bytes_in(lengths.data ? lengths.data : copy, lengths.len);
    job->sender = take_span(&in, head->sender_bytes);
    split_recipients(job, &table, &in);
    if (!all_read(&in))
        return refuse(why, "the job's record", "is not as long as its parts");
    return check_destination(feed, job, next_hop, why) && take_tag(job, tag, why) &&
           check_sender(feed, job, why) && check_all_dsn(job, why);
}
