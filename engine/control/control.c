#include "engine/control/control.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define BATCH 64

struct control {
    struct control_events events;
    struct wheel wheel;
    int epoll;
    struct epoll_event batch[BATCH]; /* what epoll_wait gave; data.ptr NULL once its descriptor was removed */
    int batch_at, batch_count;
    struct control_fd wake, signals;
    sigset_t mask_before;
    bool has_signals;
    unsigned terms; /* TERM and INT seen */
    _Atomic bool stopped;
    unsigned closers;
    struct {
        void (*close)(void *ctx);
        void *ctx;
    } closer[CONTROL_CLOSERS_MAX];
};

static void call(const struct control *control, void (*event)(void *ctx))
{
    if (event)
        event(control->events.ctx);
}

static void on_wake(void *ctx, uint32_t events)
{
    struct control *control = ctx;
    uint64_t count;
    (void)events;
    if (read(control->wake.fd, &count, sizeof(count)) == sizeof(count))
        call(control, control->events.wake);
}

static void on_signal(void *ctx, uint32_t events)
{
    struct control *control = ctx;
    struct signalfd_siginfo info;
    (void)events;
    while (read(control->signals.fd, &info, sizeof(info)) == sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            call(control, control->terms++ == 0 ? control->events.drain : control->events.stop_now);
            break;
        case SIGHUP: call(control, control->events.reload); break;
        case SIGUSR1: call(control, control->events.dump); break;
        }
    }
}

static bool open_wake(struct control *control, struct error *err)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, "no event descriptor: %s", strerror(errno));
    return control_add_fd(control, &control->wake, fd, EPOLLIN, on_wake, control, err);
}

static bool open_signals(struct control *control, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGPIPE); /* never read: a write to a gone peer says EPIPE */
    if (pthread_sigmask(SIG_BLOCK, &set, &control->mask_before) != 0)
        return error_set(err, "signals cannot be blocked: %s", strerror(errno));
    control->has_signals = true;
    sigdelset(&set, SIGPIPE);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, "no signal descriptor: %s", strerror(errno));
    return control_add_fd(control, &control->signals, fd, EPOLLIN, on_signal, control, err);
}

struct control *control_open(const struct control_events *events, bool signals, struct error *err)
{
    struct control *control = calloc(1, sizeof(*control));
    if (!control) {
        error_set(err, "no memory for the control loop");
        return NULL;
    }
    control->events = *events;
    control->wake.fd = control->signals.fd = -1;
    wheel_init(&control->wheel, clock_now_us());
    control->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (control->epoll < 0)
        error_set(err, "no epoll descriptor: %s", strerror(errno));
    else if (open_wake(control, err) && (!signals || open_signals(control, err)))
        return control;
    control_close(control);
    return NULL;
}

static void close_watched(struct control *control, struct control_fd *watch)
{
    int fd = watch->fd;
    if (fd < 0)
        return;
    control_remove_fd(control, watch);
    close(fd);
}

void control_close(struct control *control)
{
    while (control->closers > 0) {
        control->closers--;
        control->closer[control->closers].close(control->closer[control->closers].ctx);
    }
    close_watched(control, &control->signals);
    close_watched(control, &control->wake);
    if (control->has_signals)
        pthread_sigmask(SIG_SETMASK, &control->mask_before, NULL);
    if (control->epoll >= 0)
        close(control->epoll);
    free(control);
}

void control_at_close(struct control *control, void (*close)(void *ctx), void *ctx)
{
    assert(control->closers < CONTROL_CLOSERS_MAX);
    control->closer[control->closers].close = close;
    control->closer[control->closers].ctx = ctx;
    control->closers++;
}

bool control_add_fd(struct control *control, struct control_fd *watch, int fd, uint32_t events,
                    void (*ready)(void *ctx, uint32_t events), void *ctx, struct error *err)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    *watch = (struct control_fd){.ready = ready, .ctx = ctx, .fd = fd};
    if (epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return true;
    watch->fd = -1;
    return error_set(err, "descriptor %d cannot be watched: %s", fd, strerror(errno));
}

void control_watch_fd(struct control *control, struct control_fd *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int result = epoll_ctl(control->epoll, EPOLL_CTL_MOD, watch->fd, &event);
    assert(result == 0);
    (void)result;
}

void control_remove_fd(struct control *control, struct control_fd *watch)
{
    if (watch->fd < 0)
        return;
    epoll_ctl(control->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->fd = -1;
    for (int i = control->batch_at; i < control->batch_count; i++)
        if (control->batch[i].data.ptr == watch)
            control->batch[i].data.ptr = NULL;
}

void control_timer_init(struct control_timer *timer, void (*fire)(void *ctx, uint64_t now_us), void *ctx)
{
    wheel_timer_init(&timer->wheel, 0);
    timer->fire = fire;
    timer->ctx = ctx;
}

void control_timer_arm(struct control *control, struct control_timer *timer, uint64_t deadline_us)
{
    wheel_arm(&control->wheel, &timer->wheel, deadline_us);
}

void control_timer_cancel(struct control *control, struct control_timer *timer)
{
    wheel_cancel(&control->wheel, &timer->wheel);
}

/* Milliseconds to wait, rounded up: waking before the deadline would only be for waiting again. */
static int wait_ms(const struct control *control, int timeout_ms)
{
    uint64_t next = wheel_next(&control->wheel), now = clock_now_us();
    if (next == DEADLINE_NEVER)
        return timeout_ms;
    uint64_t until = next > now ? min_u64((next - now + 999) / 1000, 3600000) : 0;
    return timeout_ms < 0 || until < (uint64_t)timeout_ms ? (int)until : timeout_ms;
}

static void fire_timers(struct control *control)
{
    uint64_t now_us = clock_now_us();
    struct wheel_timer *due;
    for (unsigned i = 0; i < BATCH && (due = wheel_expire(&control->wheel, now_us)); i++) {
        struct control_timer *timer = container_of(due, struct control_timer, wheel);
        timer->fire(timer->ctx, now_us);
    }
}

bool control_turn(struct control *control, int timeout_ms)
{
    int wait = atomic_load(&control->stopped) ? 0 : wait_ms(control, timeout_ms);
    int count = epoll_wait(control->epoll, control->batch, BATCH, wait);
    control->batch_count = count > 0 ? count : 0;
    for (control->batch_at = 0; control->batch_at < control->batch_count;) {
        const struct epoll_event *event = &control->batch[control->batch_at++];
        struct control_fd *watch = event->data.ptr;
        if (watch)
            watch->ready(watch->ctx, event->events);
    }
    control->batch_at = control->batch_count = 0;
    fire_timers(control);
    return !atomic_load(&control->stopped);
}

void control_run(struct control *control)
{
    while (control_turn(control, -1))
        ;
}

void control_stop(struct control *control)
{
    atomic_store(&control->stopped, true);
    control_wake(control);
}

void control_wake(struct control *control)
{
    uint64_t one = 1;
    while (write(control->wake.fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}
