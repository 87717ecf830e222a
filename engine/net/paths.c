/* paths.c: a few places for each hash: constant time and memory, whoever the hosts are. */
#include "engine/net/paths.h"

#include <string.h>

void paths_init(struct paths *paths, const struct hash_key *key)
{
    memset(paths, 0, sizeof(*paths));
    paths->key = *key;
}

static uint32_t set_of(const struct paths *paths, const struct ip_addr *remote)
{
    return (uint32_t)hash_addr(&paths->key, remote) % PATHS_SETS;
}

uint32_t paths_mss(const struct paths *paths, const struct ip_addr *remote, uint64_t now_us)
{
    const struct path_entry *set = paths->entry[set_of(paths, remote)];
    for (unsigned i = 0; i < PATHS_WAYS; i++)
        if (set[i].mss && set[i].until_us > now_us && ip_equal(&set[i].remote, remote))
            return set[i].mss;
    return 0;
}

/* Its own place if it has one, else the one that ends first: empty ones have long ended. */
static struct path_entry *place_for(struct paths *paths, const struct ip_addr *remote)
{
    struct path_entry *set = paths->entry[set_of(paths, remote)], *first = set;
    for (unsigned i = 0; i < PATHS_WAYS; i++) {
        if (set[i].mss && ip_equal(&set[i].remote, remote))
            return &set[i];
        if (set[i].until_us < first->until_us)
            first = &set[i];
    }
    return first;
}

void paths_learn(struct paths *paths, const struct ip_addr *remote, uint32_t mss, uint64_t now_us)
{
    struct path_entry *entry = place_for(paths, remote);
    bool known = entry->mss && ip_equal(&entry->remote, remote);
    if (!mss && !known)
        return;
    *entry = (struct path_entry){.remote = *remote, .mss = mss, .until_us = mss ? now_us + PATHS_AGE_US : 0};
}
