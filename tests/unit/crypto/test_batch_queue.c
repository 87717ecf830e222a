/* When batches are run and by whom: virtual time, a library of the test's own that can be made to fail,
 * bounds, wiping.
 */
#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/cmocka.h"

/* ---- a library that counts, and answers by libcrypto ---- */

struct toy {
    struct batch_backend libcrypto;
    unsigned calls, ops, largest;
    unsigned leave; /* so many lanes of each call are left undone: bits, the first lane the lowest */
    bool closed;
};

static struct toy toy;

static bool toy_has(void *self, enum batch_kind kind)
{
    (void)self;
    return kind != BATCH_P384_DERIVE;
}

static void toy_run(void *self, enum batch_kind kind, struct batch_op *const op[], unsigned n)
{
    struct toy *t = self;
    assert_in_range(n, 1, BATCH_LANES);
    t->calls++;
    t->ops += n;
    t->largest = max_u32(t->largest, n);
    for (unsigned i = 0; i < n; i++)
        if (!(t->leave >> i & 1))
            t->libcrypto.run(t->libcrypto.self, kind, &op[i], 1);
}

static void toy_close(void *self)
{
    struct toy *t = self;
    t->libcrypto.close(t->libcrypto.self);
    t->closed = true;
}

static struct stats stats;

static struct batch *toy_batch(struct batch_config config)
{
    struct error err;
    const struct batch_backend lanes = {
        .name = "toy", .has = toy_has, .run = toy_run, .close = toy_close, .self = &toy};
    toy = (struct toy){0};
    stats = (struct stats){0};
    config.stats = &stats;
    assert_true(batch_openssl_open(&toy.libcrypto, NULL, &err));
    struct batch *b = batch_open_with(&config, &lanes, NULL, &err);
    assert_non_null(b);
    return b;
}

static const struct batch_config small = {.ops_max = 32, .stock = 16, .break_even = 3};

static struct batch_op *put(struct batch *b, enum batch_group group, uint64_t now_us)
{
    struct batch_pair own;
    assert_true(batch_pair_take(b, group, &own));
    return batch_derive(b, group, &own, (struct span){own.point, batch_point_bytes(group)}, NULL, now_us);
}

static unsigned take_ready(struct batch *b)
{
    unsigned n = 0;
    for (struct batch_op *op; (op = batch_ready(b)); n++) {
        assert_int_equal(op->result, BATCH_GOOD);
        batch_done(b, op);
    }
    return n;
}

static void fresh_count(void)
{
    toy.calls = toy.ops = toy.largest = 0;
    stats = (struct stats){0};
}

static uint64_t count(enum stat_id id)
{
    return stats.v[id];
}

/* ---- when ---- */

static void eight_of_a_kind_run(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    assert_non_null(put(b, BATCH_P256, 0)); /* of another kind: does not count */
    fresh_count();
    for (unsigned i = 1; i < BATCH_LANES; i++) {
        assert_non_null(put(b, BATCH_X25519, i));
        assert_null(batch_ready(b));
    }
    fresh_count();
    assert_non_null(put(b, BATCH_X25519, 8));
    assert_int_equal(count(STAT_tls_batch_run_full), 1);
    assert_int_equal(batch_waiting(b), 1);
    assert_int_equal(take_ready(b), BATCH_LANES);
    assert_int_equal(toy.largest, BATCH_LANES);
    batch_close(b);
    assert_true(toy.closed);
}

static void the_oldest_waits_200_us(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    assert_int_equal(batch_deadline(b), DEADLINE_NEVER);
    put(b, BATCH_X25519, 1000);
    put(b, BATCH_X25519, 1150);
    put(b, BATCH_P256, 1100);
    assert_int_equal(batch_deadline(b), 1200);
    batch_run(b, 1199);
    assert_int_equal(batch_waiting(b), 3);
    batch_run(b, 1200); /* both of X25519 go, P-256 may still wait */
    assert_int_equal(count(STAT_tls_batch_run_old), 1);
    assert_int_equal(take_ready(b), 2);
    assert_int_equal(batch_deadline(b), 1300);
    batch_run(b, 5000);
    assert_int_equal(count(STAT_tls_batch_run_old), 2);
    assert_int_equal(take_ready(b), 1);
    assert_int_equal(batch_deadline(b), DEADLINE_NEVER);
    batch_close(b);
}

static void who_cannot_wait(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    put(b, BATCH_P256, 0);
    put(b, BATCH_X25519, 0);
    struct batch_op *op = put(b, BATCH_X25519, 0);
    batch_now(b, op); /* and those in the queue with it */
    assert_int_equal(op->result, BATCH_GOOD);
    batch_now(b, op);
    assert_int_equal(take_ready(b), 2);
    assert_int_equal(batch_waiting(b), 1);
    batch_close(b);
}

static void another_wait(void **state)
{
    (void)state;
    struct batch_config config = small;
    config.wait_us = 7;
    struct batch *b = toy_batch(config);
    put(b, BATCH_X25519, 10);
    assert_int_equal(batch_deadline(b), 17);
    batch_close(b);
}

