/* sock.c: opening, connecting, accepting and closing, as the socket calls have it. */
#include "tests/packetdrill/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef SIOCINQ /* <linux/sockios.h> */
#define SIOCINQ  FIONREAD
#define SIOCOUTQ TIOCOUTQ
#endif
#define SIOCOUTQNSD 0x894B

#define MSS         1460u /* of an Ethernet, for both families: so packetdrill sets up its device */
#define EPHEMERAL   40000u
#define ISN_STEP    0x9e3779b9u
#define TS_OFFSET   1000u
#define PACKETS_MAX 20000u

/* ---- finding ---- */

struct sock *sock_of_fd(struct shim *shim, int fd)
{
    for (unsigned i = 0; fd >= 0 && i < SOCKS_MAX; i++)
        if (shim->socks[i].kind != SOCK_FREE && shim->socks[i].fd == fd)
            return &shim->socks[i];
    return NULL;
}

bool sock_is_open(const struct sock *sock)
{
    return sock->kind == SOCK_CONNECTION && tcp_state(&sock->tcb) != TCP_CLOSED;
}

static struct sock *find(struct shim *shim, const struct ip_addr *local, uint16_t local_port,
                         const struct ip_addr *remote, uint16_t remote_port)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++) {
        struct sock *s = &shim->socks[i];
        if (sock_is_open(s) && s->local_port == local_port && s->remote_port == remote_port &&
            ip_equal(&s->local, local) && ip_equal(&s->remote, remote))
            return s;
    }
    return NULL;
}

struct sock *sock_of_packet(struct shim *shim, const struct ip_header *ip, const struct tcp_segment *seg)
{
    return find(shim, &ip->dst, seg->dst_port, &ip->src, seg->src_port);
}

struct sock *sock_of_quote(struct shim *shim, const struct icmp *icmp)
{
    return find(shim, &icmp->inner.src, icmp->inner_src_port, &icmp->inner.dst, icmp->inner_dst_port);
}

struct sock *sock_listening(struct shim *shim, uint16_t port)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++)
        if (shim->socks[i].kind == SOCK_LISTENS && shim->socks[i].local_port == port)
            return &shim->socks[i];
    return NULL;
}

/* ---- making and giving up ---- */

static struct tcp_config config_of(const struct knobs *k)
{
    struct tcp_config c = tcp_config_default();
    c.mss = MSS;
    c.send_buffer_bytes = k->send_buffer_bytes;
    c.recv_buffer_bytes = k->recv_buffer_bytes;
    c.recv_packets = PACKETS_MAX;
    /* Linux acknowledges the first segments of a connection at once, and scripts are no longer than that. */
    c.delayed_ack_us = 0;
    c.syn_retries = k->syn_retries;
    c.cc = k->reno ? &tcp_cc_reno : &tcp_cc_cubic;
    c.pacing = false; /* the scripts are of an unpaced sender */
    c.timestamps = k->timestamps;
    c.sack = k->sack;
    c.ecn = k->ecn;
    c.window_scaling = k->window_scaling;
    return c;
}

static struct sock *take_slot(struct shim *shim)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++)
        if (shim->socks[i].kind == SOCK_FREE) {
            shim->socks[i] = (struct sock){.shim = shim, .kind = SOCK_NEW, .fd = -1};
            return &shim->socks[i];
        }
    return NULL;
}

void sock_forget(struct sock *s)
{
    if (s->kind == SOCK_CONNECTION)
        tcp_release(&s->tcb);
    s->kind = SOCK_FREE;
}

