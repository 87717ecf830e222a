/* player.c: what the session tells and sends is kept until the script asks for it. */
#include "tests/unit/smtp/dialogue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dialogue_fail(struct player *p, const char *format, ...)
{
    va_list args;
    int n = snprintf(p->why, sizeof(p->why), "%s:%u: ", p->file, p->line);
    va_start(args, format);
    vsnprintf(p->why + n, sizeof(p->why) - (size_t)n, format, args);
    va_end(args);
    longjmp(p->failed, 1);
}

static struct event *new_event(struct player *p)
{
    if (p->events == EVENTS_MAX)
        dialogue_fail(p, "too many events");
    return &p->event[p->events++];
}

static struct mail *mail_of(struct player *p, const struct smtp_message *message)
{
    struct mail *mail = container_of((struct smtp_message *)(uintptr_t)message, struct mail, message);
    if (mail->number == 0)
        dialogue_fail(p, "an event for a message that is not in hand");
    return mail;
}

/* Where a message is, or was. */
struct mail *dialogue_mail(struct player *p, unsigned number)
{
    return &p->mail[number % MESSAGES_MAX];
}

bool dialogue_in_hand(struct player *p, unsigned number)
{
    return number && dialogue_mail(p, number)->number == number;
}

static void on_recipient(void *ctx, const struct smtp_message *message, uint32_t index,
                         const struct outcome *outcome)
{
    struct player *p = ctx;
    const struct mail *mail = mail_of(p, message);
    *new_event(p) = (struct event){.message = mail->number, .index = index, .outcome = *outcome};
    if (outcome->verdict == VERDICT_IN_DOUBT && mail->stage != STAGE_DOT)
        dialogue_fail(p, "in doubt, though STAGE_DOT was never told");
}

static void on_stage(void *ctx, const struct smtp_message *message, enum stage stage)
{
    struct player *p = ctx;
    struct mail *mail = mail_of(p, message);
    if (stage <= mail->stage)
        dialogue_fail(p, "stage %s out of order", stage_name(stage));
    mail->stage = stage;
}

static void over(struct player *p, const struct smtp_message *message, struct event event)
{
    struct mail *mail = mail_of(p, message);
    event.message = mail->number;
    *new_event(p) = event;
    mail->number = 0;
    memset(mail->body, 0xee, mail->body_len); /* it is the caller's again */
}

static void on_done(void *ctx, const struct smtp_message *message)
{
    over(ctx, message, (struct event){.kind = EVENT_DONE});
}

static void on_returned(void *ctx, const struct smtp_message *message, enum smtp_return why)
{
    over(ctx, message, (struct event){.kind = EVENT_RETURNED, .why = why});
}

/* 0: the wire has no room for an output. */
static size_t output_room(const struct player *p)
{
    size_t cap = p->smallest_output ? SMTP_OUTPUT_MIN : 65536;
    return p->room < SMTP_OUTPUT_MIN ? 0 : min_size(cap, p->room);
}

void dialogue_listen(struct player *p)
{
    for (size_t n = 1, cap; n && (cap = output_room(p));) {
        uint8_t *out = malloc(cap); /* exactly so large, for the address sanitizer */
        n = smtp_output(&p->session, out, cap, p->now_us);
        if (p->heard_len + n > BUFFER_MAX)
            dialogue_fail(p, "the client talks without end");
        memcpy(p->heard + p->heard_len, out, n);
        p->heard_len += n;
        p->room -= p->room == SIZE_MAX ? 0 : n;
        free(out);
    }
}

static void open_session(struct player *p)
{
    if (p->opened)
        return;
    struct smtp_events events = {p, on_recipient, on_stage, on_done, on_returned};
    smtp_open(&p->session, &p->config, &events, !p->implicit_tls, p->now_us);
    p->opened = true;
    dialogue_listen(p);
}

/* Gives what the server has said since; nothing of the client's may be left over from before. */
void dialogue_flush(struct player *p)
{
    open_session(p);
    if (!p->said_len)
        return;
    size_t chunk = p->byte_by_byte ? 1 : p->said_len;
    for (size_t at = 0; at < p->said_len; at += chunk) {
        uint8_t *in = malloc(chunk);
        memcpy(in, p->said + at, chunk);
        smtp_input(&p->session, in, chunk, p->now_us);
        free(in);
    }
    p->said_len = 0;
    dialogue_listen(p);
}

void dialogue_quiet(struct player *p)
{
    dialogue_flush(p);
    if (p->heard_at < p->heard_len)
        dialogue_fail(p, "the client also sent: %.*s", (int)(p->heard_len - p->heard_at),
                      p->heard + p->heard_at);
    if (p->event_at < p->events)
        dialogue_fail(p, "an outcome or the end of the message was not expected here");
}
