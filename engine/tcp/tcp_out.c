/* tcp_out.c: what may leave now: RFC 9293 section 3.8.6, RFC 6675 section 5 (C). */
#include "engine/tcp/out.h"

#define NON_VALIDATED_US (5ull * 60 * 1000000) /* NVP, RFC 7661 section 4.1 */

/* RFC 9293 section 3.8.6.2.2: the window grows by a full segment or half the buffer at least, and never shrinks. */
uint32_t out_receive_window(const struct tcb *tcb)
{
    uint32_t buffer = tcb->config->recv_buffer_bytes;
    uint32_t room = buffer - min_u32(tcb->rxq.bytes, buffer);
    uint32_t step = min_u32(buffer / 2, tcb->our_mss);
    room = min_u32(room, (uint32_t)UINT16_MAX << tcb->rcv_scale);
    return room >= tcb->rcv_wnd + step ? room : tcb->rcv_wnd;
}

struct tcp_segment out_make(const struct out *o, uint32_t seq, uint8_t flags)
{
    const struct tcb *tcb = o->tcb;
    return (struct tcp_segment){
        .src_port = tcb->local_port,
        .dst_port = tcb->remote_port,
        .seq = seq,
        .ack = tcb->rcv_nxt,
        .window = (uint16_t)(out_receive_window(tcb) >> tcb->rcv_scale),
        .flags = flags,
    };
}

void out_note_ack(struct tcb *tcb, const struct tcp_segment *seg)
{
    uint32_t offered = seg->flags & TCP_SYN ? seg->window : (uint32_t)seg->window << tcb->rcv_scale;
    tcb->rcv_wnd = max_u32(tcb->rcv_wnd, offered);
    tcb->ack_sent = seg->ack;
    tcb->rcv_unacked = 0;
    tcb->ack_now = false;
    timer_cancel(tcb, TIMER_DELACK);
    if (!seg->opt.sack_blocks)
        return;
    tcb->rcv_dsack = false;
    tcb->early_news = 0;
}

/* ---- segments leave ---- */

static bool leave(const struct out *o, const struct tcp_segment *seg)
{
    if (!o->emit->emit(o->emit->ctx, seg))
        return false;
    stat_inc(o->tcb->stats, STAT_tcp_segments_out);
    if (seg->flags & TCP_ACK)
        out_note_ack(o->tcb, seg);
    return true;
}

/* ---- packets of the send queue ---- */

static void note_again(struct tcb *tcb)
{
    ecn_doubt_path(tcb);
    tcb->retransmits++;
    stat_inc(tcb->stats, STAT_tcp_retransmits);
    if (tcb->recovery == RECOVERY_FAST)
        stat_inc(tcb->stats, STAT_tcp_retransmits_fast);
    else if (tcb->recovery == RECOVERY_LOSS)
        stat_inc(tcb->stats, STAT_tcp_retransmits_rto);
}

static void note_sent(const struct out *o, struct pkt *p)
{
    struct tcb *tcb = o->tcb;
    bool again = p->tcp.sends > 0;
    txq_sent(&tcb->txq, p, o->now_us);
    tcb->snd_nxt = seq_max(tcb->snd_nxt, txq_end(p));
    if (again)
        note_again(tcb);
    if (again && p == tcb->txq.head) /* its answer takes a whole round trip from here */
        timer_set(tcb, TIMER_RTX, o->now_us + tcb_rto(tcb));
    timer_sent(tcb, o->now_us);
    recovery_sent(tcb, txq_seq_len(p), again, o->now_us);
    if (p->tcp.len > 0) {
        tcb->last_send_us = o->now_us;
        pace_sent(tcb, p->tcp.len, o->now_us);
    }
}

static bool send_packet(const struct out *o, struct pkt *p)
{
    struct tcb *tcb = o->tcb;
    struct tcp_segment seg = out_make(o, p->tcp.seq, TCP_ACK);
    if (p->tcp.flags & TXQ_FIN)
        seg.flags |= TCP_FIN;
    if (p->tcp.len > 0) {
        seg.flags |= out_push_flag(p);
        seg.len = p->tcp.len;
        seg.payload = p->tcp.payload;
        seg.pkt = p;
        seg.again = p->tcp.sends > 0;
    }
    bool blocks_due = tcb->ack_now && tcb->rxq.early;
    uint32_t full = tcb->snd_mss + (tcb->ts_on ? 12 : 0);
    options_fill(tcb, &seg.opt, full - min_u32(full, p->tcp.len), o->now_us); /* an MTU probe is larger */
    ecn_mark(tcb, &seg, p->tcp.len > 0 && !p->tcp.sends);
    if (!leave(o, &seg))
        return false;
    if (seg.flags & TCP_CWR)
        tcb->ecn_reduced = false;
    tcb->ack_now = blocks_due && !seg.opt.sack_blocks; /* no room for what the peer must know */
    note_sent(o, p);
    return true;
}

