/* test_ports.c: source ports: this core's, free, unpredictable, and cheap to find to the last one (RFC 6056). */
#include "world.h"

#include "engine/net/ports.h"

#include <stdio.h>
#include <stdlib.h>

static const struct hash_key secret = {{11, 22}};

struct bench {
    struct ports ports;
    struct flow_table flows;
    struct rand_source rand;
};

static const struct port_steering *steering; /* of the next bench; NULL: none */

static struct bench *open_bench(uint16_t first, uint16_t last, uint32_t core, uint32_t cores, uint64_t seed)
{
    struct error err;
    struct bench *b = calloc(1, sizeof(*b));
    struct ports_range range = {first, last, core, cores, steering};
    assert_non_null(b);
    rand_seed(&b->rand, seed);
    struct hash_key key = {{secret.k[0] ^ seed, secret.k[1]}};
    ports_init(&b->ports, &range, &key, &b->rand);
    assert_true(flow_table_open(&b->flows, 200000, &secret, &err));
    return b;
}

static void close_bench(struct bench *b)
{
    flow_table_close(&b->flows);
    free(b);
}

static struct flow_key towards(const char *remote)
{
    return (struct flow_key){.local = addr("192.0.2.1"), .remote = addr(remote), .remote_port = 25};
}

static bool take(struct bench *b, struct flow_key *key)
{
    uint32_t taken;
    return ports_choose(&b->ports, &b->flows, NULL, key, &taken) && flow_add(&b->flows, key, 1);
}

/* Goes on when a search ended before it had seen all ports. */
static bool take_patiently(struct bench *b, struct flow_key *key)
{
    for (unsigned i = 0; i < 65536 / PORTS_TRIES + 1; i++) {
        if (take(b, key))
            return true;
        for (unsigned j = 0; j < PORTS_BUCKETS; j++)
            b->ports.bucket[j].full = 0;
    }
    return false;
}

static void give_back(struct bench *b, const struct flow_key *key)
{
    assert_true(flow_remove(&b->flows, key));
    ports_released(&b->ports, key);
}

static void each_port_of_a_core_is_used_once(void **state)
{
    (void)state;
    static const struct {
        uint16_t first, last;
        uint32_t cores;
    } ranges[] = {{1024, 65535, 1},  {1024, 65535, 3}, {1025, 1030, 4},
                  {32768, 60999, 7}, {2000, 2000, 1},  {1, 9, 8}};
    for (size_t r = 0; r < ARRAY_LEN(ranges); r++) {
        uint32_t all = 0;
        for (uint32_t core = 0; core < ranges[r].cores; core++) {
            struct bench *b = open_bench(ranges[r].first, ranges[r].last, core, ranges[r].cores, 1);
            struct flow_key key = towards("198.51.100.1");
            for (; take_patiently(b, &key); all++) {
                assert_in_range(key.local_port, ranges[r].first, ranges[r].last);
                assert_int_equal(key.local_port % ranges[r].cores, core);
            }
            close_bench(b);
        }
        assert_int_equal(all, ranges[r].last - ranges[r].first + 1);
    }
}

static void a_core_without_a_port_says_so(void **state)
{
    (void)state;
    struct bench *b = open_bench(1024, 1025, 2, 4, 1);
    struct flow_key key = towards("198.51.100.1");
    assert_false(take(b, &key));
    ports_released(&b->ports, &key);
    close_bench(b);
}

/* Two destinations have all ports each: only the whole 4-tuple has to be unique. */
static void destinations_do_not_compete(void **state)
{
    (void)state;
    struct bench *b = open_bench(2000, 2099, 0, 1, 1);
    for (unsigned i = 0; i < 2; i++) {
        struct flow_key key = towards(i ? "198.51.100.1" : "198.51.100.2");
        for (unsigned n = 0; n < 100; n++)
            assert_true(take(b, &key));
        assert_false(take(b, &key));
        key.remote_port = 26;
        assert_true(take(b, &key));
    }
    close_bench(b);
}

/* RFC 6056 section 3.3: where numbering starts depends on the destination and on a secret. */
static void starts_differ_by_destination_and_secret(void **state)
{
    (void)state;
    uint16_t seen[64];
    unsigned same = 0;
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
        char remote[IP_ADDR_TEXT_MAX];
        struct bench *b = open_bench(1024, 65535, 0, 1, 1 + i % 2);
        snprintf(remote, sizeof(remote), "198.51.100.%u", i / 2);
        struct flow_key key = towards(remote);
        assert_true(take(b, &key));
        seen[i] = key.local_port;
        for (unsigned j = 0; j < i; j++)
            same += seen[j] == seen[i];
        close_bench(b);
    }
    assert_true(same <= 1);
}

static void a_port_is_not_used_again_at_once(void **state)
{
    (void)state;
    struct bench *b = open_bench(1024, 65535, 0, 1, 1);
    struct flow_key key = towards("198.51.100.1");
    static bool used[65536];
    for (unsigned i = 0; i < 30000; i++) {
        assert_true(take(b, &key));
        assert_false(used[key.local_port]);
        used[key.local_port] = true;
        give_back(b, &key);
    }
    close_bench(b);
}

