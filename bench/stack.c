#include "bench/stack.h"

#include "crypto/prf.h"
#include "engine/base/pool.h"
#include "engine/net/time_wait.h"
#include "engine/tcp/cookie.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_TIMER    2u
#define RETRY_US        1000u
#define STACK_BACKLOG   256u
#define RECEIVED_A_TURN 1024u
#define STREAMS_A_READ  16u

struct stack {
    uint64_t now_us;
    struct port *port;
    struct net *net;
    struct wheel wheel;
    struct pool streams;
    struct time_waits time_waits;
    struct list to_run, all;
    struct stats stats;
    struct prf *prf;
    struct tcp_cookies cookies;
    uint32_t half_open; /* in [0, config.backlog] */
    struct stack_config config;
    struct stack_events events;
};

static void mark(struct stack *stack, struct stream *stream)
{
    if (list_empty(&stream->run))
        list_push_tail(&stack->to_run, &stream->run);
}

void stack_wake(struct stream *stream)
{
    mark(stream->stack, stream);
}

/* ---- from net ---- */

static bool listens(const struct stack *stack, uint16_t port)
{
    return port != 0 && (port == stack->config.listen_port || port == stack->config.also_listen_port);
}

static void accept_syn(struct stack *stack, const struct flow_key *key, const struct tcp_segment *syn,
                       const struct tcp_time_wait *old);

/* A SYN that comes later than all of the connection before it takes its place. */
static void on_closed_flow(struct stack *stack, uint32_t flow, const struct tcp_segment *seg)
{
    struct flow_key key;
    struct tcp_time_wait old;
    if (listens(stack, seg->dst_port) && time_waits_reopen(&stack->time_waits, flow, seg, &key, &old))
        accept_syn(stack, &key, seg, &old);
    else
        time_waits_segment(&stack->time_waits, flow, seg, stack->now_us);
}

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct stream *stream = ctx;
    return net_send_segment(stream->stack->net, &stream->key, stream->flow, seg, stream->stack->now_us);
}

static bool output(struct stream *stream)
{
    const struct tcp_emit out = {.ctx = stream, .emit = emit};
    return tcp_output(&stream->tcb, stream->stack->now_us, &out);
}

static void on_segment(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct stack *stack = ctx;
    if (unlikely(time_waits_own(&stack->time_waits, flow))) {
        on_closed_flow(stack, flow, seg);
        return;
    }
    struct stream *stream = pool_at(&stack->streams, flow);
    (void)ip;
    tcp_input(&stream->tcb, seg, stack->now_us);
    if (unlikely(tcp_ack_is_full(&stream->tcb)))
        output(stream);
    mark(stack, stream);
}

static void on_icmp_error(void *ctx, uint32_t flow, const struct icmp *icmp)
{
    struct stack *stack = ctx;
    if (time_waits_own(&stack->time_waits, flow))
        return;
    struct stream *stream = pool_at(&stack->streams, flow);
    uint32_t mtu = icmp->kind == ICMP_FRAG_NEEDED ? icmp->mtu : 0;
    tcp_icmp_error(&stream->tcb, icmp->inner_seq, icmp->kind == ICMP_UNREACHABLE, mtu, stack->now_us);
    mark(stack, stream);
}

static void prepare(struct stack *stack, struct stream *stream, void *user)
{
    stream->stack = stack;
    stream->flow = pool_index(&stack->streams, stream);
    stream->half_open = stream->connected = stream->peer_done = stream->over = false;
    stream->opened_us = stack->now_us;
    stream->connected_us = 0;
    stream->user = user;
    list_init(&stream->run);
    list_init(&stream->all);
    wheel_timer_init(&stream->timer, STREAM_TIMER);
    memset(&stream->key, 0, sizeof(stream->key));
}

static struct tcp_open opening(struct stack *stack, const struct stream *stream)
{
    uint64_t hash = prf_u64(stack->prf, &stream->key, sizeof(stream->key));
    return (struct tcp_open){
        .config = &stack->config.tcp,
        .pool = stack->port->tx_pool,
        .stats = &stack->stats,
        .local_port = stream->key.local_port,
        .remote_port = stream->key.remote_port,
        .isn = (uint32_t)hash + (uint32_t)(stack->now_us / 4),
        .ts_offset = (uint32_t)(hash >> 32),
        .mss = net_mss(stack->net, &stream->key.remote),
        .path_mss = net_path_mss(stack->net, &stream->key.remote, stack->now_us),
        .ip_header_bytes = ip_is_v4(&stream->key.remote) ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES,
    };
}

