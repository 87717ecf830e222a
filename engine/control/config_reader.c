#include "engine/control/config_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATH_TEXT_MAX 160

void config_report_add(struct config_report *report, const char *fmt, ...)
{
    if (report->count == CONFIG_PROBLEMS_MAX) {
        report->more++;
        return;
    }
    struct error *problem = &report->problem[report->count++];
    va_list args;
    va_start(args, fmt);
    vsnprintf(problem->text, sizeof(problem->text), fmt, args);
    va_end(args);
}

/* "tls[2].level"; the root has no name.  Settings nest as deep as the file's author likes: only the innermost
 * eight are named. */
static void setting_path(const config_setting_t *setting, char *out, size_t cap)
{
    const config_setting_t *chain[8];
    size_t depth = 0;
    for (; setting && !config_setting_is_root(setting) && depth < ARRAY_LEN(chain);
         setting = config_setting_parent(setting))
        chain[depth++] = setting;

    size_t used = 0;
    out[0] = '\0';
    while (depth > 0 && used < cap) {
        const char *name = config_setting_name(chain[--depth]);
        int n = name ? snprintf(out + used, cap - used, "%s%s", used ? "." : "", name)
                     : snprintf(out + used, cap - used, "[%d]", config_setting_index(chain[depth]));
        used += n > 0 ? (size_t)n : 0;
    }
}

void config_complain(struct config_reader *reader, const config_setting_t *at, const char *fmt, ...)
{
    struct error what;
    va_list args;
    va_start(args, fmt);
    vsnprintf(what.text, sizeof(what.text), fmt, args);
    va_end(args);

    char path[PATH_TEXT_MAX];
    setting_path(at, path, sizeof(path));
    const char *colon = path[0] ? ": " : "";
    if (reader->override) {
        config_report_add(reader->report, "--set %.200s: %s%s%s", reader->override, path, colon, what.text);
        return;
    }
    const char *file = config_setting_source_file(at);
    config_report_add(reader->report, "%.200s:%u: %s%s%s", file ? file : reader->origin,
                      (unsigned)config_setting_source_line(at), path, colon, what.text);
}

/* The last override of the key, NULL when there is none. */
static const char *override_of(const struct config_source *source, const char *path)
{
    size_t len = strlen(path);
    for (uint32_t i = source->overrides; i-- > 0;)
        if (strncmp(source->override[i], path, len) == 0 && source->override[i][len] == '=')
            return source->override[i];
    return NULL;
}

void config_complain_key(struct config_reader *reader, const char *path, const char *fmt, ...)
{
    struct error what;
    va_list args;
    va_start(args, fmt);
    vsnprintf(what.text, sizeof(what.text), fmt, args);
    va_end(args);

    const config_setting_t *setting = config_lookup(reader->tree, path);
    reader->override = override_of(reader->source, path);
    if (reader->override)
        config_report_add(reader->report, "--set %.200s: %s: %s", reader->override, path, what.text);
    else if (setting)
        config_complain(reader, setting, "%s", what.text);
    else
        config_report_add(reader->report, "%.200s: %s: %s", reader->origin, path, what.text);
    reader->override = NULL;
}

const char *config_type_text(const config_setting_t *setting)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_GROUP: return "a group { ... }";
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64: return "a number";
    case CONFIG_TYPE_FLOAT: return "a number with a fraction";
    case CONFIG_TYPE_STRING: return "a text in quotes";
    case CONFIG_TYPE_BOOL: return "true or false";
    case CONFIG_TYPE_ARRAY: return "an array [ ... ]";
    case CONFIG_TYPE_LIST: return "a list ( ... )";
    default: return "nothing";
    }
}

static void store_number(void *at, uint32_t bytes, uint64_t value)
{
    switch (bytes) {
    case 1: *(uint8_t *)at = (uint8_t)value; break;
    case 2: *(uint16_t *)at = (uint16_t)value; break;
    case 4: *(uint32_t *)at = (uint32_t)value; break;
    default: *(uint64_t *)at = value;
    }
}

static uint64_t load_number(const void *at, uint32_t bytes)
{
    switch (bytes) {
    case 1: return *(const uint8_t *)at;
    case 2: return *(const uint16_t *)at;
    case 4: return *(const uint32_t *)at;
    default: return *(const uint64_t *)at;
    }
}

static void read_number(struct config_reader *reader, const config_setting_t *setting,
                        const struct config_key *key, void *at)
{
    int type = config_setting_type(setting);
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
        config_complain(reader, setting, "must be a whole number%s%s, not %s", *key->unit ? " of " : "",
                        key->unit, config_type_text(setting));
        return;
    }
    long long value = config_setting_get_int64(setting);
    if (value < 0 || (uint64_t)value < key->min || (uint64_t)value > key->max) {
        config_complain(reader, setting, "%lld is out of range: allowed are %llu to %llu%s%s", value,
                        (unsigned long long)key->min, (unsigned long long)key->max, *key->unit ? " " : "",
                        key->unit);
        return;
    }
    store_number(at, key->bytes, (uint64_t)value * key->scale);
}

