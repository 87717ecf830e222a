/* run.c: consecutive segments of one flow leave as one frame, which the port cuts again (TSO).
 *
 * TCP puts out its segments one by one and knows nothing of this.  The last frame in the queue to the port stays open for
 * as long as nothing else is queued: a segment that continues it, and whose header differs from its first one's by no
 * more than what a port fills in when it cuts, is linked behind.  Its packet goes by reference, without a header.
 */
#include "engine/net/private.h"

/* What a port copies to every segment that it cuts off; it puts PSH and FIN into the last one only.  CWR, which belongs
 * into the first one only (RFC 3168 section 6.1.2), goes alone: not all ports know of it.
 */
#define RUN_FLAGS (TCP_ACK | TCP_ECE)
#define END_FLAGS (TCP_PSH | TCP_FIN)

static bool is_plain(const struct tcp_segment *seg)
{
    return seg->len > 0 && !seg->again && !seg->opt.sack_blocks && !seg->opt.has_mss;
}

void run_open(struct net *net, const struct flow_key *key, const struct tcp_segment *seg, struct pkt *frame)
{
    struct tx_run *run = &net->run;
    const struct tx_queue *tx = &net->tx;
    bool queued = tx->tail != tx->head && tx->frame[(tx->tail - 1) % NET_TX_QUEUE] == frame;
    if (!queued || !is_plain(seg) || seg->flags & ~RUN_FLAGS)
        return;
    *run = (struct tx_run){
        .frame = frame,
        .last = frame,
        .parts = 1,
        .frame_bytes = frame->len,
        .segment_bytes = (uint16_t)seg->len,
        .first = *seg,
        .next_seq = seg->seq + seg->len,
        .key = *key,
    };
}

static bool same_header(const struct tcp_segment *a, const struct tcp_segment *b)
{
    return a->ack == b->ack && a->window == b->window && a->ip_ecn == b->ip_ecn &&
           a->flags == (b->flags & ~END_FLAGS) && a->opt.has_timestamps == b->opt.has_timestamps &&
           a->opt.ts_val == b->opt.ts_val && a->opt.ts_ecr == b->opt.ts_ecr;
}

/* Whose packet is under way still is sent from a copy: alone. */
static bool continues(const struct net *net, const struct flow_key *key, const struct tcp_segment *seg)
{
    const struct tx_run *run = &net->run;
    return seg->seq == run->next_seq && is_plain(seg) && seg->len <= run->segment_bytes &&
           run->parts < net->port->tso_parts && run->frame_bytes + seg->len <= PORT_TSO_FRAME_BYTES &&
           same_header(&run->first, seg) && memcmp(&run->key, key, sizeof(*key)) == 0 &&
           !pkt_shared(seg->pkt);
}

bool run_join(struct net *net, const struct flow_key *key, const struct tcp_segment *seg)
{
    struct tx_run *run = &net->run;
    if (!run->frame || !continues(net, key, seg))
        return false;
    struct pkt *p = seg->pkt;
    pkt_ref(p); /* one reference for the port */
    p->data = seg->payload;
    p->len = (uint16_t)seg->len;
    p->flags = 0;
    p->more = NULL;
    run->last->more = p;
    run->last = p;
    run->parts++;
    run->frame_bytes += seg->len;
    run->next_seq += seg->len;
    run->end_flags = seg->flags & END_FLAGS;
    if (seg->len < run->segment_bytes || run->end_flags)
        run_close(net);
    return true;
}

void run_close(struct net *net)
{
    struct tx_run *run = &net->run;
    if (run->parts > 1) {
        run->frame->segment_bytes = run->segment_bytes;
        frame_grow(net, run->frame, run->frame_bytes, run->end_flags);
        stat_inc(net->stats, STAT_net_tso_frames);
        stat_add(net->stats, STAT_net_tso_segments, run->parts);
    }
    run->frame = NULL;
    run->parts = 0;
}
