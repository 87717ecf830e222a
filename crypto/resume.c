/* resume.c: between a session and the table of tickets: what is offered, what of an answer counts, what is kept.
 *
 * TLS 1.3 with psk_dhe_ke only (RFC 8446 section 4.2.9): keys are fresh although the certificate is not shown again; no early
 * data.  TLS 1.2 (RFC 5246 by id, RFC 5077) only with the extended master secret (RFC 7627 section 5.3): nothing of it is fresh,
 * so its lifetime counts from the full handshake, as that of everything here.
 */
#include "crypto/ticket.h"

#include <openssl/asn1.h>
#include <string.h>

/* ---- OpenSSL's session as bytes ---- */

#define PEER_TAG 3 /* of SSL_SESSION's ASN.1: the peer's certificate, optional */

struct element {
    const uint8_t *start, *body, *end;
    int tag, class;
};

static bool next_element(const uint8_t **at, const uint8_t *end, struct element *e)
{
    long len;
    e->start = e->body = *at;
    int form = ASN1_get_object(&e->body, &len, &e->tag, &e->class, end - *at);
    if (form & 0x81) /* an error, or of indefinite length */
        return false;
    *at = e->end = e->body + len;
    return true;
}

/* The certificate is most of a session, and what it proves is kept beside: a session without it is two pieces. */
struct pieces {
    struct span before, behind;
};

static bool split(const uint8_t *der, size_t len, struct pieces *pieces)
{
    struct element session, part;
    if (!next_element(&der, der + len, &session))
        return false;
    pieces->before = (struct span){session.body, (size_t)(session.end - session.body)};
    pieces->behind = (struct span){session.end, 0};
    for (const uint8_t *at = session.body; at < session.end;) {
        if (!next_element(&at, session.end, &part))
            return false;
        if (part.class != V_ASN1_CONTEXT_SPECIFIC || part.tag != PEER_TAG)
            continue;
        pieces->before.len = (size_t)(part.start - session.body);
        pieces->behind = (struct span){part.end, (size_t)(session.end - part.end)};
    }
    return true;
}

static int pieces_len(const struct pieces *pieces)
{
    return (int)(pieces->before.len + pieces->behind.len);
}

static void join(const struct pieces *pieces, uint8_t *out)
{
    ASN1_put_object(&out, 1, pieces_len(pieces), V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    memcpy(out, pieces->before.data, pieces->before.len);
    memcpy(out + pieces->before.len, pieces->behind.data, pieces->behind.len);
}

/* ---- keeping ---- */

static uint16_t put_text(struct ticket *ticket, size_t at, const char *text)
{
    size_t len = strlen(text);
    memcpy(ticket->data + at, text, len);
    return (uint16_t)len;
}

static size_t put_texts(struct ticket *ticket, const struct tls_verified *v)
{
    ticket->name_len = put_text(ticket, 0, v->matched_name);
    ticket->group_len = put_text(ticket, ticket->name_len, v->group);
    ticket->signature_len = put_text(ticket, (size_t)ticket->name_len + ticket->group_len, v->signature);
    return (size_t)ticket->name_len + ticket->group_len + ticket->signature_len;
}

static void put_proof(struct ticket *ticket, const struct tls *tls)
{
    const struct tls_verified *v = &tls->verified;
    ticket->proved = tls->proved;
    ticket->not_after_s = v->not_after_s;
    ticket->generation = tls->generation;
    ticket->version = v->version;
    memcpy(ticket->cert_sha256, v->cert_sha256, TLS_DIGEST_BYTES);
    memcpy(ticket->spki_sha256, v->spki_sha256, TLS_DIGEST_BYTES);
}

static struct ticket *pack(const struct tls *tls, const struct pieces *pieces)
{
    const struct tls_verified *v = &tls->verified;
    int session_len = ASN1_object_size(1, pieces_len(pieces), V_ASN1_SEQUENCE);
    size_t texts = strlen(v->matched_name) + strlen(v->group) + strlen(v->signature);
    struct ticket *ticket = session_len > 0 ? ticket_make(texts + (size_t)session_len) : NULL;
    if (!ticket)
        return NULL;
    put_proof(ticket, tls);
    ticket->session_len = (uint32_t)session_len;
    join(pieces, ticket->data + put_texts(ticket, v));
    return ticket;
}

static struct ticket *make_ticket(const struct tls *tls, SSL_SESSION *session)
{
    uint8_t *der = NULL;
    int len = i2d_SSL_SESSION(session, &der);
    struct pieces pieces;
    struct ticket *ticket = len > 0 && split(der, (size_t)len, &pieces) ? pack(tls, &pieces) : NULL;
    OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    return ticket;
}

/* RFC 8446 section 4.6.1: 0 is "throw it away", and no more than a week.  RFC 5077 section 3.3: 0 is "who knows". */
static uint64_t lifetime_of(const struct tls *tls, SSL_SESSION *session, struct ticket_clock now)
{
    uint64_t hint = SSL_SESSION_get_ticket_lifetime_hint(session);
    uint64_t ours = tickets_lifetime_s(tls->core->tickets), age = ticket_age_s(tls->proved, now);
    if (hint == 0 && tls->verified.version == TLS1_2_VERSION)
        hint = ours;
    return age < ours ? min_u64(hint, ours - age) : 0;
}

static bool is_fit(const struct tls *tls, SSL_SESSION *session)
{
    const uint8_t *bytes;
    size_t len;
    SSL_SESSION_get0_ticket(session, &bytes, &len);
    return len <= TICKET_BYTES_MAX && SSL_SESSION_get_protocol_version(session) == tls->verified.version;
}

static void keep(struct tls *tls, SSL_SESSION *session)
{
    struct ticket_clock now = ticket_now();
    uint64_t lifetime_s = lifetime_of(tls, session, now);
    struct ticket *ticket = lifetime_s && is_fit(tls, session) ? make_ticket(tls, session) : NULL;
    if (ticket) {
        ticket->stored = now;
        ticket->lifetime_s = lifetime_s;
        ticket_keep(tls->core->tickets, tls->ticket_key, ticket);
    } else {
        stat_inc(tls->core->stats, STAT_tls_tickets_drop_unfit);
    }
    tls_clear_errors();
}

/* OpenSSL's callback.  TLS 1.2 tells of its ticket before the handshake has been judged: that one is fetched by resume_done. */
int resume_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *tls = SSL_get_app_data(ssl);
    if (tls->status == TLS_OPEN && tls->resumable && tls->verified.version == TLS1_3_VERSION)
        keep(tls, session);
    return 0; /* it stays OpenSSL's */
}

