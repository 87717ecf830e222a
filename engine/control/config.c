#include "engine/control/config.h"
#include "engine/control/config_check.h"
#include "engine/control/config_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (16u << 20)

/* @include in a text that came from no file: nothing to include from. */
static const char **refuse_include(config_t *tree, const char *dir, const char *path, const char **why)
{
    (void)tree, (void)dir, (void)path;
    *why = "@include is not possible here";
    return NULL;
}

static void complain_syntax(struct config_reader *reader, const config_t *tree)
{
    const char *file = config_error_file(tree);
    config_report_add(
        reader->report,
        "%.200s:%d: %s: look there and at the end of the line before for a missing quote, bracket or "
        "semicolon",
        file ? file : reader->origin, config_error_line(tree), config_error_text(tree));
}

/* The whole file as a text, whatever it is: also a pipe.  malloc'ed; NULL after a complaint. */
static char *read_text(struct config_reader *reader, FILE *file)
{
    char *text = malloc(FILE_BYTES_MAX + 1);
    if (!text) {
        config_report_add(reader->report, "%.200s: no memory to read it", reader->origin);
        return NULL;
    }
    size_t len = fread(text, 1, FILE_BYTES_MAX + 1, file);
    if (ferror(file))
        config_report_add(reader->report, "%.200s: cannot be read: %s", reader->origin, strerror(errno));
    else if (len > FILE_BYTES_MAX)
        config_report_add(reader->report, "%.200s: is larger than %u MiB: this is no configuration",
                          reader->origin, FILE_BYTES_MAX >> 20);
    else if (memchr(text, '\0', len))
        config_report_add(reader->report, "%.200s: holds a NUL byte: this is no configuration",
                          reader->origin);
    if (reader->report->count == 0) {
        text[len] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

static char *load_text(struct config_reader *reader)
{
    FILE *file = fopen(reader->origin, "re");
    if (!file) {
        config_report_add(reader->report, "%.200s: cannot be opened: %s", reader->origin, strerror(errno));
        return NULL;
    }
    char *text = read_text(reader, file);
    fclose(file);
    return text;
}

static bool parse_source(struct config_reader *reader, config_t *tree)
{
    const struct config_source *source = reader->source;
    char *loaded = source->text ? NULL : load_text(reader);
    const char *text = source->text ? source->text : loaded;
    if (source->text)
        config_set_include_func(tree, refuse_include);
    bool good = text && config_read_string(tree, text) == CONFIG_TRUE;
    if (text && !good)
        complain_syntax(reader, tree);
    free(loaded);
    return good;
}

/* "section.key=value" as a text of libconfig.  Values of text keys need no quotes: a shell has eaten them. */
static char *override_text(const char *section, const char *key, const char *value)
{
    const struct config_key *found = config_find_key(section, key);
    bool quote =
        found && (found->kind == CONFIG_KIND_TEXT || found->kind == CONFIG_KIND_CHOICE) && value[0] != '"';
    size_t cap = strlen(section) + strlen(key) + 2 * strlen(value) + 32;
    char *text = malloc(cap);
    if (!text)
        return NULL;
    size_t used =
        *section ? (size_t)sprintf(text, "%s={%s=", section, key) : (size_t)sprintf(text, "%s=", key);
    if (quote)
        text[used++] = '"';
    for (; *value; value++) {
        if (quote && (*value == '"' || *value == '\\'))
            text[used++] = '\\';
        text[used++] = *value;
    }
    strcpy(text + used, quote ? "\";" : ";");
    if (*section)
        strcat(text, "};");
    return text;
}

static void read_override_text(struct config_reader *reader, const char *text)
{
    config_t tree;
    config_init(&tree);
    config_set_include_func(&tree, refuse_include);
    if (config_read_string(&tree, text) == CONFIG_TRUE)
        config_read_root(reader, config_root_setting(&tree));
    else
        config_report_add(reader->report, "--set %.200s: %s: write section.key=value, lists as in the file",
                          reader->override, config_error_text(&tree));
    config_destroy(&tree);
}

static void read_override(struct config_reader *reader, const char *override)
{
    char section[32] = "", key[64] = "";
    const char *equals = strchr(override, '='), *dot = strchr(override, '.');
    bool has_section = equals && dot && dot < equals;
    const char *key_at = has_section ? dot + 1 : override;
    size_t section_len = has_section ? (size_t)(dot - override) : 0;
    if (!equals || (size_t)(equals - key_at) >= sizeof(key) || section_len >= sizeof(section)) {
        config_report_add(reader->report, "--set %.200s: is not section.key=value", override);
        return;
    }
    memcpy(section, override, section_len);
    memcpy(key, key_at, (size_t)(equals - key_at));
    char *text = override_text(section, key, equals + 1);
    reader->override = override;
    if (text)
        read_override_text(reader, text);
    reader->override = NULL;
    free(text);
}

static void all_defaults(struct config *config)
{
    memset(config, 0, sizeof(*config));
    config->tcp = tcp_config_default();
    config->cores.count = 1;
    for (size_t i = 0; i < config_sections_count; i++)
        config_defaults(config_sections[i].key, config_sections[i].keys, config);
}

bool config_load_from(const struct config_source *source, struct config *config, struct config_report *report)
{
    config_t tree;
    const char *origin = source->path ? source->path : "configuration";
    struct config_reader reader = {
        .config = config, .report = report, .origin = origin, .tree = &tree, .source = source};
    memset(report, 0, sizeof(*report));
    all_defaults(config);
    snprintf(config->origin, sizeof(config->origin), "%s", origin);
    config_init(&tree);
    if (parse_source(&reader, &tree)) {
        config_read_root(&reader, config_root_setting(&tree));
        for (uint32_t i = 0; i < source->overrides; i++)
            read_override(&reader, source->override[i]);
        if (report->count == 0) { /* contradictions between half-read settings would only confuse */
            config_complete(&reader);
            config_check(&reader);
        }
    }
    config_destroy(&tree);
    if (report->count)
        config_free(config);
    return report->count == 0;
}

bool config_load(const char *path, struct config *config, struct error *err)
{
    struct config_source source = {.path = path};
    struct config_report report;
    if (config_load_from(&source, config, &report))
        return true;
    uint32_t others = report.count - 1 + report.more;
    if (others == 0)
        return error_set(err, "%s", report.problem[0].text);
    return error_set(err, "%.400s (and %u more: hardlined --check lists them)", report.problem[0].text,
                     others);
}

void config_free(struct config *config)
{
    free(config->tls_rule);
    free(config->route);
    free(config->allow_network);
    free(config->feed.user);
    config->tls_rule = NULL;
    config->route = NULL;
    config->allow_network = NULL;
    config->feed.user = NULL;
    config->tls_rules = config->routes = config->allow_networks = config->feed.users = 0;
}

static void print_key(FILE *out, const char *section, const struct config_key *key,
                      const struct config *defaults)
{
    char value[CONFIG_TEXT_MAX + 8];
    config_key_text(key, defaults, value, sizeof(value));
    fprintf(out, "%s%s%s", section, *section ? "." : "", key->name);
    if (key->kind == CONFIG_KIND_SPECIAL)
        fprintf(out, " = %s\n", key->shape);
    else
        fprintf(out, " = %s%s%s\n", value, key->unit && *key->unit ? " " : "", key->unit ? key->unit : "");
    fprintf(out, "    %s", key->help);
    if (key->kind == CONFIG_KIND_NUMBER)
        fprintf(out, "; %llu to %llu", (unsigned long long)key->min, (unsigned long long)key->max);
    for (size_t i = 0; key->kind == CONFIG_KIND_CHOICE && key->choice[i]; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : "; ", key->choice[i]);
    fprintf(out, "%s%s\n", key->required ? "; required" : "", key->live ? "; reloaded on SIGHUP" : "");
}

void config_print_keys(FILE *out)
{
    static struct config defaults;
    all_defaults(&defaults);
    for (size_t s = 0; s < config_sections_count; s++)
        for (size_t i = 0; i < config_sections[s].keys; i++)
            print_key(out, config_sections[s].name, &config_sections[s].key[i], &defaults);
}
