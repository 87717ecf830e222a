/* fuzz_tcp_input.c: a connection in every state meets any segment.
 *
 * The first bytes choose options and state; then come operations: segments whose numbers are near or far from those that
 * count, options as raw bytes or SACK blocks that fit, ICMP, time, and what an application does meanwhile.
 */
#include "engine/tcp/tcb.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#define OPS_MAX 400u

struct fuzz {
    struct bytes_in in;
    struct tcp_config config;
    struct stats stats;
    struct pkt_pool *pool;
    struct tcb tcb;
    uint64_t now_us;
    uint32_t refuse; /* emits */
};

static void require(bool ok)
{
    if (!ok)
        abort();
}

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct fuzz *f = ctx;
    uint8_t header[TCP_HEADER_MAX];
    if (f->refuse > 0) {
        f->refuse--;
        return false;
    }
    require(tcp_header_emit(header, seg) + seg->len <= TCP_HEADER_MIN + max_u32(f->tcb.our_mss, 64));
    /* RFC 3168 sections 6.1.1 to 6.1.5: only what leaves for the first time is marked */
    require(!seg->ip_ecn || (seg->len > 0 && f->tcb.ecn_on && seg->pkt->tcp.sends == 0));
    require(seg->len == 0 || (seg->pkt && seg->payload >= seg->pkt->buf + PKT_HEADROOM &&
                              seg->payload + seg->len <= seg->pkt->buf + seg->pkt->cap));
    return true;
}

static void settle(struct fuzz *f)
{
    pkt_pool_refresh(f->pool);
    tcb_check(&f->tcb);
    tcp_output(&f->tcb, f->now_us, &(struct tcp_emit){.ctx = f, .emit = emit});
    tcb_check(&f->tcb);
    (void)tcp_events(&f->tcb);
}

/* ---- segments ---- */

static void give(struct fuzz *f, struct tcp_segment *seg)
{
    pkt_pool_refresh(f->pool);
    struct pkt *p = pkt_alloc(f->pool, PKT_DATA);
    if (!p)
        return;
    seg->len = min_u32(seg->len, (uint32_t)(p->cap - PKT_HEADROOM));
    memset(p->data, 0x55, seg->len);
    seg->payload = seg->len ? p->data : NULL;
    seg->pkt = p;
    tcp_input(&f->tcb, seg, f->now_us);
    pkt_free(p);
    settle(f);
}

static void put_be32(uint8_t *at, uint32_t v)
{
    struct bytes_out out = bytes_out(at, 4);
    bytes_put_be32(&out, v);
}

/* Any header at all: what the parser lets through is what tcp_input must bear. */
static void raw_segment(struct fuzz *f)
{
    uint8_t header[TCP_HEADER_MAX];
    struct tcp_segment seg;
    size_t len = min_size(bytes_left(&f->in), sizeof(header));
    if (len < TCP_HEADER_MIN)
        return;
    memcpy(header, bytes_take(&f->in, len), len);
    if (header[0] & 1) /* near: the two numbers are distances */
        put_be32(header + 4, f->tcb.rcv_nxt + (uint32_t)(int16_t)(header[4] << 8 | header[5]));
    if (header[0] & 2)
        put_be32(header + 8, f->tcb.snd_una + (uint32_t)(int16_t)(header[8] << 8 | header[9]));
    uint32_t payload = header[1] * 6u;
    if (!tcp_segment_parse(&seg, header, len))
        return;
    seg.len = payload;
    seg.ip_ecn = header[0] >> 2 & 3;
    give(f, &seg);
}

/* A segment that is plausible: an ACK near what is in flight, perhaps with SACK blocks and stamps. */
static void near_segment(struct fuzz *f)
{
    const struct tcb *t = &f->tcb;
    struct tcp_segment seg = {.flags = bytes_u8(&f->in)};
    uint8_t more = bytes_u8(&f->in);
    if (more & 3)
        seg.flags |= TCP_ACK;
    seg.ip_ecn = more >> 6;
    seg.seq = t->rcv_nxt + (uint32_t)(int8_t)bytes_u8(&f->in) * 16;
    seg.ack = t->snd_una + bytes_be16(&f->in) % (t->txq.out + 2);
    seg.window = bytes_be16(&f->in);
    seg.len = bytes_u8(&f->in) * 6u;
    seg.opt.sack_blocks = bytes_u8(&f->in) % (TCP_SACK_BLOCKS_MAX + 1);
    for (unsigned i = 0; i < seg.opt.sack_blocks; i++) {
        seg.opt.sack[i].start = t->snd_una + bytes_u8(&f->in) * 100u;
        seg.opt.sack[i].end = seg.opt.sack[i].start + bytes_u8(&f->in) * 100u;
    }
    seg.opt.has_timestamps = t->ts_on;
    seg.opt.ts_val = t->ts_recent + (uint32_t)(int8_t)bytes_u8(&f->in);
    seg.opt.ts_ecr = (uint32_t)(f->now_us / 1000) - bytes_u8(&f->in);
    give(f, &seg);
}

/* ---- the application and the clock ---- */

static void write_some(struct fuzz *f, size_t left)
{
    size_t room;
    for (uint8_t *at; left > 0 && (at = tcp_write_reserve(&f->tcb, &room));) {
        room = min_size(room, left);
        memset(at, 0xaa, room);
        tcp_write_commit(&f->tcb, room);
        left -= room;
    }
    settle(f);
}

