#include "bench/farm_tls.h"

#include <openssl/err.h>
#include <string.h>

/* ---- a stream as a BIO ---- */

static int bio_read(BIO *bio, char *out, size_t cap, size_t *got)
{
    struct stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *got = stream_read(stream, out, cap);
    if (*got == 0 && !stream->peer_done)
        BIO_set_retry_read(bio);
    return *got > 0;
}

static int bio_write(BIO *bio, const char *in, size_t len, size_t *done)
{
    BIO_clear_retry_flags(bio);
    *done = stream_write(BIO_get_data(bio), in, len);
    if (*done == 0)
        BIO_set_retry_write(bio);
    return *done > 0;
}

static long bio_ctrl(BIO *bio, int command, long num, void *ptr)
{
    const struct stream *stream = BIO_get_data(bio);
    (void)num, (void)ptr;
    if (command == BIO_CTRL_EOF)
        return stream->peer_done;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
    if (method) {
        BIO_meth_set_read_ex(method, bio_read);
        BIO_meth_set_write_ex(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
    return method;
}

/* ---- the context ---- */

/* The certificate of the name that the client asks for; without one, or with one that is not ours, that of the address. */
static int choose(SSL *ssl, void *arg)
{
    const struct farm_certs *certs = arg;
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    uint32_t index = (uint32_t)(uintptr_t)SSL_get_app_data(ssl);
    if (sni && !farm_name_index(sni, certs->domain, certs->names, &index))
        index = (uint32_t)(uintptr_t)SSL_get_app_data(ssl);
    const struct farm_issuer *issuer = &certs->issuer[certs->kind[index]];
    return SSL_use_cert_and_key(ssl, certs->leaf[index], issuer->leaf_key, issuer->chain, 1);
}

static bool use_certs(SSL_CTX *ctx, const struct farm_certs *certs)
{
    const struct farm_issuer *issuer = &certs->issuer[certs->kind[0]];
    if (certs->names > 1)
        SSL_CTX_set_cert_cb(ctx, choose, (void *)certs);
    return SSL_CTX_use_cert_and_key(ctx, certs->leaf[0], issuer->leaf_key, issuer->chain, 1);
}

/* The first entry of OpenSSL's queue is the one that says most; a list of groups that it does not know leaves none. */
static bool fail(struct error *err, const char *what)
{
    unsigned long code = ERR_peek_error();
    const char *why = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    return error_set(err, "%s: %s", what, why ? why : "OpenSSL does not say why");
}

static bool use_files(SSL_CTX *ctx, const struct farm_tls_config *config, struct error *err)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, config->chain) != 1)
        return fail(err, config->chain) || error_prefix(err, "--chain");
    if (SSL_CTX_use_PrivateKey_file(ctx, config->key, SSL_FILETYPE_PEM) != 1 ||
        !SSL_CTX_check_private_key(ctx))
        return fail(err, config->key) || error_prefix(err, "--private-key");
    return true;
}

static bool set_up(SSL_CTX *ctx, const struct farm_tls_config *config, const struct farm_certs *certs,
                   struct error *err)
{
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, config->tickets);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | (config->tickets ? 0 : SSL_OP_NO_TICKET));
    if (!SSL_CTX_set_min_proto_version(ctx, config->version_min) ||
        !SSL_CTX_set_max_proto_version(ctx, config->version_max))
        return fail(err, "TLS versions");
    if (config->groups && !SSL_CTX_set1_groups_list(ctx, config->groups))
        return error_set(err, "--groups %s: OpenSSL does not know one of them: see openssl list -tls-groups",
                         config->groups);
    if (config->chain)
        return use_files(ctx, config, err);
    return use_certs(ctx, certs) || fail(err, "certificates");
}

bool farm_tls_open(struct farm_tls *tls, const struct farm_tls_config *config, const struct farm_certs *certs,
                   struct error *err)
{
    *tls = (struct farm_tls){.certs = certs, .ctx = SSL_CTX_new(TLS_server_method()), .bio = make_method()};
    if (!tls->ctx || !tls->bio)
        return fail(err, "TLS");
    return set_up(tls->ctx, config, certs, err);
}

void farm_tls_close(struct farm_tls *tls)
{
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->bio);
    memset(tls, 0, sizeof(*tls));
}

/* ---- a session ---- */

SSL *farm_tls_session(struct farm_tls *tls, struct stream *stream, uint32_t index)
{
    SSL *ssl = SSL_new(tls->ctx);
    BIO *bio = BIO_new(tls->bio);
    if (!ssl || !bio) {
        SSL_free(ssl);
        BIO_free(bio);
        return NULL;
    }
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, (void *)(uintptr_t)index);
    SSL_set_accept_state(ssl);
    return ssl;
}

static enum farm_io outcome(SSL *ssl, int result)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_NONE: return FARM_IO_DONE;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return FARM_IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN: return FARM_IO_ENDED;
    default: return FARM_IO_FAILED;
    }
}

enum farm_io farm_tls_accept(SSL *ssl)
{
    ERR_clear_error();
    return outcome(ssl, SSL_accept(ssl));
}

enum farm_io farm_tls_read(SSL *ssl, char *out, size_t cap, size_t *got)
{
    ERR_clear_error();
    *got = 0;
    return outcome(ssl, SSL_read_ex(ssl, out, cap, got));
}

enum farm_io farm_tls_write(SSL *ssl, const char *in, size_t len, size_t *done)
{
    ERR_clear_error();
    *done = 0;
    return outcome(ssl, SSL_write_ex(ssl, in, len, done));
}
