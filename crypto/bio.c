/* bio.c: between OpenSSL and the caller's bytes: reads come from the span lent to tls_input, writes go to the
 * caller's sink; what the sink does not take waits in the session.  To OpenSSL this is a socket with kernel TLS: see seal.h.
 */
#include "crypto/session.h"

#include <errno.h>
#include <openssl/bio.h>
#include <string.h>

static size_t read_bytes(struct tls *tls, uint8_t *out, size_t cap)
{
    size_t n = min_size(cap, tls->in.len);
    if (n > 0)
        memcpy(out, tls->in.data, n);
    tls->in.data += n;
    tls->in.len -= n;
    return n;
}

/* Records of the handshake are taken as they come; later OpenSSL gets those that tls.c gives to it. */
static size_t read_record(struct tls *tls, uint8_t *out, size_t cap)
{
    struct opening *o = &tls->opening;
    if (tls->status == TLS_HANDSHAKE && !open_has_text(o) && open_next(tls) == OPEN_RECORD && !open_give(tls))
        return 0;
    return o->given ? open_take(o, out, cap) : 0;
}

static int bio_read(BIO *bio, char *out, size_t cap, size_t *got)
{
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *got = tls->read_key.suite ? read_record(tls, (uint8_t *)out, cap) : read_bytes(tls, (uint8_t *)out, cap);
    if (*got > 0)
        return 1;
    if (tls->opening.error)
        errno = tls->opening.error; /* without a retry flag: OpenSSL makes the alert of it */
    else
        BIO_set_retry_read(bio);
    return 0;
}

/* What <openssl/bio.h> lists as reserved for the BIOs of kernel TLS. */
#define CTRL_SET_KTLS          72 /* num: 1 for writing; ptr: struct tls_crypto_info and what follows it */
#define CTRL_SET_KTLS_CTRL_MSG 74 /* num: the record type of the next write */
#define CTRL_CLEAR_KTLS_MSG    75

static size_t sink_put(const struct byte_sink *sink, const uint8_t *data, size_t len)
{
    size_t done = 0, room;
    uint8_t *chunk;
    while (done < len && (chunk = sink->reserve(sink->ctx, &room)) != NULL) {
        size_t n = min_size(room, len - done);
        memcpy(chunk, data + done, n);
        sink->commit(sink->ctx, n);
        done += n;
    }
    return done;
}

static bool waiting_room(struct tls_waiting *w, size_t len)
{
    size_t used = w->end - w->start;
    if (len > w->limit || used > w->limit - len)
        return false;
    if (w->cap - w->end >= len)
        return true;
    if (w->start) {
        memmove(w->data, w->data + w->start, used);
        w->start = 0;
        w->end = used;
    }
    if (w->cap - used >= len)
        return true;
    size_t cap = used + len > 2 * w->cap ? used + len : 2 * w->cap;
    uint8_t *data = OPENSSL_realloc(w->data, cap);
    if (!data)
        return false;
    w->data = data;
    w->cap = cap;
    return true;
}

static bool waiting_add(struct tls_waiting *w, const uint8_t *data, size_t len)
{
    if (!waiting_room(w, len))
        return false;
    memcpy(w->data + w->end, data, len);
    w->end += len;
    return true;
}

bool tls_waiting_drain(struct tls *tls)
{
    struct tls_waiting *w = &tls->waiting;
    if (tls->sink && w->end > w->start)
        w->start += sink_put(tls->sink, w->data + w->start, w->end - w->start);
    if (w->end > w->start)
        return false;
    if (w->data)
        tls_waiting_free(tls);
    return true;
}

void tls_waiting_free(struct tls *tls)
{
    struct tls_waiting *w = &tls->waiting;
    OPENSSL_free(w->data);
    w->data = NULL;
    w->start = w->end = w->cap = 0;
}

bool tls_put(struct tls *tls, const uint8_t *data, size_t len)
{
    size_t sunk = 0;
    if (tls_waiting_drain(tls) && tls->sink)
        sunk = sink_put(tls->sink, data, len);
    return sunk == len || waiting_add(&tls->waiting, data + sunk, len - sunk);
}

static uint32_t sink_pieces(const struct byte_sink *sink, size_t want, struct byte_piece *piece, uint32_t max)
{
    if (sink->pieces)
        return sink->pieces(sink->ctx, want, piece, max);
    piece->at = sink->reserve(sink->ctx, &piece->room);
    return piece->at != NULL;
}

uint32_t tls_put_pieces(struct tls *tls, size_t want, struct byte_piece *piece, uint32_t max)
{
    struct tls_waiting *w = &tls->waiting;
    uint32_t pieces = 0;
    if (tls_waiting_drain(tls) && tls->sink)
        pieces = sink_pieces(tls->sink, want, piece, max);
    tls->put_waits = pieces == 0;
    if (pieces > 0)
        return pieces;
    if (!waiting_room(w, want))
        return 0;
    *piece = (struct byte_piece){w->data + w->end, want};
    return 1;
}

void tls_put_commit(struct tls *tls, size_t len)
{
    if (tls->put_waits)
        tls->waiting.end += len;
    else
        tls->sink->commit(tls->sink->ctx, len);
}

static bool write_record(struct tls *tls, const uint8_t *data, size_t len)
{
    struct span part = {.data = data, .len = len};
    uint8_t type = tls->write_type;
    tls->write_type = SSL3_RT_APPLICATION_DATA;
    return len <= RECORD_PLAIN_MAX && seal_record(tls, type, &part, 1, len);
}

static int bio_write(BIO *bio, const char *in, size_t len, size_t *taken)
{
    struct tls *tls = BIO_get_data(bio);
    const uint8_t *data = (const uint8_t *)in;
    BIO_clear_retry_flags(bio);
    *taken = 0;
    if (!(tls->write_key.suite ? write_record(tls, data, len) : tls_put(tls, data, len)))
        return 0; /* without a retry flag: the session fails */
    *taken = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long num, void *ptr)
{
    struct tls *tls = BIO_get_data(bio);
    if (!tls) /* prepared ahead of need */
        return 0;
    switch (command) {
    case BIO_CTRL_FLUSH: return 1;
    case CTRL_SET_KTLS: return record_key_set(num ? &tls->write_key : &tls->read_key, tls->core->mb, ptr);
    case BIO_CTRL_GET_KTLS_SEND: return tls->write_key.suite != RECORD_NONE;
    case BIO_CTRL_GET_KTLS_RECV: return tls->read_key.suite != RECORD_NONE;
    case CTRL_SET_KTLS_CTRL_MSG: tls->write_type = (uint8_t)num; return 1;
    case CTRL_CLEAR_KTLS_MSG: tls->write_type = SSL3_RT_APPLICATION_DATA; return 1;
    default: return 0; /* not supported */
    }
}

BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "hardline");
    if (!method)
        return NULL;
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    return method;
}
