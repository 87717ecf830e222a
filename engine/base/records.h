/* records.h: a bounded queue of records of any length between two threads of one process: one producer, one consumer.
 *
 * The bytes lie in one ring; a record is whole in it and 8-byte aligned.  Neither end waits, locks or allocates.
 */
#ifndef ENGINE_BASE_RECORDS_H
#define ENGINE_BASE_RECORDS_H

#include "engine/base/error.h"

#include <stdatomic.h>

struct records {
    uint8_t *memory;
    uint32_t size;                       /* bytes, a power of two */
    cache_aligned _Atomic uint64_t tail; /* free-running, written by the producer */
    uint64_t head_seen;                  /* the producer's copy of head; tail - head_seen in [0, size] */
    uint64_t reserved;                   /* what records_commit will add to tail */
    cache_aligned _Atomic uint64_t head; /* written by the consumer */
    uint64_t taken;                      /* what records_drop will add to head */
};

bool records_open(struct records *records, uint32_t size, struct error *err) must_check;
void records_close(struct records *records); /* neither end may use it any more */

/* records_reserve gives room for len bytes, to be filled and then shown by records_commit; NULL when there is none now.
 * At most half of the ring.  Producer only.
 */
uint8_t *records_reserve(struct records *records, uint32_t len);
void records_commit(struct records *records);

/* records_first gives the oldest record, NULL when there is none; it stays until records_drop.  Consumer only. */
const uint8_t *records_first(struct records *records, uint32_t *len);
void records_drop(struct records *records);

#endif
