#include "engine/control/log_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool log_queue_open(struct log_queue *queue, uint32_t number, uint32_t records, struct error *err)
{
    assert(is_power_of_two(records));
    memset(queue, 0, sizeof(*queue));
    queue->record = calloc(records, sizeof(*queue->record));
    if (!queue->record)
        return error_set(err, "no memory for %u log lines of core %u", records, number);
    queue->mask = records - 1;
    queue->number = number;
    return true;
}

void log_queue_close(struct log_queue *queue)
{
    free(queue->record);
    queue->record = NULL;
}

void log_queue_push(struct log_queue *queue, enum log_level level, const char *fmt, ...)
{
    if (!log_wanted(level))
        return;
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&queue->head, memory_order_acquire) > queue->mask) {
        uint64_t dropped = atomic_load_explicit(&queue->dropped, memory_order_relaxed);
        atomic_store_explicit(&queue->dropped, dropped + 1, memory_order_relaxed);
        return;
    }
    struct log_record *record = &queue->record[tail & queue->mask];
    va_list args;
    va_start(args, fmt);
    vsnprintf(record->text, sizeof(record->text), fmt, args);
    va_end(args);
    record->level = (uint8_t)level;
    record->format = fmt;
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
}

uint32_t log_queue_drain(struct log_queue *queue, uint64_t now_us)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    uint32_t lines = atomic_load_explicit(&queue->tail, memory_order_acquire) - head;
    for (uint32_t i = 0; i < lines; i++) {
        const struct log_record *record = &queue->record[(head + i) & queue->mask];
        log_line(record->level, record->format, record->text, now_us);
        atomic_store_explicit(&queue->head, head + i + 1, memory_order_release);
    }
    uint64_t dropped = atomic_load_explicit(&queue->dropped, memory_order_relaxed);
    if (dropped != queue->dropped_told) {
        log_warning("core %u: %llu log lines were dropped: it logs faster than they can be written",
                    queue->number, (unsigned long long)(dropped - queue->dropped_told));
        queue->dropped_told = dropped;
    }
    return lines;
}

void log_queue_outcome(struct log_queue *queue, const struct log_job *job, const struct outcome *outcome)
{
    enum log_level level = outcome->verdict == VERDICT_DELIVERED ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE;
    char code[32] = "";
    if (!log_wanted(level))
        return;
    if (outcome->smtp_code)
        snprintf(code, sizeof(code), " reply=%u %u.%u.%u", outcome->smtp_code, outcome->enhanced[0],
                 outcome->enhanced[1], outcome->enhanced[2]);
    log_queue_push(
        queue, level,
        "feed=%.40s job=%llu%s%.40s to=<%.*s> dest=%.80s mx=%.80s[%s] %s stage=%s fault=%s reason=%s%s: %s",
        job->feed, (unsigned long long)job->job, job->tag[0] ? " tag=" : "", job->tag,
        (int)min_u32(job->recipient_len, 100), job->recipient, job->destination, job->mx, job->mx_addr,
        verdict_name(outcome->verdict), stage_name(outcome->stage), fault_name(outcome->fault),
        reason_name(outcome->reason), code, outcome->text);
}
