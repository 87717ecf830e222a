/* results.c: one result a recipient: into the feed, into the counters, into the log. */
#include "engine/core/core_private.h"

static struct feed_evidence evidence_of(const struct job *job, const struct conn *conn)
{
    struct feed_evidence e = {.level = job->demand_level, .policy_source = job->demand_source};
    const struct tls_verified *proof = conn && conn->tls ? tls_verified(conn->tls) : NULL;
    if (!proof)
        return e;
    e.tls = true;
    e.resumed = proof->resumed;
    e.remembered = proof->remembered;
    e.reused = job->reused;
    e.pkix = proof->pkix;
    e.version = proof->version;
    e.cipher = proof->cipher;
    e.group = proof->group;
    e.signature = proof->signature;
    e.matched_name = proof->matched_name;
    e.cert_sha256 = proof->cert_sha256;
    e.spki_sha256 = proof->spki_sha256;
    return e;
}

static enum stat_id verdict_stat(uint8_t verdict)
{
    switch (verdict) {
    case VERDICT_DELIVERED: return STAT_core_delivered;
    case VERDICT_FAILED: return STAT_core_failed;
    case VERDICT_IN_DOUBT: return STAT_core_in_doubt;
    default: return STAT_core_deferred;
    }
}

static void log_result(const struct core *core, const struct job *job, uint32_t recipient,
                       const struct outcome *outcome)
{
    if (!core->config.log.result)
        return;
    const struct core_log_entry entry = {
        .feed = feed_rights(job->feed_job.feed)->name,
        .tag = job->feed_job.tag,
        .destination = job->feed_job.domain,
        .mx_host = job->hop.host,
        .cookie = job->feed_job.cookie,
        .recipient = job->feed_job.recipient[recipient].address,
        .mx_addr = job->hop.port ? job->hop.addr : NULL,
    };
    core->config.log.result(core->config.log.ctx, &entry, outcome);
}

void result_report(struct core *core, struct job *job, uint32_t recipient, const struct conn *conn,
                   const struct outcome *outcome)
{
    struct feed_evidence evidence = evidence_of(job, conn);
    struct feed_delivery delivery = {
        .mx_host = job->hop.host,
        .mx_addr = job->hop.port ? job->hop.addr : NULL,
        .mx_port = job->hop.port,
        .queued_us = job->taken_us,
        .connected_us = conn ? conn->connected_us : 0,
        .secured_us = conn ? conn->secured_us : 0,
        .sent_us = job->sent_us,
        .replied_us = outcome->smtp_code ? core->now_us : 0,
        .evidence = &evidence,
    };
    feed_report(&job->feed_job, recipient, outcome, &delivery);
    if (recipient < job->message.recipients)
        job->recipient[recipient].decided = true;
    stat_inc(&core->stats, verdict_stat(outcome->verdict));
    log_result(core, job, recipient, outcome);
}
