/* dpdk_log.c: a FILE that cuts DPDK's output into lines. */
#include "drivers/dpdk_log.h"

#include <pthread.h>
#include <rte_log.h>
#include <stdio.h>
#include <string.h>

static struct {
    pthread_mutex_t lock;
    FILE *stream;
    dpdk_log_sink *sink;
    void *ctx;
    char line[256]; /* the line being collected; longer ones are cut */
    size_t line_len;
    char complaint[256];
    enum dpdk_log_level complaint_level;
} dpdk_log = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum dpdk_log_level level_now(void)
{
    int level = rte_log_cur_msg_loglevel();
    if (level >= 0 && level <= (int)RTE_LOG_ERR)
        return DPDK_LOG_ERROR;
    return level == (int)RTE_LOG_WARNING ? DPDK_LOG_WARNING : DPDK_LOG_INFO;
}

/* The first of the worst: what follows is mostly its consequence. */
static void keep_complaint(enum dpdk_log_level level)
{
    if (level == DPDK_LOG_INFO || (dpdk_log.complaint[0] != '\0' && level >= dpdk_log.complaint_level))
        return;
    strcpy(dpdk_log.complaint, dpdk_log.line);
    dpdk_log.complaint_level = level;
}

static void end_line(void)
{
    enum dpdk_log_level level = level_now();
    dpdk_log.line[dpdk_log.line_len] = '\0';
    if (dpdk_log.line_len == 0)
        return;
    dpdk_log.line_len = 0;
    keep_complaint(level);
    if (dpdk_log.sink)
        dpdk_log.sink(dpdk_log.ctx, level, dpdk_log.line);
}

static ssize_t stream_write(void *cookie, const char *text, size_t len)
{
    (void)cookie;
    pthread_mutex_lock(&dpdk_log.lock);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            end_line();
        else if (dpdk_log.line_len < sizeof(dpdk_log.line) - 1)
            dpdk_log.line[dpdk_log.line_len++] = text[i];
    }
    pthread_mutex_unlock(&dpdk_log.lock);
    return (ssize_t)len;
}

void dpdk_log_open(dpdk_log_sink *sink, void *ctx)
{
    dpdk_log.sink = sink;
    dpdk_log.ctx = ctx;
    if (dpdk_log.stream)
        return;
    dpdk_log.stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = stream_write});
    if (!dpdk_log.stream)
        return; /* DPDK then goes on writing to standard error */
    setvbuf(dpdk_log.stream, NULL, _IOLBF, BUFSIZ);
    rte_openlog_stream(dpdk_log.stream);
}

void dpdk_log_close(void)
{
    if (!dpdk_log.stream)
        return;
    rte_openlog_stream(NULL);
    fclose(dpdk_log.stream);
    dpdk_log.stream = NULL;
    dpdk_log.sink = NULL;
}

void dpdk_log_forget(void)
{
    pthread_mutex_lock(&dpdk_log.lock);
    dpdk_log.complaint[0] = '\0';
    pthread_mutex_unlock(&dpdk_log.lock);
}

const char *dpdk_log_complaint(char *buf, size_t cap)
{
    pthread_mutex_lock(&dpdk_log.lock);
    snprintf(buf, cap, "%s", dpdk_log.complaint[0] ? dpdk_log.complaint : "no reason given");
    pthread_mutex_unlock(&dpdk_log.lock);
    return buf;
}
