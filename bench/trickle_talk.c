/* trickle_talk.c: the client's side of the dialogue without TLS: greeting, EHLO, messages by BDAT. */
#include "bench/message.h"
#include "bench/trickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 78u
#define REPLIES    3u /* MAIL, RCPT, BDAT */

static const char ehlo[] = "EHLO trickle.test\r\n";

static struct {
    char *data;
    struct message_mark mark;
} text;

/* ---- replies ---- */

/* One reply has ended, RFC 5321 section 4.2.1. */
static bool on_reply(struct talk *talk)
{
    if (talk->digit != '2')
        return false;
    switch (talk->state) {
    case TALK_GREETING:
        talk->state = TALK_EHLO;
        return stream_write(talk->stream, ehlo, sizeof(ehlo) - 1) == sizeof(ehlo) - 1;
    case TALK_EHLO: talk->state = TALK_IDLE; return true;
    case TALK_MESSAGE:
        if (--talk->wanted == 0)
            talk->state = TALK_IDLE;
        return true;
    default: return false; /* nobody asked */
    }
}

static bool on_octet(struct talk *talk, char c)
{
    if (c == '\n') {
        bool last = talk->column < 4 || talk->separator != '-';
        talk->column = 0;
        return !last || on_reply(talk);
    }
    if (talk->column == 0)
        talk->digit = c;
    if (talk->column == 3)
        talk->separator = c;
    talk->column = (uint8_t)(talk->column + (talk->column < 4));
    return true;
}

bool talk_input(struct talk *talk)
{
    char part[512];
    for (size_t got; (got = stream_read(talk->stream, part, sizeof(part))) > 0;)
        for (size_t i = 0; i < got; i++)
            if (!on_octet(talk, part[i]))
                return false;
    return true;
}

/* ---- messages ---- */

bool talk_text_open(uint32_t message_bytes, uint32_t run, struct error *err)
{
    struct message_digest digest;
    text.mark.run = run;
    text.mark.size = message_bytes - MESSAGE_HEAD_BYTES - MESSAGE_TAIL_BYTES;
    text.data = malloc(text.mark.size);
    if (!text.data)
        return error_set(err, "no memory for a text of %u bytes", text.mark.size);
    memset(text.data, 'x', text.mark.size);
    for (uint32_t at = LINE_BYTES; at + 2 < text.mark.size; at += LINE_BYTES)
        memcpy(text.data + at, "\r\n", 2);
    memcpy(text.data + text.mark.size - 2, "\r\n", 2);
    message_digest_init(&digest);
    message_digest_add(&digest, text.data, text.mark.size);
    text.mark.digest = message_digest_value(&digest);
    return true;
}

void talk_text_close(void)
{
    free(text.data);
    text.data = NULL;
}

static bool put(struct talk *talk, const void *data, size_t len)
{
    return stream_write(talk->stream, data, len) == len;
}

bool talk_send(struct talk *talk, uint32_t seq, uint64_t now_us)
{
    char commands[160], head[MESSAGE_HEAD_BYTES], tail[MESSAGE_TAIL_BYTES];
    struct message_mark mark = text.mark;
    mark.seq = seq;
    message_head(&mark, head);
    message_tail(&mark, tail);
    int len = snprintf(commands, sizeof(commands),
                       "MAIL FROM:<bench@sender.test>\r\nRCPT TO:<bench@farm.test>\r\nBDAT %zu LAST\r\n",
                       sizeof(head) + mark.size + sizeof(tail));
    talk->state = TALK_MESSAGE;
    talk->wanted = REPLIES;
    talk->sent_us = now_us;
    return put(talk, commands, (size_t)len) && put(talk, head, sizeof(head)) &&
           put(talk, text.data, mark.size) && put(talk, tail, sizeof(tail));
}
