/* neigh.c: the neighbour table and the packets that wait for it. */
#include "engine/net/neigh.h"
#include "engine/net/private.h"

#include <stdlib.h>

/* ---- the table ---- */

bool neigh_table_open(struct neigh_table *table, uint32_t max, const struct hash_key *key, struct error *err)
{
    uint32_t buckets = 16;
    while (buckets < max)
        buckets *= 2;
    *table = (struct neigh_table){.key = *key, .max = max, .mask = buckets - 1};
    table->neighbour = calloc(max, sizeof(*table->neighbour));
    table->bucket = (struct neigh **)calloc(buckets, sizeof(struct neigh *));
    if (max == 0 || !table->neighbour || !table->bucket) {
        neigh_table_close(table);
        return error_set(err, "no memory for a table of %u neighbours", max);
    }
    wheel_init(&table->wheel, 0);
    list_init(&table->free);
    list_init(&table->reachable);
    list_init(&table->stale);
    for (uint32_t i = 0; i < max; i++) {
        wheel_timer_init(&table->neighbour[i].timer, 0);
        list_push_tail(&table->free, &table->neighbour[i].link);
    }
    for (uint32_t i = 0; i < NEIGH_HELD_TOTAL; i++) {
        table->held[i].next = table->held_free;
        table->held_free = &table->held[i];
    }
    return true;
}

void neigh_table_close(struct neigh_table *table)
{
    for (uint32_t i = 0; table->neighbour && i < table->max; i++)
        for (struct held *h = table->neighbour[i].held; h; h = h->next)
            pkt_free(h->pkt);
    free(table->neighbour);
    free((void *)table->bucket);
    table->neighbour = NULL;
    table->bucket = NULL;
}

static struct neigh **bucket_of(struct neigh_table *table, const struct ip_addr *ip)
{
    return &table->bucket[hash_addr(&table->key, ip) & table->mask];
}

static struct neigh *find(struct neigh_table *table, const struct ip_addr *ip)
{
    struct neigh *n = table->recent;
    if (n && ip_equal(&n->ip, ip))
        return n;
    for (n = *bucket_of(table, ip); n; n = n->hash_next)
        if (ip_equal(&n->ip, ip))
            return table->recent = n;
    return NULL;
}

static void forget(struct neigh_table *table, struct neigh *n)
{
    assert(n->held_count == 0);
    struct neigh **at = bucket_of(table, &n->ip);
    while (*at != n)
        at = &(*at)->hash_next;
    *at = n->hash_next;
    wheel_cancel(&table->wheel, &n->timer);
    n->state = NEIGH_FREE;
    n->asked = false;
    list_remove(&n->link);
    list_push_tail(&table->free, &n->link);
    if (table->recent == n)
        table->recent = NULL;
}

/* The one confirmed longest ago that nobody has used since it was passed over last; NULL: none is reachable. */
static struct neigh *least_used(struct neigh_table *table)
{
    for (uint32_t i = 0; i < NEIGH_PASSED_OVER && !list_empty(&table->reachable); i++) {
        struct neigh *n = list_entry(list_head(&table->reachable), struct neigh, link);
        if (!n->used)
            return n;
        n->used = false;
        list_remove(&n->link);
        list_push_tail(&table->reachable, &n->link);
    }
    return list_empty(&table->reachable) ? NULL
                                         : list_entry(list_head(&table->reachable), struct neigh, link);
}

static void make_room(struct neigh_table *table, bool for_a_flow)
{
    struct neigh *n = NULL;
    if (!list_empty(&table->stale))
        n = list_entry(list_head(&table->stale), struct neigh, link);
    else if (for_a_flow)
        n = least_used(table);
    if (n)
        forget(table, n);
}

/* NULL: all are in use. */
static struct neigh *take(struct neigh_table *table, const struct ip_addr *ip, bool for_a_flow)
{
    if (list_empty(&table->free))
        make_room(table, for_a_flow);
    struct list *item = list_pop(&table->free);
    if (!item)
        return NULL;
    struct neigh *n = list_entry(item, struct neigh, link);
    struct neigh **bucket = bucket_of(table, ip);
    n->ip = *ip;
    n->hash_next = *bucket;
    *bucket = n;
    n->held = NULL;
    n->held_tail = &n->held;
    return n;
}

