/* verify.c: is the peer who it must be, and the connection what it must be?  The only maker of struct tls_verified.
 *
 * verify_peer runs inside the handshake, before our Finished: a server that fails it never sees the handshake
 * complete.  verify_finish runs once behind the handshake and before TLS_OPEN; what it cannot vouch for fails.
 */
#include "crypto/batch.h"
#include "crypto/known.h"
#include "crypto/proven.h"
#include "crypto/ticket.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#define RSA_BITS_MIN          2048
#define RSA_BITS_MAX          8192
#define RSA_EXPONENT_BITS_MAX 64
#define SIGNATURE_BITS_MIN    128 /* SHA-256 and up */

/* ---- keys and signatures ---- */

static bool curve_is_allowed(const EVP_PKEY *key)
{
    char curve[64];
    size_t len;
    return EVP_PKEY_get_group_name(key, curve, sizeof(curve), &len) == 1 &&
           (strcmp(curve, SN_X9_62_prime256v1) == 0 || strcmp(curve, SN_secp384r1) == 0);
}

/* Nearly all exponents are 65537; a long one makes each verification cost us what a signature costs. */
static bool rsa_is_allowed(const EVP_PKEY *key)
{
    BIGNUM *e = NULL;
    int bits = EVP_PKEY_get_bits(key);
    bool ok = bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
              BN_num_bits(e) <= RSA_EXPONENT_BITS_MAX;
    BN_free(e);
    return ok;
}

static bool key_is_allowed(X509 *cert)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    if (!key)
        return false;
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
        return rsa_is_allowed(key);
    return EVP_PKEY_is_a(key, "EC") ? curve_is_allowed(key) : EVP_PKEY_is_a(key, "ED25519");
}

static bool signature_is_allowed(X509 *cert)
{
    int bits;
    return X509_get_signature_info(cert, NULL, NULL, &bits, NULL) == 1 && bits >= SIGNATURE_BITS_MIN;
}

/* The anchor, last in the chain, is trusted as a key: its own signature proves nothing and is not looked at. */
static bool chain_is_strong(struct tls *tls, STACK_OF(X509) * chain)
{
    int last = sk_X509_num(chain) - 1;
    for (int i = 0; i <= last; i++) {
        X509 *cert = sk_X509_value(chain, i);
        if (!key_is_allowed(cert)) {
            explain_weak(tls, cert, "key");
            return false;
        }
        if (i < last && !signature_is_allowed(cert)) {
            explain_weak(tls, cert, "signature");
            return false;
        }
    }
    return true;
}

/* ---- names, RFC 9525 section 6 ---- */

#define HOST_FLAGS     (X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
#define NOT_AN_ADDRESS (-2)

/* An IP address matches iPAddress only, section 6.4; a name dNSName only, never the subject's CN, section 6.3. */
static bool name_matches(X509 *leaf, const char *name, char matched[TLS_NAME_MAX])
{
    char *presented = NULL;
    int is_address = X509_check_ip_asc(leaf, name, 0);
    bool ok = is_address == NOT_AN_ADDRESS ? X509_check_host(leaf, name, 0, HOST_FLAGS, &presented) == 1
                                           : is_address == 1;
    if (ok) {
        const char *text = presented ? presented : name;
        size_t len = min_size(strlen(text), TLS_NAME_MAX - 1);
        memcpy(matched, text, len);
        matched[len] = '\0';
    }
    OPENSSL_free(presented);
    return ok;
}

static bool names_match(struct tls *tls, X509 *leaf)
{
    uint32_t wanted = 0, found = 0;
    char matched[TLS_NAME_MAX];
    for (unsigned i = 0; i < tls->names; i++) {
        uint32_t group = 1u << tls->group[i];
        wanted |= group;
        if ((found & group) || !name_matches(leaf, tls->name[i], matched))
            continue;
        if (!found)
            memcpy(tls->verified.matched_name, matched, strlen(matched) + 1);
        found |= group;
    }
    return wanted != 0 && found == wanted;
}

