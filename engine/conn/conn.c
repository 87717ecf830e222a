/* conn.c: a connection's life: open, events in, phases, end. */
#include "engine/conn/conn.h"
#include "engine/conn/conn_io.h"
#include "engine/tcp/time_wait.h"

/* The time that a message may take up to its end of data: RFC 5321's for every command, and a least rate for its body. */
#define MESSAGE_BASE_US    1800000000u
#define MESSAGE_LEAST_RATE 4096u /* bytes a second */

static void smtp_on_recipient(void *ctx, const struct smtp_message *message, uint32_t index,
                              const struct outcome *outcome)
{
    struct conn *conn = ctx;
    conn->env->events.recipient(conn->env->events.ctx, conn, message, index, outcome);
}

static void smtp_on_stage(void *ctx, const struct smtp_message *message, enum stage stage)
{
    struct conn *conn = ctx;
    if (stage == STAGE_DOT)
        conn->dot_sent = true;
    conn->env->events.stage(conn->env->events.ctx, conn, message, stage);
}

/* The last one: it idles from now on, if it has been announced already. */
static void let_go(struct conn *conn)
{
    assert(conn->in_hand > 0);
    if (--conn->in_hand == 0 && conn->announced)
        conn->phase_deadline_us = conn->run_us + conn->env->idle_timeout_us;
}

static void smtp_on_message_done(void *ctx, const struct smtp_message *message)
{
    struct conn *conn = ctx;
    let_go(conn);
    conn->env->events.message_done(conn->env->events.ctx, conn, message);
}

static void smtp_on_returned(void *ctx, const struct smtp_message *message, enum smtp_return why)
{
    struct conn *conn = ctx;
    let_go(conn);
    conn->env->events.message_returned(conn->env->events.ctx, conn, message, why);
}

/* TCP stands: the greeting's time begins. */
void conn_start_smtp(struct conn *conn, uint64_t now_us)
{
    const struct smtp_events events = {
        .ctx = conn,
        .recipient = smtp_on_recipient,
        .stage = smtp_on_stage,
        .message_done = smtp_on_message_done,
        .returned = smtp_on_returned,
    };
    struct smtp_config config = *conn->env->smtp;
    config.chunking &= !conn->no_chunking;
    if (conn->one_by_one)
        config.messages_ahead = 1;
    conn->connected_us = now_us;
    conn->phase = CONN_CLEAR;
    smtp_open(&conn->smtp, &config, &events, !conn->hop.implicit_tls, now_us);
    if (conn->hop.implicit_tls)
        conn_start_tls(conn, now_us);
}

/* RFC 6528: a keyed hash of the 4-tuple plus a clock of 4 us. */
static void flow_secrets(struct conn *conn, struct tcp_open *open, uint64_t now_us)
{
    uint64_t hash = prf_u64(conn->env->prf, &conn->key, sizeof(conn->key));
    open->isn = (uint32_t)hash + (uint32_t)(now_us / 4);
    open->ts_offset = (uint32_t)(hash >> 32);
}

static void begin(struct conn *conn, struct conn_env *env, uint32_t flow, const struct policy_hop *hop,
                  const struct policy_demand *demand, uint64_t now_us)
{
    conn->env = env;
    conn->tls = NULL;
    conn->flow = flow;
    conn->phase = CONN_CONNECTING;
    conn->ended = conn->was_ready = conn->makes_room = conn->peer_closed = conn->over = conn->fin_due =
        conn->announced = conn->quit_sent = conn->dot_sent = conn->no_chunking = conn->one_by_one =
            conn->lost_ahead = false;
    conn->messages = conn->in_hand = 0;
    conn->phase_deadline_us = DEADLINE_NEVER;
    conn->opened_us = now_us;
    conn->connected_us = conn->secured_us = 0;
    conn->hop = *hop;
    conn->demand = *demand;
    list_init(&conn->in_line);
    wheel_timer_init(&conn->timer, CONN_TIMER);
    memset(&conn->key, 0, sizeof(conn->key)); /* its padding is hashed */
}

static void open_tcp(struct conn *conn, const struct ip_addr *remote, uint64_t now_us)
{
    const struct conn_env *env = conn->env;
    struct tcp_open open = {
        .config = env->tcp,
        .pool = env->pool,
        .stats = env->stats,
        .local_port = conn->key.local_port,
        .remote_port = conn->key.remote_port,
        .mss = net_mss(env->net, remote),
        .path_mss = net_path_mss(env->net, remote, now_us),
        .ip_header_bytes = ip_is_v4(remote) ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES,
    };
    flow_secrets(conn, &open, now_us);
    const struct tcp_time_wait *old = net_flow_predecessor(env->net);
    if (old)
        tcp_time_wait_follow(old, &open, now_us);
    tcp_open_active(&conn->tcb, &open, now_us);
}

