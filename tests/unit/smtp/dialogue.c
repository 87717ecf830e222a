/* Plays conversations with the SMTP session: one *.dialogue file a case, its name is the case.
 *
 *     smtp_dialogue FOLDER [CASE...]
 *
 * Every case is played four times: replies given whole and byte by byte, output taken in large and in the
 * smallest buffers.  Time is virtual.  README.md in the folder explains the language.
 */
#include "engine/smtp/session.h"
#include "tests/lib/tap.h"

#include <ctype.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_verified {
    int made_by_a_test;
};

#define RECIPIENTS_MAX 8
#define MESSAGES_MAX   8 /* in hand at once */
#define EVENTS_MAX     32
#define BUFFER_MAX     (4u << 20)

/* Messages are counted from 1 on in the order in which they were begun. */
struct event {
    unsigned message;
    enum { EVENT_RECIPIENT, EVENT_DONE, EVENT_RETURNED } kind;
    enum smtp_return why;
    uint32_t index;
    struct outcome outcome;
};

struct mail {
    unsigned number;  /* 0: not in hand */
    enum stage stage; /* last one told */
    uint8_t *body;
    size_t body_len;
    struct smtp_message message;
    struct smtp_recipient recipient[RECIPIENTS_MAX];
    struct span extent[16];
    char address[RECIPIENTS_MAX][2048], sender[2048], dsn[2048];
};

struct player {
    const char *file;
    unsigned line;
    bool byte_by_byte, smallest_output;
    jmp_buf failed;
    char why[1024];

    struct smtp_session session;
    struct stats stats;
    struct tls_verified proof;
    uint64_t now_us;
    bool opened, implicit_tls;
    struct smtp_config config;

    uint8_t *said; /* server bytes not given yet */
    size_t said_len;
    uint8_t *heard; /* client bytes not expected yet: [heard_at, heard_len) */
    size_t heard_at, heard_len;

    struct event event[EVENTS_MAX];
    unsigned event_at, events;

    uint8_t *body; /* of the messages that follow */
    size_t body_len;
    struct mail mail[MESSAGES_MAX];
    unsigned begun, heard_mail; /* messages: begun, MAIL heard */
    unsigned wanted;            /* the message that a line is about; 0: any */
    size_t heard_chunk;         /* bytes of a chunk that came in pieces */
    size_t room;                /* for output, for the time being */
};

__attribute__((noreturn, format(printf, 2, 3))) static void fail(struct player *p, const char *format, ...)
{
    va_list args;
    int n = snprintf(p->why, sizeof(p->why), "%s:%u: ", p->file, p->line);
    va_start(args, format);
    vsnprintf(p->why + n, sizeof(p->why) - (size_t)n, format, args);
    va_end(args);
    longjmp(p->failed, 1);
}

/* ---- the session's side ---- */

static struct event *new_event(struct player *p)
{
    if (p->events == EVENTS_MAX)
        fail(p, "too many events");
    return &p->event[p->events++];
}

static struct mail *mail_of(struct player *p, const struct smtp_message *message)
{
    struct mail *mail = container_of((struct smtp_message *)(uintptr_t)message, struct mail, message);
    if (mail->number == 0)
        fail(p, "an event for a message that is not in hand");
    return mail;
}

/* Where a message is, or was. */
static struct mail *mail_place(struct player *p, unsigned number)
{
    return &p->mail[number % MESSAGES_MAX];
}

static bool is_in_hand(struct player *p, unsigned number)
{
    return number && mail_place(p, number)->number == number;
}

static void on_recipient(void *ctx, const struct smtp_message *message, uint32_t index,
                         const struct outcome *outcome)
{
    struct player *p = ctx;
    const struct mail *mail = mail_of(p, message);
    *new_event(p) = (struct event){.message = mail->number, .index = index, .outcome = *outcome};
    if (outcome->verdict == VERDICT_IN_DOUBT && mail->stage != STAGE_DOT)
        fail(p, "in doubt, though STAGE_DOT was never told");
}

