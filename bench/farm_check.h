/* bench/farm_check.h: whether each of the generator's messages arrived once and whole (bench/message.h has their form).
 *
 * A message is followed byte by byte as it comes, none of it is kept.  Of every run it is remembered which of its
 * messages have come: a bit each.
 */
#ifndef BENCH_FARM_CHECK_H
#define BENCH_FARM_CHECK_H

#include "bench/message.h"

#include "engine/base/error.h"

#define CHECK_RUNS_MAX 16u        /* more are not followed: counted as strange */
#define CHECK_SEQ_MAX  (1u << 28) /* a bitmap of 32 MiB */

/* A message that is arriving. */
struct check_message {
    struct message_mark mark;
    struct message_digest digest;
    uint64_t bytes;                /* of all of it so far */
    bool marked;                   /* it began with a mark */
    char edge[MESSAGE_HEAD_BYTES]; /* the first line, later the last one */
};

void check_begin(struct check_message *message);
void check_add(struct check_message *message, const void *data, size_t len);

enum check_verdict {
    CHECK_GOOD,
    CHECK_DUPLICATE, /* good, but has come before */
    CHECK_DAMAGED,   /* size, digest or last line are wrong */
    CHECK_UNMARKED,  /* not one of the generator's */
    CHECK_STRANGE,   /* marked with a number that no run of the generator has */
};

struct check_run {
    uint32_t run;
    uint32_t highest;  /* seq */
    uint64_t received; /* different ones */
    uint64_t duplicates;
    uint64_t *seen; /* bits */
    uint32_t words; /* of seen */
};

struct check {
    struct check_run run[CHECK_RUNS_MAX];
    uint32_t runs;
    uint64_t verdict[CHECK_STRANGE + 1]; /* how many of each */
    uint64_t bytes;                      /* of all messages */
};

/* check_end judges a whole message and remembers it.  May allocate. */
enum check_verdict check_end(struct check *check, const struct check_message *message);

/* check_missing: of the run's messages up to the highest that came, how many have not. */
uint64_t check_missing(const struct check_run *run);

/* check_describe: a line about a message that is not good. */
void check_describe(const struct check_message *message, enum check_verdict verdict, char *out, size_t cap);

void check_close(struct check *check);

#endif
