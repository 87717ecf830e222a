/* generate.c: hardline-bench generate: messages into the ring, results out of it, a warm-up and a measured phase. */
#include "bench/bench.h"
#include "bench/generate.h"
#include "bench/message.h"
#include "engine/base/clock.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define REAP_MAX    64
#define SUBMIT_MAX  64u
#define LINE_BYTES  78u
#define PROGRESS_US 500000u
#define WAIT_MS     100

static atomic_int signals;

/* One text for each size. */
struct text {
    uint32_t bytes; /* between the first line and the last */
    uint64_t digest;
    char *data;
    hl_body *body; /* the same in the arena; NULL with --copy */
};

struct generator {
    const struct generate_options *options;
    hl_feed *feed;
    struct text text[GENERATE_SIZES_MAX];
    double *zipf_up_to; /* by destination, the last is 1; NULL: all alike */
    uint32_t next_destination;
    struct rand_source rand;
    struct generate_phase *phase;
    uint32_t phase_index;
    uint64_t full_since_us; /* the ring is full since then; 0: it is not */
    uint64_t progress_us;
    bool engine_gone;
    struct hl_error error;
};

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
}

/* ---- what is sent ---- */

static double chance(struct generator *g)
{
    return (double)(rand_u64(&g->rand) >> 11) * 0x1p-53;
}

/* Headers and lines of 76 characters, some of which begin with a dot. */
static void fill_text(struct text *text, const struct generate_options *options)
{
    char head[512];
    int len = snprintf(head, sizeof(head), "From: %s\r\nTo: bench@%s\r\nSubject: benchmark\r\n\r\n",
                       options->sender, options->domain);
    size_t at = min_size((size_t)len, text->bytes - 2);
    memset(text->data, 'x', text->bytes);
    if (at == (size_t)len)
        memcpy(text->data, head, at);
    else
        at = 0;
    for (uint32_t line = 0; at < text->bytes; at += LINE_BYTES, line++) {
        size_t end = min_size(at + LINE_BYTES, text->bytes);
        if (text->bytes - end < 2)
            end = text->bytes;
        if (line % 16 == 0 && end - at > 2)
            text->data[at] = '.';
        memcpy(text->data + end - 2, "\r\n", 2);
        if (end == text->bytes)
            break;
    }
}

static bool make_text(struct generator *g, struct text *text, uint32_t message_bytes)
{
    struct message_digest digest;
    text->bytes = message_bytes - MESSAGE_HEAD_BYTES - MESSAGE_TAIL_BYTES;
    text->data = malloc(text->bytes);
    if (!text->data) {
        snprintf(g->error.text, sizeof(g->error.text), "no memory for a text of %u bytes", text->bytes);
        return false;
    }
    fill_text(text, g->options);
    message_digest_init(&digest);
    message_digest_add(&digest, text->data, text->bytes);
    text->digest = message_digest_value(&digest);
    if (g->options->copy)
        return true;
    if (hl_body_reserve(g->feed, text->bytes, &text->body, &g->error) != 0)
        return false;
    memcpy(hl_body_data(text->body), text->data, text->bytes);
    return true;
}