int sock_open(struct shim *shim, int domain, int type, int protocol)
{
    bool tcp =
        (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM && (!protocol || protocol == IPPROTO_TCP);
    if (!tcp)
        return shim_unsupported(EPROTONOSUPPORT, "socket type %d, protocol %d", type, protocol);
    struct sock *s = take_slot(shim);
    if (!s)
        return -ENFILE;
    struct knobs knobs = knobs_read(shim->knobs);
    s->config = config_of(&knobs);
    s->opt.send_buffer_bytes = s->config.send_buffer_bytes;
    s->opt.recv_buffer_bytes = s->config.recv_buffer_bytes;
    s->domain = domain;
    s->nonblocking = type & SOCK_NONBLOCK;
    s->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return s->fd >= 0 ? s->fd : -errno;
}

static struct tcp_open open_of(struct sock *s)
{
    struct shim *shim = s->shim;
    return (struct tcp_open){
        .config = &s->config,
        .pool = shim->send_pool,
        .stats = &shim->stats,
        .local_port = s->local_port,
        .remote_port = s->remote_port,
        .isn = shim->next_isn += ISN_STEP,
        .ts_offset = TS_OFFSET,
        .mss = s->opt.max_segment ? s->opt.max_segment : MSS,
        .ip_header_bytes = ip_is_v4(&s->remote) ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES,
    };
}

struct sock *sock_spawn(struct sock *listener, const struct ip_header *ip, const struct tcp_segment *syn)
{
    struct sock *s = take_slot(listener->shim);
    if (!s)
        return NULL;
    s->listener = listener;
    s->domain = listener->domain;
    s->config = listener->config;
    s->opt = listener->opt;
    s->local = ip->dst;
    s->remote = ip->src;
    s->local_port = syn->dst_port;
    s->remote_port = syn->src_port;
    struct tcp_open open = open_of(s);
    tcp_open_passive(&s->tcb, &open, syn, s->shim->now_us);
    s->kind = SOCK_CONNECTION;
    return s;
}

static int errno_of(enum tcp_error error)
{
    switch (error) {
    case TCP_OK:
    case TCP_ERR_ABORTED: return 0;
    case TCP_ERR_REFUSED: return ECONNREFUSED;
    case TCP_ERR_RESET: return ECONNRESET;
    case TCP_ERR_TIMEOUT: return ETIMEDOUT;
    case TCP_ERR_UNREACHABLE: return ECONNREFUSED;
    }
    return EIO;
}

void sock_events(struct sock *s)
{
    unsigned events = tcp_events(&s->tcb);
    if (events & TCP_EV_PEER_FIN)
        s->peer_fin = true;
    if (events & TCP_EV_CLOSED)
        s->error = errno_of(tcp_error(&s->tcb));
    bool held = s->fd >= 0 || (s->listener && !s->error);
    if (!held && !sock_is_open(s))
        sock_forget(s);
}

/* ---- addresses ---- */

static bool from_sockaddr(const struct sockaddr *addr, socklen_t len, struct ip_addr *ip, uint16_t *port)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (addr->sa_family == AF_INET && len >= sizeof(v4)) {
        memcpy(&v4, addr, sizeof(v4));
        *ip = ip_from_v4((const uint8_t *)&v4.sin_addr);
        *port = ntohs(v4.sin_port);
    } else if (addr->sa_family == AF_INET6 && len >= sizeof(v6)) {
        memcpy(&v6, addr, sizeof(v6));
        memcpy(ip->b, &v6.sin6_addr, sizeof(ip->b));
        *port = ntohs(v6.sin6_port);
    } else {
        return false;
    }
    return true;
}

static void to_sockaddr(const struct sock *s, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(s->remote_port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(s->remote_port)};
    memcpy(&v4.sin_addr, s->remote.b + 12, sizeof(v4.sin_addr));
    memcpy(&v6.sin6_addr, s->remote.b, sizeof(v6.sin6_addr));
    const void *from = s->domain == AF_INET ? (const void *)&v4 : (const void *)&v6;
    socklen_t whole = s->domain == AF_INET ? sizeof(v4) : sizeof(v6);
    memcpy(addr, from, *len < whole ? *len : whole);
    *len = whole;
}

/* ---- listening ---- */

int sock_bind(struct shim *shim, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    return from_sockaddr(addr, len, &s->local, &s->local_port) ? 0 : -EINVAL;
}

int sock_listen(struct shim *shim, int fd)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    if (s->kind == SOCK_CONNECTION)
        return -EINVAL;
    s->kind = SOCK_LISTENS;
    return 0;
}

struct accept_call {
    struct sock *listener;
    struct sockaddr *addr;
    socklen_t *len;
};

static long try_accept(struct shim *shim, void *arg)
{
    const struct accept_call *call = arg;
    for (unsigned i = 0; i < SOCKS_MAX; i++) {
        struct sock *s = &shim->socks[i];
        if (s->kind != SOCK_CONNECTION || s->listener != call->listener ||
            tcp_state(&s->tcb) == TCP_SYN_RECEIVED)
            continue;
        s->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (s->fd < 0)
            return -errno;
        s->listener = NULL;
        to_sockaddr(s, call->addr, call->len);
        return s->fd;
    }
    return -EAGAIN;
}

