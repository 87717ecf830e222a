/* pmtu.c: what the path takes when nobody says: black holes, and probes upward (RFC 4821, RFC 8899).
 *
 * Segments that are too big for a path whose routers stay silent are lost for ever.  A full one that times out again and again
 * is taken for such: the size falls to what every path takes.  From there a larger one is tried now and then with a
 * segment of real data, first the largest, then halfway; what follows it tells that it was lost.  A lost probe was too big
 * or met congestion like any other: by itself it is no sign of that (RFC 4821 section 7.5), and only several count.
 */
#include "engine/tcp/tcb.h"

#define IPV6_HEADER 40u
#define BASE_MSS \
    1220u /* RFC 8899 section 5.1.2, BASE_PLPMTU; what IPv6's least MTU leaves (RFC 8200 section 5) */
#define FLOOR_MSS_V4   536u /* RFC 9293 section 3.7.1 */
#define HOLE_TIMEOUTS  3u   /* of one segment, in a row; as Linux */
#define MAX_PROBES     3u   /* RFC 8899 section 5.1.2: lost ones of a size, until it is too big */
#define STEP_BYTES     32u  /* a search that is closer ends */
#define BEHIND_PROBE   3u   /* full segments that show its loss (RFC 4821 section 7.4) */
#define LOST_WAIT_US   2000000u
#define HOLE_WAIT_US   10000000u
#define RAISE_US       600000000u /* RFC 8899 section 5.1.1, PMTU_RAISE_TIMER */
#define TIME_STAMP_OPT 12u

static uint32_t option_bytes(const struct tcb *tcb)
{
    return tcb->ts_on ? TIME_STAMP_OPT : 0;
}

static uint32_t largest(const struct tcb *tcb)
{
    return min_u32(tcb->our_mss, tcb->peer_mss);
}

/* From then on the whole range is open again: paths change. */
static void search_from(struct tcb *tcb, uint64_t at_us)
{
    struct pmtu *m = &tcb->pmtu;
    m->too_big = tcb->our_mss + 1;
    m->next = tcb->our_mss;
    m->tries = 0;
    m->probe_us = tcb->config->mtu_probing == TCP_MTU_PROBING_OFF ? DEADLINE_NEVER : at_us;
}

void pmtu_init(struct tcb *tcb, uint32_t known_mss, uint64_t now_us)
{
    bool always = tcb->config->mtu_probing == TCP_MTU_PROBING_ALWAYS;
    uint32_t start = known_mss ? known_mss : always ? BASE_MSS : UINT32_MAX;
    tcb->path_mss = min_u32(tcb->our_mss, start);
    tcb->pmtu = (struct pmtu){.probe_us = DEADLINE_NEVER};
    if (tcb->path_mss < tcb->our_mss)
        search_from(tcb, known_mss ? now_us + RAISE_US : now_us);
}

/* ---- down ---- */

void pmtu_reduce(struct tcb *tcb, uint32_t mss, uint64_t now_us)
{
    tcb->path_mss = mss;
    tcb->pmtu.probe_mss = 0;
    search_from(tcb, now_us + RAISE_US);
    if (tcb->state < TCP_ESTABLISHED)
        return;
    options_update_mss(tcb);
    struct txq *q = &tcb->txq;
    tcb->cut_end = tcb->snd_nxt + q->unsent_bytes;
    for (struct pkt *p = q->head; p != q->unsent; p = p->next)
        if (p->tcp.len > tcb->snd_mss && !(p->tcp.flags & (TXQ_SACKED | TXQ_LOST)))
            recovery_mark_lost(tcb, p);
}

/* The size to fall to when a segment of this one does not pass; 0: there is none. */
static uint32_t size_below(const struct tcb *tcb, uint32_t size)
{
    if (size > BASE_MSS)
        return BASE_MSS;
    return tcb->ip_header_bytes != IPV6_HEADER && size > FLOOR_MSS_V4 ? FLOOR_MSS_V4 : 0;
}

/* RFC 4821 section 7.7, RFC 8899 section 4.3. */
void pmtu_on_timeout(struct tcb *tcb, uint64_t now_us)
{
    struct pmtu *m = &tcb->pmtu;
    uint32_t size = min_u32(tcb->txq.head->tcp.len + option_bytes(tcb), tcb->path_mss);
    uint32_t below = size_below(tcb, size);
    if (!below || tcb->config->mtu_probing == TCP_MTU_PROBING_OFF || ++m->timeouts < HOLE_TIMEOUTS)
        return;
    m->timeouts = 0;
    m->hole = true;
    stat_inc(tcb->stats, STAT_tcp_black_holes);
    pmtu_reduce(tcb, below, now_us);
    m->probe_us = now_us + HOLE_WAIT_US;
}