static bool make_spread(struct generator *g)
{
    uint32_t n = g->options->destinations;
    double sum = 0, up_to = 0;
    if (g->options->zipf <= 0)
        return true;
    g->zipf_up_to = malloc(n * sizeof(*g->zipf_up_to));
    if (!g->zipf_up_to) {
        snprintf(g->error.text, sizeof(g->error.text), "no memory for %u destinations", n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++)
        sum += pow(i + 1, -g->options->zipf);
    for (uint32_t i = 0; i < n; i++)
        g->zipf_up_to[i] = up_to += pow(i + 1, -g->options->zipf) / sum;
    g->zipf_up_to[n - 1] = 1;
    return true;
}

static const struct text *choose_text(struct generator *g)
{
    uint32_t i = 0;
    double at = g->options->sizes > 1 ? chance(g) : 0;
    while (at >= g->options->size[i].up_to && i + 1 < g->options->sizes)
        i++;
    return &g->text[i];
}

static uint32_t choose_destination(struct generator *g)
{
    if (!g->zipf_up_to)
        return g->next_destination;
    double at = chance(g);
    uint32_t low = 0, high = g->options->destinations - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (g->zipf_up_to[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- submitting ---- */

static int submit(struct generator *g, uint32_t seq)
{
    char head[MESSAGE_HEAD_BYTES], tail[MESSAGE_TAIL_BYTES], to[320];
    struct rand_source before = g->rand;
    const struct text *text = choose_text(g);
    struct message_mark mark = {g->options->run + g->phase_index, seq, text->bytes, text->digest};
    message_head(&mark, head);
    message_tail(&mark, tail);
    snprintf(to, sizeof(to), "bench@mx%u.%s", choose_destination(g) + 1, g->options->domain);
    struct hl_recipient recipient = {hl_str(to), hl_none()};
    struct hl_part part[3] = {hl_copy_of(head, sizeof(head)),
                              text->body ? hl_part_of(text->body, 0, text->bytes)
                                         : hl_copy_of(text->data, text->bytes),
                              hl_copy_of(tail, sizeof(tail))};
    struct hl_job job = hl_job_init();
    job.cookie = (uint64_t)g->phase_index << 32 | seq;
    job.sender = hl_str(g->options->sender);
    job.recipients = &recipient;
    job.recipients_count = 1;
    job.parts = part;
    job.parts_count = ARRAY_LEN(part);
    job.body_type = HL_BODY_7BIT;
    int result = hl_submit(g->feed, &job, &g->error);
    if (result != 0) {
        g->rand = before; /* the same message is tried again */
        return result;
    }
    g->next_destination = (g->next_destination + 1) % g->options->destinations;
    g->phase->submitted++;
    g->phase->bytes += text->bytes + MESSAGE_HEAD_BYTES + MESSAGE_TAIL_BYTES;
    return 0;
}

/* When message seq is to be submitted; 0: at once.  A warm-up of so many messages is flat out: it opens connections. */
static uint64_t due_us(const struct generator *g, uint64_t seq)
{
    if (g->options->rate <= 0 || (g->phase_index == 0 && g->options->warmup_messages))
        return 0;
    return g->phase->began_us + (uint64_t)((double)seq * 1e6 / g->options->rate);
}

static void ring_is_full(struct generator *g, uint64_t now_us)
{
    g->phase->ring_full++;
    if (!g->full_since_us)
        g->full_since_us = now_us;
}

static void ring_has_room(struct generator *g, uint64_t now_us)
{
    if (g->full_since_us)
        g->phase->ring_full_us += now_us - g->full_since_us;
    g->full_since_us = 0;
}

/* Submits what is due; false: the library refuses for good, error says why. */
static bool submit_some(struct generator *g, uint64_t limit, uint64_t now_us, bool *worked)
{
    struct generate_phase *phase = g->phase;
    for (uint32_t n = 0; n < SUBMIT_MAX && phase->submitted < limit; n++) {
        uint64_t due = due_us(g, phase->submitted);
        bool enough = g->options->in_flight && phase->submitted - phase->done >= g->options->in_flight;
        if (due > now_us || enough)
            return true;
        int result = submit(g, (uint32_t)phase->submitted);
        if (result == -EAGAIN) {
            ring_is_full(g, now_us);
            return true;
        }
        if (result == -EPIPE)
            g->engine_gone = true;
        if (result != 0)
            return false;
        ring_has_room(g, now_us);
        *worked = true;
        if (due && now_us - due > phase->late_us)
            phase->late_us = now_us - due;
    }
    return true;
}

/* ---- results ---- */

static void complain(struct generate_phase *phase, const struct hl_result *r)
{
    if (phase->complaints == GENERATE_COMPLAINTS)
        return;
    snprintf(phase->complaint[phase->complaints++], sizeof(phase->complaint[0]), "%s: %s: %s",
             hl_verdict_name(r->verdict), hl_reason_name(r->reason), r->text);
}

static void take_result(struct generator *g, const struct hl_result *r, uint64_t now_us)
{
    struct generate_phase *phase = g->phase;
    if (r->cookie >> 32 != g->phase_index || r->verdict >= GENERATE_VERDICTS)
        return; /* a straggler of the warm-up, which has been told as one without result */
    phase->done++;
    phase->verdict[r->verdict]++;
    if (r->verdict != HL_DELIVERED) {
        phase->reason[min_u32(r->reason, GENERATE_REASONS - 1)]++;
        complain(phase, r);
        return;
    }
    uint64_t due = due_us(g, (uint32_t)r->cookie), from = due ? due : r->submitted_us;
    histogram_add(&phase->latency_us, now_us > from ? now_us - from : 0);
    phase->with_tls += r->tls.present;
    phase->reused += r->tls.reused;
    phase->resumed += r->tls.resumed;
    phase->ended_us = now_us;
}

static bool reap_some(struct generator *g, bool *worked)
{
    static struct hl_result result[REAP_MAX];
    int count = hl_reap(g->feed, result, REAP_MAX, &g->error);
    uint64_t now_us = clock_now_us();
    for (int i = 0; i < count; i++)
        take_result(g, &result[i], now_us);
    *worked |= count > 0;
    if (count == -EPIPE)
        g->engine_gone = true;
    return count >= 0;
}

static void progress(struct generator *g, uint64_t now_us, bool end)
{
    const struct generate_phase *phase = g->phase;
    if (g->options->quiet || (!end && now_us < g->progress_us + PROGRESS_US))
        return;
    double seconds = (double)(now_us - phase->began_us) / 1e6;
    g->progress_us = now_us;
    fprintf(stderr, "%s%s: %llu submitted, %llu delivered, %llu otherwise, %.0f/s%s%s", isatty(2) ? "\r" : "",
            g->phase_index ? "measured" : "warm-up", (unsigned long long)phase->submitted,
            (unsigned long long)phase->verdict[HL_DELIVERED],
            (unsigned long long)(phase->done - phase->verdict[HL_DELIVERED]),
            seconds > 0 ? (double)phase->done / seconds : 0, g->full_since_us ? ", the ring is full" : "",
            isatty(2) && !end ? "\033[K" : "\n");
}

/* ---- a phase ---- */

static void wait_for_work(struct generator *g, bool submitting, uint64_t now_us)
{
    uint64_t due = submitting ? due_us(g, g->phase->submitted) : 0;
    bool waits_for_time = due > now_us && !g->full_since_us;
    if (waits_for_time && due - now_us < 1000) {
        struct timespec nap = {.tv_nsec = (long)(due - now_us) * 1000};
        nanosleep(&nap, NULL);
        return;
    }
    int wait_ms = waits_for_time && due - now_us < WAIT_MS * 1000 ? (int)((due - now_us) / 1000) : WAIT_MS;
    if (hl_wait(g->feed, wait_ms, &g->error) < 0)
        usleep(1000); /* a signal, or an engine that is gone: the next reap tells */
}

static bool time_is_up(const struct generator *g, double seconds, uint64_t messages, uint64_t now_us)
{
    if (atomic_load(&signals))
        return true;
    return messages ? g->phase->submitted >= messages
                    : now_us >= g->phase->began_us + (uint64_t)(seconds * 1e6);
}

/* Submits until time is up, then waits for what is in flight; false: error says what was wrong. */
static bool run_phase(struct generator *g, double seconds, uint64_t messages)
{
    struct generate_phase *phase = g->phase;
    uint64_t limit = messages ? messages : UINT32_MAX;
    phase->began_us = phase->ended_us = g->progress_us = clock_now_us();
    for (;;) {
        uint64_t now_us = clock_now_us();
        bool worked = false, submitting = !time_is_up(g, seconds, messages, now_us);
        if (submitting && !submit_some(g, limit, now_us, &worked))
            return false;
        if (!submitting && !phase->submitted_all_us)
            phase->submitted_all_us = now_us;
        if (!reap_some(g, &worked))
            return false;
        if (!submitting && (phase->done == phase->submitted || atomic_load(&signals) > 1 ||
                            now_us > phase->submitted_all_us + (uint64_t)(g->options->drain_s * 1e6)))
            break;
        progress(g, now_us, false);
        if (!worked)
            wait_for_work(g, submitting, now_us);
    }
    ring_has_room(g, clock_now_us());
    progress(g, clock_now_us(), true);
    return true;
}

/* An engine that is gone: the library's verdicts for what it held. */
static void take_last_verdicts(struct generator *g)
{
    bool worked = true;
    struct hl_error error;
    if (!g->engine_gone || hl_feed_give_up(g->feed, &error) != 0)
        return;
    while (worked) {
        worked = false;
        if (!reap_some(g, &worked))
            break;
    }
}

static void wait_for_word(const struct generator *g)
{
    char line[64];
    if (!g->options->controlled)
        return;
    puts("{\"event\": \"warm\"}");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        atomic_fetch_add(&signals, 1); /* who controls us is gone */
}

static bool run_phases(struct generator *g, struct generate_phase phase[2])
{
    const struct generate_options *o = g->options;
    g->phase = &phase[0];
    if ((o->warmup_seconds > 0 || o->warmup_messages) && !run_phase(g, o->warmup_seconds, o->warmup_messages))
        return false;
    wait_for_word(g);
    g->phase = &phase[1];
    g->phase_index = 1;
    return atomic_load(&signals) || run_phase(g, o->seconds, o->messages);
}

/* ---- the program ---- */

static bool open_generator(struct generator *g)
{
    for (uint32_t i = 0; i < g->options->sizes; i++)
        if (!make_text(g, &g->text[i], g->options->size[i].bytes))
            return false;
    return make_spread(g);
}

static void close_generator(struct generator *g)
{
    for (uint32_t i = 0; i < g->options->sizes; i++) {
        hl_body_release(g->text[i].body);
        free(g->text[i].data);
    }
    free(g->zipf_up_to);
    hl_feed_detach(g->feed);
}

static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int conclude(struct generator *g, const struct generate_phase phase[2], bool good)
{
    const char *trouble = good ? "" : g->error.text;
    uint64_t failed = generate_failed(&phase[0]) + generate_failed(&phase[1]);
    if (!good)
        fprintf(stderr, "hardline-bench generate: %s\n", g->error.text);
    for (uint32_t p = 0; p < 2; p++)
        for (uint32_t i = 0; i < phase[p].complaints; i++)
            fprintf(stderr, "hardline-bench generate: %s\n", phase[p].complaint[i]);
    if (g->options->rate > 0 && phase[1].ring_full)
        fprintf(
            stderr,
            "hardline-bench generate: the ring was full for %.1f s: the engine takes less than was asked for\n",
            (double)phase[1].ring_full_us / 1e6);
    if (!generate_report(g->options, &phase[0], &phase[1], trouble))
        return EX_OSERR;
    if (atomic_load(&signals))
        return 130;
    return failed || !good ? 1 : 0;
}

static int generate(const struct generate_options *options)
{
    static struct generator g;
    static struct generate_phase phase[2];
    struct hl_attach attach = hl_attach_init();
    attach.socket_path = options->socket;
    attach.name = "hardline-bench";
    g.options = options;
    rand_seed(&g.rand, options->seed);
    if (hl_feed_attach(&g.feed, &attach, &g.error) != 0) {
        fprintf(stderr, "hardline-bench generate: %s\n", g.error.text);
        return EX_TEMPFAIL;
    }
    handle_signals();
    bool good = open_generator(&g) && run_phases(&g, phase);
    take_last_verdicts(&g);
    int status = conclude(&g, phase, good);
    close_generator(&g);
    return status;
}

int generate_main(int argc, char **argv)
{
    static struct generate_options options;
    struct error err;
    int status = generate_options_read(&options, argc, argv);
    if (status >= 0)
        return status;
    if (!options.routes_from)
        return generate(&options);
    if (generate_print_routes(&options, &err))
        return 0;
    fprintf(stderr, "hardline-bench generate: %s\n", err.text);
    return EX_USAGE;
}