static void on_stage(void *ctx, const struct smtp_message *message, enum stage stage)
{
    struct player *p = ctx;
    struct mail *mail = mail_of(p, message);
    if (stage <= mail->stage)
        fail(p, "stage %s out of order", stage_name(stage));
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

static void take_output(struct player *p)
{
    for (size_t n = 1, cap; n && (cap = output_room(p));) {
        uint8_t *out = malloc(cap); /* exactly so large, for the address sanitizer */
        n = smtp_output(&p->session, out, cap, p->now_us);
        if (p->heard_len + n > BUFFER_MAX)
            fail(p, "the client talks without end");
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
    take_output(p);
}

/* Gives what the server has said since; nothing of the client's may be left over from before. */
static void flush(struct player *p)
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
    take_output(p);
}

static void expect_quiet(struct player *p)
{
    flush(p);
    if (p->heard_at < p->heard_len)
        fail(p, "the client also sent: %.*s", (int)(p->heard_len - p->heard_at), p->heard + p->heard_at);
    if (p->event_at < p->events)
        fail(p, "an outcome or the end of the message was not expected here");
}

/* ---- words ---- */

/* \r \n \t \\ \xNN, and \(600 a) for six hundred times a */
static size_t unescape(struct player *p, const char *text, uint8_t *out, size_t cap)
{
    size_t n = 0;
    for (const char *t = text; *t;) {
        unsigned long times = 1, c = (unsigned char)*t++;
        if (c == '\\') {
            char *end;
            switch (*t++) {
            case 'r': c = '\r'; break;
            case 'n': c = '\n'; break;
            case 't': c = '\t'; break;
            case '\\': break;
            case 'x':
                c = strtoul((char[]){t[0], t[1], 0}, NULL, 16);
                t += 2;
                break;
            case '(':
                times = strtoul(t, &end, 10);
                c = (unsigned char)end[1];
                t = end + 3;
                break;
            default: fail(p, "unknown escape");
            }
        }
        if (n + times > cap)
            fail(p, "too long");
        memset(out + n, (int)c, times);
        n += times;
    }
    return n;
}

static bool word_is(const char **text, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(*text, word, n) != 0 || ((*text)[n] && (*text)[n] != ' '))
        return false;
    *text += n + ((*text)[n] == ' ');
    return true;
}

static const char *next_word(const char **text, char *word, size_t cap)
{
    size_t n = strcspn(*text, " ");
    snprintf(word, cap, "%.*s", (int)n, *text);
    *text += n + ((*text)[n] == ' ');
    return word;
}

/* ---- directives ---- */

static void say(struct player *p, const char *text, bool line)
{
    if (!p->said_len)
        expect_quiet(p);
    p->said_len += unescape(p, text, p->said + p->said_len, BUFFER_MAX - p->said_len - 2);
    if (line) {
        p->said[p->said_len++] = '\r';
        p->said[p->said_len++] = '\n';
    }
}

static void do_say_line(struct player *p, const char *text)
{
    say(p, text, true);
}

static void do_say_raw(struct player *p, const char *text)
{
    say(p, text, false);
}

/* The next message; those that were refused before a byte have been passed over. */
static void heard_mail(struct player *p)
{
    do
        p->heard_mail++;
    while (p->heard_mail < p->begun && !is_in_hand(p, p->heard_mail) &&
           mail_place(p, p->heard_mail)->stage == STAGE_NONE);
    if (mail_place(p, p->heard_mail)->stage < STAGE_MAIL)
        fail(p, "MAIL left before STAGE_MAIL was told");
}

static void do_hear_line(struct player *p, const char *text)
{
    flush(p);
    char want[2048];
    size_t len = unescape(p, text, (uint8_t *)want, sizeof(want) - 2);
    memcpy(want + len, "\r\n", 2);
    const uint8_t *heard = p->heard + p->heard_at;
    size_t left = p->heard_len - p->heard_at;
    const uint8_t *lf = memchr(heard, '\n', left);
    size_t heard_len = lf ? (size_t)(lf - heard) + 1 : left;
    if (heard_len != len + 2 || memcmp(heard, want, heard_len) != 0)
        fail(p, "expected \"%s\", the client sent \"%.*s\"", text, (int)heard_len, heard);
    p->heard_at += heard_len;
    if (strncmp(text, "MAIL ", 5) == 0)
        heard_mail(p);
    if (strcmp(text, ".") == 0 && is_in_hand(p, p->heard_mail) &&
        mail_place(p, p->heard_mail)->stage != STAGE_DOT)
        fail(p, "the end of data left before STAGE_DOT was told");
}

