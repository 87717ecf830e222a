/* The SMTP session under a program of operations: server bytes, messages, several of them on their way, time, losses.
 *
 * Byte by byte the input is a program (see step); whatever it is, each recipient of each message gets exactly one
 * outcome or goes back with a message that has certainly not been taken, nothing but EHLO, STARTTLS and QUIT leaves in
 * the clear, no CR or LF stands alone in what leaves, a body that leaves is the one that was given, by DATA or by BDAT,
 * there is no doubt or delivery without its end, and what leaves behind a BDAT without a reply begins with RSET.
 */
#include "engine/smtp/session.h"
#include "engine/smtp/text.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#define RECIPIENTS 6
#define BODY_BYTES 600

struct tls_verified {
    int made_by_a_test;
};

/* A message, from smtp_begin until its place is needed again. */
struct letter {
    struct world *world;
    struct smtp_message message;
    struct smtp_recipient recipient[RECIPIENTS];
    uint8_t address[RECIPIENTS + 1][32];
    struct span extent[3];
    uint8_t body[BODY_BYTES];
    bool in_hand, ended; /* its end has left */
    unsigned outcomes[RECIPIENTS];
    enum stage stage;
};

enum mode { COMMANDS, BODY, CHUNK };

struct world {
    struct bytes_in program;
    struct smtp_session session;
    struct stats stats;
    struct smtp_config config;
    uint64_t now_us;
    bool secured;

    struct letter letter[SMTP_AHEAD_MAX];
    uint32_t begun;                           /* letters */
    struct letter *announced[SMTP_AHEAD_MAX]; /* those whose MAIL is about to leave, in order */
    uint32_t announcements;

    /* what has left, as a receiver reads it */
    enum mode mode;
    uint8_t last;
    uint8_t line[SMTP_COMMAND_MAX];
    size_t line_len;
    struct letter *leaving; /* whose body it is */
    uint32_t mails;         /* MAIL commands */
    size_t arrived, chunk_left;
    bool line_start;
    unsigned stuffing; /* of ".", "\r" and "\n" at a line's start, what has left */
    bool needs_reset;  /* a BDAT has left, and RSET or its success has not come since */
};

static const struct tls_verified proof;

/* ---- events ---- */

static void check_text(const char *text)
{
    CHECK(memchr(text, '\0', OUTCOME_TEXT_MAX));
    for (size_t len = strlen(text); len;) {
        uint32_t c = 0;
        size_t n = smtp_utf8_take((const uint8_t *)text, len, &c);
        CHECK(n > 0 && c >= ' ' && c != 0x7f);
        text += n;
        len -= n;
    }
}

static struct letter *letter_of(const struct smtp_message *m)
{
    struct letter *l = container_of((struct smtp_message *)(uintptr_t)m, struct letter, message);
    CHECK(l->in_hand);
    return l;
}

static void on_recipient(void *ctx, const struct smtp_message *m, uint32_t index,
                         const struct outcome *outcome)
{
    struct world *w = ctx;
    struct letter *l = letter_of(m);
    CHECK(index < m->recipients && !m->recipient[index].decided);
    CHECK(l->outcomes[index]++ == 0);
    CHECK(outcome->verdict != VERDICT_NONE && outcome->stage != STAGE_NONE && outcome->reason < REASON_COUNT);
    check_text(outcome->text);
    if (outcome->verdict == VERDICT_DELIVERED || outcome->verdict == VERDICT_IN_DOUBT)
        CHECK(l->stage == STAGE_DOT && l->ended);
    if (outcome->verdict == VERDICT_DELIVERED) {
        CHECK(outcome->smtp_code / 100 == 2);
        w->needs_reset &= l != w->leaving;
    }
    if (l->ended && outcome->verdict != VERDICT_DELIVERED && outcome->verdict != VERDICT_IN_DOUBT)
        CHECK(outcome->smtp_code >= 400 && outcome->reason == REASON_REPLY);
}

static void on_stage(void *ctx, const struct smtp_message *m, enum stage stage)
{
    struct world *w = ctx;
    struct letter *l = letter_of(m);
    CHECK(w->secured && stage > l->stage);
    l->stage = stage;
    if (stage == STAGE_MAIL)
        w->announced[w->announcements++ % SMTP_AHEAD_MAX] = l;
}

