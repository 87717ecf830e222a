/* known.h: public keys of certificates that were accepted before, found again by exactly the bytes of their SubjectPublicKeyInfo:
 * OpenSSL decodes a key for each certificate of each handshake, which costs twice what the rest of the certificate does.
 *
 * It says nothing of trust: a key is what its bytes are, whoever shows them.  Only what key_is_allowed (verify.c) has taken and the batch
 * can check signatures with is kept.  One core's, one thread's; the oldest of four makes room.
 */
#ifndef CRYPTO_KNOWN_H
#define CRYPTO_KNOWN_H

#include "crypto/batch.h"

#define KNOWN_SPKI_MAX 600u /* bytes; RSA-4096 has 550 */

struct known;

/* known_open: room for keys_max, rounded up; 0: nothing is ever kept or found. */
struct known *known_open(uint32_t keys_max, struct error *err) must_check;
void known_close(struct known *known);

/* NULL: not known.  Borrowed until the next known_keep. */
struct batch_key *known_find(const struct known *known, struct span spki);

/* known_keep holds key, which was made of these bytes.  Not kept: one for BATCH_OTHER_VERIFY, one whose bytes are not the usual
 * (RFC 5480: a named curve, an uncompressed point), one for which there is no memory.
 */
void known_keep(struct known *known, struct span spki, struct batch_key *key);

#endif
