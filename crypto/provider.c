/* provider.c: what the provider offers, and how a core gets it. */
#include "crypto/provider.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdlib.h>

static const OSSL_ALGORITHM key_managers[] = {
    {"X25519:1.3.101.110", TLS_PROVIDER_PROPERTY, provided_x25519_keys, NULL},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", TLS_PROVIDER_PROPERTY, provided_ec_keys, NULL},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", TLS_PROVIDER_PROPERTY, provided_rsa_keys, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM exchanges[] = {
    {"X25519:1.3.101.110", TLS_PROVIDER_PROPERTY, provided_exchange, NULL},
    {"ECDH", TLS_PROVIDER_PROPERTY, provided_exchange, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM signatures[] = {
    {"ECDSA", TLS_PROVIDER_PROPERTY, provided_ecdsa, NULL},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", TLS_PROVIDER_PROPERTY, provided_rsa, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM derivations[] = {
    {"TLS13-KDF", TLS_PROVIDER_PROPERTY, provided_derivation, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM macs[] = {
    {"HMAC", TLS_PROVIDER_PROPERTY, provided_mac, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM decoders[] = {
    {"DER", TLS_PROVIDER_PROPERTY ",input=der,structure=SubjectPublicKeyInfo", provided_decoder, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *query(void *context, int operation, int *not_to_be_cached)
{
    const struct provider *provider = context;
    *not_to_be_cached = 0;
    switch (operation) {
    case OSSL_OP_KDF: return derivations;
    case OSSL_OP_MAC: return macs;
    default: break;
    }
    if (!provider->core->batch)
        return NULL;
    switch (operation) {
    case OSSL_OP_KEYMGMT: return key_managers;
    case OSSL_OP_KEYEXCH: return exchanges;
    case OSSL_OP_SIGNATURE: return signatures;
    case OSSL_OP_DECODER: return decoders;
    default: return NULL;
    }
}

static void teardown(void *context)
{
    free(context);
}

static const OSSL_DISPATCH functions[] = {
    PROVIDED(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
    PROVIDED(OSSL_FUNC_PROVIDER_TEARDOWN, teardown),
    OSSL_DISPATCH_END,
};

static int init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                void **context)
{
    (void)handle;
    struct provider *provider = calloc(1, sizeof(*provider));
    for (; provider && in->function_id != 0; in++)
        if (in->function_id == OSSL_FUNC_BIO_READ_EX)
            provider->bio_read = OSSL_FUNC_BIO_read_ex(in);
    *out = functions;
    *context = provider;
    if (provider && provider->bio_read)
        return 1;
    free(provider);
    return 0;
}

bool tls_provider_load(struct tls_core *core, struct error *err)
{
    if (OSSL_PROVIDER_add_builtin(core->libctx, TLS_PROVIDER_NAME, init) == 1)
        core->provider = OSSL_PROVIDER_load(core->libctx, TLS_PROVIDER_NAME);
    if (!core->provider)
        return error_set(err, "OpenSSL does not take our provider: %s", tls_reason());
    struct provider *provider = OSSL_PROVIDER_get0_provider_ctx(core->provider);
    provider->core = core;
    return EVP_set_default_properties(core->libctx, TLS_PROVIDER_DEFAULT_QUERY) == 1 ||
           error_set(err, "OpenSSL does not take our provider: %s", tls_reason());
}

void tls_provider_unload(struct tls_core *core)
{
    if (core->provider)
        OSSL_PROVIDER_unload(core->provider);
}
