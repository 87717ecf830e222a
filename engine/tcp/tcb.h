/* tcb.h: the transmission control block, private to engine/tcp; conn/ includes it only to embed one.
 *
 * Fields have the names of RFC 9293 section 3.3.1 in lower case: snd_una is SND.UNA.
 */
#ifndef ENGINE_TCP_TCB_H
#define ENGINE_TCP_TCB_H

#include "engine/tcp/cc.h"
#include "engine/tcp/rtt.h"
#include "engine/tcp/rxq.h"
#include "engine/tcp/seq.h"
#include "engine/tcp/tcp.h"
#include "engine/tcp/txq.h"

/* The legal paths between states (RFC 9293 figure 5); every one may also end in CLOSED by a reset, an abort or a
 * time-out.  States only ever go down the page.
 *
 *          tcp_open_active                  tcp_open_passive
 *                |                                 |
 *                v           SYN                   v
 *            SYN_SENT --------------------> SYN_RECEIVED
 *                |  SYN-ACK                        |  ACK of our SYN
 *                +-------------> ESTABLISHED <-----+
 *                     tcp_close  |         |  FIN
 *                                v         v
 *                        FIN_WAIT_1       CLOSE_WAIT
 *               ACK of FIN |     | FIN        | tcp_close
 *                          v     v            v
 *                 FIN_WAIT_2   CLOSING     LAST_ACK
 *                      FIN |     | ACK        | ACK of FIN
 *                          v     v   of FIN   v
 *                         TIME_WAIT -----> CLOSED
 */

enum tcp_timer {
    TIMER_REORDER, /* what may only have been overtaken is lost by now (RACK) */
    TIMER_PROBE,   /* tail loss probe; before RTX, which it puts off */
    TIMER_RTX,     /* retransmission time-out */
    TIMER_PERSIST, /* zero-window probe, or a segment smaller than the window ought to be */
    TIMER_DELACK,  /* an ACK that waits for company */
    TIMER_PACE,    /* data that cwnd lets out waits for its turn */
    TIMER_USER,    /* nothing was acknowledged for too long */
    TIMER_KEEP,    /* nothing was heard of the peer for long */
    TIMER_LIFE,    /* end of a state that may not last: connecting, FIN_WAIT_2, TIME_WAIT */
    TIMER_COUNT
};

/* Where loss recovery stands. */
enum tcp_recovery {
    RECOVERY_OPEN, /* nothing is known to be lost */
    RECOVERY_CWR, /* nor here: cwnd goes down to ssthresh after an ECN echo, until snd_una reaches `ecn_seq` */
    RECOVERY_FAST, /* fast retransmit and recovery (RFC 6675, RFC 6582), until snd_una reaches `recover` */
    RECOVERY_LOSS, /* after a time-out, likewise */
};

/* RFC 8985: RACK's variables without the prefix, and those of the tail loss probe. */
struct rack {
    uint64_t sent_us;        /* RACK.xmit_ts: when the last sent of what was delivered had left */
    uint64_t order;          /* its transmission order: tells apart what left at the same time */
    uint32_t rtt_us;         /* RACK.rtt: round trip of the last one that an ACK delivered */
    uint32_t dsack_round;    /* snd_nxt when a duplicate last widened the window */
    uint8_t reo_wnd_mult;    /* in [1, 255] */
    uint8_t reo_wnd_persist; /* recoveries until reo_wnd_mult is 1 again */
    bool dsack_round_on;
    bool reordering_seen;
    bool tlp_out; /* a probe is in flight: TLP.end_seq is set */
    bool tlp_is_retrans;
    bool tlp_now; /* a probe is to leave with the next tcp_output */
    uint32_t tlp_end_seq;
    uint32_t pto_min_us; /* a tail is not probed before; in [4,000, 200,000] */
};

/* RFC 9937, in bytes. */
struct prr {
    uint32_t delivered; /* since recovery began */
    uint32_t out;       /* sent since then */
    uint32_t flight;    /* RecoverFS, in flight when it began; > 0 */
};

/* Where F-RTO stands after a time-out (RFC 5682). */
enum frto {
    FRTO_OFF,
    FRTO_RESENT,   /* step 2: the first segment went again, its ACK is to come */
    FRTO_NEW_DATA, /* step 3: new data leaves instead of what may be lost; the next ACK decides */
};

