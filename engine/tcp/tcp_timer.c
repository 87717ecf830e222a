/* tcp_timer.c: all timers of a connection, one sentence each.
 *
 * REORDER  runs while something sent earlier than what was delivered is missing: a little more than a round trip
 *          after it left it is lost (RFC 8985 section 6.2).
 * PROBE    runs while the tail of a flight is out, with SACK: after two round trips of silence it is probed, once,
 *          and the RTO starts anew (RFC 8985 section 7.2).
 * RTX      runs while a sequence number is unacknowledged, from the last news of progress: an RTO later the
 *          first one is sent again and the RTO doubles (RFC 6298 section 5).
 * PERSIST  runs while data waits, none is in flight and the window is too small for it: it sends a probe, at
 *          intervals that double (RFC 9293 section 3.8.6.1), or what little fits (3.8.6.2.1, override).
 * DELACK   runs from the first received byte that is not acknowledged, at most delayed_ack_us (RFC 9293 3.8.6.3).
 * PACE     runs while data must wait for its turn: it does nothing but let it leave.
 * USER     runs while the peer owes an answer: after user_timeout_us without one the connection is given
 *          up (RFC 9293 section 3.8.3, R2).
 * KEEP     runs, if configured, while a connection is established: a peer that has been silent for keepalive_us while
 *          nothing is owed to it is asked, a number of times; then it is given up (RFC 9293 section 3.8.4).
 * LIFE     bounds states that may not last: the handshake, FIN_WAIT_2, and TIME_WAIT, which it ends (3.6.1).
 *
 * Timers only decide; what they want sent leaves with the next tcp_output.
 */
#include "engine/tcp/tcb.h"

void timer_init(struct tcb *tcb)
{
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        tcb->timer[i] = DEADLINE_NEVER;
}

void timer_set(struct tcb *tcb, enum tcp_timer which, uint64_t deadline_us)
{
    tcb->timer[which] = deadline_us;
}

void timer_cancel(struct tcb *tcb, enum tcp_timer which)
{
    tcb->timer[which] = DEADLINE_NEVER;
}

uint64_t tcp_next_deadline(const struct tcb *tcb)
{
    uint64_t next = tcb->timer[0];
    for (unsigned i = 1; i < TIMER_COUNT; i++)
        next = min_u64(next, tcb->timer[i]);
    return next;
}

static bool armed(const struct tcb *tcb, enum tcp_timer which)
{
    return tcb->timer[which] != DEADLINE_NEVER;
}

void timer_acked(struct tcb *tcb, uint64_t now_us)
{
    if (tcb->txq.out) { /* RFC 6298 (5.3) */
        timer_set(tcb, TIMER_RTX, now_us + tcb_rto(tcb));
        timer_set(tcb, TIMER_USER, now_us + tcb->config->user_timeout_us);
    } else { /* (5.2) */
        timer_cancel(tcb, TIMER_RTX);
        timer_cancel(tcb, TIMER_USER);
    }
}

void timer_sent(struct tcb *tcb, uint64_t now_us)
{
    if (!armed(tcb, TIMER_RTX)) /* (5.1) */
        timer_set(tcb, TIMER_RTX, now_us + tcb_rto(tcb));
    if (!armed(tcb, TIMER_USER) && tcb->state >= TCP_ESTABLISHED)
        timer_set(tcb, TIMER_USER, now_us + tcb->config->user_timeout_us);
}

static uint64_t persist_interval(const struct tcb *tcb)
{
    uint64_t us = (uint64_t)tcb->rtt.rto_us << min_u32(tcb->persist_backoff, 16);
    return min_u64(us, tcb->config->rto_max_us);
}

void timer_persist(struct tcb *tcb, bool blocked, uint64_t now_us)
{
    if (!blocked) {
        if (armed(tcb, TIMER_PERSIST) && !tcb->txq.out)
            timer_cancel(tcb, TIMER_USER);
        timer_cancel(tcb, TIMER_PERSIST);
        tcb->persist_backoff = 0;
        tcb->override_now = false;
        return;
    }
    if (!armed(tcb, TIMER_PERSIST))
        timer_set(tcb, TIMER_PERSIST, now_us + persist_interval(tcb));
}

