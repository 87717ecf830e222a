#include "engine/control/log.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LIMITS 64u /* formats that are watched at once; older ones make room */

enum log_kind { LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_FILE };

struct log_limit {
    const char *format; /* NULL: free */
    uint64_t since_us;  /* start of the window */
    uint32_t lines;     /* in the window */
    uint32_t suppressed;
    uint8_t level;
};

static struct {
    _Atomic uint8_t level;
    enum log_kind kind;
    int fd;
    char path[256];
    pthread_mutex_t lock; /* over limits and the change of fd */
    struct log_limit limit[LIMITS];
} the_log = {.level = LOG_LEVEL_INFO, .fd = STDERR_FILENO, .lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
static const int syslog_levels[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

static int open_file(const char *path, struct error *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640);
    if (fd < 0)
        error_set(err, "log %s cannot be opened: %s", path, strerror(errno));
    return fd;
}

static void use(enum log_kind kind, int fd)
{
    pthread_mutex_lock(&the_log.lock);
    if (the_log.kind == LOG_TO_FILE)
        close(the_log.fd);
    the_log.kind = kind;
    the_log.fd = fd;
    pthread_mutex_unlock(&the_log.lock);
}

bool log_open(const char *target, enum log_level level, struct error *err)
{
    log_set_level(level);
    if (strcmp(target, "stderr") == 0) {
        use(LOG_TO_STDERR, STDERR_FILENO);
        return true;
    }
    if (strcmp(target, "syslog") == 0) {
        openlog("hardlined", LOG_PID | LOG_NDELAY, LOG_MAIL);
        use(LOG_TO_SYSLOG, -1);
        return true;
    }
    if (strlen(target) >= sizeof(the_log.path))
        return error_set(err, "log %.60s...: the path is too long", target);
    int fd = open_file(target, err);
    if (fd < 0)
        return false;
    strcpy(the_log.path, target);
    use(LOG_TO_FILE, fd);
    return true;
}

void log_close(void)
{
    log_tick(UINT64_MAX);
    if (the_log.kind == LOG_TO_SYSLOG)
        closelog();
    use(LOG_TO_STDERR, STDERR_FILENO);
}

void log_give(uint32_t uid, uint32_t gid)
{
    if (the_log.kind == LOG_TO_FILE && fchown(the_log.fd, uid, gid) != 0)
        log_warning("log %s cannot be given to user %u: %s", the_log.path, uid, strerror(errno));
}

bool log_reopen(struct error *err)
{
    if (the_log.kind != LOG_TO_FILE)
        return true;
    int fd = open_file(the_log.path, err);
    if (fd < 0)
        return false;
    use(LOG_TO_FILE, fd);
    return true;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&the_log.level, (uint8_t)level, memory_order_relaxed);
}

bool log_wanted(enum log_level level)
{
    return level <= atomic_load_explicit(&the_log.level, memory_order_relaxed);
}

/* Control characters, those above 0x7f in UTF-8 included: a terminal would obey them. */
static bool is_control(const char *at)
{
    unsigned char c = (unsigned char)at[0], next = (unsigned char)at[c ? 1 : 0];
    return c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0);
}

/* Copies text, control characters as \xNN.  Returns the length. */
static size_t put_printable(char *out, size_t cap, const char *text)
{
    size_t used = 0;
    for (; *text && used + 5 <= cap; text++) {
        if (is_control(text))
            used += (size_t)snprintf(out + used, cap - used, "\\x%02x", (unsigned char)*text);
        else
            out[used++] = *text;
    }
    return used;
}

static size_t put_time(char *out, size_t cap)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &utc);
    return used + (size_t)snprintf(out + used, cap - used, ".%06ldZ ", now.tv_nsec / 1000);
}

/* One write a line: lines of several threads and processes do not mix.  A log that cannot be written to is no reason to
 * stop delivering mail. */
static void emit(enum log_level level, const char *text)
{
    char line[LOG_LINE_MAX + 64];
    size_t used = 0;
    pthread_mutex_lock(&the_log.lock);
    if (the_log.kind != LOG_TO_SYSLOG) {
        used = put_time(line, sizeof(line));
        used += (size_t)snprintf(line + used, sizeof(line) - used, "%s: ", level_names[level]);
    }
    used += put_printable(line + used, sizeof(line) - used - 2, text);
    if (the_log.kind == LOG_TO_SYSLOG) {
        syslog(syslog_levels[level], "%.*s", (int)used, line);
    } else {
        line[used++] = '\n';
        while (write(the_log.fd, line, used) < 0 && errno == EINTR)
            ;
    }
    pthread_mutex_unlock(&the_log.lock);
}

static void tell_suppressed(struct log_limit *limit)
{
    char text[LOG_LINE_MAX];
    if (limit->suppressed) {
        snprintf(text, sizeof(text), "%u more lines like \"%.200s\" were left out", limit->suppressed,
                 limit->format);
        emit(limit->level, text);
    }
    limit->format = NULL;
}

/* The limit of a format; a free one, or the one whose window is oldest, for a format that is not watched yet. */
static struct log_limit *limit_of(const char *format, struct log_limit *evicted)
{
    struct log_limit *pick = &the_log.limit[0];
    evicted->suppressed = 0;
    for (uint32_t i = 0; i < LIMITS; i++) {
        struct log_limit *limit = &the_log.limit[i];
        if (limit->format == format)
            return limit;
        if (pick->format && (!limit->format || limit->since_us < pick->since_us))
            pick = limit;
    }
    if (pick->format)
        *evicted = *pick;
    *pick = (struct log_limit){.format = NULL};
    return pick;
}

static bool within_limit(enum log_level level, const char *format, uint64_t now_us)
{
    struct log_limit over, evicted;
    over.suppressed = 0;
    pthread_mutex_lock(&the_log.lock);
    struct log_limit *limit = limit_of(format, &evicted);
    if (limit->format && now_us - limit->since_us >= LOG_WINDOW_US) {
        over = *limit;
        limit->format = NULL;
    }
    if (!limit->format)
        *limit = (struct log_limit){.format = format, .since_us = now_us, .level = (uint8_t)level};
    bool within = limit->lines++ < LOG_BURST;
    limit->suppressed += !within;
    pthread_mutex_unlock(&the_log.lock);
    if (over.suppressed)
        tell_suppressed(&over);
    if (evicted.suppressed)
        tell_suppressed(&evicted);
    return within;
}

void log_line(enum log_level level, const char *format, const char *text, uint64_t now_us)
{
    if (!log_wanted(level))
        return;
    if (level > LOG_LEVEL_WARNING || within_limit(level, format, now_us))
        emit(level, text);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char text[LOG_LINE_MAX];
    if (!log_wanted(level))
        return;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len >= (int)sizeof(text))
        memcpy(text + sizeof(text) - 4, "...", 4);
    log_line(level, fmt, text, clock_now_us());
}

void log_tick(uint64_t now_us)
{
    for (uint32_t i = 0; i < LIMITS; i++) {
        struct log_limit over = {.suppressed = 0};
        pthread_mutex_lock(&the_log.lock);
        struct log_limit *limit = &the_log.limit[i];
        if (limit->format && now_us - limit->since_us >= LOG_WINDOW_US) {
            over = *limit;
            limit->format = NULL;
        }
        pthread_mutex_unlock(&the_log.lock);
        tell_suppressed(&over);
    }
}
