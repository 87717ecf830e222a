/* mx_smtp.c: the receivers' side of the dialogue (RFC 5321). */
#include "tests/unit/cmocka.h"
#include "tests/unit/core/mx.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static bool is_command(const char *line, const char *word)
{
    return strncasecmp(line, word, strlen(word)) == 0;
}

static void path_of(const char *line, char out[MX_ADDRESS_MAX])
{
    const char *from = strchr(line, '<'), *to = from ? strchr(from, '>') : NULL;
    assert_non_null(to);
    snprintf(out, MX_ADDRESS_MAX, "%.*s", (int)(to - from - 1), from + 1);
}

static const char *or_else(const char *reply, const char *usual)
{
    return reply ? reply : usual;
}

static void idle(struct mx_conn *c)
{
    c->idle_us = c->host->idle_us ? c->mx->now_us + c->host->idle_us : DEADLINE_NEVER;
}

static void forget(struct mx_conn *c)
{
    c->has_sender = c->in_body = false;
    c->rcpts = 0;
    c->body.len = 0;
}

void mx_greet(struct mx_conn *c)
{
    c->greeted = true;
    if (c->too_many) {
        c->host->turned_away++;
        mx_say(c, "421 4.7.0 too many connections from you");
        c->closing = c->deaf = true;
    } else if (!mx_meets(c, MX_CONNECTED)) {
        mx_say(c, "%s", or_else(c->host->greeting, "220 mx ESMTP"));
    }
}

static void on_ehlo(struct mx_conn *c)
{
    c->ehlo_us = c->ssl ? c->mx->now_us : 0;
    if (mx_meets(c, c->ssl ? MX_EHLO_TLS : MX_EHLO))
        return;
    if (c->ssl && c->host->ehlo_tls) {
        mx_say(c, "%s", c->host->ehlo_tls);
        return;
    }
    mx_say(c, "250-mx");
    if (!c->ssl && !c->host->no_starttls)
        mx_say(c, "250-STARTTLS");
    if (!c->host->no_pipelining)
        mx_say(c, "250-PIPELINING");
    if (c->ssl)
        idle(c);
    if (c->host->chunking && c->ssl)
        mx_say(c, "250-CHUNKING");
    mx_say(c, "250-SIZE 10485760");
    mx_say(c, "250 8BITMIME");
}

static void on_starttls(struct mx_conn *c)
{
    if (mx_meets(c, MX_STARTTLS))
        return;
    mx_say(c, "220 2.0.0 go ahead");
    c->tls_due = true;
}

static void on_mail(struct mx_conn *c, const char *line)
{
    c->idle_us = DEADLINE_NEVER;
    if (mx_meets(c, MX_MAIL))
        return;
    forget(c);
    path_of(line, c->sender);
    const char *reply = or_else(c->host->mail, "250 2.1.0 sender ok");
    c->has_sender = reply[0] == '2';
    mx_say(c, "%s", reply);
}

static void on_rcpt(struct mx_conn *c, const char *line)
{
    char address[MX_ADDRESS_MAX];
    if (mx_meets(c, MX_RCPT))
        return;
    path_of(line, address);
    const char *reply = or_else(c->host->rcpt, "250 2.1.5 recipient ok");
    if (strncmp(address, "bad", 3) == 0)
        reply = "550 5.1.1 no such user";
    if (!c->has_sender)
        reply = "503 5.5.1 MAIL first";
    if (reply[0] == '2') {
        assert_true(c->rcpts < MX_RCPTS_MAX);
        memcpy(c->rcpt[c->rcpts++], address, sizeof(address));
    }
    mx_say(c, "%s", reply);
}

static void on_data(struct mx_conn *c)
{
    if (mx_meets(c, MX_DATA))
        return;
    const char *reply = or_else(c->host->data, "354 go on");
    if (c->rcpts == 0)
        reply = "554 5.5.1 no valid recipients";
    c->in_body = reply[0] == '3';
    mx_say(c, "%s", reply);
}

