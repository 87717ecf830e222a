#include "engine/ring/plain.h"

#include "engine/ring/wide.h"

#define PLAIN_MAX 64u /* bytes: a bit of a mask each */
#define BLOCK     16u
#define inlined   static inline __attribute__((always_inline))

/* Bit i: what byte i is. */
struct look {
    uint64_t name, dot, at, more;
    uint64_t letter; /* of wide_look alone */
};

#if defined(__x86_64__)

#include <emmintrin.h>

inlined __m128i is(__m128i bytes, char c)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

/* SSE2 compares signed bytes alone: the range is moved to their lower end. */
inlined __m128i in_range(__m128i bytes, unsigned char first, unsigned char last)
{
    __m128i moved = _mm_add_epi8(bytes, _mm_set1_epi8((char)(0x80u - first)));
    return _mm_cmplt_epi8(moved, _mm_set1_epi8((char)(0x80u + last - first + 1u)));
}

inlined __m128i letters(__m128i bytes)
{
    return in_range(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z');
}

inlined uint64_t bits(__m128i mask)
{
    return (uint32_t)_mm_movemask_epi8(mask);
}

/* Up to seven bytes, zeros behind them; nothing is read in front of or behind the text. */
inlined uint64_t load_few(const uint8_t *p, size_t len)
{
    uint32_t first, last;
    if (len >= 4) {
        memcpy(&first, p, sizeof(first));
        memcpy(&last, p + len - sizeof(last), sizeof(last));
        return first | (uint64_t)last << 8 * (len - sizeof(last));
    }
    if (len == 0)
        return 0;
    return p[0] | (uint64_t)p[len / 2] << 8 * (len / 2) | (uint64_t)p[len - 1] << 8 * (len - 1);
}

inlined __m128i load(const uint8_t *p, size_t len)
{
    uint64_t first, last;
    if (len >= BLOCK)
        return _mm_loadu_si128((const __m128i *)p);
    if (len < sizeof(first))
        return _mm_set_epi64x(0, (long long)load_few(p, len));
    memcpy(&first, p, sizeof(first));
    memcpy(&last, p + len - sizeof(last), sizeof(last));
    last = last >> 1 >> (8 * (BLOCK - len) - 1);
    return _mm_set_epi64x((long long)last, (long long)first);
}

inlined struct look look_at(struct span text)
{
    struct look l = {0};
    for (size_t at = 0; at < text.len; at += BLOCK) {
        __m128i c = load(text.data + at, text.len - at);
        __m128i name = _mm_or_si128(_mm_or_si128(letters(c), in_range(c, '0', '9')),
                                    _mm_or_si128(is(c, '-'), is(c, '_')));
        l.name |= bits(name) << at;
        l.dot |= bits(is(c, '.')) << at;
        l.at |= bits(is(c, '@')) << at;
        l.more |= bits(_mm_or_si128(is(c, '+'), is(c, '='))) << at;
    }
    return l;
}

inlined void lower(struct span text, char *out)
{
    for (size_t at = 0; at < text.len; at += BLOCK) {
        __m128i c = load(text.data + at, text.len - at);
        c = _mm_or_si128(c, _mm_and_si128(letters(c), _mm_set1_epi8(0x20)));
        _mm_storeu_si128((__m128i *)(out + at), c);
    }
}

#else

static bool is_name(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_';
}

inlined struct look look_at(struct span text)
{
    struct look l = {0};
    for (size_t at = 0; at < text.len; at++) {
        uint8_t c = text.data[at];
        l.name |= (uint64_t)is_name(c) << at;
        l.dot |= (uint64_t)(c == '.') << at;
        l.at |= (uint64_t)(c == '@') << at;
        l.more |= (uint64_t)(c == '+' || c == '=') << at;
    }
    return l;
}

inlined void lower(struct span text, char *out)
{
    for (size_t at = 0; at < text.len; at++)
        out[at] = (char)(text.data[at] | (text.data[at] >= 'A' && text.data[at] <= 'Z' ? 32 : 0));
}

#endif

inlined uint64_t first_bits(size_t count)
{
    return count >= PLAIN_MAX ? UINT64_MAX : (1ull << count) - 1;
}

/* Of the bytes from `first` to the end: labels with dots between.  None is longer than 63: the whole would have to be. */
inlined bool are_labels(const struct look *l, size_t first, size_t end)
{
    if (first >= PLAIN_MAX || first >= end)
        return false;
    uint64_t those = first_bits(end) & ~first_bits(first), dot = l->dot & those;
    return ((l->name | l->dot) & those) == those && !(dot & dot << 1) && !(dot >> first & 1) &&
           !(dot >> (end - 1) & 1);
}

inlined bool is_local(const struct look *l, size_t bytes)
{
    return bytes > 0 && (first_bits(bytes) & ~(l->name | l->dot | l->more)) == 0;
}

/* The bytes up to and with the @ of an address; 0: it is none, or not a plain one. */
inlined size_t host_at(const struct look *l, size_t bytes)
{
    if (!l->at)
        return 0;
    size_t at = (size_t)__builtin_ctzll(l->at);
    return is_local(l, at) && are_labels(l, at + 1, bytes) ? at + 1 : 0;
}

inlined struct span behind(struct span text, size_t bytes)
{
    return (struct span){text.data + bytes, text.len - bytes};
}

inlined void end_name(struct ring_name *domain, size_t bytes)
{
    domain->text[bytes] = 0;
    domain->bytes = (uint8_t)bytes;
}

#ifdef RING_WIDE

enum {
    DIGIT = 1 << 0,
    FIRST_LETTERS = 1 << 1, /* A to O, a to o */
    LAST_LETTERS = 1 << 2,  /* P to Z, p to z */
    EQUALS = 1 << 3,
    DASH = 1 << 4,
    UNDERSCORE = 1 << 5,
    PLUS = 1 << 6,
    DOT = 1 << 7,
    LETTER = FIRST_LETTERS | LAST_LETTERS,
    NAME = DIGIT | LETTER | DASH | UNDERSCORE,
};

#define FOUR(x)    (x), (x), (x), (x)
#define SIXTEEN(x) {FOUR(x), FOUR(x), FOUR(x), FOUR(x)}

/* What a byte can be by its lower and by its upper four bits: it is what stands in both.  The rest are constants that cost less
 * from here than made of registers.
 */
static const struct {
    _Alignas(16) uint8_t lower[16], upper[16], four_bits[16], name[16], more[16], letter[16], at[16],
        small[16];
} table = {
    .lower =
        {
            DIGIT | LAST_LETTERS, /* 0, P, p; @ has a look of its own */
            DIGIT | LETTER,
            DIGIT | LETTER,
            DIGIT | LETTER,
            DIGIT | LETTER,
            DIGIT | LETTER,
            DIGIT | LETTER,
            DIGIT | LETTER,
            DIGIT | LETTER,
            DIGIT | LETTER,
            LETTER,
            FIRST_LETTERS | PLUS,
            FIRST_LETTERS,
            FIRST_LETTERS | DASH | EQUALS,
            FIRST_LETTERS | DOT,
            FIRST_LETTERS | UNDERSCORE,
        },
    .upper = {0, 0, PLUS | DASH | DOT, DIGIT | EQUALS, FIRST_LETTERS, LAST_LETTERS | UNDERSCORE,
              FIRST_LETTERS, LAST_LETTERS},
    .four_bits = SIXTEEN(0x0f),
    .name = SIXTEEN(NAME),
    .more = SIXTEEN(PLUS | EQUALS),
    .letter = SIXTEEN(LETTER),
    .at = SIXTEEN('@'),
    .small = SIXTEEN(0x20),
};

WIDE static inline __m512i wide_table(const uint8_t *sixteen)
{
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)sixteen));
}

