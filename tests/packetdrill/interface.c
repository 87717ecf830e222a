/* interface.c: the table of functions that packetdrill asks for (its packetdrill.h), and the lock around them. */
#include "tests/packetdrill/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <packetdrill.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SILENCE_US 600000000u /* nothing is going to come any more */

struct shim *the_shim;

int shim_unsupported(int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("hardline: unsupported: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return -error;
}

static struct shim *enter(void *userdata)
{
    struct shim *shim = userdata;
    pthread_mutex_lock(&shim->lock);
    return shim;
}

/* What the call has done leaves at once, as it does in a kernel. */
static long leave(struct shim *shim, long result)
{
    clock_settle(shim);
    pthread_mutex_unlock(&shim->lock);
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

/* ---- sockets ---- */

static int if_socket(void *userdata, int domain, int type, int protocol)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, sock_open(shim, domain, type, protocol));
}

static int if_bind(void *userdata, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, sock_bind(shim, fd, addr, len));
}

static int if_listen(void *userdata, int fd, int backlog)
{
    struct shim *shim = enter(userdata);
    (void)backlog;
    return (int)leave(shim, sock_listen(shim, fd));
}

static int if_accept(void *userdata, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, sock_accept(shim, fd, addr, len));
}

static int if_connect(void *userdata, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, sock_connect(shim, fd, addr, len));
}

static int if_close(void *userdata, int fd)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, sock_close(shim, fd));
}

static int if_shutdown(void *userdata, int fd, int how)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, sock_shutdown(shim, fd, how));
}

static int if_getsockopt(void *userdata, int fd, int level, int name, void *value, socklen_t *len)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, option_get(shim, fd, level, name, value, len));
}

static int if_setsockopt(void *userdata, int fd, int level, int name, const void *value, socklen_t len)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, option_set(shim, fd, level, name, value, len));
}

static int if_poll(void *userdata, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct shim *shim = enter(userdata);
    return (int)leave(shim, stream_poll(shim, fds, count, timeout_ms));
}

static int if_fcntl(void *userdata, int fd, int command, ...)
{
    int arg = 0;
    if (command == F_SETFL) {
        va_list args;
        va_start(args, command);
        arg = va_arg(args, int);
        va_end(args);
    }
    struct shim *shim = enter(userdata);
    return (int)leave(shim, sock_fcntl(shim, fd, command, arg));
}

static int if_ioctl(void *userdata, int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    int *value = va_arg(args, int *);
    va_end(args);
    struct shim *shim = enter(userdata);
    return (int)leave(shim, sock_ioctl(shim, fd, request, value));
}

/* ---- bytes ---- */

static ssize_t if_readv(void *userdata, int fd, const struct iovec *iov, int count)
{
    struct shim *shim = enter(userdata);
    return leave(shim, stream_read(shim, fd, iov, count, 0));
}

static ssize_t if_recv(void *userdata, int fd, void *buf, size_t len, int flags)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    struct shim *shim = enter(userdata);
    return leave(shim, stream_read(shim, fd, &iov, 1, flags));
}

static ssize_t if_read(void *userdata, int fd, void *buf, size_t len)
{
    return if_recv(userdata, fd, buf, len, 0);
}

static ssize_t if_recvfrom(void *userdata, int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
                           socklen_t *addr_len)
{
    (void)addr;
    *addr_len = 0; /* as TCP has it */
    return if_recv(userdata, fd, buf, len, flags);
}

static ssize_t if_recvmsg(void *userdata, int fd, struct msghdr *msg, int flags)
{
    struct shim *shim = enter(userdata);
    msg->msg_flags = 0;
    msg->msg_controllen = 0;
    return leave(shim, stream_read(shim, fd, msg->msg_iov, (int)msg->msg_iovlen, flags));
}

static ssize_t if_writev(void *userdata, int fd, const struct iovec *iov, int count)
{
    struct shim *shim = enter(userdata);
    return leave(shim, stream_write(shim, fd, iov, count, 0));
}

