/* provider_decode.c: keys of certificates that the core knows (known.h), for OpenSSL's decoder, which asks here before it takes a key
 * apart; all others it is left.
 */
#include "crypto/known.h"
#include "crypto/provider.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>

static void *decode_new(void *context)
{
    return context;
}

static void decode_free(void *context)
{
    (void)context;
}

/* What fills the buffer may go on behind it. */
static bool read_spki(const struct provider *provider, OSSL_CORE_BIO *in, uint8_t *spki, size_t *len)
{
    return provider->bio_read(in, spki, KNOWN_SPKI_MAX + 1, len) == 1 && *len <= KNOWN_SPKI_MAX;
}

/* The reference is the key itself; provided_load (provider_key.c) takes it out. */
static int give(struct provided_key *key, const char *type, OSSL_CALLBACK *take, void *argument)
{
    int object = OSSL_OBJECT_PKEY;
    struct provided_reference reference = {key};
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)(uintptr_t)type, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &reference, sizeof(reference)),
        OSSL_PARAM_construct_end(),
    };
    int ok = take(params, argument);
    provided_key_free(reference.key); /* NULL once it was taken out */
    return ok;
}

/* 1 without having given anything: OpenSSL goes on to its own decoders. */
static int decode(void *context, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *take, void *argument,
                  OSSL_PASSPHRASE_CALLBACK *pass, void *pass_argument)
{
    (void)pass, (void)pass_argument;
    struct provider *provider = context;
    uint8_t spki[KNOWN_SPKI_MAX + 1];
    size_t len;
    if (provider->core->keys_afresh || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) ||
        !read_spki(provider, in, spki, &len))
        return 1;
    struct batch_key *known = known_find(provider->core->known, (struct span){spki, len});
    struct provided_key *key = known ? provided_key_known(provider, known) : NULL;
    stat_add(provider->core->stats, STAT_tls_keys_known, key != NULL);
    return !key || give(key, provided_type(key), take, argument);
}

/* Named for what comes out if it is not a key: OpenSSL asks those that make DER of DER before those that make keys of it. */
const OSSL_DISPATCH provided_decoder[] = {
    PROVIDED(OSSL_FUNC_DECODER_NEWCTX, decode_new),
    PROVIDED(OSSL_FUNC_DECODER_FREECTX, decode_free),
    PROVIDED(OSSL_FUNC_DECODER_DECODE, decode),
    OSSL_DISPATCH_END,
};
