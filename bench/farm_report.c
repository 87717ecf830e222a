/* farm_report.c: what the farm says: lines of JSON for programs, progress for people. */
#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "bench/endpoint.h"
#include "bench/farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BUSY_TOO_MUCH 0.95 /* of the time: then the farm is what is measured */

static FILE *out;

bool farm_report_open(const char *path, struct error *err)
{
    out = path ? fopen(path, "w") : stdout;
    return out || error_set(err, "--json %s: %m", path);
}

bool farm_report_close(void)
{
    bool good = fflush(out) == 0 && !ferror(out);
    return (out == stdout || fclose(out) == 0) && good;
}

static void write_line(yyjson_mut_doc *doc)
{
    size_t len;
    char *line = yyjson_mut_write(doc, YYJSON_WRITE_NEWLINE_AT_END, &len);
    if (line)
        fwrite(line, 1, len, out);
    free(line);
    fflush(out);
    yyjson_mut_doc_free(doc);
}

static yyjson_mut_val *begin(yyjson_mut_doc **doc, const char *event)
{
    *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(*doc);
    yyjson_mut_doc_set_root(*doc, root);
    yyjson_mut_obj_add_strcpy(*doc, root, "event", event);
    return root;
}

/* ---- ready ---- */

static double cpu_s(void)
{
    struct timespec cpu;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    return (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
}

static void add_addresses(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct farm_options *o)
{
    char text[IP_ADDR_TEXT_MAX];
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "addresses");
    for (uint32_t i = 0; i < o->net.ranges; i++) {
        yyjson_mut_val *range = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_strcpy(doc, range, "first", ip_format(&o->net.range[i].first, text));
        yyjson_mut_obj_add_uint(doc, range, "count", o->net.range[i].count);
    }
}

void farm_report_ready(struct farm *farm)
{
    char first[FARM_NAME_MAX], last[FARM_NAME_MAX], mac[18];
    const struct farm_options *o = farm->options;
    const uint8_t *m = farm->port->mac;
    yyjson_mut_doc *doc;
    yyjson_mut_val *root = begin(&doc, "ready");
    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    yyjson_mut_obj_add_str(doc, root, "device", farm->port->name);
    yyjson_mut_obj_add_str(doc, root, "mac", mac);
    yyjson_mut_obj_add_uint(doc, root, "mtu", farm->port->mtu);
    yyjson_mut_obj_add_uint(doc, root, "port", o->port);
    yyjson_mut_obj_add_uint(doc, root, "tls_port", o->plain ? 0 : o->tls_port);
    add_addresses(doc, root, o);
    yyjson_mut_obj_add_uint(doc, root, "names", o->names);
    yyjson_mut_obj_add_str(doc, root, "first_name", farm_name(first, o->domain, 0));
    yyjson_mut_obj_add_str(doc, root, "last_name", farm_name(last, o->domain, o->names - 1));
    yyjson_mut_obj_add_str(doc, root, "key", o->plain ? "none" : o->tls.chain ? o->tls.key : o->key_text);
    write_line(doc);
    farm->started_cpu_s = cpu_s();
}

/* ---- figures ---- */

static double wall_s(const struct farm *farm)
{
    return (double)(stack_now_us(farm->stack) - farm->started_us) / 1e6;
}

static double busy_share(const struct farm *farm)
{
    double wall = wall_s(farm);
    return wall > 0 ? (double)farm->counts.busy_us / 1e6 / wall : 0;
}

static uint64_t memory_kb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss;
}

/* Connections for which there was no place. */
static uint64_t refused(const struct farm *farm)
{
    return stack_stats(farm->stack)->v[STAT_tcp_drop_listener_full];
}

/* Frames lost. A refused allocation alone loses nothing: what was to be sent waits for the next turn. */
static uint64_t lost_for_buffers(const struct farm *farm)
{
    return farm->port->dropped;
}

static uint64_t refused_buffers(const struct farm *farm)
{
    return farm->port->tx_pool->exhausted + farm->port->rx_pool->exhausted;
}

bool farm_report_is_good(const struct farm *farm)
{
    const uint64_t *v = farm->check.verdict;
    const struct farm_options *o = farm->options;
    bool repeats = o->cut_ppm || o->refuse_ppm; /* then the sender may not know that a message has arrived */
    return v[CHECK_DAMAGED] == 0 && v[CHECK_STRANGE] == 0 && (o->any_message || v[CHECK_UNMARKED] == 0) &&
           (repeats || v[CHECK_DUPLICATE] == 0) && farm->counts.out_of_memory == 0;
}

