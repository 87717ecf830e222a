/* provider.h: an OpenSSL provider whose operations are the core's batches.
 *
 * libssl asks it for ephemeral keys, derivations and the check of the peer's handshake signature, because the core's
 * SSL_CTX prefers it (TLS_PROVIDER_QUERY); all else, chains included, stays with OpenSSL's default provider.  An operation
 * that has to wait for company suspends the handshake (work.h).  One core's, one thread's; nobody outside crypto/ sees it.
 *
 * It knows the keys of X25519, P-256 and P-384 that it has made itself, and of foreign ones those of certificates that were accepted
 * before (known.h) and the one whose signature the running session is about to check (tls.peer_key): any other it refuses, and
 * OpenSSL takes its own.
 */
#ifndef CRYPTO_PROVIDER_H
#define CRYPTO_PROVIDER_H

#include "crypto/batch.h"
#include "crypto/session.h"

#include <openssl/core_dispatch.h>

#define TLS_PROVIDER_NAME          "hardline"
/* Short, since OpenSSL hashes the query in each fetch, a hundred times a handshake. */
#define TLS_PROVIDER_PROPERTY      "provider=hl"
#define TLS_PROVIDER_QUERY         "?" TLS_PROVIDER_PROPERTY
/* What asks for nothing in this context gets OpenSSL's own: the halves of X25519MLKEM768 among others. */
#define TLS_PROVIDER_DEFAULT_QUERY "?provider=default"

/* tls_provider_load adds it to core->libctx, beside the default provider; core->batch is open, or NULL: then it has the key
 * schedule alone.
 */
bool tls_provider_load(struct tls_core *core, struct error *err) must_check;
void tls_provider_unload(struct tls_core *core); /* a core without it, too */

/* ---- among its files ---- */

struct provider {
    struct tls_core *core;
    OSSL_FUNC_BIO_read_ex_fn *bio_read; /* OpenSSL's */
};

/* A key as OpenSSL holds it: an ephemeral one of ours, the peer's half of an exchange, or the peer's key for signatures. */
struct provided_key {
    struct provider *provider;
    enum batch_group group; /* BATCH_GROUPS: none yet, or a key for signatures */
    bool has_own, has_peer;
    struct batch_pair own;
    uint8_t peer[BATCH_POINT_BYTES];
    struct batch_key *verify;
};

extern const OSSL_DISPATCH provided_x25519_keys[], provided_ec_keys[], provided_rsa_keys[];
extern const OSSL_DISPATCH provided_derivation[], provided_mac[];
extern const OSSL_DISPATCH provided_decoder[];
extern const OSSL_DISPATCH provided_exchange[], provided_ecdsa[], provided_rsa[];

/* provider_key.c: OpenSSL's names of the curves; BATCH_GROUPS: not one of ours. */
enum batch_group provided_group(const char *name);

/* How provider_decode.c hands a key over to provider_key.c, by way of OpenSSL: NULL once it was taken out. */
struct provided_reference {
    struct provided_key *key;
};

/* provider_key.c: a certificate's key; NULL: no memory.  provided_type is OpenSSL's name of such keys. */
struct provided_key *provided_key_known(struct provider *provider, struct batch_key *known);
const char *provided_type(const struct provided_key *key);
void provided_key_free(struct provided_key *key); /* NULL is fine */

/* What libssl passes as text; NULL: another type.  OSSL_PARAM_get_utf8_string_ptr looks for a pointer to text first, and
 * raises an error when it finds none: 1,400 instructions each time.
 */
static inline const char *provided_text(const OSSL_PARAM *p)
{
    return p->data_type == OSSL_PARAM_UTF8_STRING ? p->data : NULL;
}

#define PROVIDED(id, function) {(id), (void (*)(void))(function)}

#endif
