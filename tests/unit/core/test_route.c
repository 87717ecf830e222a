/* test_route.c: the next hop of a job: text forms, routes, hops in their order. */
#include "engine/core/core_private.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>

static struct policy_route routes[2] = {
    {.pattern = "example.org",
     .hops = 2,
     .hop = {{.host = "mx1.example.org", .addr = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}, .port = 25},
             {.host = "mx2.example.org",
              .addr = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 2},
              .port = 465,
              .implicit_tls = true}}},
    {.pattern = ".example.net",
     .hops = 1,
     .hop = {{.host = "hub.example.net", .addr = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 3}, .port = 26}}},
};

static const struct policy_table table = {.routes = ARRAY_LEN(routes), .route = routes};

static bool route(const char *domain, const char *next_hop, uint32_t index, struct policy_hop *hop,
                  struct outcome *why)
{
    static struct feed_job job;
    snprintf(job.domain, sizeof(job.domain), "%s", domain);
    snprintf(job.next_hop, sizeof(job.next_hop), "%s", next_hop);
    memset(why, 0, sizeof(*why));
    return route_hop(&table, &job, index, hop, why);
}

static void hops_in_their_order(void **state)
{
    (void)state;
    struct policy_hop hop;
    struct outcome why;
    assert_true(route("example.org", "", 0, &hop, &why));
    assert_string_equal(hop.host, "mx1.example.org");
    assert_int_equal(hop.port, 25);
    assert_true(route("example.org", "", 1, &hop, &why));
    assert_string_equal(hop.host, "mx2.example.org");
    assert_true(hop.implicit_tls);
    assert_false(route("example.org", "", 2, &hop, &why));
    assert_int_equal(why.verdict, VERDICT_DEFERRED);
    assert_int_equal(why.stage, STAGE_ROUTE);
}

static void a_next_hop_replaces_the_domain(void **state)
{
    (void)state;
    struct policy_hop hop;
    struct outcome why;
    assert_true(route("elsewhere.test", "sub.example.net", 0, &hop, &why));
    assert_string_equal(hop.host, "hub.example.net");
    assert_int_equal(hop.port, 26);
    assert_true(route("elsewhere.test", "sub.example.net:2525", 0, &hop, &why));
    assert_int_equal(hop.port, 2525);
    assert_true(route("elsewhere.test", "example.org:2525", 1, &hop, &why));
    assert_string_equal(hop.host, "mx2.example.org");
    assert_int_equal(hop.port, 2525);
}

static void no_route_is_ours_to_mend(void **state)
{
    (void)state;
    struct policy_hop hop;
    struct outcome why;
    assert_false(route("elsewhere.test", "", 0, &hop, &why));
    assert_int_equal(why.verdict, VERDICT_DEFERRED);
    assert_int_equal(why.fault, FAULT_LOCAL);
    assert_int_equal(why.reason, REASON_NO_ROUTE);
    assert_non_null(strstr(why.text, "elsewhere.test"));
    assert_false(route("example.net", "", 0, &hop, &why)); /* hosts below it only */
}

static void assert_address(const struct policy_hop *hop, const char *text)
{
    struct ip_addr addr;
    assert_true(ip_parse(text, &addr));
    assert_memory_equal(hop->addr, addr.b, 16);
    assert_string_equal(hop->host, "");
    assert_false(hop->implicit_tls);
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *address;
        uint16_t port;
    } good[] = {
        {"[192.0.2.9]", "192.0.2.9", 25},
        {"[192.0.2.9]:2525", "192.0.2.9", 2525},
        {"[192.0.2.9]:65535", "192.0.2.9", 65535},
        {"[IPv6:2001:db8::1]", "2001:db8::1", 25},
        {"[ipv6:2001:db8::1]:465", "2001:db8::1", 465},
    };
    struct policy_hop hop;
    struct outcome why;
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(route("example.org", good[i].text, 0, &hop, &why));
        assert_address(&hop, good[i].address);
        assert_int_equal(hop.port, good[i].port);
        assert_false(route("example.org", good[i].text, 1, &hop, &why));
        assert_int_equal(why.verdict, VERDICT_DEFERRED);
    }
    assert_true(route("[192.0.2.7]", "", 0, &hop, &why)); /* the domain of user@[192.0.2.7] */
    assert_address(&hop, "192.0.2.7");
}

/* The feed has checked these before; whoever gets past it is refused here. */
static void what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[192.0.2.9",
        "[192.0.2.9]25",
        "[192.0.2.9]:",
        "[192.0.2.9]:0",
        "[192.0.2.9]:65536",
        "[192.0.2.9]:25x",
        "[]",
        "[example.org]",
        "[192.0.2.256]",
        "[IPv6:]",
        "[IPv6:192.0.2]",
        ":25",
        "example.org:",
        "example.org:0",
        "example.org:99999",
        "example.org:2x",
        "example.org:-1",
        "example.org: 25",
        "example.org:25:26",
    };
    struct policy_hop hop;
    struct outcome why;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        if (route("example.org", bad[i], 0, &hop, &why))
            fail_msg("%s is taken for a next hop", bad[i]);
        assert_int_equal(why.verdict, VERDICT_FAILED);
        assert_int_equal(why.fault, FAULT_PRODUCER);
        assert_int_equal(why.stage, STAGE_ROUTE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hops_in_their_order),
        cmocka_unit_test(a_next_hop_replaces_the_domain),
        cmocka_unit_test(no_route_is_ours_to_mend),
        cmocka_unit_test(addresses),
        cmocka_unit_test(what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