/* ---- packets that wait ---- */

static struct held *held_pop(struct neigh *n)
{
    struct held *h = n->held;
    n->held = h->next;
    if (!n->held)
        n->held_tail = &n->held;
    n->held_count--;
    return h;
}

static void held_release(struct neigh_table *table, struct held *h)
{
    h->next = table->held_free;
    table->held_free = h;
}

/* RFC 1122 section 2.3.2.2: the latest packet is saved, so the oldest gives way. */
static void hold(struct net *net, struct neigh *n, struct pkt *pkt, uint32_t flow)
{
    struct neigh_table *table = &net->neigh;
    if (n->held_count > 0 && (n->held_count == NEIGH_HELD_MAX || !table->held_free)) {
        struct held *oldest = held_pop(n);
        drop(net, STAT_net_drop_no_neighbour, oldest->pkt);
        held_release(table, oldest);
    }
    struct held *h = table->held_free;
    if (!h) {
        drop(net, STAT_net_drop_no_neighbour, pkt);
        return;
    }
    table->held_free = h->next;
    *h = (struct held){.pkt = pkt, .flow = flow, .next = NULL};
    *n->held_tail = h;
    n->held_tail = &h->next;
    n->held_count++;
}

static void send_held(struct net *net, struct neigh *n, uint64_t now_us)
{
    while (n->held_count > 0) {
        struct held *h = held_pop(n);
        frame_set_destination(h->pkt, &n->mac);
        tx_push(net, h->pkt, now_us);
        held_release(&net->neigh, h);
    }
}

/* A flow that has ended meanwhile may have left its number to another one. */
static bool still_stands(struct net *net, const struct held *h)
{
    struct ip_header ip;
    const uint8_t *packet = h->pkt->data + ETH_HEADER_BYTES;
    if (h->flow == NET_NO_FLOW || !ip_header_parse_quoted(&ip, packet, h->pkt->len - ETH_HEADER_BYTES))
        return false;
    struct bytes_in tcp = bytes_in(packet + ip.header_len, ip.payload_len);
    struct flow_key key = {.local = ip.src, .remote = ip.dst};
    key.local_port = bytes_be16(&tcp);
    key.remote_port = bytes_be16(&tcp);
    return flow_find(&net->flows, &key) == h->flow;
}

/* The entry is forgotten first: whoever is told may send again, which begins to ask anew. */
static void give_up(struct net *net, struct neigh *n)
{
    struct held *list = n->held;
    n->held = NULL;
    n->held_count = 0;
    forget(&net->neigh, n);
    while (list) {
        struct held *h = list;
        uint32_t flow = still_stands(net, h) ? h->flow : NET_NO_FLOW;
        list = h->next;
        drop(net, STAT_net_drop_no_neighbour, h->pkt);
        held_release(&net->neigh, h);
        if (flow != NET_NO_FLOW && net->handler.unreachable)
            net->handler.unreachable(net->handler.ctx, flow);
    }
}

/* ---- states ---- */

static void enter(struct net *net, struct neigh *n, enum neigh_state state, uint64_t now_us, uint64_t stay_us)
{
    struct wheel *wheel = &net->neigh.wheel;
    list_remove(&n->link);
    n->state = (uint8_t)state;
    if (state == NEIGH_STALE || state == NEIGH_REACHABLE)
        list_push_tail(state == NEIGH_STALE ? &net->neigh.stale : &net->neigh.reachable, &n->link);
    if (wheel->armed == 0) {
        struct wheel_timer *none =
            wheel_expire(wheel, now_us); /* an empty wheel stands still: bring it to now */
        assert(!none);
        (void)none;
    }
    wheel_arm(wheel, &n->timer, now_us + stay_us);
    net_rearm(net);
}

