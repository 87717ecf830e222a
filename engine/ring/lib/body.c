/* body.c: pieces of the arena that callers write into. */
#include "engine/ring/lib/lib.h"

#include <errno.h>
#include <stdlib.h>

static int reserve(hl_feed *feed, size_t bytes, hl_body **body, struct hl_error *error)
{
    if (bytes == 0)
        return fail(error, EINVAL, "a body of 0 bytes: a message has at least a header");
    if (bytes > feed->region.head.body_bytes_max)
        return fail(error, EMSGSIZE, "a body of %zu bytes: this engine takes %llu at the most", bytes,
                    (unsigned long long)feed->region.head.body_bytes_max);
    if (bytes > feed->region.head.arena_bytes)
        return fail(
            error, EMSGSIZE,
            "a body of %zu bytes: the whole arena has %llu: make the arena larger (feed.arena-megabytes)",
            bytes, (unsigned long long)feed->region.head.arena_bytes);
    hl_body *b = calloc(1, sizeof(*b));
    if (!b)
        return fail(error, ENOMEM, "out of memory");
    b->offset = arena_take(&feed->region.arena, bytes);
    if (b->offset == ARENA_NONE) {
        free(b);
        return fail(error, EAGAIN,
                    "the arena has no %zu bytes in one piece (%llu of %llu are free): reap results first",
                    bytes, (unsigned long long)feed->region.arena.free_units * ARENA_UNIT,
                    (unsigned long long)feed->region.head.arena_bytes);
    }
    b->feed = feed;
    b->bytes = bytes;
    b->claims = 1;
    list_push_tail(&feed->bodies, &b->link);
    *body = b;
    return 0;
}

int hl_body_reserve(hl_feed *feed, size_t bytes, hl_body **body, struct hl_error *error)
{
    *body = NULL;
    int code = feed_enter(feed, error);
    if (code)
        return code;
    code = reserve(feed, bytes, body, error);
    feed_leave(feed);
    return code;
}

void *hl_body_data(hl_body *body)
{
    return body->feed && body->offset != ARENA_NONE ? arena_at(&body->feed->region, body->offset) : NULL;
}

size_t hl_body_bytes(const hl_body *body)
{
    return body->bytes;
}

void body_unclaim(hl_body *body)
{
    if (--body->claims > 0) {
        body->is_clean =
            body->is_clean && body->claims > 1; /* the last claim may be its holder's, who may write again */
        return;
    }
    if (body->feed && body->offset != ARENA_NONE)
        arena_give(&body->feed->region.arena, body->offset);
    list_remove(&body->link);
    free(body);
}

void hl_body_release(hl_body *body)
{
    if (body)
        body_unclaim(body);
}
