#include "tests/unit/crypto/talk.h"
#include "crypto/batch_inside.h"
#include "tests/unit/crypto/talk_backend.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

/* ---- the client's sink ---- */

static uint8_t *sink_reserve(void *ctx, size_t *room)
{
    struct talk *talk = ctx;
    *room = min_size(talk->sink_chunk, talk->pipe_cap - talk->pipe_used);
    return *room ? talk->pipe + talk->pipe_used : NULL;
}

static void sink_commit(void *ctx, size_t len)
{
    struct talk *talk = ctx;
    talk->pipe_used += len;
    talk->commits++;
    assert(len > 0 && talk->pipe_used <= talk->pipe_cap);
}

uint32_t talk_sink_pieces(void *ctx, size_t len, struct byte_piece *piece, uint32_t max)
{
    struct talk *talk = ctx;
    size_t at = talk->pipe_used, end = min_size(talk->pipe_cap, at + len);
    uint32_t n = 0;
    for (; n < max && at < end; at += piece[n++].room)
        piece[n] = (struct byte_piece){talk->pipe + at, min_size(talk->sink_chunk, end - at)};
    return n;
}

/* ---- setting up ---- */

bool talk_without_batches;

bool talk_batches_wanted(void)
{
    const char *said = getenv("HARDLINE_BATCHES");
    return !said || strcmp(said, "off") != 0;
}

/* Measuring takes longer than most tests; and whatever can wait is to wait. */
struct batch *talk_in_lanes(const struct batch_config *config, struct error *err)
{
    struct batch_config mine = *config;
    mine.break_even = 1;
    return batch_open(&mine, err);
}

static bool has_all(void *self, enum batch_kind kind)
{
    (void)self, (void)kind;
    return true;
}

static void do_nothing(void *self, enum batch_kind kind, struct batch_op *const op[], unsigned n)
{
    (void)self, (void)kind, (void)op, (void)n;
}

static void close_nothing(void *self)
{
    (void)self;
}

struct batch *talk_in_idle_lanes(const struct batch_config *config, struct error *err)
{
    const struct batch_backend idle = {
        .name = "idle lanes", .has = has_all, .run = do_nothing, .close = close_nothing};
    struct batch_config mine = *config;
    mine.break_even = 1;
    return batch_open_with(&mine, &idle, NULL, err);
}

talk_batch_opener talk_batch_open(void)
{
    const char *said = getenv("HARDLINE_BATCHES");
    return said && strcmp(said, "idle") == 0 ? talk_in_idle_lanes : talk_in_lanes;
}

void talk_open_config(struct talk *talk, const char *ca_file, const struct tls_core_config *config)
{
    struct error err = {0};
    struct tls_core_config mine = *config;
    memset(talk, 0, sizeof(*talk));
    mine.stats = &talk->stats;
    bool chosen = !talk_without_batches && !mine.batches && talk_backend && talk_backend(&mine);
    if (!chosen && !talk_without_batches && !mine.batches && talk_batches_wanted()) {
        mine.batches = true;
        mine.batch_open = talk_batch_open();
    }
    talk->core = tls_core_open(&mine, &err);
    if (!talk->core)
        fprintf(stderr, "%s\n", err.text);
    assert(talk->core);
    talk->trust = ca_file ? tls_trust_load(ca_file, 1, &err) : NULL;
    assert(talk->trust || !ca_file);
    talk->pipe = malloc(TALK_PIPE_BYTES);
    talk->held = malloc(TALK_PIPE_BYTES);
    talk->pipe_cap = TALK_PIPE_BYTES;
    talk->sink_chunk = TALK_PIPE_BYTES;
    talk->feed_chunk = TALK_PIPE_BYTES;
    talk->sink = (struct byte_sink){.ctx = talk, .reserve = sink_reserve, .commit = sink_commit};
}

void talk_open(struct talk *talk, const char *ca_file)
{
    talk_open_config(
        talk, ca_file,
        &(struct tls_core_config){.sessions_max = 4, .proven_chains = 64, .proven_lifetime_s = 3600});
}

void talk_close(struct talk *talk)
{
    talk_part(talk);
    tls_core_close(talk->core);
    if (talk_backend_count)
        talk_backend_count(&talk->stats);
    tls_trust_free(talk->trust);
    free(talk->pipe);
    free(talk->held);
}

