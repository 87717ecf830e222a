/* tcp.h: one TCP connection (RFC 9293): segments in, segments out, a deadline.
 *
 * It knows no clock, no port, no DPDK and no socket: time is an argument (monotonic microseconds), segments are
 * structs, packets come from a pool that was given at open.  The caller
 *   - gives it every segment of its flow with tcp_input,
 *   - writes with tcp_write_reserve and tcp_write_commit, reads with tcp_read_peek and tcp_read_consume,
 *   - after any of these, and when tcp_next_deadline has come, calls tcp_output, which emits what may be sent,
 *   - looks at tcp_events after tcp_input, tcp_timers and tcp_output.
 * All entries: the owning core only; none blocks; memory comes from the pools given at open alone.
 */
#ifndef ENGINE_TCP_TCP_H
#define ENGINE_TCP_TCP_H

#include "engine/base/bytes.h"
#include "engine/base/pkt.h"
#include "engine/base/stat.h"
#include "engine/wire/wire.h"

struct tcb; /* private: tcb.h, which conn/ includes only to embed one */

/* RFC 3168.  To accept costs nothing where the peer does not ask, and is what Linux does by default; to offer costs a second
 * where the path loses SYNs that have the bits.
 */
enum tcp_ecn {
    TCP_ECN_OFF,
    TCP_ECN_ACCEPT, /* where the peer's SYN asks for it */
    TCP_ECN_ON,     /* our SYNs ask for it as well */
};

/* RFC 4821, RFC 8899: how the path's MTU is found where ICMP does not say. */
enum tcp_mtu_probing {
    TCP_MTU_PROBING_OFF,        /* not at all */
    TCP_MTU_PROBING_BLACK_HOLE, /* from the largest down when full segments vanish, and up again by probes */
    TCP_MTU_PROBING_ALWAYS,     /* from 1220 bytes upward */
};

/* Limits and defaults, the same for all connections of a core; outlives them. */
struct tcp_config {
    uint32_t mss;                /* bytes of payload that our own MTU allows, options not counted: 1460 */
    uint32_t send_buffer_bytes;  /* most unacknowledged and unsent bytes that tcp_write takes */
    uint32_t recv_buffer_bytes;  /* most received bytes not yet consumed, out-of-order ones included */
    uint16_t recv_packets;       /* most packets of the port's that hold them, in order and early ones each */
    uint32_t initial_cwnd;       /* segments; RFC 6928: 10 */
    uint32_t rto_initial_us;     /* RFC 6298 (2.1): 1 s */
    uint32_t rto_min_us;         /* 200 ms, as Linux */
    uint32_t rto_max_us;         /* RFC 6298 (2.5): at least 60 s */
    uint32_t delayed_ack_us;     /* at most 40 ms */
    uint32_t syn_retries;        /* SYNs after the first: 5 */
    uint32_t connect_timeout_us; /* whole time for the handshake */
    uint32_t user_timeout_us;    /* RFC 9293 3.8.3: unacknowledged for so long: give up */
    uint32_t fin_wait_2_us;      /* how long a peer may keep its half open in silence after our FIN */
    uint32_t time_wait_us;       /* 2 MSL */
    uint64_t
        keepalive_us; /* RFC 9293 3.8.4: an idle peer silent for so long is asked; 0, the default: never */
    uint32_t keepalive_interval_us;        /* and again */
    uint32_t keepalive_probes;             /* unanswered, before the connection is given up */
    uint32_t mss_clamp;                    /* no larger segments either way, whatever the path says; 0: off */
    uint8_t mtu_probing;                   /* enum tcp_mtu_probing */
    const struct tcp_cc *cc;               /* congestion control: tcp_cc_cubic or tcp_cc_reno (cc.h) */
    bool timestamps, window_scaling, sack; /* options to offer; all true */
    uint8_t ecn;                           /* enum tcp_ecn */
    bool pacing;                           /* spread data over the round trip; true */
};

struct tcp_config tcp_config_default(void);

struct tcp_open {
    const struct tcp_config *config; /* borrowed for the connection's life */
    struct pkt_pool *pool;           /* send queue; borrowed for life */
    struct stats *stats;             /* borrowed for life */
    uint16_t local_port, remote_port;
    uint32_t isn;       /* initial sequence number, RFC 6528, made by the caller */
    uint32_t ts_offset; /* random per flow: our time stamps do not tell the uptime (RFC 7323 section 5.4) */
    uint32_t mss;       /* payload bytes that this path allows; 0: config->mss */
    uint32_t path_mss;  /* less than mss where the path is known to take less (tcp_path_mss); 0: not known */
    uint8_t ip_header_bytes; /* 20 or 40 (IPv6): for the default MSS and for ICMP's MTU; 0: 20 */
};

