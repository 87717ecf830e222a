/* One client handshake over and over, whose chain was proven before, for callgrind to count what step_*() takes; the server's work
 * is outside of these.
 *
 *     valgrind --tool=callgrind --collect-atstart=no --toggle-collect='step_*' handshake_instructions KEY SESSIONS
 *
 * KEY: rsa2048 or P-256.  The difference of two runs, with 20 and 120 sessions, is a hundred handshakes.  No test.
 */
#include "tests/unit/crypto/talk.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#define HOST "mx.example.org"
#define STEP __attribute__((noclone, used)) noinline void

STEP step_open(struct talk *talk, const struct tls_demand *demand);
STEP step_hello(struct talk *talk);
STEP step_input(struct talk *talk, const uint8_t *in, size_t len);
STEP step_free(struct talk *talk);
STEP step_stock(struct talk *talk);

void step_open(struct talk *talk, const struct tls_demand *demand)
{
    talk->tls = tls_open(talk->core, demand);
}

void step_hello(struct talk *talk)
{
    tls_set_sink(talk->tls, &talk->sink);
    tls_start(talk->tls);
}

void step_input(struct talk *talk, const uint8_t *in, size_t len)
{
    size_t consumed;
    tls_input(talk->tls, in, len, &consumed);
    assert(consumed == len);
}

void step_free(struct talk *talk)
{
    tls_free(talk->tls);
}

/* Ephemeral keys ahead of need. */
void step_stock(struct talk *talk)
{
    tls_core_idle(talk->core);
}

static SSL *make_server(SSL_CTX *ctx, BIO **in, BIO **out)
{
    SSL *server = SSL_new(ctx);
    *in = BIO_new(BIO_s_mem());
    *out = BIO_new(BIO_s_mem());
    SSL_set_bio(server, *in, *out);
    SSL_set_accept_state(server);
    return server;
}

static void one(struct talk *talk, const struct tls_demand *demand)
{
    static uint8_t wire[65536];
    BIO *in, *out;
    SSL *server = make_server(talk->server_ctx, &in, &out);
    step_stock(talk);
    step_open(talk, demand);
    step_hello(talk);
    for (int n = 1; n > 0;) {
        BIO_write(in, talk->pipe, (int)talk->pipe_used);
        talk->pipe_used = 0;
        SSL_do_handshake(server);
        ERR_clear_error();
        n = BIO_read(out, wire, sizeof(wire));
        if (n > 0)
            step_input(talk, wire, (size_t)n);
    }
    assert(tls_status(talk->tls) == TLS_OPEN);
    step_free(talk);
    talk->tls = NULL;
    talk->pipe_used = 0;
    SSL_free(server);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    unsigned sessions = (unsigned)strtoul(argv[2], NULL, 10);
    struct pki_chain chain = pki_chain(argv[1], "DNS:" HOST);
    struct talk talk;
    struct talk_server server = {.leaf = &chain.leaf, .middle = &chain.middle, .groups = "X25519"};
    struct tls_demand demand = talk_pkix(HOST);
    talk_open_config(
        &talk, chain.ca_file,
        &(struct tls_core_config){.sessions_max = 2, .proven_chains = 64, .proven_lifetime_s = 3600});
    demand.trust = talk.trust;
    talk_meet(&talk, &server, &demand); /* for its server_ctx */
    tls_free(talk.tls);
    talk.tls = NULL;
    talk.pipe_used = 0;
    for (unsigned i = 0; i < sessions; i++)
        one(&talk, &demand);
    talk_close(&talk);
    pki_chain_free(&chain);
    return 0;
}
