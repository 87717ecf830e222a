/* handoff.c: frames between cores: one that arrived at the wrong core, and ARP, which all of them want. */
#include "engine/core/core_private.h"

#define MISPLACED_MIN 32u /* segments, before anything is said of them */
#define MISPLACED_PERCENT \
    5u /* of those that arrived; fewer are what a change of the device's table leaves behind */

bool handoff_give(void *ctx, uint32_t owner, struct pkt *pkt)
{
    struct core *core = ctx;
    struct handoff_queue *handoff = owner < CORE_MAX ? core->handoff_to[owner] : NULL;
    pkt->flags |= PKT_RX_HANDED_OFF;
    return handoff && spsc_push(&handoff->queue, pkt);
}

void handoff_share_neighbour(void *ctx, const struct pkt *pkt)
{
    struct core *core = ctx;
    for (uint32_t i = 0; i < core->config.cores; i++) {
        if (!core->handoff_to[i])
            continue;
        struct pkt *copy = pkt_alloc(core->port->tx_pool, PKT_DATA);
        if (!copy)
            return; /* the other core asks for itself when it needs the answer */
        size_t room = pkt_tailroom(copy);
        if (pkt->len <= room) {
            memcpy(copy->data, pkt->data, pkt->len);
            copy->len = pkt->len;
            if (handoff_give(core, i, copy))
                continue;
        }
        pkt_free(copy);
    }
}

void handoff_take(struct core *core)
{
    for (uint32_t i = 0; i < core->config.cores; i++) {
        if (!core->handoff_from[i])
            continue;
        struct pkt *pkt;
        for (uint32_t n = 0; n < PORT_BURST && (pkt = spsc_pop(&core->handoff_from[i]->queue)); n++) {
            core->worked = true;
            net_receive(core->net, pkt, core->now_us);
        }
    }
}

/* What arrived at this core's queue are its own segments, less those from others, and what it handed on. */
void handoff_judge(struct core *core)
{
    const uint64_t *v = core->stats.v;
    uint64_t wrong = v[STAT_net_handoff_out] + v[STAT_net_drop_handoff_full];
    uint64_t own = v[STAT_tcp_segments_in] - min_u64(v[STAT_tcp_segments_in], v[STAT_net_handoff_in]);
    if (core->misplaced_told || wrong < MISPLACED_MIN || wrong * 100 < (wrong + own) * MISPLACED_PERCENT)
        return;
    core->misplaced_told = true;
    if (core->config.log.misplaced)
        core->config.log.misplaced(core->config.log.ctx, wrong, wrong + own, core->port->steering != NULL);
}
