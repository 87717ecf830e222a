#include "engine/smtp/ehlo.h"

#include <strings.h>

static const struct {
    const char *keyword;
    enum smtp_extension extension;
} known[] = {
    {"PIPELINING", EXT_PIPELINING},
    {"8BITMIME", EXT_8BITMIME},
    {"SIZE", EXT_SIZE},
    {"ENHANCEDSTATUSCODES", EXT_ENHANCEDSTATUSCODES},
    {"STARTTLS", EXT_STARTTLS},
    {"SMTPUTF8", EXT_SMTPUTF8},
    {"DSN", EXT_DSN},
    {"CHUNKING", EXT_CHUNKING},
    {"AUTH", EXT_AUTH},
};

/* RFC 5321 section 4.1.1.1: keywords match in any case. */
static enum smtp_extension find(struct span keyword)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strlen(known[i].keyword) == keyword.len &&
            strncasecmp(known[i].keyword, (const char *)keyword.data, keyword.len) == 0)
            return known[i].extension;
    return 0;
}

/* RFC 1870 section 4: up to 20 digits; 0 or none: no fixed limit.  What is not a number tells no limit either:
 * the receiver will say so itself, to MAIL.
 */
static uint64_t parse_size(struct span text)
{
    uint64_t size = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || size > (UINT64_MAX - digit) / 10)
            return 0;
        size = size * 10 + digit;
    }
    return size;
}

static struct span trim(struct span text)
{
    while (text.len && text.data[0] == ' ')
        text = (struct span){text.data + 1, text.len - 1};
    while (text.len && text.data[text.len - 1] == ' ')
        text.len--;
    return text;
}

void smtp_ehlo_line(struct smtp_offer *offer, struct span text)
{
    const uint8_t *space = memchr(text.data, ' ', text.len);
    size_t len = space ? (size_t)(space - text.data) : text.len;
    enum smtp_extension extension = find((struct span){text.data, len});
    offer->extensions |= extension;
    if (extension == EXT_SIZE)
        offer->size_max_bytes = parse_size(trim((struct span){text.data + len, text.len - len}));
}