bool conn_open(struct conn *conn, struct conn_env *env, uint32_t flow, const struct policy_hop *hop,
               const struct policy_demand *demand, uint64_t now_us, struct outcome *why)
{
    struct ip_addr remote;
    struct error err;
    begin(conn, env, flow, hop, demand, now_us);
    memcpy(remote.b, hop->addr, sizeof(remote.b));
    conn->flow_entered = net_flow_open(env->net, NULL, &remote, hop->port, flow, &conn->key, &err);
    if (!conn->flow_entered) {
        outcome_set(why, VERDICT_DEFERRED, STAGE_CONNECT, FAULT_LOCAL, REASON_LIMIT, "%s", err.text);
        conn->phase = CONN_GONE;
        return false;
    }
    open_tcp(conn, &remote, now_us);
    if (conn->demand.trust)
        tls_trust_ref(conn->demand.trust);
    conn->sink = conn_tcp_sink(conn);
    stat_inc(env->stats, STAT_conn_opened);
    return true;
}

/* ---- what the network says ---- */

void conn_fail_for_tcp(struct conn *conn, uint64_t now_us)
{
    static const struct {
        uint8_t reason;
        const char *text;
    } how[] = {
        [TCP_OK] = {REASON_CONNECTION_LOST, "connection closed by the peer"},
        [TCP_ERR_REFUSED] = {REASON_CONNECTION_REFUSED, "connection refused"},
        [TCP_ERR_RESET] = {REASON_CONNECTION_RESET, "connection reset by the peer"},
        [TCP_ERR_TIMEOUT] = {REASON_CONNECTION_TIMEOUT, "no answer from the network"},
        [TCP_ERR_UNREACHABLE] = {REASON_CONNECTION_REFUSED, "host or port unreachable"},
        [TCP_ERR_ABORTED] = {REASON_CONNECTION_RESET, "connection aborted"},
    };
    enum tcp_error error = tcp_error(&conn->tcb);
    conn->lost_ahead = conn->in_hand > 1 && (error == TCP_OK || error == TCP_ERR_RESET);
    conn_fail(conn, how[error].reason, FAULT_NETWORK, how[error].text, now_us);
}

void conn_segment(struct conn *conn, const struct tcp_segment *seg, uint64_t now_us)
{
    if (conn->phase == CONN_GONE)
        return;
    tcp_input(&conn->tcb, seg, now_us);
    if (unlikely(tcp_ack_is_full(&conn->tcb)))
        (void)conn_tcp_output(conn, now_us); /* what was refused goes with conn_run */
}

void conn_icmp(struct conn *conn, const struct icmp *icmp, uint64_t now_us)
{
    if (conn->phase == CONN_GONE)
        return;
    uint32_t mtu = icmp->kind == ICMP_FRAG_NEEDED ? icmp->mtu : 0;
    tcp_icmp_error(&conn->tcb, icmp->inner_seq, icmp->hard, mtu, now_us);
}

void conn_unreachable(struct conn *conn, uint64_t now_us)
{
    if (conn->phase == CONN_CONNECTING) /* later TCP's own patience decides: the neighbour may come back */
        conn_fail(conn, REASON_CONNECTION_TIMEOUT, FAULT_NETWORK, "the next hop does not answer", now_us);
}

/* It has idled for as long as it may, or a receiver takes a message so slowly that it holds the connection for days. */
static void open_too_long(struct conn *conn, uint64_t now_us)
{
    if (conn->in_hand == 0)
        conn_quit(conn, now_us);
    else if (!conn->dot_sent) /* behind it RFC 5321's ten minutes hold */
        conn_fail(conn, REASON_TIMEOUT, FAULT_REMOTE, "the receiver takes the message too slowly", now_us);
}

void conn_timer(struct conn *conn, uint64_t now_us)
{
    if (conn->phase == CONN_GONE)
        return;
    if (tcp_next_deadline(&conn->tcb) <= now_us)
        tcp_timers(&conn->tcb, now_us);
    if (conn_smtp_speaks(conn) && smtp_next_deadline(&conn->smtp) <= now_us)
        smtp_timers(&conn->smtp, now_us);
    if (conn->phase_deadline_us > now_us)
        return;
    conn->phase_deadline_us = DEADLINE_NEVER;
    switch (conn->phase) {
    case CONN_HANDSHAKE:
        conn_fail(conn, REASON_TIMEOUT, FAULT_REMOTE, "no end of the TLS handshake in time", now_us);
        break;
    case CONN_OPEN: open_too_long(conn, now_us); break;
    case CONN_CLOSING: tcp_abort(&conn->tcb, now_us); break;
    default: break;
    }
}

