/* host.c: one end: a connection, its port and an application that writes, reads and closes as the seed says. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define APP_IDLE_MAX_US 500000u
#define HEADER_JUNK     100u /* bytes of the headroom that a port writes over */

static uint32_t draw(struct world *w, uint32_t from, uint32_t to)
{
    return from + rand_below(&w->rand, to - from + 1);
}

/* The byte at an offset of host i's stream: every misplaced one shows. */
static uint8_t stream_byte(const struct world *w, int i, uint64_t offset)
{
    uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15u + w->seed * 2 + (uint64_t)i;
    return (uint8_t)(x >> 56 ^ x >> 29);
}

static void trace(const struct world *w, int i, const char *what, const struct tcp_segment *s)
{
    const struct tcb *t = &w->host[i].tcb;
    printf("# %12.6f host %d %-6s", (double)w->now_us / 1e6, i, what);
    if (s) {
        static const char letters[] = "FSRPAUEW";
        char flags[9] = "", *f = flags;
        for (unsigned b = 0; b < 8; b++)
            if (s->flags & 1u << b)
                *f++ = letters[b];
        *f = 0;
        printf(" %-3s seq %u len %u ack %u win %u", flags, s->seq, s->len, s->ack, s->window);
        for (unsigned n = 0; n < s->opt.sack_blocks; n++)
            printf(" sack %u:%u", s->opt.sack[n].start, s->opt.sack[n].end);
    }
    printf("  | %s una %u nxt %u wnd %u rcv %u+%u cwnd %u pipe %u out %u lost %u rec %u\n",
           tcp_state_name(t->state), t->snd_una, t->snd_nxt, t->snd_wnd, t->rcv_nxt, t->rcv_wnd, t->cc.cwnd,
           recovery_pipe(t), t->txq.out, t->txq.lost, t->recovery);
}

/* ---- set-up ---- */

static void draw_config(struct world *w, struct host *h)
{
    struct tcp_config *c = &h->config;
    *c = tcp_config_default();
    c->mss = rand_below(&w->rand, 2) ? 1460 : draw(w, 88, 1460);
    c->send_buffer_bytes = rand_below(&w->rand, 3) ? draw(w, 1, 64) << 10 : draw(w, 1, 8192);
    c->recv_buffer_bytes = rand_below(&w->rand, 3) ? draw(w, 1, 256) << 10 : draw(w, 1, 8192);
    c->recv_packets = (uint16_t)draw(w, 2, 128);
    c->initial_cwnd = draw(w, 1, 10);
    c->rto_max_us = 10000000;
    c->syn_retries = UINT32_MAX;
    c->connect_timeout_us = c->user_timeout_us = c->fin_wait_2_us = UINT32_MAX;
    c->time_wait_us = draw(w, 1000000, 60000000);
    if (rand_below(&w->rand, 3) == 0) { /* on a path that lives nobody is given up, however much is lost */
        c->keepalive_us = draw(w, 1, 20) * 1000000ull;
        c->keepalive_interval_us = draw(w, 100000, 10000000);
        c->keepalive_probes = UINT32_MAX;
    }
    c->mtu_probing = rand_below(&w->rand, 4) ? TCP_MTU_PROBING_BLACK_HOLE : TCP_MTU_PROBING_ALWAYS;
    c->timestamps = rand_below(&w->rand, 4) != 0;
    c->pacing = rand_below(&w->rand, 2);
    c->sack = rand_below(&w->rand, 4) != 0;
    c->window_scaling = rand_below(&w->rand, 4) != 0;
    c->cc = rand_below(&w->rand, 2) ? &tcp_cc_cubic : &tcp_cc_reno;
    c->ecn = rand_below(&w->rand, 2) ? TCP_ECN_ON : (uint8_t)rand_below(&w->rand, 2);
}

