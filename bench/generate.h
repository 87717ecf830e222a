/* bench/generate.h: what the files of `hardline-bench generate` share: options, a phase's counts, the report.
 *
 * One thread.  The producer library of the feed (engine/ring/feed.h) is all that it knows of the engine.
 */
#ifndef BENCH_GENERATE_H
#define BENCH_GENERATE_H

#include "bench/histogram.h"
#include "engine/base/error.h"
#include "engine/base/rand.h"
#include "engine/ring/feed.h"

#define GENERATE_SIZES_MAX        64u
#define GENERATE_DESTINATIONS_MAX 10000u
#define GENERATE_VERDICTS         6u /* enum hl_verdict */
#define GENERATE_REASONS          64u
#define GENERATE_COMPLAINTS       8u
#define GENERATE_SIZE_MIN         200u

struct generate_size {
    uint32_t bytes; /* of the whole message */
    double up_to;   /* a random number below this one, in [0, 1], chooses this size */
};

struct generate_options {
    const char *socket, *domain, *sender;
    struct generate_size size[GENERATE_SIZES_MAX]; /* by up_to, the last is 1 */
    uint32_t sizes;
    uint32_t destinations; /* mx1.DOMAIN to mxN.DOMAIN */
    double zipf;           /* exponent; 0: all alike, in turn */
    double rate;           /* messages a second; 0: flat out */
    double seconds, warmup_seconds;
    uint64_t messages, warmup_messages; /* 0: by seconds */
    uint32_t in_flight;                 /* 0: as many as the engine takes */
    double drain_s;
    uint32_t run;
    uint64_t seed;
    bool copy;       /* each message into the arena by itself */
    bool controlled; /* waits for a line on standard input between warm-up and measured phase */
    bool quiet;
    const char *routes_from; /* print the engine's routes, the first name at this address, and end */
};

/* generate_options_read: -1: go on; else the exit status. */
int generate_options_read(struct generate_options *options, int argc, char **argv);
bool generate_sizes_read(struct generate_options *options, const char *text, struct error *err) must_check;
bool generate_print_routes(const struct generate_options *options, struct error *err) must_check;

/* What became of the messages of a phase. */
struct generate_phase {
    uint64_t submitted, done, bytes;
    uint64_t verdict[GENERATE_VERDICTS], reason[GENERATE_REASONS]; /* reasons: of what was not delivered */
    uint64_t reused, resumed, with_tls;
    uint64_t ring_full;    /* times that the engine had no room */
    uint64_t ring_full_us; /* time spent so */
    uint64_t began_us, ended_us, submitted_all_us;
    uint64_t late_us;            /* the most that a submission was behind its time; with a rate only */
    struct histogram latency_us; /* of what was delivered: from its time to the result's arrival */
    char complaint[GENERATE_COMPLAINTS][HL_TEXT_MAX + 64];
    uint32_t complaints;
};

/* Not delivered, whatever the reason, and those without any result. */
uint64_t generate_failed(const struct generate_phase *phase);

/* generate_report writes both phases as one line of JSON on standard output; false: no memory. */
bool generate_report(const struct generate_options *options, const struct generate_phase *warmup,
                     const struct generate_phase *measured, const char *trouble) must_check;

#endif
