/* policy.h: what a destination demands of a connection.  Pure decisions over immutable tables.
 *
 * Levels are not a ladder: a requirement is a conjunction of demands (TLS parameters, PKIX with names, later a
 * TLSA set, pins, an MX filter), and sources are joined by taking all of their demands (strict-tls.md).
 * Unclear, expired or contradictory: defer; never less.
 */
#ifndef ENGINE_POLICY_POLICY_H
#define ENGINE_POLICY_POLICY_H

#include "engine/base/error.h"
#include "engine/base/outcome.h"

#define POLICY_NAME_MAX  256
#define POLICY_MATCH_MAX 8      /* names that a rule may list */
#define POLICY_NAMES_MAX 10     /* of a demand: those of a rule, and two of a floor */
#define POLICY_TLS_MIN   0x0303 /* TLS 1.2 */
#define POLICY_TLS_MAX   0x0304

/* Names as in Postfix's TLS_README; part 5 adds fingerprint, dane, dane-only. */
enum policy_level {
    POLICY_DEFAULT = 0, /* "verify" when nobody says more */
    POLICY_ENCRYPT,     /* TLS, no authentication */
    POLICY_VERIFY,      /* chain to a trusted root, the MX host name matches */
    POLICY_SECURE,      /* chain to a trusted root, the next hop's domain (or match list) matches */
};

const char *policy_level_name(enum policy_level level);

/* policy_level_parse knows the names above but "default", and none of Postfix's "none" and "may". */
bool policy_level_parse(const char *text, enum policy_level *level) must_check;

struct tls_trust; /* crypto/tls.h: opaque here, carried by rules */

/* One operator rule: `tls` in the configuration. */
struct policy_rule {
    char pattern[POLICY_NAME_MAX]; /* "example.org", ".example.org" (hosts below it), "[192.0.2.1]", or "*" */
    uint8_t level;                 /* enum policy_level */
    uint16_t min_version;          /* 0x0303 or 0x0304 */
    uint8_t matches;               /* of match[]; 0: the level's default */
    char match[POLICY_MATCH_MAX][POLICY_NAME_MAX]; /* "hostname", "nexthop", "dot-nexthop", or a name */
    struct tls_trust *trust;                       /* never NULL in a published table */
    char id[64];                                   /* for evidence and logs: "tls[2] .example.org" */
};

/* One next hop: an address to connect to and the name that TLS must prove. */
struct policy_hop {
    char host[POLICY_NAME_MAX]; /* MX host name: SNI and reference name; "" for an address literal */
    uint8_t addr[16];           /* IPv4-mapped where IPv4 */
    uint16_t port;
    bool implicit_tls;
};

#define POLICY_HOPS_MAX 8

/* `route` in the configuration: where mail for a domain goes (DNS comes in part 5). */
struct policy_route {
    char pattern[POLICY_NAME_MAX]; /* as in policy_rule */
    uint8_t hops;                  /* in [1, POLICY_HOPS_MAX], tried in order */
    struct policy_hop hop[POLICY_HOPS_MAX];
};

struct policy_net {
    uint8_t addr[16];    /* IPv4-mapped where IPv4 */
    uint8_t prefix_bits; /* in [0, 128]; 96 more than one writes for IPv4 */
};

/* A whole generation of rules; immutable once published; shared by all cores. */
struct policy_table {
    uint64_t generation;
    struct tls_trust *trust; /* for domains without a rule; never NULL in a published table */
    uint32_t rules, routes, allowed_nets;
    struct policy_rule *rule;
    struct policy_route *route;
    struct policy_net *allowed_net; /* special-purpose networks that may be connected to all the same */
};

/* What a connection must prove for one job; plain values, copied into the connection. */
struct policy_demand {
    uint16_t min_version;
    bool pkix;               /* chain to trust, and of every group of names one matches */
    struct tls_trust *trust; /* NULL without pkix; borrowed: alive by the table, then by the TLS session */
    uint8_t names;           /* in [0, POLICY_NAMES_MAX]; at least 1 with pkix */
    uint8_t groups;          /* in [0, names]; every group in [0, groups) has a name */
    uint8_t group[POLICY_NAMES_MAX]; /* of name[i]: names of one group are alternatives, groups add up */
    char name[POLICY_NAMES_MAX][POLICY_NAME_MAX]; /* reference names; leading dot: any host below */
    uint8_t level;       /* enum policy_level, the higher of the joined ones: for evidence, never judged */
    char source[64];     /* whose demand: "default", a rule's id, "job"; joined ones with '+' */
    uint64_t generation; /* table that it was made from; of joined ones the older */
};

/* policy_find_rule / policy_find_route give the best match for a domain: exact, then the longest ".suffix",
 * then "*"; NULL when none.  domain: lower-case A-labels, no trailing dot.
 */
const struct policy_rule *policy_find_rule(const struct policy_table *table, const char *domain);
const struct policy_route *policy_find_route(const struct policy_table *table, const char *domain);

/* policy_decide joins the operator's rule for domain with the job's floor for a connection to mx_host ("" for
 * an address literal).  A floor has the rule's trust anchors: whom to trust is the operator's to say.
 * false: the demand is unclear or contradictory; *why is a deferred outcome at STAGE_POLICY.
 */
bool policy_decide(const struct policy_table *table, const char *domain, const char *mx_host,
                   enum policy_level floor, struct policy_demand *demand, struct outcome *why) must_check;

/* policy_covers: a connection that was verified under `have` satisfies everything that `want` demands.
 * Judged by the demands, not by names of levels; when in doubt false.
 */
bool policy_covers(const struct policy_demand *have, const struct policy_demand *want);

/* policy_join makes a the conjunction of a and b; false when no connection can satisfy both. */
bool policy_join(struct policy_demand *a, const struct policy_demand *b) must_check;

/* policy_fingerprint: equal demands, equal number; for pools and caches.  Names in it may be an adversary's, who can
 * make two demands share a number: what is found by it is confirmed with policy_covers.
 */
uint64_t policy_fingerprint(const struct policy_demand *demand);

/* policy_address_allowed: may we connect there?  Special-purpose addresses (is_special, told by the caller)
 * only where the table allows their network.
 */
bool policy_address_allowed(const struct policy_table *table, const uint8_t addr[16], bool is_special);

/* ---- store: the published table (store.c; the layer's only liburcu user) ---- */

/* policy_publish makes table the current one; the old one goes to release, with its trust references, after all
 * cores have passed a quiescent state.  Control thread; blocks for that long.  NULL withdraws the last one at
 * shutdown, when no core asks any more.
 */
void policy_publish(struct policy_table *table, void (*release)(struct policy_table *old));

/* policy_current gives the table for use until the caller's next quiescent state; never NULL once published.
 * Threads registered with urcu_qsbr_register_thread only.
 */
const struct policy_table *policy_current(void);

#endif
