/* test_ranges.c: addresses by the range: the first and the last are answered for, their neighbours are not. */
#include "world.h"

#include <string.h>

static void open_with_ranges(struct world *w)
{
    world_open6(w);
    w->config.range[0] = (struct net_range){addr("192.0.2.250"), 10}; /* to 192.0.3.3 */
    w->config.range[1] = (struct net_range){addr("2001:db8::fff0"), 32};
    w->config.ranges = 2;
    world_restart(w);
    world_drain(w);
}

static bool arp_answers(struct world *w, const char *target)
{
    struct frame f = arp_frame(ARP_REQUEST, &test_mac, "192.0.2.9", target), out;
    world_give(w, &f);
    return world_take(w, &out);
}

static bool nd_answers(struct world *w, const char *target)
{
    struct nd ask = {.type = ND_SOLICIT, .has_mac = true, .mac = test_mac, .target = addr(target)};
    struct ip_addr group = ip_solicited_node(&ask.target);
    char text[IP_ADDR_TEXT_MAX];
    struct frame f = nd_frame(w, "2001:db8::9", ip_format(&group, text), &ask), out;
    world_give(w, &f);
    return world_take(w, &out);
}

static bool hears_syn(struct world *w, const char *from, const char *to)
{
    const struct tcp_segment syn = {.src_port = 2000, .dst_port = 25, .flags = TCP_SYN};
    struct frame f = tcp_frame(w, from, to, &syn, NULL);
    unsigned before = w->heard.syns;
    world_give(w, &f);
    world_drain(w);
    struct ip_addr local = addr(to);
    return w->heard.syns > before && ip_equal(&w->heard.key.local, &local);
}

static void answers_for_all_of_an_ipv4_range(void **state)
{
    (void)state;
    static const char *const ours[] = {"192.0.2.250", "192.0.2.255", "192.0.3.0", "192.0.3.3", "192.0.2.1"};
    static const char *const others[] = {"192.0.2.249", "192.0.3.4", "192.1.2.251"};
    struct world w;
    open_with_ranges(&w);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        assert_true(arp_answers(&w, ours[i]) && hears_syn(&w, "192.0.2.9", ours[i]));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(arp_answers(&w, others[i]) || hears_syn(&w, "192.0.2.9", others[i]));
    world_close(&w);
}

static void answers_for_all_of_an_ipv6_range(void **state)
{
    (void)state;
    static const char *const ours[] = {"2001:db8::fff0", "2001:db8::ffff", "2001:db8::1:0", "2001:db8::1:f",
                                       "2001:db8::1"};
    static const char *const others[] = {"2001:db8::ffef", "2001:db8::1:10", "2001:db9::fff0"};
    struct world w;
    open_with_ranges(&w);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        assert_true(nd_answers(&w, ours[i]) && hears_syn(&w, "2001:db8::9", ours[i]));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(nd_answers(&w, others[i]) || hears_syn(&w, "2001:db8::9", others[i]));
    world_close(&w);
}

static void too_many_ranges_are_refused(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    const struct net_handler handler = {0};
    open_with_ranges(&w);
    w.config.ranges = NET_RANGES_MAX + 1;
    assert_null(net_open(&w.config, w.port[0], &w.wheel, &w.stats, &handler, &err));
    assert_non_null(strstr(err.text, "ranges"));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_for_all_of_an_ipv4_range),
        cmocka_unit_test(answers_for_all_of_an_ipv6_range),
        cmocka_unit_test(too_many_ranges_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
