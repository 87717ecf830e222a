/* tls.c: a client session, on OpenSSL: handshake, records, close.
 *
 *     tls_open -> TLS_HANDSHAKE <-> TLS_WANT_WORK
 *                      |
 *                      v
 *                  TLS_OPEN -> TLS_PEER_CLOSED        every state -> TLS_FAILED
 *
 * No state is left for one that stands before it; TLS_OPEN is entered in handshake_done alone.
 */
#include "crypto/provider.h"
#include "crypto/work.h"

#include <openssl/err.h>
#include <string.h>

static void handshake_over(struct tls *tls)
{
    tls->core->handshaking -= tls->handshaking;
    tls->handshaking = false;
    batch_key_drop(tls->peer_key);
    tls->peer_key = NULL;
}

static enum tls_status fail(struct tls *tls)
{
    handshake_over(tls);
    if (tls->failure.verdict == VERDICT_NONE)
        explain_library(tls);
    resume_drop(tls);
    if (tls->status == TLS_HANDSHAKE || tls->status == TLS_WANT_WORK)
        stat_inc(tls->core->stats, STAT_tls_handshakes_failed);
    tls_clear_errors();
    return tls->status = TLS_FAILED;
}

/* ---- opening ---- */

static bool demand_is_possible(const struct tls_demand *demand)
{
    if (demand->min_version < TLS1_2_VERSION || demand->min_version > TLS1_3_VERSION ||
        demand->names > TLS_NAMES_MAX)
        return false;
    if (demand->pkix && (!demand->trust || demand->names == 0))
        return false;
    if (demand->scope && strlen(demand->scope->policy) >= TLS_POLICY_MAX)
        return false;
    for (unsigned i = 0; i < demand->names; i++) {
        size_t len = strlen(demand->name[i]);
        if (len == 0 || len >= TLS_NAME_MAX || demand->group[i] >= TLS_NAMES_MAX)
            return false;
    }
    return true;
}

static void keep_scope(struct tls *tls, const struct tls_scope *scope)
{
    tls->level = scope->level;
    tls->generation = scope->generation;
    memcpy(tls->policy, scope->policy, strlen(scope->policy) + 1);
}

static void keep_demand(struct tls *tls, const struct tls_demand *demand)
{
    tls->min_version = demand->min_version;
    tls->pkix = demand->pkix;
    tls->names = demand->names;
    for (unsigned i = 0; i < demand->names; i++) {
        tls->group[i] = demand->group[i];
        memcpy(tls->name[i], demand->name[i], strlen(demand->name[i]) + 1);
    }
    if (demand->pkix) {
        tls->trust = demand->trust;
        tls_trust_ref(tls->trust);
    }
    if (demand->scope)
        keep_scope(tls, demand->scope);
}

static void name_peer(struct tls *tls, const struct tls_demand *demand)
{
    const char *name = demand->sni                        ? demand->sni
                       : demand->names && demand->name[0] ? demand->name[0]
                                                          : "the server";
    size_t len = min_size(strlen(name), sizeof(tls->peer) - 1);
    memcpy(tls->peer, name, len);
    tls->peer[len] = '\0';
}

static bool make_ssl(struct tls *tls, const char *sni)
{
    tls->ssl = ready_take(tls);
    return tls->ssl && SSL_set_min_proto_version(tls->ssl, tls->min_version) &&
           (!sni || SSL_set_tlsext_host_name(tls->ssl, sni)) &&
           (!tls->trust || SSL_set1_verify_cert_store(tls->ssl, tls_trust_store(tls->trust)));
}

struct tls *tls_open(struct tls_core *core, const struct tls_demand *demand)
{
    tls_reap(core);
    struct tls *tls = pool_get(&core->sessions);
    if (!tls) {
        stat_inc(core->stats, STAT_core_pool_full);
        return NULL;
    }
    memset(tls, 0, offsetof(struct tls, peer));
    tls->write_key.suite = tls->read_key.suite = RECORD_NONE;
    tls->core = core;
    tls->status = TLS_HANDSHAKE;
    tls->handshaking = true;
    core->handshaking++;
    tls->waiting.limit = TLS_PROTOCOL_OUTPUT_MAX;
    list_init(&tls->link);
    name_peer(tls, demand);
    tls_clear_errors();
    if (!demand_is_possible(demand)) {
        explain(tls, FAULT_LOCAL, REASON_POLICY,
                "what is demanded of the connection to %s contradicts itself", tls->peer);
        fail(tls);
        return tls;
    }
    keep_demand(tls, demand);
    if (!make_ssl(tls, demand->sni)) {
        explain(tls, FAULT_LOCAL, REASON_LIMIT, "no TLS session for %s could be made: %s", tls->peer,
                tls_reason());
        fail(tls);
        return tls;
    }
    resume_offer(tls, demand->scope, demand->sni);
    return tls;
}

