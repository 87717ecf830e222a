#include "tests/unit/net/nd_kit.h"

void nd_send(struct world *w, const char *remote)
{
    static const struct tcp_segment syn = {.src_port = 2000, .dst_port = 25, .flags = TCP_SYN};
    struct flow_key key = {
        .local = addr(OURS), .remote = addr(remote), .local_port = 2000, .remote_port = 25};
    bool first = net_flow_add(w->net, &key, FLOW);
    (void)first; /* a packet that is not is one more of the same flow */
    assert_true(net_send_segment(w->net, &key, FLOW, &syn, w->now_us));
}

struct nd nd_advert(const char *target, const struct mac_addr *mac)
{
    return (struct nd){ND_ADVERTISE, true, true, true, *mac, addr(target)};
}

void nd_give(struct world *w, const char *src, const char *dst, const struct nd *nd)
{
    struct frame f = nd_frame(w, src, dst, nd);
    world_give(w, &f);
}

void nd_answer(struct world *w, const char *target, const struct mac_addr *mac)
{
    char asking[IP_ADDR_TEXT_MAX];
    struct ip_addr ours = world_link_local(w);
    struct nd nd = nd_advert(target, mac);
    nd_give(w, target, ip_format(&ours, asking), &nd);
}

void nd_silence(struct world *w)
{
    struct frame f;
    assert_false(world_take(w, &f));
}

void nd_assert_addr(const struct ip_addr *a, const char *text)
{
    char buf[IP_ADDR_TEXT_MAX];
    assert_string_equal(ip_format(a, buf), text);
}
