#include "engine/smtp/body.h"

#include <endian.h>

#define LANES     8u /* bytes that are looked at together, one in each lane of a 64-bit word */
#define LOW_BITS  0x7f7f7f7f7f7f7f7fu
#define HIGH_BITS 0x8080808080808080u

static_assert(SMTP_BODY_ROOM_MIN >= 2 * LANES, "every byte of a word may become two");

void smtp_body_open(struct smtp_body *body, const struct span *extent, uint32_t extents)
{
    *body = (struct smtp_body){.extent = extent, .extents = extents, .line_start = true};
}

struct unaligned_word {
    uint64_t value;
} __attribute__((packed, may_alias));

/* volatile: what is stored must be the value that was judged, not another look at the same place. */
static inline uint64_t read_word_once(const uint8_t *at)
{
    return le64toh(((const volatile struct unaligned_word *)at)->value);
}

/* The high bit of every lane that holds c.  The sum cannot carry into the next lane, so it is exact. */
static inline uint64_t lanes_with(uint64_t word, uint8_t c)
{
    uint64_t differs = word ^ (c * 0x0101010101010101u);
    return ~(((differs & LOW_BITS) + LOW_BITS) | differs) & HIGH_BITS;
}

/* A word may be copied as it is when every CR in it is followed by an LF in it, every LF has its CR before it,
 * and no line begins with a dot.  after_lf: bit 7 when lane 0 begins a line; updated.
 */
static inline bool take_plain_word(uint64_t word, uint64_t *after_lf)
{
    uint64_t cr = lanes_with(word, '\r'), lf = lanes_with(word, '\n');
    uint64_t line_starts = lf << 8 | *after_lf;
    bool cr_at_end = cr >> 63;
    if (lf != cr << 8 || cr_at_end || (lanes_with(word, '.') & line_starts))
        return false;
    *after_lf = lf >> 56;
    return true;
}

/* False on a CR without LF or an LF without CR.  A CR is held back until its LF has been seen. */
static bool put_byte(struct smtp_body *body, struct bytes_out *out, uint8_t c)
{
    if (body->held_cr != (c == '\n'))
        return false;
    body->held_cr = c == '\r';
    if (body->held_cr) {
        body->line_start = false;
        return true;
    }
    if (c == '\n')
        bytes_put_u8(out, '\r');
    if (c == '.' && body->line_start) /* RFC 5321 section 4.5.2 */
        bytes_put_u8(out, '.');
    bytes_put_u8(out, c);
    body->line_start = c == '\n';
    return true;
}

/* The short way: copies words as long as they are plain. */
static void put_plain_words(struct smtp_body *body, struct bytes_out *out, struct bytes_in *in)
{
    size_t words = min_size(bytes_left(in), bytes_room(out)) / LANES;
    uint64_t after_lf = body->line_start ? 0x80 : 0;
    while (words--) {
        uint64_t word = read_word_once(in->at);
        if (!take_plain_word(word, &after_lf))
            break;
        word = htole64(word);
        memcpy(out->at, &word, LANES);
        in->at += LANES;
        out->at += LANES;
    }
    body->line_start = after_lf != 0;
}

/* The long way, byte by byte, for a word that is not plain and for the ends of extents. */
static bool put_closely(struct smtp_body *body, struct bytes_out *out, struct bytes_in *in)
{
    for (size_t n = min_size(bytes_left(in), LANES); n; n--)
        if (!put_byte(body, out, *(const volatile uint8_t *)in->at++))
            return false;
    return true;
}

static bool put_extent(struct smtp_body *body, struct bytes_out *out)
{
    const struct span *extent = &body->extent[body->at];
    struct bytes_in in = bytes_in(extent->data + body->offset, extent->len - body->offset);
    bool sound = true;
    while (sound && bytes_left(&in) && bytes_room(out) >= SMTP_BODY_ROOM_MIN) {
        if (!body->held_cr)
            put_plain_words(body, out, &in);
        if (bytes_room(out) >= SMTP_BODY_ROOM_MIN)
            sound = put_closely(body, out, &in);
    }
    body->offset = extent->len - bytes_left(&in);
    return sound;
}

enum body_status smtp_body_put(struct smtp_body *body, struct bytes_out *out)
{
    for (; body->at < body->extents; body->at++, body->offset = 0) {
        if (!put_extent(body, out))
            return BODY_BARE;
        if (body->offset < body->extent[body->at].len)
            return BODY_MORE;
    }
    return body->held_cr ? BODY_BARE : BODY_END;
}

void smtp_body_end(const struct smtp_body *body, struct bytes_out *out)
{
    assert(bytes_room(out) >= SMTP_BODY_END_MAX);
    bytes_put_str(out, body->line_start ? ".\r\n" : "\r\n.\r\n");
}

bool smtp_body_is_7bit(const struct span *extent, uint32_t extents)
{
    for (uint32_t i = 0; i < extents; i++) {
        uint64_t seen = 0;
        struct bytes_in in = bytes_in(extent[i].data, extent[i].len);
        for (; bytes_left(&in) >= LANES; in.at += LANES)
            seen |= read_word_once(in.at);
        while (bytes_left(&in))
            seen |= bytes_u8(&in);
        if (seen & HIGH_BITS)
            return false;
    }
    return true;
}