WIDE static inline struct look wide_look(struct span text)
{
    __m512i c = wide_load(text.data, text.len); /* the lower half of a byte from 0x80 on finds 0 */
    __m512i upper = _mm512_and_si512(_mm512_srli_epi16(c, 4), wide_table(table.four_bits));
    __m512i what = _mm512_and_si512(_mm512_shuffle_epi8(wide_table(table.lower), c),
                                    _mm512_shuffle_epi8(wide_table(table.upper), upper));
    return (struct look){
        .name = _mm512_test_epi8_mask(what, wide_table(table.name)),
        .dot = _mm512_movepi8_mask(what),
        .at = _mm512_cmpeq_epi8_mask(c, wide_table(table.at)),
        .more = _mm512_test_epi8_mask(what, wide_table(table.more)),
        .letter = _mm512_test_epi8_mask(what, wide_table(table.letter)),
    };
}

/* Zeros stand behind the name, which is shorter than what is written: what is read of it is one store's. */
WIDE static inline void wide_lower(struct span text, uint64_t letter, struct ring_name *domain)
{
    __m512i c = wide_load(text.data, text.len), low = _mm512_or_si512(c, wide_table(table.small));
    _mm512_storeu_si512(domain->text, _mm512_mask_mov_epi8(c, letter, low));
    domain->bytes = (uint8_t)text.len;
}

WIDE static bool wide_domain(struct span text, struct ring_name *domain)
{
    struct look l = wide_look(text);
    if (!are_labels(&l, 0, text.len))
        return false;
    wide_lower(text, l.letter, domain);
    return true;
}

WIDE static bool wide_local(struct span text)
{
    struct look l = wide_look(text);
    return is_local(&l, text.len);
}

WIDE static bool wide_address(struct span text, struct ring_name *domain)
{
    struct look l = wide_look(text);
    size_t host = host_at(&l, text.len);
    if (host)
        wide_lower(behind(text, host), l.letter >> host, domain);
    return host > 0;
}

#else

#define has_wide() false
bool wide_domain(struct span text, struct ring_name *domain);
bool wide_local(struct span text);
bool wide_address(struct span text, struct ring_name *domain);

#endif

bool plain_domain(struct span text, struct ring_name *domain)
{
    if (text.len >= PLAIN_MAX)
        return false;
    if (has_wide())
        return wide_domain(text, domain);
    struct look l = look_at(text);
    if (!are_labels(&l, 0, text.len))
        return false;
    lower(text, domain->text);
    end_name(domain, text.len);
    return true;
}

bool plain_local(struct span text)
{
    if (text.len > RING_LOCAL_MAX)
        return false;
    if (has_wide())
        return wide_local(text);
    struct look l = look_at(text);
    return is_local(&l, text.len);
}

bool plain_address(struct span text, struct ring_name *domain)
{
    if (text.len > PLAIN_MAX)
        return false;
    if (has_wide())
        return wide_address(text, domain);
    struct look l = look_at(text);
    size_t host = host_at(&l, text.len);
    if (!host)
        return false;
    lower(behind(text, host), domain->text);
    end_name(domain, text.len - host);
    return true;
}