void host_setup(struct world *w, int i)
{
    struct host *h = &w->host[i];
    draw_config(w, h);
    h->tx = pkt_heap_pool_open(draw(w, 8, 128), 4, 2048);
    h->rx = pkt_heap_pool_open(draw(w, 8, 128), 0, 2048);
    if (!h->tx || !h->rx)
        abort();
    h->isn = rand_below(&w->rand, 3) ? (uint32_t)rand_u64(&w->rand) : 0u - draw(w, 0, 100000);
    static const uint32_t sizes[] = {0, 1, 1000, 30000, 300000};
    h->to_write = rand_below(&w->rand, sizes[rand_below(&w->rand, ARRAY_LEN(sizes))] + 1);
    h->idle_us = h->app_us = draw(w, 100, 200000);
    h->write_max = rand_below(&w->rand, 2) ? draw(w, 1, 3000) : draw(w, 1, 65536);
    h->read_max = rand_below(&w->rand, 2) ? draw(w, 100, 3000) : 1 << 20;
    h->refuse_ppm = rand_below(&w->rand, 4) ? 0 : draw(w, 0, 200000);
    h->closes_first = rand_below(&w->rand, 2);
    h->abort_us = DEADLINE_NEVER;
    h->timer_at_us = DEADLINE_NEVER;
}

void host_open(struct world *w, int i, const struct tcp_segment *syn)
{
    struct host *h = &w->host[i];
    struct tcp_open open = {
        .config = &h->config,
        .pool = h->tx,
        .stats = &h->stats,
        .local_port = (uint16_t)(1000 + i),
        .remote_port = (uint16_t)(1000 + !i),
        .isn = h->isn,
        .ts_offset = (uint32_t)rand_u64(&w->rand),
    };
    if (syn)
        tcp_open_passive(&h->tcb, &open, syn, w->now_us);
    else
        tcp_open_active(&h->tcb, &open, w->now_us);
    h->open = h->was_open = true;
    host_settle(w, i);
}

/* ---- sending ---- */

struct emitter {
    struct world *w;
    int i;
};

/* A port holds a packet for a while after it has been told to send it: until then it is shared. */
static void hold_until_sent(struct world *w, int i, struct pkt *p)
{
    pkt_ref(p);
    w->host[i].txdone_pending++;
    events_push(&w->events, (struct event){.at_us = w->now_us + rand_below(&w->rand, 2000),
                                           .kind = EVENT_TXDONE,
                                           .host = i,
                                           .data = p});
}

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct emitter *e = ctx;
    struct host *h = &e->w->host[e->i];
    uint8_t bytes[TCP_HEADER_MAX + 65536];
    if (rand_ppm(&e->w->rand, h->refuse_ppm))
        return false;
    if (e->w->trace)
        trace(e->w, e->i, "sends", seg);
    if (tcp_header_bytes(seg) + seg->len > h->tcb.our_mss + TCP_HEADER_MIN && h->tcb.our_mss > 64)
        world_fault(e->w, "host %d: a segment of %u bytes and options is larger than the MSS", e->i,
                    seg->len);
    /* RFC 3168 sections 6.1.1 to 6.1.5: only new data */
    if (seg->ip_ecn && (seg->len == 0 || seg->pkt->tcp.sends > 0))
        world_fault(e->w, "host %d: marks what is not new data", e->i);
    size_t header = tcp_header_emit(bytes, seg);
    if (seg->len > 0) {
        memcpy(bytes + header, seg->payload, seg->len);
        if (!pkt_shared(seg->pkt)) /* headers go in front of the payload */
            memset(seg->payload - HEADER_JUNK, 0xee, HEADER_JUNK);
        hold_until_sent(e->w, e->i, seg->pkt);
    }
    path_send(e->w, e->i, bytes, (uint32_t)(header + seg->len), seg);
    return true;
}

/* ---- the application ---- */

