/* A hundred hostile wires, by seed: every message arrives once, every recipient has one result. */
#include "tests/unit/core/seeds.h"
#include "tests/unit/core/world.h"

#if defined(__SANITIZE_ADDRESS__)
#define SEEDS 40u
#else
#define SEEDS 100u
#endif
#define LETTERS 12u

static struct seeds seeds;

static struct port_faults faults(uint64_t seed, struct rand_source *rand)
{
    return (struct port_faults){
        .seed = seed,
        .drop_ppm = 30000,
        .reorder_ppm = 20000,
        .duplicate_ppm = 20000,
        .corrupt_ppm = 10000,
        .delay_us = 1000 + rand_below(rand, 20000),
        .jitter_us = rand_below(rand, 5000),
    };
}

static struct world *hostile_world(uint64_t seed, struct rand_source *rand, struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.feed.arena_bytes = 1u << 20;
    o.to_mx = faults(2 * seed, rand);
    o.from_mx = faults(2 * seed + 1, rand);
    o.core.connections_per_destination = 1 + rand_below(rand, 4);
    o.core.smtp.messages_max = rand_below(rand, 5);
    o.core.smtp.timeout_percent = 20;
    o.core.smtp.messages_ahead = 1 + rand_below(rand, SMTP_AHEAD_MAX);
    o.core.smtp.chunking = rand_below(rand, 3) > 0;
    o.core.smtp.chunk_ahead_bytes = rand_below(rand, 30000);
    struct world *w = world_simple(&o, mx);
    w->label = (unsigned)seed;
    (*mx)->no_pipelining = rand_below(rand, 3) == 0;
    (*mx)->chunking = rand_below(rand, 3) > 0;
    (*mx)->lingers = rand_below(rand, 3) == 0;
    (*mx)->think_us = rand_below(rand, 3000);
    return w;
}

static void send_letters(struct world *w, struct rand_source *rand)
{
    static const char *const to[] = {"a@d1.test", "a@d2.test b@d2.test", "bad@d1.test a@d1.test",
                                     "a@d3.test b@d4.test c@d3.test"};
    for (unsigned i = 0; i < LETTERS; i++)
        world_submit(w, &(struct letter){.to = to[rand_below(rand, ARRAY_LEN(to))],
                                         .bytes = 300 + rand_below(rand, 30000)});
}

static bool is_bad(const char *rcpt)
{
    return strncmp(rcpt, "bad", 3) == 0;
}

static void on_a_wire_that_only_loses_all_is_delivered(void **state)
{
    (void)state;
    for (seeds.now = seeds.first; seeds.now <= seeds.last; seeds.now++) {
        struct rand_source rand;
        struct mx_host *mx;
        rand_seed(&rand, seeds.now);
        struct world *w = hostile_world(seeds.now, &rand, &mx);
        send_letters(w, &rand);
        world_settle(w, 20 * MINUTE);
        for (unsigned n = 0; n < w->jobs; n++)
            for (unsigned r = 0; r < w->sent[n].rcpts; r++)
                if (world_result(w, n, r)->verdict != (is_bad(w->sent[n].rcpt[r]) ? HL_FAILED : HL_DELIVERED))
                    fail_msg("seed %u, message %u: %s", seeds.now, n, w->sent[n].result[r].text);
        world_close(w);
    }
}

/* And a receiver that breaks off, somewhere, somehow: deferred, or in doubt where it may have arrived. */
static void with_a_receiver_that_breaks_off_nothing_is_wrong(void **state)
{
    (void)state;
    for (seeds.now = seeds.first; seeds.now <= seeds.last; seeds.now += 2) {
        struct rand_source rand;
        struct mx_host *mx;
        rand_seed(&rand, ~(uint64_t)seeds.now);
        struct world *w = hostile_world(seeds.now, &rand, &mx);
        mx->trouble = (struct mx_trouble){.at = (enum mx_point)(1 + rand_below(&rand, MX_POINTS - 1)),
                                          .deed = (enum mx_deed)rand_below(&rand, MX_STALL + 1),
                                          .skip = rand_below(&rand, 6),
                                          .times = 1 + rand_below(&rand, 3)};
        send_letters(w, &rand);
        world_settle(w, 60 * MINUTE);
        world_close(w);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_a_wire_that_only_loses_all_is_delivered),
        cmocka_unit_test(with_a_receiver_that_breaks_off_nothing_is_wrong),
    };
    seeds_of(&seeds, argc, argv, SEEDS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
