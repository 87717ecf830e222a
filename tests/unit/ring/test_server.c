/* The hand-over: who is refused, with what words, and what the seals keep a producer from. */
#include "engine/base/clock.h"
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/pair.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct pair pair;

static int serve_pair(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    memset(&pair, 0, sizeof(pair));
    pair_serve(&pair, &shape);
    return 0;
}

static int close_pair(void **state)
{
    (void)state;
    pair_close(&pair);
    return 0;
}

/* ---- a producer made of bare messages ---- */

static int dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", pair.path);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(sock, (struct sockaddr *)&to, sizeof(to)), 0);
    return sock;
}

static struct ring_message message(enum ring_hand_over what)
{
    return (struct ring_message){.magic = RING_MAGIC,
                                 .abi_major = RING_ABI_MAJOR,
                                 .abi_minor = RING_ABI_MINOR,
                                 .what = (uint16_t)what,
                                 .engine_epoch = 1000};
}

static void say(int sock, const void *bytes, size_t count)
{
    assert_int_equal(send(sock, bytes, count, MSG_NOSIGNAL), count);
    feed_server_handle(pair.server, clock_now_us());
}

/* hear gives what the server answers, and the first descriptor with it, or -1. */
static struct ring_message hear(int sock, int *fd)
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

static void hears_goodbye(int sock, enum ring_goodbye why, const char *text)
{
    struct ring_message m = hear(sock, NULL);
    assert_int_equal(m.what, RING_GOODBYE);
    assert_int_equal(m.why, why);
    if (!strstr(m.text, text))
        fail_msg("\"%s\" does not say \"%s\"", m.text, text);
    char end;
    ssize_t n = recv(sock, &end, 1, MSG_DONTWAIT);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    close(sock);
}

static int granted(int *sock)
{
    int memfd;
    struct ring_message hello = message(RING_HELLO);
    *sock = dial();
    say(*sock, &hello, sizeof(hello));
    assert_int_equal(hear(*sock, &memfd).what, RING_GRANT);
    assert_true(memfd >= 0);
    return memfd;
}

/* ---- refusals ---- */

static void another_major_is_refused_and_both_are_named(void **state)
{
    (void)state;
    struct ring_message m = message(RING_HELLO);
    m.abi_major = 1; /* that of the first releases */
    m.abi_minor = 7;
    int sock = dial();
    say(sock, &m, sizeof(m));
    hears_goodbye(sock, RING_BYE_VERSION, "the producer speaks version 1.7 of the feed, this engine 2.0");
}

static void another_minor_is_welcome(void **state)
{
    (void)state;
    struct ring_message m = message(RING_HELLO);
    m.abi_minor = 7;
    int sock = dial();
    say(sock, &m, sizeof(m));
    assert_int_equal(hear(sock, NULL).what, RING_GRANT);
    close(sock);
}

static void garbage_is_refused(void **state)
{
    (void)state;
    struct ring_message m = message(RING_HELLO);
    int sock = dial();
    say(sock, "EHLO example.org\r\n", 18);
    hears_goodbye(sock, RING_BYE_PROTOCOL, "something else");
    m.magic++;
    sock = dial();
    say(sock, &m, sizeof(m));
    hears_goodbye(sock, RING_BYE_PROTOCOL, "something else");
    m = message(RING_MAPPED);
    sock = dial();
    say(sock, &m, sizeof(m));
    hears_goodbye(sock, RING_BYE_PROTOCOL, "does not begin with a HELLO");
    uint8_t large[sizeof(m) + 100] = {0};
    memcpy(large, &m, sizeof(m));
    sock = dial();
    say(sock, large, sizeof(large));
    hears_goodbye(sock, RING_BYE_PROTOCOL, "something else");
}

static void a_user_who_may_not_is_told(void **state)
{
    (void)state;
    pair.refuse = true;
    hl_feed *feed;
    assert_int_equal(pair_attach(&pair, &feed, NULL), -EACCES);
    assert_null(feed);
    assert_non_null(strstr(pair.error.text, "may not feed this engine"));
}

static void one_feed_too_many_is_told(void **state)
{
    (void)state;
    int first, second;
    close(granted(&first));
    close(granted(&second));
    hl_feed *feed;
    assert_int_equal(pair_attach(&pair, &feed, NULL), -EBUSY);
    assert_non_null(strstr(pair.error.text, "as many feeds as"));
    close(first);
    feed_server_handle(pair.server, clock_now_us());
    assert_int_equal(pair_attach(&pair, &feed, NULL), 0);
    pair.producer = feed;
    close(second);
}