/* What a reduction can be taken back with, if it turns out that nothing was lost (RFC 3522, 3708, 4015). */
struct undo {
    struct cc cc;           /* as it was before */
    uint64_t first_us;      /* when the first retransmission left; 0: none yet */
    uint64_t until_us;      /* duplicates may be reported until then; DEADLINE_NEVER while recovery goes on */
    uint32_t start;         /* snd_una when it began */
    uint32_t retransmitted; /* retransmissions that no duplicate has been reported of */
    bool armed;
    bool first_ack; /* Eifel looks at the first ACK only */
    uint8_t frto;   /* enum frto */
};

/* RFC 4821, RFC 8899.  Sizes as path_mss: payload bytes, options not counted off. */
struct pmtu {
    uint64_t probe_us;   /* from then on a larger size may be tried; DEADLINE_NEVER: none is to be */
    uint32_t next;       /* what to try */
    uint32_t too_big;    /* the least size that has not passed; our_mss + 1: none is known */
    uint32_t probe_mss;  /* of the probe in flight; 0: there is none; else > path_mss */
    uint32_t probe_seq;  /* where it begins */
    uint32_t probe_end;  /* and ends */
    uint32_t probe_lost; /* bytes of a probe that was just found lost, for recovery to decide about */
    uint8_t tries;       /* probes of this size lost */
    uint8_t timeouts;    /* of the same large segment, in a row */
    bool hole;           /* the size fell for a black hole; nothing was acknowledged since */
};

struct tcb {
    /* What every segment touches. */
    uint8_t state;    /* enum tcp_state */
    uint8_t error;    /* enum tcp_error; stays 0 while the connection lives */
    uint8_t recovery; /* enum tcp_recovery */
    uint8_t events;   /* enum tcp_event since tcp_events was asked */

    bool ack_now;   /* an ACK must leave with the next tcp_output */
    bool rst_now;   /* a RST that answers one segment, the connection stays; its sequence number is rst_seq */
    bool abort_now; /* tcp_abort: RST, then CLOSED */
    bool rexmit_now;   /* one retransmission may leave whatever cwnd says */
    bool probe_now;    /* a zero-window probe is due */
    bool keep_now;     /* a keep-alive is due */
    bool override_now; /* the sender's silly-window override is due (RFC 9293 3.8.6.2.1) */
    bool passive;      /* opened by a SYN */
    bool close_asked;  /* tcp_close: a FIN is queued, or will be when ESTABLISHED */

    bool ts_on, sack_on, wscale_on; /* negotiated; before that: offered */
    uint8_t snd_scale, rcv_scale;   /* shifts in [0, 14] (RFC 7323 section 2.3) */
    bool cwnd_limited;              /* what has left this round trip was bounded by cwnd */
    bool syn_lost;                  /* the SYN was sent more than once */
    uint8_t dup_acks;               /* in a row, saturating */

    /* RFC 3168. */
    bool ecn_on;       /* both have agreed: CE is echoed, ECE and CWR mean something */
    bool ecn_offered;  /* our SYN asked for it */
    bool ecn_may_mark; /* new data leaves with ECT(0) */
    bool ecn_echo;     /* a mark came, and no CWR since */
    bool ecn_reduced;  /* the next new data says CWR */

    uint32_t snd_una; /* snd_una <= snd_nxt */
    uint32_t snd_nxt; /* snd_nxt - snd_una == txq.out; retransmissions do not move it back */
    uint32_t snd_wnd; /* bytes, scaled */
    uint32_t snd_wl1, snd_wl2;
    uint32_t snd_wnd_max; /* the largest ever offered: RFC 5961 section 5, RFC 9293 3.8.6.2.1 */
    uint32_t rcv_nxt;
    uint32_t rcv_wnd;  /* offered from rcv_nxt on; the right edge never moves left */
    uint32_t ack_sent; /* Last.ACK.sent of RFC 7323 */
    uint32_t ts_recent;
    uint32_t snd_mss; /* payload bytes of a full segment, its usual options counted off; > 0 */
    uint32_t rcv_mss; /* the largest payload that the peer has sent: what a full segment is to delayed ACKs */
    uint32_t rcv_unacked; /* bytes received since our last ACK */

    uint32_t cut_end;    /* behind what was queued for a larger MSS; snd_una at least */
    uint32_t flight_max; /* most in flight since flight_seq was set */
    uint32_t flight_seq; /* until this is acknowledged: a round trip */

    uint64_t timer[TIMER_COUNT]; /* absolute; DEADLINE_NEVER: not armed */
    uint64_t pace_us;            /* when what has left ought to be out at the pacing rate */
    uint32_t pace_burst;         /* bytes that may leave unpaced; in [0, initial_window] */

    struct cc cc;
    struct rtt rtt;
    struct txq txq;
    struct rxq rxq;