static void over(struct letter *l, bool all)
{
    for (uint32_t i = 0; i < l->message.recipients; i++)
        CHECK(!all || l->outcomes[i] == (l->recipient[i].decided ? 0 : 1));
    l->in_hand = false;
    memset(l->body, 0xee, sizeof(l->body)); /* not the session's any more */
}

static void on_done(void *ctx, const struct smtp_message *m)
{
    (void)ctx;
    over(letter_of(m), true);
}

/* Its end has not left; or the last word was that it closes, or that it does not know BDAT. */
static void on_returned(void *ctx, const struct smtp_message *m, enum smtp_return why)
{
    struct world *w = ctx;
    uint16_t code = w->session.reply.code;
    if (letter_of(m)->ended)
        CHECK(why == SMTP_RETURN_CLOSED ? code == 421 : code >= 500 && code <= 503);
    over(letter_of(m), false);
}

/* ---- what leaves ---- */

static void check_clear(const uint8_t *out, size_t n)
{
    static const char *const lines[] = {"EHLO client.example\r\n", "STARTTLS\r\n", "QUIT\r\n"};
    bool known = n == 0;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        known |= n == strlen(lines[i]) && memcmp(out, lines[i], n) == 0;
    CHECK(known);
}

static bool begins(const struct world *w, const char *word)
{
    return w->line_len >= strlen(word) && memcmp(w->line, word, strlen(word)) == 0;
}

static void end_of_message(struct world *w)
{
    w->mode = COMMANDS;
    w->leaving->ended = true;
    CHECK(!w->leaving->in_hand || w->leaving->stage == STAGE_DOT);
}

/* Every transaction's commands follow each other; where one BDAT is not known to have gone well, RSET is first. */
static void on_command(struct world *w)
{
    static const char *const known[] = {"EHLO ", "STARTTLS\r", "QUIT\r", "DATA\r", "RCPT TO:<"};
    bool sound = false;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        sound |= begins(w, known[i]);
    if (begins(w, "RSET\r")) {
        w->needs_reset = false;
    } else if (begins(w, "MAIL FROM:<")) {
        CHECK(!w->needs_reset);
        CHECK(w->session.proof);
        CHECK(w->mails < w->announcements);
        w->leaving = w->announced[w->mails++ % SMTP_AHEAD_MAX];
    } else if (begins(w, "BDAT ")) {
        w->chunk_left = (size_t)strtoul((const char *)w->line + 5, NULL, 10);
        CHECK(w->chunk_left == w->leaving->message.body_bytes);
        w->mode = CHUNK;
        w->arrived = 0;
        w->needs_reset = true;
        if (w->chunk_left == 0)
            end_of_message(w);
    } else {
        CHECK(sound);
    }
}

static void check_command(struct world *w, uint8_t c)
{
    CHECK((w->last == '\r') == (c == '\n') && w->line_len < sizeof(w->line));
    w->last = c;
    w->line[w->line_len++] = c;
    if (c != '\n')
        return;
    on_command(w);
    w->line_len = 0;
}

static void check_chunk(struct world *w, uint8_t c)
{
    const struct letter *l = w->leaving;
    if (l->in_hand)
        CHECK(c == l->body[w->arrived]);
    w->arrived++;
    if (--w->chunk_left == 0)
        end_of_message(w);
}

/* RFC 5321 section 4.5.2, the receiver's half. */
static void check_body(struct world *w, uint8_t c)
{
    const struct letter *l = w->leaving;
    if (w->line_start && c == '.' && w->stuffing == 0) {
        w->stuffing = 1;
        return;
    }
    if (w->stuffing == 1 && c == '\r') {
        w->stuffing = 2;
        return;
    }
    if (w->stuffing == 2) {
        CHECK(c == '\n');
        w->stuffing = 0;
        end_of_message(w);
        return;
    }
    CHECK(l->in_hand && (w->stuffing == 0 || c == '.'));
    w->stuffing = 0;
    bool added = w->arrived >= l->message.body_bytes; /* the CRLF that a body without one gets */
    CHECK(!added || c == (w->arrived == l->message.body_bytes ? '\r' : '\n'));
    CHECK(added || c == l->body[w->arrived]);
    w->arrived++;
    w->line_start = c == '\n';
}

