/* proven.h: chains that OpenSSL has verified once, so that the next connection need not ask again.
 *
 * An entry says: these exact certificates satisfied exactly these reference names under exactly this set of trust
 * anchors, for a demand of this level, by this policy, of this generation of the rules; at which destination does not
 * matter.  Only successes are kept, and only until the first certificate of the chain expires, the configured lifetime is
 * over, or the wall clock is seen before the moment of the proof.  A reloaded trust set is another set: nothing that was
 * proven under the old one is found.  The key strength of the chain is part of what was proven; the handshake's
 * signature, the version and the cipher never are: they are judged in every handshake.
 *
 * One core's, one thread's.  Constant memory, taken at open; the oldest of four makes room.
 */
#ifndef CRYPTO_PROVEN_H
#define CRYPTO_PROVEN_H

#include "crypto/session.h"

#define PROVEN_KEY_BYTES 32u

struct proven_chain {
    uint8_t key[PROVEN_KEY_BYTES];
    uint64_t proven_s;    /* wall seconds; 0: an empty place */
    uint64_t until_s;     /* found while proven_s <= now < until_s */
    uint64_t not_after_s; /* of the chain's certificates, the earliest */
    uint8_t cert_sha256[TLS_DIGEST_BYTES];
    uint8_t spki_sha256[TLS_DIGEST_BYTES];
    char matched_name[TLS_NAME_MAX];
    struct batch_key *peer_key; /* the leaf's, held; NULL: none for batches */
};

/* proven_open: libctx is whose hash names chains; room for chains_max, rounded up; 0: nothing is ever kept or found.
 * lifetime_s: at most so long.
 */
struct proven *proven_open(OSSL_LIB_CTX *libctx, uint32_t chains_max, uint32_t lifetime_s,
                           struct error *err) must_check;
void proven_close(struct proven *proven);

/* proven_key names what is to be proven: the certificates as they were sent, the names, the trust set, and by whose demand.
 * False: it cannot be named (nothing is kept, out of memory, a chain too long); verify without.
 */
bool proven_key(struct proven *proven, const struct tls *tls, const STACK_OF(X509) * sent,
                uint8_t key[PROVEN_KEY_BYTES]) must_check;

/* NULL: not proven, or no longer.  Borrowed until the next proven_keep. */
const struct proven_chain *proven_find(const struct proven *proven, const uint8_t key[PROVEN_KEY_BYTES],
                                       uint64_t now_s);

/* proven_keep takes what was just verified: tls->verified with name, digests and expiry filled in, tls->peer_key. */
void proven_keep(struct proven *proven, const uint8_t key[PROVEN_KEY_BYTES], const struct tls *tls,
                 uint64_t now_s);

#endif
