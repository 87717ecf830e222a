/* expect.c: what a script may ask of the stack. */
#include "tests/talk/verbs.h"

#include <inttypes.h>

static const char *const error_names[] = {
    [TCP_OK] = "none",
    [TCP_ERR_REFUSED] = "refused",
    [TCP_ERR_RESET] = "reset",
    [TCP_ERR_TIMEOUT] = "timeout",
    [TCP_ERR_UNREACHABLE] = "unreachable",
    [TCP_ERR_ABORTED] = "aborted",
};

static const struct {
    const char *name;
    unsigned bit;
} event_names[] = {
    {"connected", TCP_EV_CONNECTED}, {"readable", TCP_EV_READABLE}, {"writable", TCP_EV_WRITABLE},
    {"peer_fin", TCP_EV_PEER_FIN},   {"closed", TCP_EV_CLOSED},     {"time_wait", TCP_EV_TIME_WAIT},
    {"path", TCP_EV_PATH},
};

static bool expect_word(struct play *p, const char *got, const char *want)
{
    return strcmp(got, want) == 0 ? true : play_fault(p, "got      %s", got);
}

static bool expect_event(struct play *p, const char *want)
{
    for (unsigned i = 0; i < ARRAY_LEN(event_names); i++)
        if (strcmp(want, event_names[i].name) == 0) {
            bool came = p->events & event_names[i].bit;
            p->events &= ~event_names[i].bit;
            return came ? true : play_fault(p, "got      no such event");
        }
    return play_fault(p, "no such event: \"%s\"", want);
}

static bool expect_counter(struct play *p, const char *name, const char *text)
{
    uint64_t want;
    if (!play_number(p, text, &want))
        return false;
    for (unsigned i = 0; i < STAT_COUNT; i++)
        if (strcmp(stat_name(i), name) == 0)
            return p->stats.v[i] == want ? true : play_fault(p, "got      %" PRIu64, p->stats.v[i]);
    return play_fault(p, "no such counter: \"%s\"", name);
}

static bool expect_number(struct play *p, const char *name, const char *text)
{
    struct tcp_info info = tcp_info(&p->tcb);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"cwnd", info.cwnd_bytes},
        {"ssthresh", info.ssthresh_bytes},
        {"flight", info.flight_bytes},
        {"mss", info.mss},
        {"rto_us", info.rto_us},
        {"srtt_us", info.srtt_us},
        {"readable", p->tcb.rxq.bytes},
        {"early", p->tcb.rxq.early_bytes},
        {"unsent", tcp_unsent_bytes(&p->tcb)},
        {"unacked", tcp_unacked_bytes(&p->tcb)},
        {"write_space", tcp_write_space(&p->tcb)},
        {"snd_wnd", info.snd_wnd_bytes},
        {"rcv_wnd", info.rcv_wnd_bytes},
        {"retransmits", info.retransmits},
    };
    uint64_t want;
    if (!play_number(p, text, &want))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0)
            return numbers[i].value == want ? true : play_fault(p, "got      %" PRIu64, numbers[i].value);
    return play_fault(p, "no such number: \"%s\"", name);
}

bool verb_expect(struct play *p, struct words *w)
{
    const char *what = words_next(w), *want = words_next(w);
    if (strcmp(what, "state") == 0)
        return expect_word(p, tcp_state_name(tcp_state(&p->tcb)), want);
    if (strcmp(what, "error") == 0)
        return expect_word(p, error_names[tcp_error(&p->tcb)], want);
    if (strcmp(what, "event") == 0)
        return expect_event(p, want);
    if (strcmp(what, "no") == 0) { /* no timer */
        bool none = tcp_next_deadline(&p->tcb) == DEADLINE_NEVER;
        return none ? true : play_fault(p, "got      a timer");
    }
    if (strcmp(what, "counter") == 0)
        return expect_counter(p, want, words_next(w));
    return expect_number(p, what, want);
}
