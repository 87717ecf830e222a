/* world.h: the whole engine in one process and virtual time: producer, core, wire, receivers.
 *
 *     hl_feed -> feed -> core -> port ~~ wire, faults ~~ port -> mx
 *
 * The test is every thread: it turns the core and the receivers by the same clock, which jumps to whatever comes next.
 * world_close holds every test to the properties that all of them share.
 */
#ifndef TESTS_UNIT_CORE_WORLD_H
#define TESTS_UNIT_CORE_WORLD_H

#include "engine/core/core_private.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/core/mx.h"
#include "tests/unit/ring/pair.h"

#define WORLD_CORES_MAX 2u
#define WORLD_JOBS_MAX  4096u
#define WORLD_RCPTS_MAX 4u
#define SECOND          1000000u
#define MINUTE          (60u * SECOND)

struct world_options {
    unsigned cores;
    uint32_t buffers; /* packets at each end of the wire */
    struct port_faults to_mx, from_mx;
    struct core_config core; /* of each core; index, cores and feed are filled in */
    struct feed_shape feed;
};

/* What was submitted and what came back. */
struct sent {
    unsigned rcpts, feed;
    size_t bytes;
    char rcpt[WORLD_RCPTS_MAX][MX_ADDRESS_MAX];
    unsigned results[WORLD_RCPTS_MAX]; /* of each recipient: exactly 1 in the end */
    struct hl_result result[WORLD_RCPTS_MAX];
    char words[WORLD_RCPTS_MAX][7][256]; /* its strings */
};

struct world {
    uint64_t now_us;
    unsigned cores;
    struct core *core[WORLD_CORES_MAX];
    struct port *port[WORLD_CORES_MAX]; /* the cores' */
    struct core_config config;
    struct mx mx;

    struct pair pair;
    hl_feed *producer[2];
    struct feed *feed[2]; /* NULL once no core uses it any more */
    unsigned feeds;

    struct policy_table draft; /* what world_publish publishes a copy of */
    struct policy_route route[16];
    struct policy_rule rule[16];
    struct policy_net allowed[2];

    struct sent *sent;
    unsigned jobs, results_owed;
    bool stopped;
    unsigned label; /* a seed, for messages of failure; 0: none */
};

/* ---- setting up ---- */

struct world_options world_defaults(void);

/* world_open: options NULL: the defaults.  Then come hosts, routes and rules, then world_start. */
struct world *world_open(const struct world_options *options);

/* A receiver "mx1.test" at 192.0.2.101:25 and so on, with a certificate in that name. */
struct mx_host *world_mx(struct world *w, unsigned number);
struct mx_host *world_host(struct world *w, const char *address, uint16_t port, const char *certificate);

/* world_route: mail for pattern goes to these hosts "mx1.test=192.0.2.101:25", in this order; NULL ends.  A name that
 * begins with '+' is implicit TLS.
 */
void world_route(struct world *w, const char *pattern, ...) __attribute__((sentinel));
struct policy_rule *world_rule(struct world *w, const char *pattern, enum policy_level level);
void world_publish(struct world *w);

/* world_start publishes the policy, lets the receivers listen and the cores run, and attaches a feed. */
void world_start(struct world *w);

/* All of it with one receiver, mx1.test, for "d1.test" to "d9.test". */
struct world *world_simple(const struct world_options *options, struct mx_host **host);

/* A second feed; its number. */
unsigned world_attach(struct world *w);

/* ---- mail ---- */

struct letter {
    const char *to; /* "a@d1.test b@d1.test" */
    const char *next_hop;
    size_t bytes; /* of the message, at the least; 0: 300 */
    uint32_t flags;
    uint8_t floor;
    uint64_t patience_us; /* until its deadline; 0: none */
    unsigned feed;
};

/* world_submit gives the message's number.  world_try says the library's code instead of failing the test. */
unsigned world_submit(struct world *w, const struct letter *letter);
int world_try(struct world *w, const struct letter *letter, unsigned *number);
unsigned world_send(struct world *w, const char *to); /* with all defaults */

/* ---- time ---- */

bool world_step(struct world *w); /* one turn of everybody; false: nothing is left to do at this time */
void world_run(struct world *w, uint64_t us);

/* world_until runs until it holds; fails the test when it does not within that time. */
typedef bool (*world_condition)(struct world *w, const void *arg);
void world_until(struct world *w, world_condition holds, const void *arg, uint64_t us);
void world_settle(struct world *w, uint64_t us); /* until every message has all its results */
bool world_settled(struct world *w, const void *unused);
bool world_has_mails(struct world *w, const void *number);          /* unsigned: so many have arrived */
bool world_body_is_on_its_way(struct world *w, const void *unused); /* 100 kB have been acknowledged */

/* ---- looking ---- */

/* world_result asserts that the recipient has exactly one result and gives it. */
const struct hl_result *world_result(struct world *w, unsigned number, unsigned rcpt);
const struct hl_result *world_expect(struct world *w, unsigned number, enum hl_verdict verdict,
                                     enum hl_stage stage, enum hl_reason reason);
void world_delivered(struct world *w, unsigned first, unsigned last); /* all of these, every recipient */
unsigned world_copies(const struct world *w, unsigned number, unsigned rcpt); /* that the receivers have */
unsigned world_serial(const struct world *w, unsigned number);  /* the connection that brought it */
uint64_t world_stat(const struct world *w, enum stat_id which); /* over all cores */

/* world_icmp has a host send an ICMP error about the last segment of one of its connections' peers, or of a flow that
 * has not got so far: mtu is told with code 4.
 */
void world_icmp(struct world *w, const struct mx_host *from, const struct flow_key *to, uint32_t seq,
                uint8_t code, uint16_t mtu);

/* ---- the end ---- */

void world_tell(struct world *w, enum core_command command, struct feed *feed); /* all cores */
void world_detach(struct world *w, unsigned feed);                              /* and waits for it */
void world_stop(struct world *w);

/* The engine lets go of a feed and dies; the library gives its verdicts on what is left. */
void world_abandon(struct world *w, unsigned feed);
void world_give_up(struct world *w); /* the engine has died: verdicts on what it never took */

/* world_close drains what was not told to end, checks what holds for every test, and frees all. */
void world_close(struct world *w);

#endif