/* ---- up ---- */

/* RFC 4821 section 7.4: nothing is being repaired, and enough follows for its loss to show without a time-out. */
uint32_t pmtu_probe_due(struct tcb *tcb)
{
    struct pmtu *m = &tcb->pmtu;
    if (!tcb->sack_on || tcb->path_mss >= largest(tcb)) {
        m->probe_us = DEADLINE_NEVER;
        return 0;
    }
    uint32_t bytes = min_u32(m->next, largest(tcb)) - option_bytes(tcb);
    uint32_t need = bytes + BEHIND_PROBE * tcb->snd_mss;
    bool calm = tcb->recovery == RECOVERY_OPEN && !tcb->txq.sacked && !tcb->txq.lost && !m->probe_mss;
    bool bare = !tcb->rxq.early && !tcb->rcv_dsack; /* no other options */
    bool follows = tcb->txq.unsent_bytes >= need && tcb->cc.cwnd >= need &&
                   seq_le(tcb->snd_nxt + need, tcb->snd_una + tcb->snd_wnd);
    return calm && bare && follows && bytes > tcb->snd_mss ? bytes : 0;
}

void pmtu_probe_sent(struct tcb *tcb, const struct pkt *p)
{
    struct pmtu *m = &tcb->pmtu;
    m->probe_mss = p->tcp.len + option_bytes(tcb);
    m->probe_seq = p->tcp.seq;
    m->probe_end = txq_end(p);
    stat_inc(tcb->stats, STAT_tcp_mtu_probes);
}

/* Halfway between what passes and what does not, until both are as good as the same. */
static void search_on(struct tcb *tcb, uint64_t at_us)
{
    struct pmtu *m = &tcb->pmtu;
    uint32_t top = min_u32(m->too_big, largest(tcb) + 1);
    m->tries = 0;
    m->next = tcb->path_mss + (top - tcb->path_mss) / 2;
    m->probe_us = at_us;
    if (tcb->path_mss >= largest(tcb))
        m->probe_us = DEADLINE_NEVER;
    else if (top - tcb->path_mss <= STEP_BYTES)
        search_from(tcb, at_us + RAISE_US);
}

void pmtu_probe_lost(struct tcb *tcb, const struct pkt *p)
{
    struct pmtu *m = &tcb->pmtu;
    uint32_t size = m->probe_mss;
    if (!size || p->tcp.seq != m->probe_seq)
        return;
    stat_inc(tcb->stats, STAT_tcp_mtu_probes_lost);
    m->probe_mss = 0;
    m->probe_lost = txq_seq_len(p);
    m->probe_us = p->tcp.sent_us + LOST_WAIT_US;
    if (++m->tries < MAX_PROBES)
        return;
    m->too_big = size;
    search_on(tcb, m->probe_us);
}

void pmtu_probe_cut(struct tcb *tcb, const struct pkt *p)
{
    struct pmtu *m = &tcb->pmtu;
    if (!m->probe_mss || p->tcp.seq != m->probe_seq)
        return;
    m->probe_mss = 0;
    m->probe_us = p->tcp.sent_us + LOST_WAIT_US;
}

void pmtu_probe_told(struct tcb *tcb, uint32_t mss)
{
    struct pmtu *m = &tcb->pmtu;
    if (m->probe_mss <= mss)
        return;
    m->too_big = mss + 1;
    m->next = mss;
    m->tries = 0;
}

void pmtu_acked(struct tcb *tcb, uint64_t now_us)
{
    struct pmtu *m = &tcb->pmtu;
    if (m->hole) { /* what is small passes, what was larger did not: the path's doing, not a dead peer's */
        m->hole = false;
        tcb->events |= TCP_EV_PATH;
    }
    if (!m->probe_mss || seq_le(tcb->snd_una, m->probe_seq))
        return;
    if (seq_lt(tcb->snd_una,
               m->probe_end)) { /* a part of it: somebody on the way has cut it, so it proves nothing */
        m->probe_mss = 0;
        m->probe_us = now_us + LOST_WAIT_US;
        return;
    }
    tcb->path_mss = m->probe_mss;
    m->probe_mss = 0;
    options_update_mss(tcb);
    search_on(tcb, now_us);
    tcb->events |= TCP_EV_PATH;
    stat_inc(tcb->stats, STAT_tcp_mtu_raised);
}
