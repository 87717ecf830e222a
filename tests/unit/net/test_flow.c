/* test_flow.c: the flow table with a million flows. */
#include "world.h"

#include "engine/net/flow.h"

#include <stdlib.h>

#define MILLION 1000000u

static const struct hash_key secret = {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}};

/* A few remotes, many ports: what a sender has. */
static struct flow_key key_of(uint32_t n)
{
    static const uint8_t local[4] = {192, 0, 2, 1};
    uint8_t remote[4] = {198, 51, (uint8_t)(n >> 24), (uint8_t)(n >> 16)};
    return (struct flow_key){.local = ip_from_v4(local),
                             .remote = ip_from_v4(remote),
                             .local_port = (uint16_t)n,
                             .remote_port = 25};
}

static struct flow_table open_table(uint32_t max)
{
    struct flow_table table;
    struct error err;
    if (!flow_table_open(&table, max, &secret, &err))
        fail_msg("%s", err.text);
    return table;
}

/* Steps a look since the last call. */
static double steps_per_look(struct flow_table *table)
{
    double steps = (double)table->steps / (double)table->looks;
    table->steps = table->looks = 0;
    return steps;
}

/* Key 00..0f, input 00 01 02 ... of whole words, as in the vectors that come with SipHash. */
static void the_hash_is_siphash_1_3(void **state)
{
    (void)state;
    static const uint64_t wanted[] = {0xabac0158050fc4dcu, 0x369095118d299a8eu, 0xcc4fdd1a7d908b66u};
    uint64_t words[5];
    uint8_t bytes[sizeof(words)];
    for (uint8_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = i;
    memcpy(words, bytes, sizeof(words));
    for (unsigned count = 0; count < ARRAY_LEN(wanted); count++)
        assert_true(hash_words(&secret, words, count) == wanted[count]);
    assert_true(hash_words(&secret, words, 5) == 0xc1d2363299e41531u);
}

static void a_million_flows_are_found_in_constant_time(void **state)
{
    (void)state;
    struct flow_table table = open_table(MILLION);
    for (uint32_t i = 0; i < MILLION; i++) {
        struct flow_key key = key_of(i);
        assert_true(flow_add(&table, &key, i * 3));
    }
    assert_true(steps_per_look(&table) <
                2.0); /* linear probing at half load: 1.5 for a hit, 2.5 for a miss */
    for (uint32_t i = 0; i < MILLION; i++) {
        struct flow_key key = key_of(i);
        assert_int_equal(flow_find(&table, &key), i * 3);
    }
    assert_true(steps_per_look(&table) < 2.0);
    for (uint32_t i = MILLION; i < 2 * MILLION; i++) {
        struct flow_key key = key_of(i);
        assert_int_equal(flow_find(&table, &key), NET_NO_FLOW);
    }
    assert_true(steps_per_look(&table) < 3.0);
    struct flow_key one_more = key_of(MILLION);
    assert_false(flow_add(&table, &one_more, 1));
    flow_table_close(&table);
}

/* No tombstones: when every flow has been replaced a look costs what it cost at first. */
static void churn_does_not_slow_it_down(void **state)
{
    (void)state;
    struct flow_table table = open_table(MILLION);
    uint32_t oldest = 0, newest = 0;
    for (; newest < MILLION; newest++) {
        struct flow_key key = key_of(newest);
        assert_true(flow_add(&table, &key, newest));
    }
    steps_per_look(&table);
    for (uint32_t round = 0; round < MILLION; round++) {
        struct flow_key key = key_of(oldest++);
        assert_true(flow_remove(&table, &key));
        key = key_of(newest);
        assert_true(flow_add(&table, &key, newest++));
    }
    assert_true(steps_per_look(&table) < 4.0); /* closing gaps included */
    for (uint32_t i = oldest; i < newest; i++) {
        struct flow_key key = key_of(i);
        assert_int_equal(flow_find(&table, &key), i);
    }
    assert_true(steps_per_look(&table) < 2.0);
    while (oldest < newest) {
        struct flow_key key = key_of(oldest++);
        assert_true(flow_remove(&table, &key));
    }
    assert_int_equal(table.used, 0);
    for (uint32_t i = 0; i <= table.mask; i++)
        assert_int_equal(table.slot[i].entry, UINT32_MAX);
    flow_table_close(&table);
}

/* Against a plain array, at a load at which chains run into each other. */
static void agrees_with_a_list(void **state)
{
    (void)state;
    enum { KEYS = 40, MAX = 16 };
    struct flow_table table = open_table(MAX);
    uint32_t model[KEYS], used = 0;
    struct rand_source rand;
    rand_seed(&rand, 5);
    memset(model, 0xff, sizeof(model));
    table.mask = 31; /* at most: MAX of them */
    for (uint32_t round = 0; round < 200000; round++) {
        uint32_t n = rand_below(&rand, KEYS), what = rand_below(&rand, 4);
        struct flow_key key = key_of(n);
        bool there = model[n] != NET_NO_FLOW;
        assert_int_equal(flow_find(&table, &key), model[n]);
        if (what == 0 && there) {
            assert_true(flow_remove(&table, &key));
            model[n] = NET_NO_FLOW;
            used--;
        } else if (what == 1 && there) {
            assert_true(flow_renumber(&table, &key, round));
            model[n] = round;
        } else if (what == 2 && !there) {
            bool added = flow_add(&table, &key, round);
            assert_int_equal(added, used < MAX);
            if (added) {
                model[n] = round;
                used++;
            }
        } else if (!there) {
            assert_false(flow_remove(&table, &key));
            assert_false(flow_renumber(&table, &key, 1));
        }
        assert_int_equal(table.used, used);
    }
    flow_table_close(&table);
}

static void every_part_of_the_key_counts(void **state)
{
    (void)state;
    struct flow_table table = open_table(16);
    struct flow_key key = key_of(77), other;
    assert_true(flow_add(&table, &key, 1));
    other = key;
    other.local_port ^= 1;
    assert_int_equal(flow_find(&table, &other), NET_NO_FLOW);
    other = key;
    other.remote_port ^= 1;
    assert_int_equal(flow_find(&table, &other), NET_NO_FLOW);
    other = key;
    other.local.b[15] ^= 1;
    assert_int_equal(flow_find(&table, &other), NET_NO_FLOW);
    other = key;
    other.remote.b[0] ^= 1;
    assert_int_equal(flow_find(&table, &other), NET_NO_FLOW);
    other = (struct flow_key){key.remote, key.local, key.remote_port, key.local_port};
    assert_int_equal(flow_find(&table, &other), NET_NO_FLOW);
    flow_table_close(&table);
}

/* Whoever does not know the secret cannot choose addresses that share a chain. */
static void another_secret_is_another_order(void **state)
{
    (void)state;
    struct error err;
    struct hash_key other = {{1, 2}};
    struct flow_table a = open_table(1024), b;
    assert_true(flow_table_open(&b, 1024, &other, &err));
    for (uint32_t i = 0; i < 1024; i++) {
        struct flow_key key = key_of(i);
        assert_true(flow_add(&a, &key, i) && flow_add(&b, &key, i));
    }
    uint32_t same = 0;
    for (uint32_t i = 0; i <= a.mask; i++)
        same += a.slot[i].entry != UINT32_MAX && a.slot[i].entry == b.slot[i].entry;
    assert_true(same < 16);
    flow_table_close(&a);
    flow_table_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_siphash_1_3),
        cmocka_unit_test(a_million_flows_are_found_in_constant_time),
        cmocka_unit_test(churn_does_not_slow_it_down),
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(every_part_of_the_key_counts),
        cmocka_unit_test(another_secret_is_another_order),
    };
    return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
