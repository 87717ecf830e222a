#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/status_text.h"

#include "engine/base/stat.h"

#include <string.h>

#define COLUMNS_MAX 8u /* cores beside each other; more are added up only */

static const char *text_of(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text && *text ? text : "-";
}

static uint64_t number_of(yyjson_val *object, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(object, key));
}

static void print_duration(FILE *out, uint64_t seconds)
{
    uint64_t days = seconds / 86400, hours = seconds / 3600 % 24, minutes = seconds / 60 % 60;
    if (days)
        fprintf(out, "%llu d %llu h", (unsigned long long)days, (unsigned long long)hours);
    else if (hours)
        fprintf(out, "%llu h %llu min", (unsigned long long)hours, (unsigned long long)minutes);
    else if (minutes)
        fprintf(out, "%llu min %llu s", (unsigned long long)minutes, (unsigned long long)(seconds % 60));
    else
        fprintf(out, "%llu s", (unsigned long long)seconds);
}

static void print_head(FILE *out, yyjson_val *root)
{
    yyjson_val *policy = yyjson_obj_get(root, "policy");
    fprintf(out, "hardlined %s   %s   up ", text_of(root, "version"), text_of(root, "state"));
    print_duration(out, (uint64_t)yyjson_get_real(yyjson_obj_get(root, "uptime_s")));
    fprintf(out, "\n\n%-12s %s\n", "config", text_of(root, "config"));
    fprintf(out, "%-12s %s\n", "port", text_of(root, "port"));
    fprintf(out, "%-12s %s\n", "dpdk", text_of(root, "eal"));
    fprintf(out, "%-12s %s\n", "public keys", text_of(root, "accelerator"));
    fprintf(out, "%-12s generation %llu, %llu rules, %llu routes\n", "policy",
            (unsigned long long)number_of(policy, "generation"),
            (unsigned long long)number_of(policy, "rules"), (unsigned long long)number_of(policy, "routes"));
    if (number_of(root, "log_dropped"))
        fprintf(out, "%-12s %llu lines dropped\n", "log", (unsigned long long)number_of(root, "log_dropped"));
}

static void print_feeds(FILE *out, yyjson_val *root)
{
    yyjson_val *list = yyjson_obj_get(root, "feeds"), *feed;
    size_t i, max;
    fprintf(out, "\n%zu feed%s attached\n", yyjson_arr_size(list), yyjson_arr_size(list) == 1 ? "" : "s");
    yyjson_arr_foreach(list, i, max, feed)
    {
        fprintf(out, "  %-24s uid %-6llu pid %-8llu %llu jobs   attached ", text_of(feed, "name"),
                (unsigned long long)number_of(feed, "uid"), (unsigned long long)number_of(feed, "pid"),
                (unsigned long long)number_of(feed, "jobs"));
        print_duration(out, number_of(feed, "attached_s"));
        fprintf(out, "%s\n",
                yyjson_get_bool(yyjson_obj_get(feed, "broken")) ? "   broken: being thrown out" : "");
    }
}

static void print_pools(FILE *out, yyjson_val *core, size_t number)
{
    yyjson_val *list = yyjson_obj_get(core, "pools"), *pool;
    size_t i, max;
    yyjson_arr_foreach(list, i, max, pool)
    {
        fprintf(out, "  core %-3zu %-14s %9llu of %-9llu most %-9llu", number, text_of(pool, "name"),
                (unsigned long long)number_of(pool, "in_use"),
                (unsigned long long)number_of(pool, "capacity"),
                (unsigned long long)number_of(pool, "in_use_max"));
        if (number_of(pool, "exhausted"))
            fprintf(out, " full %llu times", (unsigned long long)number_of(pool, "exhausted"));
        fputc('\n', out);
    }
}

/* As core/handoff.c judges it, here over all cores. */
static void print_steering(FILE *out, yyjson_val *cores)
{
    unsigned long long wrong = 0, segments = 0;
    yyjson_val *core;
    size_t i, max;
    yyjson_arr_foreach(cores, i, max, core)
    {
        yyjson_val *counters = yyjson_obj_get(core, "counters");
        wrong += number_of(counters, "net_handoff_out") + number_of(counters, "net_drop_handoff_full");
        segments += number_of(counters, "tcp_segments_in");
    }
    if (wrong >= 32 && wrong * 20 >= segments)
        fprintf(out, "\nflows arrive at the wrong core: %llu of %llu segments were handed on; see port.rss\n",
                wrong, segments);
}

static void print_cores(FILE *out, yyjson_val *cores)
{
    yyjson_val *core;
    size_t i, max;
    fputs("\nin use\n", out);
    yyjson_arr_foreach(cores, i, max, core)
    {
        print_pools(out, core, i);
        if (number_of(core, "destinations_limited"))
            fprintf(out, "  core %-3zu turned away by %llu destinations: these get fewer connections\n", i,
                    (unsigned long long)number_of(core, "destinations_limited"));
        if (number_of(core, "age_ms") > 5000)
            fprintf(out, "  core %-3zu has not published its counters for %llu s: it is stuck\n", i,
                    (unsigned long long)(number_of(core, "age_ms") / 1000));
    }
    print_steering(out, cores);
}

static const char *meaning(const char *counter)
{
    for (unsigned i = 0; i < STAT_COUNT; i++)
        if (strcmp(stat_name(i), counter) == 0)
            return stat_text(i);
    return ""; /* of another version */
}

static void print_counter(FILE *out, yyjson_val *cores, const char *name, uint64_t total, double rate)
{
    size_t columns = yyjson_arr_size(cores);
    fprintf(out, "%-24s", name);
    for (size_t c = 0; columns > 1 && columns <= COLUMNS_MAX && c < columns; c++)
        fprintf(out, " %13llu",
                (unsigned long long)number_of(yyjson_obj_get(yyjson_arr_get(cores, c), "counters"), name));
    fprintf(out, " %14llu", (unsigned long long)total);
    if (rate >= 0)
        fprintf(out, " %12.1f", rate);
    fprintf(out, "  %s\n", meaning(name));
}

static void print_counter_head(FILE *out, yyjson_val *cores, bool rates)
{
    size_t columns = yyjson_arr_size(cores);
    fprintf(out, "\n%-24s", "counters");
    for (size_t c = 0; columns > 1 && columns <= COLUMNS_MAX && c < columns; c++)
        fprintf(out, "        core %zu", c);
    fprintf(out, " %14s", "all");
    fprintf(out, "%s\n", rates ? "        per s" : "");
}

static void print_counters(FILE *out, yyjson_val *root, yyjson_val *before, double seconds, bool all)
{
    yyjson_val *cores = yyjson_obj_get(root, "cores"), *name, *value;
    yyjson_val *earlier = yyjson_obj_get(before, "total");
    size_t i, max;
    print_counter_head(out, cores, before != NULL);
    yyjson_obj_foreach(yyjson_obj_get(root, "total"), i, max, name, value)
    {
        uint64_t total = yyjson_get_uint(value);
        double grown = (double)(total - number_of(earlier, yyjson_get_str(name)));
        if (total || all)
            print_counter(out, cores, yyjson_get_str(name), total, before ? grown / seconds : -1);
    }
}

void status_text(FILE *out, struct yyjson_val *root, struct yyjson_val *before, double seconds, bool all)
{
    print_head(out, root);
    print_feeds(out, root);
    print_cores(out, yyjson_obj_get(root, "cores"));
    print_counters(out, root, before, seconds, all);
}
