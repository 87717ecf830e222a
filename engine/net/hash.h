/* hash.h: a keyed hash for tables that strangers put entries into (SipHash-1-3).  Not for secrets on the wire. */
#ifndef ENGINE_NET_HASH_H
#define ENGINE_NET_HASH_H

#include "engine/wire/addr.h"

struct hash_key {
    uint64_t k[2];
};

static inline uint64_t hash_rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void hash_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = hash_rotl(v[1], 13) ^ v[0];
    v[3] = hash_rotl(v[3], 16) ^ v[2];
    v[0] = hash_rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = hash_rotl(v[1], 17) ^ v[2];
    v[3] = hash_rotl(v[3], 21) ^ v[0];
    v[2] = hash_rotl(v[2], 32);
}

/* hash_words: SipHash-1-3 of count 64-bit words, as the machine stores them. */
static inline uint64_t hash_words(const struct hash_key *key, const uint64_t *words, unsigned count)
{
    uint64_t v[4] = {key->k[0] ^ 0x736f6d6570736575u, key->k[1] ^ 0x646f72616e646f6du,
                     key->k[0] ^ 0x6c7967656e657261u, key->k[1] ^ 0x7465646279746573u};
    for (unsigned i = 0; i <= count; i++) {
        uint64_t m = i < count ? words[i] : (uint64_t)count * 8 << 56; /* the last word says the length */
        v[3] ^= m;
        hash_round(v);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 3; i++)
        hash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static inline uint64_t hash_addr(const struct hash_key *key, const struct ip_addr *addr)
{
    uint64_t words[2];
    memcpy(words, addr->b, sizeof(words));
    return hash_words(key, words, ARRAY_LEN(words));
}

#endif
