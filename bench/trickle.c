/* trickle.c: `hardline-bench trickle`: many connections without TLS open at once, messages trickling over them. */
#include "bench/trickle.h"

#include "bench/bench.h"
#include "bench/endpoint.h"
#include "engine/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define IDLE_US     50u
#define WINDOW      256u /* connections that are on their way to TALK_IDLE */
#define SEND_BUFFER 65536u
#define RECV_BUFFER 65536u
#define DRAIN_US    5000000u
#define PACED_MAX   64u /* messages of one turn */

/* What an interval took, by all the clocks that there are. */
struct interval {
    double busy_cpu_s; /* what the kernel charged within turns that had work */
    double cpu_s, wall_s, busy_s, empty_s, slept_s, waited_s;
    uint64_t turns, naps;
};

struct trickle {
    const struct trickle_options *options;
    struct port *port;
    struct stack *stack;
    struct talk *talk;
    uint32_t opened, greeted, lost;
    uint64_t messages, answered, refused, late; /* late: the connection's turn had come, and it was busy */
    uint32_t next;                              /* connection, see step_of */
    uint64_t bytes_before, bytes_open;          /* resident */
    struct interval now;                        /* so far */
    struct histogram latency_us;
};

static struct trickle trickle;

/* ---- clocks and memory ---- */

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How long this thread has been ready and had no CPU; 0 where the kernel does not say. */
static double waited_s(void)
{
    unsigned long long ran = 0, waited = 0;
    FILE *f = fopen("/proc/thread-self/schedstat", "r");
    if (f && fscanf(f, "%llu %llu", &ran, &waited) != 2)
        waited = 0;
    if (f)
        fclose(f);
    return (double)waited / 1e9;
}

static uint64_t resident_bytes(void)
{
    unsigned long long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%llu %llu", &all, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * 4096;
}

static struct interval interval_since(const struct interval *from)
{
    struct interval i = trickle.now;
    i.cpu_s = clock_s(CLOCK_THREAD_CPUTIME_ID) - from->cpu_s;
    i.wall_s = clock_s(CLOCK_MONOTONIC) - from->wall_s;
    i.waited_s = waited_s() - from->waited_s;
    i.busy_s -= from->busy_s;
    i.busy_cpu_s -= from->busy_cpu_s;
    i.empty_s -= from->empty_s;
    i.slept_s -= from->slept_s;
    i.turns -= from->turns;
    i.naps -= from->naps;
    return i;
}

static struct interval interval_begin(void)
{
    static const struct interval zero;
    return interval_since(&zero);
}

/* ---- what happens to a connection ---- */

static void on_accepted(void *ctx, struct stream *stream)
{
    (void)ctx;
    (void)stream;
}

static void on_ready(void *ctx, struct stream *stream)
{
    struct trickle *t = ctx;
    struct talk *talk = stream->user;
    enum talk_state before = talk->state;
    if (!stream->connected || before == TALK_OVER)
        return;
    if (!talk_input(talk) || stream->peer_done) {
        t->refused++;
        talk->state = TALK_OVER;
        tcp_abort(&stream->tcb, stack_now_us(t->stack));
    }
    t->greeted += before < TALK_IDLE && talk->state == TALK_IDLE;
    if (before == TALK_MESSAGE && talk->state == TALK_IDLE) {
        t->answered++;
        histogram_add(&t->latency_us, stack_now_us(t->stack) - talk->sent_us);
    }
}

static void on_closed(void *ctx, struct stream *stream)
{
    struct trickle *t = ctx;
    struct talk *talk = stream->user;
    t->lost++;
    talk->state = TALK_OVER;
    talk->stream = NULL;
}

/* ---- turns ---- */

struct moment {
    double wall_s, cpu_s;
};

static struct moment moment_now(void)
{
    return (struct moment){clock_s(CLOCK_MONOTONIC), clock_s(CLOCK_THREAD_CPUTIME_ID)};
}

