/* trouble.c: what now?
 *
 * The rules, in the order of their weight:
 *
 *   1. From the end of a message until its reply a recipient that ends any other way than by a reply to that
 *      message's commands is IN_DOUBT.
 *   2. Nothing that was heard in the clear fails a recipient for good: anybody may have said it.  It defers.
 *   3. A reply to MAIL, RCPT, DATA or the end of data decides by its class: 4 defers, 5 fails.
 *   4. A session that ends defers whoever is left, and everybody who waited for it.
 *   5. A 421 is the last reply: what stands behind the command that it answers has not been taken, even if its end
 *      has left.  A receiver works on commands in their order and answers in it (RFC 2920 section 3.2), and having said
 *      421 it closes (RFC 5321 section 3.8).  A close without 421 says nothing of the kind: rule 1.
 */
#include "engine/smtp/trouble.h"
#include "engine/smtp/text.h"

#include <inttypes.h>

/* ---- outcomes ---- */

static void set_enhanced(struct outcome *o, uint8_t class, uint8_t subject, uint8_t detail)
{
    o->enhanced[0] = class;
    o->enhanced[1] = subject;
    o->enhanced[2] = detail;
}

/* What the reply in hand says. */
static void set_reply(const struct smtp_session *s, struct outcome *o, enum verdict verdict)
{
    outcome_set(o, verdict, smtp_stage(s), FAULT_REMOTE, REASON_REPLY, "%s", s->reply.text);
    o->smtp_code = s->reply.code;
    memcpy(o->enhanced, s->reply.enhanced, sizeof(o->enhanced));
}

/* Behind a sentence of our own: the receiver's, cut between characters where it is too long. */
static void quote_reply(const struct smtp_session *s, struct outcome *o)
{
    size_t used = strlen(o->text);
    o->smtp_code = s->reply.code;
    if (s->reply.text_len == 0)
        return;
    used = smtp_text_append(o->text, sizeof(o->text), used, (const uint8_t *)": ", 2);
    smtp_text_append(o->text, sizeof(o->text), used, (const uint8_t *)s->reply.text, s->reply.text_len);
}

/* RFC 5321 section 4.5.3.1.10: RFC 821 had 552 for "too many recipients", which is temporary.  A receiver that
 * means something else by it says so in its enhanced code (5.2.2: mailbox full).
 */
static bool is_old_too_many_recipients(const struct smtp_session *s)
{
    const uint8_t *e = s->reply.enhanced;
    bool says_more = e[0] && !(e[1] == 5 && e[2] == 3);
    return s->reply_at.state == S_RCPT && s->reply.code == 552 && !says_more;
}

static void set_refusal(const struct smtp_session *s, struct outcome *o)
{
    bool permanent = smtp_reply_class(&s->reply) == 5 && !is_old_too_many_recipients(s);
    set_reply(s, o, permanent ? VERDICT_FAILED : VERDICT_DEFERRED);
}

/* ---- the ends of a session ---- */

/* The session's own outcome is for jobs that waited for it, which it has not touched: it always defers.  The
 * first trouble is the reason; what happens during QUIT is of no interest.
 */
static void keep_outcome(struct smtp_session *s, const struct outcome *o)
{
    if (s->outcome.verdict != VERDICT_NONE || s->reply_at.state >= S_QUIT)
        return;
    s->outcome = *o;
    s->outcome.verdict = VERDICT_DEFERRED;
}

/* By a last word to the transaction that is answered; those behind it have not been taken: rule 5. */
static void end_with(struct smtp_session *s, const struct outcome *o)
{
    keep_outcome(s, o);
    if (s->reply_at.serial < s->begun)
        smtp_decide_rest(s, smtp_answering(s), o);
    for (uint32_t serial = s->begun; serial > s->reply_at.serial + 1;
         serial--) /* each becomes the next to go */
        smtp_return(s, smtp_transaction(s, serial - 1), SMTP_RETURN_CLOSED);
    smtp_close(s);
}

/* The connection as such has failed: nobody knows what became of a message whose end has left. */
static void end_broken(struct smtp_session *s, struct outcome *o)
{
    o->verdict = VERDICT_DEFERRED;
    o->stage = (uint8_t)smtp_stage(s);
    keep_outcome(s, o);
    for (uint32_t serial = s->reply_at.serial; serial < s->begun; serial++) {
        struct smtp_transaction *t = smtp_transaction(s, serial);
        o->verdict = t->end_sent ? VERDICT_IN_DOUBT : VERDICT_DEFERRED;
        o->stage = (uint8_t)(t->end_sent                    ? STAGE_DOT
                             : serial == s->reply_at.serial ? smtp_stage(s)
                                                            : smtp_send_stage(s));
        smtp_decide_rest(s, t, o);
    }
    smtp_close(s);
}

