#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/unit/crypto/batch_kit.h"
#include "drivers/asym_dpdk.h"
#include "engine/control/eal.h"
#include "tests/unit/crypto/toy_engine.h"

#include <openssl/core_names.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#undef NDEBUG
#include <assert.h>

#define KIT_LOST_US 1000000000u /* no answer is late where the machine is slow */
#define SETTLE_S    60

static const char *const backend[KIT_LIBRARIES] = {"libcrypto", "crypto_mb", "engine:" TOY_ENGINE,
                                                   "engine:qatengine", "cryptodev:crypto_openssl"};

/* Once a program: EAL cannot be started again. */
bool kit_cryptodev(struct asym_device *device, struct error *err)
{
    static bool tried, started;
    static unsigned number;
    char name[32];
    const struct eal_config eal = {.app = "batch", .memory_mb = 32, .no_huge = true};
    const struct asym_dpdk_config config = {.devargs = name, .queues = 1, .jobs = 128, .socket_id = -1};
    snprintf(name, sizeof(name), "crypto_openssl%u",
             number++ % 64); /* there may be more than one at a time */
    if (!tried)
        started = eal_start(&eal, err);
    tried = true;
    return started && asym_dpdk_open(&config, device, err);
}

bool kit_has_lanes(void)
{
    struct batch_backend lanes;
    bool has = batch_mb_open(&lanes, NULL);
    if (has)
        lanes.close(lanes.self);
    return has;
}

bool kit_has_qatengine(void)
{
    ENGINE *engine = ENGINE_by_id("qatengine");
    ERR_clear_error();
    ENGINE_free(engine);
    return engine != NULL;
}

/* Behind an engine there is libcrypto alone: what the engine does not take is not to be hidden by other lanes. */
bool kit_open(struct kit *kit, enum kit_library library)
{
    struct error err = {0};
    static bool toy_added;
    struct asym_device device;
    struct batch_config config = {.ops_max = 64,
                                  .stock = 16,
                                  .break_even = 1,
                                  .stats = &kit->stats,
                                  .backend = backend[library],
                                  .no_vectors = library != KIT_LANES,
                                  .lost_us = KIT_LOST_US,
                                  .require = true};
    *kit = (struct kit){0};
    if (library == KIT_ENGINE && !toy_added) {
        toy_engine_add();
        toy_added = true;
    }
    if (library == KIT_CRYPTODEV) {
        if (!kit_cryptodev(&device, &err)) {
            printf("# %s: no cryptodev, that part is left out\n", err.text);
            return false;
        }
        config.device = &device;
    }
    kit->batch = batch_open(&config, &err);
    if (!kit->batch)
        printf("# %s; that part is left out\n", err.text);
    assert(kit->batch || library == KIT_LANES || library == KIT_QATENGINE);
    return kit->batch;
}

unsigned kit_stride(enum kit_library library)
{
    return library == KIT_QATENGINE ? 16 : 1;
}

void kit_settle(struct kit *kit)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        batch_flush(kit->batch);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (batch_waiting(kit->batch) > 0 && now.tv_sec - start.tv_sec < SETTLE_S);
    assert(batch_waiting(kit->batch) == 0);
}

void kit_close(struct kit *kit)
{
    const uint64_t *v = kit->stats.v;
    assert(ERR_peek_error() == 0);
    if (v[STAT_tls_batch_device] > 0)
        printf("# %s: %" PRIu64 " operations, %" PRIu64 " done again\n", batch_backend_name(kit->batch),
               v[STAT_tls_batch_device], v[STAT_tls_batch_redone]);
    batch_close(kit->batch);
}

size_t kit_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; hex[0] && hex[1]; hex += 2)
        out[n++] = (uint8_t)strtoul((char[]){hex[0], hex[1], 0}, NULL, 16);
    return n;
}

static EVP_PKEY *ec_keys[BATCH_GROUPS], *rsa_keys[5], *ed_key;

EVP_PKEY *kit_ec(enum batch_group group)
{
    if (!ec_keys[group])
        ec_keys[group] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", group == BATCH_P256 ? "P-256" : "P-384");
    assert(ec_keys[group]);
    return ec_keys[group];
}

EVP_PKEY *kit_rsa(unsigned bits)
{
    EVP_PKEY **key = &rsa_keys[bits / 1024];
    if (!*key)
        *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
    assert(*key);
    return *key;
}

EVP_PKEY *kit_ed25519(void)
{
    if (!ed_key)
        ed_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert(ed_key);
    return ed_key;
}

