/* engine.c: a public-key accelerator as an OpenSSL ENGINE.
 *
 * Defaults of engines are process-wide, so one engine serves all cores and is counted by them.  Only RSA and EC
 * go to it: with its EVP_PKEY methods as defaults OpenSSL 3.5 cannot make an X25519MLKEM768 key share.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* 3.5 has engines until 2030; nothing else includes engine.h */
#include "crypto/session.h"

#include <openssl/engine.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ENGINE *loaded; /* once, for good: threads of an engine do not survive that its code is unmapped */
static unsigned holders;

static bool refuse(ENGINE *engine, const char *id, const char *what, struct error *err)
{
    const char *why = tls_reason();
    ENGINE_free(engine);
    return error_set(err, "OpenSSL engine \"%s\" %s: %s; install it, or configure none", id, what, why);
}

static bool load(const char *id, struct error *err)
{
    ENGINE *engine = ENGINE_by_id(id);
    if (!engine)
        return refuse(NULL, id, "is not there", err);
    if (!ENGINE_init(engine))
        return refuse(engine, id, "does not start", err);
    loaded = engine;
    return true;
}

static bool hold_locked(const char *id, struct error *err)
{
    ERR_clear_error();
    if (loaded && strcmp(ENGINE_get_id(loaded), id) != 0)
        return error_set(err, "OpenSSL engine \"%s\" is in use, \"%s\" cannot be beside it",
                         ENGINE_get_id(loaded), id);
    if (!loaded && !load(id, err))
        return false;
    if (holders == 0 && !ENGINE_set_default(loaded, ENGINE_METHOD_RSA | ENGINE_METHOD_EC))
        return refuse(NULL, id, "cannot be made the default for RSA and EC", err);
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
        ENGINE_unregister_RSA(loaded);
        ENGINE_unregister_EC(loaded);
    }
    pthread_mutex_unlock(&lock);
}
