/* given.c: configuration, TLS, messages, time, and the wire that is cut. */
#include "tests/unit/smtp/dialogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void do_config(struct player *p, const char *text)
{
    while (*text) {
        char word[64];
        dialogue_word(&text, word, sizeof(word));
        if (sscanf(word, "messages_max=%u", &p->config.messages_max) == 1 ||
            sscanf(word, "percent=%u", &p->config.timeout_percent) == 1 ||
            sscanf(word, "ahead=%u", &p->config.messages_ahead) == 1 ||
            sscanf(word, "chunk_ahead=%lu", &p->config.chunk_ahead_bytes) == 1)
            continue;
        if (strcmp(word, "no_chunking") == 0) {
            p->config.chunking = false;
            continue;
        }
        if (strcmp(word, "implicit_tls") != 0)
            dialogue_fail(p, "what is %s?", word);
        p->implicit_tls = true;
    }
}

void do_tls(struct player *p, const char *text)
{
    (void)text;
    dialogue_quiet(p);
    if (smtp_want(&p->session) != (p->implicit_tls ? SMTP_WANT_IO : SMTP_WANT_STARTTLS))
        dialogue_fail(p, "the session does not want TLS, it is %s", smtp_state_text(&p->session));
    smtp_secured(&p->session, &p->proof, p->now_us);
    dialogue_listen(p);
}

/* The usual way to a session that is ready; text: the keywords of the second EHLO reply. */
void do_opened(struct player *p, const char *text)
{
    char keyword[64];
    do_say_line(p, "220 mx.example ESMTP");
    do_hear_line(p, "EHLO client.example");
    do_say_line(p, "250-mx.example");
    do_say_line(p, "250 STARTTLS");
    do_hear_line(p, "STARTTLS");
    do_say_line(p, "220 go ahead");
    do_tls(p, "");
    do_hear_line(p, "EHLO client.example");
    do_say_line(p, *text ? "250-mx.example" : "250 mx.example");
    while (*text) {
        char line[96];
        dialogue_word(&text, keyword, sizeof(keyword));
        for (char *equals = keyword; (equals = strchr(equals, '='));)
            *equals = ' ';
        snprintf(line, sizeof(line), "250%c%s", *text ? '-' : ' ', keyword);
        do_say_line(p, line);
    }
    dialogue_quiet(p);
    if (!smtp_ready(&p->session))
        dialogue_fail(p, "the session is not ready");
}

void do_body(struct player *p, const char *text)
{
    p->body_len = dialogue_unescape(p, text, p->body, BUFFER_MAX);
}

/* So many bytes of lines of all lengths, some of them beginning with dots. */
void do_body_bytes(struct player *p, const char *text)
{
    p->body_len = strtoul(text, NULL, 10);
    for (size_t i = 0; i < p->body_len; i++)
        p->body[i] = (uint8_t)(i % 7 < 2 ? '.' : 'a' + i % 26);
    for (size_t i = 0, line = 0; i + 2 < p->body_len; i += 2 + line++ % 90)
        memcpy(p->body + i, "\r\n", 2);
    memcpy(p->body + p->body_len - 2, "\r\n", 2);
    if (p->body[p->body_len - 3] == '\r')
        p->body[p->body_len - 3] = 'x';
}

static void split_body(struct mail *mail, uint32_t extents)
{
    size_t at = 0;
    for (uint32_t i = 0; i < extents; i++) {
        size_t n = i + 1 < extents ? mail->body_len / extents : mail->body_len - at;
        mail->extent[i] = (struct span){mail->body + at, n};
        at += n;
    }
    mail->message.extent = mail->extent;
    mail->message.extents = extents;
    mail->message.body_bytes = mail->body_len;
}

static void address(struct player *p, struct span *span, char *store, size_t cap, const char *text)
{
    *span = (struct span){(uint8_t *)store, dialogue_unescape(p, text, (uint8_t *)store, cap)};
}