/* ---- the certificate ---- */

static uint64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(time, &tm))
        return 0;
    time_t s = timegm(&tm);
    return s > 0 ? (uint64_t)s : 0;
}

static uint64_t earliest_end(STACK_OF(X509) * chain)
{
    uint64_t earliest = UINT64_MAX;
    for (int i = 0; i < sk_X509_num(chain); i++)
        earliest = min_u64(earliest, seconds_of(X509_get0_notAfter(sk_X509_value(chain, i))));
    return earliest == UINT64_MAX ? 0 : earliest;
}

static int refuse(X509_STORE_CTX *ctx, int code)
{
    X509_STORE_CTX_set_error(ctx, code); /* chooses the alert that the server gets */
    return 0;
}

static bool fill_digests(struct tls *tls, X509 *leaf)
{
    struct tls_verified *v = &tls->verified;
    const EVP_MD *sha256 = tls->core->digest;
    uint8_t *spki = NULL;
    unsigned cert_len = 0, spki_len = 0;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki);
    bool ok = len > 0 && X509_digest(leaf, sha256, v->cert_sha256, &cert_len) == 1 &&
              EVP_Digest(spki, (size_t)len, v->spki_sha256, &spki_len, sha256, NULL) == 1;
    OPENSSL_free(spki);
    return ok && cert_len == TLS_DIGEST_BYTES && spki_len == TLS_DIGEST_BYTES;
}

/* All that a demand asks of a chain, by OpenSSL. */
static int verify_chain(struct tls *tls, X509_STORE_CTX *ctx)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    if (X509_verify_cert(ctx) != 1) {
        explain_chain(tls, ctx);
        if (X509_STORE_CTX_get_error(ctx) == X509_V_OK)
            X509_STORE_CTX_set_error(ctx, X509_V_ERR_UNSPECIFIED);
        return 0;
    }
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    if (!chain_is_strong(tls, chain))
        return refuse(ctx, X509_V_ERR_EE_KEY_TOO_SMALL);
    if (!names_match(tls, leaf)) {
        explain_names(tls, leaf);
        return refuse(ctx, X509_V_ERR_HOSTNAME_MISMATCH);
    }
    tls->verified.not_after_s = earliest_end(chain);
    return fill_digests(tls, leaf);
}

static void repeat_proof(struct tls *tls, const struct proven_chain *proof)
{
    struct tls_verified *v = &tls->verified;
    v->remembered = true;
    v->not_after_s = proof->not_after_s;
    memcpy(v->cert_sha256, proof->cert_sha256, TLS_DIGEST_BYTES);
    memcpy(v->spki_sha256, proof->spki_sha256, TLS_DIGEST_BYTES);
    memcpy(v->matched_name, proof->matched_name, TLS_NAME_MAX);
    tls->peer_key = proof->peer_key ? batch_key_hold(proof->peer_key) : NULL;
}

/* ---- keys that are known, from certificates that were accepted before (known.h) ---- */

/* Whether provider_decode.c has answered for its key. */
static bool has_known_key(const struct tls *tls, X509 *cert)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    return key && EVP_PKEY_get0_provider(key) == tls->core->provider;
}

static struct batch_key *prepare(struct tls *tls, X509 *cert, struct span spki)
{
    struct batch_key *key = known_find(tls->core->known, spki);
    if (key)
        return batch_key_hold(key);
    key = batch_key_make(tls->core->libctx, X509_get0_pubkey(cert));
    if (key && batch_key_kind(key) != BATCH_OTHER_VERIFY) {
        known_keep(tls->core->known, spki, key);
        return key;
    }
    batch_key_drop(key);
    return NULL;
}

/* For a signature that follows, and for the next handshake, a key that was allowed.  NULL: OpenSSL checks by itself. */
static struct batch_key *prepare_key(struct tls *tls, X509 *cert)
{
    uint8_t *spki = NULL;
    if (!tls->core->batch || !X509_get0_pubkey(cert))
        return NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    struct batch_key *key = len > 0 ? prepare(tls, cert, (struct span){spki, (size_t)len}) : NULL;
    OPENSSL_free(spki);
    return key;
}