/* ---- listening: a backlog, and SYN cookies when it is full (RFC 4987 section 3.6) ---- */

/* The flow table's and the stream's entry; NULL: one of them is full. */
static struct stream *enter(struct stack *stack, const struct flow_key *key)
{
    struct stream *stream = pool_get(&stack->streams);
    if (!stream)
        return NULL;
    prepare(stack, stream, NULL);
    stream->key = *key;
    if (net_flow_add(stack->net, key, stream->flow)) {
        list_push_tail(&stack->all, &stream->all);
        return stream;
    }
    pool_put(&stack->streams, stream);
    return NULL;
}

static void set_half_open(struct stream *stream, bool half_open)
{
    stream->stack->half_open += half_open;
    stream->stack->half_open -= stream->half_open;
    stream->half_open = half_open;
}

static void answer_with_cookie(struct stack *stack, const struct flow_key *key, const struct tcp_segment *syn)
{
    struct tcp_segment syn_ack;
    tcp_cookie_answer(&stack->cookies, key, net_mss(stack->net, &key->remote), syn, stack->now_us, &syn_ack);
    (void)net_answer(stack->net, key, &syn_ack, stack->now_us); /* lost like any other; the SYN comes again */
}

static_assert(sizeof(struct flow_key) == TCP_COOKIE_FLOW_BYTES, "no padding: a cookie covers all of it");

/* old: of the connection that the SYN's flow was before, or NULL. */
static void accept_syn(struct stack *stack, const struct flow_key *key, const struct tcp_segment *syn,
                       const struct tcp_time_wait *old)
{
    if (stack->half_open >= stack->config.backlog) {
        answer_with_cookie(stack, key, syn);
        return;
    }
    struct stream *stream = enter(stack, key);
    if (!stream) {
        stat_inc(&stack->stats, STAT_tcp_drop_listener_full);
        return;
    }
    set_half_open(stream, true);
    struct tcp_open open = opening(stack, stream);
    if (old)
        tcp_time_wait_follow(old, &open, stack->now_us);
    tcp_open_passive(&stream->tcb, &open, syn, stack->now_us);
    stack->events.accepted(stack->events.ctx, stream);
    mark(stack, stream);
}

static bool on_syn(void *ctx, const struct flow_key *key, const struct tcp_segment *seg)
{
    struct stack *stack = ctx;
    if (!listens(stack, seg->dst_port))
        return false;
    accept_syn(stack, key, seg, NULL);
    return true;
}

static void open_by_cookie(struct stack *stack, const struct flow_key *key, const struct tcp_open *cookie,
                           const struct tcp_segment *syn, const struct tcp_segment *ack)
{
    struct stream *stream = enter(stack, key);
    if (!stream) {
        stat_inc(&stack->stats, STAT_tcp_drop_listener_full);
        return;
    }
    struct tcp_open open = opening(stack, stream);
    open.isn = cookie->isn;
    open.ts_offset = cookie->ts_offset;
    tcp_open_answered(&stream->tcb, &open, syn, stack->now_us);
    stack->events.accepted(stack->events.ctx, stream);
    on_segment(stack, stream->flow, NULL, ack);
}

static bool on_stray(void *ctx, const struct flow_key *key, const struct tcp_segment *seg)
{
    struct stack *stack = ctx;
    struct tcp_open cookie = {0};
    struct tcp_segment syn;
    if (!listens(stack, seg->dst_port))
        return false;
    switch (tcp_cookie_check(&stack->cookies, key, seg, stack->now_us, &cookie, &syn)) {
    case TCP_COOKIE_NONE: return false;
    case TCP_COOKIE_BAD: return true;
    case TCP_COOKIE_GOOD: open_by_cookie(stack, key, &cookie, &syn, seg); return true;
    }
    return false;
}

static uint64_t cookie_prf(void *ctx, const void *in, size_t len)
{
    return prf_u64(ctx, in, len);
}

/* ---- open and close ---- */

