/* verbs.c: what the application does, and the settings. */
#include "tests/talk/verbs.h"

#include <inttypes.h>
#include <stdlib.h>

bool verb_connect(struct play *p, struct words *w)
{
    (void)w;
    if (!play_open_pools(p))
        return false;
    struct tcp_open open = play_open_arguments(p);
    tcp_open_active(&p->tcb, &open, play_clock_us(p));
    p->open = true;
    play_settle(p);
    return true;
}

bool verb_listen(struct play *p, struct words *w)
{
    (void)w;
    p->listening = true;
    return true;
}

bool verb_write(struct play *p, struct words *w)
{
    uint64_t left;
    size_t room;
    if (!play_number(p, words_next(w), &left))
        return false;
    uint64_t want = left;
    pkt_pool_refresh(p->tx);
    for (uint8_t *at; left > 0 && (at = tcp_write_reserve(&p->tcb, &room));) {
        size_t n = min_size(room, (size_t)left);
        for (size_t i = 0; i < n; i++)
            at[i] = play_pattern(p->written++, 1);
        tcp_write_commit(&p->tcb, n);
        left -= n;
    }
    const char *only = words_next(w); /* write 1000 takes 400 */
    uint64_t taken = want;
    if (strcmp(only, "takes") == 0 && !play_number(p, words_next(w), &taken))
        return false;
    if (want - left != taken)
        return play_fault(p, "got      %" PRIu64 " bytes taken", want - left);
    play_settle(p);
    return true;
}

bool verb_read(struct play *p, struct words *w)
{
    uint64_t left;
    size_t len;
    if (!play_number(p, words_next(w), &left))
        return false;
    for (uint8_t *at; left > 0 && (at = tcp_read_peek(&p->tcb, &len));) {
        len = min_size(len, (size_t)left);
        for (size_t i = 0; i < len; i++)
            if (at[i] != play_pattern(p->read++, 2))
                return play_fault(p, "got      a wrong byte at offset %u of the stream", p->read - 1);
        left -= len;
        tcp_read_consume(&p->tcb, len);
    }
    if (left > 0)
        return play_fault(p, "got      %" PRIu64 " bytes too few", left);
    play_settle(p);
    return true;
}

bool verb_close(struct play *p, struct words *w)
{
    (void)w;
    tcp_close(&p->tcb, play_clock_us(p));
    play_settle(p);
    return true;
}

bool verb_abort(struct play *p, struct words *w)
{
    (void)w;
    tcp_abort(&p->tcb, play_clock_us(p));
    play_settle(p);
    return true;
}

/* icmp hard 1 | icmp soft 1 | icmp mtu 1200 1 */
bool verb_icmp(struct play *p, struct words *w)
{
    uint64_t mtu = 0, seq;
    const char *kind = words_next(w);
    if (strcmp(kind, "mtu") == 0 && !play_number(p, words_next(w), &mtu))
        return false;
    if (!play_number(p, words_next(w), &seq))
        return false;
    tcp_icmp_error(&p->tcb, (uint32_t)seq + p->isn, strcmp(kind, "hard") == 0, (uint32_t)mtu,
                   play_clock_us(p));
    play_settle(p);
    return true;
}

bool verb_refuse(struct play *p, struct words *w)
{
    uint64_t n;
    if (!play_number(p, words_next(w), &n))
        return false;
    p->refuse = (uint32_t)n;
    return true;
}

static bool set_flag(struct play *p, bool *flag, const char *value)
{
    *flag = strcmp(value, "on") == 0;
    return *flag || strcmp(value, "off") == 0 ? true : play_fault(p, "neither on nor off: \"%s\"", value);
}

static bool set_cc(struct play *p, const char *value)
{
    p->config.cc = strcmp(value, "reno") == 0 ? &tcp_cc_reno : &tcp_cc_cubic;
    return true;
}

static bool set_ecn(struct play *p, const char *value)
{
    static const char *const names[] = {"off", "accept", "on"};
    for (uint8_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(value, names[i]) == 0) {
            p->config.ecn = i;
            return true;
        }
    return play_fault(p, "neither off, accept nor on: \"%s\"", value);
}

static bool set_mtu_probing(struct play *p, const char *value)
{
    static const char *const names[] = {"off", "black-hole", "always"};
    for (uint8_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(value, names[i]) == 0) {
            p->config.mtu_probing = i;
            return true;
        }
    return play_fault(p, "not off, black-hole or always: \"%s\"", value);
}

static bool set_one(struct play *p, const char *key, const char *value)
{
    struct tcp_config *c = &p->config;
    const struct {
        const char *key;
        uint32_t *field;
    } numbers[] = {
        {"mss", &c->mss},
        {"send_buffer", &c->send_buffer_bytes},
        {"recv_buffer", &c->recv_buffer_bytes},
        {"initial_cwnd", &c->initial_cwnd},
        {"rto_initial_us", &c->rto_initial_us},
        {"rto_min_us", &c->rto_min_us},
        {"rto_max_us", &c->rto_max_us},
        {"delayed_ack_us", &c->delayed_ack_us},
        {"syn_retries", &c->syn_retries},
        {"connect_timeout_us", &c->connect_timeout_us},
        {"user_timeout_us", &c->user_timeout_us},
        {"fin_wait_2_us", &c->fin_wait_2_us},
        {"time_wait_us", &c->time_wait_us},
        {"keepalive_interval_us", &c->keepalive_interval_us},
        {"keepalive_probes", &c->keepalive_probes},
        {"mss_clamp", &c->mss_clamp},
        {"path_mss", &p->path_mss},
        {"isn", &p->isn},
        {"peer_isn", &p->peer_isn},
        {"pool", &p->pool_packets},
    };
    uint64_t n;
    if (strcmp(key, "pacing") == 0)
        return set_flag(p, &c->pacing, value);
    if (strcmp(key, "timestamps") == 0)
        return set_flag(p, &c->timestamps, value);
    if (strcmp(key, "sack") == 0)
        return set_flag(p, &c->sack, value);
    if (strcmp(key, "window_scaling") == 0)
        return set_flag(p, &c->window_scaling, value);
    if (strcmp(key, "mtu_probing") == 0)
        return set_mtu_probing(p, value);
    if (strcmp(key, "cc") == 0)
        return set_cc(p, value);
    if (strcmp(key, "ecn") == 0)
        return set_ecn(p, value);
    if (!play_number(p, value, &n))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
        if (strcmp(key, numbers[i].key) == 0) {
            *numbers[i].field = (uint32_t)n;
            return true;
        }
    if (strcmp(key, "keepalive_us") == 0)
        c->keepalive_us = n;
    else if (strcmp(key, "open_mss") == 0)
        p->open_mss = (uint16_t)n;
    else if (strcmp(key, "ip_header") == 0)
        p->ip_header_bytes = (uint8_t)n;
    else if (strcmp(key, "recv_packets") == 0)
        c->recv_packets = (uint16_t)n;
    else
        return play_fault(p, "no such setting: \"%s\"", key);
    return true;
}

bool verb_config(struct play *p, struct words *w)
{
    for (char *word; *(word = words_next(w));) {
        char *value = strchr(word, '=');
        if (!value)
            return play_fault(p, "not setting=value: \"%s\"", word);
        *value++ = 0;
        if (!set_one(p, word, value))
            return false;
    }
    return true;
}
