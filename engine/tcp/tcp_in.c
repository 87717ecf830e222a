/* tcp_in.c: a segment has arrived: RFC 9293 section 3.10.7, in its order.
 *
 * Every field of the segment was chosen by the peer, or by somebody who guesses: nothing outside the windows
 * changes anything but a counter, and answers to it are bounded (RFC 5961).
 */
#include "engine/tcp/tcb.h"

#define CHALLENGE_INTERVAL_US 5000000u /* RFC 5961 section 7: 10 in any 5 seconds, here for each connection */
#define CHALLENGE_MAX         10u
#define PAWS_IDLE_US          (24ull * 86400 * 1000000) /* RFC 7323 section 5.5 */

/* Text and FIN of a segment, cut to what is new and inside the window. */
struct text {
    uint32_t seq;
    uint32_t len;
    uint8_t *payload;
    bool fin;
};

/* An answer to a segment that may be forged or echo our own answers: limited, so that neither floods nor loops. */
static void challenge_ack(struct tcb *tcb, uint64_t now_us)
{
    if (now_us - tcb->challenge_us >= CHALLENGE_INTERVAL_US) {
        tcb->challenge_us = now_us;
        tcb->challenge_acks = 0;
    }
    if (tcb->challenge_acks >= CHALLENGE_MAX)
        return;
    tcb->challenge_acks++;
    tcb->ack_now = true;
    stat_inc(tcb->stats, STAT_tcp_challenge_acks);
}

/* <SEQ=SEG.ACK><CTL=RST>: for an ACK of something that was never sent. */
static void answer_reset(struct tcb *tcb, const struct tcp_segment *seg)
{
    stat_inc(tcb->stats, STAT_tcp_drop_ack);
    if (seg->flags & TCP_RST)
        return;
    tcb->rst_now = true;
    tcb->rst_seq = seg->ack;
}

/* ---- RFC 9293 3.10.7.3: SYN-SENT ---- */

static void syn_sent_syn(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    tcb->irs = seg->seq;
    tcb->rcv_nxt = tcb->ack_sent = seg->seq + 1;
    tcb->rcv_wnd = tcb->syn_window;
    tcb->snd_wnd = tcb->snd_wnd_max = seg->window; /* never scaled in a SYN (RFC 7323 section 2.2) */
    tcb->snd_wl1 = seg->seq;
    tcb->snd_wl2 = seg->ack;
    options_accept(tcb, seg, now_us);
}

static void take_text(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us);

static void in_syn_sent(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    bool ack = seg->flags & TCP_ACK;
    /* First: the ACK bit: SEG.ACK =< ISS or SEG.ACK > SND.NXT answers nothing of ours. */
    if (ack && (seq_le(seg->ack, tcb->iss) || seq_gt(seg->ack, tcb->snd_nxt))) {
        answer_reset(tcb, seg);
        return;
    }
    /* Second: the RST bit; without an acceptable ACK it is blind (RFC 5961 section 3.2). */
    if (seg->flags & TCP_RST) {
        if (ack)
            tcb_finish(tcb, TCP_ERR_REFUSED);
        else
            stat_inc(tcb->stats, STAT_tcp_drop_ack);
        return;
    }
    /* Fourth: the SYN bit. */
    if (!(seg->flags & TCP_SYN)) {
        stat_inc(tcb->stats, STAT_tcp_drop_flags);
        return;
    }
    syn_sent_syn(tcb, seg, now_us);
    if (!ack) { /* simultaneous open: our SYN goes again, with an ACK; what both ask for of ECN is not worth the cases */
        tcb->ecn_may_mark = false;
        tcb->state = TCP_SYN_RECEIVED;
        if (tcb->txq.head->tcp.sends)
            txq_set_flags(&tcb->txq, tcb->txq.head, TXQ_SYN | TXQ_LOST);
        return;
    }
    ecn_accept_syn_ack(tcb, seg);
    ack_of_syn(tcb, seg, now_us);
    tcb_established(tcb, now_us);
    tcb->ack_now = true;
    take_text(tcb, seg, now_us);
}

/* ---- RFC 9293 3.10.7.4: the other states ---- */

/* Section 3.4, the four cases as one overlap test, and wider by one number at either edge, as in Linux: two ends
 * that have each lost the other's last ACK send each other nothing but segments that touch the window; if both refused
 * them for their text they would never learn what they acknowledge.  Text is cut later.  A SYN gets no such favour.
 */