enum tcp_state {
    TCP_CLOSED,
    TCP_LISTEN, /* never the state of a tcb: a passive open starts with a SYN in hand */
    TCP_SYN_SENT,
    TCP_SYN_RECEIVED,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT_1,
    TCP_FIN_WAIT_2,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_LAST_ACK,
    TCP_TIME_WAIT,
};

enum tcp_event {
    TCP_EV_CONNECTED = 1 << 0, /* became ESTABLISHED */
    TCP_EV_READABLE = 1 << 1,  /* bytes for tcp_read_peek */
    TCP_EV_WRITABLE = 1 << 2,  /* acknowledged bytes have made room */
    TCP_EV_PEER_FIN = 1 << 3,  /* peer sends no more; all before it has been or can be read */
    TCP_EV_CLOSED = 1 << 4,    /* over; tcp_error says how; the tcb may be released with tcp_release */
    TCP_EV_PATH = 1 << 6,      /* tcp_path_mss has changed: other connections to that host want to know */
    TCP_EV_TIME_WAIT = 1 << 5, /* closed in order; only the 2 MSL are left: move it to a compact record */
};

enum tcp_error {
    TCP_OK = 0,
    TCP_ERR_REFUSED,     /* RST in answer to our SYN */
    TCP_ERR_RESET,       /* RST later */
    TCP_ERR_TIMEOUT,     /* nobody answered, or stopped answering */
    TCP_ERR_UNREACHABLE, /* a hard ICMP error during connect */
    TCP_ERR_ABORTED,     /* we reset it */
};

struct tcp_train;

/* Where segments go.  emit is called from tcp_output only, once a segment; it fills in nothing: addresses
 * are its business, ports are set.  false: no buffer or no room now; TCP counts the segment as not sent and
 * tries again at the next tcp_output.  seg and what it points to are borrowed until return; a packet to be
 * kept longer needs a reference (pkt_ref); its fields next and tcp stay TCP's.  seg->payload has PKT_HEADROOM writable
 * bytes before it unless pkt_shared(seg->pkt), in which case it must be copied.
 */
struct tcp_emit {
    void *ctx;
    bool (*emit)(void *ctx, const struct tcp_segment *seg);
    uint32_t (*train)(void *ctx, const struct tcp_train *train); /* NULL: emit is given the segments of one */
};

/* A train: segments of data that leave for the first time, one right behind the other, and have the same header but for
 * number, length and what the last one has besides.  The packets are linked by `next`; of each, `tcp` says what it is.
 * Who takes one does for each packet what emit would, in order, and returns how many it took: fewer when there was no room.
 */
struct tcp_train {
    struct tcp_segment first; /* time stamps are the only option that it may have */
    uint32_t count;           /* > 1 */
    uint8_t end_flags;        /* PSH or nothing */
};

/* tcp_train_each gives the segments of a train to emit, one by one; returns how many it took. */
uint32_t tcp_train_each(const struct tcp_train *train, bool (*emit)(void *ctx, const struct tcp_segment *seg),
                        void *ctx);

size_t tcp_tcb_bytes(void); /* what a tcb takes, for pools */

/* tcp_open_active starts a connection; the SYN leaves with the next tcp_output.  tcb is the caller's memory. */
void tcp_open_active(struct tcb *tcb, const struct tcp_open *open, uint64_t now_us);

/* tcp_open_passive answers a SYN that a listener received; the SYN-ACK leaves with the next tcp_output. */
void tcp_open_passive(struct tcb *tcb, const struct tcp_open *open, const struct tcp_segment *syn,
                      uint64_t now_us);

/* tcp_open_answered: the same where a SYN-ACK with open->isn has left already (cookie.h); the ACK of it is the first
 * segment for tcp_input, at once.
 */
void tcp_open_answered(struct tcb *tcb, const struct tcp_open *open, const struct tcp_segment *syn,
                       uint64_t now_us);

/* tcp_input: a segment has arrived for this connection (RFC 9293 3.10.7).  seg is borrowed until return. */
void tcp_input(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us);

/* tcp_ack_is_full: one ACK cannot tell the peer of more than has come: a duplicate (RFC 2883), or as many separate blocks of early
 * segments as it has room for (RFC 2018 section 3).  Who gives TCP several segments at a time calls tcp_output before the next one.
 */
bool tcp_ack_is_full(const struct tcb *tcb);

/* tcp_output emits everything that may leave now: SYN, data within the windows, retransmissions, probes, ACKs, FIN, RST.
 * Returns false if emit refused one or the pool had no packet for a cut: call again in the next turn.
 */
