/* tally: a producer that keeps the books, for tests of what is promised when something dies.
 *
 *     tally --socket PATH --messages N [--bytes N] [--patience SECONDS] [--local PREFIX] [--seed N]
 *
 * Submits N messages of up to --bytes to one to three recipients each.  What was not sent is submitted again, and so is
 * what is in doubt, each time with another body, until every recipient was delivered to once at the least (or failed, or
 * was deferred).  Looks for a new engine for --patience seconds when one dies.
 *
 *     RESULT ADDRESS DIGEST VERDICT STAGE     one for each recipient of each submission
 *     SUMMARY submitted=... delivered=... ...
 *
 * Exit status: 0 all have an end; 2 a recipient had two results or one that nobody waits for; 3 no engine.
 */
#include "engine/ring/feed.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define RECIPIENTS 3u
#define ADDRESS    64u

struct submission {
    unsigned message;
    unsigned recipients;
    unsigned recipient[RECIPIENTS]; /* of the message */
    unsigned pending;               /* bit r: no result yet */
    uint64_t digest;
};

static struct {
    const char *socket, *local;
    unsigned messages, bytes, patience_s, seed;
    hl_feed *feed;
    unsigned next;   /* message to be submitted first */
    unsigned open;   /* submissions */
    unsigned *again; /* message * RECIPIENTS + recipient */
    unsigned agains;
    unsigned count[HL_NOT_SENT + 1], submitted, attempts, engines;
} tally;

static void die(int status, const char *what, const char *why)
{
    printf("DIED %s: %s\n", what, why);
    exit(status);
}

static unsigned mix(unsigned x)
{
    x = (x ^ tally.seed) * 0x9e3779b1u;
    x = (x ^ (x >> 15)) * 0x85ebca6bu;
    return x ^ (x >> 13);
}

static unsigned recipients_of(unsigned message)
{
    return 1 + mix(message) % RECIPIENTS;
}

static void address_of(unsigned message, unsigned recipient, char out[ADDRESS])
{
    snprintf(out, ADDRESS, "%s%u-%u@d%u.example", tally.local, message, recipient,
             mix(message + recipient) % 7);
}

static uint64_t digest(const char *data, size_t bytes)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ (unsigned char)data[i]) * 0x100000001b3u;
    return h;
}

static size_t make_body(unsigned message, char *body)
{
    size_t used = (size_t)sprintf(body, "Subject: message %u, attempt %u\r\n\r\n", message, tally.attempts++);
    size_t bytes = used + mix(message + 7) % tally.bytes;
    while (used < bytes) {
        size_t line = bytes - used < 70 ? bytes - used : 70;
        memset(body + used, 'a' + (int)(message % 26), line);
        memcpy(body + used + line, "\r\n", 2);
        used += line + 2;
    }
    return used;
}

/* 1: accepted, 0: no room now or no engine. */
static int submit(unsigned message, unsigned recipients, const unsigned *recipient)
{
    static char body[4 << 20];
    char address[RECIPIENTS][ADDRESS];
    struct hl_recipient to[RECIPIENTS];
    struct hl_error error;
    struct submission *s = malloc(sizeof(*s));
    *s = (struct submission){.message = message, .recipients = recipients, .pending = (1u << recipients) - 1};
    for (unsigned r = 0; r < recipients; r++) {
        s->recipient[r] = recipient[r];
        address_of(message, recipient[r], address[r]);
        to[r].address = hl_str(address[r]);
        to[r].dsn = hl_none();
    }
    struct hl_part part = hl_copy_of(body, make_body(message, body));
    struct hl_job job = hl_job_init();
    s->digest = digest(body, part.bytes);
    job.cookie = (uintptr_t)s;
    job.sender = hl_str("tally@example.com");
    job.recipients = to;
    job.recipients_count = recipients;
    job.parts = &part;
    job.parts_count = 1;
    int code = hl_submit(tally.feed, &job, &error);
    if (code == 0) {
        tally.open++;
        tally.submitted += recipients;
        return 1;
    }
    free(s);
    if (code != -EAGAIN && code != -EPIPE)
        die(2, "submit", error.text);
    return 0;
}