/* One turn and the sleep behind it; work: the caller has already done some since `began`. */
static void turn(struct moment began, bool work, uint64_t until_us)
{
    struct trickle *t = &trickle;
    bool worked = stack_turn(t->stack, clock_now_us()) || work;
    struct moment ended = moment_now();
    *(worked ? &t->now.busy_s : &t->now.empty_s) += ended.wall_s - began.wall_s;
    t->now.busy_cpu_s += worked ? ended.cpu_s - began.cpu_s : 0;
    t->now.turns++;
    if (worked)
        return;
    endpoint_nap(min_u64(stack_deadline(t->stack), until_us), IDLE_US);
    t->now.slept_s += clock_s(CLOCK_MONOTONIC) - ended.wall_s;
    t->now.naps++;
}

static void open_one(struct trickle *t)
{
    struct error err;
    struct talk *talk = &t->talk[t->opened];
    struct ip_addr to = t->options->to;
    uint32_t at = t->opened % t->options->to_count, word = 0;
    for (unsigned i = 12; i < 16; i++)
        word = word << 8 | to.b[i];
    word += at;
    for (unsigned i = 16; i-- > 12; word >>= 8)
        to.b[i] = (uint8_t)word;
    talk->stream = stack_connect(t->stack, &to, t->options->port, talk, &err);
    if (!talk->stream)
        endpoint_fail("connect", err.text);
    t->opened++;
}

static void open_all(struct trickle *t)
{
    uint64_t until_us = clock_now_us() + t->options->open_s * 1000000ull;
    while (t->greeted < t->options->connections && !t->lost && clock_now_us() < until_us &&
           !atomic_load(&endpoint_stopping)) {
        struct moment began = moment_now();
        bool work = false;
        /* the first alone: what waits for a neighbour's address is bounded */
        uint32_t window = t->greeted ? WINDOW : 1;
        for (; t->opened < t->options->connections && t->opened - t->greeted < window; work = true)
            open_one(t);
        turn(began, work, until_us);
    }
}

static void rest(uint32_t seconds)
{
    uint64_t until_us = clock_now_us() + seconds * 1000000ull;
    while (clock_now_us() < until_us && !atomic_load(&endpoint_stopping))
        turn(moment_now(), false, until_us);
}

/* Neighbours in memory do not follow each other: a step that has no factor in common with the number. */
static uint32_t step_of(uint32_t connections)
{
    static const uint32_t primes[] = {7919, 104729, 15485863};
    for (unsigned i = 0; i < ARRAY_LEN(primes); i++)
        if (connections % primes[i])
            return primes[i] % connections;
    return 1;
}

static void send_next(struct trickle *t, uint64_t now_us)
{
    struct talk *talk = &t->talk[t->next];
    t->next = (uint32_t)(((uint64_t)t->next + step_of(t->options->connections)) % t->options->connections);
    if (talk->state != TALK_IDLE) {
        t->late++;
        return;
    }
    if (!talk_send(talk, (uint32_t)t->messages, now_us)) {
        talk->state = TALK_OVER;
        tcp_abort(&talk->stream->tcb, now_us);
    }
    t->messages++;
    stack_wake(talk->stream);
}

static void send_all(struct trickle *t)
{
    uint64_t began_us = clock_now_us(), now_us = began_us, tried = 0;
    uint64_t ends_us = began_us + t->options->seconds * 1000000ull;
    for (; now_us < ends_us && !atomic_load(&endpoint_stopping); now_us = clock_now_us()) {
        struct moment began = moment_now();
        uint64_t due = (now_us - began_us) * t->options->rate / 1000000, before = tried;
        for (; tried < due && tried - before < PACED_MAX; tried++)
            send_next(t, now_us);
        turn(began, tried > before, began_us + (tried + 1) * 1000000 / t->options->rate);
    }
    while (t->answered < t->messages && !t->lost && clock_now_us() < ends_us + DRAIN_US)
        turn(moment_now(), false, ends_us + DRAIN_US);
}

/* ---- the report ---- */

static void print_interval(const char *name, const struct interval *i)
{
    printf(
        "\"%s\": {\"cpu_s\": %.6f, \"busy_cpu_s\": %.6f, \"wall_s\": %.6f, \"busy_s\": %.6f, \"empty_s\": %.6f, \"slept_s\": %.6f, "
        "\"waited_s\": %.6f, \"turns\": %llu, \"naps\": %llu}, ",
        name, i->cpu_s, i->busy_cpu_s, i->wall_s, i->busy_s, i->empty_s, i->slept_s, i->waited_s,
        (unsigned long long)i->turns, (unsigned long long)i->naps);
}

