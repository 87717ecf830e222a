/* transaction.c: one message on its way: MAIL, RCPT, DATA, the body, and who has been decided
 * (RFC 5321 section 3.3).
 */
#include "engine/smtp/command.h"
#include "engine/smtp/session.h"
#include "engine/smtp/trouble.h"

/* ---- who is decided ---- */

void smtp_decide(struct smtp_session *s, uint32_t index, const struct outcome *outcome)
{
    const struct smtp_message *message = s->message;
    assert(message && index < s->recipients && !(s->recipient[index] & RECIPIENT_DECIDED));
    s->recipient[index] |= RECIPIENT_DECIDED;
    bool last = --s->undecided == 0;
    if (last)
        s->message = NULL;
    s->events.recipient(s->events.ctx, message, index, outcome);
    if (last)
        s->events.message_done(s->events.ctx, message);
}

void smtp_decide_rest(struct smtp_session *s, const struct outcome *outcome)
{
    for (uint32_t i = 0; s->message; i++)
        if (!(s->recipient[i] & RECIPIENT_DECIDED))
            smtp_decide(s, i, outcome);
}

/* ---- begin and end ---- */

bool smtp_ready(const struct smtp_session *s)
{
    return s->reply_at.state == S_READY;
}

/* The receiver cannot take it, or it cannot be sent: told at once, before a byte has left. */
static void refuse(struct smtp_session *s, const struct smtp_message *message, const struct outcome *why)
{
    for (uint32_t i = 0; i < message->recipients; i++)
        s->events.recipient(s->events.ctx, message, i, why);
    s->events.message_done(s->events.ctx, message);
}

void smtp_begin(struct smtp_session *s, const struct smtp_message *message, uint64_t now_us)
{
    struct outcome why;
    assert(smtp_ready(s) && s->proof && message->recipients > 0);
    if (!smtp_message_fits(message, &s->offer, &why)) {
        refuse(s, message, &why);
        return;
    }
    s->message = message;
    s->messages++;
    s->recipients = s->undecided = message->recipients;
    memset(s->recipient, 0, message->recipients);
    smtp_body_open(&s->body, message->extent, message->extents);
    smtp_meet_at(s, S_MAIL, now_us);
    smtp_check(s);
}

/* RFC 5321 section 4.1.1.5: RSET where the receiver still has a transaction open. */
static void end_transaction(struct smtp_session *s, uint64_t now_us)
{
    if (s->mail_accepted)
        smtp_meet_at(s, S_RSET, now_us);
    else
        smtp_enter_ready(s, now_us);
}

void smtp_settle(struct smtp_session *s, uint64_t now_us)
{
    bool before_body = s->send_at.state >= S_MAIL && s->send_at.state <= S_DATA;
    if (before_body && !s->message && !smtp_reply_is_owed(s))
        end_transaction(s, now_us);
}

/* ---- what is sent ---- */

bool smtp_send_mail(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    enum command_status status = smtp_put_mail(out, s->proof, s->message, &s->offer);
    if (status == COMMAND_BAD) {
        smtp_trouble_bad_sender(s);
        smtp_settle(s, now_us);
    }
    if (status != COMMAND_PUT)
        return false;
    s->events.stage(s->events.ctx, s->message, STAGE_MAIL);
    smtp_sent(s, now_us);
    return true;
}

bool smtp_send_rcpt(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    if (!s->message) /* given up before all of its commands had left */
        return false;
    uint32_t index = s->send_at.recipient;
    enum command_status status =
        smtp_put_rcpt(out, s->proof, &s->message->recipient[index], s->message->smtputf8, &s->offer);
    if (status == COMMAND_NO_ROOM)
        return false;
    if (status == COMMAND_PUT) {
        smtp_sent(s, now_us);
        return true;
    }
    smtp_skip_recipient(s, now_us);
    smtp_trouble_bad_recipient(s, index);
    smtp_settle(s, now_us);
    return true;
}

bool smtp_send_data(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    if (!s->message || smtp_put_data(out, s->proof) != COMMAND_PUT)
        return false;
    smtp_sent(s, now_us);
    return true;
}

bool smtp_send_rset(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    if (smtp_put_rset(out, s->proof) != COMMAND_PUT)
        return false;
    smtp_sent(s, now_us);
    return true;
}

/* From here on the receiver may have the message, whatever happens to the connection. */
static void put_end_of_data(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    if (s->message)
        s->events.stage(s->events.ctx, s->message, STAGE_DOT);
    smtp_body_end(&s->body, out);
    smtp_sent_end_of_data(s, now_us);
}

/* Without a message, DATA was answered 354 though nobody is left: RFC 2920 section 3.1 wants a lone dot. */
bool smtp_send_body(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    assert(s->proof);
    enum body_status status = s->message ? smtp_body_put(&s->body, out) : BODY_END;
    if (status == BODY_BARE) {
        out->at = out->start;
        smtp_trouble_bad_body(s);
        return false;
    }
    smtp_arm(s, now_us); /* RFC 5321 section 4.5.3.2.5: the time is each block's */
    if (status == BODY_MORE || bytes_room(out) < SMTP_BODY_END_MAX)
        return false;
    put_end_of_data(s, out, now_us);
    return true;
}

/* ---- what is answered ---- */

void smtp_on_mail(struct smtp_session *s, uint64_t now_us)
{
    switch (smtp_reply_class(&s->reply)) {
    case 2: s->mail_accepted = true; break;
    case 3: smtp_trouble_unexpected(s); return;
    default: smtp_trouble_mail(s); break;
    }
    smtp_answered(s, now_us);
}

void smtp_on_rcpt(struct smtp_session *s, uint64_t now_us)
{
    unsigned class = smtp_reply_class(&s->reply);
    if (class == 3 || (class == 2 && !s->mail_accepted)) {
        smtp_trouble_unexpected(s);
        return;
    }
    if (class == 2)
        s->recipient[s->reply_at.recipient] |= RECIPIENT_ACCEPTED;
    else if (s->message)
        smtp_trouble_rcpt(s, s->reply_at.recipient);
    smtp_answered(s, now_us);
}

void smtp_on_data(struct smtp_session *s, uint64_t now_us)
{
    switch (smtp_reply_class(&s->reply)) {
    case 2: smtp_trouble_unexpected(s); break;
    case 3:
        if (s->message)
            s->events.stage(s->events.ctx, s->message, STAGE_DATA);
        smtp_answered(s, now_us);
        break;
    default:
        smtp_trouble_data(s);
        end_transaction(s, now_us);
        break;
    }
}

/* RFC 5321 section 4.1.1.4: this reply is for all recipients that were accepted, and ends the transaction. */
void smtp_on_dot(struct smtp_session *s, uint64_t now_us)
{
    switch (smtp_reply_class(&s->reply)) {
    case 3: smtp_trouble_unexpected(s); return;
    case 2: smtp_trouble_free(s); break;
    default: smtp_trouble_dot(s); break;
    }
    smtp_enter_ready(s, now_us);
}

void smtp_on_rset(struct smtp_session *s, uint64_t now_us)
{
    if (smtp_reply_class(&s->reply) == 2)
        smtp_enter_ready(s, now_us);
    else
        smtp_trouble_rset(s, now_us);
}