static void submit_all(void)
{
    static const unsigned all[RECIPIENTS] = {0, 1, 2};
    while (tally.agains > 0) {
        unsigned which = tally.again[tally.agains - 1], recipient = which % RECIPIENTS;
        if (!submit(which / RECIPIENTS, 1, &recipient))
            return;
        tally.agains--;
    }
    while (tally.next < tally.messages && submit(tally.next, recipients_of(tally.next), all))
        tally.next++;
}

static void take(const struct hl_result *r)
{
    struct submission *s = (struct submission *)(uintptr_t)r->cookie;
    char address[ADDRESS];
    if (r->recipient >= s->recipients || !(s->pending >> r->recipient & 1))
        die(2, "a result that nobody waits for", r->text);
    s->pending &= ~(1u << r->recipient);
    unsigned recipient = s->recipient[r->recipient];
    address_of(s->message, recipient, address);
    printf("RESULT %s %016llx %s %s\n", address, (unsigned long long)s->digest,
           r->verdict == HL_IN_DOUBT   ? "doubt"
           : r->verdict == HL_NOT_SENT ? "unsent"
                                       : hl_verdict_name(r->verdict),
           hl_stage_name(r->stage));
    tally.count[r->verdict]++;
    if (r->verdict == HL_IN_DOUBT || r->verdict == HL_NOT_SENT)
        tally.again[tally.agains++] = s->message * RECIPIENTS + recipient;
    if (!r->last != (s->pending != 0))
        die(2, "`last` in the wrong place", address);
    if (r->last) {
        free(s);
        tally.open--;
    }
}

static void find_engine(void)
{
    struct hl_error error;
    time_t until = time(NULL) + tally.patience_s;
    tally.engines++;
    while (hl_feed_reattach(tally.feed, 2000, &error) != 0) {
        if (time(NULL) > until)
            die(3, "no engine", error.text);
        usleep(2000);
    }
}

static void reap(void)
{
    static struct hl_result results[64];
    struct hl_error error;
    int n;
    while ((n = hl_reap(tally.feed, results, 64, &error)) > 0)
        for (int i = 0; i < n; i++)
            take(&results[i]);
    if (n == -EPIPE)
        find_engine();
    else if (n < 0)
        die(2, "reap", error.text);
}

static void start(void)
{
    struct hl_attach attach = hl_attach_init();
    struct hl_error error;
    time_t until = time(NULL) + tally.patience_s;
    attach.socket_path = tally.socket;
    attach.name = "tally";
    while (hl_feed_attach(&tally.feed, &attach, &error) != 0) {
        if (time(NULL) > until)
            die(3, "no engine", error.text);
        usleep(2000);
    }
    tally.again = calloc((size_t)tally.messages * RECIPIENTS + 1, sizeof(*tally.again));
    puts("attached");
}

static void take_option(int code, const char *text)
{
    unsigned number = (unsigned)strtoul(text ? text : "0", NULL, 0);
    switch (code) {
    case 's': tally.socket = text; break;
    case 'n': tally.messages = number; break;
    case 'b': tally.bytes = number; break;
    case 'p': tally.patience_s = number; break;
    case 'l': tally.local = text; break;
    case 'r': tally.seed = number; break;
    default: exit(64);
    }
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"socket", required_argument, NULL, 's'},
        {"messages", required_argument, NULL, 'n'},
        {"bytes", required_argument, NULL, 'b'},
        {"patience", required_argument, NULL, 'p'},
        {"local", required_argument, NULL, 'l'},
        {"seed", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    tally.local = "u";
    tally.bytes = 3000;
    for (int code; (code = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        take_option(code, optarg);
    start();
    for (submit_all(); tally.open > 0 || tally.agains > 0 || tally.next < tally.messages; submit_all()) {
        hl_wait(tally.feed, 100, NULL);
        reap();
    }
    printf("SUMMARY submitted=%u delivered=%u deferred=%u failed=%u doubt=%u unsent=%u engines=%u left=%zu\n",
           tally.submitted, tally.count[HL_DELIVERED], tally.count[HL_DEFERRED], tally.count[HL_FAILED],
           tally.count[HL_IN_DOUBT], tally.count[HL_NOT_SENT], tally.engines + 1, hl_feed_detach(tally.feed));
    return 0;
}
