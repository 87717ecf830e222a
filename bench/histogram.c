#include "bench/histogram.h"

uint32_t histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (uint32_t)value;
    uint32_t bits = 63u - (uint32_t)__builtin_clzll(value), octave = bits - 6;
    if (octave >= HISTOGRAM_OCTAVES)
        return HISTOGRAM_BUCKETS - 1;
    return HISTOGRAM_STEPS * (octave + 1) + (uint32_t)(value >> octave) - HISTOGRAM_STEPS;
}

uint64_t histogram_value(uint32_t bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    uint32_t octave = bucket / HISTOGRAM_STEPS - 1;
    return (((uint64_t)(bucket % HISTOGRAM_STEPS) + HISTOGRAM_STEPS + 1) << octave) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->least = h->total ? min_u64(h->least, value) : value;
    h->most = h->total && h->most > value ? h->most : value;
    h->count[histogram_bucket(value)]++;
    h->total++;
    h->sum += value;
}

uint64_t histogram_at(const struct histogram *h, double share)
{
    double wanted = share * (double)h->total - 1e-6; /* 0.29 of 100 is a little more than 29 */
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->count[i];
        if (seen > 0 && (double)seen >= wanted)
            return min_u64(histogram_value(i), h->most);
    }
    return 0;
}
