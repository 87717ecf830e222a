/* pipeline.c: the two cursors over the order of commands, and when the first may run ahead (RFC 2920). */
#include "engine/smtp/session.h"

int smtp_cursor_compare(struct smtp_cursor a, struct smtp_cursor b)
{
    if (a.state != b.state)
        return a.state < b.state ? -1 : 1;
    return (a.recipient > b.recipient) - (a.recipient < b.recipient);
}

bool smtp_reply_is_owed(const struct smtp_session *s)
{
    return smtp_cursor_compare(s->reply_at, s->send_at) < 0;
}

/* RFC 2920 section 3.1: MAIL, RCPT and DATA may leave in one group, of which DATA is the last.  Everything else
 * waits for the reply before it.
 */
bool smtp_may_send(const struct smtp_session *s)
{
    if (!smtp_reply_is_owed(s))
        return true;
    return smtp_offers(&s->offer, EXT_PIPELINING) && s->reply_at.state >= S_MAIL &&
           s->send_at.state <= S_DATA;
}

static struct smtp_cursor next(const struct smtp_session *s, struct smtp_cursor at)
{
    if (at.state == S_RCPT && at.recipient + 1 < s->recipients)
        return (struct smtp_cursor){S_RCPT, at.recipient + 1};
    return (struct smtp_cursor){(uint8_t)(at.state + 1), 0};
}

/* Replies to commands that were never sent do not come. */
static void pass_unsent(struct smtp_session *s)
{
    while (smtp_reply_is_owed(s) && s->reply_at.state == S_RCPT &&
           (s->recipient[s->reply_at.recipient] & RECIPIENT_UNSENT))
        s->reply_at = next(s, s->reply_at);
}

/* A command's time runs from when it leaves or from the reply before it, whichever is later. */
void smtp_sent(struct smtp_session *s, uint64_t now_us)
{
    if (!smtp_reply_is_owed(s))
        smtp_arm(s, now_us);
    s->send_at = next(s, s->send_at);
}

void smtp_sent_end_of_data(struct smtp_session *s, uint64_t now_us)
{
    assert(s->send_at.state == S_BODY && s->reply_at.state == S_BODY);
    s->reply_at.state = S_DOT;
    s->send_at.state = S_DOT + 1;
    smtp_arm(s, now_us);
}

void smtp_answered(struct smtp_session *s, uint64_t now_us)
{
    assert(smtp_reply_is_owed(s));
    s->reply_at = next(s, s->reply_at);
    pass_unsent(s);
    smtp_arm(s, now_us);
}

void smtp_skip_recipient(struct smtp_session *s, uint64_t now_us)
{
    assert(s->send_at.state == S_RCPT);
    s->recipient[s->send_at.recipient] |= RECIPIENT_UNSENT;
    s->send_at = next(s, s->send_at);
    pass_unsent(s);
    if (!smtp_reply_is_owed(s))
        smtp_arm(s, now_us);
}

void smtp_meet_at(struct smtp_session *s, enum smtp_state state, uint64_t now_us)
{
    s->send_at = s->reply_at = (struct smtp_cursor){(uint8_t)state, 0};
    smtp_arm(s, now_us);
}
