/* From the configuration to the policy table: trust sets shared, rules and routes found, failures named. */
#include "crypto/tls.h"
#include "engine/control/config.h"

#include "tests/unit/cmocka.h"

#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt"
#define HEAD                                                        \
    "port={device=\"net_af_packet0,iface=lo\";};\n"                 \
    "net={addresses=[\"192.0.2.10/24\"];gateway=\"192.0.2.1\";};\n" \
    "smtp={helo-name=\"out.example.com\";};\n"

static struct config config;
static struct policy_table *table;
static struct error err;

static void load(const char *text)
{
    static struct config_report report;
    struct config_source source = {.path = "x.conf", .text = text};
    if (!config_load_from(&source, &config, &report))
        fail_msg("%s", report.problem[0].text);
}

static void rules_become_a_table(void **state)
{
    (void)state;
    load(
        HEAD
        "tls=({match=\".example.org\";level=\"secure\";ca-file=\"" SYSTEM_CAS
        "\";names=[\"nexthop\",\"mx.example.net\"];},"
        "{match=\"other.example\";level=\"encrypt\";},{match=\"third.example\";min-version=\"1.3\";ca-file=\"" SYSTEM_CAS
        "\";});route=({domain=\"*\";hops=({host=\"MX.example.net\";address=\"198.51.100.1\";port=2525;});});"
        "allow-networks=[\"198.51.100.0/24\"];");
    if (!config_policy(&config, 7, &table, &err))
        fail_msg("%s", err.text);
    assert_int_equal(table->generation, 7);
    assert_int_equal(table->rules, 3);
    const struct policy_rule *rule = policy_find_rule(table, "mail.example.org");
    assert_ptr_equal(rule, &table->rule[0]);
    assert_int_equal(rule->level, POLICY_SECURE);
    assert_int_equal(rule->matches, 2);
    assert_string_equal(rule->match[1], "mx.example.net");
    assert_string_equal(rule->id, "tls[0] .example.org");
    assert_ptr_not_equal(rule->trust, table->trust);
    assert_ptr_equal(table->rule[1].trust, table->trust);
    assert_ptr_equal(table->rule[2].trust, rule->trust);
    assert_int_equal(table->rule[2].min_version, 0x0304);
    const struct policy_route *route = policy_find_route(table, "example.com");
    assert_string_equal(route->hop[0].host, "mx.example.net");
    assert_int_equal(route->hop[0].port, 2525);
    assert_true(policy_address_allowed(table, route->hop[0].addr, true));
    config_policy_free(table);
    config_free(&config);
}

static void no_rules_is_a_table_too(void **state)
{
    (void)state;
    load(HEAD);
    assert_true(config_policy(&config, 1, &table, &err));
    assert_null(policy_find_rule(table, "example.org"));
    assert_null(policy_find_route(table, "example.org"));
    assert_non_null(table->trust);
    assert_true(tls_trust_count(table->trust) > 0);
    config_policy_free(table);
    config_free(&config);
}

static void missing_ca_file_names_the_rule(void **state)
{
    (void)state;
    load(HEAD "tls=({match=\"a.example\";},{match=\"b.example\";ca-file=\"/no/such.pem\";});");
    assert_false(config_policy(&config, 1, &table, &err));
    assert_null(table);
    assert_int_equal(strncmp(err.text, "tls[1] b.example: ", 18), 0);
    assert_non_null(strstr(err.text, "/no/such.pem"));
    config_free(&config);
}

static void missing_default_ca_is_told(void **state)
{
    (void)state;
    load(HEAD "crypto={ca-file=\"/no/such.pem\";};");
    assert_false(config_policy(&config, 1, &table, &err));
    assert_int_equal(strncmp(err.text, "crypto.ca-file: ", 16), 0);
    config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_become_a_table),
        cmocka_unit_test(no_rules_is_a_table_too),
        cmocka_unit_test(missing_ca_file_names_the_rule),
        cmocka_unit_test(missing_default_ca_is_told),
    };
    return cmocka_run_group_tests_name("config_policy", tests, NULL, NULL);
}
