/* bench/parts.h: what the parts of a case cost at the least on this machine, by themselves.  scripts/lib/bench/limits.py
 * makes limits of them.
 */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include "engine/base/error.h"

#include <time.h>

#define PARTS_REPEAT    5u
#define PARTS_REPEAT_NS 40000000u

/* Seconds of CPU each; 0: it could not be measured. */
struct parts_crypto {
    double x25519_s;                    /* one multiplication: a key exchange takes two */
    double verify_rsa_s, verify_p256_s; /* one signature, RSA-2048 with exponent 65537 */
    double key_schedule_s;              /* of a TLS 1.3 handshake with its transcript hash, SHA-256 */
    double gcm_small_s, gcm_large_s;    /* AES-128-GCM, a byte, in records of 1,400 and 16,384 bytes */
    const char *public_keys, *gcm;      /* who does them */
};

struct parts_port {
    double transmit_s, receive_s; /* a packet: 1,514 bytes out, 66 in, in bursts of 32 */
};

/* A step that is repeated for PARTS_REPEAT_NS, PARTS_REPEAT times; parts_time gives the CPU time of the fastest, for one
 * call; 0 when a call has failed.
 */
typedef bool parts_step(void *ctx);
double parts_time(parts_step *step, void *ctx);

bool parts_crypto_measure(struct parts_crypto *found, struct error *err) must_check;

/* parts_crypto_batched takes the better figures of crypto_mb, eight at once, where CPU and build have it. */
void parts_crypto_batched(struct parts_crypto *found);

/* parts_crypto_ipsec takes IPSec_MB's AES-GCM where the build has it and it is faster. */
void parts_crypto_ipsec(struct parts_crypto *found);

/* parts_port_measure opens both ends of a memif pair in this process; EAL runs. */
bool parts_port_measure(struct parts_port *found, const char *socket, bool zero_copy,
                        struct error *err) must_check;

#endif
