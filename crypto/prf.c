/* prf.c: SipHash-2-4 of libcrypto under a key that nobody else sees. */
#include "crypto/prf.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 16

struct prf {
    EVP_MAC_CTX *ctx;
    uint8_t key[KEY_BYTES];
};

static bool prepare(struct prf *prf)
{
    size_t out_len = sizeof(uint64_t);
    OSSL_PARAM size[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &out_len),
                         OSSL_PARAM_construct_end()};
    EVP_MAC *siphash = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_SIPHASH, NULL);
    prf->ctx = siphash ? EVP_MAC_CTX_new(siphash) : NULL;
    EVP_MAC_free(siphash);
    return prf->ctx && RAND_bytes(prf->key, KEY_BYTES) == 1 && EVP_MAC_CTX_set_params(prf->ctx, size) == 1;
}

struct prf *prf_open(struct error *err)
{
    struct prf *prf = calloc(1, sizeof(*prf));
    if (prf && prepare(prf))
        return prf;
    error_set(err, "OpenSSL gives no SipHash or no random key; is its default provider switched off?");
    prf_close(prf);
    return NULL;
}

void prf_close(struct prf *prf)
{
    if (!prf)
        return;
    EVP_MAC_CTX_free(prf->ctx);
    explicit_bzero(prf->key, sizeof(prf->key));
    free(prf);
}

uint64_t prf_u64(struct prf *prf, const void *in, size_t in_len)
{
    uint8_t out[sizeof(uint64_t)];
    size_t out_len = 0;
    uint64_t number;
    if (EVP_MAC_init(prf->ctx, prf->key, KEY_BYTES, NULL) != 1 || EVP_MAC_update(prf->ctx, in, in_len) != 1 ||
        EVP_MAC_final(prf->ctx, out, &out_len, sizeof(out)) != 1 || out_len != sizeof(out))
        abort(); /* a number that can be foretold is worse than none */
    memcpy(&number, out, sizeof(number));
    return number;
}

void prf_random(void *out, size_t len)
{
    if (RAND_bytes_ex(NULL, out, len, 0) != 1)
        abort();
}