static void set_tickets(SSL_CTX *ctx, const struct talk_server *s)
{
    uint8_t keys[80];
    memset(keys, s->ticket_key, sizeof(keys));
    assert(SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys)) == 1);
    SSL_CTX_set_timeout(ctx, 604800); /* the hint is the session's time-out */
    if (s->tickets)
        SSL_CTX_set_num_tickets(ctx, s->tickets > 0 ? (size_t)s->tickets : 0);
    if (s->tickets < 0)
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}

static SSL_CTX *make_server(const struct talk_server *s)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(s->libctx, NULL, TLS_server_method());
    assert(ctx);
    SSL_CTX_set_security_level(ctx, s->security_level == -1 ? 0 : 1);
    if (s->version) {
        SSL_CTX_set_min_proto_version(ctx, s->version);
        SSL_CTX_set_max_proto_version(ctx, s->version);
    }
    assert(!s->suites_12 || SSL_CTX_set_cipher_list(ctx, s->suites_12));
    assert(!s->suites_13 || SSL_CTX_set_ciphersuites(ctx, s->suites_13));
    assert(!s->groups || SSL_CTX_set1_groups_list(ctx, s->groups));
    assert(!s->sigalgs || SSL_CTX_set1_sigalgs_list(ctx, s->sigalgs));
    SSL_CTX_set_options(ctx, s->options);
    SSL_CTX_set_keylog_callback(ctx, s->keylog);
    set_tickets(ctx, s);
    assert(SSL_CTX_use_certificate(ctx, s->leaf->cert) == 1);
    assert(SSL_CTX_use_PrivateKey(ctx, s->leaf->key) == 1);
    if (s->middle)
        SSL_CTX_add1_chain_cert(ctx, s->middle->cert);
    if (s->extra)
        SSL_CTX_add1_chain_cert(ctx, s->extra->cert);
    return ctx;
}

static void serve(struct talk *talk, const struct talk_server *server)
{
    talk->server_ctx = make_server(server);
    talk->server = SSL_new(talk->server_ctx);
    talk->to_server = BIO_new(BIO_s_mem());
    talk->from_server = BIO_new(BIO_s_mem());
    SSL_set_bio(talk->server, talk->to_server, talk->from_server);
    SSL_set_accept_state(talk->server);
}

void talk_meet(struct talk *talk, const struct talk_server *server, const struct tls_demand *demand)
{
    struct tls_demand mine = *demand;
    if (mine.pkix && !mine.trust)
        mine.trust = talk->trust;
    talk_part(talk);
    if (server)
        serve(talk, server);
    talk->tls = tls_open(talk->core, &mine);
    assert(talk->tls);
    tls_set_sink(talk->tls, &talk->sink);
    tls_start(talk->tls);
}

void talk_part(struct talk *talk)
{
    tls_free(talk->tls);
    SSL_free(talk->server);
    SSL_CTX_free(talk->server_ctx);
    talk->tls = NULL;
    talk->server = NULL;
    talk->server_ctx = NULL;
    talk->pipe_used = talk->held_len = 0;
    ERR_clear_error();
}

void talk_several(struct talk *talk, unsigned n)
{
    talk[0].work_waits = true;
    for (unsigned i = 1; i < n; i++) {
        talk[i] = talk[0];
        talk[i].sink.ctx = &talk[i];
        talk[i].pipe = malloc(TALK_PIPE_BYTES);
        talk[i].held = malloc(TALK_PIPE_BYTES);
    }
}

void talk_several_close(struct talk *talk, unsigned n)
{
    for (unsigned i = n; i-- > 1;) {
        talk_part(&talk[i]);
        free(talk[i].pipe);
        free(talk[i].held);
    }
    talk_close(&talk[0]);
}

/* ---- moving bytes ---- */

static bool move_to_server(struct talk *talk)
{
    size_t n = talk->pipe_used;
    tls_output(talk->tls);
    n = talk->pipe_used;
    if (n == 0)
        return false;
    if (talk->server)
        assert(BIO_write(talk->to_server, talk->pipe, (int)n) == (int)n);
    talk->pipe_used = 0;
    return true;
}

