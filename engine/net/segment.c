/* segment.c: a received segment finds its flow, its core, or a RST. */
#include "engine/net/private.h"

/* RFC 1071 section 2 (B): bytes that begin at an odd place add up to the same sum with its bytes swapped. */
static uint32_t add_part(uint32_t sum, const uint8_t *data, uint32_t len, bool odd)
{
    if (!odd)
        return checksum_add(sum, data, len);
    return checksum_fold(sum) + (uint32_t)__builtin_bswap16(checksum_fold(checksum_add(0, data, len)));
}

static bool checksum_is_right(const struct rx_frame *frame)
{
    if (likely(frame->pkt->flags & PKT_RX_L4_CSUM_OK))
        return true;
    uint32_t sum = checksum_tcp_pseudo(&frame->ip.src, &frame->ip.dst, frame->ip.payload_len);
    sum = checksum_add(sum, frame->payload, frame->payload_here);
    uint32_t at = frame->payload_here, left = frame->ip.payload_len - at;
    for (const struct pkt *p = frame->pkt->more; p && left > 0; p = p->more) {
        uint32_t n = min_u32(p->len, left);
        sum = add_part(sum, p->data, n, at & 1);
        at += n;
        left -= n;
    }
    return checksum_finish(sum) == 0;
}

/* RFC 9293 section 3.10.7.1: what a CLOSED connection answers. */
static struct tcp_segment reset_for(const struct tcp_segment *seg)
{
    struct tcp_segment rst = {.src_port = seg->dst_port, .dst_port = seg->src_port, .flags = TCP_RST};
    if (seg->flags & TCP_ACK) {
        rst.seq = seg->ack;
        return rst;
    }
    rst.flags |= TCP_ACK;
    rst.ack = seg->seq + seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN);
    return rst;
}

bool net_answer(struct net *net, const struct flow_key *key, const struct tcp_segment *seg, uint64_t now_us)
{
    assert(net->answer_to && seg->len == 0);
    struct pkt *pkt = pkt_alloc(net->port->tx_pool, PKT_CONTROL);
    if (!pkt) {
        stat_inc(net->stats, STAT_net_drop_no_buffer);
        return false;
    }
    frame_push_tcp(net, pkt, key, seg);
    frame_set_destination(pkt, net->answer_to);
    tx_push(net, pkt, now_us);
    return true;
}

static void send_reset(struct net *net, const struct flow_key *key, const struct tcp_segment *seg,
                       uint64_t now_us)
{
    if (!reply_allowed(net, now_us)) {
        stat_inc(net->stats, STAT_net_drop_reply);
        return;
    }
    struct tcp_segment rst = reset_for(seg);
    if (net_answer(net, key, &rst, now_us))
        stat_inc(net->stats, STAT_net_resets_sent);
}

static bool listener_takes(struct net *net, const struct flow_key *key, const struct tcp_segment *seg)
{
    const struct net_handler *h = &net->handler;
    switch (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) {
    case TCP_SYN: return h->syn && !(seg->flags & TCP_FIN) && h->syn(h->ctx, key, seg);
    case TCP_ACK: return h->stray && h->stray(h->ctx, key, seg);
    default: return false;
    }
}

static noinline void no_flow(struct net *net, const struct rx_frame *frame, const struct flow_key *key,
                             const struct tcp_segment *seg, uint64_t now_us)
{
    net->answer_to = &frame->eth.src;
    if (!listener_takes(net, key, seg)) {
        stat_inc(net->stats, STAT_net_drop_no_flow);
        if (!(seg->flags & TCP_RST)) /* RFC 9293 section 3.10.7.1: a RST is never answered */
            send_reset(net, key, seg, now_us);
    }
    net->answer_to = NULL;
}

/* The ports are the first four bytes of every TCP header. */
static struct flow_key flow_of(const struct rx_frame *frame)
{
    return (struct flow_key){
        .local = frame->ip.dst,
        .remote = frame->ip.src,
        .local_port = (uint16_t)(frame->payload[2] << 8 | frame->payload[3]),
        .remote_port = (uint16_t)(frame->payload[0] << 8 | frame->payload[1]),
    };
}

/* The data offset is in the upper half of byte 12 (RFC 9293 section 3.1); if that is right the options are wrong. */
static enum stat_id why_malformed(const struct rx_frame *frame)
{
    unsigned header_len = (frame->payload[12] >> 4) * 4u;
    bool fits = header_len >= TCP_HEADER_MIN && header_len <= frame->payload_here;
    return fits ? STAT_net_drop_tcp_options : STAT_net_drop_tcp_header;
}

/* A frame that a port has put together (LRO) is to TCP so many segments as it has parts: each can be kept without the
 * others.  What ends a segment comes with the last one.
 */
static noinline void give_parts(struct net *net, uint32_t flow, const struct rx_frame *frame,
                                struct tcp_segment *seg, uint32_t left)
{
    const uint8_t flags = seg->flags;
    struct pkt *p = frame->pkt;
    stat_inc(net->stats, STAT_net_lro_frames);
    while (p && left > 0) {
        seg->len = min_u32(seg->len, left);
        left -= seg->len;
        seg->flags = left > 0 ? flags & (uint8_t)~(TCP_PSH | TCP_FIN) : flags;
        if (seg->len > 0)
            net->handler.segment(net->handler.ctx, flow, &frame->ip, seg);
        seg->seq += seg->len;
        p = p->more;
        if (!p)
            break;
        seg->pkt = p;
        seg->payload = p->data;
        seg->len = p->len;
    }
}

static void give(struct net *net, uint32_t flow, const struct rx_frame *frame, const struct flow_key *key,
                 struct tcp_segment *seg, uint64_t now_us)
{
    uint32_t elsewhere = frame->ip.payload_len - frame->payload_here; /* in further parts */
    if (flow == NET_NO_FLOW) {
        seg->len += elsewhere;
        no_flow(net, frame, key, seg, now_us);
    } else if (likely(elsewhere == 0)) {
        net->handler.segment(net->handler.ctx, flow, &frame->ip, seg);
    } else {
        give_parts(net, flow, frame, seg, seg->len + elsewhere);
    }
}

void tcp_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us)
{
    count_handed_on(net, frame);
    if (frame->payload_here < TCP_HEADER_MIN) {
        drop(net, STAT_net_drop_tcp_header, frame->pkt);
        return;
    }
    const struct flow_key key = flow_of(frame);
    uint32_t flow = flow_find(&net->flows, &key);
    if (flow == NET_NO_FLOW && net_hand_on(net, &key, frame->pkt))
        return; /* its owner looks at checksums */
    if (!checksum_is_right(frame)) {
        drop(net, STAT_net_drop_tcp_checksum, frame->pkt);
        return;
    }
    struct tcp_segment seg;
    if (!tcp_segment_parse(&seg, frame->payload, frame->payload_here)) {
        drop(net, why_malformed(frame), frame->pkt);
        return;
    }
    seg.pkt = frame->pkt;
    seg.ip_ecn = frame->ip.ecn;
    give(net, flow, frame, &key, &seg, now_us);
    pkt_frame_free(frame->pkt);
}