static struct mx_mail *keep(struct mx_conn *c)
{
    struct mx *mx = c->mx;
    if (mx->mails == mx->mails_cap) {
        mx->mails_cap = 2 * mx->mails_cap + 16;
        mx->mail = realloc(mx->mail, mx->mails_cap * sizeof(*mx->mail));
        assert_non_null(mx->mail);
    }
    struct mx_mail *mail = &mx->mail[mx->mails++];
    *mail = (struct mx_mail){.host = c->host,
                             .serial = c->serial,
                             .rcpts = c->rcpts,
                             .body = c->body.data,
                             .body_len = c->body.len};
    memcpy(mail->sender, c->sender, sizeof(mail->sender));
    memcpy(mail->rcpt, c->rcpt, sizeof(mail->rcpt));
    c->body = (struct mx_bytes){0};
    return mail;
}

static void on_dot(struct mx_conn *c)
{
    struct mx_mail *mail = keep(c);
    forget(c);
    c->messages++;
    if (mx_meets(c, MX_DOT))
        return;
    const char *reply = or_else(c->host->dot, "250 2.0.0 queued");
    mail->reply = (uint16_t)atoi(reply);
    mx_say(c, "%s", reply);
    idle(c);
    mx_meets(c, MX_IDLE);
}

static void on_body_line(struct mx_conn *c, const char *line, size_t len)
{
    if (c->body.len == 0 && mx_meets(c, MX_BODY))
        return;
    if (len == 3 && memcmp(line, ".\r\n", 3) == 0) {
        on_dot(c);
        return;
    }
    size_t stuffed = line[0] == '.';
    mx_bytes_add(&c->body, line + stuffed, len - stuffed);
}

static void on_quit(struct mx_conn *c)
{
    c->host->quits++;
    if (mx_meets(c, MX_QUIT))
        return;
    mx_say(c, "%s", or_else(c->host->quit, "221 2.0.0 bye"));
    c->deaf = true;
    c->closing = !c->host->lingers && !c->host->holds;
}

static void on_rset(struct mx_conn *c)
{
    forget(c);
    c->mx->resets++;
    mx_say(c, "%s", or_else(c->host->rset, "250 2.0.0 forgotten"));
}

static void end_chunk(struct mx_conn *c)
{
    if (!c->has_sender || c->rcpts == 0) { /* what stays open until RSET */
        c->body.len = 0;
        mx_say(c, "503 5.5.1 nobody to send it to");
    } else if (c->chunk_last) {
        on_dot(c);
        if (c->mx->mails)
            c->mx->mail[c->mx->mails - 1].chunked = true;
    } else {
        mx_say(c, "250 2.0.0 taken");
    }
}

static void on_bdat(struct mx_conn *c, const char *line)
{
    char last[8] = "";
    if (mx_meets(c, MX_DATA))
        return;
    assert_true(sscanf(line, "BDAT %zu %7s", &c->chunk_left, last) >= 1);
    c->chunk_last = strcasecmp(last, "LAST") == 0;
    if (c->chunk_left == 0)
        end_chunk(c);
}

void mx_take_chunk(struct mx_conn *c, const uint8_t *data, size_t len)
{
    if (c->body.len == 0 && mx_meets(c, MX_BODY))
        return;
    mx_bytes_add(&c->body, data, len);
    c->chunk_left -= len;
    if (c->chunk_left == 0)
        end_chunk(c);
}

void mx_take_line(struct mx_conn *c, const char *line, size_t len)
{
    if (c->in_body) {
        on_body_line(c, line, len);
        return;
    }
    bool carries_mail = is_command(line, "MAIL") || is_command(line, "RCPT") || is_command(line, "DATA") ||
                        is_command(line, "BDAT");
    c->mx->clear_mail += carries_mail && !c->ssl;
    if (is_command(line, "EHLO "))
        on_ehlo(c);
    else if (is_command(line, "STARTTLS"))
        on_starttls(c);
    else if (is_command(line, "MAIL FROM:"))
        on_mail(c, line);
    else if (is_command(line, "RCPT TO:"))
        on_rcpt(c, line);
    else if (is_command(line, "DATA"))
        on_data(c);
    else if (c->host->knows_no_bdat && !is_command(line, "RSET") && !is_command(line, "QUIT"))
        mx_say(c, "500 5.5.2 what?");
    else if (is_command(line, "BDAT "))
        on_bdat(c, line);
    else if (is_command(line, "QUIT"))
        on_quit(c);
    else if (is_command(line, "RSET"))
        on_rset(c);
    else
        fail_msg("the receiver got \"%.*s\"", (int)len, line);
}
