#include "engine/tcp/time_wait.h"

#include "engine/tcp/seq.h"
#include "engine/tcp/tcb.h"

#define ISN_ABOVE_OLD 65536u /* beyond what an unscaled window lets the old one's strays fall into */

void tcp_time_wait_make(struct tcp_time_wait *record, const struct tcb *tcb, uint64_t now_us)
{
    assert(tcb->state == TCP_TIME_WAIT);
    *record = (struct tcp_time_wait){
        .snd_nxt = tcb->snd_nxt,
        .rcv_nxt = tcb->rcv_nxt,
        .ts_recent = tcb->ts_recent,
        .ts_offset = tcb->ts_offset,
        .sent_ms = (uint32_t)(now_us / 1000),
        .window = (uint16_t)min_u32(tcb->rcv_wnd >> tcb->rcv_scale, UINT16_MAX),
        .ts_on = tcb->ts_on,
    };
}

enum tcp_time_wait_do tcp_time_wait_input(struct tcp_time_wait *record, const struct tcp_segment *seg,
                                          uint64_t now_us, struct tcp_segment *answer)
{
    if (seg->flags & TCP_RST)
        return TIME_WAIT_IGNORE; /* RFC 1337 section 3: an old RST must not cut TIME-WAIT short */
    bool nothing_new = seg->len == 0 && !(seg->flags & (TCP_SYN | TCP_FIN));
    if (nothing_new && seg->seq == record->rcv_nxt)
        return TIME_WAIT_IGNORE;

    /* RFC 9293 3.10.7.4: not acceptable, or the FIN again: an ACK; a SYN gets it as a challenge (RFC 5961 section 4). */
    *answer = (struct tcp_segment){
        .seq = record->snd_nxt,
        .ack = record->rcv_nxt,
        .window = record->window,
        .flags = TCP_ACK,
    };
    if (record->ts_on)
        answer->opt = (struct tcp_options){.has_timestamps = true,
                                           .ts_val = (uint32_t)(now_us / 1000) + record->ts_offset,
                                           .ts_ecr = record->ts_recent};
    record->sent_ms = (uint32_t)(now_us / 1000);
    bool fin_again = (seg->flags & TCP_FIN) && seg->seq + seg->len + 1 == record->rcv_nxt;
    return fin_again ? TIME_WAIT_RESTART : TIME_WAIT_ANSWER;
}

bool tcp_time_wait_reopens(const struct tcp_time_wait *old, const struct tcp_segment *seg)
{
    if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
        return false;
    bool stamped = seg->opt.has_timestamps;
    if (stamped && !old->ts_on)
        return true;
    if (stamped && seg->opt.ts_val != old->ts_recent)
        return seq_gt(seg->opt.ts_val, old->ts_recent);
    return seq_ge(seg->seq, old->rcv_nxt);
}

bool tcp_time_wait_can_be_followed(const struct tcp_time_wait *old)
{
    return old->ts_on;
}

/* A millisecond is added only within the same one: else a chain of connections would run ahead of the flow's own stamps,
 * which the next connection has that is not opened from a record.
 */
void tcp_time_wait_follow(const struct tcp_time_wait *old, struct tcp_open *open, uint64_t now_us)
{
    uint32_t last = old->sent_ms + old->ts_offset, now_ms = (uint32_t)(now_us / 1000);
    if (!seq_gt(open->isn, old->snd_nxt))
        open->isn = old->snd_nxt + ISN_ABOVE_OLD;
    if (!seq_gt(now_ms + open->ts_offset, last))
        open->ts_offset = last + 1 - now_ms;
}
