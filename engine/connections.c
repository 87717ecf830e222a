/* connections.c: `hardline status --connections`: each core copies out what it has, and control makes an answer of it. */
#include "engine/engine.h"

#include "engine/base/clock.h"
#include "engine/control/admin_connections.h"
#include "engine/control/admin_json.h"

#include <stdlib.h>
#include <string.h>

#define LISTING_WAIT_US 5000000u

static bool is_answered(const struct core_listing *listing)
{
    return atomic_load_explicit(&listing->answered, memory_order_acquire);
}

/* A core that has stopped answers no more, and touches nothing. */
static bool is_done(const struct hl_engine *engine, uint32_t core)
{
    const struct core_listing *listing = engine->listings.of[core];
    return !listing || is_answered(listing) || core_stopped(engine->core[core].core);
}

static bool all_done(const struct hl_engine *engine)
{
    for (uint32_t i = 0; i < engine->cores; i++)
        if (!is_done(engine, i))
            return false;
    return true;
}

void engine_collect_listings(struct hl_engine *engine)
{
    for (uint32_t i = 0; i < engine->cores && !engine->listings.asked; i++) {
        if (!is_done(engine, i))
            continue;
        free(engine->listings.of[i]);
        engine->listings.of[i] = NULL;
    }
}

static bool ask_core(struct hl_engine *engine, uint32_t core, const struct admin_request *request)
{
    struct core_listing *listing =
        calloc(1, sizeof(*listing) + request->max * sizeof(struct core_connection));
    if (!listing)
        return false;
    listing->peer = request->peer;
    listing->port = request->port;
    listing->max = request->max;
    if (!core_tell(engine->core[core].core, CORE_LIST, listing)) {
        free(listing);
        return false;
    }
    engine->listings.of[core] = listing;
    return true;
}

bool engine_begin_listing(struct hl_engine *engine, const struct admin_request *request, struct error *err)
{
    struct engine_listings *listings = &engine->listings;
    engine_collect_listings(engine);
    for (uint32_t i = 0; i < engine->cores; i++)
        if (listings->of[i])
            return error_set(err, "somebody else's question about connections is being answered: ask again");
    listings->asked = true;
    listings->max = request->max;
    listings->until_us = clock_now_us() + LISTING_WAIT_US;
    for (uint32_t i = 0; i < engine->cores; i++) {
        if (ask_core(engine, i, request))
            continue;
        listings->asked = false;
        return error_set(err, "core %u cannot be asked: no memory, or it is stuck", i);
    }
    return true;
}

static char *late(const struct hl_engine *engine, size_t *len)
{
    struct error err;
    uint32_t core = 0;
    while (is_done(engine, core))
        core++;
    error_set(&err, "core %u does not answer: it is stuck, or its CPU is taken by something else", core);
    return admin_json_error(err.text, len);
}

char *engine_more_listing(struct hl_engine *engine, size_t *len, bool *over)
{
    struct engine_listings *listings = &engine->listings;
    bool done = all_done(engine);
    *over = done || clock_now_us() > listings->until_us;
    if (!*over)
        return NULL;
    return done ? admin_json_connections(listings->of, engine->cores, listings->max, len) : late(engine, len);
}

void engine_finish_listing(struct hl_engine *engine)
{
    engine->listings.asked = false;
    engine_collect_listings(engine);
}

void engine_close_listings(struct hl_engine *engine)
{
    for (uint32_t i = 0; i < CORE_MAX; i++)
        free(engine->listings.of[i]);
    memset(&engine->listings, 0, sizeof(engine->listings));
}
