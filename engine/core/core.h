/* core.h: one poll-mode core: its loop, its pools, everything that it alone touches.
 *
 * Cores share nothing on the data path.  The control thread speaks to a core through one queue of commands and
 * reads its published numbers; another core hands it frames through one queue a pair.
 */
#ifndef ENGINE_CORE_CORE_H
#define ENGINE_CORE_CORE_H

#include "drivers/port.h"
#include "engine/base/pool.h"
#include "engine/base/spsc.h"
#include "engine/base/stat.h"
#include "engine/base/wheel.h"
#include "engine/conn/conn.h"
#include "engine/conn/dest.h"
#include "engine/net/net.h"
#include "engine/net/tap.h"
#include "engine/ring/ring.h"

#define CORE_MAX         64u
#define CORE_FEEDS_MAX   256u
#define CORE_QUEUE_SLOTS 1024u /* hand-off and command queues */

enum core_idle { CORE_IDLE_POLL, CORE_IDLE_SLEEP };

/* What the log says of a recipient beside its outcome; all borrowed until the call returns. */
struct core_log_entry {
    const char *feed, *tag, *destination, *mx_host; /* "" where there is none */
    uint64_t cookie;
    struct span recipient;
    const uint8_t *mx_addr; /* 16 bytes, NULL when none was tried */
};

/* How a result gets into the log; must not block.  result NULL: no log. */
struct core_log {
    void *ctx;
    void (*result)(void *ctx, const struct core_log_entry *entry, const struct outcome *outcome);
    void (*duplicate)(void *ctx,
                      const uint8_t addr[16]); /* another station has an address of ours; NULL: no log */
    /* Told once: of the segments that arrived here so many were another core's; steered: the port had foretold otherwise. */
    void (*misplaced)(void *ctx, uint64_t segments, uint64_t of, bool steered);
    /* Told when the core starts: what computes its public-key operations; and once when that has failed. */
    void (*batches)(void *ctx, const char *name);
    void (*batch_failed)(void *ctx, const char *what);
};

struct core_config {
    uint32_t index, cores; /* this core is index in [0, cores) */
    int cpu;               /* to pin to; -1: not pinned */
    enum core_idle idle;
    uint32_t sleep_us;        /* one sleep of an idle core: 50 */
    uint32_t connections_max; /* at the same time */
    uint32_t jobs_max;        /* taken from feeds and not yet reported */
    uint32_t destinations_max;
    uint32_t time_wait_max; /* closed connections remembered for tcp.time_wait_us; 0: none */
    uint32_t connections_per_destination;
    uint32_t handshake_timeout_ms, idle_timeout_ms, close_timeout_ms;
    struct tcp_config tcp;
    struct smtp_config smtp;    /* stats is filled in by the core */
    struct tls_core_config tls; /* likewise */
    struct net_config net;
    struct feed_shape feed;
    struct core_log log;
    /* Registers and unregisters the thread with what the port's driver needs; may be NULL. */
    bool (*thread_enter)(struct error *err);
    void (*thread_leave)(void);
};

/* What others read: written by this core alone in housekeeping; a reader may see numbers of two moments. */
struct core_public {
    cache_aligned _Atomic uint64_t published_us;
    _Atomic bool drained; /* CORE_DRAIN was told, and no job and no connection is left */
    struct stats stats;
    uint32_t connections, connections_max_seen;
    uint32_t jobs, jobs_max_seen;
    uint32_t destinations, destinations_max_seen, destinations_limited;
    uint32_t time_waits, time_waits_max_seen;
    uint32_t rx_capacity, rx_available; /* packet buffers */
    uint32_t tx_capacity, tx_available;
    uint64_t rx_exhausted, tx_exhausted;
    char arithmetic[160]; /* who computes public-key operations; there once core_started says 1 */
};

enum core_command { CORE_ATTACH, CORE_DETACH, CORE_DRAIN, CORE_STOP, CORE_TAP, CORE_LIST };

/* A connection as the core saw it when it came to it. */
struct core_connection {
    struct flow_key key;
    struct tcp_info tcp;
    const char *phase;    /* static */
    uint16_t tls_version; /* 0x0303, 0x0304; 0: not secured */
    uint32_t messages;    /* begun */
    uint32_t in_hand;     /* of these, not done */
    uint64_t age_us;
    char host[256]; /* "" for an address alone */
};

#define CORE_LISTING_MAX 10000u

/* A question of the control thread's about connections, and its answer.  The control thread fills the first part and reads
 * the second once answered is true (acquire); in between it is the core's.
 */
struct core_listing {
    struct ip_addr peer; /* all zero: any */
    uint16_t port;       /* the peer's; 0: any */
    uint32_t max;        /* entries that there is room for */

    uint32_t next;     /* place in the pool to look at next */
    uint32_t count;    /* entries filled */
    uint32_t matching; /* connections, those without an entry included */
    _Atomic bool answered;
    struct core_connection connection[];
};

struct core;

/* core_open takes all memory; port is the core's from now on and closed by core_close. */
struct core *core_open(const struct core_config *config, struct port *port, struct error *err) must_check;
void core_close(struct core *core);

/* core_join lets two cores hand frames to each other; before either runs. */
bool core_join(struct core *from, struct core *to, struct error *err) must_check;

/* core_run is the loop; it returns after CORE_STOP.  A drained core goes on: others may need the frames that its
 * queue receives.
 */
void core_run(struct core *core);

/* core_turn is one turn of the loop with a given time, for tests in virtual time; true if it found work. */
bool core_turn(struct core *core, uint64_t now_us);

/* ---- control thread ---- */

/* core_tell queues a command; false when the queue is full.  subject, aligned to 8 bytes: a struct feed for ATTACH and DETACH;
 * for TAP a struct tap, the core's until it is released, which follows soon after it was ended; for LIST a struct core_listing,
 * the core's until it is answered.  A core that has stopped touches neither any more.  One tap and one listing at a time.
 */
bool core_tell(struct core *core, enum core_command command, void *subject) must_check;

/* core_detached gives a feed that this core no longer uses, NULL when there is none. */
struct feed *core_detached(struct core *core);
const struct core_public *core_public(const struct core *core);

/* core_started: 1 when the loop runs, 0 while it does not yet, -1 when it could not start (err says why). */
int core_started(const struct core *core, struct error *err);
bool core_stopped(const struct core *core); /* core_run has returned, or could not start */

#endif
