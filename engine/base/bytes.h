/* bytes.h: bounded cursors over bytes that somebody else wrote.
 *
 * Reading and writing never leave the given range.  The first step outside sets a sticky `failed`; every
 * later read gives zeros and every later write does nothing, so a parser checks once, at its end.
 */
#ifndef ENGINE_BASE_BYTES_H
#define ENGINE_BASE_BYTES_H

#include "engine/base/base.h"

#include <string.h>

/* A borrowed run of bytes; not NUL-terminated. */
struct span {
    const uint8_t *data;
    size_t len; /* bytes */
};

struct bytes_in {
    const uint8_t *at; /* in [start, end] */
    const uint8_t *end;
    bool failed;
};

struct bytes_out {
    uint8_t *start;
    uint8_t *at; /* in [start, end] */
    uint8_t *end;
    bool failed;
};

/* bytes_copy is memcpy for lengths that vary and are mostly short.  Where compilers know a bound they make a string
 * instruction of memcpy, which takes 30 cycles and more before its first byte.
 */
static inline void bytes_copy(void *to, const void *from, size_t len)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    uint64_t a[2], b[2];
    if (len > 32) {
        __asm__("" : "+r"(len)); /* no bound is known */
        memcpy(out, in, len);
    } else if (len >= 16) {
        memcpy(a, in, 16);
        memcpy(b, in + len - 16, 16);
        memcpy(out, a, 16);
        memcpy(out + len - 16, b, 16);
    } else if (len >= 8) {
        memcpy(a, in, 8);
        memcpy(b, in + len - 8, 8);
        memcpy(out, a, 8);
        memcpy(out + len - 8, b, 8);
    } else if (len >= 4) {
        memcpy(a, in, 4);
        memcpy(b, in + len - 4, 4);
        memcpy(out, a, 4);
        memcpy(out + len - 4, b, 4);
    } else if (len > 0) {
        uint8_t first = in[0], middle = in[len / 2], last = in[len - 1];
        __asm__("" : "+r"(out)); /* nor room: else gcc warns of three bytes written where it knows of one */
        out[0] = first;
        out[len / 2] = middle;
        out[len - 1] = last;
    }
}

/* bytes_same is memcmp() == 0 for lengths that vary and are mostly short: no call for up to 32. */
static inline bool bytes_same(const void *left, const void *right, size_t len)
{
    const uint8_t *l = left, *r = right;
    uint64_t a[4], b[4];
    if (len > 32 || len < 8)
        return memcmp(l, r, len) == 0;
    if (len < 16) { /* the first and the last bytes, which may overlap */
        memcpy(a, l, 8);
        memcpy(b, r, 8);
        memcpy(a + 1, l + len - 8, 8);
        memcpy(b + 1, r + len - 8, 8);
        return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
    }
    memcpy(a, l, 16);
    memcpy(b, r, 16);
    memcpy(a + 2, l + len - 16, 16);
    memcpy(b + 2, r + len - 16, 16);
    return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0;
}

static inline struct bytes_in bytes_in(const void *data, size_t len)
{
    const uint8_t *p = data;
    return (struct bytes_in){.at = p, .end = p + len, .failed = false};
}

static inline size_t bytes_left(const struct bytes_in *in)
{
    return (size_t)(in->end - in->at);
}

/* bytes_take gives a pointer to the next len bytes and moves past them; NULL, and failed, if there are fewer. */
static inline const uint8_t *bytes_take(struct bytes_in *in, size_t len)
{
    if (unlikely(in->failed || bytes_left(in) < len)) {
        in->failed = true;
        return NULL;
    }
    const uint8_t *p = in->at;
    in->at += len;
    return p;
}

static inline uint8_t bytes_u8(struct bytes_in *in)
{
    const uint8_t *p = bytes_take(in, 1);
    return p ? p[0] : 0;
}

static inline uint16_t bytes_be16(struct bytes_in *in)
{
    const uint8_t *p = bytes_take(in, 2);
    if (!p)
        return 0;
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t bytes_be32(struct bytes_in *in)
{
    const uint8_t *p = bytes_take(in, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline struct bytes_out bytes_out(void *data, size_t cap)
{
    uint8_t *p = data;
    return (struct bytes_out){.start = p, .at = p, .end = p + cap, .failed = false};
}

static inline size_t bytes_written(const struct bytes_out *out)
{
    return (size_t)(out->at - out->start);
}

static inline size_t bytes_room(const struct bytes_out *out)
{
    return (size_t)(out->end - out->at);
}

/* bytes_reserve gives room for len bytes and moves past it; NULL, and failed, if there is less. */
static inline uint8_t *bytes_reserve(struct bytes_out *out, size_t len)
{
    if (unlikely(out->failed || bytes_room(out) < len)) {
        out->failed = true;
        return NULL;
    }
    uint8_t *p = out->at;
    out->at += len;
    return p;
}

static inline void bytes_put(struct bytes_out *out, const void *data, size_t len)
{
    uint8_t *p = bytes_reserve(out, len);
    if (p)
        bytes_copy(p, data, len);
}

static inline void bytes_put_str(struct bytes_out *out, const char *s)
{
    bytes_put(out, s, strlen(s));
}

static inline void bytes_put_u8(struct bytes_out *out, uint8_t v)
{
    uint8_t *p = bytes_reserve(out, 1);
    if (p)
        p[0] = v;
}

static inline void bytes_put_be16(struct bytes_out *out, uint16_t v)
{
    uint8_t *p = bytes_reserve(out, 2);
    if (p) {
        p[0] = (uint8_t)(v >> 8);
        p[1] = (uint8_t)v;
    }
}

static inline void bytes_put_be32(struct bytes_out *out, uint32_t v)
{
    uint8_t *p = bytes_reserve(out, 4);
    if (p) {
        p[0] = (uint8_t)(v >> 24);
        p[1] = (uint8_t)(v >> 16);
        p[2] = (uint8_t)(v >> 8);
        p[3] = (uint8_t)v;
    }
}

/* A place to write a stream into, chunk by chunk, without knowing what is behind it: the TLS layer seals
 * into one, conn/ backs it with the packets of a TCP send queue.
 *
 *   reserve   gives a writable chunk of *room bytes (at least 1), or NULL when nothing more fits now
 *   commit    says that the first len bytes of that chunk are written; len <= room of the last reserve
 *   pieces    gives several chunks at once, for len bytes, max of them at the most, in the order in which they are to be
 *             written; returns their number, 0 where nothing more fits now.  The commit that follows is for all of them.
 *             May be NULL: there is reserve alone
 */
struct byte_piece {
    uint8_t *at;
    size_t room; /* at least 1 */
};

struct byte_sink {
    void *ctx;
    uint8_t *(*reserve)(void *ctx, size_t *room);
    void (*commit)(void *ctx, size_t len);
    uint32_t (*pieces)(void *ctx, size_t len, struct byte_piece *piece, uint32_t max);
};

#endif
