/* stream.h: one end's private cursor on a stream of layout.h: where it writes or reads next.  Nothing in here is shared, and
 * nothing decides whether there is room: who calls has compared positions with the other end's before.
 */
#ifndef ENGINE_RING_STREAM_H
#define ENGINE_RING_STREAM_H

#include "engine/ring/layout.h"

#include <string.h>

struct stream {
    uint8_t *base;
    uint32_t bytes;    /* of the stream, multiple of 8 */
    uint32_t at;       /* in [0, bytes), multiple of 8 */
    uint64_t position; /* bytes since the beginning, skipped ones as well */
};

static inline uint32_t stream_rest(const struct stream *s)
{
    return s->bytes - s->at;
}

static inline void stream_advance(struct stream *s, uint32_t bytes)
{
    s->position += bytes;
    s->at = bytes == stream_rest(s) ? 0 : s->at + bytes;
}

/* What `bytes` in one piece take, with what is skipped at the end for them. */
static inline uint64_t stream_need(const struct stream *s, uint32_t bytes)
{
    return bytes <= stream_rest(s) ? bytes : (uint64_t)stream_rest(s) + bytes;
}

static inline void stream_skip(struct stream *s)
{
    const uint32_t skip = RING_SKIP;
    memcpy(s->base + s->at, &skip, sizeof(skip));
    stream_advance(s, stream_rest(s));
}

/* stream_place gives where `bytes` in one piece go; the caller writes them, and advances. */
static inline uint8_t *stream_place(struct stream *s, uint32_t bytes)
{
    if (unlikely(bytes > stream_rest(s)))
        stream_skip(s);
    return s->base + s->at;
}

/* The first word of what stands at the cursor: read once. */
static inline uint32_t stream_word(const struct stream *s)
{
    return *(const volatile uint32_t *)(s->base + s->at);
}

/* stream_copied keeps the compiler from looking at the other end's bytes again: what is checked after it is the copy, which
 * stays in memory in one piece.
 */
static inline void stream_copied(const void *copy)
{
    __asm__ __volatile__("" ::"r"(copy) : "memory");
}

#endif
