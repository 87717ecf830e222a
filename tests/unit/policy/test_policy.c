/* Rules and routes found, demands decided, addresses allowed. */
#include "engine/policy/policy.h"

#include "tests/unit/cmocka.h"

#include <stdio.h>

static struct tls_trust *const system_cas = (struct tls_trust *)0x1000; /* never looked into here */
static struct tls_trust *const own_cas = (struct tls_trust *)0x2000;

static struct policy_rule rule(const char *pattern, enum policy_level level)
{
    struct policy_rule r = {.level = (uint8_t)level, .min_version = POLICY_TLS_MIN, .trust = own_cas};
    snprintf(r.pattern, sizeof(r.pattern), "%s", pattern);
    snprintf(r.id, sizeof(r.id), "tls %.50s", pattern);
    return r;
}

static void match(struct policy_rule *r, const char *name)
{
    snprintf(r->match[r->matches++], POLICY_NAME_MAX, "%s", name);
}

static struct policy_table table_of(struct policy_rule *rules, uint32_t count)
{
    return (struct policy_table){.generation = 7, .trust = system_cas, .rules = count, .rule = rules};
}

static struct policy_demand decided(const struct policy_table *table, const char *domain, const char *mx,
                                    enum policy_level floor)
{
    struct policy_demand demand;
    struct outcome why;
    assert_true(policy_decide(table, domain, mx, floor, &demand, &why));
    return demand;
}

static void undecided(const struct policy_table *table, const char *domain, const char *mx,
                      enum policy_level floor)
{
    struct policy_demand demand;
    struct outcome why = {0};
    assert_false(policy_decide(table, domain, mx, floor, &demand, &why));
    assert_int_equal(why.verdict, VERDICT_DEFERRED);
    assert_int_equal(why.stage, STAGE_POLICY);
    assert_int_equal(why.reason, REASON_POLICY);
    assert_int_equal(why.enhanced[0], 4);
    assert_int_equal(why.enhanced[1], 7);
    assert_non_null(strstr(why.text, domain));
}

/* ---- levels ---- */

static void levels_have_names_and_no_clear_text(void **state)
{
    (void)state;
    enum policy_level level = POLICY_DEFAULT;
    assert_true(policy_level_parse("encrypt", &level));
    assert_int_equal(level, POLICY_ENCRYPT);
    assert_true(policy_level_parse("secure", &level));
    assert_int_equal(level, POLICY_SECURE);
    assert_string_equal(policy_level_name(POLICY_VERIFY), "verify");
    static const char *const refused[] = {"none", "may", "", "Verify", "default", "verify ", "dane"};
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++)
        assert_false(policy_level_parse(refused[i], &level));
    assert_int_equal(level, POLICY_SECURE); /* untouched by what failed */
    assert_string_equal(policy_level_name((enum policy_level)77), "unknown");
}

/* ---- patterns ---- */

static void the_closest_rule_is_found(void **state)
{
    (void)state;
    struct policy_rule rules[] = {
        rule("*", POLICY_VERIFY),
        rule(".org", POLICY_VERIFY),
        rule(".example.org", POLICY_VERIFY),
        rule("example.org", POLICY_VERIFY),
        rule("[192.0.2.1]", POLICY_ENCRYPT),
        rule(".b.example.org", POLICY_VERIFY),
    };
    struct policy_table table = table_of(rules, ARRAY_LEN(rules));
    assert_ptr_equal(policy_find_rule(&table, "example.org"), &rules[3]);
    assert_ptr_equal(policy_find_rule(&table, "a.example.org"), &rules[2]);
    assert_ptr_equal(policy_find_rule(&table, "a.b.example.org"), &rules[5]);
    assert_ptr_equal(policy_find_rule(&table, "b.example.org"), &rules[2]);
    assert_ptr_equal(policy_find_rule(&table, "notexample.org"), &rules[1]);
    assert_ptr_equal(policy_find_rule(&table, "org"), &rules[0]);
    assert_ptr_equal(policy_find_rule(&table, "[192.0.2.1]"), &rules[4]);
    assert_ptr_equal(policy_find_rule(&table, "[192.0.2.11]"), &rules[0]);
    assert_ptr_equal(policy_find_rule(&table, ""), &rules[0]);
}

