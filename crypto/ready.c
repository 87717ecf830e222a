/* ready.c: OpenSSL's half of a session, made while the core has nothing else to do; what a demand says is put in when it is taken. */
#include "crypto/session.h"

static SSL *make(struct tls_core *core)
{
    SSL *ssl = SSL_new(core->ctx);
    BIO *bio = ssl ? BIO_new(core->bio_method) : NULL;
    if (!bio) {
        SSL_free(ssl);
        return NULL;
    }
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_connect_state(ssl);
    return ssl;
}

/* One at a time: whatever comes in the meantime waits no longer than for that. */
void ready_fill(struct tls_core *core)
{
    if (core->ready_count == READY_MAX)
        return;
    tls_clear_errors();
    SSL *ssl = make(core);
    tls_clear_errors();
    if (ssl)
        core->ready[core->ready_count++] = ssl;
}

SSL *ready_take(struct tls *tls)
{
    struct tls_core *core = tls->core;
    bool ahead = core->ready_count > 0;
    SSL *ssl = ahead ? core->ready[--core->ready_count] : make(core);
    if (!ssl)
        return NULL;
    stat_add(core->stats, STAT_tls_prepared, ahead);
    BIO_set_data(SSL_get_rbio(ssl), tls);
    SSL_set_app_data(ssl, tls);
    return ssl;
}

void ready_close(struct tls_core *core)
{
    while (core->ready_count > 0)
        SSL_free(core->ready[--core->ready_count]);
}
