#include "engine/ring/punycode.h"

enum { BASE = 36, TMIN = 1, TMAX = 26, SKEW = 38, DAMP = 700, INITIAL_BIAS = 72, INITIAL_N = 128 };

#define LABEL_MAX 63u

static size_t decode_utf8(struct span label, uint32_t points[LABEL_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < label.len; count++) {
        uint8_t c = label.data[i++];
        unsigned more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        uint32_t point = more ? c & (0x3fu >> more) : c;
        for (; more && i < label.len; more--)
            point = point << 6 | (label.data[i++] & 0x3f);
        if (count == LABEL_MAX)
            return 0;
        points[count] = point >= 'A' && point <= 'Z' ? point + 32 : point;
    }
    return count;
}

static char digit(uint32_t d)
{
    return (char)(d < 26 ? 'a' + d : '0' + d - 26);
}

/* RFC 3492 section 6.1 */
static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > ((BASE - TMIN) * TMAX) / 2; k += BASE)
        delta /= BASE - TMIN;
    return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static void put_delta(struct bytes_out *out, uint32_t delta, uint32_t bias)
{
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
        if (delta < t)
            break;
        bytes_put_u8(out, (uint8_t)digit(t + (delta - t) % (BASE - t)));
        delta = (delta - t) / (BASE - t);
    }
    bytes_put_u8(out, (uint8_t)digit(delta));
}

static uint32_t next_point(const uint32_t *points, size_t count, uint32_t n)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < count; i++)
        if (points[i] >= n && points[i] < least)
            least = points[i];
    return least;
}

/* RFC 3492 section 6.3.  No overflow: 63 points below 0x110000 keep delta under 2^27. */
static void put_extended(struct bytes_out *out, const uint32_t *points, size_t count, uint32_t basic)
{
    uint32_t n = INITIAL_N, delta = 0, bias = INITIAL_BIAS, done = basic;
    while (done < count) {
        uint32_t next = next_point(points, count, n);
        delta += (next - n) * (done + 1);
        n = next;
        for (size_t i = 0; i < count; i++) {
            delta += points[i] < n;
            if (points[i] == n) {
                put_delta(out, delta, bias);
                bias = adapt(delta, done + 1, done == basic);
                delta = 0;
                done++;
            }
        }
        delta++;
        n++;
    }
}

size_t ring_punycode_label(struct span label, char *out, size_t cap)
{
    uint32_t points[LABEL_MAX];
    size_t count = decode_utf8(label, points);
    struct bytes_out to = bytes_out(out, min_size(cap, LABEL_MAX));
    uint32_t basic = 0;

    bytes_put_str(&to, "xn--");
    for (size_t i = 0; i < count; i++)
        if (points[i] < 128) {
            bytes_put_u8(&to, (uint8_t)points[i]);
            basic++;
        }
    if (basic)
        bytes_put_u8(&to, '-');
    put_extended(&to, points, count, basic);
    return to.failed || count == 0 ? 0 : bytes_written(&to);
}
