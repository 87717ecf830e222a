/* paths.h: hosts whose path is known to take less than our own MTU, for the connections to come (RFC 1191 section 5.2, RFC
 * 8201 section 5.2).  One core's; what TCP has found, by ICMP or without.
 */
#ifndef ENGINE_NET_PATHS_H
#define ENGINE_NET_PATHS_H

#include "engine/net/hash.h"

#define PATHS_SETS   256u /* a power of two */
#define PATHS_WAYS   4u
#define PATHS_AGE_US 600000000u /* RFC 1191 section 6.3: ten minutes, then the whole size is tried again */

struct path_entry {
    struct ip_addr remote;
    uint32_t mss;      /* payload bytes of a segment, options not counted off; 0: no entry */
    uint64_t until_us; /* it is not believed later */
};

struct paths {
    struct hash_key key;
    struct path_entry entry[PATHS_SETS][PATHS_WAYS];
};

void paths_init(struct paths *paths, const struct hash_key *key); /* empties it */

/* paths_mss: what the path to a host is known to take; 0: nothing is known. */
uint32_t paths_mss(const struct paths *paths, const struct ip_addr *remote, uint64_t now_us);

/* paths_learn keeps it, in the place of what would have been forgotten first; 0: forget the host. */
void paths_learn(struct paths *paths, const struct ip_addr *remote, uint32_t mss, uint64_t now_us);

#endif
