#include "engine/ring/lib/arena.h"

#include <string.h>
#include <sys/mman.h>

#define NIL               UINT32_MAX
#define STEP_BITS         4u /* 2^4 == ARENA_STEPS */
#define LAST_RESORT_LOOKS 16u

struct place {
    uint32_t class, step;
};

static uint32_t top_bit(uint32_t x)
{
    return 31u - (uint32_t)__builtin_clz(x);
}

/* The list that a free piece of so many units is in: class 0 has one list for each size below ARENA_STEPS. */
static struct place place_of(uint32_t units)
{
    if (units < ARENA_STEPS)
        return (struct place){0, units};
    uint32_t top = top_bit(units);
    return (struct place){top - STEP_BITS + 1, (units >> (top - STEP_BITS)) - ARENA_STEPS};
}

static void mark(struct arena *a, uint32_t first, uint32_t units, bool used)
{
    a->size[first] = a->size[first + units - 1] = units << 1 | used;
}

static void insert(struct arena *a, uint32_t first, uint32_t units)
{
    struct place p = place_of(units);
    uint32_t *head = &a->head[p.class][p.step];
    mark(a, first, units, false);
    a->prev[first] = NIL;
    a->next[first] = *head;
    if (*head != NIL)
        a->prev[*head] = first;
    *head = first;
    a->step_map[p.class] = (uint16_t)(a->step_map[p.class] | 1u << p.step);
    a->class_map |= 1u << p.class;
}

static void detach(struct arena *a, uint32_t first)
{
    struct place p = place_of(a->size[first] >> 1);
    uint32_t next = a->next[first], prev = a->prev[first];
    if (next != NIL)
        a->prev[next] = prev;
    if (prev != NIL)
        a->next[prev] = next;
    else
        a->head[p.class][p.step] = next;
    if (a->head[p.class][p.step] != NIL)
        return;
    a->step_map[p.class] = (uint16_t)(a->step_map[p.class] & ~(1u << p.step));
    if (a->step_map[p.class] == 0)
        a->class_map &= ~(1u << p.class);
}

/* The first list whose every piece is large enough. */
static uint32_t find(const struct arena *a, uint32_t units)
{
    uint32_t round = units < ARENA_STEPS ? 0 : (1u << (top_bit(units) - STEP_BITS)) - 1;
    if (units > a->units - round)
        return NIL;
    struct place p = place_of(units + round);
    uint32_t steps = a->step_map[p.class] & (~0u << p.step);
    if (!steps) {
        uint32_t classes = a->class_map & (uint32_t)(~0ull << (p.class + 1));
        if (!classes)
            return NIL;
        p.class = (uint32_t)__builtin_ctz(classes);
        steps = a->step_map[p.class];
    }
    return a->head[p.class][__builtin_ctz(steps)];
}

/* Pieces of the request's own list may be large enough; worth a short look before saying no. */
static uint32_t find_tight(const struct arena *a, uint32_t units)
{
    struct place p = place_of(units);
    uint32_t at = a->head[p.class][p.step];
    for (uint32_t looks = 0; at != NIL && looks < LAST_RESORT_LOOKS; looks++, at = a->next[at])
        if (a->size[at] >> 1 >= units)
            return at;
    return NIL;
}