/* A user with many feeds leaves a place for the other, and takes the last one once that has a feed of its own. */
static void the_last_place_is_kept_for_who_has_none(void **state)
{
    (void)state;
    int first;
    pair.has_user = true;
    pair.user = getuid() + 1;
    close(granted(&first));
    hl_feed *feed;
    assert_int_equal(pair_attach(&pair, &feed, NULL), -EBUSY);
    assert_non_null(strstr(pair.error.text, "kept for users"));
    pair.user = getuid();
    assert_int_equal(pair_attach(&pair, &feed, NULL), 0);
    pair.producer = feed;
    close(first);
}

/* It is no more than a place that is kept: who has none comes before those who are not there. */
static void who_has_none_need_not_leave_one(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    pair_close(&pair);
    pair.has_user = true;
    pair.user = getuid() + 1;
    pair_serve_places(&pair, &shape, 1);
    assert_int_equal(pair_attach(&pair, &pair.producer, NULL), 0);
}

static void a_slow_producer_is_dropped(void **state)
{
    (void)state;
    int sock = dial();
    uint64_t now = clock_now_us();
    assert_true(feed_server_handle(pair.server, now) <= now + 5000000);
    assert_int_equal(feed_server_handle(pair.server, now + 5000001), DEADLINE_NEVER);
    hears_goodbye(sock, RING_BYE_PROTOCOL, "too slow");
    int memfd = granted(&sock);
    feed_server_handle(pair.server, clock_now_us() + 5000001);
    hears_goodbye(sock, RING_BYE_PROTOCOL, "too slow");
    close(memfd);
}

static void speaking_out_of_turn_detaches(void **state)
{
    (void)state;
    assert_int_equal(pair_attach(&pair, &pair.producer, NULL), 0);
    assert_int_equal(feed_server_feeds(pair.server), 1);
    assert_int_equal(send(pair.producer->region.sock, "x", 1, 0), 1);
    feed_server_handle(pair.server, clock_now_us());
    assert_int_equal(pair.detaches, 1);
    assert_int_equal(feed_server_feeds(pair.server), 0);
    assert_true(engine_is_gone(pair.producer));
    assert_non_null(strstr(pair.producer->goodbye, "out of turn"));
}

static void end_of_file_detaches_once(void **state)
{
    (void)state;
    assert_int_equal(pair_attach(&pair, &pair.producer, NULL), 0);
    hl_feed_detach(pair.producer);
    pair.producer = NULL;
    pair.hold_detach = true;
    for (unsigned i = 0; i < 5; i++)
        feed_server_handle(pair.server, clock_now_us());
    assert_int_equal(pair.detaches, 1);
    assert_int_equal(feed_server_feeds(pair.server), 1);
    feed_server_detached(pair.server, pair.engine);
    assert_int_equal(feed_server_feeds(pair.server), 0);
}

