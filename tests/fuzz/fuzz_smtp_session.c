/* The SMTP session under a program of operations: server bytes, messages, time, losses.
 *
 * Byte by byte the input is a program (see step); whatever it is, each recipient of each message gets exactly one
 * outcome, nothing but EHLO, STARTTLS and QUIT leaves in the clear, no CR or LF stands alone in what leaves, a body
 * that leaves is the one that was given, and there is no doubt or delivery without an end of data.
 */
#include "engine/smtp/session.h"
#include "engine/smtp/text.h"

#include <stdlib.h>

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

#define RECIPIENTS 6
#define BODY_BYTES 600

struct tls_verified {
    int made_by_a_test;
};

struct world {
    struct bytes_in program;
    struct smtp_session session;
    struct stats stats;
    struct smtp_config config;
    uint64_t now_us;
    bool secured;
    uint8_t last; /* last byte that left */

    struct smtp_message message;
    struct smtp_recipient recipient[RECIPIENTS];
    uint8_t address[RECIPIENTS + 1][32];
    struct span extent[3];
    uint8_t body[BODY_BYTES];
    bool in_hand;
    unsigned outcomes[RECIPIENTS];
    enum stage stage;

    size_t arrived; /* body bytes that have left, unstuffed */
    bool line_start, end_of_data;
    unsigned stuffing; /* of ".", "\r" and "\n" at a line's start, what has left */
};

static const struct tls_verified proof;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static void on_recipient(void *ctx, const struct smtp_message *m, uint32_t index,
                         const struct outcome *outcome)
{
    struct world *w = ctx;
    CHECK(w->in_hand && m == &w->message && index < m->recipients);
    CHECK(w->outcomes[index]++ == 0);
    CHECK(outcome->verdict != VERDICT_NONE && outcome->stage != STAGE_NONE && outcome->reason < REASON_COUNT);
    check_text(outcome->text);
    if (outcome->verdict == VERDICT_DELIVERED || outcome->verdict == VERDICT_IN_DOUBT)
        CHECK(w->stage == STAGE_DOT && w->end_of_data);
    if (outcome->verdict == VERDICT_DELIVERED)
        CHECK(outcome->smtp_code / 100 == 2);
    if (w->end_of_data && outcome->verdict != VERDICT_DELIVERED && outcome->verdict != VERDICT_IN_DOUBT)
        CHECK(outcome->smtp_code >= 400 && outcome->reason == REASON_REPLY);
}

static void on_stage(void *ctx, const struct smtp_message *m, enum stage stage)
{
    struct world *w = ctx;
    CHECK(w->in_hand && w->secured && m == &w->message && stage > w->stage);
    w->stage = stage;
}

static void on_done(void *ctx, const struct smtp_message *m)
{
    struct world *w = ctx;
    CHECK(w->in_hand && m == &w->message);
    for (uint32_t i = 0; i < m->recipients; i++)
        CHECK(w->outcomes[i] == 1);
    w->in_hand = false;
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

static void check_line_ends(struct world *w, const uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        CHECK((w->last == '\r') == (out[i] == '\n'));
        w->last = out[i];
    }
}

/* RFC 5321 section 4.5.2, the receiver's half. */
static void check_body(struct world *w, const uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        CHECK(!w->end_of_data);
        if (w->line_start && out[i] == '.' && w->stuffing == 0) {
            w->stuffing = 1;
            continue;
        }
        if (w->stuffing == 1 && out[i] == '\r') {
            w->stuffing = 2;
            continue;
        }
        if (w->stuffing == 2) {
            CHECK(out[i] == '\n');
            w->end_of_data = true;
            continue;
        }
        CHECK(w->stuffing == 0 || out[i] == '.');
        w->stuffing = 0;
        bool added = w->arrived >= w->message.body_bytes; /* the CRLF that a body without one gets */
        CHECK(!added || out[i] == (w->arrived == w->message.body_bytes ? '\r' : '\n'));
        CHECK(added || out[i] == w->body[w->arrived]);
        w->arrived++;
        w->line_start = out[i] == '\n';
    }
}

