/* submit_jobs.c: one line of a job list. */
#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/submit.h"

#include <stdlib.h>
#include <string.h>

static bool expected(struct error *err, const char *key, const char *what)
{
    return error_set(err, "\"%s\" must be %s", key, what);
}

static bool take_text(yyjson_val *value, const char *key, char **to, struct error *err)
{
    if (!yyjson_is_str(value))
        return expected(err, key, "a text");
    if (strlen(yyjson_get_str(value)) != yyjson_get_len(value))
        return error_set(err, "\"%s\" has a NUL in it", key);
    free(*to);
    *to = strdup(yyjson_get_str(value));
    return *to || error_set(err, "out of memory");
}

static bool take_flag(yyjson_val *value, const char *key, uint32_t flag, uint32_t *flags, struct error *err)
{
    if (!yyjson_is_bool(value))
        return expected(err, key, "true or false");
    *flags = yyjson_get_bool(value) ? *flags | flag : *flags & ~flag;
    return true;
}

static bool take_number(yyjson_val *value, const char *key, uint64_t max, uint32_t *to, struct error *err)
{
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) > max)
        return error_set(err, "\"%s\" must be a number from 0 to %llu", key, (unsigned long long)max);
    *to = (uint32_t)yyjson_get_uint(value);
    return true;
}

static bool add_address(struct envelope *e, yyjson_val *address, const char *dsn, struct error *err)
{
    if (!yyjson_is_str(address))
        return expected(err, "to", "a text, or a list of texts or of {\"address\", \"dsn\"}");
    if (strlen(yyjson_get_str(address)) != yyjson_get_len(address))
        return error_set(err, "\"to\" has an address with a NUL in it");
    return envelope_add_to(e, yyjson_get_str(address), yyjson_get_len(address), dsn) ||
           error_set(err, "out of memory");
}

static bool take_to(yyjson_val *value, struct envelope *e, struct error *err)
{
    size_t i, n;
    yyjson_val *item;
    if (yyjson_is_str(value))
        return add_address(e, value, NULL, err);
    if (!yyjson_is_arr(value))
        return add_address(e, NULL, NULL, err);
    yyjson_arr_foreach(value, i, n, item)
    {
        bool object = yyjson_is_obj(item);
        const char *dsn = object ? yyjson_get_str(yyjson_obj_get(item, "dsn")) : NULL;
        if (!add_address(e, object ? yyjson_obj_get(item, "address") : item, dsn, err))
            return false;
    }
    return true;
}

static bool take_floor(yyjson_val *value, uint8_t *floor, struct error *err)
{
    return (yyjson_is_str(value) && options_floor(yyjson_get_str(value), floor)) ||
           expected(err, "tls-floor", "encrypt, verify or secure");
}

static bool take_deadline(yyjson_val *value, double *seconds, struct error *err)
{
    *seconds = yyjson_get_num(value);
    return (yyjson_is_num(value) && *seconds >= 0 && *seconds <= 1e8) ||
           expected(err, "deadline-s", "seconds");
}

static bool take_priority(yyjson_val *value, uint8_t *to, struct error *err)
{
    uint32_t priority = 0;
    if (!take_number(value, "priority", 255, &priority, err))
        return false;
    *to = (uint8_t)priority;
    return true;
}

static bool take_key(const char *key, yyjson_val *value, struct letter *letter, struct error *err)
{
    struct envelope *e = &letter->envelope;
    if (strcmp(key, "path") == 0)
        return take_text(value, key, &letter->path, err);
    if (strcmp(key, "from") == 0)
        return take_text(value, key, &e->from, err);
    if (strcmp(key, "to") == 0)
        return take_to(value, e, err);
    if (strcmp(key, "next-hop") == 0)
        return take_text(value, key, &e->next_hop, err);
    if (strcmp(key, "tag") == 0)
        return take_text(value, key, &e->tag, err);
    if (strcmp(key, "tls-floor") == 0)
        return take_floor(value, &e->tls_floor, err);
    if (strcmp(key, "deadline-s") == 0)
        return take_deadline(value, &e->deadline_s, err);
    if (strcmp(key, "priority") == 0)
        return take_priority(value, &e->priority, err);
    if (strcmp(key, "source-pool") == 0)
        return take_number(value, key, UINT32_MAX, &e->source_pool, err);
    if (strcmp(key, "requiretls") == 0)
        return take_flag(value, key, HL_JOB_REQUIRETLS, &e->flags, err);
    if (strcmp(key, "tls-optional") == 0)
        return take_flag(value, key, HL_JOB_TLS_OPTIONAL, &e->flags, err);
    if (strcmp(key, "exception") == 0)
        return take_flag(value, key, HL_JOB_EXCEPTION, &e->flags, err);
    if (strcmp(key, "smtputf8") == 0)
        return take_flag(value, key, HL_JOB_SMTPUTF8, &e->flags, err);
    if (strcmp(key, "normalise") == 0)
        return take_flag(value, key, HL_JOB_NORMALISE, &e->flags, err);
    return error_set(err, "the key \"%s\" is unknown: see --help", key);
}

static bool take_object(yyjson_val *object, struct letter *letter, struct error *err)
{
    size_t i, n;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return error_set(err, "a job is a JSON object: {\"path\": ..., \"to\": [...]}");
    yyjson_obj_foreach(object, i, n, key, value)
    {
        if (!take_key(yyjson_get_str(key), value, letter, err))
            return false;
    }
    if (!letter->path)
        return error_set(err, "the job has no \"path\"");
    if (letter->envelope.to_count == 0)
        return error_set(err, "the job has no recipients in \"to\"");
    if (!letter->envelope.from)
        return error_set(err, "the job has no \"from\", and --from is not given");
    return true;
}

bool jobs_parse(const char *line, size_t bytes, struct letter *letter, struct error *err)
{
    yyjson_read_err why;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)line, bytes, 0, NULL, &why);
    if (!doc)
        return error_set(err, "not JSON at byte %zu: %s", why.pos, why.msg);
    bool good = take_object(yyjson_doc_get_root(doc), letter, err);
    yyjson_doc_free(doc);
    return good;
}
