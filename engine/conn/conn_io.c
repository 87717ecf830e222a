/* conn_io.c: the bytes of a connection: tcp -> (tls ->) smtp and back, in one run. */
#include "engine/conn/conn_io.h"

/* Plain bytes that are asked of smtp at least; below that the stream waits for acknowledgements. */
#define OUTPUT_MIN 1024u

/* When packets or the port were short: try again then. */
#define RETRY_US 1000u

/* ---- ciphertext into TCP's packets ---- */

static uint8_t *sink_reserve(void *ctx, size_t *room)
{
    struct conn *conn = ctx;
    return tcp_write_reserve(&conn->tcb, room);
}

static void sink_commit(void *ctx, size_t len)
{
    struct conn *conn = ctx;
    tcp_write_commit(&conn->tcb, len);
}

static uint32_t sink_pieces(void *ctx, size_t len, struct byte_piece *piece, uint32_t max)
{
    struct conn *conn = ctx;
    return tcp_write_pieces(&conn->tcb, len, piece, max);
}

struct byte_sink conn_tcp_sink(struct conn *conn)
{
    return (struct byte_sink){
        .ctx = conn, .reserve = sink_reserve, .commit = sink_commit, .pieces = sink_pieces};
}

/* ---- TLS ---- */

static void fail_for_tls(struct conn *conn, uint64_t now_us)
{
    struct outcome why;
    tls_failure(conn->tls, &why);
    tls_output(conn->tls); /* the alert */
    if (conn->phase == CONN_OPEN) {
        smtp_lost(&conn->smtp, &why, now_us);
        smtp_outcome(&conn->smtp, &why);
    }
    conn_end(conn, &why, now_us);
}

static void secured(struct conn *conn, uint64_t now_us)
{
    const struct tls_verified *proof = tls_verified(conn->tls);
    assert(proof);
    conn->phase = CONN_OPEN;
    conn->phase_deadline_us = DEADLINE_NEVER;
    conn->secured_us = now_us;
    smtp_secured(&conn->smtp, proof, now_us);
}

static void look_at_tls(struct conn *conn, uint64_t now_us)
{
    enum tls_status status = tls_status(conn->tls);
    if (status == TLS_FAILED) {
        fail_for_tls(conn, now_us);
        return;
    }
    conn->peer_closed |= status == TLS_PEER_CLOSED;
    if (conn->phase == CONN_HANDSHAKE && status == TLS_OPEN)
        secured(conn, now_us);
}

static struct tls_scope scope_for_tls(const struct conn *conn)
{
    struct tls_scope scope = {.port = conn->hop.port,
                              .level = conn->demand.level,
                              .policy = conn->demand.source,
                              .generation = conn->demand.generation};
    static_assert(TLS_POLICY_MAX >= sizeof(conn->demand.source), "a policy's whole name reaches TLS");
    memcpy(scope.addr, conn->hop.addr, sizeof(scope.addr));
    return scope;
}

/* crypto and policy do not know each other: here the demand crosses as plain values. */
static struct tls_demand demand_for_tls(const struct conn *conn, const struct tls_scope *scope)
{
    const struct policy_demand *from = &conn->demand;
    struct tls_demand to = {
        .sni = conn->hop.host[0] ? conn->hop.host : NULL,
        .min_version = from->min_version,
        .pkix = from->pkix,
        .trust = from->trust,
        .names = from->names,
        .scope = scope,
    };
    static_assert(TLS_NAMES_MAX >= POLICY_NAMES_MAX, "every name of a demand reaches TLS");
    for (uint8_t i = 0; i < from->names; i++) {
        to.name[i] = from->name[i];
        to.group[i] = from->group[i];
    }
    return to;
}

void conn_start_tls(struct conn *conn, uint64_t now_us)
{
    const struct tls_scope scope = scope_for_tls(conn);
    struct tls_demand demand = demand_for_tls(conn, &scope);
    conn->tls = tls_open(conn->env->tls, &demand);
    if (!conn->tls) {
        struct outcome why;
        outcome_set(&why, VERDICT_DEFERRED, STAGE_TLS, FAULT_LOCAL, REASON_LIMIT,
                    "no TLS session free; raise limits.connections or lower the load");
        conn_end(conn, &why, now_us);
        return;
    }
    tls_set_sink(conn->tls, &conn->sink);
    conn->phase = CONN_HANDSHAKE;
    conn->phase_deadline_us = now_us + conn->env->handshake_timeout_us;
    tls_start(conn->tls);
    look_at_tls(conn, now_us);
}

/* ---- in ---- */

static void drain_plain(struct conn *conn, uint64_t now_us)
{
    size_t len;
    while (conn->phase == CONN_OPEN &&
           (len = tls_read(conn->tls, conn->env->scratch, CONN_SCRATCH_BYTES)) > 0) {
        lap_enter(&conn->env->lap, LAP_SMTP);
        smtp_input(&conn->smtp, conn->env->scratch, len, now_us);
        lap_enter(&conn->env->lap, LAP_TLS);
    }
    if (conn->phase == CONN_OPEN)
        look_at_tls(conn, now_us); /* tls_read may have found the end of it */
}

