/* provider_key.c: keys, as OpenSSL sees them: made from the stock, filled with what a peer sent, given back wiped. */
#include "crypto/provider.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <string.h>

/* ---- the object ---- */

enum batch_group provided_group(const char *name)
{
    if (strcmp(name, "X25519") == 0 || strcmp(name, "x25519") == 0)
        return BATCH_X25519;
    if (strcmp(name, "prime256v1") == 0 || strcmp(name, "P-256") == 0)
        return BATCH_P256;
    return strcmp(name, "secp384r1") == 0 || strcmp(name, "P-384") == 0 ? BATCH_P384 : BATCH_GROUPS;
}

static struct provided_key *key_make(struct provider *provider, enum batch_group group)
{
    struct provided_key *key = OPENSSL_zalloc(sizeof(*key));
    if (!key)
        return NULL;
    key->provider = provider;
    key->group = group;
    return key;
}

static void *new_key(void *context)
{
    return key_make(context, BATCH_GROUPS);
}

static void key_free(void *vkey)
{
    struct provided_key *key = vkey;
    if (key)
        batch_key_drop(key->verify);
    OPENSSL_clear_free(key, sizeof(*key));
}

void provided_key_free(struct provided_key *key)
{
    key_free(key);
}

/* libssl copies the group of its own key to make room for the peer's. */
static void *key_dup(const void *from, int selection)
{
    const struct provided_key *key = from;
    if (selection & OSSL_KEYMGMT_SELECT_KEYPAIR)
        return NULL;
    return key_make(key->provider, key->group);
}

static int key_has(const void *vkey, int selection)
{
    const struct provided_key *key = vkey;
    if (!key)
        return 0;
    bool secret = key->has_own, public = key->has_own || key->has_peer || key->verify;
    return (!(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || secret) &&
           (!(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) || public);
}

/* What is the matter with a point comes out of the batch. */
static int key_validate(const void *vkey, int selection, int kind)
{
    (void)kind;
    return key_has(vkey, selection);
}

/* ---- made ---- */

struct making {
    struct provider *provider;
    enum batch_group group;
    int selection;
};

static void *making_begin(struct provider *provider, int selection, enum batch_group group)
{
    struct making *making = OPENSSL_zalloc(sizeof(*making));
    if (making)
        *making = (struct making){.provider = provider, .group = group, .selection = selection};
    return making;
}

static void *gen_init_x25519(void *context, int selection, const OSSL_PARAM params[])
{
    (void)params;
    return making_begin(context, selection, BATCH_X25519);
}

static void *gen_init_ec(void *context, int selection, const OSSL_PARAM params[])
{
    (void)params;
    return making_begin(context, selection, BATCH_GROUPS);
}

static const OSSL_PARAM *gen_settable(void *vmaking, void *context)
{
    (void)vmaking, (void)context;
    static const OSSL_PARAM settable[] = {OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                          OSSL_PARAM_END};
    return settable;
}

static int gen_set_params(void *vmaking, const OSSL_PARAM params[])
{
    struct making *making = vmaking;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
    const char *name = p ? provided_text(p) : NULL;
    if (!p)
        return 1;
    if (!name)
        return 0;
    making->group = provided_group(name);
    return making->group != BATCH_GROUPS;
}

/* TLS 1.2: of the group that the server's key is of. */
static int gen_set_template(void *vmaking, void *vkey)
{
    struct making *making = vmaking;
    const struct provided_key *key = vkey;
    making->group = key->group;
    return 1;
}

static void *gen(void *vmaking, OSSL_CALLBACK *progress, void *argument)
{
    (void)progress, (void)argument;
    struct making *making = vmaking;
    struct provided_key *key =
        making->group != BATCH_GROUPS ? key_make(making->provider, making->group) : NULL;
    if (!key || !(making->selection & OSSL_KEYMGMT_SELECT_KEYPAIR))
        return key;
    key->has_own = batch_pair_take(making->provider->core->batch, key->group, &key->own);
    if (key->has_own)
        return key;
    key_free(key);
    return NULL;
}

static void gen_cleanup(void *vmaking)
{
    OPENSSL_free(vmaking);
}

/* ---- told and asked ---- */

static const OSSL_PARAM *gettable(void *context)
{
    (void)context;
    static const OSSL_PARAM list[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_END};
    return list;
}

static int put_int(OSSL_PARAM params[], const char *name, int value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);
    return !p || OSSL_PARAM_set_int(p, value);
}

static int put_text(OSSL_PARAM params[], const char *name, const char *value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);
    return !p || OSSL_PARAM_set_utf8_string(p, value);
}

/* A certificate's key, as OpenSSL's own says it: bits, strength (NIST SP 800-57 part 1, RSA by OpenSSL's reckoning), and the most that a
 * signature has.
 */
static int get_verify_params(const struct provided_key *key, OSSL_PARAM params[])
{
    static const struct {
        int bits, security, bytes;
        const char *curve;
    } facts[BATCH_KINDS] = {
        [BATCH_P256_VERIFY] = {256, 128, 72, SN_X9_62_prime256v1},
        [BATCH_P384_VERIFY] = {384, 192, 104, SN_secp384r1},
        [BATCH_RSA2048_VERIFY] = {2048, 112, 256, NULL},
        [BATCH_RSA3072_VERIFY] = {3072, 128, 384, NULL},
        [BATCH_RSA4096_VERIFY] = {4096, 152, 512, NULL},
    };
    enum batch_kind kind = batch_key_kind(key->verify);
    return put_int(params, OSSL_PKEY_PARAM_BITS, facts[kind].bits) &&
           put_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, facts[kind].security) &&
           put_int(params, OSSL_PKEY_PARAM_MAX_SIZE, facts[kind].bytes) &&
           (!facts[kind].curve || (put_text(params, OSSL_PKEY_PARAM_GROUP_NAME, facts[kind].curve) &&
                                   put_text(params, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                            OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED)));
}