static bool send_syn(const struct out *o)
{
    struct tcb *tcb = o->tcb;
    struct pkt *p = tcb->txq.head;
    if (p->tcp.sends && p != txq_next_lost(&tcb->txq))
        return true;
    struct tcp_segment seg = out_make(o, p->tcp.seq, TCP_SYN);
    seg.window = (uint16_t)min_u32(tcb->config->recv_buffer_bytes, UINT16_MAX);
    if (tcb->state == TCP_SYN_RECEIVED)
        seg.flags |= TCP_ACK;
    else
        seg.ack = 0;
    seg.flags |= ecn_syn_flags(tcb);
    options_offer(tcb, &seg.opt, o->now_us);
    if (!leave(o, &seg))
        return false;
    tcb->syn_window = seg.window;
    note_sent(o, p);
    return true;
}

/* ---- which packets ---- */

static uint32_t window_left(const struct tcb *tcb)
{
    uint32_t end = tcb->snd_una + tcb->snd_wnd;
    return seq_lt(tcb->snd_nxt, end) ? end - tcb->snd_nxt : 0;
}

static bool cwnd_allows(const struct tcb *tcb, uint32_t bytes)
{
    uint32_t pipe = recovery_pipe(tcb);
    return pipe == 0 || pipe + bytes <= tcb->cc.cwnd;
}

/* A packet made for a larger MSS is cut before it leaves again. */
static bool fit(const struct out *o, struct pkt *p, uint32_t bytes)
{
    if (p->tcp.len <= bytes)
        return true;
    pmtu_probe_cut(o->tcb, p);
    return txq_split(&o->tcb->txq, p, o->tcb->pool, bytes);
}

/* The pool has no packet for the cut, perhaps because all that fills it is too big: the front of the first packet leaves, and
 * what was sent of it is cut off when that is acknowledged.
 */
static bool send_front(const struct out *o, struct pkt *p, uint32_t bytes)
{
    struct tcb *tcb = o->tcb;
    struct tcp_segment seg = out_make(o, p->tcp.seq, TCP_ACK);
    if (p != tcb->txq.head || pkt_shared(p))
        return false;
    seg.len = bytes;
    seg.payload = p->tcp.payload;
    seg.pkt = p;
    options_fill(tcb, &seg.opt, 0, o->now_us);
    ecn_mark(tcb, &seg, false);
    if (leave(o, &seg)) {
        note_sent(o, p);
        tcb->rexmit_now = false;
    }
    return false;
}

/* What was queued when the MSS fell leaves as full segments, not as a packet of before in two pieces each. */
static void join_pieces(struct tcb *tcb, struct pkt *p)
{
    if (p->tcp.len < tcb->snd_mss && seq_lt(p->tcp.seq, tcb->cut_end))
        txq_fill(&tcb->txq, p, tcb->snd_mss);
}

/* RFC 6675 section 5, NextSeg() (1): what is lost goes first.  Beyond a window that the peer took back only the
 * first packet may go, as a probe.
 */
static bool send_lost(const struct out *o)
{
    struct tcb *tcb = o->tcb;
    struct pkt *p;
    if (tcb->undo.frto == FRTO_NEW_DATA) /* RFC 5682: whether it is lost shows soon */
        return true;
    while ((p = txq_next_lost(&tcb->txq))) {
        join_pieces(tcb, p);
        bool inside = seq_le(txq_end(p), tcb->snd_una + tcb->snd_wnd);
        if (!inside && p != tcb->txq.head)
            break;
        if (!tcb->rexmit_now &&
            (pace_waits(tcb, o->now_us) || !cwnd_allows(tcb, min_u32(p->tcp.len, tcb->snd_mss))))
            break;
        if (!fit(o, p, tcb->snd_mss))
            return send_front(o, p, tcb->snd_mss);
        if (!send_packet(o, p))
            return false;
        tcb->rexmit_now = false;
    }
    return true;
}

/* RFC 9293 section 3.8.6.2.1: how much of an unsent packet the window takes; 0: wait.  A packet goes whole, or a
 * part that is worth a segment: half the largest window there was, or anything once the override time is up.
 */
static uint32_t window_takes(const struct tcb *tcb, const struct pkt *p)
{
    uint32_t want = min_u32(p->tcp.len, tcb->snd_mss), left = window_left(tcb);
    if (want == 0) /* a bare FIN */
        return left > 0;
    if (want <= left)
        return want;
    if (left > 0 && (left >= tcb->snd_wnd_max / 2 || (tcb->override_now && !tcb->txq.out)))
        return left;
    return 0;
}

