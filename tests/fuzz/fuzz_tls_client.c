/* Whatever a server may send to a client session.
 *
 * Input: a byte of choices, then the server's bytes. The client's randomness is a counter, so that the same input
 * always does the same. By choice it comes back with a ticket, of TLS 1.2 or 1.3.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/tls.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/crypto/talk.h"

#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

static uint64_t counter, runs;
static struct stats stats;

static int counted_bytes(unsigned char *out, int len)
{
    for (int i = 0; i < len; i++)
        out[i] = (unsigned char)((counter++ * 0x9e3779b97f4a7c15u) >> 56);
    return 1;
}

static const RAND_METHOD counted = {.bytes = counted_bytes, .pseudorand = counted_bytes};

static struct tls_core *core(void)
{
    static struct tls_core *made;
    struct error err;
    if (!made) {
        RAND_set_rand_method(&counted);
        made = tls_core_open(&(struct tls_core_config){.sessions_max = 1,
                                                       .batches = talk_batches_wanted(),
                                                       .batch_open = talk_batch_open(),
                                                       .tickets_max = 4,
                                                       .tickets_per_destination = 4,
                                                       .ticket_lifetime_s = 3600,
                                                       .stats = &stats},
                             &err);
    }
    if (!made)
        abort();
    return made;
}

static void require(bool held)
{
    if (!held)
        abort();
}

static void check(struct tls *tls)
{
    enum tls_status status = tls_status(tls);
    struct outcome why;
    require((tls_verified(tls) != NULL) == (status == TLS_OPEN || status == TLS_PEER_CLOSED));
    if (status == TLS_FAILED) {
        tls_failure(tls, &why);
        require(why.reason != REASON_NONE && why.verdict == VERDICT_DEFERRED && strlen(why.text) > 0);
    }
}

static void work(struct tls *tls)
{
    while (tls_status(tls) == TLS_WANT_WORK) {
        require(!tls_work_done(tls));
        require(tls_core_idle(core()));
        require(tls_work_done(tls));
        tls_resume(tls);
    }
}

static void feed(struct tls *tls, const uint8_t *in, size_t len)
{
    uint8_t plain[64];
    size_t consumed;
    while (len) {
        enum tls_status status = tls_input(tls, in, len, &consumed);
        require(consumed <= len);
        work(tls);
        require(consumed == len || status == TLS_WANT_WORK || tls_read(tls, plain, sizeof(plain)) > 0);
        in += consumed;
        len -= consumed;
        check(tls);
    }
}

/* ---- a ticket to come back with ---- */

static SSL_CTX *server_of(int version)
{
    static SSL_CTX *made[2];
    SSL_CTX **ctx = &made[version == TLS1_3_VERSION];
    if (*ctx)
        return *ctx;
    struct pki leaf = pki_make(NULL, &(struct pki_spec){.san = "DNS:mx.example.org"});
    *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(*ctx, version);
    SSL_CTX_set1_groups_list(*ctx, "X25519");
    SSL_CTX_set_num_tickets(*ctx, 1);
    require(SSL_CTX_use_certificate(*ctx, leaf.cert) == 1 && SSL_CTX_use_PrivateKey(*ctx, leaf.key) == 1);
    pki_free(&leaf);
    return *ctx;
}

static struct wire {
    uint8_t data[65536];
    size_t len;
} up;

static uint8_t *reserve(void *ctx, size_t *room)
{
    struct wire *wire = ctx;
    *room = sizeof(wire->data) - wire->len;
    return *room ? wire->data + wire->len : NULL;
}

static void commit(void *ctx, size_t len)
{
    struct wire *wire = ctx;
    wire->len += len;
}

static const struct byte_sink sink = {.ctx = &up, .reserve = reserve, .commit = commit};

static void shake_hands(struct tls *tls, SSL *server, BIO *in, BIO *out)
{
    uint8_t down[65536];
    for (unsigned i = 0; i < 4; i++) {
        BIO_write(in, up.data, (int)up.len);
        up.len = 0;
        SSL_do_handshake(server);
        int n = BIO_read(out, down, sizeof(down));
        if (n > 0)
            feed(tls, down, (size_t)n);
    }
    require(tls_status(tls) == TLS_OPEN);
}

static void get_ticket(const struct tls_demand *demand, int version)
{
    SSL *server = SSL_new(server_of(version));
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(server, in, out);
    SSL_set_accept_state(server);
    struct tls *tls = tls_open(core(), demand);
    require(tls != NULL);
    up.len = 0;
    tls_set_sink(tls, &sink);
    tls_start(tls);
    shake_hands(tls, server, in, out);
    tls_free(tls);
    SSL_free(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t chunks[] = {1, 5, 100, SIZE_MAX};
    const struct tls_scope scope = {.policy = "fuzz", .generation = ++runs};
    struct tls_demand demand = {.sni = "mx.example.org", .min_version = 0x0303, .scope = &scope};
    if (size == 0)
        return 0;
    counter = 0;
    demand.min_version = data[0] & 4 ? 0x0304 : 0x0303;
    core();
    if (data[0] & 8)
        get_ticket(&demand, data[0] & 0x14 ? TLS1_3_VERSION : TLS1_2_VERSION);
    counter = 0;
    uint64_t used = stats.v[STAT_tls_tickets_used];
    struct tls *tls = tls_open(core(), &demand);
    require(tls && tls_start(tls) == TLS_HANDSHAKE);
    require(stats.v[STAT_tls_tickets_used] - used == (data[0] & 8 ? 1 : 0));
    for (size_t at = 1, n; at < size; at += n) {
        n = min_size(chunks[data[0] & 3], size - at);
        feed(tls, data + at, n);
    }
    tls_close_notify(tls);
    check(tls);
    tls_free(tls);
    return 0;
}
