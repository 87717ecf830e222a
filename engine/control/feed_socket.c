#include "engine/control/feed_socket.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FDS_MAX 4

bool feed_socket_peer(int sock, struct feed_peer *peer)
{
    struct ucred cred;
    socklen_t bytes = sizeof(cred);
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) < 0)
        return false;
    *peer = (struct feed_peer){.uid = cred.uid, .gid = cred.gid, .pid = (uint32_t)cred.pid, .name = ""};
    return true;
}

static struct ring_message message(enum ring_hand_over what, uint64_t epoch)
{
    return (struct ring_message){
        .magic = RING_MAGIC,
        .abi_major = RING_ABI_MAJOR,
        .abi_minor = RING_ABI_MINOR,
        .what = (uint16_t)what,
        .engine_epoch = epoch,
    };
}

static bool send_message(int sock, const struct ring_message *m)
{
    return send(sock, m, sizeof(*m), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*m);
}

bool feed_socket_grant(int sock, uint64_t epoch, const int *fds, size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control = {.bytes = {0}};
    struct ring_message m = message(RING_GRANT, epoch);
    struct iovec iov = {&m, sizeof(m)};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    assert(count <= FDS_MAX);
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    return sendmsg(sock, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(m);
}

bool feed_socket_ready(int sock, uint64_t epoch)
{
    struct ring_message m = message(RING_READY, epoch);
    return send_message(sock, &m);
}

void feed_socket_goodbye(int sock, enum ring_goodbye why, const char *text)
{
    struct ring_message m = message(RING_GOODBYE, 0);
    m.why = (uint16_t)why;
    snprintf(m.text, sizeof(m.text), "%s", text);
    send_message(sock, &m);
}

void feed_socket_name(char *out, size_t cap, const struct ring_message *hello)
{
    size_t n = strnlen(hello->text, min_size(cap - 1, sizeof(hello->text)));
    for (size_t i = 0; i < n; i++)
        out[i] = hello->text[i] >= ' ' && hello->text[i] <= '~' ? hello->text[i] : '?';
    out[n] = 0;
}
