/* time_wait.h: closed connections of one core whose last segments may still be on their way: a record each, no connection.
 *
 * Their flows keep their places in net's table under numbers of their own.  Net may take the port of one for a new connection
 * to the same address and port when it finds no free one (RFC 6191 by the client's side).
 */
#ifndef ENGINE_NET_TIME_WAIT_H
#define ENGINE_NET_TIME_WAIT_H

#include "engine/base/list.h"
#include "engine/base/pool.h"
#include "engine/net/net.h"
#include "engine/tcp/time_wait.h"

#define TIME_WAIT_TIMER 4u /* kind of a record's timer: time_waits_expire */

struct time_wait {
    struct list link;
    struct wheel_timer timer;
    struct flow_key key;
    struct tcp_time_wait record;
    uint64_t answered_us; /* the last time; 0: never */
};

struct time_waits {
    struct net *net;
    struct wheel *wheel;
    struct pool pool;    /* of no object: none are kept */
    struct list order;   /* the oldest first */
    uint32_t first_flow; /* their flow numbers begin here */
    uint32_t keep_us;    /* 2 MSL */
};

/* time_waits_open takes all memory; before net_open, whose result goes into ->net.  Flows from first_flow on are records'. */
bool time_waits_open(struct time_waits *tws, uint32_t capacity, uint32_t first_flow, uint32_t keep_us,
                     struct wheel *wheel, struct error *err) must_check;
void time_waits_close(struct time_waits *tws);

static inline bool time_waits_own(const struct time_waits *tws, uint32_t flow)
{
    return flow >= tws->first_flow;
}

/* time_waits_take makes a record of a connection in TIME_WAIT and gives its flow to that; the oldest record gives way if
 * there are too many.  false: none are kept, the flow is the caller's to close.
 */
bool time_waits_take(struct time_waits *tws, const struct flow_key *key, const struct tcb *tcb,
                     uint64_t now_us);

/* time_waits_segment answers a segment of a record's flow. */
void time_waits_segment(struct time_waits *tws, uint32_t flow, const struct tcp_segment *seg,
                        uint64_t now_us);

/* time_waits_reopen, for listeners, before that: true if it is a SYN that begins a new connection (RFC 6191): the record and
 * its flow are gone, the new one's tcp_open is to follow old (tcp_time_wait_follow).
 */
bool time_waits_reopen(struct time_waits *tws, uint32_t flow, const struct tcp_segment *seg,
                       struct flow_key *key, struct tcp_time_wait *old);

/* time_waits_may_recycle: a record whose port may be used at once.  time_waits_recycle does so: it is gone. */
bool time_waits_may_recycle(const struct time_waits *tws, uint32_t flow);
void time_waits_recycle(struct time_waits *tws, uint32_t flow, struct tcp_time_wait *old);

void time_waits_expire(struct time_waits *tws, struct wheel_timer *timer);

#endif
