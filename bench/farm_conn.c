/* farm_conn.c: one connection: stream, TLS, dialogue, and when its answers leave. */
#include "bench/farm.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRED_A_TURN  64u
#define RELEASED_A_TURN 64u

static void abort_conn(struct farm_conn *c)
{
    c->closing = true;
    tcp_abort(&c->stream->tcb, stack_now_us(c->stream->stack));
}

static void close_conn(struct farm_conn *c)
{
    c->closing = true;
    if (c->ssl && !c->handshaking)
        SSL_shutdown(c->ssl);
    tcp_close(&c->stream->tcb, stack_now_us(c->stream->stack));
}

/* ---- connections of which nothing is heard ---- */

static void is_heard(struct farm_conn *c)
{
    list_remove(&c->silent);
    if (c->closing)
        return;
    c->heard_us = stack_now_us(c->stream->stack);
    list_push_tail(&c->farm->silent, &c->silent);
}

/* A client that lives gets its 421; one that stands in a handshake or does not read gets a reset. */
static void time_out(struct farm_conn *c)
{
    c->farm->counts.timed_out++;
    list_remove(&c->silent);
    if (!c->stream->connected || c->handshaking || c->smtp.out_len)
        abort_conn(c);
    else
        farm_smtp_idle(&c->smtp);
    stack_wake(c->stream);
}

static uint64_t silence_ends_us(const struct farm *farm)
{
    if (list_empty(&farm->silent) || !farm->options->idle_timeout_s)
        return DEADLINE_NEVER;
    return list_entry(farm->silent.next, struct farm_conn, silent)->heard_us +
           farm->options->idle_timeout_s * 1000000ull;
}

void farm_conn_expire(struct farm *farm)
{
    for (uint32_t i = 0; i < EXPIRED_A_TURN && silence_ends_us(farm) <= stack_now_us(farm->stack); i++)
        time_out(list_entry(farm->silent.next, struct farm_conn, silent));
}

/* ---- answers that wait ---- */

static bool delays(const struct farm *farm)
{
    return farm->options->latency_us || farm->options->hold;
}

/* Whether this flight has to wait; then it is in the line. */
static bool has_to_wait(struct farm_conn *c)
{
    struct farm *farm = c->farm;
    if (c->released || !delays(farm))
        return false;
    if (!c->waiting) {
        c->waiting = true;
        uint32_t us = farm->options->hold ? farm->options->hold_us : farm->options->latency_us;
        c->due_us = stack_now_us(c->stream->stack) + us;
        list_push_tail(&farm->waiting, &c->wait);
        farm->waiting_count++;
    }
    return true;
}

static void stop_waiting(struct farm_conn *c)
{
    if (!c->waiting)
        return;
    c->waiting = false;
    list_remove(&c->wait);
    c->farm->waiting_count--;
}

static void release(struct farm_conn *c)
{
    stop_waiting(c);
    c->released = true;
    c->farm->counts.held++;
    stack_wake(c->stream);
}

static void retry_blocked(struct farm *farm)
{
    for (struct list *it; (it = list_pop(&farm->blocked));)
        stack_wake(list_entry(it, struct farm_conn, blocked)->stream);
}

/* How many of those that wait may go in this turn.  What is released together leaves in parts: each handshake among it is
 * a signature, and a turn with hundreds of them would leave all others without an ACK for longer than they wait for one.
 */
static uint32_t due_now(struct farm *farm, uint64_t now_us)
{
    struct list *head = list_head(&farm->waiting);
    bool due = head && list_entry(head, struct farm_conn, wait)->due_us <= now_us;
    if (!farm->options->hold)
        return due ? UINT32_MAX : 0;
    if (!farm->releasing && (due || farm->waiting_count >= farm->options->hold)) {
        farm->releasing = farm->waiting_count;
        farm->counts.bursts++;
    }
    return min_u32(farm->releasing, RELEASED_A_TURN);
}

void farm_conn_release(struct farm *farm)
{
    retry_blocked(farm);
    uint64_t now_us = stack_now_us(farm->stack);
    uint32_t most = due_now(farm, now_us);
    bool all = farm->options->hold;
    struct list *head;
    for (uint32_t n = 0; n < most && (head = list_head(&farm->waiting)); n++) {
        struct farm_conn *c = list_entry(head, struct farm_conn, wait);
        if (!all && c->due_us > now_us)
            break;
        release(c);
    }
    farm->releasing -= all ? most : 0;
}

