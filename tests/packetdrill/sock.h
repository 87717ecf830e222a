/* sock.h: one socket of a script: a listener, or a connection and what the socket interface keeps beside it. */
#ifndef TESTS_PACKETDRILL_SOCK_H
#define TESTS_PACKETDRILL_SOCK_H

#include "engine/tcp/tcb.h"
#include "tests/packetdrill/option.h"
#include "tests/packetdrill/shim.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum sock_kind {
    SOCK_FREE,
    SOCK_NEW,
    SOCK_LISTENS,
    SOCK_CONNECTION, /* has a tcb, maybe a closed one */
};

struct sock {
    struct shim *shim;
    enum sock_kind kind;
    int fd;                /* of /dev/null, for the number; -1: not accepted yet, or closed by the script */
    struct sock *listener; /* whose accept will give it out; NULL: given out */
    int domain;            /* AF_INET or AF_INET6, for addresses given out */
    bool nonblocking, shut_read, shut_write, peer_fin, connect_reported;
    int error; /* SO_ERROR */
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    struct sock_options opt;
    struct sock_times times;
    struct tcp_config config;
    struct tcb tcb;
};

/* ---- sock.c ---- */

struct sock *sock_of_fd(struct shim *shim, int fd); /* NULL: none of ours */
struct sock *sock_of_packet(struct shim *shim, const struct ip_header *ip, const struct tcp_segment *seg);
struct sock *sock_of_quote(struct shim *shim, const struct icmp *icmp);
struct sock *sock_listening(struct shim *shim, uint16_t port);

int sock_open(struct shim *shim, int domain, int type, int protocol);
int sock_bind(struct shim *shim, int fd, const struct sockaddr *addr, socklen_t len);
int sock_listen(struct shim *shim, int fd);
int sock_accept(struct shim *shim, int fd, struct sockaddr *addr, socklen_t *len);
int sock_connect(struct shim *shim, int fd, const struct sockaddr *addr, socklen_t len);
int sock_close(struct shim *shim, int fd);
int sock_shutdown(struct shim *shim, int fd, int how);
int sock_fcntl(struct shim *shim, int fd, int command, int arg);
int sock_ioctl(struct shim *shim, int fd, unsigned long request, int *value);

/* sock_spawn makes the child of a listener that a SYN has come for; NULL: no place. */
struct sock *sock_spawn(struct sock *listener, const struct ip_header *ip, const struct tcp_segment *syn);

/* sock_events takes over what has become of the connection, and gives up a socket that nobody holds any more. */
void sock_events(struct sock *sock);

/* sock_forget ends a connection that nobody holds, without a word to the peer. */
void sock_forget(struct sock *sock);

bool sock_is_open(const struct sock *sock); /* a connection that is not closed */

/* ---- stream.c ---- */

long stream_read(struct shim *shim, int fd, const struct iovec *iov, int count, int flags);
long stream_write(struct shim *shim, int fd, const struct iovec *iov, int count, int flags);
int stream_poll(struct shim *shim, struct pollfd *fds, nfds_t count, int timeout_ms);

#endif
