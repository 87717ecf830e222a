/* options.c: what the two SYNs agree on, and the options of every segment after them. */
#include "engine/tcp/tcb.h"

#define TS_BYTES      12u             /* with the two NOPs that align it */
#define SACK_BYTES(n) (4u + 8u * (n)) /* likewise */
#define OPTIONS_MAX   40u
#define MSS_MIN       64u /* a peer that names less gets no more than this many headers for its bytes */

void options_offer(const struct tcb *tcb, struct tcp_options *opt, uint64_t now_us)
{
    opt->has_mss = true;
    opt->mss = (uint16_t)min_u32(tcb->our_mss, UINT16_MAX);
    opt->has_wscale = tcb->wscale_on;
    opt->wscale = tcb->rcv_scale;
    opt->sack_permitted = tcb->sack_on;
    opt->has_timestamps = tcb->ts_on;
    opt->ts_val = tcb_ts_now(tcb, now_us);
    opt->ts_ecr = tcb->ts_recent; /* 0 in a SYN: nothing was received yet */
}

void options_update_mss(struct tcb *tcb)
{
    uint32_t mss = max_u32(min_u32(tcb->peer_mss, tcb->path_mss), MSS_MIN);
    tcb->snd_mss = mss - (tcb->ts_on ? TS_BYTES : 0);
    tcb->cc.mss = tcb->snd_mss;
    tcb->initial_window = max_u32(tcb->initial_window, tcb->snd_mss);
    tcb->cc.cwnd = max_u32(tcb->cc.cwnd, tcb->snd_mss);
    tcb->cc.ssthresh = max_u32(tcb->cc.ssthresh, tcb->snd_mss);
}

void options_accept(struct tcb *tcb, const struct tcp_segment *syn, uint64_t now_us)
{
    const struct tcp_options *opt = &syn->opt;
    if (opt->has_mss)
        tcb->peer_mss = opt->mss;
    /* Each option is in force only if both SYNs had it (RFC 7323 sections 2.2 and 3.2, RFC 2018 section 2). */
    tcb->sack_on = tcb->sack_on && opt->sack_permitted;
    tcb->ts_on = tcb->ts_on && opt->has_timestamps;
    tcb->wscale_on = tcb->wscale_on && opt->has_wscale;
    tcb->snd_scale = tcb->wscale_on ? (uint8_t)min_u32(opt->wscale, 14) : 0; /* RFC 7323 section 2.3 */
    if (!tcb->wscale_on)
        tcb->rcv_scale = 0;
    if (tcb->ts_on) {
        tcb->ts_recent = opt->ts_val;
        tcb->ts_recent_us = now_us;
    }
    options_update_mss(tcb);
}

static unsigned fill_sack(struct tcb *tcb, struct tcp_sack_block *block, unsigned max)
{
    unsigned n = 0;
    if (tcb->rcv_dsack && max > 0) /* RFC 2883 section 4: the duplicate comes first */
        block[n++] = tcb->dsack;
    return n + rxq_sack_blocks(&tcb->rxq, block + n, max - n);
}

void options_fill(struct tcb *tcb, struct tcp_options *opt, uint32_t room, uint64_t now_us)
{
    uint32_t used = 0;
    if (tcb->ts_on) {
        opt->has_timestamps = true;
        opt->ts_val = tcb_ts_now(tcb, now_us);
        opt->ts_ecr = tcb->ts_recent;
        used = TS_BYTES;
    }
    if (!tcb->sack_on || (!tcb->rxq.early && !tcb->rcv_dsack))
        return;
    room = min_u32(room, OPTIONS_MAX);
    unsigned max = 0;
    while (max < TCP_SACK_BLOCKS_MAX && used + SACK_BYTES(max + 1) <= room)
        max++;
    opt->sack_blocks = (uint8_t)fill_sack(tcb, opt->sack, max);
}
