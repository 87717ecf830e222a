/* session.c: the table of states, and the entries that conn/ calls. */
#include "engine/smtp/command.h"
#include "engine/smtp/session.h"
#include "engine/smtp/trouble.h"

struct smtp_row {
    uint8_t stage;      /* where a recipient falls if it ends here */
    uint16_t timeout_s; /* 0: none */
    bool (*send)(struct smtp_session *s, struct bytes_out *out, uint64_t now_us);
    void (*on_reply)(struct smtp_session *s, uint64_t now_us);
    const char *name; /* for operators: what the session waits for */
};

/* Seconds: RFC 5321 section 4.5.3.2 where its sub-section stands behind the row, our own choice elsewhere. */
static const struct smtp_row rows[S_COUNT] = {
    /* clang-format off */
    [S_GREETING_CLEAR] = {STAGE_GREETING, 300, smtp_send_none,      smtp_on_greeting,    "awaiting the greeting"}, /* .1 */
    [S_EHLO_CLEAR]     = {STAGE_GREETING, 300, smtp_send_ehlo,      smtp_on_ehlo_clear,  "awaiting the EHLO reply in the clear"},
    [S_STARTTLS]       = {STAGE_STARTTLS, 120, smtp_send_starttls,  smtp_on_starttls,    "awaiting the STARTTLS reply"},
    [S_HANDSHAKE]      = {STAGE_TLS,        0, smtp_send_none,      smtp_on_nothing,     "awaiting TLS"}, /* the time is conn's */
    [S_GREETING_TLS]   = {STAGE_GREETING, 300, smtp_send_none,      smtp_on_greeting,    "awaiting the greeting over TLS"}, /* .1 */
    [S_EHLO]           = {STAGE_EHLO,     300, smtp_send_ehlo,      smtp_on_ehlo,        "awaiting the EHLO reply over TLS"},
    [S_READY]          = {STAGE_EHLO,       0, smtp_send_none,      smtp_on_nothing,     "ready for a message"},
    [S_RSET]           = {STAGE_MAIL,      60, smtp_send_rset,      smtp_on_rset,        "awaiting the RSET reply"},
    [S_MAIL]           = {STAGE_MAIL,     300, smtp_send_mail,      smtp_on_mail,        "awaiting the MAIL reply"}, /* .2 */
    [S_RCPT]           = {STAGE_RCPT,     300, smtp_send_rcpt,      smtp_on_rcpt,        "awaiting a RCPT reply"}, /* .3 */
    [S_DATA]           = {STAGE_DATA,     120, smtp_send_data,      smtp_on_data,        "awaiting the DATA reply"}, /* .4 */
    [S_BODY]           = {STAGE_DATA,     180, smtp_send_body,      smtp_on_nothing,     "sending the message"}, /* .5 */
    [S_DOT]            = {STAGE_DOT,      600, smtp_send_none,      smtp_on_dot,         "end of data sent, outcome unknown until its reply"}, /* .6 */
    [S_QUIT]           = {STAGE_QUIT,      30, smtp_send_quit,      smtp_on_quit,        "awaiting the QUIT reply"},
    [S_CLOSED]         = {STAGE_QUIT,       0, smtp_send_none,      smtp_on_nothing,     "closed"},
    /* clang-format on */
};

static const struct smtp_row *row(const struct smtp_session *s)
{
    return &rows[s->reply_at.state];
}

size_t smtp_session_bytes(void)
{
    return sizeof(struct smtp_session);
}

enum stage smtp_stage(const struct smtp_session *s)
{
    return row(s)->stage;
}

enum stage smtp_send_stage(const struct smtp_session *s)
{
    return rows[s->send_at.state].stage;
}

const char *smtp_state_text(const struct smtp_session *s)
{
    return row(s)->name;
}

uint64_t smtp_timeout_us(const struct smtp_session *s)
{
    return (uint64_t)row(s)->timeout_s * s->config.timeout_percent * 10000u;
}

void smtp_arm(struct smtp_session *s, uint64_t now_us)
{
    uint64_t timeout_us = smtp_timeout_us(s);
    s->deadline_us = timeout_us ? now_us + timeout_us : DEADLINE_NEVER;
}

