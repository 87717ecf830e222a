/* wait.c: sleeping until there is something to reap. */
#include "engine/ring/lib/lib.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#define LOOK_US      20u
#define SLEEPS_AFTER 64u

static bool anything_there(const hl_feed *feed)
{
    for (uint32_t i = 0; i < feed->region.head.lanes; i++) {
        const struct lane *lane = &feed->region.lane[i];
        if (atomic_load_explicit(&lane->shared->complete_tail, memory_order_acquire) != lane->in.position)
            return true;
    }
    return feed->gone != ENGINE_ALIVE || feed->stranded_count > 0;
}

/* Waking costs some 20 us and two system calls, so a result that is nearly there is waited for awake, for no longer than that.  Where
 * it was not, the next waits are spent asleep from the start.
 */
static bool comes_soon(hl_feed *feed)
{
    if (feed->recipients_in_flight == 0 || feed->sleep_at_once > 0) {
        feed->sleep_at_once -= feed->sleep_at_once > 0;
        return false;
    }
    feed->looks++;
    for (uint64_t until_us = clock_now_us() + LOOK_US; clock_now_us() < until_us;)
        if (anything_there(feed))
            return true;
    feed->sleep_at_once = SLEEPS_AFTER;
    return false;
}

int hl_feed_arm(hl_feed *feed)
{
    if (anything_there(feed))
        return 1;
    feed->armed = true;
    atomic_store_explicit(&feed->region.shared->producer_sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* first we say that we sleep, then we look again */
    return anything_there(feed);
}

int hl_feed_fd(const hl_feed *feed)
{
    return feed->epoll;
}

int hl_wait(hl_feed *feed, int timeout_ms, struct hl_error *error)
{
    if (anything_there(feed) || (timeout_ms != 0 && comes_soon(feed)) || hl_feed_arm(feed))
        return 1;
    struct pollfd fd = {.fd = feed->epoll, .events = POLLIN};
    int n = poll(&fd, 1, timeout_ms);
    if (n < 0)
        return fail(error, errno, "waiting for results: %s", strerror(errno));
    return n > 0;
}

static int watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Descriptors of a region that is gone leave the set when they are closed. */
int feed_watch(hl_feed *feed, const struct region *region, struct hl_error *error)
{
    if (feed->epoll < 0)
        feed->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (feed->epoll < 0 || watch(feed->epoll, region->sock) < 0 ||
        watch(feed->epoll, region->wake_producer) < 0)
        return fail(error, errno, "epoll: %s", strerror(errno));
    return 0;
}