static ssize_t if_send(void *userdata, int fd, const void *buf, size_t len, int flags)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    struct shim *shim = enter(userdata);
    return leave(shim, stream_write(shim, fd, &iov, 1, flags));
}

static ssize_t if_write(void *userdata, int fd, const void *buf, size_t len)
{
    return if_send(userdata, fd, buf, len, 0);
}

static ssize_t if_sendto(void *userdata, int fd, const void *buf, size_t len, int flags,
                         const struct sockaddr *addr, socklen_t addr_len)
{
    (void)addr;
    (void)addr_len;
    return if_send(userdata, fd, buf, len, flags);
}

static ssize_t if_sendmsg(void *userdata, int fd, const struct msghdr *msg, int flags)
{
    struct shim *shim = enter(userdata);
    long result = msg->msg_controllen ? shim_unsupported(EINVAL, "sendmsg with control data")
                                      : stream_write(shim, fd, msg->msg_iov, (int)msg->msg_iovlen, flags);
    return leave(shim, result);
}

/* ---- what the stack has no equivalent of ---- */

static int not_here(const char *call)
{
    errno = -shim_unsupported(ENOSYS, "%s", call);
    return -1;
}

static int if_epoll_create(void *userdata, int size)
{
    (void)userdata;
    (void)size;
    return not_here("epoll");
}

static int if_epoll_ctl(void *userdata, int epfd, int op, int fd, struct epoll_event *event)
{
    (void)userdata;
    (void)epfd;
    (void)op;
    (void)fd;
    (void)event;
    return not_here("epoll");
}

static int if_epoll_wait(void *userdata, int epfd, struct epoll_event *events, int count, int timeout_ms)
{
    (void)userdata;
    (void)epfd;
    (void)events;
    (void)count;
    (void)timeout_ms;
    return not_here("epoll");
}

static int if_pipe(void *userdata, int fds[2])
{
    (void)userdata;
    (void)fds;
    return not_here("pipe and splice");
}

static int if_splice(void *userdata, int fd_in, loff_t *off_in, int fd_out, loff_t *off_out, size_t len,
                     unsigned int flags)
{
    (void)userdata;
    (void)fd_in;
    (void)off_in;
    (void)fd_out;
    (void)off_out;
    (void)len;
    (void)flags;
    return not_here("splice");
}

/* ---- packets and time ---- */

static int if_netdev_send(void *userdata, const void *packet, size_t len)
{
    struct shim *shim = enter(userdata);
    wire_receive(shim, packet, len);
    return (int)leave(shim, 0);
}

static struct sent_packet *take_sent(struct shim *shim)
{
    struct sent_packet *p = shim->sent;
    if (p)
        shim->sent = p->next;
    return p;
}

/* Time passes until a packet leaves.  Where none ever will, an empty one ends packetdrill's waiting with an error. */
static int if_netdev_receive(void *userdata, void *buf, size_t *len, long long *when_us)
{
    struct shim *shim = enter(userdata);
    uint64_t last_us = shim->now_us + SILENCE_US;
    while (!shim->sent && clock_next(shim) <= last_us)
        clock_advance(shim, clock_next(shim));
    struct sent_packet *p = take_sent(shim);
    size_t room = *len;
    *len = 0;
    *when_us = (long long)shim->now_us;
    if (p) {
        *len = min_size(p->len, room);
        memcpy(buf, p->data, *len);
        *when_us = (long long)p->when_us;
        free(p);
    } else {
        fprintf(stderr, "hardline: no packet leaves any more\n");
    }
    pthread_mutex_unlock(&shim->lock);
    return 0;
}

static int if_usleep(void *userdata, useconds_t us)
{
    struct shim *shim = enter(userdata);
    clock_advance(shim, shim->now_us + us);
    pthread_mutex_unlock(&shim->lock);
    return 0;
}

/* packetdrill spins for the last microseconds before an event: each look at the clock moves it, except for the one
 * that a thread takes when the call that it waited in has returned.
 */