static void add_runs(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct check *check)
{
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "runs");
    for (uint32_t i = 0; i < check->runs; i++) {
        const struct check_run *run = &check->run[i];
        yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_uint(doc, item, "run", run->run);
        yyjson_mut_obj_add_uint(doc, item, "received", run->received);
        yyjson_mut_obj_add_uint(doc, item, "duplicates", run->duplicates);
        yyjson_mut_obj_add_uint(doc, item, "missing", check_missing(run));
        yyjson_mut_obj_add_uint(doc, item, "highest_seq", run->highest);
    }
}

static void add_counts(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct farm *farm)
{
    const struct farm_counts *c = &farm->counts;
    const uint64_t *v = farm->check.verdict, *stat = stack_stats(farm->stack)->v;
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"connections", c->connections},
        {"connections_open", stack_streams(farm->stack)},
        {"connections_peak", c->peak},
        {"handshakes_full", c->full},
        {"handshakes_resumed", c->resumed},
        {"handshakes_failed", c->tls_failed},
        {"messages", c->messages},
        {"recipients", c->recipients},
        {"bytes", farm->check.bytes},
        {"good", v[CHECK_GOOD]},
        {"duplicates", v[CHECK_DUPLICATE]},
        {"damaged", v[CHECK_DAMAGED]},
        {"unmarked", v[CHECK_UNMARKED]},
        {"strange", v[CHECK_STRANGE]},
        {"faults_given", c->faults_given},
        {"cut_on_request", c->cut_asked},
        {"refused_on_request", c->refused_asked},
        {"cut_by_peer", c->cut_by_peer},
        {"resets", c->resets},
        {"injected", c->injected},
        {"bursts", c->bursts},
        {"held", c->held},
        {"packets_in", stat[STAT_port_rx_packets]},
        {"packets_out", stat[STAT_port_tx_packets]},
        {"retransmits", stat[STAT_tcp_retransmits]},
        {"timed_out", c->timed_out},
        {"address_conflicts", stat[STAT_net_arp_conflicts]},
        {"no_buffer", lost_for_buffers(farm)},
        {"missed", endpoint_missed()},
        {"buffers_refused", refused_buffers(farm)},
        {"no_connection", refused(farm)},
        {"out_of_memory", c->out_of_memory},
        {"memory_kb", memory_kb()},
    };
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
        yyjson_mut_obj_add_uint(doc, root, figures[i].name, figures[i].value);
}

void farm_report_figures(const struct farm *farm, const char *event)
{
    yyjson_mut_doc *doc;
    yyjson_mut_val *root = begin(&doc, event);
    uint64_t missed = endpoint_missed();
    bool late = busy_share(farm) > BUSY_TOO_MUCH || lost_for_buffers(farm) || missed || refused(farm);
    add_counts(doc, root, farm);
    yyjson_mut_obj_add_real(doc, root, "cpu_s", cpu_s() - farm->started_cpu_s);
    yyjson_mut_obj_add_real(doc, root, "wall_s", wall_s(farm));
    yyjson_mut_obj_add_real(doc, root, "busy_s", (double)farm->counts.busy_us / 1e6);
    yyjson_mut_obj_add_real(doc, root, "busy_share", busy_share(farm));
    yyjson_mut_obj_add_bool(doc, root, "kept_up", !late);
    add_runs(doc, root, &farm->check);
    yyjson_mut_obj_add_bool(doc, root, "ok", farm_report_is_good(farm));
    write_line(doc);
    if (late)
        fprintf(
            stderr,
            "farm: has not kept up: busy %.0f %% of the time, %llu frames lost for want of a buffer (--buffers %u), %llu "
            "that the device could not take, %llu connections too many (--connections %u)\n",
            busy_share(farm) * 100, (unsigned long long)lost_for_buffers(farm), farm->options->buffers,
            (unsigned long long)missed, (unsigned long long)refused(farm), farm->options->connections);
}

void farm_report_progress(const struct farm *farm)
{
    const uint64_t *verdict = farm->check.verdict;
    uint64_t faulty = verdict[CHECK_DAMAGED] + verdict[CHECK_STRANGE] + verdict[CHECK_DUPLICATE];
    fprintf(stderr, "farm: %.0f s: %llu messages, %u connections, busy %.0f %%, %llu faulty\n", wall_s(farm),
            (unsigned long long)farm->counts.messages, stack_streams(farm->stack), busy_share(farm) * 100,
            (unsigned long long)faulty);
}

void farm_report_message(struct farm *farm, const struct check_message *message, enum check_verdict verdict)
{
    char text[256];
    bool welcome = verdict == CHECK_UNMARKED && farm->options->any_message;
    if (welcome || farm->check.verdict[verdict] > FARM_TOLD_MAX)
        return;
    check_describe(message, verdict, text, sizeof(text));
    fprintf(stderr, "farm: %s\n", text);
}