static void no_rule_is_no_rule(void **state)
{
    (void)state;
    struct policy_rule rules[] = {rule(".example.org", POLICY_ENCRYPT), rule(".", POLICY_ENCRYPT),
                                  rule("", POLICY_ENCRYPT)};
    struct policy_table table = table_of(rules, 2);
    assert_null(policy_find_rule(&table, "example.org"));
    assert_null(policy_find_rule(&table, "example.org."));
    assert_null(policy_find_rule(&table, "xexample.org"));
    table.rules = 0;
    assert_null(policy_find_rule(&table, "a.example.org"));
}

static void of_equal_patterns_the_first_holds(void **state)
{
    (void)state;
    struct policy_rule rules[] = {rule("example.org", POLICY_SECURE), rule("example.org", POLICY_ENCRYPT)};
    struct policy_table table = table_of(rules, 2);
    assert_ptr_equal(policy_find_rule(&table, "example.org"), &rules[0]);
}

static void routes_are_found_like_rules(void **state)
{
    (void)state;
    static struct policy_route routes[3] = {
        {.pattern = "*"}, {.pattern = ".example.org"}, {.pattern = "example.net"}};
    struct policy_table table = {.routes = 3, .route = routes};
    assert_ptr_equal(policy_find_route(&table, "a.example.org"), &routes[1]);
    assert_ptr_equal(policy_find_route(&table, "example.net"), &routes[2]);
    assert_ptr_equal(policy_find_route(&table, "example.org"), &routes[0]);
    table.routes = 0;
    assert_null(policy_find_route(&table, "example.org"));
}

/* ---- decisions ---- */

static void nobody_says_anything_is_verify(void **state)
{
    (void)state;
    struct policy_table table = table_of(NULL, 0);
    struct policy_demand d = decided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    assert_true(d.pkix);
    assert_ptr_equal(d.trust, system_cas);
    assert_int_equal(d.names, 1);
    assert_int_equal(d.groups, 1);
    assert_string_equal(d.name[0], "mx.example.net");
    assert_int_equal(d.min_version, 0x0303);
    assert_int_equal(d.level, POLICY_VERIFY);
    assert_string_equal(d.source, "default");
    assert_int_equal(d.generation, 7);
}

static void a_rule_without_a_level_is_verify(void **state)
{
    (void)state;
    struct policy_rule r = rule("example.org", POLICY_DEFAULT);
    struct policy_table table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    assert_true(d.pkix);
    assert_string_equal(d.name[0], "mx.example.net");
    assert_ptr_equal(d.trust, own_cas);
}

static void secure_is_the_next_hop_and_hosts_below(void **state)
{
    (void)state;
    struct policy_rule r = rule("example.org", POLICY_SECURE);
    struct policy_table table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    assert_int_equal(d.names, 2);
    assert_int_equal(d.groups, 1);
    assert_string_equal(d.name[0], "example.org");
    assert_string_equal(d.name[1], ".example.org");
    assert_string_equal(d.source, "tls example.org");
}

static void a_match_list_replaces_the_names(void **state)
{
    (void)state;
    struct policy_rule r = rule("example.org", POLICY_SECURE);
    match(&r, "hostname");
    match(&r, "dot-nexthop");
    match(&r, "mail.provider.example");
    match(&r, ".provider.example");
    struct policy_table table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    assert_int_equal(d.names, 4);
    assert_int_equal(d.groups, 1);
    assert_string_equal(d.name[0], "mx.example.net");
    assert_string_equal(d.name[1], ".example.org");
    assert_string_equal(d.name[3], ".provider.example");
}

