/* tcp_icmp.c: what an ICMP error may do to a connection: little (RFC 5461, RFC 5927). */
#include "engine/tcp/tcb.h"

#define IPV6_HEADER 40u
#define TCP_HEADER  20u
#define MTU_MIN_V4  552u /* smaller ones are an attack on us rather than a path (RFC 1191 says 68); as Linux */
#define MTU_MIN_V6  1280u

/* RFC 1191 section 6.4, RFC 8201: what was too big is sent again at once, cut; that is no congestion. */
static void reduce_mtu(struct tcb *tcb, uint32_t mtu, uint64_t now_us)
{
    mtu = max_u32(mtu, tcb->ip_header_bytes == IPV6_HEADER ? MTU_MIN_V6 : MTU_MIN_V4);
    uint32_t mss = mtu - tcb->ip_header_bytes - TCP_HEADER;
    if (mss >= tcb->path_mss) {
        pmtu_probe_told(tcb, mss);
        return;
    }
    pmtu_reduce(tcb, mss, now_us);
    tcb->events |= TCP_EV_PATH;
}

void tcp_icmp_error(struct tcb *tcb, uint32_t seq, bool hard, uint32_t mtu, uint64_t now_us)
{
    /* RFC 5927 section 4.1: whoever did not see our segments must guess a number that is in flight. */
    if (tcb->state == TCP_CLOSED || !seq_in(seq, tcb->snd_una, tcb->txq.out)) {
        stat_inc(tcb->stats, STAT_tcp_drop_icmp);
        return;
    }
    if (mtu)
        reduce_mtu(tcb, mtu, now_us);
    else if (hard && tcb->state < TCP_ESTABLISHED) /* RFC 5461 section 4: later it is a soft error */
        tcb_finish(tcb, TCP_ERR_UNREACHABLE);
}
