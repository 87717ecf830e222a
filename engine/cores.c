/* cores.c: the data path's start and stop: device, decorators, cores, their threads. */
#include "engine/engine.h"

#include "crypto/prf.h"
#include "engine/base/clock.h"
#include "engine/control/eal.h"
#include "engine/control/log.h"

#include <stdio.h>
#include <unistd.h>

#define CORE_LOG_RECORDS     4096u
#define START_WAIT_US        30000000u
#define HANDSHAKE_TIMEOUT_MS 60000u
#define CLOSE_TIMEOUT_MS     5000u

/* ---- ports ---- */

static bool any_fault(const struct port_faults *f)
{
    return f->drop_ppm || f->duplicate_ppm || f->reorder_ppm || f->corrupt_ppm || f->delay_us ||
           f->jitter_us || f->rate_kbit;
}

/* Capture sits below the faults: the file has what is on the wire. */
static bool decorate(const struct config_port *config, uint32_t queue, struct port **port, struct error *err)
{
    if (config->pcap[0]) {
        char path[sizeof(config->pcap) + 16];
        snprintf(path, sizeof(path), queue ? "%s.%u" : "%s", config->pcap, queue);
        struct port *capture = port_pcap_open(*port, path, err);
        if (!capture)
            return error_prefix(err, "port.pcap");
        *port = capture;
    }
    if (any_fault(&config->rx_faults) || any_fault(&config->tx_faults)) {
        struct port_faults rx = config->rx_faults, tx = config->tx_faults;
        rx.seed += queue;
        tx.seed += queue + 1;
        struct port *faulty = port_fault_open(*port, &rx, &tx, err);
        if (!faulty)
            return error_prefix(err, "port.rx-faults, port.tx-faults");
        *port = faulty;
        if (queue == 0)
            log_warning("the port injects faults: rx \"%s\" tx \"%s\"", config->rx_faults_text,
                        config->tx_faults_text);
    }
    return true;
}

/* Warns of a device whose RSS is there and not to be relied upon. */
static void tell_steering(const struct port *first, uint8_t rss, const char *fault)
{
    if (rss == CONFIG_RSS_SOFTWARE)
        log_info("flows find their core by software RSS; its hash gives the published values");
    else if (first->steering)
        log_info("flows find their core by the device's RSS; its key and table lead sample flows to the "
                 "queues foretold");
    else if (rss != CONFIG_RSS_OFF && fault)
        log_warning("flows find their core by source port and hand-off: the device's RSS cannot be relied "
                    "upon: %s; set port.rss = \"software\"",
                    fault);
    else
        log_info("flows find their core by source port and hand-off");
}

/* Who brings a flow's segments to its core; where nobody does, source ports and the hand-off queues. */
static bool steer(struct hl_engine *engine, uint32_t queues, const char *fault, struct error *err)
{
    uint8_t rss = engine->config.port.rss;
    struct port *ports[CORE_MAX];
    for (uint32_t i = 0; i < queues; i++) {
        ports[i] = engine->core[i].port;
        if (rss == CONFIG_RSS_OFF)
            ports[i]->steering = NULL;
    }
    if (rss == CONFIG_RSS_SOFTWARE && queues > 1 && !port_rss_open(ports, queues, NULL, err))
        return error_prefix(err, "port.rss");
    for (uint32_t i = 0; i < queues; i++)
        engine->core[i].port = ports[i];
    if (queues > 1)
        tell_steering(ports[0], rss, fault);
    return true;
}

static uint32_t offloads(const struct config_port *config)
{
    if (config->offload == CONFIG_OFFLOAD_OFF)
        return 0;
    uint32_t off = 0;
    if (!config->checksums)
        off |= PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_TX_TCP_CSUM | PORT_OFFLOAD_RX_CSUM;
    if (!config->tso)
        off |= PORT_OFFLOAD_TSO;
    if (!config->lro)
        off |= PORT_OFFLOAD_LRO;
    return PORT_OFFLOAD_ALL & ~off;
}

struct port_dpdk_config engine_port_config(const struct config *config)
{
    const struct config_port *c = &config->port;
    return (struct port_dpdk_config){
        .devargs = c->device,
        .queues = (uint16_t)config->cores.count,
        .rx_descriptors = c->rx_descriptors,
        .tx_descriptors = c->tx_descriptors,
        .buffers = c->buffers,
        .tx_reserve = c->control_buffers,
        .mtu = c->mtu,
        .offloads = offloads(c),
        .socket_id = -1,
    };
}

bool engine_open_ports(struct hl_engine *engine, struct error *err)
{
    const struct config_port *c = &engine->config.port;
    struct port *ports[CORE_MAX];
    struct port_dpdk_config dpdk = engine_port_config(&engine->config);
    if (!port_dpdk_open(&dpdk, ports, err))
        return false;
    port_dpdk_describe(ports[0], engine->port_text, sizeof(engine->port_text));
    log_info("port: %s", engine->port_text);
    const char *fault = port_dpdk_steering(ports[0]); /* before decorators stand over it */
    for (uint32_t i = 0; i < dpdk.queues; i++)
        engine->core[i].port = ports[i];
    for (uint32_t i = 0; i < dpdk.queues; i++)
        if (!decorate(c, i, &engine->core[i].port, err))
            return false;
    return steer(engine, dpdk.queues, fault, err);
}

