/* time_wait.c: records are answered for, expire, are taken over, and give way when there are too many. */
#include "engine/net/time_wait.h"

#define ANSWER_US 100000u

bool time_waits_open(struct time_waits *tws, uint32_t capacity, uint32_t first_flow, uint32_t keep_us,
                     struct wheel *wheel, struct error *err)
{
    list_init(&tws->order);
    tws->wheel = wheel;
    tws->first_flow = first_flow;
    tws->keep_us = keep_us;
    return capacity == 0 || pool_open(&tws->pool, "time-waits", sizeof(struct time_wait), capacity, err);
}

void time_waits_close(struct time_waits *tws)
{
    pool_close(&tws->pool);
}

static struct time_wait *record_of(const struct time_waits *tws, uint32_t flow)
{
    return pool_at(&tws->pool, flow - tws->first_flow);
}

static void forget(struct time_waits *tws, struct time_wait *tw)
{
    list_remove(&tw->link);
    wheel_cancel(tws->wheel, &tw->timer);
    net_flow_close(tws->net, &tw->key);
    pool_put(&tws->pool, tw);
}

bool time_waits_take(struct time_waits *tws, const struct flow_key *key, const struct tcb *tcb,
                     uint64_t now_us)
{
    if (tws->pool.capacity == 0)
        return false;
    struct time_wait *tw = pool_get(&tws->pool);
    if (!tw) { /* the oldest has waited longest: its stray segments are the least likely */
        forget(tws, list_entry(list_head(&tws->order), struct time_wait, link));
        tw = pool_get(&tws->pool);
    }
    list_init(&tw->link);
    wheel_timer_init(&tw->timer, TIME_WAIT_TIMER);
    tw->key = *key;
    tw->answered_us = 0;
    tcp_time_wait_make(&tw->record, tcb, now_us);
    net_flow_move(tws->net, &tw->key, tws->first_flow + pool_index(&tws->pool, tw));
    list_push_tail(&tws->order, &tw->link);
    wheel_arm(tws->wheel, &tw->timer, now_us + tws->keep_us);
    return true;
}

void time_waits_segment(struct time_waits *tws, uint32_t flow, const struct tcp_segment *seg, uint64_t now_us)
{
    struct time_wait *tw = record_of(tws, flow);
    struct tcp_segment answer;
    enum tcp_time_wait_do what = tcp_time_wait_input(&tw->record, seg, now_us, &answer);
    if (what == TIME_WAIT_IGNORE || now_us - tw->answered_us < ANSWER_US)
        return; /* two ends that disagree must not answer each other for ever */
    tw->answered_us = now_us;
    answer.src_port = tw->key.local_port;
    answer.dst_port = tw->key.remote_port;
    net_send_segment(tws->net, &tw->key, flow, &answer, now_us);
    if (what == TIME_WAIT_RESTART)
        wheel_arm(tws->wheel, &tw->timer, now_us + tws->keep_us);
}

static void give_up(struct time_waits *tws, struct time_wait *tw, struct tcp_time_wait *old)
{
    *old = tw->record;
    forget(tws, tw);
}

bool time_waits_reopen(struct time_waits *tws, uint32_t flow, const struct tcp_segment *seg,
                       struct flow_key *key, struct tcp_time_wait *old)
{
    struct time_wait *tw = record_of(tws, flow);
    if (!tcp_time_wait_reopens(&tw->record, seg))
        return false;
    *key = tw->key;
    give_up(tws, tw, old);
    return true;
}

bool time_waits_may_recycle(const struct time_waits *tws, uint32_t flow)
{
    return tws && time_waits_own(tws, flow) && tcp_time_wait_can_be_followed(&record_of(tws, flow)->record);
}

void time_waits_recycle(struct time_waits *tws, uint32_t flow, struct tcp_time_wait *old)
{
    give_up(tws, record_of(tws, flow), old);
}

void time_waits_expire(struct time_waits *tws, struct wheel_timer *timer)
{
    forget(tws, container_of(timer, struct time_wait, timer));
}
