/* world.h: two hosts and the path between them, all drawn from one seed. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "engine/base/rand.h"
#include "engine/tcp/tcb.h"
#include "tests/sim/events.h"

/* A box on the path, or a peer, that gets ECN wrong. */
enum ecn_box {
    ECN_BOX_NONE,
    ECN_BOX_ECHOES,   /* every segment says ECE */
    ECN_BOX_BLEACHES, /* no segment has ECT or CE */
    ECN_BOX_MARKS,    /* every segment has CE, agreed or not */
    ECN_BOX_DROPS,    /* what has ECT or CE is lost */
    ECN_BOX_COUNT
};

/* One direction of the path.  Probabilities in parts per million. */
struct path {
    uint32_t delay_us, jitter_us; /* jitter reorders */
    uint32_t loss_ppm;            /* each segment alone */
    uint32_t burst_ppm;           /* a run of losses begins */
    uint32_t burst_len;           /* its mean length */
    uint32_t reorder_ppm, reorder_us;
    uint32_t duplicate_ppm;
    uint32_t corrupt_ppm; /* a bit turns over: the checksum drops it */
    uint32_t mtu;         /* of IP packets; larger ones are dropped, with an ICMP or without */
    uint32_t later_mtu;   /* what becomes of it */
    uint64_t later_us;    /* and when; DEADLINE_NEVER */
    uint32_t mark_ppm;    /* what may be marked meets congestion */
    uint32_t mark_us;     /* and so does what waits longer in the bottleneck; 0: no */
    enum ecn_box box;
    uint32_t rate_bps; /* bytes a second; 0: no bottleneck */
    uint32_t queue_us; /* the bottleneck's buffer */
    uint64_t dead_us;  /* from then on nothing passes; DEADLINE_NEVER */
    /* state */
    uint32_t burst_left;
    uint64_t busy_until_us;
    uint64_t sent, lost;
};

/* A stream that one host writes and the other reads, and how its application behaves. */
struct host {
    struct tcb tcb;
    struct tcp_config config;
    struct stats stats;
    struct pkt_pool *tx, *rx;
    struct path path; /* away from this host */
    uint32_t isn;
    bool open; /* tcb is in use */
    bool was_open;

    uint64_t to_write, written; /* bytes */
    uint64_t read;
    uint32_t app_us;  /* mean time between two acts of the application */
    uint32_t idle_us; /* the same, growing while it has nothing to do */
    uint32_t write_max, read_max;
    uint32_t refuse_ppm; /* emit has no room */
    bool closes_first;   /* does not wait for the peer's end */
    uint64_t abort_us;   /* DEADLINE_NEVER: never */
    bool aborted, closed_asked, saw_connected, saw_fin, saw_closed;
    bool retry;           /* the last tcp_output returned false */
    uint64_t timer_at_us; /* earliest EVENT_TIMER that is queued */
    uint32_t txdone_pending;
};

struct world {
    uint64_t seed, now_us, last_progress_us, last_byte_us, steps;
    struct rand_source rand;
    struct events events;
    struct host host[2];
    bool icmp;         /* routers complain about what is too big */
    bool simultaneous; /* both open actively */
    bool doomed;       /* the path dies or somebody aborts: the streams need not arrive whole */
    bool trace;
    uint32_t
        check_every; /* steps between two looks at all invariants, which cost as much as the queues are long */
    char fault[256]; /* what went wrong; empty: nothing */
};

/* world_run plays one seed to its end; false: world->fault says what was wrong. */
bool world_run(struct world *world, uint64_t seed, bool trace);

/* world_play plays a world that its caller has set up: configurations, pools, paths, sizes. */
void world_play(struct world *world);

/* A fault is kept, once. */
void world_fault(struct world *world, const char *format, ...) printf_like(2, 3);

/* ---- host.c ---- */

void host_setup(struct world *world, int i);

/* host_open starts host i's connection; syn is NULL for an active open. */
void host_open(struct world *world, int i, const struct tcp_segment *syn);

/* host_receive gives it bytes from the wire; host_act lets its application do something. */
void host_receive(struct world *world, int i, const uint8_t *bytes, uint32_t len, uint8_t ip_ecn);
void host_act(struct world *world, int i);
void host_timer(struct world *world, int i);

/* host_settle sends what is due, notes events, checks invariants and queues the next timer. */
void host_settle(struct world *world, int i);

bool host_done(const struct host *h);
void host_teardown(struct world *world, int i);

/* ---- path.c ---- */

/* path_setup draws a path of the seed's difficulty. */
void path_setup(struct world *world, int i, unsigned difficulty);

/* path_send carries the bytes of a segment from host i to the other one, or loses them; a box may change them. */
void path_send(struct world *world, int i, uint8_t *bytes, uint32_t len, const struct tcp_segment *seg);

#endif
