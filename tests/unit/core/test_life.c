/* A random life, by seed: small pools, moody receivers, changing rules, feeds that come and go, and an end at any time.
 * What every world is held to at its end (world_close) is all that is asked.
 */
#include "tests/unit/core/seeds.h"
#include "tests/unit/core/world.h"

#include <stdio.h>

#define SEEDS   40u
#define HOSTS   4u
#define DOMAINS 6u
#define STEPS   60u

static struct seeds seeds;

struct life {
    struct world *w;
    struct rand_source rand;
    struct mx_host *host[HOSTS];
    bool second_feed, feed_left;
};

static uint32_t draw(struct life *l, uint32_t bound)
{
    return rand_below(&l->rand, bound);
}

static bool one_in(struct life *l, uint32_t n)
{
    return draw(l, n) == 0;
}

static const char *pick(struct life *l, const char *const *text, uint32_t count)
{
    return text[draw(l, count)];
}

/* ---- the world ---- */

static struct port_faults some_faults(struct life *l)
{
    return (struct port_faults){
        .seed = draw(l, 1000000),
        .drop_ppm = draw(l, 3) * 10000,
        .reorder_ppm = draw(l, 2) * 10000,
        .duplicate_ppm = draw(l, 2) * 10000,
        .corrupt_ppm = draw(l, 2) * 5000,
        .delay_us = draw(l, 30000),
    };
}

static struct world_options some_options(struct life *l)
{
    struct world_options o = world_defaults();
    struct core_config *c = &o.core;
    o.cores = one_in(l, 4) ? 2 : 1;
    o.buffers = one_in(l, 3) ? 96 + draw(l, 200) : 2048;
    o.feed.arena_bytes = 1u << 20;
    o.feed.submit_slots = 64;
    o.feed.complete_slots = 64;
    c->connections_max = 1 + draw(l, 8);
    c->jobs_max = 1 + draw(l, 20);
    c->destinations_max = 1 + draw(l, 8);
    c->time_wait_max = draw(l, 4);
    c->connections_per_destination = 1 + draw(l, 4);
    c->idle_timeout_ms = draw(l, 3) * 1500;
    c->close_timeout_ms = 100 + draw(l, 5000);
    c->handshake_timeout_ms = 1000 + draw(l, 5000);
    c->smtp.messages_max = draw(l, 4);
    c->smtp.timeout_percent = 2 + draw(l, 10);
    c->smtp.messages_ahead = 1 + draw(l, SMTP_AHEAD_MAX);
    c->smtp.chunking = !one_in(l, 3);
    c->smtp.chunk_ahead_bytes = draw(l, 20000);
    c->tcp.connect_timeout_us = SECOND + draw(l, 10 * SECOND);
    c->tcp.user_timeout_us = 20 * SECOND;
    c->tcp.time_wait_us = 1 + draw(l, 10 * SECOND);
    if (one_in(l, 3))
        c->net.port_last = (uint16_t)(c->net.port_first + 1 + draw(l, 8));
    if (one_in(l, 2)) {
        o.to_mx = some_faults(l);
        o.from_mx = some_faults(l);
    }
    return o;
}

static void some_routes(struct life *l)
{
    static const char *const hops[] = {
        "mx1.test=192.0.2.101:25",   "mx2.test=192.0.2.102:25",  "mx3.test=192.0.2.103:25",
        "+mx4.test=192.0.2.104:465", "mx1.test=192.0.2.104:465", "mx5.test=192.0.2.77:25",
        "mx6.test=192.0.2.1:25",     "mx7.test=10.0.0.1:25",     "mx8.test=192.0.2.101:587",
        "wrong.test=192.0.2.102:25",
    };
    for (unsigned d = 1; d <= DOMAINS; d++) {
        char domain[16];
        snprintf(domain, sizeof(domain), "d%u.test", d);
        const char *hop[3] = {hops[draw(l, 4)], NULL, NULL};
        for (unsigned i = 1; i < 3 && one_in(l, 2); i++)
            hop[i] = pick(l, hops, ARRAY_LEN(hops));
        world_route(l->w, domain, hop[0], hop[1], hop[2], NULL);
    }
}

static void be_born(struct life *l, unsigned seed)
{
    rand_seed(&l->rand, seed);
    struct world_options o = some_options(l);
    l->w = world_open(&o);
    l->w->label = seed;
    for (unsigned i = 0; i < HOSTS; i++)
        l->host[i] = i < HOSTS - 1 ? world_mx(l->w, i + 1) : world_host(l->w, "192.0.2.104", 465, "mx4.test");
    l->host[HOSTS - 1]->implicit_tls = true;
    some_routes(l);
    world_start(l->w);
}

/* ---- what happens ---- */

