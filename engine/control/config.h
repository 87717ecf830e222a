/* config.h: every limit and setting of the engine, in one struct, read from one file and checked as a whole.
 *
 * Defaults, ranges, units and the sentence that explains each key stand in config_schema.c, and nowhere else;
 * hardline.conf.example shows them all.  Unknown keys, wrong types, values out of range and settings that contradict
 * each other are refused with file, line, key, what was wrong and what is allowed.
 *
 * Threads: a struct config is filled by one thread and only read afterwards.
 */
#ifndef ENGINE_CONTROL_CONFIG_H
#define ENGINE_CONTROL_CONFIG_H

#include "drivers/port.h"
#include "engine/base/error.h"
#include "engine/net/net.h"
#include "engine/policy/policy.h"
#include "engine/tcp/tcp.h"

#include <stdio.h>

#define CONFIG_CORES_MAX    64u /* as FEED_LANES_MAX: one lane a core */
#define CONFIG_TEXT_MAX     256u
#define CONFIG_PROBLEMS_MAX 20u

enum config_idle { CONFIG_IDLE_POLL, CONFIG_IDLE_SLEEP };
enum config_resumption { CONFIG_RESUMPTION_NONE, CONFIG_RESUMPTION_TICKETS };
enum config_huge { CONFIG_HUGE_AUTO, CONFIG_HUGE_REQUIRE, CONFIG_HUGE_NO };
/* How flows are spread over cores: as the device steers, else every n-th source port and hand-off; in software, by
 * port_rss_open; or always by source port and hand-off.
 */
enum config_rss { CONFIG_RSS_AUTO, CONFIG_RSS_SOFTWARE, CONFIG_RSS_OFF };
/* Whether the device may make checksums, cut segments and put them together, where it can. */
enum config_offload { CONFIG_OFFLOAD_AUTO, CONFIG_OFFLOAD_OFF };
enum config_congestion { CONFIG_CC_CUBIC, CONFIG_CC_RENO };

struct config_port {
    char device[512];                        /* DPDK devargs: "net_af_packet0,iface=veth1", "0000:01:00.0" */
    uint16_t mtu;                            /* bytes of IP packet; 0: the device's */
    uint32_t buffers;                        /* packet buffers a core; never 0 once checked */
    uint32_t control_buffers;                /* of these, kept for ACKs, closes and ARP */
    uint32_t rx_descriptors, tx_descriptors; /* wishes, a queue */
    char rx_faults_text[CONFIG_TEXT_MAX], tx_faults_text[CONFIG_TEXT_MAX];
    struct port_faults rx_faults, tx_faults; /* all zero: none */
    uint8_t rss;                             /* enum config_rss */
    uint8_t offload;                         /* enum config_offload */
    bool checksums, tso, lro;                /* of these, with CONFIG_OFFLOAD_AUTO */
    char pcap[CONFIG_TEXT_MAX];              /* capture file; "": none.  Queue q > 0 writes to "FILE.q" */
};

struct config_cores {
    uint32_t count;                 /* in [1, CONFIG_CORES_MAX] */
    bool numbered;                  /* CPUs were named, not just counted */
    uint32_t cpu[CONFIG_CORES_MAX]; /* CPU number of each; the same one twice only where cores sleep */
    uint8_t idle;                   /* enum config_idle */
    uint32_t sleep_us;              /* longest sleep of an idle core */
};

struct config_memory {
    uint8_t huge;       /* enum config_huge */
    uint32_t megabytes; /* for DPDK's heap; 0: what the buffers need (config_packet_bytes) */
    bool lock;          /* mlockall where permitted */
};

/* Per core unless said otherwise. */
struct config_limits {
    uint32_t connections; /* open at once; TLS sessions likewise */
    uint32_t connections_per_destination;
    uint32_t destinations; /* known at once, idle ones included */
    uint32_t time_wait;    /* connections in TIME-WAIT at once */
    uint32_t messages_per_connection;
    uint64_t idle_connection_us; /* an idle connection is kept open for reuse so long */
    uint32_t jobs_in_flight;     /* taken from the feeds and not yet reported */
    uint32_t envelope_bytes;     /* of one ring job */
    uint32_t recipients;         /* of one ring job */
    uint64_t message_bytes;      /* the largest body */
};

struct config_smtp {
    char helo_name[CONFIG_TEXT_MAX];
    uint32_t timeout_percent;   /* of RFC 5321's minimum times */
    bool chunking;              /* BDAT where it is offered */
    uint32_t messages_ahead;    /* on one connection, begun and not answered */
    uint64_t chunk_ahead_bytes; /* larger chunks wait for the replies to RCPT */
};

/* One entry of `tls`; its trust set is loaded by config_policy. */
struct config_tls_rule {
    char pattern[POLICY_NAME_MAX];
    uint8_t level;                 /* enum policy_level */
    uint16_t min_version;          /* 0x0303, 0x0304 */
    char ca_file[CONFIG_TEXT_MAX]; /* "": crypto.ca-file */
    uint8_t names;
    char name[POLICY_MATCH_MAX][POLICY_NAME_MAX];
};

struct config_feed_user {
    uint32_t uid;
    char name[64]; /* for logs */
    bool allow_exceptions;
    uint64_t jobs_in_flight; /* over all lanes; 0: the lanes are the limit */
    uint64_t message_bytes;  /* 0: limits.message-bytes */
};