static void leave_with(struct smtp_session *s, const struct outcome *o, uint64_t now_us)
{
    keep_outcome(s, o);
    smtp_leave(s, now_us);
}

/* ---- before a byte ---- */

static bool body_adds_up(const struct smtp_message *message)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < message->extents; i++)
        sum += message->extent[i].len;
    return sum == message->body_bytes;
}

static bool needs_8bitmime(const struct smtp_message *message)
{
    return message->body_type == SMTP_BODY_8BITMIME && !smtp_body_is_7bit(message->extent, message->extents);
}

bool smtp_message_fits(const struct smtp_message *message, const struct smtp_offer *offer,
                       struct outcome *why)
{
    if (message->recipients > SMTP_RECIPIENTS_MAX) {
        outcome_set(why, VERDICT_FAILED, STAGE_MAIL, FAULT_PRODUCER, REASON_LIMIT,
                    "the message has %" PRIu32 " recipients, %d are possible at once: split it",
                    message->recipients, SMTP_RECIPIENTS_MAX);
        return false;
    }
    if (!body_adds_up(message)) {
        outcome_set(why, VERDICT_FAILED, STAGE_MAIL, FAULT_PRODUCER, REASON_BAD_JOB,
                    "the extents of the body do not add up to its size of %" PRIu64 " bytes",
                    message->body_bytes);
        return false;
    }
    if (offer->size_max_bytes && message->body_bytes > offer->size_max_bytes) { /* RFC 1870 section 6.1 */
        outcome_set(why, VERDICT_FAILED, STAGE_MAIL, FAULT_REMOTE, REASON_TOO_LARGE,
                    "the message has %" PRIu64 " bytes, the receiver takes %" PRIu64, message->body_bytes,
                    offer->size_max_bytes);
        set_enhanced(why, 5, 3, 4);
        return false;
    }
    if (message->smtputf8 && !smtp_offers(offer, EXT_SMTPUTF8)) { /* RFC 6531 section 3.2 */
        outcome_set(why, VERDICT_FAILED, STAGE_MAIL, FAULT_REMOTE, REASON_UNSUPPORTED,
                    "the message needs SMTPUTF8, which the receiver does not offer");
        set_enhanced(why, 5, 6, 7);
        return false;
    }
    if (!smtp_offers(offer, EXT_8BITMIME) && needs_8bitmime(message)) { /* RFC 6152 section 3 */
        outcome_set(why, VERDICT_FAILED, STAGE_MAIL, FAULT_REMOTE, REASON_UNSUPPORTED,
                    "the message needs 8BITMIME, which the receiver does not offer");
        set_enhanced(why, 5, 6, 3);
        return false;
    }
    return true;
}

/* ---- the opening ---- */

/* A 554 greeting says "no mail here" (RFC 5321 section 3.1), often for an hour or for this address of ours only,
 * and the next MX may well be willing: deferred, as Postfix does it.
 */
void smtp_trouble_greeting(struct smtp_session *s, uint64_t now_us)
{
    struct outcome o;
    set_reply(s, &o, VERDICT_DEFERRED);
    leave_with(s, &o, now_us);
}

/* EHLO refused means the same as EHLO without the keyword: HELO offers nothing, so there is no way to TLS. */
void smtp_trouble_no_starttls(struct smtp_session *s, uint64_t now_us)
{
    struct outcome o;
    if (smtp_reply_class(&s->reply) == 4) {
        set_reply(s, &o, VERDICT_DEFERRED);
        leave_with(s, &o, now_us);
        return;
    }
    bool refused = smtp_reply_class(&s->reply) != 2;
    outcome_set(&o, VERDICT_DEFERRED, STAGE_STARTTLS, FAULT_REMOTE, REASON_STARTTLS_NOT_SUPPORTED,
                refused ? "EHLO was refused, so there is no STARTTLS"
                        : "the receiver does not offer STARTTLS, and nothing is sent in the clear");
    if (refused)
        quote_reply(s, &o);
    set_enhanced(&o, 4, 7, 4);
    leave_with(s, &o, now_us);
}

