/* submit.h: the parts of `hardline submit`: options, where letters come from, the run, what is said of it.
 *
 * Private to engine/cli/submit*.c.  One thread.
 */
#ifndef ENGINE_CLI_SUBMIT_H
#define ENGINE_CLI_SUBMIT_H

#include "engine/base/error.h"
#include "engine/base/list.h"
#include "engine/ring/feed.h"

#include <stdio.h>

#define SUBMIT_EX_IN_DOUBT 79 /* one above sysexits.h's own */

/* ---- letters: a message and its envelope ---- */

struct addressee {
    char *address, *dsn; /* owned; dsn may be NULL */
};

/* What an envelope can say; a letter has its own, options have one for all. */
struct envelope {
    char *from; /* owned; NULL: not given; "": the null sender */
    struct addressee *to;
    size_t to_count;
    char *next_hop, *tag; /* owned; NULL: none */
    uint32_t flags;       /* HL_JOB_* */
    uint32_t source_pool;
    uint8_t tls_floor, priority;
    double deadline_s; /* from now; 0: none */
};

struct letter {
    struct list link;
    uint64_t number; /* from 0, in the order of submission */
    char *path;      /* owned; "-": standard input */
    struct envelope envelope;
    char *data; /* owned; the message while it is needed, NULL when it can be read again */
    size_t bytes;
    uint32_t *again; /* recipients to be sent again, in [0, again_count) */
    size_t again_count;
    uint32_t open; /* recipients without a final result */
};

void envelope_clear(struct envelope *envelope);
bool envelope_add_to(struct envelope *envelope, const char *address, size_t bytes,
                     const char *dsn) must_check;
void letter_free(struct letter *letter);

/* Why a letter cannot be sent. */
enum letter_fault { LETTER_GOOD, LETTER_BAD, LETTER_TOO_LONG, LETTER_UNREADABLE };

/* letter_load reads the message into letter->data, unless it is there; limit: bytes a message may have. */
enum letter_fault letter_load(struct letter *letter, uint64_t limit, struct error *err) must_check;

/* ---- submit_headers.c: -t ---- */

/* headers_envelope takes what the envelope does not say yet from the message's header (RFC 5322 section 3.6): the sender
 * from Sender or From, recipients from To, Cc and Bcc.  Then Bcc fields are cut out of the message.
 */
bool headers_envelope(struct letter *letter, struct error *err) must_check;

/* ---- submit_options.c ---- */

struct submit_options {
    const char *socket_path;
    struct envelope envelope;
    bool read_headers; /* -t */
    bool json, quiet, verbose;
    const char *jobs_path; /* NULL: none */
    char **paths;          /* borrowed from argv */
    int paths_count;
    uint32_t in_flight_max; /* messages; 0: as many as the feed takes */
    double retry_s;         /* how long to look for a new engine */
    double drain_s;         /* how long an interrupted run waits */
};

/* options_read returns true to go on; false with *status when that was all (--help, wrong usage). */
bool options_read(struct submit_options *options, int argc, char **argv, int *status);

/* options_floor gives the number of a TLS level's name. */
bool options_floor(const char *name, uint8_t *level) must_check;

/* ---- submit_source.c, submit_jobs.c ---- */

struct source; /* where letters come from: files, directories, standard input, a list of jobs */

/* source_open looks through directories at once, so that their letters can be counted. */
struct source *source_open(const struct submit_options *options, struct error *err) must_check;
void source_close(struct source *source);

/* source_next gives the next letter, or NULL at the end.  Where *err is not empty the letter cannot be sent, and that is why:
 * it has its number and path, and its envelope as far as it is known.
 */
struct letter *source_next(struct source *source, struct error *err);
uint64_t source_total(const struct source *source); /* letters, 0: not known */
uint64_t source_left(const struct source *source);  /* not given yet; 0: none, or not known */

/* jobs_parse fills a letter from one line of a job list; false: err says why, without the line's number. */
bool jobs_parse(const char *line, size_t bytes, struct letter *letter, struct error *err) must_check;

/* ---- submit_report.c ---- */

struct report {
    const struct submit_options *options;
    uint64_t total;                     /* letters, 0: not known */
    uint64_t letters;                   /* finished */
    uint64_t verdicts[HL_NOT_SENT + 1]; /* recipients */
    uint64_t bad_letters;               /* refused before they were submitted */
    uint64_t missing_files;             /* letters that could not be read */
    uint64_t bad_recipients;            /* of both, counted as failed, too */
    uint64_t unsubmitted;               /* letters left when the run was interrupted */
    uint64_t bytes;
    uint64_t start_us, shown_us;
    bool progress; /* on a terminal */
};

void report_open(struct report *report, const struct submit_options *options, uint64_t total);
void report_result(struct report *report, const struct letter *letter, uint32_t recipient,
                   const struct hl_result *r);

/* report_bad: the letter was not submitted. */
void report_bad(struct report *report, const struct letter *letter, enum letter_fault fault, const char *why);
void report_progress(struct report *report, bool force);
void report_line(struct report *report, const char *fmt, ...)
    printf_like(2, 3); /* to stderr, past the progress bar */
void report_close(struct report *report);
int report_status(const struct report *report); /* the program's exit status */

/* submit_json.c */
void json_result(FILE *out, const struct letter *letter, uint32_t recipient, const struct hl_result *r);
void json_summary(FILE *out, const struct report *report, double seconds);

/* ---- submit_run.c ---- */

int run_submit(const struct submit_options *options, hl_feed *feed, struct source *source);

#endif
