/* rogue: a producer that breaks the rules on purpose.
 *
 *     rogue --socket PATH MODE [SECONDS]
 *
 * Says `did MODE` once the rule is broken and `gone: WHY` when the engine lets go of it; ends after SECONDS (2).
 */
#include "engine/ring/lib/lib.h"

#include "engine/base/clock.h"
#include "engine/base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static hl_feed *feed;
static const char *path;
static uint64_t until_us;

static struct hl_job sound_job(void)
{
    static struct hl_recipient to;
    static struct hl_part part;
    to.address = hl_str("rogue@rogue.example");
    part = hl_copy_of("Subject: r\r\n\r\nr\r\n", 17);
    struct hl_job job = hl_job_init();
    job.sender = hl_str("rogue@example.com");
    job.recipients = &to;
    job.recipients_count = 1;
    job.parts = &part;
    job.parts_count = 1;
    return job;
}

static bool in_time(void)
{
    return clock_now_us() < until_us;
}

static struct lane *lane(void)
{
    for (uint32_t i = 0; i < feed->region.head.lanes; i++)
        if (feed->region.lane[i].out.position)
            return &feed->region.lane[i];
    return &feed->region.lane[0];
}

/* A sound job that is not published: the caller spoils it, then publishes. */
static struct ring_job *hold_job(void)
{
    struct hl_job job = sound_job();
    uint32_t batches;
    struct hl_error error;
    if (split(feed, &job, &batches, &error) != 0)
        exit(1);
    struct lane *l = &feed->region.lane[feed->batch[0].lane];
    uint32_t bytes = feed->batch[0].record_bytes;
    struct ring_lane *real = l->shared;
    static struct ring_lane aside;
    l->shared = &aside;
    if (hl_submit(feed, &job, &error) != 0)
        exit(1);
    l->shared = real;
    return (struct ring_job *)(l->out.base + l->out.at - bytes);
}

static void publish_all(void)
{
    feed->unpublished = feed->region.head.lanes < 64 ? (1ull << feed->region.head.lanes) - 1 : UINT64_MAX;
    publish(feed);
}

/* ---- modes ---- */

static void jump_submit(void)
{
    struct lane *l = lane();
    l->out.position += l->out.bytes + 8;
    publish_all();
}

/* The engine looks at the index now and then. */
static void jump_complete(void)
{
    struct hl_result r[16];
    while (in_time() && !engine_is_gone(feed)) {
        struct hl_job job = sound_job();
        hl_submit(feed, &job, NULL);
        hl_reap(feed, r, 16, NULL);
        atomic_store(&lane()->shared->complete_head, UINT64_MAX / 2);
    }
}

static void slot_outside(void)
{
    hold_job()->id |= RING_SLOT_MASK;
    publish_all();
}

static void record_outside(void)
{
    hold_job()->bytes += 8;
    publish_all();
}

static void record_wraps(void)
{
    hold_job()->bytes = UINT32_MAX - 7;
    publish_all();
}

static void many_recipients(void)
{
    hold_job()->recipients = UINT32_MAX;
    publish_all();
}

static void no_recipients(void)
{
    hold_job()->recipients = 0;
    publish_all();
}

/* These three are refused, each with its result, and the feed stays. */
static void refused(void)
{
    struct hl_result r;
    struct hl_error error;
    publish_all();
    while (in_time()) {
        hl_wait(feed, 100, NULL);
        if (hl_reap(feed, &r, 1, &error) == 1) {
            printf("result %s %s: %s\n", hl_verdict_name(r.verdict), hl_reason_name(r.reason), r.text);
            return;
        }
    }
}

static void extent_outside(void)
{
    ((struct ring_extent *)(hold_job() + 1))->offset = 64;
    refused();
}

static void extent_wraps(void)
{
    ((struct ring_extent *)(hold_job() + 1))->offset = UINT64_MAX - 7;
    refused();
}

static void bare_address(void)
{
    struct ring_job *job = hold_job();
    uint8_t *address = memmem(job, job->bytes, "rogue@rogue.example", 19);
    memcpy(address, "a\r\nDATA\r\n", 9);
    refused();
}

static _Atomic bool flipping;

static void flip_in(uint8_t *base)
{
    for (size_t at = 0; at < 4096; at++)
        base[at] ^= base[at] == 'r' || base[at] == ('r' ^ 0x7f) ? 0x7f : 0;
}

static void *flip(void *arg)
{
    (void)arg;
    while (atomic_load(&flipping)) {
        flip_in(feed->region.base + feed->region.head.arena_offset);
        for (uint32_t i = 0; i < feed->region.head.lanes; i++)
            flip_in(feed->region.lane[i].out.base);
    }
    return NULL;
}

/* Bytes change while the engine copies and checks: 'r' is a CR's neighbour half of the time. */
static void change_after_submission(void)
{
    pthread_t thread;
    atomic_store(&flipping, true);
    pthread_create(&thread, NULL, flip, NULL);
    for (unsigned i = 0; i < 50000 && in_time(); i++) {
        struct hl_job job = sound_job();
        struct hl_result r[16];
        hl_submit(feed, &job, NULL);
        hl_reap(feed, r, 16, NULL);
    }
    atomic_store(&flipping, false);
    pthread_join(thread, NULL);
}