void smtp_trouble_starttls_rejected(struct smtp_session *s, uint64_t now_us)
{
    struct outcome o;
    outcome_set(&o, VERDICT_DEFERRED, STAGE_STARTTLS, FAULT_REMOTE, REASON_STARTTLS_REJECTED,
                "the receiver offers STARTTLS and then refuses it");
    quote_reply(s, &o);
    set_enhanced(&o, 4, 7, 5);
    leave_with(s, &o, now_us);
}

/* Who can put bytes between the 220 and the handshake can do so to have them taken for the receiver's later. */
void smtp_trouble_injection(struct smtp_session *s)
{
    struct outcome o;
    outcome_set(&o, VERDICT_DEFERRED, STAGE_STARTTLS, FAULT_ATTACK, REASON_STARTTLS_INJECTION,
                "plaintext came where TLS was to begin: somebody is in the way, or the receiver is broken");
    set_enhanced(&o, 4, 7, 5);
    end_with(s, &o);
}

/* Over TLS as in the clear there is no falling back to HELO: who speaks STARTTLS speaks EHLO. */
void smtp_trouble_ehlo(struct smtp_session *s, uint64_t now_us)
{
    struct outcome o;
    set_reply(s, &o, VERDICT_DEFERRED);
    leave_with(s, &o, now_us);
}

/* ---- a message ---- */

void smtp_trouble_bad_sender(struct smtp_session *s)
{
    struct outcome o;
    outcome_set(
        &o, VERDICT_FAILED, STAGE_MAIL, FAULT_PRODUCER, REASON_BAD_JOB,
        "the sender address cannot stand in a command: too long, or with a control character, a space, "
        "an angle bracket or a byte that is not allowed");
    set_enhanced(&o, 5, 1, 7);
    smtp_decide_rest(s, smtp_sending(s), &o);
}

void smtp_trouble_bad_recipient(struct smtp_session *s, uint32_t index)
{
    struct outcome o;
    outcome_set(
        &o, VERDICT_FAILED, STAGE_RCPT, FAULT_PRODUCER, REASON_BAD_JOB,
        "the recipient address or its DSN parameters cannot stand in a command: empty, too long, or with a "
        "control character, a space, an angle bracket or a byte that is not allowed");
    set_enhanced(&o, 5, 1, 3);
    smtp_decide(s, smtp_sending(s), index, &o);
}

static void refuse_rest(struct smtp_session *s)
{
    struct outcome o;
    set_refusal(s, &o);
    smtp_decide_rest(s, smtp_answering(s), &o);
}

void smtp_trouble_mail(struct smtp_session *s)
{
    refuse_rest(s);
}

void smtp_trouble_rcpt(struct smtp_session *s, uint32_t index)
{
    struct outcome o;
    set_refusal(s, &o);
    smtp_decide(s, smtp_answering(s), index, &o);
}

void smtp_trouble_data(struct smtp_session *s)
{
    refuse_rest(s);
}

void smtp_trouble_dot(struct smtp_session *s)
{
    refuse_rest(s);
}

void smtp_trouble_free(struct smtp_session *s)
{
    struct outcome o;
    if (!smtp_answering(s)->message) /* a lone dot, or a chunk for nobody */
        return;
    outcome_set_text(&o, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_NONE, s->reply.text,
                     s->reply.text_len);
    o.smtp_code = s->reply.code;
    memcpy(o.enhanced, s->reply.enhanced, sizeof(o.enhanced));
    stat_inc(s->config.stats, STAT_smtp_messages);
    if (smtp_answering(s)->chunked)
        stat_inc(s->config.stats, STAT_smtp_messages_bdat);
    smtp_decide_rest(s, smtp_answering(s), &o);
}

/* ---- the session is over ---- */

/* RFC 5321 section 4.1.1.5 knows one reply, 250.  What the receiver does with what stands behind it is open. */
void smtp_trouble_rset(struct smtp_session *s)
{
    struct outcome o;
    set_reply(s, &o, VERDICT_DEFERRED);
    end_broken(s, &o);
}

/* RFC 5321 section 4.2.4: not known, not understood, not implemented, not now.  From a receiver that has taken no
 * message by BDAT on this connection but one recipient at least of this, it is taken for the first three.  If it did
 * not know the command it takes the chunk for commands, too, and its replies are no longer ours to count: nothing
 * more is said on this connection.  The refusal was definite, and nothing stands behind it (may_follow).
 */
