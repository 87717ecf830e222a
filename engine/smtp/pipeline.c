/* pipeline.c: the two cursors over the order of commands, and when the first may run ahead (RFC 2920, RFC 3030). */
#include "engine/smtp/session.h"

int smtp_cursor_compare(struct smtp_cursor a, struct smtp_cursor b)
{
    if (a.serial != b.serial)
        return a.serial < b.serial ? -1 : 1;
    if (a.state != b.state)
        return a.state < b.state ? -1 : 1;
    return (a.recipient > b.recipient) - (a.recipient < b.recipient);
}

bool smtp_reply_is_owed(const struct smtp_session *s)
{
    return smtp_cursor_compare(s->reply_at, s->send_at) < 0;
}

/* RFC 3030 section 4.2: BDAT may be pipelined behind RCPT.  A large chunk waits until somebody is known to want it. */
static bool chunk_may_leave(const struct smtp_session *s)
{
    const struct smtp_transaction *t = &s->transaction[s->send_at.serial % SMTP_AHEAD_MAX];
    return t->chunked && (!t->message || t->message->body_bytes <= s->config.chunk_ahead_bytes);
}

/* RFC 2920 section 3.1: RSET, MAIL and RCPT may leave in one group, the end of a message before them; DATA is the
 * last of a group.  Everything else waits for the reply before it.
 */
bool smtp_may_send(const struct smtp_session *s)
{
    if (s->broken_off)
        return false;
    if (!smtp_reply_is_owed(s))
        return true;
    if (!smtp_offers(&s->offer, EXT_PIPELINING) || !smtp_in_transaction(s->reply_at))
        return false;
    if (s->send_at.state == S_BODY)
        return chunk_may_leave(s);
    return s->send_at.state >= S_RSET && s->send_at.state <= S_DATA;
}

static uint8_t first_state(const struct smtp_transaction *t)
{
    return t->resets ? S_RSET : S_MAIL;
}

static struct smtp_cursor next(struct smtp_session *s, struct smtp_cursor at)
{
    const struct smtp_transaction *t = smtp_transaction(s, at.serial);
    if (at.state == S_RCPT && at.recipient + 1 < t->recipients)
        return (struct smtp_cursor){at.serial, S_RCPT, at.recipient + 1};
    if (at.state == S_RCPT && t->chunked)
        return (struct smtp_cursor){at.serial, S_BODY, 0};
    if (at.state == S_DOT)
        return (struct smtp_cursor){at.serial + 1, S_READY, 0};
    return (struct smtp_cursor){at.serial, (uint8_t)(at.state + 1), 0};
}

/* Replies to commands that were never sent do not come, and what is between two replies is passed. */
static void pass(struct smtp_session *s)
{
    struct smtp_cursor *at = &s->reply_at;
    while (smtp_reply_is_owed(s)) {
        const struct smtp_transaction *t = smtp_answering(s);
        if (at->state == S_READY)
            at->state = first_state(t);
        else if (at->state == S_BODY)
            at->state = S_DOT;
        else if (at->state == S_RCPT && (*smtp_mark(s, t, at->recipient) & RECIPIENT_UNSENT))
            *at = next(s, *at);
        else
            return;
    }
}

void smtp_count_flight(struct smtp_session *s)
{
    if (smtp_cursor_compare(s->reply_at, s->flight) <= 0)
        return;
    s->flight = s->send_at;
    if (s->flight.state == S_BODY) /* what is answered is its end */
        s->flight.state = S_DOT;
    stat_inc(s->config.stats, STAT_smtp_flights);
}

void smtp_enter(struct smtp_session *s, uint64_t now_us)
{
    bool met = !smtp_reply_is_owed(s);
    assert(s->send_at.state == S_READY && s->send_at.serial + 1 == s->begun);
    s->send_at.state = first_state(smtp_sending(s));
    if (!met)
        return;
    s->reply_at = s->send_at;
    smtp_arm(s, now_us);
}

/* A command's time runs from when it leaves or from the reply before it, whichever is later. */
void smtp_sent(struct smtp_session *s, uint64_t now_us)
{
    smtp_count_flight(s);
    if (!smtp_reply_is_owed(s))
        smtp_arm(s, now_us);
    s->send_at = next(s, s->send_at);
}

void smtp_sent_end_of_data(struct smtp_session *s, uint64_t now_us)
{
    bool met = !smtp_reply_is_owed(s);
    assert(s->send_at.state == S_BODY);
    s->send_at = (struct smtp_cursor){s->send_at.serial + 1, S_READY, 0};
    pass(s);
    if (met)
        smtp_arm(s, now_us);
}

void smtp_answered(struct smtp_session *s, uint64_t now_us)
{
    assert(smtp_reply_is_owed(s));
    s->reply_at = next(s, s->reply_at);
    pass(s);
    smtp_arm(s, now_us);
}

void smtp_skip_recipient(struct smtp_session *s, uint64_t now_us)
{
    assert(s->send_at.state == S_RCPT);
    *smtp_mark(s, smtp_sending(s), s->send_at.recipient) |= RECIPIENT_UNSENT;
    bool met = !smtp_reply_is_owed(s);
    s->send_at = next(s, s->send_at);
    pass(s);
    if (met)
        smtp_arm(s, now_us);
}

void smtp_meet_at(struct smtp_session *s, enum smtp_state state, uint64_t now_us)
{
    s->send_at = s->reply_at = (struct smtp_cursor){s->begun, (uint8_t)state, 0};
    smtp_arm(s, now_us);
}
