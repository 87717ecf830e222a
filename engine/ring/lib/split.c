/* split.c: a message's recipients, sorted into batches of one destination that fit a record each. */
#include "engine/ring/lib/lib.h"

#include <errno.h>
#include <stdlib.h>

static struct span span_of(struct hl_text text)
{
    return (struct span){(const uint8_t *)text.data, text.bytes};
}

/* grow gives an array with room for `need` items: the same one, or a larger copy; NULL, and the old one stays. */
static void *grow(void *array, size_t *cap, size_t need, size_t item)
{
    if (need <= *cap)
        return array;
    size_t next = need + need / 2;
    void *bigger = realloc(array, next * item);
    if (bigger)
        *cap = next;
    return bigger;
}

static bool grow_names(hl_feed *feed, size_t bytes)
{
    char *names = grow(feed->names, &feed->names_cap, bytes, 1);
    if (names)
        feed->names = names;
    return names != NULL;
}

static bool grow_targets(hl_feed *feed, size_t count)
{
    struct target *target = grow(feed->target, &feed->target_cap, count, sizeof(*target));
    if (target)
        feed->target = target;
    return target != NULL;
}

static bool grow_batches(hl_feed *feed, size_t count)
{
    struct batch *batch = grow(feed->batch, &feed->batch_cap, count, sizeof(*batch));
    if (batch)
        feed->batch = batch;
    return batch != NULL;
}

/* What a message to a person may show of an address: the start, with what is not printable made visible. */
static const char *shown(struct hl_text text, char out[80])
{
    size_t n = min_size(text.bytes, 76);
    for (size_t i = 0; i < n; i++)
        out[i] = text.data[i] < ' ' || text.data[i] > '~' ? '?' : text.data[i];
    memcpy(out + n, text.bytes > n ? "..." : "", text.bytes > n ? 4 : 1);
    return out;
}

static uint32_t recipient_bytes(const struct hl_recipient *r)
{
    return (uint32_t)(sizeof(struct ring_recipient) + r->address.bytes + r->dsn.bytes + (r->dsn.bytes != 0));
}

/* Of a record, without its recipients, and with the bytes that may round it up. */
static uint32_t head_bytes(const hl_feed *feed, const struct hl_job *job)
{
    return (uint32_t)(feed->region.head.job_head_bytes + job->parts_count * sizeof(struct ring_extent) +
                      job->next_hop.bytes + job->tag.bytes + job->sender.bytes + 7);
}

static int aim(hl_feed *feed, const struct hl_job *job, uint32_t i, size_t *names, struct hl_error *error)
{
    const struct hl_recipient *r = &job->recipients[i];
    struct ring_name name;
    char text[80];
    const char *wrong = ring_check_address(span_of(r->address), job->flags & HL_JOB_SMTPUTF8, &name);
    if (wrong)
        return fail(error, EINVAL, "recipient %u, \"%s\", %s", i + 1, shown(r->address, text), wrong);
    if ((wrong = ring_check_dsn(span_of(r->dsn))))
        return fail(error, EINVAL, "recipient %u, \"%s\": its DSN parameters %s", i + 1,
                    shown(r->address, text), wrong);
    if (!grow_names(feed, *names + name.bytes))
        return fail(error, ENOMEM, "out of memory");
    bytes_copy(feed->names + *names, name.text, name.bytes);
    feed->target[i] = (struct target){
        .recipient = r,
        .name_at = *names,
        .name_bytes = name.bytes,
        .index = i,
        .bytes = recipient_bytes(r),
    };
    *names += name.bytes;
    return 0;
}

/* With a next hop there is one destination, whatever the recipients' domains. */
static int aim_at_next_hop(hl_feed *feed, const struct hl_job *job, uint32_t count, struct hl_error *error)
{
    struct ring_name name;
    uint16_t port;
    char text[80];
    const char *wrong = ring_check_next_hop(span_of(job->next_hop), &name, &port);
    if (wrong)
        return fail(error, EINVAL, "the next hop \"%s\" %s", shown(job->next_hop, text), wrong);
    if (!grow_names(feed, name.bytes))
        return fail(error, ENOMEM, "out of memory");
    bytes_copy(feed->names, name.text, name.bytes);
    for (uint32_t i = 0; i < count; i++) {
        feed->target[i].name_at = 0;
        feed->target[i].name_bytes = name.bytes;
    }
    return 0;
}

static bool same_destination(const struct target *a, const struct target *b)
{
    return a->name_bytes == b->name_bytes && memcmp(a->name, b->name, a->name_bytes) == 0;
}

