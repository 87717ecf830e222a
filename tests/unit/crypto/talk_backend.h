/* talk_backend.h: who computes for the cores of tests, where HARDLINE_BACKEND in the environment says it.
 *
 *   libcrypto, crypto_mb     these
 *   toy, toy-fails, toy-goes the tests' own engine: well; failing at every other operation; silent for good after some
 *   qatengine                Debian's: without a device QAT_SW
 *   crypto_openssl           DPDK's cryptodev
 *
 * For programs that talk_backend.c is linked into; to the others all this is NULL.  One whose backend has not
 * computed what it should, or has and should not, fails at its end.
 */
#ifndef TESTS_UNIT_CRYPTO_TALK_BACKEND_H
#define TESTS_UNIT_CRYPTO_TALK_BACKEND_H

#include "crypto/tls.h"

/* False: the environment does not say; config stays as it is.  Ends the program, with all its cases left out, where this
 * machine does not have it.
 */
__attribute__((weak)) bool talk_backend(struct tls_core_config *config);

/* talk_backend_wait asks the core's backend until the session's operation is done. */
__attribute__((weak)) void talk_backend_wait(struct tls_core *core, const struct tls *tls);
__attribute__((weak)) void talk_backend_turn(struct tls_core *core);
__attribute__((weak)) void talk_backend_count(const struct stats *stats); /* of a core that is closed */

#endif