static void pull(struct world *w, size_t cap)
{
    uint8_t out[SMTP_OUTPUT_MIN + 256];
    struct smtp_session *s = &w->session;
    if (s->send_at.state == S_BODY && !smtp_sending(s)->begun_body && !smtp_sending(s)->chunked &&
        w->mode == COMMANDS && !smtp_reply_is_owed(s) && !s->broken_off) {
        w->mode = BODY;
        w->arrived = 0;
        w->line_start = true;
    }
    size_t n = smtp_output(s, out, cap, w->now_us);
    CHECK(n <= cap);
    if (!w->secured)
        check_clear(out, n);
    for (size_t i = 0; i < n; i++)
        switch (w->mode) {
        case COMMANDS: check_command(w, out[i]); break;
        case BODY: check_body(w, out[i]); break;
        case CHUNK: check_chunk(w, out[i]); break;
        }
    if (s->broken_off)
        w->mode = COMMANDS;
}

/* ---- the program ---- */

static size_t take_bytes(struct world *w, uint8_t *bytes, size_t len)
{
    size_t n = min_size(len, bytes_left(&w->program));
    if (n)
        memcpy(bytes, bytes_take(&w->program, n), n);
    return n;
}

static void set_address(struct world *w, struct span *address, uint8_t *store, uint8_t how)
{
    static const uint8_t sound[] = "someone@example.org";
    size_t len = sizeof(sound) - 1;
    memcpy(store, sound, len);
    if (how % 8 == 0)
        len = take_bytes(w, store, how / 8u);
    *address = (struct span){store, len};
}

static void make_body(struct world *w, struct letter *l, uint8_t shape, uint8_t flags)
{
    static const char *const pieces[] = {"\r\n", ".",  "\r\n.\r\n", "text of a line",
                                         "\r",   "\n", "\xc3\xbc",  "\r\n.."};
    size_t len = 0;
    for (unsigned n = flags / 16u; n; n--) {
        const char *piece = pieces[bytes_u8(&w->program) % ARRAY_LEN(pieces)];
        memcpy(l->body + len, piece, strlen(piece));
        len += strlen(piece);
    }
    if (flags & 4)
        while (len + 16 < BODY_BYTES - 32)
            memcpy(l->body + len, "0123456789abcd\r\n", 16), len += 16;
    size_t cut = len ? shape % len : 0;
    l->extent[0] = (struct span){l->body, cut};
    l->extent[1] = (struct span){NULL, 0};
    l->extent[2] = (struct span){l->body + cut, len - cut};
    l->message.extent = l->extent;
    l->message.extents = 3;
    l->message.body_bytes = len;
}

static void begin(struct world *w)
{
    struct letter *l = &w->letter[w->begun % SMTP_AHEAD_MAX];
    uint8_t shape = bytes_u8(&w->program), flags = bytes_u8(&w->program);
    if (l->in_hand)
        return;
    w->begun++;
    *l = (struct letter){.world = w, .in_hand = true};
    l->message = (struct smtp_message){.recipient = l->recipient, .recipients = 1u + shape % RECIPIENTS};
    set_address(w, &l->message.sender, l->address[RECIPIENTS], flags & 1 ? shape : 1);
    for (unsigned i = 0; i < l->message.recipients; i++) {
        set_address(w, &l->recipient[i].address, l->address[i], flags & 2 ? bytes_u8(&w->program) : 1);
        l->recipient[i].decided = i > 0 && shape >= 240;
    }
    make_body(w, l, shape, flags);
    l->message.body_type = flags & 8 ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
    l->message.smtputf8 = shape >= 250;
    smtp_begin(&w->session, &l->message, w->now_us);
}

