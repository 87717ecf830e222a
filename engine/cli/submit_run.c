/* submit_run.c: as many letters as possible in flight, until all have their results.
 *
 * When the engine dies, every recipient still ends in one result: what it had not looked at goes to the next engine, what
 * was not sent is sent again (both with --retry), what is in doubt is said to be.
 */
#include "engine/cli/submit.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURN_MS       200
#define RESULTS       64u
#define REATTACH_MS   2000 /* one attempt */
#define LOOK_AGAIN_US 100000u

static volatile sig_atomic_t interrupts;

static void on_signal(int number)
{
    (void)number;
    interrupts++;
}

/* One hl_submit: its recipients are some of a letter's. */
struct flight {
    struct list link; /* run.flights */
    struct letter *letter;
    uint32_t count;
    uint32_t recipient[]; /* the letter's number of each; UINT32_MAX once it has its result */
};

struct run {
    const struct submit_options *options;
    hl_feed *feed;
    struct source *source;
    struct report report;
    struct list flights, again; /* letters with recipients to be sent again */
    struct letter *held;        /* found no room */
    uint64_t in_flight;         /* messages */
    uint64_t body_bytes_max;
    bool source_done, stopping, dead;
    uint64_t give_up_us; /* when stopping or looking for an engine: until then */
};

static void finish_letter(struct run *run, struct letter *letter)
{
    run->report.letters++;
    letter_free(letter);
}

/* Recipients that have no result yet have this one. */
static void settle(struct run *run, struct letter *letter, const char *why)
{
    struct hl_result r = hl_result_init();
    r.verdict = HL_NOT_SENT;
    r.stage = HL_STAGE_SUBMIT;
    r.fault = HL_FAULT_LOCAL;
    r.reason = HL_REASON_SHUTDOWN;
    r.text = why;
    size_t count = letter->again ? letter->again_count : letter->envelope.to_count;
    for (size_t i = 0; i < count; i++)
        report_result(&run->report, letter, letter->again ? letter->again[i] : (uint32_t)i, &r);
}

static void refuse(struct run *run, struct letter *letter, enum letter_fault fault, const char *why)
{
    if (!letter->again) {
        report_bad(&run->report, letter, fault, why);
        letter_free(letter);
        return;
    }
    settle(run, letter, why); /* the first engine took it, and some recipients have their results */
    finish_letter(run, letter);
}

/* ---- out ---- */

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

static bool needs_smtputf8(const struct envelope *e)
{
    for (size_t i = 0; i < e->to_count; i++)
        if (!is_ascii(e->to[i].address))
            return true;
    return e->from && !is_ascii(e->from);
}

static struct flight *new_flight(struct letter *letter)
{
    size_t count = letter->again ? letter->again_count : letter->envelope.to_count;
    struct flight *f = malloc(sizeof(*f) + count * sizeof(f->recipient[0]));
    if (!f)
        return NULL;
    f->letter = letter;
    f->count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++)
        f->recipient[i] = letter->again ? letter->again[i] : i;
    list_init(&f->link);
    return f;
}

static int submit_flight(struct run *run, struct flight *f, struct hl_error *error)
{
    struct letter *letter = f->letter;
    const struct envelope *e = &letter->envelope;
    struct hl_part part = hl_copy_of(letter->data, letter->bytes);
    struct hl_recipient *to = calloc(f->count, sizeof(*to));
    struct hl_job job = hl_job_init();
    if (!to)
        return -ENOMEM;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct addressee *a = &e->to[f->recipient[i]];
        to[i] = (struct hl_recipient){hl_str(a->address), hl_str(a->dsn)};
    }
    job.cookie = (uintptr_t)f;
    job.sender = hl_str(e->from);
    job.recipients = to;
    job.recipients_count = f->count;
    job.next_hop = hl_str(e->next_hop);
    job.parts = &part;
    job.parts_count = 1;
    job.flags = e->flags | (needs_smtputf8(e) ? HL_JOB_SMTPUTF8 : 0);
    job.source_pool = e->source_pool;
    job.deadline_us = e->deadline_s > 0 ? clock_now_us() + (uint64_t)(e->deadline_s * 1e6) : 0;
    job.tls_floor = e->tls_floor;
    job.priority = e->priority;
    job.tag = hl_str(e->tag);
    int code = hl_submit(run->feed, &job, error);
    free(to);
    return code;
}

