/* jobs.c: a job's life in a core: taken, placed at a destination, given up or finished. */
#include "engine/core/core_private.h"

/* ---- taking ---- */

static struct job *job_new(struct core *core)
{
    struct job *job = pool_get(&core->jobs);
    if (!job)
        return NULL;
    list_init(&job->link);
    list_init(&job->all);
    wheel_timer_init(&job->timer, JOB_TIMER);
    job->dest = NULL;
    job->hop_index = 0;
    job->hop.host[0] = '\0';
    job->hop.port = 0;
    job->returned = job->reused = false;
    job->message.recipients = 0;
    job->demand_level = 0;
    job->demand_source[0] = '\0';
    job->taken_us = core->now_us;
    job->sent_us = 0;
    job->last.verdict = VERDICT_NONE;
    size_t feed_bytes = (feed_job_bytes(&core->config.feed) + 15) / 16 * 16;
    job->recipient = (struct smtp_recipient *)((uint8_t *)&job->feed_job + feed_bytes);
    return job;
}

static void job_free(struct core *core, struct job *job)
{
    list_remove(&job->all);
    pool_put(&core->jobs, job);
}

static void job_make_message(struct job *job)
{
    const struct feed_job *from = &job->feed_job;
    for (uint32_t i = 0; i < from->recipients; i++)
        job->recipient[i] =
            (struct smtp_recipient){.address = from->recipient[i].address, .dsn = from->recipient[i].dsn};
    job->message = (struct smtp_message){
        .sender = from->sender,
        .recipient = job->recipient,
        .recipients = from->recipients,
        .extent = from->extent,
        .extents = from->extents,
        .body_bytes = from->body_bytes,
        .body_type = from->flags & FEED_8BITMIME ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT,
        .smtputf8 = (from->flags & FEED_SMTPUTF8) != 0,
        .user = job,
    };
}

/* What a job may ask for and this version does not have: refused, never left out in silence. */
static const char *asks_too_much(const struct job *job)
{
    if (job->feed_job.flags &
        FEED_REQUIRETLS) /* RFC 8689 section 4.2.1: not without the receiver's support */
        return "REQUIRETLS, which this version cannot ask of a receiver";
    if (job->feed_job.source_pool != 0)
        return "a source pool other than 0, and this version has no other";
    return NULL;
}

static void job_start(struct core *core, struct job *job)
{
    struct outcome why;
    const char *missing = asks_too_much(job);
    job_make_message(job);
    if (!missing) {
        job_place(core, job);
        return;
    }
    outcome_set(&why, VERDICT_FAILED, STAGE_POLICY, FAULT_LOCAL, REASON_UNSUPPORTED, "the job asks for %s",
                missing);
    job_finish(core, job, NULL, &why);
}

/* One job of a feed; false when there is none to be had now. */
static bool take_one(struct core *core, struct feed *feed)
{
    struct job *job = job_new(core);
    if (!job) {
        stat_inc(&core->stats, STAT_core_pool_full);
        return false;
    }
    struct outcome why;
    switch (feed_take(feed, core->config.index, &job->feed_job, &why)) {
    case FEED_TAKEN:
        stat_inc(&core->stats, STAT_core_jobs);
        list_push_tail(&core->all_jobs, &job->all);
        job_start(core, job);
        return true;
    case FEED_REFUSED:
        stat_inc(&core->stats, STAT_core_jobs_bad);
        list_push_tail(&core->all_jobs, &job->all);
        job_finish(core, job, NULL, &why);
        return true;
    case FEED_EMPTY:
    case FEED_BROKEN: break; /* control sees a broken feed and detaches it */
    }
    pool_put(&core->jobs, job);
    return false;
}

/* Half of the job records are kept for the feeds that are attached, evenly, and half are for whoever comes first: a
 * feed whose jobs take long leaves the others their share.  What of its own share a feed has not taken:
 */
static uint32_t unused_share(const struct core *core, const struct feed *feed)
{
    uint32_t share = core->jobs.capacity / 2 / core->feeds, taken = feed_in_flight(feed, core->config.index);
    return share > taken ? share - taken : 0;
}

/* Records that no feed may take of another's share; 0 while there is one feed, or more of the common half than a turn can
 * take.
 */
static uint32_t kept_records(const struct core *core)
{
    uint32_t kept = 0;
    uint32_t left = core->jobs.capacity - core->jobs.in_use;
    if (core->feeds < 2 || left > core->jobs.capacity / 2 + INTAKE_BURST)
        return 0;
    for (uint32_t i = 0; i < core->feeds; i++)
        kept += unused_share(core, core->feed[i]);
    return kept;
}

void core_take_jobs(struct core *core)
{
    uint32_t budget = INTAKE_BURST, empty = 0, kept = kept_records(core);
    while (budget > 0 && empty < core->feeds && core->jobs.in_use < core->jobs.capacity) {
        core->next_feed = (core->next_feed + 1) % core->feeds;
        struct feed *feed = core->feed[core->next_feed];
        uint32_t own = kept > 0 ? min_u32(kept, unused_share(core, feed)) : 0;
        if (core->jobs.capacity - core->jobs.in_use > kept - own && take_one(core, feed)) {
            kept -= own > 0;
            budget--;
            empty = 0;
            core->worked = true;
        } else {
            empty++;
        }
    }
}

