/* clock.c: virtual time, and the one call that may wait for it. */
#include "tests/packetdrill/sock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STEPS_MAX       1000000u /* of one advance: a timer that does not move on must not hold us for ever */
#define REAL_PATIENCE_S 10       /* for the other thread, to come back from a call that is finished */

static void run_timers(struct shim *shim)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++) {
        struct sock *s = &shim->socks[i];
        if (sock_is_open(s) && tcp_next_deadline(&s->tcb) <= shim->now_us)
            tcp_timers(&s->tcb, shim->now_us);
    }
}

static void run_output(struct shim *shim)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++) {
        struct sock *s = &shim->socks[i];
        if (s->kind != SOCK_CONNECTION)
            continue;
        struct tcp_emit emit = {.ctx = s, .emit = wire_emit};
        if (sock_is_open(s))
            tcp_output(&s->tcb, shim->now_us, &emit);
        sock_events(s);
    }
}

/* The thread of a finished call notes the time first thing: time stands still until it has. */
static void await_return(struct shim *shim)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += REAL_PATIENCE_S;
    while (shim->waiting.state == WAITING_FOR_RETURN)
        if (pthread_cond_timedwait(&shim->waiting.returned, &shim->lock, &until) == ETIMEDOUT) {
            fprintf(stderr, "hardline: the waiting call does not return\n");
            abort();
        }
}

static void finish_waiting(struct shim *shim)
{
    struct waiting *w = &shim->waiting;
    if (w->state != WAITING_FOR_EVENT)
        return;
    long result = w->try(shim, w->arg);
    if (result == -EAGAIN && shim->now_us >= w->deadline_us)
        result = 0;
    if (result == -EAGAIN)
        return;
    w->result = result;
    w->state = WAITING_FOR_RETURN;
    pthread_cond_signal(&w->finished);
    await_return(shim);
}

void clock_settle(struct shim *shim)
{
    run_output(shim);
    finish_waiting(shim);
    run_output(shim); /* what the finished call has written */
}

uint64_t clock_next(const struct shim *shim)
{
    uint64_t next = shim->waiting.state == WAITING_FOR_EVENT ? shim->waiting.deadline_us : DEADLINE_NEVER;
    for (unsigned i = 0; i < SOCKS_MAX; i++)
        if (sock_is_open(&shim->socks[i]))
            next = min_u64(next, tcp_next_deadline(&shim->socks[i].tcb));
    return next;
}

void clock_advance(struct shim *shim, uint64_t to_us)
{
    for (unsigned steps = 0; clock_next(shim) <= to_us; steps++) {
        if (steps == STEPS_MAX) {
            fprintf(stderr, "hardline: a timer does not move on\n");
            abort();
        }
        shim->now_us = max_u64(shim->now_us, clock_next(shim));
        run_timers(shim);
        clock_settle(shim);
    }
    shim->now_us = max_u64(shim->now_us, to_us);
}

/* packetdrill's own thread waits only in calls that its script expects to return at once: the time that remains is
 * that of timers.
 */
static long wait_in_main(struct shim *shim, shim_try try, void *arg, uint64_t deadline_us)
{
    for (;;) {
        long result = try(shim, arg);
        if (result != -EAGAIN)
            return result;
        uint64_t next = min_u64(clock_next(shim), deadline_us);
        if (next == DEADLINE_NEVER)
            return -EDEADLK;
        clock_advance(shim, next);
        if (next == deadline_us)
            return 0;
    }
}

long clock_wait(struct shim *shim, shim_try try, void *arg, uint64_t deadline_us)
{
    struct waiting *w = &shim->waiting;
    if (pthread_equal(pthread_self(), shim->main_thread))
        return wait_in_main(shim, try, arg, deadline_us);
    long result = try(shim, arg);
    if (result != -EAGAIN)
        return result;
    w->try = try;
    w->arg = arg;
    w->deadline_us = deadline_us;
    w->state = WAITING_FOR_EVENT;
    run_output(shim);
    while (w->state == WAITING_FOR_EVENT)
        pthread_cond_wait(&w->finished, &shim->lock);
    return w->result;
}
