#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/control/admin_json.h"

#include <stdlib.h>
#include <string.h>

static const char *const command_names[] = {"ping", "status",      "reload", "drain",
                                            "stop", "connections", "capture"};

static bool find_command(const char *name, enum admin_command *command, struct error *err)
{
    for (size_t i = 0; name && i < ARRAY_LEN(command_names); i++) {
        if (strcmp(name, command_names[i]) == 0) {
            *command = (enum admin_command)i;
            return true;
        }
    }
    return error_set(err,
                     "%s%.40s%s: known are ping, status, reload, drain, stop, "
                     "connections, capture",
                     name ? "unknown command \"" : "", name ? name : "no command", name ? "\"" : "");
}

/* A whole number from the object, usual where it has none of that name. */
static bool find_number(yyjson_val *root, const char *key, uint32_t usual, uint32_t most, uint32_t *number,
                        struct error *err)
{
    yyjson_val *value = yyjson_obj_get(root, key);
    *number = usual;
    if (!value)
        return true;
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) < 1 || yyjson_get_uint(value) > most)
        return error_set(err, "%s: allowed are whole numbers from 1 to %u", key, most);
    *number = (uint32_t)yyjson_get_uint(value);
    return true;
}

static bool find_peer(yyjson_val *root, struct admin_request *request, struct error *err)
{
    yyjson_val *value = yyjson_obj_get(root, "peer");
    const char *text = yyjson_get_str(value);
    uint32_t port;
    if (!find_number(root, "port", 0, UINT16_MAX, &port, err))
        return false;
    request->port = (uint16_t)port;
    if (!value && request->command == ADMIN_CAPTURE)
        return error_set(err, "peer: a capture takes the address whose frames are wanted");
    if (value && (!text || !ip_parse(text, &request->peer) || ip_is_nobody(&request->peer)))
        return error_set(err, "peer: \"%.60s\" is no IPv4 or IPv6 address of a host", text ? text : "");
    return true;
}

static bool find_details(yyjson_val *root, struct admin_request *request, struct error *err)
{
    if (request->command != ADMIN_CONNECTIONS && request->command != ADMIN_CAPTURE)
        return true;
    return find_peer(root, request, err) &&
           find_number(root, "max", ADMIN_CONNECTIONS_USUAL, ADMIN_CONNECTIONS_MAX, &request->max, err) &&
           find_number(root, "frames", ADMIN_FRAMES_USUAL, ADMIN_FRAMES_MAX, &request->frames, err) &&
           find_number(root, "seconds", ADMIN_SECONDS_USUAL, ADMIN_SECONDS_MAX, &request->seconds, err) &&
           find_number(root, "megabytes", ADMIN_MEGABYTES_USUAL, ADMIN_MEGABYTES_MAX, &request->megabytes,
                       err);
}

bool admin_json_request(const char *line, size_t len, struct admin_request *request, struct error *err)
{
    *request = (struct admin_request){.port = 0};
    yyjson_doc *doc = yyjson_read(line, len, 0);
    if (!doc)
        return error_set(err, "the request is no JSON: write {\"command\":\"status\"}");
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool good = yyjson_is_obj(root)
                    ? find_command(yyjson_get_str(yyjson_obj_get(root, "command")), &request->command, err) &&
                          find_details(root, request, err)
                    : error_set(err, "the request is no object: write {\"command\":\"status\"}");
    yyjson_doc_free(doc);
    return good;
}

/* The document as one line; the document is freed. */
static char *finish(yyjson_mut_doc *doc, size_t *len)
{
    char *line = doc ? yyjson_mut_write(doc, YYJSON_WRITE_NEWLINE_AT_END, len) : NULL;
    yyjson_mut_doc_free(doc);
    return line;
}

static yyjson_mut_val *begin(yyjson_mut_doc **doc, bool ok)
{
    *doc = yyjson_mut_doc_new(NULL);
    if (!*doc)
        return NULL;
    yyjson_mut_val *root = yyjson_mut_obj(*doc);
    yyjson_mut_doc_set_root(*doc, root);
    yyjson_mut_obj_add_bool(*doc, root, "ok", ok);
    return root;
}

char *admin_json_ok(const char *version, size_t *len)
{
    yyjson_mut_doc *doc;
    yyjson_mut_val *root = begin(&doc, true);
    yyjson_mut_obj_add_strcpy(doc, root, "version", version);
    return finish(doc, len);
}

char *admin_json_error(const char *text, size_t *len)
{
    yyjson_mut_doc *doc;
    yyjson_mut_val *root = begin(&doc, false);
    yyjson_mut_obj_add_strcpy(doc, root, "error", text);
    return finish(doc, len);
}