static int get_params(void *vkey, OSSL_PARAM params[])
{
    const struct provided_key *key = vkey;
    if (key->verify)
        return get_verify_params(key, params);
    if (key->group == BATCH_GROUPS)
        return 1;
    int bits = key->group == BATCH_P384 ? 384 : key->group == BATCH_P256 ? 256 : 253;
    int bytes = (int)batch_secret_bytes(key->group);
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);
    if (p && !OSSL_PARAM_set_octet_string(p, key->has_own ? key->own.point : key->peer,
                                          batch_point_bytes(key->group)))
        return 0;
    return put_int(params, OSSL_PKEY_PARAM_BITS, bits) &&
           put_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, bytes * 4) &&
           put_int(params, OSSL_PKEY_PARAM_MAX_SIZE, bytes);
}

static const OSSL_PARAM *settable(void *context)
{
    (void)context;
    static const OSSL_PARAM list[] = {OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
                                      OSSL_PARAM_END};
    return list;
}

/* RFC 8446 section 4.2.8.2: 32 bytes, or an uncompressed point; RFC 8422 section 5.4 for TLS 1.2. */
static int set_params(void *vkey, const OSSL_PARAM params[])
{
    struct provided_key *key = vkey;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);
    if (!p)
        return 1;
    if (key->group == BATCH_GROUPS || key->has_own || p->data_type != OSSL_PARAM_OCTET_STRING ||
        p->data_size != batch_point_bytes(key->group)) {
        ERR_raise(ERR_LIB_EC, EC_R_INVALID_ENCODING);
        return 0;
    }
    memcpy(key->peer, p->data, p->data_size);
    key->has_peer = true;
    return 1;
}

/* ---- the peer's key for signatures ---- */

static const OSSL_PARAM *import_types(int selection)
{
    (void)selection;
    static const OSSL_PARAM list[] = {
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), OSSL_PARAM_END};
    return list;
}

struct provided_key *provided_key_known(struct provider *provider, struct batch_key *known)
{
    struct provided_key *key = key_make(provider, BATCH_GROUPS);
    if (key)
        key->verify = batch_key_hold(known);
    return key;
}

const char *provided_type(const struct provided_key *key)
{
    enum batch_kind kind = batch_key_kind(key->verify);
    return kind == BATCH_P256_VERIFY || kind == BATCH_P384_VERIFY ? "EC" : "RSA";
}

/* What provider_decode.c gives; the key is the caller's from here on. */
static void *load(const void *reference, size_t size)
{
    struct provided_reference *given = (struct provided_reference *)(uintptr_t)reference;
    if (size != sizeof(*given))
        return NULL;
    struct provided_key *key = given->key;
    given->key = NULL;
    return key;
}

/* The key that OpenSSL has read out of a certificate: taken if it is the one that verify.c has prepared. */
static int import(void *vkey, int selection, const OSSL_PARAM params[])
{
    (void)selection;
    struct provided_key *key = vkey;
    const struct tls *running = key->provider->core->running;
    if (!running || !running->peer_key || !batch_key_matches(running->peer_key, params))
        return 0;
    key->verify = batch_key_hold(running->peer_key);
    return 1;
}

static const char *ec_operation(int operation)
{
    return operation == OSSL_OP_KEYEXCH ? "ECDH" : operation == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

/* ---- tables ---- */

#define COMMON                                                                            \
    PROVIDED(OSSL_FUNC_KEYMGMT_NEW, new_key), PROVIDED(OSSL_FUNC_KEYMGMT_FREE, key_free), \
        PROVIDED(OSSL_FUNC_KEYMGMT_HAS, key_has), PROVIDED(OSSL_FUNC_KEYMGMT_VALIDATE, key_validate)

#define EXCHANGED                                                                                            \
    PROVIDED(OSSL_FUNC_KEYMGMT_DUP, key_dup),                                                                \
        PROVIDED(OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE, gen_set_template),                                      \
        PROVIDED(OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, gen_set_params),                                          \
        PROVIDED(OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, gen_settable), PROVIDED(OSSL_FUNC_KEYMGMT_GEN, gen), \
        PROVIDED(OSSL_FUNC_KEYMGMT_GEN_CLEANUP, gen_cleanup),                                                \
        PROVIDED(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_params),                                                  \
        PROVIDED(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable),                                               \
        PROVIDED(OSSL_FUNC_KEYMGMT_SET_PARAMS, set_params),                                                  \
        PROVIDED(OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, settable)

#define IMPORTED                                                                        \
    PROVIDED(OSSL_FUNC_KEYMGMT_LOAD, load), PROVIDED(OSSL_FUNC_KEYMGMT_IMPORT, import), \
        PROVIDED(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, import_types)

const OSSL_DISPATCH provided_x25519_keys[] = {
    COMMON,
    EXCHANGED,
    PROVIDED(OSSL_FUNC_KEYMGMT_GEN_INIT, gen_init_x25519),
    OSSL_DISPATCH_END,
};

const OSSL_DISPATCH provided_ec_keys[] = {
    COMMON,
    EXCHANGED,
    IMPORTED,
    PROVIDED(OSSL_FUNC_KEYMGMT_GEN_INIT, gen_init_ec),
    PROVIDED(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, ec_operation),
    OSSL_DISPATCH_END,
};

const OSSL_DISPATCH provided_rsa_keys[] = {
    COMMON,
    IMPORTED,
    PROVIDED(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_params),
    PROVIDED(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable),
    OSSL_DISPATCH_END,
};
