/* Good configurations: the example, what follows from what, --set, what a reload can take over. */
#include "engine/control/config.h"
#include "engine/control/config_schema.h"
#include "engine/tcp/cc.h"

#include "tests/unit/cmocka.h"

#include <ctype.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define PORT "port={device=\"net_af_packet0,iface=lo\";};\n"
#define NET  "net={addresses=[\"192.0.2.10/24\"];gateway=\"192.0.2.1\";};\n"
#define SMTP "smtp={helo-name=\"out.example.com\";};\n"

static struct config config, other;
static struct config_report report;

static void load(struct config *into, const char *text, const char *const *set, uint32_t sets)
{
    struct config_source source = {.path = "x.conf", .text = text, .override = set, .overrides = sets};
    if (!config_load_from(&source, into, &report))
        fail_msg("%s", report.problem[0].text);
}

static char *read_example(void)
{
    char path[512];
    const char *top = getenv("HARDLINE_SOURCE");
    snprintf(path, sizeof(path), "%s/engine/control/hardline.conf.example", top ? top : ".");
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char *text = calloc(1, 65536);
    assert_in_range(fread(text, 1, 65535, file), 1000, 65000);
    fclose(file);
    return text;
}

static void example_is_good(void **state)
{
    (void)state;
    char *text = read_example();
    load(&config, text, NULL, 0);
    assert_int_equal(config.net.addresses, 3);
    assert_int_equal(config.net.routes, 5);
    assert_int_equal(config.tls_rules, 2);
    assert_string_equal(config.tls_rule[1].pattern, ".bank.example");
    assert_int_equal(config.tls_rule[1].level, POLICY_SECURE);
    assert_int_equal(config.tls_rule[1].min_version, 0x0304);
    assert_string_equal(config.tls_rule[1].name[0], "dot-nexthop");
    assert_int_equal(config.routes, 1);
    assert_int_equal(config.route[0].hops, 2);
    assert_int_equal(config.route[0].hop[1].port, 25);
    assert_int_equal(config.feed.users, 1);
    assert_string_equal(config.feed.user[0].name, "mta");
    config_free(&config);
    free(text);
}

/* "    # key = value;  # why" loses its first hash. */
static void uncomment(char *text)
{
    for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *p = line + strspn(line, " ");
        if (p == line || p[0] != '#' || p[1] != ' ' || !islower((unsigned char)p[2]))
            continue;
        p += 2 + strspn(p + 2, "abcdefghijklmnopqrstuvwxyz-");
        if (strncmp(p, " = ", 3) == 0)
            *strchr(line, '#') = ' ';
    }
}

/* The commented lines of the example say what the defaults are. */
static void example_shows_the_defaults(void **state)
{
    char without[1024], with[1024];
    (void)state;
    char *text = read_example();
    load(&config, text, NULL, 0);
    uncomment(text);
    load(&other, text, NULL, 0);
    for (size_t s = 0; s < config_sections_count; s++)
        for (size_t i = 0; i < config_sections[s].keys; i++) {
            const struct config_key *key = &config_sections[s].key[i];
            config_key_text(key, &config, without, sizeof(without));
            config_key_text(key, &other, with, sizeof(with));
            if (strcmp(without, with) != 0)
                fail_msg("%s.%s is %s by default, the example says %s", config_sections[s].name, key->name,
                         without, with);
        }
    config_free(&config);
    config_free(&other);
    free(text);
}

static void example_has_every_key(void **state)
{
    (void)state;
    char *text = read_example(), head[64], plain[64], commented[64];
    for (size_t s = 1; s < config_sections_count; s++) {
        snprintf(head, sizeof(head), "\n%s = {", config_sections[s].name);
        char *section = strstr(text, head);
        assert_non_null(section);
        char *end = strstr(section, "\n};");
        *end = '\0';
        for (size_t i = 0; i < config_sections[s].keys; i++) {
            snprintf(plain, sizeof(plain), "\n    %s = ", config_sections[s].key[i].name);
            snprintf(commented, sizeof(commented), "\n    # %s = ", config_sections[s].key[i].name);
            if (!strstr(section, plain) && !strstr(section, commented))
                fail_msg("%s.%s is not in the example", config_sections[s].name,
                         config_sections[s].key[i].name);
        }
        *end = '\n';
    }
    free(text);
}

/* A table's row that stores more bytes than its field has would be a silent overrun. */
static void every_key_fits_its_field(void **state)
{
    (void)state;
    for (size_t s = 0; s < config_sections_count; s++)
        for (size_t i = 0; i < config_sections[s].keys; i++) {
            const struct config_key *key = &config_sections[s].key[i];
            uint64_t most = key->bytes >= 8 ? UINT64_MAX : (1ull << 8 * key->bytes) - 1;
            assert_non_null(key->help);
            if (key->kind == CONFIG_KIND_NUMBER) {
                assert_true(key->max * key->scale <= most && key->min <= key->max && key->scale > 0);
                assert_true(key->set_before || (key->number >= key->min && key->number <= key->max));
                assert_non_null(key->unit);
            } else if (key->kind == CONFIG_KIND_TEXT) {
                assert_true(key->bytes > strlen(key->text));
            } else if (key->kind != CONFIG_KIND_SPECIAL) {
                assert_int_equal(key->bytes, 1);
            }
        }
}

