/* look.c: what the control thread wants to see of a core: copies of frames, a list of connections. */
#include "engine/core/core_private.h"

#include <stdio.h>

#define LISTING_STEP \
    512u /* places of the pool a housekeeping: what else the core does waits for less than a burst's time */

void tap_begin(struct core *core, struct tap *tap)
{
    assert(!core->tap);
    core->tap = tap;
    net_tap(core->net, tap);
    atomic_store_explicit(&tap->begun, true, memory_order_release);
}

void tap_release(struct core *core)
{
    struct tap *tap = core->tap;
    if (!tap)
        return;
    net_tap(core->net, NULL);
    core->tap = NULL;
    atomic_store_explicit(&tap->released, true, memory_order_release);
}

void listing_begin(struct core *core, struct core_listing *listing)
{
    assert(!core->listing);
    core->listing = listing;
}

static bool is_asked_for(const struct core_listing *listing, const struct conn *conn)
{
    if (!conn->env || conn->phase == CONN_GONE)
        return false;
    return (ip_is_unspecified(&listing->peer) || ip_equal(&listing->peer, &conn->key.remote)) &&
           (listing->port == 0 || listing->port == conn->key.remote_port);
}

static void fill(struct core_connection *to, const struct conn *conn, uint64_t now_us)
{
    const struct tls_verified *proof = conn->tls ? tls_verified(conn->tls) : NULL;
    *to = (struct core_connection){
        .key = conn->key,
        .tcp = tcp_info(&conn->tcb),
        .phase = conn_phase_name(conn->phase),
        .tls_version = proof ? proof->version : 0,
        .messages = conn->messages,
        .in_hand = conn->in_hand,
        .age_us = now_us - conn->opened_us,
    };
    snprintf(to->host, sizeof(to->host), "%s", conn->hop.host);
}

/* Places that were never used lie above the most that were in use: a pool gives out its lowest first. */
static void listing_step(struct core *core)
{
    struct core_listing *listing = core->listing;
    uint32_t end = min_u32(listing->next + LISTING_STEP, core->connections.in_use_max);
    for (; listing->next < end; listing->next++) {
        const struct conn *conn = pool_at(&core->connections, listing->next);
        if (!is_asked_for(listing, conn))
            continue;
        listing->matching++;
        if (listing->count < listing->max)
            fill(&listing->connection[listing->count++], conn, core->now_us);
    }
    if (listing->next < core->connections.in_use_max)
        return;
    core->listing = NULL;
    atomic_store_explicit(&listing->answered, true, memory_order_release);
}

void core_look(struct core *core)
{
    if (core->tap && atomic_load_explicit(&core->tap->ended, memory_order_acquire))
        tap_release(core);
    if (core->listing) {
        listing_step(core);
        core->worked |= core->listing != NULL;
    }
}