static void say(struct world *w, uint8_t which)
{
    static const char *const replies[] = {
        "220 mx\r\n",
        "250-mx\r\n250 STARTTLS\r\n",
        "250-mx\r\n250-PIPELINING\r\n250-SIZE 400\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n",
        "250 mx\r\n",
        "250-2.0.0 ok\r\n250 2.0.0 ok\r\n",
        "354 go\r\n",
        "421 4.3.2 closing\r\n",
        "450 4.2.0 later\r\n",
        "550 5.1.1 no\r\n",
        "552 too many\r\n",
        "250-",
        "\r\n",
        "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SIZE 400\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
        "503 5.5.1 bad sequence\r\n",
    };
    const char *reply = replies[which % ARRAY_LEN(replies)];
    smtp_input(&w->session, (const uint8_t *)reply, strlen(reply), w->now_us);
}

static void say_raw(struct world *w, uint8_t len)
{
    uint8_t bytes[32];
    size_t n = take_bytes(w, bytes, len % sizeof(bytes));
    smtp_input(&w->session, bytes, n, w->now_us);
}

/* A server that means well: brings the session on by one reply. */
static void say_yes(struct world *w, uint8_t how)
{
    bool pipelining = how % 2;
    switch (w->session.reply_at.state) {
    case S_GREETING_CLEAR:
    case S_GREETING_TLS:
    case S_STARTTLS: say(w, 0); break;
    case S_EHLO_CLEAR: say(w, 1); break;
    case S_EHLO: say(w, pipelining ? how / 4 % 2 ? 12 : 2 : 3); break;
    case S_DATA: say(w, 5); break;
    default: say(w, 4); break;
    }
}

static void lose(struct world *w)
{
    struct outcome why;
    outcome_set(&why, VERDICT_NONE, STAGE_NONE, FAULT_NETWORK, REASON_CONNECTION_RESET, "lost");
    smtp_lost(&w->session, &why, w->now_us);
}

static void pass_time(struct world *w, uint8_t seconds)
{
    uint64_t deadline = smtp_next_deadline(&w->session);
    w->now_us += seconds * 4000000ull;
    smtp_timers(&w->session, w->now_us);
    if (deadline <= w->now_us)
        CHECK(smtp_want(&w->session) == SMTP_WANT_CLOSE);
}

static void secure(struct world *w)
{
    if (w->session.reply_at.state != S_HANDSHAKE)
        return;
    smtp_secured(&w->session, &proof, w->now_us);
    w->secured = true;
}

static void step(struct world *w)
{
    uint8_t op = bytes_u8(&w->program);
    uint8_t value = op / 16;
    switch (op % 16) {
    case 0: say(w, value); break;
    case 1: say_raw(w, bytes_u8(&w->program)); break;
    case 2: pass_time(w, bytes_u8(&w->program)); break;
    case 3: smtp_quit(&w->session, w->now_us); break;
    case 4:
        if (value == 15)
            lose(w);
        break;
    case 5: secure(w); break;
    case 6:
    case 7:
        if (smtp_ready(&w->session))
            begin(w);
        break;
    case 8:
    case 9:
    case 10: say_yes(w, value); break;
    default: pull(w, SMTP_OUTPUT_MIN + value * 16u); break;
    }
    smtp_check(&w->session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof(*w));
    if (!w)
        return 0;
    const struct smtp_events events = {w, on_recipient, on_stage, on_done, on_returned};
    w->program = bytes_in(data, size);
    w->now_us = 1;
    uint8_t how = bytes_u8(&w->program);
    w->config = (struct smtp_config){
        "client.example",         1u + how % 4, how / 64u, &w->stats, 1u + how % SMTP_AHEAD_MAX, !(how & 16),
        how & 32 ? 100 : 1u << 20};
    smtp_open(&w->session, &w->config, &events, how & 8, w->now_us);
    while (size && bytes_left(&w->program))
        step(w);
    lose(w);
    pull(w, SMTP_OUTPUT_MIN);
    for (size_t i = 0; i < SMTP_AHEAD_MAX; i++)
        CHECK(!w->letter[i].in_hand);
    CHECK(smtp_want(&w->session) == SMTP_WANT_CLOSE);
    check_text(w->session.outcome.text);
    CHECK(smtp_next_deadline(&w->session) == DEADLINE_NEVER);
    free(w);
    return 0;
}