static void read_bool(struct config_reader *reader, const config_setting_t *setting, void *at)
{
    if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
        config_complain(reader, setting, "must be true or false, not %s", config_type_text(setting));
    else
        *(bool *)at = config_setting_get_bool(setting) != 0;
}

static void read_choice(struct config_reader *reader, const config_setting_t *setting,
                        const struct config_key *key, void *at)
{
    char allowed[200] = "";
    size_t used = 0;
    const char *text = config_setting_get_string(setting);
    for (uint8_t i = 0; key->choice[i]; i++) {
        if (text && strcmp(text, key->choice[i]) == 0) {
            *(uint8_t *)at = i;
            return;
        }
        int n = snprintf(allowed + used, sizeof(allowed) - used, "%s\"%s\"", i ? ", " : "", key->choice[i]);
        used = min_size(used + (size_t)n, sizeof(allowed) - 1);
    }
    if (text)
        config_complain(reader, setting, "\"%.60s\" is not known: allowed are %s", text, allowed);
    else
        config_complain(reader, setting, "must be one of %s, not %s", allowed, config_type_text(setting));
}

static void read_text(struct config_reader *reader, const config_setting_t *setting,
                      const struct config_key *key, void *base)
{
    const char *text = config_setting_get_string(setting);
    struct error why;
    if (!text) {
        config_complain(reader, setting, "must be a text in quotes, not %s", config_type_text(setting));
    } else if (strlen(text) >= key->bytes) {
        config_complain(reader, setting, "is %zu bytes long: at most %u are possible", strlen(text),
                        key->bytes - 1);
    } else if (text[strcspn(text, "\r\n")] != '\0') {
        config_complain(reader, setting, "holds a line break: write it on one line");
    } else if (key->required && !*text) {
        config_complain(reader, setting, "is empty: %s", key->help);
    } else if (key->parse && !key->parse(base, text, &why)) {
        config_complain(reader, setting, "%s", why.text);
    } else {
        memset((char *)base + key->offset, 0, key->bytes);
        memcpy((char *)base + key->offset, text, strlen(text));
    }
}

static void read_key(struct config_reader *reader, const config_setting_t *setting,
                     const struct config_key *key, void *base)
{
    void *at = (char *)base + key->offset;
    switch (key->kind) {
    case CONFIG_KIND_NUMBER: read_number(reader, setting, key, at); break;
    case CONFIG_KIND_BOOL: read_bool(reader, setting, at); break;
    case CONFIG_KIND_CHOICE: read_choice(reader, setting, key, at); break;
    case CONFIG_KIND_TEXT: read_text(reader, setting, key, base); break;
    default: key->read(reader, setting, base);
    }
}

/* Levenshtein's distance, for names of keys; long ones are no misspellings of short ones. */
static unsigned edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[LONGEST + 1];
    if (la > LONGEST || lb > LONGEST)
        return LONGEST;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = min_u32(change, min_u32(row[j], row[j - 1]) + 1);
        }
    }
    return row[lb];
}

struct nearest {
    const char *wrong, *best;
    unsigned distance;
    char known[320]; /* all names */
    size_t used;
};

static void nearest_offer(struct nearest *n, const char *name)
{
    unsigned distance = edit_distance(n->wrong, name);
    if (distance < n->distance) {
        n->distance = distance;
        n->best = name;
    }
    int put = snprintf(n->known + n->used, sizeof(n->known) - n->used, "%s%s", n->used ? ", " : "", name);
    n->used = min_size(n->used + (size_t)put, sizeof(n->known) - 1);
}

static void complain_unknown(struct config_reader *reader, const config_setting_t *setting,
                             const struct nearest *n)
{
    if (n->best && n->distance <= 2)
        config_complain(reader, setting, "unknown key: did you mean %s?", n->best);
    else
        config_complain(reader, setting, "unknown key: known here are %s", n->known);
}

static const struct config_key *find_in(const struct config_key *key, size_t keys, const char *name)
{
    for (size_t i = 0; i < keys; i++)
        if (strcmp(key[i].name, name) == 0)
            return &key[i];
    return NULL;
}

static void read_member(struct config_reader *reader, const config_setting_t *member,
                        const struct config_key *key, size_t keys, void *base)
{
    const char *name = config_setting_name(member);
    const struct config_key *found = find_in(key, keys, name);
    if (found) {
        read_key(reader, member, found, base);
        return;
    }
    struct nearest n = {.wrong = name, .distance = UINT32_MAX};
    for (size_t i = 0; i < keys; i++)
        nearest_offer(&n, key[i].name);
    complain_unknown(reader, member, &n);
}

