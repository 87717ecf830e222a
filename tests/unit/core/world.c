/* world.c: setting up, and time. */
#include "tests/unit/core/world.h"

#include "tests/unit/core/certificates.h"
#include "tests/unit/core/steer.h"
#include "tests/unit/core/world_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#define STEPS_AT_ONCE_MAX 50000u

/* ---- setting up ---- */

struct world_options world_defaults(void)
{
    struct world_options o = {
        .cores = 1,
        .buffers = 4096,
        .core =
            {
                .cpu = -1,
                .connections_max = 64,
                .jobs_max = 256,
                .destinations_max = 64,
                .time_wait_max = 64,
                .connections_per_destination = 20,
                .handshake_timeout_ms = 60000,
                .idle_timeout_ms = 5000,
                .close_timeout_ms = 5000,
                .tcp = tcp_config_default(),
                .smtp = {.helo_name = "engine.test", .timeout_percent = 100, .messages_ahead = 4},
                .net = {.addresses = 1,
                        .routes = 1,
                        .route = {{.on_link = true}},
                        .neighbours_max = 64,
                        .port_first = 1024,
                        .port_last = 65535},
            },
        .feed =
            {
                .submit_slots = 512,
                .complete_slots = 1024,
                .arena_bytes = 4u << 20,
                .recipients_max = WORLD_RCPTS_MAX,
                .envelope_bytes_max = 4096,
                .hash_seed = 1,
                .engine_epoch = 1000,
                .ordinary_pages = true,
            },
    };
    assert_true(ip_parse("192.0.2.1", &o.core.net.address[0]));
    assert_true(ip_net_parse("192.0.2.0/24", &o.core.net.route[0].to));
    return o;
}

static bool any_fault(const struct port_faults *f)
{
    return f->drop_ppm || f->duplicate_ppm || f->reorder_ppm || f->corrupt_ppm || f->delay_us || f->jitter_us;
}

/* The cores' end of the wire; the other one is left in *far. */
static void lay_wire(struct world *w, const struct world_options *o, struct port **far)
{
    struct error err;
    struct port *wire[2];
    if (!port_sim_pair(wire, o->buffers, 1500, &err))
        fail_msg("%s", err.text);
    *far = wire[1];
    struct port *near = wire[0];
    if (any_fault(&o->to_mx) || any_fault(&o->from_mx))
        near = port_fault_open(near, &o->from_mx, &o->to_mx, &err);
    assert_non_null(near);
    if (o->cores == 2)
        steer_open(near, w->port);
    else
        w->port[0] = near;
}

static void open_cores(struct world *w, const struct world_options *o)
{
    struct error err;
    w->config = o->core;
    w->config.feed = o->feed;
    w->config.feed.lanes = w->config.cores = w->cores = o->cores;
    for (unsigned i = 0; i < o->cores; i++) {
        w->config.index = i;
        w->core[i] = core_open(&w->config, w->port[i], &err);
        if (!w->core[i])
            fail_msg("%s", err.text);
        w->now_us = max_u64(w->now_us, w->core[i]->now_us);
    }
    if (o->cores == 2)
        assert_true(core_join(w->core[0], w->core[1], &err) && core_join(w->core[1], w->core[0], &err));
}

struct world *world_open(const struct world_options *options)
{
    static bool registered;
    struct world_options defaults = world_defaults();
    struct port *far;
    const struct world_options *o = options ? options : &defaults;
    if (!registered)
        urcu_qsbr_register_thread();
    registered = true;
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->sent = calloc(WORLD_JOBS_MAX, sizeof(*w->sent));
    assert_non_null(w->sent);
    lay_wire(w, o, &far);
    open_cores(w, o);
    mx_open(&w->mx, far, w->now_us);
    w->draft = (struct policy_table){.trust = certificates_trust(),
                                     .rule = w->rule,
                                     .route = w->route,
                                     .allowed_net = w->allowed,
                                     .allowed_nets = 1};
    struct ip_net documentation; /* RFC 5737: special, like all that a test may use */
    assert_true(ip_net_parse("192.0.2.0/24", &documentation));
    memcpy(w->allowed[0].addr, documentation.addr.b, 16);
    w->allowed[0].prefix_bits = documentation.prefix_bits;
    return w;
}

struct mx_host *world_host(struct world *w, const char *address, uint16_t port, const char *name)
{
    return mx_add(&w->mx, address, port, certificates_for(name));
}

struct mx_host *world_mx(struct world *w, unsigned number)
{
    char address[32], name[32];
    snprintf(address, sizeof(address), "192.0.2.%u", 100 + number);
    snprintf(name, sizeof(name), "mx%u.test", number);
    return world_host(w, address, 25, name);
}

/* ---- policy ---- */

