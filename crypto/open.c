/* open.c: the reading half of the record layer. */
#include "crypto/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* RFC 8446 section 5.2; RFC 5246 section 6.2.3 would allow more, which no AEAD needs. */
#define EXPANSION_MAX 256u

#define MESSAGE_HEADER_BYTES 4u

bool open_has_text(const struct opening *o)
{
    return o->text_at < o->text_end;
}

static void drop_text(struct opening *o)
{
    OPENSSL_clear_free(o->text, o->text_cap);
    o->text = NULL;
    o->text_at = o->text_end = o->text_cap = 0;
    o->given = false;
}

size_t open_take(struct opening *o, uint8_t *out, size_t cap)
{
    size_t n = min_size(cap, o->text_end - o->text_at);
    if (n > 0)
        memcpy(out, o->text + o->text_at, n);
    o->text_at += n;
    if (o->text && !open_has_text(o))
        drop_text(o);
    return n;
}

bool open_within_message(const struct opening *o)
{
    return o->message_left > 0 || o->message_header_have > 0;
}

/* A ticket that is not wanted.  RFC 8446 section 4.6.1: nothing else depends on it, no transcript has it. */
static bool is_unwanted(struct tls *tls, uint8_t type)
{
    struct opening *o = &tls->opening;
    if (type != SSL3_MT_NEWSESSION_TICKET || !tls->read_key.version_13)
        return false;
    if (o->tickets_left > 0) {
        o->tickets_left--;
        return false;
    }
    stat_inc(tls->core->stats, STAT_tls_tickets_drop_unwanted);
    return true;
}

/* How many bytes from data on belong to one message, or are one of its header's; RFC 8446 section 4. */
static size_t follow_message(struct tls *tls, const uint8_t *data, size_t len)
{
    struct opening *o = &tls->opening;
    if (o->message_left > 0) {
        size_t n = min_size(o->message_left, len);
        o->message_left -= (uint32_t)n;
        return n;
    }
    if (o->message_header_have++ == 0) {
        o->message_dropped = is_unwanted(tls, data[0]);
        o->messages += !o->message_dropped;
    } else {
        o->message_size = o->message_size << 8 | data[0]; /* the type, then three bytes of length */
    }
    if (o->message_header_have == MESSAGE_HEADER_BYTES) {
        o->message_left = o->message_size;
        o->message_size = o->message_header_have = 0;
    }
    return 1;
}

static void follow_messages(struct tls *tls)
{
    struct opening *o = &tls->opening;
    size_t to = o->text_at;
    for (size_t at = to, n; at < o->text_end; at += n) {
        n = follow_message(tls, o->text + at, o->text_end - at);
        if (o->message_dropped)
            continue;
        if (to != at)
            memmove(o->text + to, o->text + at, n);
        to += n;
    }
    o->text_end = to;
}

bool open_give(struct tls *tls)
{
    struct opening *o = &tls->opening;
    bool had_text = open_has_text(o);
    assert(o->text_at == RECORD_HEADER_BYTES);
    if (o->type == SSL3_RT_HANDSHAKE)
        follow_messages(tls);
    if (had_text && !open_has_text(o)) {
        drop_text(o);
        return false;
    }
    o->text[0] = o->type;
    record_put_be16(o->text + 1, TLS1_2_VERSION);
    record_put_be16(o->text + 3, o->text_end - o->text_at);
    o->text_at = 0;
    o->given = true;
    return true;
}

void open_close(struct opening *o)
{
    OPENSSL_clear_free(o->body, o->body_have);
    drop_text(o);
    explicit_bzero(o, sizeof(*o));
}

static enum open_result broken(struct opening *o, int error)
{
    o->error = error;
    return OPEN_BROKEN;
}

/* ---- bytes become a record ---- */

static size_t take_in(struct tls *tls, uint8_t *out, size_t want)
{
    size_t n = min_size(want, tls->in.len);
    memcpy(out, tls->in.data, n);
    tls->in.data += n;
    tls->in.len -= n;
    return n;
}

static size_t overhead(const struct record_key *key)
{
    return RECORD_TAG_BYTES + (key->implicit_nonce ? 0 : RECORD_EXPLICIT_NONCE_BYTES);
}

/* RFC 8446 section 5.1: in TLS 1.3 everything is application data from outside, and of the version, which means nothing any
 * more, the first byte is looked at: another one is no TLS.
 */
