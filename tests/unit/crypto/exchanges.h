/* exchanges.h: P-256 derivations of a batch, for tests of who computes them. */
#ifndef TESTS_UNIT_CRYPTO_EXCHANGES_H
#define TESTS_UNIT_CRYPTO_EXCHANGES_H

#include "crypto/batch_inside.h"

/* With a pair of the batch's own as the peer's, too; exchanges_put_peer: with spoil in its last byte. */
struct batch_op *exchanges_put(struct batch *b, uint64_t now_us);
struct batch_op *exchanges_put_peer(struct batch *b, unsigned spoil, uint64_t now_us);

/* Takes all that are ready, asserts that they are right, and counts them. */
unsigned exchanges_take(struct batch *b);

#endif