/* Everything in the region, again and again. */
static void scribble(void)
{
    struct rand_source random;
    rand_seed(&random, clock_now_us());
    size_t lanes = (size_t)feed->region.head.arena_offset + 65536;
    while (in_time()) {
        for (unsigned i = 0; i < 100000; i++)
            feed->region.base[rand_u64(&random) % lanes] = (uint8_t)rand_u64(&random);
        if (engine_is_gone(feed))
            return;
    }
}

/* Submits and never reaps: the completion ring fills. */
static void never_reap(void)
{
    struct hl_job job = sound_job();
    unsigned accepted = 0;
    for (; in_time(); usleep(1000))
        while (hl_submit(feed, &job, NULL) == 0)
            accepted++;
    printf("accepted %u\n", accepted);
}

static void out_of_turn(void)
{
    send(feed->region.sock, "hello?", 6, MSG_NOSIGNAL);
}

static void ring_without_end(void)
{
    uint64_t most = UINT64_MAX - 1, one = 1;
    ssize_t n = write(feed->region.wake_engine, &most, sizeof(most));
    while (in_time())
        n = write(feed->region.wake_engine, &one, sizeof(one));
    (void)n;
}

/* ---- without the library: the hand-over by hand ---- */

static int dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return connect(sock, (struct sockaddr *)&to, sizeof(to)) == 0 ? sock : -1;
}

static void greet(int sock, uint16_t major)
{
    struct ring_message m = {.magic = RING_MAGIC, .abi_major = major, .what = RING_HELLO};
    send(sock, &m, sizeof(m), MSG_NOSIGNAL);
}

static int take_memfd(int sock)
{
    struct ring_message m;
    int fds[3] = {-1, -1, -1};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control;
    struct iovec iov = {&m, sizeof(m)};
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    if (recvmsg(sock, &h, 0) != (ssize_t)sizeof(m) || !CMSG_FIRSTHDR(&h))
        exit(1);
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(fds));
    struct ring_message mapped = {.magic = RING_MAGIC,
                                  .abi_major = RING_ABI_MAJOR,
                                  .what = RING_MAPPED,
                                  .engine_epoch = m.engine_epoch};
    send(sock, &mapped, sizeof(mapped), MSG_NOSIGNAL);
    recv(sock, &m, sizeof(m), 0);
    printf("answer %u %s\n", m.what, m.text);
    return fds[0];
}

static void punch_holes(void)
{
    int sock = dial();
    greet(sock, RING_ABI_MAJOR);
    int memfd = take_memfd(sock);
    int punched = fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20);
    printf("punch %s\n", punched == 0 ? "done" : strerror(errno));
    printf("truncate %s\n", ftruncate(memfd, 0) == 0 ? "done" : strerror(errno));
    usleep(300000);
}

static void wrong_version(void)
{
    struct ring_message m;
    int sock = dial();
    greet(sock, 99);
    recv(sock, &m, sizeof(m), 0);
    printf("answer %u %s\n", m.what, m.text);
}

static void hang_up_in_hand_over(void)
{
    for (unsigned i = 0; i < 200; i++) {
        int sock = dial();
        if (i % 2)
            greet(sock, RING_ABI_MAJOR);
        close(sock);
    }
}

static const struct mode {
    const char *name;
    void (*run)(void);
    bool attached;
} modes[] = {
    {"jump-submit", jump_submit, true},
    {"jump-complete", jump_complete, true},
    {"slot-outside", slot_outside, true},
    {"record-outside", record_outside, true},
    {"record-wraps", record_wraps, true},
    {"many-recipients", many_recipients, true},
    {"no-recipients", no_recipients, true},
    {"extent-outside", extent_outside, true},
    {"extent-wraps", extent_wraps, true},
    {"bare-address", bare_address, true},
    {"change-after-submission", change_after_submission, true},
    {"scribble", scribble, true},
    {"never-reap", never_reap, true},
    {"out-of-turn", out_of_turn, true},
    {"ring-without-end", ring_without_end, true},
    {"punch-holes", punch_holes, false},
    {"wrong-version", wrong_version, false},
    {"hang-up-in-hand-over", hang_up_in_hand_over, false},
};

static void await_end(void)
{
    for (; in_time(); usleep(2000))
        if (engine_is_gone(feed)) {
            printf("gone: %s\n", feed->goodbye);
            return;
        }
    puts("still attached");
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 64;
    path = argv[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    until_us = clock_now_us() + (argc > 4 ? strtoull(argv[4], NULL, 10) : 2) * 1000000u;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (strcmp(modes[i].name, argv[3]) != 0)
            continue;
        struct hl_attach attach = hl_attach_init();
        struct hl_error error;
        attach.socket_path = path;
        if (modes[i].attached && hl_feed_attach(&feed, &attach, &error) != 0) {
            printf("no feed: %s\n", error.text);
            return 1;
        }
        modes[i].run();
        printf("did %s\n", argv[3]);
        if (modes[i].attached)
            await_end();
        return 0;
    }
    return 64;
}
