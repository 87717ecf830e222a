/* What a client's handshake costs when many run side by side, with and without batches: microseconds of this thread's CPU
 * inside tls_*(), the servers' work not counted.  All servers answer at once, as a burst off the wire brings it.
 *
 *     handshakes_time [ROUNDS]      no test: it prints figures; crypto/README.md holds those of one machine
 *     handshakes_time ROUNDS rsa2048|P-256 SESSIONS
 *                                   one figure, with batches: to be run by turns with another build's
 */
#include "crypto/batch.h"
#include "tests/unit/crypto/talk.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#undef NDEBUG
#include <assert.h>

#define HOST "mx.example.org"

enum { SESSIONS_MAX = 64, ROUNDS_MAX = 1000, PIPE = 16384 };

struct end {
    struct tls *tls;
    SSL *server;
    BIO *in, *out;
    struct byte_sink sink;
    uint8_t pipe[PIPE], wire[PIPE];
    size_t pipe_used, wire_len;
};

static struct end end[SESSIONS_MAX];
static double cost_us[ROUNDS_MAX];

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint8_t *reserve(void *ctx, size_t *room)
{
    struct end *e = ctx;
    *room = PIPE - e->pipe_used;
    return *room ? e->pipe + e->pipe_used : NULL;
}

static void commit(void *ctx, size_t len)
{
    struct end *e = ctx;
    e->pipe_used += len;
}

static void serve(struct end *e)
{
    BIO_write(e->in, e->pipe, (int)e->pipe_used);
    e->pipe_used = 0;
    SSL_do_handshake(e->server);
    ERR_clear_error();
    int n = BIO_read(e->out, e->wire, PIPE);
    e->wire_len = n > 0 ? (size_t)n : 0;
}

static void receive(struct end *e)
{
    size_t consumed;
    if (e->wire_len == 0 || tls_status(e->tls) != TLS_HANDSHAKE)
        return;
    tls_input(e->tls, e->wire, e->wire_len, &consumed);
    e->wire_len -= consumed;
    memmove(e->wire, e->wire + consumed, e->wire_len);
}

/* As the loop of a core: what came, then the public-key work until nobody waits for it. */
static void turn(struct tls_core *core, unsigned sessions)
{
    bool again = true;
    for (unsigned i = 0; i < sessions; i++)
        receive(&end[i]);
    while (again) {
        again = false;
        tls_core_work(core, 1);
        for (unsigned i = 0; i < sessions; i++) {
            if (tls_status(end[i].tls) != TLS_WANT_WORK)
                continue;
            again = true;
            if (!tls_work_done(end[i].tls))
                continue;
            tls_resume(end[i].tls);
            receive(&end[i]);
        }
    }
}

static void accept_all(SSL_CTX *ctx, unsigned sessions)
{
    for (unsigned i = 0; i < sessions; i++) {
        struct end *e = &end[i];
        e->server = SSL_new(ctx);
        e->in = BIO_new(BIO_s_mem());
        e->out = BIO_new(BIO_s_mem());
        SSL_set_bio(e->server, e->in, e->out);
        SSL_set_accept_state(e->server);
        e->sink = (struct byte_sink){.ctx = e, .reserve = reserve, .commit = commit};
        e->pipe_used = e->wire_len = 0;
    }
}

