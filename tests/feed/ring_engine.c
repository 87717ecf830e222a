/* ring_engine: an engine without a network, for tests of the feed: the real hand-over, the real ring, pretended mail.
 *
 *     ring_engine --socket PATH [--delivered FILE] [--lanes N] [--slots N] [--completions N] [--arena BYTES]
 *                 [--body-max BYTES] [--recipients N] [--feeds N] [--delay-us N] [--epoch N] [--exceptions]
 *
 * A job passes the stages of a real one, each after a random time of up to --delay-us.  What happens to a recipient stands
 * in front of its address: fail..., defer..., doubt..., never... (no result while the engine lives); all others are
 * delivered.  A delivery is a line `ADDRESS DIGEST BYTES` in FILE, written by one write(2) behind the stage DOT: what a
 * receiver would have.  A SIGKILL at any moment leaves the file as it is.
 *
 * TERM finishes what is in flight, then ends.
 */
#include "engine/base/clock.h"
#include "engine/base/rand.h"
#include "engine/control/feed_server.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOBS_MAX  65536u
#define FEEDS_MAX 64u

struct delivery {
    struct list link; /* running */
    struct feed_job *job;
    uint64_t due_us;
    uint8_t stage;
};

static struct {
    struct feed_server *server;
    struct feed_shape shape;
    struct feed *feed[FEEDS_MAX];
    struct feed *leaving[FEEDS_MAX];
    uint32_t feeds, leavings;
    struct list running, spare; /* of struct delivery */
    struct rand_source random;
    uint32_t delay_us, slots_left;
    uint64_t body_max, taken;
    bool exceptions;
    int delivered; /* file, -1: none */
} engine;

static volatile sig_atomic_t ending;

static void on_term(int number)
{
    (void)number;
    ending = 1;
}

/* ---- feeds ---- */

static bool allow(void *ctx, const struct feed_peer *peer, struct feed_rights *rights)
{
    (void)ctx;
    *rights = (struct feed_rights){.body_bytes_max = engine.body_max, .allow_exceptions = engine.exceptions};
    snprintf(rights->name, sizeof(rights->name), "uid %u", peer->uid);
    return true;
}

static bool attach(void *ctx, struct feed *feed)
{
    (void)ctx;
    if (engine.feeds == FEEDS_MAX)
        return false;
    engine.feed[engine.feeds++] = feed;
    printf("attached %u\n", engine.feeds);
    return true;
}

/* Noted here, done between two turns: a job of it may be in hand. */
static void detach(void *ctx, struct feed *feed)
{
    (void)ctx;
    printf("detached%s%s\n", feed_broken(feed) ? ": " : "", feed_fault(feed));
    engine.leaving[engine.leavings++] = feed;
}

static void note(void *ctx, int level, const char *text)
{
    (void)ctx;
    printf("note %d %s\n", level, text);
}

static void let_go(struct feed *feed)
{
    for (uint32_t i = 0; i < engine.feeds; i++)
        if (engine.feed[i] == feed)
            engine.feed[i] = engine.feed[--engine.feeds];
    list_for_each_safe(it, &engine.running) {
        struct delivery *d = list_entry(it, struct delivery, link);
        if (d->job->feed != feed)
            continue;
        list_remove(&d->link);
        list_push_tail(&engine.spare, &d->link);
    }
    feed_server_detached(engine.server, feed);
}

/* ---- deliveries ---- */

static uint64_t digest_of(const struct feed_job *job)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (uint32_t e = 0; e < job->extents; e++)
        for (size_t i = 0; i < job->extent[e].len; i++)
            h = (h ^ job->extent[e].data[i]) * 0x100000001b3u;
    return h;
}

static bool is_rule(const struct feed_recipient *r, const char *rule)
{
    return r->address.len >= strlen(rule) && memcmp(r->address.data, rule, strlen(rule)) == 0;
}

