#include "bench/farm_smtp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct line {
    const char *text; /* without CRLF */
    size_t len;
};

/* ---- replies ---- */

static void printf_like(2, 3) reply(struct farm_smtp *s, const char *fmt, ...)
{
    size_t room = sizeof(s->out) - s->out_len;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(s->out + s->out_len, room, fmt, args);
    va_end(args);
    s->out_len = (uint16_t)(s->out_len + min_size((size_t)n, room - 1));
}

void farm_smtp_idle(struct farm_smtp *s)
{
    reply(s, "421 4.4.2 %s Nothing has come for too long\r\n", s->host);
    s->state = FARM_SMTP_QUIT;
}

void farm_smtp_sent(struct farm_smtp *s, size_t len)
{
    s->out_len = (uint16_t)(s->out_len - len);
    memmove(s->out, s->out + len, s->out_len);
}

/* Whether a fault was asked for; then it is answered, or the connection is over. */
static bool failed(struct farm_smtp *s, enum farm_stage stage, const char *argument, size_t len)
{
    const char *fault = s->rules->fault(s->rules->ctx, stage, argument, len);
    if (!fault)
        return false;
    reply(s, "%s\r\n", fault);
    if (strncmp(fault, "421", 3) == 0) /* RFC 5321 section 3.8: the channel closes */
        s->state = FARM_SMTP_QUIT;
    return true;
}

/* ---- commands ---- */

static void reset(struct farm_smtp *s)
{
    s->mail = s->chunked = false;
    s->recipients = 0;
}

static bool needs_tls(struct farm_smtp *s)
{
    if (s->secured || s->rules->plain)
        return false;
    reply(s, "530 5.7.0 Must issue a STARTTLS command first\r\n");
    return true;
}