uint32_t out_may_leave(const struct tcb *tcb)
{
    uint32_t pipe = recovery_pipe(tcb), cwnd = tcb->cc.cwnd;
    return min_u32(window_left(tcb), cwnd > pipe ? cwnd - pipe : 0);
}

bool out_has_new(const struct tcb *tcb)
{
    const struct pkt *p = tcb->txq.unsent;
    return p && p->tcp.len > 0 && window_takes(tcb, p) > 0;
}

/* RFC 8985 section 7.3: a new segment if there is one that the peer's window takes, cwnd or not; else the last one
 * again.
 */
static bool send_tail_probe(const struct out *o)
{
    struct tcb *tcb = o->tcb;
    struct pkt *p = tcb->txq.unsent;
    if (!tcb->rack.tlp_now)
        return true;
    if (!tlp_is_silent(tcb)) { /* while the port refused the probe, an ACK came */
        tcb->rack.tlp_now = false;
        return true;
    }
    bool is_new = p && window_takes(tcb, p) == p->tcp.len && p->tcp.len > 0;
    if (!is_new)
        p = txq_last_sent(&tcb->txq);
    if (!fit(o, p, tcb->snd_mss) || !send_packet(o, p))
        return false;
    tcb->rack.tlp_now = false;
    tlp_sent(tcb, !is_new, o->now_us);
    return true;
}

/* RFC 7661 section 4.4.2, as Linux: what was reached once is known to slow start. */
static void restart_from(struct cc *cc, uint32_t cwnd)
{
    if (cwnd >= cc->cwnd)
        return;
    cc->ssthresh = max_u32(cc->ssthresh, cc->cwnd / 4 * 3);
    cc->cwnd = cwnd;
}

/* RFC 5681 section 4.1: after an idle RTO the ACK clock is gone: start from the initial window again.  RFC 7661 section 4.4:
 * a window of which less than half has been used for five minutes is half forgotten.
 */
static void restart_after_idle(struct tcb *tcb, uint64_t now_us)
{
    if (tcb->txq.out || !tcb->last_send_us)
        return;
    uint64_t idle_us = now_us - tcb->last_send_us;
    tcb->last_send_us = now_us; /* the port may refuse the segment: what has passed counts once */
    tcb->cc.ops->on_idle(&tcb->cc, idle_us);
    if (idle_us > tcb_rto(tcb))
        restart_from(&tcb->cc, tcb->initial_window);
    if (now_us - tcb->validated_us <= NON_VALIDATED_US)
        return;
    tcb->validated_us = now_us;
    restart_from(&tcb->cc, max_u32(tcb->cc.cwnd / 2, tcb->initial_window));
}

/* How much of cwnd a round trip has used, as Linux keeps it: what was not used may not grow (RFC 7661 section 4.3), and
 * that the first ACKs of a flight have come does not make it less.
 */
static void note_flight(struct tcb *tcb, bool stopped, uint64_t now_us)
{
    bool full = stopped || recovery_pipe(tcb) + tcb->snd_mss > tcb->cc.cwnd;
    bool more = !tcb->cwnd_limited && tcb->txq.out > tcb->flight_max;
    if (full || tcb->txq.out >= tcb->cc.cwnd / 2)
        tcb->validated_us = now_us;
    if (!full && !more && seq_lt(tcb->snd_una, tcb->flight_seq))
        return;
    tcb->cwnd_limited = full;
    tcb->flight_max = tcb->txq.out;
    tcb->flight_seq = tcb->snd_nxt;
}

/* RFC 4821 section 7.4: the next new segment, larger than usual; what it is to be made of may be short of that. */
static bool send_mtu_probe(const struct out *o, struct pkt *p, uint32_t bytes)
{
    struct tcb *tcb = o->tcb;
    txq_fill(&tcb->txq, p, bytes);
    if (p->tcp.len != bytes) {
        tcb->pmtu.probe_us = o->now_us + tcb_rto(tcb);
        return true;
    }
    if (!send_packet(o, p))
        return false;
    pmtu_probe_sent(tcb, p);
    return true;
}