static bool is_accepted(const struct feed_recipient *r)
{
    return !is_rule(r, "fail") && !is_rule(r, "defer") && !is_rule(r, "doubt");
}

static void hand_to_receiver(const struct feed_job *job)
{
    static char lines[1 << 20];
    int used = 0;
    uint64_t digest = digest_of(job);
    for (uint32_t r = 0; r < job->recipients; r++)
        if (is_accepted(&job->recipient[r]))
            used += snprintf(lines + used, sizeof(lines) - (size_t)used, "%.*s %016llx %llu\n",
                             (int)job->recipient[r].address.len, job->recipient[r].address.data,
                             (unsigned long long)digest, (unsigned long long)job->body_bytes);
    if (engine.delivered >= 0 && used > 0 && write(engine.delivered, lines, (size_t)used) != used)
        exit(1);
}

static void outcome_of(const struct feed_recipient *r, struct outcome *o)
{
    if (is_rule(r, "fail")) {
        outcome_set(o, VERDICT_FAILED, STAGE_RCPT, FAULT_REMOTE, REASON_REPLY, "no such user");
        o->smtp_code = 550;
        memcpy(o->enhanced, (uint8_t[]){5, 1, 1}, 3);
    } else if (is_rule(r, "defer")) {
        outcome_set(o, VERDICT_DEFERRED, STAGE_STARTTLS, FAULT_REMOTE, REASON_STARTTLS_NOT_SUPPORTED,
                    "the receiver does not offer STARTTLS");
    } else if (is_rule(r, "doubt")) {
        outcome_set(o, VERDICT_IN_DOUBT, STAGE_DOT, FAULT_NETWORK, REASON_CONNECTION_LOST,
                    "no reply to the end of data");
    } else {
        outcome_set(o, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "2.0.0 queued as 4711");
        o->smtp_code = 250;
    }
}

static void report(struct delivery *d)
{
    static const uint8_t addr[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 25},
                         digest[32] = {1, 2, 3};
    uint64_t now = clock_now_us();
    struct feed_evidence evidence = {
        .tls = true,
        .pkix = true,
        .version = 0x0304,
        .level = 2,
        .cipher = "TLS_AES_256_GCM_SHA384",
        .group = "x25519",
        .signature = "ed25519",
        .matched_name = "mx.example.org",
        .policy_source = "default",
        .cert_sha256 = digest,
        .spki_sha256 = digest,
    };
    struct feed_delivery delivery = {.mx_host = "mx.example.org",
                                     .mx_addr = addr,
                                     .mx_port = 25,
                                     .queued_us = now - 4,
                                     .connected_us = now - 3,
                                     .secured_us = now - 2,
                                     .sent_us = now - 1,
                                     .replied_us = now,
                                     .evidence = &evidence};
    for (uint32_t r = 0; r < d->job->recipients; r++) {
        struct outcome o;
        outcome_of(&d->job->recipient[r], &o);
        evidence.tls = o.verdict != VERDICT_DEFERRED;
        feed_report(d->job, r, &o, &delivery);
    }
}

static uint64_t later(uint64_t now_us)
{
    return now_us + (engine.delay_us ? rand_below(&engine.random, engine.delay_us) : 0);
}

/* The next stage of a job; true when it has ended. */
static bool advance(struct delivery *d, uint64_t now_us)
{
    static const enum stage next[] = {
        [STAGE_SUBMIT] = STAGE_CONNECT, [STAGE_CONNECT] = STAGE_TLS, [STAGE_TLS] = STAGE_MAIL,
        [STAGE_MAIL] = STAGE_DATA,      [STAGE_DATA] = STAGE_DOT,
    };
    if (d->stage == STAGE_DOT) {
        report(d);
        return true;
    }
    d->stage = (uint8_t)next[d->stage];
    feed_stage(d->job, (enum stage)d->stage);
    d->due_us = later(now_us);
    if (is_rule(&d->job->recipient[0], "never") && d->stage == STAGE_MAIL)
        d->due_us = DEADLINE_NEVER;
    if (d->stage == STAGE_DOT)
        hand_to_receiver(d->job);
    return false;
}

