/* farm.c: `hardline-bench farm`: a receiving MX on our own stack, which checks what it receives. */
#include "bench/farm.h"

#include "bench/bench.h"
#include "bench/endpoint.h"
#include "engine/base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_US         50u
#define BACKLOG         1024u
#define SEND_BUFFER     65536u
#define RECV_BUFFER     262144u
#define CONNECT_TIME_US 30000000u
#define TIME_WAITS      65536u /* the farm closes first, after QUIT; the oldest makes room */

static volatile sig_atomic_t figures_wanted;

static void on_usr1(int number)
{
    (void)number;
    figures_wanted = 1;
}

/* ---- opening ---- */

static void open_tls(struct farm *farm)
{
    struct error err;
    const struct farm_options *o = farm->options;
    if (o->plain)
        return;
    if (!o->tls.chain && !farm_certs_open(&farm->certs, o->domain, o->names, o->kinds, &err))
        endpoint_fail("certificates", err.text);
    if (o->ca_out && !farm_certs_write_roots(&farm->certs, o->ca_out, &err))
        endpoint_fail("--ca-out", err.text);
    if (!farm_tls_open(&farm->tls, &o->tls, &farm->certs, &err))
        endpoint_fail("TLS", err.text);
}

static void open_stack(struct farm *farm)
{
    struct error err;
    const struct farm_options *o = farm->options;
    struct stack_config config = {
        .tcp = tcp_config_default(),
        .net = o->net,
        .streams_max = o->connections,
        .time_waits_max = TIME_WAITS,
        .backlog = BACKLOG,
        .listen_port = o->port,
        .also_listen_port = o->plain ? 0 : o->tls_port,
        .clock_us = clock_now_us,
    };
    struct stack_events events = farm_conn_events(farm);
    config.tcp.send_buffer_bytes = SEND_BUFFER;
    config.tcp.recv_buffer_bytes = RECV_BUFFER;
    config.tcp.connect_timeout_us = CONNECT_TIME_US;
    farm->port = endpoint_port(o->device, o->buffers, o->rx_faults, o->tx_faults);
    farm->stack = stack_open(&config, farm->port, &events, &err);
    if (!farm->stack)
        endpoint_fail("stack", err.text);
}

static void open_farm(struct farm *farm, const struct farm_options *options)
{
    struct error err;
    farm->options = options;
    list_init(&farm->waiting);
    list_init(&farm->blocked);
    list_init(&farm->silent);
    farm->conn = calloc(options->connections + BACKLOG, sizeof(*farm->conn));
    if (!farm->conn)
        endpoint_fail("--connections", "no memory for so many");
    if (!farm_report_open(options->json, &err))
        endpoint_fail("output", err.text);
    farm_faults_open(farm);
    open_tls(farm);
    open_stack(farm);
}

static void close_farm(struct farm *farm)
{
    stack_close(farm->stack);
    if (!farm->options->plain)
        farm_tls_close(&farm->tls);
    farm_certs_close(&farm->certs);
    check_close(&farm->check);
    free(farm->greylist);
    free(farm->conn);
}

/* ---- running ---- */

static void tell_conflicts(struct farm *farm)
{
    uint64_t conflicts = stack_stats(farm->stack)->v[STAT_net_arp_conflicts];
    if (farm->conflicts_told == 0 && conflicts > 0)
        fprintf(stderr, "farm: another station on this network has one of the addresses (ARP)\n");
    farm->conflicts_told = conflicts;
}

static void look_around(struct farm *farm, uint64_t now_us, uint64_t *progress_us)
{
    tell_conflicts(farm);
    if (figures_wanted) {
        figures_wanted = 0;
        farm_report_figures(farm, "status");
    }
    if (farm->options->status_s && now_us >= *progress_us) {
        farm_report_progress(farm);
        *progress_us = now_us + farm->options->status_s * 1000000ull;
    }
}

static bool is_over(const struct farm *farm)
{
    uint64_t wanted = farm->options->messages;
    return atomic_load(&endpoint_stopping) || (wanted && farm->counts.messages >= wanted);
}

static void run(struct farm *farm)
{
    const struct farm_options *o = farm->options;
    uint64_t now_us = farm->started_us, progress_us = now_us + o->status_s * 1000000ull;
    while (!is_over(farm)) {
        bool worked = stack_turn(farm->stack, now_us);
        farm_conn_release(farm);
        farm_conn_expire(farm);
        look_around(farm, now_us, &progress_us);
        if (!worked && !o->poll)
            endpoint_nap(min_u64(stack_deadline(farm->stack), farm_conn_deadline(farm)), IDLE_US);
        uint64_t then_us = now_us;
        now_us = clock_now_us();
        farm->counts.busy_us += worked ? now_us - then_us : 0;
    }
}

/* The last answers leave, so that the sender knows of its messages. */
static void linger(struct farm *farm)
{
    uint64_t until_us = clock_now_us() + 200000;
    for (uint64_t now_us; (now_us = clock_now_us()) < until_us && stack_streams(farm->stack);) {
        if (!stack_turn(farm->stack, now_us))
            endpoint_nap(stack_deadline(farm->stack), IDLE_US);
        farm_conn_release(farm);
    }
}

int farm_main(int argc, char **argv)
{
    static struct farm farm;
    static struct farm_options options;
    int status = farm_options_read(&options, argc, argv);
    if (status >= 0)
        return status;
    endpoint_start(argv[0], options.memory_mb);
    endpoint_pin(options.cpu);
    signal(SIGUSR1, on_usr1);
    open_farm(&farm, &options);
    farm.started_us = clock_now_us();
    stack_turn(farm.stack, farm.started_us);
    farm_report_ready(&farm);
    run(&farm);
    linger(&farm);
    farm_report_figures(&farm, "end");
    bool good = farm_report_is_good(&farm);
    if (!farm_report_close()) {
        fprintf(stderr, "%s: the figures could not be written\n", argv[0]);
        good = false;
    }
    close_farm(&farm);
    return good ? 0 : 1;
}