bool smtp_trouble_bdat_unknown(struct smtp_session *s)
{
    struct smtp_transaction *t = smtp_answering(s);
    if (!t->chunked || !t->begun_body || !t->message || s->chunk_proven || s->reply.code < 500 ||
        s->reply.code > 503)
        return false;
    struct outcome o;
    outcome_set(&o, VERDICT_DEFERRED, STAGE_DATA, FAULT_REMOTE, REASON_PROTOCOL,
                "the receiver offers CHUNKING and refuses BDAT");
    quote_reply(s, &o);
    keep_outcome(s, &o);
    stat_inc(s->config.stats, STAT_smtp_bdat_unknown);
    smtp_return(s, t, SMTP_RETURN_NO_BDAT);
    smtp_close(s);
    return true;
}

/* There is no way to take a message back but to break off before its end: RFC 5321 section 4.1.1.4 has the receiver act
 * on it only then, and RFC 3030 section 2 only on a chunk that is whole.  Messages before it still get their replies.
 */
void smtp_trouble_bad_body(struct smtp_session *s)
{
    struct outcome o;
    outcome_set(&o, VERDICT_FAILED, STAGE_DATA, FAULT_PRODUCER, REASON_BAD_JOB,
                "the body has a CR or an LF that is not part of a CRLF; it was broken off there");
    set_enhanced(&o, 5, 6, 0);
    keep_outcome(s, &o);
    s->broken_off = true;
    smtp_decide_rest(s, smtp_sending(s), &o);
}

/* RFC 5321 section 3.8: 421 is an answer to any command, the end of data included, and closes. */
void smtp_trouble_closing(struct smtp_session *s)
{
    struct outcome o;
    set_reply(s, &o, VERDICT_DEFERRED);
    end_with(s, &o);
}

void smtp_trouble_not_smtp(struct smtp_session *s)
{
    struct outcome o;
    stat_inc(s->config.stats, STAT_smtp_replies_bad);
    outcome_set(&o, VERDICT_NONE, STAGE_NONE, FAULT_REMOTE, REASON_PROTOCOL, "%s while %s", s->reply.bad,
                smtp_state_text(s));
    end_broken(s, &o);
}

void smtp_trouble_unexpected(struct smtp_session *s)
{
    struct outcome o;
    stat_inc(s->config.stats, STAT_smtp_replies_bad);
    outcome_set(&o, VERDICT_NONE, STAGE_NONE, FAULT_REMOTE, REASON_PROTOCOL,
                "reply %u makes no sense while %s", s->reply.code, smtp_state_text(s));
    quote_reply(s, &o);
    end_broken(s, &o);
}

/* A receiver that has had enough says so unasked.  Of a body that is on its way it speaks with authority: no end
 * of data has been sent, so a refusal is final.  Success before the end of data is a lie.
 */
void smtp_trouble_out_of_turn(struct smtp_session *s)
{
    struct outcome o;
    if (smtp_reply_class(&s->reply) < 4) {
        smtp_trouble_unexpected(s);
        return;
    }
    if (s->reply_at.state == S_BODY && smtp_trouble_bdat_unknown(s))
        return;
    set_refusal(s, &o);
    if (s->reply_at.state != S_BODY)
        o.verdict = VERDICT_DEFERRED;
    end_with(s, &o);
}

void smtp_on_nothing(struct smtp_session *s, uint64_t now_us)
{
    (void)now_us;
    smtp_trouble_unexpected(s);
}

void smtp_trouble_timeout(struct smtp_session *s)
{
    struct outcome o;
    outcome_set(&o, VERDICT_NONE, STAGE_NONE, FAULT_REMOTE, REASON_TIMEOUT, "nothing for %g s while %s",
                (double)smtp_timeout_us(s) / 1e6, smtp_state_text(s));
    end_broken(s, &o);
}

/* The last message, on a connection that had carried others: the receiver may have closed before it saw any of it. */
static bool is_untouched(const struct smtp_session *s)
{
    if (s->begun < 2 || !smtp_in_transaction(s->send_at))
        return false;
    bool answered =
        s->reply_at.serial == s->send_at.serial && (s->reply_at.state > S_MAIL || s->reply.bytes > 0);
    return !answered;
}

void smtp_trouble_lost(struct smtp_session *s, const struct outcome *why)
{
    struct outcome o = *why;
    if (why->fault == FAULT_NETWORK && is_untouched(s))
        smtp_return(s, smtp_transaction(s, s->begun - 1), SMTP_RETURN_CLOSED);
    end_broken(s, &o);
}
