/* arena.h: who has which piece of the arena.  Two-level segregated fit (Masmano, Ripoll, Crespo, Real 2004): take and
 * give are constant time, neighbours merge at once.  But small pieces given back are kept for the next of their size, and
 * merge when there is no other place.
 *
 * All bookkeeping is in private memory: what lies in shared memory cannot be trusted to stay.  The arena itself is
 * never touched here.
 */
#ifndef ENGINE_RING_LIB_ARENA_H
#define ENGINE_RING_LIB_ARENA_H

#include "engine/base/base.h"

#define ARENA_UNIT    128u /* bytes; every piece begins at a multiple and is a multiple */
#define ARENA_NONE    UINT64_MAX
#define ARENA_CLASSES 30u   /* powers of two of units */
#define ARENA_STEPS   16u   /* equal steps between two powers of two */
#define ARENA_SMALL   16u   /* units of the largest piece that is kept as it is when it is given back */
#define ARENA_KEEP    4096u /* so many of them at the most */

struct arena {
    uint32_t units;
    uint32_t free_units;   /* in [0, units] */
    uint32_t *size;        /* at a piece's first and last unit: units << 1 | in use */
    uint32_t *next, *prev; /* at a free piece's first unit: others of its list */
    size_t map_bytes;      /* of the three */
    uint32_t class_map;    /* bit c: some list of class c is not empty */
    uint16_t step_map[ARENA_CLASSES];
    uint32_t head[ARENA_CLASSES][ARENA_STEPS];
    uint32_t kept; /* in [0, ARENA_KEEP]; their units are marked as in use and count as free */
    uint32_t keep[ARENA_SMALL + 1]; /* the last one given back of each size, linked by next[] */
};

/* arena_open takes bookkeeping for an arena of so many bytes (what is over a multiple of a unit is not used). */
bool arena_open(struct arena *arena, uint64_t bytes) must_check;
void arena_close(struct arena *arena);

/* arena_take gives the offset of a piece of at least so many bytes, ARENA_NONE when there is none. */
uint64_t arena_take(struct arena *arena, uint64_t bytes) must_check;
void arena_give(struct arena *arena, uint64_t offset);

/* arena_check walks all pieces and asserts every invariant; for tests. */
void arena_check(const struct arena *arena);

#endif