static void app_write(struct world *w, int i)
{
    struct host *h = &w->host[i];
    uint64_t want = min_u64(1 + rand_below(&w->rand, h->write_max), h->to_write - h->written);
    size_t room;
    for (uint8_t *at; want > 0 && (at = tcp_write_reserve(&h->tcb, &room));) {
        size_t n = min_size(room, (size_t)want);
        for (size_t k = 0; k < n; k++)
            at[k] = stream_byte(w, i, h->written + k);
        tcp_write_commit(&h->tcb, n);
        h->written += n;
        want -= n;
    }
}

static void app_read(struct world *w, int i)
{
    struct host *h = &w->host[i];
    size_t left = 1 + rand_below(&w->rand, h->read_max), len;
    for (uint8_t *at; left > 0 && (at = tcp_read_peek(&h->tcb, &len));) {
        len = min_size(len, left);
        for (size_t k = 0; k < len; k++)
            if (at[k] != stream_byte(w, !i, h->read + k)) {
                world_fault(w, "host %d read a wrong byte at offset %llu", i,
                            (unsigned long long)(h->read + k));
                return;
            }
        h->read += len;
        left -= len;
        w->last_progress_us = w->last_byte_us = w->now_us;
        tcp_read_consume(&h->tcb, len);
    }
}

static bool app_wants_close(const struct host *h)
{
    size_t len;
    bool all_written = h->written == h->to_write;
    bool peer_ended = h->saw_fin && !tcp_read_peek((struct tcb *)&h->tcb, &len);
    return h->saw_connected && all_written && (h->closes_first || peer_ended);
}

void host_act(struct world *w, int i)
{
    struct host *h = &w->host[i];
    if (!h->open)
        return;
    pkt_pool_refresh(h->tx);
    pkt_pool_refresh(h->rx);
    if (w->now_us >= h->abort_us && !h->aborted) {
        h->aborted = true;
        tcp_abort(&h->tcb, w->now_us);
    }
    uint64_t before = h->read + h->written;
    app_read(w, i);
    if (!h->aborted && !h->closed_asked && tcp_error(&h->tcb) == TCP_OK) {
        app_write(w, i);
        if (app_wants_close(h)) {
            h->closed_asked = true;
            tcp_close(&h->tcb, w->now_us);
        }
    }
    host_settle(w, i);
    h->idle_us = h->read + h->written != before ? h->app_us : min_u32(2 * h->idle_us, APP_IDLE_MAX_US);
    if (h->open)
        events_push(&w->events, (struct event){.at_us = w->now_us + 1 + rand_below(&w->rand, 2 * h->idle_us),
                                               .kind = EVENT_APP,
                                               .host = i});
}

/* ---- arriving ---- */

/* What net/ does with a segment of no connection (RFC 9293 section 3.10.7.1). */
static void answer_nobody(struct world *w, int i, const struct tcp_segment *seg)
{
    uint8_t bytes[TCP_HEADER_MAX];
    if (seg->flags & TCP_RST)
        return;
    struct tcp_segment rst = {.src_port = seg->dst_port, .dst_port = seg->src_port, .flags = TCP_RST};
    if (seg->flags & TCP_ACK) {
        rst.seq = seg->ack;
    } else {
        rst.flags |= TCP_ACK;
        rst.ack = seg->seq + seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN);
    }
    size_t len = tcp_header_emit(bytes, &rst);
    path_send(w, i, bytes, (uint32_t)len, &rst);
}

