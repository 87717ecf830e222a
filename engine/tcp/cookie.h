/* cookie.h: SYN cookies (RFC 4987 section 3.6): a SYN-ACK whose sequence number is all that a listener remembers of a SYN.
 *
 * The number holds a MAC over flow, peer's ISN, time and what was agreed, the peer's MSS rounded down to one of eight, and
 * SACK; the window scale is in the low bits of the time stamp, so who offers no time stamps gets no scale.  Nothing of it
 * is a secret but the key: the caller's function.  RFC 6528's order of sequence numbers is given up meanwhile.
 */
#ifndef ENGINE_TCP_COOKIE_H
#define ENGINE_TCP_COOKIE_H

#include "engine/tcp/tcp.h"

#define TCP_COOKIE_FLOW_BYTES 36u        /* both addresses and ports, as the caller stores them */
#define TCP_COOKIE_SLOT_US    (1u << 26) /* 67 s: a cookie is good for one to two of them */

struct tcp_cookies {
    /* Pseudo-random numbers under a key of the listener's own; in is borrowed until return. */
    uint64_t (*prf)(void *ctx, const void *in, size_t len);
    void *ctx;
    const struct tcp_config *config; /* of the connections to come; outlives this */
    struct stats *stats;
    uint64_t until_us; /* 0 at first; later than this no cookie of ours is good */
};

/* tcp_cookie_answer fills syn_ack with the answer to a SYN; flow is TCP_COOKIE_FLOW_BYTES long, mss what our MTU allows. */
void tcp_cookie_answer(struct tcp_cookies *cookies, const void *flow, uint32_t mss,
                       const struct tcp_segment *syn, uint64_t now_us, struct tcp_segment *syn_ack);

enum tcp_cookie {
    TCP_COOKIE_NONE, /* none of ours can be out there: a segment like any other, at no cost */
    TCP_COOKIE_GOOD, /* open a connection with tcp_open_answered, then give it ack by tcp_input */
    TCP_COOKIE_BAD,  /* not to be answered: it may be a later segment of somebody whose ACK was lost */
};

/* tcp_cookie_check: whether ack (no SYN, no RST) acknowledges a cookie that is still good.  If so it has filled open's isn
 * and ts_offset, and syn with what is known of the peer's SYN.  At most two calls of prf, or three if it is good.
 */
enum tcp_cookie tcp_cookie_check(const struct tcp_cookies *cookies, const void *flow,
                                 const struct tcp_segment *ack, uint64_t now_us, struct tcp_open *open,
                                 struct tcp_segment *syn) must_check;

#endif
