/* test_mld.c: switches are told which groups we listen to (RFC 3810). */
#include "world.h"

#include <string.h>

#define REPORT    (14 + 40 + 8) /* where it starts behind Ethernet, IPv6 and the router alert */
#define SECOND_US 1000000u

/* An address whose group is not that of the link-local one. */
static void open_with(struct world *w, uint32_t dad_transmits)
{
    world_open6(w);
    w->config.address[1] = addr("2001:db8::77");
    w->config.dad_transmits = dad_transmits;
    world_restart(w);
}

static void take_reports(struct world *w)
{
    struct frame f;
    while (world_take(w, &f))
        ;
}

static struct ip_addr group_at(const struct frame *f, unsigned i)
{
    struct ip_addr a;
    memcpy(a.b, f->data + REPORT + 8 + 20 * i + 4, sizeof(a.b));
    return a;
}

static void expect_report(const struct world *w, uint8_t record, const char *from)
{
    const struct frame *f = &w->report;
    struct ip_header ip;
    struct icmp icmp;
    assert_int_equal(f->len, REPORT + 8 + 2 * 20);
    assert_memory_equal(f->data, ((uint8_t[]){0x33, 0x33, 0, 0, 0, 0x16}), 6);
    assert_int_equal(ip_header_parse(&ip, f->data + 14, f->len - 14, true), IP_OK);
    assert_int_equal(ip.ttl, 1);
    assert_int_equal(ip.protocol, IP_PROTO_ICMP6); /* behind the hop-by-hop header */
    assert_memory_equal(f->data + 54, ((uint8_t[]){58, 0, 5, 2, 0, 0, 1, 0}), 8);
    struct ip_addr source = from ? addr(from) : world_link_local(w), all = addr("ff02::16");
    assert_true(ip_equal(&ip.src, &source));
    assert_true(ip_equal(&ip.dst, &all));
    assert_true(icmp6_parse(&icmp, &ip, f->data + REPORT, ip.payload_len)); /* its checksum is right */
    assert_int_equal(f->data[REPORT + 7], 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(f->data[REPORT + 8 + 20 * i], record);
    struct ip_addr group = addr("ff02::1:ff00:77"), ours = world_link_local(w), first = group_at(f, 0);
    struct ip_addr last = group_at(f, 1), link_local_group = ip_solicited_node(&ours);
    assert_true(ip_equal(&first, &group));
    assert_true(ip_equal(&last, &link_local_group));
}

static void groups_are_told_of_twice_at_start(void **state)
{
    (void)state;
    struct world w;
    open_with(&w, 0);
    net_announce(w.net, w.now_us);
    take_reports(&w);
    assert_int_equal(w.reports, 1);
    expect_report(&w, MLD_TO_EXCLUDE, NULL);
    world_advance(&w, SECOND_US);
    take_reports(&w);
    assert_int_equal(w.reports, 2);
    world_advance(&w, 100 * SECOND_US);
    take_reports(&w);
    assert_int_equal(w.reports, 2);
    assert_int_equal(world_stat(&w, STAT_net_mld_reports), 2);
    world_close(&w);
}

/* RFC 4862 section 5.4.2: before duplicate address detection asks, or its answer may not reach us. */
static void while_no_address_is_ours_it_comes_from_none(void **state)
{
    (void)state;
    struct world w;
    open_with(&w, 1);
    net_announce(w.net, w.now_us);
    take_reports(&w);
    expect_report(&w, MLD_TO_EXCLUDE, "::");
    world_close(&w);
}

static void addresses_of_one_group_are_told_of_once(void **state)
{
    (void)state;
    struct world w;
    world_open6(&w); /* 2001:db8::1 and a station whose number ends in 1, too */
    net_announce(w.net, w.now_us);
    take_reports(&w);
    assert_int_equal(w.report.data[REPORT + 7], 1);
    world_close(&w);
}

static void without_ipv6_there_is_nothing_to_tell(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    net_announce(w.net, w.now_us);
    world_advance(&w, 10 * SECOND_US);
    take_reports(&w);
    assert_int_equal(w.reports, 0);
    world_close(&w);
}

static struct frame query(const struct world *w, const char *from, uint8_t hops, uint16_t delay, size_t len)
{
    uint8_t message[28] = {130, 0, 0, 0, (uint8_t)(delay >> 8), (uint8_t)delay};
    struct frame f = icmp6_frame(w, from, "ff02::1", message, len);
    f.data[14 + 7] = hops;
    return f;
}

static void a_question_is_answered_once_in_time(void **state)
{
    (void)state;
    struct world w;
    open_with(&w, 0);
    struct frame f = query(&w, "fe80::fe", 1, 2000, 28);
    world_give(&w, &f);
    world_give(&w, &f);
    world_advance(&w, 2 * SECOND_US);
    take_reports(&w);
    assert_int_equal(w.reports, 1);
    expect_report(&w, MLD_IS_EXCLUDE, NULL);
    world_give(&w, &f);
    world_advance(&w, 2 * SECOND_US);
    take_reports(&w);
    assert_int_equal(w.reports, 2);
    world_close(&w);
}

/* RFC 3810 section 6.2. */
static void implausible_questions_are_dropped(void **state)
{
    (void)state;
    struct world w;
    open_with(&w, 0);
    struct frame bad[] = {
        query(&w, "2001:db8::9", 1, 1, 28), /* no router of this link */
        query(&w, "fe80::fe", 64, 1, 28),
        query(&w, "fe80::fe", 1, 1, 20),
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        world_give(&w, &bad[i]);
        assert_int_equal(world_stat(&w, STAT_net_drop_mld), i + 1);
    }
    world_advance(&w, 20 * SECOND_US);
    take_reports(&w);
    assert_int_equal(w.reports, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_told_of_twice_at_start),
        cmocka_unit_test(while_no_address_is_ours_it_comes_from_none),
        cmocka_unit_test(addresses_of_one_group_are_told_of_once),
        cmocka_unit_test(without_ipv6_there_is_nothing_to_tell),
        cmocka_unit_test(a_question_is_answered_once_in_time),
        cmocka_unit_test(implausible_questions_are_dropped),
    };
    return cmocka_run_group_tests_name("mld", tests, NULL, NULL);
}
