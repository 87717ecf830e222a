/* region.c: the shared memory of one feed, from memfd to wiping. */
#include "engine/ring/feed_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE_BYTES (2u << 20)
#define USUAL_JOB       128ull /* bytes on the stream */
#define RECORDS_LEAST   8ull   /* of the longest, on the stream */

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

static struct ring_header plan(const struct feed_shape *shape, const struct feed_rights *rights)
{
    struct ring_header h = {
        .magic = RING_MAGIC,
        .abi_major = RING_ABI_MAJOR,
        .abi_minor = RING_ABI_MINOR,
        .header_bytes = (uint32_t)sizeof(struct ring_header),
        .engine_epoch = shape->engine_epoch,
        .hash_seed = shape->hash_seed,
        .lanes = shape->lanes,
        .submit_slots = shape->submit_slots,
        .recipients_max = shape->recipients_max,
        .record_bytes_max = shape->envelope_bytes_max,
        .job_head_bytes = sizeof(struct ring_job),
        .result_head_bytes = sizeof(struct ring_result),
        .lanes_offset = 4096,
        .arena_bytes = round_up(shape->arena_bytes, 4096),
        .body_bytes_max = rights->body_bytes_max ? rights->body_bytes_max : UINT64_MAX,
    };
    /* Whatever is left free at a stream's end, all results of the longest job find room. */
    h.submit_bytes = (uint32_t)round_up(
        max_u64((uint64_t)h.submit_slots * USUAL_JOB, RECORDS_LEAST * h.record_bytes_max), RING_ALIGN);
    h.complete_bytes = (uint32_t)round_up((shape->complete_slots + 2ull) * RING_RESULT_MAX, RING_ALIGN);
    h.stages_at = sizeof(struct ring_lane);
    h.submit_at = round_up(h.stages_at + sizeof(uint64_t) * (uint64_t)h.submit_slots, RING_ALIGN);
    h.complete_at = h.submit_at + h.submit_bytes;
    h.lane_bytes = round_up(h.complete_at + h.complete_bytes, 4096);
    h.arena_offset = h.lanes_offset + h.lane_bytes * h.lanes;
    h.region_bytes = h.arena_offset + h.arena_bytes;
    return h;
}

static bool check_shape(const struct feed_shape *s, struct error *err)
{
    if (s->lanes < 1 || s->lanes > FEED_LANES_MAX)
        return error_set(err, "feed: %u lanes: 1 to %u are possible", s->lanes, FEED_LANES_MAX);
    if (!is_power_of_two(s->submit_slots) || !is_power_of_two(s->complete_slots) ||
        s->submit_slots > 1u << 20 || s->complete_slots > 1u << 20)
        return error_set(err,
                         "feed: %u submission and %u completion slots: take powers of two, 1048576 at most",
                         s->submit_slots, s->complete_slots);
    if (s->recipients_max < 1 || s->recipients_max > s->complete_slots)
        return error_set(err, "feed: %u recipients a job: take 1 to the %u completion slots of a lane",
                         s->recipients_max, s->complete_slots);
    if (s->envelope_bytes_max < RING_RECORD_MIN || s->envelope_bytes_max > 16u << 20)
        return error_set(err, "feed: %u bytes of envelope: take %u to 16777216", s->envelope_bytes_max,
                         RING_RECORD_MIN);
    if (s->arena_bytes < 65536 || s->arena_bytes > 1ull << 40)
        return error_set(err, "feed: an arena of %llu bytes: take 64 KiB to 1 TiB",
                         (unsigned long long)s->arena_bytes);
    return true;
}

/* Huge pages are granted by mmap, not by memfd_create: only a mapping shows that they are there. */
static bool map_region(struct feed *feed, uint64_t bytes, unsigned memfd_flags, size_t page_bytes)
{
    feed->bytes = round_up(bytes, page_bytes);
    feed->page_bytes = page_bytes;
    feed->memfd = memfd_create("hardline-feed", MFD_CLOEXEC | MFD_ALLOW_SEALING | memfd_flags);
    if (feed->memfd < 0)
        return false;
    if (ftruncate(feed->memfd, (off_t)feed->bytes) == 0) {
        void *map = mmap(NULL, feed->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, feed->memfd, 0);
        if (map != MAP_FAILED) {
            feed->base = map;
            return true;
        }
    }
    int kept = errno;
    close(feed->memfd);
    feed->memfd = -1;
    errno = kept;
    return false;
}

static bool make_region(struct feed *feed, uint64_t bytes, struct error *err)
{
    if (feed->shape.ordinary_pages || !map_region(feed, bytes, MFD_HUGETLB | MFD_HUGE_2MB, HUGE_PAGE_BYTES)) {
        if (!map_region(feed, bytes, 0, (size_t)sysconf(_SC_PAGESIZE)))
            return error_set(err, "feed: no shared memory of %llu bytes: %s: lower the size of the arena",
                             (unsigned long long)bytes, strerror(errno));
        if (!feed->shape.ordinary_pages)
            madvise(feed->base, feed->bytes, MADV_HUGEPAGE); /* a wish */
    }
    if (madvise(feed->base, feed->bytes, MADV_DONTDUMP) < 0)
        return error_set(err, "feed: cannot keep its memory out of core dumps: %s", strerror(errno));
    return true;
}

