/* crowd.c: very many connections at once between two of our stacks, in virtual time over an in-memory wire.
 *
 *     crowd sixty-thousand   one address to one address and port: set up, all open at once, closed; then once more
 *     crowd hundred-ports    thousands of short ones through a hundred ports, whichever side closes first (RFC 6191)
 *     crowd million          sixteen addresses to one address and port, a million open at once
 */
#include "bench/stack.h"
#include "engine/base/error.h"
#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define PORT_BUFFERS   16384u
#define OPENS_PER_TURN 1000u
#define TURN_US        200u
#define LISTEN_PORT    25u
#define TURNS_MAX      200000u

struct side {
    struct stack *stack;
    uint32_t connected, closed, failed;
    bool closing;
};

struct crowd {
    struct side client, server;
    uint64_t now_us;
};

static void on_accepted(void *ctx, struct stream *stream)
{
    (void)ctx;
    stream->user = NULL;
}

static void on_ready(void *ctx, struct stream *stream)
{
    struct side *side = ctx;
    if (stream->connected && !stream->user) {
        stream->user = side; /* counted */
        side->connected++;
    }
    if (stream->peer_done || (side->closing && stream->connected))
        tcp_close(&stream->tcb, stack_now_us(side->stack));
}

static void on_closed(void *ctx, struct stream *stream)
{
    struct side *side = ctx;
    side->closed++;
    side->failed += tcp_error(&stream->tcb) != TCP_OK;
}

struct plan {
    uint32_t streams, addresses;
    uint16_t ports;      /* of the client */
    uint32_t time_waits; /* 0: flows are forgotten at once */
};

static struct stack *open_side(struct side *side, struct port *port, const struct plan *plan,
                               unsigned net_number, uint16_t listen_port)
{
    uint32_t addresses = listen_port ? 1 : plan->addresses;
    struct stack_config config = {.tcp = tcp_config_default(),
                                  .streams_max = plan->streams,
                                  .time_waits_max = plan->time_waits,
                                  .listen_port = listen_port,
                                  .backlog = 2 * OPENS_PER_TURN};
    struct stack_events events = {side, on_accepted, on_ready, on_closed};
    struct error err;
    config.tcp.send_buffer_bytes = 8192;
    config.net.addresses = addresses;
    for (uint32_t i = 0; i < addresses; i++)
        config.net.address[i] = ip_from_v4((uint8_t[]){192, 0, 2, (uint8_t)(net_number + i)});
    config.net.routes = 1;
    config.net.route[0] = (struct net_route){.on_link = true};
    config.net.route[0].to.addr = ip_from_v4((uint8_t[]){192, 0, 2, 0});
    config.net.route[0].to.prefix_bits = 120;
    config.net.neighbours_max = 64;
    config.net.port_first = 1024;
    config.net.port_last = (uint16_t)(1023 + plan->ports);
    config.net.cores = 1;
    struct stack *stack = stack_open(&config, port, &events, &err);
    if (!stack) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    return stack;
}

static void turn(struct crowd *crowd)
{
    crowd->now_us += TURN_US;
    for (unsigned again = 0; again < 64; again++) {
        bool worked = stack_turn(crowd->client.stack, crowd->now_us);
        worked |= stack_turn(crowd->server.stack, crowd->now_us);
        if (!worked)
            break;
    }
}

static void open_crowd(struct crowd *crowd, const struct plan *plan)
{
    struct port *pair[2];
    struct error err;
    *crowd = (struct crowd){.now_us = 1000000};
    if (!port_sim_pair(pair, PORT_BUFFERS, 1500, &err)) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    crowd->client.stack = open_side(&crowd->client, pair[0], plan, 100, 0);
    crowd->server.stack = open_side(&crowd->server, pair[1], plan, 1, LISTEN_PORT);
}

/* Opens so many connections; how many became established on both sides. */
static uint32_t set_up(struct crowd *crowd, struct stream **stream, uint32_t count)
{
    const struct ip_addr server = ip_from_v4((uint8_t[]){192, 0, 2, 1});
    uint32_t opened = 0;
    crowd->client.connected = crowd->server.connected = 0;
    for (uint32_t turns = 0; turns < TURNS_MAX && crowd->server.connected < count; turns++) {
        for (uint32_t i = 0; i < OPENS_PER_TURN && opened < count; i++) {
            struct error err;
            stream[opened] = stack_connect(crowd->client.stack, &server, LISTEN_PORT, NULL, &err);
            if (!stream[opened]) {
                printf("# connection %u: %s\n", opened, err.text);
                return min_u32(crowd->client.connected, crowd->server.connected);
            }
            opened++;
        }
        turn(crowd);
    }
    return min_u32(crowd->client.connected, crowd->server.connected);
}

