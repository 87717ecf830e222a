/* stack.c: streams, bytes and turns. */
#include "bench/stack_inside.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_TIMER    2u
#define RETRY_US        1000u
#define STACK_BACKLOG   256u
#define RECEIVED_A_TURN 1024u
#define STREAMS_A_READ  16u

void stack_wake(struct stream *stream)
{
    if (list_empty(&stream->run))
        list_push_tail(&stream->stack->to_run, &stream->run);
}

/* ---- from net ---- */

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct stream *stream = ctx;
    return net_send_segment(stream->stack->net, &stream->key, stream->flow, seg, stream->stack->now_us);
}

static uint32_t emit_train(void *ctx, const struct tcp_train *train)
{
    struct stream *stream = ctx;
    return net_send_train(stream->stack->net, &stream->key, stream->flow, train, stream->stack->now_us);
}

static bool output(struct stream *stream)
{
    const struct tcp_emit out = {.ctx = stream, .emit = emit, .train = emit_train};
    return tcp_output(&stream->tcb, stream->stack->now_us, &out);
}

void stack_segment(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct stack *stack = ctx;
    if (unlikely(time_waits_own(&stack->time_waits, flow))) {
        stack_closed_flow(stack, flow, seg);
        return;
    }
    struct stream *stream = pool_at(&stack->streams, flow);
    (void)ip;
    tcp_input(&stream->tcb, seg, stack->now_us);
    if (unlikely(tcp_ack_is_full(&stream->tcb)))
        output(stream);
    stack_wake(stream);
}

static void on_icmp_error(void *ctx, uint32_t flow, const struct icmp *icmp)
{
    struct stack *stack = ctx;
    if (time_waits_own(&stack->time_waits, flow))
        return;
    struct stream *stream = pool_at(&stack->streams, flow);
    uint32_t mtu = icmp->kind == ICMP_FRAG_NEEDED ? icmp->mtu : 0;
    tcp_icmp_error(&stream->tcb, icmp->inner_seq, icmp->kind == ICMP_UNREACHABLE, mtu, stack->now_us);
    stack_wake(stream);
}

void stack_prepare(struct stack *stack, struct stream *stream, void *user)
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

struct tcp_open stack_opening(struct stack *stack, const struct stream *stream)
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
        .segment = stack_segment,
        .syn = listening ? stack_syn : NULL,
        .stray = listening ? stack_stray : NULL,
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
    stack_set_half_open(stream, false);
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
    stack_prepare(stack, stream, user);
    if (!net_flow_open(stack->net, NULL, to, port, stream->flow, &stream->key, err)) {
        pool_put(&stack->streams, stream);
        return NULL;
    }
    struct tcp_open open = stack_opening(stack, stream);
    const struct tcp_time_wait *old = net_flow_predecessor(stack->net);
    if (old)
        tcp_time_wait_follow(old, &open, stack->now_us);
    tcp_open_active(&stream->tcb, &open, stack->now_us);
    list_push_tail(&stack->all, &stream->all);
    stack_wake(stream);
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
        stack_set_half_open(stream, false);
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
    stack_wake(stream);
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
