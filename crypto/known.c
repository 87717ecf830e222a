/* known.c: a set-associative table of keys. */
#include "crypto/known.h"

#include <stdlib.h>
#include <string.h>

#define WAYS        4u
#define KEYS_MAX_LG 20u

struct known_key {
    struct batch_key *key; /* held; NULL: an empty place */
    uint8_t *spki;
    size_t len; /* in [2 * sizeof(uint32_t), KNOWN_SPKI_MAX] */
};

struct known_set {
    struct known_key way[WAYS];
    uint32_t oldest; /* in [0, WAYS) */
};

struct known {
    struct known_set *set; /* NULL: nothing is kept */
    uint32_t set_mask;
};

struct known *known_open(uint32_t keys_max, struct error *err)
{
    struct known *known = calloc(1, sizeof(*known));
    uint32_t sets = 1;
    while (sets * WAYS < keys_max && sets < 1u << KEYS_MAX_LG)
        sets *= 2;
    if (known && keys_max > 0)
        known->set = calloc(sets, sizeof(*known->set));
    if (known && (known->set || keys_max == 0)) {
        known->set_mask = sets - 1;
        return known;
    }
    error_set(err, "no memory for %u public keys", keys_max);
    free(known);
    return NULL;
}

static void empty(struct known_key *place)
{
    batch_key_drop(place->key);
    free(place->spki);
    *place = (struct known_key){0};
}

void known_close(struct known *known)
{
    if (!known)
        return;
    for (uint32_t i = 0; known->set && i <= known->set_mask; i++)
        for (unsigned way = 0; way < WAYS; way++)
            empty(&known->set[i].way[way]);
    free(known->set);
    free(known);
}

/* Bytes from the middle of the modulus or the point.  Who makes keys that meet in a set pushes out others, no more. */
static struct known_set *set_of(const struct known *known, struct span spki)
{
    uint32_t index;
    memcpy(&index, spki.data + spki.len / 2, sizeof(index));
    return &known->set[index & known->set_mask];
}

static bool can_be_known(const struct known *known, struct span spki)
{
    return known->set && spki.len >= 2 * sizeof(uint32_t) && spki.len <= KNOWN_SPKI_MAX;
}

struct batch_key *known_find(const struct known *known, struct span spki)
{
    if (!can_be_known(known, spki))
        return NULL;
    const struct known_set *set = set_of(known, spki);
    for (unsigned i = 0; i < WAYS; i++)
        if (set->way[i].key && set->way[i].len == spki.len &&
            memcmp(set->way[i].spki, spki.data, spki.len) == 0)
            return set->way[i].key;
    return NULL;
}

#define UNCOMPRESSED 4u

/* RFC 5480 section 2: the algorithm with a named curve, and a point of two coordinates, are of one length only.  A hybrid
 * point has that, too.
 */
static bool is_usual_point(struct span spki, size_t len, size_t coordinate)
{
    return spki.len == len && spki.data[len - 2 * coordinate - 1] == UNCOMPRESSED;
}

static bool is_usual(const struct batch_key *key, struct span spki)
{
    switch (batch_key_kind(key)) {
    case BATCH_P256_VERIFY: return is_usual_point(spki, 91, 32);
    case BATCH_P384_VERIFY: return is_usual_point(spki, 120, 48);
    case BATCH_RSA2048_VERIFY:
    case BATCH_RSA3072_VERIFY:
    case BATCH_RSA4096_VERIFY: return true;
    default: return false;
    }
}

void known_keep(struct known *known, struct span spki, struct batch_key *key)
{
    if (!can_be_known(known, spki) || !is_usual(key, spki) || known_find(known, spki))
        return;
    uint8_t *copy = malloc(spki.len);
    if (!copy)
        return;
    memcpy(copy, spki.data, spki.len);
    struct known_set *set = set_of(known, spki);
    struct known_key *place = &set->way[set->oldest];
    set->oldest = (set->oldest + 1) % WAYS;
    empty(place);
    *place = (struct known_key){.key = batch_key_hold(key), .spki = copy, .len = spki.len};
}
