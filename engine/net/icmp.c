/* icmp.c: pings are answered, errors go to the flow that they quote (RFC 792, RFC 4443, RFC 1122 section 3.2.2, RFC
 * 5927); the neighbour discovery among ICMPv6 goes to nd.c.
 */
#include "engine/net/private.h"

/* The reply goes back in the request's buffer to where the request came from; no question, no allocation. */
static void answer_echo(struct net *net, const struct rx_frame *frame, uint64_t now_us)
{
    struct pkt *pkt = frame->pkt;
    if (pkt_shared(pkt) || !reply_allowed(net, now_us)) {
        drop(net, STAT_net_drop_reply, pkt);
        return;
    }
    struct ip_header ip = {
        .src = frame->ip.dst,
        .dst = frame->ip.src,
        .protocol = frame->ip.protocol,
        .ttl = NET_TTL,
    };
    if (ip_is_v4(&ip.dst))
        icmp_echo_reply_in_place(frame->payload, frame->ip.payload_len);
    else
        icmp6_echo_reply_in_place(&frame->ip, frame->payload, frame->ip.payload_len);
    pkt->data = frame->payload; /* the request's options, if any, are not sent back */
    pkt->len = frame->ip.payload_len;
    pkt->flags = 0;
    frame_push_ip(net, pkt, &ip);
    frame_set_destination(pkt, &frame->eth.src);
    stat_inc(net->stats, STAT_net_icmp_echo_replies);
    tx_push(net, pkt, now_us);
}

static struct flow_key quoted_flow(const struct icmp *icmp)
{
    return (struct flow_key){
        .local = icmp->inner.src,
        .remote = icmp->inner.dst,
        .local_port = icmp->inner_src_port,
        .remote_port = icmp->inner_dst_port,
    };
}

/* RFC 5927 section 4: an error must quote a segment that we may have sent; the sequence number is TCP's to judge. */
static void receive_error(struct net *net, const struct rx_frame *frame, const struct icmp *icmp)
{
    const struct flow_key key = quoted_flow(icmp);
    uint32_t flow = flow_find(&net->flows, &key);
    if (flow == NET_NO_FLOW && net_hand_on(net, &key, frame->pkt))
        return;
    if (flow == NET_NO_FLOW || !net->handler.icmp_error) {
        drop(net, STAT_net_drop_icmp_flow, frame->pkt);
        return;
    }
    net->handler.icmp_error(net->handler.ctx, flow, icmp);
    pkt_frame_free(frame->pkt);
}

static bool parse(struct icmp *icmp, const struct rx_frame *frame)
{
    if (ip_is_v4(&frame->ip.dst))
        return icmp_parse(icmp, frame->payload, frame->ip.payload_len);
    return icmp6_parse(icmp, &frame->ip, frame->payload, frame->ip.payload_len);
}

void icmp_receive(struct net *net, const struct rx_frame *frame, uint64_t now_us)
{
    struct icmp icmp;
    bool parsed = parse(&icmp, frame);
    if (parsed && icmp.kind == ICMP_NEIGHBOUR) {
        nd_receive(net, frame, now_us);
        pkt_frame_free(frame->pkt);
        return;
    }
    if (parsed && icmp.kind == ICMP_LISTENER) {
        mld_receive(net, frame, now_us);
        pkt_free(frame->pkt);
        return;
    }
    count_handed_on(net, frame);
    if (!parsed)
        drop(net, STAT_net_drop_icmp, frame->pkt);
    else if (icmp.kind == ICMP_OTHER || ip_is_multicast(&frame->ip.dst) || net_is_ours(net, &frame->ip.src))
        drop(net, STAT_net_drop_icmp_kind, frame->pkt);
    else if (icmp.kind == ICMP_ECHO_REQUEST)
        answer_echo(net, frame, now_us);
    else if (!icmp.inner_tcp || !net_is_ours(net, &icmp.inner.src))
        drop(net, STAT_net_drop_icmp_flow, frame->pkt);
    else
        receive_error(net, frame, &icmp);
}
