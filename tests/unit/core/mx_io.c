/* mx_io.c: the receivers' bytes: TCP to TLS to lines and back, and the trouble that they make of it. */
#include "tests/unit/cmocka.h"
#include "tests/unit/core/mx.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FLOOD_BYTES 200000u /* more than a receive buffer takes */

void mx_bytes_add(struct mx_bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = 2 * (b->len + len);
        b->data = realloc(b->data, b->cap);
        assert_non_null(b->data);
    }
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void bytes_drop(struct mx_bytes *b, size_t len)
{
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
}

void mx_bytes_free(struct mx_bytes *b)
{
    free(b->data);
    *b = (struct mx_bytes){0};
}

/* ---- TLS ---- */

static void on_tls_message(int sent, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    struct mx_conn *c = arg;
    (void)version, (void)ssl;
    if (!sent && type == SSL3_RT_HEADER && len > 0 && *(const uint8_t *)data == SSL3_RT_APPLICATION_DATA)
        c->host->records += c->secured;
}

void mx_start_tls(struct mx_conn *c)
{
    c->ssl = SSL_new(c->host->tls);
    SSL_set_msg_callback(c->ssl, on_tls_message);
    SSL_set_msg_callback_arg(c->ssl, c);
    c->from_peer = BIO_new(BIO_s_mem());
    c->to_peer = BIO_new(BIO_s_mem());
    SSL_set_bio(c->ssl, c->from_peer, c->to_peer);
    SSL_set_accept_state(c->ssl);
}

static void collect_tls(struct mx_conn *c)
{
    uint8_t chunk[4096];
    for (int n; (n = BIO_read(c->to_peer, chunk, sizeof(chunk))) > 0;)
        mx_bytes_add(&c->raw, chunk, (size_t)n);
}

static void give_up_tls(struct mx_conn *c)
{
    collect_tls(c); /* the alert */
    c->deaf = c->closing = true;
    ERR_clear_error();
}

static void shake_hands(struct mx_conn *c)
{
    ERR_clear_error();
    int done = SSL_do_handshake(c->ssl);
    if (done != 1 && SSL_get_error(c->ssl, done) != SSL_ERROR_WANT_READ) {
        give_up_tls(c);
        return;
    }
    collect_tls(c);
    c->secured = done == 1;
    c->secured_us = c->secured ? c->mx->now_us : 0;
    c->host->handshakes += c->secured;
    if (c->secured && c->host->implicit_tls)
        mx_greet(c);
}

/* ---- what comes in ---- */

static void take_plain(struct mx_conn *c, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len && !c->deaf; i++) {
        if (c->chunk_left) {
            size_t part = min_size(c->chunk_left, len - i);
            mx_take_chunk(c, data + i, part);
            i += part - 1;
            continue;
        }
        mx_bytes_add(&c->line, &data[i], 1);
        if (data[i] != '\n')
            continue;
        mx_bytes_add(&c->line, "", 1);
        mx_take_line(c, (const char *)c->line.data, c->line.len - 1);
        c->line.len = 0;
    }
}

static void take_tls(struct mx_conn *c, const uint8_t *data, size_t len)
{
    uint8_t chunk[4096];
    assert_int_equal(BIO_write(c->from_peer, data, (int)len), len);
    if (!c->secured)
        shake_hands(c);
    while (c->secured && !c->deaf) {
        ERR_clear_error();
        int n = SSL_read(c->ssl, chunk, sizeof(chunk));
        if (n > 0) {
            take_plain(c, chunk, (size_t)n);
            continue;
        }
        int why = SSL_get_error(c->ssl, n);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_ZERO_RETURN)
            give_up_tls(c);
        return;
    }
}

bool mx_receive(struct mx_conn *c)
{
    size_t len;
    bool any = false;
    for (uint8_t *in; (in = tcp_read_peek(&c->tcb, &len)); any = true) {
        bool hello = c->ssl && !c->secured;
        bool heeded = !c->deaf && !(hello && mx_meets(c, MX_HELLO));
        if (heeded && c->ssl)
            take_tls(c, in, len);
        else if (heeded)
            take_plain(c, in, len);
        tcp_read_consume(&c->tcb, len);
    }
    return any;
}

/* ---- what goes out ---- */

void mx_say(struct mx_conn *c, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    mx_bytes_add(&c->plain, line, strlen(line));
    mx_bytes_add(&c->plain, "\r\n", 2);
    c->speak_us = c->mx->now_us + c->host->think_us;
}

static void speak(struct mx_conn *c)
{
    if (c->plain.len == 0 || c->speak_us > c->mx->now_us)
        return;
    c->speak_us = DEADLINE_NEVER;
    if (c->ssl) {
        assert_int_equal(SSL_write(c->ssl, c->plain.data, (int)c->plain.len), c->plain.len);
        collect_tls(c);
    } else {
        mx_bytes_add(&c->raw, c->plain.data, c->plain.len);
    }
    c->plain.len = 0;
    if (c->tls_due)
        mx_start_tls(c);
    c->tls_due = false;
}

static void send_raw(struct mx_conn *c)
{
    size_t room;
    for (uint8_t *out; c->raw.len > 0 && (out = tcp_write_reserve(&c->tcb, &room));) {
        size_t part = min_size(room, c->raw.len);
        memcpy(out, c->raw.data, part);
        tcp_write_commit(&c->tcb, part);
        bytes_drop(&c->raw, part);
    }
}

void mx_send(struct mx_conn *c)
{
    speak(c);
    bool last = c->closing && !c->closed && c->plain.len == 0;
    if (last && c->ssl && c->secured) {
        SSL_shutdown(c->ssl);
        collect_tls(c);
    }
    send_raw(c);
    if (last && c->raw.len == 0) {
        c->closed = true;
        mx_count_out(c);
        tcp_close(&c->tcb, c->mx->now_us);
    }
}

/* ---- trouble ---- */

void mx_do(struct mx_conn *c, enum mx_deed deed)
{
    static const char noise[] = "this is no TLS record at all\r\n";
    c->dirty = true;
    switch (deed) {
    case MX_CLOSE: c->closing = c->deaf = true; break;
    case MX_RESET:
        c->deaf = true;
        tcp_abort(&c->tcb, c->mx->now_us);
        break;
    case MX_STALL: c->deaf = true; break;
    case MX_NOTIFY:
        c->deaf = true;
        c->speak_us = c->mx->now_us; /* nothing can be said afterwards */
        speak(c);
        SSL_shutdown(c->ssl);
        collect_tls(c);
        break;
    case MX_NOISE: mx_bytes_add(&c->raw, noise, sizeof(noise) - 1); break;
    case MX_FLOOD:
        for (unsigned i = 0; i < FLOOD_BYTES; i += sizeof(noise) - 1)
            mx_bytes_add(&c->raw, noise, sizeof(noise) - 1);
        c->closing = c->deaf = true;
        break;
    }
}

bool mx_meets(struct mx_conn *c, enum mx_point point)
{
    struct mx_trouble *t = &c->host->trouble;
    if (t->at != point)
        return false;
    if (t->skip > 0) {
        t->skip--;
        return false;
    }
    if (t->times > 0 && --t->times == 0)
        t->at = MX_NOWHERE;
    mx_do(c, t->deed);
    return true;
}
