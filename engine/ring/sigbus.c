/* sigbus.c: a SIGBUS inside a feed's region breaks that feed and nothing else.
 *
 * The seals leave a producer no way to cause one that is known; what is left is the machine (a bad page).
 */
#include "engine/ring/feed_private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define REGIONS_MAX 1024u

static _Atomic(struct feed *) regions[REGIONS_MAX];
static struct sigaction before;

bool feed_sigbus_add(struct feed *feed)
{
    for (unsigned i = 0; i < REGIONS_MAX; i++) {
        struct feed *none = NULL;
        if (atomic_compare_exchange_strong(&regions[i], &none, feed))
            return true;
    }
    return false;
}

void feed_sigbus_remove(struct feed *feed)
{
    for (unsigned i = 0; i < REGIONS_MAX; i++) {
        struct feed *it = feed;
        atomic_compare_exchange_strong(&regions[i], &it, NULL);
    }
}

static struct feed *feed_at(const uint8_t *address)
{
    for (unsigned i = 0; i < REGIONS_MAX; i++) {
        struct feed *feed = atomic_load(&regions[i]);
        if (feed && address >= feed->base && address < feed->base + feed->bytes)
            return feed;
    }
    return NULL;
}

/* Async-signal-safe: atomics, memcpy and one system call. */
static bool mend(struct feed *feed, uintptr_t address)
{
    static const char text[] = "its shared memory failed (SIGBUS)";
    uint32_t sound = FEED_SOUND;
    if (atomic_compare_exchange_strong(&feed->broken, &sound, FEED_BREAKING)) {
        memcpy(feed->fault, text, sizeof(text));
        atomic_store(&feed->broken, FEED_IS_BROKEN);
    }
    void *page = (void *)(address & ~(uintptr_t)(feed->page_bytes - 1));
    return mmap(page, feed->page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) == page;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    (void)context;
    int kept = errno;
    struct feed *feed = feed_at(info->si_addr);
    if (!feed || !mend(feed, (uintptr_t)info->si_addr))
        sigaction(number, &before,
                  NULL); /* the access is repeated on return and meets whoever was there before */
    errno = kept;
}

bool feed_sigbus_install(struct error *err)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &before) < 0)
        return error_set(err, "cannot handle SIGBUS: %s", strerror(errno));
    return true;
}
