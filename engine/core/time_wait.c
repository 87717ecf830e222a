/* time_wait.c: closed connections whose last segments may still be on their way: a record each, no connection. */
#include "engine/core/core_private.h"

#define TIME_WAIT_ANSWER_US 100000u

/* Flow numbers of records begin behind those of connections. */
static uint32_t flow_of(const struct core *core, const struct time_wait *tw)
{
    return core->connections.capacity + pool_index(&core->time_waits, tw);
}

static void forget(struct core *core, struct time_wait *tw)
{
    list_remove(&tw->link);
    wheel_cancel(&core->wheel, &tw->timer);
    net_flow_close(core->net, &tw->key);
    pool_put(&core->time_waits, tw);
}

bool time_wait_owns(const struct core *core, uint32_t flow)
{
    return flow >= core->connections.capacity;
}

void time_wait_take(struct core *core, struct conn *conn)
{
    if (core->time_waits.capacity == 0)
        return; /* limits.time-wait = 0: the flow is forgotten at once */
    struct time_wait *tw = pool_get(&core->time_waits);
    if (!tw) { /* the oldest has waited longest: its stray segments are the least likely */
        forget(core, list_entry(list_head(&core->time_wait_order), struct time_wait, link));
        tw = pool_get(&core->time_waits);
    }
    list_init(&tw->link);
    wheel_timer_init(&tw->timer, TIME_WAIT_TIMER);
    tw->key = conn->key;
    tw->answered_us = 0;
    tcp_time_wait_make(&tw->record, &conn->tcb);
    net_flow_move(core->net, &tw->key, flow_of(core, tw));
    conn->flow_entered = false;
    list_push_tail(&core->time_wait_order, &tw->link);
    wheel_arm(&core->wheel, &tw->timer, core->now_us + core->config.tcp.time_wait_us);
}

void time_wait_segment(struct core *core, uint32_t flow, const struct tcp_segment *seg)
{
    struct time_wait *tw = pool_at(&core->time_waits, flow - core->connections.capacity);
    struct tcp_segment answer;
    enum tcp_time_wait_do what = tcp_time_wait_input(&tw->record, seg, core->now_us, &answer);
    if (what == TIME_WAIT_IGNORE || core->now_us - tw->answered_us < TIME_WAIT_ANSWER_US)
        return; /* two ends that disagree must not answer each other for ever */
    tw->answered_us = core->now_us;
    answer.src_port = tw->key.local_port;
    answer.dst_port = tw->key.remote_port;
    net_send_segment(core->net, &tw->key, flow, &answer, core->now_us);
    if (what == TIME_WAIT_RESTART)
        wheel_arm(&core->wheel, &tw->timer, core->now_us + core->config.tcp.time_wait_us);
}

void time_wait_expire(struct core *core, struct wheel_timer *timer)
{
    forget(core, container_of(timer, struct time_wait, timer));
}
