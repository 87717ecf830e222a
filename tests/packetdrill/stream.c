/* stream.c: reading, writing and poll. */
#include "tests/packetdrill/sock.h"

#include <errno.h>

#define FLAGS_WITHOUT_EFFECT (MSG_DONTWAIT | MSG_NOSIGNAL)

static bool at_end(const struct sock *s)
{
    return s->peer_fin || s->shut_read || !sock_is_open(s);
}

static int take_error(struct sock *s)
{
    int error = s->error;
    s->error = 0;
    return -error;
}

/* ---- reading ---- */

struct read_call {
    struct sock *s;
    const struct iovec *iov;
    int count;
};

static long copy_out(struct tcb *tcb, uint8_t *to, size_t room)
{
    size_t done = 0, len;
    const uint8_t *from;
    while (done < room && (from = tcp_read_peek(tcb, &len))) {
        len = min_size(len, room - done);
        memcpy(to + done, from, len);
        tcp_read_consume(tcb, len);
        done += len;
    }
    return (long)done;
}

static long try_read(struct shim *shim, void *arg)
{
    (void)shim;
    const struct read_call *call = arg;
    struct sock *s = call->s;
    size_t waiting;
    if (!tcp_read_peek(&s->tcb, &waiting)) {
        if (s->error)
            return take_error(s);
        return at_end(s) ? 0 : -EAGAIN;
    }
    long done = 0;
    for (int i = 0; i < call->count; i++) {
        if (!call->iov[i].iov_base && call->iov[i].iov_len)
            return done ? done : -EFAULT;
        done += copy_out(&s->tcb, call->iov[i].iov_base, call->iov[i].iov_len);
    }
    return done;
}

long stream_read(struct shim *shim, int fd, const struct iovec *iov, int count, int flags)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    if (flags & ~FLAGS_WITHOUT_EFFECT)
        return shim_unsupported(EINVAL, "receive flags 0x%x", (unsigned)flags);
    if (s->kind != SOCK_CONNECTION)
        return -ENOTCONN;
    struct read_call call = {.s = s, .iov = iov, .count = count};
    if (s->nonblocking || (flags & MSG_DONTWAIT))
        return try_read(shim, &call);
    return clock_wait(shim, try_read, &call, DEADLINE_NEVER);
}

/* ---- writing ---- */

struct write_call {
    struct sock *s;
    const struct iovec *iov;
    int count;
    int at;      /* the vector that is being written */
    size_t done; /* of it */
    long total;
};

static bool write_some(struct write_call *call)
{
    const struct iovec *v = &call->iov[call->at];
    size_t room;
    uint8_t *to = tcp_write_reserve(&call->s->tcb, &room);
    if (!to)
        return false;
    room = min_size(room, v->iov_len - call->done);
    memcpy(to, (const uint8_t *)v->iov_base + call->done, room);
    tcp_write_commit(&call->s->tcb, room);
    call->done += room;
    call->total += (long)room;
    return true;
}

static bool may_write(const struct sock *s)
{
    return sock_is_open(s) && !s->shut_write;
}

static long try_write(struct shim *shim, void *arg)
{
    (void)shim;
    struct write_call *call = arg;
    while (call->at < call->count) {
        const struct iovec *v = &call->iov[call->at];
        if (call->done == v->iov_len) {
            call->at++;
            call->done = 0;
            continue;
        }
        if (!may_write(call->s))
            return call->total ? call->total : call->s->error ? take_error(call->s) : -EPIPE;
        if (!v->iov_base)
            return call->total ? call->total : -EFAULT;
        if (!write_some(call))
            return -EAGAIN;
    }
    return call->total;
}

long stream_write(struct shim *shim, int fd, const struct iovec *iov, int count, int flags)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return -EBADF;
    if (flags & ~FLAGS_WITHOUT_EFFECT)
        return shim_unsupported(EINVAL, "send flags 0x%x", (unsigned)flags);
    if (s->kind != SOCK_CONNECTION)
        return -EPIPE;
    struct write_call call = {.s = s, .iov = iov, .count = count};
    if (!s->nonblocking && !(flags & MSG_DONTWAIT))
        return clock_wait(shim, try_write, &call, DEADLINE_NEVER);
    long result = try_write(shim, &call);
    return result == -EAGAIN && call.total ? call.total : result;
}

/* ---- poll ---- */

struct poll_call {
    struct pollfd *fds;
    nfds_t count;
};

static bool can_accept(struct shim *shim, const struct sock *listener)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++) {
        const struct sock *s = &shim->socks[i];
        if (s->kind == SOCK_CONNECTION && s->listener == listener && tcp_state(&s->tcb) != TCP_SYN_RECEIVED)
            return true;
    }
    return false;
}

static short connection_events(struct sock *s)
{
    size_t len;
    unsigned events = 0;
    bool open = sock_is_open(s);
    bool connecting = open && tcp_state(&s->tcb) < TCP_ESTABLISHED;
    if (tcp_read_peek(&s->tcb, &len) || (at_end(s) && !connecting))
        events |= POLLIN | POLLRDNORM;
    if (!connecting && (!may_write(s) || tcp_write_space(&s->tcb) > 0))
        events |= POLLOUT | POLLWRNORM;
    if (s->error)
        events |= POLLERR;
    if (!open || (at_end(s) && s->shut_write))
        events |= POLLHUP;
    if (at_end(s) && !connecting)
        events |= POLLRDHUP;
    return (short)events;
}

static short events_of(struct shim *shim, int fd)
{
    struct sock *s = sock_of_fd(shim, fd);
    if (!s)
        return POLLNVAL;
    switch (s->kind) {
    case SOCK_LISTENS: return can_accept(shim, s) ? POLLIN | POLLRDNORM : 0;
    case SOCK_CONNECTION: return connection_events(s);
    default: return POLLOUT | POLLHUP;
    }
}

static long try_poll(struct shim *shim, void *arg)
{
    const struct poll_call *call = arg;
    long ready = 0;
    for (nfds_t i = 0; i < call->count; i++) {
        struct pollfd *f = &call->fds[i];
        f->revents =
            f->fd < 0 ? 0 : (short)(events_of(shim, f->fd) & (f->events | POLLERR | POLLHUP | POLLNVAL));
        ready += f->revents != 0;
    }
    return ready ? ready : -EAGAIN;
}

int stream_poll(struct shim *shim, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct poll_call call = {.fds = fds, .count = count};
    if (timeout_ms == 0) {
        long ready = try_poll(shim, &call);
        return ready == -EAGAIN ? 0 : (int)ready;
    }
    uint64_t deadline_us = timeout_ms < 0 ? DEADLINE_NEVER : shim->now_us + (uint64_t)timeout_ms * 1000;
    return (int)clock_wait(shim, try_poll, &call, deadline_us);
}