struct stack *stack_open(const struct stack_config *config, struct port *port,
                         const struct stack_events *events, struct error *err)
{
    struct stack *stack = calloc(1, sizeof(*stack));
    if (!stack) {
        error_set(err, "no memory for a stack");
        return NULL;
    }
    stack->config = *config;
    stack->events = *events;
    stack->port = port;
    list_init(&stack->to_run);
    list_init(&stack->all);
    wheel_init(&stack->wheel, 0);
    bool listening = config->listen_port || config->also_listen_port;
    if (listening && !config->backlog)
        stack->config.backlog = STACK_BACKLOG;
    uint32_t places = config->streams_max + stack->config.backlog;
    stack->config.net.flows_max = places + config->time_waits_max;
    prf_random(&stack->config.net.seed, sizeof(stack->config.net.seed));
    prf_random(stack->config.net.hash_key, sizeof(stack->config.net.hash_key));
    const struct net_handler handler = {
        .ctx = stack,
        .segment = on_segment,
        .syn = listening ? on_syn : NULL,
        .stray = listening ? on_stray : NULL,
        .icmp_error = on_icmp_error,
    };
    stack->prf = prf_open(err);
    if (stack->prf && pool_open(&stack->streams, "streams", sizeof(struct stream), places, err) &&
        time_waits_open(&stack->time_waits, config->time_waits_max, places, config->tcp.time_wait_us,
                        &stack->wheel, err))
        stack->net = net_open(&stack->config.net, port, &stack->wheel, &stack->stats, &handler, err);
    if (!stack->net) {
        time_waits_close(&stack->time_waits);
        pool_close(&stack->streams);
        if (stack->prf)
            prf_close(stack->prf);
        free(stack);
        return NULL;
    }
    net_recycle_from(stack->net, &stack->time_waits);
    stack->cookies = (struct tcp_cookies){cookie_prf, stack->prf, &stack->config.tcp, &stack->stats, 0};
    return stack;
}

static void release(struct stream *stream)
{
    struct stack *stack = stream->stack;
    stack->events.closed(stack->events.ctx, stream);
    set_half_open(stream, false);
    list_remove(&stream->run);
    list_remove(&stream->all);
    wheel_cancel(&stack->wheel, &stream->timer);
    bool waits = tcp_state(&stream->tcb) == TCP_TIME_WAIT &&
                 time_waits_take(&stack->time_waits, &stream->key, &stream->tcb, stack->now_us);
    tcp_release(&stream->tcb);
    if (!waits)
        net_flow_close(stack->net, &stream->key);
    pool_put(&stack->streams, stream);
}

void stack_close(struct stack *stack)
{
    for (struct list *it; (it = list_pop(&stack->all));)
        tcp_release(&list_entry(it, struct stream, all)->tcb);
    net_close(stack->net);
    time_waits_close(&stack->time_waits);
    pool_close(&stack->streams);
    prf_close(stack->prf);
    port_close(stack->port);
    free(stack);
}

struct stream *stack_connect(struct stack *stack, const struct ip_addr *to, uint16_t port, void *user,
                             struct error *err)
{
    struct stream *stream = pool_get(&stack->streams);
    if (!stream) {
        error_set(err, "all %u streams are in use", stack->streams.capacity);
        return NULL;
    }
    prepare(stack, stream, user);
    if (!net_flow_open(stack->net, NULL, to, port, stream->flow, &stream->key, err)) {
        pool_put(&stack->streams, stream);
        return NULL;
    }
    struct tcp_open open = opening(stack, stream);
    const struct tcp_time_wait *old = net_flow_predecessor(stack->net);
    if (old)
        tcp_time_wait_follow(old, &open, stack->now_us);
    tcp_open_active(&stream->tcb, &open, stack->now_us);
    list_push_tail(&stack->all, &stream->all);
    mark(stack, stream);
    return stream;
}

/* ---- bytes ---- */

size_t stream_read(struct stream *stream, void *out, size_t cap)
{
    size_t done = 0, len;
    for (const uint8_t *in; done < cap && (in = tcp_read_peek(&stream->tcb, &len)) != NULL;) {
        size_t n = min_size(len, cap - done);
        memcpy((uint8_t *)out + done, in, n);
        tcp_read_consume(&stream->tcb, n);
        done += n;
    }
    return done;
}

