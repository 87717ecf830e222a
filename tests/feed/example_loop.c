/* A mail server's loop: many messages in flight, one thread, a poll loop of its own, an engine that may die.
 *
 *     ./a.out SOCKET COUNT
 *
 * Sends COUNT messages with one large attachment that all share and a header of their own, and counts the verdicts.
 */
#include <hardline/feed.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define ATTACHMENT_LINES 2000

struct server {
    hl_feed *feed;
    hl_body *attachment;
    unsigned count, next, done, verdicts[HL_NOT_SENT + 1];
};

static void give_up(const char *what, const struct hl_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->text);
    exit(1);
}

/* What many messages have in common is written once; each submission has its own claim on it. */
static void make_attachment(struct server *s)
{
    struct hl_error error;
    char *at;
    int i;
    if (hl_body_reserve(s->feed, ATTACHMENT_LINES * 20, &s->attachment, &error) != 0)
        give_up("attachment", &error);
    at = (char *)hl_body_data(s->attachment);
    for (i = 0; i < ATTACHMENT_LINES; i++, at += 20)
        memcpy(at, "eighteen bytes and\r\n", 20);
}

static int send_one(struct server *s, struct hl_error *error)
{
    char header[200], address[64];
    struct hl_recipient to;
    struct hl_part part[2];
    struct hl_job job = hl_job_init();
    int bytes =
        snprintf(header, sizeof(header), "From: news@example.com\r\nSubject: number %u\r\n\r\n", s->next);
    snprintf(address, sizeof(address), "reader%u@d%u.example", s->next, s->next % 10);
    to.address = hl_str(address);
    to.dsn = hl_none();
    part[0] = hl_copy_of(header, (size_t)bytes);
    part[1] = hl_part_of(s->attachment, 0, hl_body_bytes(s->attachment));
    job.cookie = s->next;
    job.sender = hl_str("news@example.com");
    job.recipients = &to;
    job.recipients_count = 1;
    job.parts = part;
    job.parts_count = 2;
    job.tls_floor = HL_TLS_VERIFY;
    return hl_submit(s->feed, &job, error);
}

/* As many as there is room for; the rest when results have made some. */
static void send_many(struct server *s)
{
    struct hl_error error;
    int code = 0;
    while (s->next < s->count && (code = send_one(s, &error)) == 0)
        s->next++;
    if (code != 0 && code != -EAGAIN && code != -EPIPE)
        give_up("submit", &error);
}

static void take_results(struct server *s)
{
    struct hl_result result[32];
    struct hl_error error;
    int i, n;
    while ((n = hl_reap(s->feed, result, 32, &error)) > 0)
        for (i = 0; i < n; i++) {
            s->verdicts[result[i].verdict]++;
            s->done++;
        }
    /* The engine died: all verdicts are in, what it had not looked at goes to its successor. */
    if (n == -EPIPE && hl_feed_reattach(s->feed, 10000, &error) != 0)
        give_up("engine", &error);
}

int main(int argc, char **argv)
{
    struct hl_attach attach = hl_attach_init();
    struct hl_error error;
    struct server s;
    memset(&s, 0, sizeof(s));
    if (argc != 3)
        return 64;
    attach.socket_path = argv[1];
    s.count = (unsigned)atoi(argv[2]);
    if (hl_feed_attach(&s.feed, &attach, &error) != 0)
        give_up("attach", &error);
    make_attachment(&s);
    while (s.done < s.count) {
        struct pollfd p;
        send_many(&s);
        p.fd = hl_feed_fd(s.feed); /* among the server's other descriptors */
        p.events = POLLIN;
        if (!hl_feed_arm(s.feed))
            poll(&p, 1, 1000);
        take_results(&s);
    }
    hl_body_release(s.attachment);
    hl_feed_detach(s.feed);
    printf("%u delivered, %u deferred, %u failed, %u in doubt, %u not sent\n", s.verdicts[HL_DELIVERED],
           s.verdicts[HL_DEFERRED], s.verdicts[HL_FAILED], s.verdicts[HL_IN_DOUBT], s.verdicts[HL_NOT_SENT]);
    return 0;
}