/* ---- offering ---- */

void resume_offer(struct tls *tls, const struct tls_scope *scope, const char *sni)
{
    struct tickets *tickets = tls->core->tickets;
    tls->resumable = ticket_key(tickets, tls, scope, sni, tls->ticket_key);
    if (!tls->resumable)
        return;
    struct ticket *ticket = ticket_take(tickets, tls->ticket_key);
    if (!ticket)
        return;
    const uint8_t *der = ticket->data + ticket->name_len + ticket->group_len + ticket->signature_len;
    SSL_SESSION *session = d2i_SSL_SESSION(NULL, &der, (long)ticket->session_len);
    if (session && SSL_set_session(tls->ssl, session) == 1) {
        tls->offered = ticket;
        stat_inc(tls->core->stats, STAT_tls_tickets_used);
    } else {
        ticket_free(ticket);
    }
    SSL_SESSION_free(session);
    tls_clear_errors();
}

/* ---- the answer ---- */

bool resume_is_ours(const struct tls *tls)
{
    return tls->offered && SSL_session_reused(tls->ssl) && SSL_version(tls->ssl) == tls->offered->version &&
           ticket_is_good(tls->offered, ticket_now());
}

static const uint8_t *take_text(const uint8_t *at, size_t len, char *out)
{
    memcpy(out, at, len);
    out[len] = '\0';
    return at + len;
}

void resume_proof(struct tls *tls)
{
    const struct ticket *ticket = tls->offered;
    struct tls_verified *v = &tls->verified;
    tls->proved = ticket->proved;
    v->not_after_s = ticket->not_after_s;
    memcpy(v->cert_sha256, ticket->cert_sha256, TLS_DIGEST_BYTES);
    memcpy(v->spki_sha256, ticket->spki_sha256, TLS_DIGEST_BYTES);
    const uint8_t *at = take_text(ticket->data, ticket->name_len, v->matched_name);
    at = take_text(at, ticket->group_len, v->group);
    take_text(at, ticket->signature_len, v->signature);
}

void resume_done(struct tls *tls)
{
    if (!tls->resumable)
        return;
    if (tls->verified.resumed)
        stat_inc(tls->core->stats, STAT_tls_resumed);
    else if (tls->offered)
        stat_inc(tls->core->stats, STAT_tls_tickets_refused);
    ticket_free(tls->offered);
    tls->offered = NULL;
    if (tls->verified.version == TLS1_3_VERSION)
        tls->opening.tickets_left =
            (uint8_t)min_u32(TICKETS_PER_SESSION, ticket_room(tls->core->tickets, tls->ticket_key));
    else if (SSL_SESSION_is_resumable(SSL_get0_session(tls->ssl)))
        keep(tls, SSL_get0_session(tls->ssl));
}

/* A server may be unable to live with one that it gave: whoever tries again shows none. */
void resume_drop(struct tls *tls)
{
    if (tls->offered)
        tickets_forget(tls->core->tickets, tls->ticket_key);
    ticket_free(tls->offered);
    tls->offered = NULL;
    explicit_bzero(tls->ticket_key, sizeof(tls->ticket_key));
    tls->resumable = false;
}
