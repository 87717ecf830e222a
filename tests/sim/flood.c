/* flood.c: floods against a client and a listener whose flows go on meanwhile, in virtual time.
 *
 * Twenty flows share 50 Mbit/s and 10 ms; a stranger sends ten frames for each of theirs, straight into the victim's
 * port.  What the processor makes of that is tests/wire/flood.py's to show; here it is what the stack makes of it: goodput
 * beside that without a flood, answers and memory bounded, each frame counted for its reason, new flows getting through.
 */
#include "tests/sim/flood.h"

#include "bench/stack.h"
#include "tests/lib/tap.h"

#include <stdlib.h>

#define FLOWS        20u
#define LATE_FLOWS   10u
#define PORT_BUFFERS 16384u
#define TURN_US      500u
#define FLOOD_A_TURN 20u /* 40,000 frames a second; the path carries 4,000 full ones */
#define RUN_US       5000000u
#define LATE_US      2000000u
#define BACKLOG      64u

struct side {
    struct stack *stack;
    struct stream *stream[FLOWS + LATE_FLOWS];
    uint32_t streams, connected, failed, closed, half_open_max;
    uint64_t bytes;
};

struct run {
    struct side client, server;
    struct port *port[2];
    struct flooder flooder;
    uint64_t now_us;
};

static void on_accepted(void *ctx, struct stream *stream)
{
    (void)ctx;
    stream->user = NULL;
}

static void send_all(struct stream *stream)
{
    size_t room;
    while (tcp_write_reserve(&stream->tcb, &room))
        tcp_write_commit(&stream->tcb, room);
}

static void read_all(struct side *side, struct stream *stream)
{
    size_t len;
    while (tcp_read_peek(&stream->tcb, &len)) {
        side->bytes += len;
        tcp_read_consume(&stream->tcb, len);
    }
}

static void on_client_ready(void *ctx, struct stream *stream)
{
    struct side *side = ctx;
    if (!stream->connected)
        return;
    side->connected += !stream->user;
    stream->user = side;
    send_all(stream);
}

static void on_server_ready(void *ctx, struct stream *stream)
{
    struct side *side = ctx;
    if (!stream->connected)
        return;
    side->connected += !stream->user;
    stream->user = side;
    read_all(side, stream);
}

static void on_closed(void *ctx, struct stream *stream)
{
    struct side *side = ctx;
    side->closed += stream->connected;
    side->failed += stream->connected && tcp_error(&stream->tcb) != TCP_OK;
}

static struct ip_addr address(bool v4, uint8_t last)
{
    struct ip_addr a = {{0x20, 0x01, 0x0d, 0xb8, [15] = last}};
    return v4 ? ip_from_v4((uint8_t[]){192, 0, 2, last}) : a;
}

static struct stack *open_side(struct side *side, struct port *port, bool v4, uint8_t last, bool listens)
{
    struct stack_config config = {.tcp = tcp_config_default(),
                                  .streams_max = FLOWS + LATE_FLOWS,
                                  .listen_port = listens ? 25 : 0,
                                  .backlog = listens ? BACKLOG : 0};
    config.tcp.send_buffer_bytes = 16u << 10; /* all of them fit before the bottleneck */
    config.net.addresses = 1;
    config.net.address[0] = address(v4, last);
    config.net.routes = 1;
    config.net.route[0] =
        (struct net_route){.to = {.addr = address(v4, 0), .prefix_bits = v4 ? 120 : 64}, .on_link = true};
    config.net.neighbours_max = 64;
    config.net.port_first = 1024;
    config.net.port_last = 65535;
    config.net.cores = 1;
    struct stack_events events = {side, on_accepted, listens ? on_server_ready : on_client_ready, on_closed};
    struct error err;
    struct stack *stack = stack_open(&config, port, &events, &err);
    if (!stack) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    return stack;
}

static void open_run(struct run *run, bool v4, enum flood kind, bool at_listener)
{
    struct error err;
    const struct port_faults path = {.delay_us = 5000, .rate_kbit = 50000, .queue_bytes = 1u << 20};
    *run = (struct run){.now_us = 1000000};
    struct port *faulty;
    if (!port_sim_pair(run->port, PORT_BUFFERS, 1500, &err) ||
        !(faulty = port_fault_open(run->port[0], &path, &path, &err))) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    run->client.stack = open_side(&run->client, faulty, v4, 100, false);
    run->server.stack = open_side(&run->server, run->port[1], v4, 1, true);
    run->flooder = (struct flooder){.from = run->port[!at_listener], .kind = kind};
    memcpy(run->flooder.to.b, run->port[at_listener]->mac, 6);
    rand_seed(&run->flooder.rand, 7);
}

static void connect_some(struct run *run, bool v4, uint32_t count)
{
    const struct ip_addr server = address(v4, 1);
    struct error err;
    for (uint32_t i = 0; i < count; i++) {
        struct stream *s = stack_connect(run->client.stack, &server, 25, NULL, &err);
        if (s)
            run->client.stream[run->client.streams++] = s;
    }
}

static struct flow_key other_end(const struct flow_key *key)
{
    return (struct flow_key){key->remote, key->local, key->remote_port, key->local_port};
}