static void on_ehlo(struct farm_smtp *s, const struct line *line)
{
    (void)line;
    if (failed(s, FARM_AT_EHLO, "", 0))
        return;
    reset(s);
    s->greeted = true;
    reply(s, "250-%s\r\n250-PIPELINING\r\n250-SIZE %u\r\n250-8BITMIME\r\n", s->host, FARM_SMTP_SIZE_MAX);
    if (s->rules->chunking)
        reply(s, "250-CHUNKING\r\n");
    if (!s->secured && !s->rules->plain)
        reply(s, "250-STARTTLS\r\n");
    reply(s, "250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static void on_helo(struct farm_smtp *s, const struct line *line)
{
    (void)line;
    reset(s);
    s->greeted = true;
    reply(s, "250 %s\r\n", s->host);
}

static void on_starttls(struct farm_smtp *s, const struct line *line)
{
    if (line->len > strlen("STARTTLS")) {
        reply(s, "501 5.5.4 STARTTLS takes no parameter\r\n");
    } else if (s->secured || s->rules->plain) {
        reply(s, "503 5.5.1 Not now\r\n");
    } else {
        reply(s, "220 2.0.0 Go ahead\r\n");
        s->state = FARM_SMTP_STARTTLS;
    }
}

static bool has_path(const struct line *line, const char *prefix, struct line *path)
{
    size_t n = strlen(prefix);
    if (line->len < n || strncasecmp(line->text, prefix, n) != 0)
        return false;
    const char *from = line->text + n, *end = memchr(from, '>', line->len - n);
    if (*from != '<' || !end)
        return false;
    *path = (struct line){from + 1, (size_t)(end - from - 1)};
    return true;
}

static void on_mail(struct farm_smtp *s, const struct line *line)
{
    struct line path;
    if (needs_tls(s))
        return;
    if (!s->greeted || s->mail) {
        reply(s, "503 5.5.1 %s\r\n", s->mail ? "Sender already given" : "EHLO first");
    } else if (!has_path(line, "MAIL FROM:", &path)) {
        reply(s, "501 5.5.4 MAIL FROM:<address> it is\r\n");
    } else if (!failed(s, FARM_AT_MAIL, "", 0)) {
        s->mail = true;
        reply(s, "250 2.1.0 Ok\r\n");
    }
}

static void on_rcpt(struct farm_smtp *s, const struct line *line)
{
    struct line path;
    if (needs_tls(s))
        return;
    if (!s->mail || s->chunked) {
        reply(s, "503 5.5.1 %s\r\n", s->mail ? "Not in a message" : "MAIL first");
    } else if (!has_path(line, "RCPT TO:", &path) || path.len == 0) {
        reply(s, "501 5.5.4 RCPT TO:<address> it is\r\n");
    } else if (!failed(s, FARM_AT_RCPT, path.text, path.len)) {
        s->recipients++;
        reply(s, "250 2.1.5 Ok\r\n");
    }
}

static void on_data(struct farm_smtp *s, const struct line *line)
{
    (void)line;
    if (needs_tls(s))
        return;
    if (!s->mail || s->chunked) {
        reply(s, "503 5.5.1 %s\r\n", s->mail ? "BDAT it was" : "MAIL first");
    } else if (!s->recipients) {
        reply(s, "554 5.5.1 No valid recipients\r\n");
    } else {
        check_begin(&s->message);
        s->state = FARM_SMTP_DATA;
        s->eol = EOL_START;
        reply(s, "354 End data with <CR><LF>.<CR><LF>\r\n");
    }
}

static void on_rset(struct farm_smtp *s, const struct line *line)
{
    (void)line;
    reset(s);
    reply(s, "250 2.0.0 Ok\r\n");
}

static void on_noop(struct farm_smtp *s, const struct line *line)
{
    (void)line;
    reply(s, "250 2.0.0 Ok\r\n");
}

static void on_vrfy(struct farm_smtp *s, const struct line *line)
{
    (void)line;
    reply(s, "252 2.0.0 Send some mail, I'll try my best\r\n");
}

static void on_quit(struct farm_smtp *s, const struct line *line)
{
    (void)line;
    reply(s, "221 2.0.0 Bye\r\n");
    s->state = FARM_SMTP_QUIT;
}

/* ---- messages ---- */

static void message_over(struct farm_smtp *s)
{
    s->state = FARM_SMTP_COMMAND;
    if (s->rules->cut(s->rules->ctx)) {
        s->state = FARM_SMTP_CUT;
    } else if (s->message.bytes > FARM_SMTP_SIZE_MAX) {
        reply(s, "552 5.3.4 Message too big\r\n");
    } else if (!failed(s, FARM_AT_MESSAGE, "", 0)) {
        s->rules->message(s->rules->ctx, &s->message, s->recipients);
        reply(s, "250 2.0.0 Ok\r\n");
    }
    reset(s);
}

static bool read_number(const char **at, const char *end, uint64_t *value)
{
    const char *from = *at;
    for (*value = 0; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        if (*at - from >= 12)
            return false;
        *value = *value * 10 + (uint64_t)(**at - '0');
    }
    return *at > from;
}

/* RFC 3030 section 2: BDAT SP size [SP LAST]. */
static bool read_chunk(struct farm_smtp *s, const struct line *line)
{
    const char *at = line->text + strlen("BDAT"), *end = line->text + line->len;
    if (at == end || *at != ' ')
        return false;
    at++;
    if (!read_number(&at, end, &s->chunk_left))
        return false;
    s->chunk_last = end - at == 5 && strncasecmp(at, " LAST", 5) == 0;
    return s->chunk_last || at == end;
}

static void chunk_over(struct farm_smtp *s)
{
    s->state = FARM_SMTP_COMMAND;
    if (s->chunk_refused)
        reply(
            s,
            "503 5.5.1 No message for that\r\n"); /* RFC 3030 section 2: the octets are read none the less */
    else if (s->chunk_last)
        message_over(s);
    else
        reply(s, "250 2.0.0 Chunk of it\r\n");
}

static void on_bdat(struct farm_smtp *s, const struct line *line)
{
    if (!s->rules->chunking) {
        reply(s, "502 5.5.1 Not offered\r\n");
        return;
    }
    if (!read_chunk(s, line)) { /* what comes behind it cannot be told from commands */
        reply(s, "501 5.5.4 BDAT size [LAST] it is\r\n");
        s->state = FARM_SMTP_QUIT;
        return;
    }
    s->chunk_refused = !s->recipients || (!s->secured && !s->rules->plain);
    if (!s->chunk_refused && !s->chunked) {
        check_begin(&s->message);
        s->chunked = true;
    }
    s->state = FARM_SMTP_CHUNK;
    if (s->chunk_left == 0)
        chunk_over(s);
}

static size_t take_chunk(struct farm_smtp *s, const char *in, size_t len)
{
    size_t n = (size_t)min_u64(len, s->chunk_left);
    if (!s->chunk_refused)
        check_add(&s->message, in, n);
    s->chunk_left -= n;
    if (s->chunk_left == 0)
        chunk_over(s);
    return n;
}

/* One byte that is not in the middle of a line: what it means where we are. */
static void data_byte(struct farm_smtp *s, char c)
{
    bool dot = s->eol == EOL_DOT, dot_cr = s->eol == EOL_DOT_CR;
    if (dot_cr && c == '\n') {
        message_over(s);
        return;
    }
    if (s->eol == EOL_START && c == '.') { /* RFC 5321 section 4.5.2: the sender has put it there */
        s->eol = EOL_DOT;
        return;
    }
    if (dot && c == '\r') {
        s->eol = EOL_DOT_CR;
        return;
    }
    if (dot_cr)
        check_add(&s->message, "\r", 1);
    check_add(&s->message, &c, 1);
    bool ends = s->eol == EOL_CR && c == '\n';
    s->eol = ends ? EOL_START : c == '\r' ? EOL_CR : EOL_INSIDE;
}

/* The run of bytes up to the next line's beginning that has a dot; most of a body goes through here. */
static size_t data_run(struct farm_smtp *s, const char *in, size_t len)
{
    size_t at = 0;
    for (const char *lf; (lf = memchr(in + at, '\n', len - at)) != NULL;) {
        at = (size_t)(lf - in) + 1;
        bool after_cr = at >= 2 ? in[at - 2] == '\r' : s->eol == EOL_CR;
        if (after_cr && (at == len || in[at] == '.')) {
            check_add(&s->message, in, at);
            s->eol = EOL_START;
            return at;
        }
    }
    check_add(&s->message, in, len);
    s->eol = in[len - 1] == '\r' ? EOL_CR : EOL_INSIDE;
    return len;
}

static size_t take_data(struct farm_smtp *s, const char *in, size_t len)
{
    bool at_dot = s->eol == EOL_DOT || s->eol == EOL_DOT_CR || (s->eol == EOL_START && *in == '.');
    if (!at_dot)
        return data_run(s, in, len);
    data_byte(s, *in);
    return 1;
}

/* ---- input ---- */

static const struct command {
    const char *verb;
    void (*run)(struct farm_smtp *s, const struct line *line);
} commands[] = {
    {"MAIL", on_mail},         {"RCPT", on_rcpt}, {"BDAT", on_bdat}, {"DATA", on_data},
    {"EHLO", on_ehlo},         {"QUIT", on_quit}, {"RSET", on_rset}, {"NOOP", on_noop},
    {"STARTTLS", on_starttls}, {"HELO", on_helo}, {"VRFY", on_vrfy},
};

static void run_command(struct farm_smtp *s, const struct line *line)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        size_t n = strlen(commands[i].verb);
        if (line->len >= n && strncasecmp(line->text, commands[i].verb, n) == 0 &&
            (line->len == n || line->text[n] == ' ')) {
            commands[i].run(s, line);
            return;
        }
    }
    reply(s, "500 5.5.2 What?\r\n");
}

