/* wheel.c: slot s of level l holds timers whose tick, shifted right by 6 l, is s modulo 64.
 *
 * A timer sits at the lowest level on which its distance from next_tick fits; so level 0 holds exact ticks.
 * Whenever next_tick is a multiple of 64^l, the slot of level l that begins there is dealt out again
 * (cascade).  A busy bit may stay behind on an emptied slot; it costs a look, nothing else.
 */
#include "engine/base/wheel.h"

#define SLOT_BITS 6u
#define SLOT_MASK (WHEEL_SLOTS - 1u)

static_assert(WHEEL_SLOTS == 1u << SLOT_BITS, "one bit of busy[] a slot");

void wheel_init(struct wheel *wheel, uint64_t now_us)
{
    wheel->next_tick = now_us / WHEEL_TICK_US + 1;
    wheel->armed = 0;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        wheel->busy[level] = 0;
        for (unsigned s = 0; s < WHEEL_SLOTS; s++)
            list_init(&wheel->slot[level][s]);
    }
}

void wheel_timer_init(struct wheel_timer *timer, uint32_t kind)
{
    timer->kind = kind;
    list_init(&timer->link);
    timer->deadline_us = DEADLINE_NEVER;
}

static void place(struct wheel *wheel, struct wheel_timer *timer, uint64_t earliest_tick)
{
    uint64_t tick =
        timer->deadline_us / WHEEL_TICK_US + (timer->deadline_us % WHEEL_TICK_US != 0); /* not early */
    tick = max_u64(tick, earliest_tick);
    uint64_t distance = tick - wheel->next_tick;
    unsigned level = 0;
    while (level + 1 < WHEEL_LEVELS && distance >> (SLOT_BITS * (level + 1)) != 0)
        level++;
    uint64_t reach = 1ull << (SLOT_BITS * (level + 1));
    if (distance >= reach)
        tick = wheel->next_tick + reach -
               (reach >> SLOT_BITS); /* beyond the wheel: placed again from its last slot */
    unsigned s = (unsigned)(tick >> (SLOT_BITS * level)) & SLOT_MASK;
    list_push_tail(&wheel->slot[level][s], &timer->link);
    wheel->busy[level] |= 1ull << s;
}

void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer)
{
    if (timer->deadline_us == DEADLINE_NEVER)
        return;
    list_remove(&timer->link);
    timer->deadline_us = DEADLINE_NEVER;
    wheel->armed--;
}

void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline_us)
{
    if (deadline_us == timer->deadline_us)
        return;
    wheel_cancel(wheel, timer);
    if (deadline_us == DEADLINE_NEVER)
        return;
    timer->deadline_us = deadline_us;
    wheel->armed++;
    /* Not the tick that is being handled: a handler that arms for the past gets the next one, not a loop. */
    place(wheel, timer, wheel->next_tick + 1);
}

static void cascade(struct wheel *wheel)
{
    for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--) {
        if ((wheel->next_tick & ((1ull << (SLOT_BITS * level)) - 1)) != 0)
            continue;
        unsigned s = (unsigned)(wheel->next_tick >> (SLOT_BITS * level)) & SLOT_MASK;
        struct list *slot = &wheel->slot[level][s];
        struct list moving;
        list_init(&moving);
        for (struct list *it; (it = list_pop(slot));)
            list_push_tail(&moving, it);
        wheel->busy[level] &= ~(1ull << s);
        for (struct list *it; (it = list_pop(&moving));)
            place(wheel, list_entry(it, struct wheel_timer, link), wheel->next_tick);
    }
}

/* Ticks from next_tick on that hold nothing and start no cascade. */
static uint64_t quiet_ticks(const struct wheel *wheel)
{
    unsigned s = (unsigned)wheel->next_tick & SLOT_MASK;
    if (s == 0)
        return 0;
    uint64_t ahead = wheel->busy[0] >> s;
    unsigned to_cascade = WHEEL_SLOTS - s;
    return ahead ? min_u64((unsigned)__builtin_ctzll(ahead), to_cascade) : to_cascade;
}

struct wheel_timer *wheel_expire(struct wheel *wheel, uint64_t now_us)
{
    uint64_t now_tick = now_us / WHEEL_TICK_US;
    while (wheel->next_tick <= now_tick) {
        if (wheel->armed == 0) {
            wheel->next_tick = now_tick + 1;
            break;
        }
        unsigned s = (unsigned)wheel->next_tick & SLOT_MASK;
        if (s == 0)
            cascade(wheel);
        struct list *due = list_pop(&wheel->slot[0][s]);
        if (due) {
            struct wheel_timer *timer = list_entry(due, struct wheel_timer, link);
            timer->deadline_us = DEADLINE_NEVER;
            wheel->armed--;
            return timer;
        }
        wheel->busy[0] &= ~(1ull << s);
        wheel->next_tick++;
        wheel->next_tick +=
            min_u64(quiet_ticks(wheel), now_tick + 1 - min_u64(wheel->next_tick, now_tick + 1));
    }
    return NULL;
}

uint64_t wheel_next(const struct wheel *wheel)
{
    if (wheel->armed == 0)
        return DEADLINE_NEVER;
    return (wheel->next_tick + quiet_ticks(wheel)) * WHEEL_TICK_US;
}
