/* path.c: what a network may do to segments. */
#include "tests/sim/world.h"

#include <stdlib.h>

#define IP_BYTES 20u

static uint32_t draw(struct world *w, uint32_t from, uint32_t to)
{
    return from + rand_below(&w->rand, to - from + 1);
}

void path_setup(struct world *w, int i, unsigned difficulty)
{
    struct path *p = &w->host[i].path;
    *p = (struct path){
        .delay_us = draw(w, 10, 100000), .dead_us = DEADLINE_NEVER, .mtu = 65535, .later_us = DEADLINE_NEVER};
    if (rand_below(&w->rand, 3) == 0)
        p->jitter_us = draw(w, 1, p->delay_us);
    if (rand_below(&w->rand, 4) == 0) {
        p->rate_bps = draw(w, 20000, 2000000);
        p->queue_us = draw(w, 5000, 500000);
    }
    static const uint32_t loss_max[] = {0, 10000, 100000, 300000, 900000};
    p->loss_ppm = draw(w, 0, loss_max[difficulty]);
    p->mark_ppm = rand_below(&w->rand, 2) * draw(w, 0, 300000);
    if (rand_below(&w->rand, 2))
        p->mark_us = p->queue_us / 4;
    if (rand_below(&w->rand, 5) == 0)
        p->box = rand_below(&w->rand, ECN_BOX_COUNT);
    if (difficulty == 0)
        return;
    if (difficulty < 4) {
        p->burst_ppm = draw(w, 0, 20000);
        p->burst_len = draw(w, 1, 20);
    }
    p->reorder_ppm = rand_below(&w->rand, 2) * draw(w, 0, 200000);
    p->reorder_us = draw(w, 1, 50000);
    p->duplicate_ppm = rand_below(&w->rand, 2) * draw(w, 0, 100000);
    p->corrupt_ppm = rand_below(&w->rand, 2) * draw(w, 0, 20000);
}

static bool loses(struct world *w, struct path *p)
{
    if (w->now_us >= p->dead_us)
        return true;
    if (p->burst_left > 0) {
        p->burst_left--;
        return true;
    }
    if (rand_ppm(&w->rand, p->burst_ppm))
        p->burst_left = rand_below(&w->rand, 2 * p->burst_len);
    return rand_ppm(&w->rand, p->loss_ppm);
}

/* Waits behind what the bottleneck has not sent yet; false: its buffer is full. */
static bool queue(struct world *w, struct path *p, uint32_t bytes, uint64_t *at_us)
{
    *at_us = w->now_us;
    if (!p->rate_bps)
        return true;
    uint64_t start = max_u64(p->busy_until_us, w->now_us);
    if (start - w->now_us > p->queue_us)
        return false;
    p->busy_until_us = start + bytes * 1000000ull / p->rate_bps;
    *at_us = p->busy_until_us;
    return true;
}

static void deliver(struct world *w, int from, const uint8_t *bytes, uint32_t len, uint8_t ip_ecn,
                    uint64_t at_us)
{
    struct path *p = &w->host[from].path;
    at_us += p->delay_us + (p->jitter_us ? rand_below(&w->rand, p->jitter_us) : 0);
    if (rand_ppm(&w->rand, p->reorder_ppm))
        at_us += p->reorder_us;
    uint8_t *copy = malloc(len);
    if (!copy)
        abort();
    memcpy(copy, bytes, len);
    events_push(
        &w->events,
        (struct event){
            .at_us = at_us, .kind = EVENT_ARRIVE, .host = !from, .data = copy, .len = len, .ip_ecn = ip_ecn});
}

/* A segment whose checksum is wrong never reaches tcp_input: net/ has dropped it.  The sum must notice any bit. */
static bool corrupted(struct world *w, const struct path *p, const uint8_t *bytes, uint32_t len)
{
    if (!rand_ppm(&w->rand, p->corrupt_ppm))
        return false;
    uint8_t *copy = malloc(len);
    if (!copy)
        abort();
    memcpy(copy, bytes, len);
    uint16_t sum = checksum_finish(checksum_add(0, copy, len));
    copy[rand_below(&w->rand, len)] ^= (uint8_t)(1u << rand_below(&w->rand, 8));
    if (checksum_finish(checksum_add(0, copy, len)) == sum)
        world_fault(w, "the checksum missed a bit");
    free(copy);
    return true;
}

/* What a router that speaks ECN does, at_us when it has sent the segment on; and what a box does that should not. */
static uint8_t marked(struct world *w, const struct path *p, uint8_t *tcp, uint8_t ip_ecn, uint64_t at_us)
{
    bool congested = rand_ppm(&w->rand, p->mark_ppm) || (p->mark_us && at_us - w->now_us > p->mark_us);
    if (p->box == ECN_BOX_ECHOES && !(tcp[13] & TCP_SYN))
        tcp[13] |= TCP_ECE;
    if (p->box == ECN_BOX_BLEACHES)
        return IP_ECN_NONE;
    return p->box == ECN_BOX_MARKS || (ip_ecn && congested) ? IP_ECN_CE : ip_ecn;
}

void path_send(struct world *w, int i, uint8_t *bytes, uint32_t len, const struct tcp_segment *seg)
{
    struct path *p = &w->host[i].path;
    uint64_t at_us;
    p->sent++;
    if (w->now_us >= p->later_us)
        p->mtu = p->later_mtu;
    if (len + IP_BYTES > p->mtu) {
        p->lost++;
        if (w->icmp)
            events_push(&w->events, (struct event){.at_us = w->now_us + p->delay_us,
                                                   .kind = EVENT_ICMP,
                                                   .host = i,
                                                   .seq = seg->seq,
                                                   .mtu = p->mtu});
        return;
    }
    bool boxed = p->box == ECN_BOX_DROPS && seg->ip_ecn;
    if (boxed || loses(w, p) || corrupted(w, p, bytes, len) || !queue(w, p, len, &at_us)) {
        p->lost++;
        return;
    }
    uint8_t ip_ecn = marked(w, p, bytes, seg->ip_ecn, at_us);
    deliver(w, i, bytes, len, ip_ecn, at_us);
    if (rand_ppm(&w->rand, p->duplicate_ppm))
        deliver(w, i, bytes, len, ip_ecn, at_us + rand_below(&w->rand, 10000));
}
