/* transaction.c: one message on its way: MAIL, RCPT, DATA or BDAT, the body (RFC 5321 section 3.3, RFC 3030). */
#include "engine/smtp/command.h"
#include "engine/smtp/session.h"
#include "engine/smtp/trouble.h"

/* ---- begin ---- */

static bool chunks(const struct smtp_session *s)
{
    return s->config.chunking && smtp_offers(&s->offer, EXT_CHUNKING);
}

static bool enough(const struct smtp_session *s)
{
    return s->config.messages_max && s->begun >= s->config.messages_max;
}

/* Behind messages that are not answered yet.  By BDAT not before the receiver has taken one on this connection: then a
 * receiver that offers what it does not know, or closes after its first message, leaves nobody in doubt.
 */
static bool may_follow(const struct smtp_session *s)
{
    return smtp_offers(&s->offer, EXT_PIPELINING) && smtp_in_transaction(s->reply_at) &&
           s->begun - s->reply_at.serial < s->config.messages_ahead && (s->chunk_proven || !chunks(s));
}

bool smtp_ready(const struct smtp_session *s)
{
    if (s->send_at.state != S_READY || s->quit_wanted || s->broken_off || enough(s))
        return false;
    return !smtp_reply_is_owed(s) || may_follow(s);
}

void smtp_look_at_quit(struct smtp_session *s, uint64_t now_us)
{
    if (s->reply_at.state == S_READY && !smtp_reply_is_owed(s) && (s->quit_wanted || enough(s)))
        smtp_leave(s, now_us);
}

static uint32_t marks_in_use(const struct smtp_session *s)
{
    uint32_t sum = 0;
    for (uint32_t serial = s->reply_at.serial; serial < s->begun; serial++)
        sum += s->transaction[serial % SMTP_AHEAD_MAX].recipients;
    return sum;
}

bool smtp_has_room(const struct smtp_session *s, uint32_t recipients)
{
    uint32_t in_use = marks_in_use(s);
    return in_use == 0 || recipients <= SMTP_RECIPIENTS_MAX - in_use;
}

/* The receiver cannot take it, or it cannot be sent: told at once, before a byte has left. */
static void refuse(struct smtp_session *s, const struct smtp_message *message, const struct outcome *why)
{
    for (uint32_t i = 0; i < message->recipients; i++)
        if (!message->recipient[i].decided)
            s->events.recipient(s->events.ctx, message, i, why);
    s->events.message_done(s->events.ctx, message);
}

/* RFC 3030 section 4.2: after a BDAT that failed RSET must come before anything else, and whether those that are not
 * answered yet will fail is not known.  Without it MAIL could be refused as nested, and this message's recipients
 * and body be taken under the last one's sender.  An end of data clears a transaction by itself, whatever its reply:
 * RFC 5321 section 4.1.1.4.
 */
static bool needs_reset(struct smtp_session *s)
{
    return smtp_reply_is_owed(s) ? smtp_transaction(s, s->begun - 1)->chunked : s->leftover;
}

static void mark_recipients(struct smtp_session *s, struct smtp_transaction *t)
{
    t->undecided = 0;
    for (uint32_t i = 0; i < t->recipients; i++) {
        bool decided = t->message->recipient[i].decided;
        *smtp_mark(s, t, i) = decided ? RECIPIENT_DECIDED : 0;
        t->undecided += !decided;
    }
    assert(t->undecided > 0);
}