static struct policy_hop hop_of(const char *text)
{
    struct policy_hop hop = {.implicit_tls = text[0] == '+'};
    char address[64];
    struct ip_addr addr;
    if (sscanf(text + hop.implicit_tls, "%63[^=]=%63[^:]:%hu", hop.host, address, &hop.port) != 3 ||
        !ip_parse(address, &addr))
        fail_msg("%s is no hop", text);
    memcpy(hop.addr, addr.b, sizeof(hop.addr));
    return hop;
}

void world_route(struct world *w, const char *pattern, ...)
{
    assert_true(w->draft.routes < ARRAY_LEN(w->route));
    struct policy_route *route = &w->route[w->draft.routes++];
    snprintf(route->pattern, sizeof(route->pattern), "%s", pattern);
    va_list hops;
    va_start(hops, pattern);
    for (const char *text; (text = va_arg(hops, const char *));)
        route->hop[route->hops++] = hop_of(text);
    va_end(hops);
}

struct policy_rule *world_rule(struct world *w, const char *pattern, enum policy_level level)
{
    assert_true(w->draft.rules < ARRAY_LEN(w->rule));
    struct policy_rule *rule = &w->rule[w->draft.rules++];
    *rule = (struct policy_rule){
        .level = (uint8_t)level, .min_version = POLICY_TLS_MIN, .trust = certificates_trust()};
    snprintf(rule->pattern, sizeof(rule->pattern), "%s", pattern);
    snprintf(rule->id, sizeof(rule->id), "tls %.40s", pattern);
    return rule;
}

static void *copy_of(const void *data, size_t bytes)
{
    void *copy = malloc(bytes + 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    return copy;
}

void world_release_table(struct policy_table *table)
{
    free(table->rule);
    free(table->route);
    free(table->allowed_net);
    free(table);
}

void world_publish(struct world *w)
{
    struct policy_table *table = copy_of(&w->draft, sizeof(w->draft));
    table->generation = ++w->draft.generation;
    table->rule = copy_of(w->rule, w->draft.rules * sizeof(w->rule[0]));
    table->route = copy_of(w->route, w->draft.routes * sizeof(w->route[0]));
    table->allowed_net = copy_of(w->allowed, w->draft.allowed_nets * sizeof(w->allowed[0]));
    policy_publish(table, world_release_table);
}

/* ---- starting ---- */

unsigned world_attach(struct world *w)
{
    unsigned number = w->feeds++;
    assert_true(number < ARRAY_LEN(w->feed));
    if (pair_attach(&w->pair, &w->producer[number], NULL) != 0)
        fail_msg("%s", w->pair.error.text);
    w->feed[number] = w->pair.engine;
    world_tell(w, CORE_ATTACH, w->feed[number]);
    return number;
}

void world_start(struct world *w)
{
    static unsigned worlds;
    mx_listen(&w->mx);
    world_publish(w);
    for (unsigned i = 0; i < w->cores; i++)
        if (!core_enter(w->core[i]))
            fail_msg("%s", w->core[i]->start_error.text);
    snprintf(w->pair.path, sizeof(w->pair.path), "/tmp/hl-world-%d-%u.sock", (int)getpid(), ++worlds);
    pair_serve(&w->pair, &w->config.feed);
    world_attach(w);
}

struct world *world_simple(const struct world_options *options, struct mx_host **host)
{
    struct world *w = world_open(options);
    *host = world_mx(w, 1);
    for (unsigned i = 1; i <= 9; i++) {
        char domain[16];
        snprintf(domain, sizeof(domain), "d%u.test", i);
        world_route(w, domain, "mx1.test=192.0.2.101:25", NULL);
    }
    world_start(w);
    return w;
}

/* ---- time ---- */

bool world_step(struct world *w)
{
    bool worked = false;
    for (unsigned i = 0; i < w->cores; i++)
        if (!core_over(w->core[i]))
            worked |= core_turn(w->core[i], w->now_us);
    worked |= mx_turn(&w->mx, w->now_us);
    urcu_qsbr_quiescent_state();
    if (worked)
        mail_reap(w);
    return worked;
}

static uint64_t next_us(const struct world *w)
{
    uint64_t next = mx_next_us(&w->mx);
    for (unsigned i = 0; i < w->cores; i++) {
        if (core_over(w->core[i]))
            continue;
        next = min_u64(next, wheel_next(&w->core[i]->wheel));
        next = min_u64(next, port_next_deadline(w->core[i]->port));
    }
    return next;
}

/* All that there is to do now, then the clock moves on, to end_us at the most. */
static void move_on(struct world *w, uint64_t end_us)
{
    unsigned steps = 0;
    while (world_step(w))
        if (++steps > STEPS_AT_ONCE_MAX)
            fail_msg("seed %u: the world does not come to rest: somebody finds work for ever", w->label);
    w->now_us = min_u64(end_us, max_u64(next_us(w), w->now_us + 1));
}

void world_run(struct world *w, uint64_t us)
{
    uint64_t end_us = w->now_us + us;
    while (w->now_us < end_us)
        move_on(w, end_us);
}

/* What there is when something does not come about. */
static void describe(const struct world *w)
{
    for (unsigned i = 0; i < w->cores; i++) {
        struct core *core = w->core[i];
        print_message(
            "# core %u: %u jobs, %u connections, %u destinations, %u hungry, %u in flight of %u feeds\n", i,
            core->jobs.in_use, core->connections.in_use, core->dests.pool.in_use, core->dests.hungry_count,
            w->feed[0] ? feed_in_flight(w->feed[0], i) : 0, core->feeds);
        list_for_each(it, &core->all_jobs) {
            const struct job *job = list_entry(it, struct job, all);
            const struct dest *d = job->dest;
            print_message(
                "#   job %u for %s, hop %u %s: %s; waiting %u, connections %u, connecting %u, ready %u, limit %u\n",
                (unsigned)job->feed_job.cookie, job->feed_job.domain, job->hop_index, job->hop.host,
                d ? "waits" : "is sent", d ? d->waiting_count : 0, d ? d->connections : 0,
                d ? d->connecting : 0, d ? d->ready : 0, d ? d->limit : 0);
        }
        for (uint32_t c = 0; c < core->connections.capacity; c++) {
            const struct conn *conn = pool_at(&core->connections, c);
            if (conn->env && conn->phase != CONN_GONE)
                print_message("#   connection to %s: %s, %s, %s\n", conn->hop.host,
                              conn_phase_name((enum conn_phase)conn->phase),
                              tcp_state_name(tcp_state(&conn->tcb)), smtp_state_text(&conn->smtp));
        }
    }
    print_message("# receivers: %u connections, %u mails; results owed: %u\n", mx_conns(&w->mx), w->mx.mails,
                  w->results_owed);
}

void world_until(struct world *w, world_condition holds, const void *arg, uint64_t us)
{
    uint64_t end_us = w->now_us + us;
    while (!holds(w, arg)) {
        if (w->now_us >= end_us) {
            describe(w);
            fail_msg("seed %u: not within %llu ms", w->label, (unsigned long long)us / 1000);
        }
        if (!world_step(w))
            w->now_us = min_u64(end_us, max_u64(next_us(w), w->now_us + 1));
    }
}

uint64_t world_stat(const struct world *w, enum stat_id which)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < w->cores; i++)
        sum += w->core[i]->stats.v[which];
    return sum;
}

