/* pool.h: objects of one size, all taken at start; get and put are constant time.
 *
 * A full pool is back-pressure: pool_get gives NULL and counts it.  One thread.
 */
#ifndef ENGINE_BASE_POOL_H
#define ENGINE_BASE_POOL_H

#include "engine/base/error.h"

struct pool {
    const char *name; /* for messages and counters */
    uint8_t *memory;
    size_t object_bytes; /* rounded up to a cache line */
    uint32_t capacity;   /* objects */
    uint32_t in_use;     /* in [0, capacity] */
    uint32_t in_use_max; /* high-water mark */
    uint64_t exhausted;  /* times pool_get gave NULL */
    uint32_t *free;      /* indices; free[0 .. capacity - in_use) are free */
};

/* pool_open takes all memory at once and touches it. */
bool pool_open(struct pool *pool, const char *name, size_t object_bytes, uint32_t capacity,
               struct error *err) must_check;
void pool_close(struct pool *pool);

/* pool_get gives an object whose bytes are whatever its last user left, or NULL. */
void *pool_get(struct pool *pool);
void pool_put(struct pool *pool, void *object);

/* An object's index is in [0, capacity) and stays its own for ever. */
uint32_t pool_index(const struct pool *pool, const void *object);
void *pool_at(const struct pool *pool, uint32_t index);

#endif
