/* log.h: lines for operators: what happened to which job, where, at which stage, and why.
 *
 * One log a process.  A line is one write: "2026-11-21T18:40:00.123456Z LEVEL TEXT" on standard error or in a file, TEXT
 * alone to syslog.  Control characters, which peers may put into what they say, come out as \xNN.
 *
 * Warnings and errors that repeat are limited: LOG_BURST lines of one format in LOG_WINDOW_US, then silence and at the
 * window's end a line that counts what was left out.  Lines of other levels are not limited: a job's end is logged
 * each time.
 *
 * Threads: log_open, log_close, log_reopen, log_tick: the control thread.  log_write: any thread that may block; cores
 * use a log_queue instead.
 */
#ifndef ENGINE_CONTROL_LOG_H
#define ENGINE_CONTROL_LOG_H

#include "engine/base/error.h"
#include "engine/base/outcome.h"

#include <stdarg.h>

#define LOG_LINE_MAX  1024u /* bytes of a line's text; longer ones end in "..." */
#define LOG_BURST     10u
#define LOG_WINDOW_US 10000000u

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

const char *log_level_name(enum log_level level); /* "error", ... */

/* log_open sends lines to "stderr", "syslog" or the file target (appended to, made with mode 0640).  Before it, and after
 * log_close, lines go to standard error.
 */
bool log_open(const char *target, enum log_level level, struct error *err) must_check;
void log_close(void);

/* log_give hands a log file over to who we are going to be, so that log_reopen works after privilege_drop. */
void log_give(uint32_t uid, uint32_t gid);

void log_set_level(enum log_level level);

/* log_reopen opens the file anew (after rotation); on failure the old one stays in use.  True where there is none. */
bool log_reopen(struct error *err) must_check;

bool log_wanted(enum log_level level); /* any thread; cheap */

void log_write(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* log_tick tells of suppressed lines whose window is over; once a second or so. */
void log_tick(uint64_t now_us);

/* A line that has its text already: what a queue brings.  format: which lines count as the same, for the limit. */
void log_line(enum log_level level, const char *format, const char *text, uint64_t now_us);

#endif
