#include "engine/tcp/time_wait.h"

#include "engine/tcp/seq.h"
#include "engine/tcp/tcb.h"

void tcp_time_wait_make(struct tcp_time_wait *record, const struct tcb *tcb)
{
    assert(tcb->state == TCP_TIME_WAIT);
    *record = (struct tcp_time_wait){
        .snd_nxt = tcb->snd_nxt,
        .rcv_nxt = tcb->rcv_nxt,
        .ts_recent = tcb->ts_recent,
        .ts_offset = tcb->ts_offset,
        .window = (uint16_t)min_u32(tcb->rcv_wnd >> tcb->rcv_scale, UINT16_MAX),
        .ts_on = tcb->ts_on,
    };
}

enum tcp_time_wait_do tcp_time_wait_input(const struct tcp_time_wait *record, const struct tcp_segment *seg,
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
    bool fin_again = (seg->flags & TCP_FIN) && seg->seq + seg->len + 1 == record->rcv_nxt;
    return fin_again ? TIME_WAIT_RESTART : TIME_WAIT_ANSWER;
}
