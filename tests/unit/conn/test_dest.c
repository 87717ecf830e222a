/* test_dest.c: destinations: who is the same, who is looked at, who is put off; test_dest_limit.c has how many. */
#include "engine/conn/dest.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>

#define LIMIT 4u

static void open_table(struct dest_table *table, uint32_t max)
{
    struct error err;
    if (!dest_table_open(table, max, LIMIT, 7, &err))
        fail_msg("%s", err.text);
}

static struct policy_hop hop(const char *host, uint8_t last_byte, uint16_t port)
{
    struct policy_hop h = {.addr = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = last_byte},
                           .port = port};
    snprintf(h.host, sizeof(h.host), "%s", host);
    return h;
}

static struct dest *get(struct dest_table *table, uint8_t last_byte)
{
    struct policy_hop h = hop("mx.test", last_byte, 25);
    return dest_get(table, &h);
}

static void the_same_hop_is_the_same_destination(void **state)
{
    (void)state;
    struct dest_table table;
    open_table(&table, 16);
    struct policy_hop a = hop("mx.test", 1, 25), other;
    struct dest *dest = dest_get(&table, &a);
    assert_ptr_equal(dest_get(&table, &a), dest);
    other = hop("mx.test", 2, 25);
    assert_ptr_not_equal(dest_get(&table, &other), dest);
    other = hop("mx.test", 1, 26);
    assert_ptr_not_equal(dest_get(&table, &other), dest);
    other = hop("other.test", 1, 25);
    assert_ptr_not_equal(dest_get(&table, &other), dest);
    other = a;
    other.implicit_tls = true;
    assert_ptr_not_equal(dest_get(&table, &other), dest);
    assert_int_equal(table.pool.in_use, 5);
    dest_table_close(&table);
}

static void a_full_table_gives_none_and_counts_it(void **state)
{
    (void)state;
    struct dest_table table;
    open_table(&table, 2);
    struct dest *first = get(&table, 1);
    assert_non_null(get(&table, 2));
    assert_null(get(&table, 3));
    assert_int_equal(table.pool.exhausted, 1);
    assert_ptr_equal(get(&table, 1), first); /* who is there is found all the same */
    dest_release(&table, first);
    assert_non_null(get(&table, 3));
    dest_table_close(&table);
}

static void many_are_found_again(void **state)
{
    (void)state;
    struct dest_table table;
    struct dest *dest[200];
    open_table(&table, ARRAY_LEN(dest));
    for (unsigned i = 0; i < ARRAY_LEN(dest); i++)
        dest[i] = get(&table, (uint8_t)i);
    for (unsigned i = 0; i < ARRAY_LEN(dest); i += 2)
        dest_release(&table, dest[i]);
    for (unsigned i = 1; i < ARRAY_LEN(dest); i += 2)
        assert_ptr_equal(get(&table, (uint8_t)i), dest[i]);
    assert_int_equal(table.pool.in_use, ARRAY_LEN(dest) / 2);
    dest_table_close(&table);
}

static void who_is_needed_is_not_released(void **state)
{
    (void)state;
    struct dest_table table;
    open_table(&table, 2);
    struct dest *dest = get(&table, 1);
    dest->waiting_count = 1;
    dest_release(&table, dest);
    assert_int_equal(table.pool.in_use, 1);
    dest->waiting_count = 0;
    dest_on_connecting(dest);
    dest_release(&table, dest);
    assert_int_equal(table.pool.in_use, 1);
    dest_on_ended(&table, dest, false, true, 0);
    dest_on_gone(dest);
    dest_mark(&table, dest);
    dest_release(&table, dest);
    assert_int_equal(table.pool.in_use, 0);
    assert_true(list_empty(&table.due));
    dest_table_close(&table);
}

static void marked_twice_is_looked_at_once(void **state)
{
    (void)state;
    struct dest_table table;
    open_table(&table, 4);
    struct dest *a = get(&table, 1), *b = get(&table, 2);
    dest_mark(&table, a);
    dest_mark(&table, b);
    dest_mark(&table, a);
    assert_ptr_equal(list_pop(&table.due), &a->due);
    assert_ptr_equal(list_pop(&table.due), &b->due);
    assert_null(list_pop(&table.due));
    dest_table_close(&table);
}

/* ---- the hungry ---- */

static void the_hungry_are_fed_in_their_order(void **state)
{
    (void)state;
    struct dest_table table;
    open_table(&table, 4);
    struct dest *a = get(&table, 1), *b = get(&table, 2);
    dest_starve(&table, a);
    dest_starve(&table, b);
    dest_starve(&table, a); /* keeps its place */
    assert_int_equal(table.hungry_count, 2);
    assert_ptr_equal(dest_feed(&table), a);
    assert_ptr_equal(dest_feed(&table), b);
    assert_null(dest_feed(&table));
    assert_int_equal(table.hungry_count, 0);
    dest_table_close(&table);
}

static void a_mark_takes_it_out_of_the_line(void **state)
{
    (void)state;
    struct dest_table table;
    open_table(&table, 4);
    struct dest *a = get(&table, 1), *b = get(&table, 2);
    dest_starve(&table, a);
    dest_starve(&table, b);
    dest_mark(&table, a);
    assert_int_equal(table.hungry_count, 1);
    assert_ptr_equal(list_pop(&table.due), &a->due);
    dest_mark(&table, a);
    dest_starve(&table, a); /* due already: it will be looked at */
    assert_int_equal(table.hungry_count, 1);
    dest_release(&table, b);
    assert_int_equal(table.hungry_count, 0);
    assert_null(dest_feed(&table));
    dest_table_close(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_hop_is_the_same_destination),
        cmocka_unit_test(a_full_table_gives_none_and_counts_it),
        cmocka_unit_test(many_are_found_again),
        cmocka_unit_test(who_is_needed_is_not_released),
        cmocka_unit_test(marked_twice_is_looked_at_once),
        cmocka_unit_test(the_hungry_are_fed_in_their_order),
        cmocka_unit_test(a_mark_takes_it_out_of_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
