/* provider_signature.c: the peer's signature over the handshake, ECDSA and RSA: put into the batch and waited for.
 *
 * libssl says the hash, then for PSS the padding and the salt, then gives message and signature in one call.  Nothing else
 * is understood, and what is not understood is refused.
 */
#include "crypto/provider.h"
#include "crypto/work.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>
#include <strings.h>

struct check {
    struct provider *provider;
    const struct provided_key *key; /* libssl's, as long as the context */
    enum batch_scheme scheme;
    enum batch_hash hash;
};

static struct check *check_make(void *context, enum batch_scheme scheme)
{
    struct check *check = OPENSSL_zalloc(sizeof(*check));
    if (check)
        *check = (struct check){.provider = context, .scheme = scheme};
    return check;
}

static void *new_ecdsa(void *context, const char *query)
{
    (void)query;
    return check_make(context, BATCH_ECDSA);
}

static void *new_rsa(void *context, const char *query)
{
    (void)query;
    return check_make(context, BATCH_RSA_PKCS1);
}

static void check_free(void *vcheck)
{
    OPENSSL_free(vcheck);
}

static bool hash_of(const char *name, enum batch_hash *hash)
{
    static const char *const known[BATCH_HASHES][2] = {
        {"SHA256", "SHA2-256"}, {"SHA384", "SHA2-384"}, {"SHA512", "SHA2-512"}};
    for (unsigned i = 0; i < BATCH_HASHES; i++)
        if (strcasecmp(name, known[i][0]) == 0 || strcasecmp(name, known[i][1]) == 0) {
            *hash = (enum batch_hash)i;
            return true;
        }
    return false;
}

/* OpenSSL says either by number or by name. */
static bool is_value(const OSSL_PARAM *p, int number, const char *name)
{
    int its;
    const char *text = provided_text(p);
    if (p->data_type == OSSL_PARAM_INTEGER)
        return OSSL_PARAM_get_int(p, &its) == 1 && its == number;
    return text && strcmp(text, name) == 0;
}

/* RFC 8446 section 4.2.3: the salt of PSS is as long as its hash, and the hash of MGF1 is the same. */
static int set_params(void *vcheck, const OSSL_PARAM params[])
{
    struct check *check = vcheck;
    for (const OSSL_PARAM *p = params; p && p->key; p++) {
        bool pss = strcmp(p->key, OSSL_SIGNATURE_PARAM_PAD_MODE) == 0 &&
                   is_value(p, RSA_PKCS1_PSS_PADDING, OSSL_PKEY_RSA_PAD_MODE_PSS);
        bool salt = strcmp(p->key, OSSL_SIGNATURE_PARAM_PSS_SALTLEN) == 0 &&
                    is_value(p, RSA_PSS_SALTLEN_DIGEST, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST);
        if (!pss && !salt)
            return 0;
        check->scheme = BATCH_RSA_PSS;
    }
    return 1;
}

static const OSSL_PARAM *settable(void *vcheck, void *context)
{
    (void)vcheck, (void)context;
    static const OSSL_PARAM list[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                                      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
                                      OSSL_PARAM_END};
    return list;
}

static int verify_init(void *vcheck, const char *hash, void *key, const OSSL_PARAM params[])
{
    struct check *check = vcheck;
    check->key = key;
    return check->key && check->key->verify && hash && hash_of(hash, &check->hash) &&
           (!params || set_params(check, params));
}

struct question {
    const struct check *check;
    struct span message, sig;
};

static struct batch_op *put(void *vquestion, struct tls_core *core)
{
    const struct question *q = vquestion;
    return batch_verify(core->batch, q->check->key->verify, q->check->scheme, q->check->hash, q->message,
                        q->sig, NULL, core->now_us);
}

static int verify(void *vcheck, const unsigned char *sig, size_t sig_len, const unsigned char *message,
                  size_t message_len)
{
    struct check *check = vcheck;
    struct tls_core *core = check->provider->core;
    struct question question = {.check = check, .message = {message, message_len}, .sig = {sig, sig_len}};
    struct work work = {.put = put, .ctx = &question};
    bool good = check->key && work_do(core, &work) == BATCH_GOOD;
    if (work.op)
        batch_done(core->batch, work.op);
    return good;
}

#define COMMON                                                         \
    PROVIDED(OSSL_FUNC_SIGNATURE_FREECTX, check_free),                 \
        PROVIDED(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, verify_init), \
        PROVIDED(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, verify)

const OSSL_DISPATCH provided_ecdsa[] = {
    COMMON,
    PROVIDED(OSSL_FUNC_SIGNATURE_NEWCTX, new_ecdsa),
    OSSL_DISPATCH_END,
};

const OSSL_DISPATCH provided_rsa[] = {
    COMMON,
    PROVIDED(OSSL_FUNC_SIGNATURE_NEWCTX, new_rsa),
    PROVIDED(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_params),
    PROVIDED(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable),
    OSSL_DISPATCH_END,
};