static bool run_deliveries(uint64_t now_us, uint64_t *next_us)
{
    bool worked = false;
    list_for_each_safe(it, &engine.running) {
        struct delivery *d = list_entry(it, struct delivery, link);
        bool done = false;
        while (d->due_us <= now_us && !done) {
            worked = true;
            done = advance(d, now_us);
        }
        if (done) {
            list_remove(&d->link);
            list_push_head(&engine.spare, &d->link);
        } else {
            *next_us = min_u64(*next_us, d->due_us);
        }
    }
    return worked;
}

static struct delivery *new_delivery(void)
{
    struct list *it = list_pop(&engine.spare);
    if (it)
        return list_entry(it, struct delivery, link);
    if (engine.slots_left == 0)
        return NULL;
    engine.slots_left--;
    struct delivery *d = calloc(1, sizeof(*d));
    if (d)
        d->job = aligned_alloc(CACHE_LINE, feed_job_bytes(&engine.shape));
    return d && d->job ? d : NULL;
}

static bool take_job(struct feed *feed, uint32_t lane, uint64_t now_us)
{
    struct outcome why;
    struct delivery *d = ending ? NULL : new_delivery();
    if (!d)
        return false;
    enum feed_take_result took = feed_take(feed, lane, d->job, &why);
    if (took == FEED_TAKEN) {
        engine.taken++;
        d->stage = STAGE_SUBMIT;
        d->due_us = later(now_us);
        list_push_tail(&engine.running, &d->link);
        return true;
    }
    for (uint32_t r = 0; took == FEED_REFUSED && r < d->job->recipients; r++)
        feed_report(d->job, r, &why, NULL);
    list_push_head(&engine.spare, &d->link);
    return took == FEED_REFUSED;
}

static bool take_jobs(uint64_t now_us)
{
    bool worked = false;
    for (uint32_t f = 0; f < engine.feeds; f++)
        for (uint32_t lane = 0; lane < engine.shape.lanes; lane++)
            for (unsigned burst = 0; burst < 32 && take_job(engine.feed[f], lane, now_us); burst++)
                worked = true;
    return worked;
}

static void flush(void)
{
    for (uint32_t f = 0; f < engine.feeds; f++)
        for (uint32_t lane = 0; lane < engine.shape.lanes; lane++)
            feed_flush(engine.feed[f], lane);
}

/* ---- the loop ---- */

static bool all_sleep(void)
{
    bool sleep = true;
    for (uint32_t f = 0; f < engine.feeds; f++)
        for (uint32_t lane = 0; lane < engine.shape.lanes; lane++)
            sleep = feed_sleep(engine.feed[f], lane) && sleep;
    return sleep;
}

static void all_awake(void)
{
    for (uint32_t f = 0; f < engine.feeds; f++) {
        uint64_t rings;
        ssize_t n = read(feed_wake_engine_fd(engine.feed[f]), &rings, sizeof(rings));
        (void)n;
        for (uint32_t lane = 0; lane < engine.shape.lanes; lane++)
            feed_awake(engine.feed[f], lane);
    }
}

static int sleep_ms(uint64_t now_us, uint64_t next_us)
{
    uint64_t most = ending ? 1000 : 100000, wait = next_us > now_us ? next_us - now_us : 0;
    return (int)((min_u64(wait, most) + 999) / 1000);
}

static void sleep_until(uint64_t next_us)
{
    struct pollfd p[FEEDS_MAX + 1] = {{.fd = feed_server_fd(engine.server), .events = POLLIN}};
    for (uint32_t f = 0; f < engine.feeds; f++)
        p[f + 1] = (struct pollfd){.fd = feed_wake_engine_fd(engine.feed[f]), .events = POLLIN};
    if (all_sleep())
        poll(p, engine.feeds + 1, sleep_ms(clock_now_us(), next_us));
    all_awake();
}