void kit_free_keys(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(ec_keys); i++)
        EVP_PKEY_free(ec_keys[i]);
    for (unsigned i = 0; i < ARRAY_LEN(rsa_keys); i++)
        EVP_PKEY_free(rsa_keys[i]);
    EVP_PKEY_free(ed_key);
}

static EVP_PKEY *ec_from(enum batch_group group, const struct batch_pair *pair, struct span point)
{
    EVP_PKEY *key = NULL;
    uint8_t little[BATCH_SECRET_BYTES];
    size_t bytes = batch_secret_bytes(group);
    OSSL_PARAM param[4] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group == BATCH_P256 ? "P-256" : "P-384",
                                         0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point.data, point.len),
        OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    for (size_t i = 0; pair && i < bytes; i++)
        little[i] = pair->secret[bytes - 1 - i];
    if (pair)
        param[2] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, little, bytes);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    assert(ctx && EVP_PKEY_fromdata_init(ctx) == 1);
    if (EVP_PKEY_fromdata(ctx, &key, pair ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, param) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *kit_ec_public(enum batch_group group, const uint8_t *point)
{
    EVP_PKEY *key = ec_from(group, NULL, (struct span){point, batch_point_bytes(group)});
    ERR_clear_error();
    return key;
}

const EVP_MD *kit_md(enum batch_hash hash)
{
    return hash == BATCH_SHA256 ? EVP_sha256() : hash == BATCH_SHA384 ? EVP_sha384() : EVP_sha512();
}

static bool pad(EVP_PKEY_CTX *ctx, enum batch_scheme scheme)
{
    if (scheme == BATCH_RSA_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    return scheme != BATCH_RSA_PSS || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                                       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

size_t kit_sign(EVP_PKEY *key, enum batch_scheme scheme, enum batch_hash hash, struct span message,
                uint8_t *sig)
{
    size_t len = 1024;
    EVP_PKEY_CTX *pctx;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = scheme == BATCH_ED25519 ? NULL : kit_md(hash);
    assert(ctx && EVP_DigestSignInit(ctx, &pctx, md, NULL, key) == 1 && pad(pctx, scheme) &&
           EVP_DigestSign(ctx, sig, &len, message.data, message.len) == 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

bool kit_evp_verify(EVP_PKEY *key, enum batch_scheme scheme, enum batch_hash hash, struct span message,
                    struct span sig)
{
    EVP_PKEY_CTX *pctx;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = scheme == BATCH_ED25519 ? NULL : kit_md(hash);
    bool ok = ctx && EVP_DigestVerifyInit(ctx, &pctx, md, NULL, key) == 1 && pad(pctx, scheme) &&
              EVP_DigestVerify(ctx, sig.data, sig.len, message.data, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static EVP_PKEY *own_key(enum batch_group group, const struct batch_pair *own)
{
    if (group == BATCH_X25519)
        return EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, own->secret, 32);
    return ec_from(group, own, (struct span){own->point, batch_point_bytes(group)});
}

bool kit_evp_derive(enum batch_group group, const struct batch_pair *own, struct span peer, uint8_t *shared)
{
    size_t len = BATCH_SECRET_BYTES;
    EVP_PKEY *mine = own_key(group, own);
    EVP_PKEY *theirs = group == BATCH_X25519
                           ? EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer.data, peer.len)
                           : ec_from(group, NULL, peer);
    assert(mine);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, mine, NULL);
    bool ok = theirs && ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, theirs) == 1 &&
              EVP_PKEY_derive(ctx, shared, &len) == 1 && len == batch_secret_bytes(group);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(theirs);
    EVP_PKEY_free(mine);
    ERR_clear_error();
    return ok;
}

enum batch_result kit_answer(struct kit *kit, struct batch_op *op)
{
    assert(op);
    kit_settle(kit);
    assert(batch_ready(kit->batch) == op);
    assert(batch_ready(kit->batch) == NULL);
    return op->result;
}

enum batch_result kit_verify(struct kit *kit, struct batch_key *key, enum batch_scheme scheme,
                             enum batch_hash hash, struct span message, struct span sig)
{
    struct batch_op *op = batch_verify(kit->batch, key, scheme, hash, message, sig, NULL, 0);
    enum batch_result result = kit_answer(kit, op);
    batch_done(kit->batch, op);
    return result;
}

enum batch_result kit_derive(struct kit *kit, enum batch_group group, const struct batch_pair *own,
                             struct span peer, uint8_t *shared)
{
    struct batch_op *op = batch_derive(kit->batch, group, own, peer, NULL, 0);
    enum batch_result result = kit_answer(kit, op);
    memcpy(shared, op->exchange.shared, batch_secret_bytes(group));
    batch_done(kit->batch, op);
    return result;
}
