/* reap.c: results off the completion rings, and verdicts once the engine is dead. */
#include "engine/ring/lib/lib.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define LOOK_EVERY 1024u /* empty reaps of a caller that never waits, between looks at the socket */

/* Their memory has room for all that a call can take, however long they are: see lib.h. */
static const char *take_text(hl_feed *feed, const uint8_t **at, size_t bytes)
{
    char *out = feed->words_at;
    if (bytes == 0)
        return "";
    bytes_copy(out, *at, bytes);
    out[bytes] = 0;
    *at += bytes;
    feed->words_at += bytes + 1;
    return out;
}

static uint8_t bit(uint64_t flags, uint64_t mask)
{
    return (flags & mask) != 0;
}

static void take_tls(const struct ring_result *r, struct hl_tls *tls)
{
    uint64_t flags = r->flags;
    __asm__(
        ""
        : "+r"(flags)); /* else gcc puts 2 bytes on the stack for each, reads 8, and the processor waits */
    tls->present = bit(flags, RING_RESULT_TLS);
    tls->resumed = bit(flags, RING_RESULT_RESUMED);
    tls->remembered = bit(flags, RING_RESULT_REMEMBERED);
    tls->reused = bit(flags, RING_RESULT_REUSED);
    tls->exception = bit(flags, RING_RESULT_EXCEPTION);
    tls->pkix = bit(flags, RING_RESULT_PKIX);
    tls->level = r->tls_level;
    tls->version = r->tls_version;
    tls->digests = bit(flags, RING_RESULT_DIGESTS);
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
    out->mx_port = r->mx_port;
    out->queued_us = r->queued_us;
    out->connected_us = r->connected_us;
    out->secured_us = r->secured_us;
    out->sent_us = r->sent_us;
    out->replied_us = r->replied_us;
    take_tls(r, &out->tls);
}

/* What the parts behind the fixed one come to. */
static size_t rest_bytes(const struct ring_result *r)
{
    return (r->flags & RING_RESULT_MX_ADDR ? RING_ADDR_BYTES : 0u) +
           (r->flags & RING_RESULT_DIGESTS ? 2 * RING_DIGEST_BYTES : 0u) + r->text_bytes + r->mx_host_bytes +
           r->matched_name_bytes + r->policy_source_bytes + r->cipher_bytes + r->group_bytes +
           r->signature_bytes;
}

/* The lengths were checked: see fits. */
static void take_rest(hl_feed *feed, const struct ring_result *r, const uint8_t *at, struct hl_result *out)
{
    memset(out->mx_addr, 0, sizeof(out->mx_addr));
    if (r->flags & RING_RESULT_MX_ADDR) {
        memcpy(out->mx_addr, at, RING_ADDR_BYTES);
        at += RING_ADDR_BYTES;
    }
    if (r->flags & RING_RESULT_DIGESTS) {
        memcpy(out->tls.certificate_sha256, at, RING_DIGEST_BYTES);
        memcpy(out->tls.spki_sha256, at + RING_DIGEST_BYTES, RING_DIGEST_BYTES);
        at += 2 * RING_DIGEST_BYTES;
    }
    out->text = take_text(feed, &at, r->text_bytes);
    out->mx_host = take_text(feed, &at, r->mx_host_bytes);
    out->tls.matched_name = take_text(feed, &at, r->matched_name_bytes);
    out->tls.policy_source = take_text(feed, &at, r->policy_source_bytes);
    out->tls.cipher = take_text(feed, &at, r->cipher_bytes);
    out->tls.group = take_text(feed, &at, r->group_bytes);
    out->tls.signature = take_text(feed, &at, r->signature_bytes);
}

