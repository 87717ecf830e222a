/* admin.h: the admin socket: questions and answers, a line of JSON each.
 *
 *   {"command":"ping"}                    {"ok":true,"version":"0.1.0"}
 *   {"command":"status"}                  {"ok":true,"state":"running",...}
 *   {"command":"reload"}                  {"ok":true} or {"ok":false,"error":"..."}
 *   {"command":"drain"}                   {"ok":true}; the process ends when nothing is in flight
 *   {"command":"stop"}                    {"ok":true}; the process ends now
 *   {"command":"connections"}             {"ok":true,"matching":1,"connections":[...]}; also with "peer":"192.0.2.1",
 *                                         "port":25, "max":100
 *   {"command":"capture","peer":"..."}    {"ok":true}, then {"bytes":N} and N bytes of a pcap file, again and again, then
 *                                         {"ok":true,"end":"frames",...}; also with "port", "frames", "seconds",
 *                                         "megabytes", which end it
 *
 * Who may connect is a matter of the socket's mode and owner.  Bounds: ADMIN_CLIENTS_MAX clients, ADMIN_REQUEST_MAX bytes a
 * request, one answer, or part of one, waiting a client; who does not ask or take its answer for ADMIN_SLOW_US is dropped.
 *
 * Threads: the control thread's; nothing blocks.  What the socket shows comes from a struct admin_source.
 */
#ifndef ENGINE_CONTROL_ADMIN_H
#define ENGINE_CONTROL_ADMIN_H

#include "engine/base/stat.h"
#include "engine/control/control.h"
#include "engine/wire/addr.h"

#define ADMIN_CLIENTS_MAX 16u
#define ADMIN_REQUEST_MAX 1024u
#define ADMIN_SLOW_US     10000000u
#define ADMIN_CORES_MAX   64u
#define ADMIN_POOLS_MAX   12u
#define ADMIN_FEEDS_MAX   256u

struct admin_pool {
    const char *name;
    uint32_t capacity, in_use, in_use_max;
    uint64_t exhausted;
};

struct admin_core {
    uint32_t cpu;
    struct stats stats;            /* a copy of what the core published */
    uint64_t published_us;         /* when; CLOCK_MONOTONIC */
    uint32_t connections, jobs;    /* now */
    uint32_t destinations_limited; /* that turn connections away: their limit is lowered */
    uint32_t pools;
    struct admin_pool pool[ADMIN_POOLS_MAX];
};

struct admin_feed {
    char name[64];
    uint32_t uid, pid;
    uint32_t jobs;        /* taken and not yet reported */
    uint64_t attached_us; /* CLOCK_MONOTONIC */
    bool broken;
};

/* What the source fills; texts are borrowed until the call after returns. */
struct admin_status {
    const char *version, *state; /* "starting", "running", "draining", "stopping" */
    uint64_t uptime_us;
    const char *config;      /* file */
    const char *port;        /* port_dpdk_describe */
    const char *eal;         /* eal_describe */
    const char *accelerator; /* who does public-key work, and why */
    const char *huge;        /* kind of pages */
    uint64_t policy_generation;
    uint32_t policy_rules, policy_routes;
    uint64_t log_dropped;
    uint32_t cores;
    struct admin_core core[ADMIN_CORES_MAX];
    uint32_t feeds;
    struct admin_feed feed[ADMIN_FEEDS_MAX];
};

enum admin_command {
    ADMIN_PING,
    ADMIN_STATUS,
    ADMIN_RELOAD,
    ADMIN_DRAIN,
    ADMIN_STOP,
    ADMIN_CONNECTIONS,
    ADMIN_CAPTURE
};

#define ADMIN_CONNECTIONS_MAX   10000u
#define ADMIN_FRAMES_MAX        10000000u
#define ADMIN_SECONDS_MAX       3600u
#define ADMIN_MEGABYTES_MAX     4096u
#define ADMIN_CONNECTIONS_USUAL 100u
#define ADMIN_FRAMES_USUAL      10000u
#define ADMIN_SECONDS_USUAL     60u
#define ADMIN_MEGABYTES_USUAL   256u

/* What was asked, complete and in range. */
struct admin_request {
    enum admin_command command;
    struct ip_addr peer; /* all zero: any; of a capture always given */
    uint16_t port;       /* the peer's; 0: any */
    uint32_t max;        /* connections */
    uint32_t frames, seconds, megabytes;
};

struct admin_source {
    void *ctx;
    void (*status)(void *ctx, struct admin_status *status); /* zeroed before */
    bool (*reload)(void *ctx, struct error *err);
    void (*drain)(void *ctx);
    void (*stop)(void *ctx);
    /* Answers that come in time, of ADMIN_CONNECTIONS and ADMIN_CAPTURE: begin starts one or says why not; more gives its next
     * bytes, malloc'ed, NULL when there are none now, and sets *over with the last (NULL then: no memory); finish follows
     * every begin that was good, after the last bytes or when the client is gone.  One of a kind at a time.
     */
    bool (*begin)(void *ctx, const struct admin_request *request, struct error *err);
    char *(*more)(void *ctx, enum admin_command command, size_t *len, bool *over);
    void (*finish)(void *ctx, enum admin_command command);
};

struct admin;

/* admin_open makes the socket (a stale one of the same path is removed, a living one is an error), owned by gid
 * and with mode.  gid (uint32_t)-1: ours.  source is copied; version is borrowed.
 */
struct admin *admin_open(struct control *control, const char *path, uint32_t mode, uint32_t gid,
                         const char *version, const struct admin_source *source,
                         struct error *err) must_check;
void admin_close(struct admin *admin); /* NULL is none */

#endif
