/* explain.c: why a handshake failed, in words for whoever runs one of the two mail servers.
 *
 * Everything that a certificate says of itself is foreign text: it is cut and made printable before it is told.
 */
#include "crypto/session.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SUBJECT_MAX   64 /* of a name in a sentence, NUL included */
#define PRESENTED_MAX 112
#define WANTED_MAX    96

/* RFC 3463 X.7.5, cryptographic failure. */
static const uint8_t enhanced[3] = {4, 7, 5};

void explain(struct tls *tls, enum fault fault, enum reason reason, const char *fmt, ...)
{
    if (tls->failure.verdict != VERDICT_NONE)
        return;
    char text[OUTCOME_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    outcome_set(&tls->failure, VERDICT_DEFERRED, STAGE_TLS, fault, reason, "%s", text);
    memcpy(tls->failure.enhanced, enhanced, sizeof(enhanced));
}

/* ---- foreign text ---- */

static void put_printable(char *out, size_t cap, const unsigned char *text, int len)
{
    size_t n = 0;
    for (int i = 0; i < len && n + 1 < cap; i++)
        out[n++] = text[i] > ' ' && text[i] < 0x7f ? (char)text[i] : text[i] == ' ' ? ' ' : '?';
    out[n] = '\0';
}

/* The CN, else the last part of the name, else the serial number of nobody: "(no name)". */
static void short_name(const X509_NAME *name, char out[SUBJECT_MAX])
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0)
        at = X509_NAME_entry_count(name) - 1;
    const X509_NAME_ENTRY *entry = at >= 0 ? X509_NAME_get_entry(name, at) : NULL;
    if (!entry) {
        snprintf(out, SUBJECT_MAX, "(no name)");
        return;
    }
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
    put_printable(out, SUBJECT_MAX, ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
}

static void add_text(char *out, size_t cap, const char *separator, const char *text)
{
    size_t used = strlen(out);
    snprintf(out + used, cap - used, "%s%s", used ? separator : "", text);
}

/* The text of a DNS name or an address; false for what proves no host. */
static bool host_of(const GENERAL_NAME *name, char out[SUBJECT_MAX])
{
    const ASN1_STRING *value = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
    if (name->type == GEN_DNS)
        put_printable(out, SUBJECT_MAX, ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
    else if (name->type == GEN_IPADD && ASN1_STRING_length(value) == 4)
        inet_ntop(AF_INET, ASN1_STRING_get0_data(value), out, SUBJECT_MAX);
    else if (name->type == GEN_IPADD && ASN1_STRING_length(value) == 16)
        inet_ntop(AF_INET6, ASN1_STRING_get0_data(value), out, SUBJECT_MAX);
    else
        return false;
    return true;
}

/* "a.example, b.example and 7 more": the certificate's hosts as far as they fit. */
static void presented_names(X509 *leaf, char out[PRESENTED_MAX])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    char one[SUBJECT_MAX], more[32];
    int left = 0;
    out[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (!host_of(sk_GENERAL_NAME_value(names, i), one))
            continue;
        if (left || strlen(out) + strlen(one) + 20 > PRESENTED_MAX)
            left++;
        else
            add_text(out, PRESENTED_MAX, ", ", one);
    }
    GENERAL_NAMES_free(names);
    snprintf(more, sizeof(more), " and %d more", left);
    if (left)
        add_text(out, PRESENTED_MAX, "", more);
    if (!out[0])
        snprintf(out, PRESENTED_MAX, "no DNS name at all");
}

/* "a or .b, and c": alternatives of a group, groups. */
static void wanted_names(const struct tls *tls, char out[WANTED_MAX])
{
    out[0] = '\0';
    for (unsigned group = 0; group < TLS_NAMES_MAX; group++) {
        const char *separator = ", and ";
        for (unsigned i = 0; i < tls->names; i++) {
            if (tls->group[i] != group)
                continue;
            add_text(out, WANTED_MAX, separator, tls->name[i]);
            separator = " or ";
        }
    }
}