static void release(struct tls *tls)
{
    struct tls_core *core = tls->core;
    resume_drop(tls);
    handshake_over(tls);
    SSL_free(tls->ssl);
    tls_waiting_free(tls);
    open_close(&tls->opening);
    record_key_wipe(&tls->write_key);
    record_key_wipe(&tls->read_key);
    tls_trust_free(tls->trust);
    list_remove(&tls->link);
    pool_put(&core->sessions, tls);
    tls_clear_errors();
}

/* OpenSSL cannot cancel a suspended job; freeing under it would leave an engine writing into freed memory.  What waits for
 * the core's batch can be cancelled: the job fails and ends.
 */
void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    tls->sink = NULL;
    if (tls->status == TLS_WANT_WORK && work_cancel(tls))
        tls_resume(tls);
    if (tls->status == TLS_WANT_WORK)
        list_push_tail(&tls->core->abandoned, &tls->link);
    else
        release(tls);
}

void tls_reap(struct tls_core *core)
{
    list_for_each_safe(it, &core->abandoned) {
        struct tls *tls = list_entry(it, struct tls, link);
        if (tls_resume(tls) != TLS_WANT_WORK)
            release(tls);
    }
}

/* ---- handshake ---- */

static enum tls_status handshake_done(struct tls *tls)
{
    SSL_clear_mode(tls->ssl, SSL_MODE_ASYNC); /* no public-key work after this: records need no jobs */
    handshake_over(tls);
    if (!tls->write_key.suite || !tls->read_key.suite || !verify_finish(tls)) {
        SSL_shutdown(tls->ssl);
        return fail(tls);
    }
    stat_inc(tls->core->stats, STAT_tls_handshakes);
    resume_done(tls);
    return tls->status = TLS_OPEN;
}

static void count_job(struct tls *tls)
{
    bool now = SSL_waiting_for_async(tls->ssl);
    tls_async_count(tls->suspended, now);
    tls->suspended = now;
}

static enum tls_status handshake_step(struct tls *tls)
{
    int done;
    tls_clear_errors();
    do {
        tls->core->running = tls;
        done = SSL_do_handshake(tls->ssl);
        tls->core->running = NULL;
    } while (done != 1 && work_put(tls));
    count_job(tls);
    if (done == 1)
        return handshake_done(tls);
    switch (SSL_get_error(tls->ssl, done)) {
    case SSL_ERROR_WANT_READ: return tls->status = TLS_HANDSHAKE;
    case SSL_ERROR_WANT_ASYNC:
    case SSL_ERROR_WANT_ASYNC_JOB: return tls->status = TLS_WANT_WORK;
    default: return fail(tls);
    }
}

enum tls_status tls_start(struct tls *tls)
{
    return tls->status == TLS_HANDSHAKE ? handshake_step(tls) : tls->status;
}

enum tls_status tls_resume(struct tls *tls)
{
    return tls->status == TLS_WANT_WORK ? handshake_step(tls) : tls->status;
}

/* ---- records in ---- */

/* What is not application data is OpenSSL's, as is a record that could not be opened: it makes the alert. */
static void give_record(struct tls *tls)
{
    uint8_t first;
    size_t got;
    tls_clear_errors();
    int ok = SSL_peek_ex(tls->ssl, &first, sizeof(first), &got);
    tls->key_asked = SSL_get_key_update_type(tls->ssl) == SSL_KEY_UPDATE_NOT_REQUESTED;
    switch (ok == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, ok)) {
    case SSL_ERROR_WANT_READ: return;
    case SSL_ERROR_ZERO_RETURN: tls->status = TLS_PEER_CLOSED; return;
    default: fail(tls); /* it has no application data to give: none ever enters it */
    }
}

/* RFC 8446 section 6.2: a message at a time at which it may not come. */
static void refuse_messages(struct tls *tls)
{
    static const uint8_t alert[] = {SSL3_AL_FATAL, SSL3_AD_UNEXPECTED_MESSAGE};
    struct span part = {.data = alert, .len = sizeof(alert)};
    if (!tls->closing)
        tls->closing = seal_record(tls, SSL3_RT_ALERT, &part, 1, sizeof(alert));
    explain(tls, FAULT_REMOTE, REASON_TLS_HANDSHAKE,
            "%s sends key updates and no data, more than %u in a row; its operator has to find out why",
            tls->peer, OPEN_MESSAGES_MAX);
    fail(tls);
}

static bool is_ours(const struct opening *o)
{
    return o->type == SSL3_RT_APPLICATION_DATA && !open_within_message(o);
}

/* Up to the first application data, which stays for tls_read. */
static void open_records(struct tls *tls)
{
    struct opening *o = &tls->opening;
    while (tls->status == TLS_OPEN && (o->given || !open_has_text(o))) {
        if (o->given) { /* OpenSSL has not taken all of it at once */
            give_record(tls);
            continue;
        }
        enum open_result result = open_next(tls);
        if (result == OPEN_MORE)
            return;
        if (result == OPEN_RECORD && is_ours(o) && open_has_text(o)) {
            o->messages = 0;
            return;
        }
        if (result == OPEN_RECORD && is_ours(o)) {
            open_take(o, NULL, 0); /* an empty record, RFC 8446 section 5.1: allowed, and nothing */
            continue;
        }
        if (result == OPEN_RECORD && !open_give(tls))
            continue;
        if (o->messages > OPEN_MESSAGES_MAX)
            refuse_messages(tls);
        else
            give_record(tls);
    }
}