/* The body in hand, stuffed, up to and with its end of data. */
static void do_hear_body(struct player *p, const char *text)
{
    (void)text;
    flush(p);
    const struct mail *mail = mail_place(p, p->heard_mail);
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
        fail(p, "the body differs at byte %zu of %zu", n, mail->body_len);
    if (mail->stage != STAGE_DOT)
        fail(p, "the end of data left before STAGE_DOT was told");
    p->heard_at = (size_t)(at + 3 - p->heard);
}

/* BDAT for the whole body, and the body as it is. */
static void do_hear_chunk(struct player *p, const char *text)
{
    (void)text;
    flush(p);
    const struct mail *mail = mail_place(p, p->heard_mail);
    char command[64];
    size_t len = mail->body_len;
    snprintf(command, sizeof(command), "BDAT %zu LAST", len);
    do_hear_line(p, command);
    const uint8_t *heard = p->heard + p->heard_at;
    if (p->heard_len - p->heard_at < len)
        fail(p, "of the chunk's %zu bytes %zu came", len, p->heard_len - p->heard_at);
    for (size_t i = 0; i < len; i++)
        if (heard[i] != mail->body[i])
            fail(p, "the chunk differs at byte %zu of %zu", i, len);
    if (mail->stage != STAGE_DOT)
        fail(p, "the chunk's last byte left before STAGE_DOT was told");
    p->heard_at += len;
}

/* BDAT and some of the chunk, for want of room; the rest later. */
static void do_hear_begun(struct player *p, const char *text)
{
    (void)text;
    char command[64];
    const struct mail *mail = mail_place(p, p->heard_mail);
    snprintf(command, sizeof(command), "BDAT %zu LAST", mail->body_len);
    do_hear_line(p, command);
    p->heard_chunk = p->heard_len - p->heard_at;
    if (p->heard_chunk == 0 || p->heard_chunk >= mail->body_len || mail->stage == STAGE_DOT)
        fail(p, "%zu bytes of the chunk have left, and STAGE_DOT has%s been told", p->heard_chunk,
             mail->stage == STAGE_DOT ? "" : " not");
    if (memcmp(p->heard + p->heard_at, mail->body, p->heard_chunk) != 0)
        fail(p, "the chunk differs");
    p->heard_at = p->heard_len;
}

static void do_hear_rest(struct player *p, const char *text)
{
    (void)text;
    flush(p);
    const struct mail *mail = mail_place(p, p->heard_mail);
    size_t n = p->heard_len - p->heard_at;
    if (p->heard_chunk + n != mail->body_len)
        fail(p, "%zu bytes of the chunk's %zu have left", p->heard_chunk + n, mail->body_len);
    if (is_in_hand(p, p->heard_mail) && memcmp(p->heard + p->heard_at, mail->body + p->heard_chunk, n) != 0)
        fail(p, "the rest of the chunk differs");
    p->heard_at = p->heard_len;
}

static void do_config(struct player *p, const char *text)
{
    while (*text) {
        char word[64];
        next_word(&text, word, sizeof(word));
        if (sscanf(word, "messages_max=%u", &p->config.messages_max) == 1 ||
            sscanf(word, "percent=%u", &p->config.timeout_percent) == 1 ||
            sscanf(word, "ahead=%u", &p->config.messages_ahead) == 1 ||
            sscanf(word, "chunk_ahead=%lu", &p->config.chunk_ahead_bytes) == 1)
            continue;
        if (strcmp(word, "no_chunking") == 0) {
            p->config.chunking = false;
            continue;
        }
        if (strcmp(word, "implicit_tls") != 0)
            fail(p, "what is %s?", word);
        p->implicit_tls = true;
    }
}

