/* record.h: what both halves of the record layer need: keys as OpenSSL hands them over, nonces, and the ciphers in pieces.
 *
 * RFC 8446 section 5, RFC 5246 section 6.2.3.3 with RFC 5288 and RFC 7905.  The ciphers are IPSec_MB's: a record that
 * spans eleven packets is eleven pieces to them, which EVP charges for.
 */
#ifndef CRYPTO_RECORD_H
#define CRYPTO_RECORD_H

#include "engine/base/bytes.h"

#include <intel-ipsec-mb.h>

#define RECORD_HEADER_BYTES         5u
#define RECORD_NONCE_BYTES          12u
#define RECORD_EXPLICIT_NONCE_BYTES 8u
#define RECORD_TAG_BYTES            16u
#define RECORD_AAD_MAX              13u
#define RECORD_PLAIN_MAX            16384u /* RFC 8446 section 5.1 */
#define RECORD_CHACHA_KEY_BYTES     32u

enum record_suite { RECORD_NONE, RECORD_AES_128_GCM, RECORD_AES_256_GCM, RECORD_CHACHA20_POLY1305 };

/* One direction's key; wiped by record_key_wipe. */
struct record_key {
    enum record_suite suite; /* RECORD_NONE: none yet */
    bool version_13;
    bool implicit_nonce; /* nothing of the nonce is on the wire */
    uint64_t sequence;   /* of the next record; RFC 8446 section 5.3 */
    uint64_t records;    /* under this key */
    uint8_t iv[RECORD_NONCE_BYTES];
    cache_aligned union {
        struct gcm_key_data gcm;
        uint8_t chacha[RECORD_CHACHA_KEY_BYTES];
    } key;
};

/* record_key_set takes what OpenSSL gives to a kernel: one of struct tls12_crypto_info_* of <linux/tls.h>; false: a cipher
 * that we do not speak.  Over an older key: that of a key update.
 */
bool record_key_set(struct record_key *key, IMB_MGR *mb, const void *crypto_info) must_check;
void record_key_wipe(struct record_key *key);

/* The nonce of the next record; explicit: the part that the peer sent, NULL where we make it up. */
void record_nonce(const struct record_key *key, const uint8_t *explicit, uint8_t nonce[RECORD_NONCE_BYTES]);

/* What is authenticated beside the text; plain_len counts in TLS 1.2, header in TLS 1.3.  Returns its length. */
size_t record_aad(const struct record_key *key, uint8_t type, size_t plain_len,
                  const uint8_t header[RECORD_HEADER_BYTES], uint8_t aad[RECORD_AAD_MAX]);

void record_put_be16(uint8_t *at, size_t v);

/* A record on its way through a cipher; holds nothing that outlives the call that made it. */
struct record_cipher {
    IMB_MGR *mb;
    struct record_key *key;
    union {
        struct gcm_context_data gcm;
        struct chacha20_poly1305_context_data chacha;
    } state;
};

void record_cipher_begin(struct record_cipher *c, const uint8_t nonce[RECORD_NONCE_BYTES], const uint8_t *aad,
                         size_t aad_len);
void record_cipher_seal(struct record_cipher *c, uint8_t *out, const uint8_t *in, size_t len);
void record_cipher_open(struct record_cipher *c, uint8_t *out, const uint8_t *in, size_t len);

/* The tag of what went through, either way. */
void record_cipher_tag(struct record_cipher *c, uint8_t tag[RECORD_TAG_BYTES]);

#endif
