/* A producer's job, byte by byte: what the engine takes of it is sound, whatever was written.
 *
 * The input is a job as it stands on the stream; offsets in it count from the start of the region.
 */
#include "engine/ring/feed_private.h"
#include "engine/ring/names.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct feed *feed;
static struct feed_job *job;

static void open_feed(void)
{
    struct feed_shape shape = {.lanes = 1,
                               .submit_slots = 4,
                               .complete_slots = 64,
                               .arena_bytes = 65536,
                               .recipients_max = 64,
                               .envelope_bytes_max = 16384,
                               .ordinary_pages = true};
    struct feed_rights rights = {.name = "fuzz", .body_bytes_max = 60000};
    struct error err;
    int fd;
    feed = feed_open(&shape, &rights, &fd, &err);
    if (!feed)
        abort();
    close(fd);
    if (!job)
        job = aligned_alloc(CACHE_LINE, feed_job_bytes(&shape));
}

static void place(const uint8_t *data, size_t size)
{
    struct feed_lane *lane = &feed->lane[0];
    struct stream out = lane->in;
    uint32_t bytes = (uint32_t)(size + 7) & ~7u;
    uint8_t *at = stream_place(&out, bytes);
    memset(at, 0, bytes);
    memcpy(at, data, size);
    atomic_store(&lane->shared->submit_tail, out.position + bytes);
}

static bool lies_in(struct span span, const void *start, size_t bytes)
{
    const uint8_t *p = start;
    return span.len == 0 ||
           (span.data >= p && span.len <= bytes && (size_t)(span.data - p) <= bytes - span.len);
}

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_taken(void)
{
    struct ring_name name;
    size_t bytes = feed_job_bytes(&feed->shape);
    uint64_t sum = 0;
    check(job->extents >= 1 && job->extents <= FEED_EXTENTS_MAX);
    for (uint32_t i = 0; i < job->extents; i++) {
        check(lies_in(job->extent[i], feed->base + feed->arena_offset, feed->shape.arena_bytes));
        sum += job->extent[i].len;
    }
    check(sum == job->body_bytes && sum > 0 && sum <= 60000);
    check(lies_in(job->sender, job, bytes) && strlen(job->domain) < sizeof(job->domain));
    for (uint32_t r = 0; r < job->recipients; r++) {
        const struct feed_recipient *to = &job->recipient[r];
        check(lies_in(to->address, job, bytes) && lies_in(to->dsn, job, bytes));
        check(!ring_check_address(to->address, true, &name));
        check(job->next_hop[0] || strcmp(name.text, job->domain) == 0);
        check(!memchr(to->dsn.data, '\n', to->dsn.len) && to->index == r);
    }
}

/* What the producer reaps stays in the ring's bounds and is one a recipient. */
static void settle(const struct outcome *outcome)
{
    struct feed_lane *lane = &feed->lane[0];
    for (uint32_t r = 0; r < job->recipients; r++)
        feed_report(job, r, outcome, NULL);
    feed_flush(feed, 0);
    check(feed_in_flight(feed, 0) == 0 && lane->owed == 0);
    atomic_store(&lane->shared->complete_head, atomic_load(&lane->shared->complete_tail));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome why;
    if (!feed)
        open_feed();
    if (size == 0 || size > 65536)
        return 0;
    place(data, size);
    switch (feed_take(feed, 0, job, &why)) {
    case FEED_TAKEN:
        check_taken();
        outcome_set(&why, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "ok");
        settle(&why);
        break;
    case FEED_REFUSED:
        check(why.verdict == VERDICT_FAILED && why.reason == REASON_BAD_JOB && why.text[0]);
        settle(&why);
        break;
    case FEED_BROKEN:
        check(feed_fault(feed)[0]);
        feed_close(feed, true);
        feed = NULL;
        break;
    case FEED_EMPTY: check(feed->lane[0].in.at == 0); /* it was the end of the stream */
    }
    return 0;
}