static void do_tls(struct player *p, const char *text)
{
    (void)text;
    expect_quiet(p);
    if (smtp_want(&p->session) != (p->implicit_tls ? SMTP_WANT_IO : SMTP_WANT_STARTTLS))
        fail(p, "the session does not want TLS, it is %s", smtp_state_text(&p->session));
    smtp_secured(&p->session, &p->proof, p->now_us);
    take_output(p);
}

/* The usual way to a session that is ready; text: the keywords of the second EHLO reply. */
static void do_opened(struct player *p, const char *text)
{
    char keyword[64];
    do_say_line(p, "220 mx.example ESMTP");
    do_hear_line(p, "EHLO client.example");
    do_say_line(p, "250-mx.example");
    do_say_line(p, "250 STARTTLS");
    do_hear_line(p, "STARTTLS");
    do_say_line(p, "220 go ahead");
    do_tls(p, "");
    do_hear_line(p, "EHLO client.example");
    do_say_line(p, *text ? "250-mx.example" : "250 mx.example");
    while (*text) {
        char line[96];
        next_word(&text, keyword, sizeof(keyword));
        for (char *equals = keyword; (equals = strchr(equals, '='));)
            *equals = ' ';
        snprintf(line, sizeof(line), "250%c%s", *text ? '-' : ' ', keyword);
        do_say_line(p, line);
    }
    expect_quiet(p);
    if (!smtp_ready(&p->session))
        fail(p, "the session is not ready");
}

static void do_body(struct player *p, const char *text)
{
    p->body_len = unescape(p, text, p->body, BUFFER_MAX);
}

/* So many bytes of lines of all lengths, some of them beginning with dots. */
static void do_body_bytes(struct player *p, const char *text)
{
    p->body_len = strtoul(text, NULL, 10);
    for (size_t i = 0; i < p->body_len; i++)
        p->body[i] = (uint8_t)(i % 7 < 2 ? '.' : 'a' + i % 26);
    for (size_t i = 0, line = 0; i + 2 < p->body_len; i += 2 + line++ % 90)
        memcpy(p->body + i, "\r\n", 2);
    memcpy(p->body + p->body_len - 2, "\r\n", 2);
    if (p->body[p->body_len - 3] == '\r')
        p->body[p->body_len - 3] = 'x';
}

static void split_body(struct mail *mail, uint32_t extents)
{
    size_t at = 0;
    for (uint32_t i = 0; i < extents; i++) {
        size_t n = i + 1 < extents ? mail->body_len / extents : mail->body_len - at;
        mail->extent[i] = (struct span){mail->body + at, n};
        at += n;
    }
    mail->message.extent = mail->extent;
    mail->message.extents = extents;
    mail->message.body_bytes = mail->body_len;
}

static void address(struct player *p, struct span *span, char *store, size_t cap, const char *text)
{
    *span = (struct span){(uint8_t *)store, unescape(p, text, (uint8_t *)store, cap)};
}

static void message_word(struct player *p, struct mail *mail, const char *word)
{
    unsigned n, recipient;
    int value = 0;
    if (sscanf(word, "rcpt=%u", &n) == 1 && n <= RECIPIENTS_MAX)
        mail->message.recipients = n;
    else if (sscanf(word, "extents=%u", &n) == 1 && n <= ARRAY_LEN(mail->extent))
        split_body(mail, n);
    else if (sscanf(word, "body_bytes=%u", &n) == 1)
        mail->message.body_bytes = n;
    else if (sscanf(word, "decided%u", &recipient) == 1 && recipient < RECIPIENTS_MAX)
        mail->recipient[recipient].decided = true;
    else if (strncmp(word, "from=", 5) == 0)
        address(p, &mail->message.sender, mail->sender, sizeof(mail->sender), word + 5);
    else if (sscanf(word, "to%u=%n", &recipient, &value) == 1 && value && recipient < RECIPIENTS_MAX)
        address(p, &mail->recipient[recipient].address, mail->address[recipient], sizeof(mail->address[0]),
                word + value);
    else if (sscanf(word, "dsn%u=%n", &recipient, &value) == 1 && value && recipient < RECIPIENTS_MAX)
        address(p, &mail->recipient[recipient].dsn, mail->dsn, sizeof(mail->dsn), word + value);
    else if (strcmp(word, "8bit") == 0)
        mail->message.body_type = SMTP_BODY_8BITMIME;
    else if (strcmp(word, "utf8") == 0)
        mail->message.smtputf8 = true;
    else
        fail(p, "what is %s?", word);
}

