/* cookie.c: see cookie.h.
 *
 *     cookie      31 ... 4 MAC   3 SACK   2 ... 0 which MSS
 *     time stamp  31 ... 4 ours  3 ... 0 the peer's window scale, 15: none
 */
#include "engine/tcp/cookie.h"
#include "engine/tcp/tcb.h"

#define MAC_SHIFT    4u
#define SACK_BIT     8u
#define MSS_MASK     7u
#define SCALE_MASK   15u
#define SCALE_NONE   15u
#define SCALE_MAX    14u
#define SLOT_OF_TIME UINT64_MAX /* instead of a slot: the input that gives the time stamps' offset */
#define MSS_DEFAULT  536u       /* RFC 9293 section 3.7.1 */

/* What paths usually have: nothing, the default, IPv6's least, tunnels, IPv6 and IPv4 on Ethernet, jumbo frames. */
static const uint16_t mss_table[MSS_MASK + 1] = {64, 536, 1220, 1360, 1400, 1440, 1460, 8960};

struct mac_input {
    uint8_t flow[TCP_COOKIE_FLOW_BYTES];
    uint32_t irs;
    uint64_t slot;
    uint32_t low; /* the cookie's bits below the MAC */
    uint32_t stamps;
};
static_assert(sizeof(struct mac_input) == 56, "no padding: all of it is hashed");

static uint32_t mac(const struct tcp_cookies *cookies, const struct mac_input *in)
{
    return (uint32_t)cookies->prf(cookies->ctx, in, sizeof(*in)) << MAC_SHIFT;
}

static uint32_t ts_offset(const struct tcp_cookies *cookies, const void *flow)
{
    struct mac_input in = {.slot = SLOT_OF_TIME};
    memcpy(in.flow, flow, sizeof(in.flow));
    return (uint32_t)cookies->prf(cookies->ctx, &in, sizeof(in));
}

/* The largest that does not exceed the peer's; one below all of them is raised by TCP's own floor. */
static uint32_t mss_index(const struct tcp_options *opt)
{
    uint32_t mss = opt->has_mss ? opt->mss : MSS_DEFAULT, i = MSS_MASK;
    while (i > 0 && mss_table[i] > mss)
        i--;
    return i;
}

/* Never later than the clock: what the peer echoes must not come from the future, and stamps must not go back. */
static uint32_t stamp_with_scale(uint32_t clock, uint32_t scale)
{
    uint32_t stamp = (clock & ~SCALE_MASK) | scale;
    return seq_gt(stamp, clock) ? stamp - (SCALE_MASK + 1) : stamp;
}

static void answer_options(const struct tcp_cookies *cookies, const void *flow, const struct tcp_options *syn,
                           uint64_t now_us, struct tcp_options *opt)
{
    const struct tcp_config *c = cookies->config;
    opt->has_timestamps = c->timestamps && syn->has_timestamps;
    opt->sack_permitted = c->sack && syn->sack_permitted;
    opt->has_wscale = c->window_scaling && syn->has_wscale && opt->has_timestamps;
    opt->wscale = opt->has_wscale ? tcb_scale_for(c->recv_buffer_bytes) : 0;
    uint32_t scale = opt->has_wscale ? min_u32(syn->wscale, SCALE_MAX) : SCALE_NONE;
    uint32_t clock = (uint32_t)(now_us / 1000) + (opt->has_timestamps ? ts_offset(cookies, flow) : 0);
    opt->ts_val = stamp_with_scale(clock, scale);
    opt->ts_ecr = syn->ts_val;
}

void tcp_cookie_answer(struct tcp_cookies *cookies, const void *flow, uint32_t mss,
                       const struct tcp_segment *syn, uint64_t now_us, struct tcp_segment *syn_ack)
{
    *syn_ack = (struct tcp_segment){
        .src_port = syn->dst_port,
        .dst_port = syn->src_port,
        .ack = syn->seq + 1,
        .flags = TCP_SYN | TCP_ACK,
        .window = (uint16_t)min_u32(cookies->config->recv_buffer_bytes, UINT16_MAX),
        .opt = {.has_mss = true, .mss = (uint16_t)min_u32(mss, UINT16_MAX)},
    };
    answer_options(cookies, flow, &syn->opt, now_us, &syn_ack->opt);
    struct mac_input in = {
        .irs = syn->seq,
        .slot = now_us / TCP_COOKIE_SLOT_US,
        .low = mss_index(&syn->opt) | (syn_ack->opt.sack_permitted ? SACK_BIT : 0),
        .stamps = syn_ack->opt.has_timestamps,
    };
    memcpy(in.flow, flow, sizeof(in.flow));
    syn_ack->seq = mac(cookies, &in) | in.low;
    cookies->until_us = (in.slot + 2) * TCP_COOKIE_SLOT_US;
    stat_inc(cookies->stats, STAT_tcp_cookies_sent);
}

static bool is_good(const struct tcp_cookies *cookies, const void *flow, uint32_t cookie,
                    const struct tcp_segment *ack, uint64_t now_us)
{
    struct mac_input in = {
        .irs = ack->seq - 1,
        .slot = now_us / TCP_COOKIE_SLOT_US,
        .low = cookie & (SACK_BIT | MSS_MASK),
        .stamps = ack->opt.has_timestamps,
    };
    memcpy(in.flow, flow, sizeof(in.flow));
    if ((mac(cookies, &in) | in.low) == cookie)
        return true;
    in.slot--;
    return (mac(cookies, &in) | in.low) == cookie;
}

enum tcp_cookie tcp_cookie_check(const struct tcp_cookies *cookies, const void *flow,
                                 const struct tcp_segment *ack, uint64_t now_us, struct tcp_open *open,
                                 struct tcp_segment *syn)
{
    uint32_t cookie = ack->ack - 1, scale = ack->opt.ts_ecr & SCALE_MASK;
    if (now_us >= cookies->until_us || !(ack->flags & TCP_ACK))
        return TCP_COOKIE_NONE;
    if (!is_good(cookies, flow, cookie, ack, now_us)) {
        stat_inc(cookies->stats, STAT_tcp_drop_cookie);
        return TCP_COOKIE_BAD;
    }
    bool stamps = ack->opt.has_timestamps;
    *syn = (struct tcp_segment){
        .src_port = ack->src_port,
        .dst_port = ack->dst_port,
        .seq = ack->seq - 1,
        .flags = TCP_SYN,
        .opt = {.has_mss = true,
                .mss = mss_table[cookie & MSS_MASK],
                .sack_permitted = (cookie & SACK_BIT) != 0,
                .has_timestamps = stamps,
                .ts_val = ack->opt.ts_val,
                .has_wscale = stamps && scale != SCALE_NONE,
                .wscale = (uint8_t)min_u32(scale, SCALE_MAX)},
    };
    open->isn = cookie;
    open->ts_offset = stamps ? ts_offset(cookies, flow) : 0;
    stat_inc(cookies->stats, STAT_tcp_cookies_accepted);
    return TCP_COOKIE_GOOD;
}