/* ---- placing ---- */

bool job_demand(struct core *core, struct job *job, struct policy_demand *demand, struct outcome *why)
{
    (void)core;
    const struct policy_table *table = policy_current();
    if (!policy_decide(table, job->feed_job.domain, job->hop.host, (enum policy_level)job->feed_job.tls_floor,
                       demand, why))
        return false;
    job->demand_level = demand->level;
    memcpy(job->demand_source, demand->source, sizeof(job->demand_source));
    return true;
}

static bool address_allowed(const struct policy_table *table, const struct policy_hop *hop,
                            struct outcome *why)
{
    struct ip_addr addr;
    memcpy(addr.b, hop->addr, sizeof(addr.b));
    if (policy_address_allowed(table, hop->addr, ip_is_special(&addr)))
        return true;
    char text[IP_ADDR_TEXT_MAX];
    outcome_set(why, VERDICT_DEFERRED, STAGE_ROUTE, FAULT_LOCAL, REASON_NO_ROUTE,
                "next hop %s is in a special-purpose network that allow-networks does not name",
                ip_format(&addr, text));
    return false;
}

void job_place(struct core *core, struct job *job)
{
    struct outcome why;
    struct policy_demand demand;
    const struct policy_table *table = policy_current();
    struct policy_hop hop;
    if (!route_hop(table, &job->feed_job, job->hop_index, &hop, &why)) {
        job_finish(core, job, NULL, job->last.verdict == VERDICT_NONE ? &why : &job->last);
        return;
    }
    job->hop = hop;
    if (!address_allowed(table, &hop, &why) || !job_demand(core, job, &demand, &why)) {
        job_next_hop(core, job, &why);
        return;
    }
    struct dest *dest = dest_get(&core->dests, &hop);
    if (!dest) {
        stat_inc(&core->stats, STAT_core_pool_full);
        outcome_set(&why, VERDICT_DEFERRED, STAGE_ROUTE, FAULT_LOCAL, REASON_LIMIT,
                    "too many destinations at a time; raise limits.destinations");
        job_finish(core, job, NULL, &why);
        return;
    }
    job_wait(core, job, dest, false);
}

void job_next_hop(struct core *core, struct job *job, const struct outcome *why)
{
    job->last = *why;
    job->hop_index++;
    job_place(core, job);
}

void job_wait(struct core *core, struct job *job, struct dest *dest, bool first)
{
    job->dest = dest;
    if (first)
        list_push_head(&dest->waiting, &job->link);
    else
        list_push_tail(&dest->waiting, &job->link);
    dest->waiting_count++;
    wheel_arm(&core->wheel, &job->timer, job->feed_job.deadline_us);
    dest_mark(&core->dests, dest);
}

void job_unwait(struct core *core, struct job *job)
{
    if (!job->dest)
        return;
    wheel_cancel(&core->wheel, &job->timer);
    list_remove(&job->link);
    job->dest->waiting_count--;
    job->dest = NULL;
}

/* ---- ending ---- */

/* A connection that gave the job back may have decided some of its recipients before. */
static bool is_decided(const struct job *job, uint32_t recipient)
{
    return recipient < job->message.recipients && job->recipient[recipient].decided;
}

void job_finish(struct core *core, struct job *job, const struct conn *conn, const struct outcome *outcome)
{
    struct dest *dest = job->dest;
    job_unwait(core, job);
    if (outcome)
        for (uint32_t r = 0; r < job->feed_job.recipients; r++)
            if (!is_decided(job, r))
                result_report(core, job, r, conn, outcome);
    assert(job->feed_job.done == job->feed_job.recipients);
    job_free(core, job);
    if (dest)
        dest_mark(&core->dests, dest); /* schedule releases it when nobody is left */
}

void job_deadline(struct core *core, struct job *job)
{
    assert(job->dest); /* while it is sent, SMTP's own time-outs hold */
    struct outcome why = job->last;
    if (why.verdict == VERDICT_NONE)
        outcome_set(&why, VERDICT_DEFERRED, STAGE_CONNECT, FAULT_LOCAL, REASON_LIMIT,
                    "the job's deadline passed while it waited for a connection");
    job_finish(core, job, NULL, &why);
}

void core_drop_feed_jobs(struct core *core, const struct feed *feed)
{
    struct outcome why;
    outcome_set(&why, VERDICT_DEFERRED, STAGE_SUBMIT, feed ? FAULT_PRODUCER : FAULT_LOCAL, REASON_SHUTDOWN,
                "%s", feed ? "the feed was detached" : "the engine is stopping");
    list_for_each_safe(it, &core->all_jobs) {
        struct job *job = list_entry(it, struct job, all);
        if (job->dest && (!feed || job->feed_job.feed == feed))
            job_finish(core, job, NULL, &why);
    }
}