/* ---- the end ---- */

static void tell_ended(struct conn *conn, const struct outcome *why)
{
    if (conn->ended)
        return;
    conn->ended = true;
    assert(conn->in_hand == 0);
    conn->env->events.ended(conn->env->events.ctx, conn, why);
}

void conn_end(struct conn *conn, const struct outcome *why, uint64_t now_us)
{
    tell_ended(conn, why);
    if (conn->phase >= CONN_CLOSING)
        return;
    if (conn->tls)
        tls_close_notify(conn->tls);
    bool connected = conn->phase != CONN_CONNECTING;
    conn->phase = CONN_CLOSING;
    conn->phase_deadline_us = now_us + conn->env->close_timeout_us;
    conn->fin_due = connected;
    if (!connected)
        tcp_abort(&conn->tcb, now_us);
}

void conn_fail(struct conn *conn, enum reason reason, enum fault fault, const char *text, uint64_t now_us)
{
    struct outcome why;
    enum stage stage = conn->phase == CONN_CONNECTING ? STAGE_CONNECT : STAGE_TLS;
    outcome_set(&why, VERDICT_DEFERRED, stage, fault, reason, "%s%s", text,
                conn->phase == CONN_HANDSHAKE ? " during the TLS handshake" : "");
    if (conn_smtp_speaks(conn)) {
        smtp_lost(&conn->smtp, &why, now_us); /* fills in the stage; results for the messages in hand */
        smtp_outcome(&conn->smtp, &why);
    }
    conn_end(conn, &why, now_us);
}

void conn_quit(struct conn *conn, uint64_t now_us)
{
    if (conn->phase != CONN_OPEN || conn->in_hand > 0 || conn->quit_sent)
        return;
    conn->quit_sent = true;
    conn->phase_deadline_us = now_us + conn->env->close_timeout_us;
    smtp_quit(&conn->smtp, now_us);
}

void conn_abort(struct conn *conn, enum reason reason, const char *text, uint64_t now_us)
{
    if (conn->phase == CONN_GONE)
        return;
    conn_fail(conn, reason, FAULT_LOCAL, text, now_us);
    tcp_abort(&conn->tcb, now_us);
}

void conn_gone(struct conn *conn)
{
    if (conn->tls) {
        lap_enter(&conn->env->lap, LAP_TLS);
        tls_free(conn->tls);
        lap_enter(&conn->env->lap, LAP_TCP);
    }
    conn->tls = NULL;
    if (conn->demand.trust)
        tls_trust_free(conn->demand.trust);
    list_remove(&conn->in_line);
    wheel_cancel(conn->env->wheel, &conn->timer);
    if (tcp_state(&conn->tcb) == TCP_TIME_WAIT)
        conn->env->events.time_wait(conn->env->events.ctx, conn);
    tcp_release(&conn->tcb);
    if (conn->flow_entered)
        net_flow_close(conn->env->net, &conn->key);
    conn->flow_entered = false;
    conn->phase = CONN_GONE;
    conn->env->events.gone(conn->env->events.ctx, conn);
}

/* ---- messages ---- */

bool conn_can_begin(const struct conn *conn, uint32_t recipients)
{
    return conn->phase == CONN_OPEN && !conn->ended && !conn->peer_closed && !conn->quit_sent &&
           smtp_ready(&conn->smtp) && smtp_has_room(&conn->smtp, recipients);
}

void conn_begin(struct conn *conn, const struct smtp_message *message, uint64_t now_us)
{
    assert(conn_can_begin(conn, message->recipients));
    conn->in_hand++;
    conn->dot_sent = conn->announced = false;
    conn->phase_deadline_us = now_us + MESSAGE_BASE_US + message->body_bytes * 1000000u / MESSAGE_LEAST_RATE;
    if (conn->messages++ > 0)
        stat_inc(conn->env->stats, STAT_conn_reused);
    smtp_begin(&conn->smtp, message, now_us);
}

bool conn_satisfies(const struct conn *conn, const struct policy_demand *want)
{
    if (conn->phase != CONN_OPEN || !tls_verified(conn->tls))
        return false;
    if (policy_covers(&conn->demand, want))
        return true;
    stat_inc(conn->env->stats, STAT_conn_refused_policy);
    return false;
}

const char *conn_phase_name(enum conn_phase phase)
{
    static const char *const names[] = {"connecting", "clear", "handshake", "open", "closing", "gone"};
    return phase < ARRAY_LEN(names) ? names[phase] : "unknown";
}
