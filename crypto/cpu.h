/* cpu.h: what of the CPU is used. */
#ifndef CRYPTO_CPU_H
#define CRYPTO_CPU_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* HARDLINE_VECTORS=off in the environment: no AVX-512, as on a CPU that has none.  For tests; libcrypto's own are masked by
 * OPENSSL_ia32cap.
 */
static inline bool cpu_vectors_are_off(void)
{
    const char *said = secure_getenv("HARDLINE_VECTORS");
    return said && strcmp(said, "off") == 0;
}

#endif
