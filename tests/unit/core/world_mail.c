/* world_mail.c: the ledger: what was submitted, what came back, what arrived. */
#include "tests/unit/core/world_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LETTER_BYTES 300u

/* ---- letters ---- */

/* Lines of all lengths, many of them with dots in front. */
static void write_letter(struct mx_bytes *out, unsigned number, size_t bytes)
{
    char line[120];
    struct rand_source rand;
    rand_seed(&rand, number);
    int n = snprintf(line, sizeof(line), "X-Number: %u\r\nSubject: a letter\r\n\r\n", number);
    mx_bytes_add(out, line, (size_t)n);
    while (out->len < bytes) {
        uint32_t dots = rand_below(&rand, 4), len = rand_below(&rand, 78);
        memset(line, '.', dots);
        for (uint32_t i = 0; i < len; i++)
            line[dots + i] = (char)('a' + rand_below(&rand, 26));
        memcpy(line + dots + len, "\r\n", 2);
        mx_bytes_add(out, line, dots + len + 2);
    }
}

static size_t bytes_of(const struct letter *letter)
{
    return letter->bytes ? letter->bytes : LETTER_BYTES;
}

static unsigned split_to(const char *to, char rcpt[WORLD_RCPTS_MAX][MX_ADDRESS_MAX])
{
    unsigned n = 0;
    int used;
    for (; n < WORLD_RCPTS_MAX && sscanf(to, " %63s%n", rcpt[n], &used) == 1; n++)
        to += used;
    return n;
}

int world_try(struct world *w, const struct letter *letter, unsigned *number)
{
    struct hl_error error = {0};
    struct hl_recipient to[WORLD_RCPTS_MAX] = {0};
    struct mx_bytes body = {0};
    char sender[32];
    assert_true(w->jobs < WORLD_JOBS_MAX);
    struct sent *s = &w->sent[w->jobs];
    *s = (struct sent){.feed = letter->feed, .bytes = bytes_of(letter)};
    s->rcpts = split_to(letter->to, s->rcpt);
    for (unsigned i = 0; i < s->rcpts; i++)
        to[i].address = hl_str(s->rcpt[i]);
    snprintf(sender, sizeof(sender), "s%u@sender.test", w->jobs);
    write_letter(&body, w->jobs, s->bytes);
    struct hl_part part = hl_copy_of(body.data, body.len);
    struct hl_job job = hl_job_init();
    job.cookie = w->jobs;
    job.sender = hl_str(sender);
    job.recipients = to;
    job.recipients_count = s->rcpts;
    job.next_hop = letter->next_hop ? hl_str(letter->next_hop) : hl_none();
    job.parts = &part;
    job.parts_count = 1;
    job.flags = letter->flags;
    job.tls_floor = letter->floor;
    job.deadline_us = letter->patience_us ? w->now_us + letter->patience_us : 0;
    int code = hl_submit(w->producer[letter->feed], &job, &error);
    free(body.data);
    if (code == 0) {
        *number = w->jobs++;
        w->results_owed += s->rcpts;
    } else {
        snprintf(w->pair.error.text, sizeof(w->pair.error.text), "%s", error.text);
    }
    return code;
}

unsigned world_submit(struct world *w, const struct letter *letter)
{
    unsigned number = 0;
    if (world_try(w, letter, &number) != 0)
        fail_msg("%s", w->pair.error.text);
    return number;
}

unsigned world_send(struct world *w, const char *to)
{
    return world_submit(w, &(struct letter){.to = to});
}

/* ---- results ---- */

static const char *keep(char words[256], const char *text)
{
    snprintf(words, 256, "%s", text);
    return words;
}

/* Its strings are the feed's until the next hl_reap. */
static void keep_result(struct hl_result *r, char words[7][256])
{
    r->text = keep(words[0], r->text);
    r->mx_host = keep(words[1], r->mx_host);
    r->tls.cipher = keep(words[2], r->tls.cipher);
    r->tls.group = keep(words[3], r->tls.group);
    r->tls.signature = keep(words[4], r->tls.signature);
    r->tls.policy_source = keep(words[5], r->tls.policy_source);
    r->tls.matched_name = keep(words[6], r->tls.matched_name);
}

static void note_result(struct world *w, const struct hl_result *r)
{
    assert_true(r->cookie < w->jobs);
    struct sent *s = &w->sent[r->cookie];
    assert_true(r->recipient < s->rcpts);
    if (s->results[r->recipient]++ > 0)
        fail_msg("message %u has a second result for %s: %s", (unsigned)r->cookie, s->rcpt[r->recipient],
                 r->text);
    s->result[r->recipient] = *r;
    keep_result(&s->result[r->recipient], s->words[r->recipient]);
    w->results_owed--;
}

void mail_reap(struct world *w)
{
    struct hl_result result[32];
    struct hl_error error;
    for (unsigned f = 0; f < w->feeds; f++) {
        int n = 0;
        while (w->producer[f] && (n = hl_reap(w->producer[f], result, ARRAY_LEN(result), &error)) > 0)
            for (int i = 0; i < n; i++)
                note_result(w, &result[i]);
        if (n < 0 && n != -EPIPE)
            fail_msg("reaping: %s", error.text);
    }
}