/* ---- cores ---- */

struct feed_shape engine_feed_shape(const struct hl_engine *engine)
{
    const struct config *c = &engine->config;
    struct feed_shape shape = {
        .lanes = c->cores.count,
        .submit_slots = c->feed.lane_slots,
        .complete_slots = c->feed.completion_slots,
        .arena_bytes = (uint64_t)c->feed.arena_megabytes << 20,
        .recipients_max = c->limits.recipients,
        .envelope_bytes_max = c->limits.envelope_bytes,
        .engine_epoch = engine->started_us,
        .ordinary_pages = c->memory.huge == CONFIG_HUGE_NO,
    };
    prf_random(&shape.hash_seed, sizeof(shape.hash_seed));
    return shape;
}

static void log_duplicate(void *ctx, const uint8_t addr[16])
{
    struct ip_addr a;
    char text[IP_ADDR_TEXT_MAX];
    memcpy(a.b, addr, sizeof(a.b));
    log_queue_push(ctx, LOG_LEVEL_ERROR,
                   "%s is in use by another station on the link: not used here (RFC 4862)",
                   ip_format(&a, text));
}

static void log_misplaced(void *ctx, uint64_t segments, uint64_t of, bool steered)
{
    log_queue_push(
        ctx, LOG_LEVEL_WARNING,
        "flows arrive at the wrong core: %llu of %llu segments had to be handed on%s; set port.rss = "
        "\"software\"",
        (unsigned long long)segments, (unsigned long long)of,
        steered ? ", the device does not steer as it says" : "");
}

static void log_batches(void *ctx, const char *name)
{
    log_queue_push(ctx, LOG_LEVEL_INFO, "public-key work in batches: %s", name);
}

static void log_batch_failed(void *ctx, const char *what)
{
    log_queue_push(ctx, LOG_LEVEL_WARNING, "%s", what);
}

static void log_result(void *ctx, const struct core_log_entry *entry, const struct outcome *outcome)
{
    struct log_queue *queue = ctx;
    if (!log_wanted(outcome->verdict == VERDICT_DELIVERED ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE))
        return;
    char addr[IP_ADDR_TEXT_MAX] = "";
    if (entry->mx_addr) {
        struct ip_addr a;
        memcpy(a.b, entry->mx_addr, sizeof(a.b));
        ip_format(&a, addr);
    }
    const struct log_job job = {
        .feed = entry->feed,
        .job = entry->cookie,
        .tag = entry->tag,
        .recipient = (const char *)entry->recipient.data,
        .recipient_len = (uint32_t)entry->recipient.len,
        .destination = entry->destination,
        .mx = entry->mx_host,
        .mx_addr = addr,
    };
    log_queue_outcome(queue, &job, outcome);
}

static struct core_config core_config(const struct hl_engine *engine, uint32_t index)
{
    const struct config *c = &engine->config;
    return (struct core_config){
        .index = index,
        .cores = c->cores.count,
        .cpu = (int)c->cores.cpu[index],
        .idle = c->cores.idle == CONFIG_IDLE_SLEEP ? CORE_IDLE_SLEEP : CORE_IDLE_POLL,
        .sleep_us = c->cores.sleep_us,
        .connections_max = c->limits.connections,
        .jobs_max = c->limits.jobs_in_flight,
        .destinations_max = c->limits.destinations,
        .time_wait_max = c->limits.time_wait,
        .connections_per_destination = c->limits.connections_per_destination,
        .handshake_timeout_ms = HANDSHAKE_TIMEOUT_MS * c->smtp.timeout_percent / 100,
        .idle_timeout_ms = (uint32_t)(c->limits.idle_connection_us / 1000),
        .close_timeout_ms = CLOSE_TIMEOUT_MS,
        .tcp = c->tcp,
        .smtp = {.helo_name = c->smtp.helo_name,
                 .timeout_percent = c->smtp.timeout_percent,
                 .messages_max = c->limits.messages_per_connection,
                 .messages_ahead = c->smtp.messages_ahead,
                 .chunking = c->smtp.chunking,
                 .chunk_ahead_bytes = c->smtp.chunk_ahead_bytes},
        .tls = {.engine = c->crypto.engine[0] ? c->crypto.engine : NULL,
                .async = c->crypto.async,
                .pq_share = c->crypto.pq_share,
                .batches = c->crypto.batches,
                .backend = c->crypto.backend,
                .backend_require = c->crypto.backend_require,
                .core = index,
                .device = engine->core[index].has_device ? &engine->core[index].device : NULL,
                .batch_wait_us = (uint32_t)c->crypto.batch_wait_us,
                .proven_chains = c->crypto.proven_chains,
                .proven_lifetime_s = (uint32_t)(c->crypto.proven_lifetime_us / 1000000),
                .tickets_max = c->crypto.resumption == CONFIG_RESUMPTION_NONE ? 0 : c->crypto.tickets,
                .tickets_per_destination = c->crypto.tickets_per_destination,
                .ticket_lifetime_s = (uint32_t)(c->crypto.ticket_lifetime_us / 1000000),
                .keylog_path = c->run.key_log[0] ? c->run.key_log : NULL},
        .net = c->net,
        .feed = engine_feed_shape(engine),
        .log = {.ctx = (void *)&engine->core[index].log,
                .result = log_result,
                .duplicate = log_duplicate,
                .misplaced = log_misplaced,
                .batches = log_batches,
                .batch_failed = log_batch_failed},
        .thread_enter = eal_thread_register,
        .thread_leave = eal_thread_unregister,
    };
}