static size_t take_line(struct farm_smtp *s, const char *in, size_t len)
{
    const char *lf = memchr(in, '\n', len);
    size_t n = lf ? (size_t)(lf - in) : len;
    if (s->skipping || n >= FARM_SMTP_LINE_MAX) {
        if (lf)
            reply(s, "500 5.5.6 Line too long\r\n");
        s->skipping = !lf;
        return lf ? n + 1 : n;
    }
    if (!lf)
        return 0;
    struct line line = {in, n && in[n - 1] == '\r' ? n - 1 : n};
    run_command(s, &line);
    return n + 1;
}

static size_t take(struct farm_smtp *s, const char *in, size_t len)
{
    if (sizeof(s->out) - s->out_len < FARM_SMTP_ROOM_BYTES)
        return 0;
    switch (s->state) {
    case FARM_SMTP_COMMAND: return take_line(s, in, len);
    case FARM_SMTP_DATA: return take_data(s, in, len);
    case FARM_SMTP_CHUNK: return take_chunk(s, in, len);
    default: return 0;
    }
}

size_t farm_smtp_input(struct farm_smtp *s, const char *in, size_t len)
{
    size_t done = 0;
    for (size_t n; done < len && (n = take(s, in + done, len - done)) > 0;)
        done += n;
    return done;
}

/* ---- beginning ---- */

void farm_smtp_open(struct farm_smtp *s, const struct farm_smtp_rules *rules, const char *host, bool secured)
{
    memset(s, 0, offsetof(struct farm_smtp, message));
    s->rules = rules;
    s->host = host;
    s->secured = secured;
    if (!failed(s, FARM_AT_GREETING, "", 0))
        reply(s, "220 %s ESMTP hardline-bench\r\n", host);
    else
        s->state = FARM_SMTP_QUIT;
}

void farm_smtp_secured(struct farm_smtp *s)
{
    reset(s);
    s->secured = true;
    s->greeted = false;
    s->state = FARM_SMTP_COMMAND;
}

bool farm_smtp_in_message(const struct farm_smtp *s)
{
    return s->state == FARM_SMTP_DATA || s->state == FARM_SMTP_CHUNK || s->chunked;
}
