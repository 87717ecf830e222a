/* bench/farm_tls.h: TLS as a server over streams of bench/stack.h, by OpenSSL. */
#ifndef BENCH_FARM_TLS_H
#define BENCH_FARM_TLS_H

#include "bench/farm_cert.h"
#include "bench/stack.h"

#include <openssl/ssl.h>

struct farm_tls_config {
    int version_min, version_max; /* TLS1_2_VERSION, TLS1_3_VERSION */
    const char *groups;           /* NULL: OpenSSL's own */
    uint32_t tickets;             /* sent after a full handshake; 0: no resumption */
    const char *chain, *key;      /* PEM files for all names; NULL: those of certs */
};

struct farm_tls {
    SSL_CTX *ctx;
    BIO_METHOD *bio;
    const struct farm_certs *certs;
};

/* certs is borrowed until farm_tls_close. */
bool farm_tls_open(struct farm_tls *tls, const struct farm_tls_config *config, const struct farm_certs *certs,
                   struct error *err) must_check;
void farm_tls_close(struct farm_tls *tls);

/* farm_tls_session: a session over the stream, for the name at index unless the client names another.  Does no I/O yet;
 * NULL: no memory.  Ended with SSL_free.
 */
SSL *farm_tls_session(struct farm_tls *tls, struct stream *stream, uint32_t index);

enum farm_io { FARM_IO_DONE, FARM_IO_AGAIN, FARM_IO_ENDED, FARM_IO_FAILED };

/* Each goes on as far as the stream allows; AGAIN: when there is more to read or room to write. */
enum farm_io farm_tls_accept(SSL *ssl);
enum farm_io farm_tls_read(SSL *ssl, char *out, size_t cap, size_t *got);
enum farm_io farm_tls_write(SSL *ssl, const char *in, size_t len, size_t *done);

#endif
