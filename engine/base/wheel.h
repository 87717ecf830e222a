/* wheel.h: a hierarchical timer wheel in absolute microseconds.
 *
 * Arming and cancelling are constant time; firing is constant time a timer, amortised.  A timer fires at
 * or after its deadline, at most two ticks (WHEEL_TICK_US) and one loop turn late, never early.
 */
#ifndef ENGINE_BASE_WHEEL_H
#define ENGINE_BASE_WHEEL_H

#include "engine/base/list.h"

#define WHEEL_TICK_US 128u /* about an eighth of a millisecond */
#define WHEEL_LEVELS  5u   /* 64 slots each: 64^5 ticks, about 38 hours; later ones wait in the last slot */
#define WHEEL_SLOTS   64u

struct wheel_timer {
    struct list link;     /* detached when not armed */
    uint64_t deadline_us; /* DEADLINE_NEVER when not armed */
    uint32_t kind;        /* the owner's mark: whose timer it is when it fires */
};

struct wheel {
    uint64_t next_tick;          /* the first that has not been handled */
    uint32_t armed;              /* timers in the wheel */
    uint64_t busy[WHEEL_LEVELS]; /* bit s: slot s of the level may hold timers */
    struct list slot[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_us);
void wheel_timer_init(struct wheel_timer *timer, uint32_t kind);

/* wheel_arm sets or moves the deadline; DEADLINE_NEVER cancels. */
void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline_us);
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);

/* wheel_expire gives one timer that is due at now_us, disarmed, or NULL when there is none (left).
 * Call it until NULL; a timer that its handler arms anew for the past fires in the next call.
 */
struct wheel_timer *wheel_expire(struct wheel *wheel, uint64_t now_us);

/* wheel_next gives a time before which no timer will fire, DEADLINE_NEVER when none is armed:
 * how long an idle core may sleep.
 */
uint64_t wheel_next(const struct wheel *wheel);

#endif
