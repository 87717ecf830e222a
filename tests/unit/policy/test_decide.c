/* Decisions over random rules: a floor never admits what the rule alone refuses, and no rule lowers a floor. */
#include "engine/policy/policy.h"
#include "engine/base/rand.h"

#include "tests/unit/cmocka.h"

#include <stdio.h>

#define ROUNDS 100000

static struct tls_trust *const system_cas = (struct tls_trust *)0x1000;
static struct tls_trust *const own_cas = (struct tls_trust *)0x2000;

static const char *const patterns[] = {"*",           ".org",          ".example.org",
                                       "example.org", "a.example.org", "example.net"};
static const char *const domains[] = {"example.org", "a.example.org", "example.net", "[192.0.2.1]"};
static const char *const hosts[] = {"mx.example.org", "mx.provider.example", "a.example.org", ""};
static const char *const matches[] = {"hostname", "nexthop", "dot-nexthop", "mx.provider.example",
                                      ".provider.example"};

static struct policy_rule random_rule(struct rand_source *r)
{
    struct policy_rule rule = {.level = (uint8_t)rand_below(r, 4),
                               .min_version = rand_below(r, 3) ? 0x0303 : 0x0304};
    rule.trust = rand_below(r, 2) ? own_cas : system_cas;
    snprintf(rule.pattern, sizeof(rule.pattern), "%s", patterns[rand_below(r, ARRAY_LEN(patterns))]);
    snprintf(rule.id, sizeof(rule.id), "rule");
    for (unsigned n = rand_below(r, 3); n; n--)
        snprintf(rule.match[rule.matches++], POLICY_NAME_MAX, "%s",
                 matches[rand_below(r, ARRAY_LEN(matches))]);
    return rule;
}

/* policy_covers is sound against the model of test_join.c: here it stands for "admits no more than". */
static void check_floor(const struct policy_table *table, const char *domain, const char *host,
                        unsigned *decided)
{
    struct policy_demand plain, low, high;
    struct outcome why;
    if (!policy_decide(table, domain, host, POLICY_DEFAULT, &plain, &why))
        return;
    for (unsigned floor = POLICY_ENCRYPT; floor <= POLICY_SECURE; floor++) {
        if (!policy_decide(table, domain, host, (enum policy_level)floor, &high, &why))
            continue;
        assert_true(policy_covers(&high, &plain));
        assert_true(floor == POLICY_ENCRYPT || high.pkix);
        assert_true(high.min_version >= plain.min_version);
        struct policy_rule open_rule = {.pattern = "*", .level = POLICY_ENCRYPT, .min_version = 0x0303};
        const struct policy_rule *rule = policy_find_rule(table, domain);
        open_rule.trust = rule ? rule->trust : table->trust;
        struct policy_table open_table = {.trust = table->trust, .rules = 1, .rule = &open_rule};
        assert_true(policy_decide(&open_table, domain, host, (enum policy_level)floor, &low, &why));
        assert_true(policy_covers(&high, &low)); /* the floor holds, whatever the rule says */
        (*decided)++;
    }
}

static void floors_only_add(void **state)
{
    (void)state;
    struct rand_source r;
    unsigned decided = 0;
    rand_seed(&r, 5);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct policy_rule rules[4];
        for (unsigned n = 0; n < ARRAY_LEN(rules); n++)
            rules[n] = random_rule(&r);
        struct policy_table table = {.trust = system_cas, .rules = rand_below(&r, 5), .rule = rules};
        check_floor(&table, domains[rand_below(&r, ARRAY_LEN(domains))],
                    hosts[rand_below(&r, ARRAY_LEN(hosts))], &decided);
    }
    print_message("# %u decisions\n", decided);
    assert_true(decided > ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(floors_only_add)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
