/* stack_listen.c: connections that others open: a backlog, and SYN cookies when it is full (RFC 4987 section 3.6). */
#include "bench/stack_inside.h"

static bool listens(const struct stack *stack, uint16_t port)
{
    return port != 0 && (port == stack->config.listen_port || port == stack->config.also_listen_port);
}

/* The flow table's and the stream's entry; NULL: one of them is full. */
static struct stream *enter(struct stack *stack, const struct flow_key *key)
{
    struct stream *stream = pool_get(&stack->streams);
    if (!stream)
        return NULL;
    stack_prepare(stack, stream, NULL);
    stream->key = *key;
    if (net_flow_add(stack->net, key, stream->flow)) {
        list_push_tail(&stack->all, &stream->all);
        return stream;
    }
    pool_put(&stack->streams, stream);
    return NULL;
}

void stack_set_half_open(struct stream *stream, bool half_open)
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
    stack_set_half_open(stream, true);
    struct tcp_open open = stack_opening(stack, stream);
    if (old)
        tcp_time_wait_follow(old, &open, stack->now_us);
    tcp_open_passive(&stream->tcb, &open, syn, stack->now_us);
    stack->events.accepted(stack->events.ctx, stream);
    stack_wake(stream);
}

bool stack_syn(void *ctx, const struct flow_key *key, const struct tcp_segment *seg)
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
    struct tcp_open open = stack_opening(stack, stream);
    open.isn = cookie->isn;
    open.ts_offset = cookie->ts_offset;
    tcp_open_answered(&stream->tcb, &open, syn, stack->now_us);
    stack->events.accepted(stack->events.ctx, stream);
    stack_segment(stack, stream->flow, NULL, ack);
}

bool stack_stray(void *ctx, const struct flow_key *key, const struct tcp_segment *seg)
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

/* A SYN that comes later than all of the connection before it takes its place. */
void stack_closed_flow(struct stack *stack, uint32_t flow, const struct tcp_segment *seg)
{
    struct flow_key key;
    struct tcp_time_wait old;
    if (listens(stack, seg->dst_port) && time_waits_reopen(&stack->time_waits, flow, seg, &key, &old))
        accept_syn(stack, &key, seg, &old);
    else
        time_waits_segment(&stack->time_waits, flow, seg, stack->now_us);
}
