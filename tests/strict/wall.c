/* wall.c: to be preloaded into an engine: a wall clock that the test moves while it runs.
 *
 * WALL names a file of eight bytes: seconds that the clock is ahead, an int64_t of this machine's.  Clocks that count
 * from the start of the machine stay as they are.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SEEN __attribute__((visibility("default")))

static const _Atomic(int64_t) *ahead_s;

/* Before main: a daemon that has given up its rights opens no files. */
__attribute__((constructor)) static void wall_open(void)
{
    const char *path = getenv("WALL");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof(*ahead_s), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page == MAP_FAILED) {
        fprintf(stderr, "wall.c: WALL=%s cannot be read\n", path ? path : "");
        abort();
    }
    close(fd);
    ahead_s = page;
}

SEEN int clock_gettime(clockid_t clock, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, out);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && ahead_s)
        out->tv_sec += atomic_load(ahead_s);
    return rc;
}

SEEN time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

SEEN int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}
