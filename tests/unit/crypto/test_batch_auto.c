/* Who computes where nobody has said it: a QAT device that is up, right and cheap, then lanes, then libcrypto.  The
 * devices are folders as /sys has them, and the tests' own engine.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/crypto/toy_engine.h"
#include "tests/unit/cmocka.h"

#include <openssl/engine.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPS       32u
#define INSTANCES 2
#define LOST_US   20000u

/* ---- a folder that is a machine ---- */

static const struct machine {
    const char *name;
    bool usable;
    const char *vendor, *class, *state, *services, *driver; /* NULL: not there */
} machines[] = {
    {"none", false, NULL, NULL, NULL, NULL, NULL},
    {"up", true, "0x8086", "0x0b4000", "up", "asym;sym", "4xxx"},
    {"up, and does not say its services", true, "0x8086", "0x0b4000", "up", NULL, "c6xx"},
    {"in a guest", true, "0x8086", "0x0b4000", NULL, NULL, "vfio-pci"},
    {"down", false, "0x8086", "0x0b4000", "down", "asym;sym", "4xxx"},
    {"without public keys", false, "0x8086", "0x0b4000", "up", "sym;dc", "4xxx"},
    {"a function that nobody hands out", false, "0x8086", "0x0b4000", NULL, NULL, "4xxxvf"},
    {"no driver", false, "0x8086", "0x0b4000", NULL, NULL, NULL},
    {"another's", false, "0x1af4", "0x0b4000", "up", "asym", "4xxx"},
    {"a network card", false, "0x8086", "0x020000", "up", "asym", "vfio-pci"},
};

static const struct machine *const up = &machines[1];
static char root[64];

static void command(const char *fmt, const char *value)
{
    char text[512];
    snprintf(text, sizeof(text), fmt, root, value);
    assert_int_equal(system(text), 0);
}

static void write_line(const char *name, const char *value)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:6b:00.0/%s", root, name);
    FILE *file = value ? fopen(path, "w") : NULL;
    assert_true(file || !value);
    if (file) {
        fprintf(file, "%s\n", value);
        fclose(file);
    }
}

static void build(const struct machine *m)
{
    strcpy(root, "/tmp/hardline-sys-XXXXXX");
    assert_non_null(mkdtemp(root));
    command("mkdir -p %s/bus/pci/devices", "");
    if (!m->vendor)
        return;
    command("mkdir -p %s/bus/pci/devices/0000:6b:00.0/qat", "");
    write_line("vendor", m->vendor);
    write_line("class", m->class);
    write_line("qat/state", m->state);
    write_line("qat/cfg_services", m->services);
    if (m->driver)
        command("ln -s ../../drivers/%2$s %1$s/bus/pci/devices/0000:6b:00.0/driver", m->driver);
}

static void demolish(void)
{
    command("rm -r %s", "");
}

/* ---- a batch on it ---- */

static struct stats stats;

static struct batch *open_on(const struct machine *m, const char *engine, uint8_t break_even)
{
    struct error err = {0};
    stats = (struct stats){0};
    build(m);
    const struct batch_config config = {.ops_max = OPS,
                                        .break_even = break_even,
                                        .no_vectors = true,
                                        .sysfs = root,
                                        .engine = engine,
                                        .lost_us = LOST_US,
                                        .stats = &stats};
    struct batch *b = batch_open(&config, &err);
    assert_non_null(b);
    demolish();
    return b;
}

/* One operation, and where it was computed. */
static uint64_t in_the_device(struct batch *b)
{
    struct batch_pair own;
    assert_true(batch_pair_take(b, BATCH_P256, &own));
    struct batch_op *op = batch_derive(b, BATCH_P256, &own, (struct span){own.point, 65}, NULL, 0);
    for (unsigned i = 0; i < 8 && op->result == BATCH_WAITS; i++)
        batch_run(b, 1);
    assert_ptr_equal(batch_ready(b), op);
    assert_int_equal(op->result, BATCH_GOOD);
    batch_done(b, op);
    assert_int_equal(stats.v[STAT_tls_batch_redone], 0);
    return stats.v[STAT_tls_batch_device];
}

static void the_device_is_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(machines); i++) {
        toy_engine_reset();
        struct batch *b = open_on(&machines[i], TOY_ENGINE, 1);
        print_message("# %s: %s\n", machines[i].name, batch_backend_name(b));
        assert_string_equal(batch_backend_name(b),
                            machines[i].usable ? "engine toy, then libcrypto" : "libcrypto");
        assert_int_equal(toy_engine.started > 0, machines[i].usable); /* else it is not even asked */
        assert_null(batch_complaint(b));
        assert_int_equal(in_the_device(b), machines[i].usable);
        assert_int_equal(batch_can_wait(b), machines[i].usable);
        batch_close(b);
    }
}

static void then_lanes(void **state)
{
    (void)state;
    struct error err;
    if (!kit_has_lanes())
        skip();
    toy_engine_reset();
    for (unsigned i = 0; i < 2; i++) {
        build(&machines[i]);
        const struct batch_config config = {
            .ops_max = OPS, .break_even = 1, .sysfs = root, .engine = TOY_ENGINE, .stats = &stats};
        struct batch *b = batch_open(&config, &err);
        assert_non_null(strstr(batch_backend_name(b), i ? "engine toy, then crypto_mb" : "crypto_mb"));
        assert_int_equal(strncmp(batch_backend_name(b), "crypto_mb", 9) == 0, i == 0);
        batch_close(b);
        demolish();
    }
}