static void date_of(const ASN1_TIME *time, char out[32])
{
    struct tm tm;
    if (!time || !ASN1_TIME_to_tm(time, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm))
        snprintf(out, 32, "a time unknown");
}

/* ---- certificates ---- */

/* "the certificate" or, for what stands above it, "CA certificate 'X' above the certificate". */
static void which_certificate(X509_STORE_CTX *ctx, char out[SUBJECT_MAX + 48])
{
    char subject[SUBJECT_MAX];
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    if (X509_STORE_CTX_get_error_depth(ctx) == 0 || !cert) {
        snprintf(out, SUBJECT_MAX + 48, "the certificate");
        return;
    }
    short_name(X509_get_subject_name(cert), subject);
    snprintf(out, SUBJECT_MAX + 48, "CA certificate \"%s\" above the certificate", subject);
}

static void explain_time(struct tls *tls, X509_STORE_CTX *ctx, bool too_early)
{
    char which[SUBJECT_MAX + 48], when[32];
    const X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    which_certificate(ctx, which);
    date_of(cert ? too_early ? X509_get0_notBefore(cert) : X509_get0_notAfter(cert) : NULL, when);
    explain(tls, FAULT_REMOTE, REASON_CERTIFICATE_EXPIRED, "%s of %s %s %s%s", which, tls->peer,
            too_early ? "is not valid before" : "expired on", when,
            too_early ? "; is this machine's clock right?" : "; its operator has to renew it");
}

static void explain_issuer(struct tls *tls, X509_STORE_CTX *ctx)
{
    char issuer[SUBJECT_MAX];
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    short_name(X509_get_issuer_name(cert ? cert : X509_STORE_CTX_get0_cert(ctx)), issuer);
    explain(
        tls, FAULT_REMOTE, REASON_CERTIFICATE_NOT_TRUSTED,
        "the certificate of %s leads to \"%s\", which is not among the CAs trusted here (%s), and no other "
        "certificate was sent for it",
        tls->peer, issuer, tls_trust_name(tls->trust));
}

static void explain_self_signed(struct tls *tls, X509_STORE_CTX *ctx)
{
    char subject[SUBJECT_MAX];
    short_name(X509_get_subject_name(X509_STORE_CTX_get0_cert(ctx)), subject);
    explain(tls, FAULT_REMOTE, REASON_CERTIFICATE_SELF_SIGNED,
            "the certificate of %s (\"%s\") is self-signed; wanted one from a CA trusted here (%s)",
            tls->peer, subject, tls_trust_name(tls->trust));
}

static void explain_unknown_root(struct tls *tls, X509_STORE_CTX *ctx)
{
    char root[SUBJECT_MAX];
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    short_name(X509_get_subject_name(cert ? cert : X509_STORE_CTX_get0_cert(ctx)), root);
    explain(tls, FAULT_REMOTE, REASON_CERTIFICATE_NOT_TRUSTED,
            "the certificate of %s comes from the CA \"%s\", which is not among those trusted here (%s)",
            tls->peer, root, tls_trust_name(tls->trust));
}

void explain_weak(struct tls *tls, X509 *cert, const char *what)
{
    char subject[SUBJECT_MAX];
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    short_name(X509_get_subject_name(cert), subject);
    explain(
        tls, FAULT_REMOTE, REASON_CERTIFICATE_WEAK,
        "certificate \"%s\" of %s (%s, %d bits, signed with %s): its %s is not accepted; wanted RSA of 2048 to 8192 bits, "
        "P-256, P-384 or Ed25519, and SHA-256 or better",
        subject, tls->peer, key ? EVP_PKEY_get0_type_name(key) : "unknown key",
        key ? EVP_PKEY_get_bits(key) : 0, OBJ_nid2sn(X509_get_signature_nid(cert)), what);
}

static void explain_signature(struct tls *tls, X509_STORE_CTX *ctx)
{
    char which[SUBJECT_MAX + 48];
    which_certificate(ctx, which);
    explain(
        tls, FAULT_REMOTE, REASON_CERTIFICATE_NOT_TRUSTED,
        "%s of %s was not signed by the CA that it names: a CA of that name is known here, but with another key",
        which, tls->peer);
}