static void do_message(struct player *p, const char *text)
{
    expect_quiet(p);
    if (!smtp_ready(&p->session))
        fail(p, "the session is not ready, it is %s", smtp_state_text(&p->session));
    struct mail *mail = mail_place(p, ++p->begun);
    if (mail->number)
        fail(p, "too many messages in hand");
    mail->number = p->begun;
    mail->stage = STAGE_NONE;
    mail->message = (struct smtp_message){.recipient = mail->recipient, .recipients = 1};
    mail->body = realloc(mail->body, p->body_len + 1);
    mail->body_len = p->body_len;
    memcpy(mail->body, p->body, p->body_len);
    memset(mail->recipient, 0, sizeof(mail->recipient));
    address(p, &mail->message.sender, mail->sender, sizeof(mail->sender), "sender@example.net");
    for (unsigned i = 0; i < RECIPIENTS_MAX; i++) {
        char to[32];
        snprintf(to, sizeof(to), "r%u@example.org", i);
        address(p, &mail->recipient[i].address, mail->address[i], sizeof(mail->address[i]), to);
    }
    split_body(mail, 1);
    while (*text) {
        char word[2048];
        message_word(p, mail, next_word(&text, word, sizeof(word)));
    }
    smtp_begin(&p->session, &mail->message, p->now_us);
    take_output(p);
}

static void do_time(struct player *p, const char *text)
{
    expect_quiet(p);
    p->now_us += (uint64_t)(strtod(text, NULL) * 1e6);
    smtp_timers(&p->session, p->now_us);
    take_output(p);
}

static void do_lost(struct player *p, const char *text)
{
    struct outcome why;
    expect_quiet(p);
    for (enum reason r = 0; r < REASON_COUNT; r++)
        if (strcmp(reason_name(r), text) == 0) {
            outcome_set(&why, VERDICT_NONE, STAGE_NONE, FAULT_NETWORK, r, "the test cut the wire");
            smtp_lost(&p->session, &why, p->now_us);
            take_output(p);
            return;
        }
    fail(p, "what is %s?", text);
}

static void do_quit(struct player *p, const char *text)
{
    (void)text;
    flush(p);
    smtp_quit(&p->session, p->now_us);
    take_output(p);
}

/* VERDICT CODE ENHANCED STAGE FAULT REASON [: text], "-" for none */
static void expect_outcome(struct player *p, const struct outcome *o, const char *text)
{
    char got[128], code[8] = "-", enhanced[16] = "-";
    if (o->smtp_code)
        snprintf(code, sizeof(code), "%u", o->smtp_code);
    if (o->enhanced[0])
        snprintf(enhanced, sizeof(enhanced), "%u.%u.%u", o->enhanced[0], o->enhanced[1], o->enhanced[2]);
    const char *verdict = o->verdict == VERDICT_IN_DOUBT ? "in-doubt" : verdict_name(o->verdict);
    snprintf(got, sizeof(got), "%s %s %s %s %s %s", verdict, code, enhanced, stage_name(o->stage),
             fault_name(o->fault), reason_name(o->reason));
    const char *colon = strstr(text, " : ");
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    if (strlen(got) != n || strncmp(got, text, n) != 0)
        fail(p, "expected %.*s, got %s : %s", (int)n, text, got, o->text);
    char want[OUTCOME_TEXT_MAX] = "";
    if (colon)
        want[unescape(p, colon + 3, (uint8_t *)want, sizeof(want) - 1)] = '\0';
    if (colon && !strstr(o->text, want))
        fail(p, "the text is not \"%s\" but \"%s\"", want, o->text);
}

static struct event *next_event(struct player *p)
{
    flush(p);
    if (p->event_at == p->events)
        fail(p, "nothing has been decided");
    struct event *event = &p->event[p->event_at++];
    unsigned number = p->wanted ? p->wanted : event->message;
    if (event->message != number)
        fail(p, "this came for message %u", event->message);
    return event;
}

