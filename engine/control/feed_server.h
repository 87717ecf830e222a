/* feed_server.h: the Unix socket where producers get their feeds (engine/ring/layout.h has the messages).
 *
 * Runs on the control thread, driven by its poll loop: no thread of its own, never blocks but to seal a region, which
 * touches every page of it.  Tells the engine of feeds that come and go; a feed is closed only when the engine says that
 * all cores have let go of it, and its socket with it: end of file tells the producer that nothing of its mail
 * is being sent any more.
 */
#ifndef ENGINE_CONTROL_FEED_SERVER_H
#define ENGINE_CONTROL_FEED_SERVER_H

#include "engine/base/error.h"
#include "engine/ring/ring.h"

struct feed_peer { /* SO_PEERCRED */
    uint32_t uid, gid, pid;
    const char *name; /* the program's, as it says itself: printable ASCII; for logs only */
};

struct feed_server_events {
    void *ctx;

    /* allow decides whether this user may have a feed, and fills its rights. */
    bool (*allow)(void *ctx, const struct feed_peer *peer, struct feed_rights *rights);

    /* user: who is to find a place whatever others take, counted from 0; false: nobody more.  NULL: nobody.  The last
     * places are for those of them who have no feed.
     */
    bool (*user)(void *ctx, uint32_t index, uint32_t *uid);

    /* attach: the feed is mapped, sealed and touched; cores may take jobs.  false: no room, it is refused. */
    bool (*attach)(void *ctx, struct feed *feed);

    /* detach: make all cores let go, then call feed_server_detached.  Once for each attach. */
    void (*detach)(void *ctx, struct feed *feed);

    /* note: a line for the log: who is refused or thrown out, and why; level as in syslog(3). */
    void (*note)(void *ctx, int level, const char *text);
};

struct feed_server_options {
    const char *path; /* of the socket */
    uint32_t mode;    /* its permission bits */
    uint32_t gid;     /* its group; (uint32_t)-1: ours */
    uint32_t feeds_max;
    struct feed_shape shape;
};

struct feed_server;

/* feed_server_open listens.  A socket that nobody listens on any more is replaced; one with a listener is an error. */
struct feed_server *feed_server_open(const struct feed_server_options *options,
                                     const struct feed_server_events *events, struct error *err) must_check;

/* feed_server_fd polls readable when feed_server_handle has something to do. */
int feed_server_fd(const struct feed_server *server);

/* feed_server_handle does what is to be done, and drops feeds that a core found broken; call it when the descriptor
 * is readable, at the time that it returned, and when a core said FEED_BROKEN.
 *
 *   returns   monotonic microseconds of the next deadline, DEADLINE_NEVER when there is none
 */
uint64_t feed_server_handle(struct feed_server *server, uint64_t now_us);

/* feed_server_detached closes a feed after events.detach; no core uses it any more. */
void feed_server_detached(struct feed_server *server, struct feed *feed);

/* feed_server_stop listens no more and lets go of all feeds (events.detach for each): the engine has drained. */
void feed_server_stop(struct feed_server *server);

uint32_t feed_server_feeds(const struct feed_server *server); /* attached or not yet detached */

/* feed_server_close frees all; feeds that are still there are closed: no core may run any more. */
void feed_server_close(struct feed_server *server);

#endif
