/* tcp_flows.c: bulk senders on our own TCP: N connections, opened by us or accepted, each sends as fast as TCP lets it for
 * some seconds, then closes.  Prints one line of JSON.
 *
 *     tcp_flows DEVARGS ADDRESS/PREFIX connect ADDRESS PORT FLOWS SECONDS [reno|no-pacing]
 *     tcp_flows DEVARGS ADDRESS/PREFIX listen PORT FLOWS SECONDS
 */
#include "bench/endpoint.h"

#include "engine/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS     65536u
#define FLOWS_MAX   1024u
#define DRAIN_US    5000000u
#define IDLE_US     10u
#define SEND_BUFFER (16u << 20)  /* of each flow, as Linux's tcp_wmem beside it: cwnd is to be what limits */
#define WRITE_AHEAD (256u << 10) /* what waits unsent: the pool's packets are for what is in flight */

struct run {
    uint32_t flows, connected, closed, failed;
    struct stream *stream[FLOWS_MAX]; /* the connected ones */
    uint64_t bytes_acked, began_us, ends_us;
    bool begun, ending;
};

static void write_ahead(struct stream *stream)
{
    size_t room;
    for (uint8_t *out;
         tcp_unsent_bytes(&stream->tcb) < WRITE_AHEAD && (out = tcp_write_reserve(&stream->tcb, &room));) {
        memset(out, 'h', room);
        tcp_write_commit(&stream->tcb, room);
    }
}

/* All flows stand, as with tcp_linux: from here on they send and are measured. */
static void begin(struct run *run, uint64_t now_us)
{
    run->begun = true;
    run->ends_us += now_us;
    run->began_us = now_us;
    printf("begun\n");
    fflush(stdout);
    for (uint32_t i = 0; i < run->connected; i++)
        stack_wake(run->stream[i]);
}

static void on_ready(void *ctx, struct stream *stream)
{
    struct run *run = ctx;
    if (!stream->connected)
        return;
    if (!stream->user && run->connected < run->flows) {
        stream->user = run;
        run->stream[run->connected++] = stream;
        if (run->connected == run->flows)
            begin(run, stream->connected_us);
    }
    if (run->begun && !run->ending)
        write_ahead(stream);
}

static void on_accepted(void *ctx, struct stream *stream)
{
    (void)ctx;
    (void)stream;
}

static void on_closed(void *ctx, struct stream *stream)
{
    struct run *run = ctx;
    run->closed++;
    run->failed += tcp_error(&stream->tcb) != TCP_OK;
}

static uint64_t acked(const struct stack *stack)
{
    return stack_stats(stack)->v[STAT_tcp_bytes_acked];
}

static void report(const struct run *run, const struct stack *stack, uint64_t ended_us)
{
    const uint64_t *v = stack_stats(stack)->v;
    double seconds = (double)(ended_us - run->began_us) / 1e6;
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf(
        "{\"flows\": %u, \"failed\": %u, \"seconds\": %.3f, \"bytes\": %llu, \"mbit_s\": %.3f, \"segments\": %llu, "
        "\"retransmits\": %llu, \"timeouts\": %llu, \"cpu_s\": %.3f}\n",
        run->flows, run->failed, seconds, (unsigned long long)run->bytes_acked,
        (double)run->bytes_acked * 8 / seconds / 1e6, (unsigned long long)v[STAT_tcp_segments_out],
        (unsigned long long)v[STAT_tcp_retransmits], (unsigned long long)v[STAT_tcp_rto_fired],
        (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
}

/* The first one alone: what waits for the neighbour's address is bounded, and a SYN lost there costs a second. */
static void open_flows(struct stack *stack, uint32_t count, char **argv)
{
    struct ip_addr to;
    struct error err;
    if (!ip_parse(argv[4], &to))
        endpoint_fail(argv[4], "is not an address");
    for (uint32_t i = 0; i < count; i++)
        if (!stack_connect(stack, &to, (uint16_t)atoi(argv[5]), NULL, &err))
            endpoint_fail("connect", err.text);
}

int main(int argc, char **argv)
{
    bool active = argc >= 8 && strcmp(argv[3], "connect") == 0;
    if (!active && !(argc >= 7 && strcmp(argv[3], "listen") == 0)) {
        fprintf(stderr, "usage: see the head of bench/tcp_flows.c\n");
        return 2;
    }
    struct run run = {.flows = min_u32((uint32_t)atoi(argv[active ? 6 : 5]), FLOWS_MAX)};
    run.ends_us = (uint64_t)(atof(argv[active ? 7 : 6]) * 1e6);
    endpoint_start("tcp_flows", 320);
    struct port *port = endpoint_port(argv[1], BUFFERS, "", "");
    struct stack_config config = {.tcp = tcp_config_default(), .streams_max = run.flows + 8};
    config.tcp.send_buffer_bytes = SEND_BUFFER;
    if (active && argc > 8 && strcmp(argv[8], "reno") == 0)
        config.tcp.cc = &tcp_cc_reno;
    if (active && argc > 8 && strcmp(argv[8], "no-pacing") == 0)
        config.tcp.pacing = false;
    config.tcp.time_wait_us = 1000;
    config.listen_port = active ? 0 : (uint16_t)atoi(argv[4]);
    endpoint_address(&config.net, argv[2]);
    struct stack_events events = {&run, on_accepted, on_ready, on_closed};
    struct error err;
    struct stack *stack = stack_open(&config, port, &events, &err);
    if (!stack)
        endpoint_fail("stack", err.text);
    stack_turn(stack, clock_now_us());
    printf("ready\n");
    fflush(stdout);
    if (active)
        open_flows(stack, 1, argv);

    uint64_t ended_us = 0;
    bool others = !active;
    while (!atomic_load(&endpoint_stopping) && run.closed < run.flows) {
        uint64_t now_us = clock_now_us();
        if (!stack_turn(stack, now_us))
            endpoint_nap(stack_deadline(stack), IDLE_US);
        if (!others && run.connected) {
            others = true;
            open_flows(stack, run.flows - 1, argv);
        }
        if (run.begun && !run.ending && now_us >= run.ends_us) {
            run.ending = true;
            ended_us = now_us;
            run.bytes_acked = acked(stack);
        }
        if (run.ending && now_us >= run.ends_us + DRAIN_US / 10)
            break;
    }
    if (ended_us)
        report(&run, stack, ended_us);
    else
        printf("{\"failed\": %u, \"error\": \"no connection stood long enough\"}\n", run.flows);
    return 0;
}
