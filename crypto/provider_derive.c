/* provider_derive.c: TLS 1.3's key schedule and the MAC of its Finished, as OpenSSL asks for them, without what OpenSSL fetches and
 * allocates for each of some twenty derivations of a handshake.
 *
 * libssl says everything with the derivation itself, so there is nothing to keep between calls.
 */
#include "crypto/hkdf.h"
#include "crypto/provider.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>
#include <strings.h>

#define NO_HASH (-1)

/* An enum hkdf_hash, or NO_HASH. */
static int hash_by_name(const char *name)
{
    if (strcasecmp(name, "SHA2-256") == 0 || strcasecmp(name, "SHA256") == 0)
        return HKDF_SHA256;
    if (strcasecmp(name, "SHA2-384") == 0 || strcasecmp(name, "SHA384") == 0)
        return HKDF_SHA384;
    return NO_HASH;
}

static bool take_hash(const OSSL_PARAM *p, int *hash)
{
    const char *name = provided_text(p);
    *hash = name ? hash_by_name(name) : NO_HASH;
    return *hash != NO_HASH;
}

/* ---- derivations ---- */

struct derivation {
    int mode, hash;
    struct span key, salt, prefix, label, data;
};

static struct span *if_called(const char *name, const char *known, struct span *span)
{
    return strcmp(name, known) == 0 ? span : NULL;
}

/* No two begin alike. */
static struct span *span_for(struct derivation *d, const char *name)
{
    switch (name[0]) {
    case 'k': return if_called(name, OSSL_KDF_PARAM_KEY, &d->key);
    case 's': return if_called(name, OSSL_KDF_PARAM_SALT, &d->salt);
    case 'p': return if_called(name, OSSL_KDF_PARAM_PREFIX, &d->prefix);
    case 'l': return if_called(name, OSSL_KDF_PARAM_LABEL, &d->label);
    case 'd': return if_called(name, OSSL_KDF_PARAM_DATA, &d->data);
    default: return NULL;
    }
}

/* What is not understood is refused. */
static bool read_params(const OSSL_PARAM params[], struct derivation *d)
{
    for (const OSSL_PARAM *p = params; p && p->key; p++) {
        struct span *span = span_for(d, p->key);
        bool ok = false;
        if (span && p->data_type == OSSL_PARAM_OCTET_STRING) {
            *span = (struct span){p->data, p->data_size};
            ok = true;
        } else if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0) {
            ok = OSSL_PARAM_get_int(p, &d->mode) == 1;
        } else if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0) {
            ok = take_hash(p, &d->hash);
        }
        if (!ok)
            return false;
    }
    return d->hash != NO_HASH;
}

static void *derive_new(void *context)
{
    return context;
}

static void derive_free(void *context)
{
    (void)context;
}

static int derive(void *context, unsigned char *out, size_t len, const OSSL_PARAM params[])
{
    (void)context;
    struct derivation d = {.mode = -1, .hash = NO_HASH};
    if (!read_params(params, &d))
        return 0;
    const enum hkdf_hash hash = (enum hkdf_hash)d.hash;
    const size_t hash_bytes = hkdf_hash_bytes(hash);
    switch (d.mode) {
    case EVP_KDF_HKDF_MODE_EXPAND_ONLY:
        return d.key.len == hash_bytes && d.label.len > 0 &&
               hkdf_expand_label(hash, d.key, d.prefix, d.label, d.data, out, len);
    case EVP_KDF_HKDF_MODE_EXTRACT_ONLY:
        return len == hash_bytes && hkdf_next_secret(hash, d.salt, d.prefix, d.label, d.key, out);
    default: return 0;
    }
}

const OSSL_DISPATCH provided_derivation[] = {
    PROVIDED(OSSL_FUNC_KDF_NEWCTX, derive_new),
    PROVIDED(OSSL_FUNC_KDF_FREECTX, derive_free),
    PROVIDED(OSSL_FUNC_KDF_DERIVE, derive),
    OSSL_DISPATCH_END,
};

/* ---- HMAC of one message, which fits: Finished is over a hash ---- */

struct mac {
    int hash; /* an enum hkdf_hash, or NO_HASH */
    size_t key_len, len;
    uint8_t key[HKDF_HASH_MAX], message[HKDF_HASH_MAX];
};

