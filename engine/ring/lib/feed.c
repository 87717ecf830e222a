/* feed.c: a feed's life: attach, reattach, detach. */
#include "engine/ring/lib/lib.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TIMEOUT_MS_MAX (3600 * 1000)

static int set_options(hl_feed *feed, const struct hl_attach *options, struct hl_error *error)
{
    struct hl_attach o = options ? *options : hl_attach_init();
    const char *path = o.socket_path ? o.socket_path : HL_FEED_SOCKET;
    if (o.size < sizeof(o))
        return fail(
            error, EINVAL,
            "the options' size is %zu, this library's are of %zu bytes: begin with hl_attach_init() of its own "
            "hardline/feed.h",
            o.size, sizeof(o));
    if (!path[0])
        return fail(error, EINVAL,
                    "the socket path is empty: give the engine's, or NULL for " HL_FEED_SOCKET);
    if (strlen(path) >= sizeof(feed->socket_path))
        return fail(error, ENAMETOOLONG, "the socket path %s is longer than 107 bytes", path);
    if (o.timeout_ms < 1 || o.timeout_ms > TIMEOUT_MS_MAX)
        return fail(error, EINVAL, "a time-out of %d ms: 1 to %d are possible", o.timeout_ms, TIMEOUT_MS_MAX);
    snprintf(feed->socket_path, sizeof(feed->socket_path), "%s", path);
    snprintf(feed->name, sizeof(feed->name), "%s", o.name ? o.name : program_invocation_short_name);
    return 0;
}

int fail_busy(struct hl_error *error)
{
    return fail(
        error, EBUSY,
        "another thread is in a call with this feed: a feed belongs to one thread at a time, attach one for each");
}

hl_feed *feed_new(void)
{
    hl_feed *feed = calloc(1, sizeof(*feed));
    char *words = malloc((size_t)HL_REAP_MAX * RESULT_WORDS * WORD_BYTES);
    if (!feed || !words) {
        free(feed);
        free(words);
        return NULL;
    }
    feed->epoll = -1;
    feed->words = words;
    list_init(&feed->bodies);
    return feed;
}

int hl_feed_attach(hl_feed **out, const struct hl_attach *options, struct hl_error *error)
{
    *out = NULL;
    hl_feed *feed = feed_new();
    if (!feed)
        return fail(error, ENOMEM, "out of memory");
    int code = set_options(feed, options, error);
    if (code == 0)
        code = region_open(&feed->region, feed, options ? options->timeout_ms : hl_attach_init().timeout_ms,
                           error);
    if (code == 0 && (code = feed_watch(feed, &feed->region, error)) != 0)
        region_close(&feed->region, false);
    if (code) {
        if (feed->epoll >= 0)
            close(feed->epoll);
        free(feed->words);
        free(feed);
        return code;
    }
    *out = feed;
    return 0;
}

static void drop_messages(hl_feed *feed)
{
    for (uint32_t l = 0; l < feed->region.head.lanes; l++)
        for (uint32_t s = 0; s < feed->region.head.submit_slots; s++) {
            struct job *job = &feed->region.lane[l].job[s];
            if (!job->message)
                continue;
            job->message->left -= job->left;
            job_settle(feed, l, s);
        }
    for (uint32_t i = 0; i < feed->stranded_count; i++) {
        struct job *job = &feed->stranded[i];
        if ((job->message->left -= job->left) == 0)
            message_free(feed, job->message);
    }
}

size_t hl_feed_detach(hl_feed *feed)
{
    size_t unresolved = feed->recipients_in_flight;
    drop_messages(feed);
    while (!list_empty(&feed->bodies)) {
        hl_body *body = list_entry(list_pop(&feed->bodies), hl_body, link);
        body->feed = NULL; /* its holder still releases the handle */
        body->offset = ARENA_NONE;
    }
    /* An engine that is alive wipes when it has let go; what it may still read stays until then. */
    region_close(&feed->region, feed->gone != ENGINE_ALIVE);
    close(feed->epoll);
    messages_close(feed);
    free(feed->stranded);
    free(feed->target);
    free(feed->batch);
    free(feed->names);
    free(feed->words);
    free(feed);
    return unresolved;
}

void hl_feed_limits(const hl_feed *feed, struct hl_limits *limits)
{
    const struct ring_header *h = &feed->region.head;
    *limits = (struct hl_limits){
        .arena_bytes = h->arena_bytes,
        .arena_free = (uint64_t)feed->region.arena.free_units * ARENA_UNIT,
        .body_bytes_max = h->body_bytes_max,
        .lanes = h->lanes,
        .jobs_max = h->submit_slots,
        .recipients_in_flight = feed->recipients_in_flight,
        .engine_epoch = h->engine_epoch,
    };
}
