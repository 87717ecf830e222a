/* schedule.c: jobs meet connections: who gets a connection, when one is opened, what its end means for who waits. */
#include "engine/core/core_private.h"

#define PAGE 4096u

void core_mark(struct core *core, struct conn *conn)
{
    if (list_empty(&conn->run))
        list_push_tail(&core->to_run, &conn->run);
}

/* ---- a connection takes a job ---- */

/* The demand as it is now: rules may have been reloaded while the job waited. */
static bool still_demands(struct core *core, struct job *job, struct policy_demand *demand)
{
    struct outcome why;
    if (job_demand(core, job, demand, &why))
        return true;
    job_unwait(core, job);
    job_next_hop(core, job, &why);
    return false;
}

static struct job *pick_job(struct core *core, struct dest *dest, const struct conn *conn)
{
    uint32_t looked_at = 0;
    list_for_each_safe(it, &dest->waiting) {
        if (looked_at++ == JOB_SCAN_MAX)
            return NULL;
        struct job *job = list_entry(it, struct job, link);
        struct policy_demand demand;
        if (still_demands(core, job, &demand) && conn_satisfies(conn, &demand) &&
            conn_can_begin(conn, job->message.recipients) && (conn->in_hand == 0 || !job->returned))
            return job;
    }
    return NULL;
}

/* It waits for a message: idle, or behind those that it has in hand. */
static void set_idle(struct core *core, struct conn *conn)
{
    if (conn->in_hand > 0) {
        list_push_tail(&conn->dest->ahead, &conn->idle);
        return;
    }
    list_push_tail(&conn->dest->idle, &conn->idle);
    list_push_tail(&core->lru, &conn->lru);
}

/* Its last message is done while it waits for another: now it idles. */
static void look_at_idle(struct core *core, struct conn *conn)
{
    if (conn->in_hand > 0 || list_empty(&conn->idle))
        return;
    core_unset_idle(conn);
    set_idle(core, conn);
    dest_mark(&core->dests, conn->dest);
}

void core_unset_idle(struct conn *conn)
{
    list_remove(&conn->idle);
    list_remove(&conn->lru);
}

/* A job waits for longer than the caches remember it: the next one is fetched while this one's message is made. */
static void fetch_next(const struct core *core, struct dest *dest)
{
    if (list_empty(&dest->waiting))
        return;
    struct job *job = list_entry(list_head(&dest->waiting), struct job, link);
    __builtin_prefetch(job);
    __builtin_prefetch((const void *)&job->dest);
    __builtin_prefetch(job->hop.addr);
    __builtin_prefetch(&job->taken_us);
    __builtin_prefetch(&job->message);
    __builtin_prefetch((const void *)&job->message.extent);
    feed_job_fetch(&job->feed_job, &core->config.feed);
}

/* Memory is fetched ahead within a page only: where the first ones begin is told. */
static void fetch_body(const struct span *body)
{
    const uint8_t *at = body->data, *end = at + min_size(body->len, 4 * PAGE);
    for (; at < end; at += PAGE - (uintptr_t)at % PAGE) {
        __builtin_prefetch(at);
        __builtin_prefetch(at + CACHE_LINE);
    }
}

static bool give_job(struct core *core, struct conn *conn)
{
    struct job *job = pick_job(core, conn->dest, conn);
    if (!job)
        return false;
    core_unset_idle(conn);
    job_unwait(core, job);
    fetch_next(core, conn->dest);
    fetch_body(job->message.extent);
    job->reused = conn->messages > 0;
    conn_begin(conn, &job->message, core->now_us);
    return true;
}

/* ---- opening ---- */

/* The first waiting job that no connection under way is meant for.  Connections look at the first JOB_SCAN_MAX when they
 * come up: where more are under way these have theirs in turn, so that none costs a walk past all before it.
 */
static struct job *unserved_job(struct dest *dest)
{
    uint32_t skip = dest->connecting % JOB_SCAN_MAX;
    list_for_each(it, &dest->waiting)
        if (skip-- == 0)
            return list_entry(it, struct job, link);
    return NULL;
}

/* A verification that failed says nothing about those who demand less. */
static bool blames_demand(const struct outcome *why)
{
    return why->stage == STAGE_TLS && why->fault != FAULT_NETWORK && why->reason != REASON_TIMEOUT &&
           why->reason != REASON_LIMIT;
}

/* Would what was refused for `failed` be refused for this job, too? */
static bool concerns(struct core *core, struct job *job, const struct outcome *why,
                     const struct policy_demand *failed)
{
    struct policy_demand demand;
    struct outcome unclear;
    if (!blames_demand(why))
        return true;
    return job_demand(core, job, &demand, &unclear) && policy_covers(&demand, failed);
}