bool engine_open_cores(struct hl_engine *engine, struct error *err)
{
    for (uint32_t i = 0; i < engine->config.cores.count; i++) {
        struct engine_core *ec = &engine->core[i];
        struct core_config config = core_config(engine, i);
        if (!log_queue_open(&ec->log, i, CORE_LOG_RECORDS, err))
            return false;
        ec->log_open = true;
        ec->core = core_open(&config, ec->port, err);
        ec->has_device = false;
        if (!ec->core)
            return error_prefix(err, "core %u", i);
        ec->port = NULL;
        engine->cores = i + 1;
    }
    for (uint32_t i = 0; i < engine->cores; i++)
        for (uint32_t k = 0; k < engine->cores; k++)
            if (i != k && !core_join(engine->core[i].core, engine->core[k].core, err))
                return false;
    return true;
}

/* ---- threads ---- */

static void *thread_main(void *arg)
{
    core_run(arg);
    return NULL;
}

static bool wait_for_start(struct hl_engine *engine, uint32_t i, struct error *err)
{
    uint64_t give_up_us = clock_now_us() + START_WAIT_US;
    for (int started; (started = core_started(engine->core[i].core, err)) != 1; usleep(1000)) {
        if (started < 0)
            return error_prefix(err, "core %u", i);
        if (clock_now_us() > give_up_us)
            return error_set(err, "core %u does not start: is CPU %u taken by something of higher priority?",
                             i, engine->config.cores.cpu[i]);
    }
    return true;
}

bool engine_start_cores(struct hl_engine *engine, struct error *err)
{
    for (uint32_t i = 0; i < engine->cores; i++) {
        struct engine_core *ec = &engine->core[i];
        if (pthread_create(&ec->thread, NULL, thread_main, ec->core) != 0)
            return error_set(err, "cannot create the thread of core %u; raise the limit of threads", i);
        ec->started = true;
        char name[16];
        snprintf(name, sizeof(name), "hl-core-%u", i % 1000);
        pthread_setname_np(ec->thread, name);
    }
    for (uint32_t i = 0; i < engine->cores; i++)
        if (!wait_for_start(engine, i, err))
            return false;
    snprintf(engine->accelerator_text, sizeof(engine->accelerator_text), "%s",
             core_public(engine->core[0].core)->arithmetic);
    return true;
}

void engine_tell_cores(struct hl_engine *engine, enum core_command command, struct feed *feed)
{
    for (uint32_t i = 0; i < engine->cores; i++) {
        /* The queue has room for every feed to come and go; a core that is stuck is not waited for without end. */
        for (unsigned tries = 0; !core_tell(engine->core[i].core, command, feed) && tries < 1000; tries++)
            usleep(1000);
    }
}

bool engine_cores_stopped(const struct hl_engine *engine)
{
    for (uint32_t i = 0; i < engine->cores; i++)
        if (engine->core[i].started && !core_stopped(engine->core[i].core))
            return false;
    return true;
}

void engine_stop_core_threads(struct hl_engine *engine)
{
    if (!engine_cores_stopped(engine))
        engine_tell_cores(engine, CORE_STOP, NULL);
    for (uint32_t i = 0; i < engine->cores; i++) {
        if (engine->core[i].started)
            pthread_join(engine->core[i].thread, NULL);
        engine->core[i].started = false;
    }
}

void engine_close_cores(struct hl_engine *engine)
{
    for (uint32_t i = 0; i < CORE_MAX; i++) {
        struct engine_core *ec = &engine->core[i];
        if (ec->log_open) {
            log_queue_drain(&ec->log, clock_now_us());
            log_queue_close(&ec->log);
        }
        if (ec->core)
            core_close(ec->core);
        if (ec->has_device)
            ec->device.close(ec->device.self);
        if (ec->port)
            port_close(ec->port);
        *ec = (struct engine_core){0};
    }
    engine->cores = 0;
}