static void hundreds_of_connections_that_say_nothing(void **state)
{
    (void)state;
    int socks[100];
    for (unsigned i = 0; i < 100; i++) {
        socks[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        snprintf(to.sun_path, sizeof(to.sun_path), "%s", pair.path);
        if (connect(socks[i], (struct sockaddr *)&to, sizeof(to)) < 0)
            assert_int_equal(errno, EAGAIN);
        feed_server_handle(pair.server, clock_now_us());
    }
    for (unsigned i = 0; i < 100; i++)
        close(socks[i]);
    for (unsigned i = 0; i < 20; i++)
        feed_server_handle(pair.server, clock_now_us());
    assert_int_equal(pair_attach(&pair, &pair.producer, NULL), 0);
}

/* ---- what the library says of engines that are none ---- */

static int fake_listener(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(pair.path, sizeof(pair.path), "/tmp/hl-fake-%d.sock", (int)getpid());
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", pair.path);
    unlink(pair.path);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(sock, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(sock, 8), 0);
    return sock;
}

static void *fake_engine(void *arg)
{
    int *listener = arg;
    struct ring_message m;
    int sock = accept(*listener, NULL, NULL);
    assert_int_equal(recv(sock, &m, sizeof(m), 0), sizeof(m));
    assert_int_equal(m.what, RING_HELLO);
    assert_string_equal(m.text, "tester");
    m = message(RING_GRANT);
    m.abi_major = 9;
    m.abi_minor = 3;
    send(sock, &m, sizeof(m), MSG_NOSIGNAL);
    recv(sock, &m, sizeof(m), 0);
    close(sock);
    return NULL;
}

static void an_engine_of_another_major_is_refused(void **state)
{
    (void)state;
    struct hl_attach options = hl_attach_init();
    struct hl_error error;
    hl_feed *feed;
    pthread_t thread;
    int listener = fake_listener();
    pthread_create(&thread, NULL, fake_engine, &listener);
    options.socket_path = pair.path;
    options.name = "tester";
    assert_int_equal(hl_feed_attach(&feed, &options, &error), -EPROTONOSUPPORT);
    assert_non_null(strstr(error.text, "speaks version 9.3 of the feed, this library 2.0"));
    pthread_join(thread, NULL);
    close(listener);
    unlink(pair.path);
    pair.path[0] = 0;
}

static void nobody_there_is_told(void **state)
{
    (void)state;
    struct hl_attach options = hl_attach_init();
    struct hl_error error;
    hl_feed *feed;
    options.socket_path = "/nonexistent/feed.sock";
    assert_int_equal(hl_feed_attach(&feed, &options, &error), -ENOENT);
    assert_non_null(strstr(error.text, "no engine at /nonexistent/feed.sock"));
    options.timeout_ms = 0;
    assert_int_equal(hl_feed_attach(&feed, &options, &error), -EINVAL);
    options = hl_attach_init();
    char path[200];
    memset(path, 'p', 199);
    path[199] = 0;
    options.socket_path = path;
    assert_int_equal(hl_feed_attach(&feed, &options, &error), -ENAMETOOLONG);

    int listener = fake_listener();
    options = hl_attach_init();
    options.socket_path = pair.path;
    options.timeout_ms = 50;
    assert_int_equal(hl_feed_attach(&feed, &options, &error), -ETIMEDOUT);
    close(listener);
    assert_int_equal(hl_feed_attach(&feed, &options, &error), -ECONNREFUSED);
    unlink(pair.path);
    pair.path[0] = 0;
}

/* ---- the seals ---- */

static void mapped_with(int memfd, int sock, const char *refusal)
{
    struct ring_message mapped = message(RING_MAPPED);
    say(sock, &mapped, sizeof(mapped));
    if (refusal) {
        hears_goodbye(sock, RING_BYE_PROTOCOL, refusal);
        assert_null(pair.engine);
    } else {
        assert_int_equal(hear(sock, NULL).what, RING_READY);
        assert_non_null(pair.engine);
        close(sock);
    }
    close(memfd);
}

static void memory_cut_off_before_the_seals_is_noticed(void **state)
{
    (void)state;
    int sock, memfd = granted(&sock);
    assert_int_equal(ftruncate(memfd, 4096), 0);
    mapped_with(memfd, sock, "changed the size");
}

static void memory_sealed_by_the_producer_is_refused(void **state)
{
    (void)state;
    int sock, memfd = granted(&sock);
    assert_int_equal(fcntl(memfd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    mapped_with(memfd, sock, "sealing");
}

static void holes_punched_before_the_seals_are_filled(void **state)
{
    (void)state;
    int sock, memfd = granted(&sock);
    assert_int_equal(fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536), 0);
    mapped_with(memfd, sock, NULL);
    struct outcome why;
    struct feed_shape shape = pair_shape();
    struct feed_job *job = pair_job_memory(&shape);
    assert_int_equal(feed_take(pair.engine, 0, job, &why), FEED_EMPTY);
    free(job);
}

static void the_seals_hold(void **state)
{
    (void)state;
    int sock, memfd = granted(&sock);
    struct stat st;
    assert_int_equal(fstat(memfd, &st), 0);
    uint8_t *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    mapped_with(dup(memfd), sock, NULL);

    assert_int_equal(ftruncate(memfd, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(memfd, st.st_size * 2), -1);
    assert_int_equal(fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(madvise(map, 65536, MADV_REMOVE), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0), MAP_FAILED);
    assert_int_equal(pwrite(memfd, "x", 1, 0), -1);
    map[8192] = 1; /* the map from before is still writable */
    munmap(map, (size_t)st.st_size);
    close(memfd);
}

/* ---- SIGBUS ---- */

static void a_sigbus_breaks_one_feed_and_nothing_else(void **state)
{
    (void)state;
    struct error err;
    assert_true(feed_sigbus_install(&err));
    struct feed_shape shape = pair_shape();
    struct feed_rights rights = {.name = "victim"};
    int fd, fd_other;
    struct feed *feed = feed_open(&shape, &rights, &fd, &err),
                *other = feed_open(&shape, &rights, &fd_other, &err);
    assert_non_null(feed);
    assert_int_equal(ftruncate(fd, 0), 0); /* not sealed: what a bad page would be */
    struct feed_job *job = pair_job_memory(&shape);
    struct outcome why;
    assert_int_equal(feed_take(feed, 0, job, &why), FEED_BROKEN); /* reads zeros, and goes on */
    assert_true(feed_broken(feed));
    assert_non_null(strstr(feed_fault(feed), "SIGBUS"));
    assert_int_equal(feed_take(feed, 0, job, &why), FEED_BROKEN);
    assert_false(feed_broken(other));
    assert_int_equal(feed_take(other, 0, job, &why), FEED_EMPTY);
    free(job);
    feed_close(feed, true);
    feed_close(other, true);
    close(fd);
    close(fd_other);
}

/* ---- shapes and the socket ---- */

static void shapes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct feed_rights rights = {.name = "x"};
    struct error err;
    int fd;
    static const struct {
        size_t offset;
        uint32_t value;
        const char *text;
    } row[] = {
        {offsetof(struct feed_shape, lanes), 0, "0 lanes"},
        {offsetof(struct feed_shape, lanes), 65, "65 lanes"},
        {offsetof(struct feed_shape, submit_slots), 100, "powers of two"},
        {offsetof(struct feed_shape, complete_slots), 0, "powers of two"},
        {offsetof(struct feed_shape, recipients_max), 9, "9 recipients"},
        {offsetof(struct feed_shape, recipients_max), 0, "0 recipients"},
        {offsetof(struct feed_shape, envelope_bytes_max), 4095, "4095 bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct feed_shape shape = pair_shape();
        memcpy((char *)&shape + row[i].offset, &row[i].value, sizeof(row[i].value));
        assert_null(feed_open(&shape, &rights, &fd, &err));
        assert_int_equal(fd, -1);
        if (!strstr(err.text, row[i].text))
            fail_msg("\"%s\" does not say \"%s\"", err.text, row[i].text);
    }
    struct feed_shape shape = pair_shape();
    shape.arena_bytes = 1ull << 39;
    shape.arena_bytes <<= 2;
    assert_null(feed_open(&shape, &rights, &fd, &err));
}

static void a_second_engine_is_told_of_the_first(void **state)
{
    (void)state;
    struct error err;
    struct feed_server_options options = {
        .path = pair.path, .mode = 0600, .gid = (uint32_t)-1, .feeds_max = 1};
    struct feed_server_events events = {0};
    assert_null(feed_server_open(&options, &events, &err));
    assert_non_null(strstr(err.text, pair.path));
    struct stat st;
    assert_int_equal(stat(pair.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, serve_pair, close_pair)
    const struct CMUnitTest tests[] = {
        T(another_major_is_refused_and_both_are_named),
        T(another_minor_is_welcome),
        T(garbage_is_refused),
        T(a_user_who_may_not_is_told),
        T(one_feed_too_many_is_told),
        T(the_last_place_is_kept_for_who_has_none),
        T(who_has_none_need_not_leave_one),
        T(a_slow_producer_is_dropped),
        T(speaking_out_of_turn_detaches),
        T(end_of_file_detaches_once),
        T(hundreds_of_connections_that_say_nothing),
        cmocka_unit_test(an_engine_of_another_major_is_refused),
        cmocka_unit_test(nobody_there_is_told),
        T(memory_cut_off_before_the_seals_is_noticed),
        T(memory_sealed_by_the_producer_is_refused),
        T(holes_punched_before_the_seals_are_filled),
        T(the_seals_hold),
        cmocka_unit_test(a_sigbus_breaks_one_feed_and_nothing_else),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
        T(a_second_engine_is_told_of_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
