/* proven.c: a set-associative table of proofs. */
#include "crypto/proven.h"
#include "crypto/batch.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define WAYS          4u
#define CHAIN_MAX     (64u << 10) /* encoded bytes of one certificate; tls_ctx.c bounds the message likewise */
#define CHAIN_CERTS   16          /* more are not worth a place */
#define PROVEN_MAX_LG 20u

struct proven {
    struct proven_chain (*set)[WAYS];
    uint32_t set_mask;
    uint32_t lifetime_s;
    EVP_MD *sha256;
    EVP_MD_CTX *hash;
    uint8_t *der; /* one certificate, while it is hashed */
};

static bool take_memory(struct proven *proven, OSSL_LIB_CTX *libctx, uint32_t chains_max)
{
    uint32_t sets = 1;
    while (sets * WAYS < chains_max && sets < 1u << PROVEN_MAX_LG)
        sets *= 2;
    proven->set_mask = sets - 1;
    proven->set = calloc(sets, sizeof(*proven->set));
    proven->der = malloc(CHAIN_MAX);
    proven->sha256 = EVP_MD_fetch(libctx, "SHA2-256", NULL);
    proven->hash = EVP_MD_CTX_new();
    return proven->set && proven->der && proven->sha256 && proven->hash;
}

struct proven *proven_open(OSSL_LIB_CTX *libctx, uint32_t chains_max, uint32_t lifetime_s, struct error *err)
{
    struct proven *proven = calloc(1, sizeof(*proven));
    if (proven && (chains_max == 0 || take_memory(proven, libctx, chains_max))) {
        proven->lifetime_s = lifetime_s;
        return proven;
    }
    error_set(err, "no memory for %u proven chains", chains_max);
    proven_close(proven);
    return NULL;
}

void proven_close(struct proven *proven)
{
    if (!proven)
        return;
    for (uint32_t i = 0; proven->set && i <= proven->set_mask; i++)
        for (unsigned way = 0; way < WAYS; way++)
            batch_key_drop(proven->set[i][way].peer_key);
    free(proven->set);
    free(proven->der);
    EVP_MD_free(proven->sha256);
    EVP_MD_CTX_free(proven->hash);
    free(proven);
}

/* ---- the key: every part with its length before it, so that no two demands have the same bytes ---- */

static bool hash_bytes(struct proven *proven, const void *data, size_t len)
{
    uint64_t prefix = len;
    return EVP_DigestUpdate(proven->hash, &prefix, sizeof(prefix)) == 1 &&
           EVP_DigestUpdate(proven->hash, data, len) == 1;
}

static bool hash_demand(struct proven *proven, const struct tls *tls)
{
    const uint64_t numbers[] = {tls_trust_id(tls->trust), tls->level, tls->generation};
    bool ok = hash_bytes(proven, numbers, sizeof(numbers)) &&
              hash_bytes(proven, tls->policy, strlen(tls->policy)) &&
              hash_bytes(proven, tls->group, tls->names);
    for (unsigned i = 0; ok && i < tls->names; i++)
        ok = hash_bytes(proven, tls->name[i], strlen(tls->name[i]));
    return ok;
}

static bool hash_certificate(struct proven *proven, const X509 *cert)
{
    uint8_t *out = proven->der;
    int len = i2d_X509(cert, NULL);
    return len > 0 && (unsigned)len <= CHAIN_MAX && i2d_X509(cert, &out) == len &&
           hash_bytes(proven, proven->der, (size_t)len);
}

bool proven_key(struct proven *proven, const struct tls *tls, const STACK_OF(X509) * sent,
                uint8_t key[PROVEN_KEY_BYTES])
{
    int certs = sk_X509_num(sent);
    unsigned len;
    if (!proven->set || !tls->trust || certs < 1 || certs > CHAIN_CERTS)
        return false;
    bool ok = EVP_DigestInit_ex2(proven->hash, proven->sha256, NULL) == 1 && hash_demand(proven, tls);
    for (int i = 0; ok && i < certs; i++)
        ok = hash_certificate(proven, sk_X509_value(sent, i));
    return ok && EVP_DigestFinal_ex(proven->hash, key, &len) == 1 && len == PROVEN_KEY_BYTES;
}

/* ---- the table ---- */

static struct proven_chain *set_of(const struct proven *proven, const uint8_t key[PROVEN_KEY_BYTES])
{
    uint32_t index;
    memcpy(&index, key, sizeof(index));
    return proven->set[index & proven->set_mask];
}

const struct proven_chain *proven_find(const struct proven *proven, const uint8_t key[PROVEN_KEY_BYTES],
                                       uint64_t now_s)
{
    const struct proven_chain *set = set_of(proven, key);
    for (unsigned i = 0; i < WAYS; i++) {
        const struct proven_chain *it = &set[i];
        if (it->proven_s && memcmp(it->key, key, PROVEN_KEY_BYTES) == 0)
            return now_s >= it->proven_s && now_s < it->until_s ? it : NULL;
    }
    return NULL;
}

/* The place of an older proof of the same, else an empty one, else that of the oldest. */
static struct proven_chain *place_for(const struct proven *proven, const uint8_t key[PROVEN_KEY_BYTES])
{
    struct proven_chain *set = set_of(proven, key), *oldest = &set[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].proven_s && memcmp(set[i].key, key, PROVEN_KEY_BYTES) == 0)
            return &set[i];
        if (set[i].proven_s < oldest->proven_s)
            oldest = &set[i];
    }
    return oldest;
}

void proven_keep(struct proven *proven, const uint8_t key[PROVEN_KEY_BYTES], const struct tls *tls,
                 uint64_t now_s)
{
    const struct tls_verified *verified = &tls->verified;
    struct proven_chain *place = place_for(proven, key);
    batch_key_drop(place->peer_key);
    place->peer_key = tls->peer_key ? batch_key_hold(tls->peer_key) : NULL;
    memcpy(place->key, key, PROVEN_KEY_BYTES);
    place->proven_s = now_s;
    place->not_after_s = verified->not_after_s;
    place->until_s = min_u64(verified->not_after_s, now_s + proven->lifetime_s);
    memcpy(place->cert_sha256, verified->cert_sha256, TLS_DIGEST_BYTES);
    memcpy(place->spki_sha256, verified->spki_sha256, TLS_DIGEST_BYTES);
    memcpy(place->matched_name, verified->matched_name, TLS_NAME_MAX);
}