static bool receive_tls(struct conn *conn, uint64_t now_us)
{
    bool moved = false;
    size_t len;
    if (conn->phase == CONN_HANDSHAKE)
        look_at_tls(conn, now_us); /* suspended work may have ended the handshake with nothing more to read */
    for (uint8_t *in; conn->phase < CONN_CLOSING && (in = tcp_read_peek(&conn->tcb, &len));) {
        size_t used;
        lap_enter(&conn->env->lap, LAP_TLS);
        tls_input(conn->tls, in, len, &used);
        tcp_read_consume(&conn->tcb, used);
        look_at_tls(conn, now_us);
        drain_plain(conn, now_us);
        moved |= used > 0;
        if (used == 0)
            break; /* suspended: the rest waits in TCP and closes its window */
    }
    return moved;
}

static bool receive_clear(struct conn *conn, uint64_t now_us)
{
    bool moved = false;
    size_t len;
    /* All that has come, before TLS is started: bytes behind the 220 are an injection (RFC 3207 section 6). */
    for (uint8_t *in; (in = tcp_read_peek(&conn->tcb, &len));) {
        lap_enter(&conn->env->lap, LAP_SMTP);
        smtp_input(&conn->smtp, in, len, now_us);
        tcp_read_consume(&conn->tcb, len);
        moved = true;
    }
    if (smtp_want(&conn->smtp) == SMTP_WANT_STARTTLS) {
        lap_enter(&conn->env->lap, LAP_TLS);
        conn_start_tls(conn, now_us);
    }
    return moved;
}

static bool discard(struct conn *conn)
{
    size_t len;
    while (tcp_read_peek(&conn->tcb, &len))
        tcp_read_consume(&conn->tcb, len);
    return false;
}

static bool receive(struct conn *conn, uint64_t now_us)
{
    switch (conn->phase) {
    case CONN_CLEAR: return receive_clear(conn, now_us);
    case CONN_HANDSHAKE:
    case CONN_OPEN: return receive_tls(conn, now_us);
    case CONN_CLOSING: return discard(conn);
    default: return false;
    }
}

/* ---- out ---- */

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct conn *conn = ctx;
    return net_send_segment(conn->env->net, &conn->key, conn->flow, seg, conn->run_us);
}

static uint32_t emit_train(void *ctx, const struct tcp_train *train)
{
    struct conn *conn = ctx;
    return net_send_train(conn->env->net, &conn->key, conn->flow, train, conn->run_us);
}

/* What has just been sealed is in the nearest cache: the checksum and the port read it from there. */
static void push(struct conn *conn, uint64_t now_us)
{
    const struct tcp_emit out = {.ctx = conn, .emit = emit, .train = emit_train};
    lap_enter(&conn->env->lap, LAP_TCP);
    if (tcp_push(&conn->tcb, now_us, &out) && net_burst_waits(conn->env->net)) {
        lap_enter(&conn->env->lap, LAP_TRANSMIT);
        net_transmit_flush(conn->env->net, now_us);
    }
}

static bool send_clear(struct conn *conn, uint64_t now_us)
{
    size_t first;
    if (tcp_write_space(&conn->tcb) < OUTPUT_MIN || !smtp_has_output(&conn->smtp) ||
        !tcp_write_reserve(&conn->tcb, &first))
        return false;
    lap_enter(&conn->env->lap, LAP_SMTP);
    size_t len = smtp_output(&conn->smtp, conn->env->scratch, OUTPUT_MIN, now_us);
    for (size_t at = 0; at < len;) {
        size_t room;
        uint8_t *out = tcp_write_reserve(&conn->tcb, &room);
        if (!out) {
            conn_fail(conn, REASON_LIMIT, FAULT_LOCAL, "no packet buffer for a command", now_us);
            return false;
        }
        size_t part = min_size(room, len - at);
        memcpy(out, conn->env->scratch + at, part);
        tcp_write_commit(&conn->tcb, part);
        at += part;
    }
    return len > 0;
}

/* How many plain bytes fit, sealed, into what TCP has a use for now. */
static size_t plain_room(const struct conn *conn)
{
    size_t sealed = tls_sealed_bytes(conn->tls, CONN_SCRATCH_BYTES);
    size_t due = tcp_write_due(&conn->tcb, sealed), overhead = sealed - CONN_SCRATCH_BYTES;
    return due <= overhead ? 0 : min_size(due - overhead, CONN_SCRATCH_BYTES);
}

static bool announce(struct conn *conn, uint64_t now_us)
{
    if (conn->announced || !conn_can_begin(conn, 1))
        return false;
    conn->announced = true;
    if (conn->in_hand == 0)
        conn->phase_deadline_us = now_us + conn->env->idle_timeout_us;
    conn->env->events.ready(conn->env->events.ctx, conn);
    return !conn->announced; /* it has been given a message */
}

/* Plain bytes for one record.  Behind the end of a message the next one's commands and body follow in the same record. */
static size_t take_plain(struct conn *conn, size_t cap, uint64_t now_us)
{
    uint8_t *plain = conn->env->scratch;
    size_t len = 0, more;
    do {
        more = smtp_output(&conn->smtp, plain + len, cap - len, now_us);
        len += more;
    } while (more > 0 && cap - len >= OUTPUT_MIN && announce(conn, now_us));
    return len;
}

