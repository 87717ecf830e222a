/* What an envelope may hold. */
#include "engine/ring/names.h"
#include "engine/ring/punycode.h"

#include "tests/unit/cmocka.h"

#include <stdio.h>

static struct span span_of(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

static void good_address(const char *text, bool utf8, const char *domain)
{
    struct ring_name name;
    const char *wrong = ring_check_address(span_of(text), utf8, &name);
    if (wrong)
        fail_msg("%s %s", text, wrong);
    assert_string_equal(name.text, domain);
    assert_int_equal(name.bytes, strlen(domain));
}

static void bad_address_bytes(const char *text, size_t bytes, bool utf8, const char *why)
{
    struct ring_name name;
    const char *wrong = ring_check_address((struct span){(const uint8_t *)text, bytes}, utf8, &name);
    if (!wrong)
        fail_msg("%.*s is accepted", (int)bytes, text);
    if (!strstr(wrong, why))
        fail_msg("%.*s: \"%s\" does not say \"%s\"", (int)bytes, text, wrong, why);
}

#define bad_address(text, why) bad_address_bytes(text, sizeof(text) - 1, false, why)

static void good_addresses(void **state)
{
    (void)state;
    good_address("bob@example.org", false, "example.org");
    good_address("BOB@Example.ORG", false, "example.org");
    good_address("a.b..c+tag=x/y!z@a-b.example", false, "a-b.example");
    good_address("\"a@b\\\"c\"@example.org", false, "example.org");
    good_address("x@localhost", false, "localhost");
    good_address("x@_srv.example.org", false, "_srv.example.org");
    good_address("x@[192.0.2.1]", false, "[192.0.2.1]");
    good_address("x@[IPv6:2001:0db8:0:0::1]", false, "[ipv6:2001:db8::1]");
    good_address("x@b\xc3\xbc"
                 "cher.example",
                 true, "xn--bcher-kva.example");
    good_address("j\xc3\xbcrgen@example.org", true, "example.org");
}

static void bad_addresses(void **state)
{
    (void)state;
    bad_address("", "empty");
    bad_address("a\0b@example.org", "NUL");
    bad_address("a@example.org\0", "NUL");
    bad_address("a\rb@example.org", "CR or LF");
    bad_address("a@example.org\r\nRCPT TO:<x@y>", "CR or LF");
    bad_address("a b@example.org", "space");
    bad_address("a\tb@example.org", "control");
    bad_address("a\x7f@example.org", "control");
    bad_address("<a@example.org>", "angle bracket");
    bad_address("a@example.org>", "angle bracket");
    bad_address("postmaster", "no @");
    bad_address("@example.org", "nothing in front");
    bad_address("a@", "empty domain");
    bad_address("@a,@b:c@example.org", "not quoted");
    bad_address("a@b@example.org", "not quoted");
    bad_address("\"a\"b\"@example.org", "quotation mark");
    bad_address("\"a@example.org", "does not end");
    bad_address("\"a\\\"@example.org", "does not end");
    bad_address("a@example..org", "domain");
    bad_address("a@.example.org", "domain");
    bad_address("a@example.org.", "domain");
    bad_address("a@exa$mple.org", "domain");
    bad_address("a@[192.0.2.256]", "literal");
    bad_address("a@[192.0.2.1", "literal");
    bad_address("a@[IPv6:1::2::3]", "literal");
    bad_address("a@[fe80::1%eth0]", "literal");
    bad_address("j\xc3\xbcrgen@example.org", "SMTPUTF8");
    bad_address_bytes("j\xc3rgen@example.org", 16, true, "UTF-8");
    bad_address_bytes("x@\xed\xa0\x80.example", 13, true, "UTF-8");
}

static void lengths_at_their_limits(void **state)
{
    (void)state;
    char text[600];
    struct ring_name name;
    snprintf(text, sizeof(text), "%.64s@example.org",
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    good_address(text, false, "example.org");
    snprintf(text, sizeof(text), "%.65s@example.org",
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    bad_address_bytes(text, strlen(text), false, "64 bytes");

    char label[64], domain[300];
    memset(label, 'a', 63);
    label[63] = 0;
    snprintf(domain, sizeof(domain), "%s.%s.%s.%.60s", label, label, label, label); /* 252 */
    assert_null(ring_check_domain(span_of(domain), false, &name));
    strcat(domain, "a");
    assert_null(ring_check_domain(span_of(domain), false, &name)); /* 253 */
    strcat(domain, "a");
    assert_non_null(ring_check_domain(span_of(domain), false, &name));
    snprintf(text, sizeof(text), "a@%s", domain);
    bad_address_bytes(text, strlen(text), false, "254");
    snprintf(domain, sizeof(domain), "a%s.org", label);
    assert_non_null(ring_check_domain(span_of(domain), false, &name));
    strcpy(domain, "a.");
    for (unsigned i = 0; i < 140; i++)
        strcat(domain, "a.");
    assert_non_null(ring_check_domain(span_of(domain), false, &name));
}

static void next_hops(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } row[] = {
        {"mx.example.org", "mx.example.org", 25},
        {"MX.example.org:587", "mx.example.org", 587},
        {"[192.0.2.1]", "[192.0.2.1]", 25},
        {"[192.0.2.1]:2525", "[192.0.2.1]", 2525},
        {"[IPv6:2001:DB8::1]:2525", "[ipv6:2001:db8::1]", 2525},
        {"", NULL, 0},
        {":25", NULL, 0},
        {"mx.example.org:", NULL, 0},
        {"mx.example.org:0", NULL, 0},
        {"mx.example.org:65536", NULL, 0},
        {"mx.example.org:25x", NULL, 0},
        {"mx.example.org:000025", NULL, 0},
        {"[192.0.2.1]x:25", NULL, 0},
        {"[192.0.2.1", NULL, 0},
        {"[mx.example.org]", NULL, 0},
        {"mx example.org", NULL, 0},
        {"mx.example.org\r\n", NULL, 0},
        {"2001:db8::1", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct ring_name host;
        uint16_t port;
        const char *wrong = ring_check_next_hop(span_of(row[i].text), &host, &port);
        if (!!wrong != !row[i].host)
            fail_msg("\"%s\": %s", row[i].text, wrong ? wrong : "accepted");
        if (!wrong) {
            assert_string_equal(host.text, row[i].host);
            assert_int_equal(port, row[i].port);
        }
    }
}

static void dsn_parameters(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "NOTIFY=NEVER",
        "NOTIFY=SUCCESS,FAILURE,DELAY",
        "notify=failure",
        "ORCPT=rfc822;bob@example.org",
        "ORCPT=utf-8;j+C3+BC@example.org NOTIFY=DELAY",
        "NOTIFY=DELAY ORCPT=x;y",
    };
    static const char *const bad[] = {
        "NOTIFY=",
        "NOTIFY=NEVER,FAILURE",
        "NOTIFY=FAILURE,",
        "NOTIFY=,FAILURE",
        "NOTIFY=X",
        "ORCPT=",
        "ORCPT=rfc822",
        "ORCPT=rfc822;",
        "ORCPT=;x",
        "ORCPT=rfc822;a=b",
        "NOTIFY=DELAY NOTIFY=DELAY",
        "NOTIFY=DELAY  ORCPT=x;y",
        " NOTIFY=DELAY",
        "SIZE=5",
        "NOTIFY=DELAY\r\nDATA",
        "NOTIFY=DELAY\tORCPT=x;y",
        "ORCPT=rfc822;j\xc3\xbc",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (ring_check_dsn(span_of(good[i])))
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!ring_check_dsn(span_of(bad[i])))
            fail_msg("\"%s\" is accepted", bad[i]);
    char longest[600] = "ORCPT=x;";
    memset(longest + 8, 'y', 492);
    assert_null(ring_check_dsn(span_of(longest)));
    longest[500] = 'y';
    assert_non_null(ring_check_dsn(span_of(longest)));
}

/* RFC 3492 section 7.1 (A) to (L) where they are in lower case, and everyday ones. */
static void punycode(void **state)
{
    (void)state;
    static const struct {
        const char *label, *ascii;
    } row[] = {
        {"b\xc3\xbc"
         "cher",
         "xn--bcher-kva"},
        {"\xc3\xbc", "xn--tda"},
        {"B\xc3\xbc"
         "cher",
         "xn--bcher-kva"},
        {"\xe4\xbb\x96\xe4\xbb\xac\xe4\xb8\xba\xe4\xbb\x80\xe4\xb9\x88\xe4\xb8\x8d\xe8\xaf\xb4\xe4\xb8\xad\xe6\x96\x87",
         "xn--ihqwcrb4cv8a8dqg056pqjye"},
        {"3\xe5\xb9\xb4"
         "b\xe7\xb5\x84\xe9\x87\x91\xe5\x85\xab\xe5\x85\x88\xe7\x94\x9f",
         "xn--3b-ww4c5e180e575a65lsy2b"},
        {"\xd0\xbf\xd0\xbe\xd1\x87\xd1\x82\xd0\xb0", "xn--80a1acny"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        char out[64];
        size_t n = ring_punycode_label(span_of(row[i].label), out, sizeof(out));
        assert_int_equal(n, strlen(row[i].ascii));
        assert_memory_equal(out, row[i].ascii, n);
    }
    char out[64], long_label[200];
    for (unsigned i = 0; i < 70; i++)
        memcpy(long_label + 2 * i, "\xc3\xbc", 2);
    assert_int_equal(ring_punycode_label((struct span){(uint8_t *)long_label, 140}, out, sizeof(out)), 0);
    assert_int_equal(ring_punycode_label(span_of("b\xc3\xbc"
                                                 "cher"),
                                         out, 12),
                     0);
}

static void lanes_are_used_evenly(void **state)
{
    (void)state;
    uint32_t count[7] = {0};
    for (unsigned i = 0; i < 7000; i++) {
        struct ring_name name;
        name.bytes = (uint8_t)snprintf(name.text, sizeof(name.text), "d%u.example.org", i);
        uint32_t lane = ring_lane_of(&name, 99, 7);
        assert_true(lane < 7);
        assert_int_equal(lane, ring_lane_of(&name, 99, 7));
        count[lane]++;
    }
    for (unsigned i = 0; i < 7; i++)
        assert_in_range(count[i], 850, 1150);
}

static const char *known(struct ring_known *k, const char *text, bool utf8)
{
    return ring_check_known(k, (struct span){(const uint8_t *)text, strlen(text)}, utf8);
}

/* What passed once passes again, by itself and under the same flag alone. */
static void the_known_address_is_no_other(void **state)
{
    (void)state;
    struct ring_known k = {0};
    assert_non_null(known(&k, "", false));
    assert_null(known(&k, "a@example.org", false));
    assert_null(known(&k, "a@example.org", false));
    assert_non_null(known(&k, "a@example.or<", false));
    assert_non_null(known(&k, "a@example.org>", false));
    assert_null(known(&k, "\xc3\xa9@example.org", true));
    assert_null(known(&k, "\xc3\xa9@example.org", true));
    assert_non_null(known(&k, "\xc3\xa9@example.org", false));
    assert_null(known(&k, "a@example.org", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses),          cmocka_unit_test(bad_addresses),
        cmocka_unit_test(lengths_at_their_limits), cmocka_unit_test(next_hops),
        cmocka_unit_test(dsn_parameters),          cmocka_unit_test(punycode),
        cmocka_unit_test(lanes_are_used_evenly),   cmocka_unit_test(the_known_address_is_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
