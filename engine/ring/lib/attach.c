/* attach.c: the hand-over: from a path to a mapped region (layout.h has the messages). */
#include "engine/ring/lib/lib.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_GRANTED 3

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int connect_to(const char *path, int timeout_ms, struct hl_error *error)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return fail(error, errno, "no socket: %s", strerror(errno));
    if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
        connect(sock, (struct sockaddr *)&to, sizeof(to)) == 0)
        return sock;
    int code = errno == EAGAIN ? ETIMEDOUT : errno;
    close_fd(&sock);
    return fail(error, code, "no engine at %s: %s: is hardlined running, and may this user use its socket?",
                path, strerror(code));
}

static void send_message(int sock, enum ring_hand_over what, uint64_t epoch, const char *text)
{
    struct ring_message m = {
        .magic = RING_MAGIC,
        .abi_major = RING_ABI_MAJOR,
        .abi_minor = RING_ABI_MINOR,
        .what = (uint16_t)what,
        .engine_epoch = epoch,
    };
    snprintf(m.text, sizeof(m.text), "%s", text);
    send(sock, &m, sizeof(m), MSG_NOSIGNAL);
}

static void take_fds(struct msghdr *header, int fds[FDS_GRANTED])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
            if (i < FDS_GRANTED && fds[i] < 0)
                fds[i] = fd;
            else
                close(fd);
        }
    }
}

static int receive(int sock, uint64_t until_us, struct ring_message *m, int fds[FDS_GRANTED])
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_GRANTED * sizeof(int))];
    } control;
    struct iovec iov = {m, sizeof(*m)};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    for (bool reset = false;;) {
        uint64_t now = clock_now_us();
        struct pollfd p = {.fd = sock, .events = POLLIN};
        int ready = now < until_us ? poll(&p, 1, (int)((until_us - now) / 1000 + 1)) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready < 0 ? -errno : -ETIMEDOUT;
        ssize_t n = recvmsg(sock, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        /* A reset may stand in front of the goodbye that explains it. */
        if (n < 0 && (errno == EAGAIN || errno == EINTR || (errno == ECONNRESET && !reset))) {
            reset |= errno == ECONNRESET;
            continue;
        }
        if (n < 0)
            return -errno;
        take_fds(&header, fds);
        return n == (ssize_t)sizeof(*m) && m->magic == RING_MAGIC ? 0 : n == 0 ? -ECONNRESET : -EPROTO;
    }
}

static int refused(const struct ring_message *m, const char *path, struct hl_error *error)
{
    static const int codes[] = {
        [RING_BYE_VERSION] = EPROTONOSUPPORT, [RING_BYE_DENIED] = EACCES,      [RING_BYE_BUSY] = EBUSY,
        [RING_BYE_PROTOCOL] = EPROTO,         [RING_BYE_SHUTDOWN] = ESHUTDOWN,
    };
    int code = m->why < ARRAY_LEN(codes) && codes[m->why] ? codes[m->why] : EPROTO;
    return fail(error, code, "the engine at %s refuses: %.*s", path,
                (int)strnlen(m->text, sizeof(m->text) - 1), m->text);
}

/* expect receives the one message that may come now. */
static int expect(struct region *region, enum ring_hand_over what, uint64_t until_us, const char *path,
                  struct ring_message *m, int fds[FDS_GRANTED], struct hl_error *error)
{
    int code = receive(region->sock, until_us, m, fds);
    if (code)
        return fail(error, -code, "the engine at %s did not complete the hand-over: %s", path,
                    strerror(-code));
    if (m->what == RING_GOODBYE)
        return refused(m, path, error);
    if (m->abi_major != RING_ABI_MAJOR)
        return fail(
            error, EPROTONOSUPPORT,
            "the engine at %s speaks version %u.%u of the feed, this library %u.%u: use those of one release",
            path, m->abi_major, m->abi_minor, RING_ABI_MAJOR, RING_ABI_MINOR);
    return m->what == what ? 0 : fail(error, EPROTO, "the engine at %s sent something unexpected", path);
}

static bool lane_is_sane(const struct ring_header *h)
{
    return is_power_of_two(h->submit_slots) && h->submit_slots <= 1u << RING_SLOT_BITS &&
           h->submit_bytes % 8 == 0 && h->submit_bytes <= 1u << 31 && h->complete_bytes % 8 == 0 &&
           h->complete_bytes <= 1u << 31 && h->submit_bytes / 2 >= h->record_bytes_max &&
           h->complete_bytes / 2 >= RING_RESULT_MAX && h->stages_at >= sizeof(struct ring_lane) &&
           h->stages_at < 1ull << 40 && h->stages_at % 8 == 0 && h->submit_at % 8 == 0 &&
           h->complete_at % 8 == 0 && h->submit_at >= h->stages_at + 8ull * h->submit_slots &&
           h->submit_at < 1ull << 40 && h->complete_at >= h->submit_at + h->submit_bytes &&
           h->complete_at < 1ull << 40 && h->lane_bytes >= h->complete_at + h->complete_bytes &&
           h->lane_bytes < 1ull << 41;
}