struct config_feed {
    char socket[108]; /* sun_path; "": no feed */
    char mode_text[8];
    uint32_t mode;                 /* permission bits of the socket */
    char group[CONFIG_TEXT_MAX];   /* of the socket; "": run.group's */
    uint32_t feeds;                /* attached at once */
    uint32_t lane_slots;           /* submission slots a lane; power of two */
    uint32_t completion_slots;     /* a lane; power of two */
    uint32_t arena_megabytes;      /* a feed */
    uint32_t users;                /* of user[]; none: only root and run.user may attach */
    struct config_feed_user *user; /* owned */
};

struct config_run {
    char user[CONFIG_TEXT_MAX];  /* to become once started; "": stay who we are */
    char group[CONFIG_TEXT_MAX]; /* "": the user's */
    char admin_socket[108];      /* "": none */
    char admin_mode_text[8];
    uint32_t admin_mode;
    char pid_file[CONFIG_TEXT_MAX]; /* "": none */
    char log[CONFIG_TEXT_MAX];      /* "stderr", "syslog" or a file */
    uint8_t log_level;              /* enum log_level, log.h */
    char key_log[CONFIG_TEXT_MAX];  /* NSS key log; "": none.  Undoes the secrecy of everything sent */
    uint64_t drain_us;              /* how long a stop waits for mail in flight */
    bool seccomp;                   /* system call filters; off only to debug */
};

#define CONFIG_BACKEND_MAX 128

struct config_crypto {
    bool pq_share;                    /* send the X25519MLKEM768 key share at once */
    char engine[64];                  /* OpenSSL ENGINE id; "": probe */
    bool async;                       /* handshakes as ASYNC jobs */
    char backend[CONFIG_BACKEND_MAX]; /* "auto", "crypto_mb", "libcrypto", "engine:ID", "cryptodev:DEVICE" */
    bool backend_require;
    bool batches;           /* public-key work of a core's handshakes side by side */
    uint64_t batch_wait_us; /* for company, at the most */
    uint32_t proven_chains; /* verified chains that a core remembers; 0: none */
    uint64_t proven_lifetime_us;
    uint8_t resumption;                        /* enum config_resumption */
    uint32_t tickets, tickets_per_destination; /* that a core keeps */
    uint64_t ticket_lifetime_us;               /* from the full handshake on */
    char ca_file[CONFIG_TEXT_MAX]; /* trust anchors where a rule names none; "": the system's store */
};

struct config {
    struct config_port port;
    struct net_config net; /* a template: core, cores, seed and hash_key are the engine's to fill in */
    uint8_t net_prefix_bits[NET_ADDRESSES_MAX]; /* of the 128 */
    char net_gateway_text[IP_ADDR_TEXT_MAX], net_gateway6_text[IP_ADDR_TEXT_MAX], net_ports_text[16];
    struct ip_addr net_gateway, net_gateway6; /* where the text is not empty */
    uint32_t
        net_extra_routes; /* net.routes as written; net.route[] has these, the on-link ones and the default */
    struct net_route net_extra_route[NET_ROUTES_MAX];
    struct config_cores cores;
    struct config_memory memory;
    struct config_limits limits;
    struct tcp_config tcp; /* complete, cc and mss included */
    uint8_t tcp_congestion;
    struct config_smtp smtp;
    struct config_crypto crypto;
    struct config_feed feed;
    struct config_run run;
    uint32_t tls_rules, routes, allow_networks;
    struct config_tls_rule *tls_rule; /* owned */
    struct policy_route *route;       /* owned */
    struct policy_net *allow_network; /* owned */
    char origin[CONFIG_TEXT_MAX];     /* the file it was read from */
};

/* What was wrong: each a line "FILE:LINE: key: what; what to do". */
struct config_report {
    uint32_t count; /* of problem[]; in [0, CONFIG_PROBLEMS_MAX] */
    uint32_t more;  /* found beyond these */
    struct error problem[CONFIG_PROBLEMS_MAX];
};

struct config_source {
    const char *path;   /* the file; its name in messages when text is given */
    const char *text;   /* NUL-terminated, instead of reading the file; @include is refused then; or NULL */
    uint32_t overrides; /* of override[] */
    const char *const *override; /* "section.key=value", as given to --set; win over the file */
};

/* config_load reads, checks and completes a configuration.  On failure *config holds nothing to free, and the
 * report has at least one problem.  May block on the file system and the user database.
 */
bool config_load_from(const struct config_source *source, struct config *config,
                      struct config_report *report) must_check;

/* The same for a caller who wants one message: the first problem and how many more there are. */
bool config_load(const char *path, struct config *config, struct error *err) must_check;

void config_free(struct config *config);

/* config_check_machine checks what depends on this machine: CPUs, users, files, directories.  Adds to the report;
 * true when nothing was added.
 */
bool config_check_machine(const struct config *config, struct config_report *report) must_check;

/* config_same_but_live tells what of `now` differs from `running` but takes a restart to take effect: a line for each
 * into the report (rules, routes, networks, users and the log level are live).  True: nothing does.
 */
bool config_same_but_live(const struct config *running, const struct config *now,
                          struct config_report *report);

/* config_policy makes the policy table of a configuration and loads its trust sets.  On failure *table is NULL.
 * Give the table to policy_publish with config_policy_free as release.
 */
bool config_policy(const struct config *config, uint64_t generation, struct policy_table **table,
                   struct error *err) must_check;
void config_policy_free(struct policy_table *table);

/* What the packet buffers of all cores take, bytes; a lower bound for DPDK's heap. */
uint64_t config_packet_bytes(const struct config *config);

/* config_print_keys writes all keys with type, range, unit, default and meaning, for `hardlined --settings`. */

void config_print_keys(FILE *out);

#endif
