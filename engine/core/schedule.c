/* schedule.c: jobs meet connections: who gets a connection, when one is opened, what its end means for who waits. */
#include "engine/core/core_private.h"

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
        if (still_demands(core, job, &demand) && conn_satisfies(conn, &demand))
            return job;
    }
    return NULL;
}

static void set_idle(struct core *core, struct conn *conn)
{
    list_push_tail(&conn->dest->idle, &conn->idle);
    list_push_tail(&core->lru, &conn->lru);
}

void core_unset_idle(struct conn *conn)
{
    list_remove(&conn->idle);
    list_remove(&conn->lru);
}

static bool give_job(struct core *core, struct conn *conn)
{
    struct job *job = pick_job(core, conn->dest, conn);
    if (!job)
        return false;
    core_unset_idle(conn);
    job_unwait(core, job);
    conn_begin(conn, &job->message, core->now_us);
    core_mark(core, conn);
    return true;
}

/* ---- opening ---- */

/* The first waiting job that no connection under way is meant for. */
static struct job *unserved_job(struct dest *dest)
{
    uint32_t skip = dest->connecting;
    list_for_each(it, &dest->waiting)
        if (skip-- == 0)
            return list_entry(it, struct job, link);
    return NULL;
}

/* Would what was refused for `failed` be refused for this job, too?  A verification concerns those who demand as much;
 * anything else, all who wait.
 */
static bool concerns(struct core *core, struct job *job, const struct outcome *why,
                     const struct policy_demand *failed)
{
    struct policy_demand demand;
    struct outcome unclear;
    if (why->stage != STAGE_TLS || why->reason == REASON_CONNECTION_RESET)
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
    if (!conn) {
        stat_inc(&core->stats, STAT_core_pool_full);
        return false;
    }
    struct outcome why;
    if (!conn_open(conn, &core->env, pool_index(&core->connections, conn), &dest->hop, &demand, core->now_us,
                   &why)) {
        pool_put(&core->connections, conn);
        refuse_waiting(core, dest, &why, &demand);
        return false;
    }
    list_init(&conn->idle);
    list_init(&conn->lru);
    list_init(&conn->run);
    conn->dest = dest;
    dest_on_connecting(dest);
    core_mark(core, conn);
    return true;
}

/* An idle connection makes room: of this destination when its limit is reached (its proof did not suffice for who
 * waits), of any when the core's are all taken.
 */
static void make_room(struct core *core, struct dest *dest)
{
    struct list *idle = list_head(&dest->idle);
    struct conn *conn = idle ? list_entry(idle, struct conn, idle) : NULL;
    if (dest->connections < dest->limit) {
        struct list *oldest = list_head(&core->lru);
        conn = oldest ? list_entry(oldest, struct conn, lru) : NULL;
    }
    if (!conn)
        return;
    core_unset_idle(conn);
    conn_quit(conn, core->now_us);
    core_mark(core, conn);
}

static bool full(const struct core *core)
{
    return core->connections.in_use == core->connections.capacity;
}

static void serve(struct core *core, struct dest *dest)
{
    list_for_each_safe(it, &dest->idle) {
        if (!dest->waiting_count || !give_job(core, list_entry(it, struct conn, idle)))
            break;
    }
    while (dest_wants_connection(dest) && !full(core))
        if (!open_connection(core, dest))
            break;
    bool stuck = dest->waiting_count > dest->connecting && (full(core) || dest->connections >= dest->limit);
    if (stuck)
        make_room(core, dest);
    dest_release(&core->dests, dest);
}

void core_schedule(struct core *core)
{
    struct list due; /* what is marked again meanwhile has its turn in the next one */
    list_init(&due);
    for (struct list *it; (it = list_pop(&core->dests.due));)
        list_push_tail(&due, it);
    for (struct list *it; (it = list_pop(&due));) {
        core->worked = true;
        serve(core, list_entry(it, struct dest, due));
    }
}

/* ---- what connections say ---- */

static void on_ready(void *ctx, struct conn *conn)
{
    struct core *core = ctx;
    if (!conn->was_ready) {
        conn->was_ready = true;
        dest_on_ready(conn->dest);
        dest_mark(&core->dests, conn->dest); /* proven: more may be opened for who waits */
    }
    if (give_job(core, conn))
        return;
    set_idle(core, conn);
    dest_mark(&core->dests, conn->dest);
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
}

static void on_message_returned(void *ctx, struct conn *conn, const struct smtp_message *message)
{
    struct core *core = ctx;
    struct job *job = message->user;
    if (!job->returned) {
        job->returned = true;
        job_wait(core, job, conn->dest, true);
        return;
    }
    struct outcome why;
    outcome_set(&why, VERDICT_DEFERRED, STAGE_MAIL, FAULT_REMOTE, REASON_CONNECTION_LOST,
                "the receiver closed two connections in turn when mail was to begin");
    job_finish(core, job, conn, &why);
}

static void on_ended(void *ctx, struct conn *conn, const struct outcome *why)
{
    struct core *core = ctx;
    struct dest *dest = conn->dest;
    bool failed = why->verdict != VERDICT_NONE;
    core_unset_idle(conn);
    dest_on_ended(dest, conn->was_ready, failed);
    if (!conn->was_ready && failed && dest->ready == 0)
        refuse_waiting(core, dest, why, &conn->demand);
    dest_mark(&core->dests, dest);
}

static void on_time_wait(void *ctx, struct conn *conn)
{
    time_wait_take(ctx, conn);
}

static void on_gone(void *ctx, struct conn *conn)
{
    struct core *core = ctx;
    list_remove(&conn->run);
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
