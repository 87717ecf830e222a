/* seq.h: sequence numbers are a circle (RFC 9293 section 3.4): compare by the sign of the distance. */
#ifndef ENGINE_TCP_SEQ_H
#define ENGINE_TCP_SEQ_H

#include "engine/base/base.h"

static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline bool seq_gt(uint32_t a, uint32_t b)
{
    return seq_lt(b, a);
}

static inline bool seq_ge(uint32_t a, uint32_t b)
{
    return seq_le(b, a);
}

/* x in [start, start + len) */
static inline bool seq_in(uint32_t x, uint32_t start, uint32_t len)
{
    return x - start < len;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? a : b;
}

#endif