static void refuse_waiting(struct core *core, struct dest *dest, const struct outcome *why,
                           const struct policy_demand *failed)
{
    struct list refused;
    list_init(&refused);
    list_for_each_safe(it, &dest->waiting) {
        struct job *job = list_entry(it, struct job, link);
        if (!concerns(core, job, why, failed))
            continue;
        job_unwait(core, job);
        list_push_tail(&refused, &job->link);
    }
    for (struct list *it; (it = list_pop(&refused));)
        job_next_hop(core, list_entry(it, struct job, link), why);
}

static bool open_connection(struct core *core, struct dest *dest)
{
    struct job *job = unserved_job(dest);
    struct policy_demand demand;
    if (!job || !still_demands(core, job, &demand))
        return job != NULL;
    struct conn *conn = pool_get(&core->connections);
    struct outcome why;
    assert(conn); /* the caller has seen that there is one */
    if (!conn_open(conn, &core->env, pool_index(&core->connections, conn), &dest->hop, &demand, core->now_us,
                   &why)) {
        pool_put(&core->connections, conn);
        if (dest->connections == 0) /* else those that stand will do, or leave what was wanting behind */
            refuse_waiting(core, dest, &why, &demand);
        return false;
    }
    list_init(&conn->idle);
    list_init(&conn->lru);
    list_init(&conn->run);
    conn->no_chunking = dest->no_chunking;
    conn->one_by_one = dest->one_by_one;
    conn->dest = dest;
    dest_on_connecting(dest);
    core_mark(core, conn);
    return true;
}

static bool full(const struct core *core)
{
    return core->connections.in_use == core->connections.capacity;
}

/* Opens what the destination wants, as much as a turn allows; true: there is more to open in the next one. */
static bool open_some(struct core *core, struct dest *dest)
{
    for (uint32_t n = 0; dest_wants_connection(dest) && !full(core); n++) {
        if (n == OPEN_BURST)
            return true;
        if (!open_connection(core, dest))
            break;
    }
    return false;
}

/* ---- making room ---- */

static void send_away(struct core *core, struct conn *conn)
{
    core_unset_idle(conn);
    conn->makes_room = true;
    conn->dest->making_room++;
    core->making_room++;
    conn_quit(conn, core->now_us);
    core_mark(core, conn);
}

/* At its limit, with idle connections whose proof does not suffice for who waits: these give way. */
static void make_room_at(struct core *core, struct dest *dest)
{
    struct list *idle;
    while (dest->waiting_count - dest->connecting > dest->making_room && (idle = list_head(&dest->idle)))
        send_away(core, list_entry(idle, struct conn, idle));
}

/* The core's connections are all taken: those who want one get it as others end, the idle ones first. */
static void feed_the_hungry(struct core *core)
{
    struct list *idle;
    while (core->dests.hungry_count > core->making_room && (idle = list_head(&core->lru)))
        send_away(core, list_entry(idle, struct conn, lru));
}

/* ---- a destination's turn ---- */

/* Connections that were opened for one demand refuse the same jobs: one of them is asked for all. */
static void use_waiting(struct core *core, struct dest *dest, struct list *connections)
{
    const struct conn *refused = NULL;
    list_for_each_safe(it, connections) {
        struct conn *conn = list_entry(it, struct conn, idle);
        if (!dest->waiting_count)
            return;
        if (refused && policy_covers(&refused->demand, &conn->demand))
            continue;
        if (give_job(core, conn))
            core_mark(core, conn);
        else
            refused = conn;
    }
}

static void serve(struct core *core, struct dest *dest)
{
    use_waiting(core, dest, &dest->idle);
    use_waiting(core, dest, &dest->ahead);
    if (open_some(core, dest)) {
        dest_mark(&core->dests, dest);
    } else if (dest_wants_connection(dest) && full(core)) {
        stat_inc(&core->stats, STAT_core_pool_full);
        dest_starve(&core->dests, dest);
    } else if (dest_lacks_connection(dest)) {
        make_room_at(core, dest);
    }
    dest_release(&core->dests, dest);
}

void core_schedule(struct core *core)
{
    struct list due; /* what is marked again meanwhile has its turn in the next one */
    struct dest *dest;
    list_init(&due);
    for (struct list *it; (it = list_pop(&core->dests.due));)
        list_push_tail(&due, it);
    for (struct list *it; (it = list_pop(&due));) {
        core->worked = true;
        serve(core, list_entry(it, struct dest, due));
    }
    while (!full(core) && (dest = dest_feed(&core->dests)))
        serve(core, dest);
    feed_the_hungry(core);
}