static void persist_fired(struct tcb *tcb, uint64_t now_us)
{
    if (tcb->persist_backoff < UINT8_MAX)
        tcb->persist_backoff++;
    tcb->override_now = true;
    tcb->probe_now = true;
    if (!armed(tcb, TIMER_USER))
        timer_set(tcb, TIMER_USER, now_us + tcb->config->user_timeout_us);
}

void timer_keep(struct tcb *tcb, uint64_t now_us)
{
    tcb->heard_us = now_us;
    if (tcb->config->keepalive_us)
        timer_set(tcb, TIMER_KEEP, now_us + tcb->config->keepalive_us);
}

/* RFC 9293 section 3.8.4: only if nothing has come within the interval and nothing is in flight, where RTX, PERSIST and USER
 * watch; one probe without an answer proves nothing (MUST-29).
 */
static void keep_fired(struct tcb *tcb, uint64_t now_us)
{
    const struct tcp_config *c = tcb->config;
    uint64_t from_us = tcb->txq.head ? now_us : tcb->heard_us;
    if (tcb->state != TCP_ESTABLISHED && tcb->state != TCP_CLOSE_WAIT)
        return;
    if (from_us + c->keepalive_us > now_us) {
        tcb->keep_probes = 0;
        timer_set(tcb, TIMER_KEEP, from_us + c->keepalive_us);
        return;
    }
    if (tcb->keep_probes >= c->keepalive_probes) {
        tcb_finish(tcb, TCP_ERR_TIMEOUT);
        return;
    }
    if (tcb->keep_probes < UINT8_MAX)
        tcb->keep_probes++;
    tcb->keep_now = true;
    timer_set(tcb, TIMER_KEEP, now_us + c->keepalive_interval_us);
}

/* RFC 9293 section 3.8.3: a SYN is given up after a number of tries, or after the time that LIFE measures. */
static void syn_fired(struct tcb *tcb)
{
    if (tcb->syn_retries >= tcb->config->syn_retries) {
        tcb_finish(tcb, TCP_ERR_TIMEOUT);
        return;
    }
    tcb->syn_retries++;
    tcb->syn_lost = true;
    txq_set_flags(&tcb->txq, tcb->txq.head, TXQ_SYN | TXQ_LOST);
}

static void rtx_fired(struct tcb *tcb, uint64_t now_us)
{
    stat_inc(tcb->stats, STAT_tcp_rto_fired);
    rtt_back_off(&tcb->rtt);
    timer_set(tcb, TIMER_RTX, now_us + tcb_rto(tcb)); /* (5.6) */
    if (tcb->state < TCP_ESTABLISHED)
        syn_fired(tcb);
    else
        recovery_on_timeout(tcb, now_us);
}

static void probe_fired(struct tcb *tcb, uint64_t now_us)
{
    tcb->rack.tlp_now = true;
    timer_set(tcb, TIMER_RTX, now_us + tcb_rto(tcb));
}

static void life_fired(struct tcb *tcb)
{
    tcb_finish(tcb, tcb->state == TCP_TIME_WAIT ? TCP_OK : TCP_ERR_TIMEOUT);
}

static void fire(struct tcb *tcb, enum tcp_timer which, uint64_t now_us)
{
    timer_cancel(tcb, which);
    switch (which) {
    case TIMER_REORDER: recovery_on_reorder_timer(tcb, now_us); break;
    case TIMER_PROBE: probe_fired(tcb, now_us); break;
    case TIMER_RTX: rtx_fired(tcb, now_us); break;
    case TIMER_PERSIST: persist_fired(tcb, now_us); break;
    case TIMER_DELACK: tcb->ack_now = true; break;
    case TIMER_PACE: break;
    case TIMER_USER: tcb_finish(tcb, TCP_ERR_TIMEOUT); break;
    case TIMER_KEEP: keep_fired(tcb, now_us); break;
    case TIMER_LIFE: life_fired(tcb); break;
    case TIMER_COUNT: break;
    }
}

void tcp_timers(struct tcb *tcb, uint64_t now_us)
{
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        if (tcb->timer[i] <= now_us)
            fire(tcb, i, now_us);
}
