/* option.h: socket options, in plain types: Linux's <linux/tcp.h> and engine/tcp do not go together in one file. */
#ifndef TESTS_PACKETDRILL_OPTION_H
#define TESTS_PACKETDRILL_OPTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct shim;
struct sock;

struct sock_options {
    int reuse_address, keepalive, nodelay, freebind, mtu_discover, tos, user_timeout_ms;
    uint32_t max_segment; /* TCP_MAXSEG; 0: not set */
    uint32_t send_buffer_bytes, recv_buffer_bytes;
    struct linger linger;
};

struct sock_times {
    uint64_t data_sent_us, data_received_us, ack_received_us;
};

/* What struct tcp_info of Linux holds, as far as the stack knows it; packets, bytes and microseconds. */
struct sock_info {
    unsigned state, ca_state, retransmits, probes, backoff, snd_wscale, rcv_wscale;
    bool timestamps, sack, wscale;
    uint32_t rto_us, snd_mss, rcv_mss, advmss, pmtu;
    uint32_t unacked, sacked, lost, retrans;
    uint32_t data_sent_ms_ago, data_received_ms_ago, ack_received_ms_ago;
    uint32_t rtt_us, rttvar_us, min_rtt_us, snd_ssthresh, snd_cwnd, total_retrans, notsent_bytes, snd_wnd,
        rcv_wnd;
    uint64_t bytes_acked, bytes_received;
};

/* ---- info.c ---- */

struct sock_options *sock_options(struct shim *shim, int fd); /* NULL: no such socket */
void sock_info(struct shim *shim, int fd, struct sock_info *info);
int sock_take_error(struct shim *shim, int fd); /* SO_ERROR, and forgets it */
bool sock_accepts(struct shim *shim, int fd);
const char *sock_congestion_control(struct shim *shim, int fd);
int sock_use_congestion_control(struct shim *shim, int fd, const char *name, unsigned len);
uint32_t sock_max_segment(struct shim *shim, int fd);

/* sock_options_changed applies them to the connection, where that is possible at any time. */
void sock_options_changed(struct shim *shim, int fd);

/* ---- option.c ---- */

int option_get(struct shim *shim, int fd, int level, int name, void *value, socklen_t *len);
int option_set(struct shim *shim, int fd, int level, int name, const void *value, socklen_t len);

#endif
