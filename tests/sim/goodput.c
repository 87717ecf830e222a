/* goodput.c: one bulk transfer over a path of 100 Mbit/s and 20 ms with a buffer of one bandwidth-delay product.
 *
 * Not how fast the code is but how well it sends: what share of the path it gets in virtual time, beside what is due
 * by arithmetic.  The share is the mean of a few transfers: where one loss falls decides over tenths of a single one.  The
 * bounds leave room for chance; a recovery that collapses or stalls falls far below them.
 */
#include "tests/sim/world.h"
#include "tests/lib/tap.h"

#include <math.h>
#include <stdlib.h>

#define LINK_BPS   12500000u /* bytes a second */
#define ONE_WAY_US 10000u
#define BYTES      (12u << 20)
#define SEED_FIRST 7u
#define SEEDS      3u

/* One flow on a short path that loses much: no seed may stand still.  Time-outs of 200 ms each are no surprise, a transfer takes 200 to 1500. */
#define SHORT_ONE_WAY_US 500u
#define SHORT_BYTES      (1u << 20)
#define SHORT_SEEDS      200u
#define SHORT_LONGEST_US 2500000u

/* One flow under much loss, beside the square root law (RFC 3155 section 2.1, RFC 9438 section 4.3: the mean window of W_est is Reno's,
 * sqrt(3 / 2p) segments): the mean of many seeds, for one transfer says nothing.  The law knows of no time-outs and no
 * losses of retransmissions, which at these windows cost a tenth, or a third where a time-out lasts 200 round trips.
 */
#define LAW_SEEDS 50u

struct law {
    const char *name;
    uint32_t loss_ppm, one_way_us, bytes;
    uint32_t least_percent; /* of what the law says */
};

static const struct law laws[] = {
    {.name = "5 % at 1 ms", .loss_ppm = 50000, .one_way_us = 500, .bytes = 6u << 20, .least_percent = 61},
    {.name = "5 % at 20 ms", .loss_ppm = 50000, .one_way_us = 10000, .bytes = 3u << 20, .least_percent = 83},
    {.name = "5 % at 100 ms", .loss_ppm = 50000, .one_way_us = 50000, .bytes = 3u << 20, .least_percent = 88},
};

struct cell {
    const char *name;
    uint32_t loss_ppm, burst_ppm, reorder_ppm, reorder_us, mark_us;
    bool no_sack, no_timestamps, no_pacing;
    uint32_t one_way_us, bytes; /* 0: ONE_WAY_US, BYTES */
    uint32_t queue_us;          /* 0: one bandwidth-delay product */
    uint32_t
        least_permille; /* of the link; what the loss leaves to a CUBIC or Reno sender (RFC 3155: the square root law) */
};

static const struct cell cells[] = {
    {.name = "a clean path", .least_permille = 870},
    {.name = "a clean path without SACK", .no_sack = true, .least_permille = 220},
    {.name = "marks instead of loss, from half the buffer on", .mark_us = 10000, .least_permille = 650},
    {.name = "0.01 % loss", .loss_ppm = 100, .least_permille = 450},
    {.name = "0.1 % loss", .loss_ppm = 1000, .least_permille = 130},
    {.name = "1 % loss", .loss_ppm = 10000, .least_permille = 45},
    {.name = "1 % loss without SACK", .loss_ppm = 10000, .no_sack = true, .least_permille = 30},
    {.name = "5 % loss", .loss_ppm = 50000, .least_permille = 14},
    {.name = "bursts of loss", .burst_ppm = 200, .least_permille = 100},
    {.name = "1 % reordered by 3 ms", .reorder_ppm = 10000, .reorder_us = 3000, .least_permille = 800},
    /* what a retransmission has overtaken is old to the receiver's PAWS, and dropped (RFC 7323 section 5.3) */
    {.name = "5 % reordered by 8 ms", .reorder_ppm = 50000, .reorder_us = 8000, .least_permille = 400},
    {.name = "5 % reordered by 8 ms without time stamps",
     .reorder_ppm = 50000,
     .reorder_us = 8000,
     .no_timestamps = true,
     .least_permille = 600},
    {.name = "a shallow queue", .queue_us = 2000, .least_permille = 550},
    {.name = "a shallow queue without pacing", .queue_us = 2000, .no_pacing = true, .least_permille = 400},
};

static uint32_t one_way_us(const struct cell *cell)
{
    return cell->one_way_us ? cell->one_way_us : ONE_WAY_US;
}

static uint32_t bytes(const struct cell *cell)
{
    return cell->bytes ? cell->bytes : BYTES;
}