static void without_vectors_libcrypto(void **state)
{
    (void)state;
    struct error err = {0};
    build(&machines[0]);
    struct batch_config config = {.ops_max = OPS, .sysfs = root, .stats = &stats};
    stats = (struct stats){0};
    assert_int_equal(setenv("HARDLINE_VECTORS", "off", 1), 0);
    struct batch *b = batch_open(&config, &err);
    assert_string_equal(batch_backend_name(b), "libcrypto");
    assert_null(batch_complaint(b)); /* nothing is amiss */
    assert_false(batch_can_wait(b));
    assert_int_equal(in_the_device(b), 0);
    assert_int_equal(stats.v[STAT_tls_batch_lanes], 0);
    batch_close(b);
    config.backend = "crypto_mb";
    config.require = true;
    assert_null(batch_open(&config, &err));
    assert_non_null(strstr(err.text, "AVX-512 IFMA"));
    assert_int_equal(unsetenv("HARDLINE_VECTORS"), 0);
    demolish();
}

/* Lanes that are named are not to wait behind a device. */
static void what_is_named_is_alone(void **state)
{
    (void)state;
    struct error err;
    toy_engine_reset();
    build(up);
    const struct batch_config config = {
        .ops_max = OPS, .sysfs = root, .engine = TOY_ENGINE, .backend = "libcrypto", .stats = &stats};
    struct batch *b = batch_open(&config, &err);
    assert_string_equal(batch_backend_name(b), "libcrypto");
    assert_int_equal(toy_engine.started, 0);
    batch_close(b);
    demolish();
}

/* ---- measured ---- */

static void what_costs_more_is_not_used(void **state)
{
    (void)state;
    toy_engine_reset(); /* libcrypto's arithmetic, and a job around it */
    struct batch *b = open_on(up, TOY_ENGINE, 0);
    print_message("# %s\n", batch_backend_name(b));
    assert_false(batch_device_has(b, BATCH_RSA2048_VERIFY));
    assert_null(batch_complaint(b));
    batch_close(b);
}

static void what_costs_less_is(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.aside = true; /* curves cost this thread a job's stack, RSA that and the arithmetic */
    struct batch *b = open_on(up, TOY_ENGINE, 0);
    print_message("# %s\n", batch_backend_name(b));
    assert_string_equal(batch_backend_name(b), "engine toy, then libcrypto");
    assert_true(batch_device_has(b, BATCH_P384_VERIFY) && batch_device_has(b, BATCH_P384_DERIVE));
    assert_false(batch_device_has(b, BATCH_RSA2048_VERIFY));
    batch_close(b);
}

/* ---- not used, and said why ---- */

static void goes_on_without(struct batch *b, const char *says)
{
    const char *complaint = batch_complaint(b);
    assert_non_null(complaint);
    print_message("# %s\n", complaint);
    assert_non_null(strstr(complaint, says));
    assert_non_null(strstr(complaint, "; libcrypto computes instead"));
    assert_null(batch_complaint(b)); /* once */
    assert_string_equal(batch_backend_name(b), "libcrypto");
    assert_int_equal(in_the_device(b), 0);
    batch_close(b);
}

static void an_engine_that_is_not_there(void **state)
{
    (void)state;
    goes_on_without(open_on(up, "no-such-engine", 1), "\"no-such-engine\" is not there");
}

static void an_engine_without_a_device(void **state)
{
    (void)state;
    ENGINE *bare = ENGINE_new();
    assert_true(ENGINE_set_id(bare, "bare") && ENGINE_set_name(bare, "says nothing of instances") &&
                ENGINE_add(bare));
    goes_on_without(open_on(up, "bare", 1), "\"bare\" has no device");
    ENGINE_remove(bare);
    ENGINE_free(bare);
    if (kit_has_qatengine() &&
        !batch_probe_qat("/sys")) /* QAT_SW: lanes of this CPU, which are better had directly */
        goes_on_without(open_on(up, NULL, 1), "\"qatengine\" has no device");
}

static void a_device_that_fails(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.good = 3;
    goes_on_without(open_on(up, TOY_ENGINE, 1), "engine toy is wrong or silent (P-256 derivations)");
}

static void a_device_that_likes_every_signature(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.agrees = true;
    goes_on_without(open_on(up, TOY_ENGINE, 1), "engine toy is wrong or silent (P-256 signatures)");
}

static void a_device_that_is_silent(void **state)
{
    (void)state;
    toy_engine_reset();
    toy_engine.silent = true;
    goes_on_without(open_on(up, TOY_ENGINE, 1), "engine toy is wrong or silent (P-256 derivations)");
}

/* How many instances there are is asked when it is loaded. */
static int setup(void **state)
{
    (void)state;
    toy_engine_add();
    toy_engine.instances = INSTANCES;
    batch_close(open_on(up, TOY_ENGINE, 1));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_device_is_first),         cmocka_unit_test(then_lanes),
        cmocka_unit_test(without_vectors_libcrypto),   cmocka_unit_test(what_is_named_is_alone),
        cmocka_unit_test(what_costs_more_is_not_used), cmocka_unit_test(what_costs_less_is),
        cmocka_unit_test(an_engine_that_is_not_there), cmocka_unit_test(an_engine_without_a_device),
        cmocka_unit_test(a_device_that_fails),         cmocka_unit_test(a_device_that_likes_every_signature),
        cmocka_unit_test(a_device_that_is_silent), /* last: what it holds stays */
    };
    return cmocka_run_group_tests(tests, setup, toy_engine_teardown);
}