static int by_destination(const void *left, const void *right)
{
    const struct target *a = left, *b = right;
    int order = a->name_bytes != b->name_bytes ? (a->name_bytes < b->name_bytes ? -1 : 1)
                                               : memcmp(a->name, b->name, a->name_bytes);
    return order ? order : a->index < b->index ? -1 : 1;
}

static void sort(hl_feed *feed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        feed->target[i].name = feed->names + feed->target[i].name_at;
    for (uint32_t i = 1; i < count; i++)
        if (!same_destination(&feed->target[i - 1], &feed->target[i])) {
            qsort(feed->target, count, sizeof(feed->target[0]), by_destination);
            return;
        }
}

static struct batch *begin_batch(hl_feed *feed, const struct hl_job *job, uint32_t first, uint32_t number)
{
    const struct target *t = &feed->target[first];
    struct ring_name name = {.bytes = t->name_bytes};
    bytes_copy(name.text, t->name, t->name_bytes);
    struct batch *b = &feed->batch[number];
    *b = (struct batch){
        .lane = ring_lane_of(&name, feed->region.head.hash_seed, feed->region.head.lanes),
        .first = first,
        .record_bytes = head_bytes(feed, job),
    };
    return b;
}

static int make_batches(hl_feed *feed, const struct hl_job *job, uint32_t count, uint32_t *batches)
{
    const struct ring_header *h = &feed->region.head;
    struct batch *b = NULL;
    *batches = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct target *t = &feed->target[i];
        if (!b || b->count == h->recipients_max || t->bytes > h->record_bytes_max - b->record_bytes ||
            !same_destination(t - 1, t)) {
            if (!grow_batches(feed, *batches + 1))
                return -ENOMEM;
            b = begin_batch(feed, job, i, (*batches)++);
        }
        b->count++;
        b->record_bytes += t->bytes;
    }
    for (uint32_t i = 0; i < *batches; i++)
        feed->batch[i].record_bytes &= ~7u;
    return 0;
}

/* One recipient, one destination: nothing to sort. */
static int split_one(hl_feed *feed, const struct hl_job *job, struct hl_error *error)
{
    const struct hl_recipient *r = job->recipients;
    char text[80];
    const char *wrong =
        ring_check_address(span_of(r->address), job->flags & HL_JOB_SMTPUTF8, &feed->destination);
    if (wrong)
        return fail(error, EINVAL, "recipient 1, \"%s\", %s", shown(r->address, text), wrong);
    if (r->dsn.bytes && (wrong = ring_check_dsn(span_of(r->dsn))))
        return fail(error, EINVAL, "recipient 1, \"%s\": its DSN parameters %s", shown(r->address, text),
                    wrong);
    if (unlikely(!feed->target || !feed->batch) && (!grow_targets(feed, 1) || !grow_batches(feed, 1)))
        return fail(error, ENOMEM, "out of memory");
    struct target *t = &feed->target[0];
    *t = (struct target){.recipient = r,
                         .name = feed->destination.text,
                         .name_bytes = feed->destination.bytes,
                         .bytes = recipient_bytes(r)};
    feed->batch[0] = (struct batch){
        .lane = ring_lane_of(&feed->destination, feed->region.head.hash_seed, feed->region.head.lanes),
        .count = 1,
        .record_bytes = (head_bytes(feed, job) + t->bytes) & ~7u,
    };
    return 0;
}

static noinline int split_many(hl_feed *feed, const struct hl_job *job, uint32_t *batches,
                               struct hl_error *error)
{
    if (job->recipients_count == 0)
        return fail(error, EINVAL, "the job has no recipients: give at least one");
    if (job->recipients_count > 1u << 24)
        return fail(error, EINVAL, "the job has %zu recipients: submit it in several jobs",
                    job->recipients_count);
    uint32_t count = (uint32_t)job->recipients_count;
    size_t names = 0;
    if (!grow_targets(feed, count))
        return fail(error, ENOMEM, "out of memory");
    for (uint32_t i = 0; i < count; i++) {
        int code = aim(feed, job, i, &names, error);
        if (code)
            return code;
    }
    if (job->next_hop.bytes) {
        int code = aim_at_next_hop(feed, job, count, error);
        if (code)
            return code;
    }
    sort(feed, count);
    return make_batches(feed, job, count, batches) ? fail(error, ENOMEM, "out of memory") : 0;
}

int split(hl_feed *feed, const struct hl_job *job, uint32_t *batches, struct hl_error *error)
{
    if (unlikely(!job->recipients && job->recipients_count))
        return fail(error, EINVAL, "the job says %zu recipients, and where they are is NULL",
                    job->recipients_count);
    if (unlikely(job->recipients_count != 1 || job->next_hop.bytes > 0))
        return split_many(feed, job, batches, error);
    *batches = 1;
    return split_one(feed, job, error);
}