static enum open_result look_at_header(struct tls *tls)
{
    struct opening *o = &tls->opening;
    const struct record_key *key = &tls->read_key;
    size_t len = (size_t)o->header[3] << 8 | o->header[4];
    if (o->header[1] != TLS1_2_VERSION_MAJOR)
        return broken(o, EINVAL);
    if (len > RECORD_PLAIN_MAX + EXPANSION_MAX)
        return broken(o, EMSGSIZE);
    if (key->version_13 && o->header[0] != SSL3_RT_APPLICATION_DATA)
        return broken(o, EBADMSG);
    if (len < overhead(key) + (key->version_13 ? 1 : 0))
        return broken(o, EBADMSG);
    o->body_len = len;
    return OPEN_RECORD;
}

/* A record that has come in one piece is opened from where it lies. */
static enum open_result assemble(struct tls *tls, const uint8_t **body)
{
    struct opening *o = &tls->opening;
    if (o->header_len < RECORD_HEADER_BYTES) {
        o->header_len = (uint8_t)(o->header_len + take_in(tls, o->header + o->header_len,
                                                          RECORD_HEADER_BYTES - o->header_len));
        if (o->header_len < RECORD_HEADER_BYTES)
            return OPEN_MORE;
        enum open_result result = look_at_header(tls);
        if (result != OPEN_RECORD)
            return result;
    }
    if (!o->body && tls->in.len >= o->body_len) {
        *body = tls->in.data;
        tls->in.data += o->body_len;
        tls->in.len -= o->body_len;
        return OPEN_RECORD;
    }
    if (!o->body && tls->in.len > 0 && !(o->body = OPENSSL_malloc(o->body_len)))
        return broken(o, ENOMEM);
    if (o->body)
        o->body_have += take_in(tls, o->body + o->body_have, o->body_len - o->body_have);
    *body = o->body;
    return o->body && o->body_have == o->body_len ? OPEN_RECORD : OPEN_MORE;
}

/* ---- a record becomes text ---- */

static bool decrypt(struct tls *tls, const uint8_t *body, size_t len, uint8_t *out)
{
    struct record_cipher c = {.mb = tls->core->mb, .key = &tls->read_key};
    uint8_t nonce[RECORD_NONCE_BYTES], aad[RECORD_AAD_MAX], tag[RECORD_TAG_BYTES];
    const uint8_t *explicit = c.key->implicit_nonce ? NULL : body;
    const uint8_t *cipher_text = explicit ? body + RECORD_EXPLICIT_NONCE_BYTES : body;
    const uint8_t *header = tls->opening.header;
    record_nonce(c.key, explicit, nonce);
    size_t aad_len = record_aad(c.key, header[0], len, header, aad);
    record_cipher_begin(&c, nonce, aad, aad_len);
    record_cipher_open(&c, out, cipher_text, len);
    record_cipher_tag(&c, tag);
    c.key->sequence++;
    c.key->records++;
    bool ok = CRYPTO_memcmp(tag, cipher_text + len, RECORD_TAG_BYTES) == 0;
    explicit_bzero(&c.state, sizeof(c.state));
    return ok;
}

/* RFC 8446 section 5.4: zeros behind the type are padding; nothing but zeros is no record. */
static bool strip_padding(struct opening *o)
{
    while (open_has_text(o) && o->text[o->text_end - 1] == 0)
        o->text_end--;
    if (!open_has_text(o))
        return false;
    o->type = o->text[--o->text_end];
    return true;
}

static enum open_result open_body(struct tls *tls, const uint8_t *body)
{
    struct opening *o = &tls->opening;
    const struct record_key *key = &tls->read_key;
    size_t len = o->body_len - overhead(key);
    o->text = OPENSSL_malloc(RECORD_HEADER_BYTES + len + 1);
    if (!o->text)
        return broken(o, ENOMEM);
    o->text_at = RECORD_HEADER_BYTES;
    o->text_end = RECORD_HEADER_BYTES + len;
    o->text_cap = o->text_end + 1;
    if (!decrypt(tls, body, len, o->text + o->text_at))
        return broken(o, EBADMSG);
    o->type = o->header[0];
    if (key->version_13 && !strip_padding(o))
        return broken(o, EBADMSG);
    return o->text_end - o->text_at <= RECORD_PLAIN_MAX ? OPEN_RECORD : broken(o, EMSGSIZE);
}

enum open_result open_next(struct tls *tls)
{
    struct opening *o = &tls->opening;
    const uint8_t *body;
    assert(!open_has_text(o));
    if (o->error)
        return OPEN_BROKEN;
    enum open_result result = assemble(tls, &body);
    if (result != OPEN_RECORD)
        return result;
    result = open_body(tls, body);
    OPENSSL_clear_free(o->body, o->body_have);
    o->body = NULL;
    o->body_have = 0;
    o->header_len = 0;
    if (result == OPEN_BROKEN)
        drop_text(o);
    return result;
}