static void set_up(struct world *w, const struct cell *cell, const struct tcp_cc *cc, uint64_t seed)
{
    *w = (struct world){.seed = seed, .check_every = 100};
    rand_seed(&w->rand, w->seed);
    for (int i = 0; i < 2; i++) {
        struct host *h = &w->host[i];
        h->config = tcp_config_default();
        h->config.cc = cc;
        h->config.sack = !cell->no_sack;
        h->config.ecn = cell->mark_us ? TCP_ECN_ON : TCP_ECN_ACCEPT;
        h->config.timestamps = !cell->no_timestamps;
        h->config.pacing = !cell->no_pacing;
        h->config.send_buffer_bytes = h->config.recv_buffer_bytes = 2u << 20;
        h->config.recv_packets = 4000;
        h->config.time_wait_us = 1000000;
        h->tx = pkt_heap_pool_open(4096, 16, 2048);
        h->rx = pkt_heap_pool_open(8192, 0, 2048);
        h->isn = 1000;
        h->write_max = h->read_max = 1u << 20;
        h->app_us = h->idle_us = 500;
        h->closes_first = true;
        h->abort_us = h->timer_at_us = DEADLINE_NEVER;
        h->path = (struct path){.delay_us = one_way_us(cell),
                                .mtu = 65535,
                                .later_us = DEADLINE_NEVER,
                                .dead_us = DEADLINE_NEVER};
        if (!h->tx || !h->rx)
            abort();
    }
    struct path *data = &w->host[0].path;
    data->rate_bps = LINK_BPS;
    data->queue_us = cell->queue_us ? cell->queue_us : 2 * one_way_us(cell);
    data->mark_us = cell->mark_us;
    data->loss_ppm = cell->loss_ppm;
    data->burst_ppm = cell->burst_ppm;
    data->burst_len = 10;
    data->reorder_ppm = cell->reorder_ppm;
    data->reorder_us = cell->reorder_us;
    w->host[0].to_write = bytes(cell);
}

/* Returns the share of the link, negative after a fault. */
static double transfer(const struct cell *cell, const struct tcp_cc *cc, uint64_t seed)
{
    static struct world w;
    set_up(&w, cell, cc, seed);
    world_play(&w);
    double seconds = (double)w.last_byte_us / 1e6, share = BYTES / seconds / LINK_BPS;
    const uint64_t *v = w.host[0].stats.v;
    if (w.fault[0])
        tap_note("%s", w.fault);
    tap_note(
        "%.1f %% of the link in %.2f s; %lu sent again, %lu time-outs, %lu probes, %lu undone; %lu of %lu lost",
        share * 100, seconds, v[STAT_tcp_retransmits], v[STAT_tcp_rto_fired], v[STAT_tcp_tail_probes],
        v[STAT_tcp_undone], w.host[0].path.lost, w.host[0].path.sent);
    return w.fault[0] ? -1e9 : share;
}

static void run(const struct cell *cell, const struct tcp_cc *cc)
{
    double sum = 0;
    for (uint64_t seed = SEED_FIRST; seed < SEED_FIRST + SEEDS; seed++)
        sum += transfer(cell, cc, seed);
    tap_ok(sum / SEEDS * 1000 >= cell->least_permille, "%s, %s: %.1f %%", cc->name, cell->name,
           sum / SEEDS * 100);
}

static void none_stands_still(const struct tcp_cc *cc)
{
    static const struct cell cell = {.loss_ppm = 50000, .one_way_us = SHORT_ONE_WAY_US, .bytes = SHORT_BYTES};
    static struct world w;
    uint64_t longest_us = 0, longest_seed = 0;
    for (uint64_t seed = 1; seed <= SHORT_SEEDS; seed++) {
        set_up(&w, &cell, cc, seed);
        world_play(&w);
        if (w.fault[0])
            tap_note("seed %lu: %s", seed, w.fault);
        bool syn_lost =
            w.host[0].tcb.syn_lost || w.host[1].tcb.syn_lost; /* that takes seconds, as it ought to */
        uint64_t took_us = w.fault[0] ? DEADLINE_NEVER : syn_lost ? 0 : w.last_byte_us;
        if (took_us > longest_us) {
            longest_us = took_us;
            longest_seed = seed;
        }
    }
    tap_ok(longest_us <= SHORT_LONGEST_US,
           "%s, 5 %% loss at 1 ms, %u seeds: no MiB takes longer than %lu ms (seed %lu)", cc->name,
           SHORT_SEEDS, longest_us / 1000, longest_seed);
}

static void comes_to_the_law(const struct law *law)
{
    struct cell cell = {.loss_ppm = law->loss_ppm, .one_way_us = law->one_way_us, .bytes = law->bytes};
    static struct world w;
    double sum = 0, windows = sqrt(1.5e6 / law->loss_ppm) * 1448 / (2e-6 * law->one_way_us);
    for (uint64_t seed = 1; seed <= LAW_SEEDS; seed++) {
        set_up(&w, &cell, &tcp_cc_cubic, seed);
        w.check_every = 10000;
        world_play(&w);
        sum += w.fault[0] ? -1e9 : (double)law->bytes * 1e6 / (double)w.last_byte_us;
    }
    double percent = sum / LAW_SEEDS / windows * 100;
    tap_ok(percent >= law->least_percent, "cubic, %s, %u seeds: %.0f %% of the square root law", law->name,
           LAW_SEEDS, percent);
}

int main(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(cells); i++) {
        run(&cells[i], &tcp_cc_cubic);
        run(&cells[i], &tcp_cc_reno);
    }
    none_stands_still(&tcp_cc_cubic);
    none_stands_still(&tcp_cc_reno);
    for (unsigned i = 0; i < ARRAY_LEN(laws); i++)
        comes_to_the_law(&laws[i]);
    return tap_done();
}
