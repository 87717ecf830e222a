/* Sends one message to some people and prints what became of each.
 *
 *     cc example_submit.c -lhardline-feed
 *     ./a.out SOCKET FROM MESSAGE-FILE TO...
 */
#include <hardline/feed.h>

#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_MAX (1 << 20)

static int die(const struct hl_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return 1;
}

static void print_result(const struct hl_result *r, char **to)
{
    printf("%s: %s: %s", to[r->recipient], hl_verdict_name(r->verdict), r->text);
    if (r->tls.present)
        printf(" (%s, %s)", r->mx_host, r->tls.cipher);
    putchar('\n');
}

int main(int argc, char **argv)
{
    struct hl_attach attach = hl_attach_init();
    struct hl_job job = hl_job_init();
    struct hl_recipient *to;
    struct hl_result result;
    struct hl_error error;
    struct hl_part body;
    hl_feed *feed;
    char *message;
    FILE *file;
    int i, n;

    if (argc < 5)
        return 64;
    message = malloc(MESSAGE_MAX);
    to = calloc((size_t)argc, sizeof(*to));
    file = fopen(argv[3], "rb");
    if (!message || !to || !file)
        return 1;
    body = hl_copy_of(message, fread(message, 1, MESSAGE_MAX, file));
    fclose(file);

    attach.socket_path = argv[1];
    if (hl_feed_attach(&feed, &attach, &error) != 0)
        return die(&error);

    for (i = 4; i < argc; i++)
        to[i - 4].address = hl_str(argv[i]);
    job.sender = hl_str(argv[2]);
    job.recipients = to;
    job.recipients_count = (size_t)(argc - 4);
    job.parts = &body;
    job.parts_count = 1;
    job.flags = HL_JOB_NORMALISE; /* a Unix file ends its lines with LF */
    if (hl_submit(feed, &job, &error) != 0)
        return die(&error);

    do {
        if (hl_wait(feed, -1, &error) < 0)
            return die(&error);
        while ((n = hl_reap(feed, &result, 1, &error)) > 0) {
            print_result(&result, argv + 4);
            if (result.last)
                break;
        }
        if (n < 0)
            return die(&error);
    } while (!n);

    hl_feed_detach(feed);
    free(to);
    free(message);
    return 0;
}
