/* wall.h: a wall clock that a test moves, OpenSSL's included: libcrypto asks time().  To be included by one file of a program. */
#ifndef TESTS_UNIT_CRYPTO_WALL_H
#define TESTS_UNIT_CRYPTO_WALL_H

#include <stdint.h>
#include <time.h>

static int64_t clock_shift_s;

__attribute__((visibility("default"))) time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += clock_shift_s;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

#endif