int sock_accept(struct shim *shim, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    if (s->kind != SOCK_LISTENS)
        return -EINVAL;
    struct accept_call call = {.listener = s, .addr = addr, .len = len};
    return (int)(s->nonblocking ? try_accept(shim, &call)
                                : clock_wait(shim, try_accept, &call, DEADLINE_NEVER));
}

/* ---- connecting ---- */

/* Any address will do: packetdrill takes ours from the SYN. */
static struct ip_addr our_address(const struct ip_addr *remote)
{
    struct ip_addr ours;
    bool known = ip_parse(ip_is_v4(remote) ? "192.168.0.2" : "fd3d:fa7b:d17d::2", &ours);
    assert(known);
    (void)known;
    return ours;
}

static long connect_result(struct sock *s)
{
    if (sock_is_open(s) && tcp_state(&s->tcb) < TCP_ESTABLISHED)
        return -EAGAIN;
    int error = s->error;
    s->error = 0;
    s->connect_reported = true;
    return -error;
}

static long try_connect(struct shim *shim, void *arg)
{
    (void)shim;
    return connect_result(arg);
}

static int connect_again(struct sock *s)
{
    if (s->connect_reported)
        return -EISCONN;
    long result = connect_result(s);
    return result == -EAGAIN ? -EALREADY : (int)result;
}

int sock_connect(struct shim *shim, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    if (s->kind == SOCK_CONNECTION)
        return connect_again(s);
    if (s->kind != SOCK_NEW || !from_sockaddr(addr, len, &s->remote, &s->remote_port))
        return shim_unsupported(EINVAL, "connect to family %d", addr->sa_family);
    s->local = our_address(&s->remote);
    if (!s->local_port)
        s->local_port = shim->next_port++;
    struct tcp_open open = open_of(s);
    tcp_open_active(&s->tcb, &open, shim->now_us);
    s->kind = SOCK_CONNECTION;
    clock_settle(shim);
    if (s->nonblocking)
        return -EINPROGRESS;
    return (int)clock_wait(shim, try_connect, s, DEADLINE_NEVER);
}

/* ---- closing ---- */

/* RFC 2525 section 2.17: bytes that nobody is going to read are lost, and the peer must hear of it. */
static void close_connection(struct sock *s)
{
    size_t unread;
    bool reset = tcp_read_peek(&s->tcb, &unread) || (s->opt.linger.l_onoff && !s->opt.linger.l_linger);
    if (reset)
        tcp_abort(&s->tcb, s->shim->now_us);
    else
        tcp_close(&s->tcb, s->shim->now_us);
}

static void close_listener(struct shim *shim, const struct sock *listener)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++)
        if (shim->socks[i].kind == SOCK_CONNECTION && shim->socks[i].listener == listener) {
            shim->socks[i].listener = NULL;
            tcp_abort(&shim->socks[i].tcb, shim->now_us);
        }
}

int sock_close(struct shim *shim, int fd)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    close(s->fd);
    s->fd = -1;
    if (s->kind == SOCK_LISTENS)
        close_listener(shim, s);
    if (s->kind == SOCK_CONNECTION)
        close_connection(s);
    else
        sock_forget(s);
    return 0;
}

int sock_shutdown(struct shim *shim, int fd, int how)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    if (s->kind != SOCK_CONNECTION || !sock_is_open(s))
        return -ENOTCONN;
    if (how == SHUT_RD || how == SHUT_RDWR)
        s->shut_read = true;
    if (how == SHUT_WR || how == SHUT_RDWR) {
        s->shut_write = true;
        tcp_close(&s->tcb, shim->now_us);
    }
    return 0;
}

/* ---- fcntl and ioctl ---- */

int sock_fcntl(struct shim *shim, int fd, int command, int arg)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    if (command == F_GETFL)
        return O_RDWR | (s->nonblocking ? O_NONBLOCK : 0);
    if (command != F_SETFL)
        return shim_unsupported(EINVAL, "fcntl command %d", command);
    s->nonblocking = arg & O_NONBLOCK;
    return 0;
}

int sock_ioctl(struct shim *shim, int fd, unsigned long request, int *value)
{
    const struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    if (s->kind != SOCK_CONNECTION)
        return -EINVAL;
    switch (request) {
    case SIOCINQ: *value = (int)s->tcb.rxq.bytes; return 0;
    case SIOCOUTQ: *value = (int)tcp_unacked_bytes(&s->tcb); return 0;
    case SIOCOUTQNSD: *value = (int)tcp_unsent_bytes(&s->tcb); return 0;
    default: return shim_unsupported(EINVAL, "ioctl request %lu", request);
    }
}