static void turn(void)
{
    uint64_t now = clock_now_us(), next = feed_server_handle(engine.server, now);
    while (engine.leavings > 0)
        let_go(engine.leaving[--engine.leavings]);
    bool worked = take_jobs(now);
    worked = run_deliveries(now, &next) || worked;
    flush();
    if (!worked)
        sleep_until(next);
}

static void drain(void)
{
    feed_server_stop(engine.server);
    while (engine.leavings > 0)
        let_go(engine.leaving[--engine.leavings]);
    feed_server_close(engine.server);
    printf("drained, %llu jobs\n", (unsigned long long)engine.taken);
}

static bool idle(void)
{
    list_for_each(it, &engine.running)
        if (list_entry(it, struct delivery, link)->due_us != DEADLINE_NEVER)
            return false;
    return true;
}

/* ---- start ---- */

static const struct option longs[] = {
    {"socket", required_argument, NULL, 's'},
    {"delivered", required_argument, NULL, 'd'},
    {"lanes", required_argument, NULL, 'l'},
    {"slots", required_argument, NULL, 'n'},
    {"completions", required_argument, NULL, 'c'},
    {"arena", required_argument, NULL, 'a'},
    {"body-max", required_argument, NULL, 'b'},
    {"recipients", required_argument, NULL, 'r'},
    {"feeds", required_argument, NULL, 'f'},
    {"delay-us", required_argument, NULL, 'u'},
    {"epoch", required_argument, NULL, 'e'},
    {"exceptions", no_argument, NULL, 'x'},
    {NULL, 0, NULL, 0},
};

static void take_option(struct feed_server_options *o, int code, const char *text)
{
    uint64_t number = text ? strtoull(text, NULL, 0) : 0;
    switch (code) {
    case 's': o->path = text; break;
    case 'd': engine.delivered = open(text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644); break;
    case 'l': o->shape.lanes = (uint32_t)number; break;
    case 'n': o->shape.submit_slots = (uint32_t)number; break;
    case 'c': o->shape.complete_slots = (uint32_t)number; break;
    case 'a': o->shape.arena_bytes = number; break;
    case 'b': engine.body_max = number; break;
    case 'r': o->shape.recipients_max = (uint32_t)number; break;
    case 'f': o->feeds_max = (uint32_t)number; break;
    case 'u': engine.delay_us = (uint32_t)number; break;
    case 'e': o->shape.engine_epoch = number; break;
    case 'x': engine.exceptions = true; break;
    default: exit(64);
    }
}

static void start(int argc, char **argv)
{
    struct feed_server_options o = {
        .mode = 0600,
        .gid = (uint32_t)-1,
        .feeds_max = 32,
        .shape = {.lanes = 2,
                  .submit_slots = 256,
                  .complete_slots = 256,
                  .arena_bytes = 16 << 20,
                  .recipients_max = 16,
                  .envelope_bytes_max = 8192,
                  .hash_seed = clock_now_us(),
                  .engine_epoch = clock_now_us(),
                  .ordinary_pages = true},
    };
    struct feed_server_events events = {.allow = allow, .attach = attach, .detach = detach, .note = note};
    struct error err;
    engine.delivered = -1;
    engine.body_max = 8 << 20;
    for (int code; (code = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        take_option(&o, code, optarg);
    engine.shape = o.shape;
    engine.slots_left = JOBS_MAX;
    list_init(&engine.running);
    list_init(&engine.spare);
    rand_seed(&engine.random, o.shape.engine_epoch);
    if (!feed_sigbus_install(&err) || !(engine.server = feed_server_open(&o, &events, &err))) {
        fprintf(stderr, "ring_engine: %s\n", err.text);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    start(argc, argv);
    signal(SIGTERM, on_term);
    signal(SIGPIPE, SIG_IGN);
    puts("ready");
    while (!ending || !idle())
        turn();
    flush();
    drain();
    return 0;
}
