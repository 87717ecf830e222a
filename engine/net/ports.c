/* ports.c: RFC 6056 section 3.3.4 (double-hash port selection) over the ports of one core.
 *
 * A search looks at PORTS_TRIES ports and goes on from there the next time, so its cost is bounded however few are left.
 * A destination for which it found none is remembered, so that asking again costs nothing; the port that is released first
 * ends that and is the next one chosen.
 */
#include "engine/net/ports.h"

struct place {
    struct ports_bucket *bucket;
    uint32_t offset; /* F() of RFC 6056: where this destination's numbering starts, in [0, count) */
    uint32_t tag;    /* tells destinations of one bucket apart; not 0 */
};

void ports_init(struct ports *ports, const struct ports_range *range, const struct hash_key *key,
                struct rand_source *rand)
{
    /* Where the port steers, any port may be ours: it depends on the destination. */
    uint32_t step = range->steering ? 1 : range->cores;
    uint32_t skip = range->steering ? 0 : (range->core + step - range->first % step) % step;
    uint32_t first = range->first + skip;
    ports->key = *key;
    ports->core = range->core;
    ports->cores = range->cores;
    ports->steering = range->steering;
    ports->step = (uint16_t)step;
    ports->count = first <= range->last ? (range->last - first) / step + 1 : 0;
    ports->first = (uint16_t)first;
    for (unsigned i = 0; i < PORTS_BUCKETS; i++)
        ports->bucket[i].next = ports->count ? rand_below(rand, ports->count) : 0;
}

static struct place place_of(struct ports *ports, const struct flow_key *key)
{
    uint64_t words[5];
    memcpy(words, key->local.b, 16);
    memcpy(words + 2, key->remote.b, 16);
    words[4] = key->remote_port;
    uint64_t hash = hash_words(&ports->key, words, ARRAY_LEN(words));
    return (struct place){
        .bucket = &ports->bucket[hash % PORTS_BUCKETS],
        .offset = (uint32_t)(hash >> 10 & 0xffffff) % ports->count,
        .tag = (uint32_t)(hash >> 32) | 1,
    };
}

static uint16_t next_port(const struct ports *ports, const struct place *place)
{
    uint32_t index = (place->offset + place->bucket->next) % ports->count;
    place->bucket->next = (place->bucket->next + 1) % ports->count;
    return (uint16_t)(ports->first + index * ports->step);
}

uint32_t ports_owner(const struct port_steering *steering, uint32_t cores, const struct flow_key *key)
{
    uint32_t queue = PORT_NO_QUEUE;
    if (steering) {
        const struct port_flow flow = {.local = key->local.b,
                                       .remote = key->remote.b,
                                       .local_port = key->local_port,
                                       .remote_port = key->remote_port};
        queue = steering->queue(steering, &flow);
    }
    return queue < cores ? queue : key->local_port % cores;
}

static bool answers_reach_us(const struct ports *ports, const struct flow_key *key)
{
    return !ports->steering || ports_owner(ports->steering, ports->cores, key) == ports->core;
}

/* The ports in turn, so those that were given up longest ago come first. */
bool ports_choose(struct ports *ports, struct flow_table *flows, const struct time_waits *time_waits,
                  struct flow_key *key, uint32_t *taken)
{
    *taken = NET_NO_FLOW;
    if (ports->count == 0)
        return false;
    struct place place = place_of(ports, key);
    if (place.bucket->full == place.tag)
        return false;
    uint32_t next = 0;
    uint16_t second_best = 0;
    for (uint32_t tries = 0; tries < min_u32(ports->count, second_best ? PORTS_FREE : PORTS_TRIES); tries++) {
        key->local_port = next_port(ports, &place);
        if (!answers_reach_us(ports, key))
            continue;
        uint32_t flow = flow_find(flows, key);
        if (flow == NET_NO_FLOW) {
            *taken = NET_NO_FLOW;
            return true;
        }
        if (!second_best && time_waits_may_recycle(time_waits, flow)) {
            second_best = key->local_port;
            next = place.bucket->next;
            *taken = flow;
        }
    }
    if (second_best) {
        key->local_port = second_best;
        place.bucket->next = next;
        return true;
    }
    place.bucket->full = place.tag;
    return false;
}

void ports_released(struct ports *ports, const struct flow_key *key)
{
    if (ports->count == 0 || key->local_port < ports->first ||
        (key->local_port - ports->first) % ports->step != 0)
        return;
    struct place place = place_of(ports, key);
    if (place.bucket->full != place.tag)
        return;
    uint32_t index = (uint32_t)(key->local_port - ports->first) / ports->step;
    place.bucket->full = 0;
    place.bucket->next = (index + ports->count - place.offset) % ports->count;
}