static bool acceptable(const struct tcb *tcb, const struct tcp_segment *seg)
{
    bool syn = seg->flags & TCP_SYN;
    uint32_t end = seg->seq + seg->len + syn + !!(seg->flags & TCP_FIN);
    if (seq_gt(seg->seq, tcb->rcv_nxt + tcb->rcv_wnd))
        return false;
    return seq_gt(end, tcb->rcv_nxt) || (end == tcb->rcv_nxt && !syn);
}

/* RFC 2883 section 4.1: tell the peer which bytes came twice. */
static void note_duplicate(struct tcb *tcb, uint32_t start, uint32_t end)
{
    tcb->rcv_dsack = tcb->sack_on;
    tcb->dsack = (struct tcp_sack_block){.start = start, .end = end};
}

static void answer_unacceptable(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    stat_inc(tcb->stats, STAT_tcp_drop_window);
    if (seg->flags & TCP_RST)
        return;
    if (tcb->state == TCP_SYN_RECEIVED && (seg->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
        seg->seq == tcb->irs) {
        /* The peer's SYN again: our SYN-ACK was lost; an ACK alone would not help it. */
        if (tcb->passive)
            ecn_accept_syn(tcb, seg);
        if (tcb->txq.head->tcp.sends)
            txq_set_flags(&tcb->txq, tcb->txq.head, TXQ_SYN | TXQ_LOST);
        return;
    }
    if (tcb->state == TCP_TIME_WAIT &&
        (seg->flags & TCP_FIN)) /* 3.10.7.4, eighth: restart the 2 MSL time-out */
        timer_set(tcb, TIMER_LIFE, now_us + tcb->config->time_wait_us);
    if (seg->len == 0) {
        challenge_ack(tcb, now_us);
        return;
    }
    if (seq_le(seg->seq + seg->len, tcb->rcv_nxt)) { /* old text: our ACK was lost, or the peer is too fast */
        stat_inc(tcb->stats, STAT_tcp_duplicates_in);
        note_duplicate(tcb, seg->seq, seg->seq + seg->len);
    }
    tcb->ack_now = true;
}

/* RFC 7323 section 5.3 R1: older than what was already seen in order.  A segment without the option passes, as
 * with Linux: there are boxes on the path that strip it (section 3.2 would drop it).
 */
static bool check_paws(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (!tcb->ts_on || !seg->opt.has_timestamps || (seg->flags & TCP_RST))
        return true;
    if (!seq_lt(seg->opt.ts_val, tcb->ts_recent) || now_us - tcb->ts_recent_us > PAWS_IDLE_US)
        return true;
    stat_inc(tcb->stats, STAT_tcp_drop_paws);
    if (seg->len == 0) {
        challenge_ack(tcb, now_us);
        return false;
    }
    /* Overtaken by its own retransmission: the peer is to hear that this one was not needed, as from Linux. */
    if (seq_lt(seg->seq, tcb->rcv_nxt))
        note_duplicate(tcb, seg->seq, seq_min(seg->seq + seg->len, tcb->rcv_nxt));
    tcb->ack_now = true;
    return false;
}

/* RFC 7323 section 4.3 (2) and 5.3 R3, for segments whose ACK is believed: a stamp that somebody guessed a sequence
 * number for would have PAWS drop what the peer sends.
 */
static void update_ts_recent(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (!tcb->ts_on || !seg->opt.has_timestamps || !seq_le(seg->seq, tcb->ack_sent))
        return;
    tcb->ts_recent = seg->opt.ts_val;
    tcb->ts_recent_us = now_us;
}

/* First: the sequence number. */
static bool check_sequence(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (acceptable(tcb, seg))
        return true;
    answer_unacceptable(tcb, seg, now_us);
    return false;
}

/* Second: the RST bit; RFC 5961 section 3.2: only the exact number resets. */
static bool check_rst(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (!(seg->flags & TCP_RST))
        return true;
    if (seg->seq != tcb->rcv_nxt) {
        stat_inc(tcb->stats, STAT_tcp_drop_rst);
        challenge_ack(tcb, now_us);
        return false;
    }
    switch (tcb->state) {
    case TCP_SYN_RECEIVED: tcb_finish(tcb, TCP_ERR_REFUSED); break;
    case TCP_CLOSING:
    case TCP_LAST_ACK: tcb_finish(tcb, TCP_OK); break;
    case TCP_TIME_WAIT: break; /* RFC 1337 section 3: an old RST must not cut it short */
    default: tcb_finish(tcb, TCP_ERR_RESET); break;
    }
    return false;
}

/* Fourth: the SYN bit; RFC 5961 section 4.2: whatever its number, it is challenged. */
static bool check_syn(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (!(seg->flags & TCP_SYN))
        return true;
    if (tcb->state == TCP_SYN_RECEIVED && tcb->passive) { /* "return this connection to the LISTEN state" */
        tcb_finish(tcb, TCP_ERR_REFUSED);
        return false;
    }
    stat_inc(tcb->stats, STAT_tcp_drop_syn);
    challenge_ack(tcb, now_us);
    return false;
}

/* What the ACK of our FIN, if this was it, moves on. */
static bool fin_acked(struct tcb *tcb, uint64_t now_us)
{
    if (tcb->txq.head)
        return true;
    switch (tcb->state) {
    case TCP_FIN_WAIT_1:
        tcb->state = TCP_FIN_WAIT_2;
        timer_set(tcb, TIMER_LIFE, now_us + tcb->config->fin_wait_2_us);
        return true;
    case TCP_CLOSING: tcb_enter_time_wait(tcb, now_us); return false;
    case TCP_LAST_ACK: tcb_finish(tcb, TCP_OK); return false;
    default: return true;
    }
}

/* Fifth: the ACK field; RFC 5961 section 5.2 narrows what is believed. */
static bool check_ack(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (!(seg->flags & TCP_ACK)) {
        stat_inc(tcb->stats, STAT_tcp_drop_ack);
        return false;
    }
    if (tcb->state == TCP_SYN_RECEIVED) {
        if (!seq_gt(seg->ack, tcb->snd_una) || seq_gt(seg->ack, tcb->snd_nxt)) {
            answer_reset(tcb, seg);
            return false;
        }
        update_ts_recent(tcb, seg, now_us);
        ack_of_syn(tcb, seg, now_us);
        tcb_established(tcb, now_us);
        return true;
    }
    if (seq_gt(seg->ack, tcb->snd_nxt) || seq_lt(seg->ack, tcb->snd_una - tcb->snd_wnd_max)) {
        stat_inc(tcb->stats, STAT_tcp_drop_ack);
        challenge_ack(tcb, now_us);
        return false;
    }
    tcb->heard_us = now_us;
    update_ts_recent(tcb, seg, now_us);
    if (tcb->state == TCP_TIME_WAIT)
        return true;
    ack_process(tcb, seg, now_us);
    return fin_acked(tcb, now_us);
}

/* ---- seventh: the segment text; sixth, the URG bit, is ignored: urgent bytes are ordinary ones ---- */

/* "the idealized segment that begins at RCV.NXT and does not exceed the window" (3.10.7.4) */
static struct text cut(struct tcb *tcb, const struct tcp_segment *seg)
{
    uint32_t start = seg->seq + !!(seg->flags & TCP_SYN);
    struct text t = {.seq = start, .len = seg->len, .payload = seg->payload, .fin = seg->flags & TCP_FIN};
    if (seq_lt(t.seq, tcb->rcv_nxt)) {
        uint32_t old = min_u32(tcb->rcv_nxt - t.seq, t.len);
        if (old == t.len)
            stat_inc(tcb->stats, STAT_tcp_duplicates_in);
        if (old > 0) {
            note_duplicate(tcb, t.seq, t.seq + old);
            t.seq += old;
            t.len -= old;
            t.payload += old;
        }
    }
    uint32_t edge = tcb->rcv_nxt + tcb->rcv_wnd;
    if (tcb->rcv_fin_known && seq_lt(tcb->rcv_fin_seq, edge))
        edge = tcb->rcv_fin_seq; /* nothing comes behind a FIN */
    if (seq_gt(t.seq + t.len, edge)) {
        t.len = seq_lt(t.seq, edge) ? edge - t.seq : 0;
        t.fin = false;
    }
    return t;
}

static void advance(struct tcb *tcb, uint32_t rcv_nxt)
{
    uint32_t n = rcv_nxt - tcb->rcv_nxt;
    tcb->rcv_nxt = rcv_nxt;
    tcb->rcv_wnd -= n;
    tcb->bytes_received += n;
    stat_add(tcb->stats, STAT_tcp_bytes_in, n);
}

static bool take_in_order(struct tcb *tcb, const struct text *t, struct pkt *pkt, uint64_t now_us)
{
    if (rxq_append(&tcb->rxq, pkt, t->payload, t->seq, t->len) != RXQ_KEPT) {
        stat_inc(tcb->stats, STAT_tcp_drop_no_buffer);
        tcb->ack_now = true;
        return false;
    }
    advance(tcb, t->seq + t->len);
    tcb->events |= TCP_EV_READABLE;
    if (tcb->rxq.early) { /* RFC 5681 section 4.2: at once when a gap is filled in whole or in part */
        advance(tcb, rxq_join(&tcb->rxq, tcb->rcv_nxt));
        tcb->ack_now = true;
    }
    ack_schedule(tcb, t->len, now_us);
    return true;
}

/* How many blocks the next ACK has to tell of (RFC 2018 section 4). */
static void note_early(struct tcb *tcb, const struct text *t)
{
    bool same_block = tcb->early_news && t->seq == tcb->early_end;
    if (!same_block && tcb->early_news < UINT8_MAX)
        tcb->early_news++;
    tcb->early_end = t->seq + t->len;
}

static bool take_early(struct tcb *tcb, const struct text *t, struct pkt *pkt)
{
    stat_inc(tcb->stats, STAT_tcp_out_of_order_in);
    note_early(tcb, t);
    tcb->ack_now = true; /* RFC 5681 section 4.2: a duplicate ACK, at once */
    switch (rxq_insert(&tcb->rxq, pkt, t->payload, t->seq, t->len)) {
    case RXQ_KEPT: return true;
    case RXQ_DUPLICATE:
        stat_inc(tcb->stats, STAT_tcp_duplicates_in);
        note_duplicate(tcb, t->seq, t->seq + t->len);
        return true;
    case RXQ_NO_ROOM: stat_inc(tcb->stats, STAT_tcp_drop_no_buffer); return false;
    }
    return false;
}

/* Eighth: the FIN bit, once everything before it is here. */
static void take_fin(struct tcb *tcb, uint64_t now_us)
{
    tcb->rcv_nxt++;
    tcb->rcv_wnd -= tcb->rcv_wnd > 0;
    tcb->ack_now = true;
    tcb->events |= TCP_EV_PEER_FIN;
    switch (tcb->state) {
    case TCP_ESTABLISHED: tcb->state = TCP_CLOSE_WAIT; break;
    case TCP_FIN_WAIT_1: tcb->state = TCP_CLOSING; break; /* our FIN is not acknowledged: else FIN_WAIT_2 */
    case TCP_FIN_WAIT_2: tcb_enter_time_wait(tcb, now_us); break;
    default: break;
    }
}

static bool receives(const struct tcb *tcb)
{
    return tcb->state == TCP_ESTABLISHED || tcb->state == TCP_FIN_WAIT_1 || tcb->state == TCP_FIN_WAIT_2;
}

/* Behind the peer's FIN nothing new can come ("ignore the segment text"); what came before comes again if our ACK
 * of it was lost.
 */
static void take_repetition(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (seq_ge(seg->seq, tcb->rcv_nxt))
        return;
    tcb->ack_now = true;
    if (tcb->state == TCP_TIME_WAIT && (seg->flags & TCP_FIN)) /* eighth: restart the 2 MSL time-out */
        timer_set(tcb, TIMER_LIFE, now_us + tcb->config->time_wait_us);
}

static bool keep_text(struct tcb *tcb, const struct text *t, struct pkt *pkt, uint64_t now_us)
{
    if (t->len == 0) {
        tcb->ack_now = true;
        return true;
    }
    return t->seq == tcb->rcv_nxt ? take_in_order(tcb, t, pkt, now_us) : take_early(tcb, t, pkt);
}

/* The first FIN counts, and nothing lies behind it.  One where text has been taken already contradicts that text. */
static void note_fin(struct tcb *tcb, uint32_t seq)
{
    if (tcb->rcv_fin_known || seq_lt(seq, tcb->rcv_nxt))
        return;
    tcb->rcv_fin_known = true;
    tcb->rcv_fin_seq = seq;
    rxq_cut_early(&tcb->rxq, seq);
}

static void take_text(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (seg->len == 0 && !(seg->flags & TCP_FIN))
        return;
    if (!receives(tcb)) {
        take_repetition(tcb, seg, now_us);
        return;
    }
    struct text t = cut(tcb, seg);
    if (tcb->ecn_on && t.len > 0)
        ecn_take_text(tcb, seg);
    if (tcb->state == TCP_FIN_WAIT_2) /* the peer is alive and still sending */
        timer_set(tcb, TIMER_LIFE, now_us + tcb->config->fin_wait_2_us);
    if (t.fin)
        note_fin(tcb, t.seq + t.len);
    if (!keep_text(tcb, &t, seg->pkt, now_us))
        return;
    if (tcb->rcv_fin_known && tcb->rcv_nxt == tcb->rcv_fin_seq)
        take_fin(tcb, now_us);
}

static noinline void slow_path(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    if (tcb->state == TCP_CLOSED || tcb->abort_now)
        return;
    if (tcb->state == TCP_SYN_SENT) {
        in_syn_sent(tcb, seg, now_us);
        return;
    }
    /* Each step returns false when it has dealt with the segment. Third, security, is no longer used. */
    if (check_paws(tcb, seg, now_us) && check_sequence(tcb, seg, now_us) && check_rst(tcb, seg, now_us) &&
        check_syn(tcb, seg, now_us) && check_ack(tcb, seg, now_us))
        take_text(tcb, seg, now_us);
}

/* ---- the fast path: the next segment of a healthy flow ---- */

static inline bool is_expected(const struct tcb *tcb, const struct tcp_segment *seg)
{
    uint32_t strange = 0;
    /* is the connection established, and nothing being repaired? */
    strange |= tcb->state ^ TCP_ESTABLISHED;
    strange |= tcb->recovery | tcb->abort_now | tcb->txq.sacked | tcb->reno_sacked;
    /* is it an ACK, nothing but the push bit beside it? */
    strange |= (seg->flags & ~TCP_PSH) ^ TCP_ACK;
    /* has it come without meeting congestion? */
    strange |= (uint32_t)(tcb->ecn_on & (seg->ip_ecn == IP_ECN_CE));
    /* is it the next one, within the window? */
    strange |= seg->seq ^ tcb->rcv_nxt;
    strange |= seg->len > tcb->rcv_wnd;
    /* is nothing waiting behind a gap? */
    strange |= tcb->rxq.early_packets | tcb->rcv_fin_known;
    /* does it acknowledge something that is in flight, or bring data without? */
    uint32_t acked = seg->ack - tcb->snd_una;
    strange |= acked > tcb->txq.out;
    strange |= (acked == 0) & (seg->len == 0);
    /* are its options the usual ones, its time stamp not older than the last? */
    strange |= seg->opt.has_timestamps ^ tcb->ts_on;
    strange |= seg->opt.sack_blocks;
    strange |= tcb->ts_on & seq_lt(seg->opt.ts_val, tcb->ts_recent);
    return !strange;
}

/* Data of a peer that only sends: the ACK and the window are those we know, and no probe waits for an answer. */
static inline bool tells_nothing_new(const struct tcb *tcb, const struct tcp_segment *seg)
{
    return seg->ack == tcb->snd_una && (uint32_t)seg->window << tcb->snd_scale == tcb->snd_wnd &&
           seg->ack == tcb->snd_wl2 && tcb->timer[TIMER_PERSIST] == DEADLINE_NEVER;
}

bool tcp_ack_is_full(const struct tcb *tcb)
{
    return tcb->ack_now && (tcb->rcv_dsack || tcb->early_news >= TCP_SACK_BLOCKS_MAX - 1);
}

void tcp_input(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    stat_inc(tcb->stats, STAT_tcp_segments_in);
    if (unlikely(!is_expected(tcb, seg))) {
        slow_path(tcb, seg, now_us);
        return;
    }
    tcb->heard_us = now_us;
    update_ts_recent(tcb, seg, now_us);
    if (tells_nothing_new(tcb, seg))
        tcb->snd_wl1 = seg->seq;
    else
        ack_process(tcb, seg, now_us);
    if (seg->len > 0) {
        struct text t = {.seq = seg->seq, .len = seg->len, .payload = seg->payload};
        take_in_order(tcb, &t, seg->pkt, now_us);
    }
}
