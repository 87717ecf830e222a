/* reply.h: one SMTP reply (RFC 5321 section 4.2), put together from bytes as they come.
 *
 * What it is not: it knows no command and no state; what a code means is decided elsewhere.
 *
 * Distrusted: the length of a line, the number of lines, the sum of bytes, the code (three digits, the first of
 * them 2 to 5, the same on every line), the text.  Tolerated: a line that ends in a bare LF (some receivers send
 * it, and a reply draws no boundary that anybody else relies on) and a code without a text (section 4.2.1 asks
 * clients for that).  Of a long reply only what fits an outcome is kept.
 */
#ifndef ENGINE_SMTP_REPLY_H
#define ENGINE_SMTP_REPLY_H

#include "engine/smtp/smtp.h"

struct smtp_reply {
    uint16_t code;         /* 0 before the first line, then in [200, 599] */
    uint16_t lines;        /* complete ones, in [0, SMTP_REPLY_LINES_MAX] */
    uint16_t bytes;        /* taken for this reply, in [0, SMTP_REPLY_BYTES_MAX] */
    uint16_t line_len;     /* of the line in hand, in [0, SMTP_LINE_MAX] */
    uint16_t text_len;     /* in [0, OUTCOME_TEXT_MAX) */
    uint8_t enhanced[3];   /* RFC 3463, of the first line that has one; its class agrees with the code */
    bool line_complete;    /* the line in hand has been given out; the next byte starts another */
    const char *bad;       /* what was wrong, after REPLY_BAD */
    struct span line_text; /* of the complete line in hand: behind the code and its separator */
    char text[OUTCOME_TEXT_MAX]; /* all lines, made safe, without codes, joined by a space; NUL-terminated */
    uint8_t line[SMTP_LINE_MAX];
};

enum reply_status {
    REPLY_MORE, /* all bytes taken, no line complete */
    REPLY_LINE, /* a line is complete (line_text), others follow */
    REPLY_DONE, /* the last line is complete */
    REPLY_BAD,  /* not SMTP; `bad` says why */
};

void smtp_reply_clear(struct smtp_reply *reply);

/* smtp_reply_input takes bytes up to the end of one line.  After REPLY_DONE clear the reply before the next. */
enum reply_status smtp_reply_input(struct smtp_reply *reply, struct bytes_in *in) must_check;

/* The code's first digit: 2 done, 3 go on, 4 not now, 5 no. */
static inline unsigned smtp_reply_class(const struct smtp_reply *reply)
{
    return reply->code / 100u;
}

#endif
