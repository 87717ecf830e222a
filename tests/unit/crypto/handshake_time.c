/* What a client's full handshake costs: microseconds of this thread's CPU inside tls_*(), the server's work not counted.
 *
 *     handshake_time [HANDSHAKES]      no test: it prints figures; crypto/README.md holds those of one machine
 */
#include "tests/unit/crypto/talk.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#undef NDEBUG
#include <assert.h>

#define HOST "mx.example.org"

enum phase { OPEN, HELLO, INPUT, TICKETS, FREE, TOTAL, PHASES };

#define HANDSHAKES_MAX 100000

static uint32_t cost_ns[PHASES][HANDSHAKES_MAX];

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
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

/* What the server answers to our Finished: its tickets, where it gives any. */
static uint64_t take_tickets(struct talk *talk, SSL *server, BIO *in, BIO *out)
{
    static uint8_t wire[65536];
    size_t consumed;
    BIO_write(in, talk->pipe, (int)talk->pipe_used);
    talk->pipe_used = 0;
    SSL_do_handshake(server);
    int n = BIO_read(out, wire, sizeof(wire));
    uint64_t start = cpu_ns();
    if (n > 0)
        tls_input(talk->tls, wire, (size_t)n, &consumed);
    return cpu_ns() - start;
}

static void one(struct talk *talk, const struct tls_demand *demand, uint64_t ns[PHASES])
{
    static uint8_t wire[65536];
    BIO *in, *out;
    size_t consumed;
    SSL *server = make_server(talk->server_ctx, &in, &out);
    uint64_t start = cpu_ns();
    talk->tls = tls_open(talk->core, demand);
    tls_set_sink(talk->tls, &talk->sink);
    uint64_t opened = cpu_ns();
    tls_start(talk->tls);
    ns[HELLO] = cpu_ns() - opened;
    ns[OPEN] = opened - start;
    ns[INPUT] = 0;
    while (tls_status(talk->tls) == TLS_HANDSHAKE) {
        BIO_write(in, talk->pipe, (int)talk->pipe_used);
        talk->pipe_used = 0;
        SSL_do_handshake(server);
        ERR_clear_error();
        int n = BIO_read(out, wire, sizeof(wire));
        assert(n > 0);
        start = cpu_ns();
        tls_input(talk->tls, wire, (size_t)n, &consumed);
        ns[INPUT] += cpu_ns() - start;
    }
    ns[TICKETS] = take_tickets(talk, server, in, out);
    assert(tls_status(talk->tls) == TLS_OPEN);
    start = cpu_ns();
    tls_free(talk->tls);
    ns[FREE] = cpu_ns() - start;
    ns[TOTAL] = ns[OPEN] + ns[HELLO] + ns[INPUT] + ns[TICKETS] + ns[FREE];
    talk->tls = NULL;
    talk->pipe_used = 0;
    SSL_free(server);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Of the middle handshake: who else runs on the machine does not count. */
static double median_us(enum phase phase, unsigned handshakes)
{
    qsort(cost_ns[phase], handshakes, sizeof(cost_ns[phase][0]), compare);
    return cost_ns[phase][handshakes / 2] / 1000.0;
}

static void repeat(struct talk *talk, const struct tls_demand *demand, unsigned handshakes)
{
    uint64_t ns[PHASES];
    for (unsigned i = 0; i < 20; i++) /* warm up */
        one(talk, demand, ns);
    for (unsigned i = 0; i < handshakes; i++) {
        one(talk, demand, ns);
        for (unsigned phase = 0; phase < PHASES; phase++)
            cost_ns[phase][i] = (uint32_t)ns[phase];
    }
}

enum chain {
    UNVERIFIED,
    VERIFIED,
    PROVEN,
    RESUMED
}; /* what is asked of it: nothing, all each time, all once; not shown */

static void measure(const char *what, const struct pki_chain *chain, int version, const char *group,
                    enum chain ask, unsigned handshakes)
{
    struct talk talk;
    struct talk_server server = {
        .leaf = &chain->leaf, .middle = &chain->middle, .version = version, .groups = group};
    struct tls_demand demand = ask == UNVERIFIED ? talk_encrypt(HOST) : talk_pkix(HOST);
    const struct tls_scope scope = talk_scope();
    demand.scope = &scope;
    talk_open_config(&talk, chain->ca_file,
                     &(struct tls_core_config){.sessions_max = 2,
                                               .proven_chains = ask == PROVEN ? 64 : 0,
                                               .proven_lifetime_s = 3600,
                                               .tickets_max = ask == RESUMED ? 64 : 0,
                                               .tickets_per_destination = 64,
                                               .ticket_lifetime_s = 3600});
    demand.trust = talk.trust;
    talk_meet(&talk, &server, &demand); /* for its server_ctx */
    tls_free(talk.tls);
    talk.pipe_used = 0;
    repeat(&talk, &demand, handshakes);
    printf(
        "%-52s %6.0f us: open %3.0f, ClientHello %4.0f, server's flights %5.0f, tickets %3.0f, free %3.0f\n",
        what, median_us(TOTAL, handshakes), median_us(OPEN, handshakes), median_us(HELLO, handshakes),
        median_us(INPUT, handshakes), median_us(TICKETS, handshakes), median_us(FREE, handshakes));
    assert((talk.stats.v[STAT_tls_resumed] >= handshakes) == (ask == RESUMED));
    talk_close(&talk);
}

/* Heap that an open and idle session holds, its place in our pool not counted. */
static void measure_memory(const struct pki_chain *chain)
{
    enum { SESSIONS = 200 };
    struct talk talk;
    struct talk_server server = {.leaf = &chain->leaf, .middle = &chain->middle, .groups = "X25519"};
    struct tls_demand demand = talk_pkix(HOST);
    struct tls *open[SESSIONS];
    talk_open_config(&talk, chain->ca_file, &(struct tls_core_config){.sessions_max = SESSIONS + 1});
    talk_accepted(&talk, &server, &demand);
    talk_part(&talk);
    size_t before = mallinfo2().uordblks;
    for (unsigned i = 0; i < SESSIONS; i++) {
        talk_accepted(&talk, &server, &demand);
        talk_run(&talk);
        open[i] = talk.tls;
        talk.tls = NULL; /* the next meeting frees the server only */
    }
    talk_part(&talk);
    printf("an open, idle session holds %zu bytes of heap\n", (mallinfo2().uordblks - before) / SESSIONS);
    for (unsigned i = 0; i < SESSIONS; i++)
        tls_free(open[i]);
    talk_close(&talk);
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    n = n == 0 ? 1 : min_u32(n, HANDSHAKES_MAX);
    struct pki_chain rsa = pki_chain("rsa2048", "DNS:" HOST), ec = pki_chain("P-256", "DNS:" HOST);
    printf("%s, medians of %u handshakes, CPU time of the client's thread\n",
           OpenSSL_version(OPENSSL_VERSION), n);
    measure("TLS 1.3 X25519, RSA-2048 chain of 3, verified", &rsa, TLS1_3_VERSION, "X25519", VERIFIED, n);
    measure("the same, proven before", &rsa, TLS1_3_VERSION, "X25519", PROVEN, n);
    measure("the same, resumed", &rsa, TLS1_3_VERSION, "X25519", RESUMED, n);
    measure("TLS 1.3 X25519, RSA-2048, chain not verified", &rsa, TLS1_3_VERSION, "X25519", UNVERIFIED, n);
    measure("TLS 1.3 X25519, P-256 chain of 3, verified", &ec, TLS1_3_VERSION, "X25519", VERIFIED, n);
    measure("the same, proven before", &ec, TLS1_3_VERSION, "X25519", PROVEN, n);
    measure("the same, resumed", &ec, TLS1_3_VERSION, "X25519", RESUMED, n);
    measure("TLS 1.3 X25519, P-256, chain not verified", &ec, TLS1_3_VERSION, "X25519", UNVERIFIED, n);
    measure("TLS 1.3 retry to X25519MLKEM768, RSA-2048, verified", &rsa, TLS1_3_VERSION, NULL, VERIFIED, n);
    measure("TLS 1.2 X25519, RSA-2048 chain of 3, verified", &rsa, TLS1_2_VERSION, "X25519", VERIFIED, n);
    measure("TLS 1.2 X25519, P-256 chain of 3, verified", &ec, TLS1_2_VERSION, "X25519", VERIFIED, n);
    measure("the same, resumed", &ec, TLS1_2_VERSION, NULL, RESUMED, n);
    measure_memory(&rsa);
    pki_chain_free(&rsa);
    pki_chain_free(&ec);
    return 0;
}