/* All ports to one destination in use: to be told so costs nothing, and the first that is released is found at once. */
static void exhaustion_is_cheap(void **state)
{
    (void)state;
    struct bench *b = open_bench(1024, 65535, 0, 1, 1);
    struct flow_key key = towards("198.51.100.1"), some = key;
    while (take_patiently(b, &key))
        if (rand_below(&b->rand, 1000) == 0)
            some = key;
    assert_int_equal(b->flows.used, 64512);
    b->flows.looks = 0;
    assert_false(take(b, &key));
    assert_true(b->flows.looks <= PORTS_TRIES);
    b->flows.looks = 0;
    for (unsigned i = 0; i < 1000; i++)
        assert_false(take(b, &key));
    assert_int_equal(b->flows.looks, 0);
    give_back(b, &some);
    b->flows.looks = 0;
    assert_true(take(b, &key));
    assert_int_equal(key.local_port, some.local_port);
    assert_true(b->flows.looks <= 2);
    close_bench(b);
}

/* 63,000 of 64,512 in use, connections come and go in any order. */
static void a_crowded_destination_is_cheap(void **state)
{
    (void)state;
    struct bench *b = open_bench(1024, 65535, 0, 1, 1);
    static struct flow_key open[63000];
    for (unsigned i = 0; i < ARRAY_LEN(open); i++) {
        open[i] = towards("198.51.100.1");
        assert_true(take(b, &open[i]));
    }
    b->flows.looks = 0;
    for (unsigned i = 0; i < 50000; i++) {
        struct flow_key *one = &open[rand_below(&b->rand, ARRAY_LEN(open))];
        give_back(b, one);
        assert_true(take(b, one));
    }
    assert_true(b->flows.looks / 50000 <
                100); /* one port in 43 is free; and two looks to close and enter a flow */
    close_bench(b);
}

/* The note that a destination is full is about that destination. */
static void a_full_destination_leaves_its_bucket_to_others(void **state)
{
    (void)state;
    struct bench *b = open_bench(2000, 2003, 0, 1, 1);
    struct flow_key full = towards("198.51.100.1");
    while (take(b, &full))
        ;
    for (unsigned i = 0; i < 20000; i++) { /* every bucket is met about twenty times */
        uint8_t v4[4] = {203, 0, (uint8_t)(i >> 8), (uint8_t)i};
        struct flow_key key = {.local = full.local, .remote = ip_from_v4(v4), .remote_port = 25};
        assert_true(take(b, &key));
    }
    assert_false(take(b, &full));
    close_bench(b);
}

/* A port that steers by the ports' sum: two thirds of the way to a real hash, and easy to foretell. */
static uint32_t sum_of_ports(const struct port_steering *unused, const struct port_flow *flow)
{
    (void)unused;
    return (uint32_t)(flow->local_port * 7u + flow->remote_port) % 3;
}

static void answers_come_back_to_the_core_that_asks(void **state)
{
    (void)state;
    static const struct port_steering by_sum = {.queue = sum_of_ports};
    steering = &by_sum;
    for (uint32_t core = 0; core < 3; core++) {
        struct bench *b = open_bench(1024, 65535, core, 3, core + 1);
        for (unsigned i = 0; i < 20000; i++) { /* nearly all of a third of the ports */
            struct flow_key key = towards("198.51.100.9");
            assert_true(take_patiently(b, &key));
            assert_int_equal(ports_owner(&by_sum, 3, &key), core);
        }
        close_bench(b);
    }
    steering = NULL;
}

static uint32_t nowhere(const struct port_steering *unused, const struct port_flow *flow)
{
    (void)unused;
    (void)flow;
    return PORT_NO_QUEUE;
}

static void what_is_not_steered_belongs_to_its_ports_core(void **state)
{
    (void)state;
    static const struct port_steering none = {.queue = nowhere};
    steering = &none;
    struct bench *b = open_bench(1024, 65535, 1, 2, 5);
    for (unsigned i = 0; i < 1000; i++) {
        struct flow_key key = towards("198.51.100.9");
        assert_true(take(b, &key));
        assert_int_equal(key.local_port % 2, 1);
    }
    close_bench(b);
    steering = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_back_to_the_core_that_asks),
        cmocka_unit_test(what_is_not_steered_belongs_to_its_ports_core),
        cmocka_unit_test(each_port_of_a_core_is_used_once),
        cmocka_unit_test(a_core_without_a_port_says_so),
        cmocka_unit_test(destinations_do_not_compete),
        cmocka_unit_test(starts_differ_by_destination_and_secret),
        cmocka_unit_test(a_port_is_not_used_again_at_once),
        cmocka_unit_test(exhaustion_is_cheap),
        cmocka_unit_test(a_crowded_destination_is_cheap),
        cmocka_unit_test(a_full_destination_leaves_its_bucket_to_others),
    };
    return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