uint64_t farm_conn_deadline(const struct farm *farm)
{
    uint64_t silence_us = silence_ends_us(farm);
    if (list_empty(&farm->waiting))
        return silence_us;
    return min_u64(silence_us, list_entry(farm->waiting.next, struct farm_conn, wait)->due_us);
}

/* ---- in and out ---- */

static void tls_failed(struct farm_conn *c)
{
    char why[160];
    unsigned long code = ERR_peek_error();
    ERR_error_string_n(code, why, sizeof(why));
    if (c->handshaking && c->farm->counts.tls_failed++ < FARM_TOLD_MAX)
        fprintf(stderr, "farm: %s: handshake failed: %s\n", c->host,
                code ? why : "the client has gone in the middle of it");
    close_conn(c);
}

static enum farm_io write_some(struct farm_conn *c, size_t *done)
{
    if (c->ssl)
        return farm_tls_write(c->ssl, c->smtp.out, c->smtp.out_len, done);
    *done = stream_write(c->stream, c->smtp.out, c->smtp.out_len);
    return *done ? FARM_IO_DONE : FARM_IO_AGAIN;
}

static enum farm_io read_some(struct farm_conn *c, char *out, size_t cap, size_t *got)
{
    if (c->ssl)
        return farm_tls_read(c->ssl, out, cap, got);
    *got = stream_read(c->stream, out, cap);
    return *got ? FARM_IO_DONE : c->stream->peer_done ? FARM_IO_ENDED : FARM_IO_AGAIN;
}

/* True when nothing is left to be said now. */
static bool flush(struct farm_conn *c)
{
    while (c->smtp.out_len) {
        size_t done;
        if (has_to_wait(c))
            return false;
        enum farm_io io = write_some(c, &done);
        farm_smtp_sent(&c->smtp, done);
        if (done)
            is_heard(c);
        if (io == FARM_IO_AGAIN) {
            list_remove(&c->blocked);
            list_push_tail(&c->farm->blocked, &c->blocked);
            return false;
        }
        if (io != FARM_IO_DONE) {
            tls_failed(c);
            return false;
        }
    }
    return true;
}

static bool keep_rest(struct farm_conn *c, const char *data, size_t len)
{
    uint8_t *rest = len ? malloc(len) : NULL;
    if (len && !rest) {
        c->farm->counts.out_of_memory++;
        abort_conn(c);
        return false;
    }
    if (len)
        memcpy(rest, data, len);
    free(c->rest);
    c->rest = rest;
    c->rest_len = (uint32_t)len;
    return true;
}

/* The dialogue goes on with what is left of before and what can be read now.  False: there is no more now. */
static bool converse(struct farm_conn *c)
{
    struct farm *farm = c->farm;
    size_t before = c->rest_len, got = 0;
    enum farm_io io = FARM_IO_AGAIN;
    if (before)
        memcpy(farm->scratch, c->rest, before);
    if (before < FARM_SMTP_LINE_MAX)
        io = read_some(c, farm->scratch + before, sizeof(farm->scratch) - before, &got);
    size_t used = farm_smtp_input(&c->smtp, farm->scratch, before + got);
    if (!keep_rest(c, farm->scratch + used, before + got - used))
        return false;
    if (io == FARM_IO_FAILED && !c->stream->peer_done)
        tls_failed(c);
    else if (io == FARM_IO_FAILED || io == FARM_IO_ENDED)
        close_conn(c);
    return used > 0 || got > 0;
}

/* ---- TLS ---- */

static void begin_tls(struct farm_conn *c)
{
    size_t len;
    uint32_t index = farm_options_index(c->farm->options, &c->stream->key.local) % c->farm->options->names;
    if (c->rest_len || tcp_read_peek(&c->stream->tcb, &len)) {
        c->farm->counts.injected++; /* before our 220 nothing may come */
        abort_conn(c);
        return;
    }
    c->handshaking = true;
    c->ssl = farm_tls_session(&c->farm->tls, c->stream, index);
    if (!c->ssl) {
        c->farm->counts.out_of_memory++;
        abort_conn(c);
    }
}

