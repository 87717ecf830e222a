/* cc.h: congestion control: how many bytes may be in the network, as a table of functions.
 *
 * An algorithm is told what was acknowledged and what went wrong, and keeps cwnd and ssthresh.  Which packets
 * were lost and when to send them again is recovery.c's business.  All windows are bytes.
 */
#ifndef ENGINE_TCP_CC_H
#define ENGINE_TCP_CC_H

#include "engine/base/base.h"

struct tcp_cc;

/* State of CUBIC (RFC 9438 section 4.1.2). */
struct cc_cubic {
    uint32_t w_max;      /* cwnd at the last reduction, after fast convergence; bytes */
    uint32_t w_est;      /* what Reno would have by now; bytes */
    uint32_t est_acked;  /* acknowledged bytes not yet turned into w_est */
    uint32_t cwnd_prior; /* cwnd at the last reduction; bytes */
    uint32_t k_ms;       /* time for growing back to w_max */
    uint64_t epoch_us;   /* start of this avoidance stage; 0: not begun */
};

/* RFC 9406 section 4.2. */
struct hystart {
    uint32_t last_min_us, current_min_us; /* lastRoundMinRTT, currentRoundMinRTT; UINT32_MAX: none */
    uint32_t window_end;                  /* a round ends when this is acknowledged */
    uint32_t css_baseline_us;
    uint32_t few_min_us; /* minimum of the last few samples; UINT32_MAX: none */
    uint32_t samples;    /* that it is of; in [0, N_RTT_SAMPLE) */
    uint8_t css_rounds;
    bool css; /* conservative slow start */
    bool round_open;
};

struct cc {
    const struct tcp_cc *ops;
    uint32_t mss;      /* bytes; the sender's effective one */
    uint32_t cwnd;     /* at least mss */
    uint32_t ssthresh; /* UINT32_MAX: not known yet */
    uint32_t acked;    /* acknowledged bytes not yet turned into cwnd (RFC 3465) */
    struct hystart hystart;
    struct cc_cubic cubic;
};

struct cc_ack {
    uint64_t now_us;
    uint32_t acked_bytes; /* newly acknowledged */
    uint32_t srtt_us;
    uint32_t rtt_us; /* this ACK's own measurement; 0: none */
    uint32_t snd_una, snd_nxt;
    bool after_timeout; /* going back over what a time-out left: RFC 3465 section 2.3 */
};

struct tcp_cc {
    const char *name;

    /* on_ack: new data was acknowledged while cwnd was full: grow. */
    void (*on_ack)(struct cc *cc, const struct cc_ack *ack);

    /* on_congestion: a loss or an ECN mark, once a window: sets ssthresh.  flight is what was in the network. */
    void (*on_congestion)(struct cc *cc, uint32_t flight_bytes, uint64_t now_us);

    /* on_timeout: cwnd has become one segment; ssthresh was set by on_congestion. */
    void (*on_timeout)(struct cc *cc);

    /* on_idle: nothing was sent for idle_us (application-limited time is not growth). */
    void (*on_idle)(struct cc *cc, uint64_t idle_us);
};

extern const struct tcp_cc tcp_cc_cubic;
extern const struct tcp_cc tcp_cc_reno;

static inline bool cc_in_slow_start(const struct cc *cc)
{
    return cc->cwnd < cc->ssthresh;
}

void cc_init(struct cc *cc, const struct tcp_cc *ops, uint32_t mss, uint32_t initial_cwnd);

/* cc_slow_start grows cwnd up to ssthresh and returns the acknowledged bytes that are left over. */
uint32_t cc_slow_start(struct cc *cc, const struct cc_ack *ack);

/* hystart_on_ack watches the round trips of the first slow start; returns how much of grow bytes may be grown, and
 * sets ssthresh when slow start is to end.
 */
uint32_t hystart_on_ack(struct cc *cc, const struct cc_ack *ack, uint32_t grow);
void hystart_init(struct hystart *h);

/* cc_avoid adds one mss for every `window` acknowledged bytes (RFC 5681 section 3.1, RFC 3465 section 2.1). */
void cc_avoid(struct cc *cc, uint32_t acked_bytes, uint32_t window);

#endif
