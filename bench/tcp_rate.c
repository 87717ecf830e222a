/* tcp_rate.c: short connections and small requests on our own TCP: FLOWS connections at a time, each of REQUESTS requests of 64
 * bytes that are answered with as many, then closed; or the side that answers.  Prints one line of JSON.
 *
 *     tcp_rate DEVARGS ADDRESS/PREFIX connect ADDRESS PORT FLOWS REQUESTS SECONDS
 *     tcp_rate DEVARGS ADDRESS/PREFIX listen PORT                                     until SIGTERM
 *
 * One request a connection is the rate of set-ups and tear-downs, many are the rate of small requests.
 */
#include "bench/endpoint.h"

#include "engine/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BUFFERS      32768u
#define MEMORY_MB    320u
#define REQUEST      64u
#define IDLE_US      50u
#define FLOWS_MAX    4096u
#define TIME_WAITS   16384u
#define TIME_WAIT_US 1000000u

struct rate {
    uint32_t flows, requests, open;
    uint64_t connections, answered, failed;
    uint32_t left[2 * FLOWS_MAX + 64]; /* requests to come, by the stream's flow */
    bool listening, ending;
    double busy_cpu_s;
};

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of this thread's CPU time, empty turns and all: what went into the kernel, which is the port's. */
static double kernel_share(void)
{
    struct rusage use;
    getrusage(RUSAGE_THREAD, &use);
    double user_s = (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6;
    double kernel_s = (double)use.ru_stime.tv_sec + (double)use.ru_stime.tv_usec / 1e6;
    return user_s + kernel_s > 0 ? kernel_s / (user_s + kernel_s) : 0;
}

static void ask(struct rate *rate, struct stream *stream)
{
    static const uint8_t request[REQUEST];
    if (stream_write(stream, request, REQUEST) != REQUEST) {
        rate->failed++;
        tcp_abort(&stream->tcb, stack_now_us(stream->stack));
    }
}

static void on_answer(struct rate *rate, struct stream *stream)
{
    uint8_t part[REQUEST];
    size_t got = stream_read(stream, part, REQUEST);
    if (got == 0)
        return;
    if (got != REQUEST) { /* it left in one segment, and no path here cuts it */
        rate->failed++;
        tcp_abort(&stream->tcb, stack_now_us(stream->stack));
        return;
    }
    rate->answered++;
    if (--rate->left[stream->flow] > 0) {
        ask(rate, stream);
        return;
    }
    rate->connections++;
    tcp_close(&stream->tcb, stack_now_us(stream->stack));
}

static void answer(struct rate *rate, struct stream *stream)
{
    uint8_t part[4096];
    for (size_t got; (got = stream_read(stream, part, sizeof(part))) > 0;) {
        rate->answered += got / REQUEST;
        if (stream_write(stream, part, got) != got)
            rate->failed++;
    }
    if (stream->peer_done)
        tcp_close(&stream->tcb, stack_now_us(stream->stack));
}

static void on_ready(void *ctx, struct stream *stream)
{
    struct rate *rate = ctx;
    if (!stream->connected)
        return;
    if (rate->listening) {
        answer(rate, stream);
    } else if (!stream->user) { /* it has just been connected */
        stream->user = rate;
        ask(rate, stream);
    } else if (rate->left[stream->flow] > 0) {
        on_answer(rate, stream);
    }
}

static void on_accepted(void *ctx, struct stream *stream)
{
    struct rate *rate = ctx;
    (void)stream;
    rate->open++;
}

static void on_closed(void *ctx, struct stream *stream)
{
    struct rate *rate = ctx;
    rate->open--;
    rate->connections += rate->listening;
    rate->failed += !rate->listening && tcp_error(&stream->tcb) != TCP_OK && !rate->ending;
}

static struct stack *open_stack(struct rate *rate, char **argv)
{
    struct error err;
    struct stack_config config = {
        .tcp = tcp_config_default(), .streams_max = 2 * FLOWS_MAX, .time_waits_max = TIME_WAITS};
    struct stack_events events = {rate, on_accepted, on_ready, on_closed};
    config.tcp.time_wait_us = TIME_WAIT_US;
    config.listen_port = rate->listening ? (uint16_t)atoi(argv[4]) : 0;
    endpoint_address(&config.net, argv[2]);
    struct stack *stack = stack_open(&config, endpoint_port(argv[1], BUFFERS, "", ""), &events, &err);
    if (!stack)
        endpoint_fail("stack", err.text);
    stack_turn(stack, clock_now_us());
    printf("ready\n");
    fflush(stdout);
    return stack;
}

/* The first one alone: what waits for the neighbour's address is bounded, and a SYN lost there costs a second. */
static bool fill_up(struct rate *rate, struct stack *stack, const struct ip_addr *to, uint16_t port)
{
    struct error err;
    uint32_t wanted = rate->answered ? rate->flows : 1;
    bool opened = false;
    for (; rate->open < wanted; rate->open++, opened = true) {
        struct stream *stream = stack_connect(stack, to, port, NULL, &err);
        if (!stream)
            endpoint_fail("connect", err.text);
        rate->left[stream->flow] = rate->requests;
    }
    return opened;
}

static double run(struct rate *rate, struct stack *stack, char **argv)
{
    struct ip_addr to = {{0}};
    uint64_t began_us = clock_now_us(), now_us = began_us, ends_us = UINT64_MAX;
    if (!rate->listening && !ip_parse(argv[4], &to))
        endpoint_fail(argv[4], "is not an address");
    if (!rate->listening)
        ends_us = began_us + (uint64_t)(atof(argv[8]) * 1e6);
    for (; !atomic_load(&endpoint_stopping) && now_us < ends_us; now_us = clock_now_us()) {
        double before_s = cpu_s();
        bool opened = !rate->listening && fill_up(rate, stack, &to, (uint16_t)atoi(argv[5]));
        if (stack_turn(stack, now_us) || opened)
            rate->busy_cpu_s += cpu_s() - before_s;
        else
            endpoint_nap(stack_deadline(stack), IDLE_US);
    }
    return (double)(now_us - began_us) / 1e6;
}

int main(int argc, char **argv)
{
    static struct rate rate;
    bool active = argc == 9 && strcmp(argv[3], "connect") == 0;
    rate.listening = argc == 5 && strcmp(argv[3], "listen") == 0;
    if (!active && !rate.listening) {
        fprintf(stderr, "usage: see the head of bench/tcp_rate.c\n");
        return 2;
    }
    rate.flows = active ? min_u32((uint32_t)atoi(argv[6]), FLOWS_MAX) : 0;
    rate.requests = active ? (uint32_t)atoi(argv[7]) : 0;
    endpoint_start("tcp_rate", MEMORY_MB);
    struct stack *stack = open_stack(&rate, argv);
    double seconds = run(&rate, stack, argv);
    rate.ending = true;
    printf(
        "{\"connections\": %llu, \"requests\": %llu, \"failed\": %llu, \"seconds\": %.3f, \"cpu_s\": %.3f, "
        "\"kernel_share\": %.3f, \"retransmits\": %llu}\n",
        (unsigned long long)rate.connections, (unsigned long long)rate.answered,
        (unsigned long long)rate.failed, seconds, rate.busy_cpu_s, kernel_share(),
        (unsigned long long)stack_stats(stack)->v[STAT_tcp_retransmits]);
    stack_close(stack);
    return 0;
}
