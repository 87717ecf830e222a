/* fuzz_tcp_actor.c: two connections with tiny buffers, driven by a program of operations.
 *
 * The input chooses who writes, reads and closes, which segment in flight arrives next, which one is lost or comes
 * twice, and when time passes.  Whatever it does, bytes arrive once and in order; then the path becomes perfect and both
 * ends must finish, unless one was aborted.
 */
#include "engine/tcp/tcb.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#define FLIGHT_MAX   64u
#define OPS_MAX      2000u
#define FINISH_TURNS 20000u
#define WAIT_MAX_US  10000000u /* a program may not sleep through FIN_WAIT_2, which ends in an error rightly */

struct flying {
    uint8_t bytes[TCP_HEADER_MAX + 256];
    uint32_t len;
    uint8_t ip_ecn;
    unsigned to;
};

struct side {
    struct tcp_config config;
    struct stats stats;
    struct pkt_pool *tx, *rx;
    struct tcb tcb;
    bool open;
    uint32_t written, read;
    uint32_t refuse;
};

struct actor {
    struct bytes_in in;
    struct side side[2];
    struct flying flight[FLIGHT_MAX]; /* oldest first; what does not fit is lost */
    unsigned flying;
    uint64_t now_us;
    bool aborted;
};

struct emitter {
    struct actor *a;
    unsigned from;
};

static void require(bool ok)
{
    if (!ok)
        abort();
}

static uint8_t byte_at(unsigned from, uint32_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8) + from);
}

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct emitter *e = ctx;
    struct side *s = &e->a->side[e->from];
    if (s->refuse > 0) {
        s->refuse--;
        return false;
    }
    if (e->a->flying == FLIGHT_MAX)
        return true;
    struct flying *f = &e->a->flight[e->a->flying++];
    size_t header = tcp_header_emit(f->bytes, seg);
    require(header + seg->len <= sizeof(f->bytes));
    if (seg->len)
        memcpy(f->bytes + header, seg->payload, seg->len);
    f->len = (uint32_t)(header + seg->len);
    f->to = !e->from;
    f->ip_ecn = seg->ip_ecn;
    require(!seg->ip_ecn || (seg->len > 0 && seg->pkt->tcp.sends == 0));
    return true;
}

static void settle(struct actor *a, unsigned i)
{
    struct side *s = &a->side[i];
    struct emitter e = {.a = a, .from = i};
    if (!s->open)
        return;
    pkt_pool_refresh(s->tx);
    pkt_pool_refresh(s->rx);
    tcb_check(&s->tcb);
    tcp_output(&s->tcb, a->now_us, &(struct tcp_emit){.ctx = &e, .emit = emit});
    tcb_check(&s->tcb);
    (void)tcp_events(&s->tcb);
}

static void open_side(struct actor *a, unsigned i, const struct tcp_segment *syn)
{
    struct side *s = &a->side[i];
    struct tcp_open open = {
        .config = &s->config,
        .pool = s->tx,
        .stats = &s->stats,
        .isn = i ? 0xffffffc0u : 77,
    };
    if (syn)
        tcp_open_passive(&s->tcb, &open, syn, a->now_us);
    else
        tcp_open_active(&s->tcb, &open, a->now_us);
    s->open = true;
    settle(a, i);
}

/* ---- operations ---- */

/* What net/ does for a connection that is no more (RFC 9293 section 3.10.7.1). */
static void answer_nobody(struct actor *a, unsigned i, const struct tcp_segment *seg)
{
    struct emitter e = {.a = a, .from = i};
    if (!(seg->flags & TCP_RST) && (seg->flags & TCP_ACK))
        emit(&e, &(struct tcp_segment){.flags = TCP_RST, .seq = seg->ack});
}

