/* provider_exchange.c: derivations, for X25519 and ECDH alike: put into the batch and waited for. */
#include "crypto/provider.h"
#include "crypto/work.h"

#include <openssl/err.h>
#include <openssl/proverr.h>
#include <string.h>

struct exchange {
    struct provider *provider;
    const struct provided_key *own, *peer; /* libssl's, as long as the context */
};

static void *exchange_new(void *context)
{
    struct exchange *exchange = OPENSSL_zalloc(sizeof(*exchange));
    if (exchange)
        exchange->provider = context;
    return exchange;
}

static void exchange_free(void *vexchange)
{
    OPENSSL_free(vexchange);
}

static int exchange_init(void *vexchange, void *key, const OSSL_PARAM params[])
{
    (void)params;
    struct exchange *exchange = vexchange;
    exchange->own = key;
    return exchange->own && exchange->own->has_own;
}

static int exchange_set_peer(void *vexchange, void *key)
{
    struct exchange *exchange = vexchange;
    exchange->peer = key;
    return exchange->peer && exchange->peer->has_peer && exchange->peer->group == exchange->own->group;
}

static struct batch_op *put(void *vexchange, struct tls_core *core)
{
    struct exchange *exchange = vexchange;
    const struct provided_key *own = exchange->own;
    const struct span peer = {.data = exchange->peer->peer, .len = batch_point_bytes(own->group)};
    return batch_derive(core->batch, own->group, &own->own, peer, NULL, core->now_us);
}

/* A point that is none, or a small-order one: RFC 8446 sections 4.2.8.2 and 7.4.2. */
static int exchange_derive(void *vexchange, unsigned char *secret, size_t *len, size_t cap)
{
    struct exchange *exchange = vexchange;
    struct tls_core *core = exchange->provider->core;
    struct work work = {.put = put, .ctx = exchange};
    if (!exchange->own || !exchange->peer)
        return 0;
    *len = batch_secret_bytes(exchange->own->group);
    if (!secret)
        return 1;
    bool good = cap >= *len && work_do(core, &work) == BATCH_GOOD;
    if (good)
        memcpy(secret, work.op->exchange.shared, *len);
    else
        ERR_raise(ERR_LIB_PROV, PROV_R_FAILED_DURING_DERIVATION);
    if (work.op)
        batch_done(core->batch, work.op);
    return good;
}

const OSSL_DISPATCH provided_exchange[] = {
    PROVIDED(OSSL_FUNC_KEYEXCH_NEWCTX, exchange_new),
    PROVIDED(OSSL_FUNC_KEYEXCH_FREECTX, exchange_free),
    PROVIDED(OSSL_FUNC_KEYEXCH_INIT, exchange_init),
    PROVIDED(OSSL_FUNC_KEYEXCH_SET_PEER, exchange_set_peer),
    PROVIDED(OSSL_FUNC_KEYEXCH_DERIVE, exchange_derive),
    OSSL_DISPATCH_END,
};
