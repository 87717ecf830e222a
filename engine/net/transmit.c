/* transmit.c: the queue of frames between the stack and its port. */
#include "engine/net/private.h"

static uint32_t waiting(const struct tx_queue *tx)
{
    return tx->tail - tx->head;
}

void net_tap(struct net *net, struct tap *tap)
{
    net->tap = tap;
    if (tap)
        tap->sent_seen = net->tx.head;
}

/* Once a frame, however often the port is offered it; before, since it is the port's once it has taken it. */
static noinline void tap_waiting(struct net *net, uint32_t end, uint64_t now_us)
{
    const struct tx_queue *tx = &net->tx;
    uint32_t at = (int32_t)(net->tap->sent_seen - tx->head) > 0 ? net->tap->sent_seen : tx->head;
    for (; (int32_t)(end - at) > 0; at++)
        tap_take(net->tap, tx->frame[at % NET_TX_QUEUE], now_us);
    net->tap->sent_seen = at;
}

static uint64_t frames_bytes(struct pkt *const *frame, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += pkt_frame_bytes(frame[i]);
    return bytes;
}

/* One burst; false when the port did not take all of it. */
static bool transmit_burst(struct net *net, uint64_t now_us)
{
    struct tx_queue *tx = &net->tx;
    uint32_t at = tx->head % NET_TX_QUEUE;
    uint32_t count = min_u32(min_u32(waiting(tx), PORT_BURST), NET_TX_QUEUE - at);
    uint64_t bytes = frames_bytes(&tx->frame[at], count); /* once the port has the frames they are gone */
    if (unlikely(net->tap != NULL))
        tap_waiting(net, tx->head + count, now_us);
    uint32_t taken = port_transmit(net->port, &tx->frame[at], count, now_us);
    assert(taken <= count);
    tx->head += taken;
    stat_add(net->stats, STAT_port_tx_packets, taken);
    stat_add(net->stats, STAT_port_tx_bytes, bytes - frames_bytes(&tx->frame[at + taken], count - taken));
    if (taken > 0)
        tx->stalled_us = tx->retry_us = DEADLINE_NEVER;
    return taken == count;
}

/* To TCP a port that takes nothing must look like a network that loses, or its timers never start. */
static noinline void port_is_full(struct net *net, uint64_t now_us)
{
    struct tx_queue *tx = &net->tx;
    tx->refused_us = now_us;
    if (tx->stalled_us == DEADLINE_NEVER)
        tx->stalled_us = now_us;
    if (now_us - tx->stalled_us >= NET_TX_STALL_US)
        while (waiting(tx) > 0)
            drop(net, STAT_port_tx_drop_full, tx->frame[tx->head++ % NET_TX_QUEUE]);
    tx->retry_us = waiting(tx) > 0 ? now_us + NET_TX_RETRY_US : DEADLINE_NEVER;
    net_rearm(net);
}

void net_transmit_flush(struct net *net, uint64_t now_us)
{
    run_close(net);
    while (waiting(&net->tx) > 0) {
        if (!transmit_burst(net, now_us)) {
            port_is_full(net, now_us);
            return;
        }
    }
}

bool net_burst_waits(const struct net *net)
{
    return waiting(&net->tx) >= PORT_BURST && net->tx.stalled_us == DEADLINE_NEVER;
}

bool net_has_room(const struct net *net)
{
    return waiting(&net->tx) < NET_TX_QUEUE;
}

/* A port that has refused is asked again in the next turn. */
bool tx_has_room(struct net *net, uint64_t now_us)
{
    if (unlikely(!net_has_room(net)) && net->tx.refused_us != now_us)
        net_transmit_flush(net, now_us);
    return net_has_room(net);
}

uint32_t tx_room(struct net *net, uint64_t now_us)
{
    return tx_has_room(net, now_us) ? NET_TX_QUEUE - waiting(&net->tx) : 0;
}

void tx_push(struct net *net, struct pkt *frame, uint64_t now_us)
{
    if (unlikely(!tx_has_room(net, now_us))) {
        drop(net, STAT_port_tx_drop_full, frame);
        return;
    }
    run_close(net);
    tx_append(net, frame);
}

bool net_transmit_waiting(const struct net *net)
{
    return waiting(&net->tx) > 0;
}
