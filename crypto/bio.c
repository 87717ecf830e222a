/* bio.c: between OpenSSL and the caller's bytes: reads come from the span lent to tls_input, writes go to the
 * caller's sink; what the sink does not take waits in the session.
 */
#include "crypto/session.h"

#include <openssl/bio.h>
#include <string.h>

static int bio_read(BIO *bio, char *out, size_t cap, size_t *got)
{
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *got = min_size(cap, tls->in.len);
    if (*got == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, tls->in.data, *got);
    tls->in.data += *got;
    tls->in.len -= *got;
    return 1;
}

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

static int bio_write(BIO *bio, const char *in, size_t len, size_t *taken)
{
    struct tls *tls = BIO_get_data(bio);
    const uint8_t *data = (const uint8_t *)in;
    size_t sunk = 0;
    BIO_clear_retry_flags(bio);
    *taken = 0;
    if (tls_waiting_drain(tls) && tls->sink)
        sunk = sink_put(tls->sink, data, len);
    if (sunk < len && !waiting_add(&tls->waiting, data + sunk, len - sunk))
        return 0; /* without a retry flag: the session fails */
    *taken = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long num, void *ptr)
{
    (void)bio, (void)num, (void)ptr;
    return command == BIO_CTRL_FLUSH; /* everything else is not supported: 0 */
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

BIO *tls_bio_make(struct tls *tls)
{
    BIO *bio = BIO_new(tls->core->bio_method);
    if (bio) {
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
    }
    return bio;
}
