/* wide.h: both ends: 64 bytes of text at a look, where the processor has AVX-512 with bytes.
 *
 * What is marked WIDE runs only where has_wide() said so; beside it stands what runs everywhere and says the same.
 */
#ifndef ENGINE_RING_WIDE_H
#define ENGINE_RING_WIDE_H

#include "engine/base/base.h"

#if defined(__x86_64__) && !defined(RING_NARROW)
#define RING_WIDE 1

#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl,bmi,bmi2")))

static inline bool has_wide(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("bmi2");
}

/* Nothing is read behind the bytes, of which there are at most 64; zeros stand there. */
WIDE static inline __m512i wide_load(const uint8_t *data, size_t bytes)
{
    return _mm512_maskz_loadu_epi8(_bzhi_u64(UINT64_MAX, (uint32_t)bytes), data);
}

WIDE static inline __mmask64 wide_is(__m512i bytes, char c)
{
    return _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(c));
}

#endif

#endif
