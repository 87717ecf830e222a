/* log_queue.h: lines from a core to the control thread: the core never blocks and makes no system call.
 *
 * The core formats into a fixed record of a ring that it shares with one consumer.  A full ring drops the line and counts
 * it; the next drain tells.
 */
#ifndef ENGINE_CONTROL_LOG_QUEUE_H
#define ENGINE_CONTROL_LOG_QUEUE_H

#include "engine/control/log.h"

#include <stdatomic.h>

#define LOG_RECORD_BYTES 512u

struct log_record {
    const char *format; /* a string of the program */
    uint8_t level;
    char text[LOG_RECORD_BYTES - sizeof(char *) - 1];
};

struct log_queue {
    struct log_record *record;           /* owned */
    uint32_t mask;                       /* records - 1 */
    uint32_t number;                     /* of the core, for messages */
    cache_aligned _Atomic uint32_t tail; /* written by the core */
    _Atomic uint64_t dropped;            /* written by the core */
    cache_aligned _Atomic uint32_t head; /* written by the consumer */
    uint64_t dropped_told;               /* the consumer's */
};

/* log_queue_open takes memory for `records` lines (a power of two).  Control thread. */
bool log_queue_open(struct log_queue *queue, uint32_t number, uint32_t records, struct error *err) must_check;
void log_queue_close(struct log_queue *queue);

/* log_queue_push: the core's log_write. */
void log_queue_push(struct log_queue *queue, enum log_level level, const char *fmt, ...) printf_like(3, 4);

/* log_queue_drain writes what has come, at most one ringful; returns how many lines.  Control thread. */
uint32_t log_queue_drain(struct log_queue *queue, uint64_t now_us);

/* What a line about a recipient names.  Texts are borrowed, need not be NUL-terminated where a length is given. */
struct log_job {
    const char *feed; /* its name */
    uint64_t job;     /* the producer's number for it */
    const char *tag;  /* the producer's word for it, "" for none */
    const char *recipient;
    uint32_t recipient_len;
    const char *destination; /* domain */
    const char *mx;          /* host that was tried, "" for none */
    const char *mx_addr;     /* its address as text, "" */
};

/* log_queue_outcome says what became of one recipient: delivered at info, the rest at notice: levels that
 * are not limited, so that no refusal and no doubt is left out. */
void log_queue_outcome(struct log_queue *queue, const struct log_job *job, const struct outcome *outcome);

#endif