bool tcp_output(struct tcb *tcb, uint64_t now_us, const struct tcp_emit *emit);

/* tcp_push emits data likewise while more is being written: a last packet that is not full waits for that.  What leaves
 * is in the caches still.  tcp_output comes when all is written; false: as there.
 */
bool tcp_push(struct tcb *tcb, uint64_t now_us, const struct tcp_emit *emit);

/* tcp_next_deadline: when tcp_timers has to be called, absolute; DEADLINE_NEVER if not at all. */
uint64_t tcp_next_deadline(const struct tcb *tcb);
void tcp_timers(struct tcb *tcb, uint64_t now_us);

/* Writing.  tcp_write_reserve gives the next writable chunk (at least 1 byte, inside one packet), or NULL
 * when the send buffer or the pool is full or the connection cannot send.  tcp_write_commit appends the first
 * len bytes of it to the stream; it comes before the next tcp_input, tcp_timers or tcp_output.  tcp_write_space: how many
 * bytes reserve would give in all, at the most.
 */
uint8_t *tcp_write_reserve(struct tcb *tcb, size_t *room);
void tcp_write_commit(struct tcb *tcb, size_t len);

/* tcp_write_pieces gives room for up to len bytes at once, max chunks at the most, in their order; returns their number, 0
 * where tcp_write_reserve gives none.  One tcp_write_commit is for all of them.
 */
uint32_t tcp_write_pieces(struct tcb *tcb, size_t len, struct byte_piece *piece, uint32_t max);
size_t tcp_write_space(const struct tcb *tcb);

/* tcp_write_due: how many bytes are worth writing now.  What the windows do not let out yet is better made when they do: it
 * would be out of the caches by then, and hold packets that other connections could send.  0 while what has been written
 * is as much as may leave, else at least `least` as far as there is space, so that what is written comes in large pieces.
 *
 * On a path of less than TCP_NEAR_US whose round trips take twice that and more by now, while TCP_NEAR_PACKETS of the pool are in
 * use, also 0 while `least` bytes are not acknowledged yet: more would stand in queues, not on the wire, and packets that come back
 * soon are in the caches still when they are used again.  An acknowledgement ends it.
 */
#define TCP_NEAR_US      5000u
#define TCP_NEAR_PACKETS 256u /* half a megabyte with what they need beside their payload */
size_t tcp_write_due(const struct tcb *tcb, size_t least);
size_t tcp_unsent_bytes(const struct tcb *tcb);  /* committed, never sent */
size_t tcp_unacked_bytes(const struct tcb *tcb); /* committed, not acknowledged */

/* Reading.  The bytes of tcp_read_peek stay where they are until consumed; NULL when there are none.
 * What is not consumed closes the window.
 */
uint8_t *tcp_read_peek(struct tcb *tcb, size_t *len);
void tcp_read_consume(struct tcb *tcb, size_t len);

void tcp_close(struct tcb *tcb, uint64_t now_us); /* FIN after what was written; reading goes on */
void tcp_abort(struct tcb *tcb, uint64_t now_us); /* RST with the next tcp_output, then CLOSED */

/* tcp_icmp_error: an ICMP error quoted a segment of this flow.  seq is checked against what is in flight
 * (RFC 5927 section 4).  hard: a port or protocol unreachable (RFC 5461); mtu: nonzero for "packet too big".
 */
void tcp_icmp_error(struct tcb *tcb, uint32_t seq, bool hard, uint32_t mtu, uint64_t now_us);

/* tcp_path_mss: payload bytes, options not counted off, that the path is believed to take, at most what we take. */
uint32_t tcp_path_mss(const struct tcb *tcb);

/* tcp_events gives the enum tcp_event bits that have come up since the last call, and forgets them. */
unsigned tcp_events(struct tcb *tcb);

enum tcp_state tcp_state(const struct tcb *tcb);
enum tcp_error tcp_error(const struct tcb *tcb);
const char *tcp_state_name(enum tcp_state state);

/* tcp_release gives all packets back to the pool; the tcb's memory is the caller's again.  Any state. */
void tcp_release(struct tcb *tcb);

/* A snapshot for `hardline status` and logs, in the manner of Linux's tcp_info. */
struct tcp_info {
    enum tcp_state state;
    uint32_t mss, cwnd_bytes, ssthresh_bytes, flight_bytes, snd_wnd_bytes, rcv_wnd_bytes;
    uint32_t srtt_us, rttvar_us, rto_us;
    uint64_t bytes_acked, bytes_received, retransmits;
};

struct tcp_info tcp_info(const struct tcb *tcb);

#endif