static void secured(struct farm_conn *c)
{
    c->handshaking = false;
    if (SSL_session_reused(c->ssl))
        c->farm->counts.resumed++;
    else
        c->farm->counts.full++;
    if (c->smtp.state == FARM_SMTP_STARTTLS)
        farm_smtp_secured(&c->smtp);
    else
        farm_smtp_open(&c->smtp, &c->farm->rules, c->host, true);
}

/* False: it is not over. */
static bool handshake(struct farm_conn *c)
{
    size_t len;
    if (tcp_read_peek(&c->stream->tcb, &len) && has_to_wait(c))
        return false;
    switch (farm_tls_accept(c->ssl)) {
    case FARM_IO_DONE: secured(c); return true;
    case FARM_IO_AGAIN:
        if (SSL_want_write(c->ssl)) {
            list_remove(&c->blocked);
            list_push_tail(&c->farm->blocked, &c->blocked);
        } else if (c->stream->peer_done) {
            tls_failed(c);
        }
        return false;
    default: tls_failed(c); return false;
    }
}

/* ---- what happens to it ---- */

static bool step(struct farm_conn *c)
{
    if (c->closing)
        return false;
    if (c->handshaking)
        return handshake(c);
    bool flushed = flush(c);
    if (c->closing)
        return false;
    if (c->smtp.state == FARM_SMTP_CUT)
        abort_conn(c);
    else if (flushed && c->smtp.state == FARM_SMTP_QUIT)
        close_conn(c);
    else if (flushed && c->smtp.state == FARM_SMTP_STARTTLS)
        begin_tls(c);
    else
        return converse(c);
    return !c->closing;
}

static void on_ready(void *ctx, struct stream *stream)
{
    struct farm_conn *c = stream->user;
    size_t len;
    (void)ctx;
    if (!stream->connected || !c)
        return;
    if (tcp_read_peek(&stream->tcb, &len))
        is_heard(c);
    while (step(c))
        ;
    if (!c->closing)
        flush(c);
    c->released &= c->smtp.out_len > 0;
    if (c->closing) /* what still comes is not wanted, and must not close the window before the FIN */
        while (tcp_read_peek(&stream->tcb, &len))
            tcp_read_consume(&stream->tcb, len);
}

static void on_accepted(void *ctx, struct stream *stream)
{
    struct farm *farm = ctx;
    const struct farm_options *o = farm->options;
    struct farm_conn *c = &farm->conn[stream->flow];
    memset(c, 0, offsetof(struct farm_conn, smtp) + offsetof(struct farm_smtp, message));
    c->farm = farm;
    c->stream = stream;
    list_init(&c->wait);
    list_init(&c->blocked);
    list_init(&c->silent);
    is_heard(c);
    stream->user = c;
    farm->counts.connections++;
    if (stack_streams(farm->stack) > farm->counts.peak)
        farm->counts.peak = stack_streams(farm->stack);
    farm_name(c->host, o->domain, farm_options_index(o, &stream->key.local) % o->names);
    if (farm_chance(farm, o->refuse_ppm)) {
        farm->counts.refused_asked++;
        abort_conn(c);
    } else if (stream->key.local_port == o->tls_port && !o->plain) {
        begin_tls(c);
    } else {
        farm_smtp_open(&c->smtp, &farm->rules, c->host, false);
    }
}

static void on_closed(void *ctx, struct stream *stream)
{
    struct farm *farm = ctx;
    struct farm_conn *c = stream->user;
    if (!c)
        return;
    bool by_us = c->closing && c->smtp.state != FARM_SMTP_DATA && c->smtp.state != FARM_SMTP_CHUNK;
    farm->counts.resets += tcp_error(&stream->tcb) == TCP_ERR_RESET;
    farm->counts.cut_by_peer += !c->handshaking && !by_us && farm_smtp_in_message(&c->smtp);
    stop_waiting(c);
    list_remove(&c->blocked);
    list_remove(&c->silent);
    SSL_free(c->ssl);
    free(c->rest);
    stream->user = NULL;
}

struct stack_events farm_conn_events(struct farm *farm)
{
    return (struct stack_events){farm, on_accepted, on_ready, on_closed};
}
