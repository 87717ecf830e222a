/* The hand-over: who is refused, with what words, and what is said of engines that are none. */
#include "engine/base/clock.h"
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/bare.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- refusals ---- */

static void another_major_is_refused_and_both_are_named(void **state)
{
    (void)state;
    struct ring_message m = bare_message(RING_HELLO);
    m.abi_major = 1; /* that of the first releases */
    m.abi_minor = 7;
    int sock = bare_dial();
    bare_say(sock, &m, sizeof(m));
    bare_hears_goodbye(sock, RING_BYE_VERSION,
                       "the producer speaks version 1.7 of the feed, this engine 2.0");
}

static void another_minor_is_welcome(void **state)
{
    (void)state;
    struct ring_message m = bare_message(RING_HELLO);
    m.abi_minor = 7;
    int sock = bare_dial();
    bare_say(sock, &m, sizeof(m));
    assert_int_equal(bare_hear(sock, NULL).what, RING_GRANT);
    close(sock);
}

static void garbage_is_refused(void **state)
{
    (void)state;
    struct ring_message m = bare_message(RING_HELLO);
    int sock = bare_dial();
    bare_say(sock, "EHLO example.org\r\n", 18);
    bare_hears_goodbye(sock, RING_BYE_PROTOCOL, "something else");
    m.magic++;
    sock = bare_dial();
    bare_say(sock, &m, sizeof(m));
    bare_hears_goodbye(sock, RING_BYE_PROTOCOL, "something else");
    m = bare_message(RING_MAPPED);
    sock = bare_dial();
    bare_say(sock, &m, sizeof(m));
    bare_hears_goodbye(sock, RING_BYE_PROTOCOL, "does not begin with a HELLO");
    uint8_t large[sizeof(m) + 100] = {0};
    memcpy(large, &m, sizeof(m));
    sock = bare_dial();
    bare_say(sock, large, sizeof(large));
    bare_hears_goodbye(sock, RING_BYE_PROTOCOL, "something else");
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
    close(bare_granted(&first));
    close(bare_granted(&second));
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
    close(bare_granted(&first));
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
    int sock = bare_dial();
    uint64_t now = clock_now_us();
    assert_true(feed_server_handle(pair.server, now) <= now + 5000000);
    assert_int_equal(feed_server_handle(pair.server, now + 5000001), DEADLINE_NEVER);
    bare_hears_goodbye(sock, RING_BYE_PROTOCOL, "too slow");
    int memfd = bare_granted(&sock);
    feed_server_handle(pair.server, clock_now_us() + 5000001);
    bare_hears_goodbye(sock, RING_BYE_PROTOCOL, "too slow");
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
    m = bare_message(RING_GRANT);
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
#define T(name) cmocka_unit_test_setup_teardown(name, one_pair_serve, one_pair_close)
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
        T(a_second_engine_is_told_of_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