static int if_gettimeofday(void *userdata, struct timeval *tv, struct timezone *tz)
{
    struct shim *shim = enter(userdata);
    struct waiting *w = &shim->waiting;
    (void)tz;
    if (w->state == WAITING_FOR_RETURN && !pthread_equal(pthread_self(), shim->main_thread)) {
        w->state = WAITING_NOBODY;
        pthread_cond_signal(&w->returned);
    } else {
        clock_advance(shim, shim->now_us + 1);
    }
    tv->tv_sec = (time_t)(shim->now_us / 1000000);
    tv->tv_usec = (suseconds_t)(shim->now_us % 1000000);
    pthread_mutex_unlock(&shim->lock);
    return 0;
}

/* ---- beginning and end ---- */

#define SEND_BUFFERS 8192u
#define SEND_BYTES   2048u
#define RECV_BUFFERS 128u

static struct shim *shim_open(const char *knobs)
{
    struct shim *shim = calloc(1, sizeof(*shim));
    struct sock *socks = calloc(SOCKS_MAX, sizeof(*socks));
    if (!shim || !socks)
        abort();
    shim->socks = socks;
    shim->main_thread = pthread_self();
    shim->now_us = CLOCK_START_US;
    shim->next_port = 40000;
    shim->next_isn = 1;
    shim->send_pool = pkt_heap_pool_open(SEND_BUFFERS, 0, SEND_BYTES);
    shim->recv_pool = pkt_heap_pool_open(RECV_BUFFERS, 0, PACKET_MAX);
    if (!shim->send_pool || !shim->recv_pool)
        abort();
    pthread_mutex_init(&shim->lock, NULL);
    pthread_cond_init(&shim->waiting.finished, NULL);
    pthread_cond_init(&shim->waiting.returned, NULL);
    snprintf(shim->knobs, sizeof(shim->knobs), "%s", knobs ? knobs : "");
    return shim;
}

static void if_free(void *userdata)
{
    struct shim *shim = userdata;
    for (unsigned i = 0; i < SOCKS_MAX; i++)
        if (shim->socks[i].kind == SOCK_CONNECTION)
            tcp_release(&shim->socks[i].tcb);
    for (struct sent_packet *p; (p = take_sent(shim));)
        free(p);
    pkt_heap_pool_close(shim->send_pool);
    pkt_heap_pool_close(shim->recv_pool);
    free(shim->socks);
    the_shim = NULL;
    free(shim);
}

__attribute__((visibility("default"))) void packetdrill_interface_init(const char *flags,
                                                                       struct packetdrill_interface *ifc);

/* flags: the folder of the knobs. */
void packetdrill_interface_init(const char *flags, struct packetdrill_interface *ifc)
{
    the_shim = shim_open(flags);
    *ifc = (struct packetdrill_interface){
        .userdata = the_shim,
        .free = if_free,
        .socket = if_socket,
        .bind = if_bind,
        .listen = if_listen,
        .accept = if_accept,
        .connect = if_connect,
        .read = if_read,
        .readv = if_readv,
        .recv = if_recv,
        .recvfrom = if_recvfrom,
        .recvmsg = if_recvmsg,
        .write = if_write,
        .writev = if_writev,
        .send = if_send,
        .sendto = if_sendto,
        .sendmsg = if_sendmsg,
        .fcntl = if_fcntl,
        .ioctl = if_ioctl,
        .close = if_close,
        .shutdown = if_shutdown,
        .getsockopt = if_getsockopt,
        .setsockopt = if_setsockopt,
        .poll = if_poll,
        .netdev_send = if_netdev_send,
        .netdev_receive = if_netdev_receive,
        .usleep = if_usleep,
        .gettimeofday = if_gettimeofday,
        .epoll_create = if_epoll_create,
        .epoll_ctl = if_epoll_ctl,
        .epoll_wait = if_epoll_wait,
        .pipe = if_pipe,
        .splice = if_splice,
    };
}