static void do_recipient(struct player *p, const char *text)
{
    struct event *e = next_event(p);
    unsigned long index = strtoul(text, (char **)&text, 10);
    if (e->kind != EVENT_RECIPIENT || e->index != index)
        fail(p, "not this recipient's turn");
    expect_outcome(p, &e->outcome, text + 1);
}

static void do_done(struct player *p, const char *text)
{
    (void)text;
    if (next_event(p)->kind != EVENT_DONE)
        fail(p, "the message is not done");
}

static void do_returned(struct player *p, const char *text)
{
    const struct event *e = next_event(p);
    if (e->kind != EVENT_RETURNED || (e->why == SMTP_RETURN_NO_BDAT) != (strcmp(text, "no-bdat") == 0))
        fail(p, "the message is not returned, or for another reason");
}

/* How many there have been since the session was opened. */
static void do_flights(struct player *p, const char *text)
{
    expect_quiet(p);
    if (p->stats.v[STAT_smtp_flights] != strtoul(text, NULL, 10))
        fail(p, "there were %lu flights", p->stats.v[STAT_smtp_flights]);
}

/* Room for so many bytes is found in the output; what leaves later is heard later. */
static void do_room(struct player *p, const char *text)
{
    expect_quiet(p);
    p->room = strcmp(text, "free") == 0 ? SIZE_MAX : strtoul(text, NULL, 10);
    take_output(p);
}

static void do_session(struct player *p, const char *text)
{
    struct outcome o;
    expect_quiet(p);
    smtp_outcome(&p->session, &o);
    expect_outcome(p, &o, strcmp(text, "sound") == 0 ? "none - - none none none" : text);
}

static void do_ready(struct player *p, const char *text)
{
    expect_quiet(p);
    if (smtp_ready(&p->session) != (strcmp(text, "no") != 0))
        fail(p, "the session is %s", smtp_state_text(&p->session));
    bool idle = smtp_ready(&p->session) && !smtp_reply_is_owed(&p->session);
    if (idle && smtp_next_deadline(&p->session) != DEADLINE_NEVER)
        fail(p, "an idle session has a deadline");
}

static void do_closed(struct player *p, const char *text)
{
    (void)text;
    expect_quiet(p);
    if (smtp_want(&p->session) != SMTP_WANT_CLOSE || smtp_next_deadline(&p->session) != DEADLINE_NEVER)
        fail(p, "not closed: %s", smtp_state_text(&p->session));
}

static void do_deadline(struct player *p, const char *text)
{
    expect_quiet(p);
    bool never = strcmp(text, "never") == 0;
    uint64_t want = never ? DEADLINE_NEVER : p->now_us + (uint64_t)(strtod(text, NULL) * 1e6);
    if (smtp_next_deadline(&p->session) != want)
        fail(p, "the deadline is %g s from now", (double)(smtp_next_deadline(&p->session) - p->now_us) / 1e6);
}

static void do_state(struct player *p, const char *text)
{
    flush(p);
    if (strcmp(smtp_state_text(&p->session), text) != 0)
        fail(p, "the session is %s", smtp_state_text(&p->session));
}

/* What follows is another case's: the connection ends here, and each recipient must still get its outcome. */
static void do_enough(struct player *p, const char *text)
{
    (void)text;
    expect_quiet(p);
    unsigned expected = 0, returned = 0;
    for (uint32_t serial = p->session.reply_at.serial; serial < p->session.begun; serial++) {
        const struct smtp_transaction *t = smtp_transaction(&p->session, serial);
        expected += t->message ? t->undecided + 1 : 0;
    }
    if (!expected)
        fail(p, "no message is in hand");
    do_lost(p, "connection-lost");
    for (unsigned i = p->event_at; i < p->events; i++)
        returned += p->event[i].kind == EVENT_RETURNED;
    if (!returned && p->events - p->event_at != expected)
        fail(p, "%u events were due, %u events came", expected, p->events - p->event_at);
    p->event_at = p->events;
}