static void pull(struct world *w, size_t cap)
{
    uint8_t out[SMTP_OUTPUT_MIN + 256];
    bool sends_body = w->session.send_at.state == S_BODY && w->session.message;
    size_t n = smtp_output(&w->session, out, cap, w->now_us);
    CHECK(n <= cap);
    if (!w->secured)
        check_clear(out, n);
    check_line_ends(w, out, n);
    if (sends_body && n)
        check_body(w, out, n);
    if (w->session.reply_at.state == S_DOT && w->session.message)
        CHECK(w->end_of_data && w->stage == STAGE_DOT);
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

static void begin(struct world *w)
{
    static const char *const pieces[] = {"\r\n", ".",  "\r\n.\r\n", "text of a line",
                                         "\r",   "\n", "\xc3\xbc",  "\r\n.."};
    uint8_t shape = bytes_u8(&w->program), flags = bytes_u8(&w->program);
    size_t len = 0;
    w->message = (struct smtp_message){.recipient = w->recipient, .recipients = 1u + shape % RECIPIENTS};
    set_address(w, &w->message.sender, w->address[RECIPIENTS], flags & 1 ? shape : 1);
    for (unsigned i = 0; i < w->message.recipients; i++)
        set_address(w, &w->recipient[i].address, w->address[i], flags & 2 ? bytes_u8(&w->program) : 1);
    for (unsigned n = flags / 16u; n; n--) {
        const char *piece = pieces[bytes_u8(&w->program) % ARRAY_LEN(pieces)];
        memcpy(w->body + len, piece, strlen(piece));
        len += strlen(piece);
    }
    if (flags & 4)
        while (len + 16 < BODY_BYTES - 32)
            memcpy(w->body + len, "0123456789abcd\r\n", 16), len += 16;
    size_t cut = len ? shape % len : 0;
    w->extent[0] = (struct span){w->body, cut};
    w->extent[1] = (struct span){NULL, 0};
    w->extent[2] = (struct span){w->body + cut, len - cut};
    w->message.extent = w->extent;
    w->message.extents = 3;
    w->message.body_bytes = len;
    w->message.body_type = flags & 8 ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
    w->message.smtputf8 = shape >= 250;
    memset(w->outcomes, 0, sizeof(w->outcomes));
    w->stage = STAGE_NONE;
    w->in_hand = w->line_start = true;
    w->end_of_data = false;
    w->arrived = 0;
    w->stuffing = 0;
    smtp_begin(&w->session, &w->message, w->now_us);
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
static void say_yes(struct world *w, bool pipelining)
{
    switch (w->session.reply_at.state) {
    case S_GREETING_CLEAR:
    case S_GREETING_TLS:
    case S_STARTTLS: say(w, 0); break;
    case S_EHLO_CLEAR: say(w, 1); break;
    case S_EHLO: say(w, pipelining ? 2 : 3); break;
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
    case 10: say_yes(w, value % 2); break;
    default: pull(w, SMTP_OUTPUT_MIN + value * 16u); break;
    }
    smtp_check(&w->session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof(*w));
    if (!w)
        return 0;
    const struct smtp_events events = {w, on_recipient, on_stage, on_done};
    w->program = bytes_in(data, size);
    w->now_us = 1;
    uint8_t how = bytes_u8(&w->program);
    w->config = (struct smtp_config){"client.example", 1u + how % 4, how / 64u, &w->stats};
    smtp_open(&w->session, &w->config, &events, how & 8, w->now_us);
    while (size && bytes_left(&w->program))
        step(w);
    lose(w);
    pull(w, SMTP_OUTPUT_MIN);
    CHECK(!w->in_hand && smtp_want(&w->session) == SMTP_WANT_CLOSE);
    check_text(w->session.outcome.text);
    CHECK(smtp_next_deadline(&w->session) == DEADLINE_NEVER);
    free(w);
    return 0;
}