/* RFC 792: the quoted packet is the flow's own, as it left the core. */
void world_icmp(struct world *w, const struct mx_host *from, const struct flow_key *to, uint32_t seq,
                uint8_t code, uint16_t mtu)
{
    struct pkt *pkt = pkt_alloc(w->mx.port->tx_pool, PKT_CONTROL);
    struct eth_header eth = {.type = ETH_TYPE_IPV4};
    struct ip_header ip = {.src = from->address, .dst = to->local, .protocol = IP_PROTO_ICMP, .ttl = 64};
    struct ip_header quoted = {.src = to->local, .dst = to->remote, .protocol = IP_PROTO_TCP, .ttl = 60};
    uint8_t *at = pkt->data, *icmp = at + ETH_HEADER_BYTES + IPV4_HEADER_MIN;
    const uint8_t head[8] = {3, code, 0, 0, 0, 0, (uint8_t)(mtu >> 8), (uint8_t)mtu};
    const uint8_t tcp[8] = {(uint8_t)(to->local_port >> 8),
                            (uint8_t)to->local_port,
                            (uint8_t)(to->remote_port >> 8),
                            (uint8_t)to->remote_port,
                            (uint8_t)(seq >> 24),
                            (uint8_t)(seq >> 16),
                            (uint8_t)(seq >> 8),
                            (uint8_t)seq};
    memcpy(eth.dst.b, w->core[0]->port->mac, 6);
    memcpy(eth.src.b, w->mx.port->mac, 6);
    ip.payload_len = sizeof(head) + IPV4_HEADER_MIN + sizeof(tcp);
    quoted.payload_len = TCP_HEADER_MIN;
    eth_emit(at, &eth);
    ipv4_emit(at + ETH_HEADER_BYTES, &ip, false);
    memcpy(icmp, head, sizeof(head));
    ipv4_emit(icmp + sizeof(head), &quoted, false);
    memcpy(icmp + sizeof(head) + IPV4_HEADER_MIN, tcp, sizeof(tcp));
    uint16_t sum = checksum_finish(checksum_add(0, icmp, ip.payload_len));
    memcpy(icmp + 2, &sum, 2);
    pkt->len = (uint16_t)(ETH_HEADER_BYTES + IPV4_HEADER_MIN + ip.payload_len);
    assert_int_equal(port_transmit(w->mx.port, &pkt, 1, w->now_us), 1);
}