static bool send_tls(struct conn *conn, uint64_t now_us)
{
    if (!tls_output(conn->tls) || conn->phase != CONN_OPEN)
        return false;
    size_t cap = plain_room(conn);
    if (cap < OUTPUT_MIN)
        return false;
    lap_enter(&conn->env->lap, LAP_SMTP);
    size_t len = take_plain(conn, cap, now_us);
    if (len == 0)
        return false;
    lap_enter(&conn->env->lap, LAP_TLS);
    if (!tls_write(conn->tls, conn->env->scratch, len)) {
        look_at_tls(conn, now_us);
        return false;
    }
    push(conn, now_us);
    return true;
}

static bool send_some(struct conn *conn, uint64_t now_us)
{
    switch (conn->phase) {
    case CONN_CLEAR: return send_clear(conn, now_us);
    case CONN_HANDSHAKE:
    case CONN_OPEN: return send_tls(conn, now_us);
    case CONN_CLOSING:
        if (conn->fin_due && (!conn->tls || tls_output(conn->tls))) {
            conn->fin_due = false;
            tcp_close(&conn->tcb, now_us);
        }
        return false;
    default: return false;
    }
}

/* ---- a run ---- */

static void look_at_events(struct conn *conn, uint64_t now_us)
{
    unsigned events = tcp_events(&conn->tcb);
    if ((events & TCP_EV_CONNECTED) && conn->phase == CONN_CONNECTING)
        conn_start_smtp(conn, now_us);
    if (unlikely(events & TCP_EV_PATH))
        net_learn_path(conn->env->net, &conn->key.remote, tcp_path_mss(&conn->tcb), now_us);
    conn->peer_closed |= (events & TCP_EV_PEER_FIN) != 0;
    conn->over |= (events & (TCP_EV_CLOSED | TCP_EV_TIME_WAIT)) != 0;
}

/* Called when no more bytes move: is there anything left to come? */
static void look_at_end(struct conn *conn, uint64_t now_us)
{
    if (conn->ended)
        return;
    if (conn_smtp_speaks(conn) && smtp_want(&conn->smtp) == SMTP_WANT_CLOSE) {
        struct outcome why;
        smtp_outcome(&conn->smtp, &why);
        conn_end(conn, &why, now_us);
    } else if (conn->over || conn->peer_closed) {
        conn_fail_for_tcp(conn, now_us);
    }
}

/* Each asks for room again when there is some: thousands that ask in every turn take all of a core. */
static bool stand_in_line(struct conn *conn)
{
    if (net_has_room(conn->env->net))
        return false; /* it was a packet that was wanting */
    stat_inc(conn->env->stats, STAT_conn_port_full);
    if (list_empty(&conn->in_line))
        list_push_tail(&conn->env->line, &conn->in_line);
    return true;
}

static void set_timer(struct conn *conn, bool again, uint64_t now_us)
{
    uint64_t deadline = min_u64(tcp_next_deadline(&conn->tcb), conn->phase_deadline_us);
    if (conn_smtp_speaks(conn))
        deadline = min_u64(deadline, smtp_next_deadline(&conn->smtp));
    if (again)
        deadline = now_us + RETRY_US;
    wheel_arm(conn->env->wheel, &conn->timer, deadline);
}

bool conn_tcp_output(struct conn *conn, uint64_t now_us)
{
    const struct tcp_emit out = {.ctx = conn, .emit = emit, .train = emit_train};
    conn->run_us = now_us;
    return tcp_output(&conn->tcb, now_us, &out);
}

/* There is something to send and room for it, but no packet. */
static bool is_starved(struct conn *conn)
{
    if (tcp_write_space(&conn->tcb) == 0)
        return false;
    if (conn->phase == CONN_CLEAR)
        return smtp_has_output(&conn->smtp);
    return conn->tls && !tls_output(conn->tls);
}

void conn_run(struct conn *conn, uint64_t now_us)
{
    if (conn->phase == CONN_GONE)
        return;
    struct lap *lap = &conn->env->lap;
    conn->run_us = now_us;
    lap_enter(lap, LAP_TCP);
    bool moved;
    do {
        look_at_events(conn, now_us);
        moved = receive(conn, now_us);
        moved |= send_some(conn, now_us);
        moved |= announce(conn, now_us);
        if (!moved)
            look_at_end(conn, now_us);
    } while (moved);
    send_some(conn, now_us); /* what an end has left to send: the alert, the FIN */

    lap_enter(lap, LAP_TCP);
    bool all_sent = conn_tcp_output(conn, now_us);
    look_at_events(conn, now_us);
    if (conn->over) {
        if (!conn->ended)
            conn_fail_for_tcp(conn, now_us);
        conn_gone(conn);
        return;
    }
    bool in_line = !all_sent && stand_in_line(conn);
    if (!in_line)
        list_remove(&conn->in_line);
    set_timer(conn, (!all_sent && !in_line) || is_starved(conn), now_us);
}
