/* tcp_ack.c: what an acceptable ACK does, RFC 9293 3.10.7.4, fifth; and when we send one. */
#include "engine/tcp/tcb.h"

static struct rtt_limits limits(const struct tcb *tcb)
{
    const struct tcp_config *c = tcb->config;
    return (struct rtt_limits){c->rto_initial_us, c->rto_min_us, c->rto_max_us};
}

/* SND.WL1 and SND.WL2 keep an old segment from setting an old window; returns whether the window changed. */
static bool update_window(struct tcb *tcb, const struct tcp_segment *seg)
{
    bool newer =
        seq_lt(tcb->snd_wl1, seg->seq) || (tcb->snd_wl1 == seg->seq && seq_le(tcb->snd_wl2, seg->ack));
    if (!newer)
        return false;
    uint32_t old = tcb->snd_wnd;
    tcb->snd_wnd = (uint32_t)seg->window << tcb->snd_scale;
    tcb->snd_wnd_max = max_u32(tcb->snd_wnd_max, tcb->snd_wnd);
    tcb->snd_wl1 = seg->seq;
    tcb->snd_wl2 = seg->ack;
    return tcb->snd_wnd != old;
}

/* RFC 7323 section 4.1: the echoed stamp says when what is acknowledged left, retransmitted or not. */
static uint64_t sample_by_stamp(const struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    uint64_t echoed_us = tcb_echoed_us(tcb, seg, now_us);
    return echoed_us ? max_u64(now_us / 1000 * 1000 - echoed_us, 1000) : 0;
}

/* The latest time at which something can have left that this ACK answers: the shortest round trip ago, and not after
 * what the time stamp echoes.
 */
static uint64_t believed_us(const struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    uint64_t at_us = tcb->rtt.min_us < now_us ? now_us - tcb->rtt.min_us : now_us;
    uint64_t echoed_us = tcb_echoed_us(tcb, seg, now_us);
    return echoed_us ? min_u64(at_us, echoed_us + 999) : at_us;
}

/* One measurement a round trip (RFC 6298 section 3), never of a segment that was sent twice unless the stamp
 * tells which one was acknowledged (Karn).
 */
static void measure(struct tcb *tcb, const struct tcp_segment *seg, const struct txq_report *report,
                    uint64_t now_us)
{
    uint64_t sample = 0;
    if (report->first_us && !report->retrans_acked)
        sample = max_u64(now_us - report->first_us, 1);
    else if (report->acked)
        sample = sample_by_stamp(tcb, seg, now_us);
    if (!sample)
        return;
    tcb->rtt.min_us = min_u32(tcb->rtt.min_us, (uint32_t)min_u64(sample, UINT32_MAX));
    if (seq_lt(tcb->snd_una, tcb->rtt_seq) && !tcb->rtt.backoff)
        return;
    struct rtt_limits l = limits(tcb);
    rtt_sample(&tcb->rtt, sample, &l);
    tcb->rtt_seq = tcb->snd_nxt;
}

/* RFC 5681 section 2: outstanding data, no text, no SYN or FIN, the same ACK, the same window. */
static bool is_duplicate(const struct tcb *tcb, const struct tcp_segment *seg, bool window_changed)
{
    return seg->ack == tcb->snd_una && tcb->txq.out > 0 && seg->len == 0 &&
           !(seg->flags & (TCP_SYN | TCP_FIN)) && !window_changed;
}

/* cwnd grows only while it is what limits us (RFC 7661 section 4.3, RFC 9438 section 5.8); in slow start up to twice
 * what has been in flight.  It grows by what has arrived, as Linux's: not by what a SACK had told of before the ACK came
 * that covers it, but where overtaking is usual with the SACK.
 */
