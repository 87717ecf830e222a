/* rand.h: a seeded pseudo-random source (xoshiro256**) for jitter, port choice, faults and simulation.
 *
 * Not for secrets: those come from crypto/.  The same seed gives the same numbers on every machine.
 */
#ifndef ENGINE_BASE_RAND_H
#define ENGINE_BASE_RAND_H

#include "engine/base/base.h"

struct rand_source {
    uint64_t s[4];
};

static inline void rand_seed(struct rand_source *r, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) { /* splitmix64 fills the state, never all zero */
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t rand_rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static inline uint64_t rand_u64(struct rand_source *r)
{
    uint64_t result = rand_rotl(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rand_rotl(r->s[3], 45);
    return result;
}

/* A number in [0, bound), bound > 0; the bias is below 2^-32. */
static inline uint32_t rand_below(struct rand_source *r, uint32_t bound)
{
    return (uint32_t)(((rand_u64(r) >> 32) * bound) >> 32);
}

/* True with the given probability in parts per million. */
static inline bool rand_ppm(struct rand_source *r, uint32_t ppm)
{
    return ppm != 0 && rand_below(r, 1000000) < ppm;
}

#endif