bool arena_open(struct arena *a, uint64_t bytes)
{
    memset(a, 0, sizeof(*a));
    memset(a->head, 0xff, sizeof(a->head));
    memset(a->keep, 0xff, sizeof(a->keep));
    if (bytes < ARENA_UNIT || bytes / ARENA_UNIT > 1u << 30)
        return false;
    a->units = (uint32_t)(bytes / ARENA_UNIT);
    a->map_bytes = 3 * sizeof(uint32_t) * (size_t)a->units;
    /* Only the ends of pieces are ever touched, so most of this never becomes memory. */
    void *map =
        mmap(NULL, a->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    a->size = map;
    // cppcheck-suppress nullPointerArithmeticOutOfMemory ; mmap does not fail with NULL
    a->next = a->size + a->units;
    a->prev = a->next + a->units;
    a->free_units = a->units;
    insert(a, 0, a->units);
    return true;
}

void arena_close(struct arena *a)
{
    if (a->size)
        munmap(a->size, a->map_bytes);
    memset(a, 0, sizeof(*a));
}

/* A piece that is free, for others to take. */
static noinline void release(struct arena *a, uint32_t first)
{
    uint32_t units = a->size[first] >> 1, after = first + units;
    if (after < a->units && !(a->size[after] & 1)) {
        units += a->size[after] >> 1;
        detach(a, after);
    }
    if (first > 0 && !(a->size[first - 1] & 1)) {
        uint32_t before = a->size[first - 1] >> 1;
        first -= before;
        units += before;
        detach(a, first);
    }
    insert(a, first, units);
}

static void release_kept(struct arena *a)
{
    for (uint32_t units = 1; units <= ARENA_SMALL; units++)
        while (a->keep[units] != NIL) {
            uint32_t first = a->keep[units];
            a->keep[units] = a->next[first];
            release(a, first);
        }
    a->kept = 0;
}

static uint32_t find_any(const struct arena *a, uint32_t units)
{
    uint32_t first = find(a, units);
    return first != NIL ? first : find_tight(a, units);
}

static noinline uint64_t take_found(struct arena *a, uint32_t units)
{
    uint32_t first = find_any(a, units);
    if (first == NIL && a->kept > 0) {
        release_kept(a);
        first = find_any(a, units);
    }
    if (first == NIL)
        return ARENA_NONE;

    uint32_t had = a->size[first] >> 1;
    detach(a, first);
    if (had > units)
        insert(a, first + units, had - units);
    mark(a, first, units, true);
    a->free_units -= units;
    return (uint64_t)first * ARENA_UNIT;
}

uint64_t arena_take(struct arena *a, uint64_t bytes)
{
    if (bytes > (uint64_t)a->free_units * ARENA_UNIT)
        return ARENA_NONE;
    uint32_t units = max_u32(1, (uint32_t)((bytes + ARENA_UNIT - 1) / ARENA_UNIT));
    if (units > ARENA_SMALL || a->keep[units] == NIL)
        return take_found(a, units);
    uint32_t kept = a->keep[units];
    a->keep[units] = a->next[kept];
    a->kept--;
    a->free_units -= units;
    return (uint64_t)kept * ARENA_UNIT;
}

void arena_give(struct arena *a, uint64_t offset)
{
    uint32_t first = (uint32_t)(offset / ARENA_UNIT);
    assert(offset % ARENA_UNIT == 0 && first < a->units && (a->size[first] & 1));
    uint32_t units = a->size[first] >> 1;
    a->free_units += units;
    if (units > ARENA_SMALL || a->kept == ARENA_KEEP) {
        release(a, first);
        return;
    }
    a->next[first] = a->keep[units];
    a->keep[units] = first;
    a->kept++;
}

static uint32_t count_lists(const struct arena *a)
{
    uint32_t listed = 0;
    for (uint32_t c = 0; c < ARENA_CLASSES; c++) {
        assert(!!(a->class_map >> c & 1) == !!a->step_map[c]);
        for (uint32_t s = 0; s < ARENA_STEPS; s++) {
            uint32_t prev = NIL;
            assert((a->step_map[c] >> s & 1) == (a->head[c][s] != NIL));
            for (uint32_t at = a->head[c][s]; at != NIL; prev = at, at = a->next[at], listed++) {
                struct place p = place_of(a->size[at] >> 1);
                assert(a->prev[at] == prev && p.class == c && p.step == s && !(a->size[at] & 1));
            }
        }
    }
    return listed;
}

static uint32_t count_kept(const struct arena *a)
{
    uint32_t count = 0, sum = 0;
    for (uint32_t units = 1; units <= ARENA_SMALL; units++)
        for (uint32_t at = a->keep[units]; at != NIL; at = a->next[at], count++, sum += units)
            assert(a->size[at] == (units << 1 | 1));
    assert(count == a->kept && count <= ARENA_KEEP);
    return sum;
}

void arena_check(const struct arena *a)
{
    uint32_t free_units = count_kept(a), free_pieces = 0;
    bool free_before = false;
    for (uint32_t at = 0; at < a->units;) {
        uint32_t units = a->size[at] >> 1;
        bool used = a->size[at] & 1;
        assert(units > 0 && units <= a->units - at && a->size[at + units - 1] == a->size[at]);
        assert(used || !free_before); /* neighbours are merged */
        free_before = !used;
        free_units += used ? 0 : units;
        free_pieces += !used;
        at += units;
    }
    assert(free_units == a->free_units && free_pieces == count_lists(a));
}