static void what_follows_from_what(void **state)
{
    (void)state;
    load(&config,
         PORT NET SMTP "limits={connections=100;time-wait=50;};tcp={congestion-control=\"reno\";};\n", NULL,
         0);
    assert_int_equal(config.net.flows_max, 150);
    assert_int_equal(config.port.buffers, 1024 + 1024 + 2 * 512 + 400);
    assert_int_equal(config.tcp.mss, 1460);
    assert_int_equal(config.tcp.mtu_probing, TCP_MTU_PROBING_BLACK_HOLE);
    assert_ptr_equal(config.tcp.cc, &tcp_cc_reno);
    assert_int_equal(config.net.routes, 2);
    assert_true(config.net.route[0].on_link);
    assert_int_equal(config.net.route[0].to.prefix_bits, 120);
    assert_int_equal(config.net.route[0].to.addr.b[15], 0);
    assert_false(config.net.route[1].on_link);
    assert_int_equal(config.net.route[1].to.prefix_bits, 96);
    assert_int_equal(config.net.port_first, 1024);
    assert_int_equal(config.net.port_last, 65535);
    assert_int_equal(config.limits.idle_connection_us, 5000000);
    assert_int_equal(config.run.admin_mode, 0660);
    config_free(&config);
}

static void ipv6_has_routes_of_its_own(void **state)
{
    (void)state;
    char text[IP_ADDR_TEXT_MAX];
    load(&config,
         PORT SMTP "net={addresses=[\"192.0.2.10/24\",\"2001:db8::10/64\"];gateway6=\"fe80::1\";"
                   "routes=({to=\"2001:db8:f::/48\";gateway=\"2001:db8::2\";});};\n",
         NULL, 0);
    const struct net_config *net = &config.net;
    assert_int_equal(net->routes, 4);
    assert_true(net->route[1].on_link);
    assert_int_equal(net->route[1].to.prefix_bits, 64);
    assert_string_equal(ip_format(&net->route[1].to.addr, text), "2001:db8::");
    assert_int_equal(net->route[3].to.prefix_bits, 0);
    assert_string_equal(ip_format(&net->route[3].to.addr, text), "::");
    assert_string_equal(ip_format(&net->route[3].gateway, text), "fe80::1");
    assert_int_equal(net->dad_transmits, 1);
    config_free(&config);
}

static void mtu_sets_the_mss(void **state)
{
    (void)state;
    load(&config, "port={device=\"x\";mtu=9000;};\n" NET SMTP, NULL, 0);
    assert_int_equal(config.tcp.mss, 8960);
    config_free(&config);
}

static void counted_cores_get_cpus_we_may_use(void **state)
{
    cpu_set_t set;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    load(&config, "port={device=\"x\";};\n" NET SMTP "cores={cpus=3;idle=\"sleep\";};", NULL, 0);
    assert_int_equal(config.cores.count, 3);
    for (int i = 0; i < 3; i++)
        assert_true(CPU_ISSET(config.cores.cpu[i], &set));
    config_free(&config);
    load(&config, PORT NET SMTP "cores={cpus=[7];};", NULL, 0);
    assert_int_equal(config.cores.cpu[0], 7);
    config_free(&config);
}

static void set_wins_over_the_file(void **state)
{
    static const char *const set[] = {
        "port.device=net_ring0",
        "limits.connections=17",
        "limits.connections-per-destination=3",
        "cores.idle=sleep",
        "run.user=1000",
        "net.addresses=[\"192.0.2.77/25\"]",
        "run.log-level=\"debug\"",
        "tcp.sack=false",
        "tcp.ecn=on",
        "tcp.keepalive-s=7200",
        "tcp.mtu-probing=always",
        "tcp.mss-clamp=1300",
        "allow-networks=[\"10.0.0.0/8\"]",
        "smtp.helo-name=[192.0.2.77]",
    };
    (void)state;
    load(&config,
         PORT NET SMTP "allow-networks=[\"192.0.2.0/24\",\"127.0.0.0/8\"];\nlimits={connections=5000;};\n",
         set, ARRAY_LEN(set));
    assert_string_equal(config.port.device, "net_ring0");
    assert_int_equal(config.limits.connections, 17);
    assert_int_equal(config.cores.idle, CONFIG_IDLE_SLEEP);
    assert_string_equal(config.run.user, "1000");
    assert_int_equal(config.net.addresses, 1);
    assert_int_equal(config.net.address[0].b[15], 77);
    assert_int_equal(config.run.log_level, 4);
    assert_false(config.tcp.sack);
    assert_int_equal(config.tcp.ecn, TCP_ECN_ON);
    assert_int_equal(config.tcp.keepalive_us, 7200000000u);
    assert_int_equal(config.tcp.mtu_probing, TCP_MTU_PROBING_ALWAYS);
    assert_int_equal(config.tcp.mss_clamp, 1300);
    assert_int_equal(config.allow_networks, 1);
    assert_int_equal(config.allow_network[0].addr[12], 10);
    assert_string_equal(config.smtp.helo_name, "[192.0.2.77]");
    config_free(&config);
}