static void message_word(struct player *p, struct mail *mail, const char *word)
{
    unsigned n, recipient;
    int value = 0;
    if (sscanf(word, "rcpt=%u", &n) == 1 && n <= RECIPIENTS_MAX)
        mail->message.recipients = n;
    else if (sscanf(word, "extents=%u", &n) == 1 && n <= ARRAY_LEN(mail->extent))
        split_body(mail, n);
    else if (sscanf(word, "body_bytes=%u", &n) == 1)
        mail->message.body_bytes = n;
    else if (sscanf(word, "decided%u", &recipient) == 1 && recipient < RECIPIENTS_MAX)
        mail->recipient[recipient].decided = true;
    else if (strncmp(word, "from=", 5) == 0)
        address(p, &mail->message.sender, mail->sender, sizeof(mail->sender), word + 5);
    else if (sscanf(word, "to%u=%n", &recipient, &value) == 1 && value && recipient < RECIPIENTS_MAX)
        address(p, &mail->recipient[recipient].address, mail->address[recipient], sizeof(mail->address[0]),
                word + value);
    else if (sscanf(word, "dsn%u=%n", &recipient, &value) == 1 && value && recipient < RECIPIENTS_MAX)
        address(p, &mail->recipient[recipient].dsn, mail->dsn, sizeof(mail->dsn), word + value);
    else if (strcmp(word, "8bit") == 0)
        mail->message.body_type = SMTP_BODY_8BITMIME;
    else if (strcmp(word, "utf8") == 0)
        mail->message.smtputf8 = true;
    else
        dialogue_fail(p, "what is %s?", word);
}

void do_message(struct player *p, const char *text)
{
    dialogue_quiet(p);
    if (!smtp_ready(&p->session))
        dialogue_fail(p, "the session is not ready, it is %s", smtp_state_text(&p->session));
    struct mail *mail = dialogue_mail(p, ++p->begun);
    if (mail->number)
        dialogue_fail(p, "too many messages in hand");
    mail->number = p->begun;
    mail->stage = STAGE_NONE;
    mail->message = (struct smtp_message){.recipient = mail->recipient, .recipients = 1};
    mail->body = realloc(mail->body, p->body_len + 1);
    mail->body_len = p->body_len;
    memcpy(mail->body, p->body, p->body_len);
    memset(mail->recipient, 0, sizeof(mail->recipient));
    address(p, &mail->message.sender, mail->sender, sizeof(mail->sender), "sender@example.net");
    for (unsigned i = 0; i < RECIPIENTS_MAX; i++) {
        char to[32];
        snprintf(to, sizeof(to), "r%u@example.org", i);
        address(p, &mail->recipient[i].address, mail->address[i], sizeof(mail->address[i]), to);
    }
    split_body(mail, 1);
    while (*text) {
        char word[2048];
        message_word(p, mail, dialogue_word(&text, word, sizeof(word)));
    }
    smtp_begin(&p->session, &mail->message, p->now_us);
    dialogue_listen(p);
}

void do_time(struct player *p, const char *text)
{
    dialogue_quiet(p);
    p->now_us += (uint64_t)(strtod(text, NULL) * 1e6);
    smtp_timers(&p->session, p->now_us);
    dialogue_listen(p);
}

void do_lost(struct player *p, const char *text)
{
    struct outcome why;
    dialogue_quiet(p);
    for (enum reason r = 0; r < REASON_COUNT; r++)
        if (strcmp(reason_name(r), text) == 0) {
            outcome_set(&why, VERDICT_NONE, STAGE_NONE, FAULT_NETWORK, r, "the test cut the wire");
            smtp_lost(&p->session, &why, p->now_us);
            dialogue_listen(p);
            return;
        }
    dialogue_fail(p, "what is %s?", text);
}

void do_quit(struct player *p, const char *text)
{
    (void)text;
    dialogue_flush(p);
    smtp_quit(&p->session, p->now_us);
    dialogue_listen(p);
}
