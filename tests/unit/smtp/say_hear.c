/* say_hear.c: S: and C:, bodies and chunks among them. */
#include "tests/unit/smtp/dialogue.h"

#include <stdio.h>
#include <string.h>

static void say(struct player *p, const char *text, bool line)
{
    if (!p->said_len)
        dialogue_quiet(p);
    p->said_len += dialogue_unescape(p, text, p->said + p->said_len, BUFFER_MAX - p->said_len - 2);
    if (line) {
        p->said[p->said_len++] = '\r';
        p->said[p->said_len++] = '\n';
    }
}

void do_say_line(struct player *p, const char *text)
{
    say(p, text, true);
}

void do_say_raw(struct player *p, const char *text)
{
    say(p, text, false);
}

/* The next message; those that were refused before a byte have been passed over. */
static void heard_mail(struct player *p)
{
    do
        p->heard_mail++;
    while (p->heard_mail < p->begun && !dialogue_in_hand(p, p->heard_mail) &&
           dialogue_mail(p, p->heard_mail)->stage == STAGE_NONE);
    if (dialogue_mail(p, p->heard_mail)->stage < STAGE_MAIL)
        dialogue_fail(p, "MAIL left before STAGE_MAIL was told");
}

void do_hear_line(struct player *p, const char *text)
{
    dialogue_flush(p);
    char want[2048];
    size_t len = dialogue_unescape(p, text, (uint8_t *)want, sizeof(want) - 2);
    memcpy(want + len, "\r\n", 2);
    const uint8_t *heard = p->heard + p->heard_at;
    size_t left = p->heard_len - p->heard_at;
    const uint8_t *lf = memchr(heard, '\n', left);
    size_t heard_len = lf ? (size_t)(lf - heard) + 1 : left;
    if (heard_len != len + 2 || memcmp(heard, want, heard_len) != 0)
        dialogue_fail(p, "expected \"%s\", the client sent \"%.*s\"", text, (int)heard_len, heard);
    p->heard_at += heard_len;
    if (strncmp(text, "MAIL ", 5) == 0)
        heard_mail(p);
    if (strcmp(text, ".") == 0 && dialogue_in_hand(p, p->heard_mail) &&
        dialogue_mail(p, p->heard_mail)->stage != STAGE_DOT)
        dialogue_fail(p, "the end of data left before STAGE_DOT was told");
}

/* The body in hand, stuffed, up to and with its end of data. */
void do_hear_body(struct player *p, const char *text)
{
    (void)text;
    dialogue_flush(p);
    const struct mail *mail = dialogue_mail(p, p->heard_mail);
    const uint8_t *at = p->heard + p->heard_at, *end = p->heard + p->heard_len;
    size_t n = 0;
    for (bool line_start = true; at < end; at++) {
        if (line_start && *at == '.') {
            if (end - at >= 3 && memcmp(at, ".\r\n", 3) == 0)
                break;
            at++;
        }
        if (at < end && (n >= mail->body_len || *at != mail->body[n]))
            break;
        line_start = *at == '\n';
        n++;
    }
    if (n != mail->body_len || end - at < 3 || memcmp(at, ".\r\n", 3) != 0)
        dialogue_fail(p, "the body differs at byte %zu of %zu", n, mail->body_len);
    if (mail->stage != STAGE_DOT)
        dialogue_fail(p, "the end of data left before STAGE_DOT was told");
    p->heard_at = (size_t)(at + 3 - p->heard);
}

/* BDAT for the whole body, and the body as it is. */
void do_hear_chunk(struct player *p, const char *text)
{
    (void)text;
    dialogue_flush(p);
    const struct mail *mail = dialogue_mail(p, p->heard_mail);
    char command[64];
    size_t len = mail->body_len;
    snprintf(command, sizeof(command), "BDAT %zu LAST", len);
    do_hear_line(p, command);
    const uint8_t *heard = p->heard + p->heard_at;
    if (p->heard_len - p->heard_at < len)
        dialogue_fail(p, "of the chunk's %zu bytes %zu came", len, p->heard_len - p->heard_at);
    for (size_t i = 0; i < len; i++)
        if (heard[i] != mail->body[i])
            dialogue_fail(p, "the chunk differs at byte %zu of %zu", i, len);
    if (mail->stage != STAGE_DOT)
        dialogue_fail(p, "the chunk's last byte left before STAGE_DOT was told");
    p->heard_at += len;
}

/* BDAT and some of the chunk, for want of room; the rest later. */
void do_hear_begun(struct player *p, const char *text)
{
    (void)text;
    char command[64];
    const struct mail *mail = dialogue_mail(p, p->heard_mail);
    snprintf(command, sizeof(command), "BDAT %zu LAST", mail->body_len);
    do_hear_line(p, command);
    p->heard_chunk = p->heard_len - p->heard_at;
    if (p->heard_chunk == 0 || p->heard_chunk >= mail->body_len || mail->stage == STAGE_DOT)
        dialogue_fail(p, "%zu bytes of the chunk have left, and STAGE_DOT has%s been told", p->heard_chunk,
                      mail->stage == STAGE_DOT ? "" : " not");
    if (memcmp(p->heard + p->heard_at, mail->body, p->heard_chunk) != 0)
        dialogue_fail(p, "the chunk differs");
    p->heard_at = p->heard_len;
}

void do_hear_rest(struct player *p, const char *text)
{
    (void)text;
    dialogue_flush(p);
    const struct mail *mail = dialogue_mail(p, p->heard_mail);
    size_t n = p->heard_len - p->heard_at;
    if (p->heard_chunk + n != mail->body_len)
        dialogue_fail(p, "%zu bytes of the chunk's %zu have left", p->heard_chunk + n, mail->body_len);
    if (dialogue_in_hand(p, p->heard_mail) &&
        memcmp(p->heard + p->heard_at, mail->body + p->heard_chunk, n) != 0)
        dialogue_fail(p, "the rest of the chunk differs");
    p->heard_at = p->heard_len;
}
