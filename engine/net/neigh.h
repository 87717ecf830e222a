/* neigh.h: which Ethernet address a next hop has: asked for, kept, doubted, forgotten (RFC 826, RFC 1122
 * section 2.3.2; for IPv6 RFC 4861 section 7, without the DELAY state: a doubt is asked about at once).
 *
 *     free -> incomplete -> reachable <-> stale -> probe -> reachable
 *                  |                        |        |
 *                  v                        v        v
 *                 free                    free   incomplete
 *
 * An entry changes by an answer to a question of ours alone: an announcement that nobody asked for makes us ask, it does
 * not convince.
 */
#ifndef ENGINE_NET_NEIGH_H
#define ENGINE_NET_NEIGH_H

#include "engine/net/hash.h"
#include "engine/net/net.h"

#define NEIGH_RETRY_US \
    1000000u /* RFC 1122 section 2.3.2.1, RFC 4861 section 10: at most one request a second */
#define NEIGH_TRIES         3u         /* requests before giving up */
#define NEIGH_REACHABLE_US  60000000u  /* RFC 1122 section 2.3.2.1: on the order of a minute */
#define NEIGH_REACHABLE6_US 30000000u  /* RFC 4861 section 10 */
#define NEIGH_STALE_US      600000000u /* an entry that nobody uses is forgotten */
#define NEIGH_PASSED_OVER   16u        /* used neighbours that keep their place while room is made for one */
#define NEIGH_HELD_MAX      32u        /* packets that wait for one answer; RFC 1122 section 2.3.2.2 */
#define NEIGH_HELD_TOTAL    1024u      /* and for all of them */

enum neigh_state { NEIGH_FREE, NEIGH_INCOMPLETE, NEIGH_REACHABLE, NEIGH_STALE, NEIGH_PROBE };

/* A packet that waits for its next hop's address. */
struct held {
    struct pkt *pkt;
    uint32_t flow;
    struct held *next;
};

struct neigh {
    struct wheel_timer timer;
    struct list link;        /* in free, reachable or stale, else detached */
    struct neigh *hash_next; /* of its bucket */
    struct ip_addr ip;
    struct mac_addr mac;            /* known in REACHABLE, STALE, PROBE */
    uint8_t state;                  /* enum neigh_state */
    uint8_t tries;                  /* requests sent since we began to ask */
    bool asked;                     /* a question of ours is open */
    bool used;                      /* since it was confirmed, or passed over when room was made */
    uint8_t held_count;             /* in [0, NEIGH_HELD_MAX]; 0 unless INCOMPLETE */
    struct held *held, **held_tail; /* oldest first */
};

struct neigh_table {
    struct hash_key key;
    struct wheel wheel; /* the neighbours' timers; net's one timer stands for them all */
    uint32_t max;       /* neighbours */
    uint32_t mask;      /* buckets - 1 */
    struct neigh *neighbour, **bucket;
    struct neigh *recent; /* the one that was looked up last */
    struct list free;
    struct list reachable, stale; /* the one longest so first */
    struct held *held_free;
    struct held held[NEIGH_HELD_TOTAL];
};

bool neigh_table_open(struct neigh_table *table, uint32_t max, const struct hash_key *key,
                      struct error *err) must_check;
void neigh_table_close(struct neigh_table *table);

/* neigh_output takes over a frame that is complete but for its destination address: queues it for the port, holds it
 * while ARP or ND asks, or drops and counts it.  The flow is told when nobody answers.  Where the table is full a neighbour
 * that is stale makes room; one that is reachable does so for a flow of ours alone, never for an answer to who asked us.
 */
void neigh_output(struct net *net, const struct ip_addr *next_hop, struct pkt *frame, uint32_t flow,
                  uint64_t now_us);

/* neigh_reachable: where frames to a neighbour go without a question to anybody; NULL: neigh_output has to see to it. */
const struct mac_addr *neigh_reachable(struct net *net, const struct ip_addr *next_hop);

/* How a neighbour came to say which address it has. */
enum neigh_word {
    NEIGH_MENTIONS, /* nobody asked */
    NEIGH_CONFIRMS, /* in a reply to us that settles a question, but replaces no other address (RFC 4861 section 7.2.5) */
    NEIGH_ANSWERS, /* in a reply to us that settles a question */
};

/* neigh_learn: ip says that it has this address; NULL: the one that it had. */
void neigh_learn(struct net *net, const struct ip_addr *ip, const struct mac_addr *mac, enum neigh_word word,
                 uint64_t now_us);

/* neigh_timers does what has fallen due. */
void neigh_timers(struct net *net, uint64_t now_us);

#endif