static void dispatch(struct world *w, int i, const struct tcp_segment *seg)
{
    struct host *h = &w->host[i];
    if (w->trace)
        trace(w, i, "gets", seg);
    if (h->open)
        tcp_input(&h->tcb, seg, w->now_us);
    else if (!h->was_open && (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
        host_open(w, i, seg);
    else
        answer_nobody(w, i, seg);
}

void host_receive(struct world *w, int i, const uint8_t *bytes, uint32_t len, uint8_t ip_ecn)
{
    struct host *h = &w->host[i];
    pkt_pool_refresh(h->tx);
    pkt_pool_refresh(h->rx);
    struct pkt *pkt = pkt_alloc(h->rx, PKT_DATA);
    if (!pkt) /* as a port without buffers: dropped */
        return;
    memcpy(pkt->data, bytes, len);
    pkt->len = (uint16_t)len;
    struct tcp_segment seg;
    if (!tcp_segment_parse(&seg, pkt->data, len)) {
        world_fault(w, "host %d: cannot parse what the other one sent", i);
    } else {
        seg.pkt = pkt;
        seg.ip_ecn = ip_ecn;
        dispatch(w, i, &seg);
    }
    pkt_free(pkt);
    if (h->open)
        host_settle(w, i);
}

void host_timer(struct world *w, int i)
{
    struct host *h = &w->host[i];
    h->timer_at_us = DEADLINE_NEVER;
    if (!h->open)
        return;
    pkt_pool_refresh(h->tx);
    tcp_timers(&h->tcb, w->now_us);
    host_settle(w, i);
}

/* ---- after every step ---- */

static void note_events(struct world *w, int i)
{
    struct host *h = &w->host[i];
    unsigned events = tcp_events(&h->tcb);
    if (events & (TCP_EV_CONNECTED | TCP_EV_PEER_FIN | TCP_EV_CLOSED | TCP_EV_TIME_WAIT))
        w->last_progress_us = w->now_us;
    if ((events & TCP_EV_CONNECTED) && h->saw_connected)
        world_fault(w, "host %d connected twice", i);
    if ((events & TCP_EV_PEER_FIN) && h->saw_fin)
        world_fault(w, "host %d saw two FINs", i);
    h->saw_connected |= !!(events & TCP_EV_CONNECTED);
    h->saw_fin |= !!(events & TCP_EV_PEER_FIN);
    h->saw_closed |= !!(events & TCP_EV_CLOSED);
    if ((tcp_state(&h->tcb) == TCP_CLOSED) != h->saw_closed)
        world_fault(w, "host %d: state and event disagree about the end", i);
}

/* A closed connection is released once its bytes have been read, or will not be. */
static void release_if_over(struct world *w, int i)
{
    struct host *h = &w->host[i];
    size_t len;
    if (!h->saw_closed)
        return;
    if (tcp_read_peek(&h->tcb, &len) && !h->aborted && tcp_error(&h->tcb) == TCP_OK)
        return;
    tcp_release(&h->tcb);
    h->open = false;
}

void host_settle(struct world *w, int i)
{
    struct host *h = &w->host[i];
    struct emitter e = {.w = w, .i = i};
    pkt_pool_refresh(h->tx);
    bool check = w->steps % w->check_every == 0;
    if (check)
        tcb_check(&h->tcb);
    h->retry = !tcp_output(&h->tcb, w->now_us, &(struct tcp_emit){.ctx = &e, .emit = emit});
    if (check)
        tcb_check(&h->tcb);
    note_events(w, i);
    release_if_over(w, i);
    if (!h->open)
        return;
    uint64_t next = tcp_next_deadline(&h->tcb);
    if (h->retry)
        next = min_u64(next, w->now_us + 1000);
    if (next == DEADLINE_NEVER || next >= h->timer_at_us)
        return;
    h->timer_at_us = max_u64(next, w->now_us);
    events_push(&w->events, (struct event){.at_us = h->timer_at_us, .kind = EVENT_TIMER, .host = i});
}

bool host_done(const struct host *h)
{
    return h->was_open && !h->open && h->txdone_pending == 0;
}

void host_teardown(struct world *w, int i)
{
    struct host *h = &w->host[i];
    if (h->open)
        tcp_release(&h->tcb);
    if (h->tx->ops->available(h->tx) != h->tx->capacity || h->rx->ops->available(h->rx) != h->rx->capacity) {
        world_fault(w, "host %d: %u of %u and %u of %u packets came back", i, h->tx->ops->available(h->tx),
                    h->tx->capacity, h->rx->ops->available(h->rx), h->rx->capacity);
        return;
    }
    pkt_heap_pool_close(h->tx);
    pkt_heap_pool_close(h->rx);
}
