#include "tests/unit/net/world.h"

#include "engine/net/paths.h"

#define NOW_US 5000000u

static struct ip_addr host(uint32_t n)
{
    return ip_from_v4((uint8_t[]){10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n});
}

static struct paths *fresh(void)
{
    static struct paths paths;
    paths_init(&paths, &(struct hash_key){{3, 5}});
    return &paths;
}

static void what_was_learned_is_known_for_ten_minutes(void **state)
{
    struct paths *p = fresh();
    struct ip_addr a = host(1), b = host(2);
    (void)state;
    assert_int_equal(paths_mss(p, &a, NOW_US), 0);
    paths_learn(p, &a, 1220, NOW_US);
    assert_int_equal(paths_mss(p, &a, NOW_US), 1220);
    assert_int_equal(paths_mss(p, &b, NOW_US), 0);
    assert_int_equal(paths_mss(p, &a, NOW_US + PATHS_AGE_US - 1), 1220);
    assert_int_equal(paths_mss(p, &a, NOW_US + PATHS_AGE_US), 0);
}

static void later_news_replace_earlier_ones(void **state)
{
    struct paths *p = fresh();
    struct ip_addr a = host(1);
    (void)state;
    paths_learn(p, &a, 1220, NOW_US);
    paths_learn(p, &a, 1400, NOW_US + 1);
    assert_int_equal(paths_mss(p, &a, NOW_US + PATHS_AGE_US), 1400);
    paths_learn(p, &a, 0, NOW_US + 2);
    assert_int_equal(paths_mss(p, &a, NOW_US + 3), 0);
}

static void very_many_hosts_take_the_places_of_the_oldest(void **state)
{
    struct paths *p = fresh();
    uint32_t known = 0, hosts = 10 * PATHS_SETS * PATHS_WAYS;
    (void)state;
    for (uint32_t i = 0; i < hosts; i++) {
        struct ip_addr a = host(i);
        paths_learn(p, &a, 1000 + i % 400, NOW_US + i);
        assert_int_equal(paths_mss(p, &a, NOW_US + i), 1000 + i % 400);
    }
    for (uint32_t i = 0; i < hosts; i++) {
        struct ip_addr a = host(i);
        known += paths_mss(p, &a, NOW_US + hosts) != 0;
    }
    assert_int_equal(known, PATHS_SETS * PATHS_WAYS); /* every place is taken, and by one host each */
}

static void forgetting_a_stranger_changes_nothing(void **state)
{
    struct paths *p = fresh();
    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        struct ip_addr a = host(i), other = host(100000 + i);
        paths_learn(p, &a, 1220, NOW_US + i);
        paths_learn(p, &other, 0, NOW_US + i);
        assert_int_equal(paths_mss(p, &a, NOW_US + i), 1220);
    }
}

static void net_keeps_what_is_below_its_own_mtu(void **state)
{
    static struct world w;
    struct ip_addr a = host(7);
    (void)state;
    world_open(&w);
    net_learn_path(w.net, &a, 1220, NOW_US);
    assert_int_equal(net_path_mss(w.net, &a, NOW_US), 1220);
    net_learn_path(w.net, &a, net_mss(w.net, &a), NOW_US); /* all of it passes again */
    assert_int_equal(net_path_mss(w.net, &a, NOW_US), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_learned_is_known_for_ten_minutes),
        cmocka_unit_test(later_news_replace_earlier_ones),
        cmocka_unit_test(very_many_hosts_take_the_places_of_the_oldest),
        cmocka_unit_test(forgetting_a_stranger_changes_nothing),
        cmocka_unit_test(net_keeps_what_is_below_its_own_mtu),
    };
    return cmocka_run_group_tests_name("net/paths", tests, NULL, NULL);
}