/* What came from standard input or lost its Bcc cannot be read again. */
static void forget_data(const struct run *run, struct letter *letter)
{
    if (strcmp(letter->path, "-") == 0 || run->options->read_headers)
        return;
    free(letter->data);
    letter->data = NULL;
}

static bool prepare(struct run *run, struct letter *letter)
{
    struct error err;
    bool fresh = !letter->data && !letter->again;
    enum letter_fault fault = letter_load(letter, run->body_bytes_max, &err);
    if (fault != LETTER_GOOD) {
        refuse(run, letter, fault, err.text);
        return false;
    }
    if (fresh && run->options->read_headers && !headers_envelope(letter, &err)) {
        refuse(run, letter, LETTER_BAD, err.text);
        return false;
    }
    if (fresh)
        letter->open = (uint32_t)letter->envelope.to_count;
    return true;
}

static void refuse_submitted(struct run *run, struct letter *letter, const struct hl_error *error)
{
    char why[HL_ERROR_TEXT_MAX + 400];
    const char *hint = strstr(error->text, "bare") ? " (--normalise does)" : "";
    snprintf(why, sizeof(why), "%s: %s%s", letter->path, error->text, hint);
    refuse(run, letter, error->code == EMSGSIZE ? LETTER_TOO_LONG : LETTER_BAD, why);
}

static void count_flight(struct run *run, struct flight *f)
{
    struct letter *letter = f->letter;
    list_push_tail(&run->flights, &f->link);
    run->in_flight++;
    run->report.bytes += letter->bytes;
    free(letter->again);
    letter->again = NULL;
    letter->again_count = 0;
    forget_data(run, letter);
}

/* Returns false when there is no room now: the letter is held. */
static bool send_letter(struct run *run, struct letter *letter)
{
    struct hl_error error = {0, "out of memory"};
    if (!prepare(run, letter))
        return true;
    struct flight *f = new_flight(letter);
    int code = f ? submit_flight(run, f, &error) : -ENOMEM;
    if (code == 0) {
        count_flight(run, f);
        return true;
    }
    free(f);
    if (code == -EAGAIN || code == -EPIPE) {
        run->held = letter;
        return false;
    }
    refuse_submitted(run, letter, &error);
    return true;
}

static struct letter *next_letter(struct run *run)
{
    struct error err;
    struct letter *letter = run->held;
    run->held = NULL;
    if (letter)
        return letter;
    struct list *again = list_pop(&run->again);
    if (again)
        return list_entry(again, struct letter, link);
    while (!run->source_done && (letter = source_next(run->source, &err)) && err.text[0])
        refuse(run, letter, LETTER_BAD, err.text);
    run->source_done = letter == NULL;
    return letter;
}

static void fill(struct run *run)
{
    uint32_t max = run->options->in_flight_max;
    struct letter *letter;
    while (!run->stopping && !run->dead && (max == 0 || run->in_flight < max) && (letter = next_letter(run)))
        if (!send_letter(run, letter))
            return;
}

/* ---- back ---- */

static bool send_again(struct letter *letter, uint32_t recipient)
{
    if (!letter->again)
        letter->again = calloc(letter->envelope.to_count, sizeof(*letter->again));
    if (letter->again)
        letter->again[letter->again_count++] = recipient;
    return letter->again != NULL;
}

static void end_flight(struct run *run, struct flight *f)
{
    struct letter *letter = f->letter;
    list_remove(&f->link);
    free(f);
    run->in_flight--;
    if (letter->again)
        list_push_tail(&run->again, &letter->link);
    else if (letter->open == 0)
        finish_letter(run, letter);
}

static void take_result(struct run *run, const struct hl_result *r)
{
    struct flight *f = (struct flight *)(uintptr_t)r->cookie;
    uint32_t recipient = f->recipient[r->recipient];
    f->recipient[r->recipient] = UINT32_MAX;
    bool again = r->verdict == HL_NOT_SENT && run->options->retry_s > 0 && !run->stopping &&
                 send_again(f->letter, recipient);
    if (!again) {
        report_result(&run->report, f->letter, recipient, r);
        f->letter->open--;
    }
    if (r->last)
        end_flight(run, f);
}

