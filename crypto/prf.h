/* crypto/prf.h: keyed pseudo-random numbers for initial sequence numbers (RFC 6528), time stamp offsets and hash seeds. */
#ifndef CRYPTO_PRF_H
#define CRYPTO_PRF_H

#include "engine/base/error.h"

struct prf; /* one per core: the key and a prepared context */

struct prf *prf_open(struct error *err) must_check; /* a fresh random key */
void prf_close(struct prf *prf);                    /* wipes the key */

/* prf_u64 gives 64 bits that nobody without the key can foretell: SipHash of the input. */
uint64_t prf_u64(struct prf *prf, const void *in, size_t in_len);

/* prf_random fills out with random bytes of libcrypto; asserts that they could be had. */
void prf_random(void *out, size_t len);

#endif
