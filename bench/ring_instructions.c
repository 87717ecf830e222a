/* ring_instructions.c: a job's way through the ring in countable steps, for callgrind (bench/instructions.py runs it).
 *
 *     ring_instructions STEPS
 *
 * Both ends in one thread; a step is 32 jobs of one recipient and 100 bytes.  Each is a function of its own name, so that
 * callgrind can count inside it and nowhere else.
 */
#include "engine/base/clock.h"
#include "engine/control/feed_server.h"
#include "engine/ring/feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP __attribute__((noclone)) noinline void /* callgrind knows it by its name */

#define JOBS 32u

static const struct feed_shape shape = {.lanes = 1,
                                        .submit_slots = 4096,
                                        .complete_slots = 4096,
                                        .arena_bytes = 4u << 20,
                                        .recipients_max = 64,
                                        .envelope_bytes_max = 8192,
                                        .engine_epoch = 1,
                                        .ordinary_pages = true};
static struct feed_server *server;
static struct feed *engine;
static hl_feed *producer;
static struct feed_job *memory;
static struct outcome ok;
static struct hl_job job[JOBS];

static __attribute__((noreturn)) void die(const char *what)
{
    fprintf(stderr, "ring_instructions: %s\n", what);
    exit(1);
}

static bool allow(void *ctx, const struct feed_peer *peer, struct feed_rights *rights)
{
    (void)ctx;
    (void)peer;
    *rights = (struct feed_rights){.name = "bench"};
    return true;
}

static bool attach(void *ctx, struct feed *feed)
{
    (void)ctx;
    engine = feed;
    return true;
}

static void detach(void *ctx, struct feed *feed)
{
    (void)ctx;
    feed_server_detached(server, feed);
}

static void note(void *ctx, int level, const char *text)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "ring_instructions: %s\n", text);
}

static void *serve(void *done)
{
    while (!atomic_load((atomic_bool *)done)) {
        feed_server_handle(server, clock_now_us());
        usleep(1000);
    }
    return NULL;
}

static void open_both(void)
{
    char path[64];
    struct error err;
    struct hl_error error;
    pthread_t thread;
    atomic_bool done = false;
    struct feed_server_events events = {.allow = allow, .attach = attach, .detach = detach, .note = note};
    snprintf(path, sizeof(path), "/tmp/hl-ring-instructions-%d.sock", (int)getpid());
    struct feed_server_options o = {
        .path = path, .mode = 0600, .gid = UINT32_MAX, .feeds_max = 1, .shape = shape};
    server = feed_server_open(&o, &events, &err);
    if (!server || pthread_create(&thread, NULL, serve, &done) != 0)
        die("no server");
    struct hl_attach options = hl_attach_init();
    options.socket_path = path;
    if (hl_feed_attach(&producer, &options, &error) != 0)
        die(error.text);
    atomic_store(&done, true);
    pthread_join(thread, NULL);
}

static STEP step_submit(void)
{
    struct hl_error error;
    if (hl_submit_many(producer, job, JOBS, &error) != JOBS)
        die(error.text);
}

static STEP step_engine(void)
{
    struct feed_delivery delivery = {
        .mx_host = "mx.example.org", .queued_us = 1, .connected_us = 2, .replied_us = 3};
    struct outcome why;
    while (feed_take(engine, 0, memory, &why) == FEED_TAKEN) {
        feed_stage(memory, STAGE_DOT);
        feed_report(memory, 0, &ok, &delivery);
    }
    feed_flush(engine, 0);
}

static STEP step_reap(void)
{
    static struct hl_result result[JOBS];
    if (hl_reap(producer, result, JOBS, NULL) != JOBS)
        die("results are missing");
}

int main(int argc, char **argv)
{
    static char message[100] = "Subject: countable\r\n\r\n";
    unsigned steps = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    struct hl_recipient to = {.address = hl_str("somebody@d0.example")};
    struct hl_part part = hl_copy_of(message, sizeof(message));
    memset(message + 22, 'x', sizeof(message) - 24);
    memcpy(message + sizeof(message) - 2, "\r\n", 2);
    memory = aligned_alloc(CACHE_LINE, feed_job_bytes(&shape));
    if (!memory)
        die("out of memory");
    outcome_set(&ok, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "2.0.0 queued as 4711");
    open_both();
    for (unsigned i = 0; i < JOBS; i++) {
        job[i] = hl_job_init();
        job[i].sender = hl_str("sender@example.com");
        job[i].recipients = &to;
        job[i].recipients_count = 1;
        job[i].parts = &part;
        job[i].parts_count = 1;
    }
    for (unsigned i = 0; i < steps; i++) {
        step_submit();
        step_engine();
        step_reap();
    }
    hl_feed_detach(producer);
    feed_server_close(server);
    free(memory);
    return 0;
}