static void change_mood(struct life *l)
{
    static const char *const greetings[] = {
        NULL, NULL, NULL, "450 4.3.2 busy", "554 5.3.2 no", "421 4.3.2 closing"};
    static const char *const replies[] = {NULL,           NULL,           NULL, NULL, "450 4.2.0 later",
                                          "550 5.7.1 no", "421 4.3.2 bye"};
    struct mx_host *h = l->host[draw(l, HOSTS)];
    h->greeting = pick(l, greetings, ARRAY_LEN(greetings));
    h->mail = pick(l, replies, ARRAY_LEN(replies));
    h->rcpt = pick(l, replies, ARRAY_LEN(replies));
    h->data = pick(l, replies, ARRAY_LEN(replies));
    h->dot = pick(l, replies, ARRAY_LEN(replies));
    h->refuses = one_in(l, 8);
    h->silent = one_in(l, 8);
    h->lingers = one_in(l, 3);
    h->no_starttls = one_in(l, 10);
    h->no_pipelining = one_in(l, 3);
    h->chunking = !one_in(l, 3);
    h->knows_no_bdat = one_in(l, 8);
    h->rset = one_in(l, 12) ? "500 5.5.1 never" : NULL;
    h->connections_max = draw(l, 4);
    h->idle_us = draw(l, 3) * SECOND;
    h->think_us = draw(l, 4) * 20000;
    h->trouble = (struct mx_trouble){.at = (enum mx_point)draw(l, MX_POINTS),
                                     .deed = (enum mx_deed)draw(l, MX_STALL + 1),
                                     .skip = draw(l, 3),
                                     .times = 1 + draw(l, 3)};
}

static void change_rules(struct life *l)
{
    l->w->draft.rules = 0;
    for (unsigned d = 1; d <= DOMAINS; d++) {
        char domain[16];
        snprintf(domain, sizeof(domain), "d%u.test", d);
        if (one_in(l, 2))
            world_rule(l->w, domain, (enum policy_level)(POLICY_ENCRYPT + draw(l, 2)));
    }
    world_publish(l->w);
}

static void submit(struct life *l)
{
    static const char *const to[] = {
        "a@d1.test",           "a@d2.test",           "a@d3.test",   "a@d4.test",
        "a@d5.test b@d5.test", "a@d6.test b@d1.test", "bad@d1.test", "bad@d2.test b@d2.test",
        "a@nowhere.test"};
    unsigned number;
    struct letter letter = {
        .to = pick(l, to, ARRAY_LEN(to)),
        .bytes = one_in(l, 4) ? draw(l, 60000) : 0,
        .flags = one_in(l, 20) ? HL_JOB_REQUIRETLS : 0,
        .floor = one_in(l, 4) ? (uint8_t)draw(l, HL_TLS_VERIFY + 1) : HL_TLS_DEFAULT,
        .patience_us = one_in(l, 4) ? draw(l, 5 * SECOND) : 0,
        .next_hop = one_in(l, 15) ? "[192.0.2.102]" : NULL,
        .feed = l->second_feed && one_in(l, 2),
    };
    for (unsigned n = 1 + draw(l, 4); n > 0; n--)
        if (world_try(l->w, &letter, &number) != 0)
            return; /* no room in the feed */
}

static void hurt_somebody(struct life *l)
{
    struct mx_conn *c = mx_conn_of(&l->w->mx, l->host[draw(l, HOSTS)], draw(l, 3));
    if (c && !c->closing)
        mx_do(c, (enum mx_deed)draw(l, MX_STALL + 1));
}

static void feed_comes_or_goes(struct life *l)
{
    if (!l->second_feed && l->w->feeds == 1)
        l->second_feed = world_attach(l->w) == 1;
    else if (l->second_feed) {
        l->second_feed = false;
        l->feed_left = true;
        world_tell(l->w, CORE_DETACH, l->w->feed[1]);
    }
}

static void live(struct life *l)
{
    static const uint32_t spans[] = {0, 100, 10000, 100000, SECOND, 3 * SECOND};
    for (unsigned step = 0; step < STEPS; step++) {
        switch (draw(l, 12)) {
        case 0: change_mood(l); break;
        case 1: change_rules(l); break;
        case 2: hurt_somebody(l); break;
        case 3:
            if (one_in(l, 8))
                feed_comes_or_goes(l);
            break;
        case 4: l->w->mx.deaf_us = l->w->now_us + draw(l, SECOND); break;
        default: submit(l); break;
        }
        world_run(l->w, spans[draw(l, ARRAY_LEN(spans))]);
    }
}

/* Jobs that never left their lanes have no result of the core's: the library is asked about them. */
static void die(struct life *l)
{
    struct world *w = l->w;
    if (l->feed_left || one_in(l, 3)) {
        world_stop(w);
        pair_kill_engine(&w->pair);
        w->feed[0] = w->feed[1] = NULL;
        world_give_up(w);
    }
    world_close(w);
}

static void a_random_life_ends_well(void **state)
{
    (void)state;
    for (seeds.now = seeds.first; seeds.now <= seeds.last; seeds.now++) {
        struct life life = {0};
        be_born(&life, seeds.now);
        live(&life);
        die(&life);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_random_life_ends_well)};
    seeds_of(&seeds, argc, argv, SEEDS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
