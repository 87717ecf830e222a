#include "engine/smtp/text.h"

/* The smallest character that needs a form of so many bytes: below it the form is overlong. */
static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};

static size_t form_bytes(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if ((first & 0xe0) == 0xc0)
        return 2;
    if ((first & 0xf0) == 0xe0)
        return 3;
    return (first & 0xf8) == 0xf0 ? 4 : 0;
}

size_t smtp_utf8_take(const uint8_t *bytes, size_t len, uint32_t *character)
{
    size_t n = len ? form_bytes(bytes[0]) : 0;
    if (n == 0 || n > len)
        return 0;
    uint32_t c = n == 1 ? bytes[0] : bytes[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (bytes[i] & 0x3fu);
    }
    if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *character = c;
    return n;
}

/* Direction overrides make a terminal show a sentence that is not the one in the log. */
static bool is_safe(uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool line_break = c == 0x2028 || c == 0x2029;
    bool direction = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return !control && !line_break && !direction;
}

/* Most text is nothing else. */
static size_t printable_ascii(const uint8_t *bytes, size_t len)
{
    size_t n = 0;
    while (n < len && bytes[n] >= ' ' && bytes[n] <= '~')
        n++;
    return n;
}

size_t smtp_text_append(char *text, size_t cap, size_t used, const uint8_t *bytes, size_t len)
{
    assert(used < cap);
    size_t plain = printable_ascii(bytes, min_size(len, cap - used - 1));
    if (plain)
        memcpy(text + used, bytes, plain);
    used += plain;
    bytes += plain;
    len -= plain;
    while (len) {
        uint32_t c = 0;
        size_t taken = smtp_utf8_take(bytes, len, &c);
        bool safe = taken && is_safe(c);
        size_t put = safe ? taken : 1;
        if (used + put >= cap)
            break;
        memcpy(text + used, safe ? bytes : (const uint8_t *)"?", put);
        used += put;
        bytes += taken ? taken : 1;
        len -= taken ? taken : 1;
    }
    text[used] = '\0';
    return used;
}
