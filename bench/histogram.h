/* bench/histogram.h: how often which value was seen, to within 1.6 %: buckets in steps of 1/64 of a power of two, the
 * idea of HdrHistogram.  Fixed memory; nothing is dropped: what is beyond the last bucket counts there.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include "engine/base/base.h"

#define HISTOGRAM_STEPS   64u /* buckets an octave; below that, a bucket a value */
#define HISTOGRAM_OCTAVES 34u /* up to 2^40: twelve days of microseconds */
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * (HISTOGRAM_OCTAVES + 1u))

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS];
    uint64_t total, sum, least, most; /* least and most: exact; only where total > 0 */
};

void histogram_add(struct histogram *h, uint64_t value);

/* histogram_at gives the value below or at which `share` (in [0, 1]) of all were seen; 0 when there is none. */
uint64_t histogram_at(const struct histogram *h, double share);

uint32_t histogram_bucket(uint64_t value); /* the number of its bucket */
uint64_t histogram_value(uint32_t bucket); /* the greatest value that belongs to it */

#endif