void config_read_group(struct config_reader *reader, const config_setting_t *group,
                       const struct config_key *key, size_t keys, void *base)
{
    if (!config_setting_is_group(group)) {
        config_complain(reader, group, "must be a group { ... }, not %s", config_type_text(group));
        return;
    }
    for (int i = 0; i < config_setting_length(group); i++)
        read_member(reader, config_setting_get_elem(group, (unsigned)i), key, keys, base);
}

void config_read_element(struct config_reader *reader, const config_setting_t *group,
                         const struct config_key *key, size_t keys, void *base)
{
    config_defaults(key, keys, base);
    config_read_group(reader, group, key, keys, base);
    if (!config_setting_is_group(group))
        return;
    for (size_t i = 0; i < keys; i++)
        if (key[i].required && !config_setting_get_member(group, key[i].name))
            config_complain(reader, group, "%s is missing: %s", key[i].name, key[i].help);
}

static const struct config_section *find_section(const char *name)
{
    for (size_t i = 0; i < config_sections_count; i++)
        if (strcmp(config_sections[i].name, name) == 0)
            return &config_sections[i];
    return NULL;
}

static void read_top(struct config_reader *reader, const config_setting_t *setting)
{
    const char *name = config_setting_name(setting);
    const struct config_section *outside = find_section(""), *section = find_section(name);
    const struct config_key *key = find_in(outside->key, outside->keys, name);
    if (section) {
        config_read_group(reader, setting, section->key, section->keys, reader->config);
    } else if (key) {
        read_key(reader, setting, key, reader->config);
    } else {
        struct nearest n = {.wrong = name, .distance = UINT32_MAX};
        for (size_t i = 0; i < config_sections_count; i++)
            if (config_sections[i].name[0])
                nearest_offer(&n, config_sections[i].name);
        for (size_t i = 0; i < outside->keys; i++)
            nearest_offer(&n, outside->key[i].name);
        complain_unknown(reader, setting, &n);
    }
}

void config_read_root(struct config_reader *reader, const config_setting_t *root)
{
    for (int i = 0; i < config_setting_length(root); i++)
        read_top(reader, config_setting_get_elem(root, (unsigned)i));
}

void config_check_required(struct config_reader *reader)
{
    for (size_t s = 0; s < config_sections_count; s++) {
        const struct config_section *section = &config_sections[s];
        for (size_t i = 0; i < section->keys; i++) {
            const struct config_key *key = &section->key[i];
            const char *value = (const char *)reader->config + key->offset;
            if (key->required && key->kind == CONFIG_KIND_TEXT && !*value)
                config_report_add(reader->report, "%.200s: %s.%s is missing: %s", reader->origin,
                                  section->name, key->name, key->help);
        }
    }
}

void config_defaults(const struct config_key *key, size_t keys, void *base)
{
    for (size_t i = 0; i < keys; i++) {
        void *at = (char *)base + key[i].offset;
        if (key[i].set_before || key[i].kind == CONFIG_KIND_SPECIAL)
            continue;
        if (key[i].kind == CONFIG_KIND_NUMBER)
            store_number(at, key[i].bytes, key[i].number * key[i].scale);
        else if (key[i].kind == CONFIG_KIND_BOOL)
            *(bool *)at = key[i].number != 0;
        else if (key[i].kind == CONFIG_KIND_CHOICE)
            *(uint8_t *)at = (uint8_t)key[i].number;
        else if (key[i].text) {
            struct error why = {""};
            memcpy(at, key[i].text, strlen(key[i].text) + 1);
            bool good = !key[i].parse || key[i].parse(base, key[i].text, &why);
            assert(good);
            (void)good;
        }
    }
}

void config_key_text(const struct config_key *key, const void *base, char *out, size_t cap)
{
    const void *at = (const char *)base + key->offset;
    switch (key->kind) {
    case CONFIG_KIND_NUMBER:
        snprintf(out, cap, "%llu", (unsigned long long)(load_number(at, key->bytes) / key->scale));
        break;
    case CONFIG_KIND_BOOL: snprintf(out, cap, "%s", *(const bool *)at ? "true" : "false"); break;
    case CONFIG_KIND_CHOICE: snprintf(out, cap, "\"%s\"", key->choice[*(const uint8_t *)at]); break;
    case CONFIG_KIND_TEXT: snprintf(out, cap, "\"%s\"", (const char *)at); break;
    default: snprintf(out, cap, "...");
    }
}

const struct config_key *config_find_key(const char *section, const char *key)
{
    const struct config_section *s = find_section(section);
    return s ? find_in(s->key, s->keys, key) : NULL;
}
