/* tcp_linux.c: the kernel's TCP as peer of tcp_flows: a bulk sender and a sink, plain sockets.
 *
 *     tcp_linux send ADDRESS PORT FLOWS SECONDS     sends on FLOWS connections for SECONDS, prints JSON
 *     tcp_linux serve ADDRESS PORT FLOWS SECONDS    accepts FLOWS connections and sends on them
 *     tcp_linux sink ADDRESS PORT                   accepts connections and reads, until SIGTERM
 *     tcp_linux fetch ADDRESS PORT FLOWS            opens connections and reads until they end
 *     tcp_linux echo ADDRESS PORT                   answers with what comes, closes when the peer does, until SIGTERM
 *     tcp_linux rate ADDRESS PORT FLOWS REQUESTS SECONDS   FLOWS connections at a time of REQUESTS requests each (tcp_rate.c)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX 1024
#define CHUNK     (256 << 10)
#define REQUEST   64 /* bytes, and as many of an answer */

static volatile sig_atomic_t stopping;
static char chunk[CHUNK];

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "tcp_linux: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_storage address(const char *addr, const char *port, socklen_t *len)
{
    struct sockaddr_storage s = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&s;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s;
    if (inet_pton(AF_INET, addr, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)atoi(port));
        *len = sizeof(*v4);
    } else if (inet_pton(AF_INET6, addr, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)atoi(port));
        *len = sizeof(*v6);
    } else {
        fail(addr);
    }
    return s;
}

/* The machine's default may be another: the peer of a comparison is CUBIC. */
static void use_cubic(int fd)
{
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0)
        fail("TCP_CONGESTION cubic");
}

static int connect_to(char **argv)
{
    socklen_t len;
    struct sockaddr_storage to = address(argv[2], argv[3], &len);
    int fd = socket(to.ss_family, SOCK_STREAM, 0);
    use_cubic(fd);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, len) != 0)
        fail("connect");
    return fd;
}

static int listen_on(char **argv)
{
    socklen_t len;
    int on = 1;
    struct sockaddr_storage at = address(argv[2], argv[3], &len);
    int fd = socket(at.ss_family, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    use_cubic(fd);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, FLOWS_MAX) != 0)
        fail("listen");
    printf("ready\n");
    fflush(stdout);
    return fd;
}