static void explain_other(struct tls *tls, X509_STORE_CTX *ctx, int code)
{
    char which[SUBJECT_MAX + 48];
    which_certificate(ctx, which);
    explain(tls, FAULT_REMOTE, REASON_CERTIFICATE_NOT_TRUSTED, "%s of %s is not acceptable: %s", which,
            tls->peer, X509_verify_cert_error_string(code));
}

void explain_chain(struct tls *tls, X509_STORE_CTX *ctx)
{
    int code = X509_STORE_CTX_get_error(ctx);
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED: explain_time(tls, ctx, false); return;
    case X509_V_ERR_CERT_NOT_YET_VALID: explain_time(tls, ctx, true); return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: explain_self_signed(tls, ctx); return;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: explain_unknown_root(tls, ctx); return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: explain_issuer(tls, ctx); return;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: explain_signature(tls, ctx); return;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
        explain_weak(tls, cert ? cert : X509_STORE_CTX_get0_cert(ctx), "key");
        return;
    case X509_V_ERR_CA_MD_TOO_WEAK:
        explain_weak(tls, cert ? cert : X509_STORE_CTX_get0_cert(ctx), "signature");
        return;
    case X509_V_ERR_OUT_OF_MEM:
        explain(tls, FAULT_LOCAL, REASON_LIMIT, "no memory to verify the certificate of %s", tls->peer);
        return;
    default: explain_other(tls, ctx, code);
    }
}

void explain_names(struct tls *tls, X509 *leaf)
{
    char presented[PRESENTED_MAX], wanted[WANTED_MAX];
    presented_names(leaf, presented);
    wanted_names(tls, wanted);
    explain(tls, FAULT_REMOTE, REASON_CERTIFICATE_HOST_MISMATCH,
            "the certificate of %s is for %s, not for %s", tls->peer, presented, wanted);
}

/* ---- everything else that OpenSSL refuses ---- */

struct library_failure {
    int code; /* SSL_R_* */
    enum fault fault;
    enum reason reason;
    const char *text; /* behind the server's name */
};

#define TOO_OLD "offers no TLS version that is accepted"
#define NOTHING_SHARED                                                                                            \
    "refused the handshake, most likely for want of a cipher suite, group or signature algorithm that is strong " \
    "enough"
#define BAD_SUITE "chose a cipher suite that was not offered"

static const struct library_failure library_failures[] = {
    {SSL_R_UNSUPPORTED_PROTOCOL, FAULT_REMOTE, REASON_TLS_VERSION, TOO_OLD},
    {SSL_R_WRONG_SSL_VERSION, FAULT_REMOTE, REASON_TLS_VERSION, TOO_OLD},
    {SSL_R_UNSUPPORTED_SSL_VERSION, FAULT_REMOTE, REASON_TLS_VERSION, TOO_OLD},
    {SSL_R_VERSION_TOO_LOW, FAULT_REMOTE, REASON_TLS_VERSION, TOO_OLD},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, FAULT_REMOTE, REASON_TLS_VERSION, TOO_OLD},
    {SSL_R_INAPPROPRIATE_FALLBACK, FAULT_ATTACK, REASON_TLS_VERSION,
     "speaks a newer TLS version than what arrived here: somebody in between forces the older one"},
    {SSL_R_EE_KEY_TOO_SMALL, FAULT_REMOTE, REASON_CERTIFICATE_WEAK,
     "has a certificate whose key is too weak"},
    {SSL_R_CA_KEY_TOO_SMALL, FAULT_REMOTE, REASON_CERTIFICATE_WEAK,
     "has a certificate from a CA whose key is too weak"},
    {SSL_R_CA_MD_TOO_WEAK, FAULT_REMOTE, REASON_CERTIFICATE_WEAK,
     "has a certificate with too weak a signature"},
    {SSL_R_DH_KEY_TOO_SMALL, FAULT_REMOTE, REASON_TLS_HANDSHAKE, NOTHING_SHARED},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, FAULT_REMOTE, REASON_TLS_HANDSHAKE, NOTHING_SHARED},
    {SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY, FAULT_REMOTE, REASON_TLS_HANDSHAKE, NOTHING_SHARED},
    {SSL_R_WRONG_CIPHER_RETURNED, FAULT_REMOTE, REASON_TLS_HANDSHAKE, BAD_SUITE},
    {SSL_R_UNKNOWN_CIPHER_RETURNED, FAULT_REMOTE, REASON_TLS_HANDSHAKE, BAD_SUITE},
    {SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED, FAULT_REMOTE, REASON_TLS_HANDSHAKE,
     "does not signal secure renegotiation (RFC 5746): its TLS library is too old and has to be updated"},
    {SSL_R_WRONG_VERSION_NUMBER, FAULT_REMOTE, REASON_TLS_HANDSHAKE, "sent something that is not TLS"},
    {SSL_R_BAD_SIGNATURE, FAULT_ATTACK, REASON_TLS_HANDSHAKE,
     "did not prove that it has the key of its certificate"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, FAULT_REMOTE, REASON_TLS_HANDSHAKE,
     "demands a client certificate"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, FAULT_REMOTE, REASON_TLS_HANDSHAKE,
     "sent a handshake message that is too long"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, FAULT_NETWORK, REASON_TLS_HANDSHAKE,
     "and we do not see the same bytes: a record was damaged or forged on its way"},
};

