/* train.c: segments that leave together: new data, asked for and noted once.
 *
 * A large message leaves a dozen and more segments at a time.  Whether one may leave - windows, cwnd, pacing - and what its
 * header says is asked once, for as many as the answer holds for.
 */
#include "engine/tcp/out.h"

uint32_t tcp_train_each(const struct tcp_train *train, bool (*emit)(void *ctx, const struct tcp_segment *seg),
                        void *ctx)
{
    struct tcp_segment seg = train->first;
    uint32_t i = 0;
    for (struct pkt *p = seg.pkt; i < train->count; p = p->next, i++) {
        seg.pkt = p;
        seg.seq = p->tcp.seq;
        seg.len = p->tcp.len;
        seg.payload = p->tcp.payload;
        if (i + 1 == train->count)
            seg.flags |= train->end_flags;
        if (!emit(ctx, &seg))
            break;
    }
    return i;
}

/* Each segment would be the same as far as the header goes, and what is asked before each would be answered as before the
 * first: nothing to be cut or joined, no block to report (RFC 2018), no CWR due (RFC 3168 section 6.1.2), and all that is
 * in flight counted against cwnd, so that what is paced stays within it.
 */
static bool is_uniform(const struct tcb *tcb, const struct pkt *first, uint32_t bytes)
{
    bool whole = bytes == first->tcp.len && bytes > 0 && seq_ge(first->tcp.seq, tcb->cut_end);
    bool blocks = tcb->rxq.early || tcb->rcv_dsack, cwr = tcb->ecn_on && tcb->ecn_reduced;
    return whole && !blocks && !cwr && recovery_pipe(tcb) == tcb->txq.out;
}

static bool may_follow(const struct out *o, const struct pkt *p)
{
    uint32_t mss = o->tcb->snd_mss;
    bool waits = o->more && !p->next && p->tcp.len < mss;
    return p->tcp.len > 0 && p->tcp.len <= mss && !(p->tcp.flags & TXQ_FIN) && !waits;
}

uint32_t train_length(const struct out *o, uint32_t bytes, const struct pkt **last)
{
    const struct tcb *tcb = o->tcb;
    const struct pkt *p = tcb->txq.unsent;
    *last = p;
    if (!p->next || !is_uniform(tcb, p, bytes) || (p->tcp.flags & TXQ_FIN))
        return 1;
    uint32_t room = out_may_leave(tcb), paced = pace_room(tcb, o->now_us), n = 1;
    while ((p = p->next) && may_follow(o, p) && bytes + p->tcp.len <= room && bytes < paced) {
        bytes += p->tcp.len;
        *last = p;
        n++;
    }
    return n;
}

static void note_train(const struct out *o, const struct tcp_segment *first, uint32_t count)
{
    struct tcb *tcb = o->tcb;
    uint32_t bytes = txq_sent_first(&tcb->txq, count, o->now_us);
    stat_add(tcb->stats, STAT_tcp_segments_out, count);
    tcb->snd_nxt += bytes;
    out_note_ack(tcb, first);
    timer_sent(tcb, o->now_us);
    recovery_sent(tcb, bytes, false, o->now_us);
    tcb->last_send_us = o->now_us;
    pace_sent(tcb, bytes, o->now_us);
}

bool train_send(const struct out *o, uint32_t count, const struct pkt *last)
{
    struct pkt *p = o->tcb->txq.unsent;
    struct tcp_train train = {
        .first = out_make(o, p->tcp.seq, TCP_ACK), .count = count, .end_flags = out_push_flag(last)};
    struct tcp_segment *seg = &train.first;
    seg->len = p->tcp.len;
    seg->payload = p->tcp.payload;
    seg->pkt = p;
    options_fill(o->tcb, &seg->opt, 0, o->now_us);
    ecn_mark(o->tcb, seg, true);
    const struct tcp_emit *emit = o->emit;
    uint32_t taken =
        emit->train ? emit->train(emit->ctx, &train) : tcp_train_each(&train, emit->emit, emit->ctx);
    if (taken > 0)
        note_train(o, seg, taken);
    return taken == count;
}
