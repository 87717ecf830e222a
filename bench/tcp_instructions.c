/* tcp_instructions.c: the stack's work in countable steps, for callgrind (bench/instructions.py runs it).
 *
 *     tcp_instructions STEPS
 *
 * Two connections of ours, joined by their segment structs alone: no port, no IP, no checksum.  Each measured step is a
 * function of its own name, so that callgrind can count inside it and nowhere else.
 */
#include "engine/base/pkt.h"
#include "engine/tcp/tcb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP __attribute__((noclone)) noinline void /* callgrind knows it by its name */

#define POOL_PACKETS 4096u
#define MSS          1448u
#define WIRE_MAX     64u
#define FLIGHT       12u /* segments: a TLS record of 16 kB */

struct wire {
    struct tcp_segment segment[WIRE_MAX];
    unsigned count;
};

struct end {
    struct tcb tcb;
    struct wire out; /* what it has sent and the other has not taken yet */
    struct tcp_train train;
};

static struct pkt_pool *pool;
static struct stats stats;
static struct tcp_config config;
static uint64_t now_us = 1000000;

static bool put_on_wire(void *ctx, const struct tcp_segment *seg)
{
    struct wire *wire = ctx;
    if (wire->count == WIRE_MAX)
        return false;
    wire->segment[wire->count] = *seg;
    if (seg->pkt)
        pkt_ref(seg->pkt);
    wire->count++;
    return true;
}

static bool refuse(void *ctx, const struct tcp_segment *seg)
{
    (void)ctx, (void)seg;
    return false;
}

static void output(struct end *end)
{
    const struct tcp_emit emit = {.ctx = &end->out, .emit = put_on_wire};
    tcp_output(&end->tcb, now_us, &emit);
}

/* Gives everything that one end has sent to the other. */
static void deliver(struct end *from, struct end *to)
{
    struct wire taken = from->out;
    from->out.count = 0;
    for (unsigned i = 0; i < taken.count; i++) {
        tcp_input(&to->tcb, &taken.segment[i], now_us);
        if (taken.segment[i].pkt)
            pkt_free(taken.segment[i].pkt);
    }
}

static struct tcp_open opening(uint16_t local, uint16_t remote)
{
    return (struct tcp_open){.config = &config,
                             .pool = pool,
                             .stats = &stats,
                             .local_port = local,
                             .remote_port = remote,
                             .isn = 1000u * local};
}

static void take_all(struct end *end)
{
    size_t len;
    while (tcp_read_peek(&end->tcb, &len))
        tcp_read_consume(&end->tcb, len);
}

/* ---- the steps ---- */

STEP step_set_up_and_tear_down(struct end *a, struct end *b);
STEP step_send_segment(struct end *a);
STEP step_send_flight(struct end *a);
STEP step_receive_segment(struct end *b, const struct tcp_segment *seg);
STEP step_process_ack(struct end *a, const struct tcp_segment *seg);
STEP step_process_ack_of_flight(struct end *a, const struct tcp_segment *seg);

static void set_up(struct end *a, struct end *b)
{
    struct tcp_open open_a = opening(2000, 25), open_b = opening(25, 2000);
    tcp_open_active(&a->tcb, &open_a, now_us);
    output(a);
    tcp_open_passive(&b->tcb, &open_b, &a->out.segment[0], now_us);
    a->out.count = 0;
    output(b);
    deliver(b, a);
    output(a);
    deliver(a, b);
}

/* Both ends of one connection: SYN to the last ACK. */
STEP step_set_up_and_tear_down(struct end *a, struct end *b)
{
    set_up(a, b);
    tcp_close(&a->tcb, now_us);
    output(a);
    deliver(a, b);
    tcp_close(&b->tcb, now_us);
    output(b);
    deliver(b, a);
    output(a);
    deliver(a, b);
    tcp_events(&a->tcb);
    tcp_events(&b->tcb);
    tcp_release(&a->tcb);
    tcp_release(&b->tcb);
}

static void write_segments(struct end *a, unsigned count)
{
    while (count--) {
        size_t room;
        uint8_t *out = tcp_write_reserve(&a->tcb, &room);
        if (!out)
            abort();
        tcp_write_commit(&a->tcb, room);
    }
}

