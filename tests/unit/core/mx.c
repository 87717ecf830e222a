/* mx.c: the receivers' network and their connections. */
#include "tests/unit/core/mx.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

#define CONN_TIMER 7u
#define RETRY_US   1000u

/* ---- connections ---- */

static struct mx_host *host_at(struct mx *mx, const struct flow_key *key)
{
    for (unsigned i = 0; i < mx->hosts; i++)
        if (ip_equal(&mx->host[i].address, &key->local) && mx->host[i].port == key->local_port)
            return &mx->host[i];
    return NULL;
}

static struct mx_conn *conn_new(struct mx *mx, struct mx_host *host)
{
    for (uint32_t i = 0; i < MX_CONNS_MAX; i++) {
        struct mx_conn *c = &mx->conn[i];
        if (c->host)
            continue;
        *c = (struct mx_conn){.mx = mx,
                              .host = host,
                              .serial = ++mx->serial,
                              .flow = i,
                              .dirty = true,
                              .counted = true,
                              .speak_us = DEADLINE_NEVER,
                              .idle_us = DEADLINE_NEVER};
        wheel_timer_init(&c->timer, CONN_TIMER);
        return c;
    }
    fail_msg("more connections than the receivers have places for");
    return NULL;
}

static bool on_syn(void *ctx, const struct flow_key *key, const struct tcp_segment *syn)
{
    struct mx *mx = ctx;
    struct mx_host *host = host_at(mx, key);
    if (!host || host->refuses)
        return false;
    if (host->silent)
        return true;
    struct mx_conn *c = conn_new(mx, host);
    c->key = *key;
    assert_true(net_flow_add(mx->net, key, c->flow));
    struct tcp_open open = {
        .config = &mx->tcp,
        .pool = mx->port->tx_pool,
        .stats = &mx->stats,
        .local_port = key->local_port,
        .remote_port = key->remote_port,
        .isn = 1000000u * mx->serial,
        .ts_offset = 77u * mx->serial,
        .mss = net_mss(mx->net, &key->remote),
    };
    tcp_open_passive(&c->tcb, &open, syn, mx->now_us);
    host->accepted++;
    host->standing++;
    c->too_many = host->connections_max && host->standing > host->connections_max;
    host->standing_max = max_u32(host->standing_max, host->standing);
    return true;
}

void mx_count_out(struct mx_conn *c)
{
    c->host->standing -= c->counted;
    c->counted = false;
}

static void conn_free(struct mx_conn *c)
{
    mx_count_out(c);
    wheel_cancel(&c->mx->wheel, &c->timer);
    net_flow_close(c->mx->net, &c->key);
    tcp_release(&c->tcb);
    SSL_free(c->ssl);
    mx_bytes_free(&c->line);
    mx_bytes_free(&c->plain);
    mx_bytes_free(&c->raw);
    mx_bytes_free(&c->body);
    c->host = NULL;
}

static void on_segment(void *ctx, uint32_t flow, const struct ip_header *ip, const struct tcp_segment *seg)
{
    struct mx *mx = ctx;
    (void)ip;
    tcp_input(&mx->conn[flow].tcb, seg, mx->now_us);
    mx->conn[flow].dirty = true;
}

/* ---- a run ---- */

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct mx_conn *c = ctx;
    return net_send_segment(c->mx->net, &c->key, c->flow, seg, c->mx->now_us);
}

static void note_events(struct mx_conn *c, unsigned events)
{
    if ((events & TCP_EV_CONNECTED) && c->host->implicit_tls)
        mx_start_tls(c);
    else if (events & TCP_EV_CONNECTED)
        mx_greet(c);
    if ((events & TCP_EV_PEER_FIN) && !c->host->holds)
        c->closing = true;
    if ((events & TCP_EV_CLOSED) && tcp_error(&c->tcb) == TCP_ERR_RESET)
        c->host->resets++;
}

static void run(struct mx_conn *c)
{
    const struct tcp_emit out = {.ctx = c, .emit = emit};
    c->dirty = false;
    note_events(c, tcp_events(&c->tcb));
    while (mx_receive(c)) {}
    mx_send(c);
    bool sent = tcp_output(&c->tcb, c->mx->now_us, &out);
    if (tcp_state(&c->tcb) == TCP_CLOSED) {
        conn_free(c);
        return;
    }
    uint64_t next_us = min_u64(tcp_next_deadline(&c->tcb), c->idle_us);
    if (c->plain.len > 0)
        next_us = min_u64(next_us, c->speak_us);
    if (!sent || c->raw.len > 0)
        next_us = min_u64(next_us, c->mx->now_us + RETRY_US);
    wheel_arm(&c->mx->wheel, &c->timer, next_us);
}