static void put_text(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *key, const char *text)
{
    yyjson_mut_obj_add_strcpy(doc, to, key, text ? text : "");
}

static yyjson_mut_val *counters(yyjson_mut_doc *doc, const struct stats *stats)
{
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    for (unsigned i = 0; i < STAT_COUNT; i++)
        yyjson_mut_obj_add_uint(doc, object, stat_name(i), stats->v[i]);
    return object;
}

static yyjson_mut_val *pools(yyjson_mut_doc *doc, const struct admin_core *core)
{
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    for (uint32_t i = 0; i < core->pools; i++) {
        const struct admin_pool *pool = &core->pool[i];
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
        put_text(doc, object, "name", pool->name);
        yyjson_mut_obj_add_uint(doc, object, "capacity", pool->capacity);
        yyjson_mut_obj_add_uint(doc, object, "in_use", pool->in_use);
        yyjson_mut_obj_add_uint(doc, object, "in_use_max", pool->in_use_max);
        yyjson_mut_obj_add_uint(doc, object, "exhausted", pool->exhausted);
    }
    return list;
}

static yyjson_mut_val *cores(yyjson_mut_doc *doc, const struct admin_status *status, uint64_t now_us)
{
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    for (uint32_t i = 0; i < status->cores; i++) {
        const struct admin_core *core = &status->core[i];
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_uint(doc, object, "core", i);
        yyjson_mut_obj_add_uint(doc, object, "cpu", core->cpu);
        yyjson_mut_obj_add_uint(doc, object, "connections", core->connections);
        yyjson_mut_obj_add_uint(doc, object, "jobs", core->jobs);
        yyjson_mut_obj_add_uint(doc, object, "destinations_limited", core->destinations_limited);
        yyjson_mut_obj_add_uint(doc, object, "age_ms",
                                now_us > core->published_us ? (now_us - core->published_us) / 1000 : 0);
        yyjson_mut_obj_add_uint(doc, object, "published_us", core->published_us);
        yyjson_mut_obj_add_val(doc, object, "pools", pools(doc, core));
        yyjson_mut_obj_add_val(doc, object, "counters", counters(doc, &core->stats));
    }
    return list;
}

static yyjson_mut_val *feeds(yyjson_mut_doc *doc, const struct admin_status *status, uint64_t now_us)
{
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    for (uint32_t i = 0; i < status->feeds; i++) {
        const struct admin_feed *feed = &status->feed[i];
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
        put_text(doc, object, "name", feed->name);
        yyjson_mut_obj_add_uint(doc, object, "uid", feed->uid);
        yyjson_mut_obj_add_uint(doc, object, "pid", feed->pid);
        yyjson_mut_obj_add_uint(doc, object, "jobs", feed->jobs);
        yyjson_mut_obj_add_uint(doc, object, "attached_s",
                                now_us > feed->attached_us ? (now_us - feed->attached_us) / 1000000 : 0);
        yyjson_mut_obj_add_bool(doc, object, "broken", feed->broken);
    }
    return list;
}

static struct stats total(const struct admin_status *status)
{
    struct stats sum = {.v = {0}};
    for (uint32_t c = 0; c < status->cores; c++)
        for (unsigned i = 0; i < STAT_COUNT; i++)
            sum.v[i] += status->core[c].stats.v[i];
    return sum;
}

char *admin_json_status(const struct admin_status *status, uint64_t now_us, size_t *len)
{
    yyjson_mut_doc *doc;
    yyjson_mut_val *root = begin(&doc, true);
    struct stats sum = total(status);
    put_text(doc, root, "version", status->version);
    put_text(doc, root, "state", status->state);
    yyjson_mut_obj_add_real(doc, root, "uptime_s", (double)status->uptime_us / 1e6);
    put_text(doc, root, "config", status->config);
    put_text(doc, root, "port", status->port);
    put_text(doc, root, "eal", status->eal);
    put_text(doc, root, "accelerator", status->accelerator);
    put_text(doc, root, "huge", status->huge);
    yyjson_mut_val *policy = yyjson_mut_obj_add_obj(doc, root, "policy");
    yyjson_mut_obj_add_uint(doc, policy, "generation", status->policy_generation);
    yyjson_mut_obj_add_uint(doc, policy, "rules", status->policy_rules);
    yyjson_mut_obj_add_uint(doc, policy, "routes", status->policy_routes);
    yyjson_mut_obj_add_uint(doc, root, "log_dropped", status->log_dropped);
    yyjson_mut_obj_add_val(doc, root, "cores", cores(doc, status, now_us));
    yyjson_mut_obj_add_val(doc, root, "total", counters(doc, &sum));
    yyjson_mut_obj_add_val(doc, root, "feeds", feeds(doc, status, now_us));
    return finish(doc, len);
}
