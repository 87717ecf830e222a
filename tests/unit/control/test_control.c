/* The control thread's loop: descriptors, timers, signals, the end. */
#include "engine/control/control.h"
#include "engine/base/clock.h"

#include "tests/unit/cmocka.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct seen {
    struct control *control;
    char events[64]; /* a letter each */
};

static void see(struct seen *seen, char what)
{
    seen->events[strlen(seen->events)] = what;
}

static void on_drain(void *ctx)
{
    see(ctx, 'd');
}

static void on_stop_now(void *ctx)
{
    struct seen *seen = ctx;
    see(seen, 's');
    control_stop(seen->control);
}

static void on_reload(void *ctx)
{
    see(ctx, 'r');
}

static void on_dump(void *ctx)
{
    see(ctx, 'u');
}

static void on_wake(void *ctx)
{
    see(ctx, 'w');
}

static struct control *open_control(struct seen *seen, bool signals)
{
    struct error err;
    struct control_events events = {.ctx = seen,
                                    .drain = on_drain,
                                    .stop_now = on_stop_now,
                                    .reload = on_reload,
                                    .dump = on_dump,
                                    .wake = on_wake};
    memset(seen, 0, sizeof(*seen));
    seen->control = control_open(&events, signals, &err);
    if (!seen->control)
        fail_msg("%s", err.text);
    return seen->control;
}

static void signals_become_events(void **state)
{
    struct seen seen;
    (void)state;
    struct control *control = open_control(&seen, true);
    kill(getpid(), SIGHUP);
    assert_true(control_turn(control, 1000));
    kill(getpid(), SIGUSR1);
    assert_true(control_turn(control, 1000));
    kill(getpid(), SIGTERM);
    assert_true(control_turn(control, 1000));
    assert_string_equal(seen.events, "rud");
    kill(getpid(), SIGINT);
    control_run(control);
    assert_string_equal(seen.events, "ruds");
    control_close(control);
}

static void second_term_stops_at_once(void **state)
{
    struct seen seen;
    (void)state;
    struct control *control = open_control(&seen, true);
    kill(getpid(), SIGTERM);
    control_turn(control, 1000);
    kill(getpid(), SIGTERM);
    assert_false(control_turn(control, 1000));
    assert_string_equal(seen.events, "ds");
    control_close(control);
}

static void a_host_keeps_its_signals(void **state)
{
    struct seen seen;
    sigset_t before, during, after;
    (void)state;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct control *control = open_control(&seen, false);
    pthread_sigmask(SIG_SETMASK, NULL, &during);
    assert_int_equal(sigismember(&during, SIGTERM), sigismember(&before, SIGTERM));
    control_close(control);
    control = open_control(&seen, true);
    pthread_sigmask(SIG_SETMASK, NULL, &during);
    assert_int_equal(sigismember(&during, SIGTERM), 1);
    control_close(control);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

/* A thread that is not the control thread never gets a signal: it inherits the mask. */
static void *sleep_a_little(void *arg)
{
    struct timespec time = {0, 200000000}, left = {0, 0};
    *(int *)arg = nanosleep(&time, &left);
    return NULL;
}

static void other_threads_are_not_interrupted(void **state)
{
    struct seen seen;
    pthread_t thread;
    int interrupted = -1;
    (void)state;
    struct control *control = open_control(&seen, true);
    assert_int_equal(pthread_create(&thread, NULL, sleep_a_little, &interrupted), 0);
    for (int i = 0; i < 10; i++) {
        kill(getpid(), SIGUSR1);
        control_turn(control, 1000);
    }
    pthread_join(thread, NULL);
    assert_int_equal(interrupted, 0);
    assert_string_equal(seen.events, "uuuuuuuuuu");
    control_close(control);
}

struct peer {
    struct control *control;
    struct control_fd watch, *other;
    unsigned calls;
};

static void count_and_remove_other(void *ctx, uint32_t events)
{
    struct peer *peer = ctx;
    assert_true(events & EPOLLIN);
    peer->calls++;
    if (peer->other)
        control_remove_fd(peer->control, peer->other);
}

/* Both are ready in one batch; whoever comes first removes the other, which must then hear nothing more. */
static void removed_descriptor_is_not_called(void **state)
{
    struct seen seen;
    struct error err;
    struct peer a, b;
    int one[2], two[2];
    (void)state;
    struct control *control = open_control(&seen, false);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, one) | socketpair(AF_UNIX, SOCK_STREAM, 0, two), 0);
    a = (struct peer){.control = control, .other = &b.watch};
    b = (struct peer){.control = control, .other = &a.watch};
    assert_true(control_add_fd(control, &a.watch, one[0], EPOLLIN, count_and_remove_other, &a, &err));
    assert_true(control_add_fd(control, &b.watch, two[0], EPOLLIN, count_and_remove_other, &b, &err));
    assert_int_equal(write(one[1], "x", 1) + write(two[1], "x", 1), 2);
    control_turn(control, 1000);
    control_turn(control, 0);
    assert_int_equal(a.calls + b.calls, 2); /* the survivor twice: nobody read its byte */
    assert_true(a.calls == 0 || b.calls == 0);
    control_remove_fd(control, &a.watch);
    control_remove_fd(control, &b.watch);
    control_turn(control, 0);
    assert_int_equal(a.calls + b.calls, 2);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
    control_close(control);
}

