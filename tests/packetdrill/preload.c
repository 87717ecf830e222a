/* preload.c: two calls of packetdrill's own that do not go through its interface: the shared object is preloaded, too.
 *
 * Its code snippets (%{ ... }%) ask the kernel for TCP_INFO; and before a script it spins for a hundred real
 * milliseconds to find the edge of a jiffy, which virtual time does not have.
 */
#include "tests/packetdrill/sock.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/times.h>

#define PUBLIC __attribute__((visibility("default")))

/* Programs that a script starts are no business of ours. */
__attribute__((constructor)) static void leave_children_alone(void)
{
    unsetenv("LD_PRELOAD");
}

static bool is_ours(int fd)
{
    bool ours = false;
    if (the_shim) {
        pthread_mutex_lock(&the_shim->lock);
        ours = sock_of_fd(the_shim, fd) != NULL;
        pthread_mutex_unlock(&the_shim->lock);
    }
    return ours;
}

PUBLIC int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
    if (!is_ours(fd)) {
        int (*next)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
        return next(fd, level, name, value, len);
    }
    pthread_mutex_lock(&the_shim->lock);
    int result = option_get(the_shim, fd, level, name, value, len);
    pthread_mutex_unlock(&the_shim->lock);
    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

PUBLIC clock_t times(struct tms *buffer)
{
    static clock_t ticks;
    *(buffer ? buffer : &(struct tms){0}) = (struct tms){0};
    return ticks++;
}
