/* engine.h: OpenSSL engines by name, as the batch's device of a core; asym_engine.c uses them, engine.c loads them. */
#ifndef CRYPTO_ENGINE_H
#define CRYPTO_ENGINE_H

#include "engine/base/error.h"

#include <openssl/types.h>

struct tls_engine_use {
    ENGINE *engine;
    bool polled;   /* to be told POLL, else nothing is computed */
    int instances; /* of the device, each with a queue; 0: the engine does not say */
};

/* tls_engine_use loads and starts the engine, where it has not been.  From any thread. */
bool tls_engine_use(const char *id, struct tls_engine_use *use, struct error *err) must_check;
void tls_engine_leave(const struct tls_engine_use *use);

bool tls_engine_has_command(ENGINE *engine, const char *name) must_check;

#endif