static void tear_down(struct crowd *crowd, struct stream **stream, uint32_t count)
{
    crowd->client.closed = crowd->server.closed = 0;
    for (uint32_t i = 0; i < count; i++) {
        tcp_close(&stream[i]->tcb, crowd->now_us);
        stack_wake(stream[i]);
        if (i % OPENS_PER_TURN == OPENS_PER_TURN - 1)
            turn(crowd);
    }
    for (uint32_t turns = 0; turns < TURNS_MAX && crowd->server.closed < count; turns++)
        turn(crowd);
}

static void close_crowd(struct crowd *crowd)
{
    stack_close(crowd->client.stack);
    stack_close(crowd->server.stack);
}

/* One short connection; after how many turns both sides had closed it, 0: it failed or took too long. */
static uint32_t one_short(struct crowd *crowd, struct side *closes)
{
    const struct ip_addr server = ip_from_v4((uint8_t[]){192, 0, 2, 1});
    struct error err;
    uint32_t client = crowd->client.closed, served = crowd->server.closed;
    crowd->client.closing = closes == &crowd->client;
    crowd->server.closing = closes == &crowd->server;
    if (!stack_connect(crowd->client.stack, &server, LISTEN_PORT, NULL, &err)) {
        printf("# %s\n", err.text);
        return 0;
    }
    for (uint32_t turns = 1; turns < 5000; turns++) {
        turn(crowd);
        if (crowd->client.closed > client && crowd->server.closed > served)
            return crowd->client.failed + crowd->server.failed ? 0 : turns;
    }
    return 0;
}

/* Whoever closes first keeps TIME-WAIT for a minute of virtual time: 5,000 of them would need fifty times the ports. */
static void hundred_ports(void)
{
    struct crowd crowd;
    uint32_t count = 5000;
    const struct plan plan = {.streams = 8, .addresses = 1, .ports = 100, .time_waits = 8192};
    open_crowd(&crowd, &plan);
    for (unsigned round = 0; round < 2; round++) {
        struct side *closes = round ? &crowd.server : &crowd.client;
        uint32_t done = 0, turns = 0, slowest = 0;
        for (; done < count && (turns = one_short(&crowd, closes)); done++)
            slowest = max_u32(slowest, turns);
        tap_ok(done == count, "%u of %u connections through a hundred ports, the %s closes first", done,
               count, round ? "server" : "client");
        tap_ok(slowest * TURN_US < 100000, "none of them waited: %u us at the most", slowest * TURN_US);
    }
    tap_ok(stack_stats(crowd.client.stack)->v[STAT_net_ports_recycled] >= count - 100,
           "the client took ports from TIME-WAIT");
    close_crowd(&crowd);
}

static void sixty_thousand(void)
{
    static struct stream *stream[60000];
    struct crowd crowd;
    uint32_t count = ARRAY_LEN(stream);
    const struct plan plan = {.streams = count, .addresses = 1, .ports = 64512};
    open_crowd(&crowd, &plan);
    for (unsigned round = 1; round <= 2; round++) {
        tap_ok(set_up(&crowd, stream, count) == count,
               "round %u: %u connections from one address to one port", round, count);
        tear_down(&crowd, stream, count);
        tap_ok(crowd.client.closed == count && crowd.server.closed == count && crowd.client.failed == 0,
               "round %u: all closed in order", round);
        tap_ok(stack_streams(crowd.client.stack) == 0 && stack_streams(crowd.server.stack) == 0,
               "round %u: nothing is left of them", round);
    }
    close_crowd(&crowd);
}

static void million(void)
{
    uint32_t count = 1000000;
    struct stream **stream = calloc(count, sizeof(struct stream *));
    struct crowd crowd;
    const struct plan plan = {.streams = count, .addresses = 16, .ports = 64512};
    open_crowd(&crowd, &plan);
    tap_ok(set_up(&crowd, stream, count) == count, "a million connections from sixteen addresses are open");
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    uint64_t each = (uint64_t)use.ru_maxrss * 1024 / count / 2;
    printf("# resident bytes for each end, tables and packets included: %llu; a tcb is %zu\n",
           (unsigned long long)each, tcp_tcb_bytes());
    tap_ok(tcp_tcb_bytes() + sizeof(struct wheel_timer) + 64 <= 1024 + 128,
           "tcb, timer and flow entry fit in about a KiB");
    tear_down(&crowd, stream, count);
    tap_ok(stack_streams(crowd.client.stack) == 0, "and closed again");
    close_crowd(&crowd);
    free(stream);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "million") == 0)
        million();
    else if (argc > 1 && strcmp(argv[1], "hundred-ports") == 0)
        hundred_ports();
    else
        sixty_thousand();
    return tap_done();
}
