/* core_private.h: struct core, for the files of this folder alone. */
#ifndef ENGINE_CORE_CORE_PRIVATE_H
#define ENGINE_CORE_CORE_PRIVATE_H

#include "engine/core/core.h"
#include "engine/net/time_wait.h"

#include <pthread.h>

#define JOB_TIMER         3u
#define INTAKE_BURST      64u /* jobs a turn */
#define CORE_COMMAND_MASK 7u  /* the bits of a queued command's subject that tell the command */
#define JOB_SCAN_MAX      64u /* waiting jobs looked at for one that a connection satisfies */
#define OPEN_BURST        64u /* connections that a destination opens in a turn */

/* A job from a feed: waits at a destination, then is a connection's message. */
struct job {
    struct list link;         /* destination's waiting list */
    struct list all;          /* core's */
    struct wheel_timer timer; /* the job's deadline, while it waits */
    struct dest *dest;        /* while it waits */
    struct policy_hop hop;    /* the last one tried */
    uint32_t hop_index;       /* of the route: the next one to try */
    bool returned;            /* one connection was lost under it, untouched: once is forgiven */
    bool reused;              /* its connection had carried another before */
    uint8_t demand_level;     /* enum policy_level, as last decided */
    char demand_source[sizeof(((struct policy_demand *)0)->source)];
    uint64_t taken_us, sent_us;
    struct outcome last; /* how the last hop failed; verdict VERDICT_NONE: none has */
    struct smtp_message message;
    struct smtp_recipient *recipient;
    struct feed_job feed_job; /* last: its envelope follows */
};

enum core_state { CORE_NEW, CORE_RUNNING, CORE_START_FAILED, CORE_STOPPED };

/* Frames from one core to another. */
struct handoff_queue {
    struct spsc queue;
    void *slot[CORE_QUEUE_SLOTS];
};

struct core {
    /* every turn */
    uint64_t now_us;
    uint64_t turn;
    bool worked; /* this turn has found work */
    bool draining, stopping;
    uint32_t turns_stopping; /* since CORE_STOP was obeyed */
    uint64_t stopping_us;    /* when that was */
    uint32_t idle_turns;
    struct port *port;
    struct net *net;
    struct list to_run;    /* connections with something to do in this turn */
    struct list suspended; /* connections whose handshake waits for asynchronous work */
    struct list lru;       /* idle connections, the longest idle first */
    uint32_t making_room;  /* connections told to leave for another, not gone yet */
    struct dest_table dests;
    struct conn_env env;
    struct pool connections;
    struct pool jobs;
    struct list all_jobs;
    struct time_waits time_waits;
    struct feed *feed[CORE_FEEDS_MAX];
    struct feed *leaving[CORE_FEEDS_MAX]; /* detached, jobs of theirs still in flight */
    uint32_t feeds, leavings, next_feed;
    struct stats stats;
    struct wheel wheel;

    /* other cores and the control thread */
    struct handoff_queue *handoff_to[CORE_MAX];   /* by the other core's index; NULL: none */
    struct handoff_queue *handoff_from[CORE_MAX]; /* owned */
    struct spsc commands, detached;
    void *command_slot[CORE_QUEUE_SLOTS], *detached_slot[CORE_QUEUE_SLOTS];
    struct tap *tap;              /* NULL: none */
    struct core_listing *listing; /* to be answered; NULL: none */
    _Atomic int state;            /* enum core_state */
    uint64_t published_us;
    bool misplaced_told; /* core_log.misplaced was called */
    struct core_public pub;

    /* start and stop */
    struct core_config config;
    struct error start_error;
    struct tls_core *tls;
    struct prf *prf;
    uint8_t *scratch;
};

/* ---- jobs.c ---- */
void core_take_jobs(struct core *core);
void job_place(struct core *core, struct job *job);
void job_wait(struct core *core, struct job *job, struct dest *dest, bool first);
void job_unwait(struct core *core, struct job *job);
void job_next_hop(struct core *core, struct job *job, const struct outcome *why);
void job_finish(struct core *core, struct job *job, const struct conn *conn, const struct outcome *outcome);
void job_deadline(struct core *core, struct job *job);
bool job_demand(struct core *core, struct job *job, struct policy_demand *demand, struct outcome *why);
void core_drop_feed_jobs(struct core *core, const struct feed *feed);

/* ---- route.c ---- */

/* route_hop gives hop number index for a job; false: there is none (left), why says what was asked. */
bool route_hop(const struct policy_table *table, const struct feed_job *job, uint32_t index,
               struct policy_hop *hop, struct outcome *why);

/* ---- results.c ---- */
void result_report(struct core *core, struct job *job, uint32_t recipient, const struct conn *conn,
                   const struct outcome *outcome);

/* ---- schedule.c ---- */
struct conn_events core_conn_events(struct core *core);
void core_schedule(struct core *core);
void core_mark(struct core *core, struct conn *conn);
void core_unset_idle(
    struct conn *conn); /* takes it from those that may be given a message; harmless otherwise */

/* ---- core.c ---- */

/* core_enter and core_leave are what core_run does around its loop, but for RCU: a test that calls core_turn itself
 * registers its thread once for all of its cores.
 */
bool core_enter(struct core *core) must_check; /* false: start_error says why */
void core_leave(struct core *core);

/* ---- loop.c ---- */
void core_loop(struct core *core);
bool core_over(const struct core *core); /* told to stop, and nothing is left that a further turn could do */
void core_publish(struct core *core);

/* ---- look.c: what the control thread wants to see of this core ---- */
void tap_begin(struct core *core, struct tap *tap);
void tap_release(struct core *core); /* if there is one */
void listing_begin(struct core *core, struct core_listing *listing);
void core_look(struct core *core); /* in housekeeping: goes on with what was begun, a bounded step */

/* ---- handoff.c ---- */
bool handoff_give(void *ctx, uint32_t owner, struct pkt *pkt);
void handoff_share_neighbour(void *ctx, const struct pkt *pkt);
void handoff_take(struct core *core);

/* handoff_judge looks at how many segments have arrived at the wrong core, and has the log say so, once. */
void handoff_judge(struct core *core);

#endif