static bool has_message(const struct smtp_session *s)
{
    for (uint32_t serial = s->reply_at.serial; serial < s->begun; serial++)
        if (s->transaction[serial % SMTP_AHEAD_MAX].message)
            return true;
    return false;
}

void smtp_close(struct smtp_session *s)
{
    assert(!has_message(s));
    smtp_meet_at(s, S_CLOSED, 0);
}

/* During the handshake there is no way to say goodbye: what is in the clear is over, TLS is not there yet. */
void smtp_leave(struct smtp_session *s, uint64_t now_us)
{
    assert(!has_message(s));
    smtp_meet_at(s, s->reply_at.state == S_HANDSHAKE ? S_CLOSED : S_QUIT, now_us);
}

static void check_transactions(const struct smtp_session *s)
{
    uint32_t recipients = 0;
    assert(s->begun - s->reply_at.serial <= SMTP_AHEAD_MAX);
    for (uint32_t serial = s->reply_at.serial; serial < s->begun; serial++) {
        const struct smtp_transaction *t = &s->transaction[serial % SMTP_AHEAD_MAX];
        recipients += t->recipients;
        assert(t->message ? t->undecided > 0 && t->undecided <= t->recipients : t->undecided == 0);
        assert(t->end_sent == (serial < s->send_at.serial));
    }
    assert(recipients <= SMTP_RECIPIENTS_MAX);
}

void smtp_check(const struct smtp_session *s)
{
    assert(s->reply_at.state < S_COUNT && s->send_at.state < S_COUNT);
    assert(smtp_cursor_compare(s->reply_at, s->send_at) <= 0);
    assert(s->proof || s->reply_at.state <= S_HANDSHAKE || s->reply_at.state >= S_QUIT);
    assert(s->proof || s->send_at.state <= S_HANDSHAKE || s->send_at.state >= S_QUIT);
    assert(s->send_at.serial == s->begun ||
           (smtp_in_transaction(s->send_at) && s->send_at.serial + 1 == s->begun));
    assert(s->reply_at.serial == s->begun || smtp_in_transaction(s->reply_at));
    check_transactions(s);
}

void smtp_open(struct smtp_session *s, const struct smtp_config *config, const struct smtp_events *events,
               bool plain_start, uint64_t now_us)
{
    assert(config->timeout_percent > 0 && config->stats && smtp_helo_name_is_sound(config->helo_name));
    assert(config->messages_ahead > 0 && config->messages_ahead <= SMTP_AHEAD_MAX);
    memset(s, 0, sizeof(*s));
    s->config = *config;
    s->events = *events;
    s->plain_start = plain_start;
    smtp_reply_clear(&s->reply);
    smtp_meet_at(s, plain_start ? S_GREETING_CLEAR : S_HANDSHAKE, now_us);
    if (plain_start) /* the greeting is owed though no command asks for it */
        s->send_at.state = S_EHLO_CLEAR;
    smtp_check(s);
}

/* RFC 3207 section 4.2: the client must discard what it has learned from the server before TLS. */
void smtp_secured(struct smtp_session *s, const struct tls_verified *proof, uint64_t now_us)
{
    assert(proof && !s->proof);
    assert(s->reply_at.state == S_HANDSHAKE);
    s->proof = proof;
    s->offer = (struct smtp_offer){0};
    smtp_reply_clear(&s->reply);
    smtp_meet_at(s, S_EHLO, now_us);
    if (!s->plain_start)
        s->reply_at.state = S_GREETING_TLS;
    smtp_check(s);
}

static void on_line(struct smtp_session *s)
{
    bool keyword = s->reply.lines > 1; /* the first line greets: RFC 5321 section 4.1.1.1 */
    if (keyword && (s->reply_at.state == S_EHLO_CLEAR || s->reply_at.state == S_EHLO))
        smtp_ehlo_line(&s->offer, s->reply.line_text);
}