    /* Recovery. */
    struct rack rack;
    struct prr prr;
    struct undo undo;
    struct pmtu pmtu;
    uint32_t recover;     /* RecoveryPoint: snd_nxt when the loss was found */
    uint32_t ecn_seq;     /* snd_nxt at the last reduction: once a window */
    uint32_t reno_sacked; /* without SACK: sequence numbers that duplicate ACKs stand for; in [0, txq.out] */
    uint32_t rto_una;     /* snd_una at the last time-out */
    uint32_t rtt_seq;     /* a measurement counts when this is acknowledged: one a round trip */

    /* Seldom touched. */
    uint32_t iss, irs;
    uint32_t initial_window; /* bytes */
    uint32_t rst_seq;
    uint32_t rcv_fin_seq; /* sequence number of the peer's FIN */
    bool rcv_fin_known;   /* it was seen, perhaps before what precedes it */
    bool rcv_dsack;       /* dsack is to be reported with the next ACK (RFC 2883) */
    uint8_t early_news;   /* blocks of early segments that have grown since our last ACK, saturating */
    uint32_t early_end;   /* behind the early segment that came last, if early_news is not 0 */
    uint8_t persist_backoff;
    uint8_t keep_probes; /* unanswered, saturating */
    uint8_t syn_retries; /* SYNs sent after the first */
    struct tcp_sack_block dsack;
    uint32_t our_mss;  /* what we accept: the MSS option of our SYN */
    uint32_t path_mss; /* payload bytes that the path takes, options not counted off; <= our_mss */
    uint32_t peer_mss; /* what the peer accepts, likewise */
    uint32_t ts_offset;
    uint16_t local_port, remote_port;
    uint8_t ip_header_bytes;
    uint16_t syn_window;    /* as our SYN offered it, never scaled */
    uint8_t challenge_acks; /* in this interval (RFC 5961 section 7) */
    uint64_t challenge_us;  /* when the interval began */
    uint64_t ts_recent_us;  /* when ts_recent was set (RFC 7323 section 5.5) */
    uint64_t heard_us;      /* when the peer last sent something acceptable */
    uint64_t validated_us;  /* when half of cwnd or more was last in use */
    uint64_t last_send_us;  /* of data; 0: never */
    uint64_t bytes_acked, bytes_received, retransmits;

    const struct tcp_config *config;
    struct pkt_pool *pool;
    struct stats *stats;
};

static_assert(sizeof(struct tcb) <= 1024, "a million connections in a gigabyte");

static inline uint32_t tcb_rto(const struct tcb *tcb)
{
    const struct tcp_config *c = tcb->config;
    struct rtt_limits limits = {c->rto_initial_us, c->rto_min_us, c->rto_max_us};
    return rtt_timeout_us(&tcb->rtt, &limits);
}

#define TCB_ECHO_MAX_MS 600000u /* ten minutes: an older echo is no answer */

/* What the peer's time-stamp option gets: milliseconds, so that it never wraps within 24 days (RFC 7323 5.4). */
static inline uint32_t tcb_ts_now(const struct tcb *tcb, uint64_t now_us)
{
    return (uint32_t)(now_us / 1000) + tcb->ts_offset;
}

/* When the segment left that the peer's time stamp echoes, to a millisecond; 0: no echo, or one that cannot be true. */
static inline uint64_t tcb_echoed_us(const struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    uint32_t ago_ms = tcb_ts_now(tcb, now_us) - seg->opt.ts_ecr;
    if (!tcb->ts_on || !seg->opt.has_timestamps || ago_ms > TCB_ECHO_MAX_MS || ago_ms > now_us / 1000)
        return 0;
    return (now_us / 1000 - ago_ms) * 1000;
}

/* tcb_check asserts the invariants; linear in the queues: tests and the simulator call it after every step. */
void tcb_check(const struct tcb *tcb);

/* ---- tcp.c ---- */

/* tcb_scale_for: the window scale that we offer for a receive buffer. */
uint8_t tcb_scale_for(uint32_t buffer_bytes);

/* tcb_finish ends the connection: CLOSED, timers off, send queue given back; what was received can be read. */
void tcb_finish(struct tcb *tcb, enum tcp_error error);
void tcb_enter_time_wait(struct tcb *tcb, uint64_t now_us);
void tcb_established(struct tcb *tcb, uint64_t now_us);

/* tcb_queue_fin puts the FIN into the send queue and moves to FIN_WAIT_1 or LAST_ACK. */
void tcb_queue_fin(struct tcb *tcb);

/* ---- options.c: what SYNs negotiate ---- */

