/* A client session, an OpenSSL server, and somebody in between: the input is a program of what the three of them do.
 *
 * The first byte chooses the server and the demand, every further pair of bytes is an operation and its argument. What
 * must hold, whatever the program: nobody reads a byte that the other did not write, in its place; a name that the
 * certificate has not is never accepted, nor is the certificate after its end; a session is resumed where both ends say so, and
 * proves what the one before has proven.
 */
#include "crypto/tls.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/crypto/wall.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_BYTES (256u << 10)

struct wire {
    uint8_t data[WIRE_BYTES];
    size_t len;
};

struct actors {
    struct tls *tls;
    uint8_t choice; /* of the server and the demand */
    bool seen_open;
    SSL *server;
    BIO *in, *out;        /* the server's */
    bool server_ready;    /* has been through its handshake */
    struct wire up, down; /* to the server, to the client */
    size_t sink_room;     /* bytes that the client's sink takes until the next delivery */
    uint32_t client_wrote, server_read, server_wrote,
        client_read; /* plain bytes: the n-th has the value (uint8_t)n */
};

static struct tls_core *core;
static struct tls_trust *trust;
static SSL_CTX *servers[2];
static struct actors actors;
static uint64_t runs;

static void require(bool held)
{
    if (!held)
        abort();
}

static void prepare(void)
{
    static struct stats stats;
    struct error err;
    struct pki_chain chain = pki_chain("P-256", "DNS:mx.example.org");
    core = tls_core_open(&(struct tls_core_config){.sessions_max = 1,
                                                   .batches = talk_batches_wanted(),
                                                   .batch_open = talk_batch_open(),
                                                   .proven_chains = 16,
                                                   .proven_lifetime_s = 3600,
                                                   .tickets_max = 8,
                                                   .tickets_per_destination = 3,
                                                   .ticket_lifetime_s = 3600,
                                                   .stats = &stats},
                         &err);
    trust = tls_trust_load(chain.ca_file, 1, &err);
    require(core && trust);
    for (unsigned i = 0; i < 2; i++) {
        servers[i] = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_max_proto_version(servers[i], i ? TLS1_3_VERSION : TLS1_2_VERSION);
        SSL_CTX_set1_groups_list(servers[i], "X25519");
        require(SSL_CTX_use_certificate(servers[i], chain.leaf.cert) == 1 &&
                SSL_CTX_use_PrivateKey(servers[i], chain.leaf.key) == 1 &&
                SSL_CTX_add1_chain_cert(servers[i], chain.middle.cert) == 1);
    }
    pki_chain_free(&chain);
}

/* ---- the client's sink ---- */

static uint8_t *reserve(void *ctx, size_t *room)
{
    struct actors *a = ctx;
    *room = min_size(a->sink_room, WIRE_BYTES - a->up.len);
    return *room ? a->up.data + a->up.len : NULL;
}

static void commit(void *ctx, size_t len)
{
    struct actors *a = ctx;
    require(len <= a->sink_room);
    a->sink_room -= len;
    a->up.len += len;
}

static const struct byte_sink sink = {.ctx = &actors, .reserve = reserve, .commit = commit};

/* ---- operations ---- */

static void drop(struct wire *wire, size_t len)
{
    memmove(wire->data, wire->data + len, wire->len - len);
    wire->len -= len;
}

static void check_plain(const uint8_t *data, size_t len, uint32_t *read, uint32_t written)
{
    for (size_t i = 0; i < len; i++)
        require(data[i] == (uint8_t)(*read + i));
    *read += (uint32_t)len;
    require(*read <= written);
}

static void to_client(struct actors *a, size_t len)
{
    a->sink_room = 1 + len * 7;
    uint8_t plain[300];
    size_t consumed, n;
    len = min_size(len, a->down.len);
    tls_input(a->tls, a->down.data, len, &consumed);
    require(consumed <= len);
    drop(&a->down, consumed);
    n = tls_read(a->tls, plain, sizeof(plain));
    check_plain(plain, n, &a->client_read, a->server_wrote);
    tls_output(a->tls);
}

static void to_server(struct actors *a, size_t len)
{
    uint8_t plain[300];
    len = min_size(len, a->up.len);
    if (len)
        BIO_write(a->in, a->up.data, (int)len);
    drop(&a->up, len);
    int n;
    while ((n = SSL_read(a->server, plain, sizeof(plain))) > 0)
        check_plain(plain, (size_t)n, &a->server_read, a->client_wrote);
    a->server_ready |= SSL_is_init_finished(a->server);
    n = BIO_read(a->out, a->down.data + a->down.len, (int)(WIRE_BYTES - a->down.len));
    a->down.len += n > 0 ? (size_t)n : 0;
}

static void client_writes(struct actors *a, size_t len)
{
    uint8_t plain[256 * 100];
    len = min_size(len * 100, sizeof(plain));
    for (size_t i = 0; i < len; i++)
        plain[i] = (uint8_t)(a->client_wrote + i);
    if (tls_write(a->tls, plain, len))
        a->client_wrote += (uint32_t)len;
}

