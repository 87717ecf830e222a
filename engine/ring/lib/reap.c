/* reap.c: results off the completion rings, and verdicts once the engine is dead. */
#include "engine/ring/lib/lib.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define LOOK_EVERY 1024u /* empty reaps of a caller that never waits, between looks at the socket */

static void take_text(struct bytes_in *in, char *out, size_t bytes)
{
    const uint8_t *p = bytes_take(in, bytes);
    if (p)
        bytes_copy(out, p, bytes);
    out[p ? bytes : 0] = 0;
}

static void take_tls(const struct ring_result *r, struct hl_tls *tls)
{
    tls->present = !!(r->flags & RING_RESULT_TLS);
    tls->resumed = !!(r->flags & RING_RESULT_RESUMED);
    tls->remembered = !!(r->flags & RING_RESULT_REMEMBERED);
    tls->reused = !!(r->flags & RING_RESULT_REUSED);
    tls->exception = !!(r->flags & RING_RESULT_EXCEPTION);
    tls->pkix = !!(r->flags & RING_RESULT_PKIX);
    tls->level = r->tls_level;
    tls->version = r->tls_version;
    tls->digests = r->digests == 2;
}

static void take_head(const struct ring_result *r, struct hl_result *out)
{
    out->verdict = r->verdict;
    out->stage = r->stage;
    out->fault = r->fault;
    out->reason = r->reason;
    out->smtp_code = r->smtp_code;
    memcpy(out->enhanced, r->enhanced, sizeof(out->enhanced));
    out->mx_addr_present = !!(r->flags & RING_RESULT_MX_ADDR);
    memcpy(out->mx_addr, r->mx_addr, sizeof(out->mx_addr));
    out->mx_port = r->mx_port;
    out->queued_us = r->queued_us;
    out->connected_us = r->connected_us;
    out->secured_us = r->secured_us;
    out->sent_us = r->sent_us;
    out->replied_us = r->replied_us;
    take_tls(r, &out->tls);
}

/* The lengths were checked: see fits. */
static void take_strings(const struct ring_result *r, const uint8_t *slot, struct hl_result *out)
{
    struct bytes_in in = bytes_in(slot + sizeof(*r), RING_RESULT_BYTES - sizeof(*r));
    if (r->digests == 2) {
        memcpy(out->tls.certificate_sha256, bytes_take(&in, RING_DIGEST_BYTES), RING_DIGEST_BYTES);
        memcpy(out->tls.spki_sha256, bytes_take(&in, RING_DIGEST_BYTES), RING_DIGEST_BYTES);
    }
    take_text(&in, out->text, r->text_bytes);
    take_text(&in, out->mx_host, r->mx_host_bytes);
    take_text(&in, out->tls.matched_name, r->matched_name_bytes);
    take_text(&in, out->tls.policy_source, r->policy_source_bytes);
    take_text(&in, out->tls.cipher, r->cipher_bytes);
    take_text(&in, out->tls.group, r->group_bytes);
    take_text(&in, out->tls.signature, r->signature_bytes);
}

static bool fits(const struct ring_result *r)
{
    return r->text_bytes < HL_TEXT_MAX && r->mx_host_bytes < HL_HOST_MAX &&
           r->matched_name_bytes < HL_HOST_MAX && r->policy_source_bytes < HL_WORD_MAX &&
           r->cipher_bytes < HL_WORD_MAX && r->group_bytes < HL_WORD_MAX &&
           r->signature_bytes < HL_WORD_MAX && (r->digests == 0 || r->digests == 2) &&
           r->verdict >= HL_DELIVERED && r->verdict <= HL_IN_DOUBT;
}

/* The recipient has its one result: counts it off; the caller settles the job. */
static void finish(hl_feed *feed, struct job *job, uint32_t r, struct hl_result *out)
{
    out->cookie = job->message->cookie;
    out->submitted_us = job->message->submitted_us;
    out->recipient = job->index[r];
    out->last = --job->message->left == 0;
    job->index[r] = RECIPIENT_DONE;
    job->left--;
    feed->recipients_in_flight--;
}

static bool take_result(hl_feed *feed, uint32_t number, const uint8_t *slot, struct hl_result *out)
{
    struct lane *lane = &feed->region.lane[number];
    struct ring_result r;
    memcpy(&r, slot, sizeof(r));
    struct job *job = r.slot < feed->region.head.submit_slots ? &lane->job[r.slot] : NULL;
    if (!job || !job->message || job->cookie != r.cookie || r.recipient >= job->recipients ||
        job->index[r.recipient] == RECIPIENT_DONE || !fits(&r)) {
        engine_distrust(feed, "a result that belongs to nothing");
        return false;
    }
    take_head(&r, out);
    take_strings(&r, slot, out);
    finish(feed, job, r.recipient, out);
    if (job->left == 0)
        job_settle(feed, number, r.slot);
    return true;
}

static void publish_head(hl_feed *feed, struct lane *lane)
{
    lane->head_published = lane->complete_head;
    atomic_store_explicit(&lane->shared->complete_head, lane->complete_head, memory_order_release);
    atomic_thread_fence(
        memory_order_seq_cst); /* an engine that sleeps for want of room must see it or be rung */
    if (atomic_load_explicit(&lane->shared->engine_sleeping, memory_order_relaxed) &&
        atomic_exchange(&lane->shared->engine_sleeping, 0)) {
        uint64_t one = 1;
        ssize_t n = write(feed->region.wake_engine, &one, sizeof(one));
        (void)n;
    }
}