static void arrive(struct actor *a, const struct flying *f)
{
    struct side *s = &a->side[f->to];
    struct tcp_segment seg;
    pkt_pool_refresh(s->rx);
    struct pkt *p = pkt_alloc(s->rx, PKT_DATA);
    if (!p)
        return;
    memcpy(p->data, f->bytes, f->len);
    require(tcp_segment_parse(&seg, p->data, f->len));
    seg.pkt = p;
    seg.ip_ecn = f->ip_ecn;
    if (s->open && tcp_state(&s->tcb) == TCP_CLOSED)
        answer_nobody(a, f->to, &seg);
    else if (s->open)
        tcp_input(&s->tcb, &seg, a->now_us);
    else if ((seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
        open_side(a, f->to, &seg);
    pkt_free(p);
    settle(a, f->to);
}

static struct flying take(struct actor *a, unsigned i)
{
    struct flying f = a->flight[i];
    memmove(&a->flight[i], &a->flight[i + 1], (--a->flying - i) * sizeof(f));
    return f;
}

static void deliver(struct actor *a, unsigned i, bool keep)
{
    if (a->flying == 0)
        return;
    i %= a->flying;
    struct flying f = keep ? a->flight[i] : take(a, i);
    arrive(a, &f);
}

static void write_some(struct actor *a, unsigned i, size_t left)
{
    struct side *s = &a->side[i];
    size_t room;
    if (!s->open)
        return;
    for (uint8_t *at; left > 0 && (at = tcp_write_reserve(&s->tcb, &room));) {
        room = min_size(room, left);
        for (size_t k = 0; k < room; k++)
            at[k] = byte_at(i, s->written++);
        tcp_write_commit(&s->tcb, room);
        left -= room;
    }
    settle(a, i);
}

static void read_some(struct actor *a, unsigned i, size_t left)
{
    struct side *s = &a->side[i];
    size_t len;
    if (!s->open)
        return;
    for (uint8_t *at; left > 0 && (at = tcp_read_peek(&s->tcb, &len));) {
        len = min_size(len, left);
        for (size_t k = 0; k < len; k++)
            require(at[k] == byte_at(!i, s->read++));
        tcp_read_consume(&s->tcb, len);
        left -= len;
    }
    settle(a, i);
}

static uint64_t next_deadline(const struct actor *a)
{
    uint64_t next = DEADLINE_NEVER;
    for (unsigned i = 0; i < 2; i++)
        if (a->side[i].open)
            next = min_u64(next, tcp_next_deadline(&a->side[i].tcb));
    return next;
}

static void pass_time(struct actor *a, uint64_t to_us)
{
    a->now_us = max_u64(a->now_us, to_us);
    for (unsigned i = 0; i < 2; i++)
        if (a->side[i].open) {
            tcp_timers(&a->side[i].tcb, a->now_us);
            settle(a, i);
        }
}

static void end(struct actor *a, unsigned i, bool abort_it)
{
    struct side *s = &a->side[i];
    if (!s->open)
        return;
    if (abort_it) {
        a->aborted = true;
        tcp_abort(&s->tcb, a->now_us);
    } else if (tcp_state(&s->tcb) >= TCP_ESTABLISHED) {
        tcp_close(&s->tcb, a->now_us);
    }
    settle(a, i);
}

static void operate(struct actor *a)
{
    uint8_t op = bytes_u8(&a->in), arg = bytes_u8(&a->in);
    unsigned i = op >> 7;
    switch (op & 15) {
    case 0:
    case 1:
    case 2: deliver(a, 0, false); break;
    case 3: deliver(a, arg, false); break;
    case 4: deliver(a, arg, true); break;
    case 5:
        if (a->flying > 0)
            (void)take(a, arg % a->flying);
        break;
    case 6:
    case 7: write_some(a, i, arg * 4u); break;
    case 8:
    case 9: read_some(a, i, arg * 2u); break;
    case 10: pass_time(a, a->now_us + arg * 10000ull); break;
    case 11:
        if (next_deadline(a) < a->now_us + WAIT_MAX_US)
            pass_time(a, next_deadline(a));
        break;
    case 12: a->side[i].refuse = arg % 8; break;
    case 13:
        if (arg < 100 && a->flying > 0 && a->flight[arg % a->flying].ip_ecn)
            a->flight[arg % a->flying].ip_ecn = IP_ECN_CE;
        if (arg > 200)
            end(a, i, arg > 250);
        break;
    default: a->now_us += arg; break;
    }
}

/* ---- the end: a perfect path ---- */

static bool over(const struct actor *a)
{
    for (unsigned i = 0; i < 2; i++)
        if (!a->side[i].open || tcp_state(&a->side[i].tcb) != TCP_CLOSED)
            return false;
    return true;
}

static void finish(struct actor *a)
{
    if (a->aborted)
        return;
    for (unsigned turn = 0; turn < FINISH_TURNS && !over(a); turn++) {
        for (unsigned i = 0; i < 2; i++) {
            a->side[i].refuse = 0;
            settle(a, i);
            read_some(a, i, SIZE_MAX);
            end(a, i, false);
        }
        if (a->flying > 0)
            deliver(a, 0, false);
        else if (next_deadline(a) != DEADLINE_NEVER)
            pass_time(a, next_deadline(a));
    }
    require(over(a));
    for (unsigned i = 0; i < 2; i++) {
        read_some(a, i, SIZE_MAX); /* the program may have ended both before anybody read */
        require(tcp_error(&a->side[i].tcb) == TCP_OK);
        require(a->side[i].read == a->side[!i].written);
    }
}

static void set_up(struct actor *a, unsigned i, uint8_t options)
{
    struct side *s = &a->side[i];
    s->config = tcp_config_default();
    s->config.mss = 100;
    s->config.send_buffer_bytes = 1000;
    s->config.recv_buffer_bytes = options & 1 ? 300 : 2000;
    s->config.recv_packets = options & 2 ? 4 : 32;
    s->config.initial_cwnd = options & 4 ? 1 : 10;
    s->config.timestamps = options & 8;
    s->config.sack = options & 16;
    s->config.window_scaling = options & 32;
    s->config.cc = options & 64 ? &tcp_cc_reno : &tcp_cc_cubic;
    s->config.ecn = options & 128 ? TCP_ECN_ON : TCP_ECN_ACCEPT;
    s->config.pacing = options & 1;
    s->config.rto_max_us = 5000000;
    s->config.time_wait_us = 100000000;
    s->config.syn_retries = UINT32_MAX;
    s->config.connect_timeout_us = s->config.user_timeout_us = s->config.fin_wait_2_us = UINT32_MAX;
    s->tx = pkt_heap_pool_open(12, 2, PKT_HEADROOM + 128);
    s->rx = pkt_heap_pool_open(12, 0, PKT_HEADROOM + 256);
    require(s->tx && s->rx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct actor a;
    a = (struct actor){.in = bytes_in(data, size), .now_us = 1000000};
    for (unsigned i = 0; i < 2; i++)
        set_up(&a, i, bytes_u8(&a.in));
    open_side(&a, 0, NULL);
    for (unsigned n = 0; n < OPS_MAX && bytes_left(&a.in) > 0; n++)
        operate(&a);
    finish(&a);
    for (unsigned i = 0; i < 2; i++) {
        if (a.side[i].open)
            tcp_release(&a.side[i].tcb);
        pkt_heap_pool_close(a.side[i].tx);
        pkt_heap_pool_close(a.side[i].rx);
    }
    return 0;
}
