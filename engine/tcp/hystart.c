/* hystart.c: HyStart++ (RFC 9406): the first slow start ends when round trips grow, before the queue overflows. */
#include "engine/tcp/cc.h"

#include "engine/tcp/seq.h"

#define MIN_RTT_THRESH_US  4000u /* section 4.3 */
#define MAX_RTT_THRESH_US  16000u
#define MIN_RTT_DIVISOR    8u
#define N_RTT_SAMPLE       8u
#define CSS_GROWTH_DIVISOR 4u
#define CSS_ROUNDS         5u

void hystart_init(struct hystart *h)
{
    *h = (struct hystart){.last_min_us = UINT32_MAX, .current_min_us = UINT32_MAX, .few_min_us = UINT32_MAX};
}

static void begin_round(struct hystart *h, uint32_t snd_nxt)
{
    h->last_min_us = h->current_min_us;
    h->current_min_us = h->few_min_us = UINT32_MAX;
    h->samples = 0;
    h->window_end = snd_nxt;
    h->round_open = true;
}

static bool delayed(const struct hystart *h)
{
    uint32_t thresh = h->last_min_us / MIN_RTT_DIVISOR;
    thresh = max_u32(min_u32(thresh, MAX_RTT_THRESH_US), MIN_RTT_THRESH_US);
    return h->last_min_us != UINT32_MAX && h->few_min_us >= h->last_min_us &&
           h->few_min_us - h->last_min_us >= thresh;
}

static void judge(struct hystart *h)
{
    if (!h->css && delayed(h)) {
        h->css = true;
        h->css_rounds = 0;
        h->css_baseline_us = h->few_min_us;
    } else if (h->css && h->few_min_us < h->css_baseline_us) {
        h->css = false; /* it was jitter: slow start goes on */
    }
}

/* Every eight samples of a round are judged by themselves.  RFC 9406 takes the minimum of the whole round, but the first segments of a
 * round left before the queue had grown: where it grows within a round, as it does under a paced sender, that minimum
 * tells of it a round later, with twice the window.
 */
static void take_sample(struct hystart *h, uint32_t rtt_us)
{
    h->current_min_us = min_u32(h->current_min_us, rtt_us);
    h->few_min_us = min_u32(h->few_min_us, rtt_us);
    if (++h->samples < N_RTT_SAMPLE)
        return;
    judge(h);
    h->samples = 0;
    h->few_min_us = UINT32_MAX;
}

uint32_t hystart_on_ack(struct cc *cc, const struct cc_ack *ack, uint32_t grow)
{
    struct hystart *h = &cc->hystart;
    if (!h->round_open)
        begin_round(h, ack->snd_nxt);
    if (ack->rtt_us)
        take_sample(h, ack->rtt_us);
    if (seq_ge(ack->snd_una, h->window_end)) {
        if (h->css && ++h->css_rounds >= CSS_ROUNDS)
            cc->ssthresh = cc->cwnd; /* section 4.2: enter congestion avoidance */
        begin_round(h, ack->snd_nxt);
    }
    return h->css ? grow / CSS_GROWTH_DIVISOR : grow;
}
