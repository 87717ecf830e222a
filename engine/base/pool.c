#include "engine/base/pool.h"

#include <stdlib.h>
#include <string.h>

bool pool_open(struct pool *pool, const char *name, size_t object_bytes, uint32_t capacity, struct error *err)
{
    size_t size = (object_bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    *pool = (struct pool){.name = name, .object_bytes = size, .capacity = capacity};
    pool->memory = capacity <= SIZE_MAX / size ? aligned_alloc(CACHE_LINE, size * capacity) : NULL;
    pool->free = calloc(capacity, sizeof(*pool->free));
    if (!pool->memory || !pool->free) {
        pool_close(pool);
        return error_set(
            err, "pool %s: no memory for %u objects of %zu bytes; lower its limit in the configuration", name,
            capacity, size);
    }
    memset(pool->memory, 0, size * capacity);
    for (uint32_t i = 0; i < capacity; i++)
        pool->free[i] = capacity - 1 - i;
    return true;
}

void pool_close(struct pool *pool)
{
    free(pool->memory);
    free(pool->free);
    pool->memory = NULL;
    pool->free = NULL;
}

void *pool_get(struct pool *pool)
{
    if (unlikely(pool->in_use == pool->capacity)) {
        pool->exhausted++;
        return NULL;
    }
    pool->in_use++;
    pool->in_use_max = max_u32(pool->in_use_max, pool->in_use);
    return pool_at(pool, pool->free[pool->capacity - pool->in_use]);
}

void pool_put(struct pool *pool, void *object)
{
    assert(pool->in_use > 0);
    pool->free[pool->capacity - pool->in_use] = pool_index(pool, object);
    pool->in_use--;
}

uint32_t pool_index(const struct pool *pool, const void *object)
{
    size_t offset = (size_t)((const uint8_t *)object - pool->memory);
    assert(offset % pool->object_bytes == 0 && offset / pool->object_bytes < pool->capacity);
    return (uint32_t)(offset / pool->object_bytes);
}

void *pool_at(const struct pool *pool, uint32_t index)
{
    assert(index < pool->capacity);
    return pool->memory + (size_t)index * pool->object_bytes;
}