static bool head_is_sane(const struct ring_header *h, uint64_t bytes)
{
    return h->magic == RING_MAGIC && h->abi_major == RING_ABI_MAJOR && h->region_bytes <= bytes &&
           h->lanes >= 1 && h->lanes <= RING_LANES_MAX && h->recipients_max >= 1 &&
           h->record_bytes_max >= RING_RECORD_MIN && h->job_head_bytes >= sizeof(struct ring_job) &&
           h->job_head_bytes % 8 == 0 && h->job_head_bytes <= RING_HEAD_MAX &&
           h->result_head_bytes >= sizeof(struct ring_result) && h->result_head_bytes % 8 == 0 &&
           h->result_head_bytes <= RING_HEAD_MAX && lane_is_sane(h) && h->lanes_offset >= sizeof(*h) &&
           h->lanes_offset < 1ull << 40 && h->lanes_offset % RING_ALIGN == 0 &&
           h->lane_bytes % RING_ALIGN == 0 && h->arena_offset >= h->lanes_offset + h->lane_bytes * h->lanes &&
           h->arena_offset <= h->region_bytes && h->arena_bytes <= h->region_bytes - h->arena_offset;
}

static int map(struct region *region, int memfd, struct hl_error *error)
{
    struct stat st;
    if (fstat(memfd, &st) < 0 || st.st_size < (off_t)sizeof(struct ring_header))
        return fail(error, EPROTO, "the engine gave no shared memory");
    region->bytes = (size_t)st.st_size;
    region->base = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (region->base == MAP_FAILED) {
        region->base = NULL;
        return fail(error, errno, "cannot map the engine's %zu bytes: %s", region->bytes, strerror(errno));
    }
    /* Mail stays out of core dumps, and a forked child does not keep the feed alive. */
    madvise(region->base, region->bytes, MADV_DONTDUMP);
    madvise(region->base, region->bytes, MADV_DONTFORK);
    region->shared = (struct ring_header *)region->base;
    memcpy(&region->head, region->base, sizeof(region->head));
    return head_is_sane(&region->head, region->bytes)
               ? 0
               : fail(error, EPROTO,
                      "the engine's shared memory is laid out as nothing that this library knows");
}

static int make_lane(struct region *region, uint32_t number)
{
    const struct ring_header *h = &region->head;
    struct lane *lane = &region->lane[number];
    uint8_t *at = region->base + h->lanes_offset + number * h->lane_bytes;
    lane->shared = (struct ring_lane *)at;
    lane->stages = (_Atomic uint64_t *)(at + h->stages_at);
    lane->out = (struct stream){.base = at + h->submit_at, .bytes = h->submit_bytes};
    lane->in = (struct stream){.base = at + h->complete_at, .bytes = h->complete_bytes};
    lane->job = calloc(h->submit_slots, sizeof(*lane->job));
    lane->free_slot = calloc(h->submit_slots, sizeof(*lane->free_slot));
    if (!lane->job || !lane->free_slot)
        return -ENOMEM;
    for (uint32_t i = h->submit_slots; i-- > 0;) /* the lowest is used first and stays in the cache */
        lane->free_slot[lane->free_count++] = i;
    return 0;
}

static int prepare(struct region *region, struct hl_error *error)
{
    region->lane = calloc(region->head.lanes, sizeof(*region->lane));
    bool made = region->lane && arena_open(&region->arena, region->head.arena_bytes);
    for (uint32_t i = 0; made && i < region->head.lanes; i++)
        made = make_lane(region, i) == 0;
    return made ? 0 : fail(error, ENOMEM, "out of memory for the bookkeeping of a feed");
}

int region_adopt(struct region *region, int memfd, struct hl_error *error)
{
    int code = map(region, memfd, error);
    return code ? code : prepare(region, error);
}

static int hand_over(struct region *region, const hl_feed *feed, uint64_t until_us, int *memfd,
                     struct hl_error *error)
{
    struct ring_message m = {0};
    int fds[FDS_GRANTED] = {-1, -1, -1}, none[FDS_GRANTED] = {-1, -1, -1};
    send_message(region->sock, RING_HELLO, 0, feed->name); /* an engine that hung up has said why */
    int code = expect(region, RING_GRANT, until_us, feed->socket_path, &m, fds, error);
    *memfd = fds[0];
    region->wake_engine = fds[1];
    region->wake_producer = fds[2];
    if (code)
        return code;
    if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
        return fail(error, EMFILE,
                    "the engine's descriptors did not arrive: has this process too many open?");
    if ((code = region_adopt(region, *memfd, error)))
        return code;
    send_message(region->sock, RING_MAPPED, m.engine_epoch, "");
    return expect(region, RING_READY, until_us, feed->socket_path, &m, none, error);
}

int region_open(struct region *region, const hl_feed *feed, int timeout_ms, struct hl_error *error)
{
    uint64_t until_us = clock_now_us() + (uint64_t)timeout_ms * 1000;
    int memfd = -1;
    memset(region, 0, sizeof(*region));
    region->sock = region->wake_engine = region->wake_producer = -1;
    int sock = connect_to(feed->socket_path, timeout_ms, error);
    if (sock < 0)
        return sock;
    region->sock = sock;
    int code = hand_over(region, feed, until_us, &memfd, error);
    close_fd(&memfd);
    if (code)
        region_close(region, false);
    return code;
}

void region_close(struct region *region, bool wipe)
{
    for (uint32_t i = 0; region->lane && i < region->head.lanes; i++) {
        free(region->lane[i].job);
        free(region->lane[i].free_slot);
    }
    free(region->lane);
    arena_close(&region->arena);
    if (region->base) {
        if (wipe)
            explicit_bzero(region->base, region->bytes);
        munmap(region->base, region->bytes);
    }
    close_fd(&region->sock);
    close_fd(&region->wake_engine);
    close_fd(&region->wake_producer);
    memset(region, 0, sizeof(*region));
    region->sock = region->wake_engine = region->wake_producer = -1;
}