static void encrypt_demands_no_name(void **state)
{
    (void)state;
    struct policy_rule r = rule("*", POLICY_ENCRYPT);
    match(&r, "hostname");
    r.min_version = 0x0304;
    struct policy_table table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "example.org", "", POLICY_DEFAULT);
    assert_false(d.pkix);
    assert_null(d.trust);
    assert_int_equal(d.names, 0);
    assert_int_equal(d.min_version, 0x0304);
}

static void a_floor_adds_to_a_low_rule(void **state)
{
    (void)state;
    struct policy_rule r = rule("*", POLICY_ENCRYPT);
    r.min_version = 0x0304;
    struct policy_table table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "example.org", "mx.example.net", POLICY_VERIFY);
    assert_true(d.pkix);
    assert_ptr_equal(d.trust, own_cas);
    assert_string_equal(d.name[0], "mx.example.net");
    assert_int_equal(d.min_version, 0x0304);
    assert_string_equal(d.source, "tls *+job");
    assert_int_equal(d.level, POLICY_VERIFY);
}

static void a_low_floor_takes_nothing_away(void **state)
{
    (void)state;
    struct policy_table table = table_of(NULL, 0);
    struct policy_demand d = decided(&table, "example.org", "mx.example.net", POLICY_ENCRYPT);
    assert_true(d.pkix);
    assert_int_equal(d.names, 1);
    assert_int_equal(d.level, POLICY_VERIFY);
}

/* The union of the two lists would let a certificate for example.org alone pass for mx.example.net. */
static void names_of_rule_and_floor_must_both_match(void **state)
{
    (void)state;
    struct policy_rule r = rule("example.org", POLICY_SECURE);
    struct policy_table table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "example.org", "mx.example.net", POLICY_VERIFY);
    assert_int_equal(d.groups, 2);
    assert_int_equal(d.names, 3);
    assert_int_equal(d.group[0], 0);
    assert_int_equal(d.group[1], 0);
    assert_int_equal(d.group[2], 1);
    assert_string_equal(d.name[2], "mx.example.net");
    assert_int_equal(d.level, POLICY_SECURE);
}

/* Whoever proves mx.example.org has proven .example.org: only the narrower demand is left of the two. */
static void a_floor_that_is_implied_adds_no_group(void **state)
{
    (void)state;
    struct policy_rule r = rule("example.org", POLICY_VERIFY);
    match(&r, "mx.example.org");
    struct policy_table table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "example.org", "mx.example.org", POLICY_SECURE);
    assert_int_equal(d.groups, 1);
    assert_int_equal(d.names, 1);
}

static void a_full_match_list_and_a_floor_fit(void **state)
{
    (void)state;
    struct policy_rule r = rule("example.org", POLICY_SECURE);
    char name[16];
    for (unsigned i = 0; i < POLICY_MATCH_MAX; i++) {
        snprintf(name, sizeof(name), "m%u.example", i);
        match(&r, name);
    }
    struct policy_table table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "example.org", "mx.example.net", POLICY_SECURE);
    assert_int_equal(d.names, POLICY_NAMES_MAX);
    assert_int_equal(d.groups, 2);
}

static void an_address_has_no_host_name(void **state)
{
    (void)state;
    struct policy_table table = table_of(NULL, 0);
    undecided(&table, "[192.0.2.1]", "", POLICY_DEFAULT);
    struct policy_rule r = rule("[192.0.2.1]", POLICY_SECURE);
    table = table_of(&r, 1);
    struct policy_demand d = decided(&table, "[192.0.2.1]", "", POLICY_DEFAULT);
    assert_int_equal(d.names, 1);
    assert_string_equal(d.name[0], "192.0.2.1");
    undecided(&table, "[192.0.2.1]", "", POLICY_VERIFY);
    r = rule("[IPv6:2001:db8::1]", POLICY_SECURE);
    d = decided(&table, "[IPv6:2001:db8::1]", "", POLICY_DEFAULT);
    assert_string_equal(d.name[0], "2001:db8::1");
}