static void server_writes(struct actors *a, size_t len)
{
    uint8_t plain[256];
    for (size_t i = 0; i < len; i++)
        plain[i] = (uint8_t)(a->server_wrote + i);
    if (len && a->server_ready && SSL_write(a->server, plain, (int)len) == (int)len)
        a->server_wrote += (uint32_t)len;
}

static void insert(struct wire *wire, uint8_t byte)
{
    if (wire->len == WIRE_BYTES)
        return;
    memmove(wire->data + 1, wire->data, wire->len++);
    wire->data[0] = byte;
}

static void meet(struct actors *a, uint8_t choice)
{
    const struct tls_scope scope = {.policy = "fuzz",
                                    .generation = runs}; /* no run finds another's tickets */
    struct tls_demand demand = {
        .sni = "mx.example.org", .min_version = 0x0303, .pkix = !(choice & 2), .trust = trust};
    demand.scope = &scope;
    demand.names = 1;
    demand.name[0] = choice & 4 ? "other.example.org" : "mx.example.org";
    memset(&a->client_wrote, 0, 4 * sizeof(uint32_t));
    a->choice = choice;
    a->seen_open = false;
    a->up.len = a->down.len = 0;
    a->sink_room = WIRE_BYTES;
    a->server_ready = false;
    a->server = SSL_new(servers[choice & 1]);
    a->in = BIO_new(BIO_s_mem());
    a->out = BIO_new(BIO_s_mem());
    SSL_set_bio(a->server, a->in, a->out);
    SSL_set_accept_state(a->server);
    a->tls = tls_open(core, &demand);
    require(a->tls != NULL);
    tls_set_sink(a->tls, &sink);
    tls_start(a->tls);
}

static void part(struct actors *a)
{
    tls_free(a->tls);
    SSL_free(a->server);
    ERR_clear_error();
}

static void meet_again(struct actors *a, uint8_t choice)
{
    part(a);
    meet(a, choice);
}

/* By minutes, or by months. */
static void shift_clock(uint8_t argument)
{
    int64_t step = (argument & 0x3f) - 0x20;
    clock_shift_s += argument & 0x40 ? step * 86400 * 6 : step * 60;
}

static void act(struct actors *a, uint8_t operation, uint8_t argument)
{
    size_t at = a->down.len * argument / 256;
    switch (operation % 16) {
    case 0: to_client(a, argument); break;
    case 1: to_server(a, argument); break;
    case 2: to_client(a, WIRE_BYTES); break;
    case 3: to_server(a, WIRE_BYTES); break;
    case 4: client_writes(a, argument); break;
    case 5: server_writes(a, argument); break;
    case 6: a->down.data[at] ^= a->down.len ? 1 : 0; break;
    case 7: a->down.data[at] ^= a->down.len ? 0x80 : 0; break;
    case 8: drop(&a->down, min_size(argument, a->down.len)); break;
    case 9: insert(&a->down, argument); break;
    case 10: SSL_key_update(a->server, argument & 1); break;
    case 11: SSL_shutdown(a->server); break;
    case 12: tls_close_notify(a->tls); break;
    case 13:
        if (argument & 0x80)
            meet_again(a, argument);
        else
            SSL_new_session_ticket(a->server);
        break;
    case 14: SSL_renegotiate(a->server); break;
    case 15:
        if (argument & 0x80)
            shift_clock(argument);
        else
            tls_resume(a->tls);
        break;
    }
    if (tls_status(a->tls) == TLS_WANT_WORK && !(argument & 1)) {
        tls_core_idle(core);
        tls_resume(a->tls);
    }
    ERR_clear_error();
}

/* ---- a run ---- */

static void check_proof(struct actors *a, const struct tls_verified *v)
{
    if (a->seen_open)
        return;
    a->seen_open = true;
    require(v->resumed == SSL_session_reused(a->server));
    require(v->pkix == !(a->choice & 2) && v->cipher[0] && v->group[0] && v->signature[0]);
    require(!v->pkix ||
            (v->not_after_s > (uint64_t)time(NULL) && strcmp(v->matched_name, "mx.example.org") == 0));
}

static void check(struct actors *a)
{
    enum tls_status status = tls_status(a->tls);
    bool open = status == TLS_OPEN || status == TLS_PEER_CLOSED;
    require((tls_verified(a->tls) != NULL) == open);
    require(!open || (a->choice & 6) != 4); /* pkix with a name that the certificate has not */
    require(open || a->client_wrote == 0 || status == TLS_FAILED);
    if (open)
        check_proof(a, tls_verified(a->tls));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (!core)
        prepare();
    runs++;
    clock_shift_s = 0;
    meet(&actors, data[0]);
    for (size_t i = 1; i + 1 < size && i < 2000; i += 2) {
        act(&actors, data[i], data[i + 1]);
        check(&actors);
    }
    part(&actors);
    return 0;
}