/* options_offer fills the options of our SYN, or of a SYN-ACK: there only what the peer's SYN had. */
void options_offer(const struct tcb *tcb, struct tcp_options *opt, uint64_t now_us);

/* options_accept takes over what the peer's SYN or SYN-ACK says. */
void options_accept(struct tcb *tcb, const struct tcp_segment *syn, uint64_t now_us);

/* options_update_mss computes snd_mss from peer_mss, path_mss and the options in use. */
void options_update_mss(struct tcb *tcb);

/* options_fill gives a segment after the SYN its options: time stamps, and SACK blocks where room bytes allow. */
void options_fill(struct tcb *tcb, struct tcp_options *opt, uint32_t room, uint64_t now_us);

/* ---- tcp_ack.c: the fifth step of RFC 9293 3.10.7.4, from ESTABLISHED on ---- */

void ack_process(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us);

/* ack_of_syn: the ACK that makes the connection ESTABLISHED. */
void ack_of_syn(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us);

/* ack_schedule decides when the bytes that were just received are acknowledged (RFC 5681 section 4.2). */
void ack_schedule(struct tcb *tcb, uint32_t received, uint64_t now_us);

/* ---- ecn.c: explicit congestion notification (RFC 3168) ---- */

/* ecn_syn_flags: the bits that our SYN or SYN-ACK has this time. */
uint8_t ecn_syn_flags(struct tcb *tcb);
void ecn_accept_syn(struct tcb *tcb, const struct tcp_segment *seg); /* and again when it comes again */
void ecn_accept_syn_ack(struct tcb *tcb, const struct tcp_segment *seg);

void ecn_take_text(struct tcb *tcb, const struct tcp_segment *seg); /* some of it inside the window */

/* ecn_mark gives a segment after the SYN its bits; new_data: it holds text that is sent for the first time. */
void ecn_mark(const struct tcb *tcb, struct tcp_segment *seg, bool new_data);
void ecn_doubt_path(struct tcb *tcb);

/* ecn_echoed: the ACK tells of congestion that cwnd was not reduced for. */
bool ecn_echoed(const struct tcb *tcb, const struct tcp_segment *seg);
void ecn_note_reduction(struct tcb *tcb);

/* ---- recovery.c ---- */

/* recovery_on_ack follows what an ACK told: finds losses, enters and leaves recovery.  Returns how many sequence numbers
 * it says have arrived that were not known to have.
 */
uint32_t recovery_on_ack(struct tcb *tcb, const struct tcp_segment *seg, const struct txq_report *report,
                         bool duplicate, uint64_t now_us);

/* recovery_on_timeout: the retransmission timer fired. */
void recovery_on_timeout(struct tcb *tcb, uint64_t now_us);

/* recovery_on_reorder_timer: RACK's timer fired. */
void recovery_on_reorder_timer(struct tcb *tcb, uint64_t now_us);

/* recovery_sent notes that so many numbers left, again or for the first time. */
void recovery_sent(struct tcb *tcb, uint32_t bytes, bool again, uint64_t now_us);

/* recovery_mark_lost: a packet is not in the network any more. */
void recovery_mark_lost(struct tcb *tcb, struct pkt *p);

/* Nothing is known to be lost. */
static inline bool recovery_is_quiet(const struct tcb *tcb)
{
    return tcb->recovery <= RECOVERY_CWR;
}

/* cwnd is PRR's, and does not grow. */
static inline bool recovery_is_reducing(const struct tcb *tcb)
{
    return tcb->recovery == RECOVERY_CWR || tcb->recovery == RECOVERY_FAST;
}

/* What is believed to be in the network; without SACK duplicate ACKs count as arrivals. */
static inline uint32_t recovery_pipe(const struct tcb *tcb)
{
    return txq_pipe(&tcb->txq) - tcb->reno_sacked;
}

/* ---- rack.c: losses by time, and a probe when the tail is silent (RFC 8985); with SACK only ---- */

void rack_init(struct tcb *tcb);

/* rack_on_ack takes in what an ACK says about time and order; rack_find_lost then marks what is lost by now, and
 * arms the timer for what may become so; returns whether it marked any.
 */
void rack_on_ack(struct tcb *tcb, const struct txq_report *report, uint64_t now_us);
bool rack_find_lost(struct tcb *tcb, uint64_t now_us);
void rack_left_recovery(struct tcb *tcb);

/* rack_is_recent: it left so short a while ago that a time-out of others proves nothing about it. */
bool rack_is_recent(const struct tcb *tcb, const struct pkt *p, uint64_t now_us);

/* tlp_is_silent: a flight of which nothing has come back; tlp_schedule arms the probe timer if there is a tail to probe;
 * tlp_sent notes that the probe has left.
 */