static void turn(struct run *run, bool at_listener)
{
    run->now_us += TURN_US;
    for (uint32_t i = 0; run->flooder.kind != FLOOD_NONE && i < FLOOD_A_TURN; i++) {
        const struct flow_key *client = &run->client.stream[rand_below(&run->flooder.rand, FLOWS)]->key;
        struct flow_key victim = at_listener ? other_end(client) : *client;
        flood_send(&run->flooder, &victim, run->now_us);
    }
    for (unsigned again = 0; again < 64; again++) {
        bool worked = stack_turn(run->server.stack, run->now_us);
        worked |= stack_turn(run->client.stack, run->now_us);
        if (!worked)
            break;
    }
    run->server.half_open_max = max_u32(run->server.half_open_max, stack_half_open(run->server.stack));
}

/* Mbit/s of what the server has read. */
static double play(struct run *run, bool v4, bool at_listener)
{
    enum flood kind = run->flooder.kind;
    uint64_t from_us = run->now_us, end_us = from_us + RUN_US;
    run->flooder.kind = FLOOD_NONE;
    connect_some(run, v4, FLOWS);
    while (run->client.connected < FLOWS && run->now_us < end_us)
        turn(run, at_listener);
    run->flooder.kind = kind;
    for (bool late = false; run->now_us < end_us; turn(run, at_listener)) {
        if (!late && run->now_us - from_us >= LATE_US) {
            connect_some(run, v4, LATE_FLOWS);
            late = true;
        }
    }
    return (double)run->server.bytes * 8 / RUN_US;
}

/* ---- what is said of a run ---- */

static uint64_t counted(const struct stats *s, enum flood kind, bool at_listener)
{
    const uint64_t *v = s->v;
    switch (kind) {
    case FLOOD_SYN:
        return at_listener ? v[STAT_tcp_cookies_sent] + v[STAT_tcp_accepted] : v[STAT_net_drop_no_flow];
    case FLOOD_RST: return v[STAT_net_drop_no_flow] + v[STAT_tcp_drop_window] + v[STAT_tcp_drop_rst];
    case FLOOD_ACK:
        return v[STAT_net_drop_no_flow] + v[STAT_tcp_drop_window] + v[STAT_tcp_drop_ack] +
               v[STAT_tcp_drop_paws];
    case FLOOD_ICMP:
        return v[STAT_net_drop_icmp_flow] + v[STAT_net_drop_reply] + v[STAT_net_icmp_echo_replies] +
               v[STAT_tcp_drop_icmp];
    default: return 0;
    }
}

static uint64_t answers(const struct stats *s)
{
    return s->v[STAT_net_resets_sent] + s->v[STAT_net_icmp_echo_replies] + s->v[STAT_tcp_challenge_acks];
}

static void judge(const struct run *run, bool v4, bool at_listener, double mbit, double quiet)
{
    const struct side *victim = at_listener ? &run->server : &run->client;
    const struct stats *s = stack_stats(victim->stack);
    enum flood kind = run->flooder.kind;
    uint64_t sent = run->flooder.sent, seen = counted(s, kind, at_listener);
    char name[64];
    snprintf(name, sizeof(name), "%s flood, IPv%d, against the %s", flood_names[kind], v4 ? 4 : 6,
             at_listener ? "listener" : "client");
    tap_note("%s: %.1f of %.1f Mbit/s beside %lu frames, %lu counted, %lu answers", name, mbit, quiet, sent,
             seen, answers(s));
    tap_ok(mbit >= 0.95 * quiet, "%s: goodput stays", name);
    tap_ok(run->client.failed + run->server.failed + run->client.closed + run->server.closed == 0 &&
               run->client.connected == FLOWS + LATE_FLOWS && run->server.connected == FLOWS + LATE_FLOWS,
           "%s: all flows stand, and new ones were opened", name);
    tap_ok(seen >= sent * 99 / 100, "%s: every frame is counted for its reason", name);
    tap_ok(answers(s) <= (RUN_US / 1000000 + 1) * 1000 + (RUN_US / 5000000 + 1) * 10 * (FLOWS + LATE_FLOWS),
           "%s: answers are bounded", name);
    tap_ok(run->server.half_open_max <= BACKLOG &&
               stack_streams(run->server.stack) <= FLOWS + LATE_FLOWS + BACKLOG,
           "%s: so are half-open connections", name);
}

static double flood(bool v4, enum flood kind, bool at_listener, double quiet)
{
    static struct run run;
    open_run(&run, v4, kind, at_listener);
    double mbit = play(&run, v4, at_listener);
    if (kind != FLOOD_NONE)
        judge(&run, v4, at_listener, mbit, quiet);
    stack_close(run.client.stack);
    stack_close(run.server.stack);
    return mbit;
}

int main(void)
{
    for (int v6 = 0; v6 < 2; v6++) {
        double quiet = flood(!v6, FLOOD_NONE, true, 0);
        for (int kind = FLOOD_SYN; kind < FLOOD_COUNT; kind++)
            for (int at_listener = 0; at_listener < 2; at_listener++)
                flood(!v6, (enum flood)kind, at_listener, quiet);
    }
    return tap_done();
}
