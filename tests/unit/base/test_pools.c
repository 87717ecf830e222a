/* Object pools and packet pools: a full one says so and counts it; nothing is lost. */
#include "engine/base/pkt.h"
#include "engine/base/pool.h"
#include "tests/unit/cmocka.h"

static void pool_gives_all_then_none(void **state)
{
    (void)state;
    struct pool pool;
    struct error err;
    void *object[3];
    assert_true(pool_open(&pool, "things", 100, 3, &err));
    for (unsigned i = 0; i < 3; i++) {
        object[i] = pool_get(&pool);
        assert_non_null(object[i]);
        assert_int_equal((uintptr_t)object[i] % CACHE_LINE, 0);
        assert_ptr_equal(pool_at(&pool, pool_index(&pool, object[i])), object[i]);
    }
    assert_null(pool_get(&pool));
    assert_int_equal(pool.exhausted, 1);
    pool_put(&pool, object[1]);
    assert_ptr_equal(pool_get(&pool), object[1]);
    assert_int_equal(pool.in_use_max, 3);
    for (unsigned i = 0; i < 3; i++)
        pool_put(&pool, object[i]);
    assert_int_equal(pool.in_use, 0);
    pool_close(&pool);
}

static void pool_too_large_names_itself_and_the_remedy(void **state)
{
    (void)state;
    struct pool pool;
    struct error err;
    assert_false(pool_open(&pool, "dreams", SIZE_MAX / 4, 1000, &err));
    assert_non_null(strstr(err.text, "dreams"));
    assert_non_null(strstr(err.text, "lower its limit"));
}

static void many_packets_come_back_together(void **state)
{
    (void)state;
    struct pkt_pool *pool = pkt_heap_pool_open(PKT_MANY, 0, 2048);
    struct pkt *p[PKT_MANY];
    for (unsigned i = 0; i < PKT_MANY; i++)
        assert_non_null(p[i] = pkt_alloc(pool, PKT_DATA));
    pkt_ref(p[3]);
    pkt_free_many(p, PKT_MANY);
    pkt_pool_refresh(pool);
    assert_int_equal(pool->available, PKT_MANY - 1); /* somebody else has one of them still */
    pkt_free_many(&p[3], 1);
    pkt_pool_refresh(pool);
    assert_int_equal(pool->available, PKT_MANY);
    pkt_heap_pool_close(pool);
}

static void many_packets_are_taken_together(void **state)
{
    (void)state;
    struct pkt_pool *pool = pkt_heap_pool_open(10, 3, 2048);
    struct pkt *p[PKT_MANY];
    assert_int_equal(pkt_alloc_many(pool, p, 8), 0); /* the reserve is not touched */
    assert_int_equal(pkt_alloc_many(pool, p, 7), 7);
    assert_int_equal(pool->available, 3);
    assert_int_equal(pkt_alloc_many(pool, p + 7, 1), 0);
    assert_int_equal(pool->exhausted, 0); /* nobody was refused what he needs */
    for (unsigned i = 0; i < 7; i++)
        assert_true(p[i]->len == 0 && p[i]->data == p[i]->buf + PKT_HEADROOM && !pkt_shared(p[i]));
    pkt_free_many(p, 7);
    pkt_heap_pool_close(pool);
}

static void control_packets_have_a_reserve(void **state)
{
    (void)state;
    struct pkt_pool *pool = pkt_heap_pool_open(8, 3, 2048);
    struct pkt *p[8];
    unsigned n = 0;
    while ((p[n] = pkt_alloc(pool, PKT_DATA)))
        n++;
    assert_int_equal(n, 5);
    assert_int_equal(pool->exhausted, 1);
    while (n < 8 && (p[n] = pkt_alloc(pool, PKT_CONTROL)))
        n++;
    assert_int_equal(n, 8);
    assert_null(pkt_alloc(pool, PKT_CONTROL));
    while (n > 0)
        pkt_free(p[--n]);
    pkt_pool_refresh(pool);
    assert_int_equal(pool->available, 8);
    pkt_heap_pool_close(pool);
}

static void last_holder_returns_the_packet(void **state)
{
    (void)state;
    struct pkt_pool *pool = pkt_heap_pool_open(1, 0, 2048);
    struct pkt *p = pkt_alloc(pool, PKT_DATA);
    assert_int_equal(p->data - p->buf, PKT_HEADROOM);
    assert_int_equal(pkt_tailroom(p), 2048 - PKT_HEADROOM);
    assert_false(pkt_shared(p));
    pkt_ref(p);
    assert_true(pkt_shared(p));
    pkt_free(p);
    assert_null(pkt_alloc(pool, PKT_CONTROL));
    pkt_free(p);
    pkt_pool_refresh(pool);
    p = pkt_alloc(pool, PKT_DATA);
    assert_non_null(p);
    pkt_free(p);
    pkt_heap_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_gives_all_then_none),
        cmocka_unit_test(pool_too_large_names_itself_and_the_remedy),
        cmocka_unit_test(many_packets_come_back_together),
        cmocka_unit_test(many_packets_are_taken_together),
        cmocka_unit_test(control_packets_have_a_reserve),
        cmocka_unit_test(last_holder_returns_the_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
