/* pair.h: both ends of a feed in one process: the engine's hand-over runs in a thread while the library attaches.
 *
 * Afterwards the test is the core: it calls feed_take and feed_report itself.
 */
#ifndef TESTS_UNIT_RING_PAIR_H
#define TESTS_UNIT_RING_PAIR_H

#include "engine/control/feed_server.h"
#include "engine/ring/feed.h"
#include "engine/ring/layout.h"

#include <pthread.h>

struct pair {
    char path[108];
    struct feed_server *server;
    struct feed *engine; /* NULL once detached */
    hl_feed *producer;
    struct feed_rights rights; /* for the next producer */
    bool refuse;               /* the next producer */
    bool has_user;             /* somebody is to find a place, whatever others take: */
    uint32_t user;
    bool hold_detach; /* the core does not let go */
    uint32_t detaches;
    char note[512]; /* the last */
    struct hl_error error;
};

/* A small shape: one lane of 8 slots, 8 completions, an arena of 256 KiB. */
struct feed_shape pair_shape(void);

/* pair_open asserts that the hand-over succeeds; pair_attach returns the library's code instead. */
void pair_open(struct pair *pair, const struct feed_shape *shape);
void pair_serve(struct pair *pair, const struct feed_shape *shape); /* two feeds at the most */
void pair_serve_places(struct pair *pair, const struct feed_shape *shape, uint32_t feeds_max);
int pair_attach(struct pair *pair, hl_feed **feed, const struct hl_attach *options);
int pair_reattach(struct pair *pair);

/* pair_kill_engine makes the engine's end vanish, as a SIGKILL would: the socket closes, the memory stays. */
void pair_kill_engine(struct pair *pair);
void pair_close(struct pair *pair);

/* A job of one recipient and a short body, static. */
struct hl_job pair_job(uint64_t cookie);

/* The engine takes the next job into static memory; asserts that there is one. */
struct feed_job *pair_take(struct pair *pair, uint32_t lane);
struct feed_job *pair_job_memory(const struct feed_shape *shape); /* malloc'ed */
void pair_deliver(struct feed_job *job);                          /* every recipient, 250 */

#endif
