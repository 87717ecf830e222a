#include "engine/base/records.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 8u         /* length, and four bytes of nothing */
#define NO_RECORD  UINT32_MAX /* as a length: the next record begins at the start of the ring */

bool records_open(struct records *records, uint32_t size, struct error *err)
{
    assert(is_power_of_two(size) && size >= 64);
    memset(records, 0, sizeof(*records));
    records->size = size;
    records->memory = aligned_alloc(CACHE_LINE, size);
    return records->memory || error_set(err, "no memory for a ring of %u bytes", size);
}

void records_close(struct records *records)
{
    free(records->memory);
    records->memory = NULL;
}

static uint64_t whole(uint32_t len)
{
    return HEAD_BYTES + (((uint64_t)len + 7u) & ~7ull);
}

static bool has_room(struct records *records, uint64_t tail, uint64_t bytes)
{
    if (tail + bytes - records->head_seen > records->size)
        records->head_seen = atomic_load_explicit(&records->head, memory_order_acquire);
    return tail + bytes - records->head_seen <= records->size;
}

static uint8_t *place(const struct records *records, uint64_t at)
{
    return records->memory + (at & (records->size - 1u));
}

uint8_t *records_reserve(struct records *records, uint32_t len)
{
    uint64_t tail = atomic_load_explicit(&records->tail, memory_order_relaxed), bytes = whole(len);
    uint64_t to_end = records->size - (tail & (records->size - 1u)), skip = bytes > to_end ? to_end : 0;
    if (bytes > records->size / 2 || !has_room(records, tail, skip + bytes))
        return NULL;
    const uint32_t none = NO_RECORD;
    if (skip)
        memcpy(place(records, tail), &none, sizeof(none));
    memcpy(place(records, tail + skip), &len, sizeof(len));
    records->reserved = skip + bytes;
    return place(records, tail + skip) + HEAD_BYTES;
}

void records_commit(struct records *records)
{
    uint64_t tail = atomic_load_explicit(&records->tail, memory_order_relaxed);
    atomic_store_explicit(&records->tail, tail + records->reserved, memory_order_release);
    records->reserved = 0;
}

const uint8_t *records_first(struct records *records, uint32_t *len)
{
    uint64_t head = atomic_load_explicit(&records->head, memory_order_relaxed), skip = 0;
    if (head == atomic_load_explicit(&records->tail, memory_order_acquire))
        return NULL;
    memcpy(len, place(records, head), sizeof(*len));
    if (*len == NO_RECORD) {
        skip = records->size - (head & (records->size - 1u));
        memcpy(len, place(records, head + skip), sizeof(*len));
    }
    records->taken = skip + whole(*len);
    return place(records, head + skip) + HEAD_BYTES;
}

void records_drop(struct records *records)
{
    uint64_t head = atomic_load_explicit(&records->head, memory_order_relaxed);
    atomic_store_explicit(&records->head, head + records->taken, memory_order_release);
    records->taken = 0;
}
