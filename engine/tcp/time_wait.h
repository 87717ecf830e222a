/* time_wait.h: what is left of a connection that was closed in order: enough to answer its last stray segments.
 *
 * A tcb in TIME-WAIT would hold a whole connection's memory for 2 MSL; this is the record that takes its place
 * (RFC 9293 3.3.2).  The caller keeps it, with the flow's key and a timer of tcp_config.time_wait_us.
 */
#ifndef ENGINE_TCP_TIME_WAIT_H
#define ENGINE_TCP_TIME_WAIT_H

#include "engine/tcp/tcp.h"

struct tcp_time_wait {
    uint32_t snd_nxt, rcv_nxt;
    uint32_t ts_recent, ts_offset;
    uint16_t window; /* as on the wire */
    bool ts_on;
};

static_assert(sizeof(struct tcp_time_wait) <= 20, "TIME-WAIT costs tens of bytes");

/* tcp_time_wait_make takes the record from a tcb in TIME_WAIT. */
void tcp_time_wait_make(struct tcp_time_wait *record, const struct tcb *tcb);

enum tcp_time_wait_do {
    TIME_WAIT_IGNORE,
    TIME_WAIT_ANSWER,  /* send answer */
    TIME_WAIT_RESTART, /* send answer and start the 2 MSL again: the peer has repeated its FIN */
};

/* tcp_time_wait_input: a segment of the old connection has come.  Ports of answer are the caller's to fill. */
enum tcp_time_wait_do tcp_time_wait_input(const struct tcp_time_wait *record, const struct tcp_segment *seg,
                                          uint64_t now_us, struct tcp_segment *answer);

#endif
