/* bench/stack_inside.h: what stack.c and stack_listen.c share. */
#ifndef BENCH_STACK_INSIDE_H
#define BENCH_STACK_INSIDE_H

#include "bench/stack.h"

#include "crypto/prf.h"
#include "engine/base/pool.h"
#include "engine/net/time_wait.h"
#include "engine/tcp/cookie.h"

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

/* For stack_listen.c: a stream that has a place gets its first state; how its TCP is opened; a segment for it has come. */
void stack_prepare(struct stack *stack, struct stream *stream, void *user);
struct tcp_open stack_opening(struct stack *stack, const struct stream *stream);
void stack_segment(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg);

/* Of stack_listen.c: what net's handlers are, and for a flow that was closed a while ago. */
bool stack_syn(void *ctx, const struct flow_key *key, const struct tcp_segment *seg);
bool stack_stray(void *ctx, const struct flow_key *key, const struct tcp_segment *seg);
void stack_closed_flow(struct stack *stack, uint32_t flow, const struct tcp_segment *seg);
void stack_set_half_open(struct stream *stream, bool half_open);

#endif
