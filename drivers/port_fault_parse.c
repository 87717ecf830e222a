/* port_fault_parse.c: faults as a person writes them: "drop=1%,delay=20ms,seed=7". */
#include "drivers/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor; /* to ppm, to microseconds */
};

static const struct unit rate_units[] = {{"%", 10000}, {"ppm", 1}, {NULL, 0}};
static const struct unit time_units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {NULL, 0}};

static const struct unit speed_units[] = {{"kbit", 1}, {"mbit", 1000}, {"gbit", 1000000}, {NULL, 0}};
static const struct unit size_units[] = {{"B", 1}, {"kB", 1000}, {"MB", 1000000}, {NULL, 0}};

#define SPEED_MAX      400000000u /* kbit/s */
#define SIZE_MAX_BYTES 1000000000u
#define RATE_MAX       1000000u
#define TIME_MAX       3600000000u /* an hour, in microseconds */

static const struct fault_key {
    const char *name;
    const struct unit *units;
    uint32_t max;
    size_t offset; /* of a uint32_t in struct port_faults */
} keys[] = {
    {"drop", rate_units, RATE_MAX, offsetof(struct port_faults, drop_ppm)},
    {"duplicate", rate_units, RATE_MAX, offsetof(struct port_faults, duplicate_ppm)},
    {"reorder", rate_units, RATE_MAX, offsetof(struct port_faults, reorder_ppm)},
    {"corrupt", rate_units, RATE_MAX, offsetof(struct port_faults, corrupt_ppm)},
    {"hold", time_units, TIME_MAX, offsetof(struct port_faults, reorder_us)},
    {"delay", time_units, TIME_MAX, offsetof(struct port_faults, delay_us)},
    {"jitter", time_units, TIME_MAX, offsetof(struct port_faults, jitter_us)},
    {"rate", speed_units, SPEED_MAX, offsetof(struct port_faults, rate_kbit)},
    {"queue", size_units, SIZE_MAX_BYTES, offsetof(struct port_faults, queue_bytes)},
};

static const struct fault_key *find_key(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strlen(keys[i].name) == len && memcmp(keys[i].name, name, len) == 0)
            return &keys[i];
    return NULL;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
    for (; units->name; units++)
        if (strcmp(units->name, name) == 0)
            return units;
    return NULL;
}

static bool parse_quantity(const struct fault_key *key, const char *value, uint32_t *result)
{
    char *end;
    if (*value < '0' || *value > '9') /* strtod would take signs, spaces and names */
        return false;
    double number = strtod(value, &end);
    const struct unit *unit = find_unit(key->units, end);
    if (!unit || number * unit->factor > key->max)
        return false;
    *result = (uint32_t)(number * unit->factor + 0.5);
    return true;
}

static bool parse_seed(const char *value, uint64_t *seed)
{
    char *end;
    errno = 0;
    *seed = strtoull(value, &end, 10);
    return *value >= '0' && *value <= '9' && *end == '\0' && errno == 0;
}

static bool parse_item(const char *item, struct port_faults *faults, struct error *err)
{
    size_t name_len = strcspn(item, "=");
    const char *value = item[name_len] ? item + name_len + 1 : "";
    if (name_len == 4 && memcmp(item, "seed", 4) == 0)
        return parse_seed(value, &faults->seed) ||
               error_set(err, "faults: \"%s\": a seed is a whole number", item);
    const struct fault_key *key = find_key(item, name_len);
    if (!key)
        return error_set(
            err,
            "faults: \"%s\": the keys are drop, duplicate, reorder, corrupt, hold, delay, jitter, rate, queue and seed",
            item);
    if (parse_quantity(key, value, (uint32_t *)(void *)((char *)faults + key->offset)))
        return true;
    const char *form = key->units == rate_units   ? "a share is a number with % or ppm, 100% at the most"
                       : key->units == time_units ? "a time is a number with us, ms or s, an hour at the most"
                       : key->units == speed_units ? "a rate is a number with kbit, mbit or gbit"
                                                   : "a queue is a number with B, kB or MB";
    return error_set(err, "faults: \"%s\": %s", item, form);
}

bool port_fault_parse(const char *text, struct port_faults *faults, struct error *err)
{
    char item[64];
    struct port_faults result = {0};
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, ",");
        if (len == 0 || len >= sizeof(item))
            return error_set(err, "faults: \"%.64s\": is not a list of key=value", text);
        memcpy(item, at, len);
        item[len] = '\0';
        if (!parse_item(item, &result, err))
            return false;
        at += len;
        if (*at == '\0')
            break;
        at++;
        if (*at == '\0')
            return error_set(err, "faults: \"%.64s\": ends in a comma", text);
    }
    *faults = result;
    return true;
}