static void nonsense_defers(void **state)
{
    (void)state;
    struct policy_rule r = rule("*", POLICY_SECURE);
    struct policy_table table = table_of(&r, 1);
    undecided(&table, "[192.0.2.1", "mx.example.net", POLICY_DEFAULT);
    undecided(&table, "[]", "mx.example.net", POLICY_DEFAULT);
    undecided(&table, "[IPv6:]", "mx.example.net", POLICY_DEFAULT);
    r.min_version = 0x0302;
    undecided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    r.min_version = 0x0305;
    undecided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    r = rule("*", (enum policy_level)9);
    undecided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    r = rule("*", POLICY_VERIFY);
    undecided(&table, "example.org", "mx.example.net", (enum policy_level)9);
    r.trust = NULL;
    undecided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    r = rule("*", POLICY_SECURE);
    r.matches = 1; /* of an empty name */
    undecided(&table, "example.org", "mx.example.net", POLICY_DEFAULT);
    char label[300];
    memset(label, 'a', sizeof(label) - 1);
    label[sizeof(label) - 1] = '\0';
    struct policy_demand demand;
    struct outcome why;
    r = rule("*", POLICY_SECURE);
    assert_false(policy_decide(&table, label, "mx.example.net", POLICY_DEFAULT, &demand, &why));
    assert_false(policy_decide(&table, "example.org", label, POLICY_VERIFY, &demand, &why));
}

/* ---- addresses ---- */

static void v4(uint8_t addr[16], uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    memset(addr, 0, 10);
    memset(addr + 10, 0xff, 2);
    addr[12] = a, addr[13] = b, addr[14] = c, addr[15] = d;
}

static void special_addresses_need_leave(void **state)
{
    (void)state;
    struct policy_net nets[3] = {{.prefix_bits = 96 + 12}, {.prefix_bits = 96 + 32}, {.prefix_bits = 200}};
    struct policy_table table = {.allowed_nets = 3, .allowed_net = nets};
    uint8_t addr[16];
    v4(nets[0].addr, 172, 16, 0, 0);
    v4(nets[1].addr, 10, 0, 0, 5);
    v4(nets[2].addr, 127, 0, 0, 1); /* a prefix that cannot be allows nothing */
    v4(addr, 172, 31, 255, 255);
    assert_true(policy_address_allowed(&table, addr, true));
    v4(addr, 172, 32, 0, 0);
    assert_false(policy_address_allowed(&table, addr, true));
    assert_true(policy_address_allowed(&table, addr, false));
    v4(addr, 10, 0, 0, 5);
    assert_true(policy_address_allowed(&table, addr, true));
    v4(addr, 10, 0, 0, 4);
    assert_false(policy_address_allowed(&table, addr, true));
    v4(addr, 127, 0, 0, 1);
    assert_false(policy_address_allowed(&table, addr, true));
    nets[0].prefix_bits = 0;
    assert_true(policy_address_allowed(&table, addr, true));
    table.allowed_nets = 0;
    assert_false(policy_address_allowed(&table, addr, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_have_names_and_no_clear_text),
        cmocka_unit_test(the_closest_rule_is_found),
        cmocka_unit_test(no_rule_is_no_rule),
        cmocka_unit_test(of_equal_patterns_the_first_holds),
        cmocka_unit_test(routes_are_found_like_rules),
        cmocka_unit_test(nobody_says_anything_is_verify),
        cmocka_unit_test(a_rule_without_a_level_is_verify),
        cmocka_unit_test(secure_is_the_next_hop_and_hosts_below),
        cmocka_unit_test(a_match_list_replaces_the_names),
        cmocka_unit_test(encrypt_demands_no_name),
        cmocka_unit_test(a_floor_adds_to_a_low_rule),
        cmocka_unit_test(a_low_floor_takes_nothing_away),
        cmocka_unit_test(names_of_rule_and_floor_must_both_match),
        cmocka_unit_test(a_floor_that_is_implied_adds_no_group),
        cmocka_unit_test(a_full_match_list_and_a_floor_fit),
        cmocka_unit_test(an_address_has_no_host_name),
        cmocka_unit_test(nonsense_defers),
        cmocka_unit_test(special_addresses_need_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
