/* engine.c: public-key accelerators as OpenSSL ENGINEs, loaded once a process and used in two ways.
 *
 * As the default for RSA and EC, so that sessions of OpenSSL's own use it: defaults are process-wide, so one
 * engine serves all cores and is counted by them.  Not for EVP_PKEY methods: with these as defaults OpenSSL 3.5
 * cannot make an X25519MLKEM768 key share.  And by name, for the operations of a batch (asym_engine.c).
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* 3.5 has engines until 2030 */
#include "crypto/engine.h"
#include "crypto/session.h"

#include <openssl/crypto.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define ENGINES_MAX 4u

/* Once loaded, for good: threads of an engine do not survive that its code is unmapped. */
static struct loaded {
    ENGINE *engine;
    bool polled; /* it computes when it is told POLL, and no thread of its own does */
    int instances;
    unsigned batches; /* that use it */
} all[ENGINES_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ENGINE *by_default;
static unsigned holders; /* of by_default */

static bool refuse(ENGINE *engine, const char *id, const char *what, struct error *err)
{
    const char *why = tls_reason();
    ENGINE_free(engine);
    return error_set(err, "OpenSSL engine \"%s\" %s: %s; install it, or configure none", id, what, why);
}

bool tls_engine_has_command(ENGINE *engine, const char *name)
{
    bool has = ENGINE_ctrl(engine, ENGINE_CTRL_GET_CMD_FROM_NAME, 0, (void *)(uintptr_t)name, NULL) > 0;
    ERR_clear_error();
    return has;
}

/* In QAT_SW mode qatengine has the command and no answer. */
static int count_instances(ENGINE *engine)
{
    int n = 0;
    if (!tls_engine_has_command(engine, "GET_NUM_CRYPTO_INSTANCES") ||
        ENGINE_ctrl_cmd(engine, "GET_NUM_CRYPTO_INSTANCES", 0, &n, NULL, 0) != 1)
        n = 0;
    ERR_clear_error();
    return n;
}

/* To be said before the engine is started. */
static bool ask_for_polling(ENGINE *engine)
{
    bool polled = tls_engine_has_command(engine, "POLL") &&
                  tls_engine_has_command(engine, "ENABLE_EXTERNAL_POLLING") &&
                  ENGINE_ctrl_cmd_string(engine, "ENABLE_EXTERNAL_POLLING", NULL, 0) == 1;
    ERR_clear_error();
    return polled;
}

static struct loaded *load_into(struct loaded *at, const char *id, bool polling, struct error *err)
{
    /* Else OpenSSL, where it comes to this later, makes all engines that there are its defaults. */
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ENGINE_ALL_BUILTIN, NULL);
    ENGINE *engine = ENGINE_by_id(id);
    if (!engine) {
        refuse(NULL, id, "is not there", err);
        return NULL;
    }
    bool polled = polling && ask_for_polling(engine);
    if (!ENGINE_init(engine)) {
        refuse(engine, id, "does not start", err);
        return NULL;
    }
    *at = (struct loaded){.engine = engine, .polled = polled, .instances = count_instances(engine)};
    return at;
}

static struct loaded *load(const char *id, bool polling, struct error *err)
{
    ERR_clear_error();
    for (unsigned i = 0; i < ENGINES_MAX; i++) {
        if (!all[i].engine)
            return load_into(&all[i], id, polling, err);
        if (strcmp(ENGINE_get_id(all[i].engine), id) == 0)
            return &all[i];
    }
    error_set(err, "OpenSSL engine \"%s\" would be one more than the %u that a process can have", id,
              ENGINES_MAX);
    return NULL;
}

/* ---- as the default ---- */

static bool hold_locked(const char *id, struct error *err)
{
    if (holders > 0 && strcmp(ENGINE_get_id(by_default), id) != 0)
        return error_set(err, "OpenSSL engine \"%s\" is in use, \"%s\" cannot be beside it",
                         ENGINE_get_id(by_default), id);
    struct loaded *loaded = load(id, false, err);
    if (!loaded)
        return false;
    if (holders == 0 && !ENGINE_set_default(loaded->engine, ENGINE_METHOD_RSA | ENGINE_METHOD_EC))
        return refuse(NULL, id, "cannot be made the default for RSA and EC", err);
    by_default = loaded->engine;
    holders++;
    return true;
}

bool tls_engine_hold(const char *id, struct error *err)
{
    pthread_mutex_lock(&lock);
    bool ok = hold_locked(id, err);
    pthread_mutex_unlock(&lock);
    return ok;
}

void tls_engine_drop(void)
{
    pthread_mutex_lock(&lock);
    if (--holders == 0) {
        ENGINE_unregister_RSA(by_default);
        ENGINE_unregister_EC(by_default);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- by name ---- */

/* An engine with one queue for all threads gives each what all have asked for: qatengine in QAT_SW mode. */
static bool use_locked(const char *id, struct tls_engine_use *use, struct error *err)
{
    struct loaded *loaded = load(id, true, err);
    if (!loaded)
        return false;
    if (loaded->polled && loaded->instances == 0 && loaded->batches > 0)
        return error_set(
            err,
            "OpenSSL engine \"%s\" has no device and one queue for all of the process: it serves one "
            "core, and another has it",
            id);
    loaded->batches++;
    *use = (struct tls_engine_use){
        .engine = loaded->engine, .polled = loaded->polled, .instances = loaded->instances};
    return true;
}

bool tls_engine_use(const char *id, struct tls_engine_use *use, struct error *err)
{
    pthread_mutex_lock(&lock);
    bool ok = use_locked(id, use, err);
    pthread_mutex_unlock(&lock);
    return ok;
}

void tls_engine_leave(const struct tls_engine_use *use)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < ENGINES_MAX; i++)
        if (all[i].engine == use->engine)
            all[i].batches--;
    pthread_mutex_unlock(&lock);
}
