/* report.c: one result into the completion ring. */
#include "engine/ring/feed_private.h"

#include <string.h>

#define TURN_EVERY (256u << 10) /* bytes of results */

static uint8_t put_text(struct bytes_out *out, const char *text, size_t max)
{
    size_t bytes = text ? strnlen(text, max) : 0;
    bytes_put(out, text, bytes);
    return (uint8_t)bytes;
}

static void put_outcome(struct ring_result *r, const struct outcome *outcome)
{
    r->verdict = outcome->verdict;
    r->stage = outcome->stage;
    r->fault = outcome->fault;
    r->reason = outcome->reason;
    r->smtp_code = outcome->smtp_code;
    memcpy(r->enhanced, outcome->enhanced, sizeof(r->enhanced));
}

static void put_times(struct ring_result *r, const struct feed_delivery *d)
{
    r->mx_port = d->mx_port;
    r->queued_us = d->queued_us;
    r->connected_us = d->connected_us;
    r->secured_us = d->secured_us;
    r->sent_us = d->sent_us;
    r->replied_us = d->replied_us;
}

static void put_evidence(struct ring_result *r, const struct feed_evidence *e)
{
    r->flags = (uint16_t)((e->tls ? RING_RESULT_TLS : 0) | (e->resumed ? RING_RESULT_RESUMED : 0) |
                          (e->reused ? RING_RESULT_REUSED : 0) | (e->exception ? RING_RESULT_EXCEPTION : 0) |
                          (e->pkix ? RING_RESULT_PKIX : 0) | (e->remembered ? RING_RESULT_REMEMBERED : 0));
    r->tls_version = e->version;
    r->tls_level = e->level;
}

static void put_digests(struct ring_result *r, struct bytes_out *out, const struct feed_evidence *e)
{
    static const uint8_t none[RING_DIGEST_BYTES];
    if (!e->tls || (!e->cert_sha256 && !e->spki_sha256))
        return;
    bytes_put(out, e->cert_sha256 ? e->cert_sha256 : none, RING_DIGEST_BYTES);
    bytes_put(out, e->spki_sha256 ? e->spki_sha256 : none, RING_DIGEST_BYTES);
    r->flags |= RING_RESULT_DIGESTS;
}

/* What follows the fixed part, in the order that layout.h gives. */
static void put_rest(struct ring_result *r, struct bytes_out *out, const struct outcome *outcome,
                     const struct feed_delivery *d, const struct feed_evidence *e)
{
    if (d && d->mx_addr) {
        bytes_put(out, d->mx_addr, RING_ADDR_BYTES);
        r->flags |= RING_RESULT_MX_ADDR;
    }
    if (e)
        put_digests(r, out, e);
    r->text_bytes = put_text(out, outcome->text, RING_TEXT_MAX);
    r->mx_host_bytes = put_text(out, d ? d->mx_host : NULL, RING_HOST_MAX);
    if (!e)
        return;
    r->matched_name_bytes = put_text(out, e->matched_name, RING_HOST_MAX);
    r->policy_source_bytes = put_text(out, e->policy_source, RING_POLICY_SOURCE_MAX);
    r->cipher_bytes = put_text(out, e->cipher, RING_CIPHER_MAX);
    r->group_bytes = put_text(out, e->group, RING_GROUP_MAX);
    r->signature_bytes = put_text(out, e->signature, RING_SIGNATURE_MAX);
}

static void settle(struct feed_job *job)
{
    struct feed *feed = job->feed;
    struct feed_lane *lane = &feed->lane[job->lane];
    uint32_t slot = feed_slot_of(job->id);
    lane->owed--;
    if (++job->done < job->recipients)
        return;
    lane->busy[slot / 64] &= ~(1ull << (slot % 64));
    lane->in_flight--;
    if (feed->rights.jobs_in_flight_max)
        atomic_fetch_sub_explicit(&feed->jobs_in_flight, 1, memory_order_relaxed);
}

/* A stream that is mostly empty need not walk through all of its memory: what is used again is still in the caches. */
static void turn_early(struct feed *feed, struct feed_lane *lane)
{
    if (likely(lane->out.position < lane->turn_at))
        return;
    uint64_t after = lane->out.position + stream_rest(&lane->out);
    if (feed_see_head(feed, lane) &&
        after + (lane->owed + 1ull) * RING_RESULT_MAX <= lane->complete_head + lane->out.bytes)
        stream_skip(&lane->out);
    lane->turn_at = lane->out.position + TURN_EVERY;
}

/* The head is made aside and written at once, the rest where it belongs. */
static void write_result(struct feed_lane *lane, struct ring_result *head, const struct outcome *outcome,
                         const struct feed_delivery *delivery)
{
    uint8_t *at = stream_place(&lane->out, RING_RESULT_MAX);
    const struct feed_evidence *evidence = delivery ? delivery->evidence : NULL;
    struct bytes_out out = bytes_out(at + sizeof(*head), RING_RESULT_MAX - sizeof(*head));
    put_outcome(head, outcome);
    if (delivery)
        put_times(head, delivery);
    if (evidence)
        put_evidence(head, evidence);
    put_rest(head, &out, outcome, delivery, evidence);
    head->bytes = (uint32_t)(sizeof(*head) + bytes_written(&out) + 7) & ~7u;
    memcpy(at, head, sizeof(*head));
    stream_advance(&lane->out, head->bytes);
}

void feed_report(struct feed_job *job, uint32_t r, const struct outcome *outcome,
                 const struct feed_delivery *delivery)
{
    struct feed_lane *lane = &job->feed->lane[job->lane];
    assert(r < job->recipients && job->done < job->recipients);
    struct ring_result head = {.id = job->id, .recipient = r};
    turn_early(job->feed, lane);
    write_result(lane, &head, outcome, delivery);
    settle(job);
}
