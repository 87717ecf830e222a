/* decide.c: who is decided, which messages are given back, and when a transaction that nobody is left in is over. */
#include "engine/smtp/session.h"

void smtp_decide(struct smtp_session *s, struct smtp_transaction *t, uint32_t index,
                 const struct outcome *outcome)
{
    const struct smtp_message *message = t->message;
    uint8_t *mark = smtp_mark(s, t, index);
    assert(message && index < t->recipients && !(*mark & RECIPIENT_DECIDED));
    *mark |= RECIPIENT_DECIDED;
    bool last = --t->undecided == 0;
    if (last)
        t->message = NULL;
    s->events.recipient(s->events.ctx, message, index, outcome);
    if (last)
        s->events.message_done(s->events.ctx, message);
}

void smtp_decide_rest(struct smtp_session *s, struct smtp_transaction *t, const struct outcome *outcome)
{
    for (uint32_t i = 0; t->message; i++)
        if (!(*smtp_mark(s, t, i) & RECIPIENT_DECIDED))
            smtp_decide(s, t, i, outcome);
}

void smtp_return(struct smtp_session *s, struct smtp_transaction *t, enum smtp_return why)
{
    const struct smtp_message *message = t->message;
    t->message = NULL;
    t->undecided = 0;
    if (message)
        s->events.returned(s->events.ctx, message, why);
}

/* Nobody is left in the transaction that is sent, and what would commit us to more has not left: after BDAT the chunk
 * must follow (RFC 3030 section 2), after DATA and its 354 a lone dot (RFC 2920 section 3.1).
 */
static bool is_given_up(const struct smtp_session *s, const struct smtp_transaction *t)
{
    return !t->message && !t->begun_body && (s->send_at.state <= S_DATA || t->chunked);
}

void smtp_settle(struct smtp_session *s, uint64_t now_us)
{
    if (smtp_reply_is_owed(s) || !smtp_in_transaction(s->send_at))
        return;
    const struct smtp_transaction *t = smtp_sending(s);
    if (s->broken_off) {
        smtp_close(s);
    } else if (is_given_up(s, t)) {
        s->leftover |= t->mail_accepted;
        smtp_meet_at(s, S_READY, now_us);
        smtp_look_at_quit(s, now_us);
    }
}