static void grow_cwnd(struct tcb *tcb, const struct txq_report *report, uint32_t delivered,
                      bool after_timeout, uint64_t now_us)
{
    struct cc *cc = &tcb->cc;
    bool limited = tcb->cwnd_limited || (cc_in_slow_start(cc) && cc->cwnd < 2 * tcb->flight_max);
    bool news = report->acked_bytes || tcb->rack.reordering_seen;
    if (!limited || !news || !delivered)
        return;
    struct cc_ack ack = {
        .now_us = now_us,
        .acked_bytes = delivered,
        .srtt_us = tcb->rtt.srtt_us,
        .rtt_us = report->clean_us && !report->retrans_acked ? (uint32_t)(now_us - report->clean_us) : 0,
        .snd_una = tcb->snd_una,
        .snd_nxt = tcb->snd_nxt,
        .after_timeout = after_timeout,
    };
    cc->ops->on_ack(cc, &ack);
}

static void release_acked(struct tcb *tcb, uint32_t ack, struct txq_report *report)
{
    txq_ack(&tcb->txq, ack, report);
    tcb->snd_una = ack;
    tcb->cut_end = seq_max(tcb->cut_end, ack);
    tcb->bytes_acked += report->acked_bytes;
    stat_add(tcb->stats, STAT_tcp_bytes_acked, report->acked_bytes);
    if (report->acked_bytes)
        tcb->events |= TCP_EV_WRITABLE;
}

void ack_process(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    struct txq_report report = {.believed_us = believed_us(tcb, seg, now_us)};
    uint32_t una = tcb->snd_una;
    enum tcp_recovery before = tcb->recovery;
    bool reducing = recovery_is_reducing(tcb) || (tcb->ecn_on && (seg->flags & TCP_ECE));
    bool window_changed = update_window(tcb, seg);
    bool duplicate = is_duplicate(tcb, seg, window_changed);
    if (tcb->timer[TIMER_PERSIST] != DEADLINE_NEVER) /* the peer answers our probes: it is alive */
        timer_cancel(tcb, TIMER_USER);
    if (seq_gt(seg->ack, una))
        release_acked(tcb, seg->ack, &report);
    if (tcb->sack_on && seg->opt.sack_blocks)
        txq_sack(&tcb->txq, &seg->opt, tcb->snd_una, tcb->snd_nxt, seg->ack, &report);
    if (duplicate)
        stat_inc(tcb->stats, STAT_tcp_dup_acks_in);
    measure(tcb, seg, &report, now_us);
    uint32_t delivered = recovery_on_ack(tcb, seg, &report, duplicate, now_us);
    if (!reducing && !recovery_is_reducing(tcb))
        grow_cwnd(tcb, &report, delivered, before == RECOVERY_LOSS, now_us);
    if (report.acked) {
        timer_acked(tcb, now_us);
        tcb->pmtu.timeouts = 0;
        if (unlikely(tcb->pmtu.probe_mss || tcb->pmtu.hole))
            pmtu_acked(tcb, now_us);
    }
    if (report.acked || report.sacked)
        tlp_schedule(tcb, now_us);
}

void ack_of_syn(struct tcb *tcb, const struct tcp_segment *seg, uint64_t now_us)
{
    struct txq_report report = {0};
    release_acked(tcb, seg->ack, &report);
    measure(tcb, seg, &report, now_us);
    tcb->rtt.doubtful =
        tcb->syn_lost; /* the answer may have waited for the peer's neighbour table or backlog, not on the path */
    timer_cancel(tcb, TIMER_RTX);
    tcb->snd_wnd = (uint32_t)seg->window << (seg->flags & TCP_SYN ? 0 : tcb->snd_scale);
    tcb->snd_wnd_max = max_u32(tcb->snd_wnd_max, tcb->snd_wnd);
    tcb->snd_wl1 = seg->seq;
    tcb->snd_wl2 = seg->ack;
}

void ack_schedule(struct tcb *tcb, uint32_t received, uint64_t now_us)
{
    tcb->rcv_mss = max_u32(tcb->rcv_mss, min_u32(received, tcb->our_mss));
    tcb->rcv_unacked += received;
    if (tcb->rcv_unacked > tcb->rcv_mss) /* RFC 9293 3.8.6.3: at least every second full-sized segment */
        tcb->ack_now = true;
    else if (!tcb->ack_now && tcb->timer[TIMER_DELACK] == DEADLINE_NEVER)
        timer_set(tcb, TIMER_DELACK, now_us + tcb->config->delayed_ack_us);
}
