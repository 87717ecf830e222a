/* train.c: segments of a flow that leave one right behind the other: the way is asked for once, and the headers are those of
 * the first one with a few fields changed.
 *
 * In all of them lengths, the packet's identification, the sequence number, the last one's PSH and two checksums are what
 * differs.  The sums over all else are made once; so a segment costs a copy of the headers and the sum of its payload.
 */
#include "engine/net/private.h"

/* A length that compilers copy without a call: what is more than the headers goes into the headroom before them. */
#define HEADER_ROOM 96u

static_assert(HEADER_ROOM <= PKT_HEADROOM, "payload has that much before it");
static_assert(HEADER_ROOM >= ETH_HEADER_BYTES + IPV6_HEADER_BYTES + TCP_HEADER_MIN + 12,
              "the longest headers of a train: time stamps are their only option");

#define TCP_SEQ_AT      4u
#define TCP_FLAGS_AT    13u
#define TCP_CHECKSUM_AT 16u
#define IP_ID_AT        4u
#define IP_CHECKSUM_AT  10u
#define IPV4_LENGTH_AT  2u
#define IPV6_LENGTH_AT  4u

struct headers {
    uint8_t room[HEADER_ROOM]; /* what is in front of the payload, up to it */
    uint32_t tcp_sum, ip_sum;  /* over what all have in common; the former with the pseudo header */
    uint16_t flags;            /* enum pkt_flags */
    uint8_t l2_len, l3_len, l4_len;
    bool v4;
};

static void put_u16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, sizeof(v));
}

/* As it is stored: what is added up are words as the machine loads them. */
static uint16_t net_u16(uint32_t v)
{
    const uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    uint16_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static uint32_t net_u32(uint32_t v)
{
    const uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static uint32_t headers_bytes(const struct headers *h)
{
    return (uint32_t)h->l2_len + h->l3_len + h->l4_len;
}

/* What differs is zero in the sums, and filled in for each. */
static void sum_up(struct headers *h, const struct flow_key *key)
{
    uint8_t *tcp = h->room + HEADER_ROOM - h->l4_len, *ip = tcp - h->l3_len;
    memset(tcp + TCP_SEQ_AT, 0, 4);
    put_u16(tcp + TCP_CHECKSUM_AT, 0);
    h->tcp_sum = checksum_tcp_pseudo(&key->local, &key->remote, 0);
    if (!(h->flags & PKT_TX_TCP_CSUM))
        h->tcp_sum = checksum_add(h->tcp_sum, tcp, h->l4_len);
    if (!h->v4)
        return;
    put_u16(ip + IPV4_LENGTH_AT, 0);
    put_u16(ip + IP_ID_AT, 0);
    put_u16(ip + IP_CHECKSUM_AT, 0);
    h->ip_sum = checksum_add(0, ip, h->l3_len);
}

/* A frame of the first segment without its payload is what all others are made from. */
static void make_headers(struct net *net, const struct flow_key *key, const struct tcp_segment *first,
                         const struct mac_addr *station, struct headers *h)
{
    struct pkt model = {.buf = h->room, .data = h->room + HEADER_ROOM, .cap = HEADER_ROOM};
    struct tcp_segment bare = *first;
    bare.len = 0;
    frame_push_tcp(net, &model, key, &bare);
    frame_set_destination(&model, station);
    h->flags = model.flags;
    h->l2_len = model.l2_len;
    h->l3_len = model.l3_len;
    h->l4_len = model.l4_len;
    h->v4 = ip_is_v4(&key->local);
    sum_up(h, key);
}

static void finish_ip(struct net *net, const struct headers *h, uint8_t *ip, uint32_t ip_bytes)
{
    if (!h->v4) {
        put_u16(ip + IPV6_LENGTH_AT, net_u16(ip_bytes - IPV6_HEADER_BYTES));
        return;
    }
    uint16_t length = net_u16(ip_bytes), id = net_u16(net->ip_id++);
    put_u16(ip + IPV4_LENGTH_AT, length);
    put_u16(ip + IP_ID_AT, id);
    if (!(h->flags & PKT_TX_IP_CSUM))
        put_u16(ip + IP_CHECKSUM_AT, checksum_finish(h->ip_sum + length + id));
}

static void finish_tcp(const struct headers *h, uint8_t *tcp, const struct pkt_tcp *text, uint8_t end_flags)
{
    uint32_t seq = net_u32(text->seq), sum = checksum_fold(h->tcp_sum) + net_u16(h->l4_len + text->len);
    memcpy(tcp + TCP_SEQ_AT, &seq, sizeof(seq));
    tcp[TCP_FLAGS_AT] |= end_flags;
    if (h->flags & PKT_TX_TCP_CSUM) {
        put_u16(tcp + TCP_CHECKSUM_AT, checksum_fold(sum));
        return;
    }
    sum += (seq & 0xffff) + (seq >> 16) + net_u16(end_flags);
    put_u16(tcp + TCP_CHECKSUM_AT, checksum_finish(checksum_add(sum, text->payload, text->len)));
}

/* Nobody else has a packet that has not left before. */
static void couple(struct net *net, const struct headers *h, struct pkt *p, uint8_t end_flags)
{
    uint8_t *payload = p->tcp.payload;
    assert(!pkt_shared(p) && payload >= p->buf + PKT_HEADROOM);
    memcpy(payload - HEADER_ROOM, h->room, HEADER_ROOM);
    p->data = payload - headers_bytes(h);
    p->len = (uint16_t)(headers_bytes(h) + p->tcp.len);
    p->flags = h->flags;
    p->more = NULL;
    p->segment_bytes = 0;
    p->l2_len = h->l2_len;
    p->l3_len = h->l3_len;
    p->l4_len = h->l4_len;
    finish_tcp(h, payload - h->l4_len, &p->tcp, end_flags);
    finish_ip(net, h, p->data + h->l2_len, p->len - h->l2_len);
    assert(p->len <= net->port->mtu + ETH_HEADER_BYTES);
}

/* NULL: its segments have to find their way one by one. */
static const struct mac_addr *station_for(struct net *net, const struct flow_key *key)
{
    struct ip_addr next_hop;
    bool one_by_one = net->port->offloads & PORT_OFFLOAD_TSO || net->own.unusable > 0;
    if (unlikely(one_by_one || !route_next_hop(&net->routes, &key->remote, &next_hop)))
        return NULL;
    return neigh_reachable(net, &next_hop);
}

struct one_by_one {
    struct net *net;
    const struct flow_key *key;
    uint32_t flow;
    uint64_t now_us;
};

static bool send_one(void *ctx, const struct tcp_segment *seg)
{
    struct one_by_one *o = ctx;
    return net_send_segment(o->net, o->key, o->flow, seg, o->now_us);
}

uint32_t net_send_train(struct net *net, const struct flow_key *key, uint32_t flow,
                        const struct tcp_train *train, uint64_t now_us)
{
    const struct mac_addr *station = station_for(net, key);
    if (!station)
        return tcp_train_each(train, send_one, &(struct one_by_one){net, key, flow, now_us});
    struct headers headers;
    make_headers(net, key, &train->first, station, &headers);
    uint32_t count = min_u32(train->count, tx_room(net, now_us));
    struct pkt *p = train->first.pkt;
    for (uint32_t i = 0; i < count; i++, p = p->next) {
        couple(net, &headers, p, i + 1 == train->count ? train->end_flags : 0);
        pkt_ref(p); /* one reference for the port */
        tx_append(net, p);
    }
    return count;
}
