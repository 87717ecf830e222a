#include "engine/smtp/body.h"

#define LANES 16u /* bytes that are looked at together */

static_assert(SMTP_BODY_ROOM_MIN >= 2 * LANES, "every byte of a block may become two");

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

static inline void store(uint8_t *at, block bytes)
{
    ((struct unaligned_block *)at)->bytes = bytes;
}

static inline bool any(mask m)
{
    typedef uint64_t pair __attribute__((vector_size(LANES)));
    pair halves = (pair)m;
    return (halves[0] | halves[1]) != 0;
}

/* Every lane gets what the lane before it has; the first gets the last of the block before. */
static inline mask one_later(mask before, mask m)
{
    return __builtin_shufflevector(before, m, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
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

/* The short way: copies blocks in which every LF has its CR before it, every CR its LF behind it, and no line
 * begins with a dot that would have to be doubled.  A CR in the last lane is left for the next block.
 */
static void put_plain_blocks(struct smtp_body *body, struct bytes_out *out, struct bytes_in *in)
{
    const mask none = {0};
    const mask stuffs = body->stuffs ? ~none : none;
    const uint8_t *from = in->at;
    uint8_t *to = out->at;
    mask lf_before = none;
    lf_before[LANES - 1] = body->line_start ? -1 : 0;
    while ((size_t)(in->end - from) >= LANES && (size_t)(out->end - to) >= LANES) {
        block bytes = read_once(from);
        mask cr = bytes == '\r', lf = bytes == '\n', dot = bytes == '.';
        mask line_start = one_later(lf_before, lf);
        if (any((lf ^ one_later(none, cr)) | (dot & line_start & stuffs)))
            break;
        store(to, bytes);
        bool cr_is_last = cr[LANES - 1];
        if (unlikely(cr_is_last)) { /* a branch: the next load should not have to wait for this one */
            lf_before = line_start;
            from += LANES - 1;
            to += LANES - 1;
            continue;
        }
        lf_before = lf;
        from += LANES;
        to += LANES;
    }
    body->line_start = lf_before[LANES - 1];
    in->at = from;
    out->at = to;
}

/* The long way, byte by byte, for a block that is not plain and for the ends of extents. */
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
            put_plain_blocks(body, out, &in);
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