static void drop_held(struct talk *talk, size_t len)
{
    memmove(talk->held, talk->held + len, talk->held_len - len);
    talk->held_len -= len;
}

static bool move_to_client(struct talk *talk)
{
    size_t consumed;
    int n = talk->server ? BIO_read(talk->from_server, talk->held + talk->held_len,
                                    (int)(TALK_PIPE_BYTES - talk->held_len))
                         : 0;
    if (n > 0)
        talk->held_len += (size_t)n;
    if (talk->held_len == 0)
        return false;
    bool pending = tls_status(talk->tls) == TLS_WANT_WORK;
    tls_input(talk->tls, talk->held, min_size(talk->feed_chunk, talk->held_len), &consumed);
    assert(!pending || consumed == 0);
    drop_held(talk, consumed);
    return consumed > 0;
}

static bool move_work(struct talk *talk)
{
    if (tls_status(talk->tls) != TLS_WANT_WORK || talk->work_waits)
        return false;
    talk->resumes++;
    tls_core_idle(talk->core);
    if (talk_backend_wait)
        talk_backend_wait(talk->core, talk->tls);
    assert(tls_work_done(talk->tls));
    tls_resume(talk->tls);
    return true;
}

/* Never a proof before the session is open. */
static void check_proof(struct talk *talk)
{
    enum tls_status status = tls_status(talk->tls);
    assert((tls_verified(talk->tls) != NULL) == (status == TLS_OPEN || status == TLS_PEER_CLOSED));
}

bool talk_step(struct talk *talk)
{
    if (talk_backend_turn)
        talk_backend_turn(talk->core);
    bool moved = move_to_server(talk);
    check_proof(talk);
    if (talk->server && !SSL_is_init_finished(talk->server))
        SSL_do_handshake(talk->server);
    moved |= move_to_client(talk);
    check_proof(talk);
    moved |= move_work(talk);
    check_proof(talk);
    ERR_clear_error();
    return moved;
}

enum tls_status talk_run(struct talk *talk)
{
    for (unsigned i = 0; i < 4000000 && talk_step(talk); i++) {}
    return tls_status(talk->tls);
}

enum tls_status talk_feed(struct talk *talk, const void *bytes, size_t len)
{
    assert(talk->held_len + len <= TALK_PIPE_BYTES);
    memcpy(talk->held + talk->held_len, bytes, len);
    talk->held_len += len;
    return talk_run(talk);
}

/* ---- demands and expectations ---- */

struct tls_demand talk_pkix(const char *name)
{
    return (struct tls_demand){.sni = name, .min_version = 0x0303, .pkix = true, .names = 1, .name = {name}};
}

struct tls_demand talk_encrypt(const char *sni)
{
    return (struct tls_demand){.sni = sni, .min_version = 0x0303};
}

struct tls_scope talk_scope(void)
{
    return (struct tls_scope){
        .addr = {[15] = 1}, .port = 25, .level = 2, .policy = "tls[0] *", .generation = 7};
}

void talk_refused(struct talk *talk, const struct talk_server *server, const struct tls_demand *demand,
                  enum reason reason, struct outcome *why)
{
    talk_meet(talk, server, demand);
    enum tls_status status = talk_run(talk);
    if (status != TLS_FAILED)
        printf("# not refused: status %d\n", (int)status);
    assert(status == TLS_FAILED);
    assert(tls_verified(talk->tls) == NULL);
    assert(!tls_write(talk->tls, (const uint8_t *)"x", 1));
    tls_failure(talk->tls, why);
    printf("# %s: %s\n", reason_name(why->reason), why->text);
    assert(why->reason == reason && why->verdict == VERDICT_DEFERRED && why->stage == STAGE_TLS);
    assert(why->enhanced[0] == 4 && strlen(why->text) > 20);
}

const struct tls_verified *talk_accepted(struct talk *talk, const struct talk_server *server,
                                         const struct tls_demand *demand)
{
    talk_meet(talk, server, demand);
    enum tls_status status = talk_run(talk);
    if (status == TLS_FAILED) {
        struct outcome why;
        tls_failure(talk->tls, &why);
        printf("# %s: %s\n", reason_name(why.reason), why.text);
    }
    assert(status == TLS_OPEN && SSL_is_init_finished(talk->server));
    return tls_verified(talk->tls);
}