static void flush_and_idle(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    put(b, BATCH_X25519, 0);
    put(b, BATCH_P256, 0);
    batch_flush(b);
    assert_int_equal(count(STAT_tls_batch_run_all_wait), 2);
    assert_int_equal(take_ready(b), 2);
    put(b, BATCH_X25519, 0);
    batch_idle(b);
    assert_int_equal(count(STAT_tls_batch_run_idle), 1);
    assert_int_equal(take_ready(b), 1);
    fresh_count();
    batch_flush(b); /* nothing waits: nothing is counted */
    batch_run(b, 9999);
    assert_int_equal(count(STAT_tls_batch_run_all_wait) + count(STAT_tls_batch_run_old), 0);
    batch_close(b);
}

static void few_go_one_by_one(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small); /* break-even: 3 */
    for (unsigned n = 1; n < BATCH_LANES; n++) {
        for (unsigned i = 0; i < n; i++)
            put(b, BATCH_X25519, 0);
        fresh_count();
        batch_flush(b);
        assert_int_equal(take_ready(b), n);
        assert_int_equal(toy.calls, n >= 3);
        assert_int_equal(count(STAT_tls_batch_lanes), n >= 3 ? n : 0);
        assert_int_equal(count(STAT_tls_batch_calls), n >= 3);
        assert_int_equal(count(STAT_tls_batch_single), n >= 3 ? 0 : n);
    }
    batch_close(b);
}

static void what_no_batch_helps_does_not_wait(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    assert_int_equal(batch_break_even(b, BATCH_P384_DERIVE), BATCH_NEVER);
    put(b, BATCH_P384, 0);
    assert_int_equal(batch_waiting(b), 0);
    assert_int_equal(take_ready(b), 1);
    batch_close(b);
}

static void break_even_is_measured(void **state)
{
    (void)state;
    struct batch_config config = small;
    config.break_even = 0;
    struct batch *b = toy_batch(config); /* as slow as eight of libcrypto's: nothing is gained below eight */
    for (unsigned kind = 0; kind < BATCH_OTHER_VERIFY; kind++)
        assert_in_range(batch_break_even(b, kind), kind == BATCH_P384_DERIVE ? BATCH_NEVER : 3, BATCH_NEVER);
    assert_int_equal(batch_break_even(b, BATCH_OTHER_VERIFY), BATCH_NEVER);
    batch_close(b);
}

/* ---- failures ---- */

static void a_library_that_fails(void **state)
{
    (void)state;
    for (unsigned leave = 1; leave < 256; leave += 18) {
        struct batch *b = toy_batch(small);
        struct batch_pair own;
        assert_true(batch_pair_take(b, BATCH_X25519, &own));
        assert_null(batch_complaint(b));
        fresh_count();
        toy.leave = leave;
        for (unsigned i = 0; i < BATCH_LANES; i++)
            assert_non_null(batch_derive(b, BATCH_X25519, &own, (struct span){own.point, 32}, NULL, 0));
        assert_int_equal(take_ready(b), BATCH_LANES);
        assert_int_equal(count(STAT_tls_batch_redone), __builtin_popcount(leave));
        const char *told = batch_complaint(b);
        assert_non_null(told);
        assert_non_null(strstr(told, "toy failed"));
        assert_null(batch_complaint(b)); /* once */
        batch_close(b);
    }
}

static void keys_of_a_library_that_fails(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    toy.leave = 0xff;
    struct batch_pair own;
    uint8_t a[BATCH_SECRET_BYTES], c[BATCH_SECRET_BYTES];
    struct batch_pair other;
    assert_true(batch_pair_take(b, BATCH_X25519, &own) && batch_pair_take(b, BATCH_X25519, &other));
    assert_true(kit_evp_derive(BATCH_X25519, &own, (struct span){other.point, 32}, a));
    assert_true(kit_evp_derive(BATCH_X25519, &other, (struct span){own.point, 32}, c));
    assert_memory_equal(a, c, 32);
    batch_close(b);
}

/* ---- bounds, ends ---- */

static void a_full_pool_takes_no_more(void **state)
{
    (void)state;
    struct batch_config config = small;
    config.ops_max = 3;
    struct batch *b = toy_batch(config);
    struct batch_op *op[3];
    for (unsigned i = 0; i < 3; i++)
        assert_non_null(op[i] = put(b, BATCH_X25519, 0));
    assert_null(put(b, BATCH_X25519, 0));
    assert_int_equal(count(STAT_tls_batch_pool_full), 1);
    batch_flush(b);
    assert_null(put(b, BATCH_X25519, 0)); /* ready ones count too */
    assert_int_equal(take_ready(b), 3);
    assert_non_null(put(b, BATCH_X25519, 0));
    batch_close(b);
}

