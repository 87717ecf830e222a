/* Log lines: form, levels, limits, reopening, and the ring from a core. */
#include "engine/control/log.h"
#include "engine/base/clock.h"
#include "engine/control/log_queue.h"

#include "tests/unit/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64], rotated[128];

/* What the log file holds now. */
static const char *contents(const char *file)
{
    static char text[1 << 20];
    FILE *in = fopen(file, "re");
    assert_non_null(in);
    text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
    fclose(in);
    return text;
}

static unsigned lines(const char *text)
{
    unsigned count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static int open_log(void **state)
{
    struct error err;
    (void)state;
    strcpy(path, "/tmp/hl-log-XXXXXX");
    close(mkstemp(path));
    snprintf(rotated, sizeof(rotated), "%s.1", path);
    return log_open(path, LOG_LEVEL_INFO, &err) ? 0 : -1;
}

static int close_log(void **state)
{
    (void)state;
    log_close();
    unlink(path);
    unlink(rotated);
    return 0;
}

static void line_has_time_level_and_text(void **state)
{
    int year, month, day, hour, minute, consumed = 0;
    double second;
    (void)state;
    log_notice("core %d of %s", 3, "this engine");
    const char *text = contents(path);
    assert_int_equal(
        sscanf(text, "%d-%d-%dT%d:%d:%lfZ %n", &year, &month, &day, &hour, &minute, &second, &consumed), 6);
    assert_string_equal(text + consumed, "notice: core 3 of this engine\n");
}

static void lines_below_the_level_are_left_out(void **state)
{
    (void)state;
    log_debug("not this");
    log_info("this");
    log_set_level(LOG_LEVEL_ERROR);
    log_warning("nor this");
    assert_false(log_wanted(LOG_LEVEL_WARNING));
    assert_int_equal(lines(contents(path)), 1);
    assert_non_null(strstr(contents(path), "info: this\n"));
}

/* What a peer says must not make lines or colours. */
static void control_characters_are_shown(void **state)
{
    (void)state;
    log_info("%s", "a\nb\x1b[31mc\td\x7f \xc3\xa9 \xc2\x9b");
    assert_non_null(strstr(contents(path), "info: a\\x0ab\\x1b[31mc\\x09d\\x7f \xc3\xa9 \\xc2\x9b\n"));
    assert_int_equal(lines(contents(path)), 1);
}

static void long_lines_are_cut(void **state)
{
    char text[5000];
    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    log_info("%s", text);
    const char *log = contents(path);
    assert_in_range(strlen(log), LOG_LINE_MAX, LOG_LINE_MAX + 64);
    assert_string_equal(log + strlen(log) - 5, "x...\n");
}

static void repeated_warnings_are_counted(void **state)
{
    uint64_t now_us = 1000000;
    (void)state;
    for (int i = 0; i < 100; i++)
        log_line(LOG_LEVEL_WARNING, "port %d is full", "port 1 is full", now_us);
    log_line(LOG_LEVEL_WARNING, "another", "another", now_us);
    assert_int_equal(lines(contents(path)), LOG_BURST + 1);
    log_tick(now_us + LOG_WINDOW_US - 1);
    assert_int_equal(lines(contents(path)), LOG_BURST + 1);
    log_tick(now_us + LOG_WINDOW_US);
    assert_int_equal(lines(contents(path)), LOG_BURST + 2);
    assert_non_null(
        strstr(contents(path), "warning: 90 more lines like \"port %d is full\" were left out\n"));
    log_line(LOG_LEVEL_WARNING, "port %d is full", "port 1 is full", now_us + LOG_WINDOW_US);
    assert_int_equal(lines(contents(path)), LOG_BURST + 3);
}

/* A window that ends with a new line tells first what it has left out. */
static void next_line_tells_what_was_left_out(void **state)
{
    static const char format[] = "full";
    (void)state;
    for (unsigned i = 0; i < LOG_BURST + 5; i++)
        log_line(LOG_LEVEL_ERROR, format, "full", 0);
    log_line(LOG_LEVEL_ERROR, format, "full", LOG_WINDOW_US);
    assert_non_null(strstr(contents(path), "error: 5 more lines like \"full\" were left out\n"));
    assert_int_equal(lines(contents(path)), LOG_BURST + 2);
}

/* More formats than are watched: none is lost silently. */
static void many_formats_at_once(void **state)
{
    static char format[200][16];
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        snprintf(format[i], sizeof(format[i]), "format %u", i);
        for (unsigned n = 0; n < LOG_BURST + 1; n++)
            log_line(LOG_LEVEL_ERROR, format[i], format[i], i);
    }
    log_tick(LOG_WINDOW_US * 2);
    assert_int_equal(lines(contents(path)), 200 * (LOG_BURST + 1));
}

static void ends_of_jobs_are_not_limited(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        log_line(LOG_LEVEL_NOTICE, "job", "job", 5);
    assert_int_equal(lines(contents(path)), 1000);
}

static void rotated_file_is_left(void **state)
{
    struct error err;
    (void)state;
    log_info("before");
    assert_int_equal(rename(path, rotated), 0);
    log_info("between");
    assert_true(log_reopen(&err));
    log_info("after");
    assert_int_equal(lines(contents(rotated)), 2);
    assert_non_null(strstr(contents(path), "info: after\n"));
}