static size_t reap_lane(hl_feed *feed, uint32_t number, struct hl_result *results, size_t max)
{
    struct lane *lane = &feed->region.lane[number];
    uint32_t tail = atomic_load_explicit(&lane->shared->complete_tail, memory_order_acquire);
    uint32_t slots = feed->region.head.complete_slots;
    size_t count = 0;
    if (tail - lane->complete_head > slots) {
        engine_distrust(feed, "a completion index that jumped");
        return 0;
    }
    while (count < max && lane->complete_head != tail) {
        const uint8_t *slot =
            lane->results + (size_t)(lane->complete_head & (slots - 1)) * feed->region.head.result_bytes;
        if (!take_result(feed, number, slot, &results[count]))
            break;
        lane->complete_head++;
        count++;
    }
    if (lane->head_published != lane->complete_head)
        publish_head(feed, lane);
    return count;
}

static size_t reap_lanes(hl_feed *feed, struct hl_result *results, size_t max)
{
    size_t count = 0;
    if (feed->gone == ENGINE_DISTRUSTED)
        return 0;
    for (uint32_t i = 0; i < feed->region.head.lanes && count < max; i++) {
        count += reap_lane(feed, feed->next_lane, results + count, max - count);
        feed->next_lane = feed->next_lane + 1 < feed->region.head.lanes ? feed->next_lane + 1 : 0;
    }
    return count;
}

/* What a dead engine's stage says of recipients without result.  It wrote the stage before the bytes left. */
static void judge(const hl_feed *feed, uint32_t stage, struct hl_result *out)
{
    bool distrusted = feed->gone == ENGINE_DISTRUSTED, in_doubt = distrusted || stage >= HL_STAGE_DOT;
    memset(out, 0, sizeof(*out));
    out->verdict = in_doubt ? HL_IN_DOUBT : HL_NOT_SENT;
    out->stage = (uint8_t)(stage <= HL_STAGE_QUIT ? stage : HL_STAGE_QUIT);
    out->fault = HL_FAULT_LOCAL;
    out->reason = HL_REASON_SHUTDOWN;
    if (distrusted)
        snprintf(out->text, sizeof(out->text),
                 "the engine's memory cannot be trusted: it may have been sent");
    else if (in_doubt)
        snprintf(out->text, sizeof(out->text),
                 "the engine died after the end of data: it may have been accepted");
    else if (stage == HL_STAGE_NONE)
        snprintf(out->text, sizeof(out->text), "the engine died before it looked at this: send again");
    else
        snprintf(out->text, sizeof(out->text),
                 "the engine died at stage %s, before the end of data: send again",
                 hl_stage_name((int)stage));
}

static size_t judge_job(hl_feed *feed, struct job *job, uint32_t stage, struct hl_result *results, size_t max)
{
    size_t count = 0;
    for (uint32_t r = 0; r < job->recipients && count < max; r++) {
        if (job->index[r] == RECIPIENT_DONE)
            continue;
        judge(feed, stage, &results[count]);
        finish(feed, job, r, &results[count++]);
    }
    return count;
}

static size_t judge_slot(hl_feed *feed, uint32_t lane_number, uint32_t slot, struct hl_result *results,
                         size_t max)
{
    struct lane *lane = &feed->region.lane[lane_number];
    struct job *job = &lane->job[slot];
    if (!job->message)
        return 0;
    uint32_t stage = atomic_load_explicit(&lane_slot(lane, slot)->stage, memory_order_acquire);
    if (stage == HL_STAGE_NONE && !feed->given_up && feed->gone == ENGINE_DEAD)
        return 0; /* waits for a reattach */
    size_t count = judge_job(feed, job, stage, results, max);
    if (job->left == 0)
        job_settle(feed, lane_number, slot);
    return count;
}

static size_t judge_stranded(hl_feed *feed, struct hl_result *results, size_t max)
{
    size_t count = 0;
    while (feed->stranded_count > 0 && count < max) {
        struct job *job = &feed->stranded[feed->stranded_count - 1];
        count += judge_job(feed, job, HL_STAGE_NONE, results + count, max - count);
        if (job->left > 0)
            break;
        feed->stranded_count--;
        if (job->message->left == 0)
            message_free(feed, job->message);
    }
    return count;
}

static size_t give_verdicts(hl_feed *feed, struct hl_result *results, size_t max)
{
    size_t count = 0;
    while (feed->verdict_lane < feed->region.head.lanes && count < max) {
        count += judge_slot(feed, feed->verdict_lane, feed->verdict_slot, results + count, max - count);
        if (count == max)
            break; /* the slot may have more */
        if (++feed->verdict_slot == feed->region.head.submit_slots) {
            feed->verdict_slot = 0;
            feed->verdict_lane++;
        }
    }
    return count;
}

static void disarm(hl_feed *feed)
{
    uint64_t rings;
    ssize_t n = read(feed->region.wake_producer, &rings, sizeof(rings));
    (void)n; /* EAGAIN: not rung */
    atomic_store_explicit(&feed->region.shared->producer_sleeping, 0, memory_order_relaxed);
    feed->armed = false;
}

int hl_reap(hl_feed *feed, struct hl_result *results, size_t max, struct hl_error *error)
{
    bool look = feed->armed || feed->empty_reaps >= LOOK_EVERY;
    if (feed->armed)
        disarm(feed);
    if (max == 0)
        return 0;
    size_t count = feed->stranded_count ? judge_stranded(feed, results, max) : 0;
    count += reap_lanes(feed, results + count, max - count);
    if (count == 0 && !feed->gone && look && engine_is_gone(feed))
        count = reap_lanes(feed, results, max); /* what it had published before */
    feed->empty_reaps = count || look ? 0 : feed->empty_reaps + 1;
    if (count == 0 && feed->gone)
        count = give_verdicts(feed, results, max);
    if (count == 0 && feed->gone) {
        feed->drained = true;
        return fail_gone(feed, error);
    }
    return (int)min_size(count, INT32_MAX);
}
