/* spsc.h: a bounded queue of pointers between two threads of one process: one producer, one consumer.
 *
 * Each end keeps a copy of the other's index and reads the shared one only when the copy says full or empty.
 */
#ifndef ENGINE_BASE_SPSC_H
#define ENGINE_BASE_SPSC_H

#include "engine/base/base.h"

#include <stdatomic.h>

struct spsc {
    void **slot;
    uint32_t mask;                       /* slots - 1, slots a power of two */
    cache_aligned _Atomic uint32_t tail; /* written by the producer */
    uint32_t head_seen;                  /* the producer's copy of head */
    cache_aligned _Atomic uint32_t head; /* written by the consumer */
    uint32_t tail_seen;                  /* the consumer's copy of tail */
};

/* spsc_init uses the caller's array of slots (a power of two of them), which must outlive the queue. */
static inline void spsc_init(struct spsc *q, void **slot, uint32_t slots)
{
    assert(is_power_of_two(slots));
    q->slot = slot;
    q->mask = slots - 1;
    atomic_init(&q->tail, 0);
    atomic_init(&q->head, 0);
    q->head_seen = q->tail_seen = 0;
}

/* spsc_push gives the pointer to the consumer; false when the queue is full.  Producer only. */
static inline bool spsc_push(struct spsc *q, void *item)
{
    uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    if (tail - q->head_seen > q->mask) {
        q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
        if (tail - q->head_seen > q->mask)
            return false;
    }
    q->slot[tail & q->mask] = item;
    atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
    return true;
}

/* spsc_pop gives the oldest pointer, NULL when there is none.  Consumer only. */
static inline void *spsc_pop(struct spsc *q)
{
    uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    if (head == q->tail_seen) {
        q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire);
        if (head == q->tail_seen)
            return NULL;
    }
    void *item = q->slot[head & q->mask];
    atomic_store_explicit(&q->head, head + 1, memory_order_release);
    return item;
}

#endif