static bool report(const struct trickle *t, const struct interval *opening, const struct interval *idle,
                   const struct interval *sending)
{
    const struct trickle_options *o = t->options;
    uint64_t failed = t->messages - t->answered;
    bool good = failed == 0 && t->lost == 0 && t->greeted == o->connections && t->messages > 0;
    printf(
        "{\"connections\": %u, \"open\": %u, \"lost\": %u, \"messages\": %llu, \"answered\": %llu, \"failed\": %llu, "
        "\"late\": %llu, \"retransmits\": %llu, ",
        o->connections, t->greeted, t->lost, (unsigned long long)t->messages, (unsigned long long)t->answered,
        (unsigned long long)failed, (unsigned long long)t->late,
        (unsigned long long)stack_stats(t->stack)->v[STAT_tcp_retransmits]);
    print_interval("opening", opening);
    print_interval("idle", idle);
    print_interval("sending", sending);
    printf("\"bytes_per_connection\": %.0f, \"latency_us\": {\"p50\": %llu, \"p99\": %llu}, \"ok\": %s}\n",
           (double)(t->bytes_open - min_u64(t->bytes_before, t->bytes_open)) / (double)max_u32(t->greeted, 1),
           (unsigned long long)histogram_at(&t->latency_us, 0.5),
           (unsigned long long)histogram_at(&t->latency_us, 0.99), good ? "true" : "false");
    if (t->lost || t->greeted < o->connections)
        fprintf(stderr, "trickle: of %u connections %u stood, %u were lost\n", o->connections, t->greeted,
                t->lost);
    return good;
}

/* ---- all of it ---- */

static void open_stack(struct trickle *t)
{
    struct error err;
    const struct trickle_options *o = t->options;
    struct stack_config config = {.tcp = tcp_config_default(), .streams_max = o->connections};
    struct stack_events events = {t, on_accepted, on_ready, on_closed};
    config.tcp.send_buffer_bytes = SEND_BUFFER;
    config.tcp.recv_buffer_bytes = RECV_BUFFER;
    endpoint_address(&config.net, o->address);
    config.net.neighbours_max = max_u32(1024, o->to_count + 64);
    t->port = endpoint_port(o->device, o->buffers, "", "");
    /* The buffers' pages are there from the start on: what grows then belongs to connections. */
    if (mlockall(MCL_CURRENT) == 0)
        munlockall();
    t->bytes_before = resident_bytes();
    t->talk = calloc(o->connections, sizeof(*t->talk));
    t->stack = t->talk ? stack_open(&config, t->port, &events, &err) : NULL;
    if (!t->stack)
        endpoint_fail("stack", t->talk ? err.text : "no memory for the connections");
    stack_turn(t->stack, clock_now_us()); /* it knows the time from here on */
}

static bool run(struct trickle *t)
{
    struct interval begin = interval_begin();
    open_all(t);
    struct interval opening = interval_since(&begin);
    rest(1); /* last ACKs */
    t->bytes_open = resident_bytes();
    begin = interval_begin();
    rest(t->options->idle_s);
    struct interval idle = interval_since(&begin);
    begin = interval_begin();
    if (t->greeted == t->options->connections && !t->lost)
        send_all(t);
    struct interval sending = interval_since(&begin);
    return report(t, &opening, &idle, &sending);
}

int trickle_main(int argc, char **argv)
{
    static struct trickle_options options;
    struct error err;
    int status = trickle_options_read(&options, argc, argv);
    if (status >= 0)
        return status;
    trickle.options = &options;
    endpoint_start(argv[0], options.memory_mb);
    endpoint_pin(options.cpu);
    open_stack(&trickle);
    if (!talk_text_open(options.size, arc4random(), &err))
        endpoint_fail("text", err.text);
    bool good = run(&trickle);
    stack_close(trickle.stack);
    free(trickle.talk);
    talk_text_close();
    return good ? 0 : 1;
}
