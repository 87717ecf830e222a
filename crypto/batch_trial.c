/* batch_trial.c: a device that nobody has named: is it right, in time, and cheaper for the core than what it has?
 *
 * It gets eight operations of each kind, one of them with a wrong answer to find.  What the core pays is counted: the way
 * to the device and back, the looks at it meanwhile, and not the time in which it could do something else.
 */
#include "crypto/batch_inside.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <time.h>

#define RUNS    3u
#define LOOK_NS 100000

static uint64_t clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static unsigned take_ready(struct batch *b)
{
    unsigned n = 0;
    while (list_pop(&b->ready))
        n++;
    return n;
}

/* CPU nanoseconds an operation; UINT64_MAX: it does not take them. All are back behind this, some by libcrypto. */
static uint64_t time_of(struct batch *b)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    unsigned out = 0;
    uint64_t start = batch_cpu_ns();
    for (unsigned i = 0; i < BATCH_LANES; i++) {
        struct batch_op *op = &b->making[i];
        list_init(&op->link);
        op->flight = NULL;
        op->result = BATCH_WAITS;
        out += batch_device_put(b, op, clock_us());
    }
    for (unsigned back = 0; back < out;) {
        batch_device_poll(b);
        batch_device_overdue(b, clock_us());
        back += take_ready(b);
        if (back < out)
            nanosleep(&pause, NULL);
    }
    return out == BATCH_LANES ? (batch_cpu_ns() - start) / BATCH_LANES : UINT64_MAX;
}

static bool is_right(struct batch *b, enum batch_kind kind)
{
    struct batch_op sure = b->making[0], *one = &sure;
    bool right = true;
    b->single.run(b->single.self, kind, &one, 1);
    for (unsigned i = 0; i < BATCH_LANES; i++) {
        const struct batch_op *op = &b->making[i];
        if (!batch_is_derive(kind))
            right &= op->result == (i == BATCH_LANES - 1 ? BATCH_BAD : BATCH_GOOD);
        else
            right &= op->result == BATCH_GOOD &&
                     CRYPTO_memcmp(op->exchange.shared, sure.exchange.shared, batch_curve(kind)->bytes) == 0;
    }
    explicit_bzero(&sure, sizeof(sure));
    return right;
}

/* False: a wrong answer, or none; cost_ns is what the cheapest of a few runs took. */
static bool try_sample(struct batch *b, enum batch_kind kind, uint64_t *cost_ns)
{
    struct stats mine = {0}, *const all = b->stats;
    bool right = true;
    *cost_ns = UINT64_MAX;
    b->stats = &mine;
    if (!batch_is_derive(kind))
        b->making[BATCH_LANES - 1].sign.digest[0] ^= 1;
    for (unsigned run = 0; right && run < RUNS; run++) {
        *cost_ns = min_u64(*cost_ns, time_of(b));
        right = is_right(b, kind) && mine.v[STAT_tls_batch_redone] + mine.v[STAT_tls_batch_lost] == 0;
    }
    b->stats = all;
    return right;
}

static bool try_kind(struct batch *b, enum batch_kind kind, bool compare, struct error *why)
{
    uint64_t cost_ns;
    bool right = batch_sample_make(b, kind, true) && try_sample(b, kind, &cost_ns);
    if (!right)
        error_set(why, "%s is wrong or silent (%s)", b->device.asym.name, batch_kind_name(kind));
    else if (compare && cost_ns >= batch_cost_ns(b, kind))
        batch_device_spare(b, kind);
    batch_sample_drop(b, kind);
    return right;
}

/* What it had to complain of while it was tried is told by who asked for it. */
static void forget(struct batch *b, unsigned complained, bool untold)
{
    b->complained = complained;
    b->untold = untold;
    b->device.strikes = 0;
    b->device.rest_until_us = 0;
    ERR_clear_error();
}

bool batch_trial(struct batch *b, bool compare, struct error *why)
{
    const unsigned complained = b->complained;
    const bool untold = b->untold;
    bool right = true;
    for (unsigned kind = 0; right && kind < BATCH_KINDS; kind++)
        if (batch_device_has(b, (enum batch_kind)kind))
            right = try_kind(b, (enum batch_kind)kind, compare, why);
    forget(b, complained, untold);
    return right;
}
