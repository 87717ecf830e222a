#include "engine/smtp/body.h"
#include "engine/smtp/blocks.h"

#define CLOSELY 16u /* bytes that are looked at one by one before the short way is tried again */
#define LANES   16u

static_assert(SMTP_BODY_ROOM_MIN >= 2 * CLOSELY, "every one of them may become two");

typedef uint8_t block __attribute__((vector_size(LANES)));
typedef int8_t mask __attribute__((vector_size(LANES))); /* 0 or -1 in each lane */

struct unaligned_block {
    block bytes;
} __attribute__((packed, may_alias));

void smtp_body_open(struct smtp_body *body, const struct span *extent, uint32_t extents, bool stuffs)
{
    *body = (struct smtp_body){.extent = extent, .extents = extents, .line_start = true, .stuffs = stuffs};
}

/* volatile: what is stored must be the value that was judged, not another look at the same place. */
static inline block read_once(const uint8_t *at)
{
    return ((const volatile struct unaligned_block *)at)->bytes;
}

static inline bool any(mask m)
{
    typedef uint64_t pair __attribute__((vector_size(LANES)));
    pair halves = (pair)m;
    return (halves[0] | halves[1]) != 0;
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
    if (c == '.' && body->line_start && body->stuffs) /* RFC 5321 section 4.5.2 */
        bytes_put_u8(out, '.');
    bytes_put_u8(out, c);
    body->line_start = c == '\n';
    return true;
}

/* The short way: blocks of bytes that can leave as they are. */
static void put_plain(struct smtp_body *body, struct bytes_out *out, struct bytes_in *in)
{
    size_t len = min_size(bytes_left(in), bytes_room(out));
    size_t n = blocks_copy(out->at, in->at, len, body->line_start, body->stuffs);
    if (n == 0)
        return;
    body->line_start = out->at[n - 1] == '\n';
    out->at += n;
    in->at += n;
}

/* The long way, byte by byte, for what stops the short one and for the ends of extents. */
static bool put_closely(struct smtp_body *body, struct bytes_out *out, struct bytes_in *in)
{
    for (size_t n = min_size(bytes_left(in), CLOSELY); n; n--)
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
            put_plain(body, out, &in);
        if (bytes_room(out) >= SMTP_BODY_ROOM_MIN)
            sound = put_closely(body, out, &in);
    }
    body->offset = extent->len - bytes_left(&in);
    return sound;
}

enum body_status smtp_body_put(struct smtp_body *body, struct bytes_out *out)
{
    for (; body->at < body->extents; body->at++, body->offset = 0) {
        size_t len = body->extent[body->at].len;
        if (body->offset < len && !put_extent(body, out))
            return BODY_BARE;
        if (body->offset < len)
            return BODY_MORE;
    }
    return body->held_cr ? BODY_BARE : BODY_END;
}

void smtp_body_end(const struct smtp_body *body, struct bytes_out *out)
{
    assert(bytes_room(out) >= SMTP_BODY_END_MAX);
    bytes_put_str(out, body->line_start ? ".\r\n" : "\r\n.\r\n");
}

static bool is_7bit(struct bytes_in in)
{
    block seen = {0};
    uint8_t rest = 0;
    for (; bytes_left(&in) >= LANES; in.at += LANES)
        seen |= read_once(in.at);
    while (bytes_left(&in))
        rest |= bytes_u8(&in);
    return !any(seen >= 0x80) && rest < 0x80;
}

bool smtp_body_is_7bit(const struct span *extent, uint32_t extents)
{
    for (uint32_t i = 0; i < extents; i++)
        if (extent[i].len && !is_7bit(bytes_in(extent[i].data, extent[i].len)))
            return false;
    return true;
}
