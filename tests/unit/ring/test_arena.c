/* The arena's bookkeeping: pieces never overlap, neighbours merge, what fits is found. */
#include "engine/base/rand.h"
#include "engine/ring/lib/arena.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

#define BYTES  (1u << 20)
#define UNITS  (BYTES / ARENA_UNIT)
#define PIECES 2048u

struct piece {
    uint64_t offset, bytes;
};

static uint8_t owner[UNITS]; /* 0: nobody's */

static void claim(const struct piece *p, uint8_t who, uint8_t was)
{
    uint64_t units = (p->bytes + ARENA_UNIT - 1) / ARENA_UNIT;
    assert_int_equal(p->offset % ARENA_UNIT, 0);
    assert_true(p->offset + units * ARENA_UNIT <= BYTES);
    for (uint64_t u = p->offset / ARENA_UNIT; u < p->offset / ARENA_UNIT + units; u++) {
        assert_int_equal(owner[u], was);
        owner[u] = who;
    }
}

static void whole_arena_is_one_piece(void **state)
{
    (void)state;
    struct arena a;
    assert_true(arena_open(&a, BYTES));
    uint64_t all = arena_take(&a, BYTES);
    assert_int_equal(all, 0);
    assert_int_equal(arena_take(&a, 1), ARENA_NONE);
    assert_int_equal(a.free_units, 0);
    arena_check(&a);
    arena_give(&a, all);
    arena_check(&a);
    assert_int_equal(arena_take(&a, BYTES + 1), ARENA_NONE);
    assert_int_equal(arena_take(&a, UINT64_MAX), ARENA_NONE);
    arena_close(&a);
}

static void neighbours_merge_in_every_order(void **state)
{
    (void)state;
    static const uint8_t order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (unsigned o = 0; o < 6; o++) {
        struct arena a;
        uint64_t at[3];
        assert_true(arena_open(&a, 3 * 4096));
        for (unsigned i = 0; i < 3; i++)
            assert_int_not_equal(at[i] = arena_take(&a, 4096), ARENA_NONE);
        for (unsigned i = 0; i < 3; i++) {
            arena_give(&a, at[order[o][i]]);
            arena_check(&a);
        }
        assert_int_equal(arena_take(&a, 3 * 4096), 0);
        arena_close(&a);
    }
}

/* A piece that is large enough only by a little is found although its list is not searched first. */
static void tight_fit_is_found(void **state)
{
    (void)state;
    struct arena a;
    assert_true(arena_open(&a, 1037 * ARENA_UNIT));
    uint64_t all = arena_take(&a, 1036 * ARENA_UNIT);
    assert_int_not_equal(all, ARENA_NONE);
    arena_give(&a, all);
    assert_int_not_equal(arena_take(&a, 1037 * ARENA_UNIT), ARENA_NONE);
    arena_close(&a);
}

static uint64_t random_bytes(struct rand_source *r)
{
    uint32_t kind = rand_below(r, 10);
    return kind < 6   ? 1 + rand_below(r, 600)
           : kind < 9 ? 1 + rand_below(r, 12000)
                      : 1 + rand_below(r, 150000);
}

static void random_life(uint64_t seed)
{
    struct rand_source r;
    struct piece piece[PIECES];
    uint32_t count = 0;
    struct arena a;
    rand_seed(&r, seed);
    memset(owner, 0, sizeof(owner));
    assert_true(arena_open(&a, BYTES));
    for (unsigned step = 0; step < 20000; step++) {
        if (count < PIECES && rand_below(&r, 100) < 55) {
            struct piece p = {.bytes = random_bytes(&r)};
            p.offset = arena_take(&a, p.bytes);
            if (p.offset != ARENA_NONE) {
                claim(&p, 1, 0);
                piece[count++] = p;
            }
        } else if (count > 0) {
            uint32_t i = rand_below(&r, count);
            claim(&piece[i], 0, 1);
            arena_give(&a, piece[i].offset);
            piece[i] = piece[--count];
        }
        if (step % 64 == 0)
            arena_check(&a);
    }
    while (count > 0)
        arena_give(&a, piece[--count].offset);
    arena_check(&a);
    assert_int_equal(arena_take(&a, BYTES), 0);
    arena_close(&a);
}

