/* opening.c: greeting, EHLO, STARTTLS, EHLO again, and QUIT at the other end (RFC 5321 section 3.1, RFC 3207). */
#include "engine/smtp/command.h"
#include "engine/smtp/session.h"
#include "engine/smtp/trouble.h"

static bool leaves(struct smtp_session *s, enum command_status status, uint64_t now_us)
{
    if (status != COMMAND_PUT)
        return false;
    smtp_sent(s, now_us);
    return true;
}

bool smtp_send_ehlo(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    return leaves(s, smtp_put_ehlo(out, s->config.helo_name), now_us);
}

bool smtp_send_starttls(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    return leaves(s, smtp_put_starttls(out), now_us);
}

bool smtp_send_quit(struct smtp_session *s, struct bytes_out *out, uint64_t now_us)
{
    return leaves(s, smtp_put_quit(out), now_us);
}

void smtp_on_greeting(struct smtp_session *s, uint64_t now_us)
{
    if (smtp_reply_class(&s->reply) == 2)
        smtp_answered(s, now_us);
    else
        smtp_trouble_greeting(s, now_us);
}

void smtp_on_ehlo_clear(struct smtp_session *s, uint64_t now_us)
{
    if (smtp_reply_class(&s->reply) == 2 && smtp_offers(&s->offer, EXT_STARTTLS))
        smtp_answered(s, now_us);
    else
        smtp_trouble_no_starttls(s, now_us);
}

/* RFC 3207 section 4: 220, and nothing else will do. */
void smtp_on_starttls(struct smtp_session *s, uint64_t now_us)
{
    if (s->reply.code == 220)
        smtp_answered(s, now_us);
    else
        smtp_trouble_starttls_rejected(s, now_us);
}

void smtp_on_ehlo(struct smtp_session *s, uint64_t now_us)
{
    if (smtp_reply_class(&s->reply) == 2)
        smtp_answered(s, now_us);
    else
        smtp_trouble_ehlo(s, now_us);
}

/* RFC 5321 section 4.1.1.10: 221; whatever it is, it is over. */
void smtp_on_quit(struct smtp_session *s, uint64_t now_us)
{
    (void)now_us;
    smtp_close(s);
}