static void device_may_come_from_set_alone(void **state)
{
    static const char *const set[] = {"port.device=net_af_packet0,iface=\"odd\\name\""};
    (void)state;
    load(&config, NET SMTP, set, 1);
    assert_string_equal(config.port.device, "net_af_packet0,iface=\"odd\\name\"");
    config_free(&config);
}

static void included_file_names_itself(void **state)
{
    char main_file[] = "/tmp/hl-conf-XXXXXX", part_file[] = "/tmp/hl-part-XXXXXX", text[256];
    int fd = mkstemp(main_file), part = mkstemp(part_file);
    struct error err;
    (void)state;
    assert_true(fd >= 0 && part >= 0);
    assert_true(write(part, "\nlimits = { recipients = 0; };\n", 30) == 30);
    int len = snprintf(text, sizeof(text), PORT NET SMTP "@include \"%s\"\n", part_file);
    assert_true(write(fd, text, (size_t)len) == len);
    assert_false(config_load(main_file, &config, &err));
    snprintf(text, sizeof(text), "%s:2: limits.recipients: 0 is out of range: allowed are 1 to 1024",
             part_file);
    assert_string_equal(err.text, text);
    close(fd);
    close(part);
    unlink(main_file);
    unlink(part_file);
}

static void reload_tells_what_takes_a_restart(void **state)
{
    (void)state;
    load(&config, PORT NET SMTP, NULL, 0);
    load(&other, PORT NET SMTP "run={log-level=\"debug\";};tls=({match=\"*\";});", NULL, 0);
    memset(&report, 0, sizeof(report));
    assert_true(config_same_but_live(&config, &other, &report));
    config_free(&other);
    load(&other,
         PORT SMTP "net={addresses=[\"192.0.2.11/24\"];gateway=\"192.0.2.1\";};limits={recipients=7;};", NULL,
         0);
    memset(&report, 0, sizeof(report));
    assert_false(config_same_but_live(&config, &other, &report));
    assert_int_equal(report.count, 2);
    assert_string_equal(report.problem[0].text,
                        "limits.recipients is 100 and stays so until a restart; the file says 7");
    assert_string_equal(report.problem[1].text,
                        "net.addresses or net.routes have changed: that takes a restart");
    config_free(&config);
    config_free(&other);
}

static void machine_is_asked(void **state)
{
    (void)state;
    load(&config,
         "port={device=\"net_af_packet0,iface=nosuch0\";};\n" NET SMTP
         "cores={cpus=[4000];};run={user=\"no-such-user\";log=\"/no/such/dir/log\";};"
         "tls=({match=\"*\";ca-file=\"/no/such/ca.pem\";});",
         NULL, 0);
    memset(&report, 0, sizeof(report));
    assert_false(config_check_machine(&config, &report));
    assert_int_equal(report.count, 5);
    assert_string_equal(
        report.problem[0].text,
        "cores.cpus: CPU 4000 is not there or not allowed to this process: see `taskset -p $$`");
    assert_string_equal(report.problem[1].text,
                        "run.user: there is no user \"no-such-user\": create it (useradd --system "
                        "no-such-user) or name another");
    assert_string_equal(report.problem[2].text,
                        "port.device: there is no interface \"nosuch0\": see `ip link`");
    assert_string_equal(report.problem[3].text,
                        "tls[0].ca-file: /no/such/ca.pem cannot be read: No such file or directory");
    assert_string_equal(report.problem[4].text,
                        "run.log: /no/such/dir cannot be written in: No such file or directory");
    config_free(&config);
}

static void settings_are_listed(void **state)
{
    char *text = NULL;
    size_t len = 0;
    (void)state;
    FILE *out = open_memstream(&text, &len);
    config_print_keys(out);
    fclose(out);
    assert_non_null(strstr(text, "limits.connections = 4096\n    open at once, per core; 1 to 1048576\n"));
    assert_non_null(
        strstr(text, "cores.idle = \"poll\"\n    what a core without work does; \"poll\", \"sleep\"\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_is_good),
        cmocka_unit_test(example_shows_the_defaults),
        cmocka_unit_test(example_has_every_key),
        cmocka_unit_test(every_key_fits_its_field),
        cmocka_unit_test(what_follows_from_what),
        cmocka_unit_test(ipv6_has_routes_of_its_own),
        cmocka_unit_test(mtu_sets_the_mss),
        cmocka_unit_test(counted_cores_get_cpus_we_may_use),
        cmocka_unit_test(set_wins_over_the_file),
        cmocka_unit_test(device_may_come_from_set_alone),
        cmocka_unit_test(included_file_names_itself),
        cmocka_unit_test(reload_tells_what_takes_a_restart),
        cmocka_unit_test(machine_is_asked),
        cmocka_unit_test(settings_are_listed),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
