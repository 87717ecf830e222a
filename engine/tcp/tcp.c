/* tcp.c: opening, closing, reading and writing: RFC 9293 section 3.10.1 to 3.10.6. */
#include "engine/tcp/tcb.h"

#define MSS_DEFAULT_V4 536u /* RFC 9293 section 3.7.1: when the peer's SYN has no MSS option */
#define MSS_DEFAULT_V6 1220u
#define IPV6_HEADER    40u

struct tcp_config tcp_config_default(void)
{
    return (struct tcp_config){
        .mss = 1460,
        .send_buffer_bytes = 512u << 10,
        .recv_buffer_bytes = 64u << 10,
        .recv_packets = 128,
        .initial_cwnd = 10,
        .rto_initial_us = 1000000,
        .rto_min_us = 200000,
        .rto_max_us = 60000000,
        .delayed_ack_us = 40000,
        .syn_retries = 5,
        .connect_timeout_us = 60000000,
        .user_timeout_us = 300000000,
        .fin_wait_2_us = 60000000,
        .time_wait_us = 60000000,
        .keepalive_interval_us = 75000000,
        .keepalive_probes = 9,
        .mtu_probing = TCP_MTU_PROBING_BLACK_HOLE,
        .cc = &tcp_cc_cubic,
        .timestamps = true,
        .window_scaling = true,
        .sack = true,
        .ecn = TCP_ECN_ACCEPT,
        .pacing = true,
    };
}

size_t tcp_tcb_bytes(void)
{
    return sizeof(struct tcb);
}

/* RFC 7323 section 2.2: the least shift that lets 16 bits name the whole buffer. */
uint8_t tcb_scale_for(uint32_t buffer_bytes)
{
    uint8_t shift = 0;
    while (shift < 14 && buffer_bytes >> shift > UINT16_MAX)
        shift++;
    return shift;
}

static void open_common(struct tcb *tcb, const struct tcp_open *open, enum tcp_state state, uint64_t now_us)
{
    const struct tcp_config *config = open->config;
    *tcb = (struct tcb){
        .state = (uint8_t)state,
        .config = config,
        .pool = open->pool,
        .stats = open->stats,
        .local_port = open->local_port,
        .remote_port = open->remote_port,
        .ip_header_bytes = open->ip_header_bytes ? open->ip_header_bytes : 20,
        .ts_offset = open->ts_offset,
        .our_mss = open->mss ? open->mss : config->mss,
        .ts_on = config->timestamps,
        .sack_on = config->sack,
        .wscale_on = config->window_scaling,
        .rcv_scale = config->window_scaling ? tcb_scale_for(config->recv_buffer_bytes) : 0,
        .iss = open->isn,
        .snd_una = open->isn,
        .snd_nxt = open->isn,
        .recover = open->isn,
        .ecn_seq = open->isn,
        .rtt_seq = open->isn,
        .flight_seq = open->isn,
        .cut_end = open->isn,
    };
    tcb->peer_mss = tcb->ip_header_bytes == IPV6_HEADER ? MSS_DEFAULT_V6 : MSS_DEFAULT_V4;
    if (config->mss_clamp)
        tcb->our_mss = min_u32(tcb->our_mss, config->mss_clamp);
    pmtu_init(tcb, open->path_mss, now_us);
    tcb->rcv_mss = min_u32(tcb->our_mss, MSS_DEFAULT_V4);
    rtt_init(&tcb->rtt, &(struct rtt_limits){.rto_initial_us = config->rto_initial_us});
    rack_init(tcb);
    txq_init(&tcb->txq);
    rxq_init(&tcb->rxq, config->recv_packets);
    timer_init(tcb);
    timer_set(tcb, TIMER_LIFE, now_us + config->connect_timeout_us);
    txq_append_syn(&tcb->txq, tcb->iss);
}

void tcp_open_active(struct tcb *tcb, const struct tcp_open *open, uint64_t now_us)
{
    open_common(tcb, open, TCP_SYN_SENT, now_us);
    stat_inc(tcb->stats, STAT_tcp_opened);
}

