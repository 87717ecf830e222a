/* tcp_sink.c: the receiver of bulk senders on our own TCP: accepts connections and reads what comes, until SIGTERM.
 *
 *     tcp_sink DEVARGS ADDRESS/PREFIX PORT
 */
#include "bench/endpoint.h"

#include "engine/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define BUFFERS   65536u
#define FLOWS_MAX 1024u
#define IDLE_US   10u
#define RECV_BUFFER \
    (10u            \
     << 20) /* what Linux offers of the 16 MB of tcp_rmem beside it: five eighths, the rest is its book-keeping */
#define RECV_PACKETS 16384u

static void on_accepted(void *ctx, struct stream *stream)
{
    (void)ctx;
    (void)stream;
}

static void on_ready(void *ctx, struct stream *stream)
{
    size_t len;
    (void)ctx;
    while (tcp_read_peek(&stream->tcb, &len))
        tcp_read_consume(&stream->tcb, len);
    if (stream->peer_done)
        tcp_close(&stream->tcb, stack_now_us(stream->stack));
}

static void on_closed(void *ctx, struct stream *stream)
{
    (void)ctx;
    (void)stream;
}

static void report(const struct stack *stack)
{
    const uint64_t *v = stack_stats(stack)->v;
    printf("{\"bytes\": %llu, \"segments_in\": %llu, \"segments_out\": %llu, \"out_of_order\": %llu, "
           "\"duplicates\": %llu, \"paws\": %llu, \"no_buffer\": %llu}\n",
           (unsigned long long)v[STAT_tcp_bytes_in], (unsigned long long)v[STAT_tcp_segments_in],
           (unsigned long long)v[STAT_tcp_segments_out], (unsigned long long)v[STAT_tcp_out_of_order_in],
           (unsigned long long)v[STAT_tcp_duplicates_in], (unsigned long long)v[STAT_tcp_drop_paws],
           (unsigned long long)v[STAT_tcp_drop_no_buffer]);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: see the head of bench/tcp_sink.c\n");
        return 2;
    }
    endpoint_start("tcp_sink", 320);
    struct port *port = endpoint_port(argv[1], BUFFERS, "", "");
    struct stack_config config = {.tcp = tcp_config_default(), .streams_max = FLOWS_MAX};
    config.tcp.recv_buffer_bytes = RECV_BUFFER;
    config.tcp.recv_packets = RECV_PACKETS;
    config.tcp.time_wait_us = 1000;
    config.listen_port = (uint16_t)atoi(argv[3]);
    endpoint_address(&config.net, argv[2]);
    struct stack_events events = {NULL, on_accepted, on_ready, on_closed};
    struct error err;
    struct stack *stack = stack_open(&config, port, &events, &err);
    if (!stack)
        endpoint_fail("stack", err.text);
    stack_turn(stack, clock_now_us());
    printf("ready\n");
    fflush(stdout);
    while (!atomic_load(&endpoint_stopping))
        if (!stack_turn(stack, clock_now_us()))
            endpoint_nap(stack_deadline(stack), IDLE_US);
    report(stack);
    return 0;
}