static void *mac_new(void *context)
{
    (void)context;
    struct mac *mac = OPENSSL_zalloc(sizeof(*mac));
    if (mac)
        mac->hash = NO_HASH;
    return mac;
}

/* libssl copies the context of a resumption's binder (RFC 8446 section 4.2.11.2) to finish the copy. */
static void *mac_dup(void *vmac)
{
    return OPENSSL_memdup(vmac, sizeof(struct mac));
}

static void mac_free(void *vmac)
{
    OPENSSL_clear_free(vmac, sizeof(struct mac));
}

static int mac_set_params(void *vmac, const OSSL_PARAM params[])
{
    struct mac *mac = vmac;
    for (const OSSL_PARAM *p = params; p && p->key; p++)
        if (strcmp(p->key, OSSL_MAC_PARAM_DIGEST) == 0 && !take_hash(p, &mac->hash))
            return 0;
    return 1; /* else it says of which provider the hash is to be: nothing to us */
}

static const OSSL_PARAM *mac_settable(void *vmac, void *context)
{
    (void)vmac, (void)context;
    static const OSSL_PARAM list[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, NULL, 0),
                                      OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_PROPERTIES, NULL, 0),
                                      OSSL_PARAM_END};
    return list;
}

static const OSSL_PARAM *mac_gettable(void *vmac, void *context)
{
    (void)vmac, (void)context;
    static const OSSL_PARAM list[] = {OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, NULL), OSSL_PARAM_END};
    return list;
}

static int mac_get_params(void *vmac, OSSL_PARAM params[])
{
    const struct mac *mac = vmac;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_MAC_PARAM_SIZE);
    return !p ||
           (mac->hash != NO_HASH && OSSL_PARAM_set_size_t(p, hkdf_hash_bytes((enum hkdf_hash)mac->hash)));
}

static int mac_init(void *vmac, const unsigned char *key, size_t len, const OSSL_PARAM params[])
{
    struct mac *mac = vmac;
    if (!mac_set_params(mac, params) || mac->hash == NO_HASH || !key || len > sizeof(mac->key))
        return 0;
    memcpy(mac->key, key, len);
    mac->key_len = len;
    mac->len = 0;
    return 1;
}

static int mac_update(void *vmac, const unsigned char *data, size_t len)
{
    struct mac *mac = vmac;
    if (len > sizeof(mac->message) - mac->len)
        return 0;
    memcpy(mac->message + mac->len, data, len);
    mac->len += len;
    return 1;
}

static int mac_final(void *vmac, unsigned char *out, size_t *len, size_t cap)
{
    struct mac *mac = vmac;
    const struct span message = {mac->message, mac->len};
    if (mac->hash == NO_HASH || cap < hkdf_hash_bytes((enum hkdf_hash)mac->hash))
        return 0;
    *len = hkdf_hash_bytes((enum hkdf_hash)mac->hash);
    hkdf_hmac((enum hkdf_hash)mac->hash, (struct span){mac->key, mac->key_len}, &message, 1, out);
    return 1;
}

const OSSL_DISPATCH provided_mac[] = {
    PROVIDED(OSSL_FUNC_MAC_NEWCTX, mac_new),
    PROVIDED(OSSL_FUNC_MAC_DUPCTX, mac_dup),
    PROVIDED(OSSL_FUNC_MAC_FREECTX, mac_free),
    PROVIDED(OSSL_FUNC_MAC_SET_CTX_PARAMS, mac_set_params),
    PROVIDED(OSSL_FUNC_MAC_SETTABLE_CTX_PARAMS, mac_settable),
    PROVIDED(OSSL_FUNC_MAC_GET_CTX_PARAMS, mac_get_params),
    PROVIDED(OSSL_FUNC_MAC_GETTABLE_CTX_PARAMS, mac_gettable),
    PROVIDED(OSSL_FUNC_MAC_INIT, mac_init),
    PROVIDED(OSSL_FUNC_MAC_UPDATE, mac_update),
    PROVIDED(OSSL_FUNC_MAC_FINAL, mac_final),
    OSSL_DISPATCH_END,
};