static void report(const int *fd, int flows, double seconds)
{
    uint64_t acked = 0, retransmits = 0, rtt_us = 0;
    for (int i = 0; i < flows; i++) {
        struct tcp_info info;
        socklen_t len = sizeof(info);
        if (getsockopt(fd[i], IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
            fail("TCP_INFO");
        acked += info.tcpi_bytes_acked;
        retransmits += info.tcpi_total_retrans;
        rtt_us += info.tcpi_rtt;
    }
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf(
        "{\"flows\": %d, \"seconds\": %.3f, \"bytes\": %llu, \"mbit_s\": %.3f, \"retransmits\": %llu, \"rtt_us\": %llu, \"cpu_s\": %.3f}\n",
        flows, seconds, (unsigned long long)acked, (double)acked * 8 / seconds / 1e6,
        (unsigned long long)retransmits, (unsigned long long)(rtt_us / (uint64_t)flows),
        (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
            (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
}

static void send_on(const int *fd, int flows, double seconds)
{
    struct pollfd p[FLOWS_MAX];
    double began = now_s();
    for (int i = 0; i < flows; i++) {
        fcntl(fd[i], F_SETFL, O_NONBLOCK);
        p[i] = (struct pollfd){.fd = fd[i], .events = POLLOUT};
    }
    printf("begun\n");
    fflush(stdout);
    while (!stopping && now_s() < began + seconds) {
        poll(p, (nfds_t)flows, 20);
        for (int i = 0; i < flows; i++)
            if (p[i].revents & POLLOUT)
                while (send(fd[i], chunk, CHUNK, MSG_NOSIGNAL) == CHUNK)
                    ;
    }
    report(fd, flows, now_s() - began);
}

static void read_all(struct pollfd *p, int flows)
{
    for (int i = 0; i < flows; i++) {
        if (!(p[i].revents & (POLLIN | POLLHUP | POLLERR)))
            continue;
        ssize_t got = recv(p[i].fd, chunk, CHUNK, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            close(p[i].fd);
            p[i].fd = -1;
        }
    }
}

static void sink(char **argv)
{
    int listener = listen_on(argv);
    static struct pollfd p[FLOWS_MAX + 1];
    int flows = 0;
    p[FLOWS_MAX] = (struct pollfd){.fd = listener, .events = POLLIN};
    fcntl(listener, F_SETFL, O_NONBLOCK);
    while (!stopping) {
        int fd = flows < FLOWS_MAX ? accept(listener, NULL, NULL) : -1;
        if (fd >= 0) {
            p[flows++] = (struct pollfd){.fd = fd, .events = POLLIN};
            continue;
        }
        struct pollfd all[FLOWS_MAX + 1];
        memcpy(all, p, (size_t)flows * sizeof(*p));
        all[flows] = p[FLOWS_MAX];
        poll(all, (nfds_t)flows + 1, 100);
        read_all(all, flows);
        memcpy(p, all, (size_t)flows * sizeof(*p));
    }
    close(listener);
}

static void fetch(const int *fd, int flows)
{
    struct pollfd p[FLOWS_MAX];
    for (int i = 0; i < flows; i++)
        p[i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
    for (int open = flows; open > 0 && !stopping;) {
        poll(p, (nfds_t)flows, 100);
        read_all(p, flows);
        open = 0;
        for (int i = 0; i < flows; i++)
            open += p[i].fd >= 0;
    }
}

/* ---- small requests, short connections ---- */

static void add_to(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
}

static struct {
    struct sockaddr_storage to;
    socklen_t to_bytes;
    unsigned long requests, connections, answered, failed;
    unsigned left[1 << 16]; /* requests to come, by file */
} rate;

static void answer(int fd)
{
    ssize_t got = recv(fd, chunk, CHUNK, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    rate.answered += got > 0 ? (unsigned long)got / REQUEST : 0;
    if (got > 0 && send(fd, chunk, (size_t)got, MSG_NOSIGNAL) == got)
        return;
    rate.connections++;
    close(fd);
}

static void report_rate(double seconds)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    double user_s = (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6;
    double kernel_s = (double)use.ru_stime.tv_sec + (double)use.ru_stime.tv_usec / 1e6;
    printf(
        "{\"connections\": %lu, \"requests\": %lu, \"failed\": %lu, \"seconds\": %.3f, \"cpu_s\": %.3f, \"kernel_share\": %.3f}\n",
        rate.connections, rate.answered, rate.failed, seconds, user_s + kernel_s,
        user_s + kernel_s > 0 ? kernel_s / (user_s + kernel_s) : 0);
}

static void echo(char **argv)
{
    int listener = listen_on(argv), epoll = epoll_create1(0);
    struct epoll_event event[256];
    double began = now_s();
    add_to(epoll, listener, EPOLLIN);
    while (!stopping) {
        int count = epoll_wait(epoll, event, 256, 100);
        for (int i = 0; i < count; i++) {
            if (event[i].data.fd != listener) {
                answer(event[i].data.fd);
                continue;
            }
            for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;)
                add_to(epoll, fd, EPOLLIN);
        }
    }
    report_rate(now_s() - began);
}

static void begin_one(int epoll)
{
    int fd = socket(rate.to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || fd >= 1 << 16)
        fail("socket");
    rate.left[fd] = (unsigned)rate.requests;
    if (connect(fd, (struct sockaddr *)&rate.to, rate.to_bytes) != 0 && errno != EINPROGRESS)
        fail("connect");
    add_to(epoll, fd, EPOLLOUT);
}

/* False: this connection is over. */
static bool go_on(int epoll, const struct epoll_event *event)
{
    int fd = event->data.fd;
    char part[REQUEST];
    if (event->events & EPOLLOUT) {
        struct epoll_event next = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &next);
    } else {
        if (recv(fd, part, sizeof(part), 0) != REQUEST) {
            rate.failed++;
            return false;
        }
        rate.answered++;
        if (--rate.left[fd] == 0) {
            rate.connections++;
            return false;
        }
    }
    if (send(fd, chunk, REQUEST, MSG_NOSIGNAL) == REQUEST)
        return true;
    rate.failed++;
    return false;
}

static void run_rate(char **argv)
{
    struct epoll_event event[256];
    int epoll = epoll_create1(0), flows = atoi(argv[4]);
    double began = now_s(), seconds = atof(argv[6]);
    rate.to = address(argv[2], argv[3], &rate.to_bytes);
    rate.requests = strtoul(argv[5], NULL, 10);
    for (int i = 0; i < flows; i++)
        begin_one(epoll);
    while (!stopping && now_s() < began + seconds) {
        int count = epoll_wait(epoll, event, 256, 20);
        for (int i = 0; i < count; i++)
            if (!go_on(epoll, &event[i])) {
                close(event[i].data.fd);
                begin_one(epoll);
            }
    }
    report_rate(now_s() - began);
}

int main(int argc, char **argv)
{
    static int fd[FLOWS_MAX];
    const char *what = argc >= 4 ? argv[1] : "";
    int flows = argc > 4 ? atoi(argv[4]) : 1;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    if (flows < 1 || flows > FLOWS_MAX)
        return 2;
    if (strcmp(what, "echo") == 0) {
        echo(argv);
    } else if (strcmp(what, "rate") == 0 && argc == 7) {
        run_rate(argv);
    } else if (strcmp(what, "sink") == 0) {
        sink(argv);
    } else if (strcmp(what, "send") == 0 && argc == 6) {
        for (int i = 0; i < flows; i++)
            fd[i] = connect_to(argv);
        send_on(fd, flows, atof(argv[5]));
    } else if (strcmp(what, "serve") == 0 && argc == 6) {
        int listener = listen_on(argv);
        for (int i = 0; i < flows; i++)
            if ((fd[i] = accept(listener, NULL, NULL)) < 0)
                fail("accept");
        send_on(fd, flows, atof(argv[5]));
    } else if (strcmp(what, "fetch") == 0) {
        for (int i = 0; i < flows; i++)
            fd[i] = connect_to(argv);
        fetch(fd, flows);
    } else {
        fprintf(stderr, "usage: see the head of bench/tcp_linux.c\n");
        return 2;
    }
    return 0;
}