static void on_reply(struct smtp_session *s, uint64_t now_us)
{
    stat_inc(s->config.stats, STAT_smtp_replies);
    if (!smtp_reply_is_owed(s))
        smtp_trouble_out_of_turn(s);
    else if (s->reply.code == 421 && s->reply_at.state != S_QUIT) /* RFC 5321 section 3.8 */
        smtp_trouble_closing(s);
    else
        row(s)->on_reply(s, now_us);
    smtp_settle(s, now_us);
    smtp_reply_clear(&s->reply);
    if (s->quit_wanted && s->reply_at.state < S_READY)
        smtp_leave(s, now_us);
    smtp_look_at_quit(s, now_us);
}

static void input_some(struct smtp_session *s, struct bytes_in *in, uint64_t now_us)
{
    if (s->reply_at.state == S_HANDSHAKE) { /* RFC 3207 section 5, CVE-2011-0411 */
        smtp_trouble_injection(s);
        return;
    }
    enum reply_status status = smtp_reply_input(&s->reply, in);
    if (status == REPLY_BAD)
        smtp_trouble_not_smtp(s);
    if (status == REPLY_LINE || status == REPLY_DONE)
        on_line(s);
    if (status == REPLY_DONE)
        on_reply(s, now_us);
}

void smtp_input(struct smtp_session *s, const uint8_t *in, size_t len, uint64_t now_us)
{
    struct bytes_in bytes = bytes_in(in, len);
    while (bytes_left(&bytes) && s->reply_at.state != S_CLOSED)
        input_some(s, &bytes, now_us);
    smtp_check(s);
}

static bool is_line(const uint8_t *out, size_t len, const char *line)
{
    return len == strlen(line) && memcmp(out, line, len) == 0;
}

/* What may stand in an output buffer before TLS. */
static bool is_fit_for_the_clear(const uint8_t *out, size_t len)
{
    return len == 0 || is_line(out, len, "STARTTLS\r\n") || is_line(out, len, "QUIT\r\n") ||
           (len > 7 && memcmp(out, "EHLO ", 5) == 0 && memchr(out, '\n', len) == out + len - 1);
}

size_t smtp_output(struct smtp_session *s, uint8_t *out, size_t cap, uint64_t now_us)
{
    assert(cap >= SMTP_OUTPUT_MIN);
    struct bytes_out bytes = bytes_out(out, cap);
    while (smtp_may_send(s) && rows[s->send_at.state].send(s, &bytes, now_us))
        ;
    assert(s->proof || is_fit_for_the_clear(bytes.start, bytes_written(&bytes)));
    smtp_check(s);
    return bytes_written(&bytes);
}

bool smtp_has_output(const struct smtp_session *s)
{
    return smtp_may_send(s) && rows[s->send_at.state].send != smtp_send_none;
}

bool smtp_send_none(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    (void)s, (void)out, (void)now_us;
    return false;
}

enum smtp_want smtp_want(const struct smtp_session *s)
{
    if (s->reply_at.state == S_CLOSED)
        return SMTP_WANT_CLOSE;
    return s->reply_at.state == S_HANDSHAKE && s->plain_start ? SMTP_WANT_STARTTLS : SMTP_WANT_IO;
}

void smtp_quit(struct smtp_session *s, uint64_t now_us)
{
    s->quit_wanted = true;
    if (s->reply_at.state <= S_READY && !smtp_reply_is_owed(s))
        smtp_leave(s, now_us);
}

void smtp_lost(struct smtp_session *s, const struct outcome *why, uint64_t now_us)
{
    (void)now_us;
    if (s->reply_at.state < S_QUIT)
        smtp_trouble_lost(s, why);
    else
        smtp_close(s);
    smtp_check(s);
}

uint64_t smtp_next_deadline(const struct smtp_session *s)
{
    return s->deadline_us;
}

void smtp_timers(struct smtp_session *s, uint64_t now_us)
{
    if (now_us < s->deadline_us)
        return;
    if (s->reply_at.state < S_QUIT)
        smtp_trouble_timeout(s);
    else
        smtp_close(s);
    smtp_check(s);
}

void smtp_outcome(const struct smtp_session *s, struct outcome *outcome)
{
    *outcome = s->outcome;
}
