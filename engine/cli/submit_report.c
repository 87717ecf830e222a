/* submit_report.c: what is said while the run goes on, at its end, and with its exit status. */
#include "engine/cli/submit.h"

#include "engine/base/clock.h"

#include <stdarg.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PROGRESS_US 200000u
#define BAR_CELLS   24u
#define ERASE_LINE  "\r\033[K"

void report_open(struct report *r, const struct submit_options *options, uint64_t total)
{
    *r = (struct report){
        .options = options,
        .total = total,
        .start_us = clock_now_us(),
        .progress = !options->quiet && isatty(STDERR_FILENO),
    };
}

void report_line(struct report *r, const char *fmt, ...)
{
    va_list args;
    if (r->progress)
        fputs(ERASE_LINE, stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    r->shown_us = 0;
}

static uint64_t recipients(const struct report *r)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(r->verdicts); i++)
        sum += r->verdicts[i];
    return sum;
}

static void tell(struct report *r, const struct letter *letter, uint32_t recipient,
                 const struct hl_result *result)
{
    const struct envelope *e = &letter->envelope;
    const char *to = recipient < e->to_count ? e->to[recipient].address : "?";
    const char *path = letter->path ? letter->path : "?";
    if (result->verdict == HL_DELIVERED)
        report_line(r, "%s: %s: delivered to %s: %s", path, to, result->mx_host, result->text);
    else
        report_line(r, "%s: %s: %s at stage %s, fault: %s, reason: %s: %s", path, to,
                    hl_verdict_name(result->verdict), hl_stage_name(result->stage),
                    hl_fault_name(result->fault), hl_reason_name(result->reason), result->text);
}

void report_result(struct report *report, const struct letter *letter, uint32_t recipient,
                   const struct hl_result *result)
{
    report->verdicts[result->verdict <= HL_NOT_SENT ? result->verdict : HL_NONE]++;
    if (report->options->json)
        json_result(stdout, letter, recipient, result);
    else if (result->verdict != HL_DELIVERED || report->options->verbose)
        tell(report, letter, recipient, result);
}

void report_bad(struct report *r, const struct letter *letter, enum letter_fault fault, const char *why)
{
    struct hl_result result = hl_result_init();
    result.verdict = HL_FAILED;
    result.stage = HL_STAGE_SUBMIT;
    result.fault = HL_FAULT_PRODUCER;
    result.reason = fault == LETTER_TOO_LONG ? HL_REASON_TOO_LARGE : HL_REASON_BAD_JOB;
    result.text = why;
    r->bad_letters += fault != LETTER_UNREADABLE;
    r->missing_files += fault == LETTER_UNREADABLE;
    r->letters++;
    if (!r->options->json)
        report_line(r, "hardline submit: %s", why);
    size_t count = letter->envelope.to_count;
    r->verdicts[HL_FAILED] += count;
    r->bad_recipients += count;
    for (size_t i = 0; r->options->json && i < (count ? count : 1); i++)
        json_result(stdout, letter, (uint32_t)i, &result);
}

/* ---- progress ---- */

static void draw_bar(char bar[BAR_CELLS + 1], double share)
{
    unsigned full = (unsigned)(share * BAR_CELLS);
    for (unsigned i = 0; i < BAR_CELLS; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_CELLS] = 0;
}

static void describe_left(char *out, size_t cap, double seconds)
{
    if (seconds < 100)
        snprintf(out, cap, "%.0f s left", seconds);
    else if (seconds < 6000)
        snprintf(out, cap, "%.0f min left", seconds / 60);
    else
        snprintf(out, cap, "%.1f h left", seconds / 3600);
}

static void describe_troubles(const struct report *r, char *out, size_t cap)
{
    size_t used = 0;
    out[0] = 0;
    for (int v = HL_DEFERRED; v <= HL_NOT_SENT; v++)
        if (r->verdicts[v] && used < cap)
            used += (size_t)snprintf(out + used, cap - used, ", %llu %s", (unsigned long long)r->verdicts[v],
                                     hl_verdict_name(v));
}

void report_progress(struct report *r, bool force)
{
    uint64_t now = clock_now_us();
    if (!r->progress || (!force && now < r->shown_us + PROGRESS_US))
        return;
    r->shown_us = now;
    double seconds = (double)(now - r->start_us) / 1e6,
           rate = (double)r->letters / (seconds > 0 ? seconds : 1);
    char bar[BAR_CELLS + 1], left[32] = "", troubles[128];
    describe_troubles(r, troubles, sizeof(troubles));
    if (r->total == 0) {
        fprintf(stderr, ERASE_LINE "  %llu messages, %.0f/s%s", (unsigned long long)r->letters, rate,
                troubles);
        return;
    }
    double share = (double)r->letters / (double)r->total;
    draw_bar(bar, share < 1 ? share : 1);
    if (r->letters > 0 && r->letters < r->total)
        describe_left(left, sizeof(left), (double)(r->total - r->letters) / rate);
    fprintf(stderr, ERASE_LINE "  [%s] %llu of %llu  %3.0f%%  %.0f/s  %s%s", bar,
            (unsigned long long)r->letters, (unsigned long long)r->total, 100 * share, rate, left, troubles);
}

/* ---- the end ---- */

void report_close(struct report *r)
{
    double seconds = (double)(clock_now_us() - r->start_us) / 1e6;
    char troubles[128];
    if (r->options->json)
        json_summary(stdout, r, seconds);
    fflush(stdout);
    if (r->options->quiet)
        return;
    describe_troubles(r, troubles, sizeof(troubles));
    report_line(r, "%llu messages, %llu recipients: %llu delivered%s%s in %.2f s (%.0f messages/s, %.1f MB)",
                (unsigned long long)r->letters, (unsigned long long)recipients(r),
                (unsigned long long)r->verdicts[HL_DELIVERED], troubles,
                r->unsubmitted ? "; interrupted, not all was submitted" : "", seconds,
                (double)r->letters / (seconds > 0 ? seconds : 1), (double)r->bytes / 1e6);
}

int report_status(const struct report *r)
{
    if (r->verdicts[HL_IN_DOUBT])
        return SUBMIT_EX_IN_DOUBT;
    if (r->verdicts[HL_FAILED] > r->bad_recipients)
        return EX_UNAVAILABLE;
    if (r->bad_letters)
        return EX_DATAERR;
    if (r->missing_files)
        return EX_NOINPUT;
    return r->verdicts[HL_DEFERRED] || r->verdicts[HL_NOT_SENT] || r->unsubmitted ? EX_TEMPFAIL : EX_OK;
}
