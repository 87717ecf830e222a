/* seal.h: our records, sealed straight into the packets that leave.
 *
 * OpenSSL believes that a kernel does its reading and writing: when the keys of a direction stand it hands them to our BIO
 * (its kernel-TLS control), then gives it what it has to say itself, alerts, key updates and the Finished of TLS 1.2, in
 * plain.  Application data never enters OpenSSL: spans of the caller's are encrypted into the sink's chunks, the one time
 * they are read.
 */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

#include "crypto/record.h"

/* RFC 8446 section 5.5: AES-GCM's limit is 2^24.5 full records under one key. */
#define SEAL_RECORDS_MAX (1ull << 24)

struct tls;

/* seal_record makes one record of that type from the first len bytes, at most RECORD_PLAIN_MAX, of the spans, and takes
 * them off.  False: the session cannot go on.
 */
bool seal_record(struct tls *tls, uint8_t type, struct span *part, unsigned parts, size_t len) must_check;

bool seal_worn(const struct tls *tls); /* the key has sealed as much as it may */

#endif
