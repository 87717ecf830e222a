/* control.h: the control thread's loop: descriptors, timers, signals, and what is undone at the end.
 *
 * What it is not: it knows no configuration, no feed and no core; those register what they want to hear of.
 *
 * Threads: everything is the control thread's, but for control_wake and control_stop, which are any thread's.
 * Nothing here runs inside a signal handler: signals are read from a descriptor.
 */
#ifndef ENGINE_CONTROL_CONTROL_H
#define ENGINE_CONTROL_CONTROL_H

#include "engine/base/error.h"
#include "engine/base/wheel.h"

#include <sys/epoll.h>

struct control;

struct control_events {
    void *ctx;
    void (*drain)(
        void *ctx); /* SIGTERM or SIGINT: take no new work, finish what is in flight, then control_stop */
    void (*stop_now)(void *ctx); /* a second one: give up what is in flight, then control_stop */
    void (*reload)(void *ctx);   /* SIGHUP */
    void (*dump)(void *ctx);     /* SIGUSR1: status into the log */
    void (*wake)(void *ctx);     /* some thread called control_wake; several calls may come as one */
};

/* control_open: signals: block TERM, INT, HUP, USR1 and PIPE in the calling thread and read them from a descriptor; call it
 * before any other thread starts, so that all inherit the mask.  A host process that loads the library keeps
 * its signals: false.
 */
struct control *control_open(const struct control_events *events, bool signals, struct error *err) must_check;

/* control_close runs what control_at_close has collected, the last first, and gives the signals back. */
void control_close(struct control *control);

/* control_run handles events until control_stop; control_turn handles what is there, waiting at most timeout_ms
 * (-1: until something comes) for it, and returns false once control_stop was called.
 */
void control_run(struct control *control);
bool control_turn(struct control *control, int timeout_ms);
void control_stop(struct control *control);
void control_wake(struct control *control);

/* Descriptors.  events and what is passed on are EPOLL bits.  A handler may remove any descriptor, its own included; a
 * removed one's handler is not called any more, and its struct may be freed.  The descriptor stays the caller's, to be
 * closed after control_remove_fd.
 */
struct control_fd {
    void (*ready)(void *ctx, uint32_t events);
    void *ctx;
    int fd; /* -1: not registered */
};

bool control_add_fd(struct control *control, struct control_fd *watch, int fd, uint32_t events,
                    void (*ready)(void *ctx, uint32_t events), void *ctx, struct error *err) must_check;
void control_watch_fd(struct control *control, struct control_fd *watch, uint32_t events);
void control_remove_fd(struct control *control, struct control_fd *watch);

/* Timers fire once, at or after their deadline; a handler may arm its timer again. */
struct control_timer {
    struct wheel_timer wheel;
    void (*fire)(void *ctx, uint64_t now_us);
    void *ctx;
};

void control_timer_init(struct control_timer *timer, void (*fire)(void *ctx, uint64_t now_us), void *ctx);
void control_timer_arm(struct control *control, struct control_timer *timer, uint64_t deadline_us);
void control_timer_cancel(struct control *control, struct control_timer *timer);

/* control_at_close: what control_close is to call, in reverse order; at most CONTROL_CLOSERS_MAX. */
#define CONTROL_CLOSERS_MAX 32u
void control_at_close(struct control *control, void (*close)(void *ctx), void *ctx);

#endif
