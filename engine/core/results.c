/* results.c: one result a recipient: into the feed, into the counters, into the log. */
#include "engine/core/core_private.h"

#include <stdio.h>
#include <syslog.h>

#define LOG_LINE_MAX 1024

static struct feed_evidence evidence_of(const struct job *job, const struct conn *conn)
{
    struct feed_evidence e = {.level = job->demand_level, .policy_source = job->demand_source};
    const struct tls_verified *proof = conn && conn->tls ? tls_verified(conn->tls) : NULL;
    if (!proof)
        return e;
    e.tls = true;
    e.resumed = proof->resumed;
    e.reused = conn->messages > 1;
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

static void log_result(struct core *core, const struct job *job, const struct span *to,
                       const struct outcome *o)
{
    int level = o->verdict == VERDICT_DELIVERED ? LOG_INFO : LOG_NOTICE;
    if (!core->config.log.line || level > core->config.log.level)
        return;
    char addr[IP_ADDR_TEXT_MAX] = "", code[24] = "", line[LOG_LINE_MAX];
    if (job->hop.port) {
        struct ip_addr a;
        memcpy(a.b, job->hop.addr, sizeof(a.b));
        ip_format(&a, addr);
    }
    if (o->smtp_code)
        snprintf(code, sizeof(code), " code=%u", o->smtp_code);
    snprintf(line, sizeof(line),
             "job=%llx to=<%.*s> relay=%s[%s]:%u status=%s stage=%s fault=%s reason=%s%s (%s)",
             (unsigned long long)job->feed_job.cookie, (int)to->len, (const char *)to->data, job->hop.host,
             addr, job->hop.port, verdict_name(o->verdict), stage_name(o->stage), fault_name(o->fault),
             reason_name(o->reason), code, o->text);
    core->config.log.line(core->config.log.ctx, level, line);
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
    stat_inc(&core->stats, verdict_stat(outcome->verdict));
    log_result(core, job, &job->feed_job.recipient[recipient].address, outcome);
}
