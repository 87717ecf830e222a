#include "engine/smtp/reply.h"
#include "engine/smtp/text.h"

static_assert(SMTP_REPLY_BYTES_MAX <= UINT16_MAX, "struct smtp_reply counts in 16 bits");

void smtp_reply_clear(struct smtp_reply *reply)
{
    reply->code = reply->lines = reply->bytes = reply->line_len = reply->text_len = 0;
    memset(reply->enhanced, 0, sizeof(reply->enhanced));
    reply->line_complete = false;
    reply->bad = NULL;
    reply->line_text = (struct span){reply->line, 0};
    reply->text[0] = '\0';
}

static enum reply_status bad(struct smtp_reply *reply, const char *why)
{
    reply->bad = why;
    return REPLY_BAD;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* RFC 5321 section 4.2: Reply-code = %x32-35 %x30-35 %x30-39.  The second digit is left free: 57x is in use. */
static uint16_t parse_code(const uint8_t *line, size_t len)
{
    if (len < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2]))
        return 0;
    return (uint16_t)((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0'));
}

/* One to three digits (RFC 3463 section 2); false also above 255, which no registered code comes near. */
static bool take_number(struct bytes_in *in, uint8_t *number)
{
    unsigned n = 0, digits = 0;
    while (bytes_left(in) && is_digit(*in->at) && digits < 4) {
        n = n * 10 + (unsigned)(bytes_u8(in) - '0');
        digits++;
    }
    *number = (uint8_t)n;
    return digits >= 1 && digits <= 3 && n <= UINT8_MAX;
}

/* RFC 2034 section 4: the text begins with "class.subject.detail ".  Gives its length, or 0 if it does not. */
static size_t parse_enhanced(struct span text, uint8_t enhanced[3])
{
    struct bytes_in in = bytes_in(text.data, text.len);
    if (!take_number(&in, &enhanced[0]) || bytes_u8(&in) != '.' || !take_number(&in, &enhanced[1]) ||
        bytes_u8(&in) != '.' || !take_number(&in, &enhanced[2]))
        return 0;
    if (bytes_left(&in) && bytes_u8(&in) != ' ')
        return 0;
    return text.len - bytes_left(&in);
}

/* RFC 2034 section 4: the class must agree with the reply's first digit; one that does not is mere text. */
static size_t take_enhanced(struct smtp_reply *reply, struct span text)
{
    uint8_t code[3];
    size_t len = parse_enhanced(text, code);
    if (len == 0 || code[0] != smtp_reply_class(reply))
        return 0;
    if (reply->enhanced[0] == 0)
        memcpy(reply->enhanced, code, sizeof(code));
    return memcmp(reply->enhanced, code, sizeof(code)) == 0 ? len : 0;
}

static void keep_text(struct smtp_reply *reply, struct span text)
{
    size_t skip = take_enhanced(reply, text);
    size_t used = reply->text_len;
    if (used && text.len > skip)
        used = smtp_text_append(reply->text, sizeof(reply->text), used, (const uint8_t *)" ", 1);
    used = smtp_text_append(reply->text, sizeof(reply->text), used, text.data + skip, text.len - skip);
    reply->text_len = (uint16_t)used;
}

static enum reply_status end_line(struct smtp_reply *reply)
{
    size_t len = reply->line_len - 1u; /* the LF */
    if (len && reply->line[len - 1] == '\r')
        len--;
    reply->line_complete = true;

    uint16_t code = parse_code(reply->line, len);
    if (code == 0)
        return bad(reply, "a reply line does not begin with a reply code");
    if (reply->code && reply->code != code) /* section 4.2.1: the same on each line */
        return bad(reply, "the lines of a reply have different codes");
    if (len > 3 && reply->line[3] != ' ' && reply->line[3] != '-')
        return bad(reply, "a reply code is followed by neither a space nor a hyphen");
    if (reply->lines == SMTP_REPLY_LINES_MAX)
        return bad(reply, "a reply has too many lines");

    bool last = len == 3 || reply->line[3] == ' ';
    size_t head = len == 3 ? 3 : 4;
    reply->code = code;
    reply->lines++;
    reply->line_text = (struct span){reply->line + head, len - head};
    keep_text(reply, reply->line_text);
    return last ? REPLY_DONE : REPLY_LINE;
}

enum reply_status smtp_reply_input(struct smtp_reply *reply, struct bytes_in *in)
{
    if (reply->line_complete) {
        reply->line_complete = false;
        reply->line_len = 0;
    }
    size_t left = bytes_left(in);
    if (left == 0)
        return REPLY_MORE;
    const uint8_t *lf = memchr(in->at, '\n', left);
    size_t n = lf ? (size_t)(lf - in->at) + 1 : left;
    if (n > SMTP_LINE_MAX - (size_t)reply->line_len)
        return bad(reply, "a reply line is longer than 512 bytes");
    if (n > SMTP_REPLY_BYTES_MAX - (size_t)reply->bytes)
        return bad(reply, "a reply is longer than 16384 bytes");

    memcpy(reply->line + reply->line_len, bytes_take(in, n), n);
    reply->line_len = (uint16_t)(reply->line_len + n);
    reply->bytes = (uint16_t)(reply->bytes + n);
    return lf ? end_line(reply) : REPLY_MORE;
}
