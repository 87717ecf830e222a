/* flow.h: from a 4-tuple to a flow number: constant time, sized at start, keyed against chosen addresses. */
#ifndef ENGINE_NET_FLOW_H
#define ENGINE_NET_FLOW_H

#include "engine/net/hash.h"
#include "engine/net/net.h"

struct flow_slot {
    uint32_t hash;  /* of the entry's key */
    uint32_t entry; /* FLOW_SLOT_EMPTY: none */
};

struct flow_entry {
    struct flow_key key;
    uint32_t flow; /* the owner's number; of a free entry: the next free one */
};

/* Linear probing over small slots at half load or less; deletion moves later slots back, so no tombstones gather. */
struct flow_table {
    struct hash_key key;
    struct flow_slot *slot;
    struct flow_entry *entry;
    uint32_t mask;  /* slots - 1, slots a power of two, at least twice max */
    uint32_t max;   /* entries */
    uint32_t used;  /* in [0, max] */
    uint32_t free;  /* first free entry, max when there is none */
    uint64_t looks; /* lookups and changes so far */
    uint64_t steps; /* slots that these have looked at */
};

bool flow_table_open(struct flow_table *table, uint32_t max, const struct hash_key *key,
                     struct error *err) must_check;
void flow_table_close(struct flow_table *table);

/* flow_find gives the flow's number, NET_NO_FLOW when there is none. */
uint32_t flow_find(struct flow_table *table, const struct flow_key *key);

/* flow_add enters a key that is not in the table; false when the table is full. */
bool flow_add(struct flow_table *table, const struct flow_key *key, uint32_t flow) must_check;

/* flow_remove and flow_renumber tell whether the key was there. */
bool flow_remove(struct flow_table *table, const struct flow_key *key);
bool flow_renumber(struct flow_table *table, const struct flow_key *key, uint32_t flow);

#endif