static bool make_lane(struct feed *feed, uint32_t number, const struct ring_header *h, struct error *err)
{
    struct feed_lane *lane = &feed->lane[number];
    uint8_t *at = feed->base + h->lanes_offset + number * h->lane_bytes;
    lane->shared = (struct ring_lane *)at;
    lane->stages = (_Atomic uint64_t *)(at + h->stages_at);
    lane->in = (struct stream){.base = at + h->submit_at, .bytes = h->submit_bytes};
    lane->out = (struct stream){.base = at + h->complete_at, .bytes = h->complete_bytes};
    lane->busy = calloc((h->submit_slots + 63) / 64, sizeof(*lane->busy));
    return lane->busy || error_set(err, "feed: out of memory");
}

/* An eventfd's flags are those of all who have it: a producer that lets it block and fills it would hold the core that rings.
 * So the engine rings on a socket's end of its own, which nobody can send to.
 */
static bool make_bells(struct feed *feed, struct error *err)
{
    int pair[2];
    feed->wake_engine = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* the engine neither reads nor writes it */
    feed->wake_held = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (feed->wake_engine < 0 || feed->wake_held < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return error_set(err, "feed: no descriptors to wake by: %s", strerror(errno));
    feed->bell = pair[0];
    feed->wake_producer = pair[1];
    shutdown(feed->bell, SHUT_RD);
    return true;
}

static bool fill_feed(struct feed *feed, struct error *err)
{
    struct ring_header h = plan(&feed->shape, &feed->rights);
    if (!make_region(feed, h.region_bytes, err))
        return false;
    assert(feed->base);
    feed->shape.arena_bytes = h.arena_bytes;
    feed->arena_offset = h.arena_offset;
    feed->header = (struct ring_header *)feed->base;
    memcpy(feed->base, &h, sizeof(h));

    if (!make_bells(feed, err))
        return false;
    for (uint32_t i = 0; i < h.lanes; i++)
        if (!make_lane(feed, i, &h, err))
            return false;
    return feed_sigbus_add(feed) || error_set(err, "feed: more feeds than the SIGBUS handler has room for");
}

struct feed *feed_open(const struct feed_shape *shape, const struct feed_rights *rights, int *fd,
                       struct error *err)
{
    *fd = -1;
    if (!check_shape(shape, err))
        return NULL;
    size_t bytes = round_up(sizeof(struct feed) + shape->lanes * sizeof(struct feed_lane), CACHE_LINE);
    struct feed *feed = aligned_alloc(CACHE_LINE, bytes);
    if (!feed) {
        error_set(err, "feed: out of memory");
        return NULL;
    }
    memset(feed, 0, bytes);
    feed->shape = *shape;
    feed->rights = *rights;
    feed->memfd = feed->wake_engine = feed->wake_producer = feed->bell = feed->wake_held = -1;
    if (fill_feed(feed, err) && (*fd = fcntl(feed->memfd, F_DUPFD_CLOEXEC, 3)) < 0)
        error_set(err, "feed: no file descriptor for its memory: %s", strerror(errno));
    if (*fd < 0) {
        feed_close(feed, false); /* nothing is in it yet */
        return NULL;
    }
    return feed;
}

/* Without FUTURE_WRITE the producer could punch a hole into the region, and without SHRINK cut it off: our next
 * access would be a SIGBUS.  The producer may have done either before: hence the size, and the pages after.
 */
bool feed_seal(struct feed *feed, struct error *err)
{
    struct stat st;
    int seals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (fcntl(feed->memfd, F_ADD_SEALS, seals) < 0)
        return error_set(err, "feed: sealing its memory: %s", strerror(errno));
    if (fstat(feed->memfd, &st) < 0 || st.st_size != (off_t)feed->bytes)
        return error_set(err, "feed: the producer changed the size of the shared memory");
    if (madvise(feed->base, feed->bytes, MADV_POPULATE_WRITE) < 0)
        return error_set(err, "feed: the machine has no memory for %zu bytes of shared memory: %s: %s",
                         feed->bytes, strerror(errno), "lower the size of the arena or the number of feeds");
    close(feed->memfd);
    feed->memfd = -1;
    return true;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void feed_close(struct feed *feed, bool wipe)
{
    if (feed->base) {
        if (wipe)
            explicit_bzero(feed->base, feed->bytes);
        feed_sigbus_remove(feed); /* not before: a page that fails does so here as well */
        munmap(feed->base, feed->bytes);
    }
    close_fd(feed->memfd);
    close_fd(feed->wake_engine);
    close_fd(feed->wake_producer);
    close_fd(feed->bell);
    close_fd(feed->wake_held);
    for (uint32_t i = 0; i < feed->shape.lanes; i++)
        free(feed->lane[i].busy);
    free(feed);
}

int feed_wake_engine_fd(const struct feed *feed)
{
    return feed->wake_engine;
}

int feed_wake_held_fd(const struct feed *feed)
{
    return feed->wake_held;
}

int feed_wake_producer_fd(const struct feed *feed)
{
    return feed->wake_producer;
}

const struct feed_rights *feed_rights(const struct feed *feed)
{
    return &feed->rights;
}

bool feed_broken(const struct feed *feed)
{
    return atomic_load_explicit(&feed->broken, memory_order_relaxed) != FEED_SOUND;
}

const char *feed_fault(const struct feed *feed)
{
    uint32_t state = atomic_load_explicit(&feed->broken, memory_order_acquire);
    return state == FEED_IS_BROKEN ? feed->fault : state == FEED_SOUND ? "" : "broken";
}

void feed_break(struct feed *feed, const char *fmt, ...)
{
    uint32_t sound = FEED_SOUND;
    if (!atomic_compare_exchange_strong(&feed->broken, &sound, FEED_BREAKING))
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(feed->fault, sizeof(feed->fault), fmt, args);
    va_end(args);
    atomic_store_explicit(&feed->broken, FEED_IS_BROKEN, memory_order_release);
}
