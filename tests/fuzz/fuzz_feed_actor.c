/* The input is a program of operations on both ends of a small feed: submit, take, report, flush, reap, sleep, die.
 *
 * Whatever the order: every recipient that was submitted has exactly one result in the end, and the arena is whole again.
 */
#include "engine/ring/lib/lib.h"
#include "engine/ring/ring.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define JOBS       8u
#define SUBMITTED  512u
#define RECIPIENTS 6u

struct actor {
    struct feed *engine; /* NULL: dead */
    hl_feed *producer;
    int socket;                 /* the engine's end */
    struct feed_job *job[JOBS]; /* NULL: free */
    uint32_t reported[JOBS];
    uint32_t submitted;
    uint8_t recipients[SUBMITTED]; /* of each cookie */
    uint8_t seen[SUBMITTED];       /* bit r: has its result */
    hl_body *body;
};

static const struct feed_shape shape = {.lanes = 2,
                                        .submit_slots = 4,
                                        .complete_slots = 8,
                                        .arena_bytes = 65536,
                                        .recipients_max = 3,
                                        .envelope_bytes_max = 4096,
                                        .engine_epoch = 5,
                                        .ordinary_pages = true};

static void check(bool good)
{
    if (!good)
        abort();
}

static void start(struct actor *a)
{
    struct feed_rights rights = {.name = "fuzz"};
    struct error err;
    struct hl_error error;
    int fd, pair[2];
    memset(a, 0, sizeof(*a));
    a->engine = feed_open(&shape, &rights, &fd, &err);
    a->producer = feed_new();
    check(a->engine && a->producer && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    a->socket = pair[0];
    struct region *region = &a->producer->region;
    region->sock = pair[1];
    region->wake_engine = dup(feed_wake_engine_fd(a->engine));
    region->wake_producer = dup(feed_wake_producer_fd(a->engine));
    check(region_adopt(region, fd, &error) == 0 && feed_watch(a->producer, region, &error) == 0);
    close(fd);
}

/* ---- the producer's operations ---- */

static void submit(struct actor *a, uint8_t how)
{
    static const char *const address[] = {"a@one.example", "b@two.example", "c@one.example",
                                          "d@three.example"};
    struct hl_recipient to[RECIPIENTS];
    static char text[3000];
    memset(text, 'x', sizeof(text));
    struct hl_part part[2] = {hl_copy_of(text, 1 + how * 11u)};
    struct hl_job job = hl_job_init();
    if (a->submitted == SUBMITTED)
        return;
    job.recipients_count = 1 + how % RECIPIENTS;
    for (uint32_t r = 0; r < job.recipients_count; r++)
        to[r] = (struct hl_recipient){hl_str(address[((how >> 2) + r) & 3]), hl_none()};
    job.cookie = a->submitted;
    job.sender = hl_none();
    job.recipients = to;
    job.parts = part;
    job.parts_count = 1;
    if (a->body) {
        memset(hl_body_data(a->body), 'y', hl_body_bytes(a->body));
        part[job.parts_count++] = hl_part_of(a->body, 0, hl_body_bytes(a->body));
    }
    int code = hl_submit(a->producer, &job, NULL);
    check(code == 0 || code == -EAGAIN || code == -EPIPE);
    if (code == 0)
        a->recipients[a->submitted++] = (uint8_t)job.recipients_count;
}

static void swap_body(struct actor *a, uint8_t how)
{
    hl_body_release(a->body);
    a->body = NULL;
    if (how & 1)
        hl_body_reserve(a->producer, 1 + how * 100u, &a->body, NULL);
}

static void reap(struct actor *a, uint8_t how)
{
    struct hl_result r[8];
    int n = hl_reap(a->producer, r, 1 + how % 8, NULL);
    check(n >= 0 || (n == -EPIPE && !a->engine));
    for (int i = 0; i < n; i++) {
        check(r[i].cookie < a->submitted && r[i].recipient < a->recipients[r[i].cookie]);
        uint8_t *seen = &a->seen[r[i].cookie];
        check(!(*seen >> r[i].recipient & 1)); /* exactly once */
        *seen = (uint8_t)(*seen | 1u << r[i].recipient);
        check(r[i].last == (*seen == (1u << a->recipients[r[i].cookie]) - 1));
        check(r[i].verdict != HL_NONE && (a->engine == NULL || r[i].verdict == HL_DELIVERED));
    }
}

/* ---- the engine's operations ---- */

static void take(struct actor *a, uint8_t how)
{
    struct outcome why;
    uint32_t at = how % JOBS;
    if (!a->engine || a->job[at])
        return;
    struct feed_job *job = aligned_alloc(CACHE_LINE, feed_job_bytes(&shape));
    enum feed_take_result took = feed_take(a->engine, how >> 7, job, &why);
    check(took == FEED_TAKEN || took == FEED_EMPTY);
    if (took == FEED_EMPTY) {
        free(job);
        return;
    }
    a->job[at] = job;
    a->reported[at] = 0;
}

static void report(struct actor *a, uint8_t how)
{
    struct outcome ok;
    uint32_t at = how % JOBS;
    struct feed_job *job = a->job[at];
    if (!a->engine || !job)
        return;
    feed_stage(job, how & 0x80 ? STAGE_DOT : STAGE_MAIL);
    outcome_set(&ok, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "ok");
    feed_report(job, a->reported[at]++, &ok, NULL);
    if (job->done < job->recipients)
        return;
    free(job);
    a->job[at] = NULL;
}

static void sleep_and_wake(struct actor *a, uint8_t how)
{
    uint32_t lane = how & 1;
    if (how & 2)
        hl_feed_arm(a->producer);
    if (a->engine && feed_sleep(a->engine, lane))
        feed_awake(a->engine, lane);
}

static void die(struct actor *a)
{
    if (!a->engine)
        return;
    feed_close(a->engine, false);
    close(a->socket);
    a->engine = NULL;
    for (uint32_t i = 0; i < JOBS; i++) {
        free(a->job[i]);
        a->job[i] = NULL;
    }
}

static void step(struct actor *a, uint8_t what, uint8_t how)
{
    switch (what % 16) {
    case 0:
    case 1:
    case 2: submit(a, how); break;
    case 3: swap_body(a, how); break;
    case 4:
    case 5:
    case 6: take(a, how); break;
    case 7:
    case 8:
    case 9:
    case 10: report(a, how); break;
    case 11:
        if (a->engine)
            feed_flush(a->engine, how & 1);
        break;
    case 12:
    case 13: reap(a, how); break;
    case 14: sleep_and_wake(a, how); break;
    case 15:
        if (how == 0xff)
            die(a);
        break;
    }
}

static void end(struct actor *a)
{
    die(a);
    hl_body_release(a->body);
    check(engine_is_gone(a->producer) && hl_feed_give_up(a->producer, NULL) == 0);
    for (unsigned i = 0; i < 2000 && a->producer->recipients_in_flight > 0; i++)
        reap(a, 7);
    for (uint32_t i = 0; i < a->submitted; i++)
        check(a->seen[i] == (1u << a->recipients[i]) - 1);
    arena_check(&a->producer->region.arena);
    check(a->producer->region.arena.free_units == a->producer->region.arena.units);
    check(hl_feed_detach(a->producer) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct actor a;
    if (size > 4096)
        return 0;
    start(&a);
    for (size_t i = 0; i + 1 < size; i += 2) {
        step(&a, data[i], data[i + 1]);
        if (i % 64 == 0)
            arena_check(&a.producer->region.arena);
    }
    end(&a);
    return 0;
}
