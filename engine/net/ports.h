/* ports.h: source ports of one core: unpredictable, free for their destination, and found in constant time. */
#ifndef ENGINE_NET_PORTS_H
#define ENGINE_NET_PORTS_H

#include "engine/net/flow.h"
#include "engine/net/time_wait.h"

#define PORTS_BUCKETS 1024u /* a power of two */
#define PORTS_TRIES   1024u
#define PORTS_FREE    32u /* of these, for a free one, if one in TIME-WAIT has been seen */

struct ports_bucket {
    uint32_t next; /* RFC 6056 section 3.3.4: table[] of the double-hash algorithm; in [0, count) */
    uint32_t full; /* tag of a destination for which the last search found no port; 0: none */
};

struct ports {
    struct hash_key key;
    uint16_t first; /* the first port of this core */
    uint16_t step;  /* cores */
    uint32_t count; /* ports of this core; 0 when the range is too small for so many cores */
    uint32_t core, cores;
    const struct port_steering *steering; /* of the port; NULL: none, and every step-th port is this core's */
    struct ports_bucket bucket[PORTS_BUCKETS]; /* .full 0 at first */
};

struct ports_range {
    uint16_t first, last; /* inclusive */
    uint32_t core, cores;
    const struct port_steering *steering; /* how answers find their queue; NULL: not foretold */
};

void ports_init(struct ports *ports, const struct ports_range *range, const struct hash_key *key,
                struct rand_source *rand);

/* ports_choose sets key->local_port to one that no flow in the table uses with the rest of the key, or else only one in
 * TIME-WAIT that may be recycled: taken is its number then, NET_NO_FLOW otherwise.  time_waits may be NULL.  false when all
 * are in use, or all but so few that PORTS_TRIES looks found none.
 */
bool ports_choose(struct ports *ports, struct flow_table *flows, const struct time_waits *time_waits,
                  struct flow_key *key, uint32_t *taken) must_check;

/* ports_owner: the core on which segments of a flow belong: the one whose queue they arrive on where the port steers
 * them, the one that the local port says elsewhere.
 */
uint32_t ports_owner(const struct port_steering *steering, uint32_t cores, const struct flow_key *key);

/* ports_released: the flow with this key is gone, or in TIME-WAIT: its port may be chosen again. */
void ports_released(struct ports *ports, const struct flow_key *key);

#endif
