/* prr.c: proportional rate reduction (RFC 9937): during fast recovery, send in proportion to what is delivered, so
 * that ssthresh is in flight when it ends: no silence at its start, no burst at its end.
 */
#include "engine/tcp/tcb.h"

void prr_start(struct tcb *tcb, uint32_t flight)
{
    tcb->prr = (struct prr){.flight = max_u32(flight, 1)};
}

/* sndcnt.  Where less than ssthresh is in flight, what was delivered is replaced, and one segment more only
 * while the repair makes progress: twice the rate at which the path has just dropped would lose the repairs, too.
 */
static uint32_t may_send(const struct tcb *tcb, uint32_t delivered, bool progress)
{
    const struct prr *prr = &tcb->prr;
    uint32_t pipe = recovery_pipe(tcb), ssthresh = tcb->cc.ssthresh;
    if (pipe > ssthresh) {
        uint64_t share = ((uint64_t)prr->delivered * ssthresh + prr->flight - 1) / prr->flight;
        return share > prr->out ? (uint32_t)(share - prr->out) : 0;
    }
    uint32_t owed = prr->delivered > prr->out ? prr->delivered - prr->out : 0;
    return min_u32(ssthresh - pipe, max_u32(owed, delivered) + (progress ? tcb->snd_mss : 0));
}

void prr_on_ack(struct tcb *tcb, uint32_t delivered, bool progress)
{
    if (!delivered)
        return;
    tcb->prr.delivered += delivered;
    tcb->cc.cwnd = max_u32(recovery_pipe(tcb) + may_send(tcb, delivered, progress), tcb->cc.mss);
}
