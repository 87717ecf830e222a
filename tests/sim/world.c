/* world.c: one seed from its first event to its last. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STEPS_MAX 4000000u /* events: more is a livelock */
#define STALL_US \
    (12ull * 3600 * 1000000)            /* with a tenth getting through and an RTO of 10 s: never by chance */
#define GIVE_UP_US (20u * 60 * 1000000) /* user time-out in worlds whose path dies */

void world_fault(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->fault[0])
        return;
    va_start(args, format);
    vsnprintf(w->fault, sizeof(w->fault), format, args);
    va_end(args);
}

/* One seed in ten: somebody aborts, or the path dies and both must notice: who has something in flight by
 * itself, who only waits by keep-alives, or without them when its application gives up.
 */
static void draw_doom(struct world *w)
{
    unsigned doom = rand_below(&w->rand, 20);
    uint64_t when = rand_below(&w->rand, 3000000);
    if (doom == 0) {
        w->host[rand_below(&w->rand, 2)].abort_us = when;
        w->host[0].abort_us = min_u64(w->host[0].abort_us, 2 * GIVE_UP_US);
        w->host[1].abort_us = min_u64(w->host[1].abort_us, 2 * GIVE_UP_US);
    } else if (doom == 1) {
        w->host[0].path.dead_us = w->host[1].path.dead_us = when;
        w->host[0].abort_us = w->host[1].abort_us = 2 * GIVE_UP_US;
    } else {
        return;
    }
    w->doomed = true;
    for (int i = 0; i < 2; i++) {
        struct tcp_config *c = &w->host[i].config;
        c->user_timeout_us = c->connect_timeout_us = c->fin_wait_2_us = GIVE_UP_US;
        c->keepalive_probes = 9;
    }
}

/* One in four takes everything; what a host must not do without is never below 576 (RFC 791). */
static uint32_t draw_path_mtu(struct world *w)
{
    return rand_below(&w->rand, 4) ? 576 + rand_below(&w->rand, 925) : 65535;
}

/* One world in eight has routers that complain, one in eight routers that do not: black holes.  Routes change. */
static void draw_mtu(struct world *w)
{
    unsigned kind = rand_below(&w->rand, 8);
    if (kind > 1)
        return;
    w->icmp = kind == 0;
    for (int i = 0; i < 2; i++) {
        struct path *p = &w->host[i].path;
        p->mtu = draw_path_mtu(w);
        p->later_mtu = draw_path_mtu(w);
        p->later_us = rand_below(&w->rand, 20000000);
    }
}

static void setup(struct world *w)
{
    unsigned difficulty = rand_below(&w->rand, 5);
    for (int i = 0; i < 2; i++) {
        host_setup(w, i);
        path_setup(w, i, difficulty);
    }
    for (int i = 0; i < 2; i++) {
        struct host *h = &w->host[i];
        /* A round trip for each window, a segment for each write; with nine in ten lost, minutes for each of them. */
        h->to_write = min_u64(h->to_write, 200ull * w->host[!i].config.recv_buffer_bytes);
        uint64_t once = min_u32(h->write_max, h->config.send_buffer_bytes);
        h->to_write = min_u64(h->to_write, (difficulty == 4 ? 50 : 2000) * once);
        if (difficulty == 4)
            h->to_write = min_u64(h->to_write, 10000);
    }
    draw_mtu(w);
    w->simultaneous = rand_below(&w->rand, 20) == 0;
    draw_doom(w);
    if (!w->host[0].closes_first && !w->host[1].closes_first)
        w->host[0].closes_first = true; /* or both wait for each other, rightly, for ever */
}

static void step(struct world *w, const struct event *e)
{
    struct host *h = &w->host[e->host];
    switch (e->kind) {
    case EVENT_ARRIVE:
        host_receive(w, e->host, e->data, e->len, e->ip_ecn);
        free(e->data);
        break;
    case EVENT_TIMER: host_timer(w, e->host); break;
    case EVENT_APP:
        if (!h->was_open && (e->host == 0 || w->simultaneous))
            host_open(w, e->host, NULL);
        if (h->was_open)
            host_act(w, e->host);
        else
            events_push(&w->events,
                        (struct event){.at_us = w->now_us + 10000, .kind = EVENT_APP, .host = e->host});
        break;
    case EVENT_TXDONE:
        pkt_free(e->data);
        h->txdone_pending--;
        break;
    case EVENT_ICMP:
        if (h->open) {
            tcp_icmp_error(&h->tcb, e->seq, false, e->mtu, w->now_us);
            host_settle(w, e->host);
        }
        break;
    }
}

static bool over(const struct world *w)
{
    /* In a doomed world the passive side may never hear of the connection. */
    bool second = host_done(&w->host[1]) || (w->doomed && !w->host[1].was_open);
    return host_done(&w->host[0]) && second;
}

static void drain(struct world *w)
{
    for (struct event e; events_pop(&w->events, &e);) {
        if (e.kind == EVENT_ARRIVE)
            free(e.data);
        else if (e.kind == EVENT_TXDONE)
            pkt_free(e.data);
    }
    events_free(&w->events);
}

/* Every byte, once and in order (each was compared when it was read), and both ends in order. */
static void judge(struct world *w)
{
    for (int i = 0; i < 2 && !w->doomed; i++) {
        const struct host *h = &w->host[i], *peer = &w->host[!i];
        if (h->read != peer->to_write)
            world_fault(w, "host %d read %llu of %llu bytes", i, (unsigned long long)h->read,
                        (unsigned long long)peer->to_write);
        else if (tcp_error(&h->tcb) != TCP_OK)
            world_fault(w, "host %d ended with error %d", i, tcp_error(&h->tcb));
        else if (!h->saw_fin)
            world_fault(w, "host %d never saw the end", i);
    }
}

void world_play(struct world *w)
{
    struct event e;
    for (int i = 0; i < 2; i++)
        events_push(&w->events, (struct event){.at_us = 1000, .kind = EVENT_APP, .host = i});
    while (!w->fault[0] && !over(w) && events_pop(&w->events, &e)) {
        w->now_us = e.at_us;
        step(w, &e);
        if (++w->steps > STEPS_MAX)
            world_fault(w, "still busy after %u events", STEPS_MAX);
        if (w->now_us - w->last_progress_us > STALL_US)
            world_fault(w, "stalled: no byte and no state for %llu s", STALL_US / 1000000);
    }
    if (!w->fault[0] && !over(w))
        world_fault(w, "nothing left to happen, and not over");
    drain(w);
    if (!w->fault[0])
        judge(w);
    for (int i = 0; i < 2; i++)
        host_teardown(w, i);
}

bool world_run(struct world *w, uint64_t seed, bool trace)
{
    *w = (struct world){.seed = seed, .trace = trace, .check_every = 1};
    rand_seed(&w->rand, seed);
    setup(w);
    world_play(w);
    return !w->fault[0];
}