/* NextSeg() (2): what was never sent. */
static bool send_new(const struct out *o)
{
    struct tcb *tcb = o->tcb;
    struct pkt *p = tcb->txq.unsent, *first = p;
    bool closed_window = false, stopped = false;
    while ((p = tcb->txq.unsent)) {
        join_pieces(tcb, p);
        uint32_t bytes = window_takes(tcb, p);
        closed_window = bytes == 0;
        if (closed_window || (o->more && !p->next && p->tcp.len < tcb->snd_mss))
            break;
        restart_after_idle(tcb, o->now_us);
        if (p->tcp.len > 0 && !cwnd_allows(tcb, bytes)) { /* a bare FIN is no load for the path */
            stopped = true;
            break;
        }
        if (p->tcp.len > 0 && pace_waits(tcb, o->now_us))
            break;
        uint32_t probe = unlikely(o->now_us >= tcb->pmtu.probe_us) ? pmtu_probe_due(tcb) : 0;
        if (probe) {
            stopped = !cwnd_allows(tcb, probe);
            if (stopped)
                break;
            if (!send_mtu_probe(o, p, probe))
                return false;
            continue;
        }
        const struct pkt *last;
        uint32_t together = train_length(o, bytes, &last);
        if (together > 1) {
            if (!train_send(o, together, last))
                return false;
            tcb->override_now = false;
            continue;
        }
        if (!fit(o, p, bytes))
            return false;
        if ((p->tcp.flags & TXQ_FIN) && p->tcp.len > 0 && window_left(tcb) == bytes)
            txq_detach_fin(&tcb->txq); /* no place for it: it would be beyond the window */
        if (!send_packet(o, p))
            return false;
        tcb->override_now = false;
    }
    if (stopped || tcb->txq.unsent != first)
        note_flight(tcb, stopped, o->now_us);
    if (tcb->txq.unsent != first)
        tlp_schedule(tcb, o->now_us);
    timer_persist(tcb, closed_window && !tcb->txq.out, o->now_us);
    return true;
}

/* ---- segments without a packet ---- */

static bool send_ack(const struct out *o)
{
    if (!o->tcb->ack_now)
        return true;
    struct tcp_segment seg = out_make(o, o->tcb->snd_nxt, TCP_ACK);
    options_fill(o->tcb, &seg.opt, UINT32_MAX, o->now_us);
    ecn_mark(o->tcb, &seg, false);
    return leave(o, &seg);
}

/* RFC 9293 sections 3.8.6.1 and 3.8.4.  An old sequence number instead of a byte of data: the answer is the same ACK, and
 * it needs no buffer and leaves nothing to be sent again.
 */
static bool send_probe(const struct out *o)
{
    struct tcb *tcb = o->tcb;
    bool persist = tcb->probe_now && tcb->timer[TIMER_PERSIST] != DEADLINE_NEVER;
    bool keep = tcb->keep_now && !tcb->txq.head;
    tcb->probe_now = tcb->keep_now = false;
    if (!persist && !keep)
        return true;
    struct tcp_segment seg = out_make(o, tcb->snd_una - 1, TCP_ACK);
    options_fill(tcb, &seg.opt, UINT32_MAX, o->now_us);
    ecn_mark(tcb, &seg, false);
    if (!leave(o, &seg)) {
        tcb->probe_now = persist;
        tcb->keep_now = keep;
        return false;
    }
    stat_inc(tcb->stats, persist ? STAT_tcp_persist_probes : STAT_tcp_keepalives);
    return true;
}

/* RFC 7323 section 3.2: with a time stamp as well, once both have agreed on them. */
static bool send_reset(const struct out *o, uint32_t seq, uint8_t flags)
{
    struct tcp_segment seg = out_make(o, seq, flags);
    if (!(flags & TCP_ACK))
        seg.ack = 0;
    seg.window = 0;
    if (o->tcb->state != TCP_SYN_SENT)
        options_fill(o->tcb, &seg.opt, 0, o->now_us);
    return leave(o, &seg);
}

bool tcp_output(struct tcb *tcb, uint64_t now_us, const struct tcp_emit *emit)
{
    struct out o = {.tcb = tcb, .now_us = now_us, .emit = emit};
    if (tcb->rst_now) {
        if (!send_reset(&o, tcb->rst_seq, TCP_RST))
            return false;
        tcb->rst_now = false;
    }
    if (tcb->abort_now) {
        if (!send_reset(&o, tcb->snd_nxt, TCP_RST | TCP_ACK))
            return false;
        tcb_finish(tcb, TCP_ERR_ABORTED);
    }
    if (tcb->state == TCP_CLOSED)
        return true;
    if (tcb->state == TCP_SYN_SENT || tcb->state == TCP_SYN_RECEIVED)
        return send_syn(&o) && send_ack(&o);
    return send_lost(&o) && send_tail_probe(&o) && send_new(&o) && send_probe(&o) && send_ack(&o);
}

bool tcp_push(struct tcb *tcb, uint64_t now_us, const struct tcp_emit *emit)
{
    struct out o = {.tcb = tcb, .now_us = now_us, .emit = emit, .more = true};
    if ((tcb->state != TCP_ESTABLISHED && tcb->state != TCP_CLOSE_WAIT) || tcb->abort_now || tcb->rst_now)
        return true;
    return send_lost(&o) && send_tail_probe(&o) && send_new(&o);
}
