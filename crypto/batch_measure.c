/* batch_measure.c: from how many operations on eight lanes cost less than that many in libcrypto.
 *
 * The time of a call does not depend on how many lanes are filled, nor, but for RSA's, on the numbers: what
 * is measured are operations that nobody needs.  The best of a few runs is taken: what disturbs one only
 * ever makes it longer.
 */
#include "crypto/batch_inside.h"

#include <openssl/err.h>
#include <time.h>

#define RUNS 3u

uint64_t batch_cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t time_of(struct batch *b, const struct batch_backend *backend, enum batch_kind kind,
                        unsigned n)
{
    struct batch_op *op[BATCH_LANES];
    uint64_t best = UINT64_MAX;
    for (unsigned run = 0; run < RUNS; run++) {
        for (unsigned i = 0; i < n; i++) {
            op[i] = &b->making[i];
            op[i]->result = BATCH_WAITS;
        }
        uint64_t start = batch_cpu_ns();
        backend->run(backend->self, kind, op, n);
        best = min_u64(best, batch_cpu_ns() - start);
    }
    return max_u64(best, 1);
}

uint64_t batch_cost_ns(struct batch *b, enum batch_kind kind)
{
    uint64_t single_ns = time_of(b, &b->single, kind, 1);
    if (b->break_even[kind] == BATCH_NEVER)
        return single_ns;
    return min_u64(single_ns, time_of(b, &b->lanes, kind, BATCH_LANES) / BATCH_LANES);
}

static bool measure(struct batch *b, enum batch_kind kind)
{
    bool ok = batch_sample_make(b, kind, false);
    if (ok) {
        uint64_t lanes_ns = time_of(b, &b->lanes, kind, BATCH_LANES);
        uint64_t single_ns = time_of(b, &b->single, kind, 1);
        b->break_even[kind] = (uint8_t)min_u64(lanes_ns / single_ns + 1, BATCH_NEVER);
    }
    batch_sample_drop(b, kind);
    return ok;
}

bool batch_measure(struct batch *b, struct error *err)
{
    bool ok = true;
    for (unsigned kind = 0; ok && kind < BATCH_KINDS; kind++)
        if (b->break_even[kind] != BATCH_NEVER)
            ok = measure(b, (enum batch_kind)kind);
    ERR_clear_error();
    return ok ||
           error_set(err, "libcrypto fails at public keys of its own: is its default provider switched off?");
}