STEP step_send_segment(struct end *a)
{
    write_segments(a, 1);
    output(a);
    (void)tcp_next_deadline(&a->tcb);
}

/* Who takes a train is not TCP: it goes on the wire behind the step. */
static uint32_t keep_train(void *ctx, const struct tcp_train *train)
{
    struct end *end = ctx;
    end->train = *train;
    return train->count;
}

STEP step_send_flight(struct end *a)
{
    const struct tcp_emit emit = {.ctx = a, .emit = refuse, .train = keep_train};
    write_segments(a, FLIGHT);
    tcp_output(&a->tcb, now_us, &emit);
    (void)tcp_next_deadline(&a->tcb);
}

static void receive_segment(struct end *b, const struct tcp_segment *seg)
{
    size_t len;
    tcp_input(&b->tcb, seg, now_us);
    tcp_read_peek(&b->tcb, &len);
    tcp_read_consume(&b->tcb, len);
    (void)tcp_events(&b->tcb);
    (void)tcp_next_deadline(&b->tcb);
}

STEP step_receive_segment(struct end *b, const struct tcp_segment *seg)
{
    receive_segment(b, seg);
}

static void process_ack(struct end *a, const struct tcp_segment *seg)
{
    tcp_input(&a->tcb, seg, now_us);
    (void)tcp_events(&a->tcb);
    (void)tcp_next_deadline(&a->tcb);
}

STEP step_process_ack(struct end *a, const struct tcp_segment *seg)
{
    process_ack(a, seg);
}

STEP step_process_ack_of_flight(struct end *a, const struct tcp_segment *seg)
{
    process_ack(a, seg);
}

/* ---- a run ---- */

/* The receiver's packet is its own, as behind a port. */
static struct tcp_segment as_received(const struct tcp_segment *sent)
{
    struct tcp_segment arrived = *sent;
    arrived.pkt = pkt_alloc(pool, PKT_CONTROL);
    if (!arrived.pkt)
        abort();
    arrived.payload = arrived.pkt->data;
    memcpy(arrived.payload, sent->payload, sent->len);
    arrived.pkt->len = (uint16_t)sent->len;
    pkt_free(sent->pkt);
    return arrived;
}

/* What a has sent reaches b, which answers with one ACK when nothing more comes. */
static struct tcp_segment receive_all(struct end *a, struct end *b,
                                      void (*receive)(struct end *, const struct tcp_segment *))
{
    struct wire data = a->out;
    a->out.count = 0;
    for (unsigned i = 0; i < data.count; i++) {
        struct tcp_segment arrived = as_received(&data.segment[i]);
        receive(b, &arrived);
        pkt_free(arrived.pkt);
    }
    now_us += config.delayed_ack_us + 1;
    tcp_timers(&b->tcb, now_us);
    output(b);
    if (b->out.count != 1)
        abort();
    b->out.count = 0;
    return b->out.segment[0];
}

/* One full segment from a to b and what acknowledges it, step by step; then a flight of them. */
static void exchange(struct end *a, struct end *b)
{
    step_send_segment(a);
    struct tcp_segment ack = receive_all(a, b, step_receive_segment);
    step_process_ack(a, &ack);
    step_send_flight(a);
    if (tcp_train_each(&a->train, put_on_wire, &a->out) != FLIGHT)
        abort();
    ack = receive_all(a, b, receive_segment);
    step_process_ack_of_flight(a, &ack);
}

int main(int argc, char **argv)
{
    static struct end a, b;
    unsigned steps = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    config = tcp_config_default();
    config.initial_cwnd = 2 * FLIGHT;
    pool = pkt_heap_pool_open(POOL_PACKETS, 16, 2048);
    if (!pool)
        return 1;
    for (unsigned i = 0; i < steps; i++) {
        pkt_pool_refresh(pool);
        step_set_up_and_tear_down(&a, &b);
        now_us += 1000;
    }
    set_up(&a, &b);
    for (unsigned i = 0; i < steps; i++) {
        pkt_pool_refresh(pool);
        exchange(&a, &b);
        if (tcp_unacked_bytes(&a.tcb) != 0) {
            fprintf(stderr, "step %u: %zu bytes are not acknowledged\n", i, tcp_unacked_bytes(&a.tcb));
            return 1;
        }
    }
    take_all(&b);
    printf("%u steps\n", steps);
    return 0;
}