void smtp_begin(struct smtp_session *s, const struct smtp_message *message, uint64_t now_us)
{
    struct outcome why;
    assert(smtp_ready(s) && s->proof && message->recipients > 0 && smtp_has_room(s, message->recipients));
    if (!smtp_message_fits(message, &s->offer, &why)) {
        refuse(s, message, &why);
        return;
    }
    const struct smtp_transaction *last = smtp_transaction(s, s->begun - 1);
    struct smtp_transaction *t = smtp_transaction(s, s->begun);
    *t = (struct smtp_transaction){
        .message = message,
        .recipients = message->recipients,
        .first_mark = (last->first_mark + last->recipients) % SMTP_RECIPIENTS_MAX,
        .resets = needs_reset(s),
        .chunked = chunks(s),
    };
    mark_recipients(s, t);
    if (smtp_reply_is_owed(s))
        stat_inc(s->config.stats, STAT_smtp_messages_ahead);
    smtp_body_open(&s->body, message->extent, message->extents, !t->chunked);
    s->chunk_left = message->body_bytes;
    s->begun++;
    smtp_enter(s, now_us);
    smtp_check(s);
}

/* ---- what is sent ---- */

/* What is given up before all of its commands had left has no message any more. */
static bool leaves(struct smtp_session *s, enum command_status status, uint64_t now_us)
{
    if (status != COMMAND_PUT)
        return false;
    smtp_sent(s, now_us);
    return true;
}

bool smtp_send_rset(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    return smtp_sending(s)->message && leaves(s, smtp_put_rset(out, s->proof), now_us);
}

bool smtp_send_mail(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    const struct smtp_message *message = smtp_sending(s)->message;
    if (!message)
        return false;
    enum command_status status = smtp_put_mail(out, s->proof, message, &s->offer);
    if (status == COMMAND_BAD) {
        smtp_trouble_bad_sender(s);
        smtp_settle(s, now_us);
    }
    if (status == COMMAND_PUT)
        s->events.stage(s->events.ctx, message, STAGE_MAIL);
    return leaves(s, status, now_us);
}

bool smtp_send_rcpt(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    struct smtp_transaction *t = smtp_sending(s);
    if (!t->message)
        return false;
    uint32_t index = s->send_at.recipient;
    if (*smtp_mark(s, t, index) & RECIPIENT_DECIDED) {
        smtp_skip_recipient(s, now_us);
        return true;
    }
    enum command_status status =
        smtp_put_rcpt(out, s->proof, &t->message->recipient[index], t->message->smtputf8, &s->offer);
    if (status != COMMAND_BAD)
        return leaves(s, status, now_us);
    smtp_skip_recipient(s, now_us);
    smtp_trouble_bad_recipient(s, index);
    smtp_settle(s, now_us);
    return true;
}

bool smtp_send_data(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    return smtp_sending(s)->message && leaves(s, smtp_put_data(out, s->proof), now_us);
}

/* From here on the receiver may have the message, whatever happens to the connection. */
static void put_end(struct smtp_session *s, struct smtp_transaction *t, struct bytes_out *out,
                    uint64_t now_us)
{
    if (t->message)
        s->events.stage(s->events.ctx, t->message, STAGE_DOT);
    t->end_sent = true;
    if (!t->chunked)
        smtp_body_end(&s->body, out);
    smtp_sent_end_of_data(s, now_us);
}

/* False without room for BDAT, or when nobody is left to send a chunk for. */
static bool begin_body(struct smtp_session *s, struct smtp_transaction *t, struct bytes_out *out)
{
    if (t->begun_body)
        return true;
    if (t->chunked && (!t->message || smtp_put_bdat_last(out, s->proof, s->chunk_left) != COMMAND_PUT))
        return false;
    if (t->chunked)
        s->events.stage(s->events.ctx, t->message, STAGE_DATA);
    smtp_count_flight(s);
    t->begun_body = true;
    return true;
}

/* The message has been given back while its chunk was leaving: all were refused, the receiver throws it away, but what
 * was announced must come (RFC 3030 section 4.2).
 */
static enum body_status fill_chunk(struct smtp_session *s, struct bytes_out *out)
{
    for (; s->chunk_left && bytes_room(out); s->chunk_left--)
        bytes_put_u8(out, s->chunk_left & 1 ? '\n' : '\r');
    return s->chunk_left ? BODY_MORE : BODY_END;
}