static void an_owner_goes(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    struct batch_op *first = put(b, BATCH_X25519, 0), *second = put(b, BATCH_X25519, 50);
    batch_done(b, first); /* waiting */
    assert_int_equal(batch_waiting(b), 1);
    assert_int_equal(batch_deadline(b), 250);
    batch_flush(b);
    batch_done(b, second); /* ready, and not fetched */
    assert_null(batch_ready(b));
    assert_int_equal(b->ops.in_use, 0);
    batch_close(b);
}

static void operations_are_wiped(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    struct batch_op *op = put(b, BATCH_X25519, 0);
    static const struct batch_exchange nothing;
    batch_flush(b);
    assert_ptr_equal(batch_ready(b), op);
    batch_done(b, op);
    assert_memory_equal(&op->exchange, &nothing, sizeof(nothing));
    batch_close(b);
}

static void the_stock(void **state)
{
    (void)state;
    static const struct batch_pair nothing;
    struct batch_pair pair, last = {0};
    struct batch *b = toy_batch(small);
    batch_idle(b);
    assert_int_equal(toy.ops, 0); /* nobody has asked for any group */
    for (unsigned i = 0; i < 40; i++) {
        assert_true(batch_pair_take(b, BATCH_P256, &pair));
        assert_memory_not_equal(&pair, &last, sizeof(pair));
        last = pair;
        struct batch_stock *stock = &b->stock[BATCH_P256];
        for (unsigned j = stock->count; j < BATCH_STOCK_MAX; j++)
            assert_memory_equal(&stock->pair[j], &nothing, sizeof(nothing));
    }
    assert_int_equal(count(STAT_tls_batch_keys), 40);
    assert_int_equal(count(STAT_tls_batch_keys_late), 5); /* eight each time */
    for (unsigned i = 0; i < 10; i++)
        batch_idle(b);
    assert_int_equal(b->stock[BATCH_P256].count, 16); /* and no more */
    assert_int_equal(b->stock[BATCH_X25519].count, 0);
    assert_memory_equal(b->making, &(struct batch_op[BATCH_LANES]){0}, sizeof(b->making));
    batch_close(b);
}

static void no_stock_at_all(void **state)
{
    (void)state;
    struct batch_config config = small;
    struct batch_pair pair;
    config.stock = 0;
    struct batch *b = toy_batch(config);
    for (enum batch_group group = 0; group < BATCH_GROUPS; group++)
        assert_true(batch_pair_take(b, group, &pair));
    batch_idle(b);
    assert_int_equal(b->stock[BATCH_X25519].count, 0);
    batch_close(b);
}

static void closed_with_work_left(void **state)
{
    (void)state;
    struct batch *b = toy_batch(small);
    uint8_t sig[1024];
    const struct span message = {(const uint8_t *)"m", 1};
    const struct span by = {sig, kit_sign(kit_ec(BATCH_P256), BATCH_ECDSA, BATCH_SHA256, message, sig)};
    struct batch_key *key = batch_key_make(NULL, kit_ec(BATCH_P256));
    assert_non_null(batch_verify(b, key, BATCH_ECDSA, BATCH_SHA256, message, by, NULL, 0));
    batch_flush(b);
    assert_non_null(batch_verify(b, key, BATCH_ECDSA, BATCH_SHA256, message, by, NULL, 0));
    put(b, BATCH_X25519, 0);
    batch_close(b);
    assert_int_equal(key->holders, 1);
    batch_key_drop(key);
}

static void found_and_told(void **state)
{
    (void)state;
    struct error err;
    struct batch_config config = {.ops_max = 8, .libcrypto_only = true, .stats = &stats};
    struct batch *b = batch_open(&config, &err);
    assert_string_equal(batch_backend_name(b), "libcrypto");
    batch_close(b);
    batch_close(NULL);
    config.libcrypto_only = false;
    b = batch_open(&config, &err);
    assert_non_null(b);
    bool lanes = strncmp(batch_backend_name(b), "crypto_mb ", 10) == 0;
    for (unsigned kind = 0; kind < BATCH_KINDS; kind++)
        assert_in_range(batch_break_even(b, kind), lanes ? 1 : BATCH_NEVER, BATCH_NEVER);
    batch_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_of_a_kind_run),
        cmocka_unit_test(the_oldest_waits_200_us),
        cmocka_unit_test(who_cannot_wait),
        cmocka_unit_test(another_wait),
        cmocka_unit_test(flush_and_idle),
        cmocka_unit_test(few_go_one_by_one),
        cmocka_unit_test(what_no_batch_helps_does_not_wait),
        cmocka_unit_test(break_even_is_measured),
        cmocka_unit_test(a_library_that_fails),
        cmocka_unit_test(keys_of_a_library_that_fails),
        cmocka_unit_test(a_full_pool_takes_no_more),
        cmocka_unit_test(an_owner_goes),
        cmocka_unit_test(operations_are_wiped),
        cmocka_unit_test(the_stock),
        cmocka_unit_test(no_stock_at_all),
        cmocka_unit_test(closed_with_work_left),
        cmocka_unit_test(found_and_told),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_free_keys();
    return failed;
}
