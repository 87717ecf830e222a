/* seal.h: our records, sealed straight into the packets that leave.
 *
 * OpenSSL believes that a kernel does its writing: when the keys for a session's writing stand it hands them to our BIO
 * (its kernel-TLS control), then gives it what it has to say itself, alerts, key updates and the Finished of TLS 1.2, in plain.
 * Application data never enters OpenSSL: spans of the caller's are encrypted into the sink's chunks, the one time they are
 * read.  RFC 8446 section 5, RFC 5246 section 6.2.3.3 with RFC 5288 and RFC 7905.
 *
 * The ciphers are IPSec_MB's: a record that spans eleven packets is eleven pieces to them, which EVP charges for.
 */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

#include "engine/base/bytes.h"

#include <intel-ipsec-mb.h>

#define SEAL_NONCE_BYTES 12u
#define SEAL_TAG_BYTES   16u
#define SEAL_CHACHA_KEY  32u
#define RECORD_PLAIN_MAX 16384u /* RFC 8446 section 5.1 */

/* RFC 8446 section 5.5: AES-GCM's limit is 2^24.5 full records under one key. */
#define SEAL_RECORDS_MAX (1ull << 24)

struct tls;

enum seal_suite { SEAL_NONE, SEAL_AES_128_GCM, SEAL_AES_256_GCM, SEAL_CHACHA20_POLY1305 };

/* What a session writes with; wiped by seal_close. */
struct seal {
    enum seal_suite suite; /* SEAL_NONE: no keys yet, what OpenSSL writes is finished records */
    uint64_t sequence;     /* of the next record; RFC 8446 section 5.3 */
    uint64_t records;      /* under this key */
    uint8_t iv[SEAL_NONCE_BYTES];
    uint8_t type; /* of what OpenSSL writes next */
    bool version_13, implicit_nonce;
    cache_aligned union {
        struct gcm_key_data gcm;
        uint8_t chacha[SEAL_CHACHA_KEY];
    } key;
};

/* seal_key takes what OpenSSL hands over: one of struct tls12_crypto_info_* of <linux/tls.h>.  Again after a key update. */
bool seal_key(struct tls *tls, const void *crypto_info) must_check;

/* seal_record makes one record of that type from the first len bytes, at most RECORD_PLAIN_MAX, of the spans, and takes
 * them off.  False: the session cannot go on.
 */
bool seal_record(struct tls *tls, uint8_t type, struct span *part, unsigned parts, size_t len) must_check;

bool seal_worn(const struct tls *tls); /* the key has sealed as much as it may */
void seal_close(struct seal *seal);

#endif
