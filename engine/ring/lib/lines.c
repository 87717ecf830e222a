/* lines.c: CRLF and nothing else ends a line.  A bare CR or LF that one server passes on and the next takes for a line
 * end makes a second message out of one body (SMTP smuggling), so none leaves here.
 */
#include "engine/ring/lib/lib.h"

static bool has_8bit(const uint8_t *data, size_t bytes)
{
    uint8_t all = 0;
    for (size_t i = 0; i < bytes; i++)
        all |= data[i];
    return all >= 0x80;
}

static const char *bare(struct lines *lines, uint64_t at, const char *what)
{
    lines->bytes += at;
    return what;
}

/* Valid text has a CR and its LF within each line, so the two searches together pass over it once. */
const char *lines_check(struct lines *lines, const uint8_t *data, size_t bytes)
{
    static const char bare_cr[] = "CR", bare_lf[] = "LF";
    size_t at = 0;
    if (bytes == 0)
        return NULL;
    lines->has_8bit |= has_8bit(data, bytes);
    if (lines->cr && data[0] != '\n')
        return bare(lines, 0, bare_cr);
    if (lines->cr) {
        at = 1;
        lines->line++;
    }
    lines->cr = false;
    while (at < bytes) {
        const uint8_t *cr = memchr(data + at, '\r', bytes - at);
        const uint8_t *lf = memchr(data + at, '\n', cr ? (size_t)(cr - data) - at : bytes - at);
        if (lf)
            return bare(lines, (uint64_t)(lf - data), bare_lf);
        if (!cr)
            break;
        at = (size_t)(cr - data) + 1;
        if (at == bytes) {
            lines->cr = true;
            break;
        }
        if (data[at] != '\n')
            return bare(lines, at - 1, bare_cr);
        at++;
        lines->line++;
    }
    lines->bytes += bytes;
    return NULL;
}

static size_t put(uint8_t *out, size_t at, const void *data, size_t bytes)
{
    if (out && bytes)
        memcpy(out + at, data, bytes);
    return at + bytes;
}

/* The position of the next c at or after `at`, found anew only once it has been passed. */
static size_t next_of(const uint8_t *data, size_t bytes, size_t at, char c, size_t known)
{
    if (known != SIZE_MAX && known >= at)
        return known;
    const uint8_t *p = at < bytes ? memchr(data + at, c, bytes - at) : NULL;
    return p ? (size_t)(p - data) : bytes;
}

size_t lines_normalise(struct lines *lines, const uint8_t *data, size_t bytes, uint8_t *out)
{
    size_t from = 0, used = 0, cr = SIZE_MAX, lf = SIZE_MAX;
    lines->has_8bit |= has_8bit(data, bytes);
    if (lines->cr && bytes) {
        used = put(out, used, "\n", 1);
        from = data[0] == '\n';
        lines->cr = false;
    }
    while (from < bytes) {
        cr = next_of(data, bytes, from, '\r', cr);
        lf = next_of(data, bytes, from, '\n', lf);
        size_t end = min_size(cr, lf);
        used = put(out, used, data + from, end - from);
        if (end == bytes)
            break;
        if (end == cr && cr + 1 == bytes) { /* the next part may begin with its LF */
            used = put(out, used, "\r", 1);
            lines->cr = true;
            break;
        }
        used = put(out, used, "\r\n", 2);
        from = end + 1 + (end == cr && data[end + 1] == '\n');
    }
    return used;
}

size_t lines_end(const struct lines *lines)
{
    return lines->cr;
}
