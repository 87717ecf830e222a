/* test_route.c: the longest prefix decides. */
#include "world.h"

#include "engine/net/route.h"

static struct net_route via(const char *to, const char *gateway)
{
    struct net_route r = {.on_link = gateway == NULL};
    if (!ip_net_parse(to, &r.to))
        fail_msg("%s is no prefix", to);
    if (gateway)
        r.gateway = addr(gateway);
    return r;
}

static void assert_hop(const struct route_table *table, const char *to, const char *hop)
{
    struct ip_addr a = addr(to), got;
    char text[IP_ADDR_TEXT_MAX];
    bool found = route_next_hop(table, &a, &got);
    assert_int_equal(found, hop != NULL);
    if (found)
        assert_string_equal(ip_format(&got, text), hop);
}

static void the_longest_prefix_wins_in_any_order(void **state)
{
    (void)state;
    const struct net_route routes[] = {
        via("0.0.0.0/0", "192.0.2.254"),       via("198.51.100.0/24", "192.0.2.1"), via("192.0.2.0/24", NULL),
        via("198.51.100.128/25", "192.0.2.2"), via("198.51.100.200", "192.0.2.3"),
    };
    for (unsigned turn = 0; turn < ARRAY_LEN(routes); turn++) {
        struct net_route turned[ARRAY_LEN(routes)];
        struct route_table table;
        for (unsigned i = 0; i < ARRAY_LEN(routes); i++)
            turned[i] = routes[(i + turn) % ARRAY_LEN(routes)];
        route_table_init(&table, turned, ARRAY_LEN(routes));
        assert_hop(&table, "203.0.113.1", "192.0.2.254");
        assert_hop(&table, "192.0.2.77", "192.0.2.77");
        assert_hop(&table, "198.51.100.1", "192.0.2.1");
        assert_hop(&table, "198.51.100.129", "192.0.2.2");
        assert_hop(&table, "198.51.100.200", "192.0.2.3");
        assert_hop(&table, "2001:db8::1", NULL);
    }
}

static void of_equal_routes_the_first_one_wins(void **state)
{
    (void)state;
    const struct net_route routes[] = {via("0.0.0.0/0", "192.0.2.1"), via("0.0.0.0/0", "192.0.2.2")};
    struct route_table table;
    route_table_init(&table, routes, 2);
    assert_hop(&table, "203.0.113.1", "192.0.2.1");
}

static void without_a_route_there_is_no_hop(void **state)
{
    (void)state;
    const struct net_route routes[] = {via("192.0.2.0/24", NULL)};
    struct route_table table;
    route_table_init(&table, routes, 1);
    assert_hop(&table, "192.0.3.1", NULL);
    route_table_init(&table, routes, 0);
    assert_hop(&table, "192.0.2.1", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_wins_in_any_order),
        cmocka_unit_test(of_equal_routes_the_first_one_wins),
        cmocka_unit_test(without_a_route_there_is_no_hop),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