/* Looks for a new engine until --retry's time is over; false: there is none. */
static bool find_engine(struct run *run, const char *why)
{
    struct hl_error error;
    uint64_t until = clock_now_us() + (uint64_t)(run->options->retry_s * 1e6);
    report_line(&run->report, "hardline submit: %s", why);
    if (run->stopping || run->options->retry_s <= 0)
        return false;
    do {
        if (hl_feed_reattach(run->feed, REATTACH_MS, &error) == 0) {
            struct hl_limits limits;
            hl_feed_limits(run->feed, &limits);
            run->body_bytes_max = limits.body_bytes_max;
            report_line(&run->report, "hardline submit: attached to the new engine");
            return true;
        }
        usleep(LOOK_AGAIN_US);
    } while (clock_now_us() < until && !interrupts);
    report_line(&run->report, "hardline submit: %s", error.text);
    return false;
}

static void engine_lost(struct run *run, const struct hl_error *why)
{
    if (run->dead) { /* and all verdicts are given */
        run->stopping = true;
        run->give_up_us = 0;
        return;
    }
    if (find_engine(run, why->text))
        return;
    run->dead = true;
    hl_feed_give_up(run->feed, NULL);
}

static void reap(struct run *run)
{
    static struct hl_result results[RESULTS];
    struct hl_error error;
    int n;
    while ((n = hl_reap(run->feed, results, RESULTS, &error)) > 0) {
        for (int i = 0; i < n; i++)
            take_result(run, &results[i]);
        report_progress(&run->report, false);
    }
    if (n < 0)
        engine_lost(run, &error);
    if (run->options->json)
        fflush(stdout);
}

/* ---- the end ---- */

static void interrupt(struct run *run)
{
    if (interrupts == 0 || (run->stopping && interrupts < 2))
        return;
    if (!run->stopping) {
        run->stopping = true;
        run->give_up_us = clock_now_us() + (uint64_t)(run->options->drain_s * 1e6);
        report_line(&run->report,
                    "hardline submit: interrupted: waiting up to %.0f s for %llu messages in flight",
                    run->options->drain_s, (unsigned long long)run->in_flight);
    } else {
        run->give_up_us = 0;
    }
}

/* Without an answer nobody can say more. */
static void doubt(struct run *run, struct flight *f)
{
    struct hl_result r = hl_result_init();
    r.verdict = HL_IN_DOUBT;
    r.fault = HL_FAULT_LOCAL;
    r.reason = HL_REASON_SHUTDOWN;
    r.text = "interrupted before the engine had answered: it may have been sent";
    for (uint32_t i = 0; i < f->count; i++)
        if (f->recipient[i] != UINT32_MAX) {
            report_result(&run->report, f->letter, f->recipient[i], &r);
            f->letter->open--;
        }
}

static void leave(struct run *run, struct letter *letter)
{
    settle(run, letter, run->dead ? "not submitted: the engine is gone" : "not submitted: interrupted");
    run->report.unsubmitted++;
    letter_free(letter);
}

static void close_run(struct run *run)
{
    struct letter *letter;
    list_for_each_safe(it, &run->flights) {
        struct flight *f = list_entry(it, struct flight, link);
        doubt(run, f);
        end_flight(run, f);
    }
    bool cut_off = !run->source_done;
    run->source_done = true;
    while ((letter = next_letter(run)))
        leave(run, letter);
    if (cut_off)
        run->report.unsubmitted += source_left(run->source);
    report_progress(&run->report, true);
    report_close(&run->report);
}

static bool goes_on(const struct run *run)
{
    if (run->in_flight > 0)
        return !run->stopping || clock_now_us() < run->give_up_us;
    return !run->stopping && !run->dead && (run->held || !list_empty(&run->again) || !run->source_done);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: hl_wait returns */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int run_submit(const struct submit_options *options, hl_feed *feed, struct source *source)
{
    struct run run = {.options = options, .feed = feed, .source = source};
    struct hl_limits limits;
    hl_feed_limits(feed, &limits);
    run.body_bytes_max = limits.body_bytes_max;
    list_init(&run.flights);
    list_init(&run.again);
    report_open(&run.report, options, source_total(source));
    catch_signals();
    for (fill(&run); goes_on(&run); fill(&run)) {
        interrupt(&run);
        hl_wait(feed, TURN_MS, NULL);
        reap(&run);
        report_progress(&run.report, false);
    }
    close_run(&run);
    hl_feed_detach(feed);
    return report_status(&run.report);
}