size_t stream_write(struct stream *stream, const void *in, size_t len)
{
    size_t done = 0, room;
    for (uint8_t *out; done < len && (out = tcp_write_reserve(&stream->tcb, &room)) != NULL;) {
        size_t n = min_size(room, len - done);
        memcpy(out, (const uint8_t *)in + done, n);
        tcp_write_commit(&stream->tcb, n);
        done += n;
    }
    return done;
}

/* ---- a turn ---- */

static void note_events(struct stream *stream)
{
    unsigned events = tcp_events(&stream->tcb);
    if (events & TCP_EV_CONNECTED) {
        stream->connected = true;
        set_half_open(stream, false);
        stream->connected_us = stream->stack->now_us;
    }
    if (events & TCP_EV_PATH)
        net_learn_path(stream->stack->net, &stream->key.remote, tcp_path_mss(&stream->tcb),
                       stream->stack->now_us);
    stream->peer_done |= (events & TCP_EV_PEER_FIN) != 0;
    stream->over |= (events & (TCP_EV_CLOSED | TCP_EV_TIME_WAIT)) != 0;
}

static void run(struct stream *stream)
{
    struct stack *stack = stream->stack;
    note_events(stream);
    if (!stream->over)
        stack->events.ready(stack->events.ctx, stream);
    bool all_sent = output(stream);
    note_events(stream);
    if (stream->over) {
        release(stream);
        return;
    }
    wheel_arm(&stack->wheel, &stream->timer,
              all_sent ? tcp_next_deadline(&stream->tcb) : stack->now_us + RETRY_US);
}

static void fire(struct stack *stack, struct wheel_timer *timer)
{
    if (timer->kind == NET_TIMER) {
        net_timers(stack->net, stack->now_us);
        return;
    }
    if (timer->kind == TIME_WAIT_TIMER) {
        time_waits_expire(&stack->time_waits, timer);
        return;
    }
    struct stream *stream = container_of(timer, struct stream, timer);
    tcp_timers(&stream->tcb, stack->now_us);
    mark(stack, stream);
}

/* All that has arrived, so that timers speak of what is known; a peer that sends without end does not hold the turn. */
static bool receive(struct stack *stack)
{
    struct pkt *burst[PORT_BURST];
    uint32_t total = 0, count;
    do {
        count = port_receive(stack->port, burst, PORT_BURST, stack->now_us);
        for (uint32_t i = 0; i < count; i++) {
            stat_inc(&stack->stats, STAT_port_rx_packets);
            stat_add(&stack->stats, STAT_port_rx_bytes, burst[i]->len);
            net_receive(stack->net, burst[i], stack->now_us);
        }
        total += count;
    } while (count == PORT_BURST && total < RECEIVED_A_TURN);
    return total > 0;
}

/* Streams that are marked meanwhile have their turn in the next one.  Where a stream's work is long, RSA for one, the port
 * is read in between: its queue would overflow.
 */
static void run_marked(struct stack *stack)
{
    struct list *it, *last = list_empty(&stack->to_run) ? NULL : stack->to_run.prev;
    for (uint32_t n = 1; last && (it = list_pop(&stack->to_run)); n++) {
        run(list_entry(it, struct stream, run));
        if (it == last)
            return;
        if (stack->config.clock_us && n % STREAMS_A_READ == 0) {
            stack->now_us = stack->config.clock_us();
            receive(stack);
        }
    }
}

bool stack_turn(struct stack *stack, uint64_t now_us)
{
    stack->now_us = now_us;
    pkt_pool_refresh(stack->port->tx_pool);
    bool worked = receive(stack) || !list_empty(&stack->to_run);
    for (struct wheel_timer *timer; (timer = wheel_expire(&stack->wheel, now_us)); worked = true)
        fire(stack, timer);
    run_marked(stack);
    net_transmit_flush(stack->net, stack->now_us);
    return worked;
}

uint64_t stack_deadline(struct stack *stack)
{
    return min_u64(wheel_next(&stack->wheel), port_next_deadline(stack->port));
}

const struct stats *stack_stats(const struct stack *stack)
{
    return &stack->stats;
}

uint32_t stack_streams(const struct stack *stack)
{
    return stack->streams.in_use;
}

uint32_t stack_half_open(const struct stack *stack)
{
    return stack->half_open;
}

uint64_t stack_now_us(const struct stack *stack)
{
    return stack->now_us;
}
