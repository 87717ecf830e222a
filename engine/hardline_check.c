/* The part of hardline.h that starts nothing: version, check, list of settings. */
#include "engine/hardline.h"

#include "engine/control/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *hl_engine_version(void)
{
    return HARDLINE_VERSION;
}

static void load_policy(const struct config *config, struct config_report *report)
{
    struct policy_table *table;
    struct error err;
    if (config_policy(config, 1, &table, &err))
        config_policy_free(table);
    else if (report->count < CONFIG_PROBLEMS_MAX)
        report->problem[report->count++] = err;
    else
        report->more++;
}

size_t hl_engine_check(const struct hl_engine_options *options, void (*line)(void *ctx, const char *text),
                       void *ctx)
{
    static struct config config; /* large; one engine a process */
    static struct config_report report;
    struct config_source source = {
        .path = options->config_file, .override = options->set, .overrides = (uint32_t)options->sets};
    if (config_load_from(&source, &config, &report)) {
        if (config_check_machine(&config, &report))
            load_policy(&config, &report);
        config_free(&config);
    }
    for (uint32_t i = 0; i < report.count; i++)
        line(ctx, report.problem[i].text);
    if (report.more) {
        char more[64];
        snprintf(more, sizeof(more), "... and %u more", report.more);
        line(ctx, more);
    }
    return report.count + report.more;
}

void hl_engine_settings(void (*line)(void *ctx, const char *text), void *ctx)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return;
    config_print_keys(out);
    if (fclose(out) == 0)
        for (char *rest = text, *one; (one = strsep(&rest, "\n")) && rest;)
            line(ctx, one);
    free(text);
}