static void timer_fired(struct mx *mx, struct wheel_timer *timer)
{
    if (timer->kind == NET_TIMER) {
        net_timers(mx->net, mx->now_us);
        return;
    }
    struct mx_conn *c = container_of(timer, struct mx_conn, timer);
    if (tcp_next_deadline(&c->tcb) <= mx->now_us)
        tcp_timers(&c->tcb, mx->now_us);
    if (c->idle_us <= mx->now_us) {
        c->idle_us = DEADLINE_NEVER;
        c->closing = c->deaf = true;
    }
    c->dirty = true;
}

static bool receive_frames(struct mx *mx)
{
    struct pkt *burst[PORT_BURST];
    uint32_t n = port_receive(mx->port, burst, PORT_BURST, mx->now_us);
    for (uint32_t i = 0; i < n; i++) {
        mx->frames++;
        if (mx->now_us < mx->deaf_us)
            pkt_free(burst[i]);
        else
            net_receive(mx->net, burst[i], mx->now_us);
    }
    return n > 0;
}

bool mx_turn(struct mx *mx, uint64_t now_us)
{
    mx->now_us = now_us;
    pkt_pool_refresh(mx->port->tx_pool);
    bool worked = receive_frames(mx);
    for (struct wheel_timer *t; (t = wheel_expire(&mx->wheel, now_us)); worked = true)
        timer_fired(mx, t);
    for (unsigned i = 0; i < MX_CONNS_MAX; i++) {
        if (!mx->conn[i].host || !mx->conn[i].dirty)
            continue;
        run(&mx->conn[i]);
        worked = true;
    }
    net_transmit_flush(mx->net, now_us);
    return worked;
}

uint64_t mx_next_us(const struct mx *mx)
{
    return min_u64(wheel_next(&mx->wheel), port_next_deadline(mx->port));
}

unsigned mx_conns(const struct mx *mx)
{
    unsigned n = 0;
    for (unsigned i = 0; i < MX_CONNS_MAX; i++)
        n += mx->conn[i].host != NULL;
    return n;
}

struct mx_conn *mx_conn_of(struct mx *mx, const struct mx_host *host, unsigned nth)
{
    struct mx_conn *best;
    for (unsigned above = 0;; above = best->serial) {
        best = NULL;
        for (unsigned i = 0; i < MX_CONNS_MAX; i++) {
            struct mx_conn *c = &mx->conn[i];
            if (c->host == host && c->counted && c->serial > above && (!best || c->serial < best->serial))
                best = c;
        }
        if (!best || nth-- == 0)
            return best;
    }
}

/* ---- opening and closing ---- */

void mx_open(struct mx *mx, struct port *port, uint64_t now_us)
{
    *mx = (struct mx){.now_us = now_us, .port = port, .tcp = tcp_config_default()};
    mx->tcp.time_wait_us = 1000000;
    mx->config = (struct net_config){
        .routes = 1,
        .route = {{.on_link = true}},
        .flows_max = MX_CONNS_MAX,
        .neighbours_max = 64,
        .port_first = 60000,
        .port_last = 65535,
        .cores = 1,
        .seed = 3,
    };
    assert_true(ip_net_parse("0.0.0.0/0", &mx->config.route[0].to));
    wheel_init(&mx->wheel, now_us);
}

struct mx_host *mx_add(struct mx *mx, const char *address, uint16_t port, SSL_CTX *tls)
{
    assert_true(mx->hosts < MX_HOSTS_MAX && !mx->net);
    struct mx_host *host = &mx->host[mx->hosts++];
    *host = (struct mx_host){.port = port, .tls = tls};
    assert_true(ip_parse(address, &host->address));
    for (uint32_t i = 0; i < mx->config.addresses; i++)
        if (ip_equal(&mx->config.address[i], &host->address))
            return host;
    mx->config.address[mx->config.addresses++] = host->address;
    return host;
}

void mx_listen(struct mx *mx)
{
    struct error err;
    struct net_handler handler = {.ctx = mx, .segment = on_segment, .syn = on_syn};
    mx->net = net_open(&mx->config, mx->port, &mx->wheel, &mx->stats, &handler, &err);
    if (!mx->net)
        fail_msg("%s", err.text);
}

void mx_close(struct mx *mx)
{
    for (unsigned i = 0; i < MX_CONNS_MAX; i++)
        if (mx->conn[i].host)
            conn_free(&mx->conn[i]);
    if (mx->net)
        net_close(mx->net);
    for (unsigned i = 0; i < mx->mails; i++)
        free(mx->mail[i].body);
    free(mx->mail);
    mx->mail = NULL;
}