static bool fits(const struct ring_result *r, uint32_t head_bytes, uint64_t there)
{
    return r->bytes % 8 == 0 && r->bytes <= there && r->bytes >= head_bytes + rest_bytes(r) &&
           r->text_bytes < HL_TEXT_MAX && r->verdict >= HL_DELIVERED && r->verdict <= HL_IN_DOUBT;
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

/* The engine's memory is read once, and believed as far as it fits; `there` bytes are published. */
static bool take_result(hl_feed *feed, uint32_t number, uint64_t there, struct hl_result *out)
{
    static const struct ring_result nothing;
    struct lane *lane = &feed->region.lane[number];
    const uint8_t *at = lane->in.base + lane->in.at;
    uint32_t head_bytes = feed->region.head.result_head_bytes;
    struct ring_result r;
    there = min_u64(there, stream_rest(&lane->in));
    memcpy(&r, there >= head_bytes ? (const void *)at : &nothing, sizeof(r));
    stream_copied(&r);
    uint32_t slot = (uint32_t)r.id & RING_SLOT_MASK;
    struct job *job = slot < feed->region.head.submit_slots ? &lane->job[slot] : NULL;
    if (!job || !job->message || job->id != r.id || r.recipient >= job->recipients ||
        job->index[r.recipient] == RECIPIENT_DONE || !fits(&r, head_bytes, there)) {
        engine_distrust(feed, "a result that belongs to nothing");
        return false;
    }
    take_head(&r, out);
    take_rest(feed, &r, at + head_bytes, out);
    finish(feed, job, r.recipient, out);
    if (job->left == 0)
        job_settle(feed, number, slot);
    stream_advance(&lane->in, r.bytes);
    return true;
}

static void publish_head(hl_feed *feed, struct lane *lane)
{
    lane->head_published = lane->in.position;
    atomic_store_explicit(&lane->shared->complete_head, lane->in.position, memory_order_release);
    atomic_thread_fence(
        memory_order_seq_cst); /* an engine that sleeps for want of room must see it or be rung */
    ring_if_asleep(feed, lane);
}

/* The engine went back to the stream's first byte; false: there is no end to skip. */
static bool skip_end(hl_feed *feed, struct lane *lane, uint64_t tail)
{
    if (lane->in.at == 0 || stream_rest(&lane->in) > tail - lane->in.position) {
        engine_distrust(feed, "results that end behind their index");
        return false;
    }
    stream_advance(&lane->in, stream_rest(&lane->in));
    return true;
}

static size_t reap_lane(hl_feed *feed, uint32_t number, struct hl_result *results, size_t max)
{
    struct lane *lane = &feed->region.lane[number];
    uint64_t tail = atomic_load_explicit(&lane->shared->complete_tail, memory_order_acquire);
    size_t count = 0;
    if (tail - lane->in.position > lane->in.bytes || tail % 8) {
        engine_distrust(feed, "a completion index that jumped");
        return 0;
    }
    while (count < max && lane->in.position != tail) {
        if (unlikely(stream_word(&lane->in) == RING_SKIP)) {
            if (!skip_end(feed, lane, tail))
                break;
            continue;
        }
        if (!take_result(feed, number, tail - lane->in.position, &results[count]))
            break;
        count++;
    }
    if (lane->head_published != lane->in.position)
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

static const char *say_stage(hl_feed *feed, uint32_t stage)
{
    char *out = feed->words_at;
    int bytes = snprintf(out, WORD_BYTES, "the engine died at stage %s, before the end of data: send again",
                         hl_stage_name((int)stage));
    feed->words_at += bytes + 1;
    return out;
}

/* What a dead engine's stage says of recipients without result.  It wrote the stage before the bytes left. */
static void judge(hl_feed *feed, uint32_t stage, struct hl_result *out)
{
    bool distrusted = feed->gone == ENGINE_DISTRUSTED, in_doubt = distrusted || stage >= HL_STAGE_DOT;
    *out = hl_result_init();
    out->verdict = in_doubt ? HL_IN_DOUBT : HL_NOT_SENT;
    out->stage = (uint8_t)(stage <= HL_STAGE_QUIT ? stage : HL_STAGE_QUIT);
    out->fault = HL_FAULT_LOCAL;
    out->reason = HL_REASON_SHUTDOWN;
    if (distrusted)
        out->text = "the engine's memory cannot be trusted: it may have been sent";
    else if (in_doubt)
        out->text = "the engine died after the end of data: it may have been accepted";
    else if (stage == HL_STAGE_NONE)
        out->text = "the engine died before it looked at this: send again";
    else
        out->text = say_stage(feed, stage);
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

/* A word that is another job's says that the engine has not come to this one. */
static uint32_t stage_of(const struct lane *lane, const struct job *job, uint32_t slot)
{
    uint64_t word = atomic_load_explicit(&lane->stages[slot], memory_order_acquire);
    return ring_stage_word(word, 0) == ring_stage_word(job->id, 0) ? (uint32_t)word & RING_SLOT_MASK
                                                                   : HL_STAGE_NONE;
}

static size_t judge_slot(hl_feed *feed, uint32_t lane_number, uint32_t slot, struct hl_result *results,
                         size_t max)
{
    struct lane *lane = &feed->region.lane[lane_number];
    struct job *job = &lane->job[slot];
    if (!job->message)
        return 0;
    uint32_t stage = stage_of(lane, job, slot);
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

static int reap(hl_feed *feed, struct hl_result *results, size_t max, struct hl_error *error)
{
    bool look = feed->armed || feed->empty_reaps >= LOOK_EVERY;
    max = min_size(max, HL_REAP_MAX);
    feed->words_at = feed->words;
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
    return (int)count;
}

int hl_reap(hl_feed *feed, struct hl_result *results, size_t max, struct hl_error *error)
{
    int code = feed_enter(feed, error);
    if (unlikely(code))
        return code;
    code = reap(feed, results, max, error);
    feed_leave(feed);
    return code;
}
