/* bench/stack.h: TCP/IP alone over one port: plain streams, no TLS, no SMTP.  For measuring the stack and for tests against
 * other stacks; the engine's own connections are engine/conn.
 *
 * One thread.  The owner calls stack_turn in a loop and gets its events from there.
 */
#ifndef BENCH_STACK_H
#define BENCH_STACK_H

#include "drivers/port.h"
#include "engine/net/net.h"
#include "engine/tcp/tcb.h"

struct stack;

struct stream {
    struct tcb tcb;
    struct wheel_timer timer;
    struct list run, all;
    struct flow_key key;
    struct stack *stack;
    uint32_t flow;
    bool half_open, connected, peer_done, over;
    uint64_t opened_us, connected_us;
    void *user; /* the owner's */
};

struct stack_events {
    void *ctx;
    /* A connection to a port that we listen on; NULL accept: none is taken. */
    void (*accepted)(void *ctx, struct stream *stream);
    /* Something has changed: connected, bytes to read, room to write, the peer's end.  Called once a turn at the most. */
    void (*ready)(void *ctx, struct stream *stream);
    /* It is over and will be released on return; tcp_error says how. */
    void (*closed)(void *ctx, struct stream *stream);
};

struct stack_config {
    struct tcp_config tcp;
    struct net_config net;
    uint32_t time_waits_max;   /* closed streams remembered for tcp.time_wait_us; 0: none */
    uint32_t streams_max;      /* that the backlog does not count */
    uint16_t listen_port;      /* 0: none */
    uint16_t also_listen_port; /* a second one; 0: none */
    uint32_t
        backlog; /* accepted streams whose handshake is not over, at the most (0: 256); others get SYN cookies */
    uint64_t (*clock_us)(
        void); /* for turns that take long: the time now; NULL: it stands still within a turn */
};

struct stack *stack_open(const struct stack_config *config, struct port *port,
                         const struct stack_events *events, struct error *err) must_check;
void stack_close(struct stack *stack); /* forgets streams without a word, and closes the port, too */

/* stack_connect starts a connection; NULL: err says why. */
struct stream *stack_connect(struct stack *stack, const struct ip_addr *to, uint16_t port, void *user,
                             struct error *err) must_check;

/* stream_write appends what fits, stream_read takes what is there; both give how many bytes that was. */
size_t stream_write(struct stream *stream, const void *in, size_t len);
size_t stream_read(struct stream *stream, void *out, size_t cap);

/* stack_turn: frames in, timers, frames out; true if there was work. */
bool stack_turn(struct stack *stack, uint64_t now_us);

/* stack_wake: the owner has written, read or closed outside of an event. */
void stack_wake(struct stream *stream);
uint64_t stack_deadline(struct stack *stack);
const struct stats *stack_stats(const struct stack *stack);
uint32_t stack_streams(const struct stack *stack);   /* in use */
uint32_t stack_half_open(const struct stack *stack); /* of these, the backlog */
uint64_t stack_now_us(const struct stack *stack);

#endif
