/* tls_ctx.c: which TLS is spoken.  Everything is said here, nothing is left to openssl.cnf or to defaults. */
#include "crypto/session.h"

#include <openssl/err.h>

/* ECDHE and AEAD only: forward secrecy, no CBC, no static RSA. */
#define SUITES_12                                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* A star sends the key share with the first flight.  X25519MLKEM768's makes the ClientHello 1.5 kB long, on which old
 * servers hang (openssl#27557); unless told to send it, whoever prefers it asks for it with a HelloRetryRequest.
 */
#define GROUPS          "X25519MLKEM768:*X25519:P-256:P-384"
#define GROUPS_PQ_SHARE "*X25519MLKEM768:*X25519:P-256:P-384"

#define SIGNATURES                                                 \
    "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519:"       \
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:" \
    "rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"    \
    "rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512"

#define SECURITY_LEVEL         2     /* 112 bits: RSA from 2048, no SHA-1 in chains */
#define CERTIFICATES_MAX_BYTES 65536 /* of a server's Certificate message */
#define CHAIN_DEPTH_MAX        8     /* intermediates */

static bool set_limits(SSL_CTX *ctx, bool pq_share)
{
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_max_cert_list(ctx, CERTIFICATES_MAX_BYTES);
    SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH_MAX);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) && SSL_CTX_set_cipher_list(ctx, SUITES_12) &&
           SSL_CTX_set_ciphersuites(ctx, SUITES_13) &&
           SSL_CTX_set1_groups_list(ctx, pq_share ? GROUPS_PQ_SHARE : GROUPS) &&
           SSL_CTX_set1_sigalgs_list(ctx, SIGNATURES);
}

#ifdef OPENSSL_NO_KTLS
#error \
    "OpenSSL hands over the keys for writing by its kernel-TLS interface (seal.h); this one was built without"
#endif

static void set_options(SSL_CTX *ctx)
{
    SSL_CTX_clear_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                   SSL_OP_NO_EXTENDED_MASTER_SECRET | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                   SSL_OP_ALLOW_NO_DHE_KEX);
    SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_NO_TICKET | SSL_OP_NO_RX_CERTIFICATE_COMPRESSION |
                                 SSL_OP_NO_TX_CERTIFICATE_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_clear_mode(ctx, SSL_MODE_SEND_FALLBACK_SCSV | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(ctx, 0); /* tls_input counts what was consumed: never more than whole records */
}

/* OpenSSL finds no session by itself: it shows what it gets, and offers what resume.c sets. */
static void set_resumption(SSL_CTX *ctx)
{
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL |
                                            SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_sess_set_new_cb(ctx, resume_new_session);
}

SSL_CTX *tls_ctx_make(OSSL_LIB_CTX *libctx, const char *query, bool pq_share, bool resume, struct error *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new_ex(libctx, query, TLS_client_method());
    if (!ctx || !set_limits(ctx, pq_share)) {
        error_set(err, "OpenSSL does not take the TLS settings: %s", tls_reason());
        SSL_CTX_free(ctx);
        return NULL;
    }
    set_options(ctx);
    if (resume)
        set_resumption(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, NULL);
    return ctx;
}
