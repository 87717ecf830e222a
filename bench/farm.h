/* bench/farm.h: what the files of the farm share: one thread, one port, many connections. */
#ifndef BENCH_FARM_H
#define BENCH_FARM_H

#include "bench/farm_options.h"
#include "bench/farm_smtp.h"
#include "bench/farm_tls.h"
#include "bench/stack.h"

#define FARM_SCRATCH_BYTES (16384u + FARM_SMTP_LINE_MAX)
#define FARM_TOLD_MAX      20u /* faults told in full to standard error, of each kind */

struct farm_counts {
    uint64_t connections, peak;
    uint64_t refused_asked;
    uint64_t full, resumed, tls_failed;            /* handshakes */
    uint64_t messages, recipients;                 /* answered with 250 */
    uint64_t faults_given, cut_asked, cut_by_peer; /* in the middle of a message */
    uint64_t resets, injected;                     /* bytes behind STARTTLS */
    uint64_t timed_out;                            /* nothing came for --idle-timeout */
    uint64_t out_of_memory;
    uint64_t bursts, held; /* releases of held answers, and flights in them */
    uint64_t busy_us;      /* what the turns with work took */
};

struct farm_conn {
    struct farm *farm;
    struct stream *stream;
    SSL *ssl;
    uint8_t *rest; /* input that could not be used yet; NULL when there is none */
    uint32_t rest_len;
    bool handshaking, waiting, released, closing;
    struct list wait;    /* in farm->waiting, by due_us */
    struct list blocked; /* in farm->blocked: wants to write, had no room */
    struct list silent;  /* in farm->silent, by heard_us */
    uint64_t heard_us;   /* when bytes last went either way */
    uint64_t due_us;
    struct farm_smtp smtp;
    char host[FARM_NAME_MAX];
};

struct farm {
    const struct farm_options *options;
    struct port *port;
    struct stack *stack;
    struct farm_conn *conn; /* by stream->flow; memory is touched when it is used */
    struct list waiting, blocked;
    struct list silent; /* all connections that are not being ended, the longest silent first */
    uint32_t waiting_count;
    uint32_t releasing; /* of these, the first so many have their time, a part of them in each turn */
    struct farm_tls tls;
    struct farm_certs certs;
    struct farm_smtp_rules rules;
    struct check check;
    struct farm_counts counts;
    struct rand_source rand;
    uint64_t conflicts_told; /* of STAT_net_arp_conflicts */
    uint64_t *greylist;      /* bits by the hash of a recipient */
    uint64_t started_us;
    double started_cpu_s; /* what it had used when it was ready */
    char scratch[FARM_SCRATCH_BYTES];
};

/* farm_conn.c */
struct stack_events farm_conn_events(struct farm *farm);
void farm_conn_release(struct farm *farm); /* answers whose time has come; each turn */
void farm_conn_expire(struct farm *farm);  /* connections that have been silent for too long; each turn */
uint64_t farm_conn_deadline(const struct farm *farm); /* of both */

/* farm_faults.c */
void farm_faults_open(struct farm *farm);
bool farm_chance(struct farm *farm, uint32_t ppm);

/* farm_report.c: lines of JSON */
bool farm_report_open(const char *path, struct error *err) must_check;
void farm_report_ready(struct farm *farm); /* what is measured begins here */
void farm_report_figures(const struct farm *farm, const char *event);
void farm_report_progress(const struct farm *farm);
void farm_report_message(struct farm *farm, const struct check_message *message, enum check_verdict verdict);
bool farm_report_is_good(const struct farm *farm); /* all that came was whole and came once */
bool farm_report_close(void);                      /* false: the file could not be written */

#endif