/* The chain was judged, anchor included (chain_is_strong). */
static void prepare_keys(struct tls *tls, X509_STORE_CTX *ctx)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    tls->peer_key = prepare_key(tls, X509_STORE_CTX_get0_cert(ctx));
    for (int i = 1; i < sk_X509_num(chain); i++)
        batch_key_drop(prepare_key(tls, sk_X509_value(chain, i)));
}

static STACK_OF(X509) * parse_afresh(struct tls *tls, STACK_OF(X509) * sent)
{
    STACK_OF(X509) *fresh = sk_X509_new_reserve(NULL, sk_X509_num(sent));
    bool ok = fresh != NULL;
    tls->core->keys_afresh = true;
    for (int i = 0; ok && i < sk_X509_num(sent); i++) {
        X509 *cert = X509_dup(sk_X509_value(sent, i));
        ok = cert && sk_X509_push(fresh, cert) > 0 && !has_known_key(tls, cert);
    }
    tls->core->keys_afresh = false;
    if (ok)
        return fresh;
    sk_X509_pop_free(fresh, X509_free);
    return NULL;
}

static int judge_chain(struct tls *tls, X509_STORE_CTX *ctx)
{
    if (!verify_chain(tls, ctx))
        return 0;
    prepare_keys(tls, ctx);
    return 1;
}

/* What is not proven yet is judged by keys that OpenSSL has decoded, all of them: what is known can then let nothing pass. */
static int judge_afresh(struct tls *tls, X509_STORE_CTX *ctx)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx), *fresh = parse_afresh(tls, sent);
    if (!fresh)
        return refuse(ctx, X509_V_ERR_OUT_OF_MEM);
    X509_STORE_CTX_set_cert(ctx, sk_X509_value(fresh, 0));
    X509_STORE_CTX_set0_untrusted(ctx, fresh);
    int ok = judge_chain(tls, ctx);
    X509_STORE_CTX_set_cert(ctx, leaf);
    X509_STORE_CTX_set0_untrusted(ctx, sent);
    sk_X509_pop_free(fresh, X509_free);
    return ok;
}

static bool any_key_is_known(const struct tls *tls, STACK_OF(X509) * sent)
{
    for (int i = 0; i < sk_X509_num(sent); i++)
        if (has_known_key(tls, sk_X509_value(sent, i)))
            return true;
    return false;
}

/* ---- what a demand asks ---- */

/* time() is the clock by which OpenSSL judges the chain. */
static int verify_pkix(struct tls *tls, X509_STORE_CTX *ctx)
{
    struct proven *proven = tls->core->proven;
    const uint64_t now_s = (uint64_t)time(NULL);
    uint8_t key[PROVEN_KEY_BYTES];
    bool keyed = proven_key(proven, tls, X509_STORE_CTX_get0_untrusted(ctx), key);
    const struct proven_chain *proof = keyed ? proven_find(proven, key, now_s) : NULL;
    if (proof) {
        repeat_proof(tls, proof);
        stat_inc(tls->core->stats, STAT_tls_chains_proven);
        X509_STORE_CTX_set_error(ctx, X509_V_OK);
        return 1;
    }
    stat_inc(tls->core->stats, STAT_tls_chains_verified);
    if (!(any_key_is_known(tls, X509_STORE_CTX_get0_untrusted(ctx)) ? judge_afresh : judge_chain)(tls, ctx))
        return 0;
    if (keyed)
        proven_keep(proven, key, tls, now_s);
    return 1;
}

/* Without authentication the key still signs the handshake: it has to be worth something.  A known one was found to be. */
static int verify_key(struct tls *tls, X509_STORE_CTX *ctx)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    if (has_known_key(tls, leaf) || key_is_allowed(leaf)) {
        tls->peer_key = prepare_key(tls, leaf);
        return fill_digests(tls, leaf);
    }
    explain_weak(tls, leaf, "key");
    return refuse(ctx, X509_V_ERR_EE_KEY_TOO_SMALL);
}

