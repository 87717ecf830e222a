/* segment.c: a received segment finds its flow, its core, or a RST. */
#include "engine/net/private.h"

static bool checksum_is_right(const struct rx_frame *frame)
{
    if (likely(frame->pkt->flags & PKT_RX_L4_CSUM_OK))
        return true;
    uint32_t sum = checksum_tcp_pseudo(&frame->ip.src, &frame->ip.dst, frame->ip.payload_len);
    return checksum_finish(checksum_add(sum, frame->payload, frame->ip.payload_len)) == 0;
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
    bool fits = header_len >= TCP_HEADER_MIN && header_len <= frame->ip.payload_len;
    return fits ? STAT_net_drop_tcp_options : STAT_net_drop_tcp_header;
}

void tcp_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us)
{
    count_handed_on(net, frame);
    if (frame->ip.payload_len < TCP_HEADER_MIN) {
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
    if (!tcp_segment_parse(&seg, frame->payload, frame->ip.payload_len)) {
        drop(net, why_malformed(frame), frame->pkt);
        return;
    }
    seg.pkt = frame->pkt;
    seg.ip_ecn = frame->ip.ecn;
    if (likely(flow != NET_NO_FLOW))
        net->handler.segment(net->handler.ctx, flow, &frame->ip, &seg);
    else
        no_flow(net, frame, &key, &seg, now_us);
    pkt_free(frame->pkt);
}