/* ---- what connections say ---- */

static void on_ready(void *ctx, struct conn *conn)
{
    struct core *core = ctx;
    if (!conn->was_ready) {
        conn->was_ready = true;
        dest_on_ready(conn->dest, core->now_us);
        dest_mark(&core->dests, conn->dest); /* proven: more may be opened for who waits */
    }
    if (!give_job(core, conn)) {
        set_idle(core, conn);
        dest_mark(&core->dests, conn->dest);
    } else if (dest_raise(&core->dests, conn->dest, core->now_us)) {
        stat_inc(&core->stats, STAT_conn_limit_raised);
        dest_mark(&core->dests, conn->dest);
    }
}

static void on_recipient(void *ctx, struct conn *conn, const struct smtp_message *message, uint32_t index,
                         const struct outcome *outcome)
{
    result_report(ctx, message->user, index, conn, outcome);
}

static void on_stage(void *ctx, struct conn *conn, const struct smtp_message *message, enum stage stage)
{
    struct core *core = ctx;
    struct job *job = message->user;
    (void)conn;
    if (stage == STAGE_DOT)
        job->sent_us = core->now_us;
    feed_stage(&job->feed_job, stage);
}

static void on_message_done(void *ctx, struct conn *conn, const struct smtp_message *message)
{
    job_finish(ctx, message->user, conn, NULL);
    look_at_idle(ctx, conn);
}

static void on_message_returned(void *ctx, struct conn *conn, const struct smtp_message *message,
                                enum smtp_return why_returned)
{
    struct core *core = ctx;
    struct job *job = message->user;
    feed_stage(&job->feed_job, STAGE_SUBMIT);           /* if we died now, it would not be in doubt */
    bool no_bdat = why_returned == SMTP_RETURN_NO_BDAT; /* not again: connections to come send no BDAT */
    if (no_bdat)
        dest_no_chunking(&core->dests, conn->dest);
    if (no_bdat || !job->returned) {
        job->returned |= !no_bdat;
        job_wait(core, job, conn->dest, true);
        return;
    }
    struct outcome why;
    outcome_set(&why, VERDICT_DEFERRED, STAGE_MAIL, FAULT_REMOTE, REASON_CONNECTION_LOST,
                "the receiver closed two connections in turn when mail was to begin");
    job_finish(core, job, conn, &why);
}

/* An attempt that failed is the end for all who wait only if nothing else stands: else they wait for that. */
static void on_attempt_failed(struct core *core, struct conn *conn, const struct outcome *why)
{
    struct dest *dest = conn->dest;
    bool local = why->fault == FAULT_LOCAL;
    if (dest_on_ended(&core->dests, dest, false, !local && !blames_demand(why), core->now_us))
        stat_inc(&core->stats, STAT_conn_limit_lowered);
    if (blames_demand(why) || dest->connections == 1)
        refuse_waiting(core, dest, why, &conn->demand);
}

static void on_ended(void *ctx, struct conn *conn, const struct outcome *why)
{
    struct core *core = ctx;
    core_unset_idle(conn);
    conn->dest->one_by_one |= conn->lost_ahead;
    if (!conn->was_ready && why->verdict != VERDICT_NONE)
        on_attempt_failed(core, conn, why);
    else
        dest_on_ended(&core->dests, conn->dest, conn->was_ready, false, core->now_us);
    dest_mark(&core->dests, conn->dest);
}

static void on_time_wait(void *ctx, struct conn *conn)
{
    struct core *core = ctx;
    if (time_waits_take(&core->time_waits, &conn->key, &conn->tcb, core->now_us))
        conn->flow_entered = false;
}

static void on_gone(void *ctx, struct conn *conn)
{
    struct core *core = ctx;
    list_remove(&conn->run);
    if (conn->makes_room) {
        conn->dest->making_room--;
        core->making_room--;
    }
    dest_on_gone(conn->dest);
    dest_mark(&core->dests, conn->dest);
    pool_put(&core->connections, conn);
}

struct conn_events core_conn_events(struct core *core)
{
    return (struct conn_events){
        .ctx = core,
        .ready = on_ready,
        .recipient = on_recipient,
        .stage = on_stage,
        .message_done = on_message_done,
        .message_returned = on_message_returned,
        .ended = on_ended,
        .time_wait = on_time_wait,
        .gone = on_gone,
    };
}