static void a_log_that_cannot_be_reopened_stays(void **state)
{
    struct error err;
    char directory[80];
    (void)state;
    log_close();
    snprintf(directory, sizeof(directory), "%s.d", path);
    assert_int_equal(mkdtemp(strcat(strcpy(directory, path), ".XXXXXX")) != NULL, 1);
    char file[100];
    snprintf(file, sizeof(file), "%s/log", directory);
    assert_true(log_open(file, LOG_LEVEL_INFO, &err));
    snprintf(rotated, sizeof(rotated), "%s", file);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_false(log_reopen(&err));
    assert_non_null(strstr(err.text, "cannot be opened: No such file or directory"));
    log_info("still somewhere");
}

static void a_link_is_not_followed(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(symlink(path, rotated), 0);
    assert_false(log_open(rotated, LOG_LEVEL_INFO, &err));
    log_info("still in the first");
    assert_int_equal(lines(contents(path)), 1);
}

static void queue_keeps_order_and_counts_drops(void **state)
{
    struct log_queue queue;
    struct error err;
    (void)state;
    assert_true(log_queue_open(&queue, 4, 8, &err));
    for (int i = 0; i < 11; i++)
        log_queue_push(&queue, LOG_LEVEL_INFO, "line %d", i);
    log_queue_push(&queue, LOG_LEVEL_DEBUG, "unwanted");
    assert_int_equal(log_queue_drain(&queue, 0), 8);
    assert_int_equal(log_queue_drain(&queue, 0), 0);
    const char *text = contents(path);
    assert_true(strstr(text, "line 0\n") < strstr(text, "line 7\n"));
    assert_null(strstr(text, "line 8\n"));
    assert_non_null(strstr(text, "warning: core 4: 3 log lines were dropped"));
    assert_int_equal(lines(text), 9);
    log_queue_close(&queue);
}

static void *push_many(void *arg)
{
    struct log_queue *queue = arg;
    for (int i = 0; i < 20000; i++)
        log_queue_push(queue, LOG_LEVEL_INFO, "number %d.", i);
    return NULL;
}

static void queue_between_two_threads(void **state)
{
    struct log_queue queue;
    struct error err;
    pthread_t core;
    uint32_t seen = 0;
    (void)state;
    assert_true(log_queue_open(&queue, 0, 64, &err));
    assert_int_equal(pthread_create(&core, NULL, push_many, &queue), 0);
    while (seen + atomic_load(&queue.dropped) < 20000)
        seen += log_queue_drain(&queue, 0);
    pthread_join(core, NULL);
    seen += log_queue_drain(&queue, 0);
    assert_int_equal(seen + atomic_load(&queue.dropped), 20000);
    int last = -1, number;
    for (const char *p = contents(path); (p = strstr(p, "number ")); p++)
        if (sscanf(p, "number %d.", &number) == 1) {
            assert_true(number > last);
            last = number;
        }
    log_queue_close(&queue);
}

static void outcome_names_job_destination_stage_and_reason(void **state)
{
    struct log_queue queue;
    struct error err;
    struct outcome outcome;
    struct log_job job = {.feed = "mta",
                          .job = 77,
                          .tag = "news",
                          .recipient = "a@b.example>xx",
                          .recipient_len = 11,
                          .destination = "b.example",
                          .mx = "mx.b.example",
                          .mx_addr = "192.0.2.1"};
    (void)state;
    assert_true(log_queue_open(&queue, 0, 8, &err));
    outcome_set(&outcome, VERDICT_DEFERRED, STAGE_STARTTLS, FAULT_REMOTE, REASON_STARTTLS_NOT_SUPPORTED,
                "no STARTTLS");
    log_queue_outcome(&queue, &job, &outcome);
    outcome_set(&outcome, VERDICT_DELIVERED, STAGE_DOT, FAULT_NONE, REASON_REPLY, "2.0.0 Ok");
    outcome.smtp_code = 250;
    outcome.enhanced[0] = 2;
    job.tag = "";
    log_queue_outcome(&queue, &job, &outcome);
    log_queue_drain(&queue, 0);
    char first[400], second[400];
    snprintf(first, sizeof(first),
             "notice: feed=mta job=77 tag=news to=<a@b.example> dest=b.example mx=mx.b.example[192.0.2.1] "
             "%s stage=%s fault=%s reason=%s: no STARTTLS\n",
             verdict_name(VERDICT_DEFERRED), stage_name(STAGE_STARTTLS), fault_name(FAULT_REMOTE),
             reason_name(REASON_STARTTLS_NOT_SUPPORTED));
    snprintf(second, sizeof(second),
             "info: feed=mta job=77 to=<a@b.example> dest=b.example mx=mx.b.example[192.0.2.1] %s stage=%s "
             "fault=%s reason=%s reply=250 2.0.0: 2.0.0 Ok\n",
             verdict_name(VERDICT_DELIVERED), stage_name(STAGE_DOT), fault_name(FAULT_NONE),
             reason_name(REASON_REPLY));
    assert_non_null(strstr(contents(path), first));
    assert_non_null(strstr(contents(path), second));
    log_queue_close(&queue);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_log, close_log)
    const struct CMUnitTest tests[] = {
        CASE(line_has_time_level_and_text),  CASE(lines_below_the_level_are_left_out),
        CASE(control_characters_are_shown),  CASE(long_lines_are_cut),
        CASE(repeated_warnings_are_counted), CASE(next_line_tells_what_was_left_out),
        CASE(many_formats_at_once),          CASE(ends_of_jobs_are_not_limited),
        CASE(rotated_file_is_left),          CASE(a_log_that_cannot_be_reopened_stays),
        CASE(a_link_is_not_followed),        CASE(queue_keeps_order_and_counts_drops),
        CASE(queue_between_two_threads),     CASE(outcome_names_job_destination_stage_and_reason),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
