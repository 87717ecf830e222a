/* wire.c: raw IP packets in and out; what engine/net does around the TCP, without Ethernet. */
#include "tests/packetdrill/sock.h"

#include <stdlib.h>

#define HOP_LIMIT 64u

/* ---- out ---- */

static void put_ip(uint8_t *out, const struct ip_header *ip)
{
    if (ip_is_v4(&ip->src)) {
        ipv4_emit(out, ip, false);
        return;
    }
    struct bytes_out o = bytes_out(out, IPV6_HEADER_BYTES);
    bytes_put_be32(&o, 6u << 28 | (uint32_t)ip->ecn << 20);
    bytes_put_be16(&o, ip->payload_len);
    bytes_put_u8(&o, ip->protocol);
    bytes_put_u8(&o, ip->ttl);
    bytes_put(&o, ip->src.b, sizeof(ip->src.b));
    bytes_put(&o, ip->dst.b, sizeof(ip->dst.b));
}

static void append(struct shim *shim, struct sent_packet *p)
{
    p->next = NULL;
    p->when_us = shim->now_us;
    if (shim->sent)
        shim->sent_last->next = p;
    else
        shim->sent = p;
    shim->sent_last = p;
}

static void fill_checksum(uint8_t *tcp, size_t len, const struct ip_header *ip)
{
    uint32_t sum = checksum_tcp_pseudo(&ip->src, &ip->dst, (uint32_t)len);
    uint16_t checksum = checksum_finish(checksum_add(sum, tcp, len));
    memcpy(tcp + 16, &checksum, sizeof(checksum));
}

static bool send_segment(struct shim *shim, struct ip_header ip, const struct tcp_segment *seg)
{
    size_t ip_len = ip_is_v4(&ip.src) ? IPV4_HEADER_MIN : IPV6_HEADER_BYTES;
    size_t tcp_len = tcp_header_bytes(seg) + seg->len;
    struct sent_packet *p = malloc(sizeof(*p) + ip_len + tcp_len);
    if (!p)
        return false;
    ip.payload_len = (uint16_t)tcp_len;
    put_ip(p->data, &ip);
    size_t header_len = tcp_header_emit(p->data + ip_len, seg);
    if (seg->len)
        memcpy(p->data + ip_len + header_len, seg->payload, seg->len);
    fill_checksum(p->data + ip_len, tcp_len, &ip);
    p->len = ip_len + tcp_len;
    append(shim, p);
    return true;
}

static struct ip_header header(const struct ip_addr *src, const struct ip_addr *dst, uint8_t ecn)
{
    return (struct ip_header){.src = *src,
                              .dst = *dst,
                              .protocol = IP_PROTO_TCP,
                              .ttl = HOP_LIMIT,
                              .ecn = ecn,
                              .dont_fragment = true};
}

bool wire_emit(void *ctx, const struct tcp_segment *seg)
{
    struct sock *s = ctx;
    if (!send_segment(s->shim, header(&s->local, &s->remote, seg->ip_ecn), seg))
        return false;
    if (seg->len)
        s->times.data_sent_us = s->shim->now_us;
    return true;
}

/* ---- in ---- */

/* RFC 9293 section 3.10.7.1. */
static void refuse(struct shim *shim, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct tcp_segment rst = {.src_port = seg->dst_port, .dst_port = seg->src_port, .flags = TCP_RST};
    if (seg->flags & TCP_RST)
        return;
    if (seg->flags & TCP_ACK) {
        rst.seq = seg->ack;
    } else {
        rst.flags |= TCP_ACK;
        rst.ack = seg->seq + seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN);
    }
    if (!send_segment(shim, header(&ip->dst, &ip->src, 0), &rst))
        abort();
}

static void note_times(struct sock *s, const struct tcp_segment *seg)
{
    if (seg->flags & TCP_ACK)
        s->times.ack_received_us = s->shim->now_us;
    if (seg->len || (seg->flags & TCP_SYN))
        s->times.data_received_us = s->shim->now_us;
}

/* RFC 9293 section 3.6.1 (SHLD-3): nobody is there any more to take new data. */
static bool has_nobody(const struct sock *s, const struct tcp_segment *seg)
{
    enum tcp_state state = tcp_state(&s->tcb);
    bool held = s->fd >= 0 || s->listener;
    return !held && (state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2) && seg->len > 0 &&
           seq_gt(seg->seq + seg->len, s->tcb.rcv_nxt);
}

static void take_segment(struct shim *shim, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct sock *s = sock_of_packet(shim, ip, seg), *listener = sock_listening(shim, seg->dst_port);
    if (s && has_nobody(s, seg)) {
        sock_forget(s);
        refuse(shim, ip, seg);
    } else if (s) {
        note_times(s, seg);
        tcp_input(&s->tcb, seg, shim->now_us);
    } else if (listener && (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN) {
        if ((s = sock_spawn(listener, ip, seg)))
            note_times(s, seg);
    } else {
        refuse(shim, ip, seg);
    }
}

static void take_tcp(struct shim *shim, const struct ip_header *ip, const uint8_t *packet)
{
    struct tcp_segment seg;
    uint32_t sum = checksum_tcp_pseudo(&ip->src, &ip->dst, ip->payload_len);
    struct pkt *p = pkt_alloc(shim->recv_pool, PKT_CONTROL);
    if (!p)
        return;
    size_t len = ip->payload_len;
    if (len <= pkt_tailroom(p) && checksum_finish(checksum_add(sum, packet + ip->header_len, len)) == 0) {
        memcpy(p->data, packet + ip->header_len, len);
        p->len = (uint16_t)len;
        if (tcp_segment_parse(&seg, p->data, len)) {
            seg.ip_ecn = ip->ecn;
            seg.pkt = p;
            take_segment(shim, ip, &seg);
        }
    }
    pkt_free(p);
}

/* RFC 5461: protocol and port unreachable are the hard ones. */
static void take_icmp(struct shim *shim, const struct ip_header *ip, const uint8_t *packet)
{
    struct icmp icmp;
    if (!icmp_parse(&icmp, packet + ip->header_len, ip->payload_len) || !icmp.inner_tcp)
        return;
    struct sock *s = sock_of_quote(shim, &icmp);
    bool hard = icmp.kind == ICMP_UNREACHABLE && (icmp.code == 2 || icmp.code == 3);
    if (s)
        tcp_icmp_error(&s->tcb, icmp.inner_seq, hard, icmp.kind == ICMP_FRAG_NEEDED ? icmp.mtu : 0,
                       shim->now_us);
}

void wire_receive(struct shim *shim, const void *packet, size_t len)
{
    struct ip_header ip;
    if (ip_header_parse(&ip, packet, len, true) != IP_OK || ip.fragment)
        return;
    if (ip.protocol == IP_PROTO_TCP)
        take_tcp(shim, &ip, packet);
    else if (ip.protocol == IP_PROTO_ICMP)
        take_icmp(shim, &ip, packet);
    else
        shim_unsupported(0, "IP protocol %u", ip.protocol);
}
