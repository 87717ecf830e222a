#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/connections_text.h"

#include "engine/base/base.h"
#include "engine/wire/addr.h"

#include <string.h>

static uint64_t number_of(yyjson_val *object, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(object, key));
}

static const char *text_of(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text && *text ? text : "-";
}

static const char *end_text(yyjson_val *connection, const char *key, const char *port_key,
                            char buf[IP_ADDR_TEXT_MAX + 16])
{
    const char *address = text_of(connection, key);
    snprintf(buf, IP_ADDR_TEXT_MAX + 16, strchr(address, ':') ? "[%s]:%llu" : "%s:%llu", address,
             (unsigned long long)number_of(connection, port_key));
    return buf;
}

/* Milliseconds with a decimal, "-" for what was never measured. */
static const char *ms_text(uint64_t us, char buf[24])
{
    if (us == 0)
        return "-";
    snprintf(buf, 24, "%.1f", (double)us / 1000);
    return buf;
}

static const char *ssthresh_text(yyjson_val *connection, char buf[24])
{
    if (!yyjson_obj_get(connection, "ssthresh_bytes"))
        return "-";
    snprintf(buf, 24, "%llu", (unsigned long long)number_of(connection, "ssthresh_bytes"));
    return buf;
}

static void print_connection(FILE *out, yyjson_val *c)
{
    char peer[IP_ADDR_TEXT_MAX + 16], local[IP_ADDR_TEXT_MAX + 16], rtt[24], rto[24], ssthresh[24];
    fprintf(out, "%-26s %-26s %-11s %-10s %-3s %9s %9s %9llu %9s %9llu %6llu %7llu %5llu %8.1f  %s\n",
            end_text(c, "peer", "peer_port", peer), end_text(c, "local", "local_port", local),
            text_of(c, "state"), text_of(c, "phase"), text_of(c, "tls"),
            ms_text(number_of(c, "srtt_us"), rtt), ms_text(number_of(c, "rto_us"), rto),
            (unsigned long long)number_of(c, "cwnd_bytes"), ssthresh_text(c, ssthresh),
            (unsigned long long)number_of(c, "flight_bytes"), (unsigned long long)number_of(c, "mss"),
            (unsigned long long)number_of(c, "retransmits"), (unsigned long long)number_of(c, "messages"),
            (double)number_of(c, "age_us") / 1e6, text_of(c, "host"));
}

void connections_text(FILE *out, struct yyjson_val *root)
{
    yyjson_val *list = yyjson_obj_get(root, "connections"), *connection;
    size_t i, max;
    if (yyjson_arr_size(list) > 0)
        fprintf(out, "%-26s %-26s %-11s %-10s %-3s %9s %9s %9s %9s %9s %6s %7s %5s %8s  %s\n", "receiver",
                "from", "TCP", "phase", "TLS", "rtt ms", "rto ms", "cwnd", "ssthresh", "in flight", "mss",
                "resent", "mails", "age s", "host");
    yyjson_arr_foreach(list, i, max, connection)
    {
        print_connection(out, connection);
    }
    fprintf(out, "%zu of %llu connections\n", yyjson_arr_size(list),
            (unsigned long long)number_of(root, "matching"));
}
