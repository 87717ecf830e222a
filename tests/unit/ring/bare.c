#include "tests/unit/ring/bare.h"

#include "engine/base/clock.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int bare_dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", pair.path);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(sock, (struct sockaddr *)&to, sizeof(to)), 0);
    return sock;
}

struct ring_message bare_message(enum ring_hand_over what)
{
    return (struct ring_message){.magic = RING_MAGIC,
                                 .abi_major = RING_ABI_MAJOR,
                                 .abi_minor = RING_ABI_MINOR,
                                 .what = (uint16_t)what,
                                 .engine_epoch = 1000};
}

void bare_say(int sock, const void *bytes, size_t count)
{
    assert_int_equal(send(sock, bytes, count, MSG_NOSIGNAL), count);
    feed_server_handle(pair.server, clock_now_us());
}

struct ring_message bare_hear(int sock, int *fd)
{
    struct ring_message m = {0};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control;
    struct iovec iov = {&m, sizeof(m)};
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    feed_server_handle(pair.server, clock_now_us());
    ssize_t n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == ECONNRESET)
        n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    assert_int_equal(n, sizeof(m));
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    int fds[3] = {-1, -1, -1};
    if (c)
        memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    for (unsigned i = fd ? 1 : 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (fd)
        *fd = fds[0];
    return m;
}

void bare_hears_goodbye(int sock, enum ring_goodbye why, const char *text)
{
    struct ring_message m = bare_hear(sock, NULL);
    assert_int_equal(m.what, RING_GOODBYE);
    assert_int_equal(m.why, why);
    if (!strstr(m.text, text))
        fail_msg("\"%s\" does not say \"%s\"", m.text, text);
    char end;
    ssize_t n = recv(sock, &end, 1, MSG_DONTWAIT);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    close(sock);
}

int bare_granted(int *sock)
{
    int memfd;
    struct ring_message hello = bare_message(RING_HELLO);
    *sock = bare_dial();
    bare_say(*sock, &hello, sizeof(hello));
    assert_int_equal(bare_hear(*sock, &memfd).what, RING_GRANT);
    assert_true(memfd >= 0);
    return memfd;
}