static uint64_t one_round(struct talk *talk, const struct tls_demand *demand, unsigned sessions)
{
    accept_all(talk->server_ctx, sessions);
    tls_core_idle(talk->core); /* keys ahead of need: counted below */
    uint64_t spent = 0, start = cpu_ns();
    for (unsigned i = 0; i < 8; i++)
        tls_core_idle(talk->core);
    for (unsigned i = 0; i < sessions; i++) {
        end[i].tls = tls_open(talk->core, demand);
        tls_set_sink(end[i].tls, &end[i].sink);
        tls_start(end[i].tls);
    }
    spent += cpu_ns() - start;
    for (unsigned flight = 0; tls_status(end[0].tls) == TLS_HANDSHAKE; flight++) {
        assert(flight < 4);
        for (unsigned i = 0; i < sessions; i++)
            serve(&end[i]);
        start = cpu_ns();
        turn(talk->core, sessions);
        spent += cpu_ns() - start;
    }
    start = cpu_ns();
    for (unsigned i = 0; i < sessions; i++) {
        assert(tls_status(end[i].tls) == TLS_OPEN);
        tls_free(end[i].tls);
    }
    spent += cpu_ns() - start;
    for (unsigned i = 0; i < sessions; i++)
        SSL_free(end[i].server);
    return spent;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

enum mode { OFF, ON, WITHOUT_LANES }; /* the last: as on a CPU without AVX-512 IFMA */

static struct batch *without_lanes(const struct batch_config *config, struct error *err)
{
    struct batch_config mine = *config;
    mine.libcrypto_only = true;
    return batch_open(&mine, err);
}

static double measure(const struct pki_chain *chain, enum mode mode, unsigned sessions, unsigned rounds)
{
    struct talk talk;
    struct talk_server server = {.leaf = &chain->leaf, .middle = &chain->middle, .groups = "X25519"};
    struct tls_demand demand = talk_pkix(HOST);
    talk_without_batches = true;
    talk_open_config(&talk, chain->ca_file,
                     &(struct tls_core_config){.sessions_max = SESSIONS_MAX + 1,
                                               .batches = mode != OFF,
                                               .batch_open = mode == WITHOUT_LANES ? without_lanes : NULL,
                                               .proven_chains = 64,
                                               .proven_lifetime_s = 3600});
    demand.trust = talk.trust;
    talk_meet(&talk, &server, &demand); /* for its server_ctx */
    tls_free(talk.tls);
    talk.tls = NULL;
    talk.pipe_used = 0;
    for (unsigned i = 0; i < 3; i++) /* warm up */
        one_round(&talk, &demand, sessions);
    for (unsigned i = 0; i < rounds; i++)
        cost_us[i] = (double)one_round(&talk, &demand, sessions) / 1000.0 / sessions;
    talk_close(&talk);
    qsort(cost_us, rounds, sizeof(cost_us[0]), compare);
    return cost_us[rounds / 2];
}

static void print_one(const char *kind, unsigned sessions, unsigned rounds)
{
    struct pki_chain chain = pki_chain(kind, "DNS:" HOST);
    printf("%.1f\n", measure(&chain, ON, sessions, rounds));
    pki_chain_free(&chain);
}

static void print_table(unsigned rounds)
{
    static const unsigned side_by_side[] = {1, 8, 64};
    struct pki_chain rsa = pki_chain("rsa2048", "DNS:" HOST), ec = pki_chain("P-256", "DNS:" HOST);
    const struct pki_chain *const chain[] = {&rsa, &ec};
    for (unsigned c = 0; c < ARRAY_LEN(chain); c++)
        for (unsigned s = 0; s < ARRAY_LEN(side_by_side); s++) {
            double off = measure(chain[c], OFF, side_by_side[s], rounds);
            double on = measure(chain[c], ON, side_by_side[s], rounds);
            double bare = measure(chain[c], WITHOUT_LANES, side_by_side[s], rounds);
            printf(
                "%-8s %2u side by side: off %4.0f us, on %4.0f us, ratio %.2f; without lanes %4.0f us, %.2f\n",
                c ? "P-256" : "RSA-2048", side_by_side[s], off, on, off / on, bare, off / bare);
        }
    pki_chain_free(&rsa);
    pki_chain_free(&ec);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;
    rounds = rounds == 0 ? 1 : min_u32(rounds, ROUNDS_MAX);
    if (argc == 4)
        print_one(argv[2], min_u32(max_u32((uint32_t)strtoul(argv[3], NULL, 10), 1), SESSIONS_MAX), rounds);
    else
        print_table(rounds);
    return 0;
}
