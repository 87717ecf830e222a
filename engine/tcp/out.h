/* out.h: what tcp_out.c and train.c share: one run of tcp_output, and the header of a segment.  Nobody else includes it. */
#ifndef ENGINE_TCP_OUT_H
#define ENGINE_TCP_OUT_H

#include "engine/tcp/tcb.h"

struct out {
    struct tcb *tcb;
    uint64_t now_us;
    const struct tcp_emit *emit;
    bool more; /* will be written at once: what is less than a full segment waits for it */
};

/* out_make: a segment without options and payload.  out_note_ack: it has left, and with it an ACK and a window. */
struct tcp_segment out_make(const struct out *o, uint32_t seq, uint8_t flags);
void out_note_ack(struct tcb *tcb, const struct tcp_segment *seg);

/* What is written behind it is not here yet. */
static inline uint8_t out_push_flag(const struct pkt *p)
{
    return p->next && p->next->tcp.len ? 0 : TCP_PSH;
}

/* train_length: how many packets may leave together with the first of those never sent, it included; bytes of that one may
 * leave.  They have to be inside the peer's window and cwnd together; pacing lets the one through that uses up what it has.
 * *last is the last of them.
 */
uint32_t train_length(const struct out *o, uint32_t bytes, const struct pkt **last);

/* train_send: so many leave; false: fewer did. */
bool train_send(const struct out *o, uint32_t count, const struct pkt *last);

#endif