bool tlp_is_silent(const struct tcb *tcb);
void tlp_schedule(struct tcb *tcb, uint64_t now_us);
void tlp_sent(struct tcb *tcb, bool is_retrans, uint64_t now_us);

/* tlp_on_ack: has the probe been answered?  True if it repaired a loss that nobody else noticed. */
bool tlp_on_ack(struct tcb *tcb, const struct tcp_segment *seg, const struct txq_report *report,
                bool duplicate);

/* ---- prr.c: cwnd during fast recovery, and after an ECN echo (RFC 9937) ---- */

void prr_start(struct tcb *tcb, uint32_t flight);

/* prr_on_ack sets cwnd; progress: the ACK moved snd_una and told of no further loss ("SafeACK"). */
void prr_on_ack(struct tcb *tcb, uint32_t delivered, bool progress);

/* ---- pmtu.c: segment sizes without ICMP ---- */

/* pmtu_init sets path_mss: known_mss if that is not 0. */
void pmtu_init(struct tcb *tcb, uint32_t known_mss, uint64_t now_us);

/* pmtu_reduce: the path takes no more than mss, which is less than path_mss; what is in flight and larger is lost. */
void pmtu_reduce(struct tcb *tcb, uint32_t mss, uint64_t now_us);

/* pmtu_on_timeout: the first segment has timed out; is it too big for a path that says nothing? */
void pmtu_on_timeout(struct tcb *tcb, uint64_t now_us);

/* pmtu_probe_due: payload bytes of a probe that may leave in the place of the next new segment; 0: none. */
uint32_t pmtu_probe_due(struct tcb *tcb);
void pmtu_probe_sent(struct tcb *tcb, const struct pkt *p);

/* What may become of it: lost; cut to be sent again, so that nobody will know; a router says what would pass. */
void pmtu_probe_lost(struct tcb *tcb, const struct pkt *p);
void pmtu_probe_cut(struct tcb *tcb, const struct pkt *p);
void pmtu_probe_told(struct tcb *tcb, uint32_t mss);

/* pmtu_acked: snd_una has moved while a probe was in flight or a black hole was suspected. */
void pmtu_acked(struct tcb *tcb, uint64_t now_us);

/* ---- undo.c: reductions that were wrong ---- */

void undo_arm(struct tcb *tcb);
void undo_arm_frto(struct tcb *tcb); /* behind undo_arm, for a time-out */
void undo_disarm(struct tcb *tcb);
void undo_sent_again(struct tcb *tcb, uint64_t now_us);
void undo_left_recovery(struct tcb *tcb, uint64_t now_us);

/* undo_on_ack: true if nothing was lost: windows and scoreboard are as before. */
bool undo_on_ack(struct tcb *tcb, const struct tcp_segment *seg, const struct txq_report *report,
                 bool duplicate, uint64_t now_us);

/* ---- pace.c ---- */

/* pace_waits: no data may leave yet; TIMER_PACE says until when. */
bool pace_waits(const struct tcb *tcb, uint64_t now_us);

/* pace_room: how many bytes may leave before it waits; the last segment may be more than what is left of them. */
uint32_t pace_room(const struct tcb *tcb, uint64_t now_us);

/* pace_sent notes that so many bytes of data have left. */
void pace_sent(struct tcb *tcb, uint32_t bytes, uint64_t now_us);

/* ---- tcp_out.c ---- */

uint32_t out_receive_window(const struct tcb *tcb); /* what could be offered now, bytes */
uint32_t out_may_leave(const struct tcb *tcb);      /* unsent bytes that the windows take now */
bool out_has_new(const struct tcb *tcb);            /* unsent text that the peer's window takes */

/* ---- tcp_timer.c ---- */

void timer_init(struct tcb *tcb);
void timer_set(struct tcb *tcb, enum tcp_timer which, uint64_t deadline_us);
void timer_cancel(struct tcb *tcb, enum tcp_timer which);

/* timer_acked restarts or stops the retransmission and user time-outs: something was acknowledged. */
void timer_acked(struct tcb *tcb, uint64_t now_us);

/* timer_sent starts what a segment that must be acknowledged needs. */
void timer_sent(struct tcb *tcb, uint64_t now_us);

/* timer_keep begins to wait for the peer's silence, if that is configured. */
void timer_keep(struct tcb *tcb, uint64_t now_us);

/* timer_persist runs the persist timer while there is data, nothing in flight and too little window. */
void timer_persist(struct tcb *tcb, bool blocked, uint64_t now_us);

#endif