int verify_peer(X509_STORE_CTX *ctx, void *unused)
{
    (void)unused;
    const SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_get_app_data(ssl);
    if (!X509_STORE_CTX_get0_cert(ctx))
        return refuse(ctx, X509_V_ERR_UNSPECIFIED);
    int ok = tls->pkix ? verify_pkix(tls, ctx) : verify_key(tls, ctx);
    tls->peer_accepted = ok == 1;
    if (!ok) {
        batch_key_drop(tls->peer_key);
        tls->peer_key = NULL;
    }
    return ok;
}

/* ---- the proof ---- */

/* RFC 7627 and RFC 5746 are part of TLS 1.3; a TLS 1.2 server must signal both. */
static bool protocol_is_allowed(struct tls *tls)
{
    SSL *ssl = tls->ssl;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    int version = SSL_version(ssl);
    const char *missing = NULL;
    if (version < tls->min_version || version < TLS1_2_VERSION)
        missing = "the TLS version that is demanded";
    else if (!cipher || !SSL_CIPHER_is_aead(cipher))
        missing = "an authenticated cipher";
    else if (version == TLS1_2_VERSION && SSL_CIPHER_get_kx_nid(cipher) != NID_kx_ecdhe)
        missing = "forward secrecy";
    else if (version == TLS1_2_VERSION && SSL_get_extms_support(ssl) != 1)
        missing = "the extended master secret (RFC 7627)";
    else if (version == TLS1_2_VERSION && !SSL_get_secure_renegotiation_support(ssl))
        missing = "secure renegotiation (RFC 5746)";
    if (missing)
        explain(tls, FAULT_REMOTE, REASON_TLS_HANDSHAKE,
                "%s speaks %s without %s: its TLS library is too old and has to be updated", tls->peer,
                SSL_get_version(ssl), missing);
    return !missing;
}

static void copy_name(char *out, size_t cap, const char *name)
{
    size_t len = name ? min_size(strlen(name), cap - 1) : 0;
    memcpy(out, name ? name : "", len);
    out[len] = '\0';
}

static void fill_evidence(struct tls *tls)
{
    struct tls_verified *v = &tls->verified;
    const char *signature = NULL, *group = SSL_get0_group_name(tls->ssl);
    v->version = (uint16_t)SSL_version(tls->ssl);
    v->pkix = tls->pkix;
    v->trust_name = tls->pkix ? tls_trust_name(tls->trust) : "";
    copy_name(v->cipher, sizeof(v->cipher), SSL_CIPHER_standard_name(SSL_get_current_cipher(tls->ssl)));
    if (!v->resumed || v->version == TLS1_3_VERSION) /* TLS 1.2 resumes without another exchange */
        copy_name(v->group, sizeof(v->group), group);
    if (v->resumed)
        return;
    SSL_get0_peer_signature_name(tls->ssl, &signature);
    copy_name(v->signature, sizeof(v->signature), signature);
}

/* A resumed session shows no certificate: it was judged when what resumes it was given to us, for the same question. */
static bool judged_before(struct tls *tls)
{
    if (!resume_is_ours(tls))
        return false;
    resume_proof(tls);
    tls->verified.resumed = true;
    return true;
}

static bool judged_now(struct tls *tls)
{
    tls->proved = ticket_now();
    return SSL_get0_peer_certificate(tls->ssl) && tls->peer_accepted;
}

bool verify_finish(struct tls *tls)
{
    bool judged = SSL_session_reused(tls->ssl) ? judged_before(tls) : judged_now(tls);
    if (!judged || (tls->pkix && SSL_get_verify_result(tls->ssl) != X509_V_OK)) {
        explain(tls, FAULT_LOCAL, REASON_TLS_HANDSHAKE, "the certificate of %s has not been judged",
                tls->peer);
        return false;
    }
    if (!protocol_is_allowed(tls))
        return false;
    fill_evidence(tls);
    return true;
}
