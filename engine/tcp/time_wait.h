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
    uint32_t sent_ms; /* not later than this it has sent its last segment: of now_us, wrapping */
    uint16_t window;  /* as on the wire */
    bool ts_on;
};

static_assert(sizeof(struct tcp_time_wait) <= 24, "TIME-WAIT costs tens of bytes");

/* tcp_time_wait_make takes the record from a tcb in TIME_WAIT. */
void tcp_time_wait_make(struct tcp_time_wait *record, const struct tcb *tcb, uint64_t now_us);

enum tcp_time_wait_do {
    TIME_WAIT_IGNORE,
    TIME_WAIT_ANSWER,  /* send answer */
    TIME_WAIT_RESTART, /* send answer and start the 2 MSL again: the peer has repeated its FIN */
};

/* tcp_time_wait_input: a segment of the old connection has come.  Ports of answer are the caller's to fill. */
enum tcp_time_wait_do tcp_time_wait_input(struct tcp_time_wait *record, const struct tcp_segment *seg,
                                          uint64_t now_us, struct tcp_segment *answer);

/* tcp_time_wait_reopens: a SYN that is later than all of the old connection, by its time stamp or its number, and so begins a
 * new one (RFC 6191 section 2, RFC 9293 section 3.6.1).  Only a listener asks.
 */
bool tcp_time_wait_reopens(const struct tcp_time_wait *old, const struct tcp_segment *seg);

/* tcp_time_wait_can_be_followed: the four-tuple may be used for another active open at once: time stamps keep apart what
 * belongs to which (RFC 7323 section 5).  tcp_time_wait_follow makes ISN and time stamps of the new one greater than
 * all that the old one sent.
 */
bool tcp_time_wait_can_be_followed(const struct tcp_time_wait *old);
void tcp_time_wait_follow(const struct tcp_time_wait *old, struct tcp_open *open, uint64_t now_us);

#endif
