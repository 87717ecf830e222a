/* base.h: the few words that every layer uses.  Knows no protocol. */
#ifndef ENGINE_BASE_BASE_H
#define ENGINE_BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE     64
#define DEADLINE_NEVER UINT64_MAX /* "no timer": later than every time */

#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)
#define noinline                        __attribute__((noinline))
#define must_check                      __attribute__((warn_unused_result))
#define printf_like(fmt, args)          __attribute__((format(printf, fmt, args)))
#define cache_aligned                   __attribute__((aligned(CACHE_LINE)))

/* Loops over bytes are compiled for several generations of processors, and the loader takes the newest that runs here.  It
 * does so before a sanitizer is ready for it; clang makes its own choice of functions that it would do this for.
 */
#if defined(__clang__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define multiversion
#else
#define multiversion __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline bool is_power_of_two(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

#endif