static void read_some(struct fuzz *f, size_t left)
{
    size_t len;
    for (uint8_t *at; left > 0 && (at = tcp_read_peek(&f->tcb, &len));) {
        len = min_size(len, left);
        for (size_t i = 0; i < len; i++)
            require(at[i] == 0x55);
        tcp_read_consume(&f->tcb, len);
        left -= len;
    }
    settle(f);
}

static void wait(struct fuzz *f, uint64_t us)
{
    uint64_t next = tcp_next_deadline(&f->tcb);
    if (next != DEADLINE_NEVER && us == 0)
        f->now_us = max_u64(f->now_us, next);
    f->now_us += us;
    tcp_timers(&f->tcb, f->now_us);
    settle(f);
}

static void operate(struct fuzz *f)
{
    uint8_t op = bytes_u8(&f->in);
    switch (op % 12) {
    case 0: raw_segment(f); break;
    case 1:
    case 2:
    case 3:
    case 4: near_segment(f); break;
    case 5: write_some(f, bytes_be16(&f->in)); break;
    case 6: read_some(f, bytes_be16(&f->in)); break;
    case 7: wait(f, 0); break;
    case 8: wait(f, bytes_be16(&f->in) * 1000ull); break;
    case 9: f->refuse = bytes_u8(&f->in); break;
    case 10:
        tcp_icmp_error(&f->tcb, f->tcb.snd_una + bytes_u8(&f->in), op & 0x80, bytes_be16(&f->in), f->now_us);
        settle(f);
        break;
    default:
        if (op & 0x80)
            tcp_close(&f->tcb, f->now_us);
        if ((op & 0x70) == 0x70)
            tcp_abort(&f->tcb, f->now_us);
        settle(f);
    }
}

/* ---- into a state ---- */

static void simple(struct fuzz *f, uint8_t flags, bool ack_all)
{
    struct tcp_segment seg = {.flags = flags, .seq = f->tcb.rcv_nxt, .window = 20000};
    seg.ack = ack_all ? f->tcb.snd_nxt : f->tcb.snd_una;
    if (flags & TCP_SYN)
        seg.opt = (struct tcp_options){.has_mss = true,
                                       .mss = 600,
                                       .has_wscale = true,
                                       .wscale = 2,
                                       .sack_permitted = true,
                                       .has_timestamps = true,
                                       .ts_val = 1};
    seg.opt.has_timestamps |= f->tcb.ts_on;
    seg.opt.ts_val = max_u32(seg.opt.ts_val, f->tcb.ts_recent);
    give(f, &seg);
}

static void enter(struct fuzz *f, uint8_t state)
{
    bool reached = tcp_state(&f->tcb) == TCP_SYN_SENT;
    if (reached && state != TCP_SYN_SENT)
        simple(f, TCP_SYN | TCP_ACK | (f->config.sack ? TCP_ECE : 0), true);
    else if (state > TCP_SYN_RECEIVED)
        simple(f, TCP_ACK, true);
    if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK)
        simple(f, TCP_FIN | TCP_ACK, true);
    if (state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2 || state >= TCP_CLOSING)
        tcp_close(&f->tcb, f->now_us);
    settle(f);
    if (state == TCP_FIN_WAIT_2 || state == TCP_TIME_WAIT)
        simple(f, TCP_ACK, true);
    if (state == TCP_CLOSING)
        simple(f, TCP_FIN | TCP_ACK, false);
    if (state == TCP_TIME_WAIT)
        simple(f, TCP_FIN | TCP_ACK, true);
}

static void open_one(struct fuzz *f, uint8_t options, uint8_t state)
{
    f->config.timestamps = options & 1;
    f->config.sack = options & 2;
    f->config.window_scaling = options & 4;
    f->config.cc = options & 8 ? &tcp_cc_reno : &tcp_cc_cubic;
    if (options & 16)
        f->config.recv_buffer_bytes = 700;
    if (options & 32)
        f->config.recv_packets = 3;
    struct tcp_open open = {
        .config = &f->config,
        .pool = f->pool,
        .stats = &f->stats,
        .isn = options & 64 ? 0xffffff00u : 1000,
    };
    struct tcp_segment syn = {.flags = TCP_SYN | (options & 4 ? TCP_ECE | TCP_CWR : 0),
                              .seq = 0xfffffff0u,
                              .window = 5000,
                              .opt = {.sack_permitted = true}};
    if (options & 128 || state == TCP_SYN_RECEIVED)
        tcp_open_passive(&f->tcb, &open, &syn, f->now_us);
    else
        tcp_open_active(&f->tcb, &open, f->now_us);
    settle(f);
    enter(f, state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {.in = bytes_in(data, size), .config = tcp_config_default(), .now_us = 10000000};
    f.config.send_buffer_bytes = 8000;
    f.pool = pkt_heap_pool_open(24, 2, 1600);
    if (!f.pool)
        return 0;
    uint8_t options = bytes_u8(&f.in), state = bytes_u8(&f.in);
    f.config.ecn = state / (TCP_TIME_WAIT + 1) % 3;
    f.config.keepalive_us = state & 64 ? 1000000 : 0;
    state %= TCP_TIME_WAIT + 1;
    open_one(&f, options, state);
    for (unsigned i = 0; i < OPS_MAX && bytes_left(&f.in) > 0; i++)
        operate(&f);
    tcp_release(&f.tcb);
    pkt_heap_pool_close(f.pool); /* asserts that every packet is back */
    return 0;
}
