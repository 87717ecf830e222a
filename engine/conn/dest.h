/* dest.h: destinations: who waits for an MX, which connections to it idle, how many there may be.
 *
 * A destination is one next hop (host name, address, port); policies belong to recipient domains, so jobs of many
 * domains with different demands may wait for the same one (strict-tls.md, shared MX).  What a job is, core/ knows;
 * here it is a link.  A destination exists while somebody waits or a
 * connection stands.
 */
#ifndef ENGINE_CONN_DEST_H
#define ENGINE_CONN_DEST_H

#include "engine/base/error.h"
#include "engine/base/list.h"
#include "engine/base/pool.h"
#include "engine/policy/policy.h"

struct dest {
    struct list chain;     /* of its hash bucket */
    struct list due;       /* in dest_table.due while it wants attention, or in .hungry */
    bool hungry;           /* it waits for a place in the core's pool of connections */
    struct policy_hop hop; /* its identity */
    uint64_t hash;
    struct list waiting; /* jobs, oldest first */
    struct list idle;    /* connections without a message that could take one */
    struct list ahead;   /* connections with messages in hand that could take one more behind them */
    uint32_t waiting_count;
    uint32_t connections; /* all that are not gone */
    uint32_t connecting;  /* of these, not yet ready */
    uint32_t ready;       /* of these, ready or busy with a message, not ended */
    uint32_t making_room; /* of these, told to leave for another */
    uint32_t limit;       /* connections that may stand at the same time: [1, table's] */
    bool on_trial; /* the limit was raised; no connection was taken or refused since with so many standing */
    uint32_t patience_us; /* after a refusal until the limit is raised; 0: never lowered */
    uint64_t raise_us;    /* not raised before */
    bool proven;          /* the last connection attempt came up */
    bool no_chunking;     /* it offers CHUNKING and does not know BDAT; see dest_no_chunking */
    bool one_by_one; /* it closed on messages that had been sent ahead: no more of that while this is known */
};

/* A receiver that turns a connection away beside others has as many as stand for its limit.  From then on one more is
 * tried at a time: after the shortest pause, which doubles up to the longest with every trial that fails and is the
 * shortest again once one succeeds.  A receiver that never takes more so sees a connection too many in ten minutes; one
 * that was busy for a while has all of its limit again within some.
 */
#define DEST_PATIENCE_MIN_US 10000000u
#define DEST_PATIENCE_MAX_US 600000000u

#define DEST_NO_CHUNKING_MAX 1024u /* receivers remembered beyond their struct dest; a power of two */

struct dest_table {
    struct pool pool;
    struct list *bucket;
    uint32_t buckets; /* power of two */
    uint32_t limit;   /* of every new destination */
    uint32_t limited; /* destinations whose limit is lower */
    uint64_t seed;
    struct list due;
    struct list hungry; /* the longest so first */
    uint32_t hungry_count;
    uint64_t no_chunking[DEST_NO_CHUNKING_MAX]; /* hashes, each at its place; 0: none */
};

bool dest_table_open(struct dest_table *table, uint32_t destinations_max, uint32_t connections_limit,
                     uint64_t seed, struct error *err) must_check;
void dest_table_close(struct dest_table *table);

/* dest_get finds or makes the destination of a hop; NULL when the table is full (counted in its pool). */
struct dest *dest_get(struct dest_table *table, const struct policy_hop *hop);

/* dest_mark has core_schedule look at it in this turn. */
void dest_mark(struct dest_table *table, struct dest *dest);

/* dest_starve puts off one that wants a connection and has none to open, until dest_feed gives it; NULL: nobody is put
 * off.  Whatever marks it meanwhile takes it back to those that are due.
 */
void dest_starve(struct dest_table *table, struct dest *dest);
struct dest *dest_feed(struct dest_table *table);

/* dest_release forgets a destination that nobody needs any more; harmless otherwise. */
void dest_release(struct dest_table *table, struct dest *dest);

/* dest_lacks_connection: more waits than is being connected for.  A destination that has not proven itself gets one
 * attempt at a time.  dest_wants_connection: and the limit allows one more.
 */
bool dest_lacks_connection(const struct dest *dest);
bool dest_wants_connection(const struct dest *dest);

/* dest_no_chunking notes that BDAT is not to be tried there again.  It outlives the destination, until the engine ends or
 * another receiver's hash takes its place.
 */
void dest_no_chunking(struct dest_table *table, struct dest *dest);

/* The book-keeping of a connection's life, in this order.
 *
 *   refused   the receiver did not let it become ready
 *   returns   dest_on_ended: the limit was lowered for it
 */
void dest_on_connecting(struct dest *dest);
void dest_on_ready(struct dest *dest, uint64_t now_us);
bool dest_on_ended(struct dest_table *table, struct dest *dest, bool was_ready, bool refused,
                   uint64_t now_us);
void dest_on_gone(struct dest *dest);

/* dest_raise raises a limit that was lowered by one, when it is time and who waits would use it: it is asked when a
 * connection can take a message, that is after a success.  True: it did; mark the destination.
 */
bool dest_raise(struct dest_table *table, struct dest *dest, uint64_t now_us);

#endif
