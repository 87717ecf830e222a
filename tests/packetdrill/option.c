/* option.c: getsockopt and setsockopt, with Linux's numbers and layouts. */
#include "tests/packetdrill/option.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

int shim_unsupported(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define SO_MEMINFO_WORDS 9 /* SK_MEMINFO_VARS */
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

#define LEVEL_AND_NAME(level, name) ((level) << 16 | (name))

/* ---- plain numbers ---- */

/* Where an option that is a number is kept; NULL: it is no such option. */
static int *number_of(struct sock_options *opt, int level, int name)
{
    switch (LEVEL_AND_NAME(level, name)) {
    case LEVEL_AND_NAME(SOL_SOCKET, SO_REUSEADDR): return &opt->reuse_address;
    case LEVEL_AND_NAME(SOL_SOCKET, SO_KEEPALIVE): return &opt->keepalive;
    case LEVEL_AND_NAME(IPPROTO_TCP, TCP_NODELAY): return &opt->nodelay;
    case LEVEL_AND_NAME(IPPROTO_TCP, TCP_USER_TIMEOUT): return &opt->user_timeout_ms;
    case LEVEL_AND_NAME(IPPROTO_IP, IP_FREEBIND): return &opt->freebind;
    case LEVEL_AND_NAME(IPPROTO_IP, IP_MTU_DISCOVER): return &opt->mtu_discover;
    case LEVEL_AND_NAME(IPPROTO_IP, IP_TOS): return &opt->tos;
    default: return NULL;
    }
}

static int give(void *to, socklen_t *room, const void *value, socklen_t len)
{
    if (*room > len)
        *room = len;
    memcpy(to, value, *room);
    return 0;
}

static int give_number(void *to, socklen_t *room, int value)
{
    return give(to, room, &value, sizeof(value));
}

/* ---- TCP_INFO ---- */

static unsigned options_of(const struct sock_info *in)
{
    return (in->timestamps ? TCPI_OPT_TIMESTAMPS : 0u) | (in->sack ? TCPI_OPT_SACK : 0u) |
           (in->wscale ? TCPI_OPT_WSCALE : 0u);
}

static void fill_counts(struct tcp_info *out, const struct sock_info *in)
{
    out->tcpi_unacked = in->unacked;
    out->tcpi_sacked = in->sacked;
    out->tcpi_lost = in->lost;
    out->tcpi_retrans = in->retrans;
    out->tcpi_last_data_sent = in->data_sent_ms_ago;
    out->tcpi_last_data_recv = in->data_received_ms_ago;
    out->tcpi_last_ack_recv = in->ack_received_ms_ago;
    out->tcpi_total_retrans = in->total_retrans;
    out->tcpi_bytes_acked = in->bytes_acked;
    out->tcpi_bytes_received = in->bytes_received;
    out->tcpi_notsent_bytes = in->notsent_bytes;
}

static void fill_path(struct tcp_info *out, const struct sock_info *in)
{
    out->tcpi_rto = in->rto_us;
    out->tcpi_snd_mss = in->snd_mss;
    out->tcpi_rcv_mss = in->rcv_mss;
    out->tcpi_advmss = in->advmss;
    out->tcpi_pmtu = in->pmtu;
    out->tcpi_rtt = in->rtt_us;
    out->tcpi_rttvar = in->rttvar_us;
    out->tcpi_min_rtt = in->min_rtt_us;
    out->tcpi_snd_ssthresh = in->snd_ssthresh;
    out->tcpi_snd_cwnd = in->snd_cwnd;
    out->tcpi_snd_wnd = in->snd_wnd;
    out->tcpi_rcv_wnd = in->rcv_wnd;
}

/* What the caller knows more of than this header stays zero. */
static int give_tcp_info(struct shim *shim, int fd, void *to, socklen_t room)
{
    struct sock_info in;
    sock_info(shim, fd, &in);
    struct tcp_info out = {
        .tcpi_state = (__u8)in.state,
        .tcpi_ca_state = (__u8)in.ca_state,
        .tcpi_retransmits = (__u8)in.retransmits,
        .tcpi_probes = (__u8)in.probes,
        .tcpi_backoff = (__u8)in.backoff,
        .tcpi_options = (__u8)options_of(&in),
        .tcpi_snd_wscale = in.snd_wscale & 15,
        .tcpi_rcv_wscale = in.rcv_wscale & 15,
        .tcpi_reordering = 3,
    };
    fill_counts(&out, &in);
    fill_path(&out, &in);
    memset(to, 0, room);
    memcpy(to, &out, room < sizeof(out) ? room : sizeof(out));
    return 0;
}

/* ---- the calls ---- */

static int get_special(struct shim *shim, int fd, int level, int name, void *value, socklen_t *len)
{
    const struct sock_options *opt = sock_options(shim, fd);
    static const unsigned no_memory[SO_MEMINFO_WORDS];
    switch (LEVEL_AND_NAME(level, name)) {
    case LEVEL_AND_NAME(SOL_SOCKET, SO_ERROR): return give_number(value, len, sock_take_error(shim, fd));
    case LEVEL_AND_NAME(SOL_SOCKET, SO_TYPE): return give_number(value, len, SOCK_STREAM);
    case LEVEL_AND_NAME(SOL_SOCKET, SO_ACCEPTCONN): return give_number(value, len, sock_accepts(shim, fd));
    case LEVEL_AND_NAME(SOL_SOCKET, SO_SNDBUF): return give_number(value, len, (int)opt->send_buffer_bytes);
    case LEVEL_AND_NAME(SOL_SOCKET, SO_RCVBUF): return give_number(value, len, (int)opt->recv_buffer_bytes);
    case LEVEL_AND_NAME(SOL_SOCKET, SO_LINGER): return give(value, len, &opt->linger, sizeof(opt->linger));
    case LEVEL_AND_NAME(SOL_SOCKET, SO_MEMINFO): return give(value, len, no_memory, sizeof(no_memory));
    case LEVEL_AND_NAME(IPPROTO_TCP, TCP_MAXSEG):
        return give_number(value, len, (int)sock_max_segment(shim, fd));
    case LEVEL_AND_NAME(IPPROTO_TCP, TCP_INFO): return give_tcp_info(shim, fd, value, *len);
    case LEVEL_AND_NAME(IPPROTO_TCP, TCP_CC_INFO): return give(value, len, "", 0);
    case LEVEL_AND_NAME(IPPROTO_TCP, TCP_CONGESTION):
        return give(value, len, sock_congestion_control(shim, fd),
                    (socklen_t)strlen(sock_congestion_control(shim, fd)));
    default: return shim_unsupported(ENOPROTOOPT, "getsockopt level %d option %d", level, name);
    }
}

int option_get(struct shim *shim, int fd, int level, int name, void *value, socklen_t *len)
{
    struct sock_options *opt = sock_options(shim, fd);
    if (!opt)
        return -EBADF;
    const int *number = number_of(opt, level, name);
    return number ? give_number(value, len, *number) : get_special(shim, fd, level, name, value, len);
}

/* Linux gives twice what is asked for, to have room for its own book-keeping, and says so when it is asked. */
static uint32_t doubled(int asked)
{
    return 2u * (uint32_t)asked;
}

static int set_special(struct shim *shim, int fd, int level, int name, const void *value, int number)
{
    struct sock_options *opt = sock_options(shim, fd);
    switch (LEVEL_AND_NAME(level, name)) {
    case LEVEL_AND_NAME(SOL_SOCKET, SO_SNDBUF): opt->send_buffer_bytes = doubled(number); return 0;
    case LEVEL_AND_NAME(SOL_SOCKET, SO_RCVBUF): opt->recv_buffer_bytes = doubled(number); return 0;
    case LEVEL_AND_NAME(SOL_SOCKET, SO_LINGER): memcpy(&opt->linger, value, sizeof(opt->linger)); return 0;
    case LEVEL_AND_NAME(IPPROTO_TCP, TCP_MAXSEG): opt->max_segment = (uint32_t)number; return 0;
    default: return shim_unsupported(ENOPROTOOPT, "setsockopt level %d option %d", level, name);
    }
}

int option_set(struct shim *shim, int fd, int level, int name, const void *value, socklen_t len)
{
    struct sock_options *opt = sock_options(shim, fd);
    int number = 0;
    if (!opt)
        return -EBADF;
    if (level == IPPROTO_TCP && name == TCP_CONGESTION)
        return sock_use_congestion_control(shim, fd, value, len);
    memcpy(&number, value, len < sizeof(number) ? len : sizeof(number));
    int *plain = number_of(opt, level, name);
    int result = 0;
    if (plain)
        *plain = number;
    else
        result = set_special(shim, fd, level, name, value, number);
    sock_options_changed(shim, fd);
    return result;
}