bool world_settled(struct world *w, const void *unused)
{
    (void)unused;
    return w->results_owed == 0;
}

bool world_has_mails(struct world *w, const void *number)
{
    return w->mx.mails >= *(const unsigned *)number;
}

bool world_body_is_on_its_way(struct world *w, const void *unused)
{
    (void)unused;
    return world_stat(w, STAT_tcp_bytes_acked) > 100000;
}

void world_settle(struct world *w, uint64_t us)
{
    world_until(w, world_settled, NULL, us);
}

const struct hl_result *world_result(struct world *w, unsigned number, unsigned rcpt)
{
    assert_true(number < w->jobs && rcpt < w->sent[number].rcpts);
    assert_int_equal(w->sent[number].results[rcpt], 1);
    return &w->sent[number].result[rcpt];
}

const struct hl_result *world_expect(struct world *w, unsigned number, enum hl_verdict verdict,
                                     enum hl_stage stage, enum hl_reason reason)
{
    const struct hl_result *r = world_result(w, number, 0);
    if (r->verdict != verdict || r->stage != stage || r->reason != reason)
        fail_msg("message %u is %s at %s, %s: %s; expected was %s at %s, %s", number,
                 hl_verdict_name(r->verdict), hl_stage_name(r->stage), hl_reason_name(r->reason), r->text,
                 hl_verdict_name(verdict), hl_stage_name(stage), hl_reason_name(reason));
    return r;
}

void world_delivered(struct world *w, unsigned first, unsigned last)
{
    for (unsigned number = first; number <= last; number++)
        for (unsigned r = 0; r < w->sent[number].rcpts; r++) {
            const struct hl_result *result = world_result(w, number, r);
            if (result->verdict != HL_DELIVERED)
                fail_msg("message %u is %s at %s: %s", number, hl_verdict_name(result->verdict),
                         hl_stage_name(result->stage), result->text);
        }
}

/* ---- what arrived ---- */

static unsigned number_of(const struct mx_mail *mail)
{
    unsigned number;
    if (sscanf(mail->sender, "s%u@", &number) != 1)
        fail_msg("a message of %s", mail->sender);
    return number;
}

static bool is_for(const struct mx_mail *mail, const char *rcpt)
{
    for (unsigned i = 0; i < mail->rcpts; i++)
        if (strcmp(mail->rcpt[i], rcpt) == 0)
            return true;
    return false;
}

/* Of a message that was refused at its end the receiver has none. */
static bool may_be_kept(const struct mx_mail *mail)
{
    return mail->reply < 400;
}

unsigned world_copies(const struct world *w, unsigned number, unsigned rcpt)
{
    unsigned copies = 0;
    for (unsigned i = 0; i < w->mx.mails; i++)
        copies += number_of(&w->mx.mail[i]) == number && may_be_kept(&w->mx.mail[i]) &&
                  is_for(&w->mx.mail[i], w->sent[number].rcpt[rcpt]);
    return copies;
}

unsigned world_serial(const struct world *w, unsigned number)
{
    for (unsigned i = 0; i < w->mx.mails; i++)
        if (number_of(&w->mx.mail[i]) == number)
            return w->mx.mail[i].serial;
    fail_msg("message %u has not arrived", number);
    return 0;
}

static void check_body(const struct world *w, const struct mx_mail *mail)
{
    struct mx_bytes letter = {0};
    unsigned number = number_of(mail);
    assert_true(number < w->jobs);
    write_letter(&letter, number, w->sent[number].bytes);
    if (letter.len != mail->body_len || memcmp(letter.data, mail->body, letter.len) != 0)
        fail_msg("message %u arrived changed", number);
    free(letter.data);
}

static void check_copies(const struct world *w, unsigned number, unsigned rcpt)
{
    const struct sent *s = &w->sent[number];
    unsigned copies = world_copies(w, number, rcpt), verdict = s->result[rcpt].verdict;
    unsigned least = verdict == HL_DELIVERED, most = verdict == HL_DELIVERED || verdict == HL_IN_DOUBT;
    if (copies < least || copies > most)
        fail_msg("message %u for %s is %s and has arrived %u times", number, s->rcpt[rcpt],
                 hl_verdict_name((int)verdict), copies);
}

void mail_check(struct world *w)
{
    mail_reap(w);
    for (unsigned number = 0; number < w->jobs; number++)
        for (unsigned r = 0; r < w->sent[number].rcpts; r++) {
            if (w->sent[number].results[r] != 1)
                fail_msg("message %u has %u results for %s", number, w->sent[number].results[r],
                         w->sent[number].rcpt[r]);
            check_copies(w, number, r);
        }
    for (unsigned i = 0; i < w->mx.mails; i++)
        check_body(w, &w->mx.mail[i]);
    assert_int_equal(w->mx.clear_mail, 0);
}
