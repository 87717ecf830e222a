/* report.c: one result into the completion ring. */
#include "engine/ring/feed_private.h"

#include <string.h>

#define TURN_EVERY (256u << 10) /* bytes of results */

static uint8_t put_text(struct bytes_out *out, const char *text, size_t max)
{
    if (!text || !text[0])
        return 0;
    size_t bytes = strnlen(text, max);
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

/* Returns RING_RESULT_*, as the two below do. */
static unsigned put_evidence(struct ring_result *r, const struct feed_evidence *e)
{
    r->tls_version = e->version;
    r->tls_level = e->level;
    return (e->tls ? RING_RESULT_TLS : 0u) | (e->resumed ? RING_RESULT_RESUMED : 0u) |
           (e->reused ? RING_RESULT_REUSED : 0u) | (e->exception ? RING_RESULT_EXCEPTION : 0u) |
           (e->pkix ? RING_RESULT_PKIX : 0u) | (e->remembered ? RING_RESULT_REMEMBERED : 0u);
}

static unsigned put_digests(struct bytes_out *out, const struct feed_evidence *e)
{
    static const uint8_t none[RING_DIGEST_BYTES];
    if (!e->tls || (!e->cert_sha256 && !e->spki_sha256))
        return 0;
    bytes_put(out, e->cert_sha256 ? e->cert_sha256 : none, RING_DIGEST_BYTES);
    bytes_put(out, e->spki_sha256 ? e->spki_sha256 : none, RING_DIGEST_BYTES);
    return RING_RESULT_DIGESTS;
}

/* What follows the fixed part, in the order that layout.h gives. */
static unsigned put_rest(struct ring_result *r, struct bytes_out *out, const struct outcome *outcome,
                         const struct feed_delivery *d, const struct feed_evidence *e)
{
    unsigned flags = d->mx_addr ? RING_RESULT_MX_ADDR : 0;
    if (d->mx_addr)
        bytes_put(out, d->mx_addr, RING_ADDR_BYTES);
    flags |= put_digests(out, e);
    r->text_bytes = put_text(out, outcome->text, RING_TEXT_MAX);
    r->mx_host_bytes = put_text(out, d->mx_host, RING_HOST_MAX);
    r->matched_name_bytes = put_text(out, e->matched_name, RING_HOST_MAX);
    r->policy_source_bytes = put_text(out, e->policy_source, RING_POLICY_SOURCE_MAX);
    r->cipher_bytes = put_text(out, e->cipher, RING_CIPHER_MAX);
    r->group_bytes = put_text(out, e->group, RING_GROUP_MAX);
    r->signature_bytes = put_text(out, e->signature, RING_SIGNATURE_MAX);
    return flags;
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
    feed_ended_one(feed);
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

/* Written where it belongs, each field once and nothing read back: the producer has this memory, too. */
static void write_result(struct feed_lane *lane, uint64_t id, uint32_t recipient,
                         const struct outcome *outcome, const struct feed_delivery *delivery)
{
    static const struct feed_delivery none;
    static const struct feed_evidence no_evidence;
    uint8_t *at = stream_place(&lane->out, RING_RESULT_MAX);
    struct ring_result *head = (struct ring_result *)at;
    const struct feed_delivery *d = delivery ? delivery : &none;
    const struct feed_evidence *e = d->evidence ? d->evidence : &no_evidence;
    struct bytes_out out = bytes_out(at + sizeof(*head), RING_RESULT_MAX - sizeof(*head));
    head->id = id;
    head->recipient = recipient;
    put_outcome(head, outcome);
    put_times(head, d);
    head->flags = (uint16_t)(put_evidence(head, e) | put_rest(head, &out, outcome, d, e));
    head->reserved = 0;
    uint32_t bytes = (uint32_t)(sizeof(*head) + bytes_written(&out) + 7) & ~7u;
    head->bytes = bytes;
    stream_advance(&lane->out, bytes);
}

void feed_report(struct feed_job *job, uint32_t r, const struct outcome *outcome,
                 const struct feed_delivery *delivery)
{
    struct feed_lane *lane = &job->feed->lane[job->lane];
    assert(r < job->recipients && job->done < job->recipients);
    turn_early(job->feed, lane);
    write_result(lane, job->id, r, outcome, delivery);
    settle(job);
}