static const struct library_failure *find_library_failure(unsigned long error)
{
    for (size_t i = 0; ERR_GET_LIB(error) == ERR_LIB_SSL && i < ARRAY_LEN(library_failures); i++)
        if (library_failures[i].code == ERR_GET_REASON(error))
            return &library_failures[i];
    return NULL;
}

/* What libssl says is often the second word: libcrypto has complained of a detail before.  Empties the queue. */
static const struct library_failure *next_known_failure(unsigned long *first)
{
    const struct library_failure *known = NULL;
    unsigned long error;
    *first = ERR_peek_error();
    while (!known && (error = ERR_get_error()) != 0)
        known = find_library_failure(error);
    return known;
}

static const char *wanted_version(const struct tls *tls, const struct library_failure *known)
{
    if (known->reason != REASON_TLS_VERSION || known->fault != FAULT_REMOTE)
        return "";
    return tls->min_version == TLS1_3_VERSION ? "; wanted TLS 1.3" : "; wanted TLS 1.2 or 1.3";
}

static void explain_unknown(struct tls *tls, unsigned long error)
{
    const char *open =
        tls->status == TLS_OPEN || tls->status == TLS_PEER_CLOSED ? "TLS" : "the TLS handshake";
    const char *text = ERR_reason_error_string(error);
    int alert = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET : -1;
    if (alert >= 0 && alert <= UINT8_MAX)
        explain(tls, FAULT_REMOTE, REASON_TLS_HANDSHAKE, "%s broke off %s with the alert \"%s\"", tls->peer,
                open, SSL_alert_desc_string_long(alert));
    else if (text)
        explain(tls, FAULT_REMOTE, REASON_TLS_HANDSHAKE, "%s with %s failed: %s", open, tls->peer, text);
    else if (SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN)
        explain(tls, FAULT_REMOTE, REASON_TLS_HANDSHAKE, "%s ended the session before %s was complete",
                tls->peer, open);
    else
        explain(tls, FAULT_LOCAL, REASON_LIMIT, "%s with %s failed: no room for what has to be sent", open,
                tls->peer);
}

void explain_library(struct tls *tls)
{
    unsigned long first;
    const struct library_failure *known = next_known_failure(&first);
    if (known)
        explain(tls, known->fault, known->reason, "%s %s%s", tls->peer, known->text,
                wanted_version(tls, known));
    else if (ERR_GET_REASON(first) == ERR_R_MALLOC_FAILURE)
        explain(tls, FAULT_LOCAL, REASON_LIMIT, "no memory for TLS with %s", tls->peer);
    else
        explain_unknown(tls, first);
}
