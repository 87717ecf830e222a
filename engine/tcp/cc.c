/* cc.c: what all congestion control has in common: slow start and counting bytes. */
#include "engine/tcp/cc.h"

void cc_init(struct cc *cc, const struct tcp_cc *ops, uint32_t mss, uint32_t initial_cwnd)
{
    *cc = (struct cc){.ops = ops, .mss = mss, .cwnd = max_u32(initial_cwnd, mss), .ssthresh = UINT32_MAX};
    hystart_init(&cc->hystart);
}

/* After a time-out one ACK may cover what was received long ago: one segment for it (RFC 3465 section 2.3).  Else all that
 * it covers counts, as in Linux: RFC 9406's L = 8 for senders that do not pace would make slow start a fraction as fast with
 * receivers that put segments together and acknowledge up to 64 KiB at a time.
 */
uint32_t cc_slow_start(struct cc *cc, const struct cc_ack *ack)
{
    uint32_t grow = ack->after_timeout ? min_u32(ack->acked_bytes, cc->mss) : ack->acked_bytes;
    if (cc->ssthresh == UINT32_MAX)
        grow = hystart_on_ack(cc, ack, grow);
    uint32_t room = cc->ssthresh - cc->cwnd;
    if (grow < room) {
        cc->cwnd += grow;
        return 0;
    }
    cc->cwnd = cc->ssthresh;
    return grow - room;
}

void cc_avoid(struct cc *cc, uint32_t acked_bytes, uint32_t window)
{
    cc->acked += acked_bytes;
    if (cc->acked < window)
        return;
    cc->acked -= window;
    cc->cwnd += cc->mss;
    cc->acked = min_u32(cc->acked, window); /* a stretch ACK is worth two segments at the most */
}
