/* info.c: what a socket's options and TCP_INFO say, from the stack's own state. */
#include "tests/packetdrill/sock.h"

#include <errno.h>

#define INFINITE_SSTHRESH 0x7fffffffu /* Linux's */

/* Linux's numbers for states, <netinet/tcp.h>, and for where recovery stands, enum tcp_ca_state. */
static const unsigned linux_state[] = {
    [TCP_CLOSED] = 7,      [TCP_LISTEN] = 10,    [TCP_SYN_SENT] = 2,   [TCP_SYN_RECEIVED] = 3,
    [TCP_ESTABLISHED] = 1, [TCP_FIN_WAIT_1] = 4, [TCP_FIN_WAIT_2] = 5, [TCP_CLOSE_WAIT] = 8,
    [TCP_CLOSING] = 11,    [TCP_LAST_ACK] = 9,   [TCP_TIME_WAIT] = 6,
};
enum { CA_OPEN = 0, CA_DISORDER = 1, CA_CWR = 2, CA_RECOVERY = 3, CA_LOSS = 4 };

struct sock_options *sock_options(struct shim *shim, int fd)
{
    struct sock *s = sock_of_fd(shim, fd);
    return s ? &s->opt : NULL;
}

int sock_take_error(struct shim *shim, int fd)
{
    struct sock *s = sock_of_fd(shim, fd);
    int error = s->error;
    s->error = 0;
    return error;
}

bool sock_accepts(struct shim *shim, int fd)
{
    return sock_of_fd(shim, fd)->kind == SOCK_LISTENS;
}

const char *sock_congestion_control(struct shim *shim, int fd)
{
    return sock_of_fd(shim, fd)->config.cc->name;
}

int sock_use_congestion_control(struct shim *shim, int fd, const char *name, unsigned len)
{
    static const struct tcp_cc *const known[] = {&tcp_cc_cubic, &tcp_cc_reno};
    struct sock *s = sock_of_fd(shim, fd);
    for (unsigned i = 0; i < ARRAY_LEN(known) && s->kind != SOCK_CONNECTION; i++)
        if (strlen(known[i]->name) == strnlen(name, len) && !strncmp(known[i]->name, name, len)) {
            s->config.cc = known[i];
            return 0;
        }
    return shim_unsupported(ENOENT, "TCP_CONGESTION to %.*s", (int)len, name);
}

uint32_t sock_max_segment(struct shim *shim, int fd)
{
    const struct sock *s = sock_of_fd(shim, fd);
    return s->kind == SOCK_CONNECTION ? s->tcb.snd_mss : s->opt.max_segment ? s->opt.max_segment : 536;
}

void sock_options_changed(struct shim *shim, int fd)
{
    struct sock *s = sock_of_fd(shim, fd);
    s->config.send_buffer_bytes = s->opt.send_buffer_bytes;
    if (s->opt.user_timeout_ms)
        s->config.user_timeout_us = (uint32_t)s->opt.user_timeout_ms * 1000u;
}

static unsigned ca_state(const struct tcb *tcb)
{
    switch (tcb->recovery) {
    case RECOVERY_CWR: return CA_CWR;
    case RECOVERY_FAST: return CA_RECOVERY;
    case RECOVERY_LOSS: return CA_LOSS;
    default: return tcb->txq.sacked || tcb->dup_acks ? CA_DISORDER : CA_OPEN;
    }
}

static void count_packets(const struct tcb *tcb, struct sock_info *info)
{
    for (const struct pkt *p = tcb->txq.head; p != tcb->txq.unsent; p = p->next) {
        info->unacked++;
        info->sacked += (p->tcp.flags & TXQ_SACKED) != 0;
        info->lost += (p->tcp.flags & TXQ_LOST) != 0;
        info->retrans += (p->tcp.flags & TXQ_RETRANS) != 0;
    }
}

static uint32_t ms_ago(const struct sock *s, uint64_t then_us)
{
    return then_us ? (uint32_t)((s->shim->now_us - then_us) / 1000) : 0;
}

static void fill_path(const struct tcb *tcb, struct sock_info *info)
{
    info->rto_us = tcb_rto(tcb);
    info->backoff = tcb->persist_backoff > tcb->rtt.backoff ? tcb->persist_backoff : tcb->rtt.backoff;
    info->retransmits = tcb->rtt.backoff;
    info->probes = tcb->persist_backoff;
    info->rtt_us = tcb->rtt.srtt_us;
    info->rttvar_us = tcb->rtt.rttvar_us;
    info->min_rtt_us = tcb->rtt.min_us;
    info->pmtu = tcb->path_mss + tcb->ip_header_bytes + TCP_HEADER_MIN;
}

static void fill_windows(const struct tcb *tcb, struct sock_info *info)
{
    uint32_t mss = tcb->cc.mss ? tcb->cc.mss : 1;
    info->snd_cwnd = tcb->state >= TCP_ESTABLISHED ? tcb->cc.cwnd / mss : tcb->config->initial_cwnd;
    info->snd_ssthresh = tcb->cc.ssthresh == UINT32_MAX ? INFINITE_SSTHRESH : tcb->cc.ssthresh / mss;
    info->snd_wnd = tcb->snd_wnd;
    info->rcv_wnd = tcb->rcv_wnd;
    info->snd_wscale = tcb->snd_scale;
    info->rcv_wscale = tcb->rcv_scale;
}

void sock_info(struct shim *shim, int fd, struct sock_info *info)
{
    const struct sock *s = sock_of_fd(shim, fd);
    const struct tcb *tcb = &s->tcb;
    *info = (struct sock_info){.state = linux_state[s->kind == SOCK_LISTENS ? TCP_LISTEN : TCP_CLOSED]};
    if (s->kind != SOCK_CONNECTION)
        return;
    info->state = linux_state[tcb->state];
    info->ca_state = ca_state(tcb);
    info->timestamps = tcb->ts_on;
    info->sack = tcb->sack_on;
    info->wscale = tcb->wscale_on;
    info->snd_mss = tcb->snd_mss;
    info->rcv_mss = tcb->rcv_mss;
    info->advmss = tcb->our_mss;
    info->total_retrans = (uint32_t)tcb->retransmits;
    info->notsent_bytes = (uint32_t)tcp_unsent_bytes(tcb);
    info->bytes_acked = tcb->bytes_acked;
    info->bytes_received = tcb->bytes_received;
    info->data_sent_ms_ago = ms_ago(s, s->times.data_sent_us);
    info->data_received_ms_ago = ms_ago(s, s->times.data_received_us);
    info->ack_received_ms_ago = ms_ago(s, s->times.ack_received_us);
    count_packets(tcb, info);
    fill_path(tcb, info);
    fill_windows(tcb, info);
}
