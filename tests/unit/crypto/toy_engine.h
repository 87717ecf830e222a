/* toy_engine.h: an OpenSSL engine of the tests' own: it suspends each operation until it is polled, computes by
 * libcrypto, and misbehaves when told to.
 */
#ifndef TESTS_UNIT_CRYPTO_TOY_ENGINE_H
#define TESTS_UNIT_CRYPTO_TOY_ENGINE_H

#include <pthread.h>
#include <stdbool.h>

#define TOY_ENGINE "toy"

struct toy_engine {
    int instances;       /* what it says it has; 0: it does not say */
    unsigned good;       /* operations that it still computes; then each fails */
    unsigned fails_each; /* of so many one fails; 0: none */
    unsigned goes_after; /* after so many it is silent; 0: it is not */
    bool silent;         /* it does not answer: suspended operations stay so */
    bool twice;          /* it calls back twice */
    bool from_elsewhere; /* it calls back from a thread of its own */
    bool aside;          /* likewise, and what it computes on curves it computes there */
    bool agrees;         /* every ECDSA signature is good */
    bool needs_room;     /* the first call back of each says: no room, try again, as qatengine does */

    unsigned started, ended, polls;
    long instance;     /* told by SET_INSTANCE_FOR_THREAD; -1: none */
    unsigned told;     /* how often */
    pthread_t told_by; /* the last time */
    pthread_t started_by, polled_by, ended_by;
};

extern struct toy_engine toy_engine;

/* toy_engine_add makes it known to OpenSSL, once a program; _reset: it behaves. */
void toy_engine_add(void);
void toy_engine_remove(void);
void toy_engine_reset(void);
unsigned toy_engine_suspended(void);

/* For groups of cmocka's tests. */
int toy_engine_setup(void **state);
int toy_engine_teardown(void **state);

#endif
