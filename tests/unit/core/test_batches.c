/* What computes public-key operations breaks under a core at work: mail is delivered all the same, and the log has it once. */
#include "crypto/batch_device.h"
#include "tests/unit/core/world.h"
#include "tests/unit/crypto/talk.h"

#include <stdio.h>

enum { MESSAGES = 24 };

struct told {
    unsigned lines;
    char first[256], last[256];
};

static void log_failed(void *ctx, const char *what)
{
    struct told *told = ctx;
    snprintf(told->last, sizeof(told->last), "%s", what);
    if (told->lines++ == 0)
        snprintf(told->first, sizeof(told->first), "%s", what);
    print_message("# %s\n", what);
}

/* Every message has a connection and so a handshake of its own. */
static struct world *open_world(struct told *told, struct tls_core_config tls)
{
    struct mx_host *mx;
    struct world_options o = world_defaults();
    *told = (struct told){0};
    tls.batches = true;
    o.core.tls = tls;
    o.core.smtp.messages_max = 1;
    o.core.connections_per_destination = 4;
    o.core.log = (struct core_log){.ctx = told, .batch_failed = log_failed};
    return world_simple(&o, &mx);
}

static void send_all(struct world *w)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        world_send(w, "a@d1.test");
    world_settle(w, 10 * MINUTE);
    world_delivered(w, 0, MESSAGES - 1);
    world_run(w, 2 * SECOND);
}

/* ---- lanes that leave all undone ---- */

static void lanes_that_fail(void **state)
{
    (void)state;
    struct told told;
    struct world *w = open_world(&told, (struct tls_core_config){.batch_open = talk_in_idle_lanes});
    send_all(w);
    assert_true(world_stat(w, STAT_tls_batch_redone) >= 2 * MESSAGES);
    assert_string_equal(core_public(w->core[0])->arithmetic, "idle lanes");
    assert_int_equal(told.lines, 1);
    assert_non_null(strstr(told.first, "idle lanes failed"));
    world_close(w);
}

/* ---- a device that goes away with what it has ---- */

static struct {
    unsigned answers, submitted; /* it still gives so many */
    struct list held;
} device;

static bool submit(void *self, struct asym_job *job)
{
    (void)self;
    device.submitted++;
    list_push_tail(&device.held, &job->link);
    return true;
}

static struct asym_job *poll(void *self)
{
    (void)self;
    struct list *it = device.answers > 0 ? list_pop(&device.held) : NULL;
    if (!it)
        return NULL;
    device.answers--;
    struct asym_job *job = list_entry(it, struct asym_job, link);
    job->result = ASYM_DONE; /* all signatures here are good */
    return job;
}

static bool close_device(void *self)
{
    (void)self;
    return true;
}

static struct batch *by_libcrypto(const struct batch_config *config, struct error *err)
{
    struct batch_config mine = *config;
    mine.no_vectors = true;
    return batch_open(&mine, err);
}

static struct world *device_world(struct told *told, unsigned answers)
{
    static const struct asym_device toy = {.name = "toy device",
                                           .kinds = 1u << ASYM_P256_VERIFY,
                                           .submit = submit,
                                           .poll = poll,
                                           .close = close_device};
    device.answers = answers;
    device.submitted = 0;
    list_init(&device.held);
    return open_world(told, (struct tls_core_config){.batch_open = by_libcrypto, .device = &toy});
}

static void a_device_that_works(void **state)
{
    (void)state;
    struct told told;
    struct world *w = device_world(&told, MESSAGES);
    send_all(w);
    assert_int_equal(world_stat(w, STAT_tls_batch_device), MESSAGES);
    assert_int_equal(told.lines, 0);
    world_close(w);
}

static void a_device_that_goes_away(void **state)
{
    (void)state;
    struct told told;
    struct world *w = device_world(&told, 5);
    send_all(w);
    uint64_t lost = world_stat(w, STAT_tls_batch_lost);
    assert_in_range(lost, DEVICE_STRIKES, MESSAGES - 5);
    assert_int_equal(world_stat(w, STAT_tls_batch_redone), lost);
    assert_int_equal(device.submitted, 5 + lost); /* then it rests */
    assert_int_equal(told.lines, 2);              /* that it is silent; that it rests */
    assert_non_null(strstr(told.first, "toy device did not answer in time"));
    assert_non_null(strstr(told.last, "it is not asked for"));
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_that_fail),
        cmocka_unit_test(a_device_that_works),
        cmocka_unit_test(a_device_that_goes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
