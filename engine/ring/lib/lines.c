/* lines.c: CRLF and nothing else ends a line.  A bare CR or LF that one server passes on and the next takes for a line
 * end makes a second message out of one body (SMTP smuggling), so none leaves here.
 */
#include "engine/ring/lib/lib.h"
#include "engine/ring/wide.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK 64u

/* Bit i: what byte i of a block is. */
struct masks {
    uint64_t cr, lf, high;
};

#ifdef __SSE2__
static inline struct masks look(const uint8_t *block)
{
    struct masks m = {0, 0, 0};
    for (unsigned at = 0; at < BLOCK; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(block + at));
        m.cr |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r'))) << at;
        m.lf |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n'))) << at;
        m.high |= (uint64_t)(uint32_t)_mm_movemask_epi8(bytes) << at;
    }
    return m;
}
#else
static struct masks look(const uint8_t *block)
{
    struct masks m = {0, 0, 0};
    for (unsigned at = 0; at < BLOCK; at++) {
        m.cr |= (uint64_t)(block[at] == '\r') << at;
        m.lf |= (uint64_t)(block[at] == '\n') << at;
        m.high |= (uint64_t)(block[at] >> 7) << at;
    }
    return m;
}
#endif

/* The last bytes, fewer than a block: with those in front of them where there are enough, else copied. */
static inline struct masks look_at_rest(const uint8_t *data, size_t bytes, size_t rest)
{
    if (bytes >= BLOCK) {
        struct masks m = look(data + bytes - BLOCK);
        unsigned seen = (unsigned)(BLOCK - rest);
        return (struct masks){m.cr >> seen, m.lf >> seen, m.high >> seen};
    }
    uint8_t block[BLOCK] = {0};
    bytes_copy(block, data, rest);
    return look(block);
}

static noinline const char *bare(struct lines *lines, const struct masks *m, unsigned at)
{
    bool is_lf = m->lf >> at & 1;
    lines->bytes += at;
    lines->bytes -= !is_lf; /* the CR stands in front of what is no LF */
    return is_lf ? "LF" : "CR";
}

/* Every LF stands behind a CR and every CR in front of an LF: the one mask is the other, a step later. */
static inline const char *check_block(struct lines *lines, const struct masks *m, unsigned bytes)
{
    uint64_t wanted = m->cr << 1 | lines->cr;
    if (bytes < BLOCK)
        wanted &= (1ull << bytes) - 1;
    if (unlikely(wanted != m->lf))
        return bare(lines, m, (unsigned)__builtin_ctzll(wanted ^ m->lf));
    lines->has_8bit |= m->high != 0;
    lines->cr = m->cr >> (bytes - 1) & 1;
    lines->bytes += bytes;
    return NULL;
}

#ifdef RING_WIDE

/* Whole blocks from the first byte on in which nothing is bare; what they leave in *lines stays in registers meanwhile. */
WIDE static inline __attribute__((always_inline)) size_t wide_sound(struct lines *lines, const uint8_t *data,
                                                                    size_t bytes, uint8_t *out)
{
    uint64_t cr = lines->cr, high = 0;
    size_t at = 0;
    for (; at + BLOCK <= bytes; at += BLOCK) {
        __m512i block = _mm512_loadu_si512(data + at);
        uint64_t ends = wide_is(block, '\r');
        if (unlikely((ends << 1 | cr) != wide_is(block, '\n')))
            break;
        cr = ends >> (BLOCK - 1);
        high |= _mm512_movepi8_mask(block);
        if (out)
            _mm512_storeu_si512(out + at, block);
    }
    lines->cr = cr;
    lines->has_8bit |= high != 0;
    lines->bytes += at;
    return at;
}

WIDE static inline __attribute__((always_inline)) const char *wide_judge(struct lines *lines,
                                                                         const uint8_t *data, size_t bytes,
                                                                         uint8_t *out)
{
    size_t at = wide_sound(lines, data, bytes, out), rest = min_size(bytes - at, BLOCK);
    if (rest == 0)
        return NULL;
    __m512i block = wide_load(data + at, rest);
    struct masks m = {wide_is(block, '\r'), wide_is(block, '\n'), _mm512_movepi8_mask(block)};
    if (out)
        _mm512_mask_storeu_epi8(out + at, _bzhi_u64(UINT64_MAX, (uint32_t)rest), block);
    return check_block(lines, &m, (unsigned)rest);
}

WIDE static const char *wide_check(struct lines *lines, const uint8_t *data, size_t bytes)
{
    return wide_judge(lines, data, bytes, NULL);
}

WIDE static const char *wide_copy(struct lines *lines, const uint8_t *data, size_t bytes, uint8_t *out)
{
    return wide_judge(lines, data, bytes, out);
}

#else

#define has_wide() false
const char *wide_check(struct lines *lines, const uint8_t *data, size_t bytes);
const char *wide_copy(struct lines *lines, const uint8_t *data, size_t bytes, uint8_t *out);

#endif

const char *lines_check(struct lines *lines, const uint8_t *data, size_t bytes)
{
    if (has_wide())
        return wide_check(lines, data, bytes);
    const char *wrong = NULL;
    size_t at = 0;
    for (; at + BLOCK <= bytes && !wrong; at += BLOCK) {
        struct masks m = look(data + at);
        wrong = check_block(lines, &m, BLOCK);
    }
    if (at < bytes && !wrong) {
        struct masks m = look_at_rest(data, bytes, bytes - at);
        wrong = check_block(lines, &m, (unsigned)(bytes - at));
    }
    return wrong;
}

const char *lines_copy(struct lines *lines, const uint8_t *data, size_t bytes, uint8_t *out)
{
    if (has_wide())
        return wide_copy(lines, data, bytes, out);
    bytes_copy(out, data, bytes);
    return lines_check(lines, out, bytes);
}

uint64_t lines_count(const uint8_t *data, size_t bytes)
{
    uint64_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += data[i] == '\n';
    return count;
}

static bool has_8bit(const uint8_t *data, size_t bytes)
{
    uint8_t all = 0;
    for (size_t i = 0; i < bytes; i++)
        all |= data[i];
    return all >= 0x80;
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