static void random_pieces_never_overlap(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        random_life(seed);
}

/* Small pieces come back as they were, and are one piece again when something larger needs the room. */
static void kept_pieces_make_room(void **state)
{
    (void)state;
    struct arena a;
    uint64_t piece[64];
    assert_true(arena_open(&a, 64 * 3 * ARENA_UNIT));
    for (unsigned i = 0; i < 64; i++)
        assert_int_not_equal(piece[i] = arena_take(&a, 3 * ARENA_UNIT), ARENA_NONE);
    assert_int_equal(arena_take(&a, 1), ARENA_NONE);
    for (unsigned i = 0; i < 64; i++)
        arena_give(&a, piece[i]);
    arena_check(&a);
    assert_int_equal(a.free_units, 64 * 3);
    assert_int_equal(a.kept, 64);
    assert_int_equal(arena_take(&a, 2 * ARENA_UNIT + 1),
                     piece[63]); /* the last one is the likeliest in the cache */
    arena_give(&a, piece[63]);
    assert_int_equal(arena_take(&a, 64 * 3 * ARENA_UNIT), 0);
    assert_int_equal(a.kept, 0);
    arena_check(&a);
    arena_close(&a);
}

static void no_more_are_kept_than_may_be(void **state)
{
    (void)state;
    struct arena a;
    static uint64_t piece[ARENA_KEEP + 8];
    assert_true(arena_open(&a, ARRAY_LEN(piece) * ARENA_UNIT));
    for (unsigned i = 0; i < ARRAY_LEN(piece); i++)
        assert_int_not_equal(piece[i] = arena_take(&a, 1), ARENA_NONE);
    for (unsigned i = 0; i < ARRAY_LEN(piece); i++)
        arena_give(&a, piece[i]);
    assert_int_equal(a.kept, ARENA_KEEP);
    arena_check(&a);
    assert_int_equal(arena_take(&a, 8 * ARENA_UNIT), ARENA_KEEP * ARENA_UNIT);
    arena_close(&a);
}

/* Messages of mixed sizes that end in any order: how full is the arena when the first one finds no place? */
static void fragmentation_stays_low(void **state)
{
    (void)state;
    static struct piece piece[65536];
    struct rand_source r;
    struct arena a;
    uint32_t count = 0, refusals = 0;
    uint64_t full_sum = 0;
    rand_seed(&r, 42);
    assert_true(arena_open(&a, 64u << 20));
    for (unsigned step = 0; step < 300000; step++) {
        uint64_t bytes = 300 + rand_below(&r, rand_below(&r, 50) ? 20000 : 200000);
        uint64_t at = arena_take(&a, bytes);
        if (at != ARENA_NONE) {
            piece[count++] = (struct piece){at, bytes};
            continue;
        }
        refusals++;
        full_sum += 100u * (uint64_t)(a.units - a.free_units) / a.units;
        for (unsigned k = 0; k < 20; k++) {
            uint32_t i = rand_below(&r, count);
            arena_give(&a, piece[i].offset);
            piece[i] = piece[--count];
        }
    }
    arena_check(&a);
    print_message("# %u refusals, on average %u %% full then\n", refusals, (unsigned)(full_sum / refusals));
    assert_true(refusals > 1000);
    assert_true(full_sum / refusals >= 85);
    arena_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_pieces_make_room),    cmocka_unit_test(no_more_are_kept_than_may_be),
        cmocka_unit_test(whole_arena_is_one_piece), cmocka_unit_test(neighbours_merge_in_every_order),
        cmocka_unit_test(tight_fit_is_found),       cmocka_unit_test(random_pieces_never_overlap),
        cmocka_unit_test(fragmentation_stays_low),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
