/* report.c: one result into the completion ring. */
#include "engine/ring/feed_private.h"

#include <string.h>

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

static void put_delivery(struct ring_result *r, const struct feed_delivery *d)
{
    if (d->mx_addr) {
        memcpy(r->mx_addr, d->mx_addr, sizeof(r->mx_addr));
        r->flags |= RING_RESULT_MX_ADDR;
    }
    r->mx_port = d->mx_port;
    r->queued_us = d->queued_us;
    r->connected_us = d->connected_us;
    r->secured_us = d->secured_us;
    r->sent_us = d->sent_us;
    r->replied_us = d->replied_us;
}

static void put_digests(struct ring_result *r, struct bytes_out *out, const struct feed_evidence *e)
{
    static const uint8_t none[RING_DIGEST_BYTES];
    if (!e->tls || (!e->cert_sha256 && !e->spki_sha256))
        return;
    bytes_put(out, e->cert_sha256 ? e->cert_sha256 : none, RING_DIGEST_BYTES);
    bytes_put(out, e->spki_sha256 ? e->spki_sha256 : none, RING_DIGEST_BYTES);
    r->digests = 2;
}

static void put_evidence(struct ring_result *r, const struct feed_evidence *e)
{
    r->flags = (uint16_t)(r->flags | (e->tls ? RING_RESULT_TLS : 0) | (e->resumed ? RING_RESULT_RESUMED : 0) |
                          (e->reused ? RING_RESULT_REUSED : 0) | (e->exception ? RING_RESULT_EXCEPTION : 0) |
                          (e->pkix ? RING_RESULT_PKIX : 0) | (e->remembered ? RING_RESULT_REMEMBERED : 0));
    r->tls_version = e->version;
    r->tls_level = e->level;
}

/* The strings stand in the order that layout.h gives. */
static void put_strings(struct ring_result *r, struct bytes_out *out, const struct outcome *outcome,
                        const struct feed_delivery *d, const struct feed_evidence *e)
{
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
    lane->complete_tail++;
    lane->owed--;
    if (++job->done < job->recipients)
        return;
    lane->busy[job->slot / 64] &= ~(1ull << (job->slot % 64));
    lane->in_flight--;
    if (feed->rights.jobs_in_flight_max)
        atomic_fetch_sub_explicit(&feed->jobs_in_flight, 1, memory_order_relaxed);
}

void feed_report(struct feed_job *job, uint32_t r, const struct outcome *outcome,
                 const struct feed_delivery *delivery)
{
    struct feed *feed = job->feed;
    struct feed_lane *lane = &feed->lane[job->lane];
    assert(r < job->recipients && job->done < job->recipients);

    const struct feed_evidence *evidence = delivery ? delivery->evidence : NULL;
    uint32_t at = lane->complete_tail & (feed->shape.complete_slots - 1);
    struct ring_result *result = (struct ring_result *)(lane->results + (size_t)at * RING_RESULT_BYTES);
    struct bytes_out out = bytes_out(result + 1, RING_RESULT_BYTES - sizeof(*result));

    *result = (struct ring_result){.cookie = job->cookie, .slot = job->slot, .recipient = r};
    put_outcome(result, outcome);
    if (delivery)
        put_delivery(result, delivery);
    if (evidence) {
        put_evidence(result, evidence);
        put_digests(result, &out, evidence);
    }
    put_strings(result, &out, outcome, delivery, evidence);
    settle(job);
}