enum tls_status tls_input(struct tls *tls, const uint8_t *in, size_t in_len, size_t *consumed)
{
    *consumed = 0;
    if (tls->status == TLS_WANT_WORK)
        return tls->status;
    tls->in = (struct span){.data = in, .len = in_len};
    if (tls->status == TLS_HANDSHAKE)
        handshake_step(tls);
    if (tls->status == TLS_OPEN)
        open_records(tls);
    if (tls->status == TLS_FAILED || tls->status == TLS_PEER_CLOSED)
        tls->in.len = 0; /* RFC 8446 section 6.1: what comes after a closure alert is ignored */
    *consumed = in_len - tls->in.len;
    tls->in = (struct span){0};
    return tls->status;
}

size_t tls_read(struct tls *tls, uint8_t *out, size_t cap)
{
    if (tls->status != TLS_OPEN || tls->opening.given)
        return 0;
    size_t got = open_take(&tls->opening, out, cap);
    stat_add(tls->core->stats, STAT_tls_opened_bytes, got);
    return got;
}

/* ---- records out ---- */

#define OVERHEAD_13 22u /* header, content type, tag */
#define OVERHEAD_12 29u /* header, explicit nonce, tag; ChaCha20-Poly1305 has no nonce */

size_t tls_sealed_bytes(const struct tls *tls, size_t in_len)
{
    size_t records = (in_len + RECORD_PLAIN_MAX - 1) / RECORD_PLAIN_MAX;
    return in_len + records * (tls->verified.version == TLS1_3_VERSION ? OVERHEAD_13 : OVERHEAD_12);
}

static bool may_write(const struct tls *tls)
{
    return (tls->status == TLS_OPEN || tls->status == TLS_PEER_CLOSED) && !tls->closing;
}

/* RFC 8446 section 4.6.3: OpenSSL says so to the peer and hands us the next keys.  TLS 1.2 has no such thing.  Where the peer has asked for
 * it OpenSSL would do so before the next data, of which it sees none.
 */
static bool renew_key(struct tls *tls)
{
    if (!tls->write_key.version_13) {
        explain(tls, FAULT_LOCAL, REASON_LIMIT,
                "the connection to %s has encrypted as much as one key may; the rest needs a new one",
                tls->peer);
        return false;
    }
    tls_clear_errors();
    tls->key_asked = false;
    return SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(tls->ssl) == 1 &&
           !seal_worn(tls);
}

static bool seal_parts(struct tls *tls, struct span *part, unsigned parts, size_t len)
{
    for (size_t n; len > 0; len -= n) {
        while (part->len == 0) {
            part++;
            parts--;
        }
        n = min_size(len, RECORD_PLAIN_MAX);
        if ((tls->key_asked || seal_worn(tls)) && !renew_key(tls))
            return false;
        if (!seal_record(tls, SSL3_RT_APPLICATION_DATA, part, parts, n))
            return false;
    }
    return true;
}

bool tls_write_parts(struct tls *tls, struct span *part, unsigned parts)
{
    size_t len = 0;
    if (!may_write(tls))
        return false;
    for (unsigned i = 0; i < parts; i++)
        len += part[i].len;
    if (tls->waiting.end == tls->waiting.start)
        tls->waiting.limit = TLS_PROTOCOL_OUTPUT_MAX;
    tls->waiting.limit += tls_sealed_bytes(tls, len);
    if (!seal_parts(tls, part, parts, len)) {
        fail(tls);
        return false;
    }
    stat_add(tls->core->stats, STAT_tls_sealed_bytes, len);
    return true;
}

bool tls_write(struct tls *tls, const uint8_t *in, size_t in_len)
{
    struct span part = {.data = in, .len = in_len};
    return tls_write_parts(tls, &part, 1);
}

void tls_close_notify(struct tls *tls)
{
    if (!may_write(tls))
        return;
    tls_clear_errors();
    SSL_shutdown(tls->ssl);
    tls_clear_errors();
    tls->closing = true;
}

void tls_set_sink(struct tls *tls, const struct byte_sink *sink)
{
    tls->sink = sink;
}

bool tls_output(struct tls *tls)
{
    return tls_waiting_drain(tls);
}

/* ---- what came of it ---- */

enum tls_status tls_status(const struct tls *tls)
{
    return tls->status;
}

void tls_failure(const struct tls *tls, struct outcome *outcome)
{
    assert(tls->status == TLS_FAILED);
    *outcome = tls->failure;
}

const struct tls_verified *tls_verified(const struct tls *tls)
{
    return tls->status == TLS_OPEN || tls->status == TLS_PEER_CLOSED ? &tls->verified : NULL;
}
