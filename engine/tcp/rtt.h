/* rtt.h: the round-trip time and what follows from it for the retransmission time-out (RFC 6298). */
#ifndef ENGINE_TCP_RTT_H
#define ENGINE_TCP_RTT_H

#include "engine/base/base.h"

struct rtt {
    uint32_t srtt_us; /* 0: no measurement yet */
    uint32_t rttvar_us;
    uint32_t min_us; /* the least ever measured; UINT32_MAX: none */
    uint32_t rto_us; /* in [rto_min, rto_max], back-off not counted */
    bool doubtful;   /* the one measurement is of a SYN that was sent more than once: the next begins anew */
    uint8_t backoff; /* time-outs in a row: the RTO in force is rto_us << backoff, at most rto_max */
};

struct rtt_limits {
    uint32_t rto_initial_us, rto_min_us, rto_max_us;
};

void rtt_init(struct rtt *rtt, const struct rtt_limits *limits);

/* rtt_sample takes a measurement that is not ambiguous (Karn): it ends the back-off. */
void rtt_sample(struct rtt *rtt, uint64_t sample_us, const struct rtt_limits *limits);

/* rtt_back_off doubles the time-out (5.5). */
void rtt_back_off(struct rtt *rtt);

/* The time-out in force. */
uint32_t rtt_timeout_us(const struct rtt *rtt, const struct rtt_limits *limits);

#endif