static const struct {
    const char *word;
    void (*play)(struct player *p, const char *text);
} directives[] = {
    {"S:", do_say_line},        {"S!", do_say_raw},       {"C:", do_hear_line},
    {"C body", do_hear_body},   {"config", do_config},    {"tls", do_tls},
    {"opened", do_opened},      {"body", do_body},        {"bytes", do_body_bytes},
    {"message", do_message},    {"@", do_time},           {"lost", do_lost},
    {"quit", do_quit},          {"done", do_done},        {"session", do_session},
    {"ready", do_ready},        {"closed", do_closed},    {"deadline", do_deadline},
    {"state", do_state},        {"enough", do_enough},    {"C chunk", do_hear_chunk},
    {"C begun", do_hear_begun}, {"C rest", do_hear_rest}, {"returned", do_returned},
    {"flights", do_flights},    {"room", do_room},
};

static void play_line(struct player *p, const char *line)
{
    if (line[0] == '#' || line[0] == '\0')
        return;
    p->wanted = isdigit((unsigned char)line[0]) ? (unsigned)strtoul(line, (char **)&line, 10) : 0;
    line += p->wanted && *line == ' ';
    if (line[0] == 'R' && isdigit((unsigned char)line[1])) {
        do_recipient(p, line + 1);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(directives); i++)
        if (word_is(&line, directives[i].word)) {
            directives[i].play(p, line);
            return;
        }
    fail(p, "what is \"%s\"?", line);
}

/* ---- cases ---- */

static void play_file(struct player *p, FILE *in)
{
    char line[4096];
    while (fgets(line, sizeof(line), in)) {
        p->line++;
        line[strcspn(line, "\n")] = '\0';
        play_line(p, line);
    }
    p->line++;
    expect_quiet(p);
    for (unsigned i = 0; i < MESSAGES_MAX; i++)
        if (p->mail[i].number)
            fail(p, "message %u is left without an end", p->mail[i].number);
}

static bool play(const char *path, bool byte_by_byte, bool smallest_output)
{
    struct player *p = calloc(1, sizeof(*p));
    FILE *in = fopen(path, "r");
    bool passed = false;
    p->file = strrchr(path, '/') + 1;
    p->byte_by_byte = byte_by_byte;
    p->smallest_output = smallest_output;
    p->now_us = 1000000;
    p->room = SIZE_MAX;
    p->config = (struct smtp_config){"client.example", 100, 0, &p->stats, 4, true, 1u << 20};
    p->said = malloc(BUFFER_MAX);
    p->heard = malloc(BUFFER_MAX);
    p->body = malloc(BUFFER_MAX);
    do_body(p, "Subject: test\\r\\n\\r\\nhello\\r\\n");
    if (!in) {
        snprintf(p->why, sizeof(p->why), "cannot read %s", path);
    } else if (setjmp(p->failed) == 0) {
        play_file(p, in);
        passed = true;
    }
    if (!passed)
        tap_note("%s", p->why);
    if (in)
        fclose(in);
    free(p->said);
    free(p->heard);
    free(p->body);
    for (unsigned i = 0; i < MESSAGES_MAX; i++)
        free(p->mail[i].body);
    free(p);
    return passed;
}

static void play_case(const char *folder, const char *file)
{
    char path[4096];
    bool passed = true;
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    for (int mode = 0; mode < 4; mode++)
        if (!play(path, mode & 1, mode & 2)) {
            tap_note("played %s, with %s output buffers", mode & 1 ? "byte by byte" : "whole",
                     mode & 2 ? "the smallest" : "large");
            passed = false;
        }
    tap_ok(passed, "%.*s", (int)strcspn(file, "."), file);
}

static int is_dialogue(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".dialogue") == 0;
}

int main(int argc, char **argv)
{
    struct dirent **entry;
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [CASE...]\n", argv[0]);
        return 2;
    }
    int n = scandir(argv[1], &entry, is_dialogue, alphasort);
    if (n < 50)
        tap_ok(false, "the dialogues are in %s", argv[1]);
    for (int i = 0; i < n; i++) {
        bool wanted = argc == 2;
        for (int a = 2; a < argc; a++)
            wanted |= strncmp(argv[a], entry[i]->d_name, strcspn(entry[i]->d_name, ".")) == 0;
        if (wanted)
            play_case(argv[1], entry[i]->d_name);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    return tap_done();
}