/* RFC 9293 section 3.10.7.2, third: data on a SYN is not acknowledged and comes again. */
void tcp_open_passive(struct tcb *tcb, const struct tcp_open *open, const struct tcp_segment *syn,
                      uint64_t now_us)
{
    assert((syn->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN);
    open_common(tcb, open, TCP_SYN_RECEIVED, now_us);
    tcb->passive = true;
    tcb->irs = syn->seq;
    tcb->rcv_nxt = tcb->ack_sent = syn->seq + 1;
    tcb->snd_wl1 = syn->seq;
    tcb->snd_wnd = tcb->snd_wnd_max = syn->window;
    options_accept(tcb, syn, now_us);
    ecn_accept_syn(tcb, syn);
    stat_inc(tcb->stats, STAT_tcp_accepted);
}

/* The SYN counts as sent twice: how long ago it was nobody knows, and a sample must not be made of it (Karn).  Its time-out
 * is never due: the ACK is there.
 */
void tcp_open_answered(struct tcb *tcb, const struct tcp_open *open, const struct tcp_segment *syn,
                       uint64_t now_us)
{
    tcp_open_passive(tcb, open, syn, now_us);
    struct pkt *p = tcb->txq.head;
    txq_sent(&tcb->txq, p, now_us);
    p->tcp.sends++;
    tcb->snd_nxt = txq_end(p);
    tcb->rcv_wnd = min_u32(tcb->config->recv_buffer_bytes, UINT16_MAX);
    timer_sent(tcb, now_us);
}

/* RFC 6928 section 2, with the configured number of segments for 10; RFC 5681 section 3.1: one after a lost SYN. */
static uint32_t initial_window(const struct tcb *tcb)
{
    uint32_t n = tcb->config->initial_cwnd, mss = tcb->snd_mss;
    return tcb->syn_lost ? mss : min_u32(n * mss, max_u32(2 * mss, n * 1460));
}

void tcb_established(struct tcb *tcb, uint64_t now_us)
{
    tcb->state = TCP_ESTABLISHED;
    tcb->events |= TCP_EV_CONNECTED;
    timer_cancel(tcb, TIMER_LIFE);
    cc_init(&tcb->cc, tcb->config->cc, tcb->snd_mss, initial_window(tcb));
    tcb->initial_window = tcb->cc.cwnd;
    if (tcb->syn_lost && !tcb->rtt.srtt_us) { /* RFC 6298 (5.7) */
        tcb->rtt.rto_us = max_u32(tcb->rtt.rto_us, 3000000);
        tcb->rtt.backoff = 0;
    }
    stat_inc(tcb->stats, STAT_tcp_established);
    stat_add(tcb->stats, STAT_tcp_ecn_agreed, tcb->ecn_on);
    tcb->validated_us = now_us;
    timer_keep(tcb, now_us);
    if (tcb->close_asked)
        tcb_queue_fin(tcb);
}

void tcb_queue_fin(struct tcb *tcb)
{
    txq_append_fin(&tcb->txq, tcb->snd_nxt + tcb->txq.unsent_bytes);
    tcb->state = tcb->state == TCP_CLOSE_WAIT ? TCP_LAST_ACK : TCP_FIN_WAIT_1;
}

static enum stat_id stat_of(enum tcp_error error)
{
    switch (error) {
    case TCP_OK: return STAT_tcp_closed;
    case TCP_ERR_REFUSED:
    case TCP_ERR_RESET: return STAT_tcp_reset_by_peer;
    case TCP_ERR_TIMEOUT: return STAT_tcp_timed_out;
    case TCP_ERR_UNREACHABLE: return STAT_tcp_unreachable;
    case TCP_ERR_ABORTED: return STAT_tcp_aborted;
    }
    return STAT_tcp_aborted;
}

void tcb_finish(struct tcb *tcb, enum tcp_error error)
{
    if (tcb->state != TCP_TIME_WAIT) /* counted when it became that */
        stat_inc(tcb->stats, stat_of(error));
    tcb->state = TCP_CLOSED;
    tcb->error = (uint8_t)error;
    tcb->events |= TCP_EV_CLOSED;
    tcb->ack_now = tcb->abort_now = tcb->probe_now = tcb->keep_now = false;
    tcb->snd_una = tcb->cut_end = tcb->snd_nxt;
    tcb->reno_sacked = 0;
    txq_clear(&tcb->txq);
    timer_init(tcb);
}

void tcb_enter_time_wait(struct tcb *tcb, uint64_t now_us)
{
    stat_inc(tcb->stats, STAT_tcp_closed);
    tcb->state = TCP_TIME_WAIT;
    tcb->events |= TCP_EV_TIME_WAIT;
    timer_init(tcb);
    timer_set(tcb, TIMER_LIFE, now_us + tcb->config->time_wait_us);
}

/* ---- writing ---- */

static bool can_write(const struct tcb *tcb)
{
    return (tcb->state == TCP_ESTABLISHED || tcb->state == TCP_CLOSE_WAIT) && !tcb->abort_now &&
           !tcb->close_asked;
}

/* A peer that insists on a tiny MSS must not get a buffer for each of its crumbs: twice the packets that
 * the send buffer needs at full size are enough.
 */
static bool queue_full(const struct tcb *tcb)
{
    const struct tcp_config *c = tcb->config;
    const struct txq *q = &tcb->txq;
    bool crumbs =
        q->packets >= 16 && (uint64_t)(q->packets - 15) * c->mss > 2 * (uint64_t)c->send_buffer_bytes;
    return crumbs || q->bytes >= c->send_buffer_bytes;
}

uint32_t tcp_write_pieces(struct tcb *tcb, size_t len, struct byte_piece *piece, uint32_t max)
{
    uint32_t bytes = (uint32_t)min_size(len, tcp_write_space(tcb));
    return bytes ? txq_pieces(&tcb->txq, tcb->pool, tcb->snd_mss, bytes, piece, max) : 0;
}

uint8_t *tcp_write_reserve(struct tcb *tcb, size_t *room)
{
    if (!can_write(tcb) || queue_full(tcb))
        return NULL;
    uint8_t *at = txq_reserve(&tcb->txq, tcb->pool, tcb->snd_mss, room);
    if (at)
        *room = min_size(*room, tcb->config->send_buffer_bytes - tcb->txq.bytes);
    return at;
}

void tcp_write_commit(struct tcb *tcb, size_t len)
{
    assert(can_write(tcb));
    if (len > 0)
        txq_commit(&tcb->txq, tcb->snd_mss, tcb->snd_nxt + tcb->txq.unsent_bytes, (uint32_t)len);
}

size_t tcp_write_space(const struct tcb *tcb)
{
    if (!can_write(tcb) || queue_full(tcb))
        return 0;
    return tcb->config->send_buffer_bytes - tcb->txq.bytes;
}

/* Over a short path, half of what is in flight and more waits in somebody's queue; its packets leave our caches meanwhile. */
static bool queues_nearby(const struct tcb *tcb)
{
    return tcb->rtt.min_us < TCP_NEAR_US && tcb->rtt.srtt_us > 2 * tcb->rtt.min_us;
}

static uint32_t packets_in_use(const struct tcb *tcb)
{
    return tcb->pool->capacity - tcb->pool->available;
}

size_t tcp_write_due(const struct tcb *tcb, size_t least)
{
    if (queues_nearby(tcb) && packets_in_use(tcb) >= TCP_NEAR_PACKETS && tcb->txq.bytes >= least)
        return 0;
    uint32_t may_leave = out_may_leave(tcb), unsent = tcb->txq.unsent_bytes;
    if (unsent > 0 && unsent >= may_leave)
        return 0;
    size_t missing = may_leave > unsent ? may_leave - unsent : 0;
    return min_size(max_u64(missing, least), tcp_write_space(tcb));
}

size_t tcp_unsent_bytes(const struct tcb *tcb)
{
    return tcb->txq.unsent_bytes;
}

size_t tcp_unacked_bytes(const struct tcb *tcb)
{
    return tcb->txq.bytes;
}

/* ---- reading ---- */

uint8_t *tcp_read_peek(struct tcb *tcb, size_t *len)
{
    return rxq_peek(&tcb->rxq, len);
}

/* A window update of its own leaves when it at least doubles what the peer knows; smaller ones ride on ACKs. */
void tcp_read_consume(struct tcb *tcb, size_t len)
{
    rxq_consume(&tcb->rxq, len);
    bool receives = tcb->state >= TCP_ESTABLISHED && tcb->state <= TCP_FIN_WAIT_2;
    uint32_t window = out_receive_window(tcb);
    if (receives && window > tcb->rcv_wnd && window / 2 >= tcb->rcv_wnd)
        tcb->ack_now = true;
}

/* ---- closing ---- */

/* RFC 9293 section 3.10.4. */
void tcp_close(struct tcb *tcb, uint64_t now_us)
{
    (void)now_us;
    if (tcb->close_asked || tcb->abort_now)
        return;
    switch (tcb->state) {
    case TCP_SYN_SENT: tcb_finish(tcb, TCP_OK); return;
    case TCP_SYN_RECEIVED: tcb->close_asked = true; return;
    case TCP_ESTABLISHED:
    case TCP_CLOSE_WAIT:
        tcb->close_asked = true;
        tcb_queue_fin(tcb);
        return;
    default: return;
    }
}

/* RFC 9293 section 3.10.5: only states in which the peer may still expect something get a RST. */
void tcp_abort(struct tcb *tcb, uint64_t now_us)
{
    (void)now_us;
    switch (tcb->state) {
    case TCP_CLOSED: return;
    case TCP_SYN_RECEIVED:
    case TCP_ESTABLISHED:
    case TCP_FIN_WAIT_1:
    case TCP_FIN_WAIT_2:
    case TCP_CLOSE_WAIT: tcb->abort_now = true; return;
    default: tcb_finish(tcb, TCP_ERR_ABORTED); return;
    }
}

void tcp_release(struct tcb *tcb)
{
    txq_clear(&tcb->txq);
    rxq_clear(&tcb->rxq);
    timer_init(tcb);
    tcb->state = TCP_CLOSED;
}

/* ---- asking ---- */

unsigned tcp_events(struct tcb *tcb)
{
    unsigned events = tcb->events;
    tcb->events = 0;
    return events;
}

enum tcp_state tcp_state(const struct tcb *tcb)
{
    return tcb->state;
}

enum tcp_error tcp_error(const struct tcb *tcb)
{
    return tcb->error;
}

uint32_t tcp_path_mss(const struct tcb *tcb)
{
    return tcb->path_mss;
}

const char *tcp_state_name(enum tcp_state state)
{
    static const char *const name[] = {
        [TCP_CLOSED] = "CLOSED",           [TCP_LISTEN] = "LISTEN",
        [TCP_SYN_SENT] = "SYN_SENT",       [TCP_SYN_RECEIVED] = "SYN_RECEIVED",
        [TCP_ESTABLISHED] = "ESTABLISHED", [TCP_FIN_WAIT_1] = "FIN_WAIT_1",
        [TCP_FIN_WAIT_2] = "FIN_WAIT_2",   [TCP_CLOSE_WAIT] = "CLOSE_WAIT",
        [TCP_CLOSING] = "CLOSING",         [TCP_LAST_ACK] = "LAST_ACK",
        [TCP_TIME_WAIT] = "TIME_WAIT",
    };
    return state < ARRAY_LEN(name) ? name[state] : "unknown";
}

struct tcp_info tcp_info(const struct tcb *tcb)
{
    return (struct tcp_info){
        .state = tcb->state,
        .mss = tcb->snd_mss,
        .cwnd_bytes = tcb->cc.cwnd,
        .ssthresh_bytes = tcb->cc.ssthresh,
        .flight_bytes = recovery_pipe(tcb),
        .snd_wnd_bytes = tcb->snd_wnd,
        .rcv_wnd_bytes = tcb->rcv_wnd,
        .srtt_us = tcb->rtt.srtt_us,
        .rttvar_us = tcb->rtt.rttvar_us,
        .rto_us = tcb_rto(tcb),
        .bytes_acked = tcb->bytes_acked,
        .bytes_received = tcb->bytes_received,
        .retransmits = tcb->retransmits,
    };
}

void tcb_check(const struct tcb *tcb)
{
    txq_check(&tcb->txq, tcb->snd_una, tcb->snd_nxt);
    /* the peer's FIN and SYN take a number, and no bytes */
    bool fin = tcb->rcv_fin_known && tcb->rcv_nxt == tcb->rcv_fin_seq + 1;
    rxq_check(&tcb->rxq, tcb->rcv_nxt - fin);
    assert(tcb->state <= TCP_TIME_WAIT && tcb->state != TCP_LISTEN);
    assert(tcb->reno_sacked <= txq_pipe(&tcb->txq));
    assert(tcb->sack_on ? !tcb->reno_sacked : !tcb->txq.sacked || tcb->state < TCP_ESTABLISHED);
    assert(seq_le(tcb->snd_una, tcb->cut_end) && seq_le(tcb->cut_end, tcb->snd_nxt + tcb->txq.unsent_bytes));
    assert(tcb->snd_scale <= 14 && tcb->rcv_scale <= 14);
    if (tcb->state == TCP_CLOSED) {
        assert(!tcb->txq.head && tcp_next_deadline(tcb) == DEADLINE_NEVER);
        return;
    }
    assert(tcb->error == TCP_OK);
    assert(!tcb->txq.out || tcb->timer[TIMER_RTX] != DEADLINE_NEVER);
    assert(tcb->ecn_on || !(tcb->ecn_echo || (tcb->ecn_may_mark && tcb->state >= TCP_ESTABLISHED)));
    assert(!tcb->undo.frto || (tcb->undo.armed && tcb->recovery == RECOVERY_LOSS));
    assert(tcb->recovery != RECOVERY_CWR || (tcb->ecn_on && seq_lt(tcb->snd_una, tcb->ecn_seq)));
    if (tcb->state < TCP_ESTABLISHED)
        return;
    assert(tcb->snd_mss > 0 && tcb->cc.mss == tcb->snd_mss);
    assert(tcb->path_mss <= tcb->our_mss && (!tcb->pmtu.probe_mss || tcb->pmtu.probe_mss > tcb->path_mss));
    assert(!tcb->pmtu.probe_mss || seq_in(tcb->pmtu.probe_seq, tcb->snd_una, tcb->txq.out));
    assert(tcb->cc.cwnd >= tcb->cc.mss && tcb->cc.ssthresh >= tcb->cc.mss);
    assert(tcb->txq.bytes <= tcb->config->send_buffer_bytes);
    assert(tcb->rxq.bytes + tcb->rcv_wnd <= tcb->config->recv_buffer_bytes);
    assert(tcb->rcv_wnd >= tcb->rxq.early_bytes || fin);
    assert(tcb->state != TCP_TIME_WAIT || (!tcb->txq.head && tcb->timer[TIMER_LIFE] != DEADLINE_NEVER));
}
