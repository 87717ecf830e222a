#include "engine/smtp/blocks.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define BLOCK 64u /* bytes; a bit each in a mask, the first byte's lowest */

struct looked {
    uint64_t cr, lf, dot;
};

/* What is known of the bytes before a block, in the lowest bit. */
struct before {
    uint64_t cr, line_start;
};

/* Where bytes are not as they must be: an LF without a CR before it, something else behind a CR, a dot that begins a line. */
static inline uint64_t wrong(const struct looked *at, const struct before *before, bool dots)
{
    uint64_t line_start = at->lf << 1 | before->line_start;
    return (at->lf ^ (at->cr << 1 | before->cr)) | (dots ? at->dot & line_start : 0);
}

static inline struct before last_of(const struct looked *at)
{
    return (struct before){.cr = at->cr >> (BLOCK - 1), .line_start = at->lf >> (BLOCK - 1)};
}

/* A CR at the end has not seen its LF. */
static inline size_t without_cr(const uint8_t *to, size_t len)
{
    return len && to[len - 1] == '\r' ? len - 1 : len;
}

/* Copies a block and looks at the copy's value. */
typedef struct looked look(uint8_t *to, const uint8_t *from);

static inline __attribute__((always_inline)) size_t copy(uint8_t *to, const uint8_t *from, size_t len,
                                                         bool line_start, bool dots, look *move)
{
    struct before before = {.line_start = line_start};
    size_t at = 0;
    for (; len - at >= BLOCK; at += BLOCK) {
        struct looked block = move(to + at, from + at);
        uint64_t stop = wrong(&block, &before, dots);
        if (unlikely(stop))
            return without_cr(to, at + (size_t)__builtin_ctzll(stop));
        before = last_of(&block);
    }
    return without_cr(to, at);
}

/* ---- any processor: eight bytes at a time ---- */

/* 0x80 in each byte that is c; no borrow crosses a byte. */
static inline uint64_t equal(uint64_t word, uint8_t c)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint64_t x = word ^ c * 0x0101010101010101u;
    return ~(((x & low) + low) | x | low);
}

/* The top bits of eight bytes side by side: the products' parts do not meet. */
static inline uint64_t gather(uint64_t tops)
{
    return (tops >> 7) * 0x0102040810204080u >> 56;
}

static inline uint64_t read_word(const uint8_t *from)
{
    struct word {
        uint64_t v;
    } __attribute__((packed, may_alias));
    return ((const volatile struct word *)from)->v; /* once */
}

static inline struct looked move_plain(uint8_t *to, const uint8_t *from)
{
    struct looked all = {0};
    for (unsigned i = 0; i < BLOCK; i += 8) {
        uint64_t word = read_word(from + i);
        memcpy(to + i, &word, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        all.cr |= gather(equal(word, '\r')) << i;
        all.lf |= gather(equal(word, '\n')) << i;
        all.dot |= gather(equal(word, '.')) << i;
    }
    return all;
}

size_t blocks_copy_plain(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots)
{
    return copy(to, from, len, line_start, dots, move_plain);
}

#ifdef __x86_64__

/* Keeps a loaded value from being loaded again. */
#define ONCE(value) __asm__ volatile("" : "+x"(value))

#define AVX2   __attribute__((target("avx2,bmi,bmi2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,bmi,bmi2")))

/* ---- AVX2 ---- */

AVX2 static inline uint64_t equal_avx2(__m256i low, __m256i high, char c)
{
    uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, _mm256_set1_epi8(c)));
    uint32_t b = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, _mm256_set1_epi8(c)));
    return (uint64_t)b << 32 | a;
}

AVX2 static inline struct looked move_avx2(uint8_t *to, const uint8_t *from)
{
    __m256i low = _mm256_loadu_si256((const __m256i_u *)from);
    __m256i high = _mm256_loadu_si256((const __m256i_u *)(from + BLOCK / 2));
    ONCE(low);
    ONCE(high);
    _mm256_storeu_si256((__m256i_u *)to, low);
    _mm256_storeu_si256((__m256i_u *)(to + BLOCK / 2), high);
    return (struct looked){.cr = equal_avx2(low, high, '\r'),
                           .lf = equal_avx2(low, high, '\n'),
                           .dot = equal_avx2(low, high, '.')};
}

AVX2 size_t blocks_copy_avx2(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots)
{
    return copy(to, from, len, line_start, dots, move_avx2);
}

/* ---- AVX-512: the rest that is no block, too ---- */

AVX512 static inline struct looked look_avx512(__m512i bytes)
{
    return (struct looked){.cr = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\r')),
                           .lf = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\n')),
                           .dot = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('.'))};
}

AVX512 static inline struct looked move_avx512(uint8_t *to, const uint8_t *from)
{
    __m512i bytes = _mm512_loadu_si512(from);
    ONCE(bytes);
    _mm512_storeu_si512(to, bytes);
    return look_avx512(bytes);
}

AVX512 static size_t copy_rest(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots)
{
    uint64_t those = len < BLOCK ? ((uint64_t)1 << len) - 1 : UINT64_MAX;
    __m512i bytes = _mm512_maskz_loadu_epi8(those, from);
    ONCE(bytes);
    _mm512_mask_storeu_epi8(to, those, bytes);
    struct looked rest = look_avx512(bytes);
    uint64_t stop = wrong(&rest, &(struct before){.line_start = line_start}, dots) | ~those;
    return without_cr(to, stop ? (size_t)__builtin_ctzll(stop) : BLOCK);
}

AVX512 size_t blocks_copy_avx512(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots)
{
    size_t done = copy(to, from, len, line_start, dots, move_avx512), rest = len - done;
    if (rest > BLOCK)
        return done;
    return done + copy_rest(to + done, from + done, rest, done ? to[done - 1] == '\n' : line_start, dots);
}

size_t blocks_copy(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots)
{
    if (__builtin_cpu_supports("avx512bw"))
        return blocks_copy_avx512(to, from, len, line_start, dots);
    if (__builtin_cpu_supports("avx2"))
        return blocks_copy_avx2(to, from, len, line_start, dots);
    return blocks_copy_plain(to, from, len, line_start, dots);
}

#else

size_t blocks_copy(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots)
{
    return blocks_copy_plain(to, from, len, line_start, dots);
}

#endif