/* Everybody (NULL) or the station that it was. */
static void ask(struct net *net, struct neigh *n, const struct mac_addr *to, uint64_t now_us)
{
    n->asked = true;
    n->tries++;
    if (ip_is_v4(&n->ip))
        arp_ask(net, &n->ip, to, now_us);
    else
        nd_ask(net, &n->ip, to, now_us);
}

static void begin_to_ask(struct net *net, struct neigh *n, enum neigh_state state, const struct mac_addr *to,
                         uint64_t now_us)
{
    n->tries = 0;
    enter(net, n, state, now_us, NEIGH_RETRY_US);
    ask(net, n, to, now_us);
}

static void confirm(struct net *net, struct neigh *n, const struct mac_addr *mac, uint64_t now_us)
{
    n->mac = *mac;
    n->asked = n->used = false;
    enter(net, n, NEIGH_REACHABLE, now_us, ip_is_v4(&n->ip) ? NEIGH_REACHABLE_US : NEIGH_REACHABLE6_US);
    send_held(net, n, now_us);
}

void neigh_output(struct net *net, const struct ip_addr *next_hop, struct pkt *frame, uint32_t flow,
                  uint64_t now_us)
{
    struct neigh *n = find(&net->neigh, next_hop);
    if (likely(n && n->state == NEIGH_REACHABLE)) {
        n->used = true;
        frame_set_destination(frame, &n->mac);
        tx_push(net, frame, now_us);
        return;
    }
    if (!n) {
        n = take(&net->neigh, next_hop, flow != NET_NO_FLOW);
        if (!n) {
            drop(net, STAT_net_drop_no_neighbour, frame);
            return;
        }
        begin_to_ask(net, n, NEIGH_INCOMPLETE, NULL, now_us);
    }
    if (n->state == NEIGH_INCOMPLETE) {
        hold(net, n, frame, flow);
        return;
    }
    if (n->state == NEIGH_STALE)
        begin_to_ask(net, n, NEIGH_PROBE, &n->mac, now_us);
    frame_set_destination(frame, &n->mac);
    tx_push(net, frame, now_us);
}

const struct mac_addr *neigh_reachable(struct net *net, const struct ip_addr *next_hop)
{
    struct neigh *n = find(&net->neigh, next_hop);
    if (!n || n->state != NEIGH_REACHABLE)
        return NULL;
    n->used = true;
    return &n->mac;
}

void neigh_learn(struct net *net, const struct ip_addr *ip, const struct mac_addr *mac, enum neigh_word word,
                 uint64_t now_us)
{
    struct neigh *n = find(&net->neigh, ip);
    if (!n || (n->state == NEIGH_INCOMPLETE && !mac))
        return;
    bool other = n->state != NEIGH_INCOMPLETE && mac && memcmp(n->mac.b, mac->b, sizeof(mac->b)) != 0;
    if (n->asked && (word == NEIGH_ANSWERS || (word == NEIGH_CONFIRMS && !other))) {
        confirm(net, n, mac ? mac : &n->mac, now_us);
        return;
    }
    if (other && (n->state == NEIGH_REACHABLE || n->state == NEIGH_STALE))
        begin_to_ask(net, n, NEIGH_PROBE, NULL, now_us);
}

static void timer_fired(struct net *net, struct neigh *n, uint64_t now_us)
{
    if (n->state == NEIGH_REACHABLE) {
        enter(net, n, NEIGH_STALE, now_us, NEIGH_STALE_US);
    } else if (n->state == NEIGH_STALE) {
        forget(&net->neigh, n);
    } else if (n->tries < NEIGH_TRIES) {
        enter(net, n, n->state, now_us, NEIGH_RETRY_US);
        ask(net, n, n->state == NEIGH_PROBE ? &n->mac : NULL, now_us);
    } else if (n->state == NEIGH_PROBE) {
        begin_to_ask(net, n, NEIGH_INCOMPLETE, NULL, now_us);
    } else {
        give_up(net, n);
    }
}

void neigh_timers(struct net *net, uint64_t now_us)
{
    for (struct wheel_timer *t; (t = wheel_expire(&net->neigh.wheel, now_us));)
        timer_fired(net, container_of(t, struct neigh, timer), now_us);
}