/* Without a message, DATA was answered 354 though nobody is left: RFC 2920 section 3.1 wants a lone dot. */
static enum body_status put_body(struct smtp_session *s, const struct smtp_transaction *t,
                                 struct bytes_out *out)
{
    if (!t->message)
        return t->chunked ? fill_chunk(s, out) : BODY_END;
    const uint8_t *from = out->at;
    enum body_status status = smtp_body_put(&s->body, out);
    if (t->chunked && status != BODY_BARE) {
        s->chunk_left -= (size_t)(out->at - from);
        assert(status != BODY_END || s->chunk_left == 0); /* the extents add up: smtp_message_fits */
    }
    return status;
}

bool smtp_send_body(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    struct smtp_transaction *t = smtp_sending(s);
    uint8_t *before = out->at;
    assert(s->proof);
    if (!begin_body(s, t, out))
        return false;
    enum body_status status = put_body(s, t, out);
    if (status == BODY_BARE) {
        out->at = before;
        smtp_trouble_bad_body(s);
        smtp_settle(s, now_us);
        return false;
    }
    if (!smtp_reply_is_owed(s))
        smtp_arm(s, now_us); /* RFC 5321 section 4.5.3.2.5: the time is each block's */
    if (status == BODY_MORE || (!t->chunked && bytes_room(out) < SMTP_BODY_END_MAX))
        return false;
    put_end(s, t, out, now_us);
    return true;
}

/* ---- what is answered ---- */

void smtp_on_rset(struct smtp_session *s, uint64_t now_us)
{
    if (smtp_reply_class(&s->reply) != 2) {
        smtp_trouble_rset(s);
        return;
    }
    s->leftover = false;
    smtp_answered(s, now_us);
}

void smtp_on_mail(struct smtp_session *s, uint64_t now_us)
{
    switch (smtp_reply_class(&s->reply)) {
    case 2: smtp_answering(s)->mail_accepted = true; break;
    case 3: smtp_trouble_unexpected(s); return;
    default: smtp_trouble_mail(s); break;
    }
    smtp_answered(s, now_us);
}

void smtp_on_rcpt(struct smtp_session *s, uint64_t now_us)
{
    const struct smtp_transaction *t = smtp_answering(s);
    unsigned class = smtp_reply_class(&s->reply);
    if (class == 3 || (class == 2 && !t->mail_accepted)) {
        smtp_trouble_unexpected(s);
        return;
    }
    if (class != 2 && t->message)
        smtp_trouble_rcpt(s, s->reply_at.recipient);
    smtp_answered(s, now_us);
}

void smtp_on_data(struct smtp_session *s, uint64_t now_us)
{
    const struct smtp_transaction *t = smtp_answering(s);
    switch (smtp_reply_class(&s->reply)) {
    case 2: smtp_trouble_unexpected(s); break;
    case 3:
        if (t->message)
            s->events.stage(s->events.ctx, t->message, STAGE_DATA);
        smtp_answered(s, now_us);
        break;
    default:
        smtp_trouble_data(s);
        s->leftover |= t->mail_accepted;
        smtp_meet_at(s, S_READY, now_us);
        break;
    }
}

/* RFC 5321 section 4.1.1.4: this reply is for all recipients that were accepted, and ends the transaction.  To a chunk
 * that was refused RFC 3030 section 4.2 gives no such certainty.
 */
void smtp_on_dot(struct smtp_session *s, uint64_t now_us)
{
    const struct smtp_transaction *t = smtp_answering(s);
    bool yes = smtp_reply_class(&s->reply) == 2;
    if (smtp_reply_class(&s->reply) == 3) {
        smtp_trouble_unexpected(s);
        return;
    }
    if (smtp_trouble_bdat_unknown(s))
        return;
    bool taken = yes && t->message; /* a yes to a chunk for nobody proves nothing */
    s->leftover = t->chunked && !taken;
    s->chunk_proven |= t->chunked && taken;
    if (yes)
        smtp_trouble_free(s);
    else
        smtp_trouble_dot(s);
    smtp_answered(s, now_us);
}