static void watching_may_change(void **state)
{
    struct seen seen;
    struct error err;
    struct peer a;
    int one[2];
    (void)state;
    struct control *control = open_control(&seen, false);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, one), 0);
    a = (struct peer){.control = control};
    assert_true(control_add_fd(control, &a.watch, one[0], EPOLLIN, count_and_remove_other, &a, &err));
    assert_int_equal(write(one[1], "x", 1), 1);
    control_watch_fd(control, &a.watch, 0);
    control_turn(control, 0);
    assert_int_equal(a.calls, 0);
    control_watch_fd(control, &a.watch, EPOLLIN);
    control_turn(control, 1000);
    assert_int_equal(a.calls, 1);
    control_remove_fd(control, &a.watch);
    assert_false(control_add_fd(control, &a.watch, -1, EPOLLIN, count_and_remove_other, &a, &err));
    assert_int_equal(a.watch.fd, -1);
    close(one[0]);
    close(one[1]);
    control_close(control);
}

struct tick {
    struct control *control;
    struct control_timer timer;
    unsigned fired;
    uint64_t deadline_us;
};

static void on_tick(void *ctx, uint64_t now_us)
{
    struct tick *tick = ctx;
    assert_true(now_us >= tick->deadline_us);
    if (++tick->fired == 3)
        control_stop(tick->control);
    else
        control_timer_arm(tick->control, &tick->timer, tick->deadline_us = now_us + 2000);
}

static void timers_fire_and_may_be_armed_again(void **state)
{
    struct seen seen;
    struct tick tick = {.fired = 0}, never = {.fired = 0};
    (void)state;
    struct control *control = open_control(&seen, false);
    tick.control = control;
    control_timer_init(&tick.timer, on_tick, &tick);
    control_timer_init(&never.timer, on_tick, &never);
    control_timer_arm(control, &tick.timer, tick.deadline_us = clock_now_us() + 1000);
    control_timer_arm(control, &never.timer, clock_now_us() + 500);
    control_timer_cancel(control, &never.timer);
    control_run(control);
    assert_int_equal(tick.fired, 3);
    assert_int_equal(never.fired, 0);
    control_close(control);
}

static void *wake_from_outside(void *arg)
{
    control_wake(arg);
    return NULL;
}

static void *stop_from_outside(void *arg)
{
    control_stop(arg);
    return NULL;
}

static void other_threads_may_wake_and_stop(void **state)
{
    struct seen seen;
    pthread_t thread;
    (void)state;
    struct control *control = open_control(&seen, false);
    assert_int_equal(pthread_create(&thread, NULL, wake_from_outside, control), 0);
    assert_true(control_turn(control, 10000));
    pthread_join(thread, NULL);
    assert_string_equal(seen.events, "w");
    assert_int_equal(pthread_create(&thread, NULL, stop_from_outside, control), 0);
    control_run(control);
    pthread_join(thread, NULL);
    control_close(control);
}

static char closed[4];

static void closes(void *ctx)
{
    closed[strlen(closed)] = *(const char *)ctx;
}

static void what_was_opened_last_is_closed_first(void **state)
{
    struct seen seen;
    (void)state;
    struct control *control = open_control(&seen, false);
    control_at_close(control, closes, (void *)(uintptr_t)"a");
    control_at_close(control, closes, (void *)(uintptr_t)"b");
    control_at_close(control, closes, (void *)(uintptr_t)"c");
    control_close(control);
    assert_string_equal(closed, "cba");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_become_events),
        cmocka_unit_test(second_term_stops_at_once),
        cmocka_unit_test(a_host_keeps_its_signals),
        cmocka_unit_test(other_threads_are_not_interrupted),
        cmocka_unit_test(removed_descriptor_is_not_called),
        cmocka_unit_test(watching_may_change),
        cmocka_unit_test(timers_fire_and_may_be_armed_again),
        cmocka_unit_test(other_threads_may_wake_and_stop),
        cmocka_unit_test(what_was_opened_last_is_closed_first),
    };
    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
